"""The replica's rules, one network of one or two validators at a time, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocol.codec import decode, encode
from protocol.errors import Reason
from protocol.happenings import (
    BlockFinal,
    BlockHeard,
    BodyChecked,
    CertifiedHeard,
    CheckBody,
    ClockJudged,
    Effect,
    FetchBlocks,
    Halted,
    Keep,
    OperationHeard,
    Publish,
    Rejected,
    Remember,
    Submitted,
    TimePassed,
    VoteHeard,
)
from protocol.ledger import BURNED, Cause, Moved, log_stake
from protocol.machine import forgery
from protocol.messages import (
    LOG_BLOCK_BYTES_MAX,
    NO_JOB,
    OPERATION_BYTES_MAX,
    BackupBlock,
    BlockContent,
    BlockReveal,
    Certificate,
    CertifiedBlock,
    Intent,
    LeafHeader,
    LogBlock,
    Operation,
    Payload,
    ProofEvidence,
    ProofRecord,
    SignedOperation,
    SignedVote,
    UncleClaim,
    Vote,
    VoteEvidence,
    block_hash,
    operation_hash,
    operation_is_signed,
    operations_digest,
    sign_header,
    sign_operation,
    sign_vote,
)
from protocol.ordering.validators import Identity
from protocol.params import (
    Genesis,
    GenesisAccount,
    NetworkParameters,
    RollupAccount,
    RuleChoice,
)
from protocol.ports import Topic
from protocol.registry import build_machine
from protocol.replica import PENDING_PER_SENDER_MAX, REPEAT_SLOTS, Replica
from protocol.sequencing.fernet import Fernet
from protocol.testing.cast import actor
from protocol.types import (
    Account,
    Amount,
    BasisPoints,
    BlockHash,
    BodyHash,
    Claim,
    Count,
    Digest,
    JobId,
    Milliseconds,
    Nonce,
    Root,
    Round,
    Salt,
    Slot,
    Stake,
    Tick,
    TransferDigest,
    TreeIndex,
)

SLOT_MS = 1_000
ROOT = Root(bytes(32))
FIRST, SECOND, PROVER, POOR = "validator-1", "validator-2", "prover-1", "poor"


def genesis(validators: int, **limits: Any) -> Genesis:
    parameters = NetworkParameters(
        name="tiny",
        backend="modelled",
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
        max_operations_per_log_block=limits.get("operations", Count(64)),
        max_bodies_per_log_block=limits.get("bodies", Count(8)),
    )
    names = [FIRST, SECOND][:validators]
    return Genesis(
        network=parameters,
        sequencing=RuleChoice("fernet", ()),
        proving=RuleChoice("elected", ()),
        accounts=tuple(_account(name, name in names) for name in (*names, PROVER, POOR)),
        rollup=(RollupAccount(actor(PROVER).account, Amount(1_000)),),
    )


def _account(name: str, is_validator: bool) -> GenesisAccount:
    return GenesisAccount(
        name=name,
        account=actor(name).account,
        vrf_key=actor(name).vrf_key,
        balance=Amount(0 if name == POOR else 1_000_000),
        log_stake=Stake(100 if is_validator else 0),
        prover_stake=Stake(2_000_000 if name == PROVER else 0),
        sequencer_stake=Stake(10 if is_validator else 0),
    )


def identity_of(name: str) -> Identity:
    who = actor(name)
    return Identity(who.account, who.seed, who.lot_seed)


class SealsAll(Fernet):
    """Fernet where any block is worth being looked at, so that a story needs no round."""

    sealable = True

    def may_seal(self, account: Account, payload: Payload) -> bool:
        return self.sealable


class Story:
    """One replica and the time around it; effects are kept in order."""

    def __init__(self, who: str | None = FIRST, validators: int = 1, **limits: Any) -> None:
        self.genesis = genesis(validators, **limits)
        machine = build_machine(self.genesis, ROOT, {"fernet": SealsAll})
        self.replica = Replica(machine, identity_of(who) if who else None)
        self.network = machine.network
        self.now = Milliseconds(SLOT_MS)
        self.nonce = 0
        self.effects: list[Effect] = []

    def take(self, happening: Any) -> tuple[Effect, ...]:
        effects = self.replica.step(happening)
        self.effects += effects
        return effects

    def slots(self, count: float) -> list[Effect]:
        """Let time pass in tenths of a slot; returns what came of it."""
        before = len(self.effects)
        for _ in range(int(count * 10)):
            self.now = Milliseconds(self.now + SLOT_MS // 10)
            self.take(TimePassed(self.now))
        return self.effects[before:]

    def signed(self, payload: Payload, who: str = PROVER, until: int = 12) -> SignedOperation:
        self.nonce += 1
        account = actor(who).account
        operation = Operation(account, Nonce(self.nonce), Tick(until), payload)
        return sign_operation(actor(who).seed, self.network, operation)

    def hear(self, signed: SignedOperation) -> tuple[Effect, ...]:
        return self.take(OperationHeard(signed, self.now))

    def of(self, kind: type[Any], effects: list[Effect] | None = None) -> list[Any]:
        return [one for one in (effects or self.effects) if isinstance(one, kind)]

    def proposals(self) -> list[LogBlock]:
        return [
            decode(LogBlock, one.payload, size_max=LOG_BLOCK_BYTES_MAX)
            for one in self.of(Publish)
            if one.topic is Topic.LOG_PROPOSALS
        ]

    def votes(self) -> list[Publish]:
        return [one for one in self.of(Publish) if one.topic is Topic.LOG_VOTES]


def intent(capacity: int = 1) -> Intent:
    return Intent(Count(capacity), Tick(12))


def reveal(number: int) -> BlockReveal:
    leaf = LeafHeader(TransferDigest(bytes(32)), Amount(0), ROOT)
    content = BlockContent(NO_JOB, ROOT, (leaf,), BodyHash(bytes([number]) * 32))
    return BlockReveal(Round(0), content, Salt(bytes(32)))


def proof(number: int = 0) -> ProofRecord:
    place = TreeIndex(Count(0), Count(0))
    name = BodyHash(bytes([number]) * 32)
    return ProofRecord(JobId(bytes([9]) * 32), place, Claim(bytes(32)), None, name)


# --- alone ---------------------------------------------------------------------------------------


def test_what_is_signed_is_remembered_before_it_is_published() -> None:
    story = Story()
    story.hear(story.signed(intent()))
    story.slots(5)
    kinds = {Topic.LOG_PROPOSALS: "proposal", Topic.LOG_VOTES: "vote"}
    published = [one for one in story.of(Publish) if one.topic in kinds]
    assert published
    for one in published:
        before = story.effects[story.effects.index(one) - 1]
        assert isinstance(before, Remember)
        assert before.kind == kinds[one.topic]


def test_an_operation_becomes_final_and_then_the_log_is_idle() -> None:
    story = Story()
    signed = story.signed(intent())
    story.hear(signed)
    assert story.replica.knows(operation_hash(signed.operation))
    story.slots(6)
    finals = story.of(BlockFinal)
    assert finals[0].block.operations == (signed,)
    assert not story.replica.pending()
    assert [one.moment.tick for one in finals] == list(range(1, len(finals) + 1))
    height = story.replica.final_height
    story.slots(20)
    assert story.replica.final_height <= height + 2
    story.hear(story.signed(intent(2)))
    story.slots(6)
    assert story.replica.final_height > height + 2


def test_a_notarised_block_is_kept_before_it_is_final() -> None:
    story = Story()
    story.hear(story.signed(intent()))
    story.slots(6)
    for final in story.of(BlockFinal):
        (kept,) = [one for one in story.of(Keep) if one.certified.block == final.block]
        assert story.effects.index(kept) < story.effects.index(final)


def test_an_observer_says_nothing_and_follows() -> None:
    validator, observer = Story(), Story(None)
    validator.hear(validator.signed(intent()))
    validator.slots(6)
    kept = tuple(one.certified for one in validator.of(Keep))
    observer.now = validator.now
    observer.take(CertifiedHeard(kept, observer.now))
    observer.slots(3)
    assert observer.take(Submitted(intent(), observer.now)) == ()
    assert not observer.of(Publish)
    assert observer.replica.machine.digest == validator.replica.machine.digest
    assert observer.take(CertifiedHeard(kept[:1], observer.now)) == ()


def test_a_restart_goes_on_from_what_was_kept() -> None:
    story, again = Story(), Story()
    story.hear(story.signed(intent()))
    story.slots(6)
    effects = again.replica.restore([one.certified for one in story.of(Keep)], story.now)
    assert {type(one) for one in effects} == {BlockFinal}
    assert again.replica.machine.digest == story.replica.machine.digest


def test_a_block_whose_parent_is_unknown_is_asked_for() -> None:
    story, late = Story(), Story(None)
    story.hear(story.signed(intent()))
    story.slots(6)
    kept = [one.certified for one in story.of(Keep)]
    late.now = story.now
    effects = late.take(CertifiedHeard((kept[1],), late.now))
    assert FetchBlocks(Tick(0)) in effects


def test_blocks_stay_within_the_limits() -> None:
    story = Story(operations=Count(2), bodies=Count(1))
    reveals = [story.signed(reveal(number)) for number in (1, 2)]
    for signed in (*reveals, *(story.signed(intent(number)) for number in (1, 2, 3))):
        story.hear(signed)
    assert [one.signed for one in story.of(CheckBody)] == reveals
    for signed in reveals:
        story.take(BodyChecked(operation_hash(signed.operation), None, story.now))
    story.slots(6)
    carried = [block.operations for block in story.proposals()]
    assert max(map(len, carried)) == 2
    bodies = [sum(one in reveals for one in block) for block in carried]
    assert sum(bodies) == 2
    assert max(bodies) == 1


def test_a_body_is_ordered_only_once_it_was_found_valid_in_an_earlier_slot() -> None:
    story = Story()
    signed = story.signed(reveal(1))
    story.hear(signed)
    story.slots(3)
    assert not story.proposals()
    story.take(BodyChecked(operation_hash(signed.operation), None, story.now))
    checked_in = story.replica.slot
    story.slots(3)
    (carrier, *_) = [one for one in story.proposals() if signed in one.operations]
    assert carrier.header.slot > checked_in


@pytest.mark.parametrize("fault", [Reason.WRONG_BODY, Reason.BODY_MISSING])
@pytest.mark.parametrize("payload", [reveal(1), proof(1)])
def test_an_operation_without_a_good_body_is_dropped_and_told(
    fault: Reason, payload: Payload
) -> None:
    story = Story()
    signed = story.signed(payload)
    story.hear(signed)
    effects = story.take(BodyChecked(operation_hash(signed.operation), fault, story.now))
    assert effects == (Rejected(fault, "01" * 32, "body", actor(PROVER).account),)
    assert not story.replica.pending()
    assert story.take(BodyChecked(operation_hash(signed.operation), None, story.now)) == ()


def backup(number: int) -> BackupBlock:
    content = reveal(number).content
    return BackupBlock(Round(0), content, BodyHash(bytes([number]) * 32))


@pytest.mark.parametrize("payload", [reveal(1), backup(1)])
def test_a_body_is_not_fetched_for_a_block_that_cannot_be_sealed(
    payload: Payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story()
    monkeypatch.setattr(SealsAll, "sealable", False)
    signed = story.signed(payload)
    story.hear(signed)
    assert not story.of(CheckBody)
    monkeypatch.setattr(SealsAll, "sealable", True)
    story.hear(story.signed(intent()))
    assert [one.signed for one in story.of(CheckBody)] == [signed]


def test_a_backup_without_a_good_proof_is_dropped_and_nobody_is_accused() -> None:
    story = Story()
    signed = story.signed(backup(1))
    story.hear(signed)
    fault = Reason.INVALID_PROOF
    effects = story.take(BodyChecked(operation_hash(signed.operation), fault, story.now))
    assert effects == (Rejected(fault, "01" * 32, "body", actor(PROVER).account),)
    assert not story.replica.pending()


def test_a_proof_is_not_fetched_for_somebody_without_a_right() -> None:
    story = Story()
    story.hear(story.signed(proof()))
    assert story.replica.pending()
    assert not story.of(CheckBody)


def test_a_proof_that_is_claimed_is_fetched_once_the_claim_can_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = Story()
    signed = story.signed(UncleClaim(proof()))
    story.hear(signed)
    assert story.replica.pending()
    assert not story.of(CheckBody)
    proving = story.replica.machine.proving
    monkeypatch.setattr(proving, "earliest", lambda sender, payload, ordered: Tick(0))
    story.hear(story.signed(intent()))
    assert [one.signed for one in story.of(CheckBody)] == [signed]


def test_of_one_signer_one_proof_of_a_tree_node_is_fetched_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = Story()
    proving = story.replica.machine.proving
    monkeypatch.setattr(proving, "may_deliver", lambda job, index, prover: True)
    first, second = story.signed(proof(1)), story.signed(proof(2))
    story.hear(first)
    story.hear(second)
    assert [one.signed for one in story.of(CheckBody)] == [first]
    invalid = BodyChecked(operation_hash(first.operation), Reason.INVALID_PROOF, story.now)
    story.take(invalid)
    story.hear(story.signed(intent()))
    asked = [one.signed for one in story.of(CheckBody)]
    assert [one for one in asked if isinstance(one.operation.payload, ProofRecord)] == [
        first,
        second,
    ]


def accusations(story: Story) -> list[ProofEvidence]:
    """The evidence of forgeries that was gossiped."""
    told = [
        decode(SignedOperation, one.payload, size_max=OPERATION_BYTES_MAX)
        for one in story.of(Publish)
        if one.topic is Topic.OPERATIONS
    ]
    return [one.operation.payload for one in told]


def found_forged(story: Story, signed: SignedOperation) -> None:
    story.hear(signed)
    story.take(BodyChecked(operation_hash(signed.operation), Reason.INVALID_PROOF, story.now))


def test_a_forgery_is_reported_once_with_what_its_forger_signed() -> None:
    story = Story()
    signed = story.signed(proof(1))
    found_forged(story, signed)
    (evidence,) = accusations(story)
    assert evidence.signed == signed
    assert operation_is_signed(story.network, evidence.signed)
    (asked,) = story.of(CheckBody)
    assert asked.signed.operation.payload == evidence
    found_forged(story, story.signed(proof(2)))
    assert accusations(story) == [evidence]
    elsewhere = replace(proof(3), index=TreeIndex(Count(0), Count(1)))
    found_forged(story, story.signed(elsewhere))
    assert [one.record for one in accusations(story)] == [proof(1), elsewhere]


def test_evidence_without_its_bytes_or_of_no_forgery_is_dropped() -> None:
    for fault in (Reason.BODY_MISSING, Reason.NOT_EVIDENCE):
        story = Story()
        found_forged(story, story.signed(proof(1)))
        (asked,) = story.of(CheckBody)
        effects = story.take(BodyChecked(operation_hash(asked.signed.operation), fault, story.now))
        blamed = actor(FIRST).account
        assert effects == (Rejected(fault, "01" * 32, "body", blamed),)
        assert not story.replica.pending()


def test_what_is_punished_already_is_not_reported_and_forgotten() -> None:
    story = Story()
    found_forged(story, story.signed(proof(1)))
    (evidence,) = accusations(story)
    story.replica.machine._forgeries[forgery(evidence)] = None
    found_forged(story, story.signed(proof(2)))
    assert accusations(story) == [evidence]
    assert len(story.replica.pending()) == 1
    story.hear(story.signed(intent()))
    story.slots(4)
    assert not story.replica.pending()


def test_a_node_does_not_report_its_own_bad_proof() -> None:
    story = Story()
    story.take(Submitted(proof(1), story.now))
    (own,) = story.replica.pending()
    effects = story.take(
        BodyChecked(operation_hash(own.operation), Reason.INVALID_PROOF, story.now)
    )
    assert [type(one) for one in effects] == [Rejected]


def test_an_operation_is_taken_once_and_not_without_end() -> None:
    story = Story()
    signed = story.signed(intent())
    story.hear(signed)
    sender = actor(PROVER).account
    assert story.hear(signed) == (Rejected(Reason.DUPLICATE, "", "Intent", sender),)
    for number in range(2, PENDING_PER_SENDER_MAX + 1):
        assert story.hear(story.signed(intent(number))) == ()
    (refused,) = story.hear(story.signed(intent(999)))
    assert refused == Rejected(Reason.TOO_MANY_PENDING, "", "Intent", sender)


def test_what_waits_too_long_is_forgotten() -> None:
    story = Story()
    waiting = story.signed(reveal(1), until=2)
    story.hear(waiting)
    valid = story.signed(reveal(2), until=3)
    story.hear(valid)
    story.take(BodyChecked(operation_hash(valid.operation), None, story.now))
    for number in range(1, 5):
        story.hear(story.signed(intent(number)))
        story.slots(2)
    assert story.replica.final_height > 3
    assert not story.replica.pending()
    assert not story.replica._valid_bodies


def test_our_own_operation_is_repeated_until_it_is_ordered() -> None:
    story = Story(validators=2)
    story.take(Submitted(intent(), story.now))
    told = [one for one in story.of(Publish) if one.topic is Topic.INTENTS]
    story.slots(REPEAT_SLOTS + 1)
    again = [one for one in story.of(Publish) if one.topic is Topic.INTENTS]
    assert again == told * 2


def test_what_we_cannot_pay_for_is_not_published() -> None:
    story = Story(POOR)
    effects = story.take(Submitted(intent(), story.now))
    assert effects == (Rejected(Reason.FEE_UNPAYABLE, "", "own Intent"),)


# --- with a wrong clock ---


def test_a_wrong_clock_signs_nothing_and_bars_no_slot() -> None:
    story = Story()
    right = story.now
    story.now = Milliseconds(right + 1_000 * SLOT_MS)
    story.take(ClockJudged(False, story.now))
    story.hear(story.signed(intent()))
    story.take(Submitted(intent(2), story.now))
    checked = story.signed(reveal(1))
    story.hear(checked)
    story.take(BodyChecked(operation_hash(checked.operation), None, story.now))
    story.hear(story.signed(reveal(2)))
    story.slots(2 * REPEAT_SLOTS)
    assert (story.proposals(), story.votes(), story.of(Remember)) == ([], [], [])
    story.now = right
    story.take(ClockJudged(True, story.now))
    before = len(story.of(Publish))
    story.slots(REPEAT_SLOTS + 4)
    assert story.replica.final_height >= 1
    ordered = [one for block in story.proposals() for one in block.operations]
    assert checked in ordered
    assert len(ordered) >= 3
    assert len(story.of(Publish)) > before


def test_a_clock_set_back_without_a_word_bars_only_what_was_signed() -> None:
    story = Story(validators=2)
    right = story.now
    story.now = Milliseconds(right + 1_000 * SLOT_MS)
    story.take(TimePassed(story.now))
    story.now = right
    story.hear(story.signed(intent()))
    story.slots(3)
    assert story.proposals()


# --- with another validator ----------------------------------------------------------------------


class Pair(Story):
    """The replica of the first of two validators; the second one's words are made by hand."""

    def __init__(self, **limits: Any) -> None:
        super().__init__(validators=2, **limits)
        self.other = Story(SECOND, validators=2, **limits)

    def proposal(self, *operations: SignedOperation, **changed: Any) -> LogBlock:
        """The second validator's block for the present slot, with changes to its header."""
        slot = self.replica.engine.slot_at(self.now)
        self.other.take(TimePassed(self.now))
        draft = self.other.replica.engine.draft(slot)
        assert draft is not None
        state = self.other.replica.machine.digest
        header = replace(draft.header(operations_digest(operations), state), **changed)
        return LogBlock(sign_header(actor(SECOND).seed, self.network, header), operations)

    def certified(self, block: LogBlock) -> CertifiedBlock:
        header = block.header
        votes = sorted(
            (actor(name).account, self.vote(header.slot, block, name).signature)
            for name in (FIRST, SECOND)
        )
        certificate = Certificate(header.slot, block_hash(header), tuple(votes))
        return CertifiedBlock(block, certificate)

    def vote(self, slot: Slot, block: LogBlock, who: str = SECOND) -> SignedVote:
        vote = Vote(actor(who).account, slot, block_hash(block.header))
        return sign_vote(actor(who).seed, self.network, vote)

    def votes_for(self, block: LogBlock) -> bool:
        """Whether the first validator votes for a block that comes early in the slot."""
        self.take(BlockHeard(block, self.now))
        self.slots(0.6)
        voted = [decode(SignedVote, one.payload, size_max=300) for one in self.votes()]
        return block_hash(block.header) in [one.vote.block for one in voted]


