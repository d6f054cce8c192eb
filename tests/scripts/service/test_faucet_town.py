"""A faucet's node among others, in virtual time: what it gives arrives, on the log and inside the
rollup, and what became of it is told.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from protocol.ledger import balance
from protocol.messages import Pay, operation_hash
from protocol.params import network_id
from protocol.types import Account, Amount, Tick
from scripts.keys import derive_identity
from scripts.launcher.plan import ROLLUP_BALANCE, Wish
from scripts.service import answers
from scripts.service.answers import Asked, Source, Unanswered
from scripts.service.desk import Desk
from scripts.service.faucet import GIFTS_FILE, Faucet, sign_ask
from scripts.service.story import Story
from scripts.service.values import Fate, TransferOrder
from scripts.simulation.scheduling import VirtualClock
from tests.p2p.town import Resident, Town, live
from tests.scripts.service.serving import StillNetwork

WISH = Wish(validators=1, provers=2, leaves=2, blocks=4, backend="modelled", faucet=5_000_000)
SEED = b"\x05" * 32
ASKER = derive_identity(SEED)


class Giver:
    """The resident that has the faucet, as its owner and strangers ask it."""

    def __init__(self, town: Town) -> None:
        self.resident: Resident = town["faucet"]
        self.desk = Desk(self.resident.member.identity, network_id(town.genesis))
        self.resident.guests = (self.desk,)
        terms = self.resident.member.configuration.faucet
        assert terms is not None
        self.faucet = Faucet(terms, self.resident.folder / GIFTS_FILE)

    @property
    def source(self) -> Source:
        clock, story = VirtualClock(), Story(VirtualClock())
        for event in self.resident.told:
            story.observe(event)
        node = self.resident.running
        return Source("faucet", node, StillNetwork(), story, self.desk, clock, self.faucet)

    def ask(self) -> Amount:
        network, head = self.source.node.machine.network, Tick(self.resident.height)
        order = sign_ask(SEED, network, ASKER.account, head)
        return answers.fund(self.source, Asked({}, 1, order, "192.0.2.1")).amount

    def fate(self, digits: str) -> Fate:
        return answers.operation(self.source, Asked({"hash": digits}, 1)).fate


def test_money_is_given_and_moved_and_its_operations_told(tmp_path: Path) -> None:
    town = Town(tmp_path, WISH)
    giver, witness = Giver(town), town["validator-1"]

    def free(account: Account) -> int:
        return witness.running.machine.ledger.holds(balance(account))

    def inside(account: Account) -> tuple[int, int] | None:
        node = witness.running
        state = node.state_after(node.machine.settled_head)
        return None if state is None else state.account(account)

    async def story(_nursery: trio.Nursery) -> None:
        own = Account(giver.resident.account)
        await town.until(lambda: giver.resident.height >= 1 and witness.height >= 1)
        fee = witness.running.machine.genesis.network.operation_fee
        # the log
        given = giver.ask()
        await town.until(lambda: free(ASKER.account) == given)
        assert free(own) == WISH.faucet - given - fee
        with pytest.raises(Unanswered, match="too soon"):
            giver.ask()
        # the rollup: the block that carries it is proven when the settled state has it
        assert inside(ASKER.account) is None
        order = TransferOrder(ASKER.account, Amount(5_000), Amount(1_000))
        assert answers.transfer(giver.source, Asked({}, 1, order)).nonce == 0
        settled = town.settled("validator-1")
        await town.until(lambda: inside(ASKER.account) is not None)
        assert inside(ASKER.account) == (5_000, 0)
        assert inside(own) == (ROLLUP_BALANCE - 6_000, 1)
        assert town.settled("validator-1") > settled
        # an operation, from hand to log
        known = {one.hash for one in giver.source.story.fates()}
        answers.pay(giver.source, Asked({}, 1, Pay(ASKER.account, Amount(7))))
        await town.until(lambda: bool(giver.resident.running.own_pending()))
        pending = (one.operation for one in giver.resident.running.replica.pending())
        (waiting,) = (one for one in pending if one.sender == own)
        digits = operation_hash(waiting).hex()
        assert giver.fate(digits) is Fate.PENDING
        await town.until(lambda: free(ASKER.account) == given + 7)
        await town.until(lambda: giver.fate(digits) is not Fate.PENDING)
        assert giver.fate(digits[:8]) is Fate.ACCEPTED
        assert bytes.fromhex(digits) not in known

    live(town, story)
    town.assert_agreement()
