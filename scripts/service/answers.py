"""Answers to requests, made from the node's final state and the story of its log.

Rules. An answer is made at once, on the node's loop, from what is in memory: it neither waits nor
changes anything but what the request submits. Lists are cut at a limit and say what they left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from p2p.limits import Size
from p2p.registry import Statistics as NetworkStatistics
from protocol.agents import View
from protocol.errors import Reason, Refused
from protocol.ledger import PocketKind, balance, log_stake, prover_stake, sequencer_stake
from protocol.machine import EVIDENCE
from protocol.messages import AddStake, Delegate, Operation, Pay, Payload, operation_hash
from protocol.params import RuleChoice
from protocol.ports import Clock, RollupState
from protocol.replica import PENDING_PER_SENDER_MAX, Replica
from protocol.rollup import FEE_MAX
from protocol.staking import STAKING, StakingPayload
from protocol.types import Account, Count, Nonce, Slot, Stake, Tick
from scripts.service.desk import Desk
from scripts.service.faucet import Faucet, is_signed
from scripts.service.rations import Ask, group
from scripts.service.story import ACCOUNT_POCKETS, Story
from scripts.service.values import (
    AccountLedger,
    Accounts,
    AccountState,
    Fate,
    Fault,
    Granted,
    Jobs,
    LogBlocks,
    NetworkState,
    OperationFate,
    Peer,
    Peers,
    PendingOperation,
    PendingOperations,
    Queued,
    Refusal,
    RuleName,
    StakeOrder,
    TransferOrder,
    Tree,
    Validators,
    ValidatorState,
    fault,
)

OWN: Final = "own"
"""Stands for the node's own account in a path."""


HASH_DIGITS_MIN: Final = 8
"""With so many digits an operation can be named."""


class NodeView(View, Protocol):
    """What the service needs of a node; it changes nothing there."""

    @property
    def replica(self) -> Replica:
        """The replica."""

    @property
    def refusals(self) -> Counter[tuple[str, str, str]]:
        """How often what was refused: kind, reason and peer."""

    def sizes(self) -> dict[str, Size]:
        """Entries of what is kept in memory, by name."""


class Connections(Protocol):
    """What the service needs of the node's network."""

    def peers(self) -> tuple[Account, ...]:
        """Connected peers."""

    def sizes(self) -> dict[str, Size]:
        """Entries of what is kept in memory, by name."""

    def statistics(self) -> NetworkStatistics:
        """Counts since the start."""


