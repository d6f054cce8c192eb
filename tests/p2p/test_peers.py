"""Addresses, the book, conduct, and the keeper, without a network."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock

from p2p import limits
from p2p.conduct import Conduct
from p2p.identity import account_of, account_of_text, peer_id_of, peer_text
from p2p.peers import Address, AddressBook, Keeper, acceptable, range_of
from p2p.store import StoreError
from protocol.types import Account, Milliseconds

ACCOUNTS = [Account(bytes([number]) * 32) for number in range(40)]


def address(number: int, port: int = 4001, host: str = "10.0.0.1") -> Address:
    return Address("ip4", host, port, ACCOUNTS[number])


@given(st.binary(min_size=32, max_size=32).map(Account))
def test_an_account_and_its_peer_id_are_one(account: Account) -> None:
    assert account_of(peer_id_of(account)) == account
    assert account_of_text(peer_text(account)) == account
    assert peer_text(account).startswith("12D3KooW")


@given(st.binary(max_size=60))
def test_other_peer_ids_are_no_accounts(peer_id: bytes) -> None:
    with pytest.raises(ValueError, match="not the peer id"):
        account_of(peer_id)


@pytest.mark.parametrize("kind_and_host", ["ip4/10.1.2.3", "ip6/fe::1", "dns4/node-1.example"])
def test_an_address_reads_as_it_is_written(kind_and_host: str) -> None:
    text = f"/{kind_and_host}/tcp/4001/p2p/{peer_text(ACCOUNTS[1])}"
    assert str(Address.parse(text)) == text


@given(st.text(max_size=250) | st.binary(max_size=100).map(lambda b: b.decode("latin-1")))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        Address.parse(text)
    with pytest.raises(ValueError, match="not an address"):
        Address.parse(f"/ip4/{text}/tcp/1/p2p/{peer_text(ACCOUNTS[1])}x")


@pytest.mark.parametrize("port", ["0", "65536", "-1", "1e3", "", "9" * 100, "٤"])
def test_ports_are_bounded(port: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        Address.parse(f"/ip4/10.0.0.1/tcp/{port}/p2p/{peer_text(ACCOUNTS[1])}")


def test_what_strangers_say_is_dialled_with_care() -> None:
    assert acceptable(address(1), loopback=False)
    assert acceptable(address(1, host="127.0.0.1"), loopback=True)
    assert not acceptable(address(1, host="127.0.0.1"), loopback=False)
    for host in ("0.0.0.0", "224.0.0.1", "169.254.1.1", "255.255.255.255"):
        assert not acceptable(address(1, host=host), loopback=True)
    assert not acceptable(Address("dns4", "example", 1, ACCOUNTS[1]), loopback=True)


def test_a_book_survives_on_disk(tmp_path: Path) -> None:
    book = AddressBook([address(1), address(2)])
    book.add(address(3, 1))
    book.add(address(3, 2))
    book.save(tmp_path / "book.json")
    loaded = AddressBook.load(tmp_path / "book.json")
    assert loaded.accounts() == book.accounts()
    assert loaded.addresses(ACCOUNTS[3]) == [address(3, 2), address(3, 1)]
    assert loaded.entry(ACCOUNTS[1]).bootstrap
    assert [path.name for path in tmp_path.iterdir()] == ["book.json"]


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}', '[{"addresses": ["x"]}]'])
def test_a_file_that_is_no_book_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "book.json").write_text(content)
    with pytest.raises(StoreError, match="not an address book\nhint: move it away"):
        AddressBook.load(tmp_path / "book.json")


def test_a_book_is_bounded_and_keeps_its_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ADDRESSES_MAX", 10)
    book = AddressBook([address(0), address(1)])
    for number in range(2, 40):
        book.add(address(number))
    assert len(book) == 10
    assert {ACCOUNTS[0], ACCOUNTS[1], ACCOUNTS[39]} <= set(book.accounts())
    for port in range(1, 20):
        book.add(address(39, port))
        book.add(address(0, port))
    assert len(book.addresses(ACCOUNTS[39])) == limits.ADDRESSES_PER_ACCOUNT_MAX
    assert book.addresses(ACCOUNTS[0]) == [address(0)]


def test_strangers_that_stay_away_are_forgotten_and_bootstrap_is_not() -> None:
    async def body() -> None:
        book = AddressBook([address(0)])
        book.add(address(1))
        waits = []
        for _ in range(limits.FAILURES_MAX):
            book.failed(ACCOUNTS[0], jitter=0.5)
            book.failed(ACCOUNTS[1], jitter=0.5)
            waits.append(book.entry(ACCOUNTS[0]).next_try - trio.current_time())
        assert waits == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30])
        assert book.accounts() == [ACCOUNTS[0]]

    trio.run(body, clock=MockClock())


def test_points_fade_and_bans_end() -> None:
    async def body() -> None:
        conduct = Conduct()
        assert not conduct.penalise(ACCOUNTS[1], limits.BAN_POINTS - 1)
        await trio.sleep(limits.PENALTY_HALF_LIFE_S)
        assert conduct.points(ACCOUNTS[1]) == pytest.approx((limits.BAN_POINTS - 1) / 2)
        assert conduct.penalise(ACCOUNTS[1], limits.BAN_POINTS)
        assert conduct.is_banned(ACCOUNTS[1])
        assert not conduct.penalise(ACCOUNTS[1], limits.BAN_POINTS)
        await trio.sleep(limits.BAN_S + 1)
        assert not conduct.is_banned(ACCOUNTS[1])
        assert conduct.points(ACCOUNTS[1]) == 0

    trio.run(body, clock=MockClock(autojump_threshold=0))


def test_conduct_is_bounded_and_keeps_bans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONDUCT_ACCOUNTS_MAX", 10)

    async def body() -> None:
        conduct = Conduct()
        conduct.penalise(ACCOUNTS[0], limits.BAN_POINTS)
        for number in range(1, 40):
            conduct.penalise(ACCOUNTS[number])
        assert conduct.is_banned(ACCOUNTS[0])
        assert sum(conduct.points(account) > 0 for account in ACCOUNTS) <= 10

    trio.run(body, clock=MockClock())


class Fake:
    """Connections as the keeper sees them: accounts that answer, accounts that do not."""

    account = ACCOUNTS[20]

    def __init__(self, answering: set[Account]) -> None:
        self.answering = answering
        self.live: set[Account] = set()
        self.dials: list[tuple[float, Account]] = []

    def peers(self) -> tuple[Account, ...]:
        return tuple(sorted(self.live))

    def chosen(self) -> tuple[Account, ...]:
        return tuple(sorted(self.live & {account for _, account in self.dials}))

    async def dial(self, target: Address) -> None:
        self.dials.append((trio.current_time(), target.account))
        await trio.sleep(0.25)
        if target.account not in self.answering:
            raise OSError("nobody there")
        self.live.add(target.account)

    async def request(
        self, peer: Account, name: str, body: bytes, *, size_max: int, timeout_ms: Milliseconds
    ) -> bytes:
        assert peer in self.live
        assert Address.parse(body.decode()).account == self.account
        heard = [address(30), Address("ip4", "127.0.0.1", 1, ACCOUNTS[31])]
        return b"nonsense\n" + "\n".join(map(str, heard)).encode() + b"\n\xff"


def ip_in(book: AddressBook) -> Callable[[Account], str | None]:
    """The remote IP of a peer is the one in the book; 10.9.9.9 of whom it does not know."""

    def remote_ip(account: Account) -> str | None:
        known = book.addresses(account)
        return known[0].host if known else "10.9.9.9"

    return remote_ip


def keeper_of(fake: Fake, book: AddressBook, discover: bool = True) -> Keeper:
    return Keeper(
        fake,
        book,
        Conduct(),
        own=lambda: [Address("ip4", "0.0.0.0", 4001, fake.account)],
        remote_ip=ip_in(book),
        loopback=False,
        discover=discover,
        entropy=random.Random(1),
    )


def run_for(seconds: float, keeper: Keeper) -> None:
    async def body() -> None:
        with trio.move_on_after(seconds):
            await keeper.run()

    trio.run(body, clock=MockClock(autojump_threshold=0))


def test_the_keeper_connects_discovers_and_backs_off() -> None:
    fake = Fake({ACCOUNTS[1], ACCOUNTS[30]})
    book = AddressBook([address(1), address(2)])
    run_for(120, keeper_of(fake, book))
    assert fake.live == {ACCOUNTS[1], ACCOUNTS[30]}
    assert ACCOUNTS[31] not in book
    absent = [at for at, account in fake.dials if account == ACCOUNTS[2]]
    pauses = [later - earlier for earlier, later in pairwise(absent)]
    assert 6 <= len(absent) <= 14
    assert max(pauses) <= 1.5 * limits.BACK_OFF_S_MAX + 1
    assert sum(account == ACCOUNTS[1] for _, account in fake.dials) == 1


def test_the_keeper_dials_a_lost_peer_again() -> None:
    fake = Fake({ACCOUNTS[1]})
    keeper = keeper_of(fake, AddressBook([address(1)]), discover=False)

    async def body() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keeper.run)
            await trio.sleep(10)
            assert fake.live
            fake.live.clear()
            await trio.sleep(3)
            assert fake.live
            nursery.cancel_scope.cancel()

    trio.run(body, clock=MockClock(autojump_threshold=0))


def test_a_peer_is_told_of_by_the_address_it_was_seen_at() -> None:
    fake = Fake({ACCOUNTS[1]})
    book = AddressBook([address(1)])
    keeper = keeper_of(fake, book)

    async def body() -> None:
        fake.live = {ACCOUNTS[1], ACCOUNTS[5]}
        own = Address("ip4", "0.0.0.0", 7000, ACCOUNTS[5])
        stolen = address(7)
        answer = await keeper.answer(ACCOUNTS[5], f"{own}\n{stolen}\n\x00".encode())
        assert answer == str(address(1)).encode()
        assert book.addresses(ACCOUNTS[5]) == [Address("ip4", "10.9.9.9", 7000, ACCOUNTS[5])]
        assert ACCOUNTS[7] not in book
        assert await keeper.answer(ACCOUNTS[5], bytes(100_000)) is None

    trio.run(body)


@pytest.mark.parametrize(
    ("one", "other", "is_one_range"),
    [
        ("8.8.0.1", "8.8.255.255", True),
        ("8.8.0.1", "8.9.0.1", False),
        ("2a00:1450::1", "2a00:1450:ffff::2", True),
        ("2a00:1450::1", "2a00:1451::1", False),
    ],
)
def test_public_addresses_are_in_ranges(one: str, other: str, is_one_range: bool) -> None:
    assert (range_of(one) == range_of(other)) is is_one_range
    assert range_of(one) is not None


@pytest.mark.parametrize("ip", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "::1", "fd00::1"])
def test_addresses_that_are_near_have_no_range(ip: str) -> None:
    assert range_of(ip) is None


def test_one_range_is_chosen_a_few_times_and_bootstrap_always() -> None:
    crowd, elsewhere = range(1, 13), range(21, 30)
    book = AddressBook([address(13, host="8.8.0.13"), address(14, host="8.8.0.14")])
    for number in crowd:
        book.add(address(number, host=f"8.8.0.{number}"))
    for number in elsewhere:
        book.add(address(number, host=f"9.{number}.0.1"))
    fake = Fake(set(ACCOUNTS))
    run_for(120, keeper_of(fake, book, discover=False))
    strangers = {ACCOUNTS[number] for number in crowd} & fake.live
    bootstrap = {ACCOUNTS[13], ACCOUNTS[14]}
    assert len(strangers) == limits.PEERS_PER_RANGE_MAX - len(bootstrap)
    assert fake.live == strangers | bootstrap | {ACCOUNTS[number] for number in elsewhere}


def test_an_account_in_a_crowded_range_is_not_dialled_on_demand() -> None:
    book = AddressBook()
    for number in range(limits.PEERS_PER_RANGE_MAX + 1):
        book.add(address(number, host=f"8.8.0.{number + 1}"))
    fake = Fake(set(ACCOUNTS))
    keeper = keeper_of(fake, book)

    async def body() -> None:
        for number in range(limits.PEERS_PER_RANGE_MAX):
            await keeper.connect(ACCOUNTS[number])
        with pytest.raises(OSError, match="no address"):
            await keeper.connect(ACCOUNTS[limits.PEERS_PER_RANGE_MAX])
        book.add(address(limits.PEERS_PER_RANGE_MAX, host="9.9.9.9"))
        await keeper.connect(ACCOUNTS[limits.PEERS_PER_RANGE_MAX])

    trio.run(body, clock=MockClock(autojump_threshold=0))


def test_who_fills_all_places_leaves_those_that_we_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PEERS_MAX", 4)
    monkeypatch.setattr(limits, "PEERS_OUTBOUND_MIN", 2)
    book = AddressBook([address(number) for number in range(1, 6)])
    fake = Fake(set(ACCOUNTS))
    fake.live = set(ACCOUNTS[30:])
    run_for(60, keeper_of(fake, book, discover=False))
    assert len(fake.live - set(ACCOUNTS[30:])) == limits.PEERS_OUTBOUND_MIN


def test_a_crowded_range_leaves_the_book_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ADDRESSES_MAX", 10)
    book = AddressBook()
    for number in range(6):
        book.add(address(number, host=f"9.{number}.0.1"))
    for number in range(10, 30):
        book.add(address(number, host=f"8.8.0.{number}"))
    assert set(ACCOUNTS[:6]) <= set(book.accounts())
    assert len(book) == 10
