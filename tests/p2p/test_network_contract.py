"""What every implementation of ``protocol.ports.Network`` promises, held against both."""

from __future__ import annotations

import logging

import pytest
import trio

from p2p import limits
from protocol.ports import RequestFailed, Topic, Verdict
from protocol.types import Account, Milliseconds
from tests.p2p.worlds import (
    OTHER_NETWORK,
    LibP2PWorld,
    MemoryWorld,
    Recorder,
    Watch,
    World,
    account_of_name,
    join_all,
)

SECOND = Milliseconds(1_000)
LONG = Milliseconds(10_000)


@pytest.fixture(params=[MemoryWorld, LibP2PWorld], ids=["memory", "libp2p"])
def world(request: pytest.FixtureRequest) -> World:
    return request.param()


async def echo(peer: Account, body: bytes) -> bytes | None:
    return body or None


def test_gossip_reaches_every_peer_that_joined_and_no_other(world: World) -> None:
    async def body() -> None:
        nodes = [world.node(name) for name in "abcd"]
        recorders = join_all(nodes[:3])
        elsewhere = Recorder()
        nodes[3].join(Topic.INTENTS, elsewhere)
        for node in nodes[:3]:
            node.join(Topic.INTENTS, lambda peer, payload: Verdict.ACCEPT)
        async with world.running(nodes):
            await nodes[0].publish(Topic.BIDS, b"bid")
            await nodes[0].publish(Topic.INTENTS, b"intent")
            await recorders[1].wait_for(b"bid")
            await recorders[2].wait_for(b"bid")
            await elsewhere.wait_for(b"intent")
        assert elsewhere.payloads == [b"intent"]
        assert recorders[0].payloads == []
        assert [recorder.payloads for recorder in recorders[1:]] == [[b"bid"]] * 2

    world.run(body)


def test_many_messages_all_arrive_once(world: World) -> None:
    async def body() -> None:
        nodes = [world.node(name) for name in "abcde"]
        recorders = join_all(nodes)
        payloads = [b"%d" % number for number in range(100)]
        async with world.running(nodes):
            for number, payload in enumerate(payloads):
                await nodes[number % 2].publish(Topic.BIDS, payload)
            for recorder in recorders[2:]:
                await recorder.wait_for(*payloads)
        for recorder in recorders[2:]:
            assert sorted(recorder.payloads) == sorted(payloads)

    world.run(body)


@pytest.mark.parametrize("stopped", [Verdict.IGNORE, Verdict.REJECT])
def test_only_accepted_messages_are_forwarded(world: World, stopped: Verdict) -> None:
    async def body() -> None:
        nodes = [world.node(name) for name in "abc"]
        middle = Recorder(lambda payload: stopped if payload == b"stop" else Verdict.ACCEPT)
        end = Recorder()
        nodes[0].join(Topic.BIDS, Recorder())
        nodes[1].join(Topic.BIDS, middle)
        nodes[2].join(Topic.BIDS, end)
        async with world.running(nodes, links="0-1-2"):
            await nodes[0].publish(Topic.BIDS, b"stop")
            await middle.wait_for(b"stop")
            await nodes[0].publish(Topic.BIDS, b"go on")
            await end.wait_for(b"go on")
            points = nodes[1].statistics().penalties
        assert end.seen == [(nodes[1].account, b"go on")]
        assert middle.seen[0] == (nodes[0].account, b"stop")
        assert points == (1 if stopped is Verdict.REJECT else 0)

    world.run(body)


def test_a_payload_over_the_limit_is_our_callers_mistake(world: World) -> None:
    async def body() -> None:
        nodes = [world.node(name) for name in "ab"]
        recorders = join_all(nodes)
        largest = bytes(limits.GOSSIP_BYTES_MAX)
        async with world.running(nodes):
            with pytest.raises(ValueError, match="more than gossip carries"):
                await nodes[0].publish(Topic.BIDS, largest + b"x")
            await nodes[0].publish(Topic.BIDS, largest)
            await recorders[1].wait_for(largest)

    world.run(body)


