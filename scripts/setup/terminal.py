"""What the set-up tells a person: plain lines on stderr, no control codes."""

from __future__ import annotations

import sys


class SetUpError(Exception):
    """The set-up cannot go on.

    :param sentence: what is wrong.
    :param hint: what the reader can do about it.
    """

    def __init__(self, sentence: str, hint: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


def say(line: str) -> None:
    """Print one line of progress."""
    print(f"provnet: {line}", file=sys.stderr, flush=True)


def explain(error: SetUpError) -> None:
    """Print an error and its hint."""
    print(f"error: {error.sentence}\nhint: {error.hint}", file=sys.stderr, flush=True)
