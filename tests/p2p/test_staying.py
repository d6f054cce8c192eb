"""Peers that come, go, crowd and fall silent, with real libp2p."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sized
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path

import pytest
import trio

from p2p import limits
from p2p.host import LibP2PNetwork
from p2p.peers import Address, AddressBook
from protocol.ports import Topic
from protocol.types import Account, Milliseconds
from tests.p2p.worlds import NETWORK, Watch, guarded, join_all, seed_of

ROOT = Path(__file__).resolve().parents[2]


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


def test_a_frozen_peer_is_closed_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PING_S", 0.3)
    monkeypatch.setattr(limits, "PING_TIMEOUT_S", 2.0)

    async def body() -> None:
        with another_process() as (address, process):
            watch = Watch()
            watcher = node("watcher", AddressBook([address]), watch)
            async with lives() as these:
                await these.start(watcher)
                await watcher.wait_for_peers(1)
                process.send_signal(signal.SIGSTOP)
                await watch.wait_for("silent")
                await watch.wait_for("disconnected")
                assert watcher.peers() == ()
                process.send_signal(signal.SIGCONT)
                await watch.wait_for("connected", count=2)
                assert watcher.peers() == (address.account,)
                assert watcher.statistics().peers_silent == 1

    trio.run(guarded(body))


@contextmanager
def another_process() -> Iterator[tuple[Address, subprocess.Popen[str]]]:
    """An ordinary node in a process of its own, and where it listens."""
    command = [sys.executable, "-m", "tests.attacks.victim"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield Address.parse(process.stdout.readline().strip()), process
        finally:
            process.kill()


# nothing stays of those who left

PEERS_GONE = 40
AT_ONCE = 8


def entries(root: object) -> Counter[str]:
    """Entries of every container that is reached from an object, by the way to it.

    What lies beyond our code and the library's is not looked into, and keys are not told apart: two
    peers' tables are one.
    """
    found: Counter[str] = Counter()
    waiting, seen = [(type(root).__name__, root)], {id(root)}
    while waiting:
        path, one = waiting.pop()
        if isinstance(one, Mapping):
            inner = [(f"{path}[]", value) for value in (*one.keys(), *one.values())]
        elif isinstance(one, list | tuple | set | frozenset | deque):
            inner = [(f"{path}[]", value) for value in one]
        elif type(one).__module__.split(".")[0] in ("p2p", "libp2p"):
            fields = {name: getattr(one, name, None) for name in slots_of(one)}
            fields |= getattr(one, "__dict__", {})
            inner = [(f"{path}.{name}", value) for name, value in fields.items()]
        else:
            continue
        if isinstance(one, Sized):
            found[path] += len(one)
        for name, value in inner:
            if id(value) not in seen:
                seen.add(id(value))
                waiting.append((name, value))
    return found


def slots_of(one: object) -> list[str]:
    return [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ())]


def batched(names: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(names)
    while batch := list(islice(left, size)):
        yield batch


async def come_and_go(lasting: LibP2PNetwork, these: Lives, names: Iterable[str]) -> None:
    """Peers dial a node, each gossips and asks something, and all leave, a few at a time."""
    for batch in batched(names, AT_ONCE):
        visitors = [loner(name, lasting) for name in batch]
        for visitor in visitors:
            join_all([visitor])
        await these.start(*visitors)
        for visitor in visitors:
            await visitor.wait_for_peers(1)
            await visitor.publish(Topic.BIDS, visitor.account)
            await visitor.request(
                lasting.account, "echo", b"x", size_max=1, timeout_ms=Milliseconds(20_000)
            )
        lasting.penalise(visitors[0].account, "a fault")
        await these.stop(*visitors)
        await until(lambda: lasting.peers() == ())


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def at_rest(lasting: LibP2PNetwork) -> dict[str, int]:
    """Sizes, tasks and open files, after what is tidied now and then was tidied."""
    await until(lambda: lasting.sizes()["peers_remembered"].length == 0)
    await until(lambda: lasting.sizes()["streams"].length == 0)
    sizes = {name: size.length for name, size in lasting.sizes().items()}
    del sizes["seen_gossip"], sizes["misconduct"]  # these are remembered for a time on purpose
    return sizes | {
        "tasks": trio.lowlevel.current_statistics().tasks_living,
        "files": open_files(),
    }


async def visited(count: int) -> tuple[dict[str, int], dict[str, int], Counter[str]]:
    """Sizes before and after so many peers came and went, and which containers grew by what."""

    async def echo(_peer: Account, body: bytes) -> bytes:
        return body

    lasting = node("lasting", AddressBook())
    join_all([lasting])
    lasting.serve("echo", echo)
    async with lives() as these:
        await these.start(lasting)
        await come_and_go(lasting, these, (f"early {number}" for number in range(AT_ONCE)))
        before, tables = await at_rest(lasting), entries(lasting)
        await come_and_go(lasting, these, (f"late {number}" for number in range(count)))
        await until(lambda: trio.lowlevel.current_statistics().tasks_living <= before["tasks"])
        after = await at_rest(lasting)
        grown = entries(lasting) - tables
    return before, after, grown


def test_nothing_stays_of_peers_that_came_and_went(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TIDY_S", 0.2)

    async def body() -> None:
        with trio.fail_after(120):
            before, after, grown = await visited(PEERS_GONE)
        assert after == before
        kept = {path: count for path, count in grown.items() if count >= PEERS_GONE / 2}
        assert not {path for path in kept if not any(one in path for one in REMEMBERED)}, kept

    trio.run(body)


REMEMBERED = ("seen_messages", "_conduct", "mcache")
"""What is kept for a time on purpose, each with a bound of its own."""
