"""A simulated network: its nodes, what is between them, and whoever watches."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from p2p.memory import LinkModel, MemoryNetwork
from p2p.node import NodeParts
from p2p.observing import MessageRefused
from protocol.events import JobSettled
from protocol.happenings import BlockFinal
from protocol.params import MODELLED, network_id
from protocol.proving.elected import Elected
from protocol.sequencing.fernet import Fernet
from protocol.types import Account, Milliseconds
from prover.modelled import ModelledBackend
from scripts.configuration import ProverConfiguration
from scripts.launcher.mischief import Mischief, make_mischief
from scripts.launcher.plan import Plan, Wish, make_plan
from scripts.simulation.adversaries.casting import Company
from scripts.simulation.adversaries.deeds import Deeds
from scripts.simulation.adversaries.promise import promised
from scripts.simulation.checkers import ALL
from scripts.simulation.checkers.checker import Checker, Scene, Violation
from scripts.simulation.draw import stream
from scripts.simulation.faults import NOTHING, FaultPlan
from scripts.simulation.happenings import Event
from scripts.simulation.hardware import POPULATION, drawn_machine
from scripts.simulation.links import CALM, REGIONS, Troubles, link_between
from scripts.simulation.node import Corrupt, SimulatedNode, on_machine
from scripts.simulation.record import Record
from scripts.simulation.scheduling import VirtualClock
from scripts.simulation.tape import Tape

START_MS: Final = 2_000
"""The first slot begins so long after the nodes."""

FLOOD_NODES_MAX: Final = 12
"""Up to so many nodes everybody gossips with everybody, as a real network of that size does."""

GRAIN_MS: Final = Milliseconds(5)
"""Messages arrive at whole multiples of this; the shortest latency is twice as long."""

SKEW_MS_MAX: Final = 50
"""So far the clock of a node may be off all the time, as clocks are that NTP keeps."""

DEGREE: Final = 3
"""In a larger network each node chooses so many others to gossip with: six in the mean, the degree
that GossipSub's mesh aims at (https://github.com/libp2p/specs, gossipsub-v1.0).
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a simulated network is, and how fast.

    :ivar validators: nodes that order the log; the others prove.
    :ivar leaves: of each proof tree.
    :ivar sets: settings of the rules, as ``PART.NAME=VALUE``.
    """

    nodes: int = 8
    validators: int = 4
    leaves: int = 4
    slot_ms: int = 1_000
    sets: tuple[str, ...] = ()
    sequencing: str = Fernet.name
    proving: str = Elected.name


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays what.

    :ivar mischief: nodes that cheat, as on the command line of ``provnet testnet``.
    :ivar actors: what is put in the place of the parts of nodes, by their names; whoever is named
        here is not expected to keep the rules.
    :ivar checkers: who watches.
    """

    mischief: Mischief = field(default_factory=Mischief)
    actors: Mapping[str, Corrupt] = field(default_factory=dict)
    checkers: tuple[type[Checker], ...] = ALL


HONEST: Final = Cast()
"""Everybody keeps the rules."""


