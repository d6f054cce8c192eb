"""The join bundle: one small file from which a stranger joins a network.

It is TOML of at most :data:`BUNDLE_BYTES_MAX` bytes: a version, the network id, the genesis whole,
addresses to ask first, if there is one a checkpoint (a recent final block of the log with the state
digest after it, and who orders the log around it), where a test network has one the address of its
faucet, and in the last line the digest of every byte above it.

Rules.

- What is read is bounded, then its digest is compared, then its parts are checked. The network id
  must be that of the genesis.
- A checkpoint says which of several histories is the network's: keys that left the set long ago
  could sign another one at no cost ("weak subjectivity", Buterin 2014). It is good for as long as
  those that it names answer for what they sign (``checkpoint.answerable_ms``). Without one a bundle
  never grows old: whoever uses it trusts the sets of the genesis, and applies the whole log.
- A bundle carries data only. Rules that stand in somebody's own file are code: they are copied
  from beside the bundle, after somebody has read them, and never fetched.

What a checkpoint is trusted for. Let the block after it lie in epoch ``e``. The bundle names the
validators of the epochs ``e - 1``, ``e`` and ``e + 1``: all are fixed when the checkpoint is final
(``protocol.sets``).

- *The log above the checkpoint.* Who applies the whole log compares the block and the state at its
  height. What follows is certified by the sets that follow from that state.
- *A snapshot* of the border before epoch ``k`` counts only when blocks of epoch ``k`` that name its
  state are certified by the set of ``k`` as the bundle names it; of other epochs none is taken. For
  ``k = e + 1`` the border lies above the checkpoint, and its set vouches for what was between; for
  ``k = e - 1``, and mostly for ``e``, it lies below, and the log passes the checkpoint as well.
- *There is one to be had.* While the checkpoint is good, at most two epochs of slots pass, so
  the log comes to epoch ``e + 2`` at the most. Nodes keep the snapshots of the newest two borders:
  one of them is of an epoch that the bundle names.

Properties. The digest guards against accidents; against forgers only if it came from somebody
trusted, by another way than the bundle.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from p2p.limits import MIB
from p2p.node import Node
from p2p.peers import Address, AddressBook
from protocol.errors import Refused
from protocol.ordering.validators import Validator, Validators
from protocol.params import (
    Genesis,
    format_genesis,
    network_id,
    parse_genesis,
)
from protocol.sets import MEMBERS_MAX
from protocol.signing import digest
from protocol.types import BOUNDS, Account, Stake, VrfKey
from scripts.checkpoint import (
    SETS,
    Checkpoint,
    Chronicle,
    Members,
    answerable_ms,
    checkpoint_of,
)
from scripts.configuration import ConfigurationError, load_configuration
from scripts.records import read_lines

VERSION: Final = 2
"""Version of the form of a bundle."""

BUNDLE_BYTES_MAX: Final = 1 * MIB
"""Largest bundle, in bytes: a genesis of some thousand accounts."""

BOOTSTRAP_MAX: Final = 16
"""Most addresses in a bundle."""

_DIGEST_LINE: Final = re.compile(rb'digest = "([0-9a-f]{64})"\n')
FAUCET_MAX: Final = 200
"""Longest address of a faucet, in characters."""

_HASHES: Final = ("block", "state")
_ENTRIES: Final = {"version", "network", "genesis", "bootstrap", "digest"}
_FAUCET: Final = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@!$&()*+,;=%-]+")
_FRESH: Final = "get a fresh bundle: ./scripts/provnet bundle FOLDER on a machine of the network"


class BundleError(ConfigurationError):
    """A bundle cannot be used."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a stranger needs to join.

    :ivar faucet: where test money is given away, by http or https; empty: nowhere.
    """

    genesis: Genesis
    bootstrap: tuple[str, ...]
    checkpoint: Checkpoint | None = None
    faucet: str = ""


# --- writing ---


def format_bundle(bundle: Bundle) -> bytes:
    """The file of a bundle."""
    genesis = format_genesis(bundle.genesis).replace("\\", "\\\\").replace('"""', '""\\"')
    lines = [
        f"version = {VERSION}",
        f'network = "{network_id(bundle.genesis).hex()}"',
        "bootstrap = [",
        *(f'  "{one}",' for one in bundle.bootstrap),
        "]",
    ]
    if (one := bundle.checkpoint) is not None:
        lines += [
            "checkpoint = { "
            f'height = {one.height}, block = "{one.block.hex()}", state = "{one.state.hex()}", '
            f"time_ms = {one.time_ms} }}",
            *_formatted_sets(one.sets),
        ]
    if bundle.faucet:
        lines.append(f'faucet = "{bundle.faucet}"')
    body = "\n".join([*lines, f'genesis = """\n{genesis}"""']).encode() + b"\n"
    return body + f'digest = "{_digest(body).hex()}"\n'.encode()


def _formatted_sets(sets: tuple[Members, ...]) -> list[str]:
    lines = ["sets = ["]
    for members in sets:
        rows = (f'["{one.account.hex()}", {one.stake}, "{one.vrf_key.hex()}"]' for one in members)
        lines += ["  [", *(f"    {row}," for row in rows), "  ],"]
    return [*lines, "]"]


