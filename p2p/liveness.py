"""Which peers are still there: pings with a bound, and an end for those that miss too many.

**The problem.** A peer whose machine sleeps, froze or lost its cable keeps its connection open for
hours as far as TCP is concerned. It fills a place, a mesh hopes for it, and every request to it
costs a timeout. The library's muxer pings too, but ignores a missing answer.

**Rules.** Every ``limits.PING_S`` each peer gets a request of our own. Whatever it answers, it is
there: also that it knows no such request, as one of another network does. Silence for
``limits.PING_TIMEOUT_S``, or a stream that breaks, is a miss; ``limits.PING_MISSES_MAX`` of them
one after another end the connection. The keeper may dial the peer again at once.

**Properties.** What is remembered of a peer goes with it. A peer that answers and does nothing else
is not found here: that costs it nothing, and us a place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import trio

from p2p import limits
from p2p.failures import Failure
from protocol.ports import RequestFailed
from protocol.types import Account, Milliseconds

PING_REQUEST: Final = "ping"
"""Name of the request: nothing asks, nothing answers."""

_SILENCES: Final = frozenset(
    one.value for one in (Failure.TIMEOUT, Failure.BROKEN, Failure.UNREACHABLE)
)


class Ask(Protocol):
    """As ``protocol.ports.Network.request``."""

    async def __call__(
        self, peer: Account, name: str, body: bytes, *, size_max: int, timeout_ms: Milliseconds
    ) -> bytes:
        """The answer, or RequestFailed."""


async def answer_ping(_peer: Account, _body: bytes) -> bytes:
    """We are here."""
    return b""


class Liveness:
    """Pings peers, and closes those that stay silent.

    :param peers: who is connected now.
    :param close: ends the connections to a peer.
    """

    def __init__(
        self,
        peers: Callable[[], tuple[Account, ...]],
        ask: Ask,
        close: Callable[[Account], Awaitable[None]],
    ) -> None:
        self._peers = peers
        self._ask = ask
        self._close = close
        self._misses: dict[Account, int] = {}

    def accounts(self) -> list[Account]:
        """Peers that missed their last ping."""
        return list(self._misses)

    def forget(self, account: Account) -> None:
        """Drop the misses of a peer that is gone."""
        self._misses.pop(account, None)

    async def run(self) -> None:
        """Ping all peers again and again, for ever."""
        while True:
            await trio.sleep(limits.PING_S)
            async with trio.open_nursery() as nursery:
                for account in self._peers():
                    nursery.start_soon(self._ping, account)

    async def _ping(self, account: Account) -> None:
        if await self._is_there(account):
            self.forget(account)
            return
        misses = self._misses.get(account, 0) + 1
        if misses < limits.PING_MISSES_MAX:
            self._misses[account] = misses
            return
        self.forget(account)
        await self._close(account)

    async def _is_there(self, account: Account) -> bool:
        timeout_ms = Milliseconds(int(1000 * limits.PING_TIMEOUT_S))
        try:
            await self._ask(account, PING_REQUEST, b"", size_max=0, timeout_ms=timeout_ms)
        except RequestFailed as failure:
            return str(failure) not in _SILENCES
        return True
