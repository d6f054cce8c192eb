"""Peers that come, go, crowd and fall silent, with real libp2p."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from p2p import limits
from p2p.host import LibP2PNetwork
from p2p.peers import AddressBook
from tests.p2p.worlds import NETWORK, Watch, guarded, seed_of


def node(name: str, book: AddressBook, observer: Watch | None = None) -> LibP2PNetwork:
    return LibP2PNetwork(seed_of(name), NETWORK, ("127.0.0.1", 0), book, observer=observer)


def knowing(name: str, *others: LibP2PNetwork) -> LibP2PNetwork:
    """A node that knows the addresses of others from its configuration."""
    return node(name, AddressBook(other.addresses()[0] for other in others))


class Lives:
    """Runs nodes in tasks of their own, so that each may stop when it likes."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._stops: dict[LibP2PNetwork, trio.Event] = {}
        self._ends: dict[LibP2PNetwork, trio.Event] = {}

    async def start(self, *nodes: LibP2PNetwork) -> None:
        for one in nodes:
            self._stops[one], self._ends[one] = trio.Event(), trio.Event()
            await self._nursery.start(self._live, one)

    async def stop(self, *nodes: LibP2PNetwork) -> None:
        for one in nodes:
            self._stops[one].set()
        for one in nodes:
            await self._ends[one].wait()

    async def _live(self, one: LibP2PNetwork, task_status: trio.TaskStatus[None]) -> None:
        async with one.run():
            task_status.started()
            await self._stops[one].wait()
        self._ends[one].set()


@asynccontextmanager
async def lives() -> AsyncIterator[Lives]:
    async with trio.open_nursery() as nursery:
        started = Lives(nursery)
        yield started
        await started.stop(*started._stops)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    while not condition():  # noqa: ASYNC110 -- there is no event to wait for
        await trio.sleep(0.05)


def test_a_newcomer_gets_in_when_the_first_of_its_addresses_is_dead(tmp_path: Path) -> None:
    file = tmp_path / "peers.json"

    async def body() -> None:
        async with lives() as these:
            first = node("first", AddressBook())
            await these.start(first)
            gone = first.addresses()[0]
            second, third = knowing("second", first), knowing("third", first)
            await these.start(second, third)
            await second.wait_for_peers(2)
            await third.wait_for_peers(2)
            await these.stop(first)
            book = AddressBook([gone, third.addresses()[0]])
            newcomer = node("newcomer", book)
            await these.start(newcomer)
            await newcomer.wait_for_peers(2)
            assert set(newcomer.peers()) == {second.account, third.account}
            book.save(file)
            await these.stop(newcomer)
            # it comes again, and knows only what it learned itself
            kept = AddressBook()
            for address in AddressBook.load(file).addresses(second.account):
                kept.add(address)
            again = node("newcomer", kept)
            await these.start(again)
            await again.wait_for_peers(2)

    trio.run(guarded(body))


def test_who_fills_all_inbound_places_does_not_cut_us_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PEERS_INBOUND_MAX", 2)
    monkeypatch.setattr(limits, "PEERS_MAX", 2)
    monkeypatch.setattr(limits, "PEERS_OUTBOUND_MIN", 1)

    async def body() -> None:
        async with lives() as these:
            friend, victim = node("friend", AddressBook()), node("victim", AddressBook())
            await these.start(friend, victim)
            await these.start(*(loner(f"enemy {number}", victim) for number in range(4)))
            await until(lambda: len(victim.peers()) == limits.PEERS_INBOUND_MAX)
            await until(lambda: victim.statistics().connections_refused > 0)
            assert victim.chosen() == ()
            victim.add_address(friend.addresses()[0])
            await until(lambda: victim.chosen() == (friend.account,))
            assert friend.account in victim.peers()

    trio.run(guarded(body))


def loner(name: str, *others: LibP2PNetwork) -> LibP2PNetwork:
    """A node that dials others and tells nobody of its address."""
    book = AddressBook(other.addresses()[0] for other in others)
    return LibP2PNetwork(seed_of(name), NETWORK, ("127.0.0.1", 0), book, discover=False)
