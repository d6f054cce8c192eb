"""A small job that any backend can prove, with the statement of every tree node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import trio

from protocol import tree
from protocol.messages import Transfer
from protocol.ports import LeafContent, MergeContent, RollupState, Statement
from protocol.types import Account, Amount, Claim, Count, JobId, Nonce, Root, Tick, TreeIndex
from prover.pool import Pool
from prover.tasks import LeafTask, MergeTask, ProvingTask

JOB = JobId(b"the job".ljust(32, b"."))


def account(number: int) -> Account:
    return Account(bytes([number]) * 32)


def transfer(sender: int, recipient: int, amount: int, fee: int, nonce: int) -> Transfer:
    return Transfer(account(sender), account(recipient), Amount(amount), Amount(fee), Nonce(nonce))


GENESIS = [(account(number), Amount(1_000)) for number in range(4)]

BATCHES = (
    [transfer(0, 1, 10, 1, 0), transfer(1, 0, 1_009, 1, 0), transfer(0, 9, 5, 0, 1)],
    [transfer(9, 0, 2, 3, 0)],
    [transfer(2, 2, 100, 7, 0)],
    [],
)


def prover_of(index: TreeIndex) -> Account:
    return account(64 * index.level + index.position + 32)


class Job:
    """The job of the first batches, executed by ``backend``."""

    def __init__(self, backend: Any, leaf_count: int) -> None:
        self.backend = backend
        self.leaf_count = Count(leaf_count)
        self.statements: dict[TreeIndex, Statement] = {}
        self._witnesses: list[bytes] = []
        state: RollupState = backend.genesis(GENESIS)
        for position, batch in enumerate(BATCHES[:leaf_count]):
            executed = state.execute(batch)
            self._witnesses.append(state.witness(batch))
            content = LeafContent(executed.digest, executed.fees)
            index = TreeIndex(Count(0), Count(position))
            self._state(index, state.root, executed.state.root, content)
            state = executed.state
        for index in tree.indices(leaf_count):
            if index.level:
                self._state_merge(index)

    def _state(
        self, index: TreeIndex, start: Root, end: Root, content: LeafContent | MergeContent
    ) -> None:
        prover = prover_of(index)
        statement = Statement(
            JOB, index, prover, *tree.span(index), start, end, Claim(b""), content
        )
        self.statements[index] = self.with_claim(statement)

    def _state_merge(self, index: TreeIndex) -> None:
        left, right = (self.statements[child] for child in tree.children(index))
        content = MergeContent(left.claim, right.claim)
        self._state(index, left.from_root, right.to_root, content)

    def with_claim(self, statement: Statement) -> Statement:
        """The statement with the claim that fits the rest of it."""
        content, position = statement.content, statement.index.position
        if isinstance(content, LeafContent):
            claim = self.backend.leaf_claim(statement.prover, position, content)
        else:
            claim = self.backend.merge_claim(statement.prover, content)
        return replace(statement, claim=claim)

    def leaf_task(self, position: int) -> LeafTask:
        index = TreeIndex(Count(0), Count(position))
        witness = self._witnesses[position]
        return LeafTask(JOB, prover_of(index), index, self.leaf_count, Tick(1), witness)

    def merge_task(self, index: TreeIndex, left: bytes, right: bytes) -> MergeTask:
        return MergeTask(JOB, prover_of(index), index, self.leaf_count, Tick(1), left, right)

    def task(self, index: TreeIndex, proofs: dict[TreeIndex, bytes]) -> ProvingTask:
        if index.level == 0:
            return self.leaf_task(index.position)
        left, right = tree.children(index)
        return self.merge_task(index, proofs[left], proofs[right])


async def prove_all(pool: Pool, job: Job) -> dict[TreeIndex, bytes]:
    """Every node's proof, each begun as soon as its children's are there."""
    proofs: dict[TreeIndex, bytes] = {}
    is_there = {index: trio.Event() for index in job.statements}

    async def prove(index: TreeIndex) -> None:
        if index.level:
            for child in tree.children(index):
                await is_there[child].wait()
        proofs[index] = (await pool.prove(job.task(index, proofs))).proof
        is_there[index].set()

    async with trio.open_nursery() as nursery:
        for index in job.statements:
            nursery.start_soon(prove, index)
    return proofs