def test_a_valid_proposal_gets_our_vote() -> None:
    pair = Pair()
    assert pair.votes_for(pair.proposal(pair.signed(intent())))


def checked(pair: Pair, *operations: SignedOperation) -> LogBlock:
    for signed in operations:
        pair.hear(signed)
        pair.take(BodyChecked(operation_hash(signed.operation), None, pair.now))
    return pair.proposal(*operations)


def forged(pair: Pair) -> SignedOperation:
    signed = pair.signed(intent())
    return replace(signed, signature=pair.signed(intent(2)).signature)


def evidence(pair: Pair) -> ProofEvidence:
    """What proves that a prover signed a record whose bytes are bad."""
    forged = pair.signed(proof(1))
    operation = forged.operation
    assert isinstance(operation.payload, ProofRecord)
    return ProofEvidence(
        operation.sender,
        operation.nonce,
        operation.valid_until,
        operation.payload,
        forged.signature,
    )


def test_a_proposal_whose_bodies_are_valid_gets_our_vote() -> None:
    pair = Pair()
    assert pair.votes_for(checked(pair, pair.signed(reveal(1))))


@pytest.mark.parametrize("is_twice", [False, True])
def test_one_forgery_is_ordered_once(is_twice: bool) -> None:
    pair = Pair()
    reports = [pair.signed(evidence(pair), who=who) for who in (FIRST, SECOND)]
    assert pair.votes_for(checked(pair, *reports[: 1 + is_twice])) is not is_twice
    refused = [one.reason for one in pair.of(Rejected)]
    assert refused == ([Reason.TOO_EARLY] if is_twice else [])


