"""What stands on the screen of a run, in sizes small and large, and when there is no screen."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scripts.launcher.live import (
    ASCII,
    COLOURS,
    FINE,
    LiveView,
    Picture,
    PlainView,
    open_view,
)
from scripts.launcher.narrate import Narrator
from scripts.launcher.plan import Plan, Wish, make_plan
from scripts.launcher.scene import Outcome, Scene, Stage
from scripts.launcher.watch import Story

JOB = "ab" * 32
START_MS = 1_000_000
SIZES = [(80, 24), (160, 50), (40, 12), (20, 3), (250, 80)]


def a_plan(**wish: Any) -> Plan:
    return make_plan(Wish(backend="modelled", **wish))


class Show:
    """A scene with short ways to tell it things."""

    def __init__(self, **wish: Any) -> None:
        self.plan = a_plan(**wish)
        self.scene = Scene(self.plan, "runs/20261122-000000", START_MS)
        self.now_ms = START_MS
        self.accounts = {one.name: one.identity.account.hex() for one in self.plan.members}

    def tell(self, kind: str, node: str = "validator-1", **fields: Any) -> None:
        self.scene.take(node, {"at_ms": self.now_ms, "kind": kind} | fields)

    def account(self, name: str | None) -> str | None:
        return None if name is None else self.accounts[name]

    def open_job(self, owners: list[str | None], job: str = JOB) -> None:
        """Owners of the leaves; every merge goes to its left child's."""
        leaves = [{"fees": 500} for _ in owners]
        self.tell("JobOpened", job=job, header={"content": {"leaves": leaves}}, pool=[])
        count = len(owners)
        for level in range(count.bit_length()):
            for position in range(count >> level):
                owner = self.account(owners[position << level])
                self.tell("Assigned", job=job, index=[level, position], prover=owner)
        for position in range(count):
            self.right(0, position, owners[position], 7, job)

    def right(
        self, level: int, at: int, holder: str | None, admissible: int, job: str = JOB
    ) -> None:
        holds = self.account(holder)
        self.tell("RightOpened", job=job, index=[level, at], holder=holds, admissible=admissible)

    def key(self, level: int, at: int, job: str = JOB) -> dict[str, Any]:
        return {"key": {"job": job, "index": [level, at]}}

    def record(self, level: int, at: int, prover: str, job: str = JOB) -> None:
        who = self.account(prover)
        self.tell("ProofRecorded", job=job, index=[level, at], prover=who, claim="00")

    def stage(self, level: int, at: int, job: str = JOB) -> Stage:
        return self.scene.trees[job].places[level, at].stage

    def console(self, width: int, height: int, **more: Any) -> Console:
        return Console(
            file=io.StringIO(), width=width, height=height, force_terminal=True, record=True, **more
        )

    def drawn(self, width: int, height: int) -> str:
        console = self.console(width, height)
        console.print(Picture(self.scene, self.now_ms), height=height)
        return console.export_text()

    def styles(self, text: str, width: int = 160, height: int = 50) -> set[str]:
        """Colours in which a text is drawn."""
        console = self.console(width, height, color_system="256")
        lines = console.render_lines(
            Picture(self.scene, self.now_ms), console.options.update(height=height)
        )
        return {
            part.style.color.name
            for line in lines
            for part in line
            if text in part.text and part.style is not None and part.style.color is not None
        }


@pytest.fixture
def show() -> Show:
    show = Show(blocks=2)
    show.scene.note_alive(frozenset(show.accounts))
    return show


