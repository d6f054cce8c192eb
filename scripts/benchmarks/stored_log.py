"""Makes a log worth catching up with: real nodes in one process, minutes of it in seconds.

Four validators order it and two provers prove in virtual time, over the network in memory, with
modelled proofs. Transfers become blocks of the rollup, and one account after the other moves money
and stake, so that sets change at the borders. The log ends a little before the wall clock's time,
so that nodes of other processes can serve it and go on from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final, TypeVar

import trio
import trio.testing

from p2p.journal import Journal
from p2p.memory import MemoryNetwork
from p2p.node import Node, NodeParts, Worked
from p2p.observing import NodeEvent
from p2p.store import Store
from protocol import vrf
from protocol.agents import Action, AgentEvent, Submit, View
from protocol.happenings import BlockFinal
from protocol.messages import AddStake, Delegate, Pay, Payload, StakeKind, Undelegate, Unstake
from protocol.ordering.validators import Validators
from protocol.params import Genesis, network_id
from protocol.types import Account, Amount, Epoch, Milliseconds
from prover.modelled import ModelledBackend
from prover.pool import PoolSettings, ProvingFailed, open_virtual_pool
from prover.tasks import ProvingTask
from scripts.benchmarks.figures import BenchFailed
from scripts.checkpoint import checkpoint_of, trusted_sets
from scripts.launcher.plan import Member, Plan, Wish, make_plan
from scripts.node import make_agents, make_replica

T = TypeVar("T")

SLOT_MS: Final = 1_000
EPOCH_TICKS: Final = 64
PAST_BORDER: Final = 16
"""Ticks after the last border: its snapshot is proven by what follows."""

MOVE_TICKS: Final = 4
"""So many ticks after the last, an account moves money or stake."""

MARGIN_S: Final = 60
"""The log ends so long before now, as it would be if it were made in as many slots as ticks."""

STORE: Final = "store.sqlite"


@dataclass(frozen=True, slots=True)
class StoredLog:
    """A log in a store.

    :ivar ticks: its height.
    :ivar moves: operations on it that move money or stake.
    :ivar blocks: blocks of the rollup that were opened.
    :ivar trusted: who may prove its last snapshots, as a bundle would name them.
    """

    genesis: Genesis
    store: Path
    ticks: int
    operations: int
    moves: int
    blocks: int
    trusted: dict[Epoch, Validators]

    @property
    def lasts_s(self) -> float:
        """For how long it was in the making at one tick a slot, in seconds."""
        return self.ticks * self.genesis.network.slot_ms / 1000


def make_log(folder: Path, epochs: int, epoch_ticks: int = EPOCH_TICKS) -> StoredLog:
    """Make a log of so many epochs and a little more in a folder.

    :raises BenchFailed: when it does not come about in four times as many slots.
    """
    ticks = epochs * epoch_ticks + PAST_BORDER
    wish = Wish(
        validators=4,
        provers=2,
        leaves=2,
        slot_ms=SLOT_MS,
        backend="modelled",
        sets=(f"network.epoch_ticks={epoch_ticks}",),
        minutes=ticks,
    )
    began_ms = time.time_ns() // 1_000_000 - (ticks + MARGIN_S) * SLOT_MS
    maker = _Maker(make_plan(wish).starting_at(began_ms), folder, ticks)
    trio.run(maker.run, clock=trio.testing.MockClock(autojump_threshold=0))
    return maker.made()


class _Maker:
    def __init__(self, plan: Plan, folder: Path, ticks: int) -> None:
        self._plan = plan
        self._folder = folder
        self._ticks = ticks
        self._hub = MemoryNetwork(seed=1)
        self._nodes: dict[str, Node] = {}
        self._finals: list[BlockFinal] = []
        self._is_made = trio.Event()

    async def run(self) -> None:
        """Let all members run until the first has the whole log."""
        with trio.move_on_after(4 * self._ticks * SLOT_MS / 1000):
            async with trio.open_nursery() as nursery:
                for member in self._plan.members:
                    nursery.start_soon(self._live, member)
                await self._is_made.wait()
                nursery.cancel_scope.cancel()
        if not self._is_made.is_set():
            raise BenchFailed(
                f"the log to sync has {len(self._finals)} of {self._ticks} blocks",
                "run tests/p2p/test_node.py: its networks do not get on either",
            )

    def made(self) -> StoredLog:
        """What came of it."""
        genesis, name = self._plan.genesis, self._plan.members[0].name
        checkpoint = checkpoint_of(self._nodes[name])
        assert checkpoint is not None, "the log has blocks"
        payloads = [
            signed.operation.payload for final in self._finals for signed in final.block.operations
        ]
        return StoredLog(
            genesis=genesis,
            store=self._folder / name / STORE,
            ticks=self._finals[-1].applied.tick,
            operations=len(payloads),
            moves=sum(isinstance(one, _MOVES) for one in payloads),
            blocks=self._nodes[name].jobs_opened,
            trusted=trusted_sets(checkpoint, genesis.network),
        )

    async def _live(self, member: Member) -> None:
        genesis, identity = self._plan.genesis, member.identity
        folder, network = self._folder / member.name, network_id(genesis)
        folder.mkdir()
        backend = ModelledBackend()
        state = backend.genesis([(one.account, one.balance) for one in genesis.rollup])
        host = self._hub.node(identity.account, network)
        is_first = member == self._plan.members[0]
        mover = (_Mover(self._plan),) if member.configuration.prover else ()
        with Store(folder / STORE, network) as store, Journal(folder / "journal") as journal:
            async with open_virtual_pool(backend, PoolSettings(1, 1)) as pool:

                async def work(task: ProvingTask) -> Worked | str:
                    try:
                        proved = await pool.prove(task)
                    except ProvingFailed as failure:
                        return str(failure)
                    return Worked(proved.proof, proved.wall_ms, proved.threads)

                agents = make_agents(member.configuration, identity, genesis, backend)
                parts = NodeParts(
                    replica=make_replica(genesis, state, identity, store),
                    network=host,
                    store=store,
                    journal=journal,
                    backend=backend,
                    genesis_state=state,
                    clock=_Clock(genesis),
                    agents=(*agents, *mover),
                    workshop=work,
                    offload=_inline,
                    observer=self._observe if is_first else _ignore,
                )
                node = self._nodes[member.name] = Node(parts)
                async with host.run():
                    await node.run()

    def _observe(self, event: NodeEvent) -> None:
        if isinstance(event, BlockFinal):
            self._finals.append(event)
            if event.applied.tick >= self._ticks:
                self._is_made.set()


_MOVES: Final = (Pay, AddStake, Unstake, Delegate, Undelegate)


class _Mover:
    """Moves money and stake of its account, something else every :data:`MOVE_TICKS`."""

    def __init__(self, plan: Plan) -> None:
        self._delegate = plan.members[0].identity.account
        self._keys = {
            one.identity.account: vrf.public_key(one.identity.vrf_seed) for one in plan.members
        }
        self._kinds = cycle(range(len(_MOVES)))

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        """A move, when it is time for one."""
        if not isinstance(event, BlockFinal) or view.machine.tick % MOVE_TICKS:
            return ()
        return (Submit(self._moves(view.account)[next(self._kinds)]),)

    def _moves(self, own: Account) -> tuple[Payload, ...]:
        """One of each kind; what is taken out was put in before."""
        some, less = Amount(2_000), Amount(1_000)
        return (
            Pay(self._delegate, less),
            AddStake(StakeKind.PROVER, some, self._keys[own]),
            Unstake(StakeKind.PROVER, less),
            Delegate(StakeKind.LOG, self._delegate, some),
            Undelegate(StakeKind.LOG, self._delegate, less),
        )


class _Clock:
    """Virtual time that begins a little before the first slot."""

    def __init__(self, genesis: Genesis) -> None:
        self._began_ms = genesis.network.genesis_time_ms - SLOT_MS

    def now_ms(self) -> Milliseconds:
        """Milliseconds since the Unix epoch."""
        return Milliseconds(self._began_ms + round(trio.current_time() * 1000))


async def _inline(check: Callable[[], T], /) -> T:
    """A check takes no virtual time: with a thread the clock would run away."""
    await trio.lowlevel.checkpoint()
    return check()


def _ignore(_event: NodeEvent) -> None:
    """Nobody watches."""
