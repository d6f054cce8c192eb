"""What waits for a peer: in order, whole, and within its bounds."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, strategies as st
from libp2p.pubsub.pb import rpc_pb2
from trio.testing import MockClock, wait_all_tasks_blocked

from p2p import limits
from p2p.outbox import Outbox, encoded
from tests.attacks.hostile import framed


def rpc_of(payload: bytes) -> rpc_pb2.RPC:
    return rpc_pb2.RPC(publish=[rpc_pb2.Message(data=payload)])


async def all_of(outbox: Outbox) -> list[bytes]:
    outbox.close()
    batches = []
    while (batch := await outbox.take()) is not None:
        batches.append(batch)
    return batches


@given(st.binary(max_size=400))
def test_a_frame_is_what_any_implementation_sends(payload: bytes) -> None:
    rpc = rpc_of(payload)
    assert encoded(rpc) == framed(rpc.SerializeToString())


@given(st.lists(st.tuples(st.binary(max_size=9_000), st.booleans()), max_size=30))
def test_frames_leave_whole_in_order_control_first(entries: list[tuple[bytes, bool]]) -> None:
    async def body() -> None:
        outbox = Outbox()
        for payload, urgent in entries:
            assert outbox.push(rpc_of(payload), urgent)
        batches = await all_of(outbox)
        ordered = sorted(entries, key=lambda entry: not entry[1])
        assert b"".join(batches) == b"".join(encoded(rpc_of(payload)) for payload, _ in ordered)
        longest = max([len(encoded(rpc_of(payload))) for payload, _ in entries], default=0)
        for batch in batches[:-1]:
            assert limits.QUEUE_BATCH_BYTES <= len(batch) < limits.QUEUE_BATCH_BYTES + longest

    trio.run(body)


def test_bytes_and_frames_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "QUEUE_BYTES_MAX", 1_000)
    monkeypatch.setattr(limits, "QUEUE_MESSAGES_MAX", 20)

    async def body() -> None:
        for size, count in ((100, 10), (1, 20)):
            outbox = Outbox()
            for _ in range(3):
                assert [outbox.push_frame(bytes(size)) for _ in range(count)] == [True] * count
                assert not outbox.push_frame(bytes(size))
                assert await outbox.take() == bytes(size * count)

    trio.run(body)


def test_taking_waits_for_a_frame_and_ends_when_closed() -> None:
    async def body() -> None:
        outbox = Outbox()
        taken: list[bytes | None] = []

        async def take_all() -> None:
            while not taken or taken[-1] is not None:
                taken.append(await outbox.take())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_all)
            await wait_all_tasks_blocked()
            assert outbox.push_frame(b"late")
            await wait_all_tasks_blocked()
            outbox.close()
            assert not outbox.push_frame(b"too late")
        assert taken == [b"late", None]

    trio.run(body, clock=MockClock(autojump_threshold=0))
