"""One story: a machine that is fed blocks, its books, and the judges who watch.

A world runs every block through four machines. The one under test; its *twin*, which gets a
worthless operation of the same sender in place of each refused one, so that a refused operation is
seen to change nothing but its fee; when :meth:`World.replay` is called, a fresh one that gets
the same log again from its canonical bytes; and, when :meth:`World.relay` is called, a chain of
them that hand on their saved state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from protocol.beacon import advance, genesis_beacon
from protocol.codec import decode, encode
from protocol.events import Event, OperationAccepted, OperationRefused, RoundSkipped
from protocol.ledger import Cause, Moved
from protocol.machine import Applied, FinalBlock, Machine
from protocol.messages import (
    OPERATION_BYTES_MAX,
    BlockContent,
    Operation,
    Payload,
    SignedOperation,
    SignedVote,
    Vote,
    VoteEvidence,
    sign_operation,
)
from protocol.proving.bonded import Bonded
from protocol.proving.elected import Elected
from protocol.rules import CommitDuty, Moment
from protocol.sequencing.fernet import Fernet
from protocol.signing import digest
from protocol.testing.board import Board
from protocol.testing.cast import SEQUENCERS, Actor, actor
from protocol.testing.oracle_bonded import BondedOracle
from protocol.testing.oracle_elected import ElectedOracle
from protocol.testing.oracle_elected_pay import ElectedPayOracle
from protocol.testing.oracle_fernet import FernetMoney, FernetRounds
from protocol.testing.oracle_sets import SetsOracle
from protocol.testing.oracle_staking import StakingOracle
from protocol.testing.oracles import GENERAL, Oracle, Page, must
from protocol.testing.scenario import Scenario
from protocol.types import (
    Account,
    BlockHash,
    Digest,
    Nonce,
    Salt,
    Signature,
    Slot,
    Tick,
    VrfOutput,
)

D = TypeVar("D")

_VOTE: Final = SignedVote(
    Vote(Account(bytes(32)), Slot(0), BlockHash(bytes(32))), Signature(bytes(64))
)
WORTHLESS: Final = VoteEvidence(_VOTE, _VOTE)
"""Evidence of nothing: refused under every rule."""

_OUT_OF_PLACE: Final = ("EXPIRED", "VALID_TOO_LONG", "DUPLICATE")

STANDS: Final = "A rule takes whatever is ordered, and never fails."
NOTHING_CHANGES: Final = "A refused operation changes nothing but its sender's fee."
OWN_INVARIANTS: Final = "The invariants that the rules state themselves hold."
EQUAL_DIGESTS: Final = "Equal logs give equal digests, in a machine that begins anew."
HANDED_ON: Final = "A machine that begins with a saved state goes on like the one that saved it."
"""Properties that a world judges itself; those of a judge are its class's first paragraph."""


def property_of(oracle: type[Oracle]) -> str:
    """What a judge judges, in a sentence: the first paragraph of its docstring, or its name."""
    return " ".join((oracle.__doc__ or oracle.__name__).strip().split("\n\n")[0].split())


@dataclass(slots=True)
class Turn:
    """A move of a story, and what came of it.

    :ivar blocks: the ticks of the blocks that it took, each with its events.
    """

    name: str
    arguments: Mapping[str, Any]
    blocks: list[tuple[Tick, tuple[Event, ...]]] = field(default_factory=list)


def oracles_for(scenario: Scenario) -> tuple[type[Oracle], ...]:
    """The general judges, and those of the rules that the scenario runs."""
    fernet = (FernetRounds, FernetMoney) if issubclass(scenario.sequencing, Fernet) else ()
    elected = (ElectedOracle, ElectedPayOracle) if issubclass(scenario.proving, Elected) else ()
    bonded = (BondedOracle,) if issubclass(scenario.proving, Bonded) else ()
    return (*GENERAL, StakingOracle, SetsOracle, *fernet, *elected, *bonded)


