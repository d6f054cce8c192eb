"""An account that joins as a validator of a running network, is restarted, and leaves again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio

from protocol import vrf
from protocol.events import ExitPaid, SetChanged, Staked, Unstaked
from protocol.happenings import Submitted
from protocol.light import check_log
from protocol.messages import AddStake, Pay, Payload, StakeKind, Unstake
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


def is_member(town: Town, who: Resident) -> bool:
    validators = town["validator-1"].running.machine.sets.validators
    return validators.get(Account(who.account)) is not None


def test_a_validator_joins_is_restarted_and_leaves(tmp_path: Path) -> None:
    town = Town(tmp_path, WISH)
    joiner, watcher = town[JOINER], town["validator-1"]
    identity = joiner.member.identity

    async def busy() -> None:
        """Somebody always wants something ordered, so that the log grows."""
        target = Account(town["validator-2"].account)
        number = 0
        while True:
            number += 1
            submit(watcher, Pay(target, Amount(number)))
            await trio.sleep(1)

    async def reach(condition: Callable[[], bool]) -> None:
        await town.until(condition)

    async def story(nursery: trio.Nursery) -> None:
        await reach(lambda: watcher.node is not None and joiner.node is not None)
        nursery.start_soon(busy)
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


def _is_by(final: object, who: Resident) -> bool:
    return final.moment.proposer == who.account
