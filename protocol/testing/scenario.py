"""A network to play on: which rules, with which parameters, and how much stake everybody has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from protocol.machine import Machine
from protocol.params import (
    MODELLED,
    Genesis,
    GenesisAccount,
    NetworkParameters,
    RollupAccount,
    RuleChoice,
    settings_of,
)
from protocol.proving.bonded import Bonded, BondedParameters
from protocol.proving.elected import Elected
from protocol.proving.elected_parameters import (
    ElectedParameters,
    FailedShare,
    IncludedBy,
    UncleScope,
)
from protocol.sequencing.fernet import Fernet
from protocol.sequencing.fernet_parameters import FernetParameters, ScoreKind
from protocol.testing.cast import BEGGAR, OUTSIDER, PROVERS, SEQUENCERS, actor
from protocol.types import (
    Amount,
    BasisPoints,
    Count,
    Milliseconds,
    Root,
    Stake,
    Tick,
    Work,
)

GENESIS_ROOT: Final = Root(bytes(32))
"""Root of the rollup's first state in every scenario."""

STAKE_UNIT: Final = Stake(100)
"""Prover stake that buys one card under :data:`QUICK_ELECTED`."""

QUICK_FERNET: Final = FernetParameters(
    proposal_ticks=Tick(2),
    reveal_ticks=Tick(3),
    deadline_ticks=Tick(12),
    max_unproven_jobs=Count(2),
    leaf_count_max=Count(8),
    sequencer_stake_min=Stake(5),
    reveal_penalty_bps=BasisPoints(1_000),
    block_bond=Amount(40),
    orphan_bps=BasisPoints(2_500),
)
"""Fernet with windows so short that a story of fifty steps sees several blocks, and with every kind
of loss.
"""

QUICK_F0: Final = replace(QUICK_FERNET, candidates_max=Count(2), backup_ticks=Tick(9))
"""The same with two candidates a round, and a backup where both fail."""

QUICK_F2: Final = replace(
    QUICK_FERNET,
    prover_commit_ticks=Tick(3),
    backup_ticks=Tick(9),
    max_unproven_jobs=Count(1),
    score=ScoreKind.PUBLIC,
)
"""The same with known draws, prover commitment and backup, one block after the other."""

VARIANTS: Final = {QUICK_FERNET: (QUICK_FERNET, QUICK_FERNET, QUICK_F0, QUICK_F2)}
"""Parameters that stand for others where a network is drawn, the usual ones more often."""

QUICK_ELECTED: Final = ElectedParameters(
    stake_unit=STAKE_UNIT,
    min_leaf_ticks=Tick(2),
    min_merge_ticks=Tick(1),
    leaf_window_ticks=Tick(4),
    merge_window_ticks=Tick(3),
    open_ticks=Tick(5),
    finality_ticks=Tick(2),
    leaf_work=Work(15),
    merge_work=Work(33),
    takeover_bps=BasisPoints(2_500),
    open_bps=BasisPoints(5_000),
)
"""Elected provers with windows as short, and with every kind of pay."""

SHARED_ELECTED: Final = replace(
    QUICK_ELECTED,
    intent_ticks_max=Tick(600),
    provers_per_node=Count(2),
    primary_bps=BasisPoints(6_000),
    failed_share=FailedShare.REFUND,
    uncle_bps=BasisPoints(7_500),
    uncle_reserve_bps=BasisPoints(1_500),
    uncle_ticks=Tick(6),
    uncle_scope=UncleScope.OPEN,
    uncles_per_node_max=Count(1),
)
"""Two provers for each tree node, and uncles of anybody."""

JUDGED_ELECTED: Final = replace(
    QUICK_ELECTED,
    uncle_bps=BasisPoints(9_000),
    uncle_reserve_bps=BasisPoints(500),
    uncle_ticks=Tick(3),
    slash_bps=BasisPoints(5_000),
    grace_ticks=Tick(4),
    governance_ticks=Tick(5),
)
"""Slashes by a vote, and uncles of own provers."""

OWNED_ELECTED: Final = replace(
    QUICK_ELECTED,
    inclusion=IncludedBy.MERGE_OWNER,
    provers_per_node=Count(2),
    slash_bps=BasisPoints(3_000),
    grace_ticks=Tick(3),
)
"""Merge owners decide what is delivered, and slashes follow."""

