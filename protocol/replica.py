"""Ordering, machine and pending operations as one value: an event goes in, effects come out.

**The problem.** A node must turn what it hears into votes, proposals and state, survive restarts,
and never depend on when its disk or network are quick. So everything it decides is decided here,
without I/O; the shell (``p2p.node``) feeds events in one at a time and runs the effects in order.

**Rules.**

- Messages arrive decoded, within limits and with valid signatures: the shell checks that before.
- *Duty of order:* effects are run in order, and a :class:`Remember` is durable before what follows
  it. So a restart never signs two things for one slot.
- *Execution follows finality:* the machine applies finalised blocks only.
- *Ordered means available and valid:* an operation with a body (a reveal, a backup, a record) is
  proposed only after its body was held and found valid in an earlier slot, and voted for only when
  it was found valid here. Evidence of a forgery is valid when its bytes are not.
- A header's state digest must equal our own after the same block, or it gets no vote. A *notarised*
  block that disagrees means that this replica, or more than two thirds of the log stake, is wrong:
  the replica halts and says so.
- *A clock that is wrong* signs nothing: a proposal or vote for a slot of the future would bar its
  signer from every slot until then, also once the clock is right.
- *Epochs:* when the last block of an epoch is final and applied, the engine of the next one takes
  over, with the validators that the machine names (``protocol.sets``). Blocks of a later epoch show
  that this replica is behind; those of one that is over are of no use.
- *Idle:* a validator proposes only while operations are pending, ordered but not final, or a window
  is open.

**Properties.** :meth:`Replica.step` is total on messages of others and deterministic: equal events
in equal order give equal effects.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.codec import encode
from protocol.errors import Reason, Refused
from protocol.handover import Border
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
from protocol.ledger import log_stake
from protocol.machine import (
    EVIDENCE,
    FinalBlock,
    Machine,
    accused,
    forgery,
    moment_of,
)
from protocol.messages import (
    LOG_BLOCK_BYTES_MAX,
    BackupBlock,
    BlockCommitment,
    BlockReveal,
    CertifiedBlock,
    Intent,
    LogBlock,
    Operation,
    Payload,
    ProofEvidence,
    ProofRecord,
    ProposalEvidence,
    SignedOperation,
    SignedVote,
    UncleClaim,
    Vote,
    VoteEvidence,
    operation_hash,
    operation_is_signed,
    operations_digest,
    sign_header,
    sign_operation,
    sign_vote,
)
from protocol.ordering.chain import Anchor
from protocol.ordering.outputs import (
    Candidate,
    Equivocation,
    Finalised,
    Missing,
    Notarised,
    Output,
    ProposalDue,
    VoteDue,
)
from protocol.ordering.settings import Settings
from protocol.ordering.streamlet import SignedSlots, Streamlet
from protocol.ordering.validators import Identity, Validators
from protocol.ports import Topic
from protocol.types import (
    Account,
    BodyHash,
    Digest,
    JobId,
    Milliseconds,
    Nonce,
    OperationHash,
    Slot,
    Tick,
    TreeIndex,
)

PENDING_MAX: Final = 4_096
"""Most pending operations."""

PENDING_PER_SENDER_MAX: Final = 128
"""Most pending operations of one account."""

REPEAT_SLOTS: Final = 4
"""An operation of ours that is not ordered is gossiped again after so many slots: gossip is best
effort.
"""

DIGESTS_KEPT: Final = 1_024
"""State digests kept, in heights below the last final one: what a late header may refer to."""

CERTIFIED: Final = "certified block"
"""What a refused block with its certificate is called."""

BODY_KINDS: Final = (BlockReveal, BackupBlock, ProofRecord, UncleClaim, ProofEvidence)
"""Payloads that count only with bytes that travel by request."""


TOPICS: Final = {
    Intent: Topic.INTENTS,
    BlockCommitment: Topic.BLOCK_PROPOSALS,
    BlockReveal: Topic.BLOCK_PROPOSALS,
    BackupBlock: Topic.BLOCK_PROPOSALS,
    ProofRecord: Topic.PROOFS,
    UncleClaim: Topic.PROOFS,
}
"""Topics of the kinds that have one of their own."""

BLOCK_ROOM_BYTES: Final = LOG_BLOCK_BYTES_MAX - 64_000
"""Bytes of operations in one log block; the rest is for the header and its certificate."""

NONCE_SHIFT: Final = 8
"""Nonces of our operations are milliseconds shifted by this: they grow over restarts without
being stored.
"""


# --- the replica ---


@dataclass(slots=True)
class _Pending:
    """An operation that waits to be ordered.

    ``ready_slot`` is the first slot whose proposals may carry it; None while its body is not known
    to be valid. ``is_asked``: the check of its body was asked for.
    """

    signed: SignedOperation
    identity: OperationHash
    is_own: bool
    told_slot: Slot
    ready_slot: Slot | None
    is_asked: bool = False


class Replica:
    """One node's copy of the log, its state, and what waits to be ordered.

    :ivar border: the last final block that ends an epoch, with the state after it; None before.
    """

    def __init__(
        self, machine: Machine, identity: Identity | None, signed: SignedSlots | None = None
    ) -> None:
        """Begin at the genesis; use :meth:`restore` with what was stored before the first step.

        :param identity: keys of a validator or of an account that submits operations; None for an
            observer.
        :param signed: the slots last signed in, as the disk knows them.
        """
        parameters = machine.genesis.network
        self._settings = Settings(
            machine.network,
            parameters.genesis_time_ms,
            parameters.slot_ms,
            parameters.epoch_ticks,
        )
        self.machine = machine
        self.engine = Streamlet(
            self._settings,
            machine.sets.validators,
            identity,
            signed=signed,
            successors=machine.sets.successors,
        )
        self.identity = identity
        self.halted: str | None = None
        self.border: Border | None = None
        self._agreed = Tick(0)
        self._is_clock_right = True
        self._digests: dict[Tick, Digest] = {Tick(0): machine.digest}
        self._pending: dict[OperationHash, _Pending] = {}
        self._valid_bodies: dict[OperationHash, Tick] = {}
        self._nonce = 0
        self._slot = Slot(0)

    # --- reading ---

    @property
    def final_height(self) -> Tick:
        """Height of the last block that was applied."""
        return self.machine.tick

    @property
    def slot(self) -> Slot:
        """The slot of the last time that was told."""
        return self._slot

    def pending(self) -> tuple[SignedOperation, ...]:
        """Operations that wait to be ordered, oldest first."""
        return tuple(one.signed for one in self._pending.values())

    @property
    def validators(self) -> Validators:
        """Who orders the log."""
        return self.machine.sets.validators

    def is_validator(self, account: Account) -> bool:
        """Whether the account orders the log in the present epoch."""
        return self.machine.sets.validators.get(account) is not None

    def validator_objection(self, account: Account, slot: Slot) -> Reason | None:
        """Why an account must not propose or vote in a slot; None if it may.

        An epoch has at least as many slots as heights. So within an epoch of slots from the last
        final block only the sets known here can be at work; later, nobody is blamed. Nor is a
        holder of stake who is in none of them: who was absent and left out takes itself for a
        member until it has caught up.
        """
        sets, parameters = self.machine.sets, self.machine.genesis.network
        if sets.validators.get(account) is not None:
            return None
        if sets.predecessors.get(account) is not None:
            return Reason.PAST_EPOCH
        known_until = self.engine.anchor.link.slot + parameters.epoch_ticks
        is_next = sets.successors.get(account) is not None
        if is_next or slot > known_until:
            return Reason.LATER_EPOCH
        has_stake = self.machine.ledger.at_risk(log_stake(account)) > 0
        return Reason.PAST_EPOCH if has_stake else Reason.NOT_A_VALIDATOR

    @property
    def _may_sign(self) -> bool:
        """Whether proposals and votes of ours are worth anything."""
        return self.halted is None and self._is_clock_right

    def knows(self, identity: OperationHash) -> bool:
        """Whether the operation waits here already."""
        return identity in self._pending

    def objection(self, signed: SignedOperation) -> Reason | None:
        """Why an operation is not worth keeping, judged by the final state; None if it is."""
        operation = signed.operation
        if operation_hash(operation) in self._pending:
            return Reason.DUPLICATE
        reason = self.machine.objection(operation, Tick(self.final_height + 1))
        if reason is not None:
            return reason
        of_sender = sum(
            1 for one in self._pending.values() if one.signed.operation.sender == operation.sender
        )
        if len(self._pending) >= PENDING_MAX or of_sender >= PENDING_PER_SENDER_MAX:
            return Reason.TOO_MANY_PENDING
        return None

    # --- stepping ---

    def restore(
        self, certified: Sequence[CertifiedBlock], now_ms: Milliseconds
    ) -> tuple[Effect, ...]:
        """Go on from all notarised blocks that were kept, parents first.

        The slots last signed in were given to the engine when it was made.

        :returns: the effects of applying them again, without what is stored already.
        """
        effects = self.step(CertifiedHeard(tuple(certified), now_ms))
        return tuple(one for one in effects if isinstance(one, BlockFinal | CheckBody | Halted))

    def adopt(
        self,
        border: Border,
        following: Sequence[CertifiedBlock],
        trusted: Validators | None,
        now_ms: Milliseconds,
    ) -> tuple[Effect, ...]:
        """Go on from a border that somebody else told of; before the first step.

        It counts only when a certified header that follows names the state that applying the blocks
        up to it gives; see ``protocol.handover``.

        :param following: certified blocks from above the border on, parents first.
        :param trusted: who orders the epoch after the border, and whose certificates prove its
            state; None where this node has proven it in an earlier life: then whom it names.
        :returns: the effects of the blocks that follow.
        :raises Refused: for whatever is wrong with it; then nothing changed.
        """
        assert self.final_height == 0, "a replica that has begun goes on from where it is"
        if border.network != self.machine.network:
            raise Refused(Reason.WRONG_NETWORK)
        heir = Replica(copy.deepcopy(self.machine), self.identity, self.engine.signed)
        heir._begin_at(border, following)
        if trusted is not None and heir.validators.digest != trusted.digest:
            raise Refused(Reason.UNTRUSTED_SET, f"after height {border.link.height}")
        effects = heir.step(CertifiedHeard(tuple(following), now_ms))
        if heir.halted is not None:
            raise Refused(Reason.WRONG_STATE, heir.halted)
        if heir._agreed < border.link.height:
            rejected = (one for one in effects if isinstance(one, Rejected))
            why = next((f"{one.kind}: {one.reason.value}" for one in rejected), "too few follow")
            raise Refused(Reason.UNPROVEN_STATE, why)
        heir.border = heir.border or border
        for name in vars(heir):
            setattr(self, name, getattr(heir, name))
        return effects

    def _begin_at(self, border: Border, following: Sequence[CertifiedBlock]) -> None:
        """Take over the state and the place in the log. Raises Refused."""
        link, machine = border.link, self.machine
        machine.restore(border.saved)
        seed = link.seed_of_child(self._settings)
        is_its = (link.height, link.beacon, seed) == (
            machine.tick,
            machine.beacon,
            machine.epoch_seed,
        )
        if not is_its or link != link.rooted:
            raise Refused(Reason.WRONG_STATE, "the place in the log is not that of the state")
        parents = [one.block.header.parent for one in following[:1]]
        if parents != [link.block]:
            raise Refused(Reason.UNPROVEN_STATE, "nothing follows")
        anchor = Anchor(link, following[0].block.header.certificate)
        signed = self.engine.signed
        sets = machine.sets
        self.engine = Streamlet(
            self._settings,
            sets.validators,
            self.identity,
            anchor=anchor,
            signed=signed,
            predecessors=sets.predecessors,
            successors=sets.successors,
        )
        self._digests = {link.height: machine.digest}

    def step(self, happening: Happening) -> tuple[Effect, ...]:
        """Take one event. Returns effects to be run in order."""
        return tuple(self._take(happening))

    def _take(self, happening: Happening) -> Iterator[Effect]:
        now_ms = happening.now_ms
        self._slot = self.engine.slot_at(now_ms)
        match happening:
            case TimePassed():
                yield from self._follow(self.engine.on_time(now_ms), now_ms)
                yield from self._repeat()
            case BlockHeard(block):
                yield from self._on_block(block, now_ms)
            case VoteHeard(vote):
                yield from self._on_vote(vote, now_ms)
            case CertifiedHeard(blocks):
                for certified in blocks:
                    yield from self._on_certified(certified, now_ms)
            case OperationHeard(signed):
                yield from self._add(signed, is_own=False)
            case Submitted(payload):
                yield from self._submit(payload, now_ms)
            case ClockJudged(is_right):
                self._is_clock_right = is_right
                self._take_back_slots()
            case _:
                yield from self._on_body(happening.operation, happening.fault, now_ms)

    # --- what others say ---

    def _on_block(self, block: LogBlock, now_ms: Milliseconds) -> Iterator[Effect]:
        try:
            outputs = self.engine.on_block(block, now_ms)
        except Refused as refusal:
            yield self._told(refusal, "log proposal", block.header.proposer)
            return
        for signed in block.operations:
            is_new = needs_body(signed.operation) and self.objection(signed) is None
            if is_new and operation_is_signed(self.machine.network, signed):
                yield from self._add(signed, is_own=False)
        yield from self._follow(outputs, now_ms)

    def _on_vote(self, vote: SignedVote, now_ms: Milliseconds) -> Iterator[Effect]:
        try:
            outputs = self.engine.on_vote(vote, now_ms)
        except Refused as refusal:
            yield Rejected(refusal.reason, refusal.detail, "log vote", vote.vote.voter)
            return
        yield from self._follow(outputs, now_ms)

    def _on_certified(self, certified: CertifiedBlock, now_ms: Milliseconds) -> Iterator[Effect]:
        header, epoch = certified.block.header, self.engine.epoch
        if header.height <= self.final_height:
            return
        try:
            outputs = self.engine.on_certified(certified, now_ms)
        except Refused as refusal:
            yield self._told(refusal, CERTIFIED, header.proposer)
            return
        yield from self._follow(outputs, now_ms)
        if header.epoch == self.engine.epoch > epoch:
            yield from self._on_certified(certified, now_ms)

    def _told(self, refusal: Refused, kind: str, proposer: Account) -> Effect:
        """What comes of a refused block: one of a later epoch shows that we are behind."""
        if refusal.reason is Reason.LATER_EPOCH:
            return FetchBlocks(self.final_height)
        return Rejected(refusal.reason, refusal.detail, kind, proposer)

    # --- what the engine says ---

    def _follow(self, outputs: tuple[Output, ...], now_ms: Milliseconds) -> Iterator[Effect]:
        for output in outputs:
            match output:
                case ProposalDue(slot):
                    yield from self._propose(slot, now_ms)
                case VoteDue(slot):
                    yield from self._vote(slot, now_ms)
                case Notarised():
                    yield Keep(output.certified)
                    yield from self._compare(output)
                case Finalised():
                    yield from self._apply(output)
                case Missing():
                    yield FetchBlocks(self.final_height)
                case Equivocation(evidence):
                    if self._is_worth_a_report(evidence):
                        yield from self._submit(evidence, now_ms)
                case _:
                    proposer = output.block.header.proposer
                    yield Rejected(output.reason, "", "log proposal", proposer)
        if self.engine.is_over:
            self.engine = self.engine.next(self.machine.sets.successors)

    def _is_worth_a_report(self, evidence: VoteEvidence | ProposalEvidence) -> bool:
        """Whether there is something left to be taken for the fault."""
        stake = self.machine.ledger.at_risk(log_stake(accused(evidence)[0]))
        return stake > 0 and not self.machine.is_punished(evidence)

    def _apply(self, final: Finalised) -> Iterator[Effect]:
        header, link = final.block.header, final.link
        moment = moment_of(header, link)
        applied = self.machine.apply(FinalBlock(moment, final.block.operations))
        self._digests[link.height] = applied.digest
        self._digests.pop(Tick(link.height - DIGESTS_KEPT), None)
        saved = self.machine.saved
        if saved is not None and self.machine.is_at_border:
            self.border = Border(self.machine.network, link.rooted, saved)
        yield BlockFinal(final.block, moment, applied)
        for signed in final.block.operations:
            self._pending.pop(operation_hash(signed.operation), None)
        self._forget_outdated()
        yield from self._check_bodies()

    def _forget_outdated(self) -> None:
        height = Tick(self.final_height + 1)
        for identity, pending in tuple(self._pending.items()):
            operation = pending.signed.operation
            is_moot = isinstance(operation.payload, EVIDENCE) and self.machine.is_punished(
                operation.payload
            )
            if is_moot or operation.valid_until < height:
                del self._pending[identity]
        for identity, until in tuple(self._valid_bodies.items()):
            if until < height:
                del self._valid_bodies[identity]

    def _compare(self, notarised: Notarised) -> Iterator[Effect]:
        header, settled = notarised.block.header, notarised.link.settled
        ours = self._digests.get(settled)
        if ours is not None and ours != header.state and self.halted is None:
            self.halted = (
                f"the notarised block {header.height} has state {header.state.hex()[:16]} "
                f"after height {settled}; this node has {ours.hex()[:16]}"
            )
            yield Halted(self.halted)
        if ours == header.state:
            self._agreed = max(self._agreed, settled)

    # --- proposing ---

    def _propose(self, slot: Slot, now_ms: Milliseconds) -> Iterator[Effect]:
        draft = self.engine.draft(slot)
        if draft is None or self.identity is None or not self._may_sign:
            return
        chain = self.engine.chain(draft.parent)
        chosen = self._choose(chain, draft.height, slot)
        is_idle = not chosen and not any(block.operations for block in chain)
        if is_idle and not self.machine.needs_ticks():
            return
        operations = () if self.engine.is_beyond(draft.height) else chosen
        header = draft.header(operations_digest(operations), self._digests[draft.settled])
        signed = sign_header(self.identity.signing_seed, self.machine.network, header)
        block = LogBlock(signed, operations)
        payload = encode(block)
        yield Remember("proposal", slot, encode(signed))
        yield Publish(Topic.LOG_PROPOSALS, payload)
        yield from self._follow(self.engine.on_block(block, now_ms), now_ms)

    def _choose(
        self, chain: tuple[LogBlock, ...], height: Tick, slot: Slot
    ) -> tuple[SignedOperation, ...]:
        """Pending operations for a block on ``chain``, oldest first, within the limits."""
        parameters = self.machine.genesis.network
        ordered = _Ordered(chain)
        chosen: list[SignedOperation] = []
        size = 0
        for pending in self._pending.values():
            if len(chosen) == parameters.max_operations_per_log_block:
                break
            if pending.ready_slot is None or pending.ready_slot > slot:
                continue
            if self._fault(pending.signed.operation, ordered, height) is not None:
                continue
            size += len(encode(pending.signed))
            if size > BLOCK_ROOM_BYTES:
                break
            ordered.add(pending.signed.operation, height)
            chosen.append(pending.signed)
        return tuple(chosen)

    def _fault(self, operation: Operation, ordered: _Ordered, height: Tick) -> Reason | None:
        """Why a block at ``height``, after what is ordered but not final, should not carry it."""
        if operation_hash(operation) in ordered.identities:
            return Reason.DUPLICATE
        if (
            needs_body(operation)
            and ordered.body_count(height) >= self.machine.genesis.network.max_bodies_per_log_block
        ):
            return Reason.TOO_MANY_BODIES
        objection = self.machine.objection(operation, height)
        if objection is not None:
            return objection
        earliest = self.machine.earliest(operation, ordered.since_final)
        return Reason.TOO_EARLY if earliest is None or earliest > height else None

    # --- voting ---

    def _vote(self, slot: Slot, now_ms: Milliseconds) -> Iterator[Effect]:
        if self.identity is None or not self._may_sign:
            return
        for candidate in self.engine.ballot(slot):
            objection = self._objection_to(candidate)
            if objection is not None:
                proposer = candidate.block.header.proposer
                yield Rejected(objection, f"slot {slot}", "log proposal", proposer)
            else:
                vote = Vote(self.identity.account, slot, candidate.link.block)
                signed = sign_vote(self.identity.signing_seed, self.machine.network, vote)
                payload = encode(signed)
                yield Remember("vote", slot, payload)
                yield Publish(Topic.LOG_VOTES, payload)
                yield from self._follow(self.engine.on_vote(signed, now_ms), now_ms)
                return

    def _objection_to(self, candidate: Candidate) -> Reason | None:
        """Why a proposal's content gets no vote of ours."""
        block, parameters = candidate.block, self.machine.genesis.network
        header = block.header
        if self._digests.get(candidate.link.settled) != header.state:
            return Reason.WRONG_STATE
        if len(block.operations) > parameters.max_operations_per_log_block:
            return Reason.TOO_LARGE
        ordered = _Ordered(self.engine.chain(header.parent))
        for signed in block.operations:
            reason = self._fault(signed.operation, ordered, header.height)
            reason = reason or self._unavailable(signed)
            if reason is not None:
                return reason
            ordered.add(signed.operation, header.height)
        return None

    def _unavailable(self, signed: SignedOperation) -> Reason | None:
        """Why an operation cannot be vouched for: not signed, or its body not known to be valid."""
        identity = operation_hash(signed.operation)
        pending = self._pending.get(identity)
        is_known = pending is not None and pending.signed == signed
        if not is_known and not operation_is_signed(self.machine.network, signed):
            return Reason.BAD_SIGNATURE
        if needs_body(signed.operation) and identity not in self._valid_bodies:
            return Reason.BODY_MISSING
        return None

    # --- operations ---

    def _submit(self, payload: Payload, now_ms: Milliseconds) -> Iterator[Effect]:
        if self.identity is None:
            return
        self._nonce = max(self._nonce + 1, now_ms << NONCE_SHIFT)
        lifetime = self.machine.genesis.network.epoch_ticks
        operation = Operation(
            self.identity.account,
            Nonce(self._nonce),
            Tick(self.final_height + lifetime),
            payload,
        )
        signed = sign_operation(self.identity.signing_seed, self.machine.network, operation)
        objection = self.objection(signed)
        if objection is not None:
            yield Rejected(objection, "", f"own {type(payload).__name__}")
            return
        yield Publish(topic_of(payload), encode(signed))
        yield from self._add(signed, is_own=True)

    def _add(self, signed: SignedOperation, *, is_own: bool) -> Iterator[Effect]:
        objection = self.objection(signed)
        if objection is not None:
            operation = signed.operation
            yield Rejected(objection, "", type(operation.payload).__name__, operation.sender)
            return
        identity = operation_hash(signed.operation)
        ready = None if needs_body(signed.operation) else self._slot
        self._pending[identity] = _Pending(signed, identity, is_own, self._slot, ready)
        yield from self._check_bodies()

    def _check_bodies(self) -> Iterator[Effect]:
        """Ask for the check of each body that can be judged now and was not asked for yet.

        Of one signer, one proof of a tree node is fetched at a time.
        """
        checking = {
            _proof_of(pending.signed.operation)
            for pending in self._pending.values()
            if pending.is_asked and pending.ready_slot is None
        }
        for pending in self._pending.values():
            operation = pending.signed.operation
            if pending.is_asked or not needs_body(operation):
                continue
            place = _proof_of(operation)
            if place not in checking and self._is_judgeable(operation):
                checking.add(place)
                pending.is_asked = True
                yield CheckBody(pending.signed)

    def _is_judgeable(self, operation: Operation) -> bool:
        """Whether the body can be judged, and is worth it: a record's sender holds a right, and a
        block can be sealed.
        """
        payload = operation.payload
        if isinstance(payload, BlockReveal | BackupBlock):
            return self.machine.sequencing.may_seal(operation.sender, payload)
        if isinstance(payload, UncleClaim):
            return self.machine.earliest(operation, ()) is not None
        if not isinstance(payload, ProofRecord):
            return True
        return self.machine.proving.may_deliver(payload.job, payload.index, operation.sender)

    def _on_body(
        self, identity: OperationHash, fault: Reason | None, now_ms: Milliseconds
    ) -> Iterator[Effect]:
        pending = self._pending.get(identity)
        if pending is None:
            return
        operation = pending.signed.operation
        if fault is None:
            self._valid_bodies[identity] = operation.valid_until
            pending.ready_slot = Slot(self._slot + 1)
        else:
            del self._pending[identity]
            yield Rejected(fault, _body_of(operation).hex(), "body", operation.sender)
            is_record = isinstance(operation.payload, ProofRecord | UncleClaim)
            if fault is Reason.INVALID_PROOF and is_record and not pending.is_own:
                yield from self._accuse(pending.signed, now_ms)

    def _accuse(self, forged: SignedOperation, now_ms: Milliseconds) -> Iterator[Effect]:
        """Report a record whose bytes prove nothing, unless that is under way."""
        operation = forged.operation
        assert isinstance(operation.payload, ProofRecord | UncleClaim), "no other has a proof"
        evidence = ProofEvidence(
            operation.sender,
            operation.nonce,
            operation.valid_until,
            operation.payload,
            forged.signature,
        )
        waiting = (one.signed.operation.payload for one in self._pending.values())
        is_reported = any(
            isinstance(one, ProofEvidence) and forgery(one) == forgery(evidence) for one in waiting
        )
        if not is_reported and not self.machine.is_punished(evidence):
            yield from self._submit(evidence, now_ms)

    def _take_back_slots(self) -> None:
        """What was heard by a clock that was ahead waits for no slot of its future."""
        for pending in self._pending.values():
            pending.told_slot = min(pending.told_slot, self._slot)
            if pending.ready_slot is not None:
                pending.ready_slot = min(pending.ready_slot, Slot(self._slot + 1))

    def _repeat(self) -> Iterator[Effect]:
        """Gossip our own operations again that have waited for long."""
        for pending in self._pending.values():
            if pending.is_own and self._slot >= pending.told_slot + REPEAT_SLOTS:
                pending.told_slot = self._slot
                payload = pending.signed.operation.payload
                yield Publish(topic_of(payload), encode(pending.signed))


