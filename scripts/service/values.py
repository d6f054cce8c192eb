"""What the API gives and takes, as frozen values; the OpenAPI document is made from them.

Accounts, jobs and hashes are hexadecimal digits, tree nodes ``[level, position]``, amounts are in
micro-units, ticks are heights of the log, and everything told is final unless it says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from protocol.errors import Reason
from protocol.events import Event
from protocol.ledger import Cause, PocketKind
from protocol.messages import StakeKind
from protocol.types import (
    Account,
    Amount,
    BasisPoints,
    Count,
    Digest,
    Epoch,
    JobId,
    Milliseconds,
    NetworkId,
    Nonce,
    OperationHash,
    Round,
    Signature,
    Slot,
    Stake,
    Tick,
    TreeIndex,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request was refused.

    :ivar reason: a name of ``protocol.errors.Reason``, or of the API's own refusals.
    :ivar sentence: the same for a person.
    :ivar hint: what to do.
    """

    reason: str
    sentence: str
    hint: str


@dataclass(frozen=True, slots=True)
class RuleName:
    """A rule of the network; each setting as ``name=value``."""

    name: str
    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NetworkState:
    """The node and its network at the last final log block.

    :ivar backend: ``plonky2`` makes proofs, ``modelled`` attestations that take as long.
    :ivar tick: height of the last final log block, 0 before the first.
    :ivar slot: slot of that block.
    :ivar slot_now: slot of the wall clock, as the node last looked.
    :ivar block_age_ms: time since that block's slot began; None before the first.
    :ivar halted: why the node stopped voting; None while it agrees with the network.
    :ivar jobs_opened: since the first block that this node has seen; the same of the next two.
    :ivar jobs_open: how many of them are open.
    :ivar supply: all money there is.
    :ivar pending_operations: operations that wait here to be ordered; not final.
    """

    node: str
    account: Account
    network: NetworkId
    name: str
    backend: str
    sequencing: RuleName
    proving: RuleName
    genesis_time_ms: Milliseconds
    slot_ms: Milliseconds
    epoch_ticks: Tick
    tick: Tick
    slot: Slot
    slot_now: Slot
    epoch: Epoch
    digest: Digest
    block_age_ms: int | None
    halted: str | None
    peers: Count
    jobs_opened: int
    jobs_settled: int
    jobs_void: int
    jobs_open: int
    supply: Amount
    pending_operations: int


class Outcome(Enum):
    """What became of a job."""

    OPEN = "it is being proven"
    SETTLED = "it is proven and paid"
    VOID = "nothing of it happened"


class Standing(Enum):
    """How far a tree node is."""

    WAITING = "its inputs are missing"
    OPEN = "it may be proven"
    OWN = "its own prover's proof is recorded"
    TAKEN_OVER = "the proof of somebody who took it over is recorded"
    BY_ANYBODY = "the proof of somebody else is recorded, when it was open to anybody"
    LOST = "the job ended without a proof of it"


@dataclass(frozen=True, slots=True)
class Payment:
    """Money for a tree node.

    :ivar account: who got it; None when nobody did: it was burned or kept.
    """

    account: Account | None
    amount: Amount
    cause: Cause