@dataclass(frozen=True, slots=True)
class Source:
    """Everything that answers are made from.

    :ivar name: what the node's configuration calls it.
    :ivar faucet: None: it gives nothing away.
    """

    name: str
    node: NodeView
    network: Connections
    story: Story
    desk: Desk
    clock: Clock
    faucet: Faucet | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, checked and read.

    :ivar path: the parts of the path that vary.
    :ivar limit: most rows wanted.
    :ivar body: the value that the body is, where there is one.
    :ivar caller: address of the connection; empty where it has none.
    """

    path: Mapping[str, str]
    limit: int
    body: Any = None
    caller: str = ""


class Unanswered(Exception):
    """A request is refused with an HTTP status.

    :ivar fault: what is told.
    :ivar wait_ms: after how long it is worth asking again; 0: that is not known.
    """

    def __init__(self, status: int, fault: Fault, wait_ms: int = 0) -> None:
        super().__init__(fault.sentence)
        self.status = status
        self.fault = fault
        self.wait_ms = wait_ms


def refuse(status: int, reason: Reason | Refusal, hint: str, detail: str = "") -> Unanswered:
    """The exception that refuses a request."""
    return Unanswered(status, fault(reason, hint, detail))


# --- the network ---


def state(source: Source, _asked: Asked) -> NetworkState:
    """The node and its network now."""
    machine, story, now_ms = source.node.machine, source.story, source.clock.now_ms()
    genesis, replica = machine.genesis, source.node.replica
    parameters, last = genesis.network, story.blocks[-1] if story.blocks else None
    slot = last.slot if last is not None else Slot(0)
    began_ms = parameters.genesis_time_ms + slot * parameters.slot_ms
    return NetworkState(
        node=source.name,
        account=source.node.account,
        network=machine.network,
        name=parameters.name,
        backend=parameters.backend,
        sequencing=_rule(genesis.sequencing),
        proving=_rule(genesis.proving),
        genesis_time_ms=parameters.genesis_time_ms,
        slot_ms=parameters.slot_ms,
        epoch_ticks=parameters.epoch_ticks,
        tick=machine.tick,
        slot=slot,
        slot_now=replica.slot,
        epoch=machine.epoch(Tick(max(1, machine.tick))),
        digest=machine.digest,
        block_age_ms=None if last is None else max(0, now_ms - began_ms),
        halted=replica.halted,
        peers=Count(len(source.network.peers())),
        jobs_opened=story.jobs_opened,
        jobs_settled=story.jobs_settled,
        jobs_void=story.jobs_void,
        jobs_open=len(machine.jobs),
        supply=machine.ledger.supply,
        pending_operations=len(replica.pending()),
    )


def _rule(choice: RuleChoice) -> RuleName:
    return RuleName(choice.name, tuple(f"{one.name}={one.value}" for one in choice.settings))


def blocks(source: Source, asked: Asked) -> LogBlocks:
    """The last final log blocks."""
    newest = reversed(source.story.blocks)
    return LogBlocks(tuple(one for one, _ in zip(newest, range(asked.limit), strict=False)))


def peers(source: Source, _asked: Asked) -> Peers:
    """Whom the node is connected to."""
    names = _names(source)
    return Peers(tuple(Peer(one, names.get(one)) for one in source.network.peers()))


def validators(source: Source, _asked: Asked) -> Validators:
    """Who orders the log."""
    machine, names = source.node.machine, _names(source)
    rows = [
        (Account(pocket.owner), Stake(amount))
        for pocket, amount in machine.ledger.pockets().items()
        if pocket.kind is PocketKind.LOG_STAKE
        and source.node.replica.is_validator(Account(pocket.owner))
    ]
    seen = tuple(source.story.blocks)
    return Validators(
        tick=machine.tick,
        stake=Stake(sum(stake for _, stake in rows)),
        blocks=len(seen),
        validators=tuple(
            ValidatorState(
                account,
                names.get(account),
                stake,
                sum(1 for block in seen if block.proposer == account),
            )
            for account, stake in sorted(rows, key=lambda row: (-row[1], names.get(row[0], "")))
        ),
    )


def _names(source: Source) -> dict[Account, str]:
    return {one.account: one.name for one in source.node.machine.genesis.accounts}


# --- jobs ---


def jobs(source: Source, asked: Asked) -> Jobs:
    """The last jobs."""
    return Jobs(source.node.machine.tick, source.story.jobs()[: asked.limit])


def tree(source: Source, asked: Asked) -> Tree:
    """The proof tree of a job, by its digits or its number."""
    wanted = asked.path["job"]
    for one in source.story.jobs():
        if wanted in (one.job.hex(), str(one.number)):
            found = source.story.tree(one.job)
            assert found is not None, "it was listed"
            return Tree(source.node.machine.tick, *found)
    raise refuse(404, Refusal.UNKNOWN_JOB, "GET /v1/jobs lists those that are remembered")


# --- accounts ---


def accounts(source: Source, asked: Asked) -> Accounts:
    """Accounts by stake and money."""
    ledger, names = source.node.machine.ledger, _names(source)
    held: dict[Account, int] = dict.fromkeys((*names, *source.story.accounts()), 0)
    for pocket, amount in ledger.pockets().items():
        if pocket.kind in ACCOUNT_POCKETS:
            owner = Account(pocket.owner)
            held[owner] = held.get(owner, 0) + amount
    ranked = sorted(held, key=lambda account: (-held[account], account))
    shown = tuple(_account_state(source, names, one) for one in ranked[: asked.limit])
    return Accounts(source.node.machine.tick, shown, len(ranked) - len(shown))


def account(source: Source, asked: Asked) -> AccountState:
    """One account."""
    return _account_state(source, _names(source), _find(source, asked))


def _find(source: Source, asked: Asked) -> Account:
    """The account of a path: its digits, its name in the genesis, or the node's own."""
    wanted, names = asked.path["account"], _names(source)
    if wanted == OWN:
        return source.node.account
    known = {**dict.fromkeys(names), **dict.fromkeys(source.story.accounts())}
    pockets = source.node.machine.ledger.pockets()
    known |= {Account(one.owner): None for one in pockets if one.kind in ACCOUNT_POCKETS}
    known[source.node.account] = None
    for one in known:
        if wanted in (one.hex(), names.get(one)):
            return one
    raise refuse(404, Refusal.UNKNOWN_ACCOUNT, "GET /v1/accounts lists those that are known")