def test_a_forgery_that_was_punished_is_not_ordered_again() -> None:
    pair = Pair()
    report = pair.signed(evidence(pair))
    block = checked(pair, report)
    assert isinstance(report.operation.payload, ProofEvidence)
    pair.replica.machine._forgeries[forgery(report.operation.payload)] = None
    assert not pair.votes_for(block)


def test_a_forgery_that_its_signer_never_said_does_not_stand_for_another() -> None:
    pair = Pair()
    real = evidence(pair)
    false = replace(real, signature=pair.signed(intent()).signature)
    reports = [pair.signed(one, who=who) for one, who in ((false, FIRST), (real, SECOND))]
    assert pair.votes_for(checked(pair, *reports))


def equivocation(story: Story) -> VoteEvidence:
    """What proves that the first validator voted twice in a slot."""
    first, second = (
        sign_vote(
            actor(FIRST).seed,
            story.network,
            Vote(actor(FIRST).account, Slot(1), BlockHash(bytes([number]) * 32)),
        )
        for number in (1, 2)
    )
    return VoteEvidence(first, second)


def test_one_equivocation_is_ordered_once_and_the_other_reports_are_dropped() -> None:
    story = Story()
    reports = [story.signed(equivocation(story), who=who) for who in (PROVER, SECOND, POOR)]
    for report in reports:
        story.hear(report)
    story.slots(6)
    assert [one for final in story.of(BlockFinal) for one in final.block.operations] == reports[:1]
    assert not story.replica.pending()


