"""Every cheat in a whole network in virtual time: it meets its reason, and harms nobody else.

Each story is told twice. With the cheat, the verdict names the reason that its file promises and
finds nothing wrong. With honest nodes that only *say* that they cheat, the verdict must complain:
so no reason is found where nobody cheated.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from p2p.node import NodeParts
from protocol.events import ProofRecorded
from scripts.cheats.cheat import Role
from scripts.cheats.node import ALL, ANNOUNCED, Cheats, cheats_of
from scripts.cheats.silent import Silent
from scripts.launcher.cheated import NO_OCCASION
from scripts.launcher.mischief import Mischief
from scripts.launcher.plan import Wish
from scripts.launcher.summary import Verdict, judge
from scripts.records import write_json
from tests.p2p.town import Town, live

FOUR_AND_FOUR = Wish(4, 4, 4, 1, 1_000, "modelled")
SEEDS = tuple("abcdefgh")
"""Whether some cheats have occasion is a matter of lots: towns of other seeds draw others."""

STORIES = [
    ("silent", "prover-2", {"RIGHT_MISSED"}),
    ("late", "prover-1", {"RIGHT_MISSED"}),
    ("withhold", "prover-3", {"BODY_MISSING", "RIGHT_MISSED"}),
    ("neglect", "prover-3", {"RIGHT_MISSED"}),
    ("forge", "prover-2:identity", {"INVALID_PROOF", "INVALID_PROOF_PUNISHED"}),
    ("early", "validator-1", {"TOO_EARLY", "EXPIRED"}),
    ("equivocate", "validator-3", {"EQUIVOCATION_PUNISHED"}),
    ("no-reveal", "validator-1", {"NOT_REVEALED"}),
    ("flood", "prover-4", {"TOO_MANY_PENDING"}),
    ("flood", "validator-2", {"TOO_MANY_PENDING"}),
]


def told(folder: Path, mischief: Mischief, wish: Wish = FOUR_AND_FOUR) -> tuple[Town, Verdict]:
    """A town that lives until every honest node has seen all blocks, and what is judged of it."""
    nodes = folder / "nodes"
    nodes.mkdir(parents=True)
    town = Town(nodes, wish, mischief=mischief)
    honest = [one.name for one in town.plan.members if not cheats_of(one.configuration.cheats)]
    ended_ms: list[int] = []

    async def story(nursery: trio.Nursery) -> None:
        await town.until(lambda: all(town.settled(name) >= wish.blocks for name in honest))
        ended_ms.append(round(trio.current_time() * 1000))

    live(town, story)
    town.assert_agreement()
    for name, resident in town.residents.items():
        write_json(nodes / name / "report.json", resident.report())
    return town, judge(town.plan, folder, list(town.residents), ended_ms=ended_ms[0])


@pytest.mark.parametrize(("cheat", "node", "reasons"), STORIES)
def test_a_cheat_meets_its_reason_and_harms_nobody_else(
    tmp_path: Path, cheat: str, node: str, reasons: set[str]
) -> None:
    for seed in SEEDS:
        wish = replace(FOUR_AND_FOUR, seed=seed)
        _, verdict = told(tmp_path / seed, Mischief(((cheat, node),)), wish)
        (outcome,) = verdict.fields["cheats"]
        if reasons <= set(outcome["reasons"]):
            break
    assert outcome["who"] == node.partition(":")[0]
    assert reasons <= set(outcome["reasons"])
    assert verdict.faults == ()
    assert verdict.fields["harmed"] == []
    assert len(verdict.fields["honest"]) == 7


def test_all_kinds_of_forgery_come_in_turn(tmp_path: Path) -> None:
    """With a penalty that leaves the forger stake to go on with."""
    wish = replace(FOUR_AND_FOUR, blocks=3, sets=("network.invalid_proof_penalty=100",))
    _, verdict = told(tmp_path, Mischief((("forge", "prover-2"),)), wish)
    assert {one["what"] for one in verdict.fields["cheats"]} == {
        f"forge {kind}" for kind in ("bytes", "identity", "root", "circuit")
    }
    assert verdict.faults == ()


SAID = {"job": bytes(32), "index": [0, 0], "round": 0, "slot": 1}
FORGED = {"forgery": "bytes", "proof": bytes(32)}


def only_says_so(cheats: Cheats, parts: NodeParts) -> NodeParts:
    """What a node does that tells of its cheats and has none."""
    configuration = cheats._configuration
    for name in configuration.does if configuration else ():
        for what in (ANNOUNCED, "cheats now"):
            cheats._tell(name.partition(":")[0], what, **SAID, **FORGED)
    return parts


def test_where_nobody_cheats_no_cheat_is_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cheats, "corrupt", only_says_so)
    roles = {
        Role.PROVER: "prover-1",
        Role.VALIDATOR: "validator-1",
        Role.SEQUENCER: "validator-1",
        Role.NODE: "validator-1",
    }
    asked = tuple((one.name, roles[one.role]) for one in ALL.values() if not one.is_weather)
    _, verdict = told(tmp_path, Mischief(asked))
    assert len(verdict.fields["cheats"]) == len(asked)
    assert not any(one["is_met"] for one in verdict.fields["cheats"])
    assert sum("was not met" in fault for fault in verdict.faults) == len(asked)


def test_a_cheat_that_has_no_occasion_is_not_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Silent, "agent", lambda cheat, agent: agent)
    _, verdict = told(tmp_path, Mischief((("silent", "prover-1"),)))
    (fault,) = verdict.faults
    assert NO_OCCASION in fault


# --- the network ---


def test_delayed_messages_cost_time_only(tmp_path: Path) -> None:
    _, verdict = told(tmp_path, Mischief(delay_ms=150))
    (outcome,) = verdict.fields["cheats"]
    assert outcome["is_met"]
    mean = re.search(r"by (\d+) ms in the mean", outcome["sentence"])
    assert mean is not None
    assert 140 <= int(mean[1]) <= 160, "each is 100 to 200 ms, and there are hundreds"
    assert verdict.faults == ()


@pytest.mark.parametrize(
    ("island", "halts"),
    [
        ("validator-1,validator-2,prover-1", True),
        ("validator-1,prover-1", False),
    ],
)
def test_both_sides_of_a_partition_agree_once_it_is_over(
    tmp_path: Path, island: str, halts: bool
) -> None:
    town, verdict = told(tmp_path, Mischief(partition=f"{island}:20"))
    (outcome,) = verdict.fields["cheats"]
    assert outcome["is_met"]
    assert verdict.faults == ()
    finals = [final.moment.slot for _, final in sorted(town["validator-3"].finals.items())]
    longest = max(later - earlier for earlier, later in pairwise(finals))
    assert (longest >= 18) is halts
    assert len(town["validator-4"].events(ProofRecorded)) == 7