def _account_state(source: Source, names: dict[Account, str], one: Account) -> AccountState:
    ledger, story = source.node.machine.ledger, source.story
    rollup = _rollup_state(source)
    inside = None if rollup is None else rollup.account(one)
    return AccountState(
        account=one,
        name=names.get(one),
        is_own=one == source.node.account,
        balance=ledger.holds(balance(one)),
        log_stake=Stake(ledger.holds(log_stake(one))),
        prover_stake=Stake(ledger.holds(prover_stake(one))),
        sequencer_stake=Stake(ledger.holds(sequencer_stake(one))),
        rollup_balance=None if inside is None else inside[0],
        rollup_nonce=None if inside is None else inside[1],
        income=story.income(one),
        reliability=story.reliability(one),
        totals=story.totals(one),
    )


def _rollup_state(source: Source) -> RollupState | None:
    return source.node.state_after(source.node.machine.settled_head)


def ledger(source: Source, asked: Asked) -> AccountLedger:
    """Gains and losses of an account with the operations behind them."""
    one = _find(source, asked)
    entries, left_out = source.story.entries(one, asked.limit)
    tick = source.node.machine.tick
    return AccountLedger(tick, one, source.story.totals(one), entries, left_out)


# --- operations ---


def pending(source: Source, asked: Asked) -> PendingOperations:
    """What waits here to be ordered."""
    waiting = source.node.replica.pending()
    shown = tuple(
        PendingOperation(
            operation_hash(one.operation),
            type(one.operation.payload).__name__,
            one.operation.sender,
            one.operation.valid_until,
        )
        for one in waiting[: asked.limit]
    )
    return PendingOperations(shown, len(waiting) - len(shown))


def operation(source: Source, asked: Asked) -> OperationFate:
    """What became of an operation, by its hash or how that begins."""
    wanted = asked.path["hash"]
    is_enough = len(wanted) >= HASH_DIGITS_MIN
    ordered = (one for one in source.story.fates() if one.hash.hex().startswith(wanted))
    found = (list(ordered) or _waiting(source, wanted)) if is_enough else []
    if len(found) != 1:
        hint = (
            f"give at least {HASH_DIGITS_MIN} digits, and more where several begin so; one that "
            "was never ordered, or long ago, is not known"
        )
        raise refuse(404, Refusal.UNKNOWN_OPERATION, hint)
    return found[0]


def _waiting(source: Source, digits: str) -> list[OperationFate]:
    """Operations whose hash begins so, and that are not ordered."""
    pending = (one.operation for one in source.node.replica.pending())
    named = ((operation_hash(one), one) for one in pending)
    return [
        OperationFate(name, type(one.payload).__name__, one.sender, Fate.PENDING, None, None)
        for name, one in named
        if name.hex().startswith(digits)
    ]


def submit(source: Source, asked: Asked) -> Queued:
    """Have a payload signed with the node's keys and ordered."""
    return _queue(source, asked.body)


def stake(source: Source, asked: Asked) -> Queued:
    """Turn free money of the node's account into its own stake."""
    order: StakeOrder = asked.body
    return _queue(source, AddStake(order.stake, order.amount, source.desk.vrf_key))


def unstake(source: Source, asked: Asked) -> Queued:
    """Take own stake out; it is paid after the exit delay."""
    return _queue(source, asked.body)


def delegate(source: Source, asked: Asked) -> Queued:
    """Lend free money to another account as its log or prover stake."""
    return _queue(source, asked.body)


def undelegate(source: Source, asked: Asked) -> Queued:
    """Take back what was lent; it is paid after the exit delay."""
    return _queue(source, asked.body)


def pay(source: Source, asked: Asked) -> Queued:
    """Send free money on the log to another account, which may be new."""
    return _queue(source, asked.body)


def _queue(source: Source, payload: Payload) -> Queued:
    _require_orderable(source, payload)
    source.desk.submit(payload)
    return Queued(None, "/v1/operations/pending")


def _require_orderable(source: Source, payload: Payload) -> None:
    """Refuse what the final state speaks against, and what there is no room for."""
    machine, account = source.node.machine, source.node.account
    handled = (*EVIDENCE, *STAKING, *machine.sequencing.handles, *machine.proving.handles)
    if not isinstance(payload, handled):
        kinds = ", ".join(sorted({one.__name__ for one in handled}))
        raise refuse(409, Reason.UNHANDLED_KIND, f"this network's rules handle {kinds}")
    until = Tick(machine.tick + machine.genesis.network.epoch_ticks)
    operation = Operation(account, Nonce(0), until, payload)
    objection = machine.objection(operation, Tick(machine.tick + 1))
    hint = "GET /v1/accounts/own shows what the account holds"
    if objection is not None:
        raise refuse(409, objection, hint)
    if isinstance(payload, STAKING):
        _check_staking(source, payload, hint)
    if len(_own_pending(source)) >= PENDING_PER_SENDER_MAX:
        raise refuse(429, Refusal.QUEUE_FULL, "wait until the log orders some of it")
    _require_room(source)


