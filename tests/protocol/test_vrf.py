"""ECVRF: the RFC's vectors, an independent slow implementation, and what must be refused."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings, strategies as st
from nacl.exceptions import RuntimeError as GroupError

from protocol import vrf
from protocol.types import VrfKey, VrfProof
from tests.protocol import slow_edwards as slow

VECTORS = {  # RFC 9381, appendix B.3, examples 16, 17 and 18
    "16": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "91bbed02a99461df1ad4c6564a5f5d829d0b90cfc7903e7a5797bd658abf3318",
        "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
        "26f8a57ccaed74ee1b190bed1f479d9727d2d0f9b005a6e456a35d4fb0daab12"
        "68a1b0db10836d9826a528ca76567805",
        "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
        "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae",
    ),
    "17": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "5b659fc3d4e9263fd9a4ed1d022d75eaacc20df5e09f9ea937502396598dc551",
        "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593"
        "3bf0864a62558b3ed7f2fea45c92a465301b3bbf5e3e54ddf2d935be3b67926d"
        "a3ef39226bbc355bdc9850112c8f4b02",
        "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb"
        "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031",
    ),
    "18": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "bf4339376f5542811de615e3313d2b36f6f53c0acfebb482159711201192576a",
        "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80"
        "96bb474e53895c362d8628ee9f9ea3c0e52c7a5c691b6c18c9979866568add7a"
        "2d41b00b05081ed0f58ee5e31b3a970e",
        "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45"
        "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f",
    ),
}

SEED = bytes(range(32))
KEY = vrf.public_key(SEED)
ALPHA = b"slot 7"
PROOF, OUTPUT = vrf.prove(SEED, ALPHA)
TORSION = slow.low_order_points()
ORDER_TWO = (0, slow.PRIME - 1)

seeds = st.binary(min_size=32, max_size=32)


def verify(key: bytes, alpha: bytes, proof: bytes) -> bytes | None:
    return vrf.verify(VrfKey(key), alpha, VrfProof(proof))


def non_canonical(y: int) -> bytes:
    return (y + slow.PRIME).to_bytes(32, "little")


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_of_the_rfc(name: str):
    seed, key, alpha, hashed, proof, output = map(bytes.fromhex, VECTORS[name])
    assert vrf.public_key(seed) == key
    assert vrf._hash_to_curve(key, alpha) == hashed
    assert vrf.prove(seed, alpha) == (proof, output)
    assert verify(key, alpha, proof) == output


@settings(max_examples=15, deadline=None)
@given(seed=seeds, alpha=st.binary(max_size=200))
def test_agrees_with_the_slow_implementation(seed: bytes, alpha: bytes):
    key = slow.public_key(seed)
    proof, output = vrf.prove(seed, alpha)
    assert vrf.public_key(seed) == key
    assert (proof, output) == slow.prove(seed, alpha)
    assert slow.verify(key, alpha, proof) == output == verify(key, alpha, proof)


@settings(deadline=None)
@given(seed=seeds, alpha=st.binary(max_size=200), other=st.binary(max_size=200))
def test_round_trip_and_only_its_own_input(seed: bytes, alpha: bytes, other: bytes):
    proof, output = vrf.prove(seed, alpha)
    assert verify(vrf.public_key(seed), alpha, proof) == output
    assert (verify(vrf.public_key(seed), other, proof) == output) == (alpha == other)


@pytest.mark.parametrize("position", range(80))
def test_a_flipped_bit_of_the_proof_is_refused(position: int):
    for bit in range(8):
        flipped = bytearray(PROOF)
        flipped[position] ^= 1 << bit
        assert verify(KEY, ALPHA, bytes(flipped)) is None


@pytest.mark.parametrize("position", range(32))
def test_a_flipped_bit_of_the_key_is_refused(position: int):
    flipped = bytearray(KEY)
    flipped[position] ^= 1
    assert verify(bytes(flipped), ALPHA, PROOF) is None


def test_another_key_is_refused():
    assert verify(vrf.public_key(bytes(32)), ALPHA, PROOF) is None


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_key_of_wrong_length_is_refused(length: int):
    assert verify((KEY * 2)[:length], ALPHA, PROOF) is None


@pytest.mark.parametrize("length", [0, 1, 31, 32, 48, 79, 81, 112, 160])
def test_a_proof_of_wrong_length_is_refused(length: int):
    assert verify(KEY, ALPHA, (PROOF * 2)[:length]) is None


@pytest.mark.parametrize("padding", [b"\0", bytes(16)])
def test_padding_is_refused(padding: bytes):
    assert verify(KEY, ALPHA, PROOF + padding) is None
    assert verify(KEY + padding, ALPHA, PROOF) is None


def test_a_response_is_refused_when_it_is_not_reduced():
    response = int.from_bytes(PROOF[48:], "little")
    for multiple in range(1, 16):
        remade = PROOF[:48] + (response + multiple * slow.ORDER).to_bytes(32, "little")
        assert verify(KEY, ALPHA, remade) is None, "the same proof in other bytes"


def test_a_proof_may_be_remade_by_its_owner_but_its_output_may_not():
    remade, output = slow.prove(SEED, ALPHA, nonce=12345)
    assert remade != PROOF
    assert verify(KEY, ALPHA, remade) == output == OUTPUT


@pytest.mark.parametrize("torsion", range(8))
def test_a_key_of_low_order_is_refused(torsion: int):
    key = slow.encode(TORSION[torsion])
    hashed = slow.hash_to_curve(key, ALPHA)
    for nonce in range(1, 40):  # with Gamma the identity the equations hold when 8 divides c
        gamma = slow.IDENTITY
        commitments = slow.multiply(nonce, slow.BASE), slow.multiply(nonce, hashed)
        challenge = slow.challenge(key, hashed, gamma, *commitments)
        proof = slow.encode(gamma) + challenge.to_bytes(16, "little")
        assert verify(key, ALPHA, proof + nonce.to_bytes(32, "little")) is None


@pytest.mark.parametrize("torsion", range(1, 8))
def test_a_gamma_outside_the_prime_order_group_is_refused(torsion: int):
    for nonce in count(1):  # the RFC accepts when the order of the component divides the challenge
        proof, output = slow.prove(SEED, ALPHA, nonce=nonce, torsion=TORSION[torsion])
        if proof[32] % 8 == 0:
            break
    assert slow.verify(KEY, ALPHA, proof) == output == OUTPUT
    assert verify(KEY, ALPHA, proof) is None


@pytest.mark.parametrize("torsion", range(1, 8))
def test_a_key_outside_the_prime_order_group_is_refused(torsion: int):
    key = slow.encode(slow.add(slow.known_point(KEY), TORSION[torsion]))
    hashed = slow.hash_to_curve(key, ALPHA)
    scalar = slow.secret_scalar(SEED)
    gamma = slow.multiply(scalar, hashed)
    for nonce in count(1):
        commitments = slow.multiply(nonce, slow.BASE), slow.multiply(nonce, hashed)
        challenge = slow.challenge(key, hashed, gamma, *commitments)
        if challenge % 8 == 0:
            break
    response = (nonce + challenge * scalar) % slow.ORDER
    proof = slow.encode(gamma) + challenge.to_bytes(16, "little") + response.to_bytes(32, "little")
    assert slow.verify(key, ALPHA, proof) == slow.output(gamma)
    assert verify(key, ALPHA, proof) is None


def test_libsodium_sees_a_component_of_order_two():
    assert ORDER_TWO in TORSION
    with pytest.raises(GroupError):
        vrf._multiply(3, slow.encode(slow.add(slow.known_point(KEY), ORDER_TWO)))


@pytest.mark.parametrize("y", range(19))
def test_a_non_canonical_point_is_refused_everywhere(y: int):
    for sign in (0, 0x80):
        encoded = bytearray(non_canonical(y))
        encoded[31] |= sign
        assert vrf._candidate(bytes(encoded)) is None
        assert verify(bytes(encoded), ALPHA, PROOF) is None
        assert verify(KEY, ALPHA, bytes(encoded) + PROOF[32:]) is None


def test_a_candidate_is_eight_times_the_point_that_the_bytes_name():
    for number in [*range(60), slow.PRIME - 1, 1 | 1 << 255, slow.PRIME - 1 | 1 << 255]:
        encoded = number.to_bytes(32, "little")
        point = slow.decode(encoded)
        expected = slow.multiply(8, point) if point is not None else slow.IDENTITY
        wanted = None if expected == slow.IDENTITY else slow.encode(expected)
        assert vrf._candidate(encoded) == wanted


@pytest.mark.parametrize("field", [slice(32, 48), slice(48, 80), slice(32, 80), slice(0, 80)])
def test_a_proof_of_zeros_is_refused(field: slice):
    zeroed = bytearray(PROOF)
    zeroed[field] = bytes(field.stop - field.start)
    assert verify(KEY, ALPHA, bytes(zeroed)) is None


@settings(deadline=None)
@given(key=st.binary(max_size=40), alpha=st.binary(max_size=8), proof=st.binary(max_size=90))
def test_total_on_any_bytes(key: bytes, alpha: bytes, proof: bytes):
    assert verify(key, alpha, proof) is None


@settings(deadline=None)
@given(key=seeds, proof=st.binary(min_size=80, max_size=80))
def test_total_on_any_bytes_of_right_length(key: bytes, proof: bytes):
    assert verify(key, ALPHA, proof) is None
    assert verify(KEY, ALPHA, proof) is None


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_wrong_length_is_refused(length: int):
    with pytest.raises(ValueError, match="32 bytes"):
        vrf.public_key(bytes(length))
    with pytest.raises(ValueError, match="32 bytes"):
        vrf.prove(bytes(length), ALPHA)
