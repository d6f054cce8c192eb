"""Going on from the border of an epoch that somebody else tells of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocol.errors import Reason, Refused
from protocol.handover import Border, Snapshot, rollup_state, snapshot_name
from protocol.happenings import BlockFinal, CertifiedHeard, Keep
from protocol.machine import Saved
from protocol.messages import CertifiedBlock
from protocol.ordering.validators import Validators
from protocol.types import (
    Account,
    Amount,
    Beacon,
    BlockHash,
    Count,
    Digest,
    NetworkId,
    Nonce,
    Root,
    Tick,
)
from tests.protocol.test_replica import FIRST, Story, intent

EPOCH = 16


class Donor:
    """A validator whose log has passed a border, and what it hands over."""

    def __init__(self, gaps: tuple[int, ...] = (), height: int = EPOCH + 4) -> None:
        self.story = story = Story()
        number = 0
        while story.replica.final_height < height:
            number += 1
            story.hear(story.signed(intent(number), until=story.replica.final_height + 9))
            story.slots(2)
            if story.replica.final_height in gaps:
                story.slots(9)
                gaps = tuple(one for one in gaps if one != story.replica.final_height)
        self.border: Border = story.replica.border
        self.kept: list[CertifiedBlock] = [one.certified for one in story.of(Keep)]
        self.following = [
            one
            for one in self.kept
            if one.block.header.epoch == self.border.link.height // EPOCH
            and one.block.header.height > self.border.link.height
        ]


DONOR = Donor((13,), EPOCH + 9)
"""Its border block does not make its parent final."""

TRUSTED = DONOR.story.replica.validators


def adopt(
    story: Story, border: Border, following: Any, trusted: Validators | None = TRUSTED
) -> Any:
    return story.replica.adopt(border, following, trusted, DONOR.story.now)


@pytest.mark.parametrize("donor", [DONOR, Donor(), Donor((15,)), Donor((16,), EPOCH + 9)])
def test_who_adopts_goes_on_as_who_was_there_from_the_first_block(donor: Donor) -> None:
    story, first = Story(None), donor.story
    effects = adopt(story, donor.border, donor.following)
    finals = [one for one in effects if isinstance(one, BlockFinal)]
    told = [one for one in first.of(BlockFinal) if one.moment.tick > EPOCH]
    assert finals == told
    replica = story.replica
    assert replica.final_height == first.replica.final_height > EPOCH
    assert replica.machine.digest == first.replica.machine.digest
    assert replica.machine.snapshot() == first.replica.machine.snapshot()
    assert replica.engine.anchor == first.replica.engine.anchor
    assert replica.border == donor.border


def test_who_adopted_lives_on_to_the_next_border_and_hands_over_itself() -> None:
    donor = Donor()
    heir, first = Story(), donor.story
    adopt(heir, donor.border, donor.following)
    heir.now = first.now
    while first.replica.final_height < 2 * EPOCH + 4:
        for story in (heir, first):
            story.nonce = 1_000 + first.replica.final_height
            story.hear(story.signed(intent(), until=first.replica.final_height + 9))
        first.slots(2)
        fresh = tuple(one.certified for one in first.of(Keep))
        heir.now = first.now
        heir.take(CertifiedHeard(fresh, heir.now))
    assert heir.replica.final_height == first.replica.final_height
    assert heir.replica.halted is None
    assert heir.replica.border == first.replica.border
    assert heir.replica.border.link.height == 2 * EPOCH
    last = Story(None)
    following = [one for one in fresh if one.block.header.epoch == 2]
    adopt(last, heir.replica.border, following)
    assert last.replica.machine.digest == first.replica.machine.digest


def test_a_validator_that_adopted_proposes_and_votes() -> None:
    heir = Story(FIRST)
    adopt(heir, DONOR.border, DONOR.following)
    heir.now = DONOR.story.now
    heir.hear(heir.signed(intent(), until=heir.replica.final_height + 9))
    height = heir.replica.final_height
    heir.slots(8)
    assert heir.replica.final_height > height


# --- what is refused ---


def changed(border: Border, **changes: Any) -> Border:
    link = {name: value for name, value in changes.items() if hasattr(border.link, name)}
    rest = {name: value for name, value in changes.items() if name not in link}
    return replace(border, link=replace(border.link, **link), **rest)


def other_state(border: Border) -> Saved:
    donor = Donor(height=EPOCH + 1)
    machine = donor.story.replica.machine
    machine.restore(border.saved)
    machine._punished[Account(bytes(32)), 5] = None
    return Saved(border.saved.story, machine.snapshot())


LIES: dict[str, tuple[dict[str, Any], Reason]] = {
    "network": ({"network": NetworkId(bytes(32))}, Reason.WRONG_NETWORK),
    "block": ({"block": BlockHash(bytes(32))}, Reason.UNPROVEN_STATE),
    "height": ({"height": Tick(32)}, Reason.WRONG_STATE),
    "slot": ({"slot": DONOR.border.link.slot - 1}, Reason.UNPROVEN_STATE),
    "settled": ({"settled": Tick(EPOCH - 1)}, Reason.WRONG_STATE),
    "longer run": ({"run": Count(3)}, Reason.WRONG_STATE),
    "beacon": ({"beacon": Beacon(bytes(32))}, Reason.WRONG_STATE),
    "story": ({"saved": replace(DONOR.border.saved, story=Digest(bytes(32)))}, Reason.WRONG_STATE),
    "state": ({"saved": other_state(DONOR.border)}, Reason.WRONG_STATE),
    "bytes": ({"saved": replace(DONOR.border.saved, state=b"r0:")}, Reason.WRONG_SHAPE),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_and_changes_nothing(lie: str) -> None:
    changes, reason = LIES[lie]
    story = Story(None)
    before = story.replica.machine.snapshot(), story.replica.engine, story.replica.machine
    with pytest.raises(Refused) as refusal:
        adopt(story, changed(DONOR.border, **changes), DONOR.following)
    assert refusal.value.reason is reason
    after = story.replica.machine.snapshot(), story.replica.engine, story.replica.machine
    assert after == before
    adopt(story, DONOR.border, DONOR.following)
    assert story.replica.machine.digest == DONOR.story.replica.machine.digest


def test_without_a_header_that_names_the_state_it_is_not_proven() -> None:
    with pytest.raises(Refused) as refusal:
        adopt(Story(None), DONOR.border, [])
    assert refusal.value.reason is Reason.UNPROVEN_STATE


def test_blocks_that_are_not_certified_prove_nothing() -> None:
    bare = [
        replace(one, certificate=replace(one.certificate, signatures=())) for one in DONOR.following
    ]
    with pytest.raises(Refused) as refusal:
        adopt(Story(None), DONOR.border, bare)
    assert refusal.value.reason is Reason.UNPROVEN_STATE
    assert "certificate" in refusal.value.detail


def test_certificates_of_others_than_the_trusted_prove_nothing() -> None:
    other = Validators((replace(TRUSTED.members[0], stake=7),))
    with pytest.raises(Refused) as refusal:
        adopt(Story(None), DONOR.border, DONOR.following, other)
    assert refusal.value.reason is Reason.UNTRUSTED_SET


def test_what_was_proven_before_needs_the_certificates_of_those_that_it_names() -> None:
    story = Story(None)
    bare = [
        replace(one, certificate=replace(one.certificate, signatures=())) for one in DONOR.following
    ]
    for following in ((), bare):
        with pytest.raises(Refused) as refusal:
            adopt(story, DONOR.border, following, None)
        assert refusal.value.reason is Reason.UNPROVEN_STATE
    adopt(story, DONOR.border, DONOR.following, None)
    assert story.replica.machine.digest == DONOR.story.replica.machine.digest


def test_who_has_begun_adopts_nothing() -> None:
    with pytest.raises(AssertionError):
        adopt(DONOR.story, DONOR.border, DONOR.following)


# --- bytes and accounts ---


ACCOUNTS = ((Account(bytes([7]) * 32), Amount(5), Nonce(3)),)


def test_a_snapshot_is_read_from_its_bytes_and_from_no_others() -> None:
    snapshot = Snapshot(DONOR.border, ACCOUNTS)
    payload = snapshot.to_bytes()
    assert Snapshot.read(payload) == snapshot
    assert snapshot.height == EPOCH
    for other in (payload[:-1], payload + b"i1:1", b""):
        with pytest.raises(Refused):
            Snapshot.read(other)
    assert snapshot_name(payload) != snapshot_name(payload + b" ")


class Accountant:
    """Roots are sums."""

    def restore(self, accounts: Any) -> Any:
        if not accounts:
            raise ValueError("no account")
        return type("State", (), {"root": sum(one[1] for one in accounts).to_bytes(32)})()


def test_accounts_are_those_of_the_settled_root() -> None:
    backend: Any = Accountant()
    assert rollup_state(backend, ACCOUNTS, Root((5).to_bytes(32))).root[-1] == 5
    for accounts in ((), (*ACCOUNTS, *ACCOUNTS)):
        with pytest.raises(Refused) as refusal:
            rollup_state(backend, accounts, Root((5).to_bytes(32)))
        assert refusal.value.reason is Reason.WRONG_ACCOUNTS