QUICK_BONDED: Final = BondedParameters(
    max_prover_ticks=Tick(14),
    min_leaf_ticks=Tick(2),
    min_merge_ticks=Tick(1),
    finality_ticks=Tick(2),
    leaf_work=Work(15),
    merge_work=Work(33),
    bond_percent=Count(150),
    bond_floor=Amount(30),
    is_dynamic=True,
    decay_ticks=Tick(30),
)
"""Bonded provers with a window as short, and a bond that moves."""


FEES: Final = (10, 0, 300)
"""Operation fees to draw from: usual, none, and more than a poor account can pay often."""

PENALTIES: Final = (5_000, 0, 10_000)
"""Penalties for equivocation to draw from, in basis points."""

REWARDS: Final = (0, 500)
"""Block rewards to draw from."""

TREASURY: Final = 1_200
"""What they are paid from: enough for two and a part of one."""

EPOCHS: Final = (16, 8)
"""Lengths of epochs to draw from, in ticks."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that a story's first state depends on.

    :ivar cards: prover stake of p0, p1, ... in units of :data:`STAKE_UNIT`.
    :ivar balance: money of everybody but the beggar.
    :ivar sequencer_stake: that of each sequencer.
    """

    sequencing: type[Any] = Fernet
    sequencing_parameters: Any = QUICK_FERNET
    proving: type[Any] = Elected
    proving_parameters: Any = QUICK_ELECTED
    cards: tuple[int, ...] = (1, 1, 2, 1)
    epoch_ticks: int = 16
    operation_fee: int = 10
    penalty: int = 5_000
    block_reward: int = 0
    treasury: int = 0
    mev: int = 0
    balance: int = 1_000
    rollup: int = 100_000
    sequencer_stake: int = 100

    @property
    def provers(self) -> tuple[str, ...]:
        """Names of the provers that take part."""
        return PROVERS[: len(self.cards)]

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody's names."""
        return (*SEQUENCERS, *self.provers, OUTSIDER, BEGGAR)

    def variants(self) -> tuple[Any, ...]:
        """Parameters of its sequencing rule to draw from."""
        return VARIANTS.get(self.sequencing_parameters, (self.sequencing_parameters,))

    @property
    def usual_lag(self) -> int:
        """Finality's usual lag: what the proving rule counts with, else 2."""
        return int(getattr(self.proving_parameters, "finality_ticks", 2))

    def genesis(self) -> Genesis:
        """The network's genesis."""
        return Genesis(
            NetworkParameters(
                name="story",
                backend=MODELLED,
                genesis_time_ms=Milliseconds(0),
                slot_ms=Milliseconds(1_000),
                epoch_ticks=Tick(self.epoch_ticks),
                exit_delay_ticks=Tick(5 * self.epoch_ticks),
                operation_fee=Amount(self.operation_fee),
                equivocation_penalty=BasisPoints(self.penalty),
                invalid_proof_penalty=BasisPoints(self.penalty),
                block_reward=Amount(self.block_reward),
                treasury=Amount(self.treasury),
                mev=Amount(self.mev),
                max_operations_per_log_block=Count(1_000),
                max_bodies_per_log_block=Count(1_000),
            ),
            RuleChoice(self.sequencing.name, settings_of(self.sequencing_parameters)),
            RuleChoice(self.proving.name, settings_of(self.proving_parameters)),
            tuple(self._account(name) for name in self.names),
            (RollupAccount(actor(SEQUENCERS[0]).account, Amount(self.rollup)),),
        )

    def machine(self) -> Machine:
        """A machine at the genesis, with fresh rules."""
        return Machine(
            self.genesis(),
            GENESIS_ROOT,
            self.sequencing(self.sequencing_parameters),
            self.proving(self.proving_parameters),
        )

    def _account(self, name: str) -> GenesisAccount:
        who, sequences = actor(name), name in SEQUENCERS
        cards = self.cards[PROVERS.index(name)] if name in PROVERS else 0
        return GenesisAccount(
            name=name,
            account=who.account,
            vrf_key=who.vrf_key,
            balance=Amount(self.operation_fee // 2 if name == BEGGAR else self.balance),
            log_stake=Stake(5 if sequences else 0),
            prover_stake=Stake(cards * STAKE_UNIT),
            sequencer_stake=Stake(self.sequencer_stake if sequences else 0),
        )


BONDED: Final = Scenario(proving=Bonded, proving_parameters=QUICK_BONDED, mev=20)
"""Fernet with bonded provers, and something to be gained by ordering."""


ELECTED_VARIANTS: Final = tuple(
    Scenario(proving_parameters=one) for one in (SHARED_ELECTED, JUDGED_ELECTED, OWNED_ELECTED)
)
"""Networks that use what elected provers can do beyond the thread's rule."""
