"""Judges the cheats of a run: did each meet its named reason.

Problem. That a run ended well does not say that a cheat was refused: it may never have had occasion
to cheat, or have got away with it.

Rules. A cheat is *met* when honest nodes gave the reason that its file in ``scripts.cheats`` names,
and it got nothing of what it was after; one that had no occasion was not met. Everything is read
from what honest nodes wrote: final events, refusals, what their networks told of peers. From a
cheat itself is only taken that it cheated, when, and with which bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from scripts.cheats.delay import Delay
from scripts.cheats.early import Early
from scripts.cheats.equivocate import Equivocate
from scripts.cheats.flood import Flood
from scripts.cheats.forge import Forge
from scripts.cheats.late import Late
from scripts.cheats.neglect import Neglect
from scripts.cheats.no_reveal import NoReveal
from scripts.cheats.partition import Partition
from scripts.cheats.silent import Silent
from scripts.cheats.withhold import Withhold
from scripts.launcher.testimony import Record, Witnessed
from scripts.words import counted

PROVING_PAY: Final = ("PROVER_PAY", "TAKEOVER_PAY", "OPEN_PAY", "UNCLE_PAY", "AWARD_PAY")
"""Causes by which a prover earns."""

NO_OCCASION: Final = "for it had no occasion; ask for more --blocks"
"""What there is to say of a cheat that never came to cheat."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one cheat.

    :ivar who: the node that cheated, or whose network was bad.
    :ivar what: the cheat, with its kind if it has kinds.
    :ivar reasons: the named reasons that met it, with how often, or how many nodes gave it.
    :ivar sentence: all of it, for a person.
    """

    who: str
    what: str
    reasons: dict[str, int]
    is_met: bool
    sentence: str


def outcomes(testimony: Witnessed) -> Iterator[Outcome]:
    """One for each cheat, and kind of it, in the order of the plan; the network's come last."""
    for node, cheats in testimony.cheats.items():
        for cheat in cheats:
            if testimony.cheated(node, cheat.name):
                yield from _JUDGES[cheat.name](testimony, node)
            else:
                yield _outcome(node, cheat.name, {}, NO_OCCASION)
    weather = testimony.weather
    if weather is not None and weather.delay_ms:
        yield _delay(testimony, weather.delay_ms)
    if weather is not None and weather.partition:
        yield _partition(testimony, weather.partition, weather.partition_ms)


def _outcome(
    who: str, what: str, reasons: dict[str, int], story: str, *, is_met: bool = False
) -> Outcome:
    given = {name: count for name, count in reasons.items() if count}
    told = ", ".join(given) or "no reason given"
    return Outcome(who, what, given, is_met and bool(given), f"{who} {what} -> {told} {story}")


# --- one function a cheat ---


def _silent(testimony: Witnessed, node: str) -> Iterator[Outcome]:
    missed, earned = _missed(testimony, node), _earned(testimony, node)
    reasons, story = {"RIGHT_MISSED": missed}, f"at {_tree_nodes(missed)}, {earned:,} earned"
    yield _outcome(node, Silent.name, reasons, story, is_met=not earned)


def _late(testimony: Witnessed, node: str) -> Iterator[Outcome]:
    missed, earned = _missed(testimony, node), _earned(testimony, node)
    delivered = [one for one in testimony.cheated(node, Late.name) if one["what"] == "delivers"]
    account = testimony.account(node)
    uncles = sum(
        one["amount"]
        for one in testimony.events("Moved", cause="UNCLE_PAY")
        if one["target"]["owner"] == account
    )
    story = (
        f"at {_tree_nodes(missed)}, {len(delivered)} delivered too late, {earned:,} earned"
        f"{', as an uncle' if uncles else ''}"
    )
    reasons = {"RIGHT_MISSED": missed}
    yield _outcome(node, Late.name, reasons, story, is_met=earned == uncles)


