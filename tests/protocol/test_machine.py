"""The machine: order of work, fees, replay, evidence, epochs, objections, digests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.beacon import genesis_beacon
from protocol.errors import Reason, Refused
from protocol.events import EquivocationPunished, OperationAccepted, OperationRefused
from protocol.ledger import BURNED, VAULT, Cause, Moved, balance, log_stake
from protocol.machine import FinalBlock, Saved
from protocol.messages import (
    Award,
    Bid,
    Intent,
    Operation,
    ProofRecord,
    ProposalEvidence,
    Vote,
    VoteEvidence,
    operation_hash,
    sign_bid,
    sign_header,
    sign_vote,
)
from protocol.params import EVIDENCE_EPOCHS
from protocol.snapshot import plain_bytes
from protocol.testing import Scenario, World, actor
from protocol.testing.cast import BEGGAR, OUTSIDER
from protocol.testing.moves import _header, record_of
from protocol.testing.world import WORTHLESS
from protocol.types import BlockHash, Count, Epoch, Nonce, Slot, Tick
from tests.protocol.desk import assigned, at, network, of, open_job, play_on, refusals

INTENT = Intent(Count(1), Tick(50))


def money(world, who):
    return world.machine.ledger.holds(balance(actor(who).account))


# --- validity and replay ---


def test_an_operation_is_valid_through_its_last_tick_and_for_one_epoch():
    world = network()
    for valid_for, reason in ((0, "EXPIRED"), (1, None), (17, None), (18, "VALID_TOO_LONG")):
        world.say("p0", INTENT, valid_for)
        assert refusals(world.step().events) == ([reason] if reason else [])


def test_a_replay_within_validity_costs_nothing_and_changes_nothing():
    world = network()
    signed = world.say("p0", INTENT, 5)
    world.step()
    before = money(world, "p0")
    for expected in (["DUPLICATE"], ["DUPLICATE"]):
        world.waiting += [signed]
        assert refusals(world.step().events) == expected
    world.wait(2)
    world.waiting += [signed, signed]
    assert refusals(world.step().events) == ["EXPIRED", "EXPIRED"]
    assert money(world, "p0") == before


def test_a_replay_across_an_epoch_is_still_a_duplicate():
    world = network()
    world.wait(14 - world.tick)
    signed = world.say("p0", INTENT, 10)
    world.wait(4)
    world.waiting.append(signed)
    assert refusals(world.step().events) == ["DUPLICATE"]


def test_a_replay_in_the_first_block_of_an_epoch_and_the_last_of_its_validity():
    world = network()
    signed = world.say("p0", INTENT, 17 - world.tick)
    world.wait(16 - world.tick)
    world.waiting.append(signed)
    assert refusals(world.step().events) == ["DUPLICATE"]
    assert world.tick == signed.operation.valid_until == 17


def test_the_same_operation_signed_again_is_the_same_operation():
    world = network()
    signed = world.say("p0", INTENT)
    world.waiting.append(replace(signed, signature=bytes(64)))
    assert refusals(world.step().events) == ["DUPLICATE"]


def test_what_was_seen_is_forgotten_when_it_can_no_longer_be_valid():
    world = network()
    assert len(world.machine._seen) == 4
    world.wait(40)
    assert world.machine._seen == {}


# --- fees ---


def test_a_fee_goes_from_sender_to_proposer():
    world = network()
    before = money(world, "p0"), money(world, "s1")
    world.say("p0", INTENT)
    world.step(proposer="s1")
    assert (money(world, "p0"), money(world, "s1")) == (before[0] - 10, before[1] + 10)


def test_a_proposer_pays_itself():
    world = network()
    before = money(world, "s1")
    world.say("s1", INTENT)
    assert refusals(world.step(proposer="s1").events) == ["NO_PROVER_STAKE"]
    assert money(world, "s1") == before


def test_who_cannot_pay_loses_what_there_is_and_has_no_effect():
    world = network()
    world.say(BEGGAR, INTENT)
    assert refusals(world.step().events) == ["FEE_UNPAYABLE"]
    assert money(world, BEGGAR) == 0


def test_free_kinds_are_free_when_accepted_and_cost_when_refused():
    world = network()
    job = open_job(world)
    world.step()
    who = next(
        n for n in world.scenario.provers if job.nodes[at(0, 0)].assigned == actor(n).account
    )
    before = money(world, who)
    record = record_of(job, at(0, 0), who)
    world.say(who, record)
    world.step()
    assert money(world, who) == before
    world.say(who, record)
    assert refusals(world.step().events) == ["ALREADY_RECORDED"]
    assert money(world, who) == before - 10


# --- objections ---


def objection(world, who, payload, valid_for=5):
    operation = Operation(actor(who).account, Nonce(9), Tick(world.tick + valid_for), payload)
    return world.machine.objection(operation, Tick(world.tick + 1))


def test_objections_of_a_proposer():
    world = network()
    signed = world.say("p0", INTENT, 5)
    world.step()
    assert world.machine.objection(signed.operation, Tick(world.tick + 1)) is Reason.DUPLICATE
    assert objection(world, "p0", INTENT, 0) is Reason.EXPIRED
    assert objection(world, "p0", INTENT, 18) is Reason.VALID_TOO_LONG
    assert objection(world, "p0", INTENT, 17) is None
    assert objection(world, BEGGAR, INTENT) is Reason.FEE_UNPAYABLE
    assert objection(world, BEGGAR, WORTHLESS) is None


def test_only_who_has_prover_stake_records_without_money():
    world = World(Scenario(balance=5))
    record = ProofRecord(bytes(32), at(0, 0), bytes(32), None, bytes(32))
    assert objection(world, "p0", record) is None
    assert objection(world, OUTSIDER, record) is Reason.FEE_UNPAYABLE


def test_earliest_asks_the_rule_that_handles_the_kind():
    world = network()
    for payload in (INTENT, WORTHLESS):
        operation = Operation(actor("p0").account, Nonce(1), Tick(9), payload)
        assert world.machine.earliest(operation, ()) == 0
    record = ProofRecord(bytes(32), at(0, 0), bytes(32), None, bytes(32))
    operation = Operation(actor("p0").account, Nonce(1), Tick(9), record)
    assert world.machine.earliest(operation, ()) is None


def test_a_kind_that_no_rule_handles_is_refused_at_once():
    world = network()
    offer = Bid(actor("p0").account, 0, actor("s0").account, 1, 1, 1, 9)
    award = Award(sign_bid(actor("p0").seed, world.machine.network, offer))
    signed = world.say("s0", award)
    assert world.machine.earliest(signed.operation, ()) == 0
    assert refusals(world.step().events) == ["UNHANDLED_KIND"]


def test_a_prover_is_recorded_once_for_a_tree_node():
    world = network()
    job = open_job(world)
    first, second = assigned(job, at(0, 0)), assigned(job, at(0, 1))

    def said(who, index, nonce=1):
        record = record_of(job, index, who)
        return Operation(actor(who).account, Nonce(nonce), Tick(99), record)

    ours, due = said(first, at(0, 0), nonce=2), job.opened_at + 2
    others = said(second, at(0, 1)), said("p9", at(0, 0)), said(first, at(0, 2))
    moot = said(first, at(0, 0))
    noise = Operation(actor(first).account, Nonce(1), Tick(9), INTENT)
    elsewhere = replace(moot, payload=replace(moot.payload, job=bytes(32)))
    for ordered in ((), *((one,) for one in (*others, noise, elsewhere))):
        assert world.machine.earliest(ours, [(Tick(1), one) for one in ordered]) == due
    assert world.machine.earliest(ours, [(Tick(1), noise), (Tick(2), moot)]) is None


# --- evidence ---


def votes(world, slot, *, blocks=(b"1", b"2"), by=("s1", "s1"), slots=None, key=None):
    return VoteEvidence(
        *(
            sign_vote(
                actor(key or who).seed,
                world.machine.network,
                Vote(actor(who).account, Slot(number), BlockHash(block * 32)),
            )
            for who, block, number in zip(by, blocks, slots or (slot, slot), strict=True)
        )
    )


def proposals(world, slot, sides=(b"one", b"two"), key="s1"):
    return ProposalEvidence(
        *(
            sign_header(
                actor(key).seed,
                world.machine.network,
                _header(actor("s1").account, Slot(slot), side),
            )
            for side in sides
        )
    )


@pytest.mark.parametrize("kind", [votes, proposals])
@pytest.mark.parametrize("penalty", [0, 5_000, 10_000])
def test_two_words_in_one_slot_are_punished_once(kind, penalty):
    world = network(penalty=penalty)
    evidence = kind(world, 2)
    before = money(world, OUTSIDER)
    world.say(OUTSIDER, evidence)
    told = world.step().events
    offender = actor("s1").account
    assert of(EquivocationPunished, told) == [
        EquivocationPunished(offender, Slot(2), actor(OUTSIDER).account)
    ]
    assert world.machine.ledger.holds(log_stake(offender)) == 5 - 5 * penalty // 10_000
    assert world.machine.ledger.holds(BURNED) == 5 * penalty // 10_000
    assert money(world, OUTSIDER) == before
    world.say(OUTSIDER, votes(world, 2))
    assert refusals(world.step().events) == ["ALREADY_PUNISHED"]
    assert money(world, OUTSIDER) == before - 10


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda w: votes(w, 2, blocks=(b"1", b"1")), "NOT_EVIDENCE"),
        (lambda w: votes(w, 2, by=("s1", "s2")), "NOT_EVIDENCE"),
        (lambda w: votes(w, 2, slots=(2, 3)), "NOT_EVIDENCE"),
        (lambda w: votes(w, 2, by=("p1", "p1")), "NOT_EVIDENCE"),
        (lambda w: votes(w, 2, key="p1"), "BAD_SIGNATURE"),
        (lambda w: proposals(w, 2, sides=(b"one", b"one")), "NOT_EVIDENCE"),
        (lambda w: proposals(w, 2, key="p1"), "BAD_SIGNATURE"),
    ],
    ids=[
        "one block",
        "two voters",
        "two slots",
        "no stake",
        "forged",
        "one header",
        "forged header",
    ],
)
def test_false_evidence_costs_its_reporter_a_fee(make, reason):
    world = network()
    before = money(world, OUTSIDER)
    world.say(OUTSIDER, make(world))
    assert refusals(world.step().events) == [reason]
    assert money(world, OUTSIDER) == before - 10


def reports(world, *payloads):
    return [
        (Tick(9), Operation(actor(OUTSIDER).account, Nonce(number), Tick(9), payload))
        for number, payload in enumerate(payloads)
    ]


@pytest.mark.parametrize("kind", [votes, proposals])
def test_a_fault_is_reported_once(kind):
    world = network()
    ours = Operation(actor("s0").account, Nonce(1), Tick(9), kind(world, 2))

    def earliest(*ordered):
        return world.machine.earliest(ours, reports(world, *ordered))

    assert earliest() == 0
    assert earliest(INTENT, votes(world, 3), votes(world, 2, by=("s2", "s2"))) == 0
    assert earliest(proposals(world, 3)) == 0
    assert earliest(INTENT, votes(world, 2)) is None
    assert earliest(proposals(world, 2)) is None
    world.say(OUTSIDER, votes(world, 2))
    world.step()
    assert earliest() is None


@pytest.mark.parametrize("kind", [votes, proposals])
def test_false_evidence_keeps_nothing_off_the_log(kind):
    world = network()
    ours = Operation(actor("s0").account, Nonce(1), Tick(9), votes(world, 2))
    false = (kind(world, 2, key="p1"), votes(world, 2, blocks=(b"1", b"1")))
    assert world.machine.earliest(ours, reports(world, *false)) == 0


def test_evidence_grows_old():
    world = network(epoch_ticks=8)
    old = EVIDENCE_EPOCHS * 8
    world.wait(20)
    slot = 2 * (world.tick + 1) - old
    world.say(OUTSIDER, votes(world, slot - 1))
    world.say(OUTSIDER, votes(world, slot))
    assert refusals(world.step().events) == ["EVIDENCE_TOO_OLD"]
    assert world.machine._punished == {(actor("s1").account, Slot(slot)): None}
    world.wait(24)
    assert world.machine._punished == {}
    world.say(OUTSIDER, votes(world, slot))
    assert refusals(world.step().events) == ["EVIDENCE_TOO_OLD"]


def test_evidence_of_another_network_is_none():
    world, other = network(), network(penalty=1)
    world.say(OUTSIDER, votes(other, 2))
    assert refusals(world.step().events) == ["BAD_SIGNATURE"]


# --- epochs and beacon ---


def test_epochs_begin_one_after_their_border():
    machine = network().machine
    assert [machine.epoch(Tick(tick)) for tick in (1, 16, 17, 32, 33)] == [0, 0, 1, 1, 2]


def test_an_epochs_seed_is_the_beacon_at_the_end_of_the_one_before_the_last():
    world = network(epoch_ticks=8)
    genesis = genesis_beacon(world.machine.network)
    world.wait(24 - world.tick - 1)
    assert world.machine.epoch_seed == genesis
    world.wait(1)
    assert world.tick == 24
    assert world.machine.epoch_seed == world.log[15].moment.beacon
    world.wait(8)
    assert world.machine.epoch_seed == world.log[23].moment.beacon
    assert min(world.machine._epoch_seeds) == Epoch(3)


# --- blocks ---


def test_outcomes_come_in_the_order_of_operations():
    world = network()
    first, second = world.say("p0", INTENT), world.say(OUTSIDER, INTENT)
    outcomes = [
        event
        for event in world.step().events
        if isinstance(event, OperationAccepted | OperationRefused)
    ]
    assert [one.operation for one in outcomes] == [
        operation_hash(first.operation),
        operation_hash(second.operation),
    ]
    assert [type(one) for one in outcomes] == [OperationAccepted, OperationRefused]


def test_a_block_is_applied_at_its_height_only():
    world = network()
    again = world.log[-1]
    with pytest.raises(AssertionError, match="block 1 after 1"):
        world.machine.apply(again)


def test_the_digest_tells_logs_apart():
    digests = set()
    for operations in ((), (INTENT,)):
        world = World()
        for payload in operations:
            world.say("p0", payload)
        digests.add(world.step().digest)
    assert len(digests) == 2


def test_state_that_no_event_tells_shows_at_the_border_of_an_epoch():
    world = network(epoch_ticks=8)
    other = world._twin
    other.vrf_keys[bytes(32)] = bytes(32)
    world.wait(6)
    empty = FinalBlock(world._block(1, actor("s0")).moment, ())
    assert world.machine.digest == other.digest
    assert world.machine.apply(empty).digest != other.apply(empty).digest
    assert world.machine.tick == 8


def test_the_vault_holds_what_the_rollup_holds_after_the_settled_root():
    world = network()
    first = open_job(world, fee=100)
    assert world.machine.ledger.holds(VAULT) == 100_000
    told = play_on(world)
    assert world.machine.ledger.holds(VAULT) == 100_000 - first.header.fees
    (proven,) = [one for one in of(Moved, told) if one.cause is Cause.PROVEN_FEES]
    assert proven.amount == first.header.fees


def test_ticks_are_needed_while_something_is_open():
    world = network()
    assert not world.machine.needs_ticks()
    open_job(world)
    assert world.machine.needs_ticks()
    play_on(world)
    assert not world.machine.needs_ticks()


def test_invariants_speak_for_ledger_and_rules():
    world = network()
    assert list(world.machine.invariants()) == []
    world.machine.ledger._pockets[VAULT] += 1
    assert list(world.machine.invariants()) == ["the pockets do not add up to the supply"]


# --- saved states ---


def saved_with(**changes):
    """A state at the border of the first epoch, with other values in some places."""
    world = network()
    world.wait(16 - world.tick)
    machine = world.machine
    common = replace(machine._common(), **changes)
    state = plain_bytes((common, machine.sequencing.snapshot(), machine.proving.snapshot()))
    return Saved(machine.save().story, state)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tick": Tick(0)}, Reason.WRONG_STATE),
        ({"tick": Tick(17)}, Reason.WRONG_STATE),
        ({"tick": Tick(96)}, Reason.WRONG_STATE),
        ({"pockets": {VAULT: 1}}, Reason.WRONG_STATE),
        ({"epoch_seeds": {}}, Reason.WRONG_STATE),
        ({"tick": -16}, Reason.WRONG_SHAPE),
    ],
    ids=str,
)
def test_a_state_that_no_machine_has_is_refused_and_changes_nothing(changes, reason):
    machine = network().machine
    before = machine.snapshot(), machine.digest
    with pytest.raises(Refused) as refusal:
        machine.restore(saved_with(**changes))
    assert refusal.value.reason is reason
    assert (machine.snapshot(), machine.digest) == before


def test_a_state_that_was_saved_is_taken_and_its_digest_is_that_of_the_log():
    saved, machine = saved_with(), network().machine
    machine.restore(saved)
    world = network()
    world.wait(16 - world.tick)
    assert machine.digest == world.machine.digest == saved.digest
    assert machine.read(saved) == machine._common() == world.machine._common()
    assert replace(saved, state=saved.state + b" ").digest != saved.digest
    assert replace(saved, story=machine.digest).digest != saved.digest


def test_only_at_a_border_a_state_is_saved():
    world = network()
    world.wait(1)
    with pytest.raises(AssertionError):
        world.machine.save()
    with pytest.raises(AssertionError):
        Scenario().machine().save()
