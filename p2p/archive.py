"""The bytes behind what is ordered: block bodies and proofs, fetched by hash, checked once, kept.

**The problem.** Operations name bodies and proofs by hash. Before anybody votes for such an
operation, builds on it or proves it, the bytes must be here and be what the operation says.

**Rules.**

- Bytes are fetched from the operation's sender first, then from other peers, and are compared with
  their hash before anything else.
- A block's body is executed on the state after its parent; jobs are executed in the order in which
  they opened.
- A proof is verified against the statement that its record and the job's header make together, in a
  thread.
- What was found valid is told once; nothing invalid is ever kept.

**Property.** Nothing a peer sends makes a check raise; every check ends with a reason or with None.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol, TypeVar

import trio

from p2p.limits import Size
from p2p.store import Store
from protocol import tree
from protocol.agents import KnownProof
from protocol.errors import Reason, Refused
from protocol.messages import (
    BODY_BYTES_MAX,
    NO_JOB,
    BlockContent,
    BlockReveal,
    JobHeader,
    ProofRecord,
    SignedOperation,
    body_hash,
)
from protocol.ports import (
    LeafContent,
    MergeContent,
    Network,
    ProverBackend,
    RequestFailed,
    RollupState,
    Statement,
)
from protocol.rollup import ExecutedBlock, execute_body
from protocol.rules import Job
from protocol.types import Account, BodyHash, JobId, Milliseconds, NetworkId, TreeIndex

BODY_REQUEST: Final = "body"
"""Name of the request for bytes by hash."""

FETCH_TIMEOUT_MS: Final = Milliseconds(8_000)
"""Longest wait for one peer's answer: a body of 4 MB on a slow link."""

FETCH_ROUNDS: Final = 3
"""How often all peers are asked before bytes count as missing."""

FETCH_PAUSE_S: Final = 0.4
"""Pause between rounds: gossip may be ahead of the holder's own store."""

T = TypeVar("T")


class Offload(Protocol):
    """Runs a check that takes milliseconds without blocking the loop."""

    async def __call__(self, check: Callable[[], T], /) -> T:
        """What ``check`` returns."""


