"""Why a request had no usable answer."""

from __future__ import annotations

from enum import Enum

from protocol.ports import RequestFailed


class Failure(Enum):
    """The value is the word that ``RequestFailed`` carries: ``str(error)``."""

    UNREACHABLE = "unreachable"
    """There is no connection, and none could be made."""
    UNKNOWN_NAME = "unknown-name"
    """The peer does not answer requests of this name."""
    TIMEOUT = "timeout"
    """The answer did not come in time."""
    TOO_LARGE = "too-large"
    """The request is larger than requests may be, or the answer than was asked for."""
    NOT_FOUND = "not-found"
    """The peer has nothing to answer with."""
    BUSY = "busy"
    """The peer serves us as much as it will: ask somebody else, or later."""
    FAILED = "failed"
    """The peer has a bug."""
    BROKEN = "broken"
    """The stream ended too early, or with nonsense."""

    def error(self) -> RequestFailed:
        """The exception for this failure."""
        return RequestFailed(self.value)
