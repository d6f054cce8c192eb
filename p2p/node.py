"""The shell around a replica: bytes come in as events, effects go out in order.

**The problem.** The replica decides everything and touches nothing. Somebody must hand it what
arrives, run what it answers, and keep both in an order that survives a crash at any point.

**Rules.**

- One task owns the replica. Messages, time, checked bodies and finished proofs reach it through one
  bounded inbox; there is no other way in.
- Effects are run in their order; what is signed is on disk before it is published.
- Every event goes to the journal before it is applied, so that the run can be replayed; each life
  of the node begins there with what its replica was made from.
- Bodies and proofs are checked, and proofs made, in tasks of their own that answer through the
  inbox.
- Agents are asked after each event that concerns them; their actions are run like effects.
- A node that hears of blocks it does not have, or sees no finality, asks its peers for certified
  blocks.
- At each border of an epoch it keeps a snapshot, if it has the rollup's state by then, and serves
  it. A newcomer may begin with one of a peer, which the blocks that follow must prove.

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
from p2p.journal import Entry, Journal, Started
from p2p.judges import Judges
from p2p.limits import HISTORY_EPOCHS, Size
from p2p.snapshots import (
    OFFERS_REQUEST,
    PIECE_REQUEST,
    Offer,
    encode_offers,
    fetch_offers,
    fetch_snapshot,
    read_piece,
)
from p2p.store import Store, StoreError
from p2p.sync import BLOCKS_REQUEST, certified_from, decode_certified, encode_certified, tick_bytes
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
from protocol.errors import Reason, Refused
from protocol.events import JobOpened, JobSettled, JobVoided
from protocol.handover import Border, Snapshot, rollup_state, snapshot_name
from protocol.happenings import (
    BlockFinal,
    BlockHeard,
    BodyChecked,
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
    BackupBlock,
    Bid,
    CertifiedBlock,
    LogBlock,
    Payload,
    ProofEvidence,
    ProofRecord,
    SignedBid,
    SignedOperation,
    SignedTransfer,
    SignedVote,
    UncleClaim,
    block_hash,
    body_hash,
    header_is_signed,
    operation_hash,
    sign_bid,
)
from protocol.ports import Clock, Network, ProverBackend, RequestFailed, RollupState, Topic
from protocol.replica import PENDING_MAX, Replica
from protocol.rollup import ExecutedBlock
from protocol.types import Account, BodyHash, Count, JobId, Milliseconds, Slot, Tick, TreeIndex

INBOX_MAX: Final = 4_096
"""Events waiting for the owner; what arrives beyond is ignored and fetched later."""

CHECKS_MAX: Final = 64
"""Bodies being fetched and checked at a time; more wait for their turn."""

PROOF_LIFE_EPOCHS: Final = 2
"""For so many epochs proofs of closed jobs are kept: evidence and uncles are over by then."""

REFUSALS_MAX: Final = 1_024
"""Kinds, reasons and peers whose refusals are counted apart; strangers beyond are counted as one.
"""

SYNC_PAUSE_S: Final = 1.0
"""Least pause between requests for certified blocks."""

STALE_SLOTS: Final = 4
"""After so many slots without finality a node asks its peers whether they know more."""

NEWCOMER_ROUNDS: Final = 30
"""How often a newcomer asks all peers for a snapshot, a pause after each round."""

SYNC_BYTES_MAX: Final = 2_000_000
"""Largest answer with certified blocks, in bytes."""

SYNC_TIMEOUT_MS: Final = Milliseconds(10_000)
"""Longest wait for an answer with certified blocks."""

log = logging.getLogger("provnet.node")


# --- what an observer is told ---


@dataclass(frozen=True, slots=True)
class ProofStarted:
    """A worker was asked for a proof."""

    key: ProofKey


@dataclass(frozen=True, slots=True)
class ProofFinished:
    """A worker answered after ``wall_ms`` on ``threads`` threads."""

    key: ProofKey
    wall_ms: int
    threads: int


@dataclass(frozen=True, slots=True)
class ProofCancelled:
    """A proof was no longer needed, or failed; ``sentence`` says why."""

    key: ProofKey
    sentence: str


@dataclass(frozen=True, slots=True)
class AgentTold:
    """An agent has a word for the operator."""

    sentence: str


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """A message was refused and is somebody's fault.

    :ivar peer: who forwarded what was gossiped, or signed what was refused later; None for what
        this node wanted to say itself.
    :ivar detail: what in particular: the hash of a body, the slot of a proposal; may be empty.
    """

    message: str
    reason: Reason
    peer: Account | None
    detail: str


NodeEvent: TypeAlias = (
    BlockFinal
    | Halted
    | BlockKnown
    | ProofKnown
    | ProofStarted
    | ProofFinished
    | ProofCancelled
    | AgentTold
    | MessageRefused
)

Message: TypeAlias = LogBlock | SignedVote | SignedTransfer | SignedBid | SignedOperation
"""What arrives by gossip."""

Observer: TypeAlias = Callable[[NodeEvent], None]
"""Told of what the node did, on the owner's task: quick, and never raises."""


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
    :ivar is_newcomer: an empty store begins with a snapshot of a peer, if one offers any.
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
    is_newcomer: bool = False
    history_epochs: int = HISTORY_EPOCHS


