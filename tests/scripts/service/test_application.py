"""Requests over a real socket: what is answered fits the document, what is refused says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from protocol.agents import Send, SlotBegan, Submit
from protocol.errors import Reason
from protocol.messages import Intent, transfer_is_signed
from protocol.types import Count, Slot, Tick
from scripts.service import application
from scripts.service.answers import Source
from scripts.service.openapi import document
from scripts.service.routes import JSON_ROUTES, OTHER_ROUTES
from scripts.service.values import Refusal
from tests.p2p.town import Town
from tests.scripts.service.serving import OWNER, Client, Reply, serve, source_of
from tests.scripts.service.shape import misfits

DOCUMENT = document()
COMPONENTS = DOCUMENT["components"]["schemas"]


@pytest.fixture(scope="module")
def source(town: Town) -> Source:
    return source_of(town)


def assert_told(reply: Reply, path: str, method: str = "get") -> None:
    """The answer is one that the document declares for the path."""
    declared = DOCUMENT["paths"][path][method]["responses"][str(reply.status)]
    schema = declared["content"]["application/json"]["schema"]
    assert misfits(schema, reply.json, COMPONENTS) == []
    assert reply.headers["content-type"] == "application/json"


def test_every_path_of_the_document_is_answered_as_it_says(source: Source) -> None:
    job = source.story.jobs()[-1].job.hex()
    operation = next(iter(source.story.fates())).hash.hex()
    places = {"job": job, "account": source.node.account.hex(), "hash": operation}

    async def talk(client: Client) -> None:
        asked = set()
        for path, operations in DOCUMENT["paths"].items():
            if "get" in operations and "application/json" in json.dumps(operations):
                reply = await client.ask(path.format_map(places))
                assert reply.status == 200
                if path != "/v1/openapi.json":
                    assert_told(reply, path)
                asked.add(path)
        assert asked >= {one.path for one in JSON_ROUTES if one.method == "GET"}
        told = await client.ask("/v1/openapi.json")
        assert told.json == DOCUMENT

    serve(source, talk)


def test_the_document_declares_every_path_and_no_other() -> None:
    served = {(one.path, one.method.lower()) for one in JSON_ROUTES}
    served |= {(one.path, "get") for one in OTHER_ROUTES}
    declared = {(path, verb) for path, verbs in DOCUMENT["paths"].items() for verb in verbs}
    assert declared == served
    names = [verb["operationId"] for verbs in DOCUMENT["paths"].values() for verb in verbs.values()]
    assert len(set(names)) == len(names)


def test_a_job_is_found_by_number_and_an_account_by_name(source: Source) -> None:
    async def talk(client: Client) -> None:
        newest = (await client.ask("/v1/jobs?limit=1")).json["jobs"][0]
        tree = (await client.ask(f"/v1/jobs/{newest['number']}/tree")).json
        assert tree["job"] == newest
        assert [one["index"] for one in tree["nodes"]][:3] == [[2, 0], [1, 0], [1, 1]]
        own = (await client.ask("/v1/accounts/own")).json
        named = (await client.ask("/v1/accounts/validator-1")).json
        assert own == named
        assert own["is_own"]
        rows = (await client.ask("/v1/accounts?limit=2")).json
        assert len(rows["accounts"]) == 2
        assert rows["left_out"] == 6

    serve(source, talk)


def test_an_operation_is_found_by_how_its_hash_begins(source: Source) -> None:
    fates = [one.hash.hex() for one in source.story.fates()]
    name = next(one for one in fates if sum(other[:8] == one[:8] for other in fates) == 1)

    async def talk(client: Client) -> None:
        whole = (await client.ask(f"/v1/operations/{name}")).json
        assert whole["hash"] == name
        assert (await client.ask(f"/v1/operations/{name[:8]}")).json == whole
        for digits in (name[:7], name + "0", name[:8].upper() + "g"):
            assert (await client.ask(f"/v1/operations/{digits}")).status == 404

    serve(source, talk)


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/nowhere", 404, Refusal.NOT_FOUND),
        ("/v1/jobs/99/tree", 404, Refusal.UNKNOWN_JOB),
        ("/v1/accounts/nobody", 404, Refusal.UNKNOWN_ACCOUNT),
        ("/v1/accounts/nobody/ledger", 404, Refusal.UNKNOWN_ACCOUNT),
        ("/v1/operations/" + "ab" * 32, 404, Refusal.UNKNOWN_OPERATION),
        ("/v1/operations/abc", 404, Refusal.UNKNOWN_OPERATION),
        ("/v1/operations", 405, Refusal.METHOD_NOT_ALLOWED),
        ("/v1/jobs?limit=0", 400, Refusal.WRONG_PARAMETER),
        ("/v1/jobs?limit=501", 400, Refusal.WRONG_PARAMETER),
        ("/v1/jobs?limit=-1", 400, Refusal.WRONG_PARAMETER),
        ("/v1/jobs?limit=%C2%B2", 400, Refusal.WRONG_PARAMETER),
        ("/v1/jobs?limit=" + "9" * 5000, 400, Refusal.WRONG_PARAMETER),
        ("/v1/jobs?most=1", 400, Refusal.WRONG_PARAMETER),
        ("/v1/state?limit=1", 400, Refusal.WRONG_PARAMETER),
    ],
)
def test_what_cannot_be_answered_says_why(
    source: Source, path: str, status: int, reason: Refusal
) -> None:
    async def talk(client: Client) -> None:
        reply = await client.ask(path)
        assert reply.status == status
        assert reply.json["reason"] == reason.name
        assert reply.json["sentence"].startswith(reason.value)
        assert reply.json["hint"]
        assert misfits({"$ref": "#/components/schemas/Fault"}, reply.json, COMPONENTS) == []

    serve(source, talk)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("127.0.0.1:5", 200),
        ("[::1]:5", 200),
        ("192.0.2.7", 200),
        ("node.example", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("node.example.", 421),
        ("", 421),
        ("@localhost", 421),
    ],
)
def test_only_names_of_this_node_are_served(source: Source, host: str, status: int) -> None:
    async def talk(client: Client) -> None:
        reply = await client.ask("/v1/state", headers={"host": host})
        assert reply.status == status
        assert "access-control-allow-origin" not in reply.headers
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert (status == 200) != (reply.json.get("reason") == "WRONG_HOST")

    serve(source, talk, names=("node.example",))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer " + "cd" * 32},
        {"authorization": "ab" * 32},
        {"authorization": "Basic " + "ab" * 32},
        {"authorization": "Bearer "},
        {"authorization": "Bearer \xe9"},
    ],
)
def test_nothing_is_submitted_without_the_token(source: Source, headers: dict[str, str]) -> None:
    order = {"recipient": "ab" * 32, "amount": 1, "fee": 1}

    async def talk(client: Client) -> None:
        for path in ("/v1/transfers", "/v1/operations"):
            reply = await client.ask(path, "POST", order, headers)
            assert_told(reply, path, "post")
            assert (reply.status, reply.json["reason"]) == (401, "UNAUTHORISED")
            assert reply.headers["www-authenticate"] == "Bearer"

    serve(source, talk)
    view: Any = source.node
    assert source.desk.decide(view, SlotBegan(Slot(1))) == ()


def test_an_operation_goes_to_the_node(town: Town) -> None:
    source = source_of(town, "prover-2")
    intent = {"kind": "Intent", "capacity": 3, "until": 50}

    async def talk(client: Client) -> None:
        reply = await client.ask("/v1/operations", "POST", intent, OWNER)
        assert reply.status == 202
        assert_told(reply, "/v1/operations", "post")

    serve(source, talk)
    view: Any = source.node
    actions = source.desk.decide(view, SlotBegan(Slot(1)))
    assert actions == (Submit(Intent(Count(3), Tick(50))),)


def test_an_operation_that_no_rule_handles_is_refused(source: Source) -> None:
    award = {
        "kind": "Award",
        "bid": {
            "bid": {
                "prover": "ab" * 32,
                "round": 1,
                "sequencer": "ab" * 32,
                "price": 1,
                "bond": 1,
                "latency_ticks": 1,
                "valid_until": 9,
            },
            "signature": "ab" * 64,
        },
    }

    async def talk(client: Client) -> None:
        reply = await client.ask("/v1/operations", "POST", award, OWNER)
        assert_told(reply, "/v1/operations", "post")
        assert (reply.status, reply.json["reason"]) == (409, Reason.UNHANDLED_KIND.name)

    serve(source, talk)


def rich_source(town: Town) -> Source:
    """A source whose node has money inside the rollup."""
    source = source_of(town)
    account = source.node.account

    class RichState:
        def account(self, key: Any) -> tuple[int, int] | None:
            return (100, 7) if key == account else None

    class RichNode:
        machine, replica, account = source.node.machine, source.node.replica, source.node.account

        def state_after(self, _job: Any) -> Any:
            return RichState()

    rich: Any = RichNode()
    return Source("rich", rich, source.network, source.story, source.desk, source.clock)


def test_transfers_continue_the_nonces_and_are_signed(town: Town) -> None:
    source = rich_source(town)
    order = {"recipient": "ab" * 32, "amount": 90, "fee": 10}

    async def talk(client: Client) -> None:
        for nonce in (7, 8):
            reply = await client.ask("/v1/transfers", "POST", order, OWNER)
            assert_told(reply, "/v1/transfers", "post")
            assert (reply.status, reply.json["nonce"]) == (202, nonce)
        for change, reason in [
            ({"amount": 91}, Reason.CANNOT_PAY),
            ({"nonce": 6}, Reason.STALE_NONCE),
            ({"fee": 1 << 50}, Reason.FEE_TOO_HIGH),
        ]:
            reply = await client.ask("/v1/transfers", "POST", order | change, OWNER)
            assert_told(reply, "/v1/transfers", "post")
            assert (reply.status, reply.json["reason"]) == (409, reason.name)

    serve(source, talk)
    view: Any = source.node
    actions = source.desk.decide(view, SlotBegan(Slot(1)))
    sent = [one.signed for one in actions if isinstance(one, Send)]
    assert [one.transfer.nonce for one in sent] == [7, 8]
    assert all(transfer_is_signed(source.node.machine.network, one) for one in sent)
    assert source.desk.decide(view, SlotBegan(Slot(2))) == ()
    again = source.desk.decide(view, SlotBegan(Slot(16)))
    assert [one.signed for one in again if isinstance(one, Send)] == sent


def test_a_queue_that_is_full_takes_nothing(town: Town) -> None:
    source = rich_source(town)
    order = {"recipient": "ab" * 32, "amount": 1, "fee": 1}

    async def talk(client: Client) -> None:
        replies = [await client.ask("/v1/transfers", "POST", order, OWNER) for _ in range(65)]
        assert [one.status for one in replies] == [202] * 64 + [429]
        assert_told(replies[-1], "/v1/transfers", "post")

    serve(source, talk)


def test_who_has_nothing_inside_the_rollup_sends_nothing(source: Source) -> None:
    order = {"recipient": "ab" * 32, "amount": 1, "fee": 1}

    async def talk(client: Client) -> None:
        reply = await client.ask("/v1/transfers", "POST", order, OWNER)
        assert_told(reply, "/v1/transfers", "post")
        assert (reply.status, reply.json["reason"]) == (409, "NO_ROLLUP_ACCOUNT")

    serve(source, talk)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "NOT_JSON"),
        (b"\xff\xfe", 400, "NOT_JSON"),
        (b"[" * 100_000, 400, "NOT_JSON"),
        (b"{}", 400, "WRONG_SHAPE"),
        (b'{"amount": NaN}', 400, "WRONG_SHAPE"),
        (b" " * (application.BODY_BYTES_MAX + 1), 413, "BODY_TOO_LARGE"),
    ],
    ids=["nothing", "no text", "deep", "empty", "not a number", "too much"],
)
def test_a_bad_body_is_refused(source: Source, body: bytes, status: int, reason: str) -> None:
    async def talk(client: Client) -> None:
        reply = await client.ask("/v1/transfers", "POST", body, OWNER)
        assert_told(reply, "/v1/transfers", "post")
        assert (reply.status, reply.json["reason"]) == (status, reason)

    serve(source, talk)


def test_a_body_that_never_ends_is_refused(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "BODY_S", 0.05)

    async def talk(client: Client) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", client.server.port)
        head = "POST /v1/transfers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
        owner = f"Authorization: {OWNER['authorization']}"
        async with stream:
            await stream.send_all(f"{head}{owner}\r\n\r\n{{".encode())
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 408")

    serve(source, talk)


def test_a_fault_of_ours_is_told_and_ends_nothing(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    source = source_of(town)
    nothing: Any = None
    broken = Source("x", source.node, source.network, nothing, source.desk, source.clock)

    async def talk(client: Client) -> None:
        for _ in range(2):
            reply = await client.ask("/v1/jobs")
            assert (reply.status, reply.json["reason"]) == (500, "BROKEN")
        assert (await client.ask("/v1/peers")).status == 200

    serve(broken, talk)
    assert "AttributeError" in caplog.text
