"""Validators that join a running network, leave it, are away for epochs, and come back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import trio

from p2p.observing import AgentTold
from protocol import vrf
from protocol.events import ExitPaid, SetChanged, Staked, Unstaked
from protocol.happenings import BlockFinal, Submitted
from protocol.light import check_log
from protocol.messages import AddStake, Pay, Payload, Presence, StakeKind, Unstake
from protocol.params import format_genesis
from protocol.types import Account, Amount
from scripts.export import export_run
from scripts.folder import GENESIS, load_log, load_sets
from scripts.launcher.plan import UNIT, Wish
from tests.p2p.town import Resident, Town, VirtualClock, live

EPOCH = 16
JOINER = "prover-1"
WISH = Wish(
    validators=4,
    provers=1,
    leaves=1,
    blocks=0,
    slot_ms=1_000,
    backend="modelled",
    sets=(f"network.epoch_ticks={EPOCH}",),
)


def submit(resident: Resident, payload: Payload) -> None:
    """What an agent or a person at this node wants ordered."""
    resident.running._send.send_nowait(Submitted(payload, VirtualClock().now_ms()))


async def busy(resident: Resident) -> None:
    """It always wants something ordered, so that the log grows."""
    number = 0
    while True:
        number += 1
        submit(resident, Pay(Account(bytes(32)), Amount(number)))
        await trio.sleep(1)


def is_member(town: Town, who: Resident) -> bool:
    validators = town["validator-1"].running.machine.sets.validators
    return validators.get(Account(who.account)) is not None


def test_a_validator_joins_is_restarted_and_leaves(tmp_path: Path) -> None:
    town = Town(tmp_path, WISH)
    joiner, watcher = town[JOINER], town["validator-1"]
    identity = joiner.member.identity

    async def reach(condition: Callable[[], bool]) -> None:
        await town.until(condition)

    async def story(nursery: trio.Nursery) -> None:
        await reach(lambda: watcher.node is not None and joiner.node is not None)
        nursery.start_soon(busy, watcher)
        key = vrf.public_key(identity.vrf_seed)
        submit(joiner, AddStake(StakeKind.LOG, Amount(UNIT), key))
        await reach(lambda: watcher.height >= 3 * EPOCH - 1)
        assert not is_member(town, joiner)
        joiner.stop()
        await reach(lambda: watcher.height >= 3 * EPOCH + 2)
        assert is_member(town, joiner)
        nursery.start_soon(joiner.run)
        await reach(lambda: any(_is_by(final, joiner) for final in watcher.finals.values()))
        submit(joiner, Unstake(StakeKind.LOG, Amount(UNIT)))
        await reach(lambda: watcher.height >= 8 * EPOCH)
        assert not is_member(town, joiner)
        height = watcher.height
        await reach(lambda: min(one.height for one in town.residents.values()) >= height)

    live(town, story)
    town.assert_agreement()
    assert [one.amount for one in watcher.events(Staked)] == [UNIT]
    (left,) = watcher.events(Unstaked)
    assert not watcher.events(ExitPaid)
    changed = [one.epoch for one in watcher.events(SetChanged)]
    assert changed[0] == 3
    by_joiner = [tick for tick, final in watcher.finals.items() if _is_by(final, joiner)]
    assert min(by_joiner) > 3 * EPOCH
    gone = (left.due - town.genesis.network.exit_delay_ticks - 1) // EPOCH + 3
    assert max(by_joiner) <= gone * EPOCH
    (tmp_path / GENESIS).write_text(format_genesis(town.genesis))
    report = export_run(tmp_path, watcher.folder)
    assert report.final_height == watcher.height
    final = check_log(town.genesis, load_log(tmp_path), load_sets(tmp_path))
    assert [one.moment for one in final] == [
        watcher.finals[tick].moment for tick in range(1, watcher.height + 1)
    ]


def test_a_validator_that_was_away_for_epochs_is_left_out_and_comes_back_by_itself(
    tmp_path: Path,
) -> None:
    """It only votes: nothing but its presence is ordered of it."""
    town = Town(tmp_path, WISH)
    away, watcher = town["validator-4"], town["validator-1"]
    away.member = replace(
        away.member,
        configuration=replace(away.member.configuration, sequencer=None, traffic=None),
    )
    returned: list[int] = []

    async def story(nursery: trio.Nursery) -> None:
        await town.until(lambda: watcher.node is not None and away.node is not None)
        nursery.start_soon(busy, watcher)
        await town.until(lambda: watcher.height >= 2)
        away.stop()
        await town.until(lambda: watcher.height >= 3 * EPOCH + 2)
        assert not is_member(town, away)
        assert away.height <= 4
        nursery.start_soon(away.run)
        await town.until(lambda: is_member(town, away))
        returned.append(watcher.height)
        await town.until(lambda: any(_is_by(final, away) for final in _after(watcher, returned[0])))
        height = watcher.height
        await town.until(lambda: min(one.height for one in town.residents.values()) >= height)

    live(town, story)
    town.assert_agreement()
    assert returned[0] % EPOCH == 0
    assert 5 * EPOCH <= returned[0] <= 6 * EPOCH
    said = [
        type(signed.operation.payload)
        for final in watcher.finals.values()
        for signed in final.block.operations
        if signed.operation.sender == away.account
    ]
    assert said == [Presence]
    told = [one.sentence for one in away.told if isinstance(one, AgentTold)]
    assert sum("left out as absent, and comes back" in one for one in told) == 1
    assert away.running.replica.halted is None


def _after(who: Resident, height: int) -> list[BlockFinal]:
    return [final for tick, final in tuple(who.finals.items()) if tick > height]


def _is_by(final: BlockFinal, who: Resident) -> bool:
    return final.moment.proposer == who.account
