"""Whether a proving rule keeps what it promises of its assignments: exact tests, no flakes.

Each :class:`~protocol.rules.Promise` is tested on blocks of eight leaves, dealt by
:mod:`protocol.testing.deals` to four provers that hold 4, 2, 1 and 1 units of stake:

- *Shares.* Of every block one tree node is drawn in proportion to its work, and one of its own
  provers. If expected work is in proportion to stake, then so is the chance of each prover, and
  blocks are independent; so each prover's count is binomial. Its two tails are summed exactly,
  in integers, and shared among the provers (Bonferroni).
- *Splitting.* The first prover's 4 units become 2 and 2 of two identities, in other blocks. If
  that gains nothing, the two counts together are no likelier to be high than the one before:
  Fisher's exact test, one tail of the hypergeometric distribution, on what each got of its blocks.
- *Merges* and *public* hold in every block or do not.

A right rule is accused by one of the first two with a probability of at most one in
:data:`FALSE_ALARMS` each, over the choice of the seed. With a given seed the outcome is always the
same, so a test that holds does not flake.

Over 1,000 blocks a test complains of a share of nine points more or less than a half, and of a
gain of eleven points. What a rule disclaims is not tested, and named with its reason. A
rule that assigned no tree node to anybody has shown nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import comb
from typing import Any, Final, TypeAlias

from protocol import tree
from protocol.rules import Promise, disclaimed
from protocol.testing.cast import PROVERS, actor
from protocol.testing.deals import Deal, Table
from protocol.testing.dice import Dice
from protocol.testing.oracles import said
from protocol.testing.scenario import Scenario
from protocol.types import Account, TreeIndex

FALSE_ALARMS: Final = 1_000_000
"""A right rule is accused by a statistical test once in so many seeds, or less often."""

BLOCKS: Final = 1_000
"""Blocks that are dealt for a promise, unless told otherwise."""

WHOLE: Final = (4, 2, 1, 1)
"""Cards of the provers."""

SPLIT: Final = (2, 2, 1, 1, 2)
"""The same, where the first is also the last."""

RECOMPUTED_MAX: Final = 300
"""Blocks whose assignment is recomputed at most: each takes a machine of its own."""


Test: TypeAlias = Callable[[Scenario, int, int], "Verdict"]
"""Tests a promise of a scenario's proving rule: by a seed, on so many blocks."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a promise.

    :ivar is_kept: None where the rule disclaims it, or where nothing was assigned.
    :ivar blocks: how many were looked at.
    :ivar words: what was seen, in a sentence or two.
    """

    promise: Promise
    is_kept: bool | None
    blocks: int
    words: str


def verdicts(like: Scenario, seed: int, blocks: int = BLOCKS) -> Iterator[Verdict]:
    """Test every promise of the scenario's proving rule, one after the other."""
    refused = disclaimed(like.proving(like.proving_parameters))
    tests: Mapping[Promise, Test] = {
        Promise.SHARES: _shares,
        Promise.SPLITTING: _splitting,
        Promise.MERGES: _merges,
        Promise.PUBLIC: _public,
    }
    for promise, test in tests.items():
        if promise in refused:
            yield Verdict(promise, None, 0, f"not promised: {refused[promise]}")
        else:
            yield _tested(promise, test, like, seed, blocks)


def _tested(promise: Promise, test: Test, like: Scenario, seed: int, blocks: int) -> Verdict:
    """A rule that fails over a block keeps no promise."""
    try:
        return test(like, seed, blocks)
    except Exception as failure:  # noqa: BLE001 -- whatever a rule on trial raises
        return Verdict(promise, False, 0, said(failure))


def _dealt(like: Scenario, cards: tuple[int, ...], seed: int, blocks: int) -> list[Deal]:
    table = Table(like, cards, seed)
    deals = [table.deal() for _ in range(blocks)]
    return [deal for deal in deals if not deal.is_empty]


def _nothing_seen(promise: Promise) -> Verdict:
    return Verdict(promise, None, 0, "nothing seen: no tree node was assigned to anybody")


# --- shares ---


def _shares(like: Scenario, seed: int, blocks: int) -> Verdict:
    deals = _dealt(like, WHOLE, seed, blocks)
    if not deals:
        return _nothing_seen(Promise.SHARES)
    counts, drawn = _counts(like, deals, seed), len(deals)
    whole = sum(WHOLE)
    worst: str | None = None
    shares = []
    for name, cards in zip(PROVERS, WHOLE, strict=False):
        seen = counts[actor(name).account]
        shares.append(f"{name} {percent(seen, drawn)} for {percent(cards, whole)}")
        if is_beyond_chance(seen, drawn, cards, whole, len(WHOLE)):
            worst = worst or f"{name} has {percent(cards, whole)} of the stake and got " + (
                f"{percent(seen, drawn)} of the work"
            )
    return Verdict(Promise.SHARES, worst is None, drawn, worst or ", ".join(shares))


