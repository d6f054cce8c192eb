"""The ``replay`` command: runs a stopped node's journal again and compares what comes out.

Rules. Every life of the node in the journal begins with what its replica was made from, so a fresh
replica takes each event as the node did. Compared are, height by height, the state's digest with
what the node told in ``report.json`` and in ``events.jsonl``; of one height all lives must agree.
And byte by byte what the replay signs with what the node's store says was signed: signatures are
deterministic. What the last event of a life led to may have been cut off with that life; everything
else must be there, and the store must hold nothing else.

Deviations. What agents and workers did is not run again: what they wanted ordered is in the journal
as an event. Signatures of messages are not checked again: the node did so before it wrote the event
down.

Properties. Needs the node's own folder, with its keys, and the genesis; what is stored there stays
as it is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from p2p.journal import RECORD_BYTES_MAX, Entry, Started, read_journal
from p2p.store import Store
from protocol.codec import decode
from protocol.errors import Refused
from protocol.happenings import BlockFinal, Effect, Remember
from protocol.messages import body_hash
from protocol.ordering.streamlet import SignedSlots
from protocol.ordering.validators import Identity
from protocol.params import Genesis, network_id, parse_genesis
from protocol.replica import Replica
from scripts.complaint import Complaint
from scripts.configuration import load_configuration
from scripts.export import STORE
from scripts.folder import backend_of
from scripts.keys import load_identity
from scripts.records import read_lines
from scripts.rules import machine_of

JOURNAL: Final = "journal"
"""Name of the journal in a node's folder."""

REPORT: Final = "report.json"
EVENTS: Final = "events.jsonl"

NOTHING: Final = "nothing"
"""Stands for a digest or a signed message that one side does not have."""


