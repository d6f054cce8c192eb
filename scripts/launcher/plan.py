"""Who takes part in a testnet, and under which parameters.

Default: 4 validators that order the log, two of which also sequence, and provers without log stake,
so that the number of provers never changes the quorum. One validator also sends test transfers.
Where a faucet is wished for, one more node has it, with an account of its own: whoever empties it,
or breaks in where strangers ask, has no vote.

Windows follow from what proving costs on this machine: all nodes share its cores, so the leaves of
two open jobs may have to wait for each other, and for whatever else the machine is busy with when
the testnet starts. They are set where the chosen rule declares such a parameter, and give way to
what the person at the terminal set.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Final

from protocol import tree, vrf
from protocol.errors import Refused
from protocol.messages import Award
from protocol.ordering.validators import Identity
from protocol.params import (
    BACKENDS,
    EXIT_EPOCHS_MIN,
    MODELLED,
    Genesis,
    GenesisAccount,
    NetworkParameters,
    RollupAccount,
    RuleChoice,
    Setting,
    format_genesis,
    parse_genesis,
)
from protocol.proving.elected import Elected
from protocol.sequencing.fernet import Fernet
from protocol.signing import digest, public_key
from protocol.types import Amount, BasisPoints, Count, Milliseconds, Stake, Tick
from scripts.configuration import (
    ApiConfiguration,
    ConfigurationError,
    FaucetConfiguration,
    NodeConfiguration,
    ProverConfiguration,
    SequencerConfiguration,
    TrafficConfiguration,
)
from scripts.keys import derive_identity
from scripts.node import traffic_keys
from scripts.rules import NETWORK, checked, choose, find_rule, network_kind, parse_sets, refuse_pair

PROOF_CORE_MS: Final = 6_500
"""Time of a leaf or a merge on one core of a modest server, in milliseconds."""

SLOT_MS_MIN: Final = 1_000
"""Shortest default slot."""

SLOT_MS_PER_NODE: Final = 200
"""The default slot grows with the nodes on the machine."""

MODELLED_SLOT_MS_MIN: Final = 300
"""Shortest default slot of a testnet whose proofs take no processor time."""

MODELLED_SLOT_MS_PER_NODE: Final = 50
"""A node of such a testnet needs 36 ms of processor time a slot: of two cores this leaves half."""

OPEN_JOBS: Final = 2
"""Jobs that may be open at a time: Fernet's ``max_unproven_jobs``."""

LEAF_COUNT_MAX: Final = "leaf_count_max"
"""A sequencing rule's bound on leaves: who promises to prove a block unseen counts on the most."""

AWARD_TICKS: Final = 14
"""Reveal window where a block is promised to a prover: to reveal, to bid, to listen and to award,
each with the lag of finality.
"""

EPOCH_TICKS: Final = 128
"""Length of an epoch."""

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

FAUCET: Final = "faucet"
"""Name of the node that has the faucet."""

FAUCET_BALANCE: Final = 1_000_000_000
"""First balance of a testnet's faucet: some hundred gifts."""

SEQUENCERS: Final = 2
"""Validators that also sequence."""

GENESIS: Final = "../../genesis.toml"
"""Where the genesis is, from the folder of a testnet's node."""

RULES: Final = "rules"
"""Folder beside the genesis that holds rules from files of one's own."""

START_MS: Final = 4_000
"""Time from launch to the first slot, beside that for each node."""

START_MS_PER_NODE: Final = 900
"""Time that one more node takes to start on this machine, at the most."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person at the terminal asked for.

    :ivar slot_ms: 0 lets the plan decide.
    :ivar sequencing: short name of a rule, or ``path.py:Class`` from the working directory.
    :ivar proving: the same of the other rule.
    :ivar sets: settings as ``PART.NAME=VALUE``.
    :ivar leaf_ms: declared time of a leaf; of the modelled backend only. None: the usual.
    :ivar merge_ms: the same of a merge.
    :ivar backup: names of sequencers that prove whole blocks of their own where anybody may.
    :ivar minutes: make blocks for so long, instead of ``blocks``; 0: until there are so many.
    :ivar faucet: first balance of one more node, which has a faucet; 0: there is none.
    """

    validators: int = 4
    provers: int = 4
    leaves: int = 4
    blocks: int = 3
    slot_ms: int = 0
    backend: str = "plonky2"
    seed: str = "provnet"
    sequencing: str = Fernet.name
    proving: str = Elected.name
    sets: tuple[str, ...] = ()
    leaf_ms: int | None = None
    merge_ms: int | None = None
    backup: tuple[str, ...] = ()
    minutes: float = 0
    faucet: int = 0

    @property
    def blocks_asked(self) -> int | None:
        """How many blocks there have to be; None: as many as there is time for."""
        return None if self.minutes else self.blocks


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
    balance: Amount = BALANCE