def _neglect(testimony: Witnessed, node: str) -> Iterator[Outcome]:
    ignored = {_place(one) for one in testimony.cheated(node, Neglect.name)}
    account = testimony.account(node)
    kept = [
        one for one in testimony.events("ProofRecorded", prover=account) if _place(one) in ignored
    ]
    paid = [
        one
        for one in testimony.events("Moved", cause="PROVER_PAY")
        if one["target"]["owner"] == account and one["job"] in {job for job, *_ in ignored}
    ]
    missed = _missed(testimony, node)
    story = (
        f"at {_tree_nodes(missed)}, {len(paid)} of its tree nodes paid in the "
        f"{counted(len({job for job, *_ in ignored}), 'block')} concerned"
    )
    reasons = {"RIGHT_MISSED": missed}
    yield _outcome(node, Neglect.name, reasons, story, is_met=not kept and not paid)


def _withhold(testimony: Witnessed, node: str) -> Iterator[Outcome]:
    seen = {honest for honest, one in testimony.refused(node) if one["reason"] == "BODY_MISSING"}
    recorded = testimony.events("ProofRecorded", prover=testimony.account(node))
    reasons = {"BODY_MISSING": len(seen), "RIGHT_MISSED": _missed(testimony, node)}
    story = f"seen by {counted(len(seen), 'node')}, {counted(len(recorded), 'proof')} recorded"
    is_met = bool(seen) and not recorded
    yield _outcome(node, Withhold.name, reasons, story, is_met=is_met)


def _forge(testimony: Witnessed, node: str) -> Iterator[Outcome]:
    account = testimony.account(node)
    recorded = testimony.events("ProofRecorded", prover=account)
    punished = testimony.events("InvalidProofPunished", offender=account)
    lost = _lost(testimony, account, "INVALID_PROOF")
    forged: dict[str, set[str]] = {}
    for one in testimony.cheated(node, Forge.name):
        forged.setdefault(one["forgery"], set()).add(one["proof"])
    for kind, proofs in forged.items():
        seen = {
            honest
            for honest, one in testimony.refused(node)
            if one["reason"] == "INVALID_PROOF" and one["detail"] in proofs
        }
        reasons = {"INVALID_PROOF": len(seen), "INVALID_PROOF_PUNISHED": len(punished)}
        story = f"seen by {counted(len(seen), 'node')}, {lost:,} slashed"
        is_met = bool(seen) and not recorded
        yield _outcome(node, f"{Forge.name} {kind}", reasons, story, is_met=is_met)
    for kind in _kinds_asked(testimony, node):
        if kind not in forged:
            yield _outcome(node, f"{Forge.name} {kind}", {}, NO_OCCASION)


def _kinds_asked(testimony: Witnessed, node: str) -> list[str]:
    """Kinds that were asked for by name."""
    (member,) = [one for one in testimony.plan.members if one.name == node]
    configuration = member.configuration.cheats
    does = () if configuration is None else configuration.does
    pairs = (one.partition(":") for one in does)
    return [kind for name, _, kind in pairs if name == Forge.name and kind]


def _early(testimony: Witnessed, node: str) -> Iterator[Outcome]:
    slots = {one["slot"] for one in testimony.cheated(node, Early.name)}
    named = {f"slot {slot}" for slot in slots}
    refusals = [(who, one) for who, one in testimony.refused(node) if one["detail"] in named]
    final = [
        one
        for one in testimony.events("Final", proposer=testimony.account(node))
        if one["slot"] in slots
    ]
    reasons = Counter(one["reason"] for _, one in refusals)
    seen = {who for who, _ in refusals}
    story = (
        f"by {counted(len(seen), 'validator')} for {counted(len(slots), 'proposal')}, "
        f"{len(final)} final"
    )
    yield _outcome(node, Early.name, dict(reasons), story, is_met=not final)


def _equivocate(testimony: Witnessed, node: str) -> Iterator[Outcome]:
    account = testimony.account(node)
    punished = testimony.events("EquivocationPunished", offender=account)
    lost = _lost(testimony, account, "EQUIVOCATION")
    where = ", ".join(f"slot {one['slot']}" for one in punished)
    reasons, story = {"EQUIVOCATION_PUNISHED": len(punished)}, f"{where}, {lost:,} slashed"
    yield _outcome(node, Equivocate.name, reasons, story, is_met=True)


