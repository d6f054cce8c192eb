"""Takes out of a stopped node what a verifier needs, and puts it into the run folder.

Rules. The node's final log is checked as a light client checks it and applied to a fresh machine.
For every job that was settled, in order, the header, the recorded provers and the root's proof
become one file; the certified log blocks become one file, with the block above the last final one
that shows it to be final; the sets of validators that the log brought about become one. What is
there already is replaced, whole or not at all; doing it again gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

from p2p.store import Store, StoreError
from p2p.sync import certified_from
from protocol import tree
from protocol.errors import Refused
from protocol.events import JobOpened, JobSettled, OperationAccepted, ProofRecorded, SetChanged
from protocol.happenings import BlockFinal
from protocol.light import BlockProof, check_log
from protocol.machine import FinalBlock, Machine
from protocol.messages import (
    BackupBlock,
    CertifiedBlock,
    JobHeader,
    Operation,
    ProofRecord,
    backup_header,
    block_hash,
    job_id,
    operation_hash,
)
from protocol.ordering.validators import Validator
from protocol.params import network_id
from protocol.replica import Replica
from protocol.types import LENGTHS, Account, BodyHash, Claim, JobId, Milliseconds, Tick, TreeIndex
from prover.backend import BackendMissing
from scripts.configuration import ConfigurationError
from scripts.folder import (
    BLOCKS,
    LOG,
    SETS,
    RunUnreadable,
    backend_of,
    block_name,
    load_genesis,
    log_bytes,
    sets_bytes,
)
from scripts.rules import machine_of

Members: TypeAlias = tuple[Validator, ...]
"""A set of validators."""

STORE: Final = "store.sqlite"
"""Name of a node's store in its folder."""


class ExportFailed(Exception):
    """Something that a verifier needs is not there; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written.

    :ivar final_height: last height that the log shows to be final.
    :ivar jobs: the settled jobs, in the order of their files.
    """

    final_height: Tick
    jobs: tuple[JobId, ...]


@dataclass(slots=True)
class _Seen:
    """What the events of the log told of one job.

    :ivar records: prover and claim of each tree node.
    :ivar proofs: name of the proof in each accepted record operation, the first one of each.
    """

    header: JobHeader
    records: dict[TreeIndex, tuple[Account, Claim]] = field(default_factory=dict)
    proofs: dict[tuple[TreeIndex, Account, Claim], BodyHash] = field(default_factory=dict)


def export_run(run: Path, node_folder: Path) -> ExportReport:
    """Write ``log`` and ``blocks/`` of a run from a stopped node's folder.

    :raises ExportFailed: when the node still runs, or something is missing or wrong.
    """
    try:
        return _export(run, node_folder)
    except (
        RunUnreadable,
        StoreError,
        Refused,
        BackendMissing,
        ConfigurationError,
        OSError,
    ) as failure:
        raise ExportFailed(f"cannot export {node_folder}: {failure}") from failure


def _export(run: Path, node_folder: Path) -> ExportReport:
    genesis = load_genesis(run)
    root = backend_of(genesis).genesis([(one.account, one.balance) for one in genesis.rollup]).root
    path = node_folder / STORE
    if not path.exists():
        raise ExportFailed(f"{path} is missing: this is not the folder of a node that ran")
    with Store(path, network_id(genesis)) as store:
        certified = provable_log(store)
        sets = sets_of(machine_of(genesis, root, run), certified)
        final = check_log(genesis, certified, sets)
        if len(final) < store.final_height():
            raise ExportFailed(f"{path} does not show that height {len(final) + 1} is final")
        history = _History(machine_of(genesis, root, run))
        for block in final:
            history.apply(block)
        blocks = [_block(store, job, history.jobs[job]) for job in history.settled]
    _replace_blocks(run / BLOCKS, blocks)
    _replace(run / SETS, sets_bytes(sets))
    _replace(run / LOG, log_bytes(certified))
    return ExportReport(Tick(len(final)), tuple(history.settled))