@dataclass(frozen=True, slots=True)
class Plan:
    """A testnet before it starts; the genesis time is still to be set.

    :ivar rule_files: files of rules that stand beside the genesis, in :data:`RULES`.
    """

    wish: Wish
    members: tuple[Member, ...]
    genesis: Genesis
    rule_files: tuple[Path, ...] = ()

    def starting_at(self, time_ms: int) -> Plan:
        """The same plan with a genesis time."""
        network = replace(self.genesis.network, genesis_time_ms=Milliseconds(time_ms))
        return replace(self, genesis=replace(self.genesis, network=network))

    @property
    def faucet_url(self) -> str:
        """Where the faucet is asked; empty: nowhere."""
        return self.members[0].configuration.faucet_url

    def with_faucet_at(self, url: str, api: ApiConfiguration) -> Plan:
        """The same plan with the faucet's place in every node's file.

        :param api: of the node that has it.
        """
        return replace(self, members=members_with_faucet(self.members, url, api))

    def copy_rules(self, run: Path) -> None:
        """Put the files of rules where the genesis names them."""
        for path in self.rule_files:
            (run / RULES).mkdir(exist_ok=True)
            shutil.copyfile(path, run / RULES / path.name)

    @property
    def start_ms(self) -> int:
        """Time that all nodes need to be up."""
        return START_MS + START_MS_PER_NODE * len(self.members)

    @property
    def names(self) -> dict[str, str]:
        """Name of each member by its account in hexadecimal digits."""
        return {one.identity.account.hex(): one.name for one in self.members}


def make_plan(wish: Wish) -> Plan:
    """Members and genesis for a wish, all on this machine.

    Nobody waits for processors where proofs are modelled: slots are shorter then, if none were
    asked for.

    :raises ConfigurationError: for a rule or a setting that is not there or does not fit.
    """
    if wish.backend == MODELLED and not wish.slot_ms:
        least = MODELLED_SLOT_MS_PER_NODE * (wish.validators + wish.provers)
        wish = replace(wish, slot_ms=max(MODELLED_SLOT_MS_MIN, least))
    return plan_for(wish, make_members(wish))


def make_members(wish: Wish) -> tuple[Member, ...]:
    """The members that a wish asks for, with keys that follow from its seed."""
    validators = [_member(wish, f"validator-{at + 1}", at) for at in range(wish.validators)]
    provers = [_member(wish, f"prover-{at + 1}", None) for at in range(wish.provers)]
    faucets = [_faucet(wish)] if wish.faucet else []
    return (*validators, *provers, *faucets)


def _faucet(wish: Wish) -> Member:
    secret = _secret(wish, FAUCET)
    configuration = NodeConfiguration(
        FAUCET, GENESIS, api=ApiConfiguration(), faucet=FaucetConfiguration()
    )
    return Member(
        name=FAUCET,
        secret=secret,
        identity=derive_identity(secret),
        log_stake=Stake(0),
        prover_stake=Stake(0),
        sequencer_stake=Stake(0),
        configuration=configuration,
        balance=Amount(wish.faucet),
    )


def members_with_faucet(
    members: tuple[Member, ...], url: str, api: ApiConfiguration
) -> tuple[Member, ...]:
    """Members whose files name the faucet, for their bundles.

    :param api: where the node that has it listens.
    """
    found = []
    for one in members:
        configuration = replace(one.configuration, faucet_url=url)
        if configuration.faucet is not None:
            configuration = replace(configuration, api=api)
        found.append(replace(one, configuration=configuration))
    return tuple(found)


def plan_for(wish: Wish, members: tuple[Member, ...]) -> Plan:
    """The genesis of members, under the rules of a wish.

    :raises ConfigurationError: for a rule or a setting that is not there or does not fit.
    """
    _check_backup(wish, members)
    genesis = _genesis(wish, members)
    try:
        parse_genesis(format_genesis(genesis))
    except Refused as refusal:
        raise ConfigurationError(str(refusal), "mend what is given with --set") from None
    return Plan(wish, members, genesis, _rule_files(wish))


