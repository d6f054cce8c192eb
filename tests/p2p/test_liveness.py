"""Pings without a network: who is taken for dead, and who is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from p2p import limits
from p2p.failures import Failure
from p2p.liveness import Liveness
from protocol.types import Account, Milliseconds

ONE, OTHER = Account(bytes([1]) * 32), Account(bytes([2]) * 32)
Answers = Callable[[int], Failure | None]


class Peers:
    """Two peers; the first answers its n-th ping as it is told, the other always."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.pings: list[float] = []
        self.closed: list[tuple[float, Account]] = []

    def __call__(self) -> tuple[Account, ...]:
        gone = {account for _, account in self.closed}
        return tuple(one for one in (ONE, OTHER) if one not in gone)

    async def ask(
        self, peer: Account, name: str, body: bytes, *, size_max: int, timeout_ms: Milliseconds
    ) -> bytes:
        assert (name, body, size_max) == ("ping", b"", 0)
        if peer == OTHER:
            return b""
        self.pings.append(trio.current_time())
        failure = self.answers(len(self.pings))
        if failure is Failure.TIMEOUT:
            await trio.sleep(timeout_ms / 1000)
        if failure is not None:
            raise failure.error()
        return b""

    async def close(self, account: Account) -> None:
        self.closed.append((trio.current_time(), account))


def after(seconds: float, answers: Answers) -> tuple[Peers, Liveness]:
    peers = Peers(answers)
    liveness = Liveness(peers, peers.ask, peers.close)

    async def body() -> None:
        with trio.move_on_after(seconds):
            await liveness.run()

    trio.run(body, clock=MockClock(autojump_threshold=0))
    return peers, liveness


@pytest.mark.parametrize("silence", [Failure.TIMEOUT, Failure.BROKEN, Failure.UNREACHABLE])
def test_a_silent_peer_is_closed_in_bounded_time(silence: Failure) -> None:
    peers, liveness = after(600, lambda number: silence)
    assert len(peers.pings) == limits.PING_MISSES_MAX
    (closed,) = peers.closed
    assert closed[1] == ONE
    assert closed[0] <= limits.PING_MISSES_MAX * (limits.PING_S + limits.PING_TIMEOUT_S)
    assert liveness.accounts() == []


@pytest.mark.parametrize(
    "answer",
    [None, Failure.UNKNOWN_NAME, Failure.BUSY, Failure.FAILED, Failure.NOT_FOUND],
)
def test_a_peer_that_answers_anything_stays(answer: Failure | None) -> None:
    peers, liveness = after(600, lambda number: answer)
    assert peers.closed == []
    assert liveness.accounts() == []
    assert len(peers.pings) >= 600 / limits.PING_S - 1


def test_an_answer_between_misses_saves_a_peer() -> None:
    def every_third(number: int) -> Failure | None:
        return None if number % limits.PING_MISSES_MAX == 0 else Failure.TIMEOUT

    peers, _ = after(1_200, every_third)
    assert peers.closed == []
    assert len(peers.pings) > 3 * limits.PING_MISSES_MAX


def test_what_is_known_of_a_peer_that_left_is_dropped() -> None:
    _, liveness = after(limits.PING_S + 1, lambda number: Failure.BROKEN)
    assert liveness.accounts() == [ONE]
    liveness.forget(ONE)
    assert liveness.accounts() == []
