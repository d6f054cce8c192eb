"""What speaks against a bid, for whoever makes, gossips or awards it, and for the rule itself."""

from __future__ import annotations

from protocol.errors import Reason
from protocol.ledger import Ledger, balance, prover_stake
from protocol.messages import Bid
from protocol.types import Amount, Tick


def bid_fault(ledger: Ledger, bid: Bid, bond: Amount, tick: Tick) -> Reason | None:
    """Why a bid cannot be awarded at ``tick``; None if it can, as far as its money goes.

    :param bond: the least that has to be pledged.
    """
    own_bond = bid.bond if bid.prover == bid.sequencer else 0
    if bid.valid_until < tick:
        return Reason.BID_EXPIRED
    if bid.bond < bond:
        return Reason.BOND_TOO_LOW
    if not ledger.holds(prover_stake(bid.prover)):
        return Reason.NO_PROVER_STAKE
    if ledger.holds(balance(bid.prover)) < bid.bond:
        return Reason.BOND_UNPAYABLE
    if ledger.holds(balance(bid.sequencer)) < bid.price + own_bond:
        return Reason.PRICE_UNPAYABLE
    return None
