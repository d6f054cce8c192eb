"""Stories told by hand: a world with one job, and short words for what provers do."""

from __future__ import annotations

from dataclasses import replace

from protocol import tree
from protocol.events import Event
from protocol.testing import JobView, Scenario, World, actor
from protocol.testing.cast import BEGGAR, OUTSIDER, PROVERS, SEQUENCERS
from protocol.testing.moves import build, due_records, everybody_enlists, record_of
from protocol.testing.scenario import QUICK_ELECTED, QUICK_FERNET
from protocol.types import Account, Count, TreeIndex

NAMES = {actor(name).account: name for name in (*SEQUENCERS, *PROVERS, OUTSIDER, BEGGAR)}


def scenario(cards=(1, 1, 1, 1), fernet=None, elected=None, **rest) -> Scenario:
    return Scenario(
        cards=cards,
        sequencing_parameters=replace(QUICK_FERNET, **(fernet or {})),
        proving_parameters=replace(QUICK_ELECTED, **(elected or {})),
        **rest,
    )


def network(*args, **settings) -> World:
    """A world whose provers are enlisted."""
    world = World(scenario(*args, **settings))
    everybody_enlists(world)
    world.step()
    return world


def open_job(world: World, height=2, split=10_000, fee=1_000, who="s0") -> JobView:
    """The job of a new block."""
    before = set(world.board.jobs)
    build(world, who=who, height=height, split=split, fee=fee, how="honest")
    while True:
        for key, job in world.board.jobs.items():
            if key not in before:
                return job
        world.step()


def job_where(wish, cards=(1, 1, 1, 1), height=2, **settings):
    """A world with a job whose deal fits the wish; the deal depends on the balance."""
    for balance in range(1_000, 1_400):
        world = network(cards=cards, balance=balance, **settings)
        job = open_job(world, height=height)
        if wish(job):
            return world, job
    raise AssertionError("no such deal")


def at(level: int, position: int) -> TreeIndex:
    return TreeIndex(Count(level), Count(position))


def places(job: JobView) -> list[TreeIndex]:
    return list(tree.indices(len(job.header.content.leaves)))


def assigned(job: JobView, index: TreeIndex) -> str:
    return NAMES[job.nodes[index].assigned]


def deliver(world: World, job: JobView, index: TreeIndex, who: str, lie="no lie") -> None:
    """The next block orders this record."""
    world.say(who, record_of(job, index, who, lie))


def refusals(events) -> list[str]:
    return [event.reason for event in events if type(event).__name__ == "OperationRefused"]


def of(kind: type, events) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


def play_on(world: World, dead=(), ticks=200, lag=1) -> list[Event]:
    """All living provers record what they may until no job is open."""
    told: list[Event] = []
    for _ in range(ticks):
        if not any(True for _ in world.board.open_jobs()):
            return told
        for name in world.scenario.provers:
            for record in due_records(world, name) if name not in dead else ():
                world.say(name, record)
        told += world.step(lag).events
    raise AssertionError("the jobs do not end")


def paid(events, job: JobView, cause) -> dict[tuple[TreeIndex, Account], int]:
    return {
        (event.place, event.target.owner): event.amount
        for event in events
        if getattr(event, "cause", None) is cause and event.job == job.id
    }
