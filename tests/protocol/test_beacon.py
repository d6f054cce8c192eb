"""The beacon: what it depends on, and that nothing else poses as it."""

from __future__ import annotations

from hashlib import blake2b

from hypothesis import given, strategies as st

from protocol import beacon, vrf
from protocol.signing import Domain
from protocol.types import BOUNDS, Beacon, NetworkId, Slot, VrfOutput, VrfProof
from tests.protocol import slow_edwards as slow

NETWORK = NetworkId(b"\x01" * 32)
OUTPUT = VrfOutput(b"\x02" * 64)
GENESIS = beacon.genesis_beacon(NETWORK)

beacons = st.binary(min_size=32, max_size=32).map(Beacon)
slots = st.integers(0, BOUNDS[Slot]).map(Slot)
outputs = st.binary(min_size=64, max_size=64).map(VrfOutput)


def framed(*parts: bytes) -> bytes:
    joined = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    return blake2b(joined, digest_size=32).digest()


def test_values_are_hashes_of_framed_parts():
    slot = (258).to_bytes(8, "little")
    advanced = beacon.advance(GENESIS, Slot(258), OUTPUT)
    assert framed(b"provnet/beacon-genesis/1", NETWORK) == GENESIS
    assert framed(b"provnet/beacon/1", GENESIS, slot, OUTPUT) == advanced
    assert framed(b"provnet/log-alpha/1", GENESIS, slot) == beacon.log_alpha(GENESIS, Slot(258))


def test_networks_start_differently():
    assert beacon.genesis_beacon(NetworkId(b"\x02" * 32)) != GENESIS


@given(first=st.tuples(beacons, slots, outputs), second=st.tuples(beacons, slots, outputs))
def test_the_next_beacon_depends_on_all_three(
    first: tuple[Beacon, Slot, VrfOutput], second: tuple[Beacon, Slot, VrfOutput]
):
    for position in range(3):
        changed = (*first[:position], second[position], *first[position + 1 :])
        assert (beacon.advance(*changed) == beacon.advance(*first)) == (changed == first)


def test_the_order_of_outputs_counts():
    one, two = VrfOutput(b"\x01" * 64), VrfOutput(b"\x02" * 64)
    forwards = beacon.advance(beacon.advance(GENESIS, Slot(1), one), Slot(1), two)
    backwards = beacon.advance(beacon.advance(GENESIS, Slot(1), two), Slot(1), one)
    assert forwards != backwards


@given(seed=beacons, other=beacons, slot=slots, other_slot=slots)
def test_alpha_is_one_of_a_seed_and_a_slot(
    seed: Beacon, other: Beacon, slot: Slot, other_slot: Slot
):
    same = (seed, slot) == (other, other_slot)
    assert (beacon.log_alpha(seed, slot) == beacon.log_alpha(other, other_slot)) == same


def test_the_largest_slot_is_taken():
    assert beacon.log_alpha(GENESIS, Slot(BOUNDS[Slot])) != beacon.log_alpha(GENESIS, Slot(0))


def test_tags_are_used_for_nothing_else():
    tags = [beacon._GENESIS, beacon._ADVANCE, beacon._LOG_ALPHA]
    assert len({*tags, *(domain.value for domain in Domain)}) == len(tags) + len(Domain)


def test_a_proposer_cannot_move_the_beacon_with_another_proof():
    seed = bytes(32)
    alpha = beacon.log_alpha(GENESIS, Slot(9))
    proof, output = vrf.prove(seed, alpha)
    remade, _ = slow.prove(seed, alpha, nonce=12345)
    verified = vrf.verify(vrf.public_key(seed), alpha, VrfProof(remade))
    assert remade != proof
    assert verified is not None
    assert beacon.advance(GENESIS, Slot(9), verified) == beacon.advance(GENESIS, Slot(9), output)
