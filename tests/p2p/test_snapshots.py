"""Newcomers that begin with a snapshot of a peer instead of the whole log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p import snapshots
from p2p.observing import MessageRefused, ProofStarted, SnapshotAdopted
from p2p.snapshots import (
    OFFERS_MAX,
    OFFERS_REQUEST,
    PIECE_BYTES,
    PIECE_REQUEST,
    PIECES_MAX,
    Offer,
    encode_offers,
    fetch_offers,
    fetch_snapshot,
    read_piece,
)
from p2p.store import Store
from protocol import tree
from protocol.codec import encode
from protocol.errors import Reason, Refused
from protocol.events import Assigned, JobSettled, ProofRecorded
from protocol.handover import Snapshot, snapshot_name
from protocol.ordering.validators import Validators
from protocol.ports import RequestFailed
from protocol.types import (
    Account,
    Amount,
    Count,
    Digest,
    Epoch,
    Milliseconds,
    NetworkId,
    Stake,
    Tick,
)
from prover.modelled import ModelledBackend
from scripts.checkpoint import checkpoint_of, trusted_sets
from scripts.launcher.plan import Wish
from tests.p2p.town import Resident, Town, live

EPOCH = 16
PEER = Account(bytes(32))
BUSY = Wish(
    validators=4,
    provers=2,
    leaves=2,
    blocks=1_000,
    slot_ms=1_000,
    backend="modelled",
    sets=(f"network.epoch_ticks={EPOCH}",),
)


# --- the store ---


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store(tmp_path / "store.sqlite", NetworkId(bytes(32))) as store:
        yield store


def fill(store: Store, heights: range) -> None:
    for height in heights:
        name = height.to_bytes(32)
        store.put_block(name, height, b"block")
        store.put_certificate(name, b"certificate")
        store.finalise(height, name)


def test_the_newest_two_snapshots_stay_and_the_first_of_a_height(store: Store) -> None:
    for height in (16, 32, 48):
        store.put_snapshot(height, bytes([height]), b"state" * height)
    store.put_snapshot(48, b"another", b"")
    assert store.snapshots() == [(48, b"0", 240), (32, b" ", 160)]
    assert store.snapshot(48) == b"state" * 48
    assert store.snapshot(16) is None
    assert store.snapshot_piece(b" ", 3, 4) == b"test"
    assert store.snapshot_piece(b" ", 158, 9) == b"te"
    assert store.snapshot_piece(b"x", 0, 9) is None


def test_a_log_that_begins_with_a_snapshot_goes_on_above_it(store: Store) -> None:
    assert (store.begins_at(), store.final_height()) == (0, 0)
    store.put_snapshot(16, b"name", b"state")
    assert (store.begins_at(), store.final_height()) == (16, 16)
    fill(store, range(17, 20))
    store.put_snapshot(32, b"later", b"state")
    assert (store.begins_at(), store.final_height()) == (16, 19)


def test_what_is_old_is_forgotten_and_the_last_block_stays(store: Store) -> None:
    fill(store, range(1, 7))
    assert store.begins_at() == 0
    store.forget_log(4)
    assert (store.begins_at(), store.final_height()) == (4, 6)
    assert [row[0] for row in store.final_blocks(0, 9)] == [5, 6]
    assert store.block((4).to_bytes(32)) is None
    assert store.statistics().certificates == 2
    store.forget_log(9)
    assert (store.begins_at(), store.final_height()) == (5, 6)


# --- offers and pieces ---


class Peer:
    """Answers requests as told."""

    def __init__(self, answers: dict[str, Callable[[bytes], bytes | None]]) -> None:
        self.answers = answers

    async def request(self, _peer: Account, name: str, body: bytes, *, size_max: int, **_: Any):
        answer = self.answers[name](body)
        if answer is None or len(answer) > size_max:
            raise RequestFailed(name)
        return answer


def serving(store: Store) -> Any:
    return Peer(
        {
            OFFERS_REQUEST: lambda _body: encode_offers(store),
            PIECE_REQUEST: lambda body: read_piece(store, body),
        }
    )


class Hands:
    """Peers that each answer for pieces in their own way, and what became of the fetch."""

    def __init__(self, folder: Path, payload: bytes) -> None:
        self.payload = payload
        self.offer = Offer(Tick(16), snapshot_name(payload), Count(-(-len(payload) // PIECE_BYTES)))
        self.store = Store(folder / "newcomer.sqlite", NetworkId(bytes(32)))
        self.answers: dict[Account, Callable[[int], bytes | None]] = {}
        self.asked: list[tuple[Account, int]] = []
        self.blamed: list[Account] = []

    def right(self, number: int) -> bytes:
        return self.payload[number * PIECE_BYTES : (number + 1) * PIECE_BYTES]

    def wrong(self, number: int) -> bytes:
        return bytes(len(self.right(number)))

    async def request(self, peer: Account, _name: str, body: bytes, **_: Any) -> bytes:
        number = int.from_bytes(body[32:], "big")
        self.asked.append((peer, number))
        await trio.lowlevel.checkpoint()
        answer = self.answers[peer](number)
        if answer is None:
            raise RequestFailed("timeout")
        return answer

    def fetch(self, *answers: Callable[[int], bytes | None]) -> bytes | None:
        """Fetch of as many peers as there are answers."""
        self.answers = dict(zip(HOLDERS, answers, strict=False))
        self.asked.clear()
        network: Any = self

        def blame(peer: Account, refusal: Refused) -> None:
            assert refusal.reason is Reason.WRONG_BODY
            self.blamed.append(peer)

        async def main() -> bytes | None:
            return await fetch_snapshot(network, self.store, self.offer, list(self.answers), blame)

        return trio.run(main)


HOLDERS = [Account(bytes([number]) * 32) for number in range(4)]


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    hands = Hands(tmp_path, b"".join(bytes([number]) * PIECE_BYTES for number in range(6)) + b"!")
    with hands.store:
        yield hands


def test_pieces_come_from_all_who_offer_them(hands: Hands) -> None:
    assert hands.fetch(hands.right, hands.right, hands.right) == hands.payload
    assert sorted(number for _, number in hands.asked) == list(range(7))
    assert {peer for peer, _ in hands.asked} == set(HOLDERS[:3])
    assert not hands.blamed


def test_a_fetch_that_was_interrupted_asks_for_the_rest_only(hands: Hands) -> None:
    assert hands.fetch(lambda number: hands.right(number) if number < 4 else None) is None
    assert hands.store.piece_count(hands.offer.name) == 4
    assert hands.fetch(lambda _: None, hands.right) == hands.payload
    assert {number for _, number in hands.asked} == {4, 5, 6}
    assert not hands.blamed


def test_who_sent_all_of_something_else_is_blamed(hands: Hands) -> None:
    assert hands.fetch(hands.wrong) is None
    assert hands.blamed == HOLDERS[:1]
    assert not hands.store.piece_count(hands.offer.name)


def test_of_several_hands_nobody_is_blamed_who_did_not_send_all_of_it(hands: Hands) -> None:
    assert hands.fetch(hands.right, hands.wrong, hands.right) == hands.payload
    assert not hands.blamed
    hands.store.forget_pieces()
    assert hands.fetch(hands.wrong, hands.right, hands.wrong) == hands.payload
    assert hands.blamed == HOLDERS[:1]


def test_pieces_of_an_earlier_life_are_held_against_nobody(hands: Hands) -> None:
    assert hands.fetch(lambda number: hands.wrong(number) if number < 4 else None) is None
    assert hands.fetch(hands.right) == hands.payload
    assert not hands.blamed


def test_a_piece_of_a_wrong_length_is_refused_at_once(hands: Hands) -> None:
    assert hands.fetch(lambda number: hands.right(number)[1:], hands.right) == hands.payload
    assert hands.blamed == HOLDERS[:1]
    assert len(hands.asked) == 8


def test_pieces_of_one_name_are_kept(store: Store) -> None:
    store.put_piece(b"one", 0, b"a")
    store.put_piece(b"one", 1, b"b")
    assert store.pieces(b"one") == [b"a", b"b"]
    store.put_piece(b"other", 0, b"c")
    assert (store.piece_count(b"one"), store.pieces(b"other")) == (0, [b"c"])
    store.forget_pieces()
    assert not store.piece_count(b"other")


def test_a_snapshot_travels_in_pieces(store: Store, hands: Hands) -> None:
    payloads = {16: b"a" * (2 * PIECE_BYTES), 32: bytes(range(256)) * 5_000}
    for height, payload in payloads.items():
        store.put_snapshot(height, snapshot_name(payload), payload)
    offers = trio.run(fetch_offers, serving(store), PEER)
    assert [(one.height, one.pieces) for one in offers] == [(32, 2), (16, 2)]
    for offer in offers:
        fetched = trio.run(
            fetch_snapshot, serving(store), hands.store, offer, [PEER], lambda *_: None
        )
        assert fetched == payloads[offer.height]


@pytest.mark.parametrize("request_", [b"", bytes(33), bytes(34), bytes(35)])
def test_there_is_no_piece_of_what_is_not_kept(store: Store, request_: bytes) -> None:
    store.put_snapshot(16, snapshot_name(b"state"), b"state")
    assert read_piece(store, request_) is None
    name = snapshot_name(b"state")
    assert read_piece(store, name + b"\0\0") == b"state"
    assert read_piece(store, name + b"\0\1") is None


@pytest.mark.parametrize(
    ("offers", "reason"),
    [
        ((Offer(Tick(16), Digest(bytes(32)), Count(PIECES_MAX + 1)),), Reason.TOO_LARGE),
        ((Offer(Tick(16), Digest(bytes(32)), Count(1)),) * (OFFERS_MAX + 1), Reason.TOO_LARGE),
    ],
)
def test_too_much_is_not_asked_for(offers: tuple[Offer, ...], reason: Reason) -> None:
    peer: Any = Peer({OFFERS_REQUEST: lambda _body: encode(offers, tuple[Offer, ...])})
    with pytest.raises(Refused) as refusal:
        trio.run(fetch_offers, peer, PEER)
    assert refusal.value.reason is reason


# --- a whole network ---


async def stop(resident: Resident) -> None:
    """End a node that runs, also one that has hardly begun."""
    await trio.sleep(0.5)
    resident.stop()
    await trio.sleep(0.5)


class Newcomers:
    """A town in which one member stays away until the others have passed some borders."""

    def __init__(self, folder: Path, name: str = "validator-2", borders: int = 3) -> None:
        self.town = Town(folder, BUSY)
        self.newcomer: Resident = self.town[name]
        self.others = [one for one in self.town.residents.values() if one is not self.newcomer]
        self.borders = borders

    async def stay_away(self) -> None:
        await stop(self.newcomer)
        enough = self.borders * EPOCH + 4
        await self.town.until(lambda: min(one.height for one in self.others) >= enough)

    def arrive(self, nursery: trio.Nursery) -> None:
        assert not self.newcomer.finals
        if self.newcomer.trusted is None:
            self.newcomer.trusted = self.trusted()
        nursery.start_soon(self.newcomer.run)

    def trusted(self) -> dict[Epoch, Validators]:
        """What a bundle of one of the others would name."""
        checkpoint = checkpoint_of(self.others[0].running)
        assert checkpoint is not None
        return trusted_sets(checkpoint, self.town.genesis.network)

    async def caught_up(self, ticks: int) -> None:
        height = self.others[0].height + ticks
        await self.town.until(lambda: self.newcomer.height >= height)

    def corrupt(self, change: Callable[[Resident, Snapshot], Snapshot | None]) -> None:
        """Let some serve something else, under its right name."""
        for resident in self.others:
            store = resident.running._parts.store
            for height, _, _ in store.snapshots():
                lie = change(resident, Snapshot.read(store.snapshot(height) or b""))
                if lie is not None:
                    payload = lie.to_bytes()
                    store._rows("DELETE FROM snapshot WHERE height = ?", height)
                    store.put_snapshot(height, snapshot_name(payload), payload)

    @property
    def refusals(self) -> list[MessageRefused]:
        told = (one for one in self.newcomer.told if isinstance(one, MessageRefused))
        return [one for one in told if one.message.startswith("snapshot")]

    @property
    def first_height(self) -> int:
        return min(self.newcomer.finals)


def test_a_newcomer_begins_with_a_snapshot_agrees_votes_and_restarts(tmp_path: Path) -> None:
    place = Newcomers(tmp_path)

    async def story(nursery: trio.Nursery) -> None:
        await place.stay_away()
        place.arrive(nursery)
        await place.caught_up(2 * EPOCH)
        await stop(place.newcomer)
        await trio.sleep(30)
        nursery.start_soon(place.newcomer.run)
        await place.caught_up(EPOCH)

    live(place.town, story)
    place.town.assert_agreement()
    first = place.first_height
    told = [one for one in place.newcomer.told if isinstance(one, SnapshotAdopted)]
    assert told[0].height == first - 1
    assert told[0].peer in {one.account for one in place.others}
    assert [one.peer for one in told[1:]] == [None]
    assert first > 2 * EPOCH
    assert (first - 1) % EPOCH == 0
    heights = sorted(place.newcomer.finals)
    assert heights == list(range(first, heights[-1] + 1))
    running = place.newcomer.running
    assert running.replica.halted is None
    assert running.replica.engine.signed.vote > 0
    assert not place.refusals
    assert place.newcomer.events(JobSettled)
    digests = {
        one.running._archive.settled_state().root for one in (place.newcomer, place.others[0])
    }
    assert running.machine.settled_root in digests
    assert not place.others[0].running.machine._punished


def fatter(_: Resident, snapshot: Snapshot) -> Snapshot:
    (key, amount, nonce), *rest = snapshot.accounts
    return replace(snapshot, accounts=((key, Amount(amount + 1), nonce), *rest))


def untold(_: Resident, snapshot: Snapshot) -> Snapshot:
    saved = replace(snapshot.border.saved, story=Digest(bytes(32)))
    return replace(snapshot, border=replace(snapshot.border, saved=saved))


@pytest.mark.parametrize(
    ("lie", "reason"), [(fatter, Reason.WRONG_ACCOUNTS), (untold, Reason.WRONG_STATE)]
)
def test_a_lying_server_is_refused_and_another_one_asked(
    tmp_path: Path, lie: Callable[..., Snapshot], reason: Reason
) -> None:
    place = Newcomers(tmp_path)
    honest = max(one.account for one in place.others)

    async def story(nursery: trio.Nursery) -> None:
        await place.stay_away()
        place.corrupt(lambda who, one: None if who.account == honest else lie(who, one))
        place.arrive(nursery)
        await place.caught_up(4)

    live(place.town, story)
    place.town.assert_agreement()
    assert {one.reason for one in place.refusals} == {reason}
    assert honest not in {one.peer for one in place.refusals}
    assert place.first_height > 2 * EPOCH
    assert place.newcomer.running.replica.halted is None


def others_stake(epoch: Epoch, validators: Validators) -> tuple[Epoch, Validators]:
    members = (replace(one, stake=Stake(one.stake + 1)) for one in validators.members)
    return epoch, Validators(members)


def other_epoch(epoch: Epoch, validators: Validators) -> tuple[Epoch, Validators]:
    return Epoch(epoch + 2), validators


@pytest.mark.parametrize(
    ("change", "reasons"), [(others_stake, {Reason.UNTRUSTED_SET}), (other_epoch, set())]
)
def test_whom_the_newcomer_does_not_trust_proves_nothing_and_the_whole_log_is_applied(
    tmp_path: Path, change: Callable[..., tuple[Epoch, Validators]], reasons: set[Reason]
) -> None:
    """Each snapshot is refused once; of epochs of which nothing is known none is asked for."""
    place = Newcomers(tmp_path)

    async def story(nursery: trio.Nursery) -> None:
        await place.stay_away()
        place.newcomer.trusted = dict(change(*one) for one in place.trusted().items())
        place.arrive(nursery)
        await place.caught_up(4)

    live(place.town, story)
    place.town.assert_agreement()
    assert place.first_height == 1
    assert {one.reason for one in place.refusals} == reasons
    assert len(place.refusals) == len({(one.peer, one.detail) for one in place.refusals})
    assert not [one for one in place.newcomer.told if isinstance(one, SnapshotAdopted)]


def test_a_young_network_has_no_snapshot_and_the_newcomer_begins_with_the_genesis(
    tmp_path: Path,
) -> None:
    place = Newcomers(tmp_path, borders=0)

    async def story(nursery: trio.Nursery) -> None:
        await place.stay_away()
        place.arrive(nursery)
        await place.caught_up(4)

    live(place.town, story)
    place.town.assert_agreement()
    assert place.first_height == 1


def test_a_node_that_forgot_its_old_log_goes_on_from_its_own_snapshot(tmp_path: Path) -> None:
    place = Newcomers(tmp_path)
    keeper = place.others[0]
    begins: list[int] = []

    async def story(nursery: trio.Nursery) -> None:
        await stop(keeper)
        keeper.history_epochs = 1
        nursery.start_soon(keeper.run)
        await place.town.until(lambda: keeper.height >= 3 * EPOCH + 4)
        begins.append(keeper.running._parts.store.begins_at())
        await stop(keeper)
        nursery.start_soon(keeper.run)
        height = place.others[1].height
        await place.town.until(lambda: keeper.height >= height + EPOCH)

    live(place.town, story)
    place.town.assert_agreement()
    assert begins[0] == 2 * EPOCH
    assert keeper.running.replica.halted is None


def test_who_is_stopped_while_it_fetches_asks_for_the_rest_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "PIECE_BYTES", 256)
    monkeypatch.setattr(snapshots, "PIECES_MAX", 1_000)
    place = Newcomers(tmp_path)
    asked: list[int] = []
    lives: list[list[int]] = []

    async def story(nursery: trio.Nursery) -> None:
        await place.stay_away()
        for resident in place.others:
            network: Any = resident.running._parts.network
            answers = network._registry.answers
            honest = answers[PIECE_REQUEST]

            async def noted(peer: Account, body: bytes, honest: Any = honest) -> bytes | None:
                asked.append(int.from_bytes(body[32:], "big"))
                place.town.changed()
                answer: bytes | None = await honest(peer, body)
                return answer

            answers[PIECE_REQUEST] = noted
        place.arrive(nursery)
        await place.town.until(lambda: len(asked) >= 12)
        place.newcomer.stop()
        await trio.sleep(0.5)
        lives.append(asked.copy())
        asked.clear()
        nursery.start_soon(place.newcomer.run)
        await place.caught_up(4)

    live(place.town, story)
    place.town.assert_agreement()
    assert not place.refusals
    first, (earlier,) = place.first_height, lives
    assert first > 2 * EPOCH
    assert asked
    assert min(asked) > 0
    assert set(earlier) | set(asked) == set(range(max(asked) + 1))
    assert len(set(earlier) & set(asked)) <= len(place.others)


# --- in the middle of a job ---


class Prover:
    """A prover that loses its store when it owes a merge of proofs from before a border."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.border = 0
        self.owed: Assigned | None = None

    @property
    def witness(self) -> Resident:
        return self.town["validator-1"]

    def look(self) -> bool:
        """Whether somebody owes a merge of proofs that were both recorded up to the last border,
        which blocks that followed prove by now.
        """
        self.border = (self.witness.height - 5) // EPOCH * EPOCH
        if self.border <= 0:
            return False
        at = {
            (one.job, one.index): height
            for height, final in self.witness.finals.items()
            for one in final.applied.events
            if isinstance(one, ProofRecorded)
        }
        jobs = self.witness.running.machine.jobs
        for one in self.witness.events(Assigned):
            if one.job not in jobs or not one.index.level or (one.job, one.index) in at:
                continue
            below = [at.get((one.job, child), 1 << 30) for child in tree.children(one.index)]
            if max(below) <= self.border:
                self.owed = one
                return True
        return False

    @property
    def resident(self) -> Resident:
        assert self.owed is not None
        members = self.town.residents.values()
        return next(one for one in members if one.account == self.owed.prover)


