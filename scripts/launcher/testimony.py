"""What the nodes of a stopped run wrote about each other, as its judges want to read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from scripts.cheats.cheat import Cheat
from scripts.cheats.node import ANNOUNCED, cheats_of
from scripts.configuration import CheatConfiguration
from scripts.launcher.plan import Plan
from scripts.records import read_lines

Record: TypeAlias = dict[str, Any]


@dataclass(slots=True)
class Told:
    """What one node wrote beside its final events.

    :ivar cheats: its ``Cheat`` records.
    :ivar refused: its ``MessageRefused`` records.
    :ivar connected: its ``connected`` stages.
    """

    cheats: list[Record] = field(default_factory=list)
    refused: list[Record] = field(default_factory=list)
    connected: list[Record] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Told:
        """From a node's ``events.jsonl``."""
        told = cls()
        for record in read_lines(path) if path.exists() else ():
            match record["kind"]:
                case "Cheat":
                    told.cheats.append(record)
                case "MessageRefused":
                    told.refused.append(record)
                case "Stage" if record["stage"] == "connected":
                    told.connected.append(record)
        return told


class Witnessed:
    """A stopped run: who cheats, who is honest, and what they wrote.

    :ivar story: the final events of the node whose story the summary tells.
    :ivar reports: of the nodes that were alive at the end, by name.
    :ivar cheats: of each node that cheats, by name.
    :ivar honest: nodes that were alive at the end, do not cheat, and were never killed on purpose.
    :ivar killed: nodes that were killed on purpose and do not cheat.
    :ivar ended_ms: when the run ended, before any node was stopped.
    """

    def __init__(
        self,
        plan: Plan,
        run: Path,
        story: list[Record],
        reports: dict[str, Record],
        *,
        killed: tuple[str, ...] = (),
        ended_ms: int = 0,
    ) -> None:
        self.plan = plan
        self.story = story
        self.reports = reports
        self.ended_ms = ended_ms
        self.cheats: dict[str, tuple[type[Cheat], ...]] = {
            one.name: cheats
            for one in plan.members
            if (cheats := cheats_of(one.configuration.cheats))
        }
        self.honest = [
            name for name in sorted(reports) if name not in self.cheats and name not in killed
        ]
        self.killed = [name for name in sorted(set(killed)) if name not in self.cheats]
        self._told = {
            one.name: Told.read(run / "nodes" / one.name / "events.jsonl") for one in plan.members
        }
        self._accounts = {name: account for account, name in plan.names.items()}

    @property
    def is_of_mischief(self) -> bool:
        """Whether anything was made to go wrong on purpose, kills aside."""
        return self.weather is not None

    @property
    def weather(self) -> CheatConfiguration | None:
        """What was wrong with the network, as every node was told; None when nobody cheats."""
        configured = (one.configuration.cheats for one in self.plan.members)
        return next((one for one in configured if one is not None), None)

    def name(self, account: str | None) -> str:
        """Name of an account in hexadecimal digits; the digits when it has none."""
        return self.plan.names.get(account or "", account or "nobody")

    def account(self, name: str) -> str:
        """Account of a node, in hexadecimal digits."""
        return self._accounts[name]

    def told(self, name: str) -> Told:
        """What a node wrote beside its final events."""
        return self._told[name]

    def events(self, kind: str, **fields: Any) -> list[Record]:
        """Final events of a kind whose fields are as given."""
        return [
            record
            for record in self.story
            if record["kind"] == kind
            and all(record.get(field) == value for field, value in fields.items())
        ]

    def cheated(self, name: str, cheat: str) -> list[Record]:
        """What a node told of one of its cheats, without that it has it."""
        told = (one for one in self._told[name].cheats if one["cheat"] == cheat)
        return [one for one in told if one["what"] != ANNOUNCED]

    def refused(self, name: str) -> Iterator[tuple[str, Record]]:
        """Refusals, by honest nodes, of what a node signed or sent, each with who refused it."""
        account = self.account(name)
        for honest in self.honest:
            for record in self._told[honest].refused:
                if record["peer"] == account:
                    yield honest, record
