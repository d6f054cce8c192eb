"""Makes the faults of a plan happen to a network, each in its time, and ends them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import trio

from protocol.types import Account
from scripts.simulation.faults import (
    BadLinks,
    Crash,
    FaultPlan,
    NarrowLink,
    OneWay,
    Partition,
    Passing,
    Pause,
    SlowDisk,
    WrongClock,
    name_of,
)
from scripts.simulation.happenings import FaultBegan, FaultEnded
from scripts.simulation.links import CALM, Troubles
from scripts.simulation.network import START_MS, SimulatedNetwork


class Weather:
    """What is wrong with a network now. Every change is worked out anew from all faults that last,
    so that they may overlap in any way.

    :param revive: begins another life of a node.
    :ivar counts: faults that began, by kind.
    """

    def __init__(self, network: SimulatedNetwork, revive: Callable[[str], None]) -> None:
        self.counts: Counter[str] = Counter()
        self._network = network
        self._revive = revive
        self._lasting: dict[int, Passing] = {}

    async def run(self, plan: FaultPlan) -> None:
        """Let everything happen; returns when the network is healed."""
        async with trio.open_nursery() as nursery:
            for number, fault in enumerate(plan.passing()):
                nursery.start_soon(self._happen, number, fault, plan.safety_ms)
            if plan.passing():
                await trio.sleep_until((START_MS + plan.safety_ms) / 1000)

    async def _happen(self, number: int, fault: Passing, end_ms: int) -> None:
        if fault.at_ms >= end_ms:
            return
        await trio.sleep_until((START_MS + fault.at_ms) / 1000)
        self.counts[name_of(fault)] += 1
        self._network.tell("", FaultBegan(fault))
        self._lasting[number] = fault
        self._begin(fault)
        until_ms = min(fault.at_ms + fault.for_ms, end_ms)
        await trio.sleep_until((START_MS + until_ms) / 1000)
        del self._lasting[number]
        self._end(fault)
        self._network.tell("", FaultEnded(fault))

    def _begin(self, fault: Passing) -> None:
        network = self._network
        match fault:
            case Crash(node=name, point=""):
                network.nodes[name].kill()
            case Crash(node=name, point=point):
                network.nodes[name].dies_at = point
            case Pause(node=name, for_ms=for_ms):
                network.hub.stall(network.accounts[name], for_ms / 1000)
            case WrongClock(node=name):
                off_ms = fault.ahead_ms - fault.behind_ms
                drift_ppm = fault.drift_ppm if off_ms >= 0 else -fault.drift_ppm
                network.nodes[name].clock.set_off(off_ms, drift_ppm)
            case _:
                self._blow()

    def _end(self, fault: Passing) -> None:
        match fault:
            case Crash(node=name):
                self._network.nodes[name].dies_at = None
                self._revive(name)
            case WrongClock(node=name):
                self._network.nodes[name].clock.set_off(0, 0)
            case _:
                self._blow()

    def _blow(self) -> None:
        """Work out what is wrong with links and disks."""
        network, lasting = self._network, list(self._lasting.values())
        parts = [frozenset(one.nodes) for one in lasting if isinstance(one, Partition)]
        islands: dict[tuple[bool, ...], list[Account]] = {}
        for name, account in network.accounts.items():
            islands.setdefault(tuple(name in part for part in parts), []).append(account)
        network.hub.partition(islands.values())
        network.hub.silence(
            (network.accounts[sender], network.accounts[receiver])
            for one in lasting
            if isinstance(one, OneWay)
            for sender in one.senders
            for receiver in one.receivers
        )
        troubles: dict[Account, Troubles] = {}
        for one in lasting:
            for name, trouble in _troubles_of(one):
                account = network.accounts[name]
                troubles[account] = trouble.and_(troubles.get(account, CALM))
        network.set_troubles(troubles)
        slow = {one.node: one.write_ms for one in lasting if isinstance(one, SlowDisk)}
        for name, node in network.nodes.items():
            node.write_ms = slow.get(name, 0)


def _troubles_of(fault: Passing) -> list[tuple[str, Troubles]]:
    """What a fault does to the links of which nodes."""
    match fault:
        case NarrowLink(node=name, bytes_per_s=rate):
            return [(name, Troubles(bytes_per_s=rate))]
        case BadLinks(nodes=names):
            shares = fault.loss_percent, fault.duplication_percent, fault.reordering_percent
            return [(name, Troubles(*shares, fault.held_ms, fault.late_ms)) for name in names]
        case _:
            return []
