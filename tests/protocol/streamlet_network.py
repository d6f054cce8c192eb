"""A network of engines under virtual time, with faults, for the tests of the ordering.

Everything follows from the arguments and one seeded generator. Nodes do what a replica must: they
hold their disk apart from their engine, write before they publish, and answer requests for blocks.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from protocol import signing, vrf
from protocol.beacon import log_alpha
from protocol.errors import Reason, Refused
from protocol.messages import (
    CertifiedBlock,
    LogBlock,
    LogHeader,
    SignedVote,
    Vote,
    block_hash,
    operations_digest,
    sign_header,
    sign_vote,
)
from protocol.ordering import (
    Anchor,
    Draft,
    Equivocation,
    Finalised,
    Identity,
    Missing,
    Notarised,
    Output,
    ProposalDue,
    Settings,
    SignedSlots,
    Streamlet,
    Validator,
    Validators,
    VoteDue,
    genesis,
)
from protocol.types import Account, BlockHash, Digest, NetworkId, Slot

NETWORK = NetworkId(b"n" * 32)
SLOT_MS = 1000
NO_OPERATIONS = operations_digest(())
Message = LogBlock | SignedVote | CertifiedBlock


def settings(epoch_ticks: int = 10) -> Settings:
    return Settings(NETWORK, 0, SLOT_MS, epoch_ticks)


def identity(number: int) -> Identity:
    seed = hashlib.sha256(b"signing %d" % number).digest()
    return Identity(signing.public_key(seed), seed, hashlib.sha256(b"lot %d" % number).digest())


def validators(identities: list[Identity], stakes: list[int]) -> Validators:
    return Validators(
        Validator(one.account, stake, vrf.public_key(one.vrf_seed))
        for one, stake in zip(identities, stakes, strict=True)
        if stake
    )


@contextmanager
def quick_cryptography() -> Iterator[None]:
    """Hashes in place of signatures and lots: unforgeable by anybody who does not try."""

    def public(seed: bytes) -> bytes:
        return hashlib.sha256(seed).digest()

    def output(key: bytes, alpha: bytes) -> bytes:
        return hashlib.sha512(key + alpha).digest()

    def proof(key: bytes, alpha: bytes) -> bytes:
        return output(alpha, key) + bytes(16)

    def verify_lot(key: bytes, alpha: bytes, shown: bytes) -> bytes | None:
        return output(key, alpha) if shown == proof(key, alpha) else None

    def signature(account: bytes, domain: signing.Domain, network: bytes, message: bytes) -> bytes:
        return hashlib.sha512(account + domain.value + network + message).digest()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vrf, "public_key", public)
        patch.setattr(vrf, "verify", verify_lot)
        patch.setattr(
            vrf, "prove", lambda s, alpha: (proof(public(s), alpha), output(public(s), alpha))
        )
        patch.setattr(signing, "public_key", public)
        patch.setattr(signing, "sign", lambda seed, *parts: signature(public(seed), *parts))
        patch.setattr(
            signing, "verify", lambda account, d, n, m, shown: shown == signature(account, d, n, m)
        )
        yield


def content(label: object) -> Digest:
    """A state digest, which the engine does not read: it tells blocks apart."""
    return Digest(hashlib.sha256(repr(label).encode()).digest())


def compose(who: Identity, draft: Draft, label: object = "") -> LogBlock:
    """A signed, empty block from a draft."""
    header = draft.header(NO_OPERATIONS, content(label))
    return LogBlock(sign_header(who.signing_seed, NETWORK, header), ())


def draft_on(
    who: Identity,
    parent: Anchor,
    slot: int,
    config: Settings,
    *,
    successors: Validators,
    epoch: int | None = None,
) -> Draft:
    """A draft on any parent, as somebody makes it who follows no rule but the form."""
    link = parent.link
    epoch = config.epoch_after(link.height) if epoch is None else epoch
    proof, _ = vrf.prove(who.vrf_seed, log_alpha(link.seed_of_child(config), Slot(slot)))
    return Draft(
        slot=Slot(slot),
        height=link.height + 1,
        parent=link.block,
        certificate=parent.certificate,
        proposer=who.account,
        vrf_proof=proof,
        settled=link.settles,
        epoch=epoch,
        successors=successors.digest,
    )


def vote_for(who: Identity, header: LogHeader) -> SignedVote:
    return sign_vote(who.signing_seed, NETWORK, Vote(who.account, header.slot, block_hash(header)))


@dataclass
class Disk:
    """What survives a crash."""

    certified: dict[BlockHash, CertifiedBlock] = field(default_factory=dict)
    proposal: int = 0
    vote: int = 0


class Node:
    """An honest validator: an engine, its disk, and the duties of a replica without a machine."""

    is_honest = True

    def __init__(self, network: Network, number: int) -> None:
        self.network = network
        self.number = number
        self.identity = network.identities[number]
        self.disk = Disk()
        self.finalised: list[Finalised] = []
        self.evidence: list[Equivocation] = []
        self.is_up = False
        self.called = 0
        self.engine = self._engine()

    def _engine(self) -> Streamlet:
        signed = SignedSlots(Slot(self.disk.proposal), Slot(self.disk.vote))
        first, second = self.network.sets[:2]
        return Streamlet(
            self.network.settings, first, self.identity, signed=signed, successors=second
        )

    def start(self) -> None:
        """Come up with nothing but the disk."""
        self.is_up = True
        self.engine = self._engine()
        self.finalised = []
        for certified in self.answer(0):
            self.receive(certified)
        self.tick()

    def stop(self) -> None:
        self.is_up = False

    def receive(self, message: Message) -> None:
        now = self.network.now
        try:
            if isinstance(message, LogBlock):
                self.handle(self.engine.on_block(message, now))
            elif isinstance(message, SignedVote):
                self.handle(self.engine.on_vote(message, now))
            else:
                self.certify(message)
        except Refused as refusal:
            if refusal.reason is Reason.LATER_EPOCH:
                self.network.ask(self)
            self.network.refusals.append((self.number, refusal))
        self.tick()

    def certify(self, certified: CertifiedBlock) -> None:
        """As a replica does: the first block of an epoch goes to the engine that it ends, too."""
        header, engine = certified.block.header, self.engine
        if header.height > engine.final_height:
            self.handle(engine.on_certified(certified, self.network.now))
            if self.engine is not engine and header.epoch == self.engine.epoch:
                self.certify(certified)

    def tick(self) -> None:
        self.handle(self.engine.on_time(self.network.now))
        if self.is_honest and self.called == self.engine.slot_at(self.network.now):
            self.vote(
                self.called
            )  # as after each body that arrives: the engine must refuse a second
        self.network.wake(self, self.engine.next_wake_ms)

    def handle(self, outputs: tuple[Output, ...]) -> None:
        for output in outputs:
            self.network.observe(self, output)
            if isinstance(output, Notarised):
                self.disk.certified[output.link.block] = output.certified
            elif isinstance(output, Finalised):
                self.finalised.append(output)
            elif isinstance(output, Equivocation):
                self.evidence.append(output)
            elif isinstance(output, Missing):
                self.network.ask(self)
            elif isinstance(output, ProposalDue):
                self.propose(output.slot)
            elif isinstance(output, VoteDue):
                if self.engine.missing():
                    self.network.ask(self)
                self.called = output.slot
                self.vote(output.slot)
        if self.engine.is_over:
            self.engine = self.engine.next(self.network.sets[self.engine.epoch + 2])

    def propose(self, slot: Slot) -> None:
        draft = self.engine.draft(slot)
        assert draft is not None
        block = compose(self.identity, draft, (self.number, slot))
        self.disk.proposal = slot
        self.handle(self.engine.on_block(block, self.network.now))
        self.network.broadcast(self, block)

    def vote(self, slot: Slot) -> None:
        ballot = self.engine.ballot(slot)
        if not ballot:
            return
        vote = vote_for(self.identity, ballot[0].block.header)
        assert slot > self.disk.vote, "the engine allows a second vote"
        self.disk.vote = slot
        self.handle(self.engine.on_vote(vote, self.network.now))
        self.network.broadcast(self, vote)

    def answer(self, above: int) -> list[CertifiedBlock]:
        """Certified blocks above a height, parents first; siblings in the order of their names."""
        found = [one for one in self.disk.certified.values() if one.block.header.height > above]

        def place(one: CertifiedBlock) -> tuple[int, BlockHash]:
            return one.block.header.height, block_hash(one.block.header)

        return sorted(found, key=place)


class Twister(Node):
    """A hostile validator: proposes several blocks on any notarised block, votes for everything,
    tells each peer another story, early or late, and never answers."""

    is_honest = False

    def __init__(self, network: Network, number: int) -> None:
        super().__init__(network, number)
        self.known: list[Anchor] = [genesis(network.settings)]

    def handle(self, outputs: tuple[Output, ...]) -> None:
        for output in outputs:
            if isinstance(output, Notarised):
                self.known.append(Anchor(output.link, output.certificate))
        super().handle(outputs)

    def propose(self, slot: Slot) -> None:
        random_ = self.network.random
        parents = [*self.known[-4:], self.engine.tip]
        for number in range(random_.randint(0, 3)):
            parent = random_.choice(parents)
            if parent.link.slot < slot:
                epoch = max(0, self.engine.epoch - random_.choice((0, 0, 1, -1)))
                draft = draft_on(
                    self.identity,
                    parent,
                    slot,
                    self.network.settings,
                    successors=self.network.sets[epoch + 1],
                    epoch=epoch,
                )
                block = compose(self.identity, draft, (self.number, slot, number))
                self.network.tell_some(self, block)
                self.network.tell_some(self, vote_for(self.identity, block.header))

    def receive(self, message: Message) -> None:
        super().receive(message)
        if isinstance(message, LogBlock):
            self.network.tell_some(self, vote_for(self.identity, message.header))

    def vote(self, slot: Slot) -> None:
        self.propose(slot)

    def answer(self, above: int) -> list[CertifiedBlock]:
        return []


@dataclass
class Faults:
    """How bad the network is."""

    delay_ms: tuple[int, int] = (10, 90)
    drop: float = 0.0
    duplicate: float = 0.0


class Network:
    """Nodes, messages under way, and the time."""

    def __init__(
        self,
        stakes: list[int],
        seed: int = 0,
        *,
        hostile: tuple[int, ...] = (),
        faults: Faults | None = None,
        epoch_ticks: int = 10,
        observe: Callable[[Node, Output | Message], None] = lambda node, output: None,
        changes: list[list[int]] | None = None,
    ) -> None:
        """:param changes: stakes in each epoch after the first, 0 for who is not in the set."""
        self.random = random.Random(seed)
        self.settings = settings(epoch_ticks)
        self.identities = [identity(number) for number in range(len(stakes))]
        self.validators = validators(self.identities, stakes)
        later = [validators(self.identities, row) for row in changes or ()]
        self.sets = [self.validators, *later, *[(*later, self.validators)[-1]] * 60]
        if not later:
            self.sets = [self.validators] * 60
        self.faults = Faults() if faults is None else faults
        self.observe = observe
        self.now = 0
        self.refusals: list[tuple[int, Refused]] = []
        self.sent: list[Message] = []
        self.groups: list[int] = [0] * len(stakes)
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._wakes: dict[int, int] = {}
        self.nodes = [
            Twister(self, number) if number in hostile else Node(self, number)
            for number in range(len(stakes))
        ]

    @property
    def honest(self) -> list[Node]:
        return [node for node in self.nodes if node.is_honest]

    def start(self) -> None:
        for node in self.nodes:
            node.start()

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (max(time_ms, self.now), self._count, action))

    def run_until(self, time_ms: int) -> None:
        while self._queue and self._queue[0][0] <= time_ms:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = time_ms

    def wake(self, node: Node, time_ms: int) -> None:
        if self._wakes.get(node.number) != time_ms:
            self._wakes[node.number] = time_ms
            self.at(time_ms, lambda: self._wake(node, time_ms))

    def _wake(self, node: Node, time_ms: int) -> None:
        if node.is_up and self._wakes.get(node.number) == time_ms:
            node.tick()

    def broadcast(self, sender: Node, message: Message) -> None:
        self.sent.append(message)
        self.observe(sender, message)
        for node in self.nodes:
            if node is not sender:
                self.send(sender, node, message)

    def tell_some(self, sender: Node, message: Message) -> None:
        self.sent.append(message)
        late = self.random.choice((0, 0, 0, 300, 600, 1500, 4000))
        for node in self.nodes:
            if node is not sender and self.random.random() < 0.6:
                self.send(sender, node, message, late)

    def send(self, sender: Node, node: Node, message: Message, late_ms: int = 0) -> None:
        copies = 2 if self.random.random() < self.faults.duplicate else 1
        for _ in range(copies):
            delay = self.random.randint(*self.faults.delay_ms) + late_ms
            if self.random.random() >= self.faults.drop:
                self.at(self.now + delay, lambda: self._deliver(sender, node, message))

    def _deliver(self, sender: Node, node: Node, message: Message) -> None:
        if node.is_up and self.groups[sender.number] == self.groups[node.number]:
            node.receive(message)

    def ask(self, node: Node) -> None:
        """Ask one peer for all certified blocks above one's final height."""
        peer = self.random.choice([one for one in self.nodes if one is not node])
        above = node.engine.final_height
        self.at(self.now + 20, lambda: self._answer(node, peer, above))

    def _answer(self, node: Node, peer: Node, above: int) -> None:
        if peer.is_up and self.groups[node.number] == self.groups[peer.number]:
            for certified in peer.answer(above):
                self.at(self.now + 20, lambda one=certified: self._deliver(peer, node, one))


def name_of(account: Account, network: Network) -> str:
    """A to G, by number."""
    accounts = [one.account for one in network.identities]
    return chr(ord("A") + accounts.index(account))