def _no_reveal(testimony: Witnessed, node: str) -> Iterator[Outcome]:
    account = testimony.account(node)
    skipped = testimony.events("RoundSkipped", leader=account, why="NOT_REVEALED")
    lost = _lost(testimony, account, "REVEAL_MISSING")
    reasons = {"NOT_REVEALED": len(skipped)}
    story = f"in {counted(len(skipped), 'round')}, {lost:,} slashed"
    yield _outcome(node, NoReveal.name, reasons, story, is_met=True)


def _flood(testimony: Witnessed, node: str) -> Iterator[Outcome]:
    account = testimony.account(node)
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for name in testimony.honest:
        report = testimony.reports[name]
        pending = [one for one in report["refused"] if one["reason"] == "TOO_MANY_PENDING"]
        busy = [one for one in report["conduct"] if one["kind"] in ("busy", "banned")]
        for one in (*pending, *busy):
            if one["from"] == account:
                counts[one.get("reason", one["kind"].upper())] += one["count"]
                seen.add(name)
    told = ", ".join(f"{reason} {count:,} times" for reason, count in sorted(counts.items()))
    story = f"by {counted(len(seen), 'node')} ({told})"
    yield _outcome(node, Flood.name, dict(counts), story, is_met=True)


def _delay(testimony: Witnessed, delay_ms: int) -> Outcome:
    told = [
        one
        for name in testimony.reports
        for one in testimony.told(name).cheats
        if one["cheat"] == Delay.name and "messages" in one
    ]
    count = sum(one["messages"] for one in told)
    mean_ms = sum(one["messages"] * one["mean_ms"] for one in told) // max(1, count)
    story = f"by {mean_ms} ms in the mean, {count:,} messages"
    what = f"{Delay.name} {delay_ms} ms"
    return _outcome("the network", what, {"DELAYED": count}, story, is_met=True)


def _partition(testimony: Witnessed, island: tuple[str, ...], lasts_ms: int) -> Outcome:
    names = ", ".join(testimony.name(one) for one in island)
    told = [
        one
        for name in testimony.reports
        for one in testimony.told(name).cheats
        if one["cheat"] == Partition.name
    ]
    begun = [one["at_ms"] for one in told if "lasts_ms" in one]
    ended = [one["dropped"] for one in told if "dropped" in one]
    finals = [one["at_ms"] for one in testimony.events("Final")]
    pauses = [
        later - earlier
        for earlier, later in pairwise(finals)
        if begun and earlier < max(begun) + lasts_ms and later > min(begun)
    ]
    what = f"{Partition.name} of {names} for {lasts_ms // 1000} s"
    cut, wait_s = sum(ended), max(pauses, default=0) / 1000
    story = f"{cut:,} messages and requests cut off, no final block for up to {wait_s:.1f} s"
    is_healed = len(begun) == len(ended)
    return _outcome("the network", what, {"PARTED": cut}, story, is_met=is_healed)


_JUDGES: Final[dict[str, Callable[[Witnessed, str], Iterator[Outcome]]]] = {
    Silent.name: _silent,
    Late.name: _late,
    Neglect.name: _neglect,
    Withhold.name: _withhold,
    Forge.name: _forge,
    Early.name: _early,
    Equivocate.name: _equivocate,
    NoReveal.name: _no_reveal,
    Flood.name: _flood,
}


# --- counts ---


def _missed(testimony: Witnessed, node: str) -> int:
    return len(testimony.events("RightMissed", holder=testimony.account(node), failed=True))


def _earned(testimony: Witnessed, node: str) -> int:
    account = testimony.account(node)
    return sum(
        one["amount"]
        for one in testimony.events("Moved")
        if one["cause"] in PROVING_PAY and one["target"]["owner"] == account
    )


def _lost(testimony: Witnessed, account: str, cause: str) -> int:
    return sum(
        one["amount"]
        for one in testimony.events("Moved", cause=cause)
        if one["source"]["owner"] == account
    )


def _place(record: Record) -> tuple[str, int, int]:
    level, position = record["index"]
    return record["job"], level, position


def _tree_nodes(count: int) -> str:
    return counted(count, "tree node")
