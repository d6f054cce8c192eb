"""What every implementation of ``protocol.ports.Network`` shares: who listens to what, and what
happened.

A judge is ours: when it raises, that is our bug. It is logged with its traceback and counted, the
message is treated as ignored, and no peer is blamed for it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from p2p import limits
from protocol.ports import Answer, Judge, Topic, Verdict
from protocol.types import Account

log = logging.getLogger("provnet.p2p")


@dataclass(frozen=True, slots=True)
class NetworkEvent:
    """Something an operator may want to see.

    ``kind`` is one of ``connected``, ``disconnected``, ``silent`` (it missed pings and is closed),
    ``penalised``, ``banned``, ``busy`` (it asked for more than a limit allows), ``judge-failed``,
    ``answer-failed``; ``detail`` is for a person.
    """

    kind: str
    peer: Account | None
    detail: str


Observer: TypeAlias = Callable[[NetworkEvent], None]
"""Told of every event, on the network's own task: must be quick and must not raise."""


@dataclass(slots=True)
class Statistics:
    """Counts since the node started, and sizes of the moment."""

    peers: int = 0
    """Connected now."""
    addresses_known: int = 0
    """Accounts in the address book now."""
    gossip_published: int = 0
    gossip_accepted: int = 0
    gossip_ignored: int = 0
    gossip_rejected: int = 0
    gossip_duplicates: int = 0
    """Copies of messages already judged."""
    gossip_malformed: int = 0
    """Frames and messages that no honest program sends."""
    gossip_throttled_ms: int = 0
    """Time that reading was held back because peers sent too much."""
    judge_failures: int = 0
    """Judges of ours that raised: bugs."""
    requests_made: int = 0
    requests_failed: int = 0
    requests_answered: int = 0
    requests_refused: int = 0
    """Requests of peers over a limit."""
    answer_failures: int = 0
    """Answers of ours that raised: bugs."""
    streams_failed: int = 0
    """Streams that ended in an error of the library or of the peer."""
    connections_refused: int = 0
    peers_silent: int = 0
    """Peers closed because they missed pings."""
    penalties: int = 0
    bans: int = 0


@dataclass(slots=True)
class Registry:
    """Judges by topic and answers by name; closed once the node runs."""

    observer: Observer | None = None
    judges: dict[Topic, Judge] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    statistics: Statistics = field(default_factory=Statistics)
    running: bool = False

    def join(self, topic: Topic, judge: Judge) -> None:
        """Add a judge. Raises RuntimeError while running, ValueError for a topic joined already."""
        self._assert_stopped()
        if topic in self.judges:
            raise ValueError(f"topic {topic.value} was joined already")
        self.judges[topic] = judge

    def serve(self, name: str, answer: Answer) -> None:
        """Add an answer. Raises RuntimeError while running, ValueError for a bad or used name."""
        self._assert_stopped()
        if not valid_name(name):
            raise ValueError(f"not a request name: {name!r}")
        if name in self.answers:
            raise ValueError(f"requests named {name} are served already")
        self.answers[name] = answer

    def start(self) -> None:
        """Close the registry. Raises RuntimeError when the node runs already."""
        self._assert_stopped()
        self.running = True

    def judge(self, topic: Topic, forwarder: Account, payload: bytes) -> Verdict:
        """The verdict of the topic's judge, counted. Never raises."""
        try:
            verdict = self.judges[topic](forwarder, payload)
            assert isinstance(verdict, Verdict), f"the judge returned {verdict!r}"
        except Exception:
            log.exception("the judge of %s failed; the message is ignored", topic.value)
            self.statistics.judge_failures += 1
            self.notify("judge-failed", None, topic.value)
            verdict = Verdict.IGNORE
        match verdict:
            case Verdict.ACCEPT:
                self.statistics.gossip_accepted += 1
            case Verdict.IGNORE:
                self.statistics.gossip_ignored += 1
            case Verdict.REJECT:
                self.statistics.gossip_rejected += 1
        return verdict

    async def answer(self, name: str, peer: Account, body: bytes) -> tuple[bool, bytes | None]:
        """Whether our answer worked, and what it is. Never raises but for cancellation."""
        try:
            return True, await self.answers[name](peer, body)
        except Exception:
            log.exception("the answer to %s failed", name)
            self.statistics.answer_failures += 1
            self.notify("answer-failed", peer, name)
            return False, None

    def notify(self, kind: str, peer: Account | None, detail: str) -> None:
        """Tell the observer. Never raises."""
        if self.observer is None:
            return
        try:
            self.observer(NetworkEvent(kind, peer, detail))
        except Exception:
            log.exception("the observer failed on %s", kind)

    def _assert_stopped(self) -> None:
        if self.running:
            raise RuntimeError("the network runs already")


def valid_name(name: str) -> bool:
    """Whether ``name`` can name requests: lower-case letters, digits, dashes and dots."""
    return 0 < len(name) <= limits.NAME_CHARACTERS_MAX and all(
        character in "abcdefghijklmnopqrstuvwxyz0123456789-." for character in name
    )


def checked_payload(payload: bytes) -> bytes:
    """``payload``. Raises ValueError when it is larger than gossip allows."""
    if len(payload) > limits.GOSSIP_BYTES_MAX:
        raise ValueError(
            f"{len(payload)} bytes are more than gossip carries ({limits.GOSSIP_BYTES_MAX})"
        )
    return payload


@asynccontextmanager
async def ungrouped() -> AsyncIterator[None]:
    """Raise a lone exception as itself: a network's nurseries wrap it in as many groups."""
    try:
        yield
    except BaseExceptionGroup as group:
        lone: BaseException = group
        while isinstance(lone, BaseExceptionGroup) and len(lone.exceptions) == 1:
            lone = lone.exceptions[0]
        if isinstance(lone, BaseExceptionGroup):
            raise
        raise lone from lone.__cause__
