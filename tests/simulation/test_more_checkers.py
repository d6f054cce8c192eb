"""Each checker says nothing of a good run, and those of the log speak of a doctored one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgpack
import pytest

from p2p.observing import MessageRefused
from protocol.errors import Reason
from protocol.events import (
    Assigned,
    JobOpened,
    JobSettled,
    OperationAccepted,
    OperationRefused,
    ProofRecorded,
    RightMissed,
    RightOpened,
    TakenOver,
    UncleClaimed,
    WindowStarted,
)
from protocol.happenings import BlockFinal
from protocol.ledger import Cause, Moved
from protocol.messages import ProofRecord, SignedOperation
from protocol.params import Setting
from protocol.ports import Topic
from protocol.types import Account, Amount, Beacon, BodyHash, Claim, Nonce, Tick
from scripts.simulation.checkers import ALL
from scripts.simulation.checkers.bounded_memory import BoundedMemory
from scripts.simulation.checkers.checker import Checker
from scripts.simulation.checkers.conserved_money import ConservedMoney
from scripts.simulation.checkers.fair_seed import FairSeed
from scripts.simulation.checkers.minimal_time import MinimalTime
from scripts.simulation.checkers.one_payment import OnePayment
from scripts.simulation.checkers.one_vote import OneVote
from scripts.simulation.checkers.refusals import Refusals
from scripts.simulation.checkers.rights import Rights
from scripts.simulation.checkers.second_reading import SecondReading
from scripts.simulation.checkers.signed import Signed
from scripts.simulation.checkers.takeover import Takeover
from scripts.simulation.checkers.uncles import Uncles
from scripts.simulation.checkers.verified_work import VerifiedWork
from scripts.simulation.checkers.within_escrow import WithinEscrow
from scripts.simulation.happenings import Event, Measured, Published
from tests.simulation.stories import Story, recorded

STRANGER = Account(bytes(32))


@pytest.fixture(scope="module")
def story() -> Story:
    return recorded()


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_checker_says_nothing_of_a_good_run(story: Story, kind: type[Checker]) -> None:
    assert story.heard_by(kind) == []


def test_the_good_run_holds_what_the_checkers_are_about(story: Story) -> None:
    """Or their silence would mean nothing."""
    events = [
        one
        for _, _, event in story.told
        if isinstance(event, BlockFinal)
        for one in event.applied.events
    ]
    kinds = {type(one) for one in events}
    causes = {one.cause for one in events if isinstance(one, Moved)}
    assert {TakenOver, RightMissed, UncleClaimed, JobSettled, OperationRefused} <= kinds
    assert {Cause.PROVER_PAY, Cause.TAKEOVER_PAY, Cause.UNCLE_PAY, Cause.FAILED_SHARE} <= causes
    assert any(isinstance(event, Measured) for _, _, event in story.told)


def caused(*causes: Cause) -> Callable[[Moved], bool]:
    return lambda moved: moved.cause in causes


def always(_event: object) -> bool:
    return True


def to_stranger(moved: Moved) -> tuple[Moved]:
    return (replace(moved, target=replace(moved.target, owner=STRANGER)),)


def doubled(moved: Moved) -> tuple[Moved]:
    return (replace(moved, amount=Amount(2 * moved.amount)),)


def twice(event: Any) -> tuple[Any, Any]:
    return (event, event)


def gone(_event: object) -> tuple[()]:
    return ()


PAY = caused(Cause.PROVER_PAY, Cause.TAKEOVER_PAY)


@dataclass(frozen=True)
class Doctored:
    """The first such event of the log is another, and a checker has to say this sentence."""

    kind: type[Checker]
    sentence: str
    event: type
    change: Any
    which: Any


DOCTORED: tuple[Doctored, ...] = (
    Doctored(OnePayment, "paid for twice", Moved, twice, PAY),
    Doctored(WithinEscrow, "came in", Moved, doubled, PAY),
    Doctored(WithinEscrow, "left in its escrow", Moved, gone, PAY),
    Doctored(WithinEscrow, "from the vault", Moved, doubled, caused(Cause.PROVEN_FEES)),
    Doctored(VerifiedWork, "which recorded no proof", Moved, to_stranger, PAY),
    Doctored(Uncles, "paid twice for an uncle", Moved, twice, caused(Cause.UNCLE_PAY)),
    Doctored(Uncles, "without a claim", Moved, to_stranger, caused(Cause.UNCLE_PAY)),
    Doctored(Uncles, "never kept", Moved, gone, caused(Cause.UNCLE_RESERVED)),
    Doctored(Uncles, "claimed twice", UncleClaimed, twice, always),
    Doctored(SecondReading, "when read again", Moved, doubled, PAY),
    Doctored(SecondReading, "jobs were settled", JobSettled, gone, always),
    Doctored(ConservedMoney, "where it came from", Moved, lambda moved: doubled(moved) * 40, PAY),
    Doctored(
        Rights,
        "the deal gives it to another",
        Assigned,
        lambda event: (replace(event, prover=STRANGER),),
        always,
    ),
    Doctored(
        Rights,
        "which has no right to it",
        ProofRecorded,
        lambda event: (replace(event, prover=STRANGER),),
        always,
    ),
    Doctored(
        Rights,
        "was recorded twice",
        ProofRecorded,
        lambda event: (event, replace(event, claim=Claim(bytes(32)))),
        always,
    ),
    Doctored(
        Rights,
        "does not build on its recorded children",
        ProofRecorded,
        lambda event: (replace(event, claim=Claim(bytes(32))),),
        always,
    ),
    Doctored(
        MinimalTime,
        "is told to count from",
        RightOpened,
        lambda event: (replace(event, admissible=Tick(event.admissible - 1)),),
        always,
    ),
    Doctored(Takeover, "due was: tree node", TakenOver, gone, always),
    Doctored(Takeover, "told was: tree node", TakenOver, twice, always),
    Doctored(
        Takeover,
        "the window of",
        WindowStarted,
        lambda event: (replace(event, closes=Tick(event.closes + 1)),),
        always,
    ),
    Doctored(
        Takeover,
        "it passes from",
        TakenOver,
        lambda event: (replace(event, heir=STRANGER),),
        always,
    ),
    Doctored(Refusals, "had an outcome", OperationAccepted, gone, always),
    Doctored(
        Refusals,
        "the outcome of another operation",
        OperationAccepted,
        lambda event: (replace(event, sender=STRANGER),),
        always,
    ),
    Doctored(
        Refusals,
        "for no reason that there is",
        OperationRefused,
        lambda event: (replace(event, reason="BECAUSE"),),
        always,
    ),
    Doctored(
        FairSeed,
        "is not the beacon",
        JobOpened,
        lambda event: (
            replace(event, header=replace(event.header, seed=Beacon(bytes(31) + b"x"))),
        ),
        always,
    ),
)


@pytest.mark.parametrize("one", DOCTORED, ids=lambda one: f"{one.kind.name}: {one.sentence}")
def test_a_checker_speaks_of_a_doctored_log(story: Story, one: Doctored) -> None:
    said = story.rewritten(one.event, one.change, one.which).heard_by(one.kind)
    assert any(one.sentence in found.sentence for found in said), [each.sentence for each in said]
    assert {found.checker for found in said} == {one.kind.name}


def finals(story: Story, which: Callable[[BlockFinal], bool] = always) -> tuple[int, BlockFinal]:
    """The first final block, with its place in the story."""
    number = story.first(lambda event: isinstance(event, BlockFinal) and which(event))
    final = story.told[number][2]
    assert isinstance(final, BlockFinal)
    return number, final


def with_header(final: BlockFinal, **fields: Any) -> BlockFinal:
    signed = replace(final.block.signed, header=replace(final.block.header, **fields))
    return replace(final, block=replace(final.block, signed=signed))


def says(story: Story, kind: type[Checker], sentence: str) -> bool:
    return any(sentence in one.sentence for one in story.heard_by(kind))


def test_one_vote_speaks_of_a_second_vote_in_a_slot(story: Story) -> None:
    number = story.first(lambda one: isinstance(one, Published) and one.topic is Topic.LOG_VOTES)
    vote = story.told[number][2]
    assert isinstance(vote, Published)
    (voter, slot, _), signature = msgpack.unpackb(vote.payload)
    other = Published(vote.topic, msgpack.packb([[voter, slot, bytes(32)], signature]))
    assert says(story.with_event(number, vote, other), OneVote, "a second vote")


def test_one_vote_speaks_of_a_second_proposal_in_a_slot(story: Story) -> None:
    number = story.first(
        lambda one: isinstance(one, Published) and one.topic is Topic.LOG_PROPOSALS
    )
    proposal = story.told[number][2]
    assert isinstance(proposal, Published)
    (header, signature), operations = msgpack.unpackb(proposal.payload)
    header[3] = bytes(32)
    other = Published(proposal.topic, msgpack.packb([[header, signature], operations]))
    assert says(story.with_event(number, proposal, other), OneVote, "a second proposal")


def test_one_vote_speaks_of_what_is_said_before_it_is_on_disk(story: Story) -> None:
    forgetful = replace(story, scene=replace(story.scene, own=lambda *_: None))
    assert says(forgetful, OneVote, "nothing of it is on its disk")


def test_a_node_that_cheats_is_not_expected_to_keep_its_word(story: Story) -> None:
    everybody = frozenset(story.scene.accounts)
    cheating = replace(story, scene=replace(story.scene, cheats=everybody, own=lambda *_: None))
    assert cheating.heard_by(OneVote) == []


def test_signed_speaks_of_an_operation_that_nobody_signed(story: Story) -> None:
    number, final = finals(story, lambda one: bool(one.block.operations))
    first, *others = final.block.operations
    forged = replace(first, operation=replace(first.operation, nonce=Nonce(1)))
    block = replace(final.block, operations=(forged, *others))
    doctored = story.with_event(number, replace(final, block=block))
    assert says(doctored, Signed, "did not sign it")


def test_signed_speaks_of_a_certificate_without_a_quorum(story: Story) -> None:
    number, final = finals(story, lambda one: one.applied.tick == 5)
    certificate = final.block.header.certificate
    assert certificate is not None
    one = replace(certificate, signatures=certificate.signatures[:1])
    assert says(story.with_event(number, with_header(final, certificate=one)), Signed, "votes of")
    none = with_header(final, certificate=None)
    assert says(story.with_event(number, none), Signed, "names no certificate")


def test_refusals_speaks_of_an_operation_that_counts_twice(story: Story) -> None:
    number, final = finals(story, lambda one: bool(one.block.operations))
    outcome = next(one for one in final.applied.events if isinstance(one, OperationAccepted))
    again = replace(
        final,
        block=replace(final.block, operations=final.block.operations * 2),
        applied=replace(final.applied, events=(*final.applied.events, outcome)),
    )
    if len(final.block.operations) == 1:
        assert says(story.with_event(number, again), Refusals, "took effect twice")
    else:
        assert says(story.with_event(number, again), Refusals, "had an outcome")


def test_refusals_speaks_of_a_message_that_was_refused_without_a_word(story: Story) -> None:
    good = MessageRefused("vote", Reason.EXPIRED, None, "")
    bad = MessageRefused("vote", None, None, "")
    assert story.with_event(0, good).heard_by(Refusals) == []
    assert says(story.with_event(0, bad), Refusals, "does not say why")


def test_bounded_memory_speaks_of_a_table_that_grows(story: Story) -> None:
    full, over = Measured((("inbox", 10, 10),)), Measured((("inbox", 11, 10),))
    assert story.with_event(0, full).heard_by(BoundedMemory) == []
    assert says(story.with_event(0, over), BoundedMemory, "inbox has 11 entries")
    many: Event = Measured((("states", 10_000, None),))
    assert says(story.with_event(0, many), BoundedMemory, "states has 10000 entries")


def test_minimal_time_speaks_of_records_before_a_longer_time(story: Story) -> None:
    """The same log under a rule that asks for more patience."""
    assert says(with_setting(story, "min_leaf_ticks", 6), MinimalTime, "after it opened")
    assert says(with_setting(story, "min_merge_ticks", 6), MinimalTime, "after it opened")


def with_setting(story: Story, name: str, value: int) -> Story:
    genesis = story.scene.genesis
    others = tuple(one for one in genesis.proving.settings if one.name != name)
    proving = replace(genesis.proving, settings=(*others, Setting(name, str(value))))
    return replace(story, scene=replace(story.scene, genesis=replace(genesis, proving=proving)))


def test_verified_work_speaks_of_bytes_that_are_missing_or_others(story: Story) -> None:
    lost = replace(story, scene=replace(story.scene, body=lambda _: None))
    assert says(lost, VerifiedWork, "no honest node has its proof")
    other = replace(story, scene=replace(story.scene, body=lambda _: b"other bytes"))
    assert says(other, VerifiedWork, "do not have the hash")


def test_verified_work_speaks_of_a_proof_of_something_else(story: Story) -> None:
    """Every record names the bytes of the first one."""
    finals = [
        (number, event)
        for number, (_, _, event) in enumerate(story.told)
        if isinstance(event, BlockFinal)
    ]
    records = [
        one.operation.payload
        for _, final in finals
        for one in final.block.operations
        if isinstance(one.operation.payload, ProofRecord)
    ]
    doctored = story
    for number, final in finals:
        operations = tuple(naming(one, records[0].proof) for one in final.block.operations)
        block = replace(final.block, operations=operations)
        doctored = doctored.with_event(number, replace(final, block=block))
    assert says(doctored, VerifiedWork, "proves something else")


def naming(signed: SignedOperation, proof: BodyHash) -> SignedOperation:
    """The same operation, with other bytes named in its record."""
    payload = signed.operation.payload
    if not isinstance(payload, ProofRecord):
        return signed
    return replace(
        signed, operation=replace(signed.operation, payload=replace(payload, proof=proof))
    )


def test_fair_seed_speaks_of_a_beacon_that_comes_twice(story: Story) -> None:
    beacon = finals(story)[1].moment.beacon
    number, final = finals(story, lambda one: one.applied.tick == 2)
    moment = replace(final.moment, beacon=beacon)
    doctored = story.with_event(number, replace(final, moment=moment))
    assert says(doctored, FairSeed, "the beacon of another height")
