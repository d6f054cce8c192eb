"""A story of four validators, told in full and compared to the letter.

A, B, C and D have one unit of stake each, messages take 60 ms, signatures and lots are real. D is
down from slot 4 to slot 6. In slot 9 whoever proposes first is heard only after the vote.

To accept a changed story, run this and read the difference before committing it::

    python -m tests.protocol.test_streamlet_transcript
"""

from __future__ import annotations

from pathlib import Path

from protocol.messages import LogBlock, SignedVote, block_hash
from protocol.ordering import Finalised, Missing, Notarised, Output, ProposalDue, VoteDue
from protocol.types import BlockHash
from tests.protocol.streamlet_network import SLOT_MS, Faults, Message, Network, Node

TRANSCRIPT = Path(__file__).parent / "transcripts" / "streamlet.txt"
DOWN_MS = (4 * SLOT_MS - 400, 7 * SLOT_MS - 400)
LATE_SLOT = 9
SLOTS = 12


class Story(Network):
    """A network that writes down what happens in it."""

    def __init__(self) -> None:
        super().__init__([1, 1, 1, 1], faults=Faults((60, 60)), observe=self.note)
        self.lines: list[str] = []
        self.names: dict[BlockHash, str] = {self.settings.genesis_hash: "genesis"}
        self.is_late_told = False

    def say(self, who: str, what: str) -> None:
        slot, ms = divmod(self.now, SLOT_MS)
        self.lines.append(f"{slot:3}.{ms:03}  {who}  {what}")

    def letter(self, account: bytes) -> str:
        return "ABCD"[[one.account for one in self.identities].index(account)]

    def note(self, node: Node, output: Output | Message) -> None:
        if isinstance(output, ProposalDue | VoteDue | LogBlock | SignedVote):
            return
        self.say("ABCD"[node.number], self.told(output))

    def told(self, output: Output) -> str:
        if isinstance(output, Notarised):
            voters = "".join(sorted(self.letter(one) for one, _ in output.certificate.signatures))
            return f"notarised {self.names[output.link.block]} by {voters}"
        if isinstance(output, Finalised):
            link = output.link
            name, beacon = self.names[link.block], link.beacon.hex()[:8]
            return f"final     {name} height {link.height} settled {link.settled} beacon {beacon}"
        assert isinstance(output, Missing)
        return f"misses    {self.names[output.block]} at height {output.height}"

    def broadcast(self, sender: Node, message: Message) -> None:
        self.say("ABCD"[sender.number], self.said(message))
        is_block = isinstance(message, LogBlock)
        if is_block and message.header.slot == LATE_SLOT and not self.is_late_told:
            self.is_late_told = True
            self.say("ABCD"[sender.number], "          and is delayed by 600 ms")
            self.at(self.now + 600, lambda: Network.broadcast(self, sender, message))
        else:
            super().broadcast(sender, message)

    def said(self, message: Message) -> str:
        if isinstance(message, SignedVote):
            return f"votes     {self.names[message.vote.block]}"
        assert isinstance(message, LogBlock)
        header = message.header
        name = f"{self.letter(header.proposer)}{header.slot}"
        self.names[block_hash(header)] = name
        return f"proposes  {name} height {header.height} on {self.names[header.parent]}"


def tell() -> str:
    """The story from the start to slot 12."""
    story = Story()
    unlucky = story.nodes[3]
    story.start()
    story.at(DOWN_MS[0], lambda: (story.say("D", "goes down"), unlucky.stop()))
    story.at(DOWN_MS[1], lambda: (story.say("D", "comes up"), unlucky.start()))
    story.run_until(SLOTS * SLOT_MS)
    finals = [node.engine.final_height for node in story.nodes]
    story.say("*", f"final heights {finals}, refusals {len(story.refusals)}")
    return "\n".join(story.lines) + "\n"


def test_the_story_of_four_validators_is_told_to_the_letter():
    assert tell() == TRANSCRIPT.read_text(encoding="utf-8")


def test_the_story_has_its_crash_its_catching_up_and_its_late_proposal():
    story = TRANSCRIPT.read_text(encoding="utf-8")
    for part in ("goes down", "comes up", "misses", "delayed"):
        assert part in story


if __name__ == "__main__":
    TRANSCRIPT.parent.mkdir(exist_ok=True)
    TRANSCRIPT.write_text(tell(), encoding="utf-8")
