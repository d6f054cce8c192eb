"""Acts for a prover: stays electable, proves what is its own, covers for others when that pays.

Rules, upon any event:

- While the proving rule says that it is time, enlist (an intent), for as many proofs at a time as
  there are workers. Without prover stake no record would count: then neither this nor the next.
  Not while one more leaf, or one more merge, behind everything that is owed would take longer than
  the rule's window for it, as :mod:`prover.forecast` predicts: then the operator is told why, once.
  Who proves nothing learns nothing, so after the length of an intent the times to begin with count
  again.
- While the node is paused, withdraw the intent and begin no backup; see :mod:`prover.pausing`.
- For every duty that the proving rule names, if the pay is worth the work, start a proof as soon as
  its inputs are known: a leaf when the block's body was executed, a merge when valid proofs of both
  children are known, recorded or not. A child's recorded proof is taken before any other; before
  one is recorded, only a proof of somebody who may deliver it.
- Start none while the node is behind: the job may be closed, and its right gone, since it was
  stopped. A job that is open keeps the log going, so this ends with the next log block.
- Stop proofs that nobody needs any more. Try again what failed, upon the next event.
- Claim as an uncle what was proven and lost to another's record, while that pays; start no proof
  for that alone, unless stake is lost without it.
- Where merge owners decide what counts, take every offer for a merge of one's own.
- Announce a finished proof at once: proposers keep a record until it is admissible, and whoever
  owns the parent can start.

*Worth:* ``reward + at_stake >= cost_per_work * work``. A takeover pays nothing by itself in the
thread's rule, but without it the prover's own tree nodes of the job pay nothing either.

The agent keeps no state but how long proofs took here: what is running, known and pending is in the
view, what must survive a restart is in notes. Backups, if it was told to make any, are
:mod:`prover.backup`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from protocol import tree
from protocol.agents import (
    Action,
    AgentEvent,
    CancelProof,
    KeepBody,
    KeepNote,
    KnownProof,
    ProofFailed,
    ProofKey,
    ProofMade,
    StartProof,
    Submit,
    Tell,
    View,
    is_paused,
)
from protocol.codec import decode, encode
from protocol.ledger import prover_stake
from protocol.messages import (
    OPERATION_BYTES_MAX,
    Inclusion,
    Intent,
    ProofRecord,
    UncleClaim,
    body_hash,
)
from protocol.ports import LeafContent, MergeContent, ProverBackend
from protocol.rules import ProvingDuty, Stage
from protocol.types import Amount, Count, Stake, Tick, TreeIndex
from prover.backup import BackupProver
from prover.forecast import UNTIMED, Capacity, Load, owed_load
from prover.pausing import Drain, is_bound, withdrawal
from prover.tasks import LeafTask, MergeTask, ProvingTask


@dataclass(frozen=True, slots=True)
class ProverSettings:
    """What a prover decides for itself.

    :ivar cost_per_work: what a compute unit costs it, in micro-units: it proves nothing that pays
        less.
    :ivar backs_up: it proves whole blocks that the sequencer of its own node built, where the
        sequencing rule calls for a backup.
    :ivar intent_ticks: for how long it wants to stay electable without saying so again.
    :ivar capacity: workers, cores and what is known of their speed, to begin with.
    """

    cost_per_work: Amount = Amount(1)
    intent_ticks: Tick = Tick(128)
    backs_up: bool = False
    capacity: Capacity = UNTIMED


class ProverAgent:
    """The agent of this module."""

    def __init__(self, settings: ProverSettings, backend: ProverBackend) -> None:
        self.settings = settings
        self.backend = backend
        self.backup = BackupProver(backend) if settings.backs_up else None
        self.capacity = settings.capacity
        self._drain = Drain()
        self._slow_since: Tick | None = None

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        """Actions upon an event; see the module."""
        self.capacity = self.capacity.learned(event)
        made = self._made(view, event) if isinstance(event, ProofMade) else ()
        said = (*self._enlist(view), *self._include(view)) if _has_stake(view) else ()
        told = self._drain.tell(view)
        return (*made, *said, *self._reconcile(view, event), *told)

    # --- being electable ---

    def _enlist(self, view: View) -> Iterator[Action]:
        machine = view.machine
        lifetime = Tick(min(self.settings.intent_ticks, machine.genesis.network.epoch_ticks))
        stake = Stake(machine.ledger.holds(prover_stake(view.account)))
        payload = machine.proving.enlistment(view.account, stake, machine.tick, lifetime)
        said = tuple(map(type, view.own_pending()))
        if is_paused(view):
            if Intent not in said:
                yield from withdrawal(view, self.capacity.workers)
            return
        if payload is None or type(payload) in said:
            return
        since = self._slow_since
        if since is not None and machine.tick >= since + self.settings.intent_ticks:
            self.capacity, self._slow_since = self.settings.capacity, machine.tick
        if (slow := self.too_slow(view)) is not None:
            if since is None:
                self._slow_since = machine.tick
                yield Tell(slow)
            return
        self._slow_since = None
        if isinstance(payload, Intent):
            payload = replace(payload, capacity=self.capacity.workers)
        yield Submit(payload)

    def too_slow(self, view: View) -> str | None:
        """A sentence that says why it would miss a window if it could be elected, if it would."""
        election = view.machine.proving.election(view.account)
        if election is None:
            return None
        owed, slot_ms = owed_load(view), view.machine.genesis.network.slot_ms
        needs = (
            ("a leaf", Load(leaves=1), election.leaf_window_ticks),
            ("a merge", Load(merges=1), election.merge_window_ticks),
        )
        for name, load, window in needs:
            ticks = self.capacity.ticks((load,), owed, slot_ms)
            if ticks is not None and ticks > window:
                return (
                    f"not enlisting: {name} behind {owed.leaves} leaves and {owed.merges} merges "
                    f"is predicted to take {ticks} ticks here, and its window has {window}"
                )
        return None

    # --- including ---

    def _include(self, view: View) -> Iterator[Action]:
        """Take every offer for a merge of ours: it was verified before it was ordered."""
        for errand in view.machine.proving.errands(view.account, view.machine.tick):
            if isinstance(errand, Inclusion) and errand not in view.own_pending():
                yield Submit(errand)

    # --- proving ---

    def _reconcile(self, view: View, event: AgentEvent) -> Iterator[Action]:
        called = view.machine.proving.duties(view.account) if _has_stake(view) else ()
        if is_paused(view):
            called = tuple(one for one in called if is_bound(one) or one.stage is Stage.UNCLE)
        duties = [one for one in called if self._pays(one)]
        wanted = {ProofKey(duty.job, duty.index): duty for duty in duties}
        finished = event.key if isinstance(event, ProofMade | ProofFailed) else None
        running = view.running()
        backs_up = self.backup is not None and not is_paused(view)
        plan = self.backup.plan(view, event) if self.backup and backs_up else None
        spare = {} if self.backup is None or plan is None else self.backup.tasks(view, plan)
        for key in running:
            if key not in wanted and key not in spare:
                yield CancelProof(key)
        yield from (
            StartProof(key, task)
            for key, task in spare.items()
            if key not in running and key != finished and not view.is_behind
        )
        if self.backup is not None and plan is not None:
            yield from self.backup.actions(view, plan, event)
        for key, duty in wanted.items():
            if key in running or key == finished:
                continue
            record = self._own_record(view, key)
            if record is not None:
                yield from self._announce(view, duty, record)
            elif not view.is_behind and (duty.stage is not Stage.UNCLE or duty.at_stake):
                task = self._task(view, key)
                if task is not None:
                    yield StartProof(key, task)

    def _pays(self, duty: ProvingDuty) -> bool:
        return duty.reward + duty.at_stake >= self.settings.cost_per_work * duty.work

    def _announce(self, view: View, duty: ProvingDuty, record: ProofRecord) -> Iterator[Action]:
        payload = UncleClaim(record) if duty.stage is Stage.UNCLE else record
        if payload not in view.own_pending():
            yield Submit(payload)

    def _own_record(self, view: View, key: ProofKey) -> ProofRecord | None:
        """The record of a proof that we made already and that is still of use."""
        note = view.note(_note_name(key))
        if note is None:
            return None
        record: ProofRecord = decode(ProofRecord, note, size_max=OPERATION_BYTES_MAX)
        inputs = self._inputs(view, key) if key.index.level else None
        is_outdated = inputs is not None and record.children != tuple(
            one.record.claim for one in inputs
        )
        return None if is_outdated or view.body(record.proof) is None else record

    def _task(self, view: View, key: ProofKey) -> ProvingTask | None:
        """What to prove, or None while an input is missing."""
        job = view.machine.proving.job(key.job)
        assert job is not None, "a duty is about a job that is known"
        leaf_count = Count(job.header.leaf_count)
        if key.index.level == 0:
            block = view.block(key.job)
            if block is None:
                return None
            witness = block.witness(key.index.position)
            return LeafTask(key.job, view.account, key.index, leaf_count, job.opened_at, witness)
        inputs = self._inputs(view, key)
        if inputs is None:
            return None
        left, right = (view.body(one.record.proof) for one in inputs)
        if left is None or right is None:
            return None
        return MergeTask(key.job, view.account, key.index, leaf_count, job.opened_at, left, right)

    def _inputs(self, view: View, key: ProofKey) -> tuple[KnownProof, KnownProof] | None:
        """The proofs that a merge consumes, or None while one is missing."""
        left, right = (self._input(view, key, child) for child in tree.children(key.index))
        return None if left is None or right is None else (left, right)

    def _input(self, view: View, key: ProofKey, child: TreeIndex) -> KnownProof | None:
        recorded = view.machine.proving.recorded_claim(key.job, child)
        for proof in view.proofs(key.job, child):
            is_due = view.machine.proving.may_deliver(key.job, child, proof.prover)
            if proof.record.claim == recorded or (recorded is None and is_due):
                return proof
        return None

    # --- what became of a proof ---

    def _made(self, view: View, event: ProofMade) -> Iterator[Action]:
        record = self._record(view, event)
        if record is None:
            return
        yield KeepBody(event.proof)
        yield KeepNote(_note_name(event.key), encode(record))
        for duty in view.machine.proving.duties(view.account):
            if ProofKey(duty.job, duty.index) == event.key:
                yield from self._announce(view, duty, record)

    def _record(self, view: View, event: ProofMade) -> ProofRecord | None:
        job = view.machine.proving.job(event.key.job)
        if job is None:
            return None
        index, account = event.key.index, view.account
        if index.level == 0:
            leaf = job.header.content.leaves[index.position]
            content = LeafContent(leaf.digest, leaf.fees)
            claim = self.backend.leaf_claim(account, index.position, content)
            return ProofRecord(job.id, index, claim, None, body_hash(event.proof))
        children = self._children_of(view, event)
        if children is None:
            return None
        merged = MergeContent(*(child.record.claim for child in children))
        claim = self.backend.merge_claim(account, merged)
        return ProofRecord(
            job.id, index, claim, (merged.left, merged.right), body_hash(event.proof)
        )

    def _children_of(self, view: View, event: ProofMade) -> tuple[KnownProof, KnownProof] | None:
        """The inputs that the finished merge consumed, found by their bytes."""
        task = event.task
        assert isinstance(task, MergeTask), "a merge's key has a merge's task"
        names = (body_hash(task.left), body_hash(task.right))
        found = [
            next((one for one in view.proofs(task.job, child) if one.record.proof == name), None)
            for child, name in zip(tree.children(task.index), names, strict=True)
        ]
        left, right = found
        return None if left is None or right is None else (left, right)


def _has_stake(view: View) -> bool:
    """Whether its records could count."""
    return view.machine.ledger.holds(prover_stake(view.account)) > 0


def _note_name(key: ProofKey) -> str:
    return f"proof/{key.job.hex()}/{key.index}"
