"""Hands out a fresh join bundle of the node: all that a stranger needs to join its network."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from p2p.host import LibP2PNetwork
from p2p.node import Node
from p2p.peers import Address
from scripts.bundle import bundle_of, dialable
from scripts.service.application import told
from scripts.service.values import Refusal, fault


class Handout:
    """Answers with a bundle.

    :param announced: addresses under which the node says that it is reached.
    """

    def __init__(self, node: Node, host: LibP2PNetwork, announced: tuple[str, ...]) -> None:
        self._node = node
        self._host = host
        self._announced = tuple(map(Address.parse, announced))

    async def endpoint(self, _request: Request) -> Response:
        """A bundle whose checkpoint is the last final block."""
        addresses = (*self._announced, *self._host.reachable())
        if not dialable(addresses):
            hint = "name an address as `announce` in node.toml, or wait for a peer"
            return told(503, fault(Refusal.NO_ADDRESS, hint))
        return Response(bundle_of(self._node, addresses), media_type="application/toml")