class Archive:
    """Bodies, executed blocks and valid proofs of one node.

    :param on_block: told of a job whose block is executed.
    :param offload: runs checks, usually in threads.
    """

    def __init__(
        self,
        *,
        network_id: NetworkId,
        network: Network,
        store: Store,
        backend: ProverBackend,
        genesis_state: RollupState,
        on_block: Callable[[JobId], Awaitable[None]],
        offload: Offload,
    ) -> None:
        self._network_id = network_id
        self._network = network
        self._store = store
        self._backend = backend
        self._on_block = on_block
        self._states: dict[JobId, RollupState] = {NO_JOB: genesis_state}
        self._blocks: dict[JobId, ExecutedBlock] = {}
        self._executed: dict[BodyHash, ExecutedBlock] = {}
        self._proofs: dict[JobId, dict[TreeIndex, list[KnownProof]]] = {}
        self._queue: list[tuple[JobId, JobHeader]] = []
        self._wake = trio.Event()
        self._state_known: dict[JobId, trio.Event] = {}
        self._offload = offload

    # --- reading ---

    def state_after(self, job: JobId) -> RollupState | None:
        """The rollup's state after a job, once its block is executed."""
        return self._states.get(job)

    def block(self, job: JobId) -> ExecutedBlock | None:
        """The executed block of a job."""
        return self._blocks.get(job)

    def proofs(self, job: JobId, index: TreeIndex) -> tuple[KnownProof, ...]:
        """Valid proofs of a tree node, oldest first."""
        return tuple(self._proofs.get(job, {}).get(index, ()))

    def sizes(self) -> dict[str, Size]:
        """Entries of everything kept in memory, by name."""
        return {
            "states": Size(len(self._states)),
            "blocks": Size(len(self._blocks)),
            "executed": Size(len(self._executed)),
            "proven_jobs": Size(len(self._proofs)),
            "proofs": Size(
                sum(len(found) for places in self._proofs.values() for found in places.values())
            ),
            "jobs_to_execute": Size(len(self._queue)),
            "states_awaited": Size(len(self._state_known)),
        }

    # --- jobs ---

    def open(self, job: JobId, header: JobHeader) -> None:
        """A job was opened: execute its block as soon as its body is here."""
        self._proofs[job] = {}
        self._queue.append((job, header))
        self._wake.set()

    def close(self, job: JobId) -> None:
        """A job was settled or voided: its witnesses and proofs are of no more use here."""
        self._proofs.pop(job, None)
        block = self._blocks.pop(job, None)
        if block is not None:
            self._executed.pop(block.content.body, None)

    async def run(self) -> None:
        """Execute the blocks of opened jobs, in order, for ever."""
        while True:
            while self._queue:
                job, header = self._queue[0]
                await self._execute_job(job, header)
                self._queue.pop(0)
            self._wake = trio.Event()
            await self._wake.wait()

    async def _execute_job(self, job: JobId, header: JobHeader) -> None:
        """Its content was voted valid by a quorum: only the bytes may be slow to come."""
        while True:
            executed = await self._execute(header.content, (header.sequencer,))
            if isinstance(executed, ExecutedBlock):
                break
            await trio.sleep(FETCH_PAUSE_S)
        self._blocks[job] = executed
        self._states[job] = executed.states[-1]
        self._state_known.pop(job, trio.Event()).set()
        await self._on_block(job)

    async def _state(self, job: JobId) -> RollupState:
        if job not in self._states:
            await self._state_known.setdefault(job, trio.Event()).wait()
        return self._states[job]

    async def _execute(
        self, content: BlockContent, holders: tuple[Account, ...]
    ) -> ExecutedBlock | Refused:
        known = self._executed.get(content.body)
        if known is not None and known.content == content:
            return known
        state = await self._state(content.parent)
        body = await self.fetch(content.body, BODY_BYTES_MAX, holders)
        if body is None:
            return Refused(Reason.BODY_MISSING)
        executed = await self._offload(
            lambda: execute_body(self._network_id, content, body, state, self._backend)
        )
        if isinstance(executed, ExecutedBlock):
            self._store.put_body(content.body, body)
            self._executed[content.body] = executed
        return executed

    # --- checks ---

    async def check(self, signed: SignedOperation, job: Job | None) -> Reason | None:
        """Whether the body of an operation is here and valid.

        :param job: the job of a proof record.
        :returns: None, or why not.
        """
        operation = signed.operation
        if isinstance(operation.payload, BlockReveal):
            content = operation.payload.content
            executed = await self._execute(content, (operation.sender,))
            return executed.reason if isinstance(executed, Refused) else None
        assert isinstance(operation.payload, ProofRecord), "no other kind has a body"
        if job is None:
            return Reason.UNKNOWN_JOB
        return await self._check_proof(operation.sender, operation.payload, job)

    async def _check_proof(self, prover: Account, record: ProofRecord, job: Job) -> Reason | None:
        statement = statement_of(prover, record, job)
        if isinstance(statement, Reason):
            return statement
        proof = await self.fetch(record.proof, self._backend.proof_bytes, (prover,))
        if proof is None:
            return Reason.BODY_MISSING
        fault = await self._offload(lambda: self._backend.verify(statement, proof))
        if fault is not None:
            return Reason.INVALID_PROOF
        self._store.put_body(record.proof, proof)
        self._keep_proof(KnownProof(prover, record))
        return None

    def _keep_proof(self, proof: KnownProof) -> None:
        places = self._proofs.get(proof.record.job)
        if places is not None:
            known = places.setdefault(proof.record.index, [])
            if proof not in known:
                known.append(proof)

    # --- bytes ---

    async def fetch(
        self, name: BodyHash, size_max: int, holders: tuple[Account, ...]
    ) -> bytes | None:
        """Bytes by hash: from the store, else from likely holders, then from anybody.

        None if nobody has them.
        """
        for attempt in range(FETCH_ROUNDS):
            stored = self._store.body(name)
            if stored is not None:
                return stored
            for peer in self._ask_order(holders):
                found = await self._ask(peer, name, size_max)
                if found is not None:
                    return found
            if attempt + 1 < FETCH_ROUNDS:
                await trio.sleep(FETCH_PAUSE_S)
        return None

    def _ask_order(self, holders: tuple[Account, ...]) -> Iterator[Account]:
        connected = self._network.peers()
        yield from (one for one in holders if one in connected)
        yield from (one for one in connected if one not in holders)

    async def _ask(self, peer: Account, name: BodyHash, size_max: int) -> bytes | None:
        try:
            answer = await self._network.request(
                peer, BODY_REQUEST, name, size_max=size_max, timeout_ms=FETCH_TIMEOUT_MS
            )
        except RequestFailed:
            return None
        if body_hash(answer) != name:
            self._network.penalise(peer, "answered with other bytes than were asked for")
            return None
        return answer

    async def answer(self, _peer: Account, body: bytes) -> bytes | None:
        """Serve bytes by hash."""
        return self._store.body(BodyHash(body)) if len(body) == len(NO_JOB) else None


def statement_of(prover: Account, record: ProofRecord, job: Job) -> Statement | Reason:
    """What a record's proof must prove, or why it can prove nothing."""
    header, index = job.header, record.index
    if not tree.contains(header.leaf_count, index):
        return Reason.NO_SUCH_TREE_NODE
    if (record.children is None) != (index.level == 0):
        return Reason.WRONG_CHILDREN
    first, end = tree.span(index)
    if record.children is None:
        leaf = header.content.leaves[index.position]
        content: LeafContent | MergeContent = LeafContent(leaf.digest, leaf.fees)
    else:
        content = MergeContent(*record.children)
    return Statement(
        job=record.job,
        index=index,
        prover=prover,
        first=first,
        end=end,
        from_root=header.root_before(first),
        to_root=header.root_before(end),
        claim=record.claim,
        content=content,
    )
