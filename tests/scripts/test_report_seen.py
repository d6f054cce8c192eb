"""The page as Chromium lays it out: nothing overlaps, nothing is cut, at widths that people have.

Skipped where Chromium is not installed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from scripts.report.command import write_report
from tests.scripts.test_report import run

__all__ = ["run"]

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"
)

MEASURE = """<script>
const box = one => one.getBoundingClientRect();
const inside = (inner, outer) => box(inner).left >= box(outer).left - 1
  && box(inner).right <= box(outer).right + 1 && box(inner).top >= box(outer).top - 1
  && box(inner).bottom <= box(outer).bottom + 1;
const apart = texts => texts.every((one, at) => at === 0
  || box(texts[at - 1]).right + 2 <= box(one).left);
const all = (where, what) => [...where.querySelectorAll(what)];
const found = {
  wider: document.documentElement.scrollWidth - window.innerWidth,
  boxes: 0, bars: 0, axes: 0, marks: 0, labels: 0, bad: [],
};
for (const link of all(document, 'svg.tree a')) {
  const frame = link.querySelector('.outline');
  for (const text of all(link, 'text')) {
    found.boxes += 1;
    if (!inside(text, frame)) found.bad.push('in a box: ' + text.textContent);
  }
}
for (const text of all(document, '.lane g text')) {
  found.bars += 1;
  const bars = all(text.closest('g'), 'rect');
  const bar = bars.length ? bars[0] : text.closest('svg.lane').querySelector('rect');
  if (box(text).right > box(bar).right + 1 && bars.length)
    found.bad.push('in a bar: ' + text.textContent);
}
for (const lane of all(document, '.lane')) {
  const words = all(lane, ':scope > text.axis');
  found.axes += words.length ? 1 : 0;
  if (!apart(words)) found.bad.push('axis: ' + words.map(one => one.textContent));
  for (const word of words)
    if (box(word).right > box(lane).right) found.bad.push('off: ' + word.textContent);
  for (const dot of all(lane, 'circle, .mark')) {
    found.marks += 1;
    if (box(dot).right > box(lane).right + 5 || box(dot).top < box(lane).top - 2
      || box(dot).bottom > box(lane).bottom + 2) found.bad.push('a mark is off its lane');
  }
}
for (const label of all(document, '.row .label')) {
  found.labels += 1;
  if (label.scrollWidth > label.clientWidth) found.bad.push('label: ' + label.textContent);
}
const hidden = all(document, 'h1, h2, h3, summary, p, li')
  .filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0);
for (const one of hidden) found.bad.push('cut: ' + one.textContent);
document.body.innerHTML = '<pre id="found"></pre>';
document.getElementById('found').textContent = JSON.stringify(found);
</script></body>"""


def laid_out(page: Path, width: int, scratch: Path) -> dict[str, Any]:
    assert CHROMIUM is not None
    measured = scratch / f"measured-{width}.html"
    measured.write_text(page.read_text().replace("</body>", MEASURE))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    profile = f"--user-data-dir={scratch / 'profile'}"
    window = f"--window-size={width},1000"
    done = subprocess.run(
        [CHROMIUM, *options, profile, window, measured.as_uri()],
        capture_output=True,
        check=True,
        text=True,
    )
    text = re.search('<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert text is not None, done.stderr[-2_000:]
    found: dict[str, Any] = json.loads(unescape(text[1]))
    return found


@pytest.mark.parametrize("width", [500, 700, 1400])
def test_nothing_overlaps_and_nothing_is_cut(run: Path, width: int, tmp_path: Path) -> None:
    found = laid_out(write_report(run), width, tmp_path)
    assert found["bad"] == []
    assert found["wider"] <= 0
    assert found["boxes"] > 60
    assert min(found[one] for one in ("bars", "axes", "marks", "labels")) > 0


def test_a_label_that_is_too_long_is_found(run: Path, tmp_path: Path) -> None:
    """The measure can fail."""
    page = tmp_path / "long.html"
    long = write_report(run).read_text().replace(">merge 1:0</text>", f">{'m' * 60}</text>")
    page.write_text(long)
    assert any("in a box" in one for one in laid_out(page, 700, tmp_path)["bad"])
