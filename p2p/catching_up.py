"""Keeping up with the log: certified blocks are asked of peers, and served to them.

**The problem.** A node that was away, or that gossip passed by, lacks blocks which its peers have.

**Rules.** Whoever hears of blocks that are not here, or sees no finality, wakes this room. It asks
one peer after the other for what comes after the final block, until one of them helps. Answers are
checked for form and signatures; whether they fit the log, the replica judges.

**Properties.** Nothing a peer sends raises. Between rounds is a pause.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from p2p.observing import MessageRefused
from p2p.store import Store
from p2p.sync import BLOCKS_REQUEST, decode_certified, encode_certified, tick_bytes
from protocol.errors import Reason, Refused
from protocol.happenings import CertifiedHeard
from protocol.messages import CertifiedBlock, header_is_signed
from protocol.ports import Clock, Network, RequestFailed
from protocol.replica import Replica
from protocol.types import Account, Milliseconds, Slot, Tick

SYNC_PAUSE_S: Final = 1.0
"""Least pause between requests for certified blocks."""

STALE_SLOTS: Final = 4
"""After so many slots without finality a node asks its peers whether they know more."""

SYNC_BYTES_MAX: Final = 2_000_000
"""Largest answer with certified blocks, in bytes."""

SYNC_TIMEOUT_MS: Final = Milliseconds(10_000)
"""Longest wait for an answer with certified blocks."""


class CatchingUp:
    """Certified blocks between one node and its peers.

    :param replica: for reading only.
    :param deliver: hands blocks to the owner of the replica.
    :param on_refused: told what a peer sent that is refused.
    """

    def __init__(
        self,
        *,
        replica: Replica,
        network: Network,
        store: Store,
        clock: Clock,
        deliver: Callable[[CertifiedHeard], Awaitable[None]],
        on_refused: Callable[[MessageRefused], None],
    ) -> None:
        self._replica = replica
        self._network = network
        self._store = store
        self._clock = clock
        self._deliver = deliver
        self._on_refused = on_refused
        self._behind = trio.Event()
        self._progress_slot = Slot(0)
        network.serve(BLOCKS_REQUEST, self._answer)

    def wake(self) -> None:
        """There may be blocks that are not here."""
        self._behind.set()

    def note_progress(self) -> None:
        """A block became final."""
        self._progress_slot = self._replica.slot

    def look_for_progress(self) -> None:
        """A slot began: wake when there was no finality for long."""
        # the clock may have been set back
        self._progress_slot = min(self._progress_slot, self._replica.slot)
        if self._replica.slot >= self._progress_slot + STALE_SLOTS:
            self.wake()

    async def run(self) -> None:
        """Ask whenever woken, for ever."""
        while True:
            await self._behind.wait()
            self._behind = trio.Event()
            for peer in self._network.peers():
                if await self._sync_from(peer):
                    self._behind.set()
                    break
            await trio.sleep(SYNC_PAUSE_S)

    async def _sync_from(self, peer: Account) -> bool:
        """Ask one peer for what comes after our final block. Whether we got further."""
        before = self._replica.final_height
        try:
            blocks = await self.ask(peer, before)
        except RequestFailed:
            return False
        except Refused as refusal:
            self._on_refused(
                MessageRefused("certified blocks", refusal.reason, peer, refusal.detail)
            )
            self._network.penalise(peer, refusal.reason.value)
            return False
        if not blocks:
            return False
        await self._deliver(CertifiedHeard(blocks, self._clock.now_ms()))
        await trio.sleep(SYNC_PAUSE_S / 10)
        return self._replica.final_height > before

    async def ask(self, peer: Account, above: Tick) -> tuple[CertifiedBlock, ...]:
        """Certified blocks of a peer, whose headers are signed. Raises RequestFailed, Refused."""
        answer = await self._network.request(
            peer,
            BLOCKS_REQUEST,
            tick_bytes(above),
            size_max=SYNC_BYTES_MAX,
            timeout_ms=SYNC_TIMEOUT_MS,
        )
        blocks = decode_certified(answer, SYNC_BYTES_MAX)
        network = self._replica.machine.network
        if not all(header_is_signed(network, one.block.signed) for one in blocks):
            raise Refused(Reason.BAD_SIGNATURE)
        return blocks

    async def _answer(self, _peer: Account, body: bytes) -> bytes | None:
        return encode_certified(self._store, body, SYNC_BYTES_MAX)
