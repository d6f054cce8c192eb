"""The ``join`` command: from a bundle to a node that follows the head of the log.

When it stops it says how far it came and with which digest. The folder stays: the next start of the
same command, or ``provnet node`` on it, goes on from there. A new node begins with a snapshot of a
peer where the bundle's checkpoint names who proves one, and a peer has one: where the log is longer
than an epoch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.params import network_id
from scripts.bundle import check_age
from scripts.checkpoint import trusted_sets
from scripts.configuration import ConfigurationError
from scripts.joining.display import Display
from scripts.joining.fetch import get_bundle
from scripts.joining.folder import NODE, Wishes, default_folder, prepare
from scripts.joining.follower import Follower
from scripts.joining.staker import KINDS
from scripts.node import Companion, run_node


@dataclass(frozen=True, slots=True)
class Order:
    """What ``join`` was asked to do.

    :ivar source: path or address of the bundle.
    :ivar digest: how the bundle's digest must begin; may be empty.
    :ivar folder: of the node; None: the default one.
    :ivar blocks: stop once so many blocks are settled; 0: never.
    :ivar from_genesis: a new node applies the whole log; it begins with no snapshot.
    """

    source: str
    wishes: Wishes
    digest: str = ""
    folder: Path | None = None
    blocks: int = 0
    from_genesis: bool = False


def join_network(order: Order, display: Display) -> int:
    """Join and follow until told to stop.

    :returns: 0, or 1 when the node disagreed with the network or never saw a final block.
    :raises ConfigurationError: when the bundle, the folder or the network cannot be used.
    """
    if order.wishes.stake and order.wishes.role not in KINDS:
        raise ConfigurationError(
            f"{order.wishes.role.value}s have no stake", "join with --role, or without --stake"
        )
    bundle = get_bundle(order.source, order.digest)
    if order.wishes.fund and not bundle.faucet:
        raise ConfigurationError(
            "this bundle names no faucet to be funded by",
            "join without --fund, then: ./scripts/provnet fund --from URL",
        )
    check_age(bundle, time.time_ns() // 1_000_000)
    folder = order.folder or default_folder(bundle.genesis, order.wishes.name)
    is_known = prepare(bundle, folder, order.wishes)
    network = bundle.genesis.network.name
    display.say(f"network: {network} {network_id(bundle.genesis).hex()[:16]}")
    display.say(f"{'going on in' if is_known else 'new node in'} {folder}")
    display.say(f"asking {len(bundle.bootstrap)} addresses")
    found: list[Follower] = []

    def follow(stop: Callable[[], None]) -> Companion:
        found.append(Follower(bundle, order.wishes, order.blocks, display, stop))
        return found[0]

    trusted = None
    if bundle.checkpoint is not None and not order.from_genesis:
        trusted = trusted_sets(bundle.checkpoint, bundle.genesis.network)
    run_node(folder / NODE, stop_with_input=False, follow=follow, trusted=trusted)
    failure = found[0].failure
    if failure is not None:
        raise failure
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    height = report["final_height"]
    digest = report["digests"].get(str(height), "")
    display.say(f"stopped at tick {height} with state {digest[:16] or 'of the genesis'}")
    display.say(f"run it again as a service: ./scripts/provnet node {folder / NODE}")
    return 0 if height and report["halted"] is None else 1
