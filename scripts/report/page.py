"""The page: one HTML document with its style and pictures inside, and no script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from scripts.report.draw import HATCH, seconds, text_of
from scripts.report.style import sheet
from scripts.report.timeline import (
    block_timeline,
    prover_timeline,
    timeline_legend,
    way_legend,
    way_pictures,
)
from scripts.report.tree import tree_legend, tree_picture
from scripts.report.values import (
    BlockStory,
    Ending,
    Flow,
    Note,
    Outcome,
    PlaceStory,
    Stage,
    Story,
)

BLOCKS_OPEN: Final = 8
"""So many blocks are shown at once; the others open on a click."""

BALANCE: Final = "BALANCE"
TAKEN: Final = (Outcome.TAKEOVER, Outcome.OPEN)


def page(story: Story) -> str:
    """The whole document."""
    parts = [
        f"<title>provnet: {text_of(story.name)}</title>",
        f"<style>{sheet()}</style></head><body>",
        HATCH,
        *_head(story),
        *_trouble(story),
        *_blocks(story),
        *_way(story),
        *_provers(story),
        *_money(story),
        *_refusals(story),
        *_notes(story),
        *_about(story),
    ]
    head = '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return f"{head}{view}{''.join(parts)}</body></html>\n"


# --- words and tables ---


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]], numbers: str = "") -> str:
    """A table; ``numbers`` has an ``n`` for each column that is set to the right, and a ``w`` for
    one whose lines may wrap.
    """
    known = {"n": ' class="number"', "w": ' class="wrap"', " ": ""}
    kinds = [known[one] for one in numbers.ljust(len(headings))]
    head = "".join(f"<th{k}>{text_of(one)}</th>" for k, one in zip(kinds, headings, strict=True))
    body = (
        "".join(f"<td{k}>{text_of(one)}</td>" for k, one in zip(kinds, row, strict=True))
        for row in rows
    )
    lines = "".join(f"<tr>{one}</tr>" for one in body)
    return f'<div class="scroll"><table><tr>{head}</tr>{lines}</table></div>'


# --- the head ---


def _head(story: Story) -> Iterator[str]:
    summary = story.summary or {}
    settled = sum(block.end == "settled" for block in story.blocks)
    asked = summary.get("blocks_asked") or len(story.blocks)
    verdict = [f"{settled} of {_counted(asked, 'block')} proven"]
    words = {
        "nodes_agree": ("nodes agree", "nodes DISAGREE"),
        "money_conserved": ("money conserved", "money NOT CONSERVED"),
    }
    verdict += [words[name][not summary[name]] for name in words if name in summary]
    is_well = all(summary.get(name) for name in words) and not summary.get("faults")
    colour = "good" if is_well and settled >= asked else "bad"
    yield f'<h1 class="{colour}">{text_of(", ".join(verdict))}</h1>'
    kind = ": attestations that take as long, and prove nothing" if story.is_modelled else ""
    yield (
        f'<p class="soft">Run {text_of(story.name)}, network <code>{story.network[:16]}</code>, '
        f"{text_of(dict(story.facts)['proofs'])} proofs{kind}</p>"
    )
    if story.summary is None:
        yield "<p>The run has no summary: it did not come to its end.</p>"
    for sentence in summary.get("faults", ()):
        yield f'<p class="bad">Not as it should be: {text_of(sentence)}</p>'
    yield f'<ul class="tiles">{"".join(_tiles(story))}</ul>'


def _tiles(story: Story) -> Iterator[str]:
    blocks = [block for block in story.blocks if block.backup is None]
    places = [place for block in blocks for place in block.places]
    recorded = [place for place in places if place.record is not None]
    finished = [one for one in story.attempts if one.ending is Ending.FINISHED]
    times = [block.proven_ms - block.opened_ms for block in blocks if block.proven_ms]
    rows = [
        (f"{len(story.blocks)}", "blocks opened"),
        (f"{len(recorded)} of {len(places)}", "tree nodes recorded"),
        (f"{sum(one.outcome in TAKEN for one in places)}", "of them taken over"),
        (f"{len(finished)}", "proofs made"),
        (f"{story.ticks}", "log blocks final"),
        (f"{seconds(story.end_ms)} s", "from launch to end"),
    ]
    if times:
        rows.insert(1, (f"{seconds(sum(times) // len(times))} s", "to root, on average"))
    void = sum(block.end == "void" for block in story.blocks)
    if void:
        rows.insert(1, (f"{void}", "void"))
    for number, words in rows:
        yield f"<li><b>{text_of(number)}</b><span>{text_of(words)}</span></li>"


def _trouble(story: Story) -> Iterator[str]:
    if not story.marks and not story.cheats:
        return
    yield "<h2 id='faults'>Faults and cheats on purpose</h2>"
    for one in (story.summary or {}).get("cheats", ()):
        yield f"<p>{text_of(one['sentence'])}</p>"
    if story.marks:
        rows = [(f"{seconds(one.at_ms)} s", one.node, _words(one.what)) for one in story.marks]
        yield _table(("at", "node", "what was done to it"), rows, "n")
    if story.cheats:
        yield "<h3>What nodes that cheat told of it</h3>"
        told = [
            (
                one.node,
                one.cheat,
                one.what,
                one.count,
                f"{seconds(one.first_ms)} s",
                f"{seconds(one.last_ms)} s",
            )
            for one in story.cheats
        ]
        yield _table(("node", "cheat", "what", "times", "first", "last"), told, "   nnn")


# --- blocks ---


def _blocks(story: Story) -> Iterator[str]:
    yield "<h2 id='blocks'>Blocks</h2>"
    if not story.blocks:
        yield "<p>No block was opened for proving.</p>"
        return
    yield tree_legend(story.provers)
    yield timeline_legend()
    yield (
        '<p class="soft">Times count from the launch. What the log decides is drawn where the '
        "slot of its log block began; a filled dot is where the first node saw that block final, "
        "and that is when work can start.</p>"
    )
    for block in story.blocks:
        yield from _block(block, story.provers)


def _block(block: BlockStory, provers: tuple[str, ...]) -> Iterator[str]:
    is_open = " open" if block.number <= BLOCKS_OPEN else ""
    took = ""
    if block.proven_ms is not None:
        took = f", root after {seconds(block.proven_ms - block.opened_ms)} s"
    yield f'<details class="card"{is_open}><summary>Block {block.number}: {block.end}{took}'
    yield "</summary>"
    end = "" if block.end_tick is None else f", {block.end} at tick {block.end_tick}"
    yield (
        f'<p class="soft">job <code>{block.job[:16]}</code> by {text_of(block.sequencer)}, opened '
        f"at tick {block.opened_tick}{end}; fees {block.fees:,}, "
        f"{block.fee_split / 100:g}\u00a0% for provers</p>"
    )
    if block.because is not None:
        why = "it was not proven in time"
        if block.because != block.number:
            why = f"because of block {block.because or '?'}"
        yield f'<p class="bad">Void, {why}: nothing of this block happened.</p>'
    if block.backup is not None:
        yield f"<p>A backup block: it came whole, with its proof, by {text_of(block.backup)}.</p>"
    yield tree_picture(block, provers)
    yield f"<h3>Tree nodes in time</h3>{block_timeline(block, provers)}"
    yield "<h3>Waits</h3>"
    yield _table(
        (
            "tree node",
            "assigned to",
            "recorded for",
            "how",
            "right known",
            "started after",
            "proved in",
            "ordered after",
            "final after",
            "paid",
        ),
        [_place_row(one) for one in block.places],
        "    nnnnnw",
    )
    yield (
        '<p class="soft">In seconds; a right is known when the log block that opened it is final. '
        "Work on a merge starts with the proofs of its inputs, often before that: then the start "
        "is negative.</p>"
    )
    notes = [*block.notes, *(note for place in block.places for note in place.notes)]
    if notes:
        yield f"<h3>Also told of this block</h3>{_note_table(notes)}"
    yield "</details>"


def _place_row(place: PlaceStory) -> tuple[object, ...]:
    record, winner, known_ms = place.record, place.winner, place.known_ms
    start = proved = ordered = final = ""
    if winner is not None:
        start = seconds(winner.start_ms - known_ms) if known_ms is not None else ""
        proved = seconds(winner.wall_ms) if winner.wall_ms is not None else ""
        if record is not None and record.ordered_ms is not None:
            ordered = seconds(record.ordered_ms - winner.end_ms)
    if record is not None and record.ordered_ms is not None:
        final = seconds(record.final_ms - record.ordered_ms)
    return (
        place.name,
        ", ".join(place.assigned) or "anybody",
        record.prover if record is not None else "",
        place.outcome.value,
        "" if known_ms is None else seconds(known_ms),
        start,
        proved,
        ordered,
        final,
        "; ".join(f"{one.amount:,} {one.to} ({_words(one.cause)})" for one in place.paid),
    )


def _way(story: Story) -> Iterator[str]:
    proven = [block for block in story.blocks if block.way]
    if not proven:
        return
    yield "<h2 id='where'>Where the time went</h2>"
    yield (
        '<p class="soft">From the opening of a block to the record of its root, along the tree '
        "nodes that it waited for.</p>"
    )
    yield f"{way_legend(proven)}{way_pictures(proven)}"
    stages = [one for one in Stage if any(span.stage is one for b in proven for span in b.way)]
    rows = []
    for block in proven:
        sums = [
            sum(one.end_ms - one.start_ms for one in block.way if one.stage is stage)
            for stage in stages
        ]
        rows.append((f"block {block.number}", *map(seconds, sums), seconds(sum(sums))))
    yield _table(
        ("in seconds", *(one.value for one in stages), "all"), rows, " ".ljust(len(stages) + 2, "n")
    )


# --- nodes and money ---


def _provers(story: Story) -> Iterator[str]:
    if not story.attempts:
        return
    yield "<h2 id='provers'>Provers in time</h2>"
    yield '<p class="soft">A bar is a proof, named block/level:position; pale: not recorded.</p>'
    yield prover_timeline(story)
    rows = []
    for name in story.provers:
        mine = [one for one in story.attempts if one.node == name]
        finished = [one.wall_ms for one in mine if one.wall_ms is not None]
        rows.append(
            (
                name,
                len(mine),
                len(finished),
                sum(one.is_recorded for one in mine),
                sum(one.ending is Ending.CANCELLED for one in mine),
                sum(one.ending in (Ending.KILLED, Ending.CUT) for one in mine),
                seconds(sum(finished)),
                seconds(sum(finished) // len(finished)) if finished else "",
            )
        )
    headings = (
        "node",
        "started",
        "finished",
        "recorded",
        "given up",
        "cut off",
        "proving s",
        "mean s",
    )
    yield _table(headings, rows, " nnnnnnn")


def _money(story: Story) -> Iterator[str]:
    yield "<h2 id='money'>Money</h2>"
    accounts = [one for one in story.flows if one.node]
    if not accounts:
        yield "<p>No money moved.</p>"
        return
    columns = list(dict.fromkeys((one.pocket, one.cause) for one in accounts))
    columns.sort(key=lambda column: (column[0] != BALANCE, column[1]))
    nodes = list(dict.fromkeys(one.node for one in accounts))
    cells = {(one.node, one.pocket, one.cause): one for one in accounts}
    most = max(max(one.gained, one.lost) for one in accounts)
    head = "".join(f'<th class="number">{text_of(_column(*one))}</th>' for one in columns)
    yield '<p class="soft">Gains and losses of each node by cause, in micro-units.</p>'
    yield '<div class="scroll"><table>'
    yield f'<tr><th>node</th>{head}<th class="number">all</th></tr>'
    for node in nodes:
        mine = [cells.get((node, *column)) for column in columns]
        whole = sum(one.gained - one.lost for one in mine if one is not None)
        drawn = "".join(_cell(one, most) for one in mine)
        yield f'<tr><td>{text_of(node)}</td>{drawn}<td class="number">{_signed(whole)}</td></tr>'
    yield "</table></div>"
    others = [one for one in story.flows if not one.node]
    if others:
        yield "<h3>Pockets that are nobody's</h3>"
        yield _table(
            ("pocket", "cause", "in", "out"),
            [(_words(o.pocket), _words(o.cause), f"{o.gained:,}", f"{o.lost:,}") for o in others],
            "  nn",
        )


def _signed(amount: int) -> str:
    return f"{amount:+,}" if amount else "0"


def _column(pocket: str, cause: str) -> str:
    return _words(cause) if pocket == BALANCE else f"{_words(cause)} ({_words(pocket)})"


def _cell(flow: Flow | None, most: int) -> str:
    """Gains with a bar, losses below them."""
    if flow is None:
        return "<td></td>"
    drawn = ""
    if flow.gained:
        bar = f'<rect width="{100 * flow.gained / most:.2f}%" height="6"/>'
        drawn += (
            f'{flow.gained:+,}<svg class="bar" width="100%" height="6" aria-hidden="true">{bar}'
            "</svg>"
        )
    if flow.lost:
        drawn += f"{-flow.lost:,}"
    return f'<td class="number">{drawn}</td>'


# --- what else there is ---


def _refusals(story: Story) -> Iterator[str]:
    yield "<h2 id='refused'>Refused</h2>"
    if not story.refusals:
        yield "<p>Nothing was refused.</p>"
        return
    rows = [
        (one.sender, one.kind, _words(one.reason), one.seen_by, one.count) for one in story.refusals
    ]
    yield _table(("from", "what", "reason", "refused by", "times"), rows, "    n")


def _notes(story: Story) -> Iterator[str]:
    if story.notes:
        yield f"<h2 id='also'>Also in the log</h2>{_note_table(story.notes)}"


def _note_table(notes: Sequence[Note]) -> str:
    rows = [
        (
            note.tick,
            f"{seconds(note.at_ms)} s",
            note.kind,
            "; ".join(f"{name} {value}" for name, value in note.fields),
        )
        for note in sorted(notes, key=lambda note: note.tick)
    ]
    return _table(("tick", "final at", "event", "with"), rows, "nn w")


def _about(story: Story) -> Iterator[str]:
    yield "<h2 id='about'>About this page</h2>"
    yield (
        "<p>Made from the run's <code>genesis.toml</code>, <code>events.jsonl</code> (final events "
        f"as {text_of(story.reference)} told them) and <code>summary.json</code>. Why a tree node "
        "went as it did, from the log alone: "
        "<code>./scripts/provnet explain RUN BLOCK LEVEL POSITION</code>; where the money of a "
        "node came from: <code>./scripts/provnet ledger RUN NODE</code>; whether it is all true: "
        "<code>./scripts/provnet verify RUN --payments</code>.</p>"
    )
    yield _table(("parameter", "value"), story.facts)
