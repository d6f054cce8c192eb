"""The process that proves. It does one thing at a time and can be killed at any moment.

The rules:

- It is spawned, never forked: a forked copy of a process with native threads hangs in its first
  proof.
- It is niced, so that the node's networking goes first on the same cores.
- It ignores SIGINT: Ctrl-C is the node's to handle, which then ends its workers.
- It ends when its parent is gone, however that went, even in the middle of a proof.
- Nothing that proving raises ends it: that is an answer.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from io import BufferedReader
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Final

from prover.pipe import (
    LENGTH_BYTES,
    Begun,
    Failed,
    Finished,
    Ready,
    Reply,
    Request,
    pack_reply,
    unpack_request,
)
from prover.tasks import Prove, WorkerBackend

NICENESS: Final = 10
"""How much a worker yields to the rest of the machine, as ``nice`` counts."""


def main(channel: socket.socket, backend: WorkerBackend) -> None:
    """Prove what is asked for on ``channel`` until it closes. The target of the spawned process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.nice(NICENESS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with channel, channel.makefile("rb") as requests:
        try:
            prove = backend.open_prover()
        except Exception as failure:  # noqa: BLE001 - told to whoever wanted this worker
            channel.sendall(pack_reply(Failed(str(failure))))
            return
        channel.sendall(pack_reply(Ready()))
        while (request := _next_request(requests)) is not None:
            channel.sendall(pack_reply(Begun()))
            channel.sendall(pack_reply(_answer(prove, request)))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    # no clean-up: another thread may be deep inside native code
    os._exit(1)


def _next_request(requests: BufferedReader) -> Request | None:
    length = requests.read(LENGTH_BYTES)
    if len(length) < LENGTH_BYTES:
        return None
    return unpack_request(requests.read(int.from_bytes(length, "little")))


def _answer(prove: Prove, request: Request) -> Reply:
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        proof = prove(request.task, request.threads)
    except Exception as failure:  # noqa: BLE001 - whatever it is, it is why there is no proof
        return Failed(f"{failure}" or type(failure).__name__)
    wall_ms = round(1000 * (time.perf_counter() - wall))
    cpu_ms = round(1000 * (time.process_time() - cpu))
    return Finished(proof, wall_ms, cpu_ms, _peak_mib())


def _peak_mib() -> int:
    """Most memory this process held; ``getrusage`` would count what its parent held."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) // 1024
    return 0
