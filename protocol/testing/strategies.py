"""Hypothesis strategies for what a network is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from protocol import tree
from protocol.events import PoolMember
from protocol.messages import (
    NO_JOB,
    BlockContent,
    Intent,
    LeafHeader,
    Operation,
    ProofRecord,
    UncleClaim,
)
from protocol.params import Genesis
from protocol.testing.cast import PROVERS, Actor, actor
from protocol.testing.moves import ANYBODY, MOVES, Move
from protocol.testing.scenario import (
    EPOCHS,
    FEES,
    GENESIS_ROOT,
    PENALTIES,
    REWARDS,
    TREASURY,
    Scenario,
)
from protocol.testing.world import Turn
from protocol.types import (
    BOUNDS,
    Account,
    Amount,
    Beacon,
    BodyHash,
    Claim,
    Count,
    JobId,
    Nonce,
    Root,
    Tick,
    TransferDigest,
    TreeIndex,
)


def digests() -> SearchStrategy[bytes]:
    """Any 32 bytes, small ones first."""
    return st.integers(0, 2**256 - 1).map(lambda number: number.to_bytes(32, "big"))


def beacons() -> SearchStrategy[Beacon]:
    """Seeds."""
    return digests().map(Beacon)


def actors() -> SearchStrategy[Actor]:
    """Anybody of the cast, with keys."""
    return st.sampled_from(ANYBODY).map(actor)


def accounts() -> SearchStrategy[Account]:
    """Accounts whose keys are known."""
    return actors().map(lambda one: one.account)


def ticks() -> SearchStrategy[Tick]:
    """Heights, edges included."""
    return st.integers(0, BOUNDS[Tick]).map(Tick)


def cards(provers_max: int = len(PROVERS)) -> SearchStrategy[tuple[int, ...]]:
    """Stakes in units, one a prover; some may have none."""
    stakes = st.sampled_from((1, 0, 2, 4))
    return st.lists(stakes, min_size=1, max_size=provers_max).map(tuple)


def pools(provers_max: int = len(PROVERS)) -> SearchStrategy[tuple[PoolMember, ...]]:
    """Frozen pools, by account; may be empty."""
    return cards(provers_max).map(
        lambda drawn: tuple(
            sorted(
                (
                    PoolMember(actor(name).account, Count(count))
                    for name, count in zip(PROVERS, drawn, strict=False)
                    if count
                ),
                key=lambda member: member.prover,
            )
        )
    )


def leaf_counts(leaves_max: int = tree.LEAVES_MAX) -> SearchStrategy[int]:
    """Sizes of trees."""
    return st.integers(0, tree.height(leaves_max)).map(lambda height: 1 << height)


def tree_indices(leaf_count: int) -> SearchStrategy[TreeIndex]:
    """Places of a tree, leaves first."""
    return st.sampled_from(tuple(tree.indices(leaf_count)))


def scenarios(like: Scenario | None = None) -> SearchStrategy[Scenario]:
    """Networks: ``like`` with stakes, fee, penalty and length of epochs drawn anew."""
    like = like or Scenario()
    return st.builds(
        replace,
        st.just(like),
        cards=cards(),
        operation_fee=st.sampled_from(FEES),
        penalty=st.sampled_from(PENALTIES),
        epoch_ticks=st.sampled_from(EPOCHS),
        block_reward=st.sampled_from(REWARDS),
        treasury=st.just(TREASURY),
        sequencing_parameters=st.sampled_from(like.variants()),
    )


def turns(table: Mapping[str, Move] = MOVES, turns_max: int = 12) -> SearchStrategy[list[Turn]]:
    """Adversarial schedules: moves, honest and hostile, to be made one after the other."""
    kinds = [
        st.builds(
            Turn,
            st.just(name),
            st.fixed_dictionaries(
                {key: st.sampled_from(values) for key, values in move.arguments.items()}
            ),
        )
        for name, move in table.items()
    ]
    return st.lists(st.one_of(kinds), max_size=turns_max)


def genesis() -> SearchStrategy[Genesis]:
    """First states that do not contradict themselves."""
    return scenarios().map(lambda scenario: scenario.genesis())


@st.composite
def contents(draw: st.DrawFn, leaves_max: int = 8) -> BlockContent:
    """Block contents on the genesis; their digests stand for transfers that nobody looks at."""
    leaf = st.builds(
        LeafHeader,
        digests().map(TransferDigest),
        st.integers(0, 1_000).map(Amount),
        digests().map(Root),
    )
    count = draw(leaf_counts(leaves_max))
    leaves = draw(st.lists(leaf, min_size=count, max_size=count).map(tuple))
    return BlockContent(NO_JOB, GENESIS_ROOT, leaves, draw(digests().map(BodyHash)))


def records(leaf_count: int = 8) -> SearchStrategy[ProofRecord]:
    """Records of any job, with or without children; most are lies."""
    claims = digests().map(Claim)
    return st.builds(
        ProofRecord,
        digests().map(JobId),
        tree_indices(leaf_count),
        claims,
        st.none() | st.tuples(claims, claims),
        digests().map(BodyHash),
    )


def operations() -> SearchStrategy[Operation]:
    """Operations of any member of the cast, unsigned; the moves of a story make better ones."""
    intents = st.builds(Intent, st.integers(0, 3).map(Count), ticks())
    nonces = st.integers(0, BOUNDS[Nonce]).map(Nonce)
    return st.builds(
        Operation, accounts(), nonces, ticks(), intents | records() | records().map(UncleClaim)
    )
