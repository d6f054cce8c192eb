"""What the network in memory promises beyond the contract: determinism and faults."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio
from trio.testing import MockClock

from p2p.memory import LinkModel, MemoryNetwork
from protocol.ports import RequestFailed, Topic, Verdict
from protocol.types import Account, Milliseconds
from tests.p2p.worlds import NETWORK, Recorder

ACCOUNTS = [Account(bytes([number]) * 32) for number in range(8)]
LOSSY = LinkModel(Milliseconds(10), Milliseconds(90), loss=0.3)
Trace = list[tuple[float, int, Account, bytes]]


async def gossip_for_a_while(seed: int, trace: Trace) -> None:
    hub = MemoryNetwork(seed, LOSSY)
    started = trio.current_time()
    async with AsyncExitStack() as stack:
        nodes = []
        for number, account in enumerate(ACCOUNTS):
            node = hub.node(account, NETWORK)

            def judge(forwarder: Account, payload: bytes, number: int = number) -> Verdict:
                at = trio.current_time() - started
                trace.append((round(at, 9), number, forwarder, payload))
                return Verdict.ACCEPT

            node.join(Topic.BIDS, judge)
            nodes.append(await stack.enter_async_context(node.run()) or node)
        for round_number in range(20):
            for number, node in enumerate(nodes):
                await node.publish(Topic.BIDS, b"%d from %d" % (round_number, number))
            await trio.sleep(0.05)
        await trio.sleep(10)


def trace_of(seed: int) -> Trace:
    trace: Trace = []
    trio.run(gossip_for_a_while, seed, trace, clock=MockClock(autojump_threshold=0))
    return sorted(trace)


def test_a_seed_is_a_run() -> None:
    assert trace_of(1) == trace_of(1)
    assert trace_of(1) != trace_of(2)


def test_flooding_overcomes_loss() -> None:
    arrived = {(number, payload) for _, number, _, payload in trace_of(3)}
    assert len(arrived) >= 0.99 * 20 * len(ACCOUNTS) * (len(ACCOUNTS) - 1)


def test_a_partition_holds_messages_back_until_it_heals() -> None:
    async def body() -> None:
        hub = MemoryNetwork(seed=1)
        nodes = [hub.node(account, NETWORK) for account in ACCOUNTS[:3]]
        recorders = [Recorder() for _ in nodes]
        for node, recorder in zip(nodes, recorders, strict=True):
            node.join(Topic.BIDS, recorder)
        async with nodes[0].run(), nodes[1].run(), nodes[2].run():
            hub.partition([ACCOUNTS[:2], ACCOUNTS[2:3]])
            assert nodes[0].peers() == (ACCOUNTS[1],)
            assert nodes[2].peers() == ()
            await nodes[0].publish(Topic.BIDS, b"inside")
            await recorders[1].wait_for(b"inside")
            hub.heal()
            await nodes[0].wait_for_peers(2)
            await nodes[0].publish(Topic.BIDS, b"outside")
            await recorders[2].wait_for(b"outside")
        assert recorders[2].payloads == [b"outside"]

    trio.run(body, clock=MockClock(autojump_threshold=0))


def test_what_was_under_way_is_lost_with_its_link() -> None:
    async def body() -> None:
        hub = MemoryNetwork(seed=1)
        sender, receiver = (hub.node(account, NETWORK) for account in ACCOUNTS[:2])
        recorder = Recorder()
        sender.join(Topic.BIDS, Recorder())
        receiver.join(Topic.BIDS, recorder)
        async with sender.run(), receiver.run():
            await sender.publish(Topic.BIDS, b"lost")
            hub.cut(sender.account, receiver.account)
            await trio.sleep(1)
            hub.mend(sender.account, receiver.account)
            await sender.publish(Topic.BIDS, b"kept")
            await recorder.wait_for(b"kept")
        assert recorder.payloads == [b"kept"]

    trio.run(body, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    ("link", "stops", "word"),
    [
        (LinkModel(loss=1.0), False, "timeout"),
        (LinkModel(latency_ms=Milliseconds(600)), False, "timeout"),
        (LinkModel(), True, "broken|unreachable"),
    ],
)
def test_a_request_fails_as_its_link_does(link: LinkModel, stops: bool, word: str) -> None:
    async def body() -> None:
        hub = MemoryNetwork(seed=1, link=link)
        asker, answering = (hub.node(account, NETWORK) for account in ACCOUNTS[:2])
        asked = trio.Event()

        async def never(peer: Account, body: bytes) -> bytes:
            asked.set()
            await trio.sleep_forever()
            raise AssertionError

        async def answer_for_a_while() -> None:
            async with answering.run():
                await asked.wait()
                if not stops:
                    await trio.sleep_forever()

        answering.serve("never", never)
        async with asker.run(), trio.open_nursery() as nursery:
            nursery.start_soon(answer_for_a_while)
            await asker.wait_for_peers(1)
            with pytest.raises(RequestFailed, match=word):
                await asker.request(
                    answering.account, "never", b"", size_max=1, timeout_ms=Milliseconds(1000)
                )
            nursery.cancel_scope.cancel()

    trio.run(body, clock=MockClock(autojump_threshold=0))


def test_two_nodes_of_one_account_do_not_run() -> None:
    async def body() -> None:
        hub = MemoryNetwork(seed=1)
        async with hub.node(ACCOUNTS[0], NETWORK).run():
            with pytest.raises(RuntimeError, match="runs already"):
                async with hub.node(ACCOUNTS[0], NETWORK).run():
                    raise AssertionError

    trio.run(body, clock=MockClock(autojump_threshold=0))


async def heard_by_one(
    hub: MemoryNetwork, count: int, size_bytes: int = 20, pause_s: float = 0.0
) -> list[tuple[float, int]]:
    """When the second of two nodes judged which of so many messages of the first."""
    sender, receiver = (hub.node(account, NETWORK) for account in ACCOUNTS[:2])
    heard: list[tuple[float, int]] = []

    def judge(forwarder: Account, payload: bytes) -> Verdict:
        heard.append((round(trio.current_time() - began, 6), int(payload[:8])))
        return Verdict.ACCEPT

    sender.join(Topic.BIDS, lambda *_: Verdict.ACCEPT)
    receiver.join(Topic.BIDS, judge)
    async with sender.run(), receiver.run():
        began = trio.current_time()
        for number in range(count):
            await sender.publish(Topic.BIDS, b"%08d" % number + bytes(size_bytes - 8))
            await trio.sleep(pause_s)
        await trio.sleep(30)
    return heard


def heard(hub: MemoryNetwork, count: int, **options: float) -> list[tuple[float, int]]:
    async def body() -> list[tuple[float, int]]:
        return await heard_by_one(hub, count, **options)

    return trio.run(body, clock=MockClock(autojump_threshold=0))


def test_a_link_without_jitter_keeps_the_order_and_one_that_holds_back_does_not() -> None:
    usual = heard(MemoryNetwork(1, LinkModel(Milliseconds(50))), 50, pause_s=0.001)
    assert [number for _, number in usual] == list(range(50))
    link = LinkModel(Milliseconds(50), reordering=0.3, held_ms=Milliseconds(500))
    held = heard(MemoryNetwork(1, link), 50, pause_s=0.001)
    numbers = [number for _, number in held]
    assert sorted(numbers) == list(range(50))
    assert numbers != sorted(numbers)
    late_s = [at - 0.05 - number / 1000 for at, number in held]
    assert 5 <= sum(one > 0.0005 for one in late_s) <= 25
    assert max(late_s) <= 0.5


def test_what_arrives_twice_is_judged_once_and_counted() -> None:
    async def body() -> None:
        hub = MemoryNetwork(1, LinkModel(Milliseconds(50), duplication=1.0))
        sender, receiver = (hub.node(account, NETWORK) for account in ACCOUNTS[:2])
        recorder = Recorder()
        sender.join(Topic.BIDS, Recorder())
        receiver.join(Topic.BIDS, recorder)
        async with sender.run(), receiver.run():
            for number in range(10):
                await sender.publish(Topic.BIDS, b"%d" % number)
            await trio.sleep(1)
            assert len(recorder.seen) == 10
            assert receiver.statistics().gossip_duplicates == 10

    trio.run(body, clock=MockClock(autojump_threshold=0))


def test_a_copy_on_another_way_arrives_where_the_first_is_lost_with_its_link() -> None:
    async def body() -> None:
        def link(sender: Account, receiver: Account) -> LinkModel:
            ends = {sender, receiver}
            is_direct = ends == {ACCOUNTS[0], ACCOUNTS[2]}
            return LinkModel(Milliseconds(100 if is_direct else 60))

        hub = MemoryNetwork(1, link)
        nodes = [hub.node(account, NETWORK) for account in ACCOUNTS[:3]]
        recorders = [Recorder() for _ in nodes]
        for node, recorder in zip(nodes, recorders, strict=True):
            node.join(Topic.BIDS, recorder)
        async with nodes[0].run(), nodes[1].run(), nodes[2].run():
            await nodes[0].publish(Topic.BIDS, b"both ways")
            await trio.sleep(0.08)  # the copy by way of the second node is under way behind it
            hub.cut(ACCOUNTS[0], ACCOUNTS[2])
            await recorders[2].wait_for(b"both ways")
        assert recorders[2].seen == [(ACCOUNTS[1], b"both ways")]

    trio.run(body, clock=MockClock(autojump_threshold=0))


def test_a_narrow_link_lets_so_many_bytes_through_in_a_second() -> None:
    narrow = heard(MemoryNetwork(1, LinkModel(bytes_per_s=1_000)), 10, size_bytes=500)
    assert [at for at, _ in narrow] == [0.5 * number + 0.02 for number in range(1, 11)]


def test_who_is_silenced_is_not_heard_and_hears() -> None:
    async def body() -> None:
        hub = MemoryNetwork(1)
        nodes = [hub.node(account, NETWORK) for account in ACCOUNTS[:2]]
        recorders = [Recorder() for _ in nodes]
        for node, recorder in zip(nodes, recorders, strict=True):
            node.join(Topic.BIDS, recorder)
        async with nodes[0].run(), nodes[1].run():
            hub.silence([(ACCOUNTS[0], ACCOUNTS[1])])
            await nodes[0].publish(Topic.BIDS, b"unheard")
            await nodes[1].publish(Topic.BIDS, b"heard")
            await recorders[0].wait_for(b"heard")
            await trio.sleep(5)
            assert nodes[0].peers() == (ACCOUNTS[1],), "they do not notice"
            hub.silence([])
            await nodes[0].publish(Topic.BIDS, b"heard again")
            await recorders[1].wait_for(b"heard again")
        assert recorders[1].payloads == [b"heard again"]

    trio.run(body, clock=MockClock(autojump_threshold=0))


def test_a_stalled_node_takes_in_later_what_arrived_and_answers_late() -> None:
    async def body() -> None:
        hub = MemoryNetwork(1)
        sender, stalled = (hub.node(account, NETWORK) for account in ACCOUNTS[:2])
        heard_at: list[float] = []

        def judge(forwarder: Account, payload: bytes) -> Verdict:
            heard_at.append(round(trio.current_time() - began, 6))
            return Verdict.ACCEPT

        async def answer(peer: Account, body: bytes) -> bytes:
            return body

        sender.join(Topic.BIDS, Recorder())
        stalled.join(Topic.BIDS, judge)
        stalled.serve("echo", answer)
        async with sender.run(), stalled.run():
            began = trio.current_time()
            hub.stall(stalled.account, 2.0)
            hub.stall(stalled.account, 1.0)
            await sender.publish(Topic.BIDS, b"early")
            patience = {"size_max": 9, "timeout_ms": Milliseconds(9_000)}
            assert await sender.request(stalled.account, "echo", b"x", **patience) == b"x"
            assert round(trio.current_time() - began, 6) == 3.02
            assert heard_at == [3.0]
            await sender.publish(Topic.BIDS, b"usual")
            await trio.sleep(1)
        assert heard_at == [3.0, 3.04]

    trio.run(body, clock=MockClock(autojump_threshold=0))


def test_a_mesh_reaches_everybody_on_fewer_ways() -> None:
    def spread(degree: int | None) -> tuple[int, int]:
        async def body() -> tuple[int, int]:
            hub = MemoryNetwork(5, LinkModel(Milliseconds(50)), degree)
            accounts = [Account(bytes([number]) * 32) for number in range(40)]
            nodes = [hub.node(account, NETWORK) for account in accounts]
            recorders = [Recorder() for _ in nodes]
            async with AsyncExitStack() as stack:
                for node, recorder in zip(nodes, recorders, strict=True):
                    node.join(Topic.BIDS, recorder)
                    await stack.enter_async_context(node.run())
                await nodes[0].publish(Topic.BIDS, b"word")
                await trio.sleep(5)
                copies = sum(node.statistics().gossip_duplicates for node in nodes)
            return sum(bool(one.seen) for one in recorders), copies

        return trio.run(body, clock=MockClock(autojump_threshold=0))

    assert spread(None)[0] == 39
    reached, copies = spread(3)
    assert reached == 39
    assert copies < 40 * 2 * 3 < spread(None)[1]


def test_a_grain_makes_arrivals_coincide_and_never_early() -> None:
    link = LinkModel(Milliseconds(50), Milliseconds(40))
    fine = heard(MemoryNetwork(1, link), 40)
    coarse = heard(MemoryNetwork(1, link, grain_ms=Milliseconds(10)), 40)
    assert len({at for at, _ in fine}) > 30
    assert {round(at * 1000) % 10 for at, _ in coarse} == {0}
    exact = {number: at for at, number in fine}
    assert all(0 <= at - exact[number] < 0.01 + 1e-9 for at, number in coarse)
