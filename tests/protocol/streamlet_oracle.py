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
        self.notarised: dict[int, dict[bytes, tuple[int, int]]] = {}
        self.votes: list[tuple[SignedVote, dict[int, int], bool]] = []

    def observe(self, node: Node, output: object) -> None:
        self.told.append((node.number, output))
        known = self.notarised.setdefault(node.number, {})
        if isinstance(output, Notarised):
            known[output.link.block] = output.block.header.epoch, output.link.height
        if node.is_honest and isinstance(output, SignedVote):
            longest = {}
            for epoch, height in known.values():
                longest[epoch] = max(height, longest.get(epoch, 0))
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
            epoch = headers[signed.vote.block].epoch
            root = epoch * network.settings.epoch_ticks
            assert height == longest.get(epoch, root) + 1 or was_notarised
        notarised = _notarised(network, headers, votes)
        final = _final(network, headers, notarised)
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
    found = {network.settings.genesis_hash}
    for name, header in headers.items():
        if header is not None:
            stake = {one.account: one.stake for one in network.sets[header.epoch].members}
            total = sum(stake.values())
            voters = votes.get((header.slot, name), ())
            weight = sum(stake.get(voter, 0) for voter in voters)
            if 3 * weight > 2 * total:
                found.add(name)
    return found


def _ancestry(headers, name: bytes) -> list[tuple[int, int, bytes]]:
    """Slots, epochs and names from the genesis to a block."""
    line = []
    while headers[name] is not None:
        line.append((headers[name].slot, headers[name].epoch, name))
        name = headers[name].parent
    return [(0, -1, name), *reversed(line)]


def _final_prefix(network: Network, line: list[tuple[int, int, bytes]]) -> int:
    """How many blocks above the genesis are final if all in the line are notarised."""
    ticks = network.settings.epoch_ticks
    found = 0
    for place in range(1, len(line) - 1):
        (before, *_), (slot, epoch, _), (after, next_epoch, _) = line[place - 1 : place + 2]
        in_row = before == slot - 1 == after - 2 and epoch == next_epoch
        is_handed_over = next_epoch > epoch
        if (in_row and place <= (epoch + 1) * ticks) or is_handed_over:
            found = place
    return found


def _is_line(network: Network, line: list[tuple[int, int, bytes]]) -> bool:
    """Epochs change above their last height, and only there by one."""
    ticks = network.settings.epoch_ticks
    for height, (_, epoch, _) in enumerate(line[1:], start=1):
        before = max(line[height - 1][1], 0)
        is_first = epoch == before + 1 and height == epoch * ticks + 1
        if epoch != before and not is_first:
            return False
    return True


def _final(network: Network, headers, notarised: set[bytes]) -> set[bytes]:
    found = set()
    for name in notarised:
        line = _ancestry(headers, name)
        if all(one in notarised for *_, one in line) and _is_line(network, line):
            found.update(one for *_, one in line[: _final_prefix(network, line) + 1])
    return found


def _judge_link(network: Network, headers, output: Finalised) -> None:
    """Height, settled and beacon from the first block on."""
    line = _ancestry(headers, output.link.block)
    assert output.link.height == len(line) - 1
    is_first = output.link.height % network.settings.epoch_ticks == 1 or (
        network.settings.epoch_ticks == 1
    )
    settled = output.link.height - 1 if is_first else _final_prefix(network, line[:-1])
    assert output.link.settled == settled
    assert output.link.beacon == _beacons(network, headers, line)[-1]


def _beacons(network: Network, headers, line: list[tuple[int, int, bytes]]) -> list[bytes]:
    """The beacon after each block, by height; seeds from two epochs back."""
    keys = {one.account: vrf.public_key(one.vrf_seed) for one in network.identities}
    ticks = network.settings.epoch_ticks
    beacons = [beacon.genesis_beacon(network.settings.network)]
    for height, (slot, _, name) in enumerate(line[1:], start=1):
        epoch = (height - 1) // ticks
        seed = beacons[0] if epoch <= 2 else beacons[(epoch - 1) * ticks]
        header = headers[name]
        output = vrf.verify(keys[header.proposer], beacon.log_alpha(seed, slot), header.vrf_proof)
        beacons.append(beacon.advance(beacons[-1], slot, output))
    return beacons
