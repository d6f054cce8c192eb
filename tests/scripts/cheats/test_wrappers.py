"""What each wrapper changes of what passes through it, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from protocol.agents import (
    KeepBody,
    KeepNote,
    ProofKey,
    ProofKnown,
    ProofMade,
    SlotBegan,
    StartProof,
    Submit,
)
from protocol.codec import decode
from protocol.events import JobOpened, RightMissed
from protocol.happenings import BlockFinal, Publish
from protocol.messages import (
    LOG_BLOCK_BYTES_MAX,
    VOTE_BYTES_MAX,
    BlockCommitment,
    Intent,
    LogBlock,
    ProofRecord,
    SignedVote,
    UncleClaim,
    body_hash,
    header_is_signed,
    operation_is_signed,
    operations_digest,
    vote_is_signed,
)
from protocol.ports import Answer, Judge, RequestFailed, Topic, Verdict
from protocol.rules import Stage
from protocol.types import (
    FULL_SHARE,
    Account,
    BasisPoints,
    Count,
    Digest,
    JobId,
    Milliseconds,
    Round,
    Slot,
    Tick,
    TreeIndex,
    VrfProof,
)
from prover.tasks import LeafTask, MergeTask
from scripts.cheats.cheat import Cheat, Scene
from scripts.cheats.delay import Delay, longest_ms
from scripts.cheats.early import Early
from scripts.cheats.equivocate import Equivocate
from scripts.cheats.forge import Forge
from scripts.cheats.late import MISSED, Late
from scripts.cheats.neglect import Neglect
from scripts.cheats.no_reveal import NoReveal
from scripts.cheats.partition import LEAD_SLOTS, Partition
from scripts.cheats.silent import Silent
from scripts.cheats.withhold import Withhold
from scripts.configuration import CheatConfiguration
from tests.protocol.test_replica import FIRST, SLOT_MS, Story, genesis, identity_of, intent, reveal
from tests.prover.test_agent import JOB, LEAF, ME, MERGE, NEXT, OTHER, Facts, agent, duty

TICK = SlotBegan(Slot(5))
BODY = b"a proof"
RECORD = ProofRecord(JOB, LEAF, Any, None, body_hash(BODY))
START = StartProof(ProofKey(JOB, LEAF), LeafTask(JOB, ME, LEAF, Count(2), Tick(3), b""))


class Told(list[tuple[str, dict[str, Any]]]):
    def __call__(self, cheat: str, what: str, **fields: Any) -> None:
        self.append((what, fields))


class Watch:
    """A clock that is set by hand."""

    def __init__(self, now_ms: int = 0) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> Milliseconds:
        return Milliseconds(self.time_ms)


def scene(kinds: tuple[str, ...] = (), clock: Any = None, **asked: Any) -> Scene:
    return Scene(
        identity=identity_of(FIRST),
        genesis=genesis(2),
        configuration=CheatConfiguration((), **asked),
        kinds=kinds,
        proof_bytes=100,
        clock=clock or Watch(),
        tell=Told(),
    )


def told(cheat: Cheat) -> list[tuple[str, dict[str, Any]]]:
    return cast(Told, cheat.scene.tell)


class Scripted:
    """An agent that wants the same things again and again."""

    def __init__(self, *actions: Any) -> None:
        self.actions = actions

    def decide(self, view: Any, event: Any) -> tuple[Any, ...]:
        return self.actions


def final(*events: Any, slot: int = 1) -> BlockFinal:
    return cast(
        BlockFinal,
        BlockFinal(
            cast(Any, None),
            cast(Any, SimpleNamespace(slot=slot)),
            cast(Any, SimpleNamespace(tick=1, events=events)),
        ),
    )


# --- agents ---


def test_silence_drops_proofs_and_nothing_else() -> None:
    cheat = Silent(scene())
    silent = cheat.agent(Scripted(Submit(intent()), START))
    assert silent.decide(Facts([]), TICK) == (Submit(intent()),) == silent.decide(Facts([]), TICK)
    assert [fields["index"] for _, fields in told(cheat)] == [LEAF]


def test_a_late_record_waits_for_the_end_of_its_own_window() -> None:
    cheat = Late(scene((MISSED,)))
    late = cheat.agent(Scripted(KeepBody(BODY), Submit(intent()), Submit(RECORD)))
    kept = (KeepBody(BODY), Submit(intent()))
    assert late.decide(Facts([]), TICK) == kept
    for holder, index in ((OTHER, LEAF), (ME, NEXT)):
        assert late.decide(Facts([]), final(RightMissed(JOB, index, holder, True))) == kept
    missed = final(RightMissed(JOB, LEAF, ME, True))
    assert late.decide(Facts([]), missed) == (Submit(RECORD), *kept, Submit(RECORD))
    assert [what for what, _ in told(cheat)] == ["holds a proof back", "delivers"]


def test_a_record_that_never_comes_is_claimed_once_somebody_elses_is_recorded() -> None:
    cheat = Late(scene(Late.kinds))
    inner = Scripted(Submit(replace(RECORD, index=NEXT)), Submit(RECORD))
    late = cheat.agent(inner)
    assert late.decide(Facts([]), TICK) == ()
    missed = final(RightMissed(JOB, LEAF, ME, True), RightMissed(JOB, NEXT, ME, True))
    in_time = Submit(replace(RECORD, index=NEXT))
    assert late.decide(Facts([]), missed) == (in_time, in_time)
    inner.actions = (Submit(UncleClaim(RECORD)),)
    assert late.decide(Facts([]), TICK) == inner.actions == late.decide(Facts([]), TICK)
    assert [(what, fields["index"]) for what, fields in told(cheat)] == [
        ("holds a proof back", NEXT),
        ("holds a proof back", LEAF),
        ("delivers", NEXT),
        ("delivers", LEAF),
    ]


def test_a_sequencer_that_never_reveals_promises_everything() -> None:
    commitment = BlockCommitment(
        Round(0), Digest(bytes(32)), BasisPoints(6_000), VrfProof(bytes(80))
    )
    cheat = NoReveal(scene())
    concealing = cheat.agent(Scripted(Submit(commitment), Submit(reveal(1)), KeepBody(BODY)))
    expected = (Submit(replace(commitment, fee_split=FULL_SHARE)), KeepBody(BODY))
    assert concealing.decide(Facts([]), TICK) == expected == concealing.decide(Facts([]), TICK)
    assert told(cheat) == [("does not reveal", {"round": 0})]


def test_neglect_is_blind_to_what_others_proved() -> None:
    facts = Facts([duty(MERGE, Stage.OWN, 10, 0)])
    facts.prove(LEAF, ME, cast(Any, bytes(32)))
    facts.prove(NEXT, OTHER, cast(Any, bytes(32)))
    cheat = Neglect(scene())
    assert any(isinstance(one, StartProof) for one in agent().decide(facts, TICK))
    assert cheat.agent(agent()).decide(facts, TICK) == ()
    assert [fields["index"] for _, fields in told(cheat)] == [MERGE]


def test_neglect_proves_a_merge_of_its_own_children() -> None:
    facts = Facts([duty(MERGE, Stage.OWN, 10, 0)])
    for child in (LEAF, NEXT):
        facts.prove(child, ME, cast(Any, bytes([child.position]) * 32))
    cheat = Neglect(scene())
    assert cheat.agent(agent()).decide(facts, TICK) == agent().decide(facts, TICK)
    assert told(cheat) == []


# --- forgeries ---

ROOT_AFTER = bytes(range(32))


class Forgeable(Facts):
    """Facts with what a forger looks at besides."""

    @property
    def machine(self) -> Any:
        machine = super().machine
        machine.jobs[JOB].header.root_before = lambda position: ROOT_AFTER
        other = SimpleNamespace(account=OTHER, prover_stake=1)
        machine.genesis.accounts = (SimpleNamespace(account=ME, prover_stake=1), other)
        return machine

    def block(self, job: JobId) -> Any:
        state = SimpleNamespace(witness=lambda transfers: b"witness of " + bytes(transfers))
        return SimpleNamespace(
            leaves=(bytes(3), b""), states=(state, state), witness=lambda position: b"witness"
        )


def merging() -> Forgeable:
    facts = Forgeable([duty(MERGE, Stage.OWN, 10, 0)])
    for child in (LEAF, NEXT):
        facts.prove(child, OTHER, cast(Any, bytes([child.position]) * 32))
    return facts


def forging(*kinds: str) -> tuple[Forge, Any]:
    cheat = Forge(scene(kinds))
    return cheat, cheat.agent(agent())


def announced(actions: tuple[Any, ...]) -> tuple[bytes, ProofRecord]:
    """The bytes that are served and the record that names them; a note would be repeated."""
    assert not [one for one in actions if isinstance(one, KeepNote | StartProof)]
    (body,) = [one.body for one in actions if isinstance(one, KeepBody)]
    (record,) = [one.payload for one in actions if isinstance(one, Submit)]
    assert record.proof == body_hash(body)
    return body, record


def honest_claim(facts: Facts, index: TreeIndex) -> Any:
    """The claim of the honest agent's record."""
    task = LeafTask(JOB, ME, index, Count(2), Tick(3), b"")
    made = ProofMade(ProofKey(JOB, index), task, BODY)
    (record,) = [one.payload for one in agent().decide(facts, made) if isinstance(one, Submit)]
    return record.claim