@pytest.mark.parametrize("is_twice", [False, True])
def test_two_reports_of_one_equivocation_get_no_vote(is_twice: bool) -> None:
    pair = Pair()
    reports = [pair.signed(equivocation(pair), who=who) for who in (FIRST, SECOND)]
    assert pair.votes_for(pair.proposal(*reports[: 1 + is_twice])) is not is_twice
    refused = [one.reason for one in pair.of(Rejected)]
    assert refused == ([Reason.TOO_EARLY] if is_twice else [])


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda pair: pair.proposal(state=Digest(bytes(32))), Reason.WRONG_STATE),
        (
            lambda pair: pair.proposal(*[pair.signed(intent(at)) for at in range(1, 4)]),
            Reason.TOO_LARGE,
        ),
        (lambda pair: pair.proposal(*[pair.signed(intent())] * 2), Reason.DUPLICATE),
        (lambda pair: pair.proposal(forged(pair)), Reason.BAD_SIGNATURE),
        (lambda pair: pair.proposal(pair.signed(reveal(1))), Reason.BODY_MISSING),
        (lambda pair: pair.proposal(pair.signed(intent(), who=POOR)), Reason.FEE_UNPAYABLE),
        (lambda pair: pair.proposal(pair.signed(intent(), until=0)), Reason.EXPIRED),
        (lambda pair: pair.proposal(pair.signed(intent(), until=99)), Reason.VALID_TOO_LONG),
        (
            lambda pair: checked(pair, pair.signed(reveal(1)), pair.signed(reveal(2))),
            Reason.TOO_MANY_BODIES,
        ),
        (lambda pair: checked(pair, pair.signed(proof())), Reason.TOO_EARLY),
        (lambda pair: pair.proposal(pair.signed(evidence(pair))), Reason.BODY_MISSING),
        (
            lambda pair: checked(
                pair, pair.signed(evidence(pair)), pair.signed(evidence(pair), who=SECOND)
            ),
            Reason.TOO_MANY_BODIES,
        ),
    ],
    ids=[
        "state",
        "too many",
        "twice",
        "signature",
        "body",
        "fee",
        "expired",
        "valid too long",
        "too many bodies",
        "no right",
        "evidence without its bytes",
        "too much evidence",
    ],
)
def test_a_proposal_with_something_wrong_gets_no_vote_and_its_proposer_is_named(
    made: Any, reason: Reason
) -> None:
    pair = Pair(operations=Count(2), bodies=Count(1))
    block = made(pair)
    assert not pair.votes_for(block)
    slot = f"slot {block.header.slot}"
    assert pair.of(Rejected) == [Rejected(reason, slot, "log proposal", actor(SECOND).account)]


