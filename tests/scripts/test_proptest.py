"""The command that tries a rule, its words, and the guide that shows them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from protocol.testing import Scenario, World, actor, make
from protocol.testing.moves import MOVES, everybody_enlists
from protocol.testing.scenario import JUDGED_ELECTED
from protocol.testing.trial import Find
from scripts.complaint import Complaint
from scripts.configuration import ConfigurationError
from scripts.main import application
from scripts.proptest.command import run
from scripts.proptest.display import Display
from scripts.proptest.words import LINES_MAX, story

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "testing-a-rule.md"

OWN = '''"""A rule of somebody's own."""

from protocol.proving.elected import Elected
from protocol.testing import MOVES, Oracle, RuleMachine, must


class Complains(Oracle):
    """Nothing lasts for more than two ticks."""

    def conclude(self, page, machine):
        must(page.tick < 3, "the world is too old", page.tick)


class OwnMachine(RuleMachine):
    proving = Elected
    oracles = (Complains,)


class Contradiction(Elected):
    def __init__(self, parameters):
        from protocol.errors import Reason, Refused

        raise Refused(Reason.CONTRADICTORY_GENESIS, "nobody could deliver")


class Impatient(Elected):
    def min_ticks(self, index):
        return 0


class NoRule:
    pass
'''


def tried(rule: str, examples: int = 3, seed: int = 0, blocks: int = 30) -> tuple[int, list[str]]:
    console = Console(file=io.StringIO(), width=80)
    code = run(rule, examples, seed, blocks, Display(console, plain=True))
    return code, console.file.getvalue().rstrip().split("\n")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)


# --- the command ---


@pytest.mark.parametrize("rule", ["elected", "bonded", "fernet"])
def test_rules_of_the_project_are_tried_by_name(rule):
    code, lines = tried(rule, examples=1, blocks=1_000)
    assert code == 0
    assert lines[0] == f"proptest {rule}: seed 0, 1 examples a network"
    held = [line for line in lines if line.startswith("  ") and line.endswith(": held")]
    assert len(held) == 2 * {"fernet": 2, "elected": 5, "bonded": 2}[rule]
    assert any(line.startswith("held  Money is conserved") for line in lines)
    assert not any("BROKEN" in line for line in lines)
    repeat = f"repeat it: ./scripts/provnet proptest {rule} --examples 1 --seed 0"
    assert lines[-1] == repeat


def test_what_a_rule_does_not_promise_is_said_with_its_reason():
    _, lines = tried("bonded", examples=1)
    (line,) = [one for one in lines if "Work shares follow stake." in one]
    assert line.startswith("-")
    assert line.endswith("not promised: a sequencer chooses its prover among bids")


@pytest.mark.usefixtures("own")
def test_a_machine_of_ones_own_brings_its_judges():
    code, lines = tried("own.py:OwnMachine")
    assert code == 1
    assert "  then this broke: Nothing lasts for more than two ticks." in lines
    assert "  because: the world is too old" in lines
    assert "  seen in: 3" in lines


@pytest.mark.usefixtures("own")
def test_what_breaks_everywhere_is_told_once():
    code, lines = tried("own.py:Impatient", examples=3)
    assert code == 1
    assert sum(1 for line in lines if line == "  because: wrong time") == 1
    assert sum(1 for line in lines if ": a story breaks the same property: " in line) == 4


@pytest.mark.usefixtures("own")
def test_a_rule_that_refuses_its_parameters_is_a_complaint():
    with pytest.raises(Complaint, match="nobody could deliver"):
        tried("own.py:Contradiction")


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("electred", "electred is no rule\nhint: there is fernet, elected, bonded"),
        ("own.py:Nobody", "own.py has no class Nobody"),
        ("own.py:NoRule", "own.py:NoRule is no proving rule: it lacks"),
        ("other.py:Rule", "other.py is no file of Python"),
    ],
)
def test_a_rule_that_is_not_there_is_said_to_be_none(name, sentence):
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        tried(name)


def test_the_command_line_reaches_it():
    arguments = ["proptest", "bonded", "--examples", "1", "--seed", "3", "--blocks", "5", "--plain"]
    outcome = CliRunner().invoke(application, arguments)
    assert outcome.exit_code == 0, outcome.output
    assert outcome.output.startswith("proptest bonded: seed 3, 1 examples a network\n")


def test_a_terminal_gets_a_bar_and_plain_lines_do_without():
    shown = []
    for plain in (False, True):
        console = Console(file=io.StringIO(), force_terminal=True, width=80)
        with Display(console, plain=plain).bar("stories", 2) as advance:
            advance()
        shown.append(console.file.getvalue())
    assert "stories" in shown[0]
    assert shown[1].strip() == ""


# --- words ---


def test_a_story_names_people_and_blocks_and_leaves_out_the_middle_of_what_is_long():
    world = World(Scenario(proving_parameters=JUDGED_ELECTED))
    everybody_enlists(world)
    arguments = {"who": "s0", "height": 3, "split": 10_000, "fee": 7, "how": "honest"}
    make(world, "build", MOVES["build"], arguments)
    quiet = {"ticks": 8, "lag": 1, "proposer": "s0"}
    for _ in range(3):
        make(world, "wait", MOVES["wait"], quiet)
    (job,) = world.board.jobs
    account = actor("p1").account
    why = f"wrong: {account!r} of {job!r} and {bytes(3)!r}"
    lines = list(story(Find("It breaks.", why, world), MOVES))
    assert lines[0].startswith("  the network: Fernet with Elected; prover stake in units: p0 1")
    assert "  1. build (who s0, height 3, split 10000, fee 7, how honest)" in lines
    assert any(line.endswith("more ...") for line in lines)
    assert any("block 0 opens with 8 leaves" in line for line in lines)
    assert any(re.search(r"p\d misses leaf \d", line) for line in lines)
    assert any(re.search(r"passes from p\d to (p\d|anybody)", line) for line in lines)
    assert lines[-3:] == [
        "  then this broke: It breaks.",
        "  seen in: p1 of block 0 and 000000",
        "  because: wrong",
    ]
    starts = [n for n, line in enumerate(lines) if re.match(r"  \d+\. ", line)]
    assert all(b - a <= LINES_MAX + 3 for a, b in pairwise(starts))


# --- the guide ---


def transcripts() -> Iterator[tuple[str, list[str]]]:
    """Rules that the guide tries, with what it shows."""
    for block in re.findall(r"```\n(\$ .*?)```", GUIDE.read_text(), re.DOTALL):
        command, *shown = block.rstrip().split("\n")
        found = re.fullmatch(r"\$ ./scripts/provnet proptest (\S+) --examples 10", command)
        if found:
            yield found[1], shown


def masked(line: str) -> str:
    """The line without its numbers: stories may become other ones as moves are added."""
    return re.sub(r"\d[\d,.]*", "#", re.sub(r"\s+", " ", line))


def test_the_guide_shows_what_the_command_says(monkeypatch):
    monkeypatch.chdir(ROOT)
    told = dict(transcripts())
    assert [rule.partition(":")[2] for rule in told] == ["Roster", "Misdirected", "OneVote"]
    for rule, shown in told.items():
        code, lines = tried(rule, examples=10, blocks=1_000)
        assert code == (0 if rule.endswith(":Roster") else 1), "\n".join(lines)
        if rule.endswith(":Misdirected"):
            ends = [one for one in shown if one.startswith(("  then this broke", "  because"))]
            assert ends == [one for one in lines if one in ends]
            assert len(ends) == 2
            assert sum(1 for one in lines if re.match(r"  \d+\. ", one)) <= 4
        else:
            left = iter([masked(line) for line in lines])
            lost = [one for one in shown if one != "..." and masked(one) not in left]
            assert lost == []


def test_the_flaws_in_the_guide_are_those_of_the_rule():
    source = (ROOT / "docs" / "roster.py").read_text()
    assert "return place.owner or super().payee(place)" in GUIDE.read_text()
    assert "return place.owner or super().payee(place)" in source
