"""Who takes part in a testnet, and under which parameters.

Default: 4 validators that order the log, two of which also sequence, and provers without log stake,
so that the number of provers never changes the quorum. One validator also sends test transfers.

Windows follow from what proving costs on this machine: all nodes share its cores, so the leaves of
two open jobs may have to wait for each other, and for whatever else the machine is busy with when
the testnet starts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Final

from protocol import tree, vrf
from protocol.ordering.validators import Identity
from protocol.params import (
    BACKENDS,
    MODELLED,
    Genesis,
    GenesisAccount,
    NetworkParameters,
    RollupAccount,
    RuleChoice,
    Setting,
)
from protocol.proving.elected import Elected
from protocol.sequencing.fernet import Fernet
from protocol.signing import digest, public_key
from protocol.types import Amount, BasisPoints, Count, Milliseconds, Stake, Tick
from scripts.configuration import (
    NodeConfiguration,
    ProverConfiguration,
    SequencerConfiguration,
    TrafficConfiguration,
    derive_identity,
)
from scripts.node import traffic_keys

PROOF_CORE_MS: Final = 6_500
"""Time of a leaf or a merge on one core of a modest server, in milliseconds."""

SLOT_MS_MIN: Final = 1_000
"""Shortest default slot."""

SLOT_MS_PER_NODE: Final = 200
"""The default slot grows with the nodes on the machine."""

OPEN_JOBS: Final = 2
"""Jobs that may be open at a time: Fernet's ``max_unproven_jobs``."""

WINDOW_SLACK_TICKS: Final = 6
"""Ticks for gossip, checks and ordering in every window."""

BALANCE: Final = Amount(10_000_000)
"""First balance of every node."""

UNIT: Final = Stake(1_000_000)
"""One unit of each kind of stake."""

ROLLUP_BALANCE: Final = Amount(1_000_000_000)
"""First balance of every test account inside the rollup."""

TRANSFERS_PER_LEAF: Final = 4
"""A sequencer waits for so many transfers for each leaf; meanwhile provers enlist."""

TRAFFIC_ACCOUNTS: Final = 16
"""Test accounts that transfers are sent from."""

SEQUENCERS: Final = 2
"""Validators that also sequence."""

START_MS: Final = 4_000
"""Time from launch to the first slot, beside that for each node."""

START_MS_PER_NODE: Final = 900
"""Time that one more node takes to start on this machine, at the most."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person at the terminal asked for.

    :ivar slot_ms: 0 lets the plan decide.
    """

    validators: int = 4
    provers: int = 4
    leaves: int = 4
    blocks: int = 3
    slot_ms: int = 0
    backend: str = "plonky2"
    seed: str = "provnet"


@dataclass(frozen=True, slots=True)
class Member:
    """One node to be started."""

    name: str
    secret: bytes
    identity: Identity
    log_stake: Stake
    prover_stake: Stake
    sequencer_stake: Stake
    configuration: NodeConfiguration


@dataclass(frozen=True, slots=True)
class Plan:
    """A testnet before it starts; the genesis time is still to be set."""

    wish: Wish
    members: tuple[Member, ...]
    genesis: Genesis

    def starting_at(self, time_ms: int) -> Plan:
        """The same plan with a genesis time."""
        network = replace(self.genesis.network, genesis_time_ms=Milliseconds(time_ms))
        return replace(self, genesis=replace(self.genesis, network=network))

    @property
    def start_ms(self) -> int:
        """Time that all nodes need to be up."""
        return START_MS + START_MS_PER_NODE * len(self.members)

    @property
    def names(self) -> dict[str, str]:
        """Name of each member by its account in hexadecimal digits."""
        return {one.identity.account.hex(): one.name for one in self.members}


def make_plan(wish: Wish) -> Plan:
    """Members and genesis for a wish."""
    validators = [_member(wish, f"validator-{at + 1}", at) for at in range(wish.validators)]
    provers = [_member(wish, f"prover-{at + 1}", None) for at in range(wish.provers)]
    members = (*validators, *provers)
    return Plan(wish, members, _genesis(wish, members))


