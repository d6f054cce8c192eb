"""What can be done in a story of bonded provers, beside what can be done in any story."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import Final

from protocol import tree
from protocol.messages import Award
from protocol.rules import AwaitedBlock
from protocol.testing.board import JobView
from protocol.testing.cast import OUTSIDER, SEQUENCERS, actor
from protocol.testing.moves import (
    ANYBODY,
    LIES,
    MOVES,
    Move,
    bid_of,
    commit,
    due_records,
    name_of,
    prove,
)
from protocol.testing.oracles import must
from protocol.testing.world import World
from protocol.types import Amount, Round

FLAWS: Final = (
    "none",
    "none",
    "none",
    "forged",
    "expired",
    "of another round",
    "for another",
    "by another",
    "cheap bond",
)
"""What may be wrong with an award."""


def award(
    world: World, *, who: str, prover: str, price: int, more: int, valid_for: int, flaw: str
) -> None:
    """A block to come, of a new round if there is none, is awarded to ``prover``.

    :param who: sends it if it is ``by another`` than the block's sequencer.
    :param more: what is pledged above the bond that is due.
    """
    block = _block_to_come(world)
    if block is None:
        return
    ask = next(iter(world.machine.asks()), None)
    due = 1 if ask is None else ask.bond
    bid = bid_of(
        world,
        prover,
        Round(block.round + (1 if flaw == "of another round" else 0)),
        actor(OUTSIDER).account if flaw == "for another" else block.sequencer,
        bond=Amount(due - 1 if flaw == "cheap bond" else due + more),
        price=price,
        valid_for=-1 if flaw == "expired" else valid_for,
        key="a forger" if flaw == "forged" else "",
    )
    world.say(who if flaw == "by another" else name_of(block.sequencer), Award(bid))


def _block_to_come(world: World) -> AwaitedBlock | None:
    if not world.machine.sequencing.awaited():
        commit(world, who=SEQUENCERS[0], height=1, split=0, fee=7, how="honest")
        world.wait(world.scenario.sequencing_parameters.proposal_ticks + 1)
    return next(iter(world.machine.sequencing.awaited()), None)


def misprove(world: World, *, nth: int, lie: str) -> None:
    """Who was awarded the job opened last has a record ordered, honest or not."""
    rights = [node for job in world.board.jobs.values() for node in job.nodes.values()]
    holders = [node.assigned for node in rights if node.assigned is not None]
    if holders:
        prove(world, who=name_of(holders[-1]), nth=nth, lie=lie)


KEPT: Final = "No job falls as long as its prover is alive and has time."
"""A property that :func:`deliver` judges."""


def deliver(world: World) -> None:
    """From now on every awarded prover is alive and honest: each job with time left is proven."""
    needs = world.scenario.proving_parameters

    def has_time(job: JobView) -> bool:
        levels = tree.height(len(job.header.content.leaves))
        least = needs.min_leaf_ticks + levels * (needs.min_merge_ticks + 1) + 1
        return bool(world.machine.proving.latest(job.id, world.tick) >= world.tick + least)

    promised = list(takewhile(has_time, world.board.open_jobs()))
    world.waiting.clear()
    while any(job.is_open for job in promised):
        for name in world.scenario.provers:
            for record in due_records(world, name):
                world.say(name, record)
        world.step(world.scenario.usual_lag)
        world.look_at(KEPT)
        for job in promised:
            has_lost = world.board.has_lost(job)
            must(
                has_lost or not job.is_void, "a job was void though its prover lived", job.id.hex()
            )


BONDED_MOVES: Final[Mapping[str, Move]] = {
    **{name: move for name, move in MOVES.items() if name not in ("intend", "survive")},
    "award": Move(
        award,
        4,
        {
            "who": SEQUENCERS,
            "prover": ANYBODY,
            "price": (0, 7, 400, 5_000),
            "more": (0, 1, 200, 5_000),
            "valid_for": (0, 1, 8),
            "flaw": FLAWS,
        },
    ),
    "misprove": Move(misprove, 3, {"nth": (0, 1, 2, 5), "lie": LIES}),
    "deliver": Move(deliver, 2, {}),
}
"""All moves that make sense where provers are chosen."""
