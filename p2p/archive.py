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
- What was found valid is told once. Nothing invalid is kept, but of each prover and tree node one
  forgery: it is evidence, and whoever reports it has to serve it.
- In memory stays what blocks can still be built on or proven with: states of the last settled job
  and of open ones, blocks and proofs of open ones.
- In the store stay the proofs of roots, which light clients ask for. Other proofs are forgotten
  :attr:`life_ticks` after their job was closed. Blocks are forgotten :attr:`history_ticks` after,
  as the log that names them is: until then whoever begins with the genesis executes them.

**Properties.** Nothing a peer sends makes a check raise; every check ends with a reason or with
None. Memory does not grow with the number of jobs.
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
from protocol.light import BlockProof, check_block
from protocol.messages import (
    BODY_BYTES_MAX,
    NO_JOB,
    BackupBlock,
    BlockContent,
    BlockReveal,
    JobHeader,
    ProofEvidence,
    ProofRecord,
    SignedOperation,
    UncleClaim,
    backup_header,
    body_hash,
    operation_is_signed,
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
from protocol.types import Account, BodyHash, JobId, Milliseconds, NetworkId, Tick, TreeIndex

BODY_REQUEST: Final = "body"
"""Name of the request for bytes by hash."""

FETCH_TIMEOUT_MS: Final = Milliseconds(8_000)
"""Longest wait for one peer's answer: a body of 4 MB on a slow link."""

FETCH_ROUNDS: Final = 3
"""How often all peers are asked before bytes count as missing."""

STATE_PATIENCE_S: Final = 20.0
"""Longest wait for the state that a block builds on; whoever names one that is not there holds up
one check for so long.
"""

FETCH_PAUSE_S: Final = 0.4
"""Pause between rounds: gossip may be ahead of the holder's own store."""

T = TypeVar("T")


class Offload(Protocol):
    """Runs a check that takes milliseconds without blocking the loop."""

    async def __call__(self, check: Callable[[], T], /) -> T:
        """What ``check`` returns."""


class Archive:
    """Bodies, executed blocks and valid proofs of one node.

    :param life_ticks: heights for which proofs of closed jobs are kept.
    :param history_ticks: heights for which blocks of closed jobs are kept.
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
        life_ticks: Tick,
        history_ticks: Tick,
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
        self._sequels: dict[JobId, dict[TreeIndex, list[KnownProof]]] = {}
        self._forged: dict[JobId, set[tuple[TreeIndex, Account]]] = {}
        self._queue: dict[JobId, JobHeader] = {}
        self._settled: JobId = NO_JOB
        self._life_ticks = life_ticks
        self._history_ticks = history_ticks
        self._names: dict[JobId, dict[BodyHash, None]] = {}
        self._headers: dict[JobId, JobHeader] = {}
        self._wake = trio.Event()
        self._states_changed = trio.Event()
        self._offload = offload

    def begin(self, settled: JobId, state: RollupState) -> None:
        """Go on from a later settled job than the genesis, before anything was told."""
        self._states, self._settled = {settled: state}, settled

    # --- reading ---

    def settled_state(self) -> RollupState | None:
        """The rollup's state after the last settled job, once its block is executed."""
        return self._states.get(self._settled)

    def state_after(self, job: JobId) -> RollupState | None:
        """The rollup's state after a job, once its block is executed."""
        return self._states.get(job)

    def block(self, job: JobId) -> ExecutedBlock | None:
        """The executed block of a job."""
        return self._blocks.get(job)

    def proofs(self, job: JobId, index: TreeIndex) -> tuple[KnownProof, ...]:
        """Valid proofs of a tree node, oldest first."""
        return tuple(self._places(job).get(index, ()))

    def _places(self, job: JobId) -> dict[TreeIndex, list[KnownProof]]:
        """Valid proofs of a job that is open, or has a sequel; else none."""
        places = self._proofs.get(job)
        return self._sequels.get(job, {}) if places is None else places

    def _is_known(self, job: JobId) -> bool:
        """Whether proofs of the job are kept: it is open, or has a sequel."""
        return job in self._proofs or job in self._sequels

    def sequels(self) -> tuple[JobId, ...]:
        """Closed jobs of which it is still to be told who proved what."""
        return tuple(self._sequels)

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
            "sequels": Size(len(self._sequels)),
            "forgeries": Size(sum(map(len, self._forged.values()))),
            "jobs_to_execute": Size(len(self._queue)),
        }

    # --- jobs ---

    def open(self, job: JobId, header: JobHeader) -> None:
        """A job was opened: execute its block as soon as its body is here."""
        self._proofs[job] = {}
        self._names[job] = {}
        self._headers[job] = header
        self._queue[job] = header
        self._wake.set()

    def note(self, job: JobId, index: TreeIndex, proof: BodyHash) -> None:
        """A proof of an open job is ordered or known here: it is forgotten some time after the job.

        The root's is not: light clients ask for it, also when somebody passed it off as another's.
        """
        if job not in self._names:
            return
        if index == tree.root(self._headers[job].leaf_count):
            self._names[job].pop(proof, None)
        else:
            self._names[job][proof] = None

    def close(
        self, job: JobId, height: Tick, *, is_settled: bool, has_sequel: bool = False
    ) -> None:
        """A job was settled or voided at a height: its witnesses and proofs are of no more use
        here, and if it is void, nobody will build on it.

        :param has_sequel: it is still to be told who proved what, until :meth:`end`.
        """
        places = self._proofs.pop(job, None)
        self._blocks.pop(job, None)
        if has_sequel and places is not None:
            self._sequels[job] = places
        else:
            self._retire(job, height)
        if is_settled:
            self._settled = job
        else:
            self._queue.pop(job, None)
        self._prune()

    def _retire(self, job: JobId, height: Tick) -> None:
        self._forged.pop(job, None)
        self._store.outdate_bodies(self._names.pop(job, ()), height + self._life_ticks)
        header = self._headers.pop(job, None)
        needed = {other.content.body for other in self._headers.values()}
        if header is not None and header.content.body not in needed:
            self._store.outdate_bodies((header.content.body,), height + self._history_ticks)

    def end(self, job: JobId, height: Tick) -> None:
        """Nothing is to come of a closed job any more."""
        del self._sequels[job]
        self._retire(job, height)

    def forget(self, height: Tick) -> None:
        """Remove from the store what has outlived its job for long enough."""
        self._store.forget_bodies(height)

    def _prune(self) -> None:
        """Keep in memory only states and blocks that something can still be built on."""
        parents = {header.content.parent for header in self._queue.values()}
        needed = {self._settled, *self._proofs, *parents}
        self._states = {job: state for job, state in self._states.items() if job in needed}
        self._executed = {
            body: block for body, block in self._executed.items() if block.content.parent in needed
        }

    async def run(self) -> None:
        """Execute the blocks of opened jobs, in order, for ever."""
        while True:
            while self._queue:
                job, header = next(iter(self._queue.items()))
                await self._execute_job(job, header)
                self._queue.pop(job, None)
                self._prune()
            self._wake = trio.Event()
            await self._wake.wait()

    async def _execute_job(self, job: JobId, header: JobHeader) -> None:
        """Its content was voted valid by a quorum: only the bytes may be slow to come, and if it
        is void by then, nobody needs them.
        """
        while job in self._queue:
            executed = await self._execute(header.content, (header.sequencer,))
            if isinstance(executed, ExecutedBlock):
                await self._know(job, executed)
                return
            await trio.sleep(FETCH_PAUSE_S)

    async def _know(self, job: JobId, executed: ExecutedBlock) -> None:
        self._states[job] = executed.states[-1]
        self._states_changed.set()
        self._states_changed = trio.Event()
        if job in self._proofs:
            self._blocks[job] = executed
            await self._on_block(job)

    async def _state(self, job: JobId) -> RollupState | None:
        """The state after a job, or None: others may be ahead of us, but not for ever."""
        with trio.move_on_after(STATE_PATIENCE_S):
            while job not in self._states:
                await self._states_changed.wait()
        return self._states.get(job)

    async def _execute(
        self, content: BlockContent, holders: tuple[Account, ...]
    ) -> ExecutedBlock | Refused:
        known = self._executed.get(content.body)
        if known is not None and known.content == content:
            return known
        state = await self._state(content.parent)
        if state is None:
            return Refused(Reason.WRONG_PARENT)
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

        :param job: the job of a proof record, or of one that is said to be forged.
        :returns: None, or why not.
        """
        operation = signed.operation
        if isinstance(operation.payload, BlockReveal):
            content = operation.payload.content
            executed = await self._execute(content, (operation.sender,))
            return executed.reason if isinstance(executed, Refused) else None
        if isinstance(operation.payload, BackupBlock):
            return await self._check_backup(operation.sender, operation.payload)
        if job is None:
            return Reason.UNKNOWN_JOB
        if isinstance(operation.payload, ProofEvidence):
            return await self._check_evidence(operation.sender, operation.payload, job)
        if isinstance(operation.payload, UncleClaim):
            return await self._check_proof(operation.sender, operation.payload.record, job)
        assert isinstance(operation.payload, ProofRecord), "no other kind has a body"
        return await self._check_proof(operation.sender, operation.payload, job)

    async def _check_backup(self, sender: Account, backup: BackupBlock) -> Reason | None:
        """The body is executed, and the root's proof is one of all tree nodes by the sender."""
        executed = await self._execute(backup.content, (sender,))
        if isinstance(executed, Refused):
            return executed.reason
        proof = await self.fetch(backup.proof, self._backend.proof_bytes, (sender,))
        if proof is None:
            return Reason.BODY_MISSING
        fault = await self._offload(lambda: self._fault_of(sender, backup, proof))
        if fault is None:
            self._store.put_body(backup.proof, proof)
        return fault

    def _fault_of(self, sender: Account, backup: BackupBlock, proof: bytes) -> Reason | None:
        content, network = backup.content, self._network_id
        provers = (sender,) * (2 * len(content.leaves) - 1)
        block = BlockProof(backup_header(network, sender, backup), provers, proof)
        try:
            check_block(network, self._backend, content.parent, content.from_root, block)
        except Refused as refusal:
            return refusal.reason
        return None

    async def _check_proof(self, prover: Account, record: ProofRecord, job: Job) -> Reason | None:
        statement = statement_of(prover, record, job)
        if isinstance(statement, Reason):
            return statement
        proof = await self.fetch(record.proof, self._backend.proof_bytes, (prover,))
        if proof is None:
            return Reason.BODY_MISSING
        fault = await self._offload(lambda: self._backend.verify(statement, proof))
        if fault is not None:
            self._keep_forgery(prover, record, proof)
            return Reason.INVALID_PROOF
        if self._is_known(record.job):
            self._store.put_body(record.proof, proof)
            self._keep_proof(KnownProof(prover, record))
        return None

    async def _check_evidence(
        self, reporter: Account, evidence: ProofEvidence, job: Job
    ) -> Reason | None:
        """None when the bytes are here and do not prove what was signed."""
        if not operation_is_signed(self._network_id, evidence.signed):
            return Reason.BAD_SIGNATURE
        statement = statement_of(evidence.sender, evidence.record, job)
        if isinstance(statement, Reason):
            return Reason.NOT_EVIDENCE
        holders = (reporter, evidence.sender)
        proof = await self.fetch(evidence.record.proof, self._backend.proof_bytes, holders)
        if proof is None:
            return Reason.BODY_MISSING
        fault = await self._offload(lambda: self._backend.verify(statement, proof))
        return Reason.NOT_EVIDENCE if fault is None else None

    def _keep_forgery(self, prover: Account, record: ProofRecord, proof: bytes) -> None:
        if not self._is_known(record.job):
            return
        forged = self._forged.setdefault(record.job, set())
        if (record.index, prover) not in forged:
            forged.add((record.index, prover))
            if self._store.body(record.proof) is None:
                self._store.put_body(record.proof, proof)
                self._names[record.job][record.proof] = None

    def _keep_proof(self, proof: KnownProof) -> None:
        known = self._places(proof.record.job).setdefault(proof.record.index, [])
        if proof not in known:
            known.append(proof)
            self.note(proof.record.job, proof.record.index, proof.record.proof)

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