class SimulatedNetwork:
    """All nodes of one run and the hub between them; see :mod:`scripts.simulation.run`.

    :param faults: whose adversaries are in the network.
    :ivar tape: takes in all that happens, where somebody wants to look at it.
    :ivar stopping: set by the first violation.
    :ivar promise: what is promised while so many are hostile: only checkers that bind are asked.
    :ivar changed: set, and replaced, whenever a node settled a block.
    """

    def __init__(
        self, size: Size, seed: int, cast: Cast, blocks: int, faults: FaultPlan = NOTHING
    ) -> None:
        self.seed = seed
        self.plan = planned(size, seed, cast)
        self.company = Company(faults, self.plan.members)
        self.genesis = self.plan.genesis
        self.id = network_id(self.genesis)
        declared = ProverConfiguration()
        self.backend = ModelledBackend(
            leaf_ms=Milliseconds(declared.leaf_ms), merge_ms=Milliseconds(declared.merge_ms)
        )
        accounts = [(one.account, one.balance) for one in self.genesis.rollup]
        self.state = self.backend.genesis(accounts)
        degree = None if size.nodes <= FLOOD_NODES_MAX else DEGREE
        self.hub = MemoryNetwork(seed, self._link, degree, GRAIN_MS)
        self.nodes = self._make_nodes(cast)
        self.accounts = {name: one.member.identity.account for name, one in self.nodes.items()}
        cheats = {name for name, one in self.nodes.items() if one.member.configuration.cheats}
        hostile = frozenset(cheats | set(cast.actors) | self.company.names)
        names = [one.name for one in cast.checkers]
        self.promise = promised(self.plan.members, hostile, names)
        scene = Scene(
            self.genesis,
            self.accounts,
            hostile,
            blocks,
            must_finish=self.promise.finishes,
            excused=self.company.excused,
            body=self._body,
            own=lambda node, kind, slot: self.nodes[node].own(kind, slot),
        )
        self.honest = tuple(one for name, one in self.nodes.items() if name not in hostile)
        kinds = [one for one in cast.checkers if one.name in self.promise.binding]
        self.checkers = tuple(kind(one) for one in self._scenes(scene) for kind in kinds)
        self.deeds = Deeds(self.company.cast, self.accounts, hostile)
        self.violations: list[Violation] = []
        self.record = Record()
        self.tape: Tape | None = None
        self.refusals: Counter[str] = Counter()
        self.changed = trio.Event()
        self._numbers = {name: number for number, name in enumerate(("", *self.nodes))}
        self._links: dict[tuple[Account, Account], LinkModel] = {}
        self._troubles: Mapping[Account, Troubles] = {}

    def _make_nodes(self, cast: Cast) -> dict[str, SimulatedNode]:
        nodes = {}
        self._regions: dict[Account, int] = {}
        for member in self.plan.members:
            lots = stream(self.seed, "place", member.name)
            self._regions[member.identity.account] = lots.randrange(len(REGIONS))
            machine = drawn_machine(lots, POPULATION)
            clock = VirtualClock(lots.randint(-SKEW_MS_MAX, SKEW_MS_MAX))
            corrupt = cast.actors.get(member.name, _leave)
            placed = on_machine(member, machine)
            nodes[member.name] = SimulatedNode(self, placed, machine, clock, corrupt)
        return nodes

    def _scenes(self, scene: Scene) -> tuple[Scene, ...]:
        """One for all honest nodes together while they agree, else one for each."""
        if self.promise.agrees:
            return (scene,)
        everybody = frozenset(self.nodes)
        return tuple(replace(scene, cheats=everybody - {one.name}) for one in self.honest)

    def close(self) -> None:
        """Throw everything away."""
        for node in self.nodes.values():
            node.close()

    # --- the weather ---

    def set_troubles(self, troubles: Mapping[Account, Troubles]) -> None:
        """What is wrong with the links of which nodes from now on."""
        self._troubles = troubles
        self._links = {}

    def _link(self, sender: Account, receiver: Account) -> LinkModel:
        link = self._links.get((sender, receiver))
        if link is None:
            both = self._troubles.get(sender, CALM).and_(self._troubles.get(receiver, CALM))
            regions = self._regions[sender], self._regions[receiver]
            rate = self._troubles.get(sender, CALM).bytes_per_s
            link = link_between(*regions, replace(both, bytes_per_s=rate))
            self._links[sender, receiver] = link
        return link

    def busy(self, node: SimulatedNode, for_ms: int) -> None:
        """A node can do nothing else for so long, after what it is busy with already."""
        self.hub.stall(self.accounts[node.name], for_ms / 1000)

    # --- what is told ---

    def _body(self, name: bytes) -> bytes | None:
        """Bytes of a hash, from whichever node that keeps the rules has them."""
        return next((body for one in self.honest if (body := one.body(name)) is not None), None)

    def tell(self, name: str, event: Event) -> None:
        """Something happened at a node, or to the network when the name is empty."""
        now_s = trio.current_time()
        self.record.event(round(now_s * 1_000_000), self._numbers[name], event)
        if isinstance(event, MessageRefused):
            self.refusals[event.reason.name] += 1
        at_ms = round(now_s * 1000)
        self.deeds.on(at_ms, name, event)
        if self.tape is not None:
            self.tape.events.append((at_ms, name, event))
        for checker in self.checkers:
            self.violations.extend(checker.on(at_ms, name, event))
        if isinstance(event, BlockFinal) or self.violations:
            self.wake()

    def note(self, name: str, payload: bytes) -> None:
        """A node wrote a record into its journal."""
        at_us = round(trio.current_time() * 1_000_000)
        self.record.journal(at_us, self._numbers[name], payload)
        if self.tape is not None:
            self.tape.journals.setdefault(name, []).append(payload)

    def fail(self, name: str, group: BaseExceptionGroup[Exception]) -> None:
        """A node ended with an exception, which none may."""
        told = "".join(traceback.format_exception(group))
        at_ms = round(trio.current_time() * 1000)
        self.violations.append(Violation("no exceptions", at_ms, name, told))
        self.wake()

    def wake(self) -> None:
        """Wake whoever waits for something to have happened."""
        self.changed.set()
        self.changed = trio.Event()

    @staticmethod
    def settled_in(final: BlockFinal) -> int:
        """Rollup blocks that a log block settled."""
        return sum(isinstance(one, JobSettled) for one in final.applied.events)


def planned(size: Size, seed: int, cast: Cast = HONEST) -> Plan:
    """The members and the genesis of a simulated network.

    :raises Complaint: for what no network can be made of.
    """
    wish = Wish(
        size.validators,
        size.nodes - size.validators,
        size.leaves,
        blocks=1,
        slot_ms=size.slot_ms,
        backend=MODELLED,
        seed=f"simulation {seed}",
        sets=size.sets,
        sequencing=size.sequencing,
        proving=size.proving,
    )
    plan = make_mischief(make_plan(wish), cast.mischief).starting_at(START_MS)
    members = []
    for member in plan.members:
        configuration = member.configuration
        if configuration.sequencer is not None:
            tireless = replace(configuration.sequencer, blocks_max=0)
            configuration = replace(configuration, sequencer=tireless)
        members.append(replace(member, configuration=configuration))
    return replace(plan, members=tuple(members))


def _leave(parts: NodeParts) -> NodeParts:
    return parts