@pytest.fixture
def busy(show: Show) -> Show:
    """A job in which every stage and every misfortune is to be seen at tick 5."""
    show.tell("Final", tick=5, slot=6, digest="00")
    show.open_job(["prover-1", "prover-2", "prover-3", "prover-4"])
    show.record(0, 0, "prover-1")
    show.tell("ProofStarted", "prover-2", **show.key(0, 1))
    show.tell("RightMissed", job=JOB, index=[0, 2], holder=show.account("prover-3"), failed=True)
    show.tell(
        "TakenOver",
        job=JOB,
        index=[0, 3],
        previous=show.account("prover-4"),
        heir=show.account("prover-3"),
    )
    show.right(0, 3, "prover-3", 7)
    show.tell("ProofStarted", "prover-1", **show.key(1, 0))
    show.now_ms += 12_000
    show.tell("ProofFinished", "prover-1", wall_ms=1, threads=1, **show.key(1, 0))
    return show


# --- the model ---


def test_a_tree_node_goes_through_its_stages(show: Show) -> None:
    show.open_job(["prover-1", "prover-2"])
    assert (show.stage(0, 0), show.stage(1, 0)) == (Stage.OPEN, Stage.WAITING)
    show.tell("ProofStarted", "prover-1", **show.key(0, 0))
    assert show.stage(0, 0) is Stage.PROVING
    show.tell("ProofFinished", "prover-1", wall_ms=1, threads=1, **show.key(0, 0))
    assert show.stage(0, 0) is Stage.PROVEN
    show.record(0, 0, "prover-1")
    assert show.stage(0, 0) is Stage.RECORDED
    show.right(1, 0, "prover-1", 9)
    assert show.stage(1, 0) is Stage.OPEN


def test_a_cancelled_proof_is_no_longer_at_work(show: Show) -> None:
    show.open_job(["prover-1"])
    show.tell("ProofStarted", "prover-1", **show.key(0, 0))
    show.tell("ProofCancelled", "prover-1", sentence="", **show.key(0, 0))
    assert show.stage(0, 0) is Stage.OPEN


@pytest.mark.parametrize("how", ["dies", "starts again"])
def test_what_a_node_was_at_ends_with_it(show: Show, how: str) -> None:
    show.open_job(["prover-1", "prover-2"])
    show.tell("ProofStarted", "prover-1", **show.key(0, 0))
    show.tell("Stage", "prover-1", stage="connected", peers=["a", "b"])
    assert show.scene.connected == 1
    if how == "dies":
        show.scene.note_alive(frozenset(show.accounts) - {"prover-1"})
    else:
        show.tell("Stage", "prover-1", stage="reading the configuration", process=7)
    assert show.stage(0, 0) is Stage.OPEN
    assert show.scene.connected == 0


def test_takeover_miss_and_the_open_stage_are_noted(show: Show) -> None:
    show.open_job(["prover-1", "prover-2"])
    place = show.scene.trees[JOB].places[0, 1]
    two, one = show.account("prover-2"), show.account("prover-1")
    show.tell("RightMissed", job=JOB, index=[0, 1], holder=two, failed=True)
    assert place.is_missed
    show.tell("TakenOver", job=JOB, index=[0, 1], previous=two, heir=one)
    assert (place.is_missed, place.is_taken, place.who) == (False, True, "prover-1")
    show.tell("TakenOver", job=JOB, index=[0, 1], previous=one, heir=None)
    assert place.is_open_to_anybody()
    assert place.who is None
    show.record(0, 1, "prover-3")
    assert (place.who, place.owner) == ("prover-3", "prover-2")


def test_income_is_what_was_earned_by_whom(show: Show) -> None:
    def moved(cause: str, name: str, amount: int, kind: str = "BALANCE") -> None:
        target = {"kind": kind, "owner": show.accounts[name]}
        show.tell("Moved", cause=cause, target=target, source={}, amount=amount)

    moved("PROVER_PAY", "prover-1", 70)
    moved("OPERATION_FEE", "prover-1", 5)
    moved("PROVER_PAY", "prover-2", 9, kind="ESCROW")
    moved("SOMETHING_ELSE", "prover-2", 9)
    assert show.scene.income["prover-1"] == 75
    assert show.scene.income["prover-2"] == 0


