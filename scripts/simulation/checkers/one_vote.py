"""One vote: no key says two things for a slot, and nothing is said before it is on disk.

Messages are read from their bytes, as they leave the node, before anybody else sees them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack

from protocol.ports import Topic
from scripts.simulation.checkers.checker import Checker, Scene, Violation
from scripts.simulation.happenings import Event, Published


class OneVote(Checker):
    """A key that keeps the rules votes for one block a slot and proposes one, also across crashes;
    and what it says is on its disk when it says it, or it could not know after a crash.
    """

    name = "one vote"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._said: dict[tuple[str, bytes, int], bytes] = {}
        self._cheats = {scene.accounts[name] for name in scene.cheats if name in scene.accounts}

    def on(self, at_ms: int, node: str, event: Event) -> Iterator[Violation]:
        """Read what a node says."""
        if not isinstance(event, Published) or node in self.scene.cheats:
            return
        read = _read(event)
        if read is None:
            return
        kind, key, slot, signed, said = read
        if key in self._cheats or key != self.scene.accounts.get(node):
            return
        before = self._said.setdefault((kind, key, slot), said)
        if before != said:
            yield self.found(at_ms, node, f"it says two things for slot {slot}: a second {kind}")
        kept = self.scene.own(node, kind, slot)
        if kept != signed:
            what = "something else" if kept else "nothing"
            yield self.found(
                at_ms, node, f"it sends a {kind} for slot {slot}, and {what} of it is on its disk"
            )


def _read(event: Published) -> tuple[str, bytes, int, bytes, bytes] | None:
    """Kind, key and slot of a vote or proposal, the bytes that are signed for, and what they
    say.
    """
    message: Any
    if event.topic is Topic.LOG_VOTES:
        message = msgpack.unpackb(event.payload)
        voter, slot, _block = message[0]
        return "vote", voter, slot, event.payload, msgpack.packb(message[0])
    if event.topic is Topic.LOG_PROPOSALS:
        message = msgpack.unpackb(event.payload)
        header = message[0][0]
        slot, proposer = header[0], header[5]
        return "proposal", proposer, slot, msgpack.packb(message[0]), msgpack.packb(header)
    return None
