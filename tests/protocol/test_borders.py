"""Replicas across the borders of epochs, with validators that come and go, in virtual time.

A small network of replicas: what one publishes, all others hear in the same step, but for those
that are down. What is kept is a disk; a replica that comes up has nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from protocol.codec import decode
from protocol.errors import Reason
from protocol.events import ExitPaid, SetChanged
from protocol.happenings import (
    BlockFinal,
    BlockHeard,
    CertifiedHeard,
    Effect,
    FetchBlocks,
    Halted,
    Happening,
    Keep,
    OperationHeard,
    Publish,
    Rejected,
    Remember,
    Submitted,
    TimePassed,
    VoteHeard,
)
from protocol.messages import (
    LOG_BLOCK_BYTES_MAX,
    OPERATION_BYTES_MAX,
    VOTE_BYTES_MAX,
    AddStake,
    CertifiedBlock,
    Delegate,
    LogBlock,
    Pay,
    Payload,
    SignedOperation,
    SignedVote,
    StakeKind,
    Unstake,
    block_hash,
    operations_digest,
    sign_header,
)
from protocol.ordering.streamlet import SignedSlots
from protocol.params import Genesis
from protocol.ports import Topic
from protocol.registry import build_machine
from protocol.replica import Replica
from protocol.testing.cast import actor
from protocol.types import Amount, Milliseconds, Slot, Stake, Tick
from tests.protocol.test_replica import ROOT, SLOT_MS, genesis, identity_of

EPOCH = 8
FOUR = ("a", "b", "c", "d")
NEWCOMER = "e"


def network() -> Genesis:
    """Four validators with equal stakes, and an account with money."""
    made = genesis(2)
    parameters = replace(made.network, epoch_ticks=Tick(EPOCH), exit_delay_ticks=Tick(5 * EPOCH))
    rows = tuple(
        replace(
            made.accounts[0],
            name=name,
            account=actor(name).account,
            vrf_key=actor(name).vrf_key,
            log_stake=Stake(100 if name in FOUR else 0),
        )
        for name in (*FOUR, NEWCOMER)
    )
    return replace(made, network=parameters, accounts=rows)


@dataclass
class Disk:
    """What survives: blocks as a store gives them back, and the last slots signed in."""

    kept: list[CertifiedBlock] = field(default_factory=list)
    final: int = 0
    signed: dict[str, int] = field(default_factory=dict)
    words: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def blocks(self) -> list[CertifiedBlock]:
        return sorted(
            self.kept, key=lambda one: (one.block.header.height, block_hash(one.block.header))
        )


class House:
    """One replica with its disk."""

    def __init__(self, street: Street, name: str) -> None:
        self.street, self.name, self.disk = street, name, Disk()
        self.is_up = True
        self.finals: dict[int, BlockFinal] = {}
        self.rejected: list[Rejected] = []
        self.fetches = 0
        self.replica = self._replica()

    def _replica(self) -> Replica:
        slots = {kind: Slot(slot) for kind, slot in self.disk.signed.items()}
        machine = build_machine(self.street.genesis, ROOT)
        return Replica(machine, identity_of(self.name), SignedSlots(**slots))

    def start(self) -> None:
        """Come up with the disk alone."""
        self.is_up, self.replica = True, self._replica()
        self.run(self.replica.restore(self.disk.blocks(), self.street.now))

    def take(self, happening: Happening) -> None:
        if self.is_up:
            self.run(self.replica.step(happening))

    def run(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Remember(kind, slot, payload):
                    word = self.disk.words.setdefault((kind, slot), payload)
                    assert word == payload, f"{self.name} signs twice in slot {slot}"
                    self.disk.signed[kind] = slot
                case Keep(certified):
                    if certified not in self.disk.kept:
                        self.disk.kept.append(certified)
                case Publish(topic, payload):
                    self.street.mail.append((self.name, topic, payload))
                case BlockFinal():
                    tick = effect.applied.tick
                    assert self.finals.setdefault(tick, effect).applied == effect.applied
                    self.disk.final = tick
                case FetchBlocks():
                    self.fetches += 1
                    self.street.behind.add(self.name)
                case Rejected():
                    self.rejected.append(effect)
                case Halted(sentence):
                    raise AssertionError(sentence)


class Street:
    """Houses, their mail, and the time."""

    def __init__(self, names: tuple[str, ...] = (*FOUR, NEWCOMER)) -> None:
        self.genesis = network()
        self.now = Milliseconds(SLOT_MS)
        self.mail: list[tuple[str, Topic, bytes]] = []
        self.behind: set[str] = set()
        self.houses = {name: House(self, name) for name in names}

    def __getitem__(self, name: str) -> House:
        return self.houses[name]

    def deliver(self) -> None:
        while self.mail:
            sender, topic, payload = self.mail.pop(0)
            for name, house in self.houses.items():
                if name != sender:
                    house.take(_heard(topic, payload, self.now))

    def sync(self, name: str) -> None:
        """Get what others have kept above one's final height, as a store would serve it."""
        house = self[name]
        for other in self.houses.values():
            if other is not house and other.is_up and house.is_up:
                above = house.replica.final_height
                rows = [o for o in other.disk.blocks() if o.block.header.height > above]
                house.take(CertifiedHeard(tuple(rows), self.now))

    def slots(self, count: int) -> Iterator[int]:
        for _ in range(count):
            for _ in range(10):
                self.now = Milliseconds(self.now + SLOT_MS // 10)
                for house in tuple(self.houses.values()):
                    house.take(TimePassed(self.now))
                self.deliver()
                for name in sorted(self.behind):
                    self.sync(name)
                self.behind.clear()
                self.deliver()
            yield self.now // SLOT_MS

    def pass_slots(self, count: int) -> None:
        for _ in self.slots(count):
            pass

    def busy(self, count: int) -> None:
        """So many slots in which somebody always wants something ordered."""
        for number, _ in enumerate(self.slots(count)):
            self.say("a", Pay(actor("b").account, Amount(1 + number % 7)))

    def say(self, name: str, payload: Payload) -> None:
        self[name].take(Submitted(payload, self.now))

    def until(self, height: int, limit: int = 400) -> None:
        for _ in range(limit):
            if min(one.replica.final_height for one in self.houses.values() if one.is_up) >= height:
                return
            self.busy(1)
        raise AssertionError(f"height {height} is not reached")

    def members(self, name: str = "a") -> list[str]:
        known = {actor(one).account: one for one in (*FOUR, NEWCOMER)}
        sets = self[name].replica.machine.sets
        return sorted(known[one.account] for one in sets.validators.members)

    def agree(self) -> None:
        stories: dict[int, BlockFinal] = {}
        for house in self.houses.values():
            for tick, final in house.finals.items():
                assert stories.setdefault(tick, final).applied == final.applied


def _heard(topic: Topic, payload: bytes, now: Milliseconds) -> Happening:
    if topic is Topic.LOG_PROPOSALS:
        return BlockHeard(decode(LogBlock, payload, size_max=LOG_BLOCK_BYTES_MAX), now)
    if topic is Topic.LOG_VOTES:
        return VoteHeard(decode(SignedVote, payload, size_max=VOTE_BYTES_MAX), now)
    return OperationHeard(decode(SignedOperation, payload, size_max=OPERATION_BYTES_MAX), now)


# --- borders ---


def test_a_log_goes_on_across_borders_and_its_blocks_above_them_are_empty() -> None:
    street = Street()
    street.until(3 * EPOCH)
    street.agree()
    kept = street["a"].disk.kept
    dropped = [
        one.block for one in kept if one.block.header.height > (one.block.header.epoch + 1) * EPOCH
    ]
    assert len(dropped) >= 2
    assert not any(block.operations for block in dropped)
    final = [street["a"].finals[tick].block.header for tick in range(1, 3 * EPOCH + 1)]
    assert [one.epoch for one in final] == [(tick - 1) // EPOCH for tick in range(1, 3 * EPOCH + 1)]
    assert not street["a"].rejected


def test_operations_above_a_border_get_no_vote() -> None:
    street = Street()
    a, b = street["a"].replica, street["b"].replica
    for _ in range(400):
        if a.engine.tip.link.height == EPOCH and not a.engine.is_over and a.engine.epoch == 0:
            break
        street.now = Milliseconds(street.now + SLOT_MS // 10)
        for house in street.houses.values():
            house.take(TimePassed(street.now))
        street.deliver()
        if not a.pending():
            street.say("a", Pay(actor("b").account, Amount(street.now)))
    slot = Slot(a.slot + 1)
    draft = b.engine.draft(slot)
    assert draft is not None
    assert draft.height == EPOCH + 1

    operations = a.pending()
    assert operations
    header = draft.header(operations_digest(operations), a.machine.digest)
    signed = sign_header(actor("b").seed, a.machine.network, header)
    now = Milliseconds(slot * SLOT_MS + 1)
    told = a.step(BlockHeard(LogBlock(signed, operations), now))
    assert Reason.BEYOND_BORDER in [one.reason for one in told if isinstance(one, Rejected)]


@pytest.mark.parametrize("height", range(2 * EPOCH - 2, 2 * EPOCH + 4))
@pytest.mark.parametrize("who", ["a", "all"])
def test_a_restart_around_a_border_signs_nothing_twice_and_goes_on(height: int, who: str) -> None:
    street = Street()
    street.until(height)
    names = street.houses if who == "all" else [who]
    for name in names:
        street[name].start()
        assert street[name].replica.final_height >= height - 2
    street.until(3 * EPOCH + 2)
    street.agree()


def test_who_was_down_over_borders_catches_up_by_height() -> None:
    street = Street()
    street.until(3)
    street["d"].is_up = False
    street.until(3 * EPOCH + 3)
    street["d"].start()
    street.until(4 * EPOCH)
    assert street["d"].fetches > 0
    street.agree()


# --- sets ---


def join(street: Street, amount: int = 200) -> None:
    street.say(NEWCOMER, AddStake(StakeKind.LOG, Amount(amount), actor(NEWCOMER).vrf_key))


def test_a_validator_joins_after_three_borders_and_leaves_again() -> None:
    street = Street()
    join(street)
    street.until(3 * EPOCH)
    assert street.members() == sorted((*FOUR, NEWCOMER))
    assert not any(
        final.moment.proposer == actor(NEWCOMER).account for final in street["a"].finals.values()
    )
    street.until(5 * EPOCH)
    mine = [tick for tick, final in street["a"].finals.items() if _is_by(final, NEWCOMER)]
    assert min(mine) > 3 * EPOCH
    street.say(NEWCOMER, Unstake(StakeKind.LOG, Amount(200)))
    street.until(8 * EPOCH + 2)
    assert street.members() == sorted(FOUR)
    mine = [tick for tick, final in street["a"].finals.items() if _is_by(final, NEWCOMER)]
    assert max(mine) <= 8 * EPOCH
    street.until(11 * EPOCH)
    events = [one for final in street["a"].finals.values() for one in final.applied.events]
    assert [one.amount for one in events if isinstance(one, ExitPaid)] == [200]
    changed = [one.epoch for one in events if isinstance(one, SetChanged)]
    assert changed == [3, 8]
    street.agree()


def _is_by(final: BlockFinal, name: str) -> bool:
    return final.moment.proposer == actor(name).account


def test_lent_stake_counts_for_the_delegate() -> None:
    street = Street()
    street.say(NEWCOMER, Delegate(StakeKind.LOG, actor("b").account, Amount(50)))
    street.until(3 * EPOCH)
    members = street["a"].replica.machine.sets.validators.members
    assert {one.stake for one in members if one.account == actor("b").account} == {150}
    street.until(4 * EPOCH)
    street.agree()


def test_the_absent_leave_the_set_and_come_back_with_an_operation() -> None:
    street = Street()
    street.until(2)
    street["d"].is_up = False
    street.until(2 * EPOCH)
    assert street.members() == ["a", "b", "c"]
    street["d"].start()
    street.until(3 * EPOCH + 1)
    assert street.members() == ["a", "b", "c"]
    judge = street["a"].replica
    at = Slot(judge.engine.anchor.link.slot)
    assert judge.validator_objection(actor("d").account, at) is Reason.PAST_EPOCH
    street.say("d", Pay(actor("a").account, Amount(1)))
    street.until(5 * EPOCH)
    assert street.members() == sorted(FOUR)
    street.agree()


def test_a_quorum_of_the_whole_stays_however_many_are_absent() -> None:
    street = Street()
    street["d"].is_up = street[NEWCOMER].is_up = False
    street.until(3 * EPOCH)
    sets = street["a"].replica.machine.sets
    assert street.members() == ["a", "b", "c"]
    for _ in range(EPOCH):
        sets.on_certificate(())
    sets.on_border(
        street["a"].replica.machine.ledger, street["a"].replica.machine.staking.registered
    )
    assert len(sets.successors.members) == 3


@pytest.mark.parametrize(
    ("who", "slots", "reason"),
    [
        ("a", 0, None),
        (NEWCOMER, 0, Reason.NOT_A_VALIDATOR),
        (NEWCOMER, EPOCH + 1, Reason.LATER_EPOCH),
    ],
)
def test_nobody_is_blamed_for_the_votes_of_a_set_that_is_not_known_yet(
    who: str, slots: int, reason: Reason | None
) -> None:
    replica = Street()["a"].replica
    assert replica.validator_objection(actor(who).account, Slot(slots)) is reason


def test_members_of_the_epochs_around_are_known() -> None:
    street = Street()
    join(street)
    street.until(2 * EPOCH + 1)
    replica = street["a"].replica
    at = Slot(replica.engine.anchor.link.slot)
    assert replica.validator_objection(actor(NEWCOMER).account, at) is Reason.LATER_EPOCH
    street.until(3 * EPOCH + 1)
    assert replica.validator_objection(actor(NEWCOMER).account, at) is None
    street.say(NEWCOMER, Unstake(StakeKind.LOG, Amount(200)))
    street.until(6 * EPOCH + 1)
    at = Slot(replica.engine.anchor.link.slot)
    assert replica.validator_objection(actor(NEWCOMER).account, at) is Reason.PAST_EPOCH