def test_jobs_close_and_old_ones_are_let_go(show: Show) -> None:
    for number in range(30):
        job = f"{number:064x}"
        show.open_job(["prover-1"], job)
        show.tell("JobSettled" if number % 2 else "JobVoided", job=job, because=job)
    assert len(show.scene.trees) < 12
    newest = list(show.scene.trees.values())[-1]
    assert (newest.number, newest.outcome) == (30, Outcome.SETTLED)
    assert show.scene.blocks_settled == 15
    assert show.scene.shown(0) == [newest]
    show.open_job(["prover-1"])
    assert [one.number for one in show.scene.shown(0)] == [31]
    assert [one.number for one in show.scene.shown(2)] == [29, 30, 31]
    show.record(0, 0, "prover-1", f"{0:064x}")


def test_the_queue_is_the_fullest_that_was_told(show: Show) -> None:
    assert show.scene.transfers_waiting is None
    for name, waiting in (("validator-1", 7), ("validator-2", 9)):
        sizes = {"waiting_transfers": [waiting, 100], "pending_operations": [1, 100]}
        show.tell("Statistics", name, sizes=sizes, resident_bytes=3 << 20, worker_bytes=1 << 20)
    assert show.scene.transfers_waiting == 9
    assert show.scene.operations_pending == 1
    show.scene.note_alive(frozenset(show.accounts) - {"validator-2"})
    assert show.scene.transfers_waiting == 7


# --- the picture ---


def test_every_stage_and_misfortune_is_drawn(busy: Show) -> None:
    text = busy.drawn(160, 50)
    for words in (
        "runs/20261122-000000",
        "0:12",
        "tick 5",
        "slot 6",
        "epoch 0",
        "0 of 2 blocks proven",
        "8 of 8 nodes run",
        "block 1  open for 12 s  fees 2,000",
        "p1 ✔",
        "p2 ▶ 12 s",
        "p3 ✗",
        "↷p3 ○ in 2",
        "p1 ●",
        "p3 ·",
    ):
        assert words in text, words


def test_a_merge_stands_over_the_middle_of_its_children(busy: Show) -> None:
    lines = busy.drawn(160, 50).splitlines()
    forks = [line for line in lines if "┴" in line]
    assert [line.count("┴") for line in forks] == [1, 2]
    root, merges = forks
    middles = [at for at, mark in enumerate(merges) if mark == "┴"]
    for end, middle in zip(("┌", "┐"), middles, strict=True):
        assert abs(root.index(end) - middle) <= 1
    leaves = lines[lines.index(merges) + 1]
    corners = [at for at, mark in enumerate(merges) if mark in "┌┐"]
    for corner, label in zip(corners, ("p1 ✔", "p2 ▶ 12 s", "p3 ✗", "↷p3 ○ in 2"), strict=True):
        first = leaves.index(label)
        assert first - 1 <= corner <= first + len(label)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("leaves", [1, 2, 4, 8, 16, 64])
@pytest.mark.parametrize("jobs", [0, 1, 2])
def test_it_fits_every_terminal(width: int, height: int, leaves: int, jobs: int) -> None:
    show = Show(leaves=leaves)
    for number in range(jobs):
        owners: list[str | None] = [f"prover-{at % 4 + 1}" for at in range(leaves)]
        show.open_job(owners, f"{number:064x}")
    for number in range(30):
        show.scene.say(f"sentence {number} " + "and more " * 30)
    lines = show.drawn(width, height).splitlines()
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    if height >= 24:
        assert sum("sentence" in line for line in lines) >= 4
        assert sum(line.count("block") for line in lines) >= jobs
        assert "sentence 29" in lines[-1]
    if height >= 24 and width >= 80 and leaves <= 8:
        text = "\n".join(lines)
        assert text.count("p1 ○") == jobs * (1 if leaves == 1 else 1 + (leaves > 4))
        assert text.count("p1 ·") >= jobs * (leaves > 1)
        assert text.count("┴") == jobs * (leaves - 1) or (jobs, leaves, height) == (2, 8, 24)


