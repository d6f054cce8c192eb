"""Fair seed: who proves is drawn by a lot that nobody knew when all that it is about was fixed."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.events import BackupTaken, BlockSealed, JobOpened, LeaderElected
from protocol.happenings import BlockFinal
from scripts.simulation.checkers.checker import Scene
from scripts.simulation.checkers.reading import LogChecker


class FairSeed(LogChecker):
    """Under the rule ``fernet`` the seed of a job is the beacon of the log block at the fixed end
    of its round's reveal window, and of no other, after its content was sealed; no two heights have
    one beacon.
    """

    name = "fair seed"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._is_fernet = scene.genesis.sequencing.name == "fernet"
        self._beacons: set[bytes] = set()
        self._ends: dict[int, int] = {}
        self._sealed: set[tuple[int, bytes]] = set()

    def read(self, final: BlockFinal) -> Iterator[str]:
        """Compare each job's seed with the beacon of the block that opens it."""
        beacon, tick = final.moment.beacon, final.applied.tick
        if beacon in self._beacons:
            yield f"height {tick} has the beacon of another height"
        self._beacons.add(beacon)
        if not self._is_fernet:
            return
        backups = [one.job for one in final.applied.events if isinstance(one, BackupTaken)]
        for event in final.applied.events:
            match event:
                case LeaderElected(number, _, _, _, ends):
                    self._ends[number] = ends
                case BlockSealed(number, sequencer):
                    self._sealed.add((number, sequencer))
                case JobOpened(job, header) if job not in backups:
                    if header.seed != beacon:
                        yield f"the seed of job {job.hex()[:8]} is not the beacon of its block"
                    if self._ends.get(header.round) != tick:
                        yield f"job {job.hex()[:8]} opened at {tick}, not at the end of its round"
                    if (header.round, header.sequencer) not in self._sealed:
                        yield f"job {job.hex()[:8]} opened before its content was sealed"
