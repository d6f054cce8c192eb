"""Acts for a sequencer: pools transfers, commits to blocks, reveals the one that is elected.

Rules. When the sequencing rule names a duty,

- *commit*: build a block of the pooled transfers on the head's state, keep its body and what to
  reveal, and commit to it with the VRF proof the rule asks for, sharing ``fee_split`` of the fees
  with provers. Not with fewer transfers than ``transfers_min``, not once ``blocks_max`` jobs were
  opened and did not fall, not while the node is paused, and not while nobody seems to prove: where
  provers are elected none can be, or a tree node of an open job is anybody's, which means that all
  who were elected for it failed. A block would only cost its bond then.
- *backup*, if it was told to: build a block of the pooled transfers on the settled head and leave
  it for the prover of the same node, within the same bounds but the last.
- *reveal*: submit what was kept. A restart loses nothing: it was kept before the commitment left.

The salt follows from the account's secret, the round and the block, so that nobody can open the
commitment before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from protocol import vrf
from protocol.agents import (
    Action,
    AgentEvent,
    BlockKnown,
    KeepBody,
    KeepNote,
    Submit,
    TransferHeard,
    View,
    backup_note,
    is_paused,
)
from protocol.codec import decode, encode
from protocol.happenings import BlockFinal
from protocol.ledger import PocketKind, sequencer_stake
from protocol.messages import (
    OPERATION_BYTES_MAX,
    BlockCommitment,
    BlockReveal,
    commitment_digest,
)
from protocol.ordering.validators import Identity
from protocol.ports import ProverBackend
from protocol.rules import BackupDuty, CommitDuty, RevealDuty, SequencingDuty, Stage
from protocol.signing import digest
from protocol.types import LENGTHS, Account, BasisPoints, Count, JobId, Round, Salt, Tick, VrfProof
from sequencer.builder import build_block
from sequencer.mempool import TransferPool


@dataclass(frozen=True, slots=True)
class SequencerSettings:
    """What a sequencer decides for itself.

    :ivar leaf_count: leaves of the blocks it builds.
    :ivar fee_split: share of the fees it promises to provers.
    :ivar transfers_min: it builds no block with fewer transfers.
    :ivar blocks_max: it commits to no block once so many jobs were opened and did not fall; None:
        never stops.
    :ivar backs_up: it builds a block for the prover of its own node where the rule calls for a
        backup.
    """

    leaf_count: Count
    fee_split: BasisPoints = BasisPoints(6_000)
    transfers_min: Count = Count(1)
    blocks_max: int | None = None
    backs_up: bool = False


class SequencerAgent:
    """The agent of this module.

    The transfer pool is its only state; a restart refills it from gossip.
    """

    def __init__(
        self, settings: SequencerSettings, identity: Identity, backend: ProverBackend
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.backend = backend
        self.pool: TransferPool | None = None
        self._head: JobId | None = None

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        """Actions upon an event; see the module."""
        self._follow_settled(view)
        if isinstance(event, TransferHeard) and self.pool is not None:
            self.pool.add(event.signed)
        if not isinstance(event, TransferHeard | BlockFinal | BlockKnown):
            return ()
        machine = view.machine
        duties = machine.sequencing.duties(view.account, machine.epoch_seed, Tick(machine.tick + 1))
        return tuple(action for duty in duties for action in self._do(view, duty))

    def _do(self, view: View, duty: SequencingDuty) -> Iterator[Action]:
        match duty:
            case CommitDuty():
                yield from self._commit(view, duty)
            case RevealDuty():
                yield from self._reveal(view, duty)
            case BackupDuty() if self.settings.backs_up:
                yield from self._back_up(view, duty)

    def _commit(self, view: View, duty: CommitDuty) -> Iterator[Action]:
        state = view.state_after(duty.parent)
        if state is None or self.pool is None or self._is_done(view) or not _is_sequencer(view):
            return
        if self._is_pending(view, BlockCommitment, duty.round):
            return
        room = self.settings.leaf_count * self.backend.leaf_transfers
        transfers = self.pool.select(state, room)
        if len(transfers) < self.settings.transfers_min or not _somebody_proves(view):
            return
        built = build_block(duty.parent, state, transfers, self.settings.leaf_count, self.backend)
        salt = self._salt(duty.round, built.body)
        reveal = BlockReveal(duty.round, built.content, salt)
        proof = VrfProof(bytes(LENGTHS[VrfProof]))
        if duty.lot is not None:
            proof, _ = vrf.prove(self.identity.vrf_seed, duty.lot)
        content = commitment_digest(built.content, salt)
        yield KeepBody(built.body)
        yield KeepNote(_note_name(duty.round), encode(reveal))
        yield Submit(BlockCommitment(duty.round, content, self.settings.fee_split, proof))

    def _reveal(self, view: View, duty: RevealDuty) -> Iterator[Action]:
        reveal = kept_reveal(view, duty.round)
        if reveal is not None and not self._is_pending(view, BlockReveal, duty.round):
            yield Submit(reveal)

    def _back_up(self, view: View, duty: BackupDuty) -> Iterator[Action]:
        """Leave a block for the prover, once a round."""
        name, state = backup_note(duty.round), view.state_after(duty.parent)
        if state is None or self.pool is None or self._is_done(view):
            return
        if view.note(name) is not None:
            return
        leaf_count = self.settings.leaf_count
        transfers = self.pool.select(state, leaf_count * self.backend.leaf_transfers)
        if transfers:
            built = build_block(duty.parent, state, transfers, leaf_count, self.backend)
            yield KeepBody(built.body)
            yield KeepNote(name, encode(built.content))

    def _is_done(self, view: View) -> bool:
        limit = self.settings.blocks_max
        return is_paused(view) or (limit is not None and view.jobs_opened >= limit)

    def _follow_settled(self, view: View) -> None:
        """Judge transfers by the settled state: what an open job carries waits until that is
        settled, and is there again when it falls.
        """
        head = view.machine.settled_head
        state = None if head == self._head else view.state_after(head)
        if state is None:
            return
        self._head = head
        if self.pool is None:
            self.pool = TransferPool(state)
        self.pool.advance(state)

    def _salt(self, round: Round, body: bytes) -> Salt:
        secret = self.identity.signing_seed
        return Salt(digest(b"provnet/salt/1", secret, round.to_bytes(8, "big"), body))

    def _is_pending(
        self, view: View, kind: type[BlockCommitment | BlockReveal], round: Round
    ) -> bool:
        return any(
            isinstance(payload, kind) and payload.round == round for payload in view.own_pending()
        )


def kept_reveal(view: View, round: Round) -> BlockReveal | None:
    """What the account committed to in a round, if it did."""
    note = view.note(_note_name(round))
    if note is None:
        return None
    reveal: BlockReveal = decode(BlockReveal, note, size_max=OPERATION_BYTES_MAX)
    return reveal


def _is_sequencer(view: View) -> bool:
    """Whether the account has what a commitment needs, as far as all sequencing rules go."""
    machine = view.machine
    return (
        view.account in machine.vrf_keys and machine.ledger.holds(sequencer_stake(view.account)) > 0
    )


def _somebody_proves(view: View) -> bool:
    """Whether a prover can be elected, where provers are, and no tree node waits for anybody."""
    machine = view.machine
    if machine.proving.election(view.account) is not None:
        staked = (
            Account(pocket.owner)
            for pocket in machine.ledger.pockets()
            if pocket.kind is PocketKind.PROVER_STAKE
        )
        elections = (machine.proving.election(one) for one in staked)
        if not any(one is not None and one.until > machine.tick for one in elections):
            return False
    return all(duty.stage is not Stage.OPEN for duty in machine.proving.duties(view.account))


def _note_name(round: Round) -> str:
    return f"reveal/{round}"
