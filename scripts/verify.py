"""Verifies a run from its folder alone, in a process that has nothing of any node.

Problem. Whoever gets a run folder should not have to believe those who ran it.

Rules. Without ``payments`` only ``genesis.toml`` and ``blocks/`` are read: each block's root proof
is checked against a statement made from its header and provers, as one chain from the genesis. With
``payments`` also ``log`` and ``summary.json``: the log is checked from the genesis by its
certificates; jobs, assignment, misses, takeovers and pay are computed from its final blocks by
:mod:`scripts.audit`, which shares no code with the rules; every block must be the job that was
settled at its place, with the provers that the log recorded; and the income of every account must
be the one in ``summary.json``, to the unit, at its ``final_height``.

Properties. Nothing in a run folder makes :func:`verify_run` raise. All failures that can be found
are reported, not only the first; after a bad block the chain goes on from what it claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from protocol.errors import Refused
from protocol.light import BlockProof, check_block, check_log
from protocol.machine import FinalBlock
from protocol.messages import NO_JOB, JobHeader, job_id
from protocol.params import MODELLED, Genesis, network_id
from protocol.types import Account, Root
from prover.backend import BackendMissing
from scripts.audit.books import READABLE, Audit
from scripts.audit.settled import Settled
from scripts.folder import (
    BLOCKS,
    GENESIS,
    LOG,
    SUMMARY,
    RunUnreadable,
    backend_of,
    block_name,
    count_blocks,
    load_block,
    load_genesis,
    load_log,
    load_sets,
    load_summary,
)

_SHORT: Final = 8


class Failure(NamedTuple):
    """Something that does not verify: a file of the run folder, or a part of one, and a
    sentence.
    """

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What became of a verification.

    :ivar ok: whether everything that was asked for verifies.
    :ivar lines: what was found right, for a person.
    """

    ok: bool
    lines: tuple[str, ...]
    failures: tuple[Failure, ...]


def verify_run(run: Path, block: int | None = None, payments: bool = False) -> VerifyReport:
    """Verify a run folder.

    :param block: check blocks up to this number, counted from 1, only; None: all.
    :param payments: check the log, the assignment and who was paid what, too.
    """
    verifier = _Verifier(run)
    try:
        verifier.check(block, payments=payments)
    except RunUnreadable as failure:
        verifier.fail(failure.what, failure.sentence)
    except BackendMissing as failure:
        verifier.fail(GENESIS, str(failure))
    failures = tuple(verifier.failures)
    return VerifyReport(not failures, tuple(verifier.lines), failures)