def test_a_body_that_only_a_proposal_brought_is_checked_if_its_operation_is_signed() -> None:
    pair = Pair()
    signed = pair.signed(reveal(1))
    unsigned = replace(pair.signed(reveal(2)), signature=signed.signature)
    pair.take(BlockHeard(pair.proposal(signed, unsigned), pair.now))
    assert [one.signed for one in pair.of(CheckBody)] == [signed]
    assert pair.replica.pending() == (signed,)


def test_a_notarised_block_with_another_state_halts_the_replica() -> None:
    pair = Pair()
    pair.hear(pair.signed(intent()))
    pair.take(BlockHeard(pair.proposal(), pair.now))
    wrong = pair.proposal(pair.signed(intent(2)), state=Digest(bytes(32)))
    effects = pair.take(CertifiedHeard((pair.certified(wrong),), pair.now))
    assert pair.of(Halted, list(effects))
    assert pair.replica.halted is not None
    before = len(pair.votes()) + len(pair.proposals())
    pair.slots(4)
    assert len(pair.votes()) + len(pair.proposals()) == before
    follower = pair.proposal(pair.signed(intent(3)))
    assert not pair.votes_for(follower)


def test_two_votes_of_one_slot_become_evidence() -> None:
    pair = Pair()
    slot = pair.replica.engine.slot_at(pair.now)
    one, other = pair.proposal(), pair.proposal(pair.signed(intent()))
    pair.take(VoteHeard(pair.vote(slot, one), pair.now))
    pair.take(VoteHeard(pair.vote(slot, other), pair.now))
    (told,) = [one for one in pair.of(Publish) if one.topic is Topic.OPERATIONS]
    signed: SignedOperation = decode(SignedOperation, told.payload, size_max=OPERATION_BYTES_MAX)
    assert isinstance(signed.operation.payload, VoteEvidence)
    assert signed.operation.payload.first.vote.voter == actor(SECOND).account


