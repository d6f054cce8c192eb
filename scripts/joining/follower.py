"""Accompanies a node that joins: connects, syncs, is funded, stakes, follows, says what goes wrong.

Rules. A join fails when no address of the bundle answers, when whoever answers is on another
network, when the log does not go through the bundle's checkpoint, and for a validator when the
clock is too far off to vote. A log that begins with a snapshot of a later height does not show the
checkpoint: there the validators that the bundle names vouched for the snapshot. A join goes on with
a warning when the clock is off for others, when the sync stands still, when the newest final block
is old (a log without work does not grow), and when no peer is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from p2p.observing import NodeEvent, SnapshotAdopted
from p2p.peers import Address
from protocol.events import JobSettled
from protocol.happenings import BlockFinal, Halted
from protocol.messages import block_hash
from protocol.types import Tick
from scripts.bundle import Bundle, BundleError
from scripts.checkpoint import slot_start_ms
from scripts.configuration import ConfigurationError
from scripts.greeting import Greeter, clock_sentence
from scripts.joining.display import Display
from scripts.joining.folder import Role, Wishes
from scripts.joining.fortunes import Fortunes
from scripts.joining.funder import Funder
from scripts.joining.staker import Staker
from scripts.node import Running, SystemClock
from scripts.words import counted

TELL_EVERY: Final = 10
"""Heights between two lines about the log."""

CONNECT_S: Final = 20.0
"""Seconds in which somebody must answer."""

STALLED_S: Final = 30.0
"""After so many seconds without a new block a sync is said to stand still."""

STALE_SLOTS: Final = 60
"""A newest block that is older than so many slots is told of."""

ALONE_S: Final = 10.0
"""After so many seconds without a peer a node is said to be alone."""

LOOK_S: Final = 0.1
"""Pause between two looks at how far the node is."""

_CLOCK_HINT: Final = "set the clock, and have it kept by NTP (timedatectl set-ntp true)"


class Follower:
    """Tells a joining node's progress, and stops it.

    :param blocks: stop once so many blocks are settled; 0: never.
    """

    def __init__(
        self,
        bundle: Bundle,
        wishes: Wishes,
        blocks: int,
        display: Display,
        stop: Callable[[], None],
    ) -> None:
        self.settled = 0
        self.failure: ConfigurationError | None = None
        self._bundle = bundle
        self._wishes = wishes
        self._blocks = blocks
        self._display = display
        self._stop = stop
        self._fortunes: Fortunes | None = None
        self._began_at: Tick | None = None

    # --- as a companion ---

    def observe(self, event: NodeEvent) -> None:
        """Tell what is worth telling of an event."""
        if isinstance(event, Halted):
            self._display.say(f"this node disagrees with the network: {event.sentence}")
        if isinstance(event, SnapshotAdopted) and event.peer is not None:
            self._began_at = event.height
        if isinstance(event, BlockFinal):
            self._observe_final(event)

    async def accompany(self, running: Running) -> None:
        """Connect, sync, and then watch the clock."""
        greeter = running.greeter
        with trio.move_on_after(CONNECT_S):
            await greeter.answered.wait()
        if not greeter.readings:
            self._fail(self._unanswered(running))
            return
        self._display.say(f"connected to {counted(len(greeter.readings), 'peer')}")
        if greeter.is_off and self._wishes.role is Role.VALIDATOR:
            sentence = f"{clock_sentence(greeter.error_ms)}: its votes would be of no use"
            self._fail(ConfigurationError(sentence, _CLOCK_HINT))
            return
        await self._sync(running)
        self._tell_tip(running)
        node = running.node
        is_seated = node.machine.sets.successors.get(node.account) is not None
        self._fortunes = Fortunes(node.account, is_seated=is_seated)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._provide, running)
            nursery.start_soon(self._watch_peers, running)
            await self._watch_clock(greeter)

    # --- steps ---

    async def _provide(self, running: Running) -> None:
        """Get money and stake it, where that is wished for."""
        if self._wishes.fund:
            await Funder(running, self._wishes, self._bundle.faucet, self._display).run()
        if self._wishes.stake:
            await Staker(running, self._wishes, self._display).run()

    async def _watch_clock(self, greeter: Greeter) -> None:
        was_suspect = False
        while True:
            if greeter.is_suspect and not was_suspect:
                self._warn(clock_sentence(greeter.error_ms), _CLOCK_HINT)
            was_suspect = greeter.is_suspect
            await trio.sleep(LOOK_S)

    async def _watch_peers(self, running: Running) -> None:
        seen_at, is_alone = trio.current_time(), False
        while True:
            if peers := running.host.peers():
                seen_at = trio.current_time()
                if is_alone:
                    self._display.say(f"connected to {counted(len(peers), 'peer')} again")
                is_alone = False
            elif not is_alone and trio.current_time() > seen_at + ALONE_S:
                is_alone = True
                self._warn(
                    "no peer is connected any more",
                    "look whether this machine is online; the node goes on trying, and catches up",
                )
            await trio.sleep(LOOK_S)

    def _unanswered(self, running: Running) -> ConfigurationError:
        if running.greeter.strangers:
            return BundleError(
                "the nodes at the bundle's addresses are on another network, "
                "or run a program that is too old",
                "get a fresh bundle from the network that you want to join",
            )
        hosts = ", ".join(_place(one) for one in self._bundle.bootstrap)
        return BundleError(
            f"no node answers within {CONNECT_S:g} s at any of the bundle's addresses: {hosts}",
            "look whether this machine is online and the network runs, then get a fresh bundle",
        )

    async def _sync(self, running: Running) -> None:
        node, greeter = running.node, running.greeter
        last, moved_at, is_told, target = -1, trio.current_time(), False, greeter.height
        while (height := node.machine.tick) < (target := greeter.height or target):
            self._display.sync(height, target)
            if height > last:
                last, moved_at, is_told = height, trio.current_time(), False
            if not is_told and trio.current_time() > moved_at + STALLED_S:
                is_told = True
                self._warn(
                    f"the sync stands still at tick {height} of {target}",
                    "wait for other peers, or join with a bundle that names others",
                )
            await trio.sleep(LOOK_S)
        self._display.synced()
        if (began := self._began_at) is not None:
            count = node.machine.tick - began
            self._display.say(f"began with the snapshot of height {began}; {count} blocks synced")
        self._display.say(f"synced: tick {node.machine.tick}")

    def _tell_tip(self, running: Running) -> None:
        """Say that the newest block is old, where it is."""
        sentence = stale_sentence(running, SystemClock().now_ms())
        if sentence is not None:
            self._warn(
                sentence,
                "a log without work does not grow; if others see newer blocks, these peers are "
                "cut off: join with another bundle",
            )

    def _observe_final(self, final: BlockFinal) -> None:
        checkpoint = self._bundle.checkpoint
        tick, digest = final.applied.tick, final.applied.digest
        if checkpoint is not None and tick == checkpoint.height:
            found = block_hash(final.block.header), digest
            if found != (checkpoint.block, checkpoint.state):
                self._fail(_other_history(tick))
                return
        settled = sum(isinstance(one, JobSettled) for one in final.applied.events)
        self.settled += settled
        if self._blocks and self.settled >= self._blocks:
            self._stop()
        if self._fortunes is None:
            return
        for line in self._fortunes.lines(final):
            self._display.say(line)
        if settled or tick % TELL_EVERY == 0:
            self._display.say(
                f"tick {tick:>5}  state {digest.hex()[:16]}  {self.settled} blocks settled"
            )

    def _warn(self, sentence: str, hint: str) -> None:
        self._display.say(f"warning: {sentence}")
        self._display.say(f"hint: {hint}")

    def _fail(self, failure: ConfigurationError) -> None:
        self.failure = self.failure or failure
        self._stop()


def stale_sentence(running: Running, now_ms: int) -> str | None:
    """Says how old the newest final block is, when it is older than a living log's would be."""
    network = running.node.machine.genesis.network
    link = running.node.replica.engine.anchor.link
    age_ms = now_ms - slot_start_ms(network, link.slot)
    if age_ms <= STALE_SLOTS * network.slot_ms:
        return None
    return (
        f"the newest final block, {link.height}, is {age_ms // 1000} s old, "
        f"{age_ms // network.slot_ms} slots behind the clock"
    )


def _other_history(height: int) -> BundleError:
    return BundleError(
        f"these peers have another block at height {height} than the bundle's checkpoint: "
        "theirs is not the history that the bundle was made from",
        "do not trust what they say; get a fresh bundle from somebody you trust",
    )


def _place(address: str) -> str:
    parsed = Address.parse(address)
    return f"{parsed.host}:{parsed.port}"
