"""The chain of randomness that every draw of the protocol starts from.

Problem. Provers, sequencers and log proposers are drawn by lot, and no participant may choose the
lot.

Rules. The beacon starts from the network's identity. Each finalised log block moves it on with its
slot and its proposer's VRF output: ``R' = H(R, slot, output)``; a slot without a finalised block
leaves it alone. The VRF input of a proposer is the slot and the seed of its epoch, so an output is
settled before the slot begins and depends on nothing that its owner writes. Only outputs are mixed
in, never proofs: an output is unique (RFC 9381, section 3.1), a proof can be remade at will.

Deviations. Ethereum's RANDAO mixes by exclusive or and proposers reveal one value an epoch
(github.com/ethereum/consensus-specs, ``process_randao``); here each step is a hash, so the order
counts, and an output is fresh in each slot. Ouroboros Praos (eprint 2017/573) hashes the outputs of
part of an epoch; here all of them count, and the distance between seed and use does the same
service.

Properties. Pure and deterministic. What is kept out, given that callers take stake and VRF keys
from a snapshot older than the seed: choosing a key after seeing the seed, and trying contents,
timestamps or splits of stake for a better value.

What bias remains. An output can be withheld. Whoever holds the best candidates of a slot knows
their outputs in advance and may publish any of them or none, after which the best candidate of
others takes the slot, or nobody. Held at the end of an epoch, ``k`` such slots are a choice among
at least ``2^k`` seeds, paid for with the proposals forgone. Under RANDAO, with one proposer a slot
and 32 slots an epoch, optimal withholding raises a share of 5, 10 and 20 percent of the stake to
5.048, 10.19 and 20.68 percent of the proposals (Alpturer and Weinberg, "Optimal RANDAO Manipulation
in Ethereum", AFT 2024, arXiv 2409.19883); those numbers are of that schedule and not of this one.
Removing the bias takes a verifiable delay function or threshold signatures, and neither is used
here.
"""

from __future__ import annotations

from typing import Final

from protocol.signing import digest
from protocol.types import Beacon, NetworkId, Slot, VrfOutput

_GENESIS: Final = b"provnet/beacon-genesis/1"
_ADVANCE: Final = b"provnet/beacon/1"
_LOG_ALPHA: Final = b"provnet/log-alpha/1"

_SLOT_BYTES: Final = 8


def genesis_beacon(network: NetworkId) -> Beacon:
    """The beacon before the first finalised block; whoever writes the genesis can choose it."""
    return Beacon(digest(_GENESIS, network))


def advance(beacon: Beacon, slot: Slot, output: VrfOutput) -> Beacon:
    """The beacon after the finalised block of ``slot``, whose proposer proved ``output``.

    The caller has verified that ``output`` belongs to ``log_alpha(epoch seed, slot)``.
    """
    return Beacon(digest(_ADVANCE, beacon, _slot_bytes(slot), output))


def log_alpha(epoch_seed: Beacon, slot: Slot) -> bytes:
    """The VRF input, 32 bytes, that ranks the proposers of ``slot`` and feeds the beacon.

    :param epoch_seed: the beacon fixed for the slot's epoch, the same for all its candidates.
    """
    return digest(_LOG_ALPHA, epoch_seed, _slot_bytes(slot))


def _slot_bytes(slot: Slot) -> bytes:
    return slot.to_bytes(_SLOT_BYTES, "little")
