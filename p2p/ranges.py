"""Which part of a long thing to ask of whom: numbers in ranges, asked of several, taken in order.

**The problem.** A log of a hundred thousand blocks, or a snapshot of a hundred pieces, is somewhere
among peers of which some are slow, some have only a part, and some answer nothing. All of them
should help, and none should be waited for by the others.

**Rules.** What is wanted is cut into ranges, lowest first. Each peer is asked for one range at a
time, and no number is asked of two at a time. What a peer did not answer is asked of another one.
Who answered nothing has no more of what is wanted and is not asked again in this plan. What arrived
is taken in the order of the numbers.

**Properties.** No I/O and no clock: whoever uses a plan says what arrived and what failed. At most
``ahead`` ranges are under way or wait to be taken, and one more when all those wait for it, which
bounds memory. Every number is taken at most once, and all are if one peer answers them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from protocol.types import Account

AHEAD_MAX: Final = 8
"""Ranges that are under way or wait to be taken."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Numbers from ``first`` to ``last``, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Arrived(Generic[T]):
    """What a peer answered with for a range."""

    peer: Account
    range: Range
    payload: T


class Plan(Generic[T]):
    """How a range of numbers is asked of peers.

    :param wanted: all numbers.
    :param length: most numbers in one request.
    :param ahead: most ranges that are under way or wait to be taken.
    """

    def __init__(self, wanted: Range, length: int, ahead: int = AHEAD_MAX) -> None:
        self._wanted = wanted
        self._length = length
        self._ahead = ahead
        self._next = wanted.first
        self._uncut = wanted.first
        self._returned: list[Range] = []
        self._asked: dict[Account, Range] = {}
        self._arrived: dict[int, Arrived[T]] = {}
        self._spent: set[Account] = set()

    @property
    def is_complete(self) -> bool:
        """Whether everything was taken."""
        return self._next > self._wanted.last

    @property
    def is_idle(self) -> bool:
        """Whether nobody is asked for anything: what is not here by then, nobody has."""
        return not self._asked

    def ask(self, peers: Iterable[Account]) -> tuple[tuple[Account, Range], ...]:
        """Whom of these peers to ask for what; they count as asked."""
        chosen = []
        for peer in peers:
            if peer in self._asked or peer in self._spent:
                continue
            wanted = self._lowest()
            if wanted is None:
                break
            self._asked[peer] = wanted
            chosen.append((peer, wanted))
        return tuple(chosen)

    def arrive(self, peer: Account, last: int, payload: T) -> None:
        """A peer answered what it was asked for up to a number; below the range for nothing."""
        given = self._asked[peer]
        self._give_back(peer, last)
        if last >= given.first:
            given = Range(given.first, min(last, given.last))
            self._arrived[given.first] = Arrived(peer, given, payload)

    def fail(self, peer: Account) -> None:
        """A peer did not answer, or with nothing that is of use."""
        self._give_back(peer, self._asked[peer].first - 1)

    def _give_back(self, peer: Account, last: int) -> None:
        """What a peer was asked for above a number is to be asked of somebody else."""
        asked = self._asked.pop(peer)
        if last < asked.first:
            self._spent.add(peer)
        if last < asked.last:
            self._returned.append(Range(max(asked.first, last + 1), asked.last))
            self._returned.sort()

    def take(self) -> Arrived[T] | None:
        """What comes next, if it is here."""
        arrived = self._arrived.pop(self._next, None)
        if arrived is not None:
            self._next = arrived.range.last + 1
        return arrived

    def _lowest(self) -> Range | None:
        """The lowest range that nobody is asked for, if there is room for it; there always is for
        the one that is taken next.
        """
        lowest = self._returned[0] if self._returned else self._cut
        if lowest.first > self._wanted.last:
            return None
        has_room = len(self._asked) + len(self._arrived) < self._ahead
        if not has_room and lowest.first != self._next:
            return None
        if self._returned:
            return self._returned.pop(0)
        self._uncut = lowest.last + 1
        return lowest

    @property
    def _cut(self) -> Range:
        """The lowest range that nobody was ever asked for."""
        return Range(self._uncut, min(self._uncut + self._length - 1, self._wanted.last))
