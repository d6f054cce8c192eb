"""Seeded numbers, the same everywhere: what stories and deals are drawn with."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A small generator of numbers: the same ones from the same seed, everywhere and for ever.

    A linear congruence modulo 2^64 (Knuth's MMIX constants), of which the upper half is used.
    """

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound - 1``."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self._state >> 32) % bound

    def pick(self, choices: tuple[T, ...]) -> T:
        """One of ``choices``."""
        return choices[self.below(len(choices))]
