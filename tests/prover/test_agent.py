"""What a prover's agent does about what it sees; the network around it is a table of facts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from protocol.agents import (
    PAUSE_NOTE,
    PAUSED,
    CancelProof,
    KeepBody,
    KeepNote,
    KnownProof,
    Paused,
    ProofFailed,
    ProofKey,
    ProofMade,
    Resumed,
    SlotBegan,
    StartProof,
    Submit,
    Tell,
)
from protocol.messages import Inclusion, Intent, ProofRecord, UncleClaim, body_hash
from protocol.rules import Ballot, Election, ProvingDuty, Stage
from protocol.types import (
    Account,
    Amount,
    Claim,
    Count,
    JobId,
    Milliseconds,
    Slot,
    Tick,
    TreeIndex,
    Work,
)
from prover.agent import ProverAgent, ProverSettings
from prover.forecast import Capacity, Times
from prover.modelled import ModelledBackend
from prover.pausing import DRAINED, WITHDRAWAL_TICKS
from prover.tasks import LeafTask, MergeTask

ME, OTHER = Account(bytes([1]) * 32), Account(bytes([2]) * 32)
JOB = JobId(bytes([9]) * 32)
LEAF, NEXT, MERGE = (TreeIndex(Count(a), Count(b)) for a, b in ((0, 0), (0, 1), (1, 0)))
TICK = SlotBegan(Slot(5))
CLAIMS = {place: Claim(bytes([place.position + 1, 0] * 16)) for place in (LEAF, NEXT)}


def duty(place: TreeIndex, stage: Stage, reward: int, at_stake: int) -> ProvingDuty:
    return ProvingDuty(JOB, place, stage, Amount(reward), Amount(at_stake), Work(10))


@dataclass
class Facts:
    """A view that is written down; the state it reads is one job of two leaves."""

    duties: list[ProvingDuty]
    known: dict[TreeIndex, list[KnownProof]] = field(default_factory=dict)
    recorded: dict[TreeIndex, Claim] = field(default_factory=dict)
    deliverers: tuple[Account, ...] = (ME, OTHER)
    busy: tuple[ProofKey, ...] = ()
    pending: tuple[Any, ...] = ()
    notes: dict[str, bytes] = field(default_factory=dict)
    bodies: dict[bytes, bytes] = field(default_factory=dict)
    enlistment: Intent | None = None
    errands: tuple[Any, ...] = ()
    has_block: bool = True
    election: Election | None = None
    awaited: tuple[Any, ...] = ()
    tick: int = 7
    stake: int = 1
    account: Account = ME
    jobs_opened: int = 1
    is_behind: bool = False

    @property
    def machine(self) -> Any:
        leaf = SimpleNamespace(digest=bytes(32), fees=Amount(3))
        header = SimpleNamespace(leaf_count=2, content=SimpleNamespace(leaves=(leaf, leaf)))
        job = SimpleNamespace(id=JOB, header=header, opened_at=Tick(3))
        return SimpleNamespace(
            tick=Tick(self.tick),
            genesis=SimpleNamespace(network=SimpleNamespace(epoch_ticks=Tick(64), slot_ms=1_000)),
            ledger=SimpleNamespace(holds=lambda pocket: self.stake),
            jobs={JOB: job},
            sequencing=SimpleNamespace(awaited=lambda: self.awaited),
            proving=SimpleNamespace(
                job={JOB: job}.get,
                duties=lambda account: tuple(self.duties),
                errands=lambda account, tick: self.errands,
                election=lambda account: self.election,
                enlistment=lambda account, stake, tick, lifetime: self.enlistment,
                recorded_claim=lambda job, index: self.recorded.get(index),
                may_deliver=lambda job, index, prover: prover in self.deliverers,
            ),
        )

    def own_pending(self) -> tuple[Any, ...]:
        return self.pending

    def block(self, job: JobId) -> Any:
        return SimpleNamespace(witness=lambda position: b"witness") if self.has_block else None

    def proofs(self, job: JobId, index: TreeIndex) -> tuple[KnownProof, ...]:
        return tuple(self.known.get(index, ()))

    def body(self, name: bytes) -> bytes | None:
        return self.bodies.get(name)

    def note(self, name: str) -> bytes | None:
        return self.notes.get(name)

    def running(self) -> tuple[ProofKey, ...]:
        return self.busy

    def state_after(self, job: JobId) -> None:
        return None

    def prove(self, place: TreeIndex, prover: Account, claim: Claim) -> KnownProof:
        """Make a valid proof of ``place`` known, with bytes of its own."""
        proof = bytes(prover) + claim
        record = ProofRecord(JOB, place, claim, None, body_hash(proof))
        known = KnownProof(prover, record)
        self.known.setdefault(place, []).append(known)
        self.bodies[record.proof] = proof
        return known


def agent(cost: int = 1) -> ProverAgent:
    return ProverAgent(ProverSettings(Amount(cost)), ModelledBackend())


def decide(facts: Facts, event: Any = TICK, cost: int = 1) -> list[Any]:
    return list(agent(cost).decide(facts, event))


def test_it_proves_its_own_leaf_once_the_block_is_known() -> None:
    facts = Facts([duty(LEAF, Stage.OWN, 10, 0)], has_block=False)
    assert decide(facts) == []
    facts.has_block = True
    task = LeafTask(JOB, ME, LEAF, Count(2), Tick(3), b"witness")
    assert decide(facts) == [StartProof(ProofKey(JOB, LEAF), task)]


def test_it_starts_no_proof_while_it_may_not_know_what_is_closed() -> None:
    facts = Facts([duty(LEAF, Stage.OWN, 10, 0)], is_behind=True)
    facts.enlistment = Intent(Count(1), Tick(9))
    assert decide(facts) == [Submit(facts.enlistment)]
    facts.is_behind = False
    assert any(isinstance(one, StartProof) for one in decide(facts))


def test_a_takeover_is_worth_the_tree_nodes_that_it_saves() -> None:
    saving = Facts([duty(LEAF, Stage.TAKEOVER, 0, 10)])
    assert len(decide(saving)) == 1
    assert decide(saving, cost=2) == []
    assert decide(Facts([duty(LEAF, Stage.TAKEOVER, 0, 9)])) == []


def test_what_runs_is_not_started_again_and_what_nobody_needs_is_stopped() -> None:
    key = ProofKey(JOB, LEAF)
    assert decide(Facts([duty(LEAF, Stage.OWN, 10, 0)], busy=(key,))) == []
    assert decide(Facts([], busy=(key,))) == [CancelProof(key)]


def test_a_proof_that_failed_is_tried_again_but_not_at_once() -> None:
    facts = Facts([duty(LEAF, Stage.OWN, 10, 0)])
    assert decide(facts, ProofFailed(ProofKey(JOB, LEAF), "the worker died")) == []
    assert len(decide(facts)) == 1


def merge_facts() -> Facts:
    return Facts([duty(MERGE, Stage.OWN, 10, 0)])


def test_a_merge_starts_when_both_children_are_known_before_they_are_recorded() -> None:
    facts = merge_facts()
    facts.prove(LEAF, ME, CLAIMS[LEAF])
    assert decide(facts) == []
    facts.prove(NEXT, OTHER, CLAIMS[NEXT])
    (start,) = decide(facts)
    assert isinstance(start.task, MergeTask)
    assert start.task.left == bytes(ME) + CLAIMS[LEAF]
    assert start.task.right == bytes(OTHER) + CLAIMS[NEXT]


def test_a_merge_takes_the_recorded_child_and_no_other() -> None:
    facts = merge_facts()
    facts.prove(LEAF, OTHER, Claim(bytes([7, 0] * 16)))
    facts.prove(LEAF, ME, CLAIMS[LEAF])
    facts.prove(NEXT, OTHER, CLAIMS[NEXT])
    facts.recorded = {LEAF: CLAIMS[LEAF]}
    (start,) = decide(facts)
    assert start.task.left == bytes(ME) + CLAIMS[LEAF]
    facts.recorded = {LEAF: Claim(bytes([8, 0] * 16))}
    assert decide(facts) == []


def test_a_proof_of_somebody_without_a_right_is_not_built_upon() -> None:
    facts = merge_facts()
    facts.prove(LEAF, ME, CLAIMS[LEAF])
    facts.prove(NEXT, OTHER, CLAIMS[NEXT])
    assert decide(replace(facts, deliverers=(ME,))) == []


def test_a_finished_proof_is_kept_noted_and_announced_in_this_order() -> None:
    facts = Facts([duty(LEAF, Stage.OWN, 10, 0)])
    key = ProofKey(JOB, LEAF)
    task = LeafTask(JOB, ME, LEAF, Count(2), Tick(3), b"witness")
    body, note, submit = decide(facts, ProofMade(key, task, b"proof"))
    assert body == KeepBody(b"proof")
    assert isinstance(note, KeepNote)
    assert isinstance(submit, Submit)
    assert submit.payload.proof == body_hash(b"proof")
    assert submit.payload.children is None


def test_after_a_restart_it_announces_the_proof_that_it_kept() -> None:
    facts = Facts([duty(LEAF, Stage.OWN, 10, 0)])
    key = ProofKey(JOB, LEAF)
    task = LeafTask(JOB, ME, LEAF, Count(2), Tick(3), b"witness")
    body, note, submit = decide(facts, ProofMade(key, task, b"proof"))
    facts.notes[note.name] = note.payload
    facts.bodies[submit.payload.proof] = body.body
    assert decide(facts) == [submit]
    assert decide(replace(facts, pending=(submit.payload,))) == []


def test_what_lost_to_another_record_is_claimed_and_never_begun_for_that_alone() -> None:
    facts = Facts([duty(LEAF, Stage.OWN, 10, 0)])
    made = ProofMade(
        ProofKey(JOB, LEAF), LeafTask(JOB, ME, LEAF, Count(2), Tick(3), b"witness"), b"proof"
    )
    body, note, submit = decide(facts, made)
    uncle = replace(facts, duties=[duty(LEAF, Stage.UNCLE, 100, 0)])
    assert decide(uncle) == []
    uncle.notes[note.name] = note.payload
    uncle.bodies[submit.payload.proof] = body.body
    assert decide(uncle) == [Submit(UncleClaim(submit.payload))]
    assert decide(replace(uncle, pending=(UncleClaim(submit.payload),))) == []


def test_what_saves_stake_is_begun_although_another_record_counts() -> None:
    facts = Facts([duty(LEAF, Stage.UNCLE, 0, 100)])
    (start,) = decide(facts)
    assert start.key == ProofKey(JOB, LEAF)
    made = ProofMade(start.key, start.task, b"proof")
    assert isinstance(decide(facts, made)[-1].payload, UncleClaim)


def test_every_offer_is_taken_once_and_votes_are_left_to_jurors() -> None:
    taking = Inclusion(JOB, LEAF, OTHER, CLAIMS[LEAF])
    facts = Facts([], errands=(taking, Ballot(JOB, OTHER, (LEAF,))))
    assert decide(facts) == [Submit(taking)]
    assert decide(replace(facts, pending=(taking,))) == []
    assert decide(replace(facts, stake=0)) == []


def test_a_merge_on_children_that_lost_is_made_again() -> None:
    facts = merge_facts()
    left = facts.prove(LEAF, ME, CLAIMS[LEAF])
    right = facts.prove(NEXT, OTHER, CLAIMS[NEXT])
    (start,) = decide(facts)
    made = ProofMade(start.key, start.task, b"merge")
    body, note, submit = decide(facts, made)
    assert submit.payload.children == (left.record.claim, right.record.claim)
    facts.notes[note.name] = note.payload
    facts.bodies[submit.payload.proof] = body.body
    winner = facts.prove(NEXT, ME, Claim(bytes([6, 0] * 16)))
    facts.recorded = {NEXT: winner.record.claim}
    (again,) = decide(facts)
    assert isinstance(again, StartProof)
    assert again.task.right == bytes(ME) + winner.record.claim


def test_it_says_that_it_is_there_once() -> None:
    intent = Intent(Count(1), Tick(71))
    facts = Facts([], enlistment=intent)
    assert decide(facts) == [Submit(intent)]
    assert decide(replace(facts, pending=(intent,))) == []


def test_without_prover_stake_it_neither_enlists_nor_proves() -> None:
    facts = Facts([duty(LEAF, Stage.OPEN, 100, 0)], stake=0, enlistment=Intent(Count(1), Tick(9)))
    assert decide(facts) == []
    facts.stake = 1
    assert {type(one) for one in decide(facts)} == {Submit, StartProof}


# --- what it can do in time ---


def able(leaf_ms: int, merge_ms: int) -> ProverAgent:
    """An agent with two workers on two cores whose proofs took so long on one thread."""
    leaf, merge = (Times(((Count(1), Milliseconds(ms)),)) for ms in (leaf_ms, merge_ms))
    capacity = Capacity(Count(2), Count(2), leaf, merge)
    return ProverAgent(ProverSettings(capacity=capacity), ModelledBackend())


def election(leaf_window: int, merge_window: int, until: int = 0) -> Election:
    return Election(Tick(until), Tick(leaf_window), Tick(merge_window))


INTENT = Intent(Count(1), Tick(71))


def test_it_enlists_for_as_many_proofs_as_it_has_workers() -> None:
    facts = Facts([], enlistment=INTENT, election=election(5, 5))
    assert list(able(1_000, 1_000).decide(facts, TICK)) == [Submit(Intent(Count(2), Tick(71)))]


def test_it_does_not_enlist_for_windows_that_it_would_miss_and_says_so_once() -> None:
    facts = Facts([], enlistment=INTENT, election=election(5, 7))
    for leaf_ms, merge_ms, name in ((3_001, 5_000, "a leaf"), (3_000, 5_001, "a merge")):
        slow = able(leaf_ms, merge_ms)
        (told,) = slow.decide(facts, TICK)
        assert isinstance(told, Tell)
        assert name in told.sentence
        assert slow.decide(facts, TICK) == ()
    assert isinstance(able(3_000, 5_000).decide(facts, TICK)[0], Submit)


def test_what_is_owed_counts_and_what_is_open_to_anybody_does_not() -> None:
    facts = Facts([], enlistment=INTENT, election=election(6, 6), has_block=False)
    steady = able(2_000, 2_000)
    facts.duties = [duty(NEXT, Stage.OPEN, 9, 0), duty(LEAF, Stage.OPEN, 9, 0)]
    assert len(steady.decide(facts, TICK)) == 1
    facts.duties = [duty(LEAF, Stage.OWN, 99, 0), duty(NEXT, Stage.TAKEOVER, 99, 0)]
    assert len(steady.decide(facts, TICK)) == 1
    facts.busy = (ProofKey(JOB, LEAF),)
    assert len(steady.decide(facts, TICK)) == 1
    facts.duties = [*facts.duties, duty(MERGE, Stage.OWN, 99, 0)]
    (told,) = steady.decide(facts, TICK)
    assert isinstance(told, Tell)
    assert "behind 2 leaves and 1 merges" in told.sentence


def test_it_learns_from_what_it_proves_and_takes_its_word_back() -> None:
    facts = Facts([], enlistment=INTENT, election=election(3, 9))
    slow = able(2_000, 1_000)
    task = LeafTask(JOB, ME, LEAF, Count(2), Tick(3), b"witness")
    assert isinstance(slow.decide(facts, TICK)[0], Tell)
    made = ProofMade(ProofKey(JOB, LEAF), task, b"", Milliseconds(400), Count(1))
    for _ in range(3):
        assert not any(isinstance(one, Submit) for one in slow.decide(facts, made))
    assert Submit(Intent(Count(2), Tick(71))) in slow.decide(facts, made)


def test_what_a_busy_hour_taught_is_forgotten_after_an_intent_without_proofs() -> None:
    facts = Facts([], enlistment=INTENT, election=election(3, 9))
    able_once = able(1_000, 1_000)
    task = LeafTask(JOB, ME, LEAF, Count(2), Tick(3), b"witness")
    made = ProofMade(ProofKey(JOB, LEAF), task, b"", Milliseconds(9_000), Count(1))
    assert any(isinstance(one, Tell) for one in able_once.decide(facts, made))
    for tick, enlists in ((7 + 127, False), (7 + 128, True)):
        facts.tick = tick
        said = able_once.decide(facts, TICK)
        assert any(isinstance(one, Submit) for one in said) == enlists
        assert not any(isinstance(one, Tell) for one in said)
    always = able(9_000, 1_000)
    for tick, count in ((7, 1), (7 + 128, 0), (7 + 256, 0)):
        facts.tick = tick
        assert len(always.decide(facts, TICK)) == count


def test_without_a_proof_that_was_timed_it_enlists() -> None:
    facts = Facts([], enlistment=INTENT, election=election(1, 1))
    assert decide(facts) == [Submit(INTENT)]


# --- pausing ---


def paused(duties: list[ProvingDuty], **rest: Any) -> Facts:
    return Facts(duties, notes={PAUSE_NOTE: PAUSED}, enlistment=INTENT, **rest)


def test_a_paused_prover_serves_its_rights_and_takes_nothing_new() -> None:
    facts = paused([duty(LEAF, Stage.OWN, 10, 0), duty(NEXT, Stage.OPEN, 10, 0)])
    (start,) = decide(facts, Paused())
    assert start.key == ProofKey(JOB, LEAF)
    facts.duties = [duty(NEXT, Stage.TAKEOVER, 10, 0)]
    assert decide(facts)[0].key == ProofKey(JOB, NEXT)
    facts.duties = [duty(NEXT, Stage.OPEN, 0, 10)]
    assert decide(facts)[0].key == ProofKey(JOB, NEXT)
    facts.notes.clear()
    facts.duties = [duty(NEXT, Stage.OPEN, 10, 0)]
    assert {type(one) for one in decide(facts, Resumed())} == {Submit, StartProof}


def test_it_tells_once_that_it_is_drained_and_again_after_the_next_pause() -> None:
    one = agent()
    facts = paused([])
    assert one.decide(facts, Paused()) == (Tell(DRAINED),)
    assert one.decide(facts, TICK) == ()
    facts.notes.clear()
    assert one.decide(facts, Resumed()) == (Submit(INTENT),)
    facts.notes[PAUSE_NOTE] = PAUSED
    assert one.decide(facts, TICK) == (Tell(DRAINED),)


def test_it_is_not_drained_while_it_can_be_elected_or_owes_or_proves() -> None:
    blocked = (
        paused([], election=election(5, 5, until=7)),
        paused([], pending=(INTENT,)),
        paused([duty(LEAF, Stage.OWN, 9, 0)], has_block=False),
        paused([duty(LEAF, Stage.UNCLE, 0, 9)], has_block=False),
    )
    for facts in blocked:
        assert decide(facts) == []
    assert decide(paused([], busy=(ProofKey(JOB, LEAF),))) == [CancelProof(ProofKey(JOB, LEAF))]
    assert decide(paused([], election=election(5, 5, until=6))) == [Tell(DRAINED)]
    assert decide(paused([duty(LEAF, Stage.UNCLE, 9, 0)])) == [Tell(DRAINED)]


def test_blocks_that_may_still_name_it_have_to_open_or_to_leave_first() -> None:
    first, second = (SimpleNamespace(round=number, sequencer=OTHER) for number in (1, 2))
    one = agent()
    facts = paused([], awaited=(first,), election=election(5, 5, until=7))
    assert one.decide(facts, TICK) == ()
    facts.election = election(5, 5, until=6)
    facts.awaited = (first, second)
    assert one.decide(facts, TICK) == ()
    facts.awaited = (second, SimpleNamespace(round=3, sequencer=OTHER))
    assert one.decide(facts, TICK) == ()
    facts.awaited = (SimpleNamespace(round=3, sequencer=OTHER),)
    assert one.decide(facts, TICK) == (Tell(DRAINED),)


def test_a_paused_node_still_claims_what_it_had_proven() -> None:
    facts = Facts([duty(LEAF, Stage.OWN, 10, 0)])
    task = LeafTask(JOB, ME, LEAF, Count(2), Tick(3), b"witness")
    body, note, submit = decide(facts, ProofMade(ProofKey(JOB, LEAF), task, b"proof"))
    uncle = paused([duty(LEAF, Stage.UNCLE, 100, 0)])
    uncle.notes[note.name] = note.payload
    uncle.bodies[submit.payload.proof] = body.body
    assert Submit(UncleClaim(submit.payload)) in decide(uncle)


def test_a_pause_cuts_a_long_intent_short_once() -> None:
    facts = paused([], election=election(5, 5, until=7 + WITHDRAWAL_TICKS + 1))
    withdrawn = Submit(Intent(Count(1), Tick(7 + WITHDRAWAL_TICKS)))
    assert decide(facts) == [withdrawn]
    assert decide(replace(facts, pending=(withdrawn.payload,))) == []
    assert decide(replace(facts, election=election(5, 5, until=7 + WITHDRAWAL_TICKS))) == []
    assert decide(replace(facts, stake=0)) == []