def test_random_bytes_are_announced_at_once_and_once_only() -> None:
    facts = Forgeable([duty(LEAF, Stage.OWN, 10, 0)])
    cheat, forger = forging("bytes")
    body, record = announced(forger.decide(facts, TICK))
    assert len(body) == 100
    assert record.claim == honest_claim(facts, LEAF)
    facts.pending = (record,)
    assert forger.decide(facts, TICK) == ()
    facts.pending = ()
    assert forger.decide(facts, TICK) == ()
    assert [fields["proof"] for _, fields in told(cheat)] == [record.proof]


def test_a_proof_in_anothers_name_is_announced_as_ones_own() -> None:
    facts = Forgeable([duty(LEAF, Stage.OWN, 10, 0)])
    _, forger = forging("identity")
    (started,) = forger.decide(facts, TICK)
    assert started.task.prover == OTHER
    body, record = announced(forger.decide(facts, ProofMade(started.key, started.task, BODY)))
    assert body == BODY
    assert record.claim == honest_claim(facts, LEAF)


def test_a_leaf_with_another_root_is_the_batch_without_its_last_transfer() -> None:
    facts = Forgeable([duty(LEAF, Stage.OWN, 10, 0)])
    _, forger = forging("root")
    (started,) = forger.decide(facts, TICK)
    assert started.task.witness == b"witness of " + bytes(2)
    body, _ = announced(forger.decide(facts, ProofMade(started.key, started.task, BODY)))
    assert body == BODY