def _counts(like: Scenario, deals: list[Deal], seed: int) -> Counter[Account]:
    """How often each prover owned the tree node drawn of each block, in proportion to work."""
    dice, counts = Dice(seed), Counter[Account]()
    for deal in deals:
        lots = [
            (index, owner)
            for index, owners in deal.owners.items()
            for owner in (owners[dice.below(len(owners))],)
            for _ in range(_work(like.proving_parameters, index))
        ]
        counts[lots[dice.below(len(lots))][1]] += 1
    return counts


def _work(parameters: Any, index: TreeIndex) -> int:
    """Work of a tree node as the rule's parameters state it; 1 where they do not."""
    return int(getattr(parameters, "merge_work" if index.level else "leaf_work", 1))


def is_beyond_chance(seen: int, drawn: int, part: int, whole: int, tests: int) -> bool:
    """Whether a count lies so far in a tail of the binomial distribution of ``drawn`` draws, each
    a hit with chance ``part / whole``, that one of ``tests`` such counts does so once in
    :data:`FALSE_ALARMS` or less.
    """
    rest = whole - part
    ways: list[int] = [comb(drawn, k) * part**k * rest ** (drawn - k) for k in range(drawn + 1)]
    tail = min(sum(ways[: seen + 1]), sum(ways[seen:]))
    return tail * 2 * tests * FALSE_ALARMS <= sum(ways)


# --- splitting ---


def _splitting(like: Scenario, seed: int, blocks: int) -> Verdict:
    before = _dealt(like, WHOLE, seed + 1, blocks)
    after = _dealt(like, SPLIT, seed + 2, blocks)
    if not before or not after:
        return _nothing_seen(Promise.SPLITTING)
    first, last = actor(PROVERS[0]).account, actor(PROVERS[len(SPLIT) - 1]).account
    one = _counts(like, before, seed + 1)[first]
    counts = _counts(like, after, seed + 2)
    two = counts[first] + counts[last]
    is_kept = not is_gain(one, len(before), two, len(after))
    words = (
        f"{PROVERS[0]} got {percent(one, len(before))} of the work as one, and "
        f"{percent(two, len(after))} as two"
    )
    return Verdict(Promise.SPLITTING, is_kept, len(before) + len(after), words)


def is_gain(before: int, of_before: int, after: int, of_after: int) -> bool:
    """Whether ``after`` hits are so many beside ``before`` that chance gives as many once in
    :data:`FALSE_ALARMS` or less, if the two kinds of draw are equally likely to hit.
    """
    hits = before + after
    tail = sum(
        comb(of_after, k) * comb(of_before, hits - k) for k in range(after, min(hits, of_after) + 1)
    )
    return tail * FALSE_ALARMS <= comb(of_before + of_after, hits)


# --- what holds in every block ---


def _merges(like: Scenario, seed: int, blocks: int) -> Verdict:
    deals = _dealt(like, WHOLE, seed + 3, blocks)
    if not deals:
        return _nothing_seen(Promise.MERGES)
    for number, deal in enumerate(deals, start=1):
        for index, owners in deal.owners.items():
            below = [one for child in _children(index) for one in deal.owners[child]]
            if index.level and not all(one in below for one in owners):
                words = f"block {number}: {index} is not of a prover of one of its children"
                return Verdict(Promise.MERGES, False, number, words)
    count = sum(1 for deal in deals for index in deal.owners if index.level)
    return Verdict(Promise.MERGES, True, len(deals), f"in all of {count:,} merges")


def _children(index: TreeIndex) -> tuple[TreeIndex, ...]:
    return tree.children(index) if index.level else ()


def _public(like: Scenario, seed: int, blocks: int) -> Verdict:
    table = Table(like, WHOLE, seed + 4)
    count = min(blocks, RECOMPUTED_MAX)
    deals = [table.deal() for _ in range(count)]
    if all(deal.is_empty for deal in deals):
        return _nothing_seen(Promise.PUBLIC)
    for number, deal in enumerate(deals, start=1):
        if table.again(deal).owners != deal.owners:
            words = f"block {number}: a copy of the rule that saw nothing else assigns otherwise"
            return Verdict(Promise.PUBLIC, False, number, words)
    words = "a copy of the rule that saw nothing else assigned the same"
    return Verdict(Promise.PUBLIC, True, count, words)


def percent(part: int, whole: int) -> str:
    """A share as a person reads it, to a tenth of a percent."""
    return f"{100 * part / whole:.1f} %"
