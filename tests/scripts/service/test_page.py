"""The explorer page in headless Chromium, against the values that it is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from protocol.happenings import BlockFinal
from scripts.launcher.plan import Wish
from scripts.service.answers import Asked, Source, ledger
from scripts.service.live import Hub
from scripts.service.page import Page
from scripts.service.values import Outcome
from tests.p2p.town import Town, live
from tests.scripts.service.browser import Browser, find_browser
from tests.scripts.service.serving import Client, serve, source_of

PROGRAM = find_browser()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    one = Browser(PROGRAM, tmp_path / "profile")
    yield one
    one.close()


def watch(source: Source, hub: Hub, browser: Browser, look: Callable[[str], None]) -> None:
    """Open the page and look at it, once it has read the node."""

    def sit_down(url: str) -> None:
        browser.open(url)
        browser.wait("document.body && document.body.dataset.tick !== undefined")
        look(url)

    async def talk(client: Client) -> None:
        await trio.to_thread.run_sync(sit_down, client.server.url)

    serve(source, talk, others={"events": hub.endpoint, "page": Page().endpoint})


def test_the_page_shows_the_network_trees_and_money(town: Town, browser: Browser) -> None:
    source, hub = source_of(town), Hub()

    def look(url: str) -> None:
        assert browser.run("document.body.dataset.tick") == str(source.node.machine.tick)
        cards = browser.run("[...document.querySelectorAll('.job')].map((one) => one.dataset.job)")
        assert len(cards) == 2
        for name in cards:
            told = source.story.tree(bytes.fromhex(name))
            assert told is not None
            texts = browser.run(
                f"[...document.querySelectorAll('[data-job=\"{name}\"] .node')]"
                ".map((one) => [...one.querySelectorAll('text')].map((text) => text.textContent))"
            )
            names = {one.account: one.name for one in town.genesis.accounts}
            holders = [one.prover or one.owners[0] for one in told[1]]
            assert [text[1] for text in texts] == [names[one] for one in holders]
            assert [text[0] for text in texts][:3] == ["the root", "merge 1:0", "merge 1:1"]
        rows = browser.run(
            "[...document.querySelectorAll('#provers tbody tr')]"
            ".map((one) => [...one.cells].map((cell) => cell.textContent))"
        )
        assert [row[0] for row in rows] == [f"prover-{number}" for number in range(1, 5)]
        for row in rows:
            account = town[row[0]].account
            told_of = source.story.reliability(account)
            assert row[2].startswith(f"{told_of.kept} of {told_of.due}, ")
            assert row[-1] == f"{source.story.income(account):,}"
        assert all(one.startswith((url, "data:")) for one in browser.requested)
        assert browser.errors == []

    watch(source, hub, browser, look)


def test_one_click_leads_from_a_number_to_its_operations(town: Town, browser: Browser) -> None:
    source, hub = source_of(town), Hub()
    told = ledger(source, Asked({"account": "prover-3"}, 200))

    def look(_url: str) -> None:
        browser.run(
            "document.querySelectorAll('#provers tbody tr')[2].querySelector('button').click()"
        )
        browser.wait("document.getElementById('dialog').open")
        title = browser.run("document.getElementById('dialog-title').textContent")
        assert title == "Gains and losses of prover-3"
        rows = browser.run(
            "[...document.querySelectorAll('#dialog .scroll tbody tr')]"
            ".map((one) => [...one.cells].map((cell) => cell.textContent))"
        )
        assert len(rows) == len(told.entries)
        for row, entry in zip(rows, told.entries, strict=True):
            assert row[0] == str(entry.tick)
            assert row[1] == f"{entry.amount:+,}".replace("-", "\u2212")
            assert entry.operation is not None
            assert row[-1].startswith(f"{entry.operation.kind} {entry.operation.hash.hex()[:8]}")
        browser.run("document.getElementById('dialog').close()")
        browser.run("document.querySelector('.node').dispatchEvent(new MouseEvent('click'))")
        browser.wait("document.getElementById('dialog').open")
        words = browser.run("document.getElementById('dialog-body').textContent")
        assert "assigned to" in words
        assert "[object" not in words
        assert browser.errors == []

    watch(source, hub, browser, look)


def test_the_page_follows_the_log(town: Town, browser: Browser) -> None:
    told = town["validator-1"].told
    early = source_of(town)
    middle = len(told) // 2
    source, hub = source_of(town, told=middle), Hub()
    before, after = len(source.story.jobs()), len(early.story.jobs())
    assert before < after

    def look(_url: str) -> None:
        count = "document.querySelectorAll('.mini').length"
        closed = [one for one in source.story.jobs() if one.outcome is not Outcome.OPEN]
        assert browser.run(count) == len(closed)
        browser.wait("document.getElementById('pulse').dataset.state === 'live'")
        trio.from_thread.run_sync(go_on)
        late = [one for one in source.story.jobs() if one.outcome is not Outcome.OPEN]
        assert len(late) > len(closed)
        browser.wait(f"{count} === {len(late)}")
        assert browser.errors == []

    def go_on() -> None:
        for event in told[middle:]:
            source.story.observe(event)
        last = [one for one in told if isinstance(one, BlockFinal)][-1]
        hub.observe(last)

    watch(source, hub, browser, look)


def test_a_network_without_a_block_says_so(
    tmp_path_factory: pytest.TempPathFactory, browser: Browser
) -> None:
    wish = Wish(validators=4, provers=0, leaves=4, blocks=1, slot_ms=1_000, backend="modelled")
    town = Town(tmp_path_factory.mktemp("dawn"), wish)

    async def story(_nursery: trio.Nursery) -> None:
        await trio.sleep(0.5)  # virtual: before the first slot

    live(town, story)

    def look(_url: str) -> None:
        words = browser.run("document.body.innerText")
        for sentence in ("No log block is final yet", "No rollup block is sealed yet"):
            assert sentence in words
        assert "Nobody has prover stake" in words
        for scheme in ("light", "dark"):
            browser.prefer(scheme)
            paper = browser.run("getComputedStyle(document.body).backgroundColor")
            assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]
        assert browser.errors == []

    watch(source_of(town), Hub(), browser, look)


def test_the_policy_admits_nothing_from_elsewhere(town: Town) -> None:
    async def talk(client: Client) -> None:
        reply = await client.ask("/")
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        text = reply.body.decode()
        assert "<!--style-->" not in text
        assert "<!--script-->" not in text
        assert reply.headers["content-type"] == "text/html; charset=utf-8"

    serve(source_of(town), talk, others={"page": Page().endpoint})
