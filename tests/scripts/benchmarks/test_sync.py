"""The log that is made to be synced, and a newcomer that catches up with it in every way."""

from __future__ import annotations

import pytest

from p2p.store import Store
from p2p.sync import certified_from
from protocol.messages import AddStake, Delegate, Pay, Transfer, Undelegate, Unstake
from protocol.params import network_id
from scripts.benchmarks import sync
from scripts.benchmarks.stored_log import PAST_BORDER, StoredLog, make_log
from scripts.node import SystemClock

EPOCH = 32
MOVES = (Pay, AddStake, Unstake, Delegate, Undelegate)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> StoredLog:
    return make_log(tmp_path_factory.mktemp("log"), 1, EPOCH)


def test_the_log_is_whole_and_in_the_past(log: StoredLog) -> None:
    assert log.ticks >= EPOCH + PAST_BORDER
    assert log.lasts_s == log.ticks
    with Store(log.store, network_id(log.genesis)) as store:
        blocks = [one.block for one in certified_from(store)]
        assert store.final_height() == log.ticks
        assert [height for height, _, _ in store.snapshots()] == [EPOCH]
    final = blocks[: log.ticks]
    assert [one.header.height for one in final] == [*range(1, log.ticks + 1)]
    network = log.genesis.network
    last_ms = network.genesis_time_ms + blocks[-1].header.slot * network.slot_ms
    assert last_ms < SystemClock().now_ms()


def test_the_log_holds_blocks_and_moves_of_every_kind(log: StoredLog) -> None:
    with Store(log.store, network_id(log.genesis)) as store:
        payloads = [
            signed.operation.payload
            for one in certified_from(store)
            if one.block.header.height <= log.ticks
            for signed in one.block.operations
        ]
    assert len(payloads) == log.operations
    assert {type(one) for one in payloads if isinstance(one, MOVES)} == set(MOVES)
    assert sum(isinstance(one, MOVES) for one in payloads) == log.moves
    assert log.blocks > 0
    assert Transfer not in map(type, payloads), "transfers are in the bodies of blocks"


def test_a_newcomer_catches_up_from_one_peer_from_two_and_with_a_snapshot() -> None:
    section = sync.measure(epochs=1, rounds=1, servers=2, epoch_ticks=EPOCH)
    names = [figure.name.removeprefix("virtual seconds of log from ") for figure in section.figures]
    assert names == ["one peer", "2 peers", "a snapshot and 2 peers"]
    for figure in section.figures:
        assert figure.value >= EPOCH + PAST_BORDER
        assert figure.baseline_value > 0
        assert figure.ratio.median == figure.value / figure.baseline_value
        assert figure.aim == sync.Aim(50.0, is_least=True)
