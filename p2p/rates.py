"""Token buckets on trio's clock."""

from __future__ import annotations

import trio


class TokenBucket:
    """Allows ``rate`` tokens a second over time and ``burst`` at once; starts full.

    :param rate: tokens a second.
    :param burst: most tokens held; a single charge above it is treated as ``burst``.
    """

    __slots__ = ("_burst", "_filled_at", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at = trio.current_time()

    def _fill(self) -> None:
        now = trio.current_time()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now

    def take(self, tokens: float = 1.0) -> bool:
        """Take the tokens if they are there; says whether."""
        self._fill()
        if self._tokens < min(tokens, self._burst):
            return False
        self._tokens -= min(tokens, self._burst)
        return True

    async def wait(self, tokens: float = 1.0) -> float:
        """Take the tokens, sleeping until they are there; returns the seconds slept.

        For one task: waiting tasks are not queued.
        """
        self._fill()
        self._tokens -= min(tokens, self._burst)
        slept = max(0.0, -self._tokens / self._rate)
        if slept:
            await trio.sleep(slept)
        return slept