def test_a_prover_that_begins_in_the_middle_of_a_job_merges_what_was_recorded_before(
    tmp_path: Path,
) -> None:
    town = Town(tmp_path, replace(BUSY, leaves=4))
    town.backend = ModelledBackend(leaf_ms=Milliseconds(1_500), merge_ms=Milliseconds(9_000))
    place = Prover(town)

    def delivered() -> list[ProofRecorded]:
        owed = place.owed
        return [
            one
            for one in place.witness.events(ProofRecorded)
            if owed is not None and (one.job, one.index) == (owed.job, owed.index)
        ]

    async def story(nursery: trio.Nursery) -> None:
        await town.until(place.look)
        resident = place.resident
        resident.stop()
        await trio.sleep(0.1)
        for name in ("store.sqlite", "store.sqlite-wal", "journal"):
            (resident.folder / name).unlink(missing_ok=True)
        resident.finals.clear()
        resident.told.clear()
        checkpoint = checkpoint_of(place.witness.running)
        assert checkpoint is not None
        resident.trusted = trusted_sets(checkpoint, town.genesis.network)
        nursery.start_soon(resident.run)
        await town.until(lambda: bool(delivered()))

    live(town, story)
    resident, (record,) = place.resident, delivered()
    assert min(resident.finals) == place.border + 1
    assert record.prover == resident.account
    started = [one.key for one in resident.told if isinstance(one, ProofStarted)]
    assert (record.job, record.index) in [(one.job, one.index) for one in started]
    town.assert_agreement()