class World:
    """A machine and everything around it.

    :ivar machine: the machine under test.
    :ivar board: what anybody knows of its jobs.
    :ivar waiting: operations that the next block will order.
    :ivar log: blocks so far.
    :ivar digests: the machine's digest after each of them.
    :ivar accepted: operations that took effect, in order.
    :ivar secrets: content and salt of each commitment by its digest.
    :ivar last_duty: the commitment that was called for last.
    :ivar asleep: validators that do not vote.
    :ivar settled: height up to which the log is final for its proposers.
    :ivar is_sound: no judge found fault so far; a story that broke a property is over.
    :ivar turns: the moves so far.
    :ivar judging: the property that is looked at; once a story broke one, that one.
    :ivar judged: how often each property was looked at.
    :ivar marks: what was reached: kinds accepted, reasons of refusal, events, causes of moves.
    """

    def __init__(
        self, scenario: Scenario | None = None, oracles: Iterable[type[Oracle]] = ()
    ) -> None:
        """Begin at the genesis of ``scenario``, under the judges that fit it and further ones."""
        self.scenario = scenario = scenario or Scenario()
        self.machine, self._twin = scenario.machine(), scenario.machine()
        self.oracles = [one(scenario) for one in (*oracles_for(scenario), *oracles)]
        self.board = Board()
        self.waiting: list[SignedOperation] = []
        self.log: list[FinalBlock] = []
        self.digests: list[Digest] = []
        self.settled = Tick(0)
        self.marks: set[str] = set()
        self.accepted: list[Operation] = []
        self.secrets: dict[Digest, tuple[BlockContent, Salt]] = {}
        self.last_duty: CommitDuty | None = None
        self._beacon = genesis_beacon(self.machine.network)
        self._nonce = 0
        self.asleep: set[str] = set()
        self.is_sound = True
        self.turns: list[Turn] = []
        self.judging = ""
        self.judged: Counter[str] = Counter()

    @property
    def tick(self) -> Tick:
        """Height of the last block."""
        return self.machine.tick

    def duties(self, who: str, kind: type[D]) -> Iterator[D]:
        """What the sequencing rule calls on the actor to do, of one kind."""
        machine, account = self.machine, actor(who).account
        now = Tick(self.tick + 1)
        called = machine.sequencing.duties(account, machine.epoch_seed, now)
        return (duty for duty in called if isinstance(duty, kind))

    # --- saying ---

    def say(self, who: str, payload: Payload, valid_for: int = 8) -> SignedOperation:
        """Sign an operation that is valid for so many ticks more; the next block orders it."""
        sender, self._nonce = actor(who), self._nonce + 1
        until = Tick(max(0, self.tick + valid_for))
        operation = Operation(sender.account, Nonce(self._nonce), until, payload)
        signed = sign_operation(sender.seed, self.machine.network, operation)
        self.waiting.append(signed)
        return signed

    # --- time ---

    def step(self, lag: int = 1, proposer: str = SEQUENCERS[0]) -> Applied:
        """Apply one block with all waiting operations.

        :param lag: how many blocks below this one its ancestors finalise, at least 1; what was
            final stays final, so a greater lag makes finality stand still.
        """
        self.is_sound = False
        block = self._block(lag, actor(proposer))
        for oracle in self.oracles:
            oracle.foresee(self.machine, block)
        self.look_at(STANDS)
        applied = self.machine.apply(block)
        self.log.append(block)
        self.digests.append(applied.digest)
        for turn in self.turns[-1:]:
            turn.blocks.append((applied.tick, applied.events))
        for event in applied.events:
            self.board.observe(applied.tick, event)
        self._note(block, applied.events)
        for oracle in self.oracles:
            self.look_at(property_of(type(oracle)))
            oracle.judge(Page(block, applied.events, self.board), self.machine)
        self.look_at(NOTHING_CHANGES)
        self._check_twin(block, applied.events)
        self.look_at(OWN_INVARIANTS)
        broken = list(self.machine.invariants())
        must(not broken, "; ".join(broken))
        self.is_sound = True
        return applied

    def wait(self, ticks: int, lag: int = 1) -> tuple[Event, ...]:
        """Apply blocks; returns all their events."""
        return tuple(event for _ in range(ticks) for event in self.step(lag).events)

    def _block(self, lag: int, proposer: Actor) -> FinalBlock:
        tick = Tick(self.tick + 1)
        slot = Slot(2 * tick)
        self.settled = Tick(max(self.settled, tick - max(lag, 1)))
        output = digest(b"story", proposer.account, slot.to_bytes(8, "big"))
        self._beacon = advance(self._beacon, slot, VrfOutput(output * 2))
        moment = Moment(tick, slot, self._beacon, self.settled, proposer.account, self._voters())
        operations, self.waiting = tuple(self.waiting), []
        return FinalBlock(moment, operations)

    def _voters(self) -> tuple[Account, ...]:
        """Who voted for the block before: everybody who may and is not asleep."""
        members = self.machine.sets.validators.members
        asleep = [actor(name).account for name in self.asleep]
        return tuple(one.account for one in members if one.account not in asleep)

    # --- judging ---

    def look_at(self, sentence: str) -> None:
        """Say which property is judged next."""
        self.judging = sentence
        self.judged[sentence] += 1

    def _note(self, block: FinalBlock, events: Sequence[Event]) -> None:
        operations = (signed.operation for signed in block.operations)
        for event in events:
            self.marks.add(f"event {type(event).__name__}")
            match event:
                case OperationAccepted():
                    operation = next(operations)
                    self.marks.add(f"accepted {type(operation.payload).__name__}")
                    self.accepted.append(operation)
                case OperationRefused(reason=reason):
                    next(operations)
                    self.marks.add(f"refused {reason}")
                case Moved(cause=cause):
                    self.marks.add(f"moved {cause.name}")
                case RoundSkipped(why=why):
                    self.marks.add(f"skipped {why.name}")

    def _check_twin(self, block: FinalBlock, events: Sequence[Event]) -> None:
        """The twin heard worthless words where the machine heard refused ones."""
        outcomes = [e for e in events if isinstance(e, OperationAccepted | OperationRefused)]
        heard = [
            _harmless(signed, outcome)
            for signed, outcome in zip(block.operations, outcomes, strict=True)
            if not (isinstance(outcome, OperationRefused) and outcome.reason in _OUT_OF_PLACE)
        ]
        applied = self._twin.apply(FinalBlock(block.moment, tuple(heard)))
        ours, its = _without_refusals(events), _without_refusals(applied.events)
        must(ours == its, "a refused operation changed the story", self.tick)
        if len(heard) < len(outcomes) or len(ours) < len(events):
            same = _state(self.machine) == _state(self._twin)
            must(same, "a refused operation changed the state", self.tick)

    def finish(self) -> None:
        """End the story: a last block, then the whole log in a fresh machine and in a relay."""
        self.step()
        self.is_sound = False
        self.replay()
        self.relay()
        self.is_sound = True

    def replay(self) -> Machine:
        """A fresh machine that was fed the whole log from its bytes; equal logs, equal digests."""
        self.look_at(EQUAL_DIGESTS)
        machine = self.scenario.machine()
        for block, expected in zip(self.log, self.digests, strict=True):
            operations = tuple(_again(one) for one in block.operations)
            applied = machine.apply(FinalBlock(block.moment, operations))
            must(applied.digest == expected, "the same log gave another digest", applied.tick)
        must(machine.snapshot() == self.machine.snapshot(), "the end differs")
        return machine

    def relay(self) -> Machine:
        """The whole log again, handed on at every border of an epoch to a fresh machine that knows
        nothing but what the one before saved: the same digests, and so the same events, to the end.
        """
        self.look_at(HANDED_ON)
        machine = self.scenario.machine()
        for block, expected in zip(self.log, self.digests, strict=True):
            applied = machine.apply(block)
            must(applied.digest == expected, "a relay gave another digest", applied.tick)
            if machine.is_at_border:
                saved, machine = machine.save(), self.scenario.machine()
                machine.restore(saved)
                must(machine.save() == saved, "what was restored is saved as something else")
                must(machine.digest == expected, "what was restored has another digest")
        must(_state(machine) == _state(self.machine), "what was handed on is another state")
        return machine


def _harmless(signed: SignedOperation, outcome: Event) -> SignedOperation:
    if isinstance(outcome, OperationAccepted):
        return signed
    return replace(signed, operation=replace(signed.operation, payload=WORTHLESS))


def _again(signed: SignedOperation) -> SignedOperation:
    read: SignedOperation = decode(SignedOperation, encode(signed), size_max=OPERATION_BYTES_MAX)
    return read


def _without_refusals(events: Sequence[Event]) -> list[Event]:
    return [
        replace(event, operation=None)
        if isinstance(event, Moved) and event.cause is Cause.OPERATION_FEE
        else event
        for event in events
        if not isinstance(event, OperationRefused)
    ]


def _state(machine: Machine) -> object:
    """Everything but the operations seen."""
    rules = (machine.sequencing.snapshot(), machine.proving.snapshot())
    settled = (machine.settled_head, machine.settled_root)
    seeds = (machine.beacon, machine.epoch_seed)
    stakes = (machine.staking.snapshot(), machine.sets.snapshot())
    return (machine.tick, machine.ledger.pockets(), machine.jobs, settled, seeds, stakes, rules)
