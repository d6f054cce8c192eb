"""Proves a whole block alone, when a round came to nothing and the sequencing rule calls for it.

Rules. The node's sequencer left the content of a block on the settled head in a note, and its body
in the store. While the rule names a :class:`~protocol.rules.BackupDuty`, every leaf is proven, then
every merge as soon as both its children are, all in the account's own name; the root's proof is
submitted as a :class:`~protocol.messages.BackupBlock`. Finished proofs are in the store and their
names in notes, so a restart goes on where it stood. When somebody else was first, or time is over,
there is no duty, and whatever runs is stopped.

The executed block is kept between calls; it follows from the view at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from protocol import tree
from protocol.agents import (
    Action,
    AgentEvent,
    KeepBody,
    KeepNote,
    ProofKey,
    ProofMade,
    Submit,
    View,
    backup_note,
)
from protocol.codec import decode
from protocol.messages import (
    OPERATION_BYTES_MAX,
    BackupBlock,
    BlockContent,
    JobHeader,
    backup_header,
    body_hash,
    job_id,
)
from protocol.ports import ProverBackend
from protocol.rollup import ExecutedBlock, execute_body
from protocol.rules import BackupDuty
from protocol.types import LENGTHS, BodyHash, Count, JobId, Tick, TreeIndex
from prover.tasks import LeafTask, MergeTask, ProvingTask


@dataclass(frozen=True, slots=True)
class BackupPlan:
    """A backup that is being made.

    :ivar proofs: finished proofs by tree node.
    """

    duty: BackupDuty
    job: JobId
    header: JobHeader
    block: ExecutedBlock
    proofs: Mapping[TreeIndex, bytes]


class BackupProver:
    """The part of a prover's agent that this module describes."""

    def __init__(self, backend: ProverBackend) -> None:
        self.backend = backend
        self._executed: tuple[JobId, ExecutedBlock] | None = None

    def plan(self, view: View, event: AgentEvent) -> BackupPlan | None:
        """What there is to be made; None when nothing is called for, or its block is not there.

        A proof that ``event`` brings counts as finished.
        """
        duty = _duty(view)
        content = None if duty is None else self._content(view, duty)
        if duty is None or content is None:
            return None
        header = backup_header(view.machine.network, view.account, _signed_off(duty, content))
        job = job_id(header)
        block = self._block(view, job, content)
        if block is None:
            return None
        proofs = {
            index: proof
            for index in tree.indices(header.leaf_count)
            if (proof := _proof(view, event, ProofKey(job, index))) is not None
        }
        return BackupPlan(duty, job, header, block, proofs)

    def tasks(self, view: View, plan: BackupPlan) -> dict[ProofKey, ProvingTask]:
        """What can be proven now, or is being proven."""
        leaf_count, now = Count(plan.header.leaf_count), view.machine.tick
        found: dict[ProofKey, ProvingTask] = {}
        for index in tree.indices(leaf_count):
            key = ProofKey(plan.job, index)
            if index in plan.proofs:
                continue
            if index.level == 0:
                witness = plan.block.witness(index.position)
                found[key] = LeafTask(plan.job, view.account, index, leaf_count, now, witness)
                continue
            left, right = (plan.proofs.get(child) for child in tree.children(index))
            if left is not None and right is not None:
                found[key] = MergeTask(plan.job, view.account, index, leaf_count, now, left, right)
        return found

    def actions(self, view: View, plan: BackupPlan, event: AgentEvent) -> Iterator[Action]:
        """Keep what was made, and bring the block once its root is proven."""
        if isinstance(event, ProofMade) and event.key.job == plan.job:
            yield KeepBody(event.proof)
            yield KeepNote(_note_name(event.key), body_hash(event.proof))
        proof = plan.proofs.get(tree.root(plan.header.leaf_count))
        if proof is not None:
            backup = BackupBlock(plan.duty.round, plan.header.content, body_hash(proof))
            if backup not in view.own_pending():
                yield Submit(backup)

    def _content(self, view: View, duty: BackupDuty) -> BlockContent | None:
        note = view.note(backup_note(duty.round))
        if note is None:
            return None
        content: BlockContent = decode(BlockContent, note, size_max=OPERATION_BYTES_MAX)
        return content if content.parent == duty.parent else None

    def _block(self, view: View, job: JobId, content: BlockContent) -> ExecutedBlock | None:
        if self._executed is not None and self._executed[0] == job:
            return self._executed[1]
        body, state = view.body(content.body), view.state_after(content.parent)
        if body is None or state is None:
            return None
        block = execute_body(view.machine.network, content, body, state, self.backend)
        assert isinstance(block, ExecutedBlock), "our own sequencer built it on this state"
        self._executed = job, block
        return block


def _duty(view: View) -> BackupDuty | None:
    machine = view.machine
    duties = machine.sequencing.duties(view.account, machine.epoch_seed, Tick(machine.tick + 1))
    return next((duty for duty in duties if isinstance(duty, BackupDuty)), None)


def _signed_off(duty: BackupDuty, content: BlockContent) -> BackupBlock:
    """The backup before there is a proof: the job does not depend on it."""
    return BackupBlock(duty.round, content, BodyHash(bytes(LENGTHS[BodyHash])))


def _proof(view: View, event: AgentEvent, key: ProofKey) -> bytes | None:
    if isinstance(event, ProofMade) and event.key == key:
        return event.proof
    name = view.note(_note_name(key))
    return None if name is None else view.body(BodyHash(name))


def _note_name(key: ProofKey) -> str:
    return f"backup/{key.job.hex()}/{key.index}"