def _check_backup(wish: Wish, members: tuple[Member, ...]) -> None:
    able = [one.name for one in members if one.configuration.sequencer is not None]
    strangers = [name for name in wish.backup if name not in able]
    if strangers:
        raise ConfigurationError(
            f"--backup {strangers[0]}: that is no sequencer of this testnet",
            f"name one of {', '.join(able)}",
        )


def _rule_files(wish: Wish) -> tuple[Path, ...]:
    paths = [Path(name.rpartition(":")[0]) for name in (wish.sequencing, wish.proving)]
    own = tuple(dict.fromkeys(path.resolve() for path in paths if path.name))
    if len({path.name for path in own}) < len(own):
        raise ConfigurationError(
            f"two files of rules are named {own[0].name}", "give one of them another name"
        )
    return own


def _member(wish: Wish, name: str, validator: int | None) -> Member:
    secret = _secret(wish, name)
    configuration = NodeConfiguration(name=name, genesis=GENESIS, api=ApiConfiguration())
    is_sequencer = validator is not None and validator < SEQUENCERS
    if is_sequencer:
        sequencer = SequencerConfiguration(
            leaf_count=wish.leaves,
            transfers_min=TRANSFERS_PER_LEAF * wish.leaves,
            blocks_max=wish.blocks_asked or 0,
        )
        configuration = replace(configuration, sequencer=sequencer)
    if validator == wish.validators - 1:
        traffic = TrafficConfiguration(accounts=TRAFFIC_ACCOUNTS, seed=wish.seed)
        configuration = replace(configuration, traffic=traffic)
    if validator is None or name in wish.backup:
        configuration = replace(configuration, prover=_prover(wish), backup=name in wish.backup)
    return Member(
        name=name,
        secret=secret,
        identity=derive_identity(secret),
        log_stake=UNIT if validator is not None else Stake(0),
        prover_stake=UNIT if validator is None else Stake(0),
        sequencer_stake=UNIT if is_sequencer else Stake(0),
        configuration=configuration,
    )


def _secret(wish: Wish, name: str) -> bytes:
    return digest(b"provnet/testnet-secret/1", wish.seed.encode(), name.encode())


def _prover(wish: Wish) -> ProverConfiguration:
    prover = ProverConfiguration(cores=os.cpu_count() or 1, sharers=wish.provers)
    if wish.leaf_ms is not None:
        prover = replace(prover, leaf_ms=wish.leaf_ms)
    if wish.merge_ms is not None:
        prover = replace(prover, merge_ms=wish.merge_ms)
    return prover


def network_defaults(backend: str, slot_ms: int) -> NetworkParameters:
    """What every rule of a testnet shares, before anything is set."""
    return NetworkParameters(
        name="testnet",
        backend=backend,
        genesis_time_ms=Milliseconds(0),
        slot_ms=Milliseconds(slot_ms),
        epoch_ticks=Tick(EPOCH_TICKS),
        exit_delay_ticks=Tick(EXIT_EPOCHS_MIN * EPOCH_TICKS),
        operation_fee=Amount(100),
        equivocation_penalty=BasisPoints(10_000),
        invalid_proof_penalty=BasisPoints(10_000),
        block_reward=Amount(0),
        treasury=Amount(0),
        mev=Amount(0),
        max_operations_per_log_block=Count(64),
        max_bodies_per_log_block=Count(8),
    )


def usual_slot_ms(nodes: int) -> int:
    """Length of a slot for so many nodes, where nobody says otherwise."""
    return max(SLOT_MS_MIN, SLOT_MS_PER_NODE * nodes)