def _check_staking(source: Source, payload: StakingPayload, hint: str) -> None:
    """Refuse what the final state speaks against, with the fee taken into account."""
    machine, account = source.node.machine, source.node.account
    try:
        machine.staking.check(machine.ledger, account, payload)
    except Refused as refusal:
        raise refuse(409, refusal.reason, hint, refusal.detail) from None
    fee, held = machine.genesis.network.operation_fee, machine.ledger.holds(balance(account))
    if held < fee + (payload.amount if isinstance(payload, Pay | AddStake | Delegate) else 0):
        detail = f"it has {held}, and the operation's fee is {fee}"
        raise refuse(409, Reason.BALANCE_TOO_LOW, hint, detail)


def fund(source: Source, asked: Asked) -> Granted:
    """Give test money to the account that asks, where this node has a faucet."""
    faucet, order = source.faucet, asked.body
    if faucet is None:
        raise refuse(404, Refusal.NO_FAUCET, "ask the faucet that the join bundle names")
    machine, now_ms = source.node.machine, source.clock.now_ms()
    ask = Ask(order.account, group(asked.caller), order.tick)
    objection = faucet.objection(ask, machine.tick, now_ms)
    if objection is not None:
        status = 429 if objection.wait_ms else 409
        found = fault(objection.refusal, objection.hint)
        raise Unanswered(status, found, objection.wait_ms)
    if not is_signed(machine.network, order):
        hint = f"sign with the account's key for the network {machine.network.hex()}"
        raise refuse(403, Refusal.WRONG_PROOF, hint)
    payload = Pay(order.account, faucet.amount)
    if _free(source) < faucet.amount + machine.genesis.network.operation_fee:
        hint = f"tell its owner to pay {source.node.account.hex()}, or ask somebody else"
        raise refuse(503, Refusal.FAUCET_EMPTY, hint)
    _require_orderable(source, payload)
    try:
        faucet.give(ask, machine.tick, now_ms)
    except OSError as failure:
        hint = "tell its owner to look at the disk"
        raise refuse(503, Refusal.FAUCET_BROKEN, hint, str(failure.strerror)) from None
    source.desk.submit(payload)
    return Granted(source.node.account, order.account, faucet.amount, "/v1/events")


def _free(source: Source) -> int:
    """What the node's account holds, without what it has said that it pays."""
    machine = source.node.machine
    payments = [one for one in _own_pending(source) if isinstance(one, Pay)]
    promised = sum(one.amount + machine.genesis.network.operation_fee for one in payments)
    return machine.ledger.holds(balance(source.node.account)) - promised


def _own_pending(source: Source) -> tuple[Payload, ...]:
    """What the node's account submitted and the log has not ordered."""
    pending = (one.operation for one in source.node.replica.pending())
    own = (one.payload for one in pending if one.sender == source.node.account)
    return (*own, *source.desk.waiting)


def transfer(source: Source, asked: Asked) -> Queued:
    """Send money inside the rollup from the node's account."""
    order: TransferOrder = asked.body
    rollup = _rollup_state(source)
    if rollup is None:
        raise refuse(503, Refusal.NO_ROLLUP_STATE, "wait until the node has fetched the blocks")
    nonce = source.desk.next_nonce(rollup)
    found = rollup.account(source.node.account)
    if nonce is None or found is None:
        hint = "have somebody send money to the account inside the rollup first"
        raise refuse(409, Refusal.NO_ROLLUP_ACCOUNT, hint)
    if order.fee > FEE_MAX:
        raise refuse(409, Reason.FEE_TOO_HIGH, f"offer at most {FEE_MAX}")
    if order.amount + order.fee > found[0]:
        raise refuse(409, Reason.CANNOT_PAY, f"the account holds {found[0]} inside the rollup")
    if order.nonce is not None and order.nonce < found[1]:
        raise refuse(409, Reason.STALE_NONCE, f"leave the nonce out, or give {nonce}")
    _require_room(source)
    chosen = nonce if order.nonce is None else order.nonce
    source.desk.transfer(order, chosen)
    return Queued(chosen, f"/v1/accounts/{OWN}")


def _require_room(source: Source) -> None:
    if source.desk.is_full:
        raise refuse(429, Refusal.QUEUE_FULL, "wait for a slot, and try again")
