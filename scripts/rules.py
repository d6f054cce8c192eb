"""Rules by name, as a person writes them: what there is, what each can be set to, and rules in
files of one's own.

Rules. A rule is named by its short name, or ``path.py:Class`` when it stands in somebody's own
file; such a path counts from the folder of the genesis that names it. A setting is written
``PART.NAME=VALUE``; the parts are ``sequencing``, ``proving`` and ``network``. What a rule can be
set to are the fields of its frozen dataclass of parameters, and nothing else; what they mean is
read from that class's ``:ivar`` lines.

A rule's file is executed when it is named: join only networks whose rules you have read.

Properties. Whoever names something that is not there is told what is, with its default.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from protocol.errors import Refused
from protocol.machine import Machine
from protocol.params import (
    Genesis,
    NetworkParameters,
    RuleChoice,
    Setting,
    parse_settings,
    settings_of,
)
from protocol.registry import PROVING, SEQUENCING, build_machine
from protocol.rules import ProvingRule, Rule, SequencingRule
from protocol.types import Root
from scripts.configuration import ConfigurationError

RULES: Final[Mapping[str, Mapping[str, type[Any]]]] = {"sequencing": SEQUENCING, "proving": PROVING}
"""Rules of this project by part and short name."""

NETWORK: Final = "network"
"""The part that every rule shares."""

PARTS: Final = (*RULES, NETWORK)
"""What can be set."""

FIXED: Final = ("name", "backend", "genesis_time_ms", "slot_ms")
"""Parameters of a network that have an option of their own, or none."""

_INTERFACES: Final = {"sequencing": SequencingRule, "proving": ProvingRule}
_CALL: Final = "run ./scripts/provnet rules to see all of them"


def parse_sets(texts: Sequence[str]) -> dict[str, tuple[Setting, ...]]:
    """Settings by part from ``PART.NAME=VALUE``, in their order.

    :raises ConfigurationError: for text of another form, and for a part that is none.
    """
    found: dict[str, list[Setting]] = {part: [] for part in PARTS}
    for text in texts:
        written = re.fullmatch(r"(\w+)\.(\w+)=(.*)", text)
        if written is None or written[1] not in PARTS:
            raise ConfigurationError(
                f"{text}: not of the form RULE.NAME=VALUE",
                f"RULE is one of {', '.join(PARTS)}; {_CALL}",
            )
        found[written[1]].append(Setting(written[2], written[3]))
    return {part: tuple(settings) for part, settings in found.items()}


def find_rule(part: str, name: str, folder: Path) -> type[Any]:
    """The class of a rule.

    :param part: ``sequencing`` or ``proving``.
    :param folder: where paths count from.
    :raises ConfigurationError: when there is no such rule.
    """
    known = RULES[part].get(name)
    if known is not None:
        return known
    if ":" not in name:
        raise ConfigurationError(
            f"{name} is no {part} rule",
            f"there is {', '.join(RULES[part])}; a rule of your own is named path.py:Class",
        )
    rule = class_in(name, folder)
    lacking = [call for call in _calls(part) if not hasattr(rule, call)]
    if lacking:
        raise ConfigurationError(
            f"{name} is no {part} rule: it lacks {', '.join(lacking)}",
            "protocol/rules.py says what a rule is",
        )
    parameters = getattr(rule, "parameters_type", None)
    if not dataclasses.is_dataclass(parameters) or any(
        one.default is dataclasses.MISSING for one in dataclasses.fields(parameters)
    ):
        raise ConfigurationError(
            f"{name} does not say what it can be set to",
            "give it parameters_type: a frozen dataclass whose fields all have defaults",
        )
    return rule


def class_in(name: str, folder: Path) -> type[Any]:
    """The class of a file that ``path.py:Class`` names.

    :param folder: where paths count from.
    :raises ConfigurationError: when there is no such file, or no such class in it.
    """
    path, _, class_name = name.rpartition(":")
    found = getattr(_load(folder / path), class_name, None)
    if not isinstance(found, type):
        raise ConfigurationError(
            f"{path} has no class {class_name}", "name the class after the colon"
        )
    return found


def choose(part: str, name: str, settings: Sequence[Setting], folder: Path) -> RuleChoice:
    """A rule with settings that it takes, sorted by name.

    :raises ConfigurationError: for a rule or a setting that is not there, and for a value that the
        rule refuses.
    """
    rule = find_rule(part, name, folder)
    wanted = RuleChoice(name, tuple(sorted(settings, key=lambda one: one.name)))
    parameters = checked(part, f"the {part} rule {name}", rule.parameters_type, wanted.settings)
    try:
        rule(parameters)
    except Refused as refusal:
        raise ConfigurationError(
            f"the {part} rule {name}: {refusal}", f"it takes {offer(rule.parameters_type)}"
        ) from None
    return wanted


def checked(part: str, title: str, kind: type[Any], settings: Sequence[Setting]) -> Any:
    """Parameters of a kind from settings; what is left out keeps its default.

    :param title: what a person calls what is set.
    :raises ConfigurationError: for an unknown setting, one given twice, and an ill-typed value.
    """
    names = [field.name for field in dataclasses.fields(kind)]
    for one in settings:
        if one.name not in names:
            raise ConfigurationError(
                f"{title} has no parameter {one.name}", f"it takes {offer(kind)}"
            )
    try:
        return parse_settings(kind, RuleChoice(part, tuple(settings)))
    except Refused as refusal:
        raise ConfigurationError(refusal.detail, f"it takes {offer(kind)}") from None


def network_kind(defaults: NetworkParameters) -> type[Any]:
    """What of a network can be set, as a dataclass of parameters with these defaults."""
    hints = typing.get_type_hints(NetworkParameters)
    rows = [
        (one.name, hints[one.name], dataclasses.field(default=getattr(defaults, one.name)))
        for one in dataclasses.fields(defaults)
        if one.name not in FIXED
    ]
    kind = dataclasses.make_dataclass("NetworkSettings", rows, frozen=True)
    kind.__doc__ = NetworkParameters.__doc__
    return kind


def refuse_pair(sequencing: RuleChoice, proving: RuleChoice, folder: Path) -> None:
    """Refuse two rules that make no sense together.

    :raises ConfigurationError: with the sequencing rule's sentence.
    """
    first, second = (
        (rule := find_rule(part, choice.name, folder))(parse_settings(rule.parameters_type, choice))
        for part, choice in (("sequencing", sequencing), ("proving", proving))
    )
    objection = first.combines_with(second)
    if objection is not None:
        raise ConfigurationError(
            f"{sequencing.name} does not go with {proving.name}: {objection}",
            "choose another rule with --sequencing or --proving",
        )


def machine_of(genesis: Genesis, root: Root, folder: Path) -> Machine:
    """The machine of a network, whose rules may stand in files beside its genesis.

    :raises ConfigurationError: when a rule is not there.
    :raises Refused: when the rules cannot be built or combined.
    """
    sequencing, proving = (
        {choice.name: find_rule(part, choice.name, folder)}
        for part, choice in (("sequencing", genesis.sequencing), ("proving", genesis.proving))
    )
    return build_machine(genesis, root, sequencing, proving)


def offer(kind: type[Any]) -> str:
    """All parameters of a kind with their defaults, in one line."""
    return ", ".join(f"{one.name}={one.value}" for one in settings_of(kind()))


# --- what there is ---


def first_paragraph(rule: type[Any]) -> str:
    """What a rule says of itself first: the module's docstring, or else the class's."""
    module = sys.modules[rule.__module__]
    text = module.__doc__ or rule.__doc__ or ""
    return " ".join(text.strip().split("\n\n")[0].split())


def meanings(kind: type[Any]) -> dict[str, str]:
    """What each parameter means, from the ``:ivar`` lines of its dataclass."""
    written = re.split(r"(?m)^\s*:ivar (\w+):", kind.__doc__ or "")[1:]
    return {
        name: " ".join(text.split("\n\n")[0].split())
        for name, text in zip(written[::2], written[1::2], strict=True)
    }


def show_rules(console: Console, names: Sequence[str], network: NetworkParameters) -> None:
    """Print rules with their parameters, defaults and first paragraph.

    :param names: only these; none: all of ours, and what every rule shares.
    :raises ConfigurationError: for a name of no rule.
    """
    wanted = names or [name for rules in RULES.values() for name in rules]
    for name in wanted:
        part, rule = _of_any_part(name)
        _show(console, f"{part}: {name}", first_paragraph(rule), rule.parameters_type)
    if not names:
        _show(console, NETWORK, "What every rule shares.", network_kind(network))
    console.print("Set one with: ./scripts/testnet --set PART.NAME=VALUE", markup=False)


def _of_any_part(name: str) -> tuple[str, type[Any]]:
    failures: list[ConfigurationError] = []
    for part in RULES:
        try:
            return part, find_rule(part, name, Path())
        except ConfigurationError as failure:
            failures.append(failure)
    if ":" in name:
        raise failures[-1]
    known = ", ".join(one for rules in RULES.values() for one in rules)
    raise ConfigurationError(
        f"{name} is no rule", f"there is {known}; a rule of your own is named path.py:Class"
    )


def _show(console: Console, title: str, text: str, kind: type[Any]) -> None:
    console.print(Text(title, style="bold"))
    console.print(Text(text))
    told = meanings(kind)
    table = Table("parameter", "default", "meaning", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for field in dataclasses.fields(kind):
        (default,) = (one.value for one in settings_of(kind()) if one.name == field.name)
        table.add_row(Text(field.name), Text(default), Text(told.get(field.name, "")))
    console.print(table)
    console.print()


def _calls(part: str) -> Iterator[str]:
    """What a rule of a part must have, as its interface names it."""
    for interface in (Rule, _INTERFACES[part]):
        names = {**vars(interface), **interface.__annotations__}
        yield from (name for name in names if not name.startswith("_"))


def _load(path: Path) -> ModuleType:
    """Execute a rule's file, once a process."""
    name = f"provnet_rule_{path.resolve().as_posix().encode().hex()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path) if path.suffix == ".py" else None
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigurationError(
            f"{path} is no file of Python", "name a rule of your own as path.py:Class"
        )
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as failure:
        del sys.modules[name]
        raise ConfigurationError(
            f"{path} cannot be executed: {type(failure).__name__}: {failure}",
            "mend it, and try it with protocol.testing first",
        ) from failure
    return module