class _Verifier:
    """One verification: what was said so far."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self.lines: list[str] = []
        self.failures: list[Failure] = []

    def fail(self, what: str, reason: str) -> None:
        """Note a failure."""
        self.failures.append(Failure(what, reason))

    def check(self, block: int | None, *, payments: bool) -> None:
        """Check what was asked for. Raises RunUnreadable and BackendMissing."""
        genesis = load_genesis(self._run)
        backend = backend_of(genesis)
        try:
            rows = [(one.account, one.balance) for one in genesis.rollup]
            root = backend.genesis(rows).root
        except ValueError as failure:
            raise RunUnreadable(GENESIS, str(failure)) from None
        network = network_id(genesis).hex()[:_SHORT]
        self.lines.append(f"genesis: network {network}, proofs by {genesis.network.backend}")
        if genesis.network.backend == MODELLED:
            self.lines.append("warning: modelled proofs are attestations; they prove nothing")
        blocks = self._check_blocks(genesis, root, block)
        if payments:
            self._check_payments(genesis, root, blocks)

    # --- proofs ---

    def _check_blocks(
        self, genesis: Genesis, root: Root, until: int | None
    ) -> dict[int, BlockProof]:
        """The blocks that could be read, by number, each checked on the one before."""
        count = count_blocks(self._run)
        if count == 0 or (until is not None and not 1 <= until <= count):
            asked = "any block" if until is None else f"block {until}"
            self.fail(BLOCKS, f"the folder does not have {asked}: it holds {count} blocks")
        found: dict[int, BlockProof] = {}
        for number in range(1, min(count, until or count) + 1):
            try:
                found[number] = load_block(self._run, number)
            except RunUnreadable as failure:
                self.fail(failure.what, failure.sentence)
        for number, one in found.items():
            self._check_block(genesis, root, number, found.get(number - 1), one)
        return found

    def _check_block(
        self,
        genesis: Genesis,
        root: Root,
        number: int,
        before: BlockProof | None,
        block: BlockProof,
    ) -> None:
        name, header = f"{BLOCKS}/{block_name(number)}", block.header
        previous, from_root = NO_JOB, root
        if number > 1 and (before is None or not before.header.leaf_count):
            self.fail(name, "the block before it says nothing to build on")
            return
        if before is not None:
            previous, from_root = job_id(before.header), before.header.to_root
        try:
            check_block(network_id(genesis), backend_of(genesis), previous, from_root, block)
        except Refused as refusal:
            self.fail(name, str(refusal))
            return
        self.lines.append(
            f"block {number}: job {job_id(header).hex()[:_SHORT]}, {header.leaf_count} leaves by "
            f"{len(set(block.provers))} provers, fees {header.fees}, "
            f"root {header.to_root.hex()[:_SHORT]}, proof of {len(block.proof)} bytes verifies"
        )

    # --- payments ---

    def _check_payments(self, genesis: Genesis, root: Root, blocks: dict[int, BlockProof]) -> None:
        rules = (genesis.sequencing.name, genesis.proving.name)
        if rules not in READABLE:
            self.fail(GENESIS, f"there is no second reading of the rules {' and '.join(rules)}")
            return
        summary = load_summary(self._run)
        final = self._final_log(genesis)
        height = _income_height(summary, len(final))
        audit = Audit(genesis, root)
        for one in final[:height]:
            audit.apply(one)
        income = audit.income()
        for one in final[height:]:
            audit.apply(one)
        names = {one.account: one.name for one in genesis.accounts}
        self._compare_jobs(audit.settled, blocks, names)
        self._compare_income(income, summary, height)

    def _final_log(self, genesis: Genesis) -> tuple[FinalBlock, ...]:
        certified, sets = load_log(self._run), load_sets(self._run)
        try:
            final = check_log(genesis, certified, sets)
        except Refused as refusal:
            raise RunUnreadable(LOG, str(refusal)) from None
        operations = sum(len(one.operations) for one in final)
        self.lines.append(
            f"log: {len(final)} final blocks with {operations} operations; certificates, "
            "signatures and lots verify"
        )
        return final

    def _compare_jobs(
        self, settled: list[Settled], blocks: dict[int, BlockProof], names: dict[Account, str]
    ) -> None:
        for number, job in enumerate(settled, 1):
            if number in blocks:
                self._compare_job(number, job, blocks[number], names)
        extra = [number for number in blocks if number > len(settled)]
        for number in extra:
            self.fail(f"{BLOCKS}/{block_name(number)}", "the final log settles no such job")
        if count_blocks(self._run) < len(settled):
            lacking = block_name(count_blocks(self._run) + 1)
            self.fail(f"{BLOCKS}/{lacking}", "the final log settles this job, the file is missing")

    def _compare_job(
        self, number: int, job: Settled, block: BlockProof, names: dict[Account, str]
    ) -> None:
        name = f"{BLOCKS}/{block_name(number)}"
        different = list(_differences(job.header, block.header))
        if different:
            self.fail(name, f"the log settled a job with another {', '.join(different)}")
        if job.provers != block.provers:
            self.fail(name, "the log recorded other provers")
        if different or job.provers != block.provers:
            return
        self.lines.append(f"block {number}: settled at tick {job.tick}; {_told(job, names)}")

    def _compare_income(
        self, income: dict[str, dict[str, int]], summary: dict[str, Any], height: int
    ) -> None:
        named = summary.get("income")
        if not isinstance(named, dict):
            self.fail(SUMMARY, "it has no table of income")
            return
        for name in sorted({*income, *named}):
            causes = income.get(name, {})
            ours = {"total": sum(causes.values()), "by_cause": causes}
            theirs = named.get(name, {"total": 0, "by_cause": {}})
            if not _is_same(theirs, ours):
                self.fail(
                    f"{SUMMARY}: income of {name}",
                    f"by the log it is {_amounts(causes)}, the summary has {theirs}",
                )
            elif causes:
                self.lines.append(f"income of {name} at height {height}: {_amounts(causes)}")


def _income_height(summary: dict[str, Any], log_height: int) -> int:
    height = summary.get("final_height")
    if type(height) is not int or height < 0:
        raise RunUnreadable(SUMMARY, "it has no final_height")
    if height > log_height:
        raise RunUnreadable(SUMMARY, f"it speaks of height {height}, the log ends at {log_height}")
    return height


def _is_same(theirs: Any, ours: dict[str, Any]) -> bool:
    """Equal, and of integers only: in Python ``True == 1 == 1.0``."""
    if theirs != ours:
        return False
    return all(type(one) is int for one in (theirs["total"], *theirs["by_cause"].values()))


def _differences(ours: JobHeader, theirs: JobHeader) -> Iterator[str]:
    """The fields in which two headers differ."""
    for name in ("network", "round", "sequencer", "content", "fee_split", "seed", "pool"):
        if getattr(ours, name) != getattr(theirs, name):
            yield name.replace("_", " ")


def _told(job: Settled, names: dict[Account, str]) -> str:
    """Who was paid what for a job."""
    paid: dict[str, int] = {}
    burned = 0
    for payment in job.payments:
        if payment.account is None:
            burned += payment.amount
        elif payment.amount:
            name = names.get(payment.account, payment.account.hex()[:_SHORT])
            paid[name] = paid.get(name, 0) + payment.amount
    told = ", ".join(f"{name} {amount}" for name, amount in sorted(paid.items()))
    missed = f"{len(job.missed)} tree nodes missed by their provers"
    return f"{missed}, {burned} burned, paid: {told or 'nobody'}"


def _amounts(causes: dict[str, int]) -> str:
    parts = ", ".join(f"{cause} {amount}" for cause, amount in causes.items())
    return f"{sum(causes.values())} ({parts})" if causes else "0"