@dataclass(frozen=True, slots=True)
class OwnProof:
    """A proof that a worker of this very node is or was at; not final.

    :ivar wall_ms: how long it took; None while it runs, or when it was given up.
    :ivar threads: on how many threads; 0 while that is not known.
    :ivar given_up: why it was given up, if it was.
    """

    started_ms: Milliseconds
    wall_ms: int | None
    threads: int
    given_up: str | None


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One tree node of a job.

    :ivar owners: whom it was assigned to; empty: anybody, or nobody yet.
    :ivar holder: who has the present right; None: any staked prover, or nobody yet.
    :ivar opened: tick at which the present right opened; None before.
    :ivar admissible: tick from which a record counts.
    :ivar closes: last tick of the holder's window; None while its opening is not final.
    :ivar prover: whose proof is recorded.
    :ivar recorded: tick of that record.
    :ivar missed: who let a window pass, in order.
    :ivar uncles: who showed a proof that is not recorded.
    """

    index: TreeIndex
    standing: Standing
    owners: tuple[Account, ...]
    holder: Account | None
    opened: Tick | None
    admissible: Tick | None
    closes: Tick | None
    prover: Account | None
    recorded: Tick | None
    missed: tuple[Account, ...]
    uncles: tuple[Account, ...]
    payments: tuple[Payment, ...]
    own_proof: OwnProof | None


@dataclass(frozen=True, slots=True)
class JobSummary:
    """One job: the proof tree of a sealed block.

    :ivar number: counted from 1 in the order of opening, from the first block that this node saw.
    :ivar round: of sequencing.
    :ivar parent: the job that it builds on; zeros for the genesis.
    :ivar leaves: leaves of the tree.
    :ivar fees: sum of the block's fees.
    :ivar fee_split: share of the fees promised to provers.
    :ivar opened: tick.
    :ivar closed: tick at which it was settled or void; None while it is open.
    :ivar recorded: tree nodes with a recorded proof, of ``tree_nodes``.
    :ivar because: the job because of which it is void.
    :ivar backup: who proved all of it outside of any right; None for all but backup blocks.
    """

    number: int
    job: JobId
    outcome: Outcome
    round: Round
    sequencer: Account
    parent: JobId
    leaves: int
    fees: Amount
    fee_split: BasisPoints
    opened: Tick
    closed: Tick | None
    recorded: int
    tree_nodes: int
    because: JobId | None
    backup: Account | None


@dataclass(frozen=True, slots=True)
class Jobs:
    """The last jobs, newest first."""

    tick: Tick
    jobs: tuple[JobSummary, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """The proof tree of a job, the root first, each level from the left."""

    tick: Tick
    job: JobSummary
    nodes: tuple[TreeNode, ...]


@dataclass(frozen=True, slots=True)
class CauseTotal:
    """What an account gained and lost by one cause, in all its pockets together."""

    cause: Cause
    gained: Amount
    lost: Amount


@dataclass(frozen=True, slots=True)
class Reliability:
    """What a prover did with what was its own, over all closed jobs that this node saw.

    :ivar due: tree nodes of its own that were to be proven.
    :ivar kept: how many of them it proved.
    :ivar taken_over: tree nodes of others that it proved.
    :ivar missed: windows that it let pass.
    :ivar failed: jobs that it forfeited.
    :ivar uncles: proofs that it showed where another's was recorded.
    :ivar slashes: times that it lost stake.
    """

    due: int
    kept: int
    taken_over: int
    missed: int
    failed: int
    uncles: int
    slashes: int


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account.

    :ivar name: what the genesis calls it; None for others.
    :ivar is_own: whether it is this node's.
    :ivar rollup_balance: its money inside the rollup at the settled root; None when it has no
        account there, or when this node does not know that state.
    :ivar rollup_nonce: nonce of its next transfer there.
    :ivar income: what it earned, over the blocks that this node saw.
    :ivar totals: gains and losses by cause, over the same blocks.
    """

    account: Account
    name: str | None
    is_own: bool
    balance: Amount
    log_stake: Stake
    prover_stake: Stake
    sequencer_stake: Stake
    rollup_balance: Amount | None
    rollup_nonce: Nonce | None
    income: Amount
    reliability: Reliability
    totals: tuple[CauseTotal, ...]


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts by stake and money, the greatest first.

    :ivar left_out: how many more there are than were asked for.
    """

    tick: Tick
    accounts: tuple[AccountState, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class OperationBehind:
    """The operation behind a gain or a loss.

    :ivar kind: class of its payload.
    :ivar refused: why the log refused it; None when it took effect.
    """

    kind: str
    hash: OperationHash
    sender: Account
    refused: str | None


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A gain or a loss.

    :ivar amount: negative for a loss.
    :ivar pocket: which of the account's pockets changed.
    :ivar other_kind: the pocket on the other side.
    :ivar other_owner: whose that is: an account, a job or an award; empty for the network's own.
    :ivar number: of the job that it was for.
    :ivar operation: what brought it about, if an operation did that is still remembered.
    """

    tick: Tick
    amount: int
    cause: Cause
    pocket: PocketKind
    other_kind: PocketKind
    other_owner: str
    job: JobId | None
    number: int | None
    index: TreeIndex | None
    operation: OperationBehind | None


