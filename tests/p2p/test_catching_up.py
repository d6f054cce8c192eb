"""A node that was away fetches the log from several peers at once, whatever some of them do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p import catching_up
from p2p.memory import LinkModel
from p2p.observing import MessageRefused
from p2p.ranges import Range
from p2p.store import Store
from p2p.sync import BLOCKS_REQUEST, Section, answer_section, range_bytes, read_section
from protocol.codec import decode, encode
from protocol.errors import Reason, Refused
from protocol.messages import CertifiedBlock
from protocol.params import network_id
from protocol.types import Account, Milliseconds, NetworkId, Tick
from tests.p2p.test_snapshots import BUSY, EPOCH
from tests.p2p.town import Resident, Town, live

LENGTH = 8
HEIGHT = 4 * EPOCH

Answer = Callable[[Account, bytes], Awaitable[bytes | None]]


async def stop(resident: Resident) -> None:
    resident.stop()
    await trio.sleep(0.5)


class Absence:
    """A town that one validator left, and what the others answer it when it comes back."""

    def __init__(self, folder: Path, link: LinkModel | None = None) -> None:
        self.town = Town(folder, BUSY, link)
        self.absent: Resident = self.town["validator-2"]
        self.others = [one for one in self.town.residents.values() if one is not self.absent]
        self.asked: list[tuple[Resident, Range]] = []
        self.at_once = 0
        self._under_way = 0

    async def grow(self, height: int = HEIGHT) -> None:
        await trio.sleep(0.5)
        self.absent.stop()
        await self.town.until(lambda: min(one.height for one in self.others) >= height)
        for resident in self.others:
            self.serve(resident)

    def serve(
        self, resident: Resident, change: Callable[[Answer], Answer] = lambda one: one
    ) -> None:
        """Let one answer otherwise, and note what it is asked."""
        network: Any = resident.running._parts.network
        answers = network._registry.answers
        honest = change(answers[BLOCKS_REQUEST])

        async def noted(peer: Account, body: bytes) -> bytes | None:
            if peer != self.absent.account:
                return await honest(peer, body)
            first, last = int.from_bytes(body[:8], "big"), int.from_bytes(body[8:], "big")
            self.asked.append((resident, Range(first, last)))
            self._under_way += 1
            self.at_once = max(self.at_once, self._under_way)
            try:
                await trio.sleep(0.2)
                return await honest(peer, body)
            finally:
                self._under_way -= 1

        answers[BLOCKS_REQUEST] = noted

    def parts(self, height: int) -> list[Range]:
        """What was asked for up to a height."""
        return [part for _, part in self.asked if part.last <= height]

    async def caught_up(self) -> None:
        height = self.others[0].height
        await self.town.until(lambda: self.absent.height >= height)

    @property
    def refusals(self) -> list[MessageRefused]:
        told = (one for one in self.absent.told if isinstance(one, MessageRefused))
        return [one for one in told if one.message == "certified blocks"]


@pytest.fixture(autouse=True)
def _short_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "RANGE_BLOCKS", LENGTH)


def meet_liars(place: Absence, liars: list[Resident], lying: Callable[[Answer], Answer]) -> None:
    """Let the log grow, some lie about it, and the absent come back and catch up."""

    async def story(nursery: trio.Nursery) -> None:
        await place.grow()
        for liar in liars:
            place.serve(liar, lying)
        nursery.start_soon(place.absent.run)
        await place.caught_up()

    live(place.town, story)


def test_who_was_away_asks_all_at_once_and_for_nothing_twice(tmp_path: Path) -> None:
    place = Absence(tmp_path)

    async def story(nursery: trio.Nursery) -> None:
        await place.grow()
        nursery.start_soon(place.absent.run)
        await place.caught_up()

    live(place.town, story)
    place.town.assert_agreement()
    assert place.at_once == len(place.others)
    assert not place.refusals
    asked = [one for part in place.parts(HEIGHT - LENGTH) for one in range(part.first, part.last)]
    assert len(asked) == len(set(asked))
    assert len({one.account for one, _ in place.asked}) == len(place.others)


def test_who_is_stopped_in_the_middle_goes_on_from_there(tmp_path: Path) -> None:
    place = Absence(tmp_path)
    kept: list[int] = []

    async def story(nursery: trio.Nursery) -> None:
        await place.grow()
        nursery.start_soon(place.absent.run)
        await place.town.until(lambda: place.absent.height >= HEIGHT // 3)
        await stop(place.absent)
        kept.append(place.absent.height)
        place.asked.clear()
        nursery.start_soon(place.absent.run)
        await place.caught_up()

    live(place.town, story)
    place.town.assert_agreement()
    assert HEIGHT // 3 <= kept[0] < HEIGHT
    assert min(part.first for _, part in place.asked) == kept[0] + 1


def test_who_stalls_is_left_out_and_the_others_do_its_part(tmp_path: Path) -> None:
    place = Absence(tmp_path)
    seconds: list[float] = []

    def stall(_: Answer) -> Answer:
        async def never(_peer: Account, _body: bytes) -> bytes | None:
            await trio.sleep_forever()

        return never

    async def story(nursery: trio.Nursery) -> None:
        await place.grow()
        for staller in place.others[:2]:
            place.serve(staller, stall)
        nursery.start_soon(place.absent.run)
        began = trio.current_time()
        await place.caught_up()
        seconds.append(trio.current_time() - began)

    live(place.town, story)
    place.town.assert_agreement()
    stalled = [who for who, part in place.asked if who in place.others[:2] and part.last < HEIGHT]
    assert sorted(one.member.name for one in stalled) == sorted(
        one.member.name for one in place.others[:2]
    )
    assert not place.refusals
    # one wait for both, as they stall at the same time, but for the one that begins the round
    assert seconds[0] < 2 * catching_up.SYNC_TIMEOUT_MS / 1000 + 5


Lie = Callable[[CertifiedBlock], CertifiedBlock | None]


def unsigned(one: CertifiedBlock) -> CertifiedBlock:
    signed = replace(one.block.signed, signature=type(one.block.signed.signature)(bytes(64)))
    return replace(one, block=replace(one.block, signed=signed))


def uncertified(one: CertifiedBlock) -> CertifiedBlock:
    return replace(
        one, certificate=replace(one.certificate, signatures=one.certificate.signatures[:1])
    )


def emptied(one: CertifiedBlock) -> CertifiedBlock:
    return replace(one, block=replace(one.block, operations=()))


def left_out(one: CertifiedBlock) -> CertifiedBlock | None:
    return one if one.block.header.height % LENGTH else None


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (unsigned, Reason.BAD_SIGNATURE),
        (uncertified, Reason.BAD_CERTIFICATE),
        (emptied, Reason.WRONG_OPERATIONS),
        (left_out, Reason.WRONG_HEIGHT),
    ],
)
def test_who_lies_is_blamed_and_the_others_do_its_part(
    tmp_path: Path, lie: Lie, reason: Reason
) -> None:
    place = Absence(tmp_path)
    liars = place.others[1:3]

    def lying(honest: Answer) -> Answer:
        async def answer(peer: Account, body: bytes) -> bytes | None:
            section: Section = decode(Section, await honest(peer, body) or b"", size_max=1 << 24)
            changed = tuple(one for one in map(lie, section.blocks) if one is not None)
            return encode(replace(section, blocks=changed))

        return answer

    meet_liars(place, liars, lying)
    place.town.assert_agreement()
    assert {one.reason for one in place.refusals} == {reason}
    assert {one.peer for one in place.refusals} == {one.account for one in liars}
    assert place.absent.running._parts.network.statistics().penalties == len(place.refusals)


def test_sections_that_are_none_are_refused(tmp_path: Path) -> None:
    place = Absence(tmp_path)

    async def grow(_nursery: trio.Nursery) -> None:
        await place.grow(2 * LENGTH)

    live(place.town, grow)
    network = network_id(place.town.genesis)
    with Store(place.others[0].folder / "store.sqlite", network) as store:
        wanted = Range(3, 2 + LENGTH)
        answer = answer_section(store, range_bytes(wanted)) or b""
        section = read_section(network, wanted, answer)
        assert [one.block.header.height for one in section.blocks] == list(range(3, 3 + LENGTH))
        assert section.final == store.final_height() >= 2 * LENGTH
        whole = answer_section(store, range_bytes(Range(1, 99))) or b""
        tail = read_section(network, Range(1, 99), whole)
        assert tail.last > tail.final
        for other in (Range(4, 2 + LENGTH), Range(3, 1 + LENGTH), Range(1, 2 + LENGTH)):
            assert refusal(network, other, answer) is Reason.WRONG_HEIGHT
        blocks = section.blocks
        for lie, reason in (
            (replace(section, blocks=blocks[:2] + blocks[3:]), Reason.WRONG_HEIGHT),
            (replace(section, blocks=blocks[:2] + blocks[1:2]), Reason.WRONG_HEIGHT),
            (replace(section, final=Tick(0), blocks=blocks[::-1]), Reason.WRONG_HEIGHT),
            (replace(section, blocks=(astray(blocks[0]), *blocks[1:])), Reason.OFF_FINAL_CHAIN),
            (replace(section, blocks=(unsigned(blocks[0]), *blocks[1:])), Reason.BAD_SIGNATURE),
        ):
            assert refusal(network, wanted, encode(lie)) is reason
        for request in (b"", bytes(8), bytes(16), bytes(17), b"\xff" * 16):
            assert answer_section(store, request) is None
        store.put_snapshot(EPOCH, bytes(32), b"state")
        store.forget_log(LENGTH)
        gone = answer_section(store, range_bytes(Range(LENGTH, 2 * LENGTH))) or b""
        assert not read_section(network, Range(LENGTH, 2 * LENGTH), gone).blocks


def refusal(network: NetworkId, wanted: Range, answer: bytes) -> Reason:
    with pytest.raises(Refused) as caught:
        read_section(network, wanted, answer)
    return caught.value.reason


def astray(one: CertifiedBlock) -> CertifiedBlock:
    """The block with another slot in its header: nothing follows it."""
    header = one.block.header
    signed = replace(one.block.signed, header=replace(header, slot=type(header.slot)(1)))
    return replace(one, block=replace(one.block, signed=signed))


def test_a_well_made_log_that_is_not_ours_is_held_against_who_sent_it(tmp_path: Path) -> None:
    """All of another log is right by itself: only that it does not follow our blocks is wrong."""
    (there := tmp_path / "there").mkdir()
    (here := tmp_path / "here").mkdir()
    other = Absence(there, LinkModel(Milliseconds(45)))

    async def grow(_nursery: trio.Nursery) -> None:
        await other.grow()

    live(other.town, grow)
    place = Absence(here)
    honest = sorted(place.others, key=lambda one: one.account)[1]  # begins the first round
    liars = [one for one in place.others if one is not honest]
    network = network_id(place.town.genesis)
    with Store(other.others[0].folder / "store.sqlite", network) as store:

        def lying(_: Answer) -> Answer:
            async def answer(_peer: Account, body: bytes) -> bytes | None:
                return answer_section(store, body)

            return answer

        meet_liars(place, liars, lying)
    place.town.assert_agreement()
    assert {one.peer for one in place.refusals} <= {one.account for one in liars}
    assert {one.reason for one in place.refusals} == {Reason.OFF_FINAL_CHAIN}
