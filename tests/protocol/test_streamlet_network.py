"""Engines against delays, losses, partitions, crashes and hostile validators.

Below a third of hostile stake no promise breaks, whatever the network does, and once it heals the
log goes on. From a third on promises may break, but no engine may.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from protocol.errors import Refused
from protocol.messages import LogBlock
from protocol.ordering import Streamlet
from tests.protocol.streamlet_network import (
    SLOT_MS,
    Faults,
    Message,
    Network,
    Node,
    quick_cryptography,
)
from tests.protocol.streamlet_oracle import Oracle

SEEDS = int(os.environ.get("STREAMLET_SEEDS", "15"))
"""How many networks are tried; more of them in a long run."""

STORM_SLOTS, CALM_SLOTS = 20, 14


@pytest.fixture(autouse=True)
def _quick():
    with quick_cryptography():
        yield


def hostile_below_a_third(stakes: list[int], draw: random.Random) -> tuple[int, ...]:
    order = draw.sample(range(len(stakes)), len(stakes))
    chosen: list[int] = []
    for number in order:
        if 3 * sum(stakes[one] for one in (*chosen, number)) < sum(stakes):
            chosen.append(number)
    return tuple(chosen)


def changing(stakes: list[int], hostile: tuple[int, ...], draw: random.Random) -> list[list[int]]:
    """Other stakes in each epoch; validators leave and come back, at least three stay."""
    rows: list[list[int]] = []
    while len(rows) < 20:
        row = [draw.choice((0, one, one, 1, 3)) for one in stakes]
        is_safe = 3 * sum(row[one] for one in hostile) < sum(row)
        if is_safe and sum(map(bool, row)) >= 3:
            rows.append(row)
    return rows


def storm(network: Network, draw: random.Random) -> None:
    """Partitions and crashes at random moments, and restarts right after having signed."""
    end = STORM_SLOTS * SLOT_MS

    def divide() -> None:
        network.groups = [draw.randint(0, 1) for _ in network.nodes]

    def heal() -> None:
        network.groups = [0] * len(network.nodes)

    for _ in range(draw.randint(0, 4)):
        start = draw.randint(0, end)
        network.at(start, divide)
        network.at(min(end, start + draw.randint(500, 8000)), heal)
    for _ in range(draw.randint(0, 5)):
        node = draw.choice(network.honest)
        start = draw.randint(0, end)
        network.at(start, node.stop)
        network.at(min(end, start + draw.randint(1, 6000)), lambda one=node: restart(one))
    for slot in draw.sample(range(2, STORM_SLOTS), 4):
        node = draw.choice(network.honest)
        start = slot * SLOT_MS + draw.choice((200, 510))
        network.at(start, node.stop)
        network.at(start + draw.randint(1, 200), lambda one=node: restart(one))
    network.at(end, heal)


def restart(node: Node) -> None:
    if not node.is_up:
        node.start()


@cache
def run(seed: int, *, beyond: bool = False) -> tuple[Network, Oracle, int]:
    draw = random.Random(seed)
    stakes = [draw.choice((1, 1, 1, 2, 5)) for _ in range(draw.randint(4, 7))]
    hostile = hostile_below_a_third(stakes, draw) if draw.random() < 0.8 else ()
    if beyond:
        hostile = tuple(draw.sample(range(len(stakes)), len(stakes) // 2))
    faults = Faults((5, draw.choice((60, 300, 1200))), draw.choice((0, 0.1, 0.3)), 0.1)
    changes = changing(stakes, hostile, draw) if draw.random() < 0.8 and not beyond else None
    oracle = Oracle()
    network = Network(
        stakes,
        seed,
        hostile=hostile,
        faults=faults,
        epoch_ticks=draw.choice((2, 3, 10)),
        observe=oracle.observe,
        changes=changes,
    )
    network.start()
    storm(network, draw)
    network.run_until(STORM_SLOTS * SLOT_MS)
    network.faults = Faults((5, 60))
    before = max(node.engine.final_height for node in network.honest)
    network.run_until((STORM_SLOTS + CALM_SLOTS) * SLOT_MS)
    return network, oracle, before


@pytest.mark.parametrize("seed", range(SEEDS))
def test_below_a_third_final_prefixes_agree_and_the_log_goes_on_after_the_storm(seed):
    network, oracle, before = run(seed)
    oracle.judge(network)
    slow = [node.number for node in network.honest if node.engine.final_height <= before]
    assert slow == [], f"{before} blocks were final before the calm"


def test_the_storms_are_storms():
    """The generator makes what the promises speak of."""
    seen = dict.fromkeys(
        ("skips", "forks", "Equivocation", "Missing", "stalls", "borders", "dropped", "joined"), 0
    )
    for seed in range(SEEDS):
        network, oracle, before = run(seed)
        slots = [one.link.slot for one in network.honest[0].finalised]
        seen["skips"] += any(two - one > 1 for one, two in pairwise(slots))
        seen["stalls"] += before < STORM_SLOTS // 2
        kinds = [type(output).__name__ for _, output in oracle.told]
        for kind in ("Equivocation", "Missing"):
            seen[kind] += kind in kinds
        notarised = {
            (output.link.height, output.link.block)
            for _, output in oracle.told
            if type(output).__name__ == "Notarised"
        }
        late = [one.engine.epoch for one in network.honest]
        seen["borders"] += min(late) > 1
        seen["joined"] += any(
            network.sets[epoch].get(one.block.header.proposer) is None
            for one in network.honest[0].finalised
            for epoch in range(one.block.header.epoch)
        )
        seen["dropped"] += any(
            (output.block.header.epoch + 1) * network.settings.epoch_ticks < output.link.height
            for _, output in oracle.told
            if type(output).__name__ == "Notarised"
        )
        seen["forks"] += len(notarised) > len({height for height, _ in notarised})
    assert all(seen.values()), seen


@pytest.mark.parametrize("seed", range(1000, 1000 + SEEDS // 3))
def test_from_a_third_on_no_engine_breaks(seed):
    network, _, _ = run(seed, beyond=True)
    for node in network.honest:
        heights = [one.link.height for one in node.finalised]
        assert heights == list(range(1, len(heights) + 1))


def test_equal_inputs_in_equal_order_give_equal_outputs():
    for seed in range(2):
        assert run(seed)[1].digest() == run.__wrapped__(seed)[1].digest()
    assert run(0)[1].digest() != run(1)[1].digest()


def test_outputs_do_not_depend_on_the_seed_of_hashes():
    program = (
        "from tests.protocol.test_streamlet_network import quick_cryptography, run\n"
        "with quick_cryptography(): print(run(0)[1].digest())"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "1234"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == run(0)[1].digest()


def hand_in_all(engine: Streamlet, messages: list[Message], now: int) -> None:
    """Hand in what is not refused; what finality excluded meanwhile is."""
    for message in messages:
        hand_in = engine.on_block if isinstance(message, LogBlock) else engine.on_vote
        with suppress(Refused):
            hand_in(message, now)


@pytest.mark.parametrize("seed", range(6))
def test_the_final_chain_does_not_depend_on_the_order_of_messages(seed):
    oracle = Oracle()
    network = Network([1] * 7, seed, faults=Faults((5, 250)), observe=oracle.observe)
    network.start()
    network.run_until(10 * SLOT_MS)
    expected = {node.engine.anchor.link for node in network.nodes}
    anchors = []
    for shuffle in range(3):
        messages = list(network.sent)
        random.Random(shuffle).shuffle(messages)
        watcher = Streamlet(network.settings, network.validators)
        hand_in_all(watcher, messages, network.now)
        while watcher.missing():  # what was displaced while it waited
            hand_in_all(watcher, messages, network.now)
        anchors.append(watcher.anchor.link)
    assert len(set(anchors)) == 1
    assert anchors[0].height >= max(link.height for link in expected) > 3


def test_all_validators_up_and_timely_finalise_a_block_a_slot():
    network = Network([1, 2, 3, 4, 5], faults=Faults((10, 90)), epoch_ticks=1_000)
    network.start()
    network.run_until(40 * SLOT_MS)
    assert [node.engine.final_height for node in network.nodes] == [38] * 5


def test_a_border_costs_a_slot():
    network = Network([1, 2, 3, 4, 5], faults=Faults((10, 90)))
    network.start()
    network.run_until(40 * SLOT_MS)
    assert [node.engine.final_height for node in network.nodes] == [38 - 3] * 5


def test_a_third_that_is_down_stops_the_log_and_less_does_not():
    for down, goes_on in ((1, True), (2, False)):
        network = Network([1, 1, 1, 1, 1, 1], faults=Faults((10, 60)))
        for node in network.nodes[down:]:
            node.start()
        network.run_until(30 * SLOT_MS)
        assert (network.nodes[-1].engine.final_height > 20) is goes_on


def test_proposers_win_in_proportion_to_their_stake():
    network = Network([1, 2, 5], faults=Faults((1, 5)))
    network.start()
    network.run_until(300 * SLOT_MS)
    wins = [0, 0, 0]
    accounts = [one.account for one in network.identities]
    for final in network.nodes[0].finalised:
        wins[accounts.index(final.block.header.proposer)] += 1
    total = sum(wins)
    assert total > 250
    for stake, won in zip((1, 2, 5), wins, strict=True):
        assert abs(8 * won - stake * total) < 0.6 * total, wins
