"""A genesis in TOML: what is written is read back, what is wrong is refused with its place."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import Enum

import pytest
from hypothesis import given, settings, strategies as st

from protocol.errors import Reason, Refused
from protocol.params import (
    Genesis,
    RuleChoice,
    Setting,
    check_genesis,
    format_genesis,
    network_id,
    parse_genesis,
    parse_settings,
    settings_of,
)
from protocol.proving.elected_parameters import ElectedParameters
from protocol.sequencing.fernet_parameters import FernetParameters
from protocol.testing import Scenario
from protocol.testing.strategies import genesis
from protocol.types import BOUNDS, Amount, BasisPoints, Count, Stake, Tick

SOUND = Scenario(cards=(1,)).genesis()
TEXT = format_genesis(SOUND)


# --- text ---


@given(genesis(), st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
@settings(max_examples=20)
def test_text_reads_back_to_the_same_genesis(drawn, name, value):
    named = replace(
        drawn,
        network=replace(drawn.network, name=name),
        proving=RuleChoice(name, (Setting("odd", value),)),
    )
    assert parse_genesis(format_genesis(named)) == named


@pytest.mark.parametrize(
    "value", ["true", "false", "0", "17", "017", "-1", "x", "\u0661", '\x7f\\"']
)
def test_settings_keep_their_text(value):
    named = replace(SOUND, proving=RuleChoice("elected", (Setting("odd", value),)))
    assert parse_genesis(format_genesis(named)) == named


def test_settings_are_sorted_by_name():
    text = TEXT.replace('rule = "elected"', 'rule = "elected"\nzeal = 1\naim = true')
    names = [one.name for one in parse_genesis(text).proving.settings]
    assert names == sorted(names)
    assert {"aim", "zeal"} <= set(names)


def refusal(text):
    with pytest.raises(Refused) as refused:
        parse_genesis(text)
    return refused.value


def entry(name):
    """The first line of the text that sets ``name``."""
    return next(line for line in TEXT.splitlines() if line.startswith(f"{name} = "))


MALFORMED = {
    "no TOML": ("[network]", "[network", ""),
    "no network": ("[network]", "[other]", "genesis must be without the unknown entry other"),
    "no sequencing": ("[sequencing]", "[serendipity]", "without the unknown entry serendipity"),
    "no rule": ('rule = "fernet"', "", "sequencing must be a table with the entry 'rule'"),
    "rule no table": ("[sequencing]", "[[sequencing]]", "sequencing must be a table"),
    "rule no name": ('rule = "fernet"', "rule = 3", "genesis.sequencing.name must be short text"),
    "setting a list": ('rule = "fernet"', 'rule = "fernet"\nodd = [1]', "sequencing.odd must be"),
    "setting a float": ('rule = "fernet"', 'rule = "fernet"\nodd = 0.5', "sequencing.odd must be"),
    "setting too long": (
        'rule = "fernet"',
        f'rule = "fernet"\nodd = 0x{"f" * 5000}',
        "sequencing.odd",
    ),
    "number too long": (entry("slot_ms"), f"slot_ms = {'9' * 5000}", ""),
    "list too deep": (entry("slot_ms"), f"slot_ms = {'[' * 9000}", ""),
    "empty setting": ('rule = "fernet"', 'rule = "fernet"\nodd = ""', "must be short text"),
    "a number as text": (
        entry("slot_ms"),
        'slot_ms = "9"',
        "genesis.network.slot_ms must be a who",
    ),
    "a truth value": (
        entry("slot_ms"),
        "slot_ms = true",
        "genesis.network.slot_ms must be a whole",
    ),
    "negative": (entry("slot_ms"), "slot_ms = -1", "from 0 to 9007199254740991"),
    "too large": (entry("equivocation_penalty"), "equivocation_penalty = 10001", "0 to 10000"),
    "missing": (entry("slot_ms"), "", "genesis.network must be a table with the entry slot_ms"),
    "unknown": (entry("slot_ms"), "slot_ms = 9\nspeed = 1", "without the unknown entry speed"),
    "empty name": (entry("name"), 'name = ""', "genesis.network.name must be short text"),
    "long name": (entry("name"), f'name = "{"é" * 33}"', "genesis.network.name must be short text"),
    "short key": (
        entry("account"),
        'account = "00"',
        "genesis.accounts[0].account must be 32 bytes",
    ),
    "no hex": (
        entry("account"),
        f'account = "{"zz" * 32}"',
        "accounts[0].account must be 32 bytes",
    ),
    "spaced hex": (entry("account"), f'account = "{"0 " * 32}"', "accounts[0].account must be 32"),
    "a key as number": (entry("account"), "account = 5", "accounts[0].account must be 32 bytes"),
    "no list": ("[[rollup]]", "[rollup]", "genesis.rollup must be a list"),
    "account no table": ("[network]", "x = 1\n[network]", "without the unknown entry x"),
}


@pytest.mark.parametrize(("old", "new", "place"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_refused_with_its_place(old, new, place):
    assert old in TEXT
    refused = refusal(TEXT.replace(old, new, 1))
    assert refused.reason is Reason.MALFORMED_GENESIS
    assert place in refused.detail


def test_a_list_of_something_else_is_refused():
    head = TEXT[: TEXT.index("[[rollup]]")]
    assert "rollup[0] must be a table" in refusal("rollup = [3]\n" + head).detail


# --- contradictions ---


def network(**changes):
    return replace(SOUND, network=replace(SOUND.network, **changes))


def accounts(**changes):
    return replace(SOUND, accounts=tuple(replace(one, **changes) for one in SOUND.accounts))


FIRST = SOUND.accounts[0]

CONTRADICTIONS = {
    "backend is one of plonky2, modelled": network(backend="magic"),
    "slot_ms is at least 50": network(slot_ms=49),
    "epoch_ticks is at least 8": network(epoch_ticks=7),
    "room for an operation": network(max_operations_per_log_block=0),
    "room for a body": network(max_bodies_per_log_block=0),
    "no account stands twice": replace(
        SOUND, accounts=(*SOUND.accounts, replace(FIRST, name="twin"))
    ),
    "no name stands twice": replace(
        SOUND, accounts=(*SOUND.accounts, replace(FIRST, account=bytes(32)))
    ),
    "somebody has log stake": accounts(log_stake=0),
    "somebody has sequencer stake": accounts(sequencer_stake=0),
    "no rollup account stands twice": replace(SOUND, rollup=SOUND.rollup * 2),
    "the whole supply fits an amount": accounts(balance=BOUNDS[Amount]),
}


@pytest.mark.parametrize(("sentence", "wrong"), CONTRADICTIONS.items(), ids=CONTRADICTIONS)
def test_what_contradicts_itself_is_refused_with_the_sentence(sentence, wrong):
    with pytest.raises(Refused) as refused:
        check_genesis(wrong)
    assert refused.value.reason is Reason.CONTRADICTORY_GENESIS
    assert sentence in refused.value.detail
    assert refusal(format_genesis(wrong)).reason is Reason.CONTRADICTORY_GENESIS


# --- identity ---


def changed(value):
    """The value with each of its fields changed in turn, all the way down."""
    if isinstance(value, bytes):
        yield bytes([value[0] ^ 1]) + value[1:]
    elif isinstance(value, int):
        yield value + 1 if value < 10_000 else value - 1
    elif isinstance(value, str):
        yield value + "x"
    elif isinstance(value, tuple):
        yield value[:-1]
        for at, one in enumerate(value):
            for other in changed(one):
                yield (*value[:at], other, *value[at + 1 :])
    else:
        for field in fields(value):
            for other in changed(getattr(value, field.name)):
                yield replace(value, **{field.name: other})


def test_the_network_id_changes_with_any_field():
    ids = [network_id(other) for other in (SOUND, *changed(SOUND))]
    assert len(set(ids)) == len(ids) > 90
    assert network_id(parse_genesis(TEXT)) == network_id(SOUND)


def test_the_order_of_accounts_is_part_of_the_identity():
    other = replace(SOUND, accounts=SOUND.accounts[::-1])
    assert network_id(other) != network_id(SOUND)


# --- settings of rules ---


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Odd:
    ticks: Tick = Tick(3)
    share: BasisPoints = BasisPoints(7)
    stake: Stake = Stake(1)
    count: Count = Count(2)
    amount: Amount = Amount(5)
    is_on: bool = False
    colour: Colour = Colour.RED


def choice(**settings_):
    return RuleChoice("odd", tuple(Setting(name, value) for name, value in settings_.items()))


def test_settings_of_every_type_are_parsed_and_the_rest_keep_their_defaults():
    given_ = choice(ticks="9", share="10000", is_on="true", colour="blue")
    assert parse_settings(Odd, given_) == Odd(
        ticks=Tick(9), share=BasisPoints(10_000), is_on=True, colour=Colour.BLUE
    )
    assert parse_settings(Odd, choice()) == Odd()


@given(
    st.builds(
        Odd,
        ticks=st.integers(0, BOUNDS[Tick]),
        share=st.integers(0, 10_000),
        stake=st.integers(0, BOUNDS[Stake]),
        count=st.integers(0, BOUNDS[Count]),
        amount=st.integers(0, BOUNDS[Amount]),
        is_on=st.booleans(),
        colour=st.sampled_from(Colour),
    )
)
@settings(max_examples=50)
def test_settings_read_back(odd):
    written = settings_of(odd)
    assert [one.name for one in written] == sorted(one.name for one in written)
    assert parse_settings(Odd, RuleChoice("odd", written)) == odd


@pytest.mark.parametrize("parameters", [FernetParameters(), ElectedParameters()])
def test_defaults_of_our_rules_read_back(parameters):
    written = RuleChoice("rule", settings_of(parameters))
    assert parse_settings(type(parameters), written) == parameters


@pytest.mark.parametrize(
    ("given_", "place"),
    [
        (choice(speed="1"), "odd.speed must be one of amount, colour, count"),
        (RuleChoice("odd", (Setting("ticks", "1"),) * 2), "odd.ticks must be given once"),
        (choice(ticks="x"), "odd.ticks must be a whole number"),
        (choice(ticks="-1"), "odd.ticks must be a whole number"),
        (choice(ticks="\u0661"), "odd.ticks must be a whole number"),
        (choice(ticks="9" * 20), "odd.ticks must be a whole number"),
        (choice(ticks="9" * 19), "odd.ticks must be a whole number from 0"),
        (choice(share="10001"), "odd.share must be a whole number from 0 to 10000"),
        (choice(is_on="1"), "odd.is_on must be true or false"),
        (choice(colour="green"), "odd.colour must be one of red, blue"),
    ],
    ids=str,
)
def test_settings_that_are_wrong_are_refused_with_their_place(given_, place):
    with pytest.raises(Refused) as refused:
        parse_settings(Odd, given_)
    assert refused.value.reason is Reason.MALFORMED_GENESIS
    assert place in refused.value.detail


def test_a_genesis_is_a_value():
    assert isinstance(SOUND, Genesis)
    assert Scenario(cards=(1,)).genesis() == SOUND
