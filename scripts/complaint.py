"""What a command that cannot go on tells the person at the terminal."""

from __future__ import annotations


class Complaint(Exception):
    """Something that was asked for cannot be done, and it is nobody's bug.

    :ivar sentence: why.
    :ivar hint: what to do.
    """

    def __init__(self, sentence: str, hint: str) -> None:
        super().__init__(f"{sentence}\nhint: {hint}")
        self.sentence = sentence
        self.hint = hint
