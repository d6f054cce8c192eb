"""A small network in one process: four validators in lock step, provers and sequencers by hand.

Blocks, proofs and the log are real for the backend given; time is virtual, messages arrive at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from p2p.store import Store
from protocol import vrf
from protocol.codec import decode, encode
from protocol.happenings import (
    BlockFinal,
    BlockHeard,
    BodyChecked,
    CheckBody,
    Effect,
    Happening,
    Keep,
    OperationHeard,
    Publish,
    TimePassed,
    VoteHeard,
)
from protocol.ledger import prover_stake
from protocol.messages import (
    LOG_BLOCK_BYTES_MAX,
    NO_JOB,
    BlockCommitment,
    BlockReveal,
    LogBlock,
    Operation,
    Payload,
    ProofRecord,
    SignedVote,
    block_hash,
    body_hash,
    commitment_digest,
    operation_hash,
    sign_operation,
)
from protocol.ordering.validators import Identity
from protocol.params import (
    Genesis,
    GenesisAccount,
    NetworkParameters,
    RollupAccount,
    RuleChoice,
    format_genesis,
    network_id,
    settings_of,
)
from protocol.ports import LeafContent, MergeContent, RollupState, Topic
from protocol.registry import build_machine
from protocol.replica import Replica
from protocol.rollup import ExecutedBlock, execute_body
from protocol.rules import CommitDuty, ProvingDuty, RevealDuty
from protocol.signing import public_key
from protocol.testing.cast import Actor, actor
from protocol.testing.scenario import QUICK_ELECTED
from protocol.tree import children
from protocol.types import (
    Account,
    Amount,
    BasisPoints,
    Claim,
    Count,
    JobId,
    Milliseconds,
    Nonce,
    Salt,
    Stake,
    Tick,
    TreeIndex,
)
from prover.tasks import LeafTask, MergeTask, ProvingTask
from scripts.folder import GENESIS, SUMMARY
from scripts.money import add_up
from scripts.records import record, record_of, write_json
from sequencer.builder import build_block
from sequencer.traffic import Traffic

SLOT_MS = 1_000
VALIDATORS = ("validator-1", "validator-2", "validator-3", "validator-4")
PROVERS = ("prover-1", "prover-2", "prover-3", "prover-4")
ELECTED = replace(QUICK_ELECTED, leaf_window_ticks=Tick(6), merge_window_ticks=Tick(6))
"""Every kind of pay, and windows that cover the lag of a log."""
TRAFFIC_KEYS = tuple(bytes([number + 1]) * 32 for number in range(4))


def genesis(backend: str) -> Genesis:
    parameters = NetworkParameters(
        name="small",
        backend=backend,
        genesis_time_ms=Milliseconds(0),
        slot_ms=Milliseconds(SLOT_MS),
        epoch_ticks=Tick(16),
        exit_delay_ticks=Tick(80),
        operation_fee=Amount(10),
        equivocation_penalty=BasisPoints(5_000),
        invalid_proof_penalty=BasisPoints(10_000),
        block_reward=Amount(0),
        treasury=Amount(0),
        mev=Amount(0),
        max_operations_per_log_block=Count(64),
        max_bodies_per_log_block=Count(8),
    )
    return Genesis(
        network=parameters,
        sequencing=RuleChoice("fernet", ()),
        proving=RuleChoice("elected", settings_of(ELECTED)),
        accounts=tuple(_account(name) for name in (*VALIDATORS, *PROVERS)),
        rollup=tuple(RollupAccount(public_key(key), Amount(10**9)) for key in TRAFFIC_KEYS),
    )


def _account(name: str) -> GenesisAccount:
    who, is_validator = actor(name), name in VALIDATORS
    return GenesisAccount(
        name=name,
        account=who.account,
        vrf_key=who.vrf_key,
        balance=Amount(100_000),
        log_stake=Stake(100 if is_validator else 0),
        prover_stake=Stake(0 if is_validator else 100),
        sequencer_stake=Stake(10 if name in VALIDATORS[:2] else 0),
    )


@dataclass
class Wish:
    """What shall happen.

    :ivar dead: provers that deliver nothing for the job of this number, counted from 0.
    """

    backend: Any
    backend_name: str
    leaves: int
    blocks: int
    dead: dict[int, tuple[str, ...]] = field(default_factory=dict)


class SmallNetwork:
    """Runs until the blocks asked for are settled and final, then leaves a run folder."""

    def __init__(self, wish: Wish, run: Path) -> None:
        self.wish = wish
        self.backend = wish.backend
        self.run = run
        self.genesis = genesis(wish.backend_name)
        self.network = network_id(self.genesis)
        rows = [(one.account, one.balance) for one in self.genesis.rollup]
        self.states: dict[JobId, RollupState] = {NO_JOB: self.backend.genesis(rows)}
        self.replicas = [self._replica(actor(name)) for name in VALIDATORS]
        self.machine = self.replicas[0].machine
        self.node = run / "nodes" / VALIDATORS[0]
        self.node.mkdir(parents=True)
        (run / GENESIS).write_text(format_genesis(self.genesis))
        self.store = Store(self.node / "store.sqlite", self.network)
        self.traffic = Traffic(b"small", self.network, TRAFFIC_KEYS)
        self.lines: list[dict[str, Any]] = [record("Stage", 0, stage="started")]
        self.built: dict[bytes, tuple[BlockReveal, ExecutedBlock]] = {}
        self.blocks: dict[JobId, ExecutedBlock] = {}
        self.opened: list[JobId] = []
        self.settled = 0
        self.proofs: dict[tuple[JobId, TreeIndex, Claim], bytes] = {}
        self.said: set[object] = set()
        self.inbox: list[tuple[int, Happening]] = []
        self.now = Milliseconds(0)
        self.nonce = 0
        self.prove = self.backend.open_prover()

    def _replica(self, who: Actor) -> Replica:
        machine = build_machine(self.genesis, self.states[NO_JOB].root)
        return Replica(machine, Identity(who.account, who.seed, who.lot_seed))

    # --- time and messages ---

    def play(self) -> None:
        for tenth in range(400 * 10):
            self.now = Milliseconds(SLOT_MS + tenth * SLOT_MS // 10)
            for number in range(len(self.replicas)):
                self._step(number, TimePassed(self.now))
            if tenth % 10 == 0:
                self._act()
            if self.settled == self.wish.blocks:
                break
        assert self.settled == self.wish.blocks, "the blocks did not settle in time"
        self._finish()

    def _step(self, number: int, happening: Happening) -> None:
        self.inbox.append((number, happening))
        while self.inbox:
            at, one = self.inbox.pop(0)
            for effect in self.replicas[at].step(one):
                self._run(at, effect)

    def _run(self, number: int, effect: Effect) -> None:
        match effect:
            case Publish(topic, payload):
                self._publish(number, topic, payload)
            case CheckBody(signed):
                identity = operation_hash(signed.operation)
                self.inbox.append((number, BodyChecked(identity, None, self.now)))
            case Keep(certified) if number == 0:
                header = certified.block.header
                name = block_hash(header)
                self.store.put_block(name, header.height, encode(certified.block))
                self.store.put_certificate(name, encode(certified.certificate))
            case BlockFinal() if number == 0:
                self._note(effect)

    def _publish(self, sender: int, topic: Topic, payload: bytes) -> None:
        if topic is Topic.LOG_PROPOSALS:
            block = decode(LogBlock, payload, size_max=LOG_BLOCK_BYTES_MAX)
            happening: Happening = BlockHeard(block, self.now)
        elif topic is Topic.LOG_VOTES:
            vote = decode(SignedVote, payload, size_max=LOG_BLOCK_BYTES_MAX)
            happening = VoteHeard(vote, self.now)
        else:
            return
        others = [at for at in range(len(self.replicas)) if at != sender]
        self.inbox += [(at, happening) for at in others]

    def _note(self, final: BlockFinal) -> None:
        header = final.block.header
        self.store.finalise(header.height, block_hash(header))
        tick = final.applied.tick
        for event in final.applied.events:
            self.lines.append(record_of(event, self.now, tick=tick))
            kind = type(event).__name__
            if kind == "JobOpened":
                self.opened.append(event.job)
                self.blocks[event.job] = self.built[event.header.content.body][1]
                self.states[event.job] = self.blocks[event.job].states[-1]
            self.settled += kind == "JobSettled"
        self.lines.append(record("Final", self.now, tick=tick))

    def _say(self, name: str, payload: Payload) -> None:
        who, self.nonce = actor(name), self.nonce + 1
        until = Tick(self.machine.tick + 16)
        operation = Operation(who.account, Nonce(self.nonce), until, payload)
        signed = sign_operation(who.seed, self.network, operation)
        for number in range(len(self.replicas)):
            self._step(number, OperationHeard(signed, self.now))

    def _say_once(self, key: object, name: str, payload: Payload) -> None:
        if key not in self.said:
            self.said.add(key)
            self._say(name, payload)

    # --- what participants do ---

    def _act(self) -> None:
        for name in PROVERS:
            account = actor(name).account
            stake = Stake(self.machine.ledger.holds(prover_stake(account)))
            payload = self.machine.proving.enlistment(account, stake, self.machine.tick, Tick(64))
            if payload is not None:
                self._say_once((name, self.machine.tick // 24), name, payload)
            for duty in self.machine.proving.duties(account):
                self._do(name, duty)
        for name in VALIDATORS[:2]:
            self._sequence(name)

    def _sequence(self, name: str) -> None:
        account, machine = actor(name).account, self.machine
        now = Tick(machine.tick + 1)
        for duty in machine.sequencing.duties(account, machine.epoch_seed, now):
            if isinstance(duty, CommitDuty) and len(self.opened) < self.wish.blocks:
                self._commit(name, duty)
            elif isinstance(duty, RevealDuty):
                reveal = next(
                    one
                    for one, _ in self.built.values()
                    if one.round == duty.round and one.salt == _salt(name, duty.round)
                )
                self._say_once((name, "reveal", duty.round), name, reveal)

    def _commit(self, name: str, duty: CommitDuty) -> None:
        if (name, "commit", duty.round) in self.said:
            return
        state = self.states[duty.parent]
        traffic = Traffic(name.encode(), self.network, TRAFFIC_KEYS)
        transfers = traffic.next_transfers(state, 3 * self.wish.leaves)
        built = build_block(duty.parent, state, transfers, self.wish.leaves, self.backend)
        executed = execute_body(self.network, built.content, built.body, state, self.backend)
        assert isinstance(executed, ExecutedBlock)
        self.store.put_body(built.content.body, built.body)
        salt = _salt(name, duty.round)
        self.built[built.content.body] = BlockReveal(duty.round, built.content, salt), executed
        assert duty.lot is not None, "these networks draw lots"
        proof, _ = vrf.prove(actor(name).lot_seed, duty.lot)
        content = commitment_digest(built.content, salt)
        payload = BlockCommitment(duty.round, content, BasisPoints(6_000), proof)
        self._say_once((name, "commit", duty.round), name, payload)

    def _do(self, name: str, duty: ProvingDuty) -> None:
        number = self.opened.index(duty.job)
        key = (name, duty.job, duty.index)
        if key in self.said or name in self.wish.dead.get(number, ()):
            return
        made = self._proved(actor(name).account, duty)
        if made is not None:
            self._say_once(key, name, made)

    def _proved(self, prover: Account, duty: ProvingDuty) -> ProofRecord | None:
        job, index = duty.job, duty.index
        below: tuple[Claim, Claim] | None = None
        if index.level == 0:
            leaf = self.blocks[job].content.leaves[index.position]
            content = LeafContent(leaf.digest, leaf.fees)
            claim = self.backend.leaf_claim(prover, index.position, content)
        else:
            left, right = (
                self.machine.proving.recorded_claim(job, child) for child in children(index)
            )
            if left is None or right is None:
                return None
            below = left, right
            claim = self.backend.merge_claim(prover, MergeContent(left, right))
        proof = self.prove(self._task(prover, duty, below), 2)
        self.proofs[job, index, claim] = proof
        self.store.put_body(body_hash(proof), proof)
        return ProofRecord(job, index, claim, below, body_hash(proof))

    def _task(
        self, prover: Account, duty: ProvingDuty, below: tuple[Claim, Claim] | None
    ) -> ProvingTask:
        job, index, leaves = duty.job, duty.index, Count(self.wish.leaves)
        if below is None:
            witness = self.blocks[job].witness(index.position)
            return LeafTask(job, prover, index, leaves, Tick(0), witness)
        proofs = [
            self.proofs[job, child, claim]
            for child, claim in zip(children(index), below, strict=True)
        ]
        return MergeTask(job, prover, index, leaves, Tick(0), *proofs)

    # --- the run folder ---

    def _finish(self) -> None:
        self.store.close()
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        (self.node / "events.jsonl").write_text(text)
        balances = add_up(self.genesis, self.lines)
        income = balances.income()
        nothing = {"total": 0, "by_cause": {}}
        summary = {
            "blocks_proven": self.settled,
            "final_height": balances.height,
            "income": {
                one.name: income.get(one.account.hex(), nothing) for one in self.genesis.accounts
            },
        }
        write_json(self.run / SUMMARY, summary)


def _salt(name: str, round_: int) -> Salt:
    return Salt(f"{name} {round_}".encode().ljust(32, b".")[:32])