def test_a_tree_too_wide_for_names_is_drawn_with_marks() -> None:
    show = Show(leaves=64)
    show.open_job([f"prover-{at % 4 + 1}" for at in range(64)])
    for at in range(0, 64, 2):
        show.record(0, at, "prover-1")
    text = show.drawn(80, 24)
    assert "✔○" * 32 in text
    assert "┴" not in text


def test_closed_jobs_fill_spare_room_only(show: Show) -> None:
    for number in range(6):
        show.open_job(["prover-1", "prover-2", "prover-3", "prover-4"], f"{number:064x}")
        if number < 5:
            show.tell("JobSettled", job=f"{number:064x}")
    for number in range(10):
        show.scene.say(f"sentence {number}")
    wide, narrow = show.drawn(160, 50), show.drawn(80, 24)
    assert wide.count("proven and paid") >= 2
    assert "block 6" in wide
    assert "sentence 0" in wide
    assert "block 6" in narrow
    assert "sentence 6" in narrow


def test_a_prover_has_one_colour_and_a_miss_is_red(busy: Show) -> None:
    assert busy.styles("p1 ✔") == busy.styles("p1 ●") == {COLOURS[0]}
    assert busy.styles("p2 ▶") == {COLOURS[1]}
    assert busy.styles("p3 ✗") == {"red"}
    assert busy.styles("↷p3") == {COLOURS[2]}
    assert "red" not in COLOURS
    assert len(set(COLOURS)) == len(COLOURS)


def test_the_dead_are_struck_out_in_red(busy: Show) -> None:
    assert busy.styles("v4") == {"white"}
    busy.scene.note_alive(frozenset(busy.accounts) - {"validator-4"})
    assert busy.styles("v4") == {"red"}
    assert "7 of 8 nodes run" in busy.drawn(160, 50)


def test_a_tree_node_that_waits_for_a_dead_prover_is_struck_out(busy: Show) -> None:
    def strikes(text: str) -> set[bool]:
        lines = busy.console(160, 50).render_lines(
            Picture(busy.scene, busy.now_ms), busy.console(160, 50).options.update(height=50)
        )
        parts = [part for line in lines for part in line if text in part.text]
        return {bool(part.style and part.style.strike) for part in parts}

    assert strikes("↷p3 ○") == {False}
    busy.scene.note_alive(frozenset(busy.accounts) - {"prover-3", "prover-1"})
    assert strikes("↷p3 ○") == {True}
    assert strikes("p1 ✔") == {False}


def test_a_terminal_without_the_signs_gets_plain_ones(busy: Show) -> None:
    console = busy.console(120, 40)
    options = console.options.update(height=40)
    options.encoding = "ascii"
    lines = console.render_lines(Picture(busy.scene, busy.now_ms), options)
    text = "".join(part.text for line in lines for part in line)
    assert text.isascii()
    assert f"p1 {ASCII.stages[Stage.RECORDED]}" in text
    assert FINE.stages[Stage.RECORDED] not in text


# --- the views ---


