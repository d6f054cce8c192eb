"""Keeping up with the log: certified blocks are asked of peers, and served to them.

**The problem.** A node that was away, or that gossip passed by, lacks blocks which its peers have.
Some of them stall, some lie, and a log that is long should not be waited for from one of them.

**Rules.**

- Whoever hears of blocks that are not here, or sees no finality, wakes this room. A round begins
  with one peer, each time another one, which is asked for what follows the final block; if it helps
  nothing, the next one is asked. When it says that the log goes on, all peers are asked for the
  rest in ranges (``p2p.ranges``).
- Sections are given to the replica in the order of their heights, so that the validators of each
  epoch are known when certificates of it are judged.
- Who did not answer whole in time, or not at all, is not asked again until a round brings nothing.
  Silence is nobody's fault: links lose answers, and ``p2p.liveness`` finds who is dead.
- Who sent a section that is none, or blocks that the replica refuses for what they are, is
  penalised and not asked again either.
- A section of which nothing is wrong by itself, and which does not follow what came before it, is
  no proof of who lied, as that came from others. Up to its end each round asks one peer alone, so
  that all of a round is of one hand; then such a section is its fault.

**Properties.** Nothing a peer sends raises. What is final is in the store, so a node that was
stopped goes on from there. Under way and in memory are at most :data:`~p2p.ranges.AHEAD_MAX` + 1
sections.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from p2p.observing import MessageRefused
from p2p.ranges import Plan, Range
from p2p.store import Store
from p2p.sync import (
    BLOCKS_REQUEST,
    SECTION_BYTES_MAX,
    Section,
    above,
    answer_section,
    range_bytes,
    read_section,
)
from protocol.errors import Reason, Refused
from protocol.happenings import CertifiedHeard, Effect, Rejected
from protocol.ports import Clock, Network, RequestFailed
from protocol.replica import CERTIFIED, Replica
from protocol.types import Account, Milliseconds, Slot

SYNC_PAUSE_S: Final = 1.0
"""Least pause between rounds."""

STALE_SLOTS: Final = 4
"""After so many slots without finality a node asks its peers whether they know more."""

RANGE_BLOCKS: Final = 64
"""Most blocks in one request."""

SYNC_TIMEOUT_MS: Final = Milliseconds(10_000)
"""Longest wait for an answer with certified blocks."""

_OVERTAKEN: Final = (Reason.PAST_EPOCH, Reason.OFF_FINAL_CHAIN)
"""Why honest blocks are refused: what is final went on meanwhile, or the ones before were wrong."""


class CatchingUp:
    """Certified blocks between one node and its peers.

    :param replica: for reading only.
    :param deliver: hands blocks to the owner of the replica, who answers with :meth:`note_taken`.
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
        self._taken = trio.Event()
        self._effects: Sequence[Effect] = ()
        self._progress_slot = Slot(0)
        self._rounds = 0
        self._dropped: set[Account] = set()
        self._doubtful = 0
        network.serve(BLOCKS_REQUEST, self._answer)

    # --- what the owner of the replica says ---

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

    def note_taken(self, effects: Sequence[Effect]) -> None:
        """What came of the blocks that were delivered."""
        self._effects = effects
        self._taken.set()

    # --- asking ---

    async def run(self) -> None:
        """Begin a round whenever woken, for ever."""
        while True:
            await self._behind.wait()
            self._behind = trio.Event()
            if await self._round():
                self.wake()
            else:
                self._dropped.clear()
            await trio.sleep(SYNC_PAUSE_S)

    async def _round(self) -> bool:
        """Ask one peer after the other for what follows, until one helps; then all for the rest.

        :returns: whether another round is worth while.
        """
        self._rounds += 1
        for peer in self._peers():
            before, doubtful = self._replica.final_height, self._doubtful
            section = await self._ask(peer, above(before, RANGE_BLOCKS))
            if section is None or not await self._take(peer, section, is_alone=True):
                continue
            if section.final > section.last:
                rest = Range(section.last + 1, section.final)
                await self._ask_all(rest, peer if before < doubtful else None)
            if self._replica.final_height > before or self._doubtful > doubtful:
                return True
        return False

    async def _ask_all(self, wanted: Range, only: Account | None) -> None:
        """Ask for a part of the log in ranges, until it is here, or nobody has more of it.

        :param only: the one peer to ask; None for all.
        """
        plan: Plan[Section] = Plan(wanted, RANGE_BLOCKS)
        changed = trio.Event()

        async def ask(peer: Account, part: Range) -> None:
            section = await self._ask(peer, part)
            if section is None:
                plan.fail(peer)
            else:
                plan.arrive(peer, min(section.last, section.final), section)
            changed.set()

        async with trio.open_nursery() as nursery:
            while not plan.is_complete:
                for peer, part in plan.ask([only] if only is not None else self._peers()):
                    nursery.start_soon(ask, peer, part)
                arrived = plan.take()
                if arrived is None and plan.is_idle:
                    break
                if arrived is None:
                    await changed.wait()
                    changed = trio.Event()
                elif not await self._take(arrived.peer, arrived.payload, is_alone=only is not None):
                    break
            nursery.cancel_scope.cancel()

    def _peers(self) -> list[Account]:
        """Whom to ask, beginning with another one in each round."""
        peers = [one for one in self._network.peers() if one not in self._dropped]
        turn = self._rounds % max(1, len(peers))
        return peers[turn:] + peers[:turn]

    async def ask(self, peer: Account, wanted: Range) -> Section:
        """Certified blocks of one peer, as far as it has them. Raises RequestFailed and Refused."""
        answer = await self._network.request(
            peer,
            BLOCKS_REQUEST,
            range_bytes(wanted),
            size_max=SECTION_BYTES_MAX,
            timeout_ms=SYNC_TIMEOUT_MS,
        )
        return read_section(self._replica.machine.network, wanted, answer)

    async def _ask(self, peer: Account, wanted: Range) -> Section | None:
        try:
            return await self.ask(peer, wanted)
        except RequestFailed:
            self._dropped.add(peer)
        except Refused as refusal:
            self._blame(peer, refusal.reason, refusal.detail)
        return None

    async def _answer(self, _peer: Account, body: bytes) -> bytes | None:
        return answer_section(self._store, body)

    # --- judging ---

    async def _take(self, peer: Account, section: Section, *, is_alone: bool) -> bool:
        """Have the replica take a section. Whether it could, and there was one.

        :param is_alone: all since our final block came from this peer.
        """
        if not section.blocks:
            return False
        self._taken = trio.Event()
        await self._deliver(CertifiedHeard(section.blocks, self._clock.now_ms()))
        await self._taken.wait()
        for effect in self._effects:
            if isinstance(effect, Rejected) and effect.kind == CERTIFIED:
                if effect.reason in _OVERTAKEN:
                    continue
                self._blame(peer, effect.reason, effect.detail)
                return False
        last = min(section.last, section.final)
        if self._replica.engine.tip.link.height >= last:
            return True
        if is_alone:
            self._blame(peer, Reason.OFF_FINAL_CHAIN, f"height {last}")
        else:
            self._doubtful = last
        return False

    def _blame(self, peer: Account, reason: Reason, detail: str) -> None:
        self._dropped.add(peer)
        self._on_refused(MessageRefused("certified blocks", reason, peer, detail))
        self._network.penalise(peer, reason.value)
