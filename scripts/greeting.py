"""Peers tell each other what time it is and how far they are.

Problem. The log counts slots of wall-clock time, so a validator whose clock is off votes in slots
that are over or have not begun, and a newcomer cannot tell a log that stands still from peers that
are cut off.

Rules.

- Every node answers the request :data:`HELLO` with its clock and its last final block, and asks
  each connected peer now and then. The offset of a peer's clock is measured as NTP does (RFC 5905,
  section 8): against the middle of the round trip, with half of it as doubt.
- Our clock is off by what holders of more than a third of the log stake say at the least, doubt
  taken off: if fewer than a third lie, an honest one says so. Whoever has no log stake moves
  nobody's clock.
- Off by more than a :data:`WARN_PARTS` part of a slot, a node says so; off by more than a slot, it
  signs neither proposals nor votes until it is right again, nor does it before somebody answered,
  for up to :data:`PATIENCE_S`. The clock is never adjusted.

Properties. What is kept is bounded by the connected peers. A lie about height moves nothing but
what a person is shown.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median_high
from typing import Any, Final

import trio

from p2p.failures import Failure
from p2p.node import Node
from protocol.codec import decode, encode
from protocol.errors import Refused
from protocol.ledger import PocketKind
from protocol.ports import Clock, Network, RequestFailed
from protocol.types import Account, Milliseconds, Slot, Tick

HELLO: Final = "hello"
"""Name of the request."""

HELLO_BYTES_MAX: Final = 64
"""Largest answer, in bytes."""

HELLO_TIMEOUT_MS: Final = Milliseconds(5_000)
"""Longest wait for an answer."""

PAUSE_S: Final = 5.0
"""Pause between two rounds of questions, once somebody answered."""

FIRST_PAUSE_S: Final = 0.5
"""The same, before anybody did."""

PATIENCE_S: Final = 5.0
"""For so long a node that has just started signs nothing while nobody answers: it may be the first.
"""

WARN_PARTS: Final = 4
"""A clock that is off by more than one part in so many of a slot is told of."""

log = logging.getLogger("provnet.greeting")


@dataclass(frozen=True, slots=True)
class Hello:
    """What a node says: its clock, and height and slot of its last final block."""

    time_ms: Milliseconds
    height: Tick
    slot: Slot


@dataclass(frozen=True, slots=True)
class Reading:
    """What a peer said.

    :ivar offset_ms: by how much its clock is ahead of ours; negative when it is behind.
    :ivar doubt_ms: by how much the offset may be wrong.
    """

    hello: Hello
    offset_ms: int
    doubt_ms: int


def clock_error_ms(
    readings: Mapping[Account, Reading], stakes: Mapping[Account, int], total: int
) -> int:
    """By how much our clock is off at the least, in milliseconds; positive when it is behind.

    :param stakes: log stake by account.
    :param total: all log stake.
    """
    ahead = [(one.offset_ms - one.doubt_ms, stakes.get(who, 0)) for who, one in readings.items()]
    behind = [(-one.offset_ms - one.doubt_ms, stakes.get(who, 0)) for who, one in readings.items()]
    return _agreed_ms(ahead, total) or -_agreed_ms(behind, total)


def _agreed_ms(bounds: list[tuple[int, int]], total: int) -> int:
    """The largest bound that holders of more than a third of the stake name; 0 for none."""
    stake = 0
    for bound_ms, own in sorted(bounds, reverse=True):
        stake += own
        if 3 * stake > total:
            return max(0, bound_ms)
    return 0


class Greeter:
    """Asks and answers for one node.

    :param tell: told when the clock turns out to be off, or right again: a sentence and fields.
    :ivar readings: what connected peers said last.
    :ivar strangers: connected peers that do not know the request: they are of another network.
    :ivar answered: set once a peer answered and the clock was judged by it.
    """

    def __init__(self, clock: Clock, slot_ms: Milliseconds, tell: Callable[..., None]) -> None:
        self._clock = clock
        self._slot_ms = slot_ms
        self._tell: Callable[..., Any] = tell
        self._node: Node | None = None
        self._is_told = False
        self._is_right: bool | None = None
        self.answered = trio.Event()
        self.readings: dict[Account, Reading] = {}
        self.strangers: set[Account] = set()
        self.error_ms = 0

    @property
    def is_off(self) -> bool:
        """Whether the clock is too far off to vote."""
        return abs(self.error_ms) > self._slot_ms

    @property
    def is_suspect(self) -> bool:
        """Whether the clock is off by more than what messages take."""
        return WARN_PARTS * abs(self.error_ms) > self._slot_ms

    @property
    def height(self) -> Tick:
        """How far peers say they are, in the middle of them; 0 before any did."""
        heights = [one.hello.height for one in self.readings.values()]
        return median_high(heights) if heights else Tick(0)

    def serve(self, network: Network) -> None:
        """Answer on a network that does not run yet."""
        network.serve(HELLO, self._answer)

    async def begin(self, node: Node) -> None:
        """Answer for a node from now on, and doubt its clock; before the node runs."""
        self._node = node
        await self._say(node, is_right=False)

    async def run(self, node: Node, network: Network) -> None:
        """Ask connected peers now and then, for ever."""
        patient_until = trio.current_time() + PATIENCE_S
        while True:
            peers = network.peers()
            self.readings = {who: one for who, one in self.readings.items() if who in peers}
            self.strangers &= set(peers)
            async with trio.open_nursery() as nursery:
                for peer in peers:
                    nursery.start_soon(self._ask, network, peer)
            self._judge(node)
            may_judge = self.readings or trio.current_time() >= patient_until
            await self._say(node, is_right=bool(may_judge) and not self.is_off)
            if self.readings:
                self.answered.set()
            await trio.sleep(PAUSE_S if self.readings else FIRST_PAUSE_S)

    async def _answer(self, _peer: Account, body: bytes) -> bytes | None:
        if self._node is None or body:
            return None
        link = self._node.replica.engine.anchor.link
        return encode(Hello(self._clock.now_ms(), link.height, link.slot))

    async def _ask(self, network: Network, peer: Account) -> None:
        asked_ms = self._clock.now_ms()
        try:
            answer = await network.request(
                peer, HELLO, b"", size_max=HELLO_BYTES_MAX, timeout_ms=HELLO_TIMEOUT_MS
            )
            hello = decode(Hello, answer, size_max=HELLO_BYTES_MAX)
        except RequestFailed as failure:
            if str(failure) == Failure.UNKNOWN_NAME.value:
                self.strangers.add(peer)
            return
        except Refused as refusal:
            network.penalise(peer, refusal.reason.value)
            return
        answered_ms = self._clock.now_ms()
        offset_ms = hello.time_ms - (asked_ms + answered_ms) // 2
        self.readings[peer] = Reading(hello, offset_ms, (answered_ms - asked_ms + 1) // 2)
        self.strangers.discard(peer)

    async def _say(self, node: Node, *, is_right: bool) -> None:
        if is_right is not self._is_right:
            self._is_right = is_right
            await node.judge_clock(is_right=is_right)

    def _judge(self, node: Node) -> None:
        pockets = node.machine.ledger.pockets()
        stakes = {
            Account(pocket.owner): amount
            for pocket, amount in pockets.items()
            if pocket.kind is PocketKind.LOG_STAKE
        }
        self.error_ms = clock_error_ms(self.readings, stakes, sum(stakes.values()))
        if self.is_suspect != self._is_told:
            self._is_told = self.is_suspect
            sentence = clock_sentence(self.error_ms) if self._is_told else "the clock is right"
            log.warning(sentence)
            self._tell(sentence, error_ms=self.error_ms, votes=not self.is_off)


def clock_sentence(error_ms: int) -> str:
    """Tells a person that the clock is off."""
    side = "behind" if error_ms > 0 else "ahead of"
    return f"the clock is {abs(error_ms)} ms {side} the clocks of the network"
