"""Where a node begins: at the genesis, or with a snapshot, its own or a peer's.

**The problem.** A newcomer would apply the whole log, and a node that forgot its old log could not
even do that.

**Rules.**

- A store whose log does not reach down to the genesis goes on from its own oldest snapshot.
- A newcomer knows who orders the log in some epochs. It asks its peers for snapshots of the borders
  before these and begins with the first that is proven: its bytes have their name, its accounts the
  root that its state names, and blocks that follow, certified by the set that it knows, name its
  state (``protocol.handover``). What too little follows yet is asked for again, what is refused is
  not. When nothing is left to be asked for, it begins with the genesis.
- The state of a snapshot says who proved what, not where the bytes are. For jobs that are open at
  the border the log before it is read back as far as they reach, from the store or from a peer; it
  is checked block by block against the border.
- At each border of an epoch the node keeps a snapshot and serves it, and forgets the log below a
  bound.

**Properties.** Nothing a peer sends raises. What was adopted is in the store, whole or not at all,
before anybody is told of it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import trio

from p2p.archive import Archive, Offload
from p2p.observing import MessageRefused, Observer, SnapshotAdopted
from p2p.ranges import Range
from p2p.snapshots import (
    OFFERS_REQUEST,
    PIECE_REQUEST,
    Offer,
    encode_offers,
    fetch_offers,
    fetch_snapshot,
    read_piece,
)
from p2p.store import Store, StoreError
from p2p.sync import Section, above, certified_from, finalise, put_certified
from protocol.errors import Reason, Refused
from protocol.handover import Border, Snapshot, rollup_state, snapshot_name
from protocol.happenings import Effect, Keep
from protocol.messages import (
    CertifiedBlock,
    ProofRecord,
    SignedOperation,
    block_hash,
    operations_digest,
)
from protocol.ordering.validators import Validators
from protocol.ports import Clock, Network, ProverBackend, RequestFailed, RollupState
from protocol.replica import Replica
from protocol.types import Account, BlockHash, Digest, Epoch, Tick

RECALL_ROUNDS: Final = 3
"""How often all peers are asked for the log before the border, a pause after each round."""

NEWCOMER_ROUNDS: Final = 30
"""How often a newcomer asks all peers for a snapshot, a pause after each round."""

ROUND_PAUSE_S: Final = 1.0
"""Pause after each round."""

Trusted: TypeAlias = Mapping[Epoch, Validators]
"""Who orders the log, in the epochs of which a newcomer knows it."""

log = logging.getLogger("provnet.node")


class Beginning:
    """How one node begins, and what it keeps and serves for others to begin with.

    :param replica: has not taken a step.
    :param ask_blocks: certified blocks of a peer; raises RequestFailed and Refused.
    :param on_refused: told what a peer sent that is refused.
    :param observer: told of the snapshot.
    """

    def __init__(
        self,
        *,
        replica: Replica,
        archive: Archive,
        network: Network,
        store: Store,
        backend: ProverBackend,
        clock: Clock,
        offload: Offload,
        ask_blocks: Callable[[Account, Range], Awaitable[Section]],
        on_refused: Callable[[MessageRefused], None],
        observer: Observer,
    ) -> None:
        self._replica = replica
        self._archive = archive
        self._network = network
        self._store = store
        self._backend = backend
        self._clock = clock
        self._offload = offload
        self._ask_blocks = ask_blocks
        self._on_refused = on_refused
        self._observer = observer
        self._refused: set[tuple[Account, Digest]] = set()
        self._before: tuple[Range, BlockHash] | None = None
        network.serve(OFFERS_REQUEST, self._answer_offers)
        network.serve(PIECE_REQUEST, self._answer_piece)

    # --- beginning ---

    async def begin(self, trusted: Trusted | None) -> tuple[Effect, ...]:
        """Adopt a snapshot if the store needs one, or if a newcomer finds one.

        :param trusted: of a newcomer; whoever is none begins an empty store with the genesis.
        :returns: what came of blocks that follow the snapshot; they are stored. Nothing when the
            node goes on from the genesis.
        :raises StoreError: when the store's own snapshot cannot be used.
        """
        if self._store.begins_at():
            return await self._begin_with_own()
        if trusted is not None and not self._store.final_height():
            return await self._begin_with_any(trusted)
        return ()

    async def _begin_with_own(self) -> tuple[Effect, ...]:
        """The log does not reach down to the genesis: begin with the oldest snapshot kept."""
        height = min(height for height, _, _ in self._store.snapshots())
        try:
            snapshot = Snapshot.read(self._store.snapshot(height) or b"")
            following = certified_from(self._store, snapshot.height)
            adopted, effects = await self._adopt(snapshot, following, None)
        except Refused as refusal:
            raise StoreError(
                f"the snapshot of height {height} in the store cannot be used: {refusal}",
                "move the store away and keep it; the node begins anew",
            ) from None
        self._observer(adopted)
        return effects

    async def _begin_with_any(self, trusted: Trusted) -> tuple[Effect, ...]:
        """Begin with the first snapshot that is proven: one of which pieces are here already, else
        the one that most peers offer, else the newest.
        """
        for _ in range(NEWCOMER_ROUNDS):
            holders = await self._holders(trusted)
            for offer in sorted(
                holders,
                key=lambda one: (self._store.piece_count(one.name), len(holders[one]), one.height),
                reverse=True,
            ):
                validators = trusted[self._epoch_from(offer.height)]
                if effects := await self._begin_with(offer, holders[offer], validators):
                    return effects
            if self._network.peers() and not holders:
                break
            await trio.sleep(ROUND_PAUSE_S)
        return ()

    async def _holders(self, trusted: Trusted) -> dict[Offer, list[Account]]:
        """Who offers what, of that with which this node may begin."""
        peers = self._network.peers()
        told: dict[Account, tuple[Offer, ...]] = {}

        async def ask(peer: Account) -> None:
            told[peer] = await self._offers_of(peer)

        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(ask, peer)
        holders: dict[Offer, list[Account]] = {}
        for peer in peers:
            for offer in told[peer]:
                if self._may_begin_with(peer, offer, trusted):
                    holders.setdefault(offer, []).append(peer)
        return holders

    async def _offers_of(self, peer: Account) -> tuple[Offer, ...]:
        try:
            return await fetch_offers(self._network, peer)
        except RequestFailed:
            return ()
        except Refused as refusal:
            self._blame(peer, "snapshots", refusal)
            return ()

    def _may_begin_with(self, peer: Account, offer: Offer, trusted: Trusted) -> bool:
        return self._epoch_from(offer.height) in trusted and (peer, offer.name) not in self._refused

    def _epoch_from(self, height: Tick) -> Epoch:
        """The epoch that begins after a border."""
        return self._replica.machine.epoch(Tick(height + 1))

    async def _begin_with(
        self, offer: Offer, holders: Sequence[Account], trusted: Validators
    ) -> tuple[Effect, ...]:
        """What came of an offered snapshot; nothing unless it was fetched, proven and kept."""

        def blame(peer: Account, refusal: Refused) -> None:
            if refusal.reason is not Reason.UNPROVEN_STATE:
                self._refused.add((peer, offer.name))
            self._blame(peer, "snapshot", refusal)

        payload = await fetch_snapshot(self._network, self._store, offer, holders, blame)
        if payload is None:
            return ()
        for peer in holders:
            try:
                section = await self._ask_blocks(peer, above(offer.height))
            except RequestFailed:
                continue
            except Refused as refusal:
                self._blame(peer, "certified blocks", refusal)
                continue
            try:
                adopted, effects = await self._begin_at(offer, payload, section.blocks, trusted)
            except Refused as refusal:
                if refusal.reason is Reason.UNPROVEN_STATE:
                    blame(peer, refusal)
                    continue
                for holder in holders:
                    blame(holder, refusal)
                self._store.forget_pieces()
                return ()
            self._observer(replace(adopted, peer=peer))
            return effects
        return ()

    async def _begin_at(
        self,
        offer: Offer,
        payload: bytes,
        following: Sequence[CertifiedBlock],
        trusted: Validators,
    ) -> tuple[SnapshotAdopted, tuple[Effect, ...]]:
        """Adopt and keep a snapshot with the blocks that follow it. Raises Refused."""
        snapshot = await self._offload(lambda: Snapshot.read(payload))
        if snapshot.height != offer.height:
            raise Refused(Reason.WRONG_BODY, "a snapshot of another height")
        adopted, effects = await self._adopt(snapshot, following, trusted)
        log.info("beginning with the snapshot of height %d", snapshot.height)
        with self._store.transaction():
            self._store.put_snapshot(snapshot.height, offer.name, payload)
            self._store.forget_pieces()
            for effect in effects:
                if isinstance(effect, Keep):
                    put_certified(self._store, effect.certified)
            finalise(self._store, effects)
        return adopted, effects

    async def _adopt(
        self,
        snapshot: Snapshot,
        following: Sequence[CertifiedBlock],
        trusted: Validators | None,
    ) -> tuple[SnapshotAdopted, tuple[Effect, ...]]:
        """Have the replica and the archive go on from a snapshot. Raises Refused."""
        known = self._replica.machine.read(snapshot.border.saved)
        state = await self._offload(
            lambda: rollup_state(self._backend, snapshot.accounts, known.settled_root)
        )
        now_ms = self._clock.now_ms()
        effects = self._replica.adopt(snapshot.border, following, trusted, now_ms)
        self._archive.begin(known.settled_head, state)
        for job in known.jobs.values():
            self._archive.open(job.id, job.header)
        link = snapshot.border.link
        opened = min((job.opened_at for job in known.jobs.values()), default=link.height)
        if opened < link.height:
            self._before = Range(opened + 1, link.height), link.block
        sets = known.sets.predecessors, known.sets.validators, known.sets.successors
        return SnapshotAdopted(snapshot.height, None, sets), effects

    # --- what came before ---

    async def records(self) -> tuple[SignedOperation, ...]:
        """The records of jobs that were open at the border, ordered before it: whoever merges needs
        the bytes that they name, and the state does not name them.

        Nothing when no peer has that part of the log, or the node began with the genesis.
        """
        if self._before is None:
            return ()
        wanted, border = self._before
        if self._store.begins_at() < wanted.first:
            count = wanted.last - wanted.first + 1
            return _records(certified_from(self._store, Tick(wanted.first - 1), count)[:count])
        for _ in range(RECALL_ROUNDS):
            for peer in self._network.peers():
                if found := await self._blocks_up_to(peer, wanted, border):
                    return _records(found)
            await trio.sleep(ROUND_PAUSE_S)
        log.info("nobody has the log from height %d on", wanted.first)
        return ()

    async def _blocks_up_to(
        self, peer: Account, wanted: Range, border: BlockHash
    ) -> tuple[CertifiedBlock, ...]:
        """The log of a range, which ends with the border: each block names the one before it."""
        found: tuple[CertifiedBlock, ...] = ()
        try:
            while len(found) <= wanted.last - wanted.first:
                section = await self._ask_blocks(
                    peer, Range(wanted.first + len(found), wanted.last)
                )
                if not section.blocks:
                    return ()
                found += section.blocks
            _check_log(found, border)
        except RequestFailed:
            return ()
        except Refused as refusal:
            self._blame(peer, "certified blocks", refusal)
            return ()
        return found

    def _blame(self, peer: Account, kind: str, refusal: Refused) -> None:
        """Tell of a refusal; a snapshot that too little follows yet is nobody's fault."""
        self._on_refused(MessageRefused(kind, refusal.reason, peer, refusal.detail))
        if refusal.reason is not Reason.UNPROVEN_STATE:
            self._network.penalise(peer, refusal.reason.value)

    # --- for others ---

    async def keep(self, border: Border, state: RollupState, history_ticks: int) -> None:
        """Keep what a newcomer can begin with, and no more of the log than is wanted.

        :param history_ticks: heights of the log that are kept below the border.
        """
        payload = await self._offload(lambda: Snapshot(border, tuple(state.accounts())).to_bytes())
        store, height = self._store, border.link.height
        store.put_snapshot(height, snapshot_name(payload), payload)
        kept = [height for height, _, _ in store.snapshots()]
        if len(kept) > 1 and height > history_ticks:
            store.forget_log(min(height - history_ticks, *kept))

    async def _answer_offers(self, _peer: Account, _body: bytes) -> bytes | None:
        return encode_offers(self._store)

    async def _answer_piece(self, _peer: Account, body: bytes) -> bytes | None:
        return read_piece(self._store, body)


def _check_log(blocks: Sequence[CertifiedBlock], last: BlockHash) -> None:
    """Refuse blocks of which one does not name the one before it, up to one that is known."""
    for certified in reversed(blocks):
        header = certified.block.header
        if block_hash(header) != last:
            raise Refused(Reason.OFF_FINAL_CHAIN, f"height {header.height}")
        if operations_digest(certified.block.operations) != header.operations:
            raise Refused(Reason.WRONG_OPERATIONS, f"height {header.height}")
        last = header.parent


def _records(blocks: Sequence[CertifiedBlock]) -> tuple[SignedOperation, ...]:
    return tuple(
        signed
        for certified in blocks
        for signed in certified.block.operations
        if isinstance(signed.operation.payload, ProofRecord)
    )
