"""``network create``: the genesis and the keys of a network that is meant to be shared.

One folder is written: the genesis, a join bundle, and a folder for each founding node that can be
carried to its machine as it is, with a configuration, keys that nobody else has, and the genesis.

Rules. Keys are drawn from the system's randomness, never from a seed, and are readable by their
owner only. Nothing is overwritten. A node whose address is not of this machine's loopback listens
on all interfaces and announces the address.
"""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from p2p.peers import Address
from protocol.params import Genesis, GenesisAccount, format_genesis, network_id
from protocol.types import Account, Amount, Stake
from scripts.bundle import BOOTSTRAP_MAX, Bundle, check_faucet, format_bundle
from scripts.configuration import (
    ApiConfiguration,
    ConfigurationError,
    NodeConfiguration,
    save_configuration,
)
from scripts.joining.folder import BUNDLE, GENESIS, KEYS, NODE
from scripts.keys import derive_identity, save_identity
from scripts.launcher.plan import (
    BALANCE,
    Member,
    Plan,
    Wish,
    make_members,
    members_with_faucet,
    plan_for,
)

FAUCET_PORT: Final = 4_080
"""Where a faucet is asked, when nothing is said of it."""

HTTP_PORT: Final = 80
"""Port of an address that names none."""

EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 -- others shall reach it
"""Listens on all of a machine's addresses."""

STAKES: Final = ("log", "prover", "sequencer")
"""Kinds of stake, as a person names them."""


@dataclass(frozen=True, slots=True)
class Charter:
    """What the founder asked for.

    :ivar wish: numbers of nodes, backend, rules and settings.
    :ivar host: where all nodes are reached that ``places`` does not name.
    :ivar port: of the first such node; the others have the next ones.
    :ivar places: other places as ``NODE=HOST:PORT``.
    :ivar stakes: amounts of stake as ``NODE.KIND=AMOUNT``, in micro-units.
    :ivar balance: first balance of every node, in micro-units.
    :ivar start_s: seconds from now to the first slot.
    :ivar passphrase: locks all keys; empty: they are not locked.
    :ivar faucet_url: where strangers ask the faucet, if there is one; empty: at ``host``.
    """

    name: str
    wish: Wish
    host: str = "127.0.0.1"
    port: int = 4_001
    places: tuple[str, ...] = ()
    stakes: tuple[str, ...] = ()
    balance: int = BALANCE
    start_s: int = 60
    passphrase: str = ""
    faucet_url: str = ""


