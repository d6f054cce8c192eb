"""Rules and their parameters as a person names them: what is taken, what is refused and how."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from protocol.params import Setting, format_genesis, parse_genesis, settings_of
from protocol.proving.elected import Elected
from protocol.types import Root, Tick
from scripts.configuration import ConfigurationError
from scripts.launcher.plan import (
    Plan,
    Wish,
    is_possible,
    make_plan,
    network_defaults,
    window_needs,
)
from scripts.rules import (
    PARTS,
    RULES,
    first_paragraph,
    machine_of,
    meanings,
    network_kind,
    parse_sets,
    show_rules,
)

OWN = '''"""Patient provers: nobody hurries.

More about it.
"""

from dataclasses import dataclass

from protocol.proving.elected import Elected
from protocol.types import Tick


@dataclass(frozen=True, slots=True)
class PatientParameters(Elected.parameters_type):
    """Parameters of patience.

    :ivar patience_ticks: what is waited for
        nothing.
    """

    patience_ticks: Tick = Tick(3)


class Patient(Elected):
    parameters_type = PatientParameters


class NoDefaults(Elected):
    @dataclass(frozen=True)
    class parameters_type:
        speed: Tick


class NoRule:
    pass
'''


WINDOWS = {"leaf_window_ticks", "merge_window_ticks"}
"""What the rule of elected provers declares of what a machine needs."""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine" / "patient.py"
    path.parent.mkdir()
    path.write_text(OWN)
    return path


def plan(*sets: str, **wish: object) -> Plan:
    return make_plan(Wish(sets=sets, **wish))


def settings(plan: Plan, part: str) -> dict[str, str]:
    return {one.name: one.value for one in getattr(plan.genesis, part).settings}


# --- settings ---


def test_settings_of_every_part_reach_the_genesis() -> None:
    made = plan(
        "proving.open_bps=7000", "sequencing.reveal_ticks=9", "network.epoch_ticks=64"
    ).genesis
    assert Setting("open_bps", "7000") in made.proving.settings
    assert Setting("reveal_ticks", "9") in made.sequencing.settings
    assert made.network.epoch_ticks == 64
    assert parse_genesis(format_genesis(made)) == made


def test_what_is_set_wins_over_what_the_machine_needs() -> None:
    assert settings(plan(slot_ms=1_000), "proving").keys() == WINDOWS
    found = settings(plan("proving.leaf_window_ticks=77", slot_ms=1_000), "proving")
    assert found["leaf_window_ticks"] == "77"
    assert found["merge_window_ticks"] != "77"


def test_needs_that_a_rule_does_not_declare_are_not_passed(own: Path) -> None:
    assert settings(plan(), "sequencing") == {"leaf_count_max": "4"}
    made = plan("proving.patience_ticks=5", proving=f"{own}:Patient")
    assert set(settings(made, "proving")) == {*WINDOWS, "patience_ticks"}
    assert window_needs(Wish(), 1_000).keys() > WINDOWS


def test_slower_declared_proofs_get_longer_windows() -> None:
    def window(leaf_ms: int | None) -> int:
        wish = Wish(backend="modelled", leaf_ms=leaf_ms)
        return window_needs(wish, 1_000)["leaf_window_ticks"]

    assert window(60_000) > window(None)
    whole, layer = (
        window_needs(Wish(backend="modelled"), 1_000)[name]
        for name in ("max_prover_ticks", "leaf_window_ticks")
    )
    assert whole > layer
    provers = [
        one.configuration.prover
        for one in plan(backend="modelled", leaf_ms=7, merge_ms=8).members
        if one.configuration.prover
    ]
    assert {(one.leaf_ms, one.merge_ms) for one in provers} == {(7, 8)}
    assert is_possible(Wish(leaf_ms=7)) is not None
    assert is_possible(Wish(merge_ms=7)) is not None
    assert is_possible(Wish(leaf_ms=7, backend="modelled")) is None


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ("proving.speed=3", "the proving rule elected has no parameter speed", "open_bps=5000"),
        ("sequencing.speed=3", "the sequencing rule fernet has no parameter", "reveal_ticks=7"),
        ("network.speed=3", "the network has no parameter speed", "epoch_ticks=128"),
        ("network.backend=x", "the network has no parameter backend", "operation_fee=100"),
        ("network.slot_ms=500", "the network has no parameter slot_ms", "operation_fee=100"),
        ("proving.open_bps=many", "proving.open_bps must be a whole number", "open_bps=5000"),
        ("proving.open_bps=10001", "proving.open_bps must be a whole number from", "open_bps"),
        ("proving.open_bps=", "proving.open_bps must be a whole number", "open_bps=5000"),
        ("proving.open_bps", "not of the form RULE.NAME=VALUE", "sequencing, proving, network"),
        ("speed=3", "not of the form RULE.NAME=VALUE", "sequencing, proving, network"),
        ("nobody.speed=3", "not of the form RULE.NAME=VALUE", "sequencing, proving, network"),
        ("network.epoch_ticks=2", "epoch_ticks is at least 8", "--set"),
        ("proving.min_leaf_ticks=999", "a minimal time exceeds its window", "min_leaf_ticks=2"),
    ],
)
def test_what_cannot_be_set_is_refused_with_what_can(text: str, sentence: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        plan(text)
    assert sentence in refused.value.sentence
    assert hint in refused.value.hint


def test_a_setting_is_given_once() -> None:
    with pytest.raises(ConfigurationError, match="given once"):
        plan("proving.open_bps=1", "proving.open_bps=2")


def test_values_may_hold_any_character() -> None:
    found = parse_sets(["proving.name=a=b c", "network.epoch_ticks=9"])
    assert found == {
        "sequencing": (),
        "proving": (Setting("name", "a=b c"),),
        "network": (Setting("epoch_ticks", "9"),),
    }
    assert tuple(found) == PARTS


# --- rules ---


@pytest.mark.parametrize(
    ("name", "sentence", "hint"),
    [
        ("nobody", "nobody is no proving rule", "elected"),
        ("fernet", "fernet is no proving rule", "elected"),
        ("nowhere.py:Rule", "is no file of Python", "path.py:Class"),
        ("OWN:Missing", "has no class Missing", "after the colon"),
        ("OWN:NoRule", "is no proving rule: it lacks", "protocol/rules.py"),
        ("OWN:Tick", "has no class Tick", "after the colon"),
        ("OWN:NoDefaults", "does not say what it can be set to", "parameters_type"),
    ],
)
def test_a_rule_that_is_not_there_is_refused(
    own: Path, name: str, sentence: str, hint: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        plan(proving=name.replace("OWN:", f"{own}:"))
    assert sentence in refused.value.sentence
    assert hint in refused.value.hint


def test_a_file_that_cannot_be_executed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_that_name\n")
    with pytest.raises(ConfigurationError, match="cannot be executed: ModuleNotFoundError"):
        plan(proving=f"{path}:Rule")
    path.write_text(OWN)
    assert plan(proving=f"{path}:Patient").genesis.proving.name == "rules/broken.py:Patient"


def test_a_rule_of_ones_own_moves_into_the_run_and_runs_from_there(
    own: Path, tmp_path: Path
) -> None:
    made = plan("proving.patience_ticks=5", proving=f"{own}:Patient")
    run = tmp_path / "run"
    run.mkdir()
    made.copy_rules(run)
    own.unlink()
    genesis = parse_genesis(format_genesis(made.genesis))
    machine = machine_of(genesis, Root(bytes(32)), run)
    assert isinstance(machine.proving, Elected)
    assert type(machine.proving).__name__ == "Patient"
    assert machine.proving.parameters.patience_ticks == Tick(5)


def test_two_files_of_one_name_are_refused(own: Path, tmp_path: Path) -> None:
    other = tmp_path / own.name
    other.write_text(
        "from protocol.sequencing.fernet import Fernet\nclass Other(Fernet):\n    pass\n"
    )
    with pytest.raises(ConfigurationError, match="two files of rules"):
        plan(proving=f"{own}:Patient", sequencing=f"{other}:Other")


def test_rules_that_make_no_sense_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lonely.py"
    path.write_text(
        '"""Alone."""\nfrom protocol.sequencing.fernet import Fernet\n'
        "class Lonely(Fernet):\n"
        "    def combines_with(self, proving):\n        return 'it stays alone'\n"
    )
    with pytest.raises(ConfigurationError, match="does not go with elected: it stays alone"):
        plan(sequencing=f"{path}:Lonely")


# --- the list ---


def shown(*names: str) -> str:
    console = Console(file=io.StringIO(), width=200)
    show_rules(console, names, network_defaults("plonky2", 1_000))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_parameter_of_every_rule_is_listed_with_its_default_and_its_meaning() -> None:
    text = " ".join(shown().split())
    kinds = [rule.parameters_type for rules in RULES.values() for rule in rules.values()]
    kinds.append(network_kind(network_defaults("plonky2", 1_000)))
    for kind in kinds:
        told = meanings(kind)
        for one in settings_of(kind()):
            assert f"{one.name} {one.value} {told.get(one.name, '')}".strip() in text
    for rules in RULES.values():
        for rule in rules.values():
            assert first_paragraph(rule) in text


def test_a_rule_of_ones_own_is_listed_too(own: Path) -> None:
    lines = [" ".join(line.split()) for line in shown(f"{own}:Patient").splitlines()]
    assert "Patient provers: nobody hurries." in lines
    assert "patience_ticks 3 what is waited for nothing." in lines
    assert not any(line == "network" for line in lines)


def test_a_name_of_no_rule_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="there is fernet, elected"):
        shown("nobody")
    with pytest.raises(ConfigurationError, match="no file of Python"):
        shown("nowhere.py:Rule")


def test_a_backup_has_a_sequencer_and_a_prover_of_its_own() -> None:
    plan = make_plan(Wish(backup=("validator-2",)))
    able = {one.name: one.configuration for one in plan.members if one.configuration.backup}
    assert set(able) == {"validator-2"}
    assert able["validator-2"].sequencer is not None
    assert able["validator-2"].prover is not None
    with pytest.raises(ConfigurationError, match=r"(?s)prover-1.*validator-1, validator-2"):
        make_plan(Wish(backup=("prover-1",)))
