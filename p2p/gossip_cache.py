"""Which gossiped messages were judged already."""

from __future__ import annotations

from collections import OrderedDict

import trio

from p2p import limits


class SeenMessages:
    """Ids of messages already judged: bounded, forgotten after a while, on trio's clock.

    The library's own is unbounded, reads the wall clock and sweeps in a thread.
    """

    def __init__(self) -> None:
        self._expiry: OrderedDict[bytes, float] = OrderedDict()

    def add(self, key: bytes) -> bool:
        """Remember ``key``; says whether it is new."""
        self._sweep()
        new = key not in self._expiry
        self._expiry[key] = trio.current_time() + limits.SEEN_S
        return new

    def has(self, key: bytes) -> bool:
        """Whether ``key`` is remembered."""
        expiry = self._expiry.get(key)
        return expiry is not None and expiry > trio.current_time()

    def length(self) -> int:
        """Ids remembered."""
        return len(self._expiry)

    def stop(self) -> None:
        """The library expects it; there is no thread to stop."""

    def _sweep(self) -> None:
        now = trio.current_time()
        while self._expiry and (
            len(self._expiry) > limits.SEEN_MESSAGES_MAX or next(iter(self._expiry.values())) <= now
        ):
            self._expiry.popitem(last=False)