def test_a_judge_that_raises_harms_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def faulty(payload: bytes) -> Verdict:
        if payload == b"trap":
            raise LookupError("our bug")
        return Verdict.ACCEPT

    async def body() -> None:
        nodes = [world.node(name) for name in "ab"]
        judge = Recorder(faulty)
        nodes[0].join(Topic.BIDS, Recorder())
        nodes[1].join(Topic.BIDS, judge)
        async with world.running(nodes):
            for payload in (b"trap", b"after"):
                await nodes[0].publish(Topic.BIDS, payload)
                await judge.wait_for(payload)
            counted = nodes[1].statistics()
            assert nodes[1].peers() == (nodes[0].account,)
        assert (counted.judge_failures, counted.penalties) == (1, 0)
        assert counted.gossip_ignored == 1

    with caplog.at_level(logging.ERROR, logger="provnet.p2p"):
        world.run(body)
    assert "our bug" in caplog.text


def test_a_request_is_answered_or_fails_with_a_word(world: World) -> None:
    async def slow(peer: Account, body: bytes) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async def faulty(peer: Account, body: bytes) -> bytes:
        raise LookupError("our bug")

    async def failing(asker: object, peer: Account, name: str, body: bytes, ms: int) -> str:
        with pytest.raises(RequestFailed) as failure:
            await asker.request(peer, name, body, size_max=1000, timeout_ms=Milliseconds(ms))
        return str(failure.value)

    async def body() -> None:
        nodes = [world.node(name) for name in "ab"]
        for name, answer in (("echo", echo), ("slow", slow), ("faulty", faulty)):
            nodes[1].serve(name, answer)
        async with world.running(nodes):
            asker, peer = nodes[0], nodes[1].account
            asked = await asker.request(peer, "echo", b"x", size_max=1, timeout_ms=LONG)
            assert asked == b"x"
            assert await failing(asker, peer, "echo", b"", LONG) == "not-found"
            assert await failing(asker, peer, "echo", bytes(1001), LONG) == "too-large"
            over = bytes(limits.REQUEST_BYTES_MAX + 1)
            assert await failing(asker, peer, "echo", over, LONG) == "too-large"
            assert await failing(asker, peer, "slow", b"x", 300) == "timeout"
            assert await failing(asker, peer, "faulty", b"x", LONG) == "failed"
            assert await failing(asker, peer, "other", b"x", LONG) == "unknown-name"
            stranger = account_of_name("stranger")
            assert await failing(asker, stranger, "echo", b"x", LONG) == "unreachable"
            again = await asker.request(peer, "echo", b"x", size_max=1, timeout_ms=LONG)
            assert again == b"x"
            assert asker.statistics().requests_failed == 7

    world.run(body)


def test_requests_run_at_the_same_time(world: World) -> None:
    async def body() -> None:
        together, everybody_here = 8, trio.Event()
        waiting = 0

        async def meet(peer: Account, body: bytes) -> bytes:
            nonlocal waiting
            waiting += 1
            if waiting == together:
                everybody_here.set()
            await everybody_here.wait()
            return body

        nodes = [world.node(name) for name in "ab"]
        nodes[1].serve("meet", meet)
        answers: list[bytes] = []

        async def ask(number: int) -> None:
            answers.append(
                await nodes[0].request(
                    nodes[1].account, "meet", b"%d" % number, size_max=9, timeout_ms=LONG
                )
            )

        async with world.running(nodes):
            async with trio.open_nursery() as nursery:
                for number in range(together):
                    nursery.start_soon(ask, number)
        assert sorted(answers) == [b"%d" % number for number in range(together)]

    world.run(body)


