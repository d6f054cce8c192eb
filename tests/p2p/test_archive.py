"""What a node's archive keeps of jobs, and what it waits for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from p2p.archive import STATE_PATIENCE_S, Archive
from p2p.memory import MemoryNetwork
from p2p.store import Store
from protocol.errors import Reason
from protocol.messages import (
    NO_JOB,
    BackupBlock,
    BlockReveal,
    JobHeader,
    Operation,
    SignedOperation,
    backup_header,
    body_hash,
    job_id,
)
from protocol.ports import RollupState
from protocol.rollup import ExecutedBlock, execute_body
from protocol.signing import public_key
from protocol.types import (
    Account,
    Amount,
    BasisPoints,
    Beacon,
    BodyHash,
    Count,
    Digest,
    JobId,
    NetworkId,
    Nonce,
    Round,
    Salt,
    Signature,
    Tick,
    TreeIndex,
)
from prover.modelled import ModelledBackend
from prover.tasks import LeafTask, MergeTask
from sequencer.builder import BuiltBlock, build_block
from sequencer.traffic import Traffic
from tests.p2p.town import inline

NETWORK = NetworkId(b"n" * 32)
KEYS = (b"a" * 32, b"b" * 32)
NOBODY = Account(b"s" * 32)
LIFE = Tick(10)
HISTORY = Tick(25)


class Archived:
    """An archive alone in its network, and blocks for it."""

    def __init__(self, folder: Path) -> None:
        self.backend = ModelledBackend()
        self.genesis = self.backend.genesis([(public_key(key), Amount(10**9)) for key in KEYS])
        self.store = Store(folder / "store.sqlite", NETWORK)
        self.known: list[JobId] = []
        self.archive = Archive(
            network_id=NETWORK,
            network=MemoryNetwork(seed=1).node(NOBODY, NETWORK),
            store=self.store,
            backend=self.backend,
            genesis_state=self.genesis,
            life_ticks=LIFE,
            history_ticks=HISTORY,
            on_block=self._know,
            offload=inline,
        )
        self._seeds = itertools.count()

    async def _know(self, job: JobId) -> None:
        self.known.append(job)

    def build(self, parent: JobId = NO_JOB, state: RollupState | None = None) -> BuiltBlock:
        base = state or self.genesis
        traffic = Traffic(bytes([next(self._seeds)]), NETWORK, KEYS)
        return build_block(parent, base, traffic.next_transfers(base, 2), 2, self.backend)

    def header(self, built: BuiltBlock) -> JobHeader:
        return JobHeader(
            NETWORK,
            Round(1),
            NOBODY,
            built.content,
            BasisPoints(0),
            Beacon(bytes(32)),
            Digest(bytes(32)),
        )

    def open(self, built: BuiltBlock, *, has_body: bool = True) -> JobId:
        if has_body:
            self.store.put_body(built.content.body, built.body)
        header = self.header(built)
        self.archive.open(job_id(header), header)
        return job_id(header)

    def size(self, name: str) -> int:
        return self.archive.sizes()[name].length

    def live(self, story: Callable[[], Any]) -> None:
        async def main() -> None:
            with trio.fail_after(3_600):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.archive.run)
                    await story()
                    nursery.cancel_scope.cancel()

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.fixture
def archived(tmp_path: Path) -> Iterator[Archived]:
    made = Archived(tmp_path)
    with made.store:
        yield made


def reveal(built: BuiltBlock) -> SignedOperation:
    payload = BlockReveal(Round(1), built.content, Salt(bytes(32)))
    operation = Operation(NOBODY, Nonce(1), Tick(9), payload)
    return SignedOperation(operation, Signature(bytes(64)))


def backup(archived: Archived, built: BuiltBlock, who: Account = NOBODY) -> SignedOperation:
    """A whole block with its root's proof in ``who``'s name, sent by nobody in particular."""
    draft = BackupBlock(Round(1), built.content, BodyHash(bytes(32)))
    job, backend = job_id(backup_header(NETWORK, NOBODY, draft)), archived.backend
    executed = execute_body(NETWORK, built.content, built.body, archived.genesis, backend)
    assert isinstance(executed, ExecutedBlock)
    left, right = (
        backend.attest(
            LeafTask(job, who, TreeIndex(Count(0), at), Count(2), Tick(1), executed.witness(at))
        )
        for at in (Count(0), Count(1))
    )
    root = TreeIndex(Count(1), Count(0))
    proof = backend.attest(MergeTask(job, who, root, Count(2), Tick(1), left, right))
    archived.store.put_body(built.content.body, built.body)
    archived.store.put_body(body_hash(proof), proof)
    payload = replace(draft, proof=body_hash(proof))
    operation = Operation(NOBODY, Nonce(1), Tick(9), payload)
    return SignedOperation(operation, Signature(bytes(64)))


def test_a_backup_is_its_senders_proof_of_the_whole_block(archived: Archived) -> None:
    built = archived.build()
    good = backup(archived, built)
    stolen = backup(archived, built, Account(b"t" * 32))
    payload = replace(good.operation.payload, proof=BodyHash(b"n" * 32))
    absent = replace(good, operation=replace(good.operation, payload=payload))
    other = replace(built.content, leaves=built.content.leaves[::-1])
    payload = replace(good.operation.payload, content=other)
    false = replace(good, operation=replace(good.operation, payload=payload))

    async def story() -> None:
        assert await archived.archive.check(good, None) is None
        assert await archived.archive.check(stolen, None) is Reason.INVALID_PROOF
        assert await archived.archive.check(absent, None) is Reason.BODY_MISSING
        fault = await archived.archive.check(false, None)
        assert fault is Reason.WRONG_TRANSFER_DIGEST

    archived.live(story)


def test_a_job_that_opens_and_settles_at_once_leaves_its_state_and_nothing_else(
    archived: Archived,
) -> None:
    built = archived.build()

    async def story() -> None:
        job = archived.open(built)
        archived.archive.close(job, Tick(1), is_settled=True)
        await trio.sleep(1)
        state = archived.archive.state_after(job)
        assert state is not None
        assert state.root == built.states[-1].root
        assert archived.archive.block(job) is None
        assert (archived.size("blocks"), archived.size("proven_jobs")) == (0, 0)

    archived.live(story)


def test_a_parent_that_never_comes_is_refused_in_the_end(archived: Archived) -> None:
    built = archived.build()
    content = replace(built.content, parent=JobId(b"x" * 32))

    async def story() -> None:
        began = trio.current_time()
        fault = await archived.archive.check(reveal(replace(built, content=content)), None)
        assert fault is Reason.WRONG_PARENT
        assert trio.current_time() - began == pytest.approx(STATE_PATIENCE_S)

    archived.live(story)


def test_a_parent_that_comes_late_is_waited_for(archived: Archived) -> None:
    first = archived.build()
    second = archived.build(job_id(archived.header(first)), first.states[-1])
    archived.store.put_body(second.content.body, second.body)
    faults: list[Reason | None] = []

    async def check() -> None:
        faults.append(await archived.archive.check(reveal(second), None))

    async def story() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(check)
            await trio.sleep(STATE_PATIENCE_S / 2)
            assert not faults
            archived.open(first)
        assert faults == [None]

    archived.live(story)


def test_states_of_the_settled_head_and_of_open_jobs_are_kept(archived: Archived) -> None:
    async def story() -> None:
        parent, state, jobs = NO_JOB, archived.genesis, []
        for _ in range(4):
            built = archived.build(parent, state)
            parent, state = archived.open(built), built.states[-1]
            jobs.append(parent)
            await trio.testing.wait_all_tasks_blocked()
        assert archived.known == jobs
        assert archived.size("states") == 5
        for height, job in enumerate(jobs[:3], 1):
            archived.archive.close(job, Tick(height), is_settled=True)
        assert [archived.archive.state_after(job) is not None for job in jobs] == [
            False,
            False,
            True,
            True,
        ]
        assert archived.size("blocks") == archived.size("executed") == 1
        archived.archive.close(jobs[3], Tick(4), is_settled=False)
        assert archived.archive.state_after(jobs[3]) is None
        assert archived.archive.state_after(jobs[2]) is not None

    archived.live(story)


def test_a_void_job_whose_body_never_came_holds_up_nobody(archived: Archived) -> None:
    async def story() -> None:
        void = archived.open(archived.build(), has_body=False)
        other = archived.open(archived.build())
        await trio.sleep(5)
        assert archived.known == []
        archived.archive.close(void, Tick(1), is_settled=False)
        await trio.sleep(5)
        assert archived.known == [other]
        assert archived.size("jobs_to_execute") == 0

    archived.live(story)


def test_a_job_that_is_settled_before_its_block_is_here_is_still_executed(
    archived: Archived,
) -> None:
    async def story() -> None:
        built = archived.build()
        job = archived.open(built, has_body=False)
        archived.archive.close(job, Tick(1), is_settled=True)
        await trio.sleep(1)
        archived.store.put_body(built.content.body, built.body)
        await trio.sleep(5)
        after = archived.archive.state_after(job)
        assert after is not None
        assert after.root == built.states[-1].root
        assert archived.known == []
        assert archived.size("blocks") == 0

    archived.live(story)


def test_proofs_are_forgotten_after_their_time_but_not_the_roots(archived: Archived) -> None:
    names = [BodyHash(body_hash(bytes([number]))) for number in range(3)]
    places = [TreeIndex(Count(0), Count(0)), TreeIndex(Count(0), Count(1))]
    root = TreeIndex(Count(1), Count(0))
    for name in names:
        archived.store.put_body(name, b"a proof")

    def kept() -> list[bool]:
        return [archived.store.has_body(name) for name in names]

    job = archived.open(archived.build())
    for name, place in zip(names, (*places, root), strict=True):
        archived.archive.note(job, place, name)
    archived.archive.note(JobId(b"x" * 32), places[0], names[2])
    archived.archive.forget(Tick(999))
    assert kept() == [True, True, True]
    archived.archive.close(job, Tick(5), is_settled=True)
    archived.archive.forget(Tick(5 + LIFE - 1))
    assert kept() == [True, True, True]
    archived.archive.forget(Tick(5 + LIFE))
    assert kept() == [False, False, True]


def test_a_block_is_forgotten_after_its_time_unless_another_job_is_of_the_same_bytes(
    archived: Archived,
) -> None:
    block = archived.build()
    twin = replace(archived.header(block), fee_split=BasisPoints(1))
    first, other = archived.open(block), JobId(b"x" * 32)
    archived.archive.open(other, twin)
    archived.archive.close(first, Tick(5), is_settled=True)
    archived.archive.forget(Tick(5 + HISTORY))
    assert archived.store.has_body(block.content.body)
    archived.archive.close(other, Tick(9), is_settled=False)
    archived.archive.forget(Tick(9 + HISTORY - 1))
    assert archived.store.has_body(block.content.body)
    archived.archive.forget(Tick(9 + HISTORY))
    assert not archived.store.has_body(block.content.body)
