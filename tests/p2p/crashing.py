"""A town whose process is killed at every named point of its stores and journals, and goes on.

Run as ``python -m tests.p2p.crashing FOLDER``. One life is one process; it ends by SIGKILL in the
middle of a write, and the next begins with what is on disk, in the same millisecond of virtual
time. What everybody saw of the town is written down before it is sent: see :class:`Witness`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio
import trio.testing

from p2p.archive import BODY_REQUEST
from p2p.memory import MemoryNetwork, MemoryNode
from protocol.messages import body_hash
from protocol.ports import Answer, Topic
from protocol.types import Account
from scripts.launcher.plan import Wish
from scripts.simulation.scheduling import run_virtually
from tests.p2p.town import Town

WISH = Wish(
    validators=2,
    provers=2,
    leaves=2,
    blocks=1_000,
    slot_ms=1_000,
    backend="modelled",
    sets=("network.epoch_ticks=16",),
)
SEEN = "seen.jsonl"
NAMES = "points.json"
BLOCKS_FIRST = 6
"""Settled blocks of the life that is not killed and tells which points there are."""
BLOCKS_LAST = 2
"""Blocks that are settled after the last death."""
PATIENCE_S = 4 * 3_600
"""Virtual time in which a point must be reached."""


class Witness:
    """Writes down what is about to be seen by others, so that the death of the process loses
    nothing of it.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, **fields: Any) -> None:
        os.write(self._handle, (json.dumps(fields) + "\n").encode())


class WitnessedNode(MemoryNode):
    """A node of the memory network that tells a witness what it publishes and serves."""

    witness: Witness

    async def publish(self, topic: Topic, payload: bytes) -> None:
        self.witness.write(
            kind="published", by=self.account.hex(), topic=topic.value, payload=payload.hex()
        )
        await super().publish(topic, payload)

    def serve(self, name: str, answer: Answer) -> None:
        async def witnessed(peer: Account, body: bytes) -> bytes | None:
            answered = await answer(peer, body)
            if answered is not None and name == BODY_REQUEST:
                is_whole = body_hash(answered) == body
                self.witness.write(kind="served", by=self.account.hex(), is_whole=is_whole)
            return answered

        super().serve(name, witnessed)


class WitnessedNetwork(MemoryNetwork):
    """A hub of such nodes."""

    def __init__(self, witness: Witness) -> None:
        super().__init__(seed=7)
        self._witness = witness

    def node(self, *arguments: Any, **options: Any) -> MemoryNode:
        node = WitnessedNode(self, *arguments, options.get("observer"))
        node.witness = self._witness
        return node


class Killer:
    """Counts the points that are reached, and ends the process at one of them."""

    def __init__(self, folder: Path, point: str | None, occurrence: int) -> None:
        self.reached: Counter[str] = Counter()
        self._clock = folder / "clock"
        self._point = point
        self._occurrence = occurrence

    def __call__(self, name: str) -> None:
        self.reached[name] += 1
        if name == self._point and self.reached[name] == self._occurrence:
            self._clock.write_text(str(trio.current_time()))
            os.kill(os.getpid(), signal.SIGKILL)

    def woke_at_s(self) -> float:
        """When the process died the last time."""
        return float(self._clock.read_text()) if self._clock.exists() else 0.0


def live(folder: Path, killer: Killer, blocks: int, seed: int) -> None:
    """One life: until the killer's point, or until so many more blocks are settled."""
    town = Town(folder, WISH)
    town.reached = killer
    town.hub = WitnessedNetwork(Witness(folder / SEEN))

    async def main() -> None:
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                for resident in town.residents.values():
                    nursery.start_soon(resident.run)
                await trio.testing.wait_all_tasks_blocked()
                before = {name: town.settled(name) for name in town.residents}
                await town.until(done(town, before, blocks))
                nursery.cancel_scope.cancel()

    run_virtually(main, seed, killer.woke_at_s())
    town.assert_agreement()


def done(town: Town, before: dict[str, int], blocks: int) -> Callable[[], bool]:
    return lambda: all(town.settled(name) >= before[name] + blocks for name in town.residents)


def in_a_process(life: Callable[[], None]) -> int:
    """Live in a process of its own; returns how it ended, as ``os.waitstatus_to_exitcode``."""
    process = os.fork()
    if not process:
        try:
            life()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main(folder: Path) -> None:
    """Find the points, then die at each of them in one town, and live on at last."""
    calm, stormy = folder / "calm", folder / "stormy"
    calm.mkdir()
    stormy.mkdir()

    def calmly() -> None:
        killer = Killer(calm, None, 0)
        live(calm, killer, BLOCKS_FIRST, seed=0)
        (folder / NAMES).write_text(json.dumps(sorted(killer.reached)))

    print(json.dumps(["calm", in_a_process(calmly)]), flush=True)
    chance = random.Random("occurrences")
    points = json.loads((folder / NAMES).read_text())
    chance.shuffle(points)
    for number, point in enumerate(points):
        killer = Killer(stormy, point, chance.randrange(1, 4))
        ended = in_a_process(lambda killer=killer, number=number: live(stormy, killer, 99, number))
        print(json.dumps([point, ended]), flush=True)
    last = Killer(stormy, None, 0)
    print(json.dumps(["last", in_a_process(lambda: live(stormy, last, BLOCKS_LAST, 99))]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
