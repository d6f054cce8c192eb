"""What a judge says to bids: a block that is to come, money that is there, a signature, a limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from p2p.judges import BIDS_MAX, Judges
from protocol.codec import encode
from protocol.errors import Reason
from protocol.messages import SignedBid
from protocol.ports import Topic, Verdict
from protocol.replica import Replica
from protocol.testing import World, actor
from protocol.testing.cast import OUTSIDER
from protocol.testing.moves import bid_of, commit, promise_all
from protocol.testing.scenario import BONDED
from protocol.types import Account, Amount, Round, Signature

S0 = actor("s0").account
PEER = actor("p7").account


def lead(world: World) -> None:
    """The first sequencer's block is to come."""
    commit(world, who="s0", height=1, split=0, fee=0, how="honest")
    world.wait(3)


class Bench:
    """A judge of bids above the final state of a story."""

    def __init__(self) -> None:
        self.world = World(replace(BONDED, balance=4_000))
        lead(self.world)
        self.heard: list[SignedBid] = []
        self.told: list[Reason] = []
        self.has_room = True
        replica = Replica(self.world.machine, None)
        self.judge = Judges(replica, self._deliver, self._refused).of(Topic.BIDS)

    def bid(self, prover: str = "p1", **change: Any) -> SignedBid:
        (ask,) = self.world.machine.asks()
        block = {"round_": ask.block.round, "sequencer": S0, "bond": ask.bond, **change}
        return bid_of(self.world, prover, **block)

    def say(self, signed: SignedBid) -> Verdict:
        return self.judge(PEER, encode(signed))

    def _deliver(self, message: SignedBid) -> bool:
        self.heard.append(message)
        return self.has_room

    def _refused(self, _kind: str, reason: Reason, peer: Account) -> None:
        assert peer == PEER
        self.told.append(reason)


def test_a_bid_that_could_be_awarded_is_heard_once() -> None:
    bench = Bench()
    bid = bench.bid()
    assert bench.say(bid) is Verdict.ACCEPT
    assert bench.say(bid) is Verdict.IGNORE
    assert bench.heard == [bid]
    assert bench.told == []


@pytest.mark.parametrize(
    "change",
    [
        {"round_": Round(1)},
        {"sequencer": actor("s1").account},
        {"bond": Amount(1)},
        {"bond": Amount(4_001)},
        {"price": 4_001},
        {"valid_for": 0},
        {"prover": OUTSIDER},
    ],
)
def test_a_bid_that_could_not_be_awarded_is_nobodys_fault(change: dict[str, Any]) -> None:
    bench = Bench()
    assert bench.say(bench.bid(**change)) is Verdict.IGNORE
    assert (bench.heard, bench.told) == ([], [])


def test_a_forged_bid_is_held_against_who_forwards_it() -> None:
    bench = Bench()
    assert bench.say(bench.bid(key="a forger")) is Verdict.REJECT
    assert bench.told == [Reason.BAD_SIGNATURE]


@pytest.mark.parametrize("payload", [b"", b"\xc0", bytes(300)])
def test_what_is_no_bid_is_held_against_who_forwards_it(payload: bytes) -> None:
    bench = Bench()
    assert bench.judge(PEER, payload) is Verdict.REJECT
    assert len(bench.told) == 1


def test_a_prover_bids_so_often_for_a_block_and_forged_bids_do_not_count() -> None:
    bench = Bench()
    for price in range(BIDS_MAX):
        forged = replace(bench.bid(price=price), signature=Signature(bytes(64)))
        assert bench.say(forged) is Verdict.REJECT
        assert bench.say(bench.bid(price=price)) is Verdict.ACCEPT
    assert bench.say(bench.bid(price=BIDS_MAX)) is Verdict.IGNORE
    assert bench.told[-1] is Reason.TOO_MANY_BIDS
    assert bench.say(bench.bid("p2")) is Verdict.ACCEPT


def test_the_next_block_is_counted_anew() -> None:
    bench = Bench()
    for price in range(BIDS_MAX):
        assert bench.say(bench.bid(price=price)) is Verdict.ACCEPT
    promise_all(bench.world)
    bench.world.wait(4)
    lead(bench.world)
    assert bench.say(bench.bid()) is Verdict.ACCEPT


def test_a_bid_for_which_there_is_no_room_is_not_forwarded() -> None:
    bench = Bench()
    bench.has_room = False
    assert bench.say(bench.bid()) is Verdict.IGNORE