def reports(pair: Pair) -> int:
    """How many reports come of five votes of one validator in one slot."""
    slot = pair.replica.engine.slot_at(pair.now)
    for at in range(1, 6):
        block = pair.proposal(pair.signed(intent(at)))
        pair.take(VoteHeard(pair.vote(slot, block), pair.now))
    return len([one for one in pair.of(Publish) if one.topic is Topic.OPERATIONS])


def test_a_validator_that_votes_many_times_in_a_slot_is_reported_once() -> None:
    assert reports(Pair()) == 1


def test_what_cannot_be_punished_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    penniless = Pair()
    ledger, stake = penniless.replica.machine.ledger, log_stake(actor(SECOND).account)
    ledger.forfeit(Moved(stake, BURNED, ledger.at_risk(stake), Cause.EQUIVOCATION))
    assert reports(penniless) == 0
    punished = Pair()
    monkeypatch.setattr(punished.replica.machine, "is_punished", lambda evidence: True)
    assert reports(punished) == 0


def test_what_is_left_out_of_a_block_takes_no_room_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    moot = [story.signed(equivocation(story), who=who) for who in (PROVER, SECOND, POOR)]
    intents = [story.signed(intent(at)) for at in (1, 2)]
    room = sum(len(encode(one)) for one in (moot[0], intents[0]))
    monkeypatch.setattr("protocol.replica.BLOCK_ROOM_BYTES", room)
    for signed in (*moot, *intents):
        story.hear(signed)
    story.slots(1)
    assert story.proposals()[0].operations == (moot[0], intents[0])