@pytest.mark.parametrize("place", [NEXT, MERGE])
def test_where_no_transfer_can_be_left_out_one_bit_of_the_root_is_changed(
    place: TreeIndex,
) -> None:
    facts = merging() if place == MERGE else Forgeable([duty(NEXT, Stage.OWN, 10, 0)])
    _, forger = forging("root")
    (started,) = forger.decide(facts, TICK)
    proof = b"before" + ROOT_AFTER + b"after"
    body, _ = announced(forger.decide(facts, ProofMade(started.key, started.task, proof)))
    changed = [at for at, pair in enumerate(zip(proof, body, strict=True)) if len(set(pair)) > 1]
    assert changed == [len(b"before")]


def test_a_leaf_is_shown_for_a_merge() -> None:
    facts = merging()
    _, forger = forging("circuit")
    body, record = announced(forger.decide(facts, TICK))
    assert body == facts.bodies[facts.known[LEAF][0].record.proof]
    assert record.index == MERGE


def test_a_merge_is_shown_for_a_leaf_once_there_is_one() -> None:
    facts = Forgeable([duty(LEAF, Stage.OWN, 10, 0)])
    _, forger = forging("circuit")
    assert forger.decide(facts, TICK) == ()
    known = facts.prove(MERGE, OTHER, cast(Any, bytes(32)))
    body, record = announced(forger.decide(facts, ProofKnown(known)))
    assert body == facts.bodies[known.record.proof]
    assert record.index == LEAF
    facts.known.clear()
    _, second = forging("circuit")
    assert announced(second.decide(facts, ProofKnown(known)))[0] == body


