"""Who may cheat how, what is refused with which hint, and what stands in the nodes' files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.cheats.node import ALL, cheats_of
from scripts.configuration import ConfigurationError, load_configuration, save_configuration
from scripts.launcher.faults import BadFault, Fault, Striker, check_faults
from scripts.launcher.mischief import Mischief, make_mischief
from scripts.launcher.plan import Plan, Wish, make_plan


def made(*cheats: tuple[str, str], delay_ms: int = 0, partition: str = "", **wish: Any) -> Plan:
    return make_mischief(make_plan(Wish(**wish)), Mischief(cheats, delay_ms, partition))


def refused(*cheats: tuple[str, str], kills: tuple[str, ...] = (), **asked: Any) -> BadFault:
    with pytest.raises(BadFault) as caught:
        plan = made(*cheats, **asked)
        check_faults(tuple(Fault.parse(one, plan) for one in kills), plan)
    return caught.value


@pytest.mark.parametrize(
    ("cheat", "node", "candidates"),
    [
        ("silent", "validator-1", "prover-1, prover-2, prover-3, prover-4"),
        ("forge", "nobody:bytes", "prover-1, prover-2, prover-3, prover-4"),
        ("early", "prover-1", "validator-1, validator-2, validator-3, validator-4"),
        ("no-reveal", "validator-3", "validator-1, validator-2"),
        ("flood", "somebody", "validator-1, validator-2, validator-3, validator-4, prover-1"),
    ],
)
def test_a_node_that_cannot_do_it_is_refused_with_those_that_can(
    cheat: str, node: str, candidates: str
) -> None:
    failure = refused((cheat, node))
    assert node.partition(":")[0] in failure.sentence
    assert failure.hint.startswith(f"name one of {candidates}")


@pytest.mark.parametrize(
    ("asked", "sentence", "hint"),
    [
        ({"cheats": [("forge", "prover-1:money")]}, "no kind money", "bytes, identity, root"),
        ({"cheats": [("silent", "prover-1:bytes")]}, "no kind bytes", "leave out :bytes"),
        ({"delay_ms": 400}, "too late for slots of 1600 ms", "--slot-ms 2665"),
        ({"partition": "prover-1"}, "no number of seconds", "NODE,NODE"),
        ({"partition": "prover-1:0"}, "0 is no number", "NODE,NODE"),
        ({"partition": "prover-9:5"}, "there is no prover-9", "prover-1"),
        ({"partition": ":5"}, "nothing is cut off", "some, not all"),
        ({"validators": 1, "provers": 1, "partition": "validator-1,prover-1:5"}, "cut off", "all"),
        (
            {"provers": 2, "cheats": [("silent", "prover-1"), ("late", "prover-2")]},
            "no honest prover",
            "spare one of prover-1, prover-2",
        ),
        (
            {"cheats": [("no-reveal", "validator-1"), ("no-reveal", "validator-2")]},
            "no honest sequencer",
            "spare one of validator-1, validator-2",
        ),
        (
            {"cheats": [("early", "validator-1"), ("flood", "validator-2")]},
            "without validator-1, validator-2",
            "--validators",
        ),
        ({"cheats": [("equivocate", "validator-1")], "validators": 3}, "two thirds", "fewer"),
        (
            {"cheats": [("silent", "prover-1")], "provers": 2, "kills": ("any@leaf",)},
            "may leave none",
            "--provers",
        ),
    ],
)
def test_what_would_prove_nothing_is_refused(
    asked: dict[str, Any], sentence: str, hint: str
) -> None:
    failure = refused(*asked.pop("cheats", ()), **asked)
    assert sentence in failure.sentence
    assert hint in failure.hint


def test_what_leaves_enough_honest_nodes_is_allowed() -> None:
    plan = made(
        ("early", "validator-1"),
        ("no-reveal", "validator-2"),
        ("forge", "prover-1:bytes"),
        ("forge", "prover-1:root"),
        ("silent", "prover-2"),
        delay_ms=200,
        partition="validator-3,prover-3:20",
    )
    check_faults((Fault("any", "leaf"),), plan)
    cheats = {one.name: cheats_of(one.configuration.cheats) for one in plan.members}
    assert cheats["prover-1"] == (ALL["forge"],)
    assert cheats["validator-4"] == ()
    everybody = [one.configuration.cheats for one in plan.members]
    assert all(one is not None and one.delay_ms == 200 for one in everybody)
    assert all(one is not None and len(one.partition) == 2 for one in everybody)


def test_an_honest_testnet_has_no_word_of_cheats(tmp_path: Path) -> None:
    for member in made().members:
        path = tmp_path / member.name
        save_configuration(path, member.configuration)
        assert "cheat" not in path.read_text()


def test_cheats_are_read_back_as_written(tmp_path: Path) -> None:
    plan = made(("forge", "prover-1:bytes"), delay_ms=100, partition="prover-2:7")
    for member in plan.members:
        path = tmp_path / member.name
        save_configuration(path, member.configuration)
        assert load_configuration(path) == member.configuration


def test_a_cheat_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text('name = "a"\ngenesis = "g"\n[cheats]\ndoes = ["forge:money"]\n')
    with pytest.raises(ConfigurationError, match="no cheat forge:money"):
        cheats_of(load_configuration(path).cheats)


def test_who_survives_the_kills_is_honest() -> None:
    plan = made(("silent", "prover-2"), ("silent", "prover-3"))
    for actor in ("prover-1", "prover-2", "prover-4"):
        striker = Striker((Fault("all-but-one", "leaf"),), plan)
        record = {"kind": "ProofStarted", "key": {"job": "ab", "index": [0, 0]}}
        spared = {"prover-1", "prover-2", "prover-3", "prover-4"} - set(
            striker.victims(actor, record)
        )
        assert len(spared) == 1
        assert spared <= {"prover-1", "prover-4"} - {actor}