class _Ordered:
    """What is ordered above the final block, on one chain, by identity and by height."""

    def __init__(self, chain: tuple[LogBlock, ...]) -> None:
        self.identities: set[OperationHash] = set()
        self.since_final: list[tuple[Tick, Operation]] = []
        for block in chain:
            for signed in block.operations:
                self.add(signed.operation, block.header.height)

    def add(self, operation: Operation, height: Tick) -> None:
        """Count an operation as ordered at ``height``."""
        self.identities.add(operation_hash(operation))
        self.since_final.append((height, operation))

    def body_count(self, height: Tick) -> int:
        """Operations with bodies in the block at ``height``."""
        return sum(1 for at, one in self.since_final if at == height and needs_body(one))


def _proof_of(operation: Operation) -> tuple[Account, JobId, TreeIndex] | OperationHash:
    """Which proof of whom an operation is about; anything else is about itself."""
    payload = operation.payload
    record = payload.record if isinstance(payload, UncleClaim) else payload
    if isinstance(record, ProofRecord):
        return operation.sender, record.job, record.index
    return operation_hash(operation)


def needs_body(operation: Operation) -> bool:
    """Whether the operation counts only with bytes that travel by request."""
    return isinstance(operation.payload, BODY_KINDS)


def _body_of(operation: Operation) -> BodyHash:
    """The name of the bytes that the operation counts with."""
    payload = operation.payload
    if isinstance(payload, ProofRecord):
        return payload.proof
    if isinstance(payload, ProofEvidence | UncleClaim):
        return payload.record.proof
    assert isinstance(payload, BlockReveal | BackupBlock), "no other kind has a body"
    return payload.content.body


def topic_of(payload: Payload) -> Topic:
    """Where operations with this payload are gossiped."""
    return TOPICS.get(type(payload), Topic.OPERATIONS)