class Node:
    """One process of a network."""

    def __init__(self, parts: NodeParts) -> None:
        """Connect the parts: topics are joined and requests served once the network runs."""
        self._parts = parts
        self._replica = parts.replica
        self._send, self._receive = trio.open_memory_channel[Happening | AgentEvent](INBOX_MAX)
        self._archive = Archive(
            network_id=parts.replica.machine.network,
            network=parts.network,
            store=parts.store,
            backend=parts.backend,
            genesis_state=parts.genesis_state,
            life_ticks=Tick(PROOF_LIFE_EPOCHS * parts.replica.machine.genesis.network.epoch_ticks),
            on_block=self._on_block_known,
            offload=parts.offload,
        )
        self._running: dict[ProofKey, trio.CancelScope] = {}
        self._checks = trio.CapacityLimiter(CHECKS_MAX)
        self._behind = trio.Event()
        self._progress_slot = Slot(0)
        self._jobs_opened = 0
        self._is_paused = is_paused(self)
        self.refusals: Counter[tuple[str, str, str]] = Counter()
        self._judges = Judges(parts.replica, self._deliver, self._on_refusal)
        for topic in Topic:
            parts.network.join(topic, self._judges.of(topic))
        parts.network.serve(BODY_REQUEST, self._archive.answer)
        parts.network.serve(BLOCKS_REQUEST, self._answer_blocks)
        parts.network.serve(OFFERS_REQUEST, self._answer_offers)
        parts.network.serve(PIECE_REQUEST, self._answer_piece)

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

    def sizes(self) -> dict[str, Size]:
        """Entries of everything that the node keeps in memory, by name."""
        return {
            "inbox": Size(self._receive.statistics().current_buffer_used, INBOX_MAX),
            "pending_operations": Size(len(self._replica.pending()), PENDING_MAX),
            "seen_messages": self._judges.seen,
            "refusals": Size(len(self.refusals)),
            "checks": Size(self._checks.borrowed_tokens, CHECKS_MAX),
            "checks_waiting": Size(self._checks.statistics().tasks_waiting, PENDING_MAX),
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
            nursery.start_soon(self._keep_synced)
            nursery.start_soon(self._own)

    async def _begin(self) -> None:
        """Go on from the store, or begin."""
        store = self._parts.store
        signed = self._replica.engine.signed
        self._journal(Started(self.machine.network, self.account, signed.proposal, signed.vote))
        if store.begins_at():
            await self._begin_with_own()
        elif self._parts.is_newcomer and not store.final_height():
            await self._begin_with_any()
        self._restore()

    def _restore(self) -> None:
        above, now_ms = self._replica.final_height, self._parts.clock.now_ms()
        stored = certified_from(self._parts.store, above)
        log.info("going on from %d stored blocks", len(stored))
        for one in stored:
            self._journal(CertifiedHeard((one,), now_ms))
            for effect in self._replica.restore((one,), now_ms):
                if isinstance(effect, BlockFinal):
                    header = effect.block.header
                    self._parts.store.finalise(header.height, block_hash(header))
                    self._note_final(effect)
                elif isinstance(effect, CheckBody):
                    self._nursery.start_soon(self._check, effect.signed)

    # --- beginning with a snapshot ---

    async def _begin_with_own(self) -> None:
        """The log does not reach down to the genesis: begin with the oldest snapshot kept."""
        store = self._parts.store
        height = min(height for height, _, _ in store.snapshots())
        try:
            snapshot = Snapshot.read(store.snapshot(height) or b"")
            effects = await self._adopt(snapshot, certified_from(store, snapshot.height))
        except Refused as refusal:
            raise StoreError(
                f"the snapshot of height {height} in the store cannot be used: {refusal}",
                "move the store away and keep it; the node begins anew",
            ) from None
        self._retell(effects)

    async def _begin_with_any(self) -> None:
        """Begin with a snapshot of the first peer that has one that is proven. When all have been
        asked in vain, begin with the genesis.
        """
        for _ in range(NEWCOMER_ROUNDS):
            found: list[Offer] = []
            for peer in self._parts.network.peers():
                offers = await self._offers_of(peer)
                found += offers
                for offer in offers:
                    if await self._begin_with(peer, offer):
                        return
            if self._parts.network.peers() and not found:
                return
            await trio.sleep(SYNC_PAUSE_S)

    async def _offers_of(self, peer: Account) -> tuple[Offer, ...]:
        try:
            return await fetch_offers(self._parts.network, peer)
        except RequestFailed:
            return ()
        except Refused as refusal:
            self._blame(peer, "snapshots", refusal)
            return ()

    async def _begin_with(self, peer: Account, offer: Offer) -> bool:
        """Whether the offered snapshot was fetched, proven and taken over."""
        try:
            payload = await fetch_snapshot(self._parts.network, peer, offer)
            snapshot = await self._parts.offload(lambda: Snapshot.read(payload))
            following = await self._ask_blocks(peer, snapshot.height)
            effects = await self._adopt(snapshot, following)
        except RequestFailed:
            return False
        except Refused as refusal:
            self._blame(peer, "snapshot", refusal)
            return False
        log.info("beginning with the snapshot of height %d", snapshot.height)
        with self._parts.store.transaction():
            self._parts.store.put_snapshot(snapshot.height, offer.name, payload)
            for effect in effects:
                if isinstance(effect, Keep):
                    self._put(effect.certified)
                elif isinstance(effect, BlockFinal):
                    header = effect.block.header
                    self._parts.store.finalise(header.height, block_hash(header))
        self._retell(effects)
        return True

    async def _adopt(
        self, snapshot: Snapshot, following: Sequence[CertifiedBlock]
    ) -> tuple[Effect, ...]:
        """Have the replica and the archive go on from a snapshot. Raises Refused."""
        parts, replica = self._parts, self._replica
        known = replica.machine.read(snapshot.border.saved)
        state = await parts.offload(
            lambda: rollup_state(parts.backend, snapshot.accounts, known.settled_root)
        )
        effects = replica.adopt(
            snapshot.border, following, replica.validators, parts.clock.now_ms()
        )
        self._archive.begin(known.settled_head, state)
        for job in known.jobs.values():
            self._archive.open(job.id, job.header)
        return effects

    def _retell(self, effects: Sequence[Effect]) -> None:
        """Tell what came of blocks that are stored already."""
        for effect in effects:
            if isinstance(effect, BlockFinal):
                self._note_final(effect)
            elif isinstance(effect, CheckBody):
                self._nursery.start_soon(self._check, effect.signed)

    def _blame(self, peer: Account, kind: str, refusal: Refused) -> None:
        """Tell of a refusal; a snapshot that too little follows yet is nobody's fault."""
        self._tell_refusal(MessageRefused(kind, refusal.reason, peer, refusal.detail))
        if refusal.reason is not Reason.UNPROVEN_STATE:
            self._parts.network.penalise(peer, refusal.reason.value)

    async def _keep_snapshot(self, border: Border, state: RollupState) -> None:
        """Keep what a newcomer can begin with, and no more of the log than is wanted."""
        payload = await self._parts.offload(
            lambda: Snapshot(border, tuple(state.accounts())).to_bytes()
        )
        store, height = self._parts.store, border.link.height
        store.put_snapshot(height, snapshot_name(payload), payload)
        kept = [height for height, _, _ in store.snapshots()]
        ticks = self._parts.history_epochs * self.machine.genesis.network.epoch_ticks
        if len(kept) > 1 and height > ticks:
            store.forget_log(min(height - ticks, *kept))

    async def _answer_offers(self, _peer: Account, _body: bytes) -> bytes | None:
        return encode_offers(self._parts.store)

    async def _answer_piece(self, _peer: Account, body: bytes) -> bytes | None:
        return read_piece(self._parts.store, body)

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
        for effect in self._replica.step(happening):
            await self._run(effect)
        if self._replica.slot > slot_before:
            self._look_for_progress()
            await self._ask_agents(SlotBegan(self._replica.slot))

    async def _run(self, effect: Effect) -> None:
        parts = self._parts
        match effect:
            case Remember(kind, slot, payload):
                parts.store.remember_own(kind, slot, payload)
            case Publish(topic, payload):
                await parts.network.publish(topic, payload)
            case Keep(certified):
                self._keep(certified)
            case BlockFinal():
                await self._finalise(effect)
            case CheckBody(signed):
                self._nursery.start_soon(self._check, signed)
            case FetchBlocks():
                self._behind.set()
            case Rejected():
                self._on_rejected(effect)
            case Halted(sentence):
                log.critical("this node stops voting: %s", sentence)
                parts.observer(effect)

    # --- the log ---

    def _keep(self, certified: CertifiedBlock) -> None:
        with self._parts.store.transaction():
            self._put(certified)

    def _put(self, certified: CertifiedBlock) -> None:
        header = certified.block.header
        name = block_hash(header)
        self._parts.store.put_block(name, header.height, encode(certified.block))
        self._parts.store.put_certificate(name, encode(certified.certificate))

    async def _finalise(self, final: BlockFinal) -> None:
        header = final.block.header
        self._parts.store.finalise(header.height, block_hash(header))
        if header.height % self.machine.genesis.network.epoch_ticks == 0:
            self._parts.store.prune_forks()
        self._progress_slot = self._replica.slot
        self._note_final(final)
        border, state = self._replica.border, self._archive.settled_state()
        if border is not None and border.link.height == header.height and state is not None:
            self._nursery.start_soon(self._keep_snapshot, border, state)
        await self._ask_agents(final)

    def _note_final(self, final: BlockFinal) -> None:
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
            self._fetch_recorded(signed)
        for job in self._archive.sequels():
            if self.machine.proving.job(job) is None:
                self._archive.end(job, final.applied.tick)
        self._archive.forget(final.applied.tick)
        self._parts.observer(final)

    def _fetch_recorded(self, signed: SignedOperation) -> None:
        """A recorded proof that was not checked here is still needed by whoever merges it, and the
        root of a backup by whoever asks for it.
        """
        record = signed.operation.payload
        if isinstance(record, BackupBlock) and self._parts.store.body(record.proof) is None:
            self._nursery.start_soon(self._check, signed)
        if not isinstance(record, ProofRecord) or record.job not in self.machine.jobs:
            return
        known = self._archive.proofs(record.job, record.index)
        if all(one.record != record for one in known):
            self._nursery.start_soon(self._check, signed)

    def _look_for_progress(self) -> None:
        # the clock may have been set back
        self._progress_slot = min(self._progress_slot, self._replica.slot)
        if self._replica.slot >= self._progress_slot + STALE_SLOTS:
            self._behind.set()

    async def _keep_synced(self) -> None:
        while True:
            await self._behind.wait()
            self._behind = trio.Event()
            for peer in self._parts.network.peers():
                if await self._sync_from(peer):
                    self._behind.set()
                    break
            await trio.sleep(SYNC_PAUSE_S)

    async def _sync_from(self, peer: Account) -> bool:
        """Ask one peer for what comes after our final block. Whether we got further."""
        before = self._replica.final_height
        try:
            blocks = await self._ask_blocks(peer, before)
        except RequestFailed:
            return False
        except Refused as refusal:
            self._on_refusal("certified blocks", refusal.reason, peer)
            self._parts.network.penalise(peer, refusal.reason.value)
            return False
        if not blocks:
            return False
        await self._send.send(CertifiedHeard(blocks, self._parts.clock.now_ms()))
        await trio.sleep(SYNC_PAUSE_S / 10)
        return self._replica.final_height > before

    async def _ask_blocks(self, peer: Account, above: Tick) -> tuple[CertifiedBlock, ...]:
        """Certified blocks of a peer, whose headers are signed. Raises RequestFailed, Refused."""
        answer = await self._parts.network.request(
            peer,
            BLOCKS_REQUEST,
            tick_bytes(above),
            size_max=SYNC_BYTES_MAX,
            timeout_ms=SYNC_TIMEOUT_MS,
        )
        blocks = decode_certified(answer, SYNC_BYTES_MAX)
        network = self.machine.network
        if not all(header_is_signed(network, one.block.signed) for one in blocks):
            raise Refused(Reason.BAD_SIGNATURE)
        return blocks

    async def _answer_blocks(self, _peer: Account, body: bytes) -> bytes | None:
        return encode_certified(self._parts.store, body, SYNC_BYTES_MAX)

    # --- bodies ---

    async def _check(self, signed: SignedOperation) -> None:
        """Fetch and check a body, then tell the replica."""
        payload = signed.operation.payload
        async with self._checks:
            record = _record_of(payload)
            job = None if record is None else self.machine.proving.job(record.job)
            fault = await self._archive.check(signed, job)
        now_ms = self._parts.clock.now_ms()
        if isinstance(payload, ProofRecord) and fault is None:
            await self._send.send(ProofKnown(KnownProof(signed.operation.sender, payload)))
        await self._send.send(BodyChecked(operation_hash(signed.operation), fault, now_ms))

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
            self._behind.set()
            return
        self._tell_refusal(MessageRefused(kind, reason, peer, ""))

    def _on_rejected(self, rejected: Rejected) -> None:
        if rejected.reason not in (Reason.DUPLICATE, Reason.PAST_SLOT):
            self._tell_refusal(
                MessageRefused(rejected.kind, rejected.reason, rejected.signer, rejected.detail)
            )

    def _tell_refusal(self, refused: MessageRefused) -> None:
        kind, reason, peer = refused.message, refused.reason, refused.peer
        key = kind, reason.name, "" if peer is None else peer.hex()
        is_counted = key in self.refusals or len(self.refusals) < REFUSALS_MAX
        self.refusals[key if is_counted else (kind, reason.name, "")] += 1
        # what comes in floods is only counted, or it would fill our disk
        if reason not in (Reason.TOO_MANY_PENDING, Reason.TOO_MANY_BIDS):
            self._parts.observer(refused)
            log.info("refused a %s: %s %s", kind, reason.value, refused.detail)

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
                self._running.pop(key).cancel()
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


def _record_of(payload: Payload) -> ProofRecord | None:
    """The record that an operation is, claims, or denounces."""
    if isinstance(payload, ProofEvidence | UncleClaim):
        return payload.record
    return payload if isinstance(payload, ProofRecord) else None