def _member(wish: Wish, name: str, validator: int | None) -> Member:
    secret = digest(b"provnet/testnet-secret/1", wish.seed.encode(), name.encode())
    configuration = NodeConfiguration(name=name, genesis="../../genesis.toml")
    is_sequencer = validator is not None and validator < SEQUENCERS
    if is_sequencer:
        sequencer = SequencerConfiguration(
            leaf_count=wish.leaves,
            transfers_min=TRANSFERS_PER_LEAF * wish.leaves,
            blocks_max=wish.blocks,
        )
        configuration = replace(configuration, sequencer=sequencer)
    if validator == wish.validators - 1:
        traffic = TrafficConfiguration(accounts=TRAFFIC_ACCOUNTS, seed=wish.seed)
        configuration = replace(configuration, traffic=traffic)
    if validator is None:
        prover = ProverConfiguration(cores=os.cpu_count() or 1, sharers=wish.provers)
        configuration = replace(configuration, prover=prover)
    return Member(
        name=name,
        secret=secret,
        identity=derive_identity(secret),
        log_stake=UNIT if validator is not None else Stake(0),
        prover_stake=UNIT if validator is None else Stake(0),
        sequencer_stake=UNIT if is_sequencer else Stake(0),
        configuration=configuration,
    )


def _genesis(wish: Wish, members: tuple[Member, ...]) -> Genesis:
    slot_ms = wish.slot_ms or max(SLOT_MS_MIN, SLOT_MS_PER_NODE * len(members))
    network = NetworkParameters(
        name="testnet",
        backend=wish.backend,
        genesis_time_ms=Milliseconds(0),
        slot_ms=Milliseconds(slot_ms),
        epoch_ticks=Tick(128),
        operation_fee=Amount(100),
        equivocation_penalty=BasisPoints(10_000),
        max_operations_per_log_block=Count(64),
        max_bodies_per_log_block=Count(8),
    )
    return Genesis(
        network=network,
        sequencing=RuleChoice(Fernet.name, ()),
        proving=RuleChoice(Elected.name, _windows(wish, slot_ms)),
        accounts=tuple(
            GenesisAccount(
                name=one.name,
                account=one.identity.account,
                vrf_key=vrf.public_key(one.identity.vrf_seed),
                balance=BALANCE,
                log_stake=one.log_stake,
                prover_stake=one.prover_stake,
                sequencer_stake=one.sequencer_stake,
            )
            for one in members
        ),
        rollup=tuple(
            RollupAccount(public_key(key), ROLLUP_BALANCE)
            for key in traffic_keys(wish.seed, TRAFFIC_ACCOUNTS)
        ),
    )


def _windows(wish: Wish, slot_ms: int) -> tuple[Setting, ...]:
    """Windows into which the widest layers of all jobs that may be open fit together."""
    is_modelled = wish.backend == MODELLED
    cores = max(1, wish.provers if is_modelled else min(os.cpu_count() or 1, wish.provers))
    busy = 100 if is_modelled else busy_percent()
    wall_ms = OPEN_JOBS * -(-wish.leaves // cores) * PROOF_CORE_MS * busy // 100
    ticks = WINDOW_SLACK_TICKS + -(-wall_ms // slot_ms)
    return tuple(Setting(name, str(ticks)) for name in ("leaf_window_ticks", "merge_window_ticks"))


def busy_percent() -> int:
    """How many times longer things take because the machine is busy already, in per cent."""
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return int(100 * max(1.0, min(8.0, waiting + 0.5)))


def is_possible(wish: Wish) -> str | None:
    """None, or a sentence that says why a wish cannot be granted."""
    if wish.validators < 1 or wish.provers < 0 or wish.blocks < 1:
        return "a testnet has at least one validator and makes at least one block"
    if not tree.is_leaf_count(wish.leaves) or wish.leaves > 64:
        return "the number of leaves is a power of two from 1 to 64"
    if wish.slot_ms and wish.slot_ms < 200:
        return "a slot has at least 200 milliseconds"
    if wish.backend not in BACKENDS:
        return f"the backend is one of {', '.join(BACKENDS)}"
    if wish.provers == 0:
        return "without a prover no block is ever proven"
    return None