def bundle_of(node: Node, bootstrap: Iterable[Address], faucet: str = "") -> bytes:
    """A fresh bundle of a running node, whose last final block is the checkpoint.

    :param bootstrap: addresses to ask first; what no stranger could dial is left out.
    :param faucet: where test money is given away; empty: nowhere.
    """
    genesis, checkpoint = node.machine.genesis, checkpoint_of(node)
    return format_bundle(Bundle(genesis, dialable(bootstrap), checkpoint, faucet))


def parse_addresses(texts: Iterable[str]) -> tuple[Address, ...]:
    """Addresses as a node's file holds them. Raises :class:`ConfigurationError`."""
    found = []
    for text in texts:
        try:
            found.append(Address.parse(text))
        except ValueError as failure:
            raise ConfigurationError(
                f"{text!r} among a node's addresses is {failure}",
                "mend bootstrap or announce in node.toml, or what stands above it",
            ) from None
    return tuple(found)


def dialable(addresses: Iterable[Address]) -> tuple[str, ...]:
    """The first addresses that name a host, each once."""
    named = (str(one) for one in addresses if one.ip is None or not one.ip.is_unspecified)
    return tuple(dict.fromkeys(named))[:BOOTSTRAP_MAX]


def bundle_of_folder(folder: Path) -> Bundle:
    """A bundle of what the nodes in a run folder, or the node in a node folder, have written.

    :raises BundleError: when the folder is neither, or no address of a node is known.
    """
    nodes = sorted(one.parent for one in (folder / "nodes").glob("*/node.toml"))
    if not nodes and (folder / "node.toml").exists():
        nodes = [folder]
    if not nodes:
        raise BundleError(
            f"{folder} is no run folder and no node folder",
            "name a folder that holds node.toml, or nodes with one in each",
        )
    configurations = [load_configuration(one / "node.toml") for one in nodes]
    genesis = parse_genesis((nodes[0] / configurations[0].genesis).read_text())
    told = [_told_by(one, genesis) for one in nodes]
    bootstrap = dialable(one for addresses, _ in told for one in addresses)
    if not bootstrap:
        raise BundleError(
            f"no address of a node in {folder} is known",
            "start the node, or name its address as `announce` in node.toml",
        )
    checkpoints = [one for _, one in told if one is not None]
    latest = max(checkpoints, key=lambda one: one.height, default=None)
    faucet = next((one.faucet_url for one in configurations if one.faucet_url), "")
    return Bundle(genesis, bootstrap, latest, faucet)


def _told_by(folder: Path, genesis: Genesis) -> tuple[list[Address], Checkpoint | None]:
    """Where a node is to be found, as its configuration and its events say, and its last block."""
    configuration = load_configuration(folder / "node.toml")
    listening: list[str] = []
    chronicle = Chronicle(genesis)
    events = folder / "events.jsonl"
    for one in read_lines(events) if events.exists() else ():
        if one["kind"] == "Stage":
            listening = one.get("addresses", listening)
        else:
            chronicle.take(one)
    book = folder / "peers.json"
    known = _book_addresses(book) if book.exists() else []
    texts = (*configuration.announce, *listening, *configuration.bootstrap)
    return [*parse_addresses(texts), *known], chronicle.checkpoint()


def _book_addresses(path: Path) -> list[Address]:
    book = AddressBook.load(path)
    return [address for account in book.accounts() for address in book.addresses(account)]


# --- reading ---


def parse_bundle(raw: bytes, digest_wanted: str = "") -> Bundle:
    """Read a bundle.

    :param digest_wanted: how its digest must begin, in hexadecimal digits.
    :raises BundleError: with what is wrong.
    """
    if len(raw) > BUNDLE_BYTES_MAX:
        raise BundleError(f"the bundle has more than {BUNDLE_BYTES_MAX:,} bytes", _FRESH)
    body, mark, last = raw.rpartition(b"digest = ")
    written = _DIGEST_LINE.fullmatch(mark + last)
    if written is None:
        raise BundleError("this is no join bundle: its last line is no digest", _FRESH)
    found = _digest(body).hex()
    if written[1].decode() != found:
        raise BundleError(
            "the bundle is damaged: its digest is not that of its content",
            "copy it again as it is, without editing it",
        )
    if not found.startswith(digest_wanted.lower()):
        raise BundleError(
            f"this is another bundle: its digest begins with {found[:16]}, "
            f"not with {digest_wanted[:16]}",
            "ask whoever gave you the digest for the bundle that it belongs to",
        )
    return _checked(_table(raw))


def read_bundle(path: Path, digest_wanted: str = "") -> Bundle:
    """Read a bundle from a file. Raises :class:`BundleError`."""
    try:
        with path.open("rb") as file:
            raw = file.read(BUNDLE_BYTES_MAX + 1)
    except OSError as failure:
        raise BundleError(
            f"{path} cannot be read: {failure.strerror}", "name the join.toml of a network"
        ) from None
    return parse_bundle(raw, digest_wanted)


