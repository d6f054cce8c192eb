"""Rules by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.errors import Reason, Refused
from protocol.params import RuleChoice, Setting
from protocol.proving.elected import Elected
from protocol.registry import PROVING, SEQUENCING, build_machine, build_rule
from protocol.sequencing.fernet import Fernet
from protocol.testing import Scenario
from protocol.testing.scenario import GENESIS_ROOT


class Elsewhere(Elected):
    name = "elsewhere"


class Lonely(Fernet):
    name = "lonely"

    def combines_with(self, proving):
        return f"lonely goes with nobody, least of all {proving.name}"


def test_a_machine_has_the_rules_and_settings_of_its_genesis():
    scenario = Scenario()
    machine = build_machine(scenario.genesis(), GENESIS_ROOT)
    assert isinstance(machine.sequencing, Fernet)
    assert machine.sequencing.parameters == scenario.sequencing_parameters
    assert isinstance(machine.proving, Elected)
    assert machine.proving.parameters == scenario.proving_parameters
    assert machine.digest == scenario.machine().digest


def test_short_names_are_the_rules_own():
    for rules in (SEQUENCING, PROVING):
        assert all(rule.name == name for name, rule in rules.items())


def test_an_unknown_rule_is_refused_with_those_known():
    with pytest.raises(Refused, match="nowhere; known: bonded, elected") as refusal:
        build_rule(PROVING, RuleChoice("nowhere", ()))
    assert refusal.value.reason is Reason.UNKNOWN_RULE


def test_a_rule_refuses_settings_it_does_not_know():
    with pytest.raises(Refused, match=r"elected\.speed") as refusal:
        build_rule(PROVING, RuleChoice("elected", (Setting("speed", "9"),)))
    assert refusal.value.reason is Reason.MALFORMED_GENESIS


def test_a_rule_of_somebody_else_needs_no_change_here():
    genesis = replace(Scenario().genesis(), proving=RuleChoice("elsewhere", ()))
    rules = {**PROVING, "elsewhere": Elsewhere}
    assert isinstance(build_machine(genesis, GENESIS_ROOT, proving_rules=rules).proving, Elsewhere)


def test_rules_that_do_not_go_together_are_refused_with_a_sentence():
    genesis = replace(Scenario().genesis(), sequencing=RuleChoice("lonely", ()))
    with pytest.raises(Refused, match="least of all elected") as refusal:
        build_machine(genesis, GENESIS_ROOT, {"lonely": Lonely})
    assert refusal.value.reason is Reason.CONTRADICTORY_GENESIS
