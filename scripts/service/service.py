"""Puts the service of one node together."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from p2p.host import LibP2PNetwork
from p2p.limits import Size
from p2p.node import Node
from p2p.peers import Address, AddressBook
from protocol.ordering.validators import Identity
from protocol.ports import Clock
from protocol.types import NetworkId
from scripts.bundle import bundle_of, dialable
from scripts.configuration import ConfigurationError, NodeConfiguration
from scripts.node import Service
from scripts.service.answers import Source
from scripts.service.application import make_application, told
from scripts.service.desk import Desk
from scripts.service.faucet import GIFTS_FILE, Faucet
from scripts.service.live import Hub
from scripts.service.metrics import Metrics
from scripts.service.page import Page
from scripts.service.server import Server
from scripts.service.story import Story
from scripts.service.token import TOKEN_FILE, load_token
from scripts.service.values import Refusal, fault

URL_FILE: Final = "api-url"
"""Name of the file, in the node's folder, that holds where the service is found."""

log = logging.getLogger("provnet.service")


class Invitation:
    """The join bundle: this node's addresses first, then those of its peers.

    :param announced: addresses under which the node says that it is reached.
    :param faucet_url: where the network's faucet is; empty: nowhere.
    """

    def __init__(
        self,
        node: Node,
        host: LibP2PNetwork,
        book: AddressBook,
        announced: tuple[str, ...],
        faucet_url: str = "",
    ) -> None:
        self._faucet_url = faucet_url
        self._node = node
        self._host = host
        self._book = book
        self._announced = tuple(map(Address.parse, announced))

    async def endpoint(self, _request: Request) -> Response:
        """The answer to a request."""
        known = [one for peer in self._host.peers() for one in self._book.addresses(peer)]
        addresses = (*self._announced, *self._host.addresses(), *known)
        if not dialable(addresses):
            hint = "name an address as `announce` in node.toml, or wait for a peer"
            return told(503, fault(Refusal.NO_ADDRESS, hint))
        text = bundle_of(self._node, addresses, self._faucet_url)
        return Response(text, media_type="application/toml")


class HttpService(Service):
    """Answers over HTTP for one node.

    :raises ConfigurationError: when the node's token, or its faucet's memory, cannot be used.
    """

    def __init__(
        self,
        configuration: NodeConfiguration,
        folder: Path,
        identity: Identity,
        network: NetworkId,
        clock: Clock,
    ) -> None:
        assert configuration.api is not None, "a node without [api] has no service"
        self._configuration = configuration.api
        self._name = configuration.name
        self._announced = configuration.announce
        self._faucet_url = configuration.faucet_url
        self._folder = folder
        self._clock = clock
        self._token = load_token(folder / TOKEN_FILE)
        self._story = Story(clock)
        self._desk = Desk(identity, network)
        self._faucet = None
        if configuration.faucet is not None:
            self._faucet = Faucet(configuration.faucet, folder / GIFTS_FILE)
        self._hub = Hub()
        self._metrics = Metrics(folder, clock)
        self.observers = (self._story.observe, self._metrics.observe, self._hub.observe)
        self.agents = (self._desk,)

    def sizes(self) -> dict[str, Size]:
        """Entries of the story; the others keep little."""
        return self._story.sizes()

    @asynccontextmanager
    async def run(
        self, node: Node, host: LibP2PNetwork, book: AddressBook, tell: Callable[..., None]
    ) -> AsyncIterator[None]:
        """Serve until the block is left; meanwhile the address stands in the node's folder.

        :raises ConfigurationError: when the address cannot be listened on.
        """
        own = self._configuration
        source = Source(self._name, node, host, self._story, self._desk, self._clock, self._faucet)
        self._metrics.attach(source, self._hub)
        others = {
            "events": self._hub.endpoint,
            "metrics": self._metrics.endpoint,
            "page": Page().endpoint,
            "bundle": Invitation(node, host, book, self._announced, self._faucet_url).endpoint,
        }
        application = make_application(source, self._token, (own.host, *own.names), others)
        server = Server(application, own.host, own.port)
        try:
            await server.listen()
        except OSError as failure:
            raise ConfigurationError(
                f"the API cannot listen on {own.host}, port {own.port}: {failure.strerror}",
                "give [api] another host or port, or port 0 to let the system choose",
            ) from None
        async with server.run():
            (self._folder / URL_FILE).write_text(server.url + "\n")
            log.info("serving on %s", server.url)
            tell("serving", url=server.url)
            try:
                yield
            finally:
                (self._folder / URL_FILE).unlink(missing_ok=True)
