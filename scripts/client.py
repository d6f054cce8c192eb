"""Commands that ask a running node over its API, and show what it answers.

Which node: ``--node`` or ``PROVNET_NODE`` names its folder or its address; without either, the one
node of this user that runs and serves its API. Its token is read from its folder, or from
``PROVNET_TOKEN`` where only an address is given.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from rich.console import Console
from rich.table import Table

from protocol.errors import Reason
from scripts.configuration import ConfigurationError
from scripts.joining.fetch import SCHEMES
from scripts.joining.folder import NODE, data_home
from scripts.service.token import TOKEN_FILE

NODE_VARIABLE: Final = "PROVNET_NODE"
TOKEN_VARIABLE: Final = "PROVNET_TOKEN"  # noqa: S105 -- the name of a variable

URL_FILE: Final = "api-url"

ANSWER_S: Final = 10.0
"""Seconds for an answer."""

QUIET_S: Final = 60.0
"""Seconds without a word after which a node that is followed is given up: it says something more
often, also when nothing happens.
"""

SENTENCE_MAX: Final = 500
"""Characters that are shown of what a node says, at the most."""

NUMBERS: Final = frozenset({"tick", "amount", "gained", "lost", "net", "block"})
"""Columns of numbers."""

ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
"""Largest answer, in bytes."""


class NotAnswered(ConfigurationError):
    """A node does not answer, or refuses.

    :ivar wait_s: it says to ask again after so many seconds; None: it says nothing of that.
    """

    def __init__(self, sentence: str, hint: str, wait_s: int | None = None) -> None:
        super().__init__(sentence, hint)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Client:
    """Asks one node.

    :ivar url: where its API is.
    :ivar token: empty: nothing that needs it can be asked.
    :ivar folder: of the node, where the address is read from there.
    """

    url: str
    token: str = ""
    folder: Path | None = None

    def get(self, path: str, **query: object) -> Any:
        """What a path answers with. Raises :class:`NotAnswered`."""
        return self._ask(f"{path}?{urlencode(query)}" if query else path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Have the node act. Raises :class:`NotAnswered`."""
        return self._ask(path, json.dumps(body).encode())

    def follow(self, after: int) -> Iterator[dict[str, Any]]:
        """Final blocks above a height, with their events, as they come, as long as the node tells
        of them. Raises :class:`NotAnswered`.
        """
        request = urllib.request.Request(  # noqa: S310 -- http or https
            self.url.rstrip("/") + "/v1/events", headers={"last-event-id": str(after)}
        )
        try:
            with _opener().open(request, timeout=QUIET_S) as stream:
                named = b""
                for line in stream:
                    field, _, value = line.strip().partition(b": ")
                    if field == b"event":
                        named = value
                    elif field == b"data" and named == b"block":
                        yield json.loads(value)
        except urllib.error.HTTPError as failure:
            with failure:
                raise _refused(failure) from None
        except (OSError, HTTPException, ValueError) as failure:
            raise self._silent(failure) from None

    def _ask(self, path: str, body: bytes | None) -> Any:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(  # noqa: S310 -- http or https
            self.url.rstrip("/") + path, body, headers
        )
        try:
            with _opener().open(request, timeout=ANSWER_S) as answer:
                return json.loads(answer.read(ANSWER_BYTES_MAX))
        except urllib.error.HTTPError as failure:
            with failure:
                raise _refused(failure) from None
        except (OSError, HTTPException, ValueError) as failure:
            raise self._silent(failure) from None

    def _silent(self, failure: Exception) -> NotAnswered:
        reason = failure.reason if isinstance(failure, urllib.error.URLError) else failure
        if self.folder is None:
            hint = "look whether the node runs, and whether its node.toml has the table [api]"
            return NotAnswered(f"no node answers at {self.url}: {reason}", hint)
        return NotAnswered(
            f"the node in {self.folder} does not answer at {self.url}, which it was at last: "
            f"{reason}",
            f"it was killed, or is busy; start it: {_start(self.folder)}",
        )


