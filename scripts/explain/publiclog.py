"""A run's final log, checked like a light client and replayed with its rules.

Problem. Whoever asks why somebody was paid should not have to believe the nodes that were paid.

Rules. Only ``genesis.toml`` and ``log`` of a run folder are read. The certified blocks are checked
from the genesis (:func:`protocol.light.check_log`) and applied to a fresh machine. Every header
carries a digest of the state that its validators had computed: it must be the replay's, so what is
told here is what two thirds of the log stake signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocol import tree
from protocol.errors import Refused
from protocol.events import Event, JobOpened
from protocol.light import check_log
from protocol.machine import FinalBlock, Machine
from protocol.messages import CertifiedBlock, JobHeader, Operation, block_hash, operation_hash
from protocol.params import Genesis, network_id
from protocol.rules import Moment
from protocol.types import Account, BlockHash, Count, Digest, JobId, OperationHash, TreeIndex
from prover.backend import BackendMissing
from scripts.complaint import Complaint
from scripts.export import sets_of
from scripts.folder import (
    GENESIS,
    LOG,
    RunUnreadable,
    backend_of,
    load_genesis,
    load_log,
)
from scripts.rules import machine_of

SHORT: Final = 8
"""Hexadecimal digits that stand for a long name."""


class CannotTell(Complaint):
    """A question about a run has no answer."""


@dataclass(frozen=True, slots=True)
class LogStep:
    """One final log block and what it brought about, in order."""

    block: BlockHash
    moment: Moment
    operations: tuple[Operation, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, and the log block that it follows from."""

    step: LogStep
    event: Event


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job in the order of opening.

    :ivar number: counted from 1, as a testnet tells it.
    """

    number: int
    job: JobId
    header: JobHeader
    opening: Happened


@dataclass(frozen=True, slots=True)
class PublicLog:
    """A replayed log.

    :ivar names: of the accounts of the genesis.
    """

    genesis: Genesis
    steps: tuple[LogStep, ...]
    names: dict[Account, str]
    _operations: dict[OperationHash, tuple[LogStep, Operation]] = field(repr=False)

    @classmethod
    def of_steps(cls, genesis: Genesis, steps: Iterable[LogStep]) -> PublicLog:
        """From steps in order."""
        steps = tuple(steps)
        operations: dict[OperationHash, tuple[LogStep, Operation]] = {}
        for step in steps:
            for operation in step.operations:
                operations.setdefault(operation_hash(operation), (step, operation))
        names = {one.account: one.name for one in genesis.accounts}
        return cls(genesis, steps, names, operations)

    def happenings(self) -> Iterator[Happened]:
        """All events in order."""
        return (Happened(step, event) for step in self.steps for event in step.events)

    def operation(self, identity: OperationHash) -> tuple[LogStep, Operation] | None:
        """An ordered operation and the block that ordered it first."""
        return self._operations.get(identity)

    def name(self, account: bytes) -> str:
        """What the genesis calls an account, else the beginning of its digits."""
        return self.names.get(Account(account), account.hex()[:SHORT])

    def jobs(self) -> tuple[JobEntry, ...]:
        """All jobs in the order of opening."""
        opened = (one for one in self.happenings() if isinstance(one.event, JobOpened))
        return tuple(
            JobEntry(number, one.event.job, one.event.header, one)
            for number, one in enumerate(opened, 1)
            if isinstance(one.event, JobOpened)
        )

    # --- what a person asks for ---

    def find_job(self, text: str) -> JobEntry:
        """The job with this number, else the one whose id begins so.

        :raises CannotTell: when there is none, or more than one; names all there are.
        """
        jobs = self.jobs()
        if text.isdecimal() and 1 <= int(text) <= len(jobs):
            return jobs[int(text) - 1]
        found = [one for one in jobs if text and one.job.hex().startswith(text.lower())]
        if len(found) == 1:
            return found[0]
        listed = ", ".join(f"{one.number} ({one.job.hex()[:SHORT]})" for one in jobs) or "none"
        wrong = "stands for several blocks" if found else "is no block of this run"
        raise CannotTell(f"{text!r} {wrong}", f"blocks opened in this log: {listed}")

    def find_account(self, text: str) -> Account:
        """The account with this name, else the one whose digits begin so.

        :raises CannotTell: when there is none, or more than one; names all there are.
        """
        named = [account for account, name in self.names.items() if name == text]
        begun = [one for one in self.names if text and one.hex().startswith(text.lower())]
        found = named or begun
        if len(found) == 1:
            return found[0]
        wrong = "stands for several accounts" if found else "is no account of this run"
        raise CannotTell(f"{text!r} {wrong}", f"accounts: {', '.join(self.names.values())}")


def find_place(entry: JobEntry, level: int, position: int) -> TreeIndex:
    """A tree node of a job.

    :raises CannotTell: when the tree has none there; says what it has.
    """
    leaves = entry.header.leaf_count
    height = tree.height(leaves)
    if 0 <= level <= height and 0 <= position < leaves >> level:
        return TreeIndex(Count(level), Count(position))
    rows = (f"level {row}: 0 to {(leaves >> row) - 1}" for row in range(height + 1))
    raise CannotTell(
        f"block {entry.number} has no tree node at level {level}, position {position}",
        f"positions of its {2 * leaves - 1} tree nodes: {'; '.join(rows)}",
    )


def read_public_log(run: Path) -> PublicLog:
    """Check and replay the log of a run folder.

    :raises CannotTell: when something is missing, does not verify, or was signed under other rules.
    """
    if not (run / GENESIS).exists():
        raise CannotTell(f"{run} is not a run folder: it has no {GENESIS}", _other_runs(run))
    if not (run / LOG).exists():
        raise CannotTell(
            f"{run} has no certified log",
            "a testnet writes it when it ends, from a node that is alive then: "
            "wait for its end, or run another with ./scripts/testnet",
        )
    try:
        return public_log(load_genesis(run), load_log(run), run)
    except (RunUnreadable, Refused, BackendMissing, ValueError) as failure:
        hint = f"./scripts/provnet verify {run} tells what else is wrong with it"
        raise CannotTell(f"{run} cannot be replayed: {failure}", hint) from None


def public_log(genesis: Genesis, certified: tuple[CertifiedBlock, ...], rules: Path) -> PublicLog:
    """Check and replay certified blocks from the genesis.

    :param rules: where paths of rules in files count from.
    :raises RunUnreadable, Refused, BackendMissing, ValueError: when that cannot be done.
    """
    rows = [(one.account, one.balance) for one in genesis.rollup]
    root = backend_of(genesis).genesis(rows).root
    sets = sets_of(machine_of(genesis, root, rules), certified)
    final = check_log(genesis, certified, sets)
    steps = replay(machine_of(genesis, root, rules), final, [_name(one) for one in certified])
    return PublicLog.of_steps(genesis, _agreeing(genesis, steps, certified))


def replay(
    machine: Machine, final: Iterable[FinalBlock], hashes: Iterable[BlockHash]
) -> Iterator[tuple[LogStep, Digest]]:
    """What each final block brought about, with the digest of the state after it.

    :param hashes: the name of each block, in the same order; there may be more.
    """
    for block, name in zip(final, hashes, strict=False):
        applied = machine.apply(block)
        operations = tuple(one.operation for one in block.operations)
        yield LogStep(name, block.moment, operations, applied.events), applied.digest


def _agreeing(
    genesis: Genesis,
    steps: Iterable[tuple[LogStep, Digest]],
    certified: tuple[CertifiedBlock, ...],
) -> Iterator[LogStep]:
    """The steps, as long as their digests are those that headers carry."""
    digests: list[Digest] = []
    for (step, digest), one in zip(steps, certified, strict=False):
        header, settled = one.block.header, step.moment.settled
        if settled and digests[settled - 1] != header.state:
            network = network_id(genesis).hex()[:SHORT]
            raise RunUnreadable(
                LOG,
                f"validators of network {network} signed another state after height {settled} "
                "than follows from these rules: it was made by another version of provnet",
            )
        digests.append(digest)
        yield step


def _name(certified: CertifiedBlock) -> BlockHash:
    return block_hash(certified.block.header)


def _other_runs(run: Path) -> str:
    parent = run.parent
    found = sorted(path.parent for path in parent.glob(f"*/{GENESIS}"))[-8:]
    if found:
        return f"run folders in {parent}: {', '.join(str(one) for one in found)}"
    return "name the folder that ./scripts/testnet printed first, runs/YYYYMMDD-HHMMSS"
