"""Who plays: a fixed cast of accounts with keys, so that a story names them and not their bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Final

from protocol import signing, vrf
from protocol.types import Account, VrfKey, VrfOutput, VrfProof


@dataclass(frozen=True, slots=True)
class Actor:
    """An account with its secrets.

    :ivar seed: 32 bytes; signs.
    :ivar lot_seed: 32 bytes; draws lots.
    """

    name: str
    seed: bytes
    lot_seed: bytes
    account: Account
    vrf_key: VrfKey

    def __repr__(self) -> str:
        return self.name


@cache
def actor(name: str) -> Actor:
    """The actor of that name; the same in every process."""
    seed, lot_seed = (
        hashlib.sha256(f"{use} of {name}".encode()).digest() for use in ("signing key", "lots")
    )
    return Actor(name, seed, lot_seed, signing.public_key(seed), vrf.public_key(lot_seed))


@cache
def draw_lot(who: str, lot: bytes) -> tuple[VrfProof, VrfOutput]:
    """The actor's proof and output for a VRF input."""
    return vrf.prove(actor(who).lot_seed, lot)


SEQUENCERS: Final = ("s0", "s1", "s2")
"""They have log stake too, and propose log blocks."""

PROVERS: Final = ("p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7")
"""Their stakes are the scenario's; a scenario may leave the last of them out."""

OUTSIDER: Final = "outsider"
"""Has money and no stake."""

BEGGAR: Final = "beggar"
"""Has less money than a fee, and no stake."""

NEWCOMER: Final = "newcomer"
"""Is in no genesis: it comes into being when it is paid."""