def create_network(charter: Charter, folder: Path) -> Genesis:
    """Write everything that the founders of a network need.

    :raises ConfigurationError: for a folder that holds something, and for a charter that cannot be
        granted.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(
            f"{folder} is not empty", "name a new folder: keys are never overwritten"
        )
    wish = replace(charter.wish, seed=secrets.token_hex(16))
    members = [_founder(charter, one) for one in make_members(wish)]
    members = _staked(members, charter.stakes)
    if wish.faucet:
        url = check_faucet(charter.faucet_url or f"http://{charter.host}:{FAUCET_PORT}/")
        members = list(members_with_faucet(tuple(members), url, api_at(url)))
    addresses = _addresses(charter, members)
    bootstrap = _bootstrap(members, addresses)
    now_ms = time.time_ns() // 1_000_000
    plan = plan_for(wish, tuple(members)).starting_at(now_ms + 1_000 * charter.start_s)
    named = replace(plan.genesis, network=replace(plan.genesis.network, name=charter.name))
    plan = replace(plan, genesis=named)
    folder.mkdir(parents=True, exist_ok=True)
    for one in members:
        _write(plan, folder / "nodes" / one.name, one, addresses)
        save_identity(folder / "nodes" / one.name / KEYS, one.secret, charter.passphrase)
    plan.copy_rules(folder)
    (folder / GENESIS).write_text(format_genesis(named))
    bundle = Bundle(named, tuple(map(str, bootstrap)), faucet=plan.faucet_url)
    (folder / BUNDLE).write_bytes(format_bundle(bundle))
    return named


def told(genesis: Genesis, folder: Path) -> list[str]:
    """What was written, for the person at the terminal."""
    start_s = genesis.network.genesis_time_ms // 1000
    start = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(start_s))
    return [
        f"network {genesis.network.name} {network_id(genesis).hex()[:16]}, first slot at {start}",
        *(f"  {_row(one)}" for one in genesis.accounts),
        f"carry {folder / 'nodes'}/NAME to each machine, and start it there:",
        "  ./scripts/provnet node NAME/node.toml",
        f"hand out {folder / BUNDLE}: others join with ./scripts/join {BUNDLE}",
    ]


def _row(one: GenesisAccount) -> str:
    stakes = [("log stake", one.log_stake), ("prover stake", one.prover_stake)]
    told = [f"{kind} {amount:,}" for kind, amount in stakes if amount]
    return f"{one.name}: " + ", ".join(told or [f"balance {one.balance:,}"])


def _founder(charter: Charter, member: Member) -> Member:
    """A member with keys of its own, that goes on for as long as the network does."""
    secret = secrets.token_bytes(32)
    api = ApiConfiguration()
    configuration = replace(member.configuration, genesis=GENESIS, api=api)
    if configuration.sequencer is not None:
        endless = replace(configuration.sequencer, blocks_max=0)
        configuration = replace(configuration, sequencer=endless)
    return replace(
        member,
        secret=secret,
        identity=derive_identity(secret),
        configuration=configuration,
        balance=member.balance if configuration.faucet else Amount(charter.balance),
    )


def _staked(members: Sequence[Member], texts: Sequence[str]) -> list[Member]:
    found = {one.name: one for one in members}
    for text in texts:
        place, _, amount = text.partition("=")
        name, _, kind = place.rpartition(".")
        if name not in found or kind not in STAKES or not amount.isdecimal():
            raise ConfigurationError(
                f"--stake {text}: not of the form NODE.KIND=AMOUNT",
                f"KIND is one of {', '.join(STAKES)}, NODE one of {', '.join(found)}",
            )
        stake = Stake(int(amount))
        match kind:
            case "log":
                found[name] = replace(found[name], log_stake=stake)
            case "prover":
                found[name] = replace(found[name], prover_stake=stake)
            case _:
                found[name] = replace(found[name], sequencer_stake=stake)
    return list(found.values())


# --- addresses ---


def _addresses(charter: Charter, members: Sequence[Member]) -> dict[str, Address]:
    """Where each node will be reached, by its name."""
    texts = {}
    for text in charter.places:
        name, equals, place = text.partition("=")
        if not equals or name not in {one.name for one in members}:
            raise ConfigurationError(
                f"--at {text}: not of the form NODE=HOST:PORT",
                f"NODE is one of {', '.join(one.name for one in members)}",
            )
        texts[name] = place
    found: dict[str, Address] = {}
    port = charter.port
    for one in members:
        if one.name not in texts:
            texts[one.name], port = f"{charter.host}:{port}", port + 1
        found[one.name] = address_of(texts[one.name], one.identity.account)
    if len({one.transport for one in found.values()}) < len(found):
        raise ConfigurationError(
            "two nodes would have the same address", "give each its own with --at NODE=HOST:PORT"
        )
    return found


def address_of(place: str, account: Account) -> Address:
    """The address of an account at ``HOST:PORT``.

    :raises ConfigurationError: when it is no place that others could dial.
    """
    host, _, port = place.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        kind = f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        kind = "dns"
    try:
        parsed = Address.parse(str(Address(kind, host, int(port), account)))
    except ValueError:
        parsed = None
    if parsed is None or (parsed.ip is not None and parsed.ip.is_unspecified):
        raise ConfigurationError(
            f"{place} is no address that others could dial", "write HOST:PORT, as 192.0.2.1:4001"
        )
    return parsed


def api_at(url: str) -> ApiConfiguration:
    """The API of a node that strangers ask under an address. With https somebody else of this
    machine answers there, and asks the node on loopback.

    :raises ConfigurationError: when it names no host or no port.
    """
    try:
        place = urlsplit(url)
        host, port = place.hostname or "", place.port or HTTP_PORT
    except ValueError:
        host, port = "", 0
    if not host or not port:
        raise ConfigurationError(
            f"the faucet's address {url} names no host, or no port", "write http://192.0.2.1:4080/"
        )
    if place.scheme == "https":
        return ApiConfiguration(port=FAUCET_PORT, names=(host,))
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ApiConfiguration(EVERYWHERE, port, (host,))
    if address.is_loopback:
        return ApiConfiguration(host, port)
    return ApiConfiguration("::" if address.version == 6 else EVERYWHERE, port)


def _bootstrap(members: Sequence[Member], addresses: Mapping[str, Address]) -> list[Address]:
    """Whom to ask first: those who order the log, then the others."""
    by_stake = sorted(members, key=lambda one: -one.log_stake)
    return [addresses[one.name] for one in by_stake][:BOOTSTRAP_MAX]


# --- writing ---


def _write(plan: Plan, folder: Path, member: Member, addresses: Mapping[str, Address]) -> None:
    """A node's folder, but for its keys."""
    folder.mkdir(parents=True)
    own = addresses[member.name]
    bootstrap = _bootstrap(plan.members, addresses)
    others = tuple(str(one) for one in bootstrap if one != own)
    configuration = _listening(replace(member.configuration, bootstrap=others), own)
    if configuration.prover is not None:
        provers = (one.name for one in plan.members if one.configuration.prover is not None)
        sharers = sum(addresses[name].host == own.host for name in provers)
        configuration = replace(
            configuration, prover=replace(configuration.prover, sharers=sharers)
        )
    save_configuration(folder / NODE, configuration)
    (folder / GENESIS).write_text(format_genesis(plan.genesis))
    plan.copy_rules(folder)


def _listening(configuration: NodeConfiguration, own: Address) -> NodeConfiguration:
    if own.ip is not None and own.ip.is_loopback:
        return replace(configuration, listen_host=own.host, listen_port=own.port)
    everywhere = "::" if own.kind == "ip6" else EVERYWHERE
    return replace(
        configuration, listen_host=everywhere, listen_port=own.port, announce=(str(own),)
    )