def test_kinds_take_turns_at_one_tree_node() -> None:
    facts = merging()
    cheat, forger = forging(*Forge.kinds)
    for _ in range(6):
        for action in forger.decide(facts, TICK):
            if isinstance(action, StartProof):
                assert isinstance(action.task, MergeTask)
                forger.decide(facts, ProofMade(action.key, action.task, ROOT_AFTER))
    assert [fields["forgery"] for _, fields in told(cheat)] == list(Forge.kinds)


# --- networks ---


class Wire:
    """A network that notes what it is asked for."""

    account = Account(bytes(32))

    def __init__(self, *peers: Account) -> None:
        self.known = peers
        self.judges: dict[Topic, Judge] = {}
        self.answers: dict[str, Answer] = {}
        self.published: list[tuple[float, bytes]] = []

    def join(self, topic: Topic, judge: Judge) -> None:
        self.judges[topic] = judge

    def serve(self, name: str, answer: Answer) -> None:
        self.answers[name] = answer

    async def publish(self, topic: Topic, payload: bytes) -> None:
        self.published.append((trio.current_time(), payload))

    async def request(self, peer: Account, name: str, body: bytes, **limits: Any) -> bytes:
        return body

    def peers(self) -> tuple[Account, ...]:
        return self.known

    def penalise(self, peer: Account, reason: str) -> None:
        raise AssertionError("nobody did anything")


async def echo(_peer: Account, body: bytes) -> bytes | None:
    return body or None


def test_who_withholds_answers_nothing() -> None:
    cheat, wire = Withhold(scene()), Wire()
    cheat.network(cast(Any, wire)).serve("body", echo)
    for body in (b"wanted", b"", b"wanted"):
        assert trio.run(wire.answers["body"], OTHER, body) is None
    assert [fields["body"] for _, fields in told(cheat)] == [b"wanted"]


def test_messages_are_delayed_by_the_mean_give_or_take_a_third() -> None:
    cheat, wire = Delay(scene(delay_ms=90, seed="a")), Wire()
    network = cheat.network(cast(Any, wire))

    async def main() -> None:
        async with trio.open_nursery() as cheat.nursery:
            cheat.nursery.start_soon(cheat.run)
            await trio.testing.wait_all_tasks_blocked()
            for number in range(200):
                await network.publish(Topic.BIDS, bytes([number]))
            before = trio.current_time()
            limits = {"size_max": 1, "timeout_ms": Milliseconds(1)}
            await network.request(OTHER, "body", b"", **limits)
            assert 0.059 < trio.current_time() - before < 0.121
            await trio.sleep(1)
            cheat.nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    delays = [at for at, _ in wire.published]
    assert len(delays) == 200
    assert longest_ms(90) == 120
    assert 0.06 <= min(delays) < 0.07
    assert 0.11 < max(delays) <= 0.12
    (_, fields) = told(cheat)[-1]
    assert fields["messages"] == 201
    assert 85 <= fields["mean_ms"] <= 95


def parted(watch: Watch, own_side: tuple[Account, ...]) -> tuple[Partition, Wire, Any]:
    island = tuple(one.hex() for one in own_side)
    cheat = Partition(scene(clock=watch, partition=island, partition_ms=5_000))
    wire = Wire(ME, OTHER)
    network = cheat.network(cast(Any, wire))
    network.join(Topic.BIDS, lambda peer, payload: Verdict.ACCEPT)
    network.serve("body", echo)
    cheat.nursery = cast(Any, SimpleNamespace(start_soon=lambda *task: None))
    return cheat, wire, network


