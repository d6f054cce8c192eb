"""Draws from named streams: each part of a run has lots of its own, so that a change in one leaves
the others as they were.
"""

from __future__ import annotations

import random


def stream(seed: int, *names: object) -> random.Random:
    """A generator that depends on the seed and on nothing but these names."""
    return random.Random("|".join(map(str, ("provnet", seed, *names))))
