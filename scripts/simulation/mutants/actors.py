"""Nodes that do what only a bug would let pass; their parts are put together differently."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from p2p.node import NodeParts
from protocol.codec import decode, encode
from protocol.messages import OPERATION_BYTES_MAX, SignedOperation
from protocol.ports import Network, Topic
from protocol.types import Nonce
from scripts.through import ThroughNetwork

LATER: Final = 2
"""A message is said again after so many others."""

_OPERATIONS: Final = (Topic.INTENTS, Topic.PROOFS, Topic.OPERATIONS, Topic.BLOCK_PROPOSALS)


def repeating(parts: NodeParts) -> NodeParts:
    """A node that says all of its operations again, some time later."""
    return replace(parts, network=_Repeating(parts.network))


class _Repeating(ThroughNetwork):
    def __init__(self, inner: Network) -> None:
        super().__init__(inner)
        self._said: list[tuple[Topic, bytes]] = []

    async def publish(self, topic: Topic, payload: bytes) -> None:
        await self.inner.publish(topic, payload)
        if topic in _OPERATIONS:
            self._said.append((topic, payload))
        if len(self._said) > LATER:
            await self.inner.publish(*self._said.pop(0))


def unsigned(parts: NodeParts) -> NodeParts:
    """A node that says each of its operations once more, with another nonce and the same
    signature.
    """
    return replace(parts, network=_Unsigned(parts.network))


class _Unsigned(ThroughNetwork):
    async def publish(self, topic: Topic, payload: bytes) -> None:
        await self.inner.publish(topic, payload)
        if topic not in _OPERATIONS:
            return
        signed: SignedOperation = decode(SignedOperation, payload, size_max=OPERATION_BYTES_MAX)
        other = replace(signed.operation, nonce=Nonce(signed.operation.nonce + 1))
        await self.inner.publish(topic, encode(replace(signed, operation=other)))
