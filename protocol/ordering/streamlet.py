"""Streamlet, weighted by stake, with a lottery for proposers: messages and time in, decisions out.

The problem: validators of which less than a third by stake may do anything must agree on one
growing log over a network that delays and loses messages, and must never take back what was final.
The protocol is Streamlet (Chan and Shi 2020, eprint 2020/088). No clock, no network, no randomness:
equal calls in equal order give equal outputs.

Rules, for the slot ``s`` at hand:

- Upon our publishing time in ``s``, if no better proposal is known: propose a block on the tip of a
  longest notarised chain, with the certificate of that tip.
- Upon a proposal: keep it if its proposer is a validator with a right VRF proof for ``s``, it
  extends a known block by one height and to a later slot, and shows that block's certificate.
- Upon the middle of ``s``: vote once, for the best-ranked valid proposal of ``s`` that came before
  and extends one of the longest notarised chains known. Never vote again in ``s`` or before.
- Upon votes of more than two thirds of all stake for a block, or a certificate: it is notarised.
- Upon three notarised blocks of consecutive slots in one chain: the middle one is final, with all
  its ancestors. The genesis counts as notarised in slot 0.

Deviations from the paper:

1. Votes weigh their stake and the quorum is strictly more than two thirds (the paper: two thirds of
   the players).
2. All validators are candidates, ranked by lot (:mod:`protocol.ordering.validators`); the paper has
   one leader. A proposer that is down costs no slot; a hostile best candidate costs one, as a
   hostile leader does. Since voters choose among candidates, they vote in the middle of the slot.
3. A header carries its parent's certificate, and messages are not echoed: whoever has a block knows
   that its ancestors are notarised, and fetches those it misses.
4. A proposal already notarised in its slot may still be voted for by who comes last.
5. Memory is bounded: votes and proposals that are not notarised are forgotten after
   :data:`SLOTS_KEPT` slots, forks when finality excludes them. The notarised blocks above the final
   one grow by at most one a slot and cannot be forgotten.
6. Of two votes of a validator in a slot the first counts; of two proposals the first is a
   candidate. The second is evidence, and enters only inside a certificate or with one.

Properties:

- *Consistency.* No two final blocks conflict, whatever the network does, while less than a third
  of the stake is hostile. Two quorums share an honest validator, so one slot has at most one
  notarised block. Let blocks of slots ``e-1, e, e+1`` be notarised in a chain, the middle one at
  height ``h``, and another block ``X`` at height ``h`` in a slot ``x``. If ``x < e-1``, an honest
  voter for ``X`` knew a notarised chain of ``h-1`` blocks and then voted in ``e-1`` for a block on
  a chain of ``h-2``. If ``x > e+1``, an honest voter for the third block knew ``h`` notarised
  blocks and then voted for ``X`` on ``h-1``. The rule forbids both. It needs that votes never go
  back in slots, and that a restart forgets no notarised block it had seen. Deviation 4 is harmless:
  whoever uses it adds to a quorum that was complete without it.
- *Candidates.* Nothing above uses that a slot has one proposer, so several are safe.
- *Liveness.* Once messages arrive within a fifth of a slot, five slots in a row whose best
  candidates are honest finalise a new block for everybody (the paper's theorem, with "best
  candidate" for leader; the fifth is what the last publishing time leaves before the vote).
- *Randomness.* Ranks and beacons depend on slots, heights and VRF outputs of the chain, never on
  contents: see :mod:`protocol.ordering.chain`.

Duties of the owner:

- Verify the signatures of proposals and votes before handing them in, of the header inside a
  certified block too. Those in certificates are verified here.
- Call :meth:`Streamlet.on_time` after every event and at :attr:`Streamlet.next_wake_ms`. What a
  refused message taught (a contradiction in a certificate that was good) comes with the next call.
- Write to disk a vote or proposal of ours before it is handed back in and published, and every
  ``Notarised`` before any later vote of ours is published. After a restart: give the slots last
  signed in (:class:`SignedSlots`) and the stored certified blocks, parents first.
- When behind, fetch certified blocks by height from above ``final_height``.

Sets that change. An engine orders one epoch, with one set of validators, and knows the next set
(``protocol.sets``). At the *border*, the last height of its epoch:

- Above the border only empty blocks are valid, and none is ever final: they serve to make the
  border block final, and are dropped with the engine.
- Once the border block is final the engine is over and says nothing more; :meth:`Streamlet.next`
  is the engine of the next epoch, rooted at the border block as the first one is at the genesis.
  Slots signed in, votes and proposals heard go along, so that nobody signs twice in a slot.
- A header names its epoch, and counts in no other. The first block of an epoch carries the
  certificate of the border block, by the old set; all others are certified by the new one.
- A block of the next epoch on a notarised border block, certified by the next set, makes the border
  block final, too. So the chain of final blocks, each with its certificate, proves itself.

*Consistency across borders.* By induction over epochs: let all honest nodes that begin an epoch
begin it with one root. Within the epoch the argument above holds, with the root as the genesis: its
slot is before all others, votes are of one set, and what was notarised in the old epoch above the
root counts for nothing, because its header names the old epoch. So no two border blocks become
final by three slots in a row. The last rule adds none: an honest validator of the next set has
voted there only after the border block was final for it; the first that did knew it by three slots.
The next set is the same for all because it is fixed one epoch earlier. It needs that less than a
third of the stake of either set is hostile, and that the engine that is over never votes again,
also after a restart: the blocks that made its border final were on disk before (see the duties).

*Liveness across borders.* A validator that is behind at a border learns the next epoch's blocks by
asking for certified blocks by height, like everybody who is behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol import vrf
from protocol.beacon import log_alpha
from protocol.errors import Reason, Refused
from protocol.messages import (
    Certificate,
    CertifiedBlock,
    LogBlock,
    LogHeader,
    ProposalEvidence,
    SignedHeader,
    SignedVote,
    VoteEvidence,
    block_hash,
    certificate_votes,
    operations_digest,
)
from protocol.ordering.certificates import Certificates
from protocol.ordering.chain import Anchor, Link, genesis
from protocol.ordering.forks import Entry, Forks
from protocol.ordering.heard import Statements
from protocol.ordering.orphans import Arrival, Orphans
from protocol.ordering.outputs import (
    Candidate,
    Discarded,
    Draft,
    Equivocation,
    Missing,
    Notarised,
    Output,
    ProposalDue,
    VoteDue,
)
from protocol.ordering.settings import Settings
from protocol.ordering.validators import Identity, Validator, Validators
from protocol.types import Account, BlockHash, Milliseconds, Slot, Tick, VrfProof

SLOTS_KEPT: Final = 64
"""Slots for which votes, proposals and contradictions are remembered."""

_NO_OPERATIONS: Final = operations_digest(())

_NO_SLOT: Final = Slot(0)
"""The slot of the genesis, in which nobody signs."""


@dataclass(frozen=True, slots=True)
class SignedSlots:
    """The latest slots in which we signed something, as our disk knows them."""

    proposal: Slot = _NO_SLOT
    vote: Slot = _NO_SLOT


class Streamlet:
    """The engine of one validator, or of an observer when ``identity`` is None or has no stake.

    :param validators: the set of the epoch that begins with the anchor, or that it lies in.
    :param anchor: the final block to start from; the genesis by default. A border block is given
        as a root (:attr:`~protocol.ordering.chain.Link.rooted`).
    :param signed: what was signed before a restart.
    :param predecessors: the set that certified the anchor; ``validators`` by default.
    :param successors: the set of the next epoch; ``validators`` by default.
    """

    def __init__(
        self,
        settings: Settings,
        validators: Validators,
        identity: Identity | None = None,
        *,
        anchor: Anchor | None = None,
        signed: SignedSlots | None = None,
        predecessors: Validators | None = None,
        successors: Validators | None = None,
    ) -> None:
        self._settings = settings
        self._validators = validators
        self._successors = validators if successors is None else successors
        self._identity = identity
        self._self = None if identity is None else validators.get(identity.account)
        last = SignedSlots() if signed is None else signed
        self._proposed, self._voted = last.proposal, last.vote
        self._offered, self._called = _NO_SLOT, _NO_SLOT
        root = genesis(settings) if anchor is None else anchor
        self._root = root.link.block
        self.epoch: Final = settings.epoch_after(root.link.height)
        self._border = Tick((self.epoch + 1) * settings.epoch_ticks)
        self._forks = Forks(root)
        self._orphans = Orphans()
        self._votes = Statements[SignedVote](lambda signed: signed.vote)
        self._headers = Statements[SignedHeader](lambda signed: signed.header)
        self._certificates = self._checker(validators)
        self._root_certificates = self._checker(predecessors or validators)
        self._now_ms = Milliseconds(0)
        self._horizon = 0
        self._lots: dict[bytes, tuple[VrfProof, int]] = {}
        self._outputs: list[Output] = []

    def _checker(self, validators: Validators) -> Certificates:
        return Certificates(self._settings.network, validators, self._was_heard)

    def next(self, successors: Validators) -> Streamlet:
        """The engine of the next epoch; ``successors`` are the validators of the one after it.

        AssertionError as long as this one is not over.
        """
        assert self.is_over, f"height {self.final_height} of {self._border}"
        root = Anchor(self.anchor.link.rooted, self.anchor.certificate)
        engine = Streamlet(
            self._settings,
            self._successors,
            self._identity,
            anchor=root,
            signed=self.signed,
            predecessors=self._validators,
            successors=successors,
        )
        engine._votes, engine._headers = self._votes, self._headers
        engine._now_ms, engine._horizon = self._now_ms, self._horizon
        return engine

    # what is known

    @property
    def is_over(self) -> bool:
        """The last block of the epoch is final."""
        return self.final_height >= self._border

    def is_beyond(self, height: Tick) -> bool:
        """Whether a block of this epoch at ``height`` must be empty."""
        return height > self._border

    @property
    def anchor(self) -> Anchor:
        """The last final block."""
        return self._forks.anchor

    @property
    def final_height(self) -> Tick:
        """Height of the last final block."""
        return self._forks.anchor.link.height

    @property
    def tip(self) -> Anchor:
        """The end of the longest notarised chain, on which we would propose."""
        return self._forks.tip

    @property
    def signed(self) -> SignedSlots:
        """The latest slots in which we are known to have signed something."""
        return SignedSlots(self._proposed, self._voted)

    @property
    def next_wake_ms(self) -> Milliseconds:
        """When :meth:`on_time` may have something to say next; any event may move it."""
        slot = self.slot_at(self._now_ms)
        times = [self._settings.starts_at(slot + 1), self._settings.votes_at(slot)]
        lot = self._lot(slot)
        if lot is not None:
            times.append(self._settings.publishes_at(slot, lot[1]))
        return min(time for time in times if time > self._now_ms)

    def slot_at(self, now_ms: Milliseconds) -> Slot:
        """The slot at a time."""
        return self._settings.slot_at(now_ms)

    def chain(self, block: BlockHash) -> tuple[LogBlock, ...]:
        """The blocks above the final one up to ``block``: the tip, a candidate, or its parent."""
        return tuple(entry.block for entry in self._forks.path(block))

    def unfinalised(self) -> tuple[LogBlock, ...]:
        """The blocks above the final one up to the tip."""
        return self.chain(self.tip.link.block)

    def missing(self) -> tuple[Missing, ...]:
        """Notarised blocks that we know of and do not have."""
        named = {
            orphan.block.header.parent: Missing(
                orphan.block.header.parent, Tick(orphan.block.header.height - 1)
            )
            for orphan in self._orphans
            if self._orphans.get(orphan.block.header.parent) is None
        }
        for slot in self._votes.slots():
            for block in dict.fromkeys(one.vote.block for one in self._votes.of_slot(slot)):
                if self._is_wanted(slot, block) and self._has_quorum(slot, block):
                    named.setdefault(block, Missing(block, None))
        return tuple(named.values())

    # proposing and voting, by time

    def on_time(self, now_ms: Milliseconds) -> tuple[Output, ...]:
        """Time has come to ``now_ms``: what we may or should do in this slot, each once a slot."""
        self._advance(now_ms)
        slot = self.slot_at(now_ms)
        if self._proposal_is_due(slot):
            self._offered = slot
            self._outputs.append(ProposalDue(slot))
        if self._vote_is_due(slot):
            self._called = slot
            self._outputs.append(VoteDue(slot))
        return self._take_outputs()

    def draft(self, slot: Slot) -> Draft | None:
        """Our proposal for ``slot`` on the tip, but for its content; None when we may not."""
        lot, tip = self._lot(slot), self.tip
        if self._self is None or lot is None:
            return None
        return Draft(
            slot=slot,
            height=Tick(tip.link.height + 1),
            parent=tip.link.block,
            certificate=self._fullest(tip),
            proposer=self._self.account,
            vrf_proof=lot[0],
            settled=tip.link.settles,
            epoch=self.epoch,
            successors=self._successors.digest,
        )

    def ballot(self, slot: Slot) -> tuple[Candidate, ...]:
        """What we may vote for in ``slot``, best first; empty once we voted there or later."""
        if self._self is None or slot <= self._voted:
            return ()
        return tuple(
            Candidate(entry.block, entry.link, entry.rank) for entry in self._contenders(slot)
        )

    def dismiss(self, block: BlockHash) -> None:
        """A proposal's content is invalid: it is on no ballot, and no reason not to propose."""
        entry = self._forks.get(block)
        if entry is not None:
            entry.dismissed = True

    # messages

    def on_block(self, block: LogBlock, now_ms: Milliseconds) -> tuple[Output, ...]:
        """A proposal, of others or our own. Nothing comes of one that is known.

        :raises Refused: PAST_EPOCH, LATER_EPOCH, WRONG_SUCCESSORS, BEYOND_BORDER, NOT_A_VALIDATOR,
            FUTURE_SLOT, PAST_SLOT, OFF_FINAL_CHAIN, WRONG_OPERATIONS, WRONG_HEIGHT, WRONG_SLOT,
            BAD_VRF_PROOF or BAD_CERTIFICATE.
        """
        self._advance(now_ms)
        header = block.header
        if self._identity is not None and header.proposer == self._identity.account:
            self._proposed = max(self._proposed, header.slot)
        self._check_epoch(header)
        self._validator(header.proposer)
        self._check_present(header.slot)
        name = block_hash(header)
        if not self._is_new(name) or self._is_contradiction(block.signed):
            return self._take_outputs()
        in_time = now_ms < self._settings.votes_at(header.slot)
        self._admit(Arrival(name, block, None, in_time))
        return self._take_outputs()

    def on_certified(self, certified: CertifiedBlock, now_ms: Milliseconds) -> tuple[Output, ...]:
        """A block of any slot with its certificate, from a peer or from our disk.

        The first one of the next epoch only makes the border final; hand it to the next engine.

        :raises Refused: PAST_EPOCH, LATER_EPOCH, WRONG_SUCCESSORS, BEYOND_BORDER, NOT_A_VALIDATOR,
            OFF_FINAL_CHAIN, WRONG_OPERATIONS, WRONG_HEIGHT, WRONG_SLOT, BAD_VRF_PROOF or
            BAD_CERTIFICATE.
        """
        self._advance(now_ms)
        block, header = certified.block, certified.block.header
        if header.epoch == self.epoch + 1 and header.height == self._border + 1:
            self._hand_over(certified)
            return self._take_outputs()
        self._check_epoch(header)
        self._validator(header.proposer)
        name = block_hash(header)
        if name not in self._forks:
            self._check_place(header)
        certificate = self._good_certificate(certified.certificate, name)
        if certificate.slot != header.slot:
            raise Refused(Reason.BAD_CERTIFICATE, "for another slot")
        if name in self._forks:
            self._notarise(name, certificate)
            return self._take_outputs()
        waiting = self._orphans.get(name)
        in_time = waiting is not None and waiting.in_time
        self._admit(Arrival(name, block, certificate, in_time))
        self._is_contradiction(block.signed)
        return self._take_outputs()

    def on_vote(self, signed: SignedVote, now_ms: Milliseconds) -> tuple[Output, ...]:
        """A vote, of others or our own.

        :raises Refused: NOT_A_VALIDATOR, FUTURE_SLOT, PAST_SLOT or WRONG_SLOT.
        """
        self._advance(now_ms)
        vote = signed.vote
        if self._identity is not None and vote.voter == self._identity.account:
            self._voted = max(self._voted, vote.slot)
        self._validator(vote.voter)
        self._check_present(vote.slot)
        link = self._forks.link(vote.block)
        if link is not None and link.slot != vote.slot:
            raise Refused(Reason.WRONG_SLOT, "the vote's block is of another slot")
        had_quorum = self._has_quorum(vote.slot, vote.block)
        self._hear_vote(signed)
        if not had_quorum and self._has_quorum(vote.slot, vote.block):
            self._on_quorum(vote.slot, vote.block)
        return self._take_outputs()

    # checks of messages

    def _check_epoch(self, header: LogHeader) -> None:
        """Refuse what is not of this epoch, or does not fit it."""
        if header.epoch != self.epoch:
            is_past = header.epoch < self.epoch
            raise Refused(Reason.PAST_EPOCH if is_past else Reason.LATER_EPOCH)
        if header.successors != self._successors.digest:
            raise Refused(Reason.WRONG_SUCCESSORS)
        if self.is_beyond(header.height) and header.operations != _NO_OPERATIONS:
            raise Refused(Reason.BEYOND_BORDER)

    def _hand_over(self, certified: CertifiedBlock) -> None:
        """A first block of the next epoch, certified by its validators: the border is final."""
        header = certified.block.header
        border = self._forks.get(header.parent)
        if border is None or border.link.height != self._border:
            raise Refused(Reason.LATER_EPOCH, "its parent is not known here")
        certificate = self._good_certificate(header.certificate, header.parent)
        shown = self._checker(self._successors).check(certified.certificate, block_hash(header))
        if certificate.slot != border.link.slot or shown.slot != header.slot:
            raise Refused(Reason.BAD_CERTIFICATE, "for another slot")
        self._notarise(header.parent, certificate)
        self._finalise(self._border, header.parent)

    def _validator(self, account: Account) -> Validator:
        validator = self._validators.get(account)
        if validator is None:
            raise Refused(Reason.NOT_A_VALIDATOR, account.hex())
        return validator

    def _check_present(self, slot: Slot) -> None:
        if slot > self._last_slot():
            raise Refused(Reason.FUTURE_SLOT, f"slot {slot}")
        if slot < self._horizon:
            raise Refused(Reason.PAST_SLOT, f"slot {slot}")

    def _last_slot(self) -> Slot:
        """The latest slot of which messages are taken: clocks may differ by half a slot."""
        return self._settings.slot_at(self._now_ms + self._settings.slot_ms // 2)

    def _check_place(self, header: LogHeader) -> None:
        """Refuse what cannot extend the last final block, whatever may still arrive."""
        if self._forks.link(header.parent) is None and header.height <= self.final_height + 1:
            raise Refused(Reason.OFF_FINAL_CHAIN, f"height {header.height}")

    def _place(self, arrival: Arrival, parent: Link) -> tuple[Link, int]:
        """Link and rank of a block on ``parent``, if it fits there."""
        header = arrival.block.header
        if header.height != parent.height + 1:
            raise Refused(Reason.WRONG_HEIGHT, f"{header.height} after {parent.height}")
        if header.slot <= parent.slot:
            raise Refused(Reason.WRONG_SLOT, f"{header.slot} after {parent.slot}")
        validator = self._validator(header.proposer)
        alpha = log_alpha(parent.seed_of_child(self._settings), header.slot)
        output = vrf.verify(validator.vrf_key, alpha, header.vrf_proof)
        if output is None:
            raise Refused(Reason.BAD_VRF_PROOF)
        link = parent.child(arrival.hash, header.slot, output, self._settings)
        return link, self._validators.rank(validator, output)

    def _parent_certificate(self, header: LogHeader, parent: Link | None) -> Certificate | None:
        """The certificate in a header, if it is good; the genesis has none."""
        if header.parent == self._settings.genesis_hash:
            if header.certificate is not None:
                raise Refused(Reason.BAD_CERTIFICATE, "the genesis has none")
            return None
        if header.parent == self._root:
            certificate = self._root_certificates.check(header.certificate, header.parent)
        else:
            certificate = self._good_certificate(header.certificate, header.parent)
        if parent is not None and certificate.slot != parent.slot:
            raise Refused(Reason.BAD_CERTIFICATE, "for another slot")
        return certificate

    def _good_certificate(self, certificate: Certificate | None, block: BlockHash) -> Certificate:
        """The certificate of ``block``, if it is good; its votes count as heard."""
        good = self._certificates.check(certificate, block)
        if self._horizon <= good.slot <= self._last_slot():
            for vote in certificate_votes(good):
                self._hear_vote(vote)
        return good

    # the tree

    def _is_new(self, block: BlockHash) -> bool:
        return block not in self._forks and self._orphans.get(block) is None

    def _admit(self, arrival: Arrival) -> None:
        """Put a new block into the tree, or let it wait for its parent."""
        header = arrival.block.header
        self._check_place(header)
        if operations_digest(arrival.block.operations) != header.operations:
            raise Refused(Reason.WRONG_OPERATIONS)
        if header.parent in self._forks:
            self._insert(arrival)
            self._adopt_children(arrival.hash)
            return
        self._parent_certificate(header, None)
        self._orphans.hold(arrival)
        if self._orphans.get(header.parent) is None:
            self._outputs.append(Missing(header.parent, Tick(header.height - 1)))

    def _adopt_children(self, block: BlockHash) -> None:
        """Insert the blocks that waited for ``block``, and those that waited for them."""
        parents = [block]
        while parents:
            for orphan in self._orphans.release(parents.pop()):
                try:
                    self._insert(orphan)
                    parents.append(orphan.hash)
                except Refused as refusal:
                    self._outputs.append(Discarded(orphan.block, refusal.reason))

    def _insert(self, arrival: Arrival) -> None:
        header = arrival.block.header
        parent = self._forks.link(header.parent)
        if parent is None:
            raise Refused(Reason.OFF_FINAL_CHAIN, "its parent was excluded meanwhile")
        link, rank = self._place(arrival, parent)
        certificate = self._parent_certificate(header, parent)
        self._forks.add(Entry(arrival.block, link, rank, arrival.in_time))
        if certificate is not None:
            self._notarise(header.parent, certificate)
        if arrival.certificate is not None:
            self._notarise(arrival.hash, arrival.certificate)
        elif self._has_quorum(link.slot, arrival.hash):
            self._on_quorum(link.slot, arrival.hash)

    def _on_quorum(self, slot: Slot, block: BlockHash) -> None:
        """A block has got votes of a quorum: it is notarised, if we have it."""
        if block in self._forks:
            self._notarise(block, self._certificate(slot, block))
        elif self._is_wanted(slot, block):
            self._outputs.append(Missing(block, None))

    def _notarise(self, block: BlockHash, certificate: Certificate) -> None:
        entry = self._forks.notarise(block, certificate)
        if entry is None:
            return
        self._outputs.append(Notarised(entry.block, entry.link, certificate))
        self._finalise(entry.link.settles, block)

    def _finalise(self, height: int, tip: BlockHash) -> None:
        final = self._forks.finalise(min(height, self._border), tip)
        if final:
            self._outputs.extend(final)
            self._orphans.forget_up_to(self.final_height + 1)
        if self.is_over:
            self._self = None

    # what was heard

    def _hear_vote(self, signed: SignedVote) -> None:
        vote = signed.vote
        first = self._votes.hear(vote.slot, vote.voter, signed)
        if first is not None:
            pair = sorted((first, signed), key=lambda one: one.vote.block)
            self._outputs.append(Equivocation(VoteEvidence(*pair)))

    def _is_contradiction(self, signed: SignedHeader) -> bool:
        """Remember a signed header; whether its proposer had signed another one before."""
        header = signed.header
        if not self._horizon <= header.slot <= self._last_slot():
            return False
        first = self._headers.hear(header.slot, header.proposer, signed)
        if first is not None:
            pair = sorted((first, signed), key=lambda one: block_hash(one.header))
            self._outputs.append(Equivocation(ProposalEvidence(*pair)))
        kept = self._headers.get(header.slot, header.proposer)
        return kept is not None and kept.header != header

    def _was_heard(self, signed: SignedVote) -> bool:
        return self._votes.get(signed.vote.slot, signed.vote.voter) == signed

    def _supporters(self, slot: Slot, block: BlockHash) -> list[SignedVote]:
        """Votes of validators of this epoch; some heard before may be of others."""
        return [
            signed
            for signed in self._votes.of_slot(slot)
            if signed.vote.block == block and self._validators.get(signed.vote.voter) is not None
        ]

    def _has_quorum(self, slot: Slot, block: BlockHash) -> bool:
        voters = (signed.vote.voter for signed in self._supporters(slot, block))
        return self._validators.stake(voters) >= self._validators.quorum

    def _is_wanted(self, slot: Slot, block: BlockHash) -> bool:
        return slot > self.anchor.link.slot and self._is_new(block)

    def _certificate(self, slot: Slot, block: BlockHash) -> Certificate:
        """All votes heard for a block."""
        supporters = ((one.vote.voter, one.signature) for one in self._supporters(slot, block))
        return Certificate(slot, block, tuple(sorted(supporters)))

    def _fullest(self, tip: Anchor) -> Certificate | None:
        """The tip's certificate and all further votes heard for it: who voted late voted, too."""
        if tip.certificate is None or tip.link.block == self._root:
            return tip.certificate
        heard = self._certificate(tip.link.slot, tip.link.block)
        signatures = dict(heard.signatures) | dict(tip.certificate.signatures)
        return Certificate(heard.slot, heard.block, tuple(sorted(signatures.items())))

    # whose turn it is

    def _contenders(self, slot: Slot) -> list[Entry]:
        """Timely proposals of a slot on one of the longest notarised chains, best first."""
        longest = self.tip.link.height
        found = [
            entry
            for entry in self._forks
            if entry.link.slot == slot and entry.in_time and not entry.dismissed
            if entry.link.height == longest + 1 or entry.certificate is not None
        ]
        return sorted(found, key=lambda entry: (entry.rank, entry.link.block))

    def _lot(self, slot: Slot) -> tuple[VrfProof, int] | None:
        """Our VRF proof and rank on the tip, None when we may not propose; the last one is kept."""
        link = self.tip.link
        if self._identity is None or self._self is None or slot <= max(link.slot, self._proposed):
            return None
        alpha = log_alpha(link.seed_of_child(self._settings), slot)
        if alpha not in self._lots:
            proof, output = vrf.prove(self._identity.vrf_seed, alpha)
            self._lots = {alpha: (proof, self._validators.rank(self._self, output))}
        return self._lots[alpha]

    def _proposal_is_due(self, slot: Slot) -> bool:
        if slot <= self._offered or self._now_ms >= self._settings.votes_at(slot):
            return False
        lot = self._lot(slot)
        if lot is None or self._now_ms < self._settings.publishes_at(slot, lot[1]):
            return False
        return not any(entry.rank <= lot[1] for entry in self._contenders(slot))

    def _vote_is_due(self, slot: Slot) -> bool:
        waits = slot > max(self._voted, self._called)
        return self._self is not None and waits and self._now_ms >= self._settings.votes_at(slot)

    def _advance(self, now_ms: Milliseconds) -> None:
        """Take note of the time, and forget what is too old.

        Where a clock that was ahead is set right, what the wrong time barred is open again, but for
        what was signed.
        """
        if self.slot_at(now_ms) < self.slot_at(self._now_ms):
            self._offered, self._called, self._horizon = _NO_SLOT, _NO_SLOT, 0
        self._now_ms = now_ms
        horizon = self.slot_at(now_ms) - SLOTS_KEPT
        if horizon > self._horizon:
            self._horizon = horizon
            self._votes.forget_before(horizon)
            self._headers.forget_before(horizon)
            self._forks.forget_before(horizon)

    def _take_outputs(self) -> tuple[Output, ...]:
        outputs, self._outputs = tuple(self._outputs), []
        return outputs
