"""Try a rule: stories that hypothesis seeks, stories by the number, and what a rule promises.

Rules. Every network that the kit has for the rule is played on, for as many examples as asked for,
twice: hypothesis seeks stories, and as many are drawn one after the other. Then the promises of a
proving rule are tested (:mod:`protocol.testing.promises`). For each property it is said over how
much it held; a find is told in words, move by move, with the line that finds it again. Everything
follows from the seed.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from protocol.errors import Refused
from protocol.testing import RuleMachine
from protocol.testing.grounds import grounds_of
from protocol.testing.promises import BLOCKS, FALSE_ALARMS, Verdict, verdicts
from protocol.testing.trial import Find, Trial, seek, try_many
from scripts.columns import aligned
from scripts.complaint import Complaint
from scripts.configuration import ConfigurationError
from scripts.proptest.display import Display
from scripts.proptest.words import counted, story
from scripts.rules import RULES, class_in, find_rule

_MINE: Final = "its own networks"


@dataclass(slots=True)
class Tally:
    """What was seen in all trials together.

    :ivar finds: with the title of the network on which each was made, and the network.
    :ivar verdicts: what became of the promises.
    """

    stories: int = 0
    blocks: int = 0
    judged: Counter[str] = field(default_factory=Counter)
    finds: list[tuple[str, type[RuleMachine], Find]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def add(self, title: str, kind: type[RuleMachine], trial: Trial) -> None:
        """Take in a trial."""
        self.stories += trial.stories
        self.blocks += trial.blocks
        self.judged.update(trial.judged)
        if trial.find is not None:
            self.finds.append((title, kind, trial.find))

    @property
    def is_clean(self) -> bool:
        """Nothing was found."""
        return not self.finds and all(one.is_kept is not False for one in self.verdicts)


def run(rule: str, examples: int, seed: int, blocks: int, display: Display) -> int:
    """Try a rule and say how it went.

    :param rule: a short name, ``path.py:Class`` of a rule, or of a
        :class:`~protocol.testing.RuleMachine` that has its own networks, moves and judges.
    :returns: 0 if nothing was found, else 1.
    :raises ConfigurationError: when there is no such rule.
    """
    part, grounds = _grounds(rule)
    display.say(f"proptest {rule}: seed {seed}, {examples} examples a network")
    tally = Tally()
    try:
        for title, kind in grounds.items():
            for trial in _trials(title, kind, (examples, seed), display):
                tally.add(title, kind, trial)
        if part == "proving":
            first = next(iter(grounds.values()))
            tally.verdicts = list(verdicts(first.like(), seed, blocks))
    except Refused as refusal:
        raise Complaint(f"{rule} makes no network: {refusal}", "mend what it refuses") from None
    _conclude(tally, display)
    line = ["./scripts/provnet", "proptest", rule, "--examples", str(examples), "--seed", str(seed)]
    if blocks != BLOCKS:
        line += ["--blocks", str(blocks)]
    display.say()
    display.say(f"repeat it: {shlex.join(line)}")
    return 0 if tally.is_clean else 1


def _grounds(name: str) -> tuple[str, dict[str, type[RuleMachine]]]:
    """The part that a rule is of, and the networks to try it on."""
    for part, rules in RULES.items():
        if name in rules:
            return part, grounds_of(part, rules[name])
    if ":" not in name:
        known = ", ".join(one for rules in RULES.values() for one in rules)
        raise ConfigurationError(
            f"{name} is no rule", f"there is {known}; a rule of your own is named path.py:Class"
        )
    found: Any = class_in(name, Path())
    if issubclass(found, RuleMachine):
        return "proving", {_MINE: found}
    part = "sequencing" if hasattr(found, "next_settled") else "proving"
    return part, grounds_of(part, find_rule(part, name, Path()))


def _trials(
    title: str, kind: type[RuleMachine], size: tuple[int, int], display: Display
) -> Iterator[Trial]:
    """The trials on one network, until one finds something."""
    for way, tell_stories in (("sought", seek), ("drawn", try_many)):
        with display.bar(f"{title}, {way}", size[0]) as advance:
            trial = tell_stories(kind, *size, advance)
        yield trial
        outcome = "held" if trial.find is None else "the next one breaks a property"
        told = f"{trial.stories} stories {way}, {trial.blocks:,} blocks"
        display.say(f"  {title}: {told}: {outcome}")
        if trial.find is not None:
            return


def _conclude(tally: Tally, display: Display) -> None:
    rows = [("", "property", "over"), *_properties(tally), *map(_promise, tally.verdicts)]
    display.say()
    for row in aligned(rows):
        display.say(row)
    statistical = [one for one in tally.verdicts if one.is_kept is not None]
    if statistical:
        display.say(f"statistics accuse a right rule with one seed in {FALSE_ALARMS:,} at most")
    told: list[str] = []
    for title, kind, find in tally.finds:
        display.say()
        if find.broken in told:
            display.say(f"{title}: a story breaks the same property: {find.broken}")
            continue
        told.append(find.broken)
        display.say(f"{title}, the shortest story that shows it:")
        for line in story(find, kind.moves):
            display.say(line)
    for one in tally.verdicts:
        if one.is_kept is False:
            display.say()
            display.say(f"this promise is broken: {one.promise.value}")
            display.say(f"  because: {one.words}")


def _properties(tally: Tally) -> Iterator[tuple[str, str, str]]:
    """A row for each property, in the order in which they are judged."""
    broken = [find.broken for _, _, find in tally.finds]
    for sentence in dict.fromkeys((*tally.judged, *broken)):
        seen = tally.judged[sentence]
        verdict = "BROKEN" if sentence in broken else "held"
        times = ("block", "blocks") if seen == tally.blocks else ("time", "times")
        over = f"{counted(seen, *times)} in {counted(tally.stories, 'story', 'stories')}"
        yield verdict, sentence, over


def _promise(one: Verdict) -> tuple[str, str, str]:
    verdict = {True: "held", False: "BROKEN", None: "-"}[one.is_kept]
    seen = f"{one.blocks:,} blocks: " if one.blocks else ""
    return verdict, one.promise.value, f"{seen}{one.words}"