def test_without_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    view = open_view(a_plan(), Path("run"), plain=False)
    assert isinstance(view, PlainView)
    with view:
        view.take("validator-1", {"kind": "Final"})
        view.say("a [bold]sentence[/bold]")
        view.refresh(set())
    assert capsys.readouterr().out == "a [bold]sentence[/bold]\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "plain", "kind"),
    [
        ({"TERM": "xterm"}, False, LiveView),
        ({"TERM": "xterm"}, True, PlainView),
        ({"TERM": "dumb"}, False, PlainView),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, PlainView),
    ],
)
def test_a_screen_is_for_terminals_that_want_one(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], plain: bool, kind: type[Any]
) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert isinstance(open_view(a_plan(), Path("run"), plain=plain), kind)


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_the_terminal_is_left_as_it_was(show: Show, ends: str) -> None:
    screen, hidden = "\x1b[?1049", "\x1b[?25"
    console = show.console(80, 24)
    try:
        with LiveView(show.scene, console) as view:
            view.say("somebody does something")
            view.refresh({"validator-1"})
            assert ends == "well", "it ends badly"
    except AssertionError:
        assert ends == "badly"
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "somebody does something" in text
    assert text.count(f"{screen}h") == text.count(f"{screen}l") == 1
    assert text.rindex(f"{screen}l") > text.rindex("somebody")
    assert text.rindex(f"{hidden}h") > text.rindex(f"{hidden}l")


# --- each final tick once ---


def final(tick: int, *kinds: str) -> list[dict[str, Any]]:
    return [{"kind": kind, "tick": tick} for kind in (*kinds, "Final")]


def test_a_final_tick_is_news_once_and_whole() -> None:
    story = Story()

    def news(node: str, *records: dict[str, Any]) -> list[tuple[Any, str]]:
        return [
            (one.get("tick"), one["kind"]) for record in records for one in story.news(node, record)
        ]

    one, two = final(1, "A", "B"), final(2, "C")
    assert news("x", *one[:2]) == []
    assert news("y", *one) == [(1, "A"), (1, "B"), (1, "Final")]
    assert news("x", one[2]) == []
    assert news("x", {"kind": "ProofStarted"}) == [(None, "ProofStarted")]
    assert news("x", two[0], {"kind": "Stage"}, *one, *two) == [
        (None, "Stage"),
        (2, "C"),
        (2, "Final"),
    ]
    assert news("y", *two) == []


def test_what_is_told_of_a_round_and_of_cheats() -> None:
    plan = a_plan()
    narrator = Narrator(plan, START_MS)
    accounts = {one.name: one.identity.account.hex() for one in plan.members}

    def told(kind: str, **fields: Any) -> str:
        line = narrator.tell("validator-2", {"at_ms": START_MS + 1_500, "kind": kind} | fields)
        assert line is not None
        assert line.startswith("    1.5 s")
        return line

    assert told("RoundSkipped", tick=3, round=1, leader=None, why="PARENT_FELL").endswith(
        "tick    3  round 1: skipped, the block that it built on fell"
    )
    assert "validator-1 led" in told(
        "RoundSkipped", tick=3, round=1, leader=accounts["validator-1"], why="NOT_REVEALED"
    )
    assert "prover-2 signed two things for slot 9, says prover-1" in told(
        "EquivocationPunished",
        offender=accounts["prover-2"],
        slot=9,
        reporter=accounts["prover-1"],
    )
    job, prover = {"job": "aa", "index": [0, 1]}, {"prover": accounts["prover-1"]}
    assert "prover-1 offers leaf 1" in told("ProofOffered", **job, **prover)
    assert "prover-1 proved leaf 1, too" in told("UncleClaimed", **job, **prover)
    pending = told("SlashPending", **job, **prover, penalty=2_000, grace_ends=77)
    assert "prover-1 failed and loses 2,000 of its stake" in pending
    assert "by tick 77" in pending
    voter = {"voter": accounts["validator-1"]}
    assert "validator-1 finds prover-1 guilty" in told(
        "SlashVoted", **job, **prover, **voter, is_guilty=True
    )
    assert "prover-1 not guilty" in told("SlashVoted", **job, **prover, **voter, is_guilty=False)
    assert told("ProverSlashed", **job, **prover).endswith("prover-1 is slashed")
    assert "prover-1 keeps its stake: it showed every proof" in told(
        "ProverAcquitted", **job, **prover, why="PROOFS_SHOWN"
    )
    assert narrator.tell("validator-1", {"at_ms": 1, "kind": "Statistics"}) is None