class ReplayFailed(Complaint):
    """A journal cannot be run again, or there is nothing to compare with."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that the replay and the node do not agree on.

    :ivar what: what it is about.
    :ivar source: who says otherwise than the replay: a file, or an earlier life.
    :ivar told: what it says there, in hexadecimal digits.
    :ivar replayed: what the replay says.
    :ivar event: number of the journal's event that led there, from 1.
    :ivar kind: what kind of event that is.
    """

    what: str
    source: str
    told: str
    replayed: str
    event: int
    kind: str

    @property
    def lines(self) -> tuple[str, ...]:
        """For a person."""
        width = max(len(self.source), len("replay"))
        return (
            f"DIFFERENCE: {self.what}, at event {self.event:,} ({self.kind})",
            f"  {self.source:<{width}}  {self.told}",
            f"  {'replay':<{width}}  {self.replayed}",
            "hint: a journal is replayed by the version of provnet that wrote it; if this is that "
            "version, the rules depend on something else than the log, or a file was changed",
        )


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay found.

    :ivar kinds: events by kind; one ``Started`` for each life.
    :ivar heights: heights that became final.
    :ivar torn_bytes: bytes at the end of the journal that are no whole event.
    :ivar agreed: digests that agree, by the file that tells them.
    :ivar signed: signed messages that agree with the store; None without a store.
    :ivar cheats: what the node was told to do against the rules.
    :ivar difference: the first difference, if any.
    """

    kinds: dict[str, int]
    heights: int
    torn_bytes: int
    agreed: dict[str, int]
    signed: int | None
    cheats: tuple[str, ...]
    difference: Difference | None

    @property
    def lines(self) -> Iterator[str]:
        """For a person."""
        events, lives = sum(self.kinds.values()), self.kinds[Started.__name__]
        yield f"{events:,} events in {lives} {'life' if lives == 1 else 'lives'} of the node"
        for kind, count in sorted(self.kinds.items(), key=lambda one: (-one[1], one[0])):
            yield f"  {count:>9,}  {kind}"
        if self.torn_bytes:
            yield f"left out: {self.torn_bytes} bytes of an event that was not written to its end"
        yield f"{self.heights:,} heights became final"
        if self.cheats:
            yield f"this node cheats on purpose ({', '.join(self.cheats)}); the replay does not"
        if self.difference is not None:
            yield from self.difference.lines
            return
        for source, count in self.agreed.items():
            yield f"{count:,} digests agree with {source}"
        if self.signed is None:
            yield f"not compared: what the node signed, for there is no {STORE} beside the journal"
        else:
            yield f"{self.signed:,} votes and proposals agree with {STORE}"


def replay_journal(path: Path) -> ReplayReport:
    """Run a journal again and compare.

    :param path: a node's journal, or the node's folder.
    :raises ReplayFailed: when it cannot be run, or nothing says what the node did.
    :raises ConfigurationError: when the node's own files cannot be read.
    :raises StoreError: when journal or store are damaged, or the node still runs.
    :raises BackendMissing: when the proof system that the genesis names was not built.
    """
    journal = path / JOURNAL if path.is_dir() else path
    folder = journal.parent
    told = _told(folder)
    if not told:
        raise ReplayFailed(
            f"there is neither {REPORT} nor {EVENTS} beside {journal}: nothing to compare with",
            "name a journal within its node's folder",
        )
    configuration = load_configuration(folder / "node.toml")
    identity = load_identity(folder / configuration.keys)
    replay = _Replay(folder / configuration.genesis, identity)
    records = read_journal(journal)
    for payload in records:
        replay.take(payload)
    agreed = {source: replay.compare(source, digests) for source, digests in told.items()}
    signed = None
    if (folder / STORE).exists():
        with Store(folder / STORE, replay.network) as store:
            _require_whole_log(store)
            signed = replay.compare_signed(store)
    return ReplayReport(
        kinds=dict(replay.kinds),
        heights=len(replay.digests),
        torn_bytes=records.torn_bytes,
        agreed=agreed,
        signed=signed,
        cheats=() if configuration.cheats is None else configuration.cheats.does,
        difference=min(replay.differences, key=lambda one: one.event, default=None),
    )


def _require_whole_log(store: Store) -> None:
    """Refuse the journal of a node that began with a snapshot: it does not hold the state."""
    if height := store.begins_at():
        raise ReplayFailed(
            f"this node went on from the snapshot of height {height}, which is not in its journal",
            "replay a node that has the whole log",
        )


# --- what the node told ---


def _told(folder: Path) -> dict[str, list[tuple[int, str]]]:
    """Heights and digests by the file that tells them, in its order."""
    readers = {REPORT: _report_digests, EVENTS: _final_digests}
    told = {}
    for name, read in readers.items():
        if (folder / name).exists():
            try:
                told[name] = read(folder / name)
            except (AttributeError, KeyError, TypeError, ValueError):
                raise ReplayFailed(
                    f"{folder / name} does not tell heights and digests",
                    "it is not as the node wrote it; without it the rest is compared",
                ) from None
    return told


def _report_digests(path: Path) -> list[tuple[int, str]]:
    digests: dict[str, str] = json.loads(path.read_text())["digests"]
    return [(int(height), digest) for height, digest in digests.items()]


def _final_digests(path: Path) -> list[tuple[int, str]]:
    finals = (record for record in read_lines(path) if record["kind"] == "Final")
    return [(record["tick"], record["digest"]) for record in finals]


def _genesis(path: Path) -> Genesis:
    try:
        return parse_genesis(path.read_text())
    except OSError as failure:
        raise ReplayFailed(
            f"{path} cannot be read: {failure.strerror}",
            "leave the node's folder where its node.toml finds the genesis",
        ) from None


# --- running again ---


@dataclass(frozen=True, slots=True)
class _Place:
    """An event of the journal: its number from 1, its kind, and which life it belongs to."""

    number: int
    kind: str
    life: int


class _Replay:
    """Takes the records of a journal one by one and notes what they led to.

    :ivar network: the network of the genesis.
    :ivar kinds: events by kind.
    :ivar digests: the first digest after each height, and the event that made it final.
    :ivar differences: what was found so far, in no order.
    """

    def __init__(self, genesis_path: Path, identity: Identity) -> None:
        genesis = _genesis(genesis_path)
        self.network = network_id(genesis)
        self.kinds: Counter[str] = Counter()
        self.digests: dict[int, tuple[str, _Place]] = {}
        self.differences: list[Difference] = []
        self._genesis = genesis
        self._rules = genesis_path.parent
        rollup = [(one.account, one.balance) for one in genesis.rollup]
        self._root = backend_of(genesis).genesis(rollup).root
        self._identity = identity
        self._replica: Replica | None = None
        self._place = _Place(0, NOTHING, 0)
        self._last_of_life: dict[int, int] = {}
        self._signed: dict[tuple[str, int], list[tuple[bytes, _Place]]] = {}

    def take(self, payload: bytes) -> None:
        """Apply the next record."""
        number = self._place.number + 1
        try:
            entry: Entry = decode(Entry, payload, size_max=RECORD_BYTES_MAX)
        except Refused as refusal:
            raise ReplayFailed(
                f"event {number:,} of the journal is none that this version knows: {refusal}",
                "replay it with the version of provnet that wrote it",
            ) from None
        kind = type(entry).__name__
        self.kinds[kind] += 1
        life = self._place.life + isinstance(entry, Started)
        self._place = _Place(number, kind, life)
        self._last_of_life[life] = number
        if isinstance(entry, Started):
            self._start(entry)
        elif self._replica is None:
            raise ReplayFailed(
                "the journal does not begin with the start of a node",
                "replay the node's whole journal",
            )
        else:
            for effect in self._replica.step(entry):
                self._note(effect)

    def _start(self, started: Started) -> None:
        if started.network != self.network:
            raise ReplayFailed(
                f"the journal is of network {started.network.hex()}, "
                f"the genesis makes {self.network.hex()}",
                "put back the genesis of the run",
            )
        if started.account != self._identity.account:
            raise ReplayFailed(
                f"the journal is of account {started.account.hex()}, "
                f"the keys are of {self._identity.account.hex()}",
                "put back the node's own keys",
            )
        signed = SignedSlots(started.proposed, started.voted)
        machine = machine_of(self._genesis, self._root, self._rules)
        self._replica = Replica(machine, self._identity, signed)

    def _note(self, effect: Effect) -> None:
        if isinstance(effect, Remember):
            made = self._signed.setdefault((effect.kind, effect.slot), [])
            made.append((effect.payload, self._place))
        if isinstance(effect, BlockFinal):
            height, digest = effect.applied.tick, effect.applied.digest.hex()
            before, _ = self.digests.setdefault(height, (digest, self._place))
            if before != digest:
                self._differ(_digest_after(height), "an earlier life", before, digest, self._place)

    # --- comparing ---

    def compare(self, source: str, told: list[tuple[int, str]]) -> int:
        """Compare digests with what a file tells. Returns how many heights agree."""
        heights, wrong = {height for height, _ in told}, set()
        for height, digest in told:
            ours, place = self.digests.get(height, (NOTHING, self._place))
            if ours != digest:
                wrong.add(height)
                self._differ(_digest_after(height), source, digest, ours, place)
        return len(heights) - len(wrong)

    def compare_signed(self, store: Store) -> int:
        """Compare what was signed with the store's record of it. Returns how many agree."""
        agreed = held = 0
        for (kind, slot), made in self._signed.items():
            stored = store.own(kind, slot)
            held += stored is not None
            agreed += any(payload == stored for payload, _ in made)
            for payload, place in made:
                is_cut_off = place.number == self._last_of_life[place.life]
                if payload != stored and not is_cut_off:
                    told = NOTHING if stored is None else body_hash(stored).hex()
                    what = f"hash of the {kind} for slot {slot}"
                    self._differ(what, STORE, told, body_hash(payload).hex(), place)
        total = store.statistics().own
        if total > held:
            what = "number of votes and proposals that were signed"
            self._differ(what, STORE, str(total), str(held), self._place)
        return agreed

    def _differ(self, what: str, source: str, told: str, replayed: str, place: _Place) -> None:
        self.differences.append(Difference(what, source, told, replayed, place.number, place.kind))


def _digest_after(height: int) -> str:
    return f"digest after height {height}"