def _genesis(wish: Wish, members: tuple[Member, ...]) -> Genesis:
    slot_ms = wish.slot_ms or usual_slot_ms(len(members))
    sets = parse_sets(wish.sets)
    network = network_defaults(wish.backend, slot_ms)
    common = checked(NETWORK, "the network", network_kind(network), sets[NETWORK])
    sequencing = _choice(wish, "sequencing", wish.sequencing, sets, slot_ms)
    proving = _choice(wish, "proving", wish.proving, sets, slot_ms)
    refuse_pair(sequencing, proving, Path())
    return Genesis(
        network=replace(network, **asdict(common)),
        sequencing=replace(sequencing, name=_beside_genesis(sequencing.name)),
        proving=replace(proving, name=_beside_genesis(proving.name)),
        accounts=tuple(
            GenesisAccount(
                name=one.name,
                account=one.identity.account,
                vrf_key=vrf.public_key(one.identity.vrf_seed),
                balance=one.balance,
                log_stake=one.log_stake,
                prover_stake=one.prover_stake,
                sequencer_stake=one.sequencer_stake,
            )
            for one in members
        ),
        rollup=tuple(
            RollupAccount(account, ROLLUP_BALANCE)
            for account in (
                *map(public_key, traffic_keys(wish.seed, TRAFFIC_ACCOUNTS)),
                *(one.identity.account for one in members if one.configuration.faucet),
            )
        ),
    )


def _choice(
    wish: Wish, part: str, name: str, sets: Mapping[str, tuple[Setting, ...]], slot_ms: int
) -> RuleChoice:
    """A rule with what was set, and what blocks and machine need of what was not."""
    declared = {one.name for one in fields(find_rule(part, name, Path()).parameters_type)}
    needs = {
        need: str(value)
        for need, value in (window_needs(wish, slot_ms) | {LEAF_COUNT_MAX: wish.leaves}).items()
        if need in declared - {one.name for one in sets[part]}
    }
    needed = tuple(Setting(need, value) for need, value in needs.items())
    return choose(part, name, (*sets[part], *needed), Path())


def _beside_genesis(name: str) -> str:
    path, colon, class_name = name.rpartition(":")
    return f"{RULES}/{Path(path).name}:{class_name}" if colon else name


def window_needs(wish: Wish, slot_ms: int) -> dict[str, int]:
    """Ticks that proving needs on this machine, by the names under which rules declare them.

    The widest layers of all jobs that may be open have to fit into the window of a tree node
    together, and all proofs of these jobs into the time for a whole job.
    """
    is_modelled = wish.backend == MODELLED
    prover = _prover(wish)
    proof_ms = max(prover.leaf_ms, prover.merge_ms) if is_modelled else PROOF_CORE_MS
    cores = max(1, wish.provers if is_modelled else min(os.cpu_count() or 1, wish.provers))
    busy = 100 if is_modelled else busy_percent()

    def ticks(rounds: int, layers: int) -> int:
        """So many proofs on each core, one after the other, and the log's part of each layer."""
        wall_ms = OPEN_JOBS * rounds * proof_ms * busy // 100
        return WINDOW_SLACK_TICKS * layers + -(-wall_ms // slot_ms)

    layer = ticks(-(-wish.leaves // cores), 1)
    one_prover_cores = 1 if is_modelled else cores
    proofs = 2 * wish.leaves - 1
    return {
        "leaf_window_ticks": layer,
        "merge_window_ticks": layer,
        "max_prover_ticks": ticks(-(-proofs // one_prover_cores), wish.leaves.bit_length()),
        **({"reveal_ticks": AWARD_TICKS} if _is_chosen(wish) else {}),
    }


def _is_chosen(wish: Wish) -> bool:
    """Whether sequencers choose their provers."""
    return Award in find_rule("proving", wish.proving, Path()).handles


def busy_percent() -> int:
    """How many times longer things take because the machine is busy already, in per cent."""
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return int(100 * max(1.0, min(8.0, waiting + 0.5)))


def is_possible(wish: Wish) -> str | None:
    """None, or a sentence that says why a wish cannot be granted."""
    if wish.validators < 1 or wish.provers < 0 or wish.blocks < 1:
        return "a testnet has at least one validator and makes at least one block"
    if wish.minutes < 0:
        return "a testnet does not end before it began"
    if not tree.is_leaf_count(wish.leaves) or wish.leaves > 64:
        return "the number of leaves is a power of two from 1 to 64"
    if wish.slot_ms and wish.slot_ms < 200:
        return "a slot has at least 200 milliseconds"
    if wish.backend not in BACKENDS:
        return f"the backend is one of {', '.join(BACKENDS)}"
    if wish.backend != MODELLED and (wish.leaf_ms, wish.merge_ms) != (None, None):
        return "times of proofs are declared for the modelled backend only"
    if wish.provers == 0:
        return "without a prover no block is ever proven"
    return None
