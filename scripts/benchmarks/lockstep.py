"""What an observer hears of validators that are all honest and all prompt: bare engines, each of
which hears everything at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from protocol.messages import (
    LogBlock,
    SignedVote,
    Vote,
    header_is_signed,
    operations_digest,
    sign_header,
    sign_vote,
    vote_is_signed,
)
from protocol.ordering.outputs import Output, ProposalDue, VoteDue
from protocol.ordering.settings import Settings
from protocol.ordering.streamlet import Streamlet
from protocol.ordering.validators import Identity, Validator, Validators
from protocol.testing.cast import actor
from protocol.types import Digest, Milliseconds, NetworkId, Slot, Stake

Heard: TypeAlias = tuple[LogBlock | SignedVote, Milliseconds]
"""A message, and when it came."""

SLOT_MS: Final = Milliseconds(1_000)
STEP_MS: Final = 50
EPOCH_TICKS: Final = 128

_NETWORK: Final = NetworkId(bytes(range(32, 64)))


@dataclass(frozen=True, slots=True)
class Transcript:
    """All messages of a network without faults.

    :ivar final_height: how far an observer gets by them.
    """

    settings: Settings
    validators: Validators
    heard: tuple[Heard, ...]
    final_height: int

    def observe(self) -> None:
        """Check each message's signature, as the owner of an engine has to, and take it.

        Raises AssertionError when the outcome is another than before.
        """
        engine = Streamlet(self.settings, self.validators)
        for message, now_ms in self.heard:
            if isinstance(message, LogBlock):
                assert header_is_signed(_NETWORK, message.signed)
                engine.on_block(message, now_ms)
            else:
                assert vote_is_signed(_NETWORK, message)
                engine.on_vote(message, now_ms)
        assert engine.final_height == self.final_height


def transcribe(count: int, slots: int) -> Transcript:
    """Let ``count`` validators of equal stake run for so many slots."""
    actors = [actor(f"validator {number}") for number in range(count)]
    identities = [Identity(one.account, one.seed, one.lot_seed) for one in actors]
    settings = Settings(_NETWORK, Milliseconds(0), SLOT_MS, EPOCH_TICKS)
    validators = Validators(Validator(one.account, Stake(1), one.vrf_key) for one in actors)
    engines = [Streamlet(settings, validators, one) for one in identities]
    observer, heard = Streamlet(settings, validators), list[Heard]()
    for time in range(SLOT_MS, (slots + 1) * SLOT_MS, STEP_MS):
        now_ms = Milliseconds(time)
        for engine, identity in zip(engines, identities, strict=True):
            for output in engine.on_time(now_ms):
                message = _said(engine, identity, output)
                if message is None:
                    continue
                heard.append((message, now_ms))
                for hearer in (*engines, observer):
                    if isinstance(message, LogBlock):
                        hearer.on_block(message, now_ms)
                    else:
                        hearer.on_vote(message, now_ms)
    assert observer.final_height > slots // 2, "honest and prompt validators make progress"
    return Transcript(settings, validators, tuple(heard), observer.final_height)


def _said(engine: Streamlet, who: Identity, output: Output) -> LogBlock | SignedVote | None:
    """What a validator answers: an empty proposal, a vote for the best one, or nothing."""
    if isinstance(output, ProposalDue) and (draft := engine.draft(output.slot)) is not None:
        header = draft.header(operations_digest(()), Digest(bytes(32)))
        return LogBlock(sign_header(who.signing_seed, _NETWORK, header), ())
    if isinstance(output, VoteDue) and (ballot := engine.ballot(output.slot)):
        vote = Vote(who.account, Slot(output.slot), ballot[0].link.block)
        return sign_vote(who.signing_seed, _NETWORK, vote)
    return None
