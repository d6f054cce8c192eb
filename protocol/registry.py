"""Rules by name: short names for ours, a mapping the caller may extend for anybody else's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from protocol.errors import Reason, Refused
from protocol.machine import Machine
from protocol.params import Genesis, RuleChoice, parse_settings
from protocol.proving.bonded import Bonded
from protocol.proving.elected import Elected
from protocol.rules import ProvingRule, SequencingRule
from protocol.sequencing.fernet import Fernet
from protocol.types import Root

SEQUENCING: Final[Mapping[str, type[Any]]] = {Fernet.name: Fernet}
"""Sequencing rules of this project by short name."""

PROVING: Final[Mapping[str, type[Any]]] = {Elected.name: Elected, Bonded.name: Bonded}
"""Proving rules of this project by short name."""


def build_rule(rules: Mapping[str, type[Any]], choice: RuleChoice) -> Any:
    """A fresh rule object with the chosen settings.

    :raises Refused: UNKNOWN_RULE, or MALFORMED_GENESIS for its settings.
    """
    rule = rules.get(choice.name)
    if rule is None:
        raise Refused(Reason.UNKNOWN_RULE, f"{choice.name}; known: {', '.join(sorted(rules))}")
    return rule(parse_settings(rule.parameters_type, choice))


def build_machine(
    genesis: Genesis,
    genesis_root: Root,
    sequencing_rules: Mapping[str, type[Any]] = SEQUENCING,
    proving_rules: Mapping[str, type[Any]] = PROVING,
) -> Machine:
    """The machine of a network at its genesis.

    Raises Refused when the rules cannot be built or combined.
    """
    sequencing: SequencingRule = build_rule(sequencing_rules, genesis.sequencing)
    proving: ProvingRule = build_rule(proving_rules, genesis.proving)
    return Machine(genesis, genesis_root, sequencing, proving)
