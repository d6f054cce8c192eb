"""A worker process as a trio program holds it."""

from __future__ import annotations

import multiprocessing
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess
from types import ModuleType
from typing import Final, Protocol, TypeVar

import trio

from prover import worker
from prover.pipe import (
    LENGTH_BYTES,
    Begun,
    Failed,
    Finished,
    Ready,
    Reply,
    Request,
    pack_request,
    unpack_reply,
)
from prover.tasks import ProvingTask, WorkerBackend

_SPAWN: Final = multiprocessing.get_context("spawn")

_Reply = TypeVar("_Reply", bound=Reply)


class WorkerDied(Exception):
    """The process ended by itself or was killed by somebody else."""


class NoProof(Exception):
    """The worker says why it has no proof, or cannot work; the process is sound.

    :param reason: the sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Worker(Protocol):
    """One that proves one task at a time."""

    @property
    def process_id(self) -> int:
        """Where the work is done."""

    @property
    def is_alive(self) -> bool:
        """Whether it can be given a task."""

    async def prove(self, task: ProvingTask, threads: int, begun: Callable[[], None]) -> Finished:
        """Prove; calls ``begun`` when proving has begun.

        After any exception but :class:`NoProof`, cancellation included, only :meth:`end` may be
        called.

        :raises NoProof: when the proof cannot be made.
        :raises WorkerDied: when the worker ended.
        """

    async def end(self) -> str:
        """End it at once, whatever it does, and say how it ended. Not cancelled by anything."""


class WorkerProcess:
    """A process that proves one task at a time. Made by :meth:`start`."""

    def __init__(self, process: SpawnProcess, channel: socket.socket) -> None:
        self._process = process
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(channel))

    @classmethod
    async def start(cls, backend: WorkerBackend) -> WorkerProcess:
        """A worker that is ready to prove. The loop stands still for the few milliseconds of the
        spawn itself.

        :raises NoProof: when the worker says that it cannot prove.
        :raises WorkerDied: when it ended before it was ready.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = _SPAWN.Process(target=worker.main, args=(theirs, backend), daemon=True)
            with _sheltered():
                process.start()
        self = cls(process, ours)
        try:
            await self._expect(Ready)
        except WorkerDied:
            raise WorkerDied(await self.end()) from None
        except BaseException:
            await self.end()
            raise
        return self

    @property
    def process_id(self) -> int:
        """Of the process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    async def prove(self, task: ProvingTask, threads: int, begun: Callable[[], None]) -> Finished:
        """Prove; calls ``begun`` when the process has the task.

        After any exception but :class:`NoProof`, cancellation included, only :meth:`end` may be
        called.

        :raises NoProof: when the proof cannot be made.
        :raises WorkerDied: when the process ended.
        """
        try:
            await self._stream.send_all(pack_request(Request(threads, task)))
        except trio.BrokenResourceError:
            raise WorkerDied from None
        await self._expect(Begun)
        begun()
        return await self._expect(Finished)

    async def end(self) -> str:
        """Kill the process and wait until nothing is left of it: tens of milliseconds, in any
        state.
        """
        with trio.CancelScope(shield=True):
            self._process.kill()
            await trio.lowlevel.wait_readable(self._process.sentinel)
            self._process.join()
            code = self._process.exitcode
            self._process.close()
            await self._stream.aclose()
        return f"exit code {code}"

    async def _expect(self, kind: type[_Reply]) -> _Reply:
        length = int.from_bytes(await self._receive(LENGTH_BYTES), "little")
        reply = unpack_reply(await self._receive(length))
        if isinstance(reply, Failed):
            raise NoProof(reply.reason)
        assert isinstance(reply, kind)
        return reply

    async def _receive(self, length: int) -> bytes:
        received = bytearray()
        while len(received) < length:
            try:
                part = await self._stream.receive_some(length - len(received))
            except trio.BrokenResourceError:
                part = b""
            if not part:
                raise WorkerDied
            received += part
        return bytes(received)


@contextmanager
def _sheltered() -> Iterator[None]:
    """Spawn without two things that a child would otherwise take over from its parent.

    - SIGINT is held back from the child until it ignores it: Ctrl-C during its start prints no
      traceback.
    - A child imports its parent's main module first. For a node that is all of it, for a script
      without a guard it is the script again, and a worker needs neither.
    """
    resource_tracker.ensure_running()
    main_module = sys.modules["__main__"]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main_module
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
