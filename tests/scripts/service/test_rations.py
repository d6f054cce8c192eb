"""Limits of a faucet, over all orders of asks that chance brings, with time as a value.

The oracle keeps all that was given, for ever, and reads the terms off that.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given, strategies as st

from protocol.types import Account, Milliseconds, Tick
from scripts.configuration import FaucetConfiguration
from scripts.service import rations
from scripts.service.rations import FRESH_TICKS, Ask, Gift, Rations, group
from scripts.service.values import Refusal

TERMS = FaucetConfiguration(
    amount=10, pause_s=2, account_pause_s=20, account_max=25, address_max=45, period_s=100
)
ACCOUNTS = tuple(Account(bytes([at]) * 32) for at in range(4))


def ask(account: int = 0, address: str = "a", tick: int = 50) -> Ask:
    return Ask(ACCOUNTS[account], address, Tick(tick))


def refusal(state: Rations, asked: Ask, head: int, now_ms: int) -> tuple[Refusal | None, int]:
    found = state.objection(asked, Tick(head), Milliseconds(now_ms))
    return (None, 0) if found is None else (found.refusal, found.wait_ms)


def granted(state: Rations, asked: Ask, head: int, now_ms: int) -> Rations:
    assert refusal(state, asked, head, now_ms) == (None, 0)
    return state.after(asked, Tick(head), Milliseconds(now_ms))


STEPS = st.lists(
    st.tuples(
        st.integers(0, 30_000),  # milliseconds since the last ask
        st.integers(0, 3),  # heights since then
        st.integers(0, len(ACCOUNTS) - 1),
        st.sampled_from("ab"),
        st.integers(-2, 40),  # how far the height that was signed lies behind
    ),
    max_size=60,
)
STORM = [(2_000, 1, at % 4, "ab"[at % 2], 0) for at in range(60)]
PATIENT = [(20_000, 1, 0, "a", 0) for _ in range(20)]


@given(STEPS)
@example(STORM)
@example(PATIENT)
def test_no_limit_is_ever_passed(steps: list[tuple[int, int, int, str, int]]) -> None:
    state, given_so_far = Rations(TERMS), list[Gift]()
    now, head = 1_000_000, 100
    for later, higher, account, address, behind in steps:
        now, head = now + later, head + higher
        asked = ask(account, address, head - behind)
        if refusal(state, asked, head, now)[0] is None:
            state = granted(state, asked, head, now)
            given_so_far.append(Gift(asked, 10, Milliseconds(now)))
    times = [one.at_ms for one in given_so_far]
    assert all(b - a >= 2_000 for a, b in pairwise(times))
    for chosen, most, pause_ms in (
        *((lambda one, key=key: one.ask.account == key, 25, 20_000) for key in ACCOUNTS),
        *((lambda one, key=key: one.ask.address == key, 45, 0) for key in "ab"),
    ):
        own = [one for one in given_so_far if chosen(one)]
        assert all(b.at_ms - a.at_ms >= pause_ms for a, b in pairwise(own))
        for last in own:
            within = [one for one in own if last.at_ms - 100_000 < one.at_ms <= last.at_ms]
            assert sum(one.amount for one in within) <= most
    for key in ACCOUNTS:
        signed = [one.ask.tick for one in given_so_far if one.ask.account == key]
        assert signed == sorted(set(signed))


@given(STEPS)
@example(STORM)
@example(PATIENT)
def test_who_is_told_to_wait_is_served_then_or_told_another_reason(
    steps: list[tuple[int, int, int, str, int]],
) -> None:
    state, now, head = Rations(TERMS), 1_000_000, 100
    for later, higher, account, address, _ in steps:
        now, head = now + later, head + higher
        asked = ask(account, address, head)
        found = state.objection(asked, Tick(head), Milliseconds(now))
        if found is None:
            state = granted(state, asked, head, now)
        elif found.wait_ms:
            fresh = replace(asked, tick=Tick(head + 1))
            early = refusal(state, fresh, head + 1, now + found.wait_ms - 1)
            assert early == (found.refusal, 1)
            again = state.objection(fresh, Tick(head + 1), Milliseconds(now + found.wait_ms))
            assert again is None or again.hint != found.hint


def test_an_honest_asker_is_served() -> None:
    state = granted(Rations(TERMS), ask(), 50, 0)
    state = granted(state, ask(tick=51), 51, 20_000)
    assert refusal(state, ask(tick=52), 52, 40_000) == (Refusal.TOO_MUCH, 60_000)
    assert refusal(state, ask(1, tick=52), 52, 40_000) == (None, 0)
    granted(state, ask(tick=52), 52, 100_000)


def test_many_accounts_of_one_address_are_one_asker() -> None:
    state = Rations(TERMS)
    for at in range(4):
        state = granted(state, ask(at), 50, 2_000 * at)
    other = Ask(Account(b"\xff" * 32), "a", Tick(50))
    assert refusal(state, other, 50, 8_000) == (Refusal.TOO_MUCH, 92_000)
    assert refusal(state, replace(other, address="b"), 50, 8_000) == (None, 0)


@pytest.mark.parametrize("behind", [FRESH_TICKS, FRESH_TICKS + 1, -1, -(10**9)])
def test_a_height_that_is_not_recent_serves_nothing(behind: int) -> None:
    assert refusal(Rations(TERMS), ask(tick=1_000 - behind), 1_000, 0)[0] is Refusal.STALE_PROOF
    inside = ask(tick=1_000 - FRESH_TICKS + 1)
    assert refusal(Rations(TERMS), inside, 1_000, 0)[0] is None


def test_what_was_served_serves_no_more_however_long_the_log_stands_still() -> None:
    state = granted(Rations(TERMS), ask(tick=50), 50, 0)
    for at in range(1, 4):  # others ask, so that old gifts are forgotten
        state = granted(state, ask(at, tick=50), 50, 1_000_000 * at)
    assert refusal(state, ask(tick=50), 50, 10**10)[0] is Refusal.USED_PROOF
    assert refusal(state, ask(tick=49), 50, 10**10)[0] is Refusal.USED_PROOF
    assert refusal(state, ask(tick=51), 51, 10**10)[0] is None


def test_a_clock_that_is_set_back_gives_nothing_twice() -> None:
    state = granted(Rations(TERMS), ask(), 50, 10_000_000)
    assert refusal(state, ask(1), 50, 9_000_000) == (Refusal.TOO_SOON, 1_002_000)


def test_memory_is_bounded_and_gifts_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rations, "GIFTS_MAX", 3)
    state = Rations(TERMS)
    for at in range(3):
        state = granted(state, ask(at, str(at), 50 + at), 50 + at, 2_000 * at)
    last = ask(3, "z", 53)
    assert refusal(state, last, 53, 6_000) == (Refusal.TOO_SOON, 94_000)
    late = replace(last, tick=Tick(50 + FRESH_TICKS))
    assert len(granted(state, late, 50 + FRESH_TICKS, 100_000).gifts) == 3


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_a_house_is_one_address(address: str, whose: str) -> None:
    assert group(address) == whose
