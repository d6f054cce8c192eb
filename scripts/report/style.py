"""The look of the page: light and dark, on paper, on narrow windows, for all eyes.

Colours of provers are those of Okabe and Ito ("Color Universal Design", 2008), colours of stages
the light scheme of Paul Tol (technical note SRON/EPS/TN/09-002): both stay apart under all common
kinds of colour blindness. No colour says anything that is not also said in words.
"""

from __future__ import annotations

from typing import Final

from scripts.report.values import Stage

PROVER_COLOURS: Final = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#999999",
)
"""One for each prover in turn; with more provers they come again, and names tell them apart."""

STAGE_COLOURS: Final = {
    Stage.MISSED: "#ee8866",
    Stage.START: "#eedd88",
    Stage.PROVING: "#44bb99",
    Stage.INPUTS: "#99ddff",
    Stage.MINIMUM: "#ffaabb",
    Stage.ORDERING: "#bbcc33",
    Stage.FINALITY: "#77aadd",
    Stage.UNSEEN: "#dddddd",
}
"""What a block waited for."""

_LIGHT_TEXT_ON: Final = "#0072b2"

_SHEET: Final = """
:root { color-scheme: light dark; --paper: #ffffff; --card: #f6f7f9; --ink: #1b1f24;
  --soft: #57606a; --line: #d0d7de; --grid: #e4e8ec; --good: #00704f; --bad: #b33c00; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --card: #1d2127; --ink: #e6e9ed;
  --soft: #a3acb7; --line: #3a424c; --grid: #2b3139; --good: #3ecf9f; --bad: #ff9a62; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 16px 64px; max-width: 1320px; background: var(--paper);
  color: var(--ink); font: 14px/1.45 system-ui, "Liberation Sans", sans-serif; }
h1 { font-size: 24px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 18px; margin: 40px 0 8px; border-bottom: 1px solid var(--line);
  padding-bottom: 4px; }
h3 { font-size: 15px; margin: 20px 0 6px; }
p { margin: 4px 0 10px; max-width: 86ch; }
.soft { color: var(--soft); }
.good { color: var(--good); } .bad { color: var(--bad); }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 16px 0; padding: 0; list-style: none; }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 8px 14px; min-width: 104px; }
.tiles b { display: block; font-size: 19px; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: 12px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 12px 14px; margin: 12px 0; }
.card > summary { cursor: pointer; font-size: 16px; font-weight: 600; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 8px 0; padding: 0;
  list-style: none; font-size: 12px; color: var(--soft); }
.legend li { display: flex; align-items: center; gap: 6px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { text-align: left; padding: 3px 12px 3px 0; vertical-align: top; white-space: nowrap; }
th { font-weight: 600; color: var(--soft); font-size: 12px; border-bottom: 1px solid var(--line);
  white-space: normal; vertical-align: bottom; }
td.number, th.number { text-align: right; } td.wrap { white-space: normal; min-width: 96px; }
tr:target td, .row:target { background: var(--grid); }
.row { display: grid; grid-template-columns: 96px minmax(0, 1fr); align-items: center; }
.row .label { font-size: 12px; padding-right: 8px; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
.lane { display: block; width: 100%; overflow: visible; }
svg text { font: 12px system-ui, "Liberation Sans", sans-serif; fill: var(--ink); }
svg .small { font-size: 11px; } svg .strong { font-weight: 600; }
svg .axis { fill: var(--soft); font-size: 11px; }
svg .on-light { fill: #14171b; } svg .on-dark { fill: #ffffff; }
.grid { stroke: var(--grid); } .edge { stroke: var(--soft); fill: none; }
.hatch { stroke: var(--soft); stroke-width: 1.5; }
.mark { stroke: var(--ink); stroke-width: 2; fill: none; stroke-linecap: round; }
.dot { stroke: var(--ink); stroke-width: 1.5; fill: var(--paper); }
.dot.final { fill: var(--ink); }
.outline { stroke: var(--ink); stroke-width: 1.25; fill: none; }
.takeover { stroke-width: 2.25; stroke-dasharray: 6 3; }
.open { stroke-width: 2.25; stroke-dasharray: 2 3; }
.empty { fill: var(--paper); stroke: var(--soft); }
.lost { opacity: 0.45; }
.tree { display: block; max-width: 100%; height: auto; }
.tree.wide { max-width: none; }
.bar { display: block; background: var(--grid); margin: 2px 0 4px; }
.bar rect { fill: var(--soft); }
code { font-size: 12px; }
@media (max-width: 560px) { .row { grid-template-columns: 72px minmax(0, 1fr); } }
@media print { :root { color-scheme: light; --paper: #fff; --card: #fff; --ink: #000;
  --soft: #444; --line: #bbb; --grid: #e4e8ec; --good: #00704f; --bad: #b33c00; }
  body { padding: 0; max-width: none; font-size: 11px; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .tree.wide { max-width: 100%; } .scroll { overflow: visible; }
  th, td { white-space: normal; padding-right: 8px; }
  .row, tr, .tree, .tiles li { break-inside: avoid; } h2, h3 { break-after: avoid; } }
"""


def sheet() -> str:
    """The style sheet of the page."""
    provers = (f".p{number} {{ fill: {colour}; }}" for number, colour in enumerate(PROVER_COLOURS))
    stages = (f".s{stage.name} {{ fill: {colour}; }}" for stage, colour in STAGE_COLOURS.items())
    return "\n".join((_SHEET.strip(), *provers, ".nobody { fill: var(--soft); }", *stages))


def prover_class(provers: tuple[str, ...], name: str | None) -> str:
    """The class that fills something with a prover's colour; grey for anybody."""
    if name is None or name not in provers:
        return "nobody"
    return f"p{provers.index(name) % len(PROVER_COLOURS)}"


def text_class(provers: tuple[str, ...], name: str | None) -> str:
    """The class of text on that colour."""
    if name is None or name not in provers:
        return "on-light"
    colour = PROVER_COLOURS[provers.index(name) % len(PROVER_COLOURS)]
    return "on-dark" if colour == _LIGHT_TEXT_ON else "on-light"
