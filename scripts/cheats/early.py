"""``early``: a validator that orders what must not be ordered yet, or not at all.

While a job is open, each of its proposals carries one operation too many: a record that waits for
its minimal time, if there is one, else in turn a record to which its sender, this node, has no
right, and an operation of its own that has expired.

Breaks: a proposer orders only what is includable at that height. Met by ``TOO_EARLY`` or
``EXPIRED``: no honest validator votes for such a proposal, each says why, and the slot goes to
nobody. Costs: slots, as a proposer that is down would.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from protocol.codec import decode, encode
from protocol.happenings import Effect, Happening, Publish
from protocol.messages import (
    LOG_BLOCK_BYTES_MAX,
    Intent,
    LogBlock,
    LogHeader,
    Operation,
    Payload,
    ProofRecord,
    SignedOperation,
    operations_digest,
    sign_header,
    sign_operation,
)
from protocol.ports import Topic
from protocol.replica import Replica
from protocol.types import BodyHash, Claim, Count, Nonce, Tick, TreeIndex
from scripts.cheats.cheat import Cheat, Role, Scene


class Early(Cheat):
    """The cheat of this module."""

    name: ClassVar[str] = "early"
    role: ClassVar[Role] = Role.VALIDATOR
    costs_votes: ClassVar[bool] = True

    def replica(self, replica: Replica) -> Replica:
        """The same replica with worse proposals."""
        return _Hasty(self, replica)


class _Hasty(Replica):
    def __init__(self, cheat: Early, honest: Replica) -> None:
        super().__init__(honest.machine, honest.identity, honest.engine.signed)
        self._cheat = cheat
        self._scene: Scene = cheat.scene
        self._count = 0

    def step(self, happening: Happening) -> tuple[Effect, ...]:
        return tuple(self._worse(effect) for effect in super().step(happening))

    def _worse(self, effect: Effect) -> Effect:
        if not isinstance(effect, Publish) or effect.topic is not Topic.LOG_PROPOSALS:
            return effect
        block: LogBlock = decode(LogBlock, effect.payload, size_max=LOG_BLOCK_BYTES_MAX)
        if not self.machine.jobs:
            return effect
        wrong = self._early_record(block) or self._own_wrong(block.header)
        operations = (*block.operations, wrong)
        header = replace(block.header, operations=operations_digest(operations))
        signed = sign_header(self._scene.identity.signing_seed, self.machine.network, header)
        payload = type(wrong.operation.payload).__name__
        self._cheat.tell(f"orders a {payload} too early", slot=header.slot, payload=payload)
        return Publish(effect.topic, encode(LogBlock(signed, operations)))

    def _early_record(self, block: LogBlock) -> SignedOperation | None:
        """A record of somebody that is not admissible yet."""
        for signed in self.pending():
            operation = signed.operation
            if isinstance(operation.payload, ProofRecord) and signed not in block.operations:
                earliest = self.machine.earliest(operation, ())
                if earliest is not None and earliest > block.header.height:
                    return signed
        return None

    def _own_wrong(self, header: LogHeader) -> SignedOperation:
        self._count += 1
        if self._count % 2:
            job = next(iter(self.machine.jobs))
            nothing = Claim(bytes(32)), None, BodyHash(bytes(32))
            record = ProofRecord(job, TreeIndex(Count(0), Count(0)), *nothing)
            return self._signed(record, Tick(header.height))
        return self._signed(Intent(Count(1), header.height), Tick(header.height - 1))

    def _signed(self, payload: Payload, until: Tick) -> SignedOperation:
        identity = self._scene.identity
        operation = Operation(identity.account, Nonce(self._count), until, payload)
        return sign_operation(identity.signing_seed, self.machine.network, operation)