@dataclass(frozen=True, slots=True)
class AccountLedger:
    """Gains and losses of an account, the newest first, over the blocks that this node saw.

    :ivar left_out: entries that are older than those kept, or more than were asked for.
    """

    tick: Tick
    account: Account
    totals: tuple[CauseTotal, ...]
    entries: tuple[LedgerEntry, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Peer:
    """A connected peer; its name when the genesis has one."""

    account: Account
    name: str | None


@dataclass(frozen=True, slots=True)
class Peers:
    """Whom the node is connected to now."""

    peers: tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class ValidatorState:
    """Somebody who orders the log.

    :ivar proposed: final log blocks of its own among the last ``blocks``.
    """

    account: Account
    name: str | None
    log_stake: Stake
    proposed: int


@dataclass(frozen=True, slots=True)
class Validators:
    """Who orders the log, by stake; certificates need more than two thirds of ``stake``.

    :ivar blocks: final log blocks over which proposals were counted.
    """

    tick: Tick
    stake: Stake
    blocks: int
    validators: tuple[ValidatorState, ...]


class Fate(Enum):
    """What became of an operation."""

    PENDING = "it waits here to be ordered"
    ACCEPTED = "it is ordered and took effect"
    REFUSED = "it is ordered and changed nothing but its sender's fee"


@dataclass(frozen=True, slots=True)
class OperationFate:
    """An operation and what became of it.

    :ivar kind: class of its payload.
    :ivar tick: of the final log block that ordered it; None while it is pending.
    :ivar reason: why the log refused it: a name of ``protocol.errors.Reason``.
    """

    hash: OperationHash
    kind: str
    sender: Account
    fate: Fate
    tick: Tick | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class PendingOperation:
    """An operation that waits here to be ordered."""

    hash: OperationHash
    kind: str
    sender: Account
    valid_until: Tick


@dataclass(frozen=True, slots=True)
class PendingOperations:
    """What waits here to be ordered, the oldest first; not final.

    :ivar left_out: how many more there are than were asked for.
    """

    operations: tuple[PendingOperation, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class LogBlockSummary:
    """A final log block."""

    tick: Tick
    slot: Slot
    proposer: Account
    operations: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class LogBlocks:
    """The last final log blocks, newest first."""

    blocks: tuple[LogBlockSummary, ...]


@dataclass(frozen=True, slots=True)
class FinalEvents:
    """A final log block with all that it brought about: the data of one server-sent event.

    :ivar operations: how many it ordered.
    :ivar events: in the order of happening.
    """

    tick: Tick
    slot: Slot
    proposer: Account
    digest: Digest
    operations: int
    events: tuple[Event, ...]


# --- what is taken ---


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """A transfer inside the rollup from this node's account.

    :ivar nonce: left out, it follows the account's transfers so far.
    """

    recipient: Account
    amount: Amount
    fee: Amount
    nonce: Nonce | None = None


@dataclass(frozen=True, slots=True)
class StakeOrder:
    """Free money of this node's account that becomes its own stake, under its own VRF key."""

    stake: StakeKind
    amount: Amount


@dataclass(frozen=True, slots=True)
class FaucetOrder:
    """Somebody asks a faucet for test money.

    :ivar account: who gets it.
    :ivar tick: a recent height of the log, above that of the account's last gift.
    :ivar signature: of the account, over the domain ``provnet/faucet/1``, the network, and account
        and height (eight bytes, the greatest first), as ``protocol.signing`` has it.
    """

    account: Account
    tick: Tick
    signature: Signature


@dataclass(frozen=True, slots=True)
class Granted:
    """A faucet pays; the network has the last word.

    :ivar payer: whose operation ``Pay`` it will be.
    :ivar watch: where to see what becomes of it.
    """

    payer: Account
    receiver: Account
    amount: Amount
    watch: str


@dataclass(frozen=True, slots=True)
class Queued:
    """It was taken in, and goes out with the node's next step; the network has the last word.

    :ivar nonce: of a transfer.
    :ivar watch: where to see what becomes of it.
    """

    nonce: Nonce | None
    watch: str


class Refusal(Enum):
    """The API's own refusals, beside those of :class:`protocol.errors.Reason`."""

    NOT_FOUND = "there is nothing at this path"
    METHOD_NOT_ALLOWED = "this path knows another method"
    WRONG_HOST = "the request names a host that this node is not"
    UNAUTHORISED = "this needs the node's token"
    BODY_TOO_LARGE = "the body is larger than any request needs"
    BODY_TOO_SLOW = "the body did not arrive in time"
    NOT_JSON = "the body is not JSON"
    WRONG_SHAPE = "the body does not have the fields or ranges that it must have"
    WRONG_PARAMETER = "a parameter is not what it must be"
    UNKNOWN_ACCOUNT = "no such account is known here"
    UNKNOWN_JOB = "no such job is remembered here"
    UNKNOWN_OPERATION = "no such operation is remembered here"
    NO_ROLLUP_STATE = "this node does not know the rollup's state yet"
    NO_ROLLUP_ACCOUNT = "this node's account does not exist in the rollup"
    QUEUE_FULL = "too much waits to be submitted already"
    NO_FAUCET = "this node gives no money away: its faucet is off, or this is no test network"
    TOO_SOON = "it is too soon after another gift of the faucet"
    TOO_MUCH = "the faucet has given as much as it may there"
    FAUCET_EMPTY = "the faucet has nothing left to give"
    FAUCET_BROKEN = "the faucet cannot write down what it gives"
    WRONG_PROOF = "the signature is not the account's, for this network"
    STALE_PROOF = "what was signed names no recent height"
    USED_PROOF = "what was signed has been served already"
    NO_ADDRESS = "nobody could reach this node: it knows no address that others could dial"
    TOO_MANY_STREAMS = "too many clients follow this node already"
    TOO_MANY_CONNECTIONS = "this node serves as many clients as it may"
    TOO_SLOW = "this client takes blocks more slowly than they become final"
    BROKEN = "the node failed to answer: that is a fault of its own"


def fault(reason: Reason | Refusal, hint: str, detail: str = "") -> Fault:
    """A refusal as it is told."""
    sentence = f"{reason.value}: {detail}" if detail else reason.value
    return Fault(reason.name, sentence, hint)
