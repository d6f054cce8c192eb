"""What watches a run and says what must never be.

A checker is told of everything, in order, and in the end of what every node is like. It answers
with violations, which are values. It shares no code with what it judges: it may compare values and
add numbers up, and reads no rule from ``protocol``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from protocol.machine import Machine
from protocol.params import Genesis
from scripts.simulation.happenings import Event


@dataclass(frozen=True, slots=True)
class Scene:
    """What a checker knows beforehand.

    :ivar accounts: the account of each node by its name.
    :ivar cheats: names of the nodes that do not keep the rules.
    :ivar blocks: rollup blocks that every node that keeps the rules has to settle.
    :ivar must_finish: whether the run is one that has to finish its work.
    :ivar body: bytes by their hash, from the disk of any node that keeps the rules; None when none
        has them.
    :ivar own: what the disk of a node knows that it said, by name of the node, kind and slot.
    :ivar excused: honest nodes that may lose rights, because an adversary has chosen them.
    """

    genesis: Genesis
    accounts: Mapping[str, bytes]
    cheats: frozenset[str]
    blocks: int
    must_finish: bool = True
    body: Callable[[bytes], bytes | None] = lambda _name: None
    own: Callable[[str, str, int], bytes | None] = lambda _node, _kind, _slot: None
    excused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Final:
    """What a node is like at the end; for reading only.

    :ivar machine: its state; None for one that does not run.
    """

    node: str
    machine: Machine | None


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must never be.

    :ivar checker: who found it.
    :ivar at_ms: virtual time since the beginning.
    :ivar node: at which node; empty when it is about several.
    :ivar sentence: what, for a person.
    """

    checker: str
    at_ms: int
    node: str
    sentence: str


class Checker:
    """Watches one run; :meth:`on` and :meth:`at_end` answer with what must never be.

    :cvar name: what people call it.
    """

    name: ClassVar[str]

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def on(self, at_ms: int, node: str, event: Event) -> Iterator[Violation]:
        """Something happened. ``node`` is empty for what concerns the network."""
        del at_ms, node, event
        yield from ()

    def at_end(self, at_ms: int, finals: tuple[Final, ...]) -> Iterator[Violation]:
        """The run is over."""
        del at_ms, finals
        yield from ()

    def found(self, at_ms: int, node: str, sentence: str) -> Violation:
        """A violation that this checker found."""
        return Violation(self.name, at_ms, node, sentence)
