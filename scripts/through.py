"""A network around a network."""

from __future__ import annotations

from protocol.ports import Answer, Judge, Network, Topic
from protocol.types import Account, Milliseconds


class ThroughNetwork:
    """A network that passes everything on to another one; wrappers change single methods."""

    def __init__(self, inner: Network) -> None:
        self.inner = inner

    @property
    def account(self) -> Account:
        """As in the port."""
        return self.inner.account

    def join(self, topic: Topic, judge: Judge) -> None:
        """As in the port."""
        self.inner.join(topic, judge)

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """As in the port."""
        await self.inner.publish(topic, payload)

    def serve(self, name: str, answer: Answer) -> None:
        """As in the port."""
        self.inner.serve(name, answer)

    async def request(
        self, peer: Account, name: str, body: bytes, *, size_max: int, timeout_ms: Milliseconds
    ) -> bytes:
        """As in the port."""
        return await self.inner.request(peer, name, body, size_max=size_max, timeout_ms=timeout_ms)

    def peers(self) -> tuple[Account, ...]:
        """As in the port."""
        return self.inner.peers()

    def penalise(self, peer: Account, reason: str) -> None:
        """As in the port."""
        self.inner.penalise(peer, reason)
