"""The shell around a replica: bytes come in as events, effects go out in order.

**The problem.** The replica decides everything and touches nothing. Somebody must hand it what
arrives, run what it answers, and keep both in an order that survives a crash at any point.

**Rules.**

- One task owns the replica. Messages, time, checked bodies and finished proofs reach it through one
  bounded inbox; there is no other way in.
- Effects are run in their order; what is signed is on disk before it is published.
- Every event goes to the journal before it is applied, so that the run can be replayed; each life
  of the node begins there with what its replica was made from.
- Bodies and proofs are checked (``p2p.checks``), and proofs made, in tasks of their own that answer
  through the inbox.
- Agents are asked after each event that concerns them; their actions are run like effects.
- A node that hears of blocks it does not have, or sees no finality, has them fetched
  (``p2p.catching_up``).
- At each border of an epoch it has a snapshot kept, if it has the rollup's state by then; where it
  begins itself is for ``p2p.beginning`` to say.

**Properties.** Nothing a peer sends ends the node or blocks its loop. After a restart it goes on
from its store, signs nothing twice, and catches up.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import trio

from p2p.archive import BODY_REQUEST, Archive, Offload
from p2p.beginning import Beginning, Trusted
from p2p.catching_up import CatchingUp
from p2p.checks import Checks
from p2p.journal import Entry, Journal, Started
from p2p.judges import Judges
from p2p.limits import HISTORY_EPOCHS, Size
from p2p.observing import (
    AgentTold,
    MessageRefused,
    Observer,
    ProofCancelled,
    ProofFinished,
    ProofStarted,
    Refusals,
)
from p2p.store import Store
from p2p.sync import certified_from, finalise, put_certified
from protocol.agents import (
    PAUSE_NOTE,
    PAUSED,
    Action,
    Agent,
    AgentEvent,
    BidHeard,
    BlockKnown,
    CancelProof,
    KeepBody,
    KeepNote,
    KnownProof,
    Paused,
    ProofFailed,
    ProofKey,
    ProofKnown,
    ProofMade,
    Resumed,
    Send,
    SendBid,
    SlotBegan,
    StartProof,
    Submit,
    Tell,
    TransferHeard,
    is_paused,
)
from protocol.codec import encode
from protocol.errors import Reason
from protocol.events import JobOpened, JobSettled, JobVoided
from protocol.happenings import (
    BlockFinal,
    BlockHeard,
    CertifiedHeard,
    CheckBody,
    ClockJudged,
    Effect,
    FetchBlocks,
    Halted,
    Happening,
    Keep,
    OperationHeard,
    Publish,
    Rejected,
    Remember,
    Submitted,
    TimePassed,
    VoteHeard,
)
from protocol.machine import Machine
from protocol.messages import (
    Bid,
    LogBlock,
    Payload,
    ProofRecord,
    SignedBid,
    SignedOperation,
    SignedTransfer,
    SignedVote,
    body_hash,
    sign_bid,
)
from protocol.ports import Clock, Network, ProverBackend, RollupState, Topic
from protocol.replica import PENDING_MAX, Replica
from protocol.rollup import ExecutedBlock
from protocol.types import (
    Account,
    BodyHash,
    Count,
    JobId,
    Milliseconds,
    Slot,
    Tick,
    TreeIndex,
)

INBOX_MAX: Final = 4_096
"""Events waiting for the owner; what arrives beyond is ignored and fetched later."""

PROOF_LIFE_EPOCHS: Final = 2
"""For so many epochs proofs of closed jobs are kept: evidence and uncles are over by then."""

log = logging.getLogger("provnet.node")


Message: TypeAlias = LogBlock | SignedVote | SignedTransfer | SignedBid | SignedOperation
"""What arrives by gossip."""


@dataclass(frozen=True, slots=True)
class Worked:
    """A finished proof and what it took."""

    proof: bytes
    wall_ms: int
    threads: int


Workshop: TypeAlias = Callable[[Any], Awaitable[Worked | str]]
"""Proves a task in a worker process; answers with a sentence when it gave up.