def test_messages_that_the_engine_refuses_are_rejected_with_its_reason() -> None:
    pair = Pair()
    block = pair.proposal()
    stranger = sign_header(
        actor(PROVER).seed, pair.network, replace(block.header, proposer=actor(PROVER).account)
    )
    slot = pair.replica.engine.slot_at(pair.now)
    alone = replace(pair.certified(block).certificate, signatures=())
    happenings = {
        BlockHeard(LogBlock(stranger, ()), pair.now): Reason.NOT_A_VALIDATOR,
        VoteHeard(pair.vote(slot, block, PROVER), pair.now): Reason.NOT_A_VALIDATOR,
        VoteHeard(pair.vote(Slot(99), block), pair.now): Reason.FUTURE_SLOT,
        CertifiedHeard((CertifiedBlock(block, alone),), pair.now): Reason.BAD_CERTIFICATE,
    }
    for happening, reason in happenings.items():
        (rejected,) = pair.take(happening)
        assert isinstance(rejected, Rejected)
        assert rejected.reason is reason


def test_an_orphan_that_does_not_fit_its_parent_is_rejected_when_the_parent_comes() -> None:
    pair = Pair()
    parent = pair.certified(pair.proposal(pair.signed(intent())))
    pair.now = Milliseconds(pair.now + SLOT_MS)
    pair.other.take(CertifiedHeard((parent,), pair.now))
    child = pair.proposal(height=Tick(7))
    assert pair.of(FetchBlocks, list(pair.take(BlockHeard(child, pair.now))))
    effects = pair.take(CertifiedHeard((parent,), pair.now))
    blamed = Rejected(Reason.WRONG_HEIGHT, "", "log proposal", actor(SECOND).account)
    assert blamed in effects


def test_only_accounts_with_log_stake_are_validators() -> None:
    replica = Pair().replica
    accounts: list[Account] = [actor(name).account for name in (FIRST, SECOND, PROVER)]
    assert [replica.is_validator(one) for one in accounts] == [True, True, False]


def test_equal_events_give_equal_effects() -> None:
    def told() -> list[bytes]:
        story = Story()
        story.hear(story.signed(intent()))
        story.slots(4)
        return [one.payload for one in story.of(Publish)]

    assert told() == told()
    assert encode(Story().genesis) == encode(Story().genesis)
