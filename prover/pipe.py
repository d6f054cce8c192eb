"""What a worker and its pool say to each other, as frames on a socket pair.

The pool sends :class:`Request`; the worker sends :class:`Ready` once, then for each request
:class:`Begun` and
:class:`Finished` or :class:`Failed`. A frame is the length of what follows in four bytes, then
msgpack. Not pickle: a worker feeds strangers' proofs to native code, and what it says must not run
in its node.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any, Final, TypeAlias

import msgpack

from protocol.types import TreeIndex
from prover.tasks import LeafTask, MergeTask, ProvingTask

LENGTH_BYTES: Final = 4
"""Bytes of a frame that tell the length of the rest."""


@dataclass(frozen=True, slots=True)
class Request:
    """Prove ``task`` on so many threads."""

    threads: int
    task: ProvingTask


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker waits for requests."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The worker has the request and proves."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A proof, and what it took.

    :ivar wall_ms: time that passed, in milliseconds.
    :ivar cpu_ms: time of all threads, in milliseconds.
    :ivar peak_mib: most memory that the worker ever had, in MiB.
    """

    proof: bytes
    wall_ms: int
    cpu_ms: int
    peak_mib: int


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no proof, or no worker; the worker itself is sound."""

    reason: str


Reply: TypeAlias = Ready | Begun | Finished | Failed

_REPLIES: Final[tuple[type[Any], ...]] = (Ready, Begun, Finished, Failed)
_TASKS: Final[tuple[type[Any], ...]] = (LeafTask, MergeTask)


def pack_request(request: Request) -> bytes:
    """The frame of a request."""
    task = request.task
    return _frame([request.threads, _TASKS.index(type(task)), astuple(task)])


def unpack_request(body: bytes) -> Request:
    """The request of a frame without its length."""
    threads, kind, (job, prover, index, *rest) = msgpack.unpackb(body)
    return Request(threads, _TASKS[kind](job, prover, TreeIndex(*index), *rest))


def pack_reply(reply: Reply) -> bytes:
    """The frame of a reply."""
    return _frame([_REPLIES.index(type(reply)), astuple(reply)])


def unpack_reply(body: bytes) -> Reply:
    """The reply of a frame without its length."""
    kind, fields = msgpack.unpackb(body)
    reply: Reply = _REPLIES[kind](*fields)
    return reply


def _frame(content: list[Any]) -> bytes:
    body: bytes = msgpack.packb(content)
    return len(body).to_bytes(LENGTH_BYTES, "little") + body
