"""Events are plain: every one has canonical bytes, and they come back the same."""

from __future__ import annotations

from typing import get_args

from protocol.codec import decode, encode
from protocol.events import Event
from protocol.ledger import Moved
from protocol.testing import Dice, Scenario, any_scenario, tell
from tests.protocol.desk import network, open_job, play_on

EVENT_BYTES_MAX = 100_000


def test_every_event_of_a_story_has_bytes_that_read_back():
    world = network()
    open_job(world)
    for event in play_on(world, dead=("p1",)):
        assert decode(Event, encode(event, Event), size_max=EVENT_BYTES_MAX) == event


def test_kinds_of_events_are_distinct_names():
    names = [kind.__name__ for kind in get_args(Event)]
    assert len(set(names)) == len(names)
    assert Moved in get_args(Event)


def test_the_digest_is_a_rolling_hash_of_the_events():
    first, second = (tell(any_scenario(Dice(5), Scenario()), 5, 30) for _ in range(2))
    assert first.digests == second.digests
    assert len(set(first.digests)) == len(first.digests)