Cancelling it stops the worker.
"""


@dataclass(frozen=True, slots=True)
class NodeParts:
    """What a node is made of.

    :ivar workshop: None for a node that proves nothing.
    :ivar offload: runs checks of bodies and proofs, usually in threads.
    :ivar trusted: who may prove a snapshot of a peer, with which an empty store begins if it can;
        None: it begins with the genesis.
    :ivar history_epochs: epochs of the log that are kept below the newest border.
    """

    replica: Replica
    network: Network
    store: Store
    journal: Journal
    backend: ProverBackend
    genesis_state: RollupState
    clock: Clock
    agents: Sequence[Agent]
    workshop: Workshop | None
    offload: Offload
    observer: Observer
    trusted: Trusted | None = None
    history_epochs: int = HISTORY_EPOCHS


class Node:
    """One process of a network."""

    def __init__(self, parts: NodeParts) -> None:
        """Connect the parts: topics are joined and requests served once the network runs."""
        self._parts = parts
        self._replica = parts.replica
        self._send, self._receive = trio.open_memory_channel[Happening | AgentEvent](INBOX_MAX)
        epoch_ticks = parts.replica.machine.genesis.network.epoch_ticks
        self._archive = Archive(
            network_id=parts.replica.machine.network,
            network=parts.network,
            store=parts.store,
            backend=parts.backend,
            genesis_state=parts.genesis_state,
            life_ticks=Tick(PROOF_LIFE_EPOCHS * epoch_ticks),
            history_ticks=Tick(parts.history_epochs * epoch_ticks),
            on_block=self._on_block_known,
            offload=parts.offload,
        )
        self._refusals = Refusals(parts.observer)
        self._catching_up = CatchingUp(
            replica=parts.replica,
            network=parts.network,
            store=parts.store,
            clock=parts.clock,
            deliver=self._send.send,
            on_refused=self._refusals.tell,
        )
        self._beginning = Beginning(
            replica=parts.replica,
            archive=self._archive,
            network=parts.network,
            store=parts.store,
            backend=parts.backend,
            clock=parts.clock,
            offload=parts.offload,
            ask_blocks=self._catching_up.ask,
            on_refused=self._refusals.tell,
            observer=parts.observer,
        )
        self._running: dict[ProofKey, trio.CancelScope] = {}
        self._checks = Checks(
            replica=parts.replica,
            archive=self._archive,
            store=parts.store,
            clock=parts.clock,
            deliver=self._send.send,
        )
        self._jobs_opened = 0
        self._began_ms, self._final_slot = parts.clock.now_ms(), Slot(0)
        self._is_paused = is_paused(self)
        self._judges = Judges(parts.replica, self._deliver, self._on_refusal)
        for topic in Topic:
            parts.network.join(topic, self._judges.of(topic))
        parts.network.serve(BODY_REQUEST, self._archive.answer)

    # --- the view of agents ---

    @property
    def account(self) -> Account:
        """The account of this node."""
        return self._parts.network.account

    @property
    def machine(self) -> Machine:
        """The final state; for reading only."""
        return self._replica.machine

    @property
    def jobs_opened(self) -> int:
        """Jobs opened so far, without those that were voided."""
        return self._jobs_opened

    @property
    def is_behind(self) -> bool:
        """Whether nothing is final here that was proposed since this node began."""
        network = self.machine.genesis.network
        return self._final_slot < (self._began_ms - network.genesis_time_ms) // network.slot_ms

    def own_pending(self) -> tuple[Payload, ...]:
        """Payloads of this account that wait to be ordered."""
        return tuple(
            signed.operation.payload
            for signed in self._replica.pending()
            if signed.operation.sender == self.account
        )

    def block(self, job: JobId) -> ExecutedBlock | None:
        """The executed block of an open job."""
        return self._archive.block(job)

    def state_after(self, job: JobId) -> RollupState | None:
        """The rollup's state after a job."""
        return self._archive.state_after(job)

    def proofs(self, job: JobId, index: TreeIndex) -> tuple[KnownProof, ...]:
        """Valid proofs of a tree node."""
        return self._archive.proofs(job, index)

    def body(self, name: BodyHash) -> bytes | None:
        """Bytes from the store."""
        return self._parts.store.body(name)

    def note(self, name: str) -> bytes | None:
        """A note that was kept."""
        return self._parts.store.note(name)

    def running(self) -> tuple[ProofKey, ...]:
        """Proofs that workers are at."""
        return tuple(self._running)

    @property
    def replica(self) -> Replica:
        """The replica; for reading only."""
        return self._replica

    @property
    def refusals(self) -> Counter[tuple[str, str, str]]:
        """How often a kind of message was refused, by kind, reason and the peer in hexadecimal."""
        return self._refusals.counts

    def sizes(self) -> dict[str, Size]:
        """Entries of everything that the node keeps in memory, by name."""
        return {
            "inbox": Size(self._receive.statistics().current_buffer_used, INBOX_MAX),
            "pending_operations": Size(len(self._replica.pending()), PENDING_MAX),
            "seen_messages": self._judges.seen,
            "refusals": Size(len(self.refusals)),
            **self._checks.sizes(),
            "running_proofs": Size(len(self._running)),
            "open_jobs": Size(len(self.machine.jobs)),
            "pockets": Size(len(self.machine.ledger.pockets())),
            **self._archive.sizes(),
        }

    # --- pausing ---

    @property
    def is_paused(self) -> bool:
        """Whether its agents take on nothing new, also since before a restart."""
        return self._is_paused

    async def pause(self) -> None:
        """Have the agents take on nothing new and serve what they have; a restart keeps that."""
        self._parts.store.put_note(PAUSE_NOTE, PAUSED)
        self._is_paused = True
        await self._send.send(Paused())

    async def resume(self) -> None:
        """End the pause."""
        self._parts.store.put_note(PAUSE_NOTE, b"")
        self._is_paused = False
        await self._send.send(Resumed())

    # --- running ---

    async def run(self) -> None:
        """Go on from the store and act, until cancelled. The network must be running."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self._begin()
            nursery.start_soon(self._archive.run)
            nursery.start_soon(self._catching_up.run)
            nursery.start_soon(self._own)

    async def _begin(self) -> None:
        """Go on from the store, or begin."""
        signed = self._replica.engine.signed
        self._journal(Started(self.machine.network, self.account, signed.proposal, signed.vote))
        self._retell(await self._beginning.begin(self._parts.trusted))
        self._nursery.start_soon(self._recall)
        self._restore()

    def _restore(self) -> None:
        above, now_ms = self._replica.final_height, self._parts.clock.now_ms()
        stored = certified_from(self._parts.store, above)
        log.info("going on from %d stored blocks", len(stored))
        for one in stored:
            self._journal(CertifiedHeard((one,), now_ms))
            effects = self._replica.restore((one,), now_ms)
            finalise(self._parts.store, effects)
            self._retell(effects)

    async def _recall(self) -> None:
        for signed in await self._beginning.records():
            self._check_if_needed(signed)

    def _retell(self, effects: Sequence[Effect]) -> None:
        """Tell what came of blocks that are stored already."""
        for effect in effects:
            if isinstance(effect, BlockFinal):
                self._note_final(effect)
            elif isinstance(effect, CheckBody):
                self._nursery.start_soon(self._checks.check, effect.signed)

    # --- stepping ---

    async def _own(self) -> None:
        """The one task that steps the replica."""
        # what was said before the start comes before anything is signed
        while self._receive.statistics().current_buffer_used:
            await self._take(self._receive.receive_nowait())
        await self._step(TimePassed(self._parts.clock.now_ms()))
        while True:
            await self._take(await self._next())

    async def _take(self, happening: Happening | AgentEvent) -> None:
        if isinstance(happening, Happening):
            await self._step(happening)
            return
        if isinstance(happening, BlockKnown | ProofKnown):
            self._parts.observer(happening)
        await self._ask_agents(happening)

    async def _next(self) -> Happening | AgentEvent:
        now_ms = self._parts.clock.now_ms()
        wake_ms = self._replica.engine.next_wake_ms
        with trio.move_on_after(max(0, wake_ms - now_ms) / 1000) as scope:
            happening = await self._receive.receive()
        if scope.cancelled_caught:
            return TimePassed(self._parts.clock.now_ms())
        return happening

    def _journal(self, entry: Entry) -> None:
        self._parts.journal.append(encode(entry, Entry))

    async def _step(self, happening: Happening) -> None:
        self._journal(happening)
        slot_before = self._replica.slot
        effects = self._replica.step(happening)
        for effect in effects:
            await self._run(effect)
        if isinstance(happening, CertifiedHeard):
            self._catching_up.note_taken(effects)
        if self._replica.slot > slot_before:
            self._catching_up.look_for_progress()
            await self._ask_agents(SlotBegan(self._replica.slot))

    async def _run(self, effect: Effect) -> None:
        parts = self._parts
        match effect:
            case Remember(kind, slot, payload):
                parts.store.remember_own(kind, slot, payload)
            case Publish(topic, payload):
                await parts.network.publish(topic, payload)
            case Keep(certified):
                with parts.store.transaction():
                    put_certified(parts.store, certified)
            case BlockFinal():
                await self._finalise(effect)
            case CheckBody(signed):
                self._nursery.start_soon(self._checks.check, signed)
            case FetchBlocks():
                self._catching_up.wake()
            case Rejected():
                self._on_rejected(effect)
            case Halted(sentence):
                log.critical("this node stops voting: %s", sentence)
                parts.observer(effect)

    # --- the log ---

    async def _finalise(self, final: BlockFinal) -> None:
        header = final.block.header
        finalise(self._parts.store, (final,))
        if header.height % self.machine.genesis.network.epoch_ticks == 0:
            self._parts.store.prune_forks()
            self._archive.forget(header.height)
        self._catching_up.note_progress()
        self._note_final(final)
        border, state = self._replica.border, self._archive.settled_state()
        if border is not None and border.link.height == header.height and state is not None:
            epoch_ticks = self.machine.genesis.network.epoch_ticks
            history_ticks = self._parts.history_epochs * epoch_ticks
            self._nursery.start_soon(self._beginning.keep, border, state, history_ticks)
        await self._ask_agents(final)

    def _note_final(self, final: BlockFinal) -> None:
        self._final_slot = final.moment.slot
        for signed in final.block.operations:
            if isinstance(record := signed.operation.payload, ProofRecord):
                self._archive.note(record.job, record.index, record.proof)
        for event in final.applied.events:
            if isinstance(event, JobOpened):
                self._jobs_opened += 1
                self._archive.open(event.job, event.header)
            elif isinstance(event, JobSettled | JobVoided):
                self._jobs_opened -= isinstance(event, JobVoided)
                is_settled = isinstance(event, JobSettled)
                self._archive.close(
                    event.job,
                    final.applied.tick,
                    is_settled=is_settled,
                    has_sequel=self.machine.proving.job(event.job) is not None,
                )
        for signed in final.block.operations:
            self._check_if_needed(signed)
        for job in self._archive.sequels():
            if self.machine.proving.job(job) is None:
                self._archive.end(job, final.applied.tick)
        self._parts.observer(final)

    def _check_if_needed(self, ordered: SignedOperation) -> None:
        if self._checks.is_needed(ordered):
            self._nursery.start_soon(self._checks.check, ordered)

    # --- what else is told ---

    async def judge_clock(self, *, is_right: bool) -> None:
        """Say whether the clock is right: while it is not, nothing is proposed or voted for."""
        await self._send.send(ClockJudged(is_right, self._parts.clock.now_ms()))

    async def _on_block_known(self, job: JobId) -> None:
        await self._send.send(BlockKnown(job))

    # --- messages ---

    def _deliver(self, message: Message) -> bool:
        """Called by judges: put an accepted message into the inbox, if it has room."""
        try:
            self._send.send_nowait(self._as_event(message))
        except trio.WouldBlock:
            return False
        return True

    def _as_event(self, message: Message) -> Happening | AgentEvent:
        now_ms = self._parts.clock.now_ms()
        match message:
            case LogBlock():
                return BlockHeard(message, now_ms)
            case SignedVote():
                return VoteHeard(message, now_ms)
            case SignedTransfer():
                return TransferHeard(message)
            case SignedBid():
                return BidHeard(message)
            case SignedOperation():
                return OperationHeard(message, now_ms)

    def _on_refusal(self, kind: str, reason: Reason, peer: Account) -> None:
        if reason is Reason.LATER_EPOCH:
            self._catching_up.wake()
            return
        self._refusals.tell(MessageRefused(kind, reason, peer, ""))

    def _on_rejected(self, rejected: Rejected) -> None:
        if rejected.reason not in (Reason.DUPLICATE, Reason.PAST_SLOT):
            self._refusals.tell(
                MessageRefused(rejected.kind, rejected.reason, rejected.signer, rejected.detail)
            )

    # --- agents ---

    async def _ask_agents(self, event: AgentEvent) -> None:
        for agent in self._parts.agents:
            for action in agent.decide(self, event):
                await self._act(action)

    async def _act(self, action: Action) -> None:
        store, now_ms = self._parts.store, self._parts.clock.now_ms()
        match action:
            case Submit(payload):
                await self._step(Submitted(payload, now_ms))
            case KeepBody(body):
                store.put_body(body_hash(body), body)
            case KeepNote(name, payload):
                store.put_note(name, payload)
            case StartProof(key, task):
                self._start_proof(key, task)
            case CancelProof(key):
                # it may have come to its end while the actions before this one were carried out
                if (scope := self._running.pop(key, None)) is not None:
                    scope.cancel()
                    self._parts.observer(ProofCancelled(key, "nobody needs it any more"))
            case Send(signed):
                await self._parts.network.publish(Topic.TRANSFERS, encode(signed))
                await self._ask_agents(TransferHeard(signed))
            case SendBid(bid):
                await self._send_bid(bid)
            case Tell(sentence):
                log.info("%s", sentence)
                self._parts.observer(AgentTold(sentence))

    async def _send_bid(self, bid: Bid) -> None:
        identity = self._replica.identity
        assert identity is not None, "only a node with keys has agents"
        signed = sign_bid(identity.signing_seed, self.machine.network, bid)
        await self._parts.network.publish(Topic.BIDS, encode(signed))
        await self._ask_agents(BidHeard(signed))

    def _start_proof(self, key: ProofKey, task: Any) -> None:
        assert self._parts.workshop is not None, "only a node with a workshop has a prover agent"
        if key in self._running:  # asked for while the actions before this one were carried out
            return
        scope = self._running[key] = trio.CancelScope()
        self._parts.observer(ProofStarted(key))
        self._nursery.start_soon(self._prove, key, task, scope, self._parts.workshop)

    async def _prove(
        self, key: ProofKey, task: Any, scope: trio.CancelScope, workshop: Workshop
    ) -> None:
        with scope:
            worked = await workshop(task)
            self._running.pop(key, None)
            if isinstance(worked, str):
                self._parts.observer(ProofCancelled(key, worked))
                await self._send.send(ProofFailed(key, worked))
            else:
                self._parts.observer(ProofFinished(key, worked.wall_ms, worked.threads))
                wall_ms, threads = Milliseconds(worked.wall_ms), Count(worked.threads)
                await self._send.send(ProofMade(key, task, worked.proof, wall_ms, threads))
