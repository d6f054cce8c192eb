"""A faucet: gives a node's money away to whoever asks, within limits that outlast a restart.

**The problem.** On a test network a stranger has nothing to stake. Somebody must give, to everybody
and without looking, and must not be emptied by one.

**Rules.**

- Whoever asks signs network, account and a recent height (:func:`sign_ask`). A signature of another
  network, or for another purpose, is none: nobody uses up what another account may get.
- What is given follows ``scripts.service.rations``. It is money on the log: stake of every kind and
  the fees of operations are paid from it, and elected provers, sequencers and validators are paid
  in it. Money inside the rollup is not given: nothing that a node is elected for needs it.
- A gift is written down before it is paid. After a crash in between, a gift is remembered that
  nobody got; never the other way round.

**Deviation.** No gift is ever taken back, and no riddle is set: whoever has many addresses and much
patience gets one gift a pause.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from protocol.signing import Domain, sign, verify
from protocol.types import Account, Amount, Milliseconds, NetworkId, Signature, Tick
from scripts.configuration import ConfigurationError, FaucetConfiguration
from scripts.keys import KEYS_MODE
from scripts.records import plain
from scripts.service.rations import Ask, Gift, Objection, Rations
from scripts.service.schema import Misshapen, parse
from scripts.service.values import FaucetOrder

GIFTS_FILE: Final = "faucet.json"
"""Name of the file, in the node's folder, of what was given; it holds addresses of people."""


class Faucet:
    """Remembers what it gave.

    :param path: of its memory.
    :raises ConfigurationError: when that is there, but cannot be used.
    """

    def __init__(self, terms: FaucetConfiguration, path: Path) -> None:
        self._path = path
        self._rations = Rations(terms, _load(path))

    @property
    def amount(self) -> Amount:
        """What one gift is."""
        return Amount(self._rations.terms.amount)

    def objection(self, ask: Ask, head: Tick, now_ms: Milliseconds) -> Objection | None:
        """Why an ask is refused; None when it may be granted."""
        return self._rations.objection(ask, head, now_ms)

    def give(self, ask: Ask, head: Tick, now_ms: Milliseconds) -> None:
        """Write a gift down. Raises OSError when it cannot be: then it must not be paid."""
        after = self._rations.after(ask, head, now_ms)
        _save(self._path, after.gifts)
        self._rations = after


def sign_ask(seed: bytes, network: NetworkId, account: Account, tick: Tick) -> FaucetOrder:
    """An ask with the proof that its sender holds the account's key."""
    return FaucetOrder(account, tick, sign(seed, Domain.FAUCET, network, _message(account, tick)))


def is_signed(network: NetworkId, order: FaucetOrder) -> bool:
    """Whether the account itself asks, on this network."""
    message = _message(order.account, order.tick)
    return verify(order.account, Domain.FAUCET, network, message, Signature(order.signature))


def _message(account: Account, tick: Tick) -> bytes:
    return account + tick.to_bytes(8, "big")


# --- the file ---


def _save(path: Path, gifts: tuple[Gift, ...]) -> None:
    """Write all gifts, whole or not at all, so that they are there after a loss of power, too."""
    draft = path.with_suffix(".draft")
    raw = json.dumps([plain(one) for one in gifts], separators=(",", ":")).encode()
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, KEYS_MODE)
    with os.fdopen(handle, "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _load(path: Path) -> tuple[Gift, ...]:
    if not path.exists():
        return ()
    try:
        raw: Any = json.loads(path.read_text())
        gifts: tuple[Gift, ...] = parse(tuple[Gift, ...], raw, path.name)
    except (OSError, ValueError, RecursionError, Misshapen) as failure:
        raise ConfigurationError(
            f"{path} cannot be used: {failure}",
            "restore it from a copy; without the file all limits of the faucet start anew",
        ) from None
    return gifts
