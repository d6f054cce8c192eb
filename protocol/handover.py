"""All that a node goes on from at the border of an epoch, as one value that travels.

The problem: a newcomer would have to apply the whole log. Instead it takes over the state at the
end of an epoch from a stranger, whom it does not trust.

The rules. A snapshot holds the border block's place as the root of the next epoch, the machine's
state, and the accounts of the rollup. Of these, all that matters is proven by
others than the one who serves it:

- *Certificates prove the digest.* The blocks that follow, the first ones of the next epoch, each
  certified by validators that the newcomer trusts, must fit to the border block's place, and their
  headers must name the very state (:meth:`protocol.replica.Replica.adopt`). A place that is wrong
  in its slot does not fit to the certificate of the border block, and its beacons are in the state.
- *The digest proves the state*, because it is that of its bytes.
- *The state proves the accounts*, because it names the root after the last settled block.

Deviation: a snapshot carries no certificate, so that honest nodes serve the same bytes, which can
be asked of any of them in pieces. The first block that follows carries that of the border block.

Properties. Equal logs give equal bytes. There is one spelling, bounded by
:data:`SNAPSHOT_BYTES_MAX`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from protocol.errors import Reason, Refused
from protocol.machine import Saved
from protocol.ordering.chain import Link
from protocol.ports import ProverBackend, RollupState
from protocol.signing import digest
from protocol.snapshot import plain_bytes, read_plain
from protocol.types import Account, Amount, Digest, NetworkId, Nonce, Root, Tick

SNAPSHOT_BYTES_MAX: Final = 1 << 27
"""Most bytes of a snapshot: a million accounts take some 70 MB."""

Accounts: TypeAlias = tuple[tuple[Account, Amount, Nonce], ...]
"""The rollup's accounts in the order of its tree, with balances and next nonces."""


@dataclass(frozen=True, slots=True)
class Border:
    """A final block that ends an epoch, and the state after it.

    :ivar link: its place in its chain, as the root of the next epoch.
    """

    network: NetworkId
    link: Link
    saved: Saved


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a newcomer goes on from."""

    border: Border
    accounts: Accounts

    @property
    def height(self) -> Tick:
        """Height of the border block."""
        return self.border.link.height

    def to_bytes(self) -> bytes:
        """The one byte string that :meth:`read` accepts for this value."""
        return plain_bytes(self)

    @classmethod
    def read(cls, payload: bytes) -> Snapshot:
        """The snapshot that ``payload`` spells. Raises Refused as
        :func:`~protocol.snapshot.read_plain`.
        """
        snapshot: Snapshot = read_plain(cls, payload, size_max=SNAPSHOT_BYTES_MAX)
        return snapshot


def snapshot_name(payload: bytes) -> Digest:
    """What the bytes of a snapshot are asked for by."""
    return Digest(digest(b"provnet/snapshot-name/1", payload))


def rollup_state(backend: ProverBackend, accounts: Accounts, root: Root) -> RollupState:
    """The rollup's state with these accounts.

    :param root: what the machine says is the root of it.
    :raises Refused: WRONG_ACCOUNTS when they have another root, or are no accounts at all.
    """
    try:
        state = backend.restore(accounts)
    except ValueError as failure:
        raise Refused(Reason.WRONG_ACCOUNTS, str(failure)) from None
    if state.root != root:
        raise Refused(Reason.WRONG_ACCOUNTS, f"root {state.root.hex()}, not {root.hex()}")
    return state
