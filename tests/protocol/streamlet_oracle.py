"""What must hold of a log, restated on all that was ever sent and told.

Shares no code with the engine: it walks whole chains and recounts whole sets of votes.
"""

from __future__ import annotations

import hashlib

from protocol import beacon, vrf
from protocol.messages import LogBlock, SignedVote, block_hash
from protocol.ordering import Equivocation, Finalised, Notarised
from tests.protocol.streamlet_network import Network, Node


class Oracle:
    """Watches the honest nodes of a network while it runs, and judges when it is over."""

    def __init__(self) -> None:
        self.final: dict[int, bytes] = {}
        self.conflicts: list[int] = []
        self.told: list[tuple[int, object]] = []
        self.notarised: dict[int, dict[bytes, int]] = {}
        self.votes: list[tuple[SignedVote, int, bool]] = []

    def observe(self, node: Node, output: object) -> None:
        self.told.append((node.number, output))
        known = self.notarised.setdefault(node.number, {})
        if isinstance(output, Notarised):
            known[output.link.block] = output.link.height
        if node.is_honest and isinstance(output, SignedVote):
            longest = max(known.values(), default=0)
            self.votes.append((output, longest, output.vote.block in known))
        if node.is_honest and isinstance(output, Finalised):
            name = self.final.setdefault(output.link.height, output.link.block)
            if name != output.link.block:
                self.conflicts.append(output.link.height)

    def digest(self) -> str:
        """Of everything that was told, in order."""
        return hashlib.sha256(repr(self.told).encode()).hexdigest()

    def judge(self, network: Network) -> None:
        """Safety: raises AssertionError when a promise was broken."""
        assert self.conflicts == []
        headers, votes = _collect(network)
        self._judge_honesty(network)
        for node in network.honest:
            heights = [one.link.height for one in node.finalised]
            assert heights == list(range(1, len(heights) + 1))
        for signed, longest, was_notarised in self.votes:
            height = len(_ancestry(headers, signed.vote.block)) - 1
            assert height == longest + 1 or was_notarised
        notarised = _notarised(network, headers, votes)
        final = _final(headers, notarised)
        for number, output in self.told:
            if isinstance(output, Notarised):
                assert output.link.block in notarised, number
            if isinstance(output, Finalised):
                assert output.link.block in final, number
                _judge_link(network, headers, output)

    def _judge_honesty(self, network: Network) -> None:
        """No honest node signs twice in a slot, or is accused of it."""
        honest = {node.identity.account for node in network.honest}
        signed = set()
        for message in network.sent:
            if isinstance(message, LogBlock):
                word = ("block", message.header.proposer, message.header.slot)
            else:
                assert isinstance(message, SignedVote)
                word = ("vote", message.vote.voter, message.vote.slot)
            assert word[1] not in honest or word not in signed
            signed.add(word)
        for node in network.honest:
            for accusation in node.evidence:
                assert _accused(accusation) not in honest


def _accused(accusation: Equivocation) -> bytes:
    first = accusation.evidence.first
    return first.vote.voter if isinstance(first, SignedVote) else first.header.proposer


def _collect(network: Network):
    headers = {network.settings.genesis_hash: None}
    votes: dict[tuple[int, bytes], set[bytes]] = {}
    for message in network.sent:
        if isinstance(message, LogBlock):
            headers[block_hash(message.header)] = message.header
        else:
            key = (message.vote.slot, message.vote.block)
            votes.setdefault(key, set()).add(message.vote.voter)
    return headers, votes


def _notarised(network: Network, headers, votes) -> set[bytes]:
    stake = {one.account: one.stake for one in network.validators.members}
    total = sum(stake.values())
    found = {network.settings.genesis_hash}
    for name, header in headers.items():
        if header is not None:
            weight = sum(stake[voter] for voter in votes.get((header.slot, name), ()))
            if 3 * weight > 2 * total:
                found.add(name)
    return found


def _ancestry(headers, name: bytes) -> list[tuple[int, bytes]]:
    """Slots and names from the genesis to a block."""
    line = []
    while headers[name] is not None:
        line.append((headers[name].slot, name))
        name = headers[name].parent
    return [(0, name), *reversed(line)]


def _final_prefix(line: list[tuple[int, bytes]]) -> int:
    """How many blocks above the genesis are final if all in the line are notarised."""
    slots = [slot for slot, _ in line]
    middles = [
        place
        for place in range(1, len(slots) - 1)
        if slots[place - 1] == slots[place] - 1 == slots[place + 1] - 2
    ]
    return max(middles, default=0)


def _final(headers, notarised: set[bytes]) -> set[bytes]:
    found = set()
    for name in notarised:
        line = _ancestry(headers, name)
        if all(one in notarised for _, one in line):
            found.update(one for _, one in line[: _final_prefix(line) + 1])
    return found


def _judge_link(network: Network, headers, output: Finalised) -> None:
    """Height, settled and beacon from the first block on."""
    line = _ancestry(headers, output.link.block)
    assert output.link.height == len(line) - 1
    assert output.link.settled == _final_prefix(line[:-1])
    assert output.link.beacon == _beacons(network, headers, line)[-1]


def _beacons(network: Network, headers, line: list[tuple[int, bytes]]) -> list[bytes]:
    """The beacon after each block, by height; seeds from two epochs back."""
    keys = {one.account: one.vrf_key for one in network.validators.members}
    ticks = network.settings.epoch_ticks
    beacons = [beacon.genesis_beacon(network.settings.network)]
    for height, (slot, name) in enumerate(line[1:], start=1):
        epoch = (height - 1) // ticks
        seed = beacons[0] if epoch <= 2 else beacons[(epoch - 1) * ticks]
        header = headers[name]
        output = vrf.verify(keys[header.proposer], beacon.log_alpha(seed, slot), header.vrf_proof)
        beacons.append(beacon.advance(beacons[-1], slot, output))
    return beacons
