"""What a prover of certain times would have earned on blocks that others proved: an expectation.

The prover has one unit of stake, works alone with its times, and everybody else does what they did.
It is one card more, or one bid more. Amounts are in micro-units; parts are rounded down.

*Elected.* A block of L leaves froze a pool of C cards and gives k provers to each tree node. With
the prover's card there are C + 1, shuffled by chance, so each of them expects the same part:

- ``gain = (I * s - R) / (C + 1)``: I is the income of the block as the log moved it, s the share
  that its sequencer promised to provers, R what the network reserves of that for uncles;
- ``leaves = ceil(L * k / (C + 1))``: most leaves that one card is dealt, and so most merges of one
  layer that it owns;
- it *fits* if so many leaves, and so many merges, are predicted (:mod:`prover.forecast`) within the
  windows of the rule. If not, the gain is 0 and *missed* is what it gave away, with the slash
  ``unit * slash_bps * min(1, L * k / (C + 1))``;
- ``cost = cost_per_work * W * k / (C + 1)``: W is the work of the whole tree.

Exact for k = 1; for more provers a node, provers with several cards hold a little less than their
part, because a tree node counts each of them once. That others fail and leave it a takeover, and
uncle claims, are not counted.

*Bonded.* A block was awarded at a price P. The prover bids ``cost_per_work * W`` and its margin,
rounded up, and its predicted ticks for the whole tree. It wins if these are within the time that
the rule gives, and its price is below P: the cheapest bid that fits is taken. The gain is its price
then, and the bond that it would have had to lock is told. Bids that lost are not in the log, so a
sequencer that did not take the cheapest is not foreseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.events import Awarded, JobOpened, JobSettled
from protocol.ledger import Moved, escrow
from protocol.params import parse_settings
from protocol.proving.bonded import Bonded, BondedParameters
from protocol.proving.elected import Elected
from protocol.proving.elected_parameters import ElectedParameters, part
from protocol.proving.records import block_work
from protocol.types import FULL_SHARE, Amount, Tick
from prover.forecast import Capacity, Load, tree_layers
from scripts.explain.publiclog import CannotTell, JobEntry, PublicLog

NOTHING: Final = Load()


@dataclass(frozen=True, slots=True)
class Costs:
    """What a prover asks for its work.

    :ivar per_work: in micro-units for a compute unit.
    :ivar margin_bps: on top of that, in a bid.
    """

    per_work: int
    margin_bps: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """What one block would have brought.

    :ivar number: of the block, counted from 1 in the order of opening.
    :ivar fits: whether it could deliver in time; else ``gain`` is 0.
    :ivar sums: the numbers behind it, by name.
    """

    number: int
    fits: bool
    gain: int
    missed: int
    cost: int
    sums: dict[str, int]


@dataclass(frozen=True, slots=True)
class Earnings:
    """Expectations of the last settled blocks, oldest first, under a rule."""

    rule: str
    blocks: tuple[Expectation, ...]

    def total(self, name: str) -> int:
        """Sum of a field over all blocks."""
        return sum(getattr(one, name) for one in self.blocks)


def earnings(log: PublicLog, capacity: Capacity, costs: Costs, last: int) -> Earnings:
    """What the prover would have earned on the last blocks of a log that were settled.

    :raises CannotTell: when the network's rule is neither elected nor bonded, or nothing settled.
    """
    settled = {one.event.job for one in log.happenings() if isinstance(one.event, JobSettled)}
    entries = [one for one in log.jobs() if one.job in settled][-last:]
    if not entries:
        raise CannotTell("no block was settled in this log", "name a run in which one was")
    choice = log.genesis.proving
    if choice.name == Elected.name:
        elected = parse_settings(ElectedParameters, choice)
        blocks = [_elected(log, entry, elected, capacity, costs) for entry in entries]
    elif choice.name == Bonded.name:
        bonded = parse_settings(BondedParameters, choice)
        blocks = [_bonded(log, entry, bonded, capacity, costs) for entry in entries]
    else:
        raise CannotTell(
            f"what the rule {choice.name} pays is not known here",
            f"expectations are told for {Elected.name} and {Bonded.name}",
        )
    return Earnings(choice.name, tuple(blocks))


def _elected(
    log: PublicLog,
    entry: JobEntry,
    parameters: ElectedParameters,
    capacity: Capacity,
    costs: Costs,
) -> Expectation:
    leaves, opened = entry.header.leaf_count, entry.opening.event
    assert isinstance(opened, JobOpened), "a job's entry is about its opening"
    cards = sum(member.cards for member in opened.pool) + 1
    dealt = leaves * parameters.provers_per_node
    most = -(-dealt // cards)
    leaf_ticks = _ticks(log, capacity, (Load(leaves=most),))
    merge_ticks = _ticks(log, capacity, (Load(merges=most),) if leaves > 1 else ())
    fits = (
        leaf_ticks <= parameters.leaf_window_ticks and merge_ticks <= parameters.merge_window_ticks
    )
    income = _income(log, entry)
    promised = income * entry.header.fee_split // FULL_SHARE
    share = promised - part(Amount(promised), parameters.uncle_reserve_bps)
    slash = part(Amount(parameters.stake_unit), parameters.slash_bps) * min(dealt, cards) // cards
    work = block_work(leaves, parameters.leaf_work, parameters.merge_work)
    sums = {
        "income": income,
        "provers_share": share,
        "cards": cards,
        "leaves": leaves,
        "provers_per_node": parameters.provers_per_node,
        "leaves_of_one_card": most,
        "leaf_ticks": leaf_ticks,
        "leaf_window_ticks": parameters.leaf_window_ticks,
        "merge_ticks": merge_ticks,
        "merge_window_ticks": parameters.merge_window_ticks,
        "expected_slash": slash,
    }
    gain = share // cards
    cost = costs.per_work * work * parameters.provers_per_node // cards
    if fits:
        return Expectation(entry.number, True, gain, 0, cost, sums)
    return Expectation(entry.number, False, 0, gain + slash, 0, sums)


def _bonded(
    log: PublicLog,
    entry: JobEntry,
    parameters: BondedParameters,
    capacity: Capacity,
    costs: Costs,
) -> Expectation:
    leaves = entry.header.leaf_count
    work = block_work(leaves, parameters.leaf_work, parameters.merge_work)
    cost = costs.per_work * work
    price = -(-cost * (FULL_SHARE + costs.margin_bps) // FULL_SHARE)
    ticks = _ticks(log, capacity, tree_layers(leaves))
    award = _award(log, entry)
    fits = ticks <= parameters.max_prover_ticks
    awarded = 0 if award is None else award.price
    sums = {
        "leaves": leaves,
        "work": work,
        "bid": price,
        "awarded": awarded,
        "bond": 0 if award is None else award.bond,
        "ticks": ticks,
        "window_ticks": parameters.max_prover_ticks,
    }
    is_cheaper = price < awarded
    if fits and is_cheaper:
        return Expectation(entry.number, True, price, 0, cost, sums)
    return Expectation(entry.number, fits, 0, price if is_cheaper else 0, 0, sums)


def _ticks(log: PublicLog, capacity: Capacity, layers: tuple[Load, ...]) -> Tick:
    ticks = capacity.ticks(layers, NOTHING, log.genesis.network.slot_ms)
    assert ticks is not None, "a calibrated capacity knows both kinds"
    return ticks


def _income(log: PublicLog, entry: JobEntry) -> int:
    """What was moved into the escrow of a settled block."""
    purse = escrow(entry.job)
    moves = (one.event for one in log.happenings() if isinstance(one.event, Moved))
    return sum(move.amount for move in moves if move.target == purse)


def _award(log: PublicLog, entry: JobEntry) -> Awarded | None:
    """The award of a block; None when it opened without one."""
    header, found = entry.header, None
    for one in log.happenings():
        award = one.event
        if (
            isinstance(award, Awarded)
            and (award.round, award.sequencer) == (header.round, header.sequencer)
            and one.step.moment.tick <= entry.opening.step.moment.tick
        ):
            found = award
    return found