def _start(folder: Path) -> str:
    return f"./scripts/provnet node {folder / NODE}"


def _opener() -> urllib.request.OpenerDirector:
    """A node on loopback is not asked through a proxy."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _refused(failure: urllib.error.HTTPError) -> NotAnswered:
    try:
        fault = json.loads(failure.read(ANSWER_BYTES_MAX))
        after = failure.headers.get("retry-after", "")
        wait_s = int(after) if after.isascii() and after.isdecimal() else None
        return NotAnswered(_printable(fault["sentence"]), _printable(fault["hint"]), wait_s)
    except (ValueError, KeyError, TypeError, OSError):
        return NotAnswered(
            f"the answer was {failure.code} {_printable(failure.reason)}",
            "look whether a node is asked",
        )


def _printable(text: object) -> str:
    """What a stranger says, without what would steer a terminal."""
    shown = str(text)[:SENTENCE_MAX]
    return "".join(one if one.isprintable() else " " for one in shown)


def find_node(named: str, environment: Mapping[str, str] = os.environ) -> Client:
    """The node that is meant.

    :param named: folder or address; empty: see the module.
    :raises ConfigurationError: when there is none, or more than one.
    """
    named = named or environment.get(NODE_VARIABLE, "")
    if named.partition("://")[0] in SCHEMES:
        return Client(named, environment.get(TOKEN_VARIABLE, ""))
    if named:
        return _of_folder(Path(named))
    return _of_folder(find_folder(URL_FILE))


def find_folder(holds: str) -> Path:
    """The one node folder of this user that holds a file.

    :raises ConfigurationError: when there is none, or more than one.
    """
    nodes = sorted(one.parent for one in (data_home() / "provnet").glob(f"*/*/{NODE}"))
    found = [one for one in nodes if (one / holds).exists()]
    if len(found) == 1:
        return found[0]
    if found:
        sentence = f"several nodes could be meant: {', '.join(map(str, found))}"
    elif nodes:
        sentence = f"no node of this user runs with an API, of {', '.join(map(str, nodes))}"
    else:
        sentence = "no node of this user is found"
    raise ConfigurationError(
        sentence, f"name its folder; or its folder or address with --node, or in {NODE_VARIABLE}"
    )


def _of_folder(folder: Path) -> Client:
    if not (folder / NODE).exists():
        raise ConfigurationError(
            f"{folder} is no node's folder: it holds no {NODE}",
            "name the folder that ./scripts/join or provnet network create made",
        )
    try:
        url = (folder / URL_FILE).read_text().strip()
        token = (folder / TOKEN_FILE).read_text().strip()
    except FileNotFoundError:
        raise ConfigurationError(
            f"the node in {folder} does not run, or has no API",
            f"start it, with the table [api] in its {NODE}: {_start(folder)}",
        ) from None
    except OSError as failure:
        raise ConfigurationError(
            f"{failure.filename} cannot be read: {failure.strerror}",
            "ask as the user whose node it is",
        ) from None
    return Client(url, token, folder)


# --- commands ---


@dataclass(frozen=True, slots=True)
class Shop:
    """Asks a node and shows what it says.

    :ivar as_json: show the answer as it is, for tools.
    """

    client: Client
    console: Console
    as_json: bool = False

    def status(self) -> None:
        """Where the node and its network are."""
        state = self.client.get("/v1/state")
        if self._showed(state):
            return
        age_ms = state["block_age_ms"]
        block = "none yet" if age_ms is None else f"{age_ms // 1000} s ago"
        self._rows(
            {
                "network": f"{state['name']} {state['network'][:16]}",
                "node": f"{state['node']} {state['account']}",
                "rules": f"{state['sequencing']['name']}, {state['proving']['name']}",
                "proofs": state["backend"],
                "tick": f"{state['tick']:,} in epoch {state['epoch']}",
                "last final block": block,
                "state": state["digest"][:16],
                "peers": state["peers"],
                "blocks": f"{state['jobs_settled']} proven, {state['jobs_open']} open, "
                f"{state['jobs_void']} void",
                "waiting operations": state["pending_operations"],
                **({"HALTED": state["halted"]} if state["halted"] else {}),
            }
        )

    def peers(self) -> None:
        """Whom the node is connected to."""
        answer = self.client.get("/v1/peers")
        if self._showed(answer):
            return
        table = _table("peer", "account")
        for one in answer["peers"]:
            table.add_row(one["name"] or "", one["account"])
        self.console.print(table)

    def account(self, who: str) -> None:
        """What an account holds, and how reliably it proves."""
        found = self.client.get(f"/v1/accounts/{quote(who, safe='')}")
        if self._showed(found):
            return
        inside, kept = found["rollup_balance"], found["reliability"]
        self._rows(
            {
                "account": found["account"],
                **({"name": found["name"]} if found["name"] else {}),
                "balance": f"{found['balance']:,}",
                "log stake": f"{found['log_stake']:,}",
                "prover stake": f"{found['prover_stake']:,}",
                "sequencer stake": f"{found['sequencer_stake']:,}",
                "inside the rollup": "no account" if inside is None else f"{inside:,}",
                "earned": f"{found['income']:,}",
                "proofs": f"{kept['kept']} of {kept['due']} that were its own, "
                f"{kept['taken_over']} taken over, {kept['missed']} windows missed",
            }
        )

    def earnings(self, limit: int) -> None:
        """What the node's account gained and lost, by cause, and the last entries."""
        found = self.client.get("/v1/accounts/own/ledger", limit=limit)
        if self._showed(found):
            return
        totals = _table("cause", "gained", "lost", "net")
        for one in found["totals"]:
            net = one["gained"] - one["lost"]
            amounts = f"{one['gained']:,}", f"{one['lost']:,}", f"{net:+,}" if net else "0"
            totals.add_row(_words(one["cause"]), *amounts)
        self.console.print(totals)
        self.console.print()
        entries = _table("tick", "amount", "pocket", "cause", "block", "tree node", "operation")
        for one in found["entries"]:
            place = one["index"]
            entries.add_row(
                str(one["tick"]),
                f"{one['amount']:+,}",
                _words(one["pocket"]),
                _words(one["cause"]),
                "" if one["number"] is None else str(one["number"]),
                "" if place is None else f"{place[0]}:{place[1]}",
                "" if one["operation"] is None else one["operation"]["hash"][:16],
            )
        self.console.print(entries)
        if found["left_out"]:
            self.console.print(f"and {found['left_out']} more: see --limit")

    def operation(self, digits: str) -> None:
        """What became of an operation."""
        found = self.client.get(f"/v1/operations/{quote(digits, safe='')}")
        if self._showed(found):
            return
        ordered = "" if found["tick"] is None else f" at tick {found['tick']:,}"
        why = "" if found["reason"] is None else f": {Reason[found['reason']].value}"
        self._rows(
            {
                "operation": found["hash"],
                "kind": found["kind"],
                "sender": found["sender"],
                "fate": f"{found['fate'].lower()}{ordered}{why}",
            }
        )

    def transfer(self, recipient: str, amount: int, fee: int) -> None:
        """Send money inside the rollup."""
        order = {"recipient": recipient, "amount": amount, "fee": fee}
        answer = self.client.post("/v1/transfers", order)
        if not self._showed(answer):
            self.console.print(f"sent with nonce {answer['nonce']}; final once its block is proven")

    def _showed(self, answer: Any) -> bool:
        """Show an answer for tools, if that is wanted."""
        if self.as_json:
            self.console.print_json(json.dumps(answer))
        return self.as_json

    def _rows(self, rows: Mapping[str, object]) -> None:
        width = max(map(len, rows))
        for name, value in rows.items():
            self.console.print(f"{name:<{width}}  {value}", markup=False, soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for one in columns:
        table.add_column(one, no_wrap=True, justify="right" if one in NUMBERS else "left")
    return table


def _words(name: str) -> str:
    return name.lower().replace("_", " ")