# --- reading ---


class _History:
    """Applies final blocks and notes what became of every job.

    :ivar settled: jobs in the order in which they were paid.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.jobs: dict[JobId, _Seen] = {}
        self.settled: list[JobId] = []

    def apply(self, block: FinalBlock) -> None:
        """Apply the next block."""
        operations = {operation_hash(one.operation): one.operation for one in block.operations}
        for event in self._machine.apply(block).events:
            match event:
                case JobOpened(job, header):
                    self.jobs[job] = _Seen(header)
                case OperationAccepted(identity):
                    self._note_proof(operations[identity])
                case ProofRecorded(job, index, prover, claim):
                    self.jobs[job].records[index] = prover, claim
                case JobSettled(job):
                    self.settled.append(job)

    def _note_proof(self, operation: Operation) -> None:
        record = operation.payload
        if isinstance(record, BackupBlock):
            self._note_backup(operation.sender, record)
        if isinstance(record, ProofRecord):
            name = record.index, operation.sender, record.claim
            self.jobs[record.job].proofs.setdefault(name, record.proof)

    def _note_backup(self, sender: Account, backup: BackupBlock) -> None:
        """The sender proved all of it; only the root's claim and proof were ever told."""
        header = backup_header(self._machine.network, sender, backup)
        seen, claim = self.jobs[job_id(header)], Claim(bytes(LENGTHS[Claim]))
        for index in tree.indices(header.leaf_count):
            seen.records[index] = sender, claim
        seen.proofs[tree.root(header.leaf_count), sender, claim] = backup.proof


def sets_of(machine: Machine, certified: Sequence[CertifiedBlock]) -> tuple[Members, ...]:
    """The sets of validators that the log brought about, beside the first."""
    first = machine.sets.successors.digest
    if all(one.block.header.successors == first for one in certified):
        return ()
    parameters, last = machine.genesis.network, certified[-1].block.header.slot
    now_ms = Milliseconds(parameters.genesis_time_ms + (last + 1) * parameters.slot_ms)
    return tuple(
        event.members
        for effect in Replica(machine, None).restore(certified, now_ms)
        if isinstance(effect, BlockFinal)
        for event in effect.applied.events
        if isinstance(event, SetChanged)
    )


def provable_log(store: Store) -> tuple[CertifiedBlock, ...]:
    """The final chain, and the notarised block that makes its last block final: of the next slot,
    or of the next epoch.
    """
    if begins := store.begins_at():
        raise ExportFailed(
            f"the node's log begins above height {begins}: ask a node that has the whole log"
        )
    height = store.final_height()
    certified = certified_from(store)
    final = certified[:height]
    if not final or final[-1].block.header.height != height:
        raise ExportFailed("the node has no final block, or lost the certificate of one")
    last = final[-1].block.header
    above = [
        one
        for one in certified[height:]
        if one.block.header.parent == block_hash(last)
        and (one.block.header.slot == last.slot + 1 or one.block.header.epoch > last.epoch)
    ]
    above.sort(key=lambda one: -one.block.header.epoch)
    return (*final, *above[:1])


def _block(store: Store, job: JobId, seen: _Seen) -> BlockProof:
    provers = tuple(seen.records[index][0] for index in tree.indices(seen.header.leaf_count))
    root = tree.root(seen.header.leaf_count)
    proof = store.body(seen.proofs[root, *seen.records[root]])
    if proof is None:
        raise ExportFailed(
            f"the node lacks the root proof of job {job.hex()}: export another node's folder"
        )
    return BlockProof(seen.header, provers, proof)


# --- writing ---


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f"{path.name}.draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _replace_blocks(folder: Path, blocks: Sequence[BlockProof]) -> None:
    """Write all blocks beside ``folder``, then put them into its place."""
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        draft = Path(scratch) / "new"
        draft.mkdir()
        for number, block in enumerate(blocks, 1):
            _replace(draft / block_name(number), block.to_bytes())
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        draft.rename(folder)
