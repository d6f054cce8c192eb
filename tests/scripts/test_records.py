"""Values as lines of JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol.events import Assigned
from protocol.ledger import BURNED, VAULT, Cause, Moved
from protocol.types import Amount, Count, JobId, TreeIndex
from scripts.records import plain, read_lines, record, record_of, write_json

JOB = JobId(b"\x0a" * 32)
INDEX = TreeIndex(Count(1), Count(2))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        ("text", "text"),
        (b"\x01\xff", "01ff"),
        (INDEX, [1, 2]),
        (Cause.PROVER_PAY, "PROVER_PAY"),
        ((1, (b"\0",)), [1, ["00"]]),
        ([INDEX], [[1, 2]]),
    ],
)
def test_plain(value: object, expected: object) -> None:
    assert plain(value) == expected


@pytest.mark.parametrize("value", [1.5, {1}, object(), Moved, {"a": 1}])
def test_what_has_no_place_in_a_record(value: object) -> None:
    with pytest.raises(TypeError, match="has no place in a record"):
        plain(value)


def test_a_record_of_an_event() -> None:
    assert record_of(Assigned(JOB, INDEX, None), 5, tick=3) == {
        "at_ms": 5,
        "kind": "Assigned",
        "tick": 3,
        "job": "0a" * 32,
        "index": [1, 2],
        "prover": None,
    }


def test_nested_values_are_tables() -> None:
    moved = Moved(VAULT, BURNED, Amount(9), Cause.ROUNDING, JOB, place=INDEX)
    found = record_of(moved, 0)
    assert found["source"] == {"kind": "ROLLUP_VAULT", "owner": ""}
    assert found["target"] == {"kind": "BURNED", "owner": ""}
    assert (found["kind"], found["cause"], found["place"]) == ("Moved", "ROUNDING", [1, 2])
    assert json.loads(json.dumps(found)) == found


def test_a_record_of_a_kind() -> None:
    assert record("Stage", 1, who=b"\x02") == {"at_ms": 1, "kind": "Stage", "who": "02"}


def test_a_field_of_a_nested_value_keeps_its_name() -> None:
    @dataclass(frozen=True)
    class Outer:
        inner: Assigned

    assert record_of(Outer(Assigned(JOB, INDEX, None)), 0)["inner"]["index"] == [1, 2]


def test_files_are_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    for value in ({"a": 1}, [2]):
        write_json(path, value)
        assert json.loads(path.read_text()) == value
    assert [one.name for one in tmp_path.iterdir()] == ["value.json"]


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    assert list(read_lines(path)) == [{"a": 1}, {"a": 2}]
