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
