"""A run of a network that was written down, so that checkers can be shown it, and doctored ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from protocol.events import Event as LogEvent
from protocol.happenings import BlockFinal
from scripts.launcher.mischief import Mischief
from scripts.simulation.checkers.checker import Checker, Scene, Violation
from scripts.simulation.checkers.one_vote import OneVote
from scripts.simulation.checkers.verified_work import VerifiedWork
from scripts.simulation.happenings import Event
from scripts.simulation.network import Cast, Size
from scripts.simulation.run import Order, simulate

E = TypeVar("E")

Told = tuple[int, str, Event]

UNCLES = (
    "proving.uncle_bps=5000",
    "proving.uncle_reserve_bps=1000",
    "proving.uncle_ticks=4",
    "proving.uncle_scope=open",
    "proving.takeover_bps=5000",
    "proving.leaf_window_ticks=6",
    "proving.merge_window_ticks=6",
    "network.epoch_ticks=16",
)
"""Short windows, and pay for whoever proves what was taken over."""

ORDER = Order(
    seed=3,
    size=Size(nodes=7, validators=3, leaves=4, sets=UNCLES),
    blocks=3,
    cast=Cast(Mischief((("late", "prover-1"),))),
)
"""A network in which one prover is always late, so that its tree nodes are taken over."""


@dataclass(frozen=True)
class Story:
    """All that a run told, and what was asked of its disks."""

    scene: Scene
    told: tuple[Told, ...]

    def heard_by(self, kind: type[Checker]) -> list[Violation]:
        """What a checker says of it."""
        checker = kind(self.scene)
        return [
            found for at_ms, node, event in self.told for found in checker.on(at_ms, node, event)
        ]

    def with_event(self, number: int, *events: Event) -> Story:
        """The story with other events in the place of one."""
        at_ms, node, _ = self.told[number]
        put = tuple((at_ms, node, event) for event in events)
        return replace(self, told=self.told[:number] + put + self.told[number + 1 :])

    def first(self, wanted: Callable[[Event], bool]) -> int:
        """The place of the first event of a node that keeps the rules."""
        cheats = self.scene.cheats
        return next(
            number
            for number, (_, node, event) in enumerate(self.told)
            if node not in cheats and wanted(event)
        )

    def rewritten(
        self, kind: type[E], change: Callable[[E], tuple[LogEvent, ...]], which: Callable[[E], bool]
    ) -> Story:
        """The story in which the first such event of the log was another, wherever it is told."""
        number = self.first(
            lambda event: (
                isinstance(event, BlockFinal)
                and any(isinstance(one, kind) and which(one) for one in event.applied.events)
            )
        )
        final = self.told[number][2]
        assert isinstance(final, BlockFinal)
        events: list[LogEvent] = []
        is_done = False
        for one in final.applied.events:
            is_it = not is_done and isinstance(one, kind) and which(one)
            events += change(one) if is_it and isinstance(one, kind) else (one,)
            is_done = is_done or is_it
        applied = replace(final.applied, events=tuple(events))
        return self.with_event(number, replace(final, applied=applied))


class _Recorder(Checker):
    """Writes down what it is told, with all that others would ask of disks meanwhile."""

    name = "recorder"
    stories: ClassVar[list[_Recorder]] = []

    def __init__(self, scene: Scene) -> None:
        bodies: dict[bytes, bytes | None] = {}
        own: dict[tuple[str, str, int], bytes | None] = {}

        def body(name: bytes) -> bytes | None:
            return bodies[name] if name in bodies else bodies.setdefault(name, scene.body(name))

        def said(node: str, kind: str, slot: int) -> bytes | None:
            key = (node, kind, slot)
            return own[key] if key in own else own.setdefault(key, scene.own(*key))

        super().__init__(replace(scene, body=body, own=said))
        self.told: list[Told] = []
        self._asking = (OneVote(self.scene), VerifiedWork(self.scene))
        self.stories.append(self)

    def on(self, at_ms: int, node: str, event: Event) -> Iterator[Violation]:
        """Write it down."""
        self.told.append((at_ms, node, event))
        for checker in self._asking:
            yield from checker.on(at_ms, node, event)


def recorded(order: Order = ORDER) -> Story:
    """Run a network, and write everything down."""
    cast = replace(order.cast, checkers=(_Recorder,))
    outcome = simulate(replace(order, cast=cast))
    recorder = _Recorder.stories.pop()
    assert outcome.violations == ()
    return Story(recorder.scene, tuple(recorder.told))
