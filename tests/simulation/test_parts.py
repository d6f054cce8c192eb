"""The stand-ins of a simulation: machines, links, and what nodes share."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import trio

from protocol import codec, messages, signing
from protocol.errors import Refused
from protocol.messages import Vote
from protocol.signing import Domain
from protocol.types import (
    Account,
    BlockHash,
    Count,
    JobId,
    Milliseconds,
    NetworkId,
    Slot,
    Tick,
    TreeIndex,
)
from prover.modelled import ModelledBackend
from prover.pool import ProvingFailed
from prover.tasks import LeafTask
from scripts.simulation.draw import stream
from scripts.simulation.hardware import POPULATION, Machine, drawn_machine, open_simulated_pool
from scripts.simulation.links import CALM, LATENCY_MS, REGIONS, Troubles, link_between
from scripts.simulation.scheduling import VirtualClock, run_virtually
from scripts.simulation.sharing import shared

NETWORK = NetworkId(bytes(range(32)))
SEED = bytes(32)
STEADY = Machine("steady", 1, cores=4, speed_percent=100, jitter_percent=0, death_percent=0)
BACKEND = ModelledBackend(leaf_ms=Milliseconds(1_000))


def leaf_task(position: int) -> LeafTask:
    witness = BACKEND.genesis([(Account(bytes(32)), 5)]).witness([])
    index = TreeIndex(0, position)
    return LeafTask(JobId(bytes(32)), Account(bytes(32)), index, Count(64), Tick(1), witness)


def proving(machine: Machine, count: int) -> list[int | None]:
    """Virtual milliseconds that each of so many leaves took; None where there is no proof."""

    async def main() -> list[int | None]:
        times: list[int | None] = []
        async with open_simulated_pool(BACKEND, machine, stream(1, machine.name)) as pool:
            for position in range(count):
                began = trio.current_time()
                try:
                    await pool.prove(leaf_task(position))
                except ProvingFailed:
                    times.append(None)
                else:
                    times.append(round(1000 * (trio.current_time() - began)))
        return times

    return run_virtually(main, 1)


def test_a_machine_takes_its_time() -> None:
    assert proving(STEADY, 3) == [250, 250, 250]
    assert proving(replace(STEADY, cores=1, speed_percent=50), 2) == [2_000, 2_000]
    assert proving(replace(STEADY, speed_percent=200), 1) == [125]
    jittery = proving(replace(STEADY, cores=1, jitter_percent=50), 40)
    assert min(jittery) >= 1_000
    assert max(jittery) <= 1_501
    assert len(set(jittery)) > 20


def test_a_worker_that_dies_is_replaced_and_one_that_always_dies_gives_up() -> None:
    assert proving(replace(STEADY, death_percent=100), 3) == [None, None, None]
    sometimes = proving(replace(STEADY, death_percent=30), 60)
    assert 1 <= sometimes.count(None) <= 15, "both of two workers die in a tenth of the proofs"
    assert any(took is not None and took > 250 for took in sometimes), "some are tried again"


def test_the_population_is_drawn_as_it_was_declared() -> None:
    lots = stream(3, "machines")
    drawn = Counter(drawn_machine(lots).name for _ in range(2_200))
    for machine in POPULATION:
        assert abs(drawn[machine.name] - 200 * machine.weight) < 100


def test_streams_of_other_names_are_other_streams() -> None:
    assert stream(1, "a").random() == stream(1, "a").random()
    assert len({stream(1, "a").random(), stream(1, "b").random(), stream(2, "a").random()}) == 3


def test_links_are_the_same_both_ways_and_troubles_add_up() -> None:
    for one in range(len(REGIONS)):
        for other in range(len(REGIONS)):
            assert LATENCY_MS[one][other] == LATENCY_MS[other][one] >= LATENCY_MS[one][one]
    bad = Troubles(loss_percent=20, late_ms=100).and_(Troubles(loss_percent=5, bytes_per_s=9))
    assert bad == Troubles(loss_percent=20, late_ms=100, bytes_per_s=9)
    assert bad.and_(CALM) == CALM.and_(bad) == bad
    link = link_between(0, 3, bad)
    assert (link.latency_ms, link.loss, link.bytes_per_s) == (190, 0.2, 9)


def test_a_clock_is_off_by_what_it_is_usually_and_by_what_is_wrong() -> None:
    async def main() -> None:
        right, usual = VirtualClock(), VirtualClock(-30)
        await trio.sleep(100)
        assert (right.now_ms(), usual.now_ms()) == (100_000, 99_970)
        usual.set_off(2_000, 1_000)
        assert usual.now_ms() == 101_970
        await trio.sleep(10)
        assert usual.now_ms() == 111_980, "ten seconds at a thousandth too fast"
        usual.set_off(-500_000, 0)
        assert usual.now_ms() == 0, "there is no time before the beginning"
        usual.set_off(0, 0)
        assert usual.now_ms() == 109_970

    run_virtually(main, 1)


def test_what_is_shared_is_computed_once_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    verify = signing.verify

    def counted(*arguments):
        calls["verify"] += 1
        return verify(*arguments)

    monkeypatch.setattr(signing, "verify", counted)
    account = signing.public_key(SEED)
    vote = Vote(account, Slot(3), BlockHash(bytes(32)))
    signed = messages.sign_vote(SEED, NETWORK, vote)
    forged = replace(signed, vote=replace(vote, slot=Slot(4)))
    with shared():
        for _ in range(3):
            assert messages.vote_is_signed(NETWORK, signed)
            assert not messages.vote_is_signed(NETWORK, forged)
            other = NetworkId(bytes(32))
            assert not messages.vote_is_signed(other, signed)
        assert calls["verify"] == 3
        payload = messages.encode(signed)
        first = messages.decode(type(signed), payload, size_max=500)
        assert first == signed
        assert messages.decode(type(signed), payload, size_max=500) is first
        for size_max in (10, 10):
            with pytest.raises(Refused):
                messages.decode(type(signed), payload, size_max=size_max)
    assert signing.verify is counted
    assert messages.decode is codec.decode
    assert messages.decode(type(signed), payload, size_max=500) is not first


def test_whatever_happens_the_functions_are_given_back() -> None:
    before = signing.verify, codec.decode, codec.encode, messages.encode
    with pytest.raises(ZeroDivisionError), shared():
        assert signing.verify is not before[0]
        raise ZeroDivisionError
    assert (signing.verify, codec.decode, codec.encode, messages.encode) == before
    assert signing.verify(
        signing.public_key(SEED),
        Domain.BID,
        NETWORK,
        b"bid",
        signing.sign(SEED, Domain.BID, NETWORK, b"bid"),
    )
