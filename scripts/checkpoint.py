"""A recent final block that newcomers go by, and who orders the log around it.

A running node knows both. Of one that is stopped, its events tell: the last final block, each set
that was made (``SetChanged``), and those of the snapshot that it began with, if it did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from p2p.node import Node
from p2p.observing import SnapshotAdopted
from protocol.events import SetChanged
from protocol.ordering.validators import Validator, Validators
from protocol.params import EVIDENCE_EPOCHS, Genesis, NetworkParameters
from protocol.sets import genesis_validators
from protocol.types import Account, Epoch, Stake, VrfKey

SETS: Final = 3
"""Sets that a checkpoint names: of the epoch before that of the next block, of that, and of the one
after it.
"""

Members: TypeAlias = tuple[Validator, ...]
"""A set of validators, by account."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A final block of the log.

    :ivar height: its height, in ticks.
    :ivar block: hash of its header, 32 bytes.
    :ivar state: state digest after it, 32 bytes.
    :ivar time_ms: start of its slot, in milliseconds since the Unix epoch.
    :ivar sets: :data:`SETS` sets of validators by account, each with its stake and its key of lots.
    """

    height: int
    block: bytes
    state: bytes
    time_ms: int
    sets: tuple[Members, ...]


def answerable_ms(network: NetworkParameters) -> int:
    """For how long who signed something answers for it, in milliseconds.

    Evidence counts for :data:`EVIDENCE_EPOCHS` epochs of slots. Stake that was taken out is not
    paid before that, although it counts in sets for some epochs more: a genesis with a shorter exit
    delay is refused (``protocol.params``).
    """
    return EVIDENCE_EPOCHS * network.epoch_ticks * network.slot_ms


def trusted_sets(checkpoint: Checkpoint, network: NetworkParameters) -> dict[Epoch, Validators]:
    """The validators that a checkpoint names, by epoch."""
    first = checkpoint.height // network.epoch_ticks - 1
    sets = enumerate(checkpoint.sets, first)
    return {Epoch(epoch): Validators(members) for epoch, members in sets if epoch >= 0}


def slot_start_ms(network: NetworkParameters, slot: int) -> int:
    """When a slot begins, in milliseconds since the Unix epoch."""
    return network.genesis_time_ms + slot * network.slot_ms


def checkpoint_of(node: Node) -> Checkpoint | None:
    """The last final block of a node that runs; None before there is one."""
    link, machine, sets = node.replica.engine.anchor.link, node.machine, node.machine.sets
    if not link.height:
        return None
    near = sets.predecessors, sets.validators, sets.successors
    return Checkpoint(
        link.height,
        link.block,
        machine.digest,
        slot_start_ms(machine.genesis.network, link.slot),
        tuple(one.members for one in near),
    )


class Chronicle:
    """The last final block that a node's events tell of, and who ordered the log in which epoch."""

    def __init__(self, genesis: Genesis) -> None:
        self._network = genesis.network
        self._sets = {0: genesis_validators(genesis).members}
        self._last: dict[str, Any] | None = None

    def take(self, event: dict[str, Any]) -> None:
        """Take the next event."""
        match event["kind"]:
            case "Final" if "block" in event:
                self._last = event
            case SetChanged.__name__:
                self._sets[event["epoch"]] = _members(event["members"])
            case SnapshotAdopted.__name__:
                first = event["height"] // self._network.epoch_ticks - 1
                self._sets |= {at: _members(one) for at, one in enumerate(event["sets"], first)}

    def checkpoint(self) -> Checkpoint | None:
        """The last final block; None when there is none."""
        if self._last is None:
            return None
        height, block = self._last["tick"], bytes.fromhex(self._last["block"])
        first = height // self._network.epoch_ticks - 1
        return Checkpoint(
            height,
            block,
            bytes.fromhex(self._last["digest"]),
            slot_start_ms(self._network, self._last["slot"]),
            tuple(self._members_in(first + number) for number in range(SETS)),
        )

    def _members_in(self, epoch: int) -> Members:
        return self._sets[max(at for at in self._sets if at <= max(0, epoch))]


def _members(rows: list[dict[str, Any]]) -> Members:
    """Members of a set as events tell them."""
    return tuple(
        Validator(
            Account(bytes.fromhex(row["account"])),
            Stake(row["stake"]),
            VrfKey(bytes.fromhex(row["vrf_key"])),
        )
        for row in rows
    )