@pytest.mark.parametrize("is_inside", [True, False])
def test_a_partition_cuts_off_the_other_side_for_its_time(is_inside: bool) -> None:
    own = identity_of(FIRST).account
    watch = Watch()
    cheat, wire, network = parted(watch, (own, ME) if is_inside else (OTHER,))

    async def reaches(peer: Account) -> bool:
        heard = wire.judges[Topic.BIDS](peer, b"") is Verdict.ACCEPT
        answered = await wire.answers["body"](peer, b"asked") is not None
        try:
            asked = await network.request(
                peer, "body", b"asked", size_max=9, timeout_ms=Milliseconds(1)
            )
        except RequestFailed:
            asked = b""
        told = {heard, answered, bool(asked), peer in network.peers()}
        assert len(told) == 1, "all ways are open, or none"
        return heard

    def reached(peer: Account) -> bool:
        return trio.run(reaches, peer)

    assert reached(OTHER)
    cheat.observe(final(slot=3))
    opened = JobOpened(JOB, cast(Any, None), ())
    cheat.observe(final(opened, slot=10))
    cheat.observe(final(opened, slot=50))
    begins_ms = (10 + LEAD_SLOTS) * SLOT_MS
    for time_ms, is_cut in ((-1, False), (0, True), (4_999, True), (5_000, False)):
        watch.time_ms = begins_ms + time_ms
        assert reached(ME)
        assert reached(OTHER) is not is_cut
    assert cheat.dropped.total() == 6


# --- replicas ---


def proposals(story: Story, wrap: Callable[[Any], Any]) -> list[LogBlock]:
    """The proposals of a validator that is alone, wrapped, with something to order."""
    story.replica = wrap(story.replica)
    grown(story)
    return story.proposals()


def grown(story: Story) -> None:
    for number in range(1, 9):
        story.hear(story.signed(intent(number)))
        story.slots(1)


def test_an_early_proposal_has_one_operation_too_many_while_a_job_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = proposals(Story(), lambda replica: replica)
    assert proposals(Story(), Early(scene()).replica) == honest
    story = Story()
    machine = story.replica.machine
    monkeypatch.setattr(machine, "jobs", {JOB: None})
    monkeypatch.setattr(machine.sequencing, "next_settled", lambda jobs: None)
    monkeypatch.setattr(machine.sequencing, "on_tick", lambda frame: None)
    blocks = proposals(story, Early(scene()).replica)
    wrong = [block.operations[-1].operation for block in blocks]
    assert {type(one.payload) for one in wrong} == {ProofRecord, Intent}
    for block, operation in zip(blocks, wrong, strict=True):
        height = block.header.height
        is_expired = operation.valid_until < height
        assert is_expired is isinstance(operation.payload, Intent)
        assert header_is_signed(story.network, block.signed)
        assert block.header.operations == operations_digest(block.operations)
        assert all(operation_is_signed(story.network, one) for one in block.operations)


def test_an_equivocator_signs_two_of_each_in_one_slot_once() -> None:
    story = Story()
    cheat = Equivocate(scene())
    blocks = proposals(story, cheat.replica)
    slots = [block.header.slot for block in blocks]
    (double,) = {slot for slot in slots if slots.count(slot) > 1}
    pair = [block for block in blocks if block.header.slot == double]
    assert len(pair) == 2
    assert pair[0].header != pair[1].header
    assert all(header_is_signed(story.network, block.signed) for block in pair)
    votes: list[SignedVote] = [
        decode(SignedVote, one.payload, size_max=VOTE_BYTES_MAX) for one in story.votes()
    ]
    voted = [one.vote.slot for one in votes]
    assert {slot for slot in voted if voted.count(slot) > 1} == {double}
    assert all(vote_is_signed(story.network, one) for one in votes)
    assert [what for what, _ in told(cheat)] == ["signs a second proposal", "signs a second vote"]


def test_effects_of_an_equivocator_keep_their_order() -> None:
    honest, cheat = Story(), Story()
    cheat.replica = Equivocate(scene()).replica(cheat.replica)
    for story in (honest, cheat):
        grown(story)
    said = [one for one in cheat.effects if one not in honest.effects]
    assert [type(one) for one in said] == [Publish, Publish]
    assert [one for one in cheat.effects if one not in said] == honest.effects
    block: LogBlock = decode(LogBlock, said[0].payload, size_max=LOG_BLOCK_BYTES_MAX)
    assert block.header.height > 1