def check_age(bundle: Bundle, now_ms: int) -> None:
    """Refuse a bundle whose checkpoint proves nothing by now.

    :raises BundleError: when those that it names do not answer any more for what they signed.
    """
    if bundle.checkpoint is None:
        return
    age_ms, most_ms = now_ms - bundle.checkpoint.time_ms, answerable_ms(bundle.genesis.network)
    if age_ms > most_ms:
        raise BundleError(
            f"the bundle's checkpoint is {_span(age_ms)} old; validators answer for what they sign "
            f"for {_span(most_ms)}: another history could have been signed at no cost since",
            f"{_FRESH}, and look whether this machine's clock is right",
        )


def _span(span_ms: int) -> str:
    seconds = span_ms // 1000
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _table(raw: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as failure:
        raise BundleError(f"the bundle cannot be read: {failure}", _FRESH) from None


def _checked(table: dict[str, Any]) -> Bundle:
    version = table.get("version")
    if version != VERSION:
        raise BundleError(
            f"the bundle has version {version}; this program reads version {VERSION}",
            "use the provnet of the network's people, or ask them for a bundle of this version",
        )
    entries = _ENTRIES | ({"checkpoint", "sets"} if "checkpoint" in table else set())
    _expect(set(table) - {"faucet"} == entries, f"it holds {', '.join(sorted(table))}")
    _expect(isinstance(table["genesis"], str), "its genesis is no text")
    try:
        genesis = parse_genesis(table["genesis"])
    except Refused as refusal:
        raise BundleError(f"the bundle's genesis cannot be used: {refusal}", _FRESH) from None
    _expect(table["network"] == network_id(genesis).hex(), "its genesis is of another network")
    checkpoint = None
    if "checkpoint" in table:
        checkpoint = _checked_checkpoint(table["checkpoint"], _checked_sets(table["sets"]))
    faucet = check_faucet(table["faucet"]) if "faucet" in table else ""
    return Bundle(genesis, _checked_bootstrap(table["bootstrap"]), checkpoint, faucet)


def check_faucet(address: object) -> str:
    """The address of a faucet, as a bundle may carry it. Raises :class:`BundleError`."""
    is_text = isinstance(address, str) and len(address) <= FAUCET_MAX
    if not is_text or not _FAUCET.fullmatch(str(address)):
        raise BundleError(
            "the address of the faucet is none of http or https",
            f"it reads like http://192.0.2.1:4080/, in at most {FAUCET_MAX} characters",
        )
    return str(address)


def _checked_bootstrap(raw: Any) -> tuple[str, ...]:
    _expect(isinstance(raw, list) and 0 < len(raw) <= BOOTSTRAP_MAX, "it has no list of addresses")
    for one in raw:
        _expect(isinstance(one, str), f"{one} is no address")
        try:
            Address.parse(one)
        except ValueError as failure:
            raise BundleError(f"the bundle cannot be used: {one} is {failure}", _FRESH) from None
    return tuple(raw)


def _checked_checkpoint(raw: Any, sets: tuple[Members, ...]) -> Checkpoint:
    names = {field.name for field in dataclasses.fields(Checkpoint)} - {"sets"}
    _expect(isinstance(raw, dict) and set(raw) == names, "its checkpoint is not whole")
    for name in ("height", "time_ms"):
        _expect(type(raw[name]) is int and raw[name] >= 0, f"the checkpoint's {name} is no number")
    block, state = (_checked_bytes(raw[name], f"the checkpoint's {name}") for name in _HASHES)
    return Checkpoint(raw["height"], block, state, raw["time_ms"], sets)


def _checked_sets(raw: Any) -> tuple[Members, ...]:
    _expect(isinstance(raw, list) and len(raw) == SETS, f"it names not {SETS} sets of validators")
    sets = []
    for rows in raw:
        _expect(isinstance(rows, list) and len(rows) <= MEMBERS_MAX, "a set is no list of members")
        members = [_checked_member(row) for row in rows]
        try:
            sets.append(Validators(members).members)
        except ValueError as failure:
            raise BundleError(f"the bundle cannot be used: {failure}", _FRESH) from None
    return tuple(sets)


def _checked_member(row: Any) -> Validator:
    _expect(isinstance(row, list) and len(row) == 3, "a member of a set is not whole")
    account, stake, key = row
    is_stake = type(stake) is int and 0 < stake <= BOUNDS[Stake]
    _expect(is_stake, "a member of a set has no stake")
    return Validator(
        Account(_checked_bytes(account, "a member's account")),
        Stake(stake),
        VrfKey(_checked_bytes(key, "a member's key")),
    )


def _checked_bytes(text: Any, name: str) -> bytes:
    """The 32 bytes of digits."""
    is_hash = isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text)
    _expect(bool(is_hash), f"{name} is no digest")
    return bytes.fromhex(text)


def _expect(condition: bool, complaint: str) -> None:
    if not condition:
        raise BundleError(f"the bundle cannot be used: {complaint}", _FRESH)


def _digest(body: bytes) -> bytes:
    return digest(b"provnet/bundle/1", body)
