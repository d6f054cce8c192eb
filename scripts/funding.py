"""Asks a faucet for test money, and waits for it.

Rules. The faucet is a stranger whose address came with a bundle: what it answers is looked at
before it is used. The account's key signs for the network of the node's own genesis, whatever the
faucet says that it serves, and a height that the faucet names; a signature under a false height is
of no use for anything but money to the account that signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from protocol.errors import Refused
from protocol.messages import Pay
from protocol.ordering.validators import Identity
from protocol.params import network_id, parse_genesis
from protocol.types import BOUNDS, NetworkId, Tick
from scripts.bundle import check_faucet
from scripts.client import Client, NotAnswered, Shop, find_folder
from scripts.configuration import ConfigurationError, load_configuration
from scripts.joining.folder import KEYS, NODE
from scripts.keys import load_identity
from scripts.records import plain
from scripts.service.faucet import sign_ask
from scripts.staking import Order, tell_outcome

FAUCET_PATH: Final = "/v1/faucet"


@dataclass(frozen=True, slots=True)
class Grant:
    """A faucet has said that it pays.

    :ivar order: what to look for in the final log.
    :ivar state: of the faucet's node before it was asked.
    """

    order: Order
    state: dict[str, Any]

    @property
    def amount(self) -> int:
        """How much, in micro-units."""
        return int(self.order.body["amount"])


def ask(url: str, identity: Identity, network: NetworkId) -> Grant:
    """Ask a faucet for money for an account.

    :raises NotAnswered: when it does not answer, is of another network, or refuses.
    """
    client = Client(url)
    state = client.get("/v1/state")
    served, payer = _text(url, state, "network"), _text(url, state, "account")
    if served != network.hex():
        raise NotAnswered(
            f"the faucet at {url} is of the network {served[:16]}, not {network.hex()[:16]}",
            "get a fresh bundle, or name the faucet of your network with --from",
        )
    tick, _ = _number(url, state, "tick"), _number(url, state, "epoch_ticks")
    signed = sign_ask(identity.signing_seed, network, identity.account, Tick(tick))
    answer = client.post(FAUCET_PATH, plain(signed))
    if _text(url, answer, "payer") != payer:
        raise _strange(url)
    body = {"receiver": identity.account.hex(), "amount": _number(url, answer, "amount")}
    return Grant(Order(FAUCET_PATH, Pay.__name__, body), state)


def _text(url: str, answer: Any, name: str) -> str:
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, str):
        raise _strange(url)
    return value


def _number(url: str, answer: Any, name: str) -> int:
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, int) or not 0 <= value <= BOUNDS[Tick]:
        raise _strange(url)
    return value


def _strange(url: str) -> NotAnswered:
    return NotAnswered(
        f"what answers at {url} is no faucet of ours", "ask whoever runs the network for its faucet"
    )


def _network(genesis: Path) -> NetworkId:
    try:
        return network_id(parse_genesis(genesis.read_text()))
    except (OSError, Refused, UnicodeDecodeError) as failure:
        raise ConfigurationError(
            f"{genesis} cannot be used: {failure}",
            "take the genesis of the network again, from its join bundle or another node",
        ) from None


def fund(folder: Path | None, source: str, console: Console, *, wait: bool, as_json: bool) -> None:
    """Ask for the account of a node's folder, and say what came of it; the node need not run.

    :param folder: None: the one node of this user.
    :param source: address of the faucet; empty: what the folder's ``node.toml`` says.
    :param wait: until the money is there.
    :raises ConfigurationError: when there is no such folder or faucet, or it refuses.
    """
    folder = find_folder(KEYS) if folder is None else folder
    configuration = load_configuration(folder / NODE)
    url = source or configuration.faucet_url
    if not url:
        raise ConfigurationError(
            f"{folder / NODE} names no faucet, as the bundle did not",
            "name one with --from URL, as whoever runs the network tells it",
        )
    check_faucet(url)
    network = _network(folder / configuration.genesis)
    identity = load_identity(folder / configuration.keys)
    grant = ask(url, identity, network)
    shop = Shop(Client(url), console, as_json)
    if not as_json:
        console.print(
            f"the faucet gives {grant.amount:,} to {identity.account.hex()}", soft_wrap=True
        )
    if wait:
        tell_outcome(shop, grant.order, grant.state)
    elif as_json:
        console.print_json(data=dict(grant.order.body))
    else:
        console.print("it is there once the log orders it: --wait says when")
