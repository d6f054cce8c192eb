"""What the pure core costs, in processor time: the unit is a bare Ed25519 verification.

An operation is *checked and applied* as a node does it: the canonical bytes of the operation, their
digest, the signature, then the machine. The operations are a story told by
:mod:`protocol.testing`: eight provers enlist, three sequencers compete for each job of 32 leaves,
and of the proof records at most as many share a log block as a testnet allows. Log blocks without
operations are applied too.

The messages for Streamlet are those that an observer hears of four validators in lock step; it
checks each signature before, as its owner has to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocol import vrf
from protocol.codec import decode, encode
from protocol.machine import FinalBlock
from protocol.messages import OPERATION_BYTES_MAX, SignedOperation, operation_is_signed
from protocol.signing import Domain, digest
from protocol.testing.cast import SEQUENCERS, actor
from protocol.testing.moves import build, commit, due_records, everybody_enlists
from protocol.testing.scenario import QUICK_ELECTED, QUICK_FERNET, Scenario
from protocol.testing.world import World
from protocol.types import Count, NetworkId, Tick
from scripts.benchmarks.figures import (
    Aim,
    Figure,
    Section,
    Subject,
    alternate,
    compare_speeds,
    processor_s,
)
from scripts.benchmarks.lockstep import Transcript, transcribe

ROUNDS: Final = 15

JOBS: Final = 8
EPOCH_TICKS: Final = 128
TREE_HEIGHT: Final = 5
RECORDS_PER_BLOCK: Final = 8

VALIDATORS: Final = 4
SLOTS: Final = 60
LOTS: Final = 80
CODEC_TIMES: Final = 10

VERIFICATION: Final = "bare Ed25519 verification"
APPLIED: Final = "operation checked and applied"
MACHINE: Final = "operation applied, unchecked"
STREAMLET: Final = "Streamlet message checked and taken"
VRF_PROVE: Final = "VRF proof made"
VRF_VERIFY: Final = "VRF proof verified"
ENCODE: Final = "operation encoded"
DECODE: Final = "operation decoded"
PACK: Final = "the same packed by msgpack alone"
UNPACK: Final = "the same unpacked by msgpack alone"


def measure(rounds: int = ROUNDS) -> Section:
    """Measure everything in turns."""
    story = _Story()
    operations, count = story.operations, len(story.operations)
    transcript = transcribe(VALIDATORS, SLOTS)
    messages, coded = len(transcript.heard), count * CODEC_TIMES
    subjects = {
        VERIFICATION: _bare(operations, story.network),
        APPLIED: story.applied,
        MACHINE: story.applied_unchecked,
        STREAMLET: _observed(transcript),
        **_lots(),
        **_codec(operations),
    }
    taken = alternate(subjects, rounds)

    def per_verification(name: str, done: int, aim: Aim | None = None) -> Figure:
        return compare_speeds(name, VERIFICATION, (done, count), taken, aim)

    mix = Counter(type(one.operation.payload).__name__ for one in operations)
    return Section(
        name="protocol",
        notes=(
            f"{count} operations in {len(story.log)} log blocks: "
            + ", ".join(f"{number} {kind}" for kind, number in mix.most_common()),
            f"{messages} messages of {VALIDATORS} validators in {SLOTS} slots",
            "processor time of one process",
        ),
        figures=(
            per_verification(APPLIED, count, Aim(0.6, is_least=True)),
            per_verification(MACHINE, count),
            per_verification(STREAMLET, messages),
            per_verification(VRF_PROVE, LOTS),
            per_verification(VRF_VERIFY, LOTS),
            compare_speeds(ENCODE, PACK, (coded, coded), taken),
            compare_speeds(DECODE, UNPACK, (coded, coded), taken),
        ),
    )


# --- operations ---


class _Story:
    """A log of jobs one after the other, each until it is paid."""

    def __init__(self) -> None:
        self.scenario = Scenario(
            sequencing_parameters=replace(
                QUICK_FERNET, leaf_count_max=Count(1 << TREE_HEIGHT), deadline_ticks=Tick(200)
            ),
            proving_parameters=replace(
                QUICK_ELECTED, leaf_window_ticks=Tick(40), merge_window_ticks=Tick(40)
            ),
            cards=(1,) * 8,
            epoch_ticks=EPOCH_TICKS,
            balance=1_000_000,
            rollup=1_000_000,
        )
        world = World(self.scenario)
        everybody_enlists(world)
        for _ in range(JOBS):
            self._prove_a_block(world)
        self.network = world.machine.network
        self.log = world.log
        self.operations = [one for block in world.log for one in block.operations]
        self._digest = world.machine.digest

    def _prove_a_block(self, world: World) -> None:
        terms: dict[str, Any] = {"height": TREE_HEIGHT, "split": 5_000, "fee": 7, "how": "honest"}
        for rival in SEQUENCERS[1:]:
            commit(world, who=rival, **terms)
        build(world, who=SEQUENCERS[0], **terms)
        while world.machine.jobs:
            due = [(who, one) for who in self.scenario.provers for one in due_records(world, who)]
            for who, record in due[:RECORDS_PER_BLOCK]:
                world.say(who, record)
            world.step()

    def applied(self) -> float:
        """Check and apply everything."""
        return self._apply(_again(self.log), is_checked=True)

    def applied_unchecked(self) -> float:
        """Apply everything."""
        return self._apply(_again(self.log), is_checked=False)

    def _apply(self, log: Sequence[FinalBlock], *, is_checked: bool) -> float:
        machine = self.scenario.machine()

        def work() -> None:
            for block in log:
                if is_checked:
                    for signed in block.operations:
                        assert operation_is_signed(self.network, signed)
                machine.apply(block)

        taken_s = processor_s(work)
        assert machine.digest == self._digest, "the same log, the same state"
        return taken_s


def _again(log: Sequence[FinalBlock]) -> list[FinalBlock]:
    """The log as new values, so that nothing is remembered from before."""
    return [
        FinalBlock(block.moment, tuple(_decoded(encode(one)) for one in block.operations))
        for block in log
    ]


def _decoded(payload: bytes) -> SignedOperation:
    signed: SignedOperation = decode(SignedOperation, payload, size_max=OPERATION_BYTES_MAX)
    return signed


def _bare(operations: Sequence[SignedOperation], network: NetworkId) -> Subject:
    rows = [
        (
            one.operation.sender,
            one.signature,
            digest(Domain.OPERATION.value, network, encode(one.operation)),
        )
        for one in operations
    ]

    def work() -> None:
        for account, signature, signed in rows:
            Ed25519PublicKey.from_public_bytes(account).verify(signature, signed)

    return lambda: processor_s(work)


def _codec(operations: Sequence[SignedOperation]) -> dict[str, Subject]:
    values = [*operations] * CODEC_TIMES
    payloads = [encode(one) for one in values]
    plain = [msgpack.unpackb(one, use_list=False) for one in payloads]
    return {
        ENCODE: lambda: processor_s(lambda: [encode(one) for one in values]),
        PACK: lambda: processor_s(lambda: [msgpack.packb(one) for one in plain]),
        DECODE: lambda: processor_s(lambda: [_decoded(one) for one in payloads]),
        UNPACK: lambda: processor_s(lambda: [msgpack.unpackb(one) for one in payloads]),
    }


# --- lots and messages ---


def _lots() -> dict[str, Subject]:
    who = actor("a drawer of lots")
    alphas = [number.to_bytes(8, "big") for number in range(LOTS)]
    proofs = [vrf.prove(who.lot_seed, alpha)[0] for alpha in alphas]

    def prove() -> None:
        for alpha in alphas:
            vrf.prove(who.lot_seed, alpha)

    def verify() -> None:
        for alpha, proof in zip(alphas, proofs, strict=True):
            assert vrf.verify(who.vrf_key, alpha, proof) is not None

    return {VRF_PROVE: lambda: processor_s(prove), VRF_VERIFY: lambda: processor_s(verify)}


def _observed(transcript: Transcript) -> Subject:
    return lambda: processor_s(transcript.observe)