def test_a_large_answer_arrives_whole(world: World) -> None:
    async def body() -> None:
        proof = bytes(range(256)) * 8192

        async def give(peer: Account, body: bytes) -> bytes:
            return proof

        nodes = [world.node(name) for name in "ab"]
        nodes[1].serve("proof", give)
        async with world.running(nodes):
            answer = await nodes[0].request(
                nodes[1].account, "proof", b"", size_max=len(proof), timeout_ms=LONG
            )
        assert answer == proof

    world.run(body)


def test_peers_are_sorted(world: World) -> None:
    async def body() -> None:
        nodes = [world.node(name) for name in "abcd"]
        async with world.running(nodes):
            for node in nodes:
                others = [other.account for other in nodes if other is not node]
                assert node.peers() == tuple(sorted(others))

    world.run(body)


def test_faults_add_up_to_a_ban(world: World) -> None:
    async def body() -> None:
        watch = Watch()
        nodes = [world.node("a", observer=watch), world.node("b")]
        nodes[0].serve("echo", echo)
        nodes[1].serve("echo", echo)
        async with world.running(nodes):
            faults = 0
            while not nodes[0].statistics().bans:
                nodes[0].penalise(nodes[1].account, "a fault")
                faults += 1
            await watch.wait_for("disconnected")
            assert nodes[0].peers() == ()
            for asker, asked in (nodes, reversed(nodes)):
                with pytest.raises(RequestFailed):
                    await asker.request(asked.account, "echo", b"x", size_max=1, timeout_ms=SECOND)
        assert faults == pytest.approx(limits.BAN_POINTS / limits.PENALTY_POINTS, abs=1)

    world.run(body)


def test_networks_never_mix(world: World) -> None:
    async def body() -> None:
        nodes = [world.node("a"), world.node("b", OTHER_NETWORK), world.node("c")]
        recorders = join_all(nodes)
        nodes[1].serve("echo", echo)
        async with world.running(nodes):
            with pytest.raises(RequestFailed, match="unknown-name"):
                await nodes[0].request(nodes[1].account, "echo", b"x", size_max=1, timeout_ms=LONG)
            await nodes[0].publish(Topic.BIDS, b"ours")
            await recorders[2].wait_for(b"ours")
        assert recorders[1].payloads == []

    world.run(body)


def test_a_restarted_node_is_heard_again(world: World) -> None:
    async def body() -> None:
        keeping, leaving = world.node("a"), world.node("b")
        recorder, _ = join_all([keeping, leaving])
        async with world.running([keeping]):
            async with world.running([leaving]):
                await join_them(keeping, leaving)
                for number in range(5):
                    await leaving.publish(Topic.BIDS, b"before %d" % number)
                await recorder.wait_for(*(b"before %d" % number for number in range(5)))
            returning = world.node("b")
            (returned,) = join_all([returning])
            async with world.running([returning]):
                await join_them(keeping, returning)
                await returning.publish(Topic.BIDS, b"after")
                await recorder.wait_for(b"after")
                await keeping.publish(Topic.BIDS, b"welcome")
                await returned.wait_for(b"welcome")

    async def join_them(one: object, other: object) -> None:
        if isinstance(world, LibP2PWorld):
            other.add_address(one.addresses()[0])
        await one.wait_for_peers(1)
        await other.wait_for_peers(1)

    world.run(body)


def test_a_topic_and_a_name_are_taken_once_and_before_the_node_runs(world: World) -> None:
    async def body() -> None:
        node = world.node("a")
        node.join(Topic.BIDS, Recorder())
        node.serve("echo", echo)
        with pytest.raises(ValueError, match="joined already"):
            node.join(Topic.BIDS, Recorder())
        with pytest.raises(ValueError, match="served already"):
            node.serve("echo", echo)
        with pytest.raises(ValueError, match="not a request name"):
            node.serve("Echo/1", echo)
        async with world.running([node]):
            with pytest.raises(RuntimeError, match="runs already"):
                node.join(Topic.INTENTS, Recorder())
            with pytest.raises(RuntimeError, match="runs already"):
                node.serve("late", echo)

    world.run(body)
