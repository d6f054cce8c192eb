"""``forge``: a prover that announces proofs which do not prove what it signs.

Four kinds, each at most once for each tree node, those it has done least first:

- ``bytes``: random bytes of the right length;
- ``identity``: a true proof in another prover's name, announced as its own;
- ``root``: of a leaf, a true proof of the batch without its last transfer, which ends at another
  root; of a merge, a true proof in which one byte of the root was changed;
- ``circuit``: a proof of the other circuit: somebody's merge for a leaf, a leaf for a merge.

Breaks: signed bytes prove what they are announced for. Met by ``INVALID_PROOF``: every node fetches
and verifies before it votes, so the record is not ordered, and its signature is evidence for which
the forger's prover stake is slashed. Costs: the block waits for one window; each node verifies in
vain, some milliseconds for each kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, Final

from protocol import tree
from protocol.agents import (
    Action,
    Agent,
    AgentEvent,
    KeepNote,
    ProofKey,
    ProofKnown,
    ProofMade,
    StartProof,
    Submit,
    View,
)
from protocol.messages import ProofRecord
from protocol.signing import digest
from protocol.types import BodyHash
from prover.agent import ProverAgent
from prover.tasks import LeafTask, ProvingTask
from scripts.cheats.cheat import Cheat, Role

BYTES: Final = "bytes"
IDENTITY: Final = "identity"
ROOT: Final = "root"
CIRCUIT: Final = "circuit"


class Forge(Cheat):
    """The cheat of this module."""

    name: ClassVar[str] = "forge"
    role: ClassVar[Role] = Role.PROVER
    kinds: ClassVar[tuple[str, ...]] = (BYTES, IDENTITY, ROOT, CIRCUIT)

    def agent(self, agent: Agent) -> Agent:
        """The same prover with forgeries instead of proofs."""
        return _Forging(self, agent) if isinstance(agent, ProverAgent) else agent


class _Forging:
    """Lets the honest agent announce what was forged, so that only the bytes are wrong."""

    def __init__(self, cheat: Forge, inner: Agent) -> None:
        self._cheat = cheat
        self._inner = inner
        self._begun: dict[ProofKey, list[str]] = {}
        self._counts: Counter[str] = Counter()
        self._spoils: set[ProofKey] = set()
        self._merge: BodyHash | None = None

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        if isinstance(event, ProofKnown) and event.proof.record.index.level:
            self._merge = event.proof.record.proof
        if isinstance(event, ProofMade):
            event = replace(event, proof=self._spoiled(view, event))
        return tuple(self._forged(view, self._inner.decide(view, event)))

    def _forged(self, view: View, actions: tuple[Action, ...]) -> Iterator[Action]:
        for action in actions:
            match action:
                case StartProof(key, task):
                    yield from self._begin(view, key, task)
                case KeepNote():
                    pass  # a noted proof is announced again and again
                case Submit(ProofRecord() as record):
                    self._tell(record)
                    yield action
                case _:
                    yield action

    def _tell(self, record: ProofRecord) -> None:
        kind = self._begun[ProofKey(record.job, record.index)][-1]
        self._cheat.tell(
            f"announces a forgery: {kind}",
            forgery=kind,
            job=record.job,
            index=record.index,
            proof=record.proof,
        )

    def _begin(self, view: View, key: ProofKey, task: ProvingTask) -> Iterator[Action]:
        """The next kind that can be done now, once the one before was refused."""
        pending = (one for one in view.own_pending() if isinstance(one, ProofRecord))
        if any((one.job, one.index) == (key.job, key.index) for one in pending):
            return
        begun = self._begun.setdefault(key, [])
        left = [one for one in self._cheat.scene.kinds if one not in begun]
        for kind in sorted(left, key=lambda one: self._counts[one]):
            actions = tuple(self._begin_kind(view, key, task, kind))
            if actions:
                self._counts[kind] += 1
                begun.append(kind)
                yield from self._forged(view, actions) if kind in (BYTES, CIRCUIT) else actions
                return

    def _begin_kind(
        self, view: View, key: ProofKey, task: ProvingTask, kind: str
    ) -> Iterator[Action]:
        if kind == IDENTITY:
            yield StartProof(key, replace(task, prover=self._somebody_else(view)))
        elif kind == ROOT:
            changed = _with_other_root(view, task)
            if changed is None:
                self._spoils.add(key)
            yield StartProof(key, changed or task)
        else:
            forged = self._bytes(key) if kind == BYTES else self._foreign(view, task)
            made = self._inner.decide(view, ProofMade(key, task, forged)) if forged else ()
            yield from (one for one in made if not isinstance(one, StartProof | KeepNote))

    def _somebody_else(self, view: View) -> Any:
        accounts = [one.account for one in view.machine.genesis.accounts if one.prover_stake]
        return next((one for one in accounts if one != view.account), bytes(32))

    def _bytes(self, key: ProofKey) -> bytes:
        size, chunks = self._cheat.scene.proof_bytes, []
        for number in range(-(-size // 32)):
            place = f"{key.index} {number}".encode()
            chunks.append(digest(b"provnet/forged-bytes/1", key.job, place))
        return b"".join(chunks)[:size]

    def _foreign(self, view: View, task: ProvingTask) -> bytes | None:
        """A proof of the other circuit; of another job only when this one has none yet."""
        wants_merge = isinstance(task, LeafTask)
        known = (
            one.record.proof
            for index in tree.indices(task.leaf_count)
            if (index.level > 0) is wants_merge
            for one in view.proofs(task.job, index)
        )
        name = next(known, self._merge if wants_merge else None)
        return None if name is None else view.body(name)

    def _spoiled(self, view: View, event: ProofMade) -> bytes:
        """The proof that a worker made, with another root if that was not forged before."""
        job = view.machine.jobs.get(event.key.job)
        if event.key not in self._spoils or job is None:
            return event.proof
        self._spoils.remove(event.key)
        _, end = tree.span(event.key.index)
        spoiled = bytearray(event.proof)
        spoiled[event.proof.rfind(job.header.root_before(end))] ^= 1
        return bytes(spoiled)


def _with_other_root(view: View, task: ProvingTask) -> LeafTask | None:
    """The leaf without its last transfer; None for a merge, and for a leaf without transfers."""
    block = view.block(task.job)
    position = task.index.position
    if not isinstance(task, LeafTask) or block is None or not block.leaves[position]:
        return None
    witness = block.states[position].witness(block.leaves[position][:-1])
    return replace(task, witness=witness)
