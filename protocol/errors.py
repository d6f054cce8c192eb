"""Why something is refused, as data.

One enum of reasons with a sentence each. ``Refused`` carries a reason out of code that reads what somebody else
wrote: it is the only exception that foreign bytes can cause. A broken invariant of ours is an AssertionError and is
never turned into a refusal.
"""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """Every refusal has one of these; the value is the sentence that a person reads."""

    # bytes and shape
    TOO_LARGE = "the message is larger than its kind may be"
    NOT_CANONICAL = "the bytes are not the canonical encoding of their content"
    WRONG_SHAPE = "the message does not have the fields, lengths or ranges of its kind"
    UNKNOWN_KIND = "the message is of no known kind"
    WRONG_NETWORK = "the message belongs to another network"
    # authenticity and replay
    BAD_SIGNATURE = "the signature does not match the sender and the content"
    BAD_VRF_PROOF = "the VRF proof does not verify under the registered key"
    DUPLICATE = "the same message was seen before"
    EXPIRED = "the message's last valid tick has passed"
    VALID_TOO_LONG = "the message wants to stay valid for more than one epoch"


class Refused(Exception):
    """Foreign input was refused.

    :param reason: which rule it broke.
    :param detail: what in particular, for a person; may be empty.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
