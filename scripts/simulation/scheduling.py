"""Runs a trio program as a function of a seed: virtual time, and turns that tasks take by lot.

**The problem.** Trio picks among runnable tasks by lots of its own, so that nobody relies on an
order. A simulation has to rely on it, or a run could not be told again.

**Rules.** Trio draws from a generator of its own, and sorts its tasks before it does when a flag
says so; both are private, made for Hypothesis and pytest-trio
(https://github.com/python-trio/trio/issues/890). They are touched here and nowhere else, and a test
holds that equal seeds give equal turns. Time is :class:`trio.testing.MockClock`: it jumps to the
next deadline when nothing can run, and begins at 0.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import trio
import trio._core._run as scheduler
import trio.testing

from protocol.types import Milliseconds

T = TypeVar("T")

_FLAG: Final = "_ALLOW_DETERMINISTIC_SCHEDULING"
_LOTS: Final = "_r"


def run_virtually(main: Callable[[], Awaitable[T]], seed: str | int, begin_s: float = 0.0) -> T:
    """What ``main`` returns, run in virtual time with all turns drawn from a seed.

    :param begin_s: trio's time at the beginning.
    """
    clock = trio.testing.MockClock(autojump_threshold=0)
    clock.jump(begin_s)
    with _drawn_from(random.Random(seed)):
        return trio.run(main, clock=clock)


@contextmanager
def _drawn_from(lots: random.Random) -> Iterator[None]:
    private = vars(scheduler)
    before = {name: private[name] for name in (_FLAG, _LOTS)}
    private.update({_FLAG: True, _LOTS: lots})
    try:
        yield
    finally:
        private.update(before)


class VirtualClock:
    """Trio's clock as a node's wall-clock time.

    :param usual_off_ms: by how much it is ahead when nothing is wrong with it; may be negative.
    """

    def __init__(self, usual_off_ms: int = 0) -> None:
        self._usual_off_ms = usual_off_ms
        self._off_ms = 0
        self._drift_ppm = 0
        self._since_s = 0.0

    def set_off(self, off_ms: int, drift_ppm: int) -> None:
        """From now on it is ahead by ``off_ms`` more than usual, and by so many millionths of the
        time that passes; both may be negative.
        """
        self._off_ms, self._drift_ppm, self._since_s = off_ms, drift_ppm, trio.current_time()

    def now_ms(self) -> Milliseconds:
        """Milliseconds since the beginning of virtual time, as this node has them."""
        now_s = trio.current_time()
        drift_ms = (now_s - self._since_s) * self._drift_ppm / 1000
        off_ms = self._usual_off_ms + self._off_ms
        return Milliseconds(max(0, round(now_s * 1000 + drift_ms) + off_ms))


async def inline(check: Callable[[], T], /) -> T:
    """A check takes no virtual time; a thread would let the clock run away."""
    await trio.lowlevel.checkpoint()
    return check()
