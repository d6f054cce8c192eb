"""The words of the protocol as types.

Every quantity that could be mistaken for another has a type of its own. Numeric types are unsigned
and bounded by :data:`BOUNDS`, byte strings have the exact length given in :data:`LENGTHS`; the
codec refuses anything else, so a decoded message never holds a value outside its type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NewType

Account = NewType("Account", bytes)
"""An Ed25519 public key, 32 bytes. It is also the network identity of the account's node."""

VrfKey = NewType("VrfKey", bytes)
"""An ECVRF public key, 32 bytes (RFC 9381, cipher suite ECVRF-EDWARDS25519-SHA512-TAI)."""

VrfProof = NewType("VrfProof", bytes)
"""An ECVRF proof, 80 bytes. Not unique: only its output may be used as randomness."""

VrfOutput = NewType("VrfOutput", bytes)
"""An ECVRF output ("beta"), 64 bytes, unique for a key and an input."""

Signature = NewType("Signature", bytes)
"""An Ed25519 signature, 64 bytes."""

Digest = NewType("Digest", bytes)
"""A 32-byte BLAKE2b hash of a domain tag and a canonical encoding."""

NetworkId = NewType("NetworkId", bytes)
"""Digest of the genesis, 32 bytes: no message of one network is valid in another."""

BlockHash = NewType("BlockHash", bytes)
"""Digest of a log header, 32 bytes."""

OperationHash = NewType("OperationHash", bytes)
"""Digest of a signed operation, 32 bytes."""

BodyHash = NewType("BodyHash", bytes)
"""Digest of bytes that travel by request and not by gossip, 32 bytes."""

JobId = NewType("JobId", bytes)
"""Digest that binds everything a job's payment depends on, 32 bytes."""

Root = NewType("Root", bytes)
"""Root of the rollup's account tree: four canonical little-endian field elements, 32 bytes."""

Claim = NewType("Claim", bytes)
"""The public input that binds who proved what, all the way down: four field elements, 32 bytes."""

TransferDigest = NewType("TransferDigest", bytes)
"""Chained hash of the transfers of one leaf: four field elements, 32 bytes."""

Beacon = NewType("Beacon", bytes)
"""A value of the chain of randomness, 32 bytes."""

Salt = NewType("Salt", bytes)
"""Hides a commitment's content until it is revealed, 32 bytes."""

Amount = NewType("Amount", int)
"""Money in micro-units."""

Stake = NewType("Stake", int)
"""Stake in micro-units; log stake, prover stake and sequencer stake are never mixed."""

Work = NewType("Work", int)
"""Compute units of a tree node, fixed per level by the parameters."""

Tick = NewType("Tick", int)
"""Height of the log: the only clock of the protocol."""

Slot = NewType("Slot", int)
"""Index of a fixed span of wall-clock time in which one log block may be notarised."""

Epoch = NewType("Epoch", int)
"""A fixed number of ticks."""

Round = NewType("Round", int)
"""Index of one rollup block's sequencing, from the first commitment to seal or skip."""

Nonce = NewType("Nonce", int)
"""Distinguishes operations, or orders transfers, of one account."""

BasisPoints = NewType("BasisPoints", int)
"""Ten-thousandths, 0 to 10,000."""

Milliseconds = NewType("Milliseconds", int)
"""Wall-clock time since the Unix epoch, or a span of it."""

Count = NewType("Count", int)
"""A small number of things."""

BOUNDS: Final = {
    Amount: (1 << 62) - 1,
    Stake: (1 << 62) - 1,
    Work: (1 << 40) - 1,
    Tick: (1 << 48) - 1,
    Slot: (1 << 48) - 1,
    Epoch: (1 << 48) - 1,
    Round: (1 << 48) - 1,
    Nonce: (1 << 62) - 1,
    BasisPoints: 10_000,
    Milliseconds: (1 << 53) - 1,
    Count: (1 << 16) - 1,
}
"""Largest value of each numeric type; the smallest is 0.

All sums of two fit a signed 64-bit word.
"""

LENGTHS: Final = {
    Account: 32,
    VrfKey: 32,
    VrfProof: 80,
    VrfOutput: 64,
    Signature: 64,
    Digest: 32,
    NetworkId: 32,
    BlockHash: 32,
    OperationHash: 32,
    BodyHash: 32,
    JobId: 32,
    Root: 32,
    Claim: 32,
    TransferDigest: 32,
    Beacon: 32,
    Salt: 32,
}
"""Exact length of each byte-string type."""

FULL_SHARE: Final = BasisPoints(10_000)
"""The whole, in basis points."""


@dataclass(frozen=True, slots=True, order=True)
class TreeIndex:
    """A place in a proof tree: ``level`` 0 holds the leaves, ``position`` counts from the left."""

    level: Count
    position: Count

    def __str__(self) -> str:
        return f"{self.level}:{self.position}"
