"""The ``join`` command: an observer that syncs with a running network and follows it.

A join file names the genesis (relative to itself) and addresses to ask first. The observer makes
itself a new identity, checks every certificate on the way, applies every block, and compares its
own state with what two thirds of the log stake signed for: when they differ it halts and says so.
When it stops it says how far it came and with which digest.
"""

from __future__ import annotations

import json
import secrets
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2p.node import NodeEvent
from protocol.events import JobSettled
from protocol.happenings import BlockFinal, Halted
from scripts.configuration import ConfigurationError, NodeConfiguration, save_configuration
from scripts.keys import save_identity
from scripts.node import run_node

TELL_EVERY = 10
"""Heights between two lines about the log."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a join file says."""

    genesis: Path
    bootstrap: tuple[str, ...]


def read_invitation(path: Path) -> Invitation:
    """Read a join file. Raises :class:`ConfigurationError`."""
    try:
        table = tomllib.loads(path.read_text())
        genesis = (path.parent / table["genesis"]).resolve()
        bootstrap = tuple(str(one) for one in table["bootstrap"])
    except OSError as failure:
        raise ConfigurationError(
            f"{path} cannot be read: {failure.strerror}",
            "name the join.toml of a run folder",
        ) from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as failure:
        raise ConfigurationError(
            f"{path} is no join file: {failure}", "name the join.toml of a run folder"
        ) from None
    if not genesis.exists() or not bootstrap:
        raise ConfigurationError(
            f"{path} names no genesis that exists, or no address",
            "keep join.toml beside the genesis.toml of its run",
        )
    return Invitation(genesis, bootstrap)


class Follower:
    """Tells an observer's progress, and when to stop."""

    def __init__(self, blocks: int, say: Callable[[str], None], stop: Callable[[], None]) -> None:
        self.settled = 0
        self.halted: str | None = None
        self._blocks = blocks
        self._say = say
        self._stop = stop

    def observe(self, event: NodeEvent) -> None:
        """Tell what is worth telling of an event."""
        if isinstance(event, Halted):
            self.halted = event.sentence
            self._say(f"this node disagrees with the network: {event.sentence}")
        if isinstance(event, BlockFinal):
            self._observe_final(event)

    def _observe_final(self, final: BlockFinal) -> None:
        tick, digest = final.applied.tick, final.applied.digest.hex()[:16]
        settled = sum(isinstance(one, JobSettled) for one in final.applied.events)
        self.settled += settled
        if settled or tick % TELL_EVERY == 0:
            self._say(f"tick {tick:>5}  state {digest}  {self.settled} blocks settled")
        if self._blocks and self.settled >= self._blocks:
            self._stop()


def join_network(
    invitation_path: Path, folder: Path, blocks: int, say: Callable[[str], None]
) -> int:
    """Follow the network until told to stop.

    :param folder: a new folder for the observer's files.
    :param blocks: stop once so many blocks are settled; 0: never.
    :returns: 0, or 1 when the observer disagreed with the network or never saw a final block.
    :raises ConfigurationError: when the join file cannot be used.
    """
    invitation = read_invitation(invitation_path)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "keys.toml").exists():
        save_identity(folder / "keys.toml", secrets.token_bytes(32))
    configuration = NodeConfiguration(
        name=folder.name, genesis=str(invitation.genesis), bootstrap=invitation.bootstrap
    )
    save_configuration(folder / "node.toml", configuration)
    say(f"joining with {len(invitation.bootstrap)} addresses; files in {folder}")

    def follower(stop: Callable[[], None]) -> Callable[[NodeEvent], None]:
        return Follower(blocks, say, stop).observe

    run_node(folder / "node.toml", stop_with_input=False, follow=follower)
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    height = report["final_height"]
    digest = report["digests"].get(str(height), "")
    say(f"stopped at tick {height} with state {digest[:16] or 'of the genesis'}")
    return 0 if height and report["halted"] is None else 1
