"""Verification of run folders: what is right is accepted, whatever is changed is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import Reason
from protocol.light import BlockProof, root_statement
from protocol.messages import JobHeader, LeafHeader
from protocol.params import PLONKY2
from protocol.types import Account, Amount, BasisPoints, Beacon, Count, Digest, JobId, Round
from prover.backend import BackendMissing, Plonky2Backend
from prover.modelled import Attested
from scripts.export import export_run
from scripts.folder import block_name, load_log, log_bytes
from scripts.verify import Failure, VerifyReport, verify_run
from tests.scripts.conftest import Played
from tests.scripts.network import SmallNetwork, Wish

FIRST = f"blocks/{block_name(1)}"


def flip(path: Path, place: int, bit: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


def refusals(report: VerifyReport) -> dict[str, str]:
    assert not report.ok
    assert report.failures
    return dict(report.failures)


def rewrite(run: Path, number: int, change: Callable[[BlockProof], BlockProof]) -> None:
    path = run / "blocks" / block_name(number)
    path.write_bytes(change(BlockProof.read(path.read_bytes())).to_bytes())


def with_header(**fields: Any) -> Callable[[BlockProof], BlockProof]:
    return lambda block: replace(block, header=replace(block.header, **fields))


def with_leaf(**fields: Any) -> Callable[[BlockProof], BlockProof]:
    def change(block: BlockProof) -> BlockProof:
        content = block.header.content
        first: LeafHeader = replace(content.leaves[0], **fields)
        content = replace(content, leaves=(first, *content.leaves[1:]))
        return replace(block, header=replace(block.header, content=content))

    return change


def swapped(block: BlockProof) -> BlockProof:
    """Two different provers change places, one of them a leaf's."""
    other = next(at for at, who in enumerate(block.provers) if who != block.provers[0])
    provers = list(block.provers)
    provers[0], provers[other] = provers[other], provers[0]
    return replace(block, provers=tuple(provers))


# --- what is right ---


def test_a_run_verifies(played: Played) -> None:
    report = verify_run(played.run, payments=True)
    assert report.failures == ()
    assert report.ok
    assert "warning: modelled proofs are attestations; they prove nothing" in report.lines
    assert sum("verifies" in line and line.startswith("block ") for line in report.lines) == 3
    assert sum("settled at tick" in line for line in report.lines) == 3


def test_only_the_first_blocks(played: Played) -> None:
    report = verify_run(played.run, 2)
    assert report.ok
    assert [line[:7] for line in report.lines[2:]] == ["block 1", "block 2"]


@pytest.mark.parametrize("number", [0, 4, -1])
def test_a_block_that_is_not_there(played: Played, number: int) -> None:
    assert "block" in refusals(verify_run(played.run, number))["blocks"]


def test_a_verifier_needs_nothing_but_the_folder(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")
    program = (
        "import sys; from pathlib import Path; from scripts.verify import verify_run\n"
        "report = verify_run(Path(sys.argv[1]), payments=True)\n"
        "print(*report.failures); sys.exit(not report.ok)\n"
    )
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", program, str(run)]
    ended = subprocess.run(
        command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, ""), ended.stderr


def test_dead_provers_and_heirs_are_told(played: Played) -> None:
    lines = verify_run(played.run, payments=True).lines
    settled = [line for line in lines if "settled at tick" in line]
    assert " 0 tree nodes missed" in settled[0]
    assert " 0 tree nodes missed" not in settled[1]
    assert "prover-1 " not in settled[1].split("paid:")[1]
    assert "prover-1 " not in settled[2].split("paid:")[1]


# --- proofs and headers ---


def test_every_region_of_a_block_file(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")
    path = run / FIRST
    size = path.stat().st_size
    for place in range(0, size, 23):
        flip(path, place)
        assert not verify_run(run, 1).ok, f"byte {place} of {size}"
        flip(path, place)
    assert verify_run(run, 1).ok


def test_the_bytes_of_the_provers_one_by_one(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")
    original = BlockProof.read((run / FIRST).read_bytes())
    for at, prover in enumerate(original.provers):
        changed = Account(bytes([prover[0] ^ 1]) + prover[1:])
        provers = (*original.provers[:at], changed, *original.provers[at + 1 :])
        rewrite(run, 1, lambda block, p=provers: replace(block, provers=p))
        assert refusals(verify_run(run, 1))[FIRST].startswith(Reason.INVALID_PROOF.value)
        rewrite(run, 1, lambda block: original)


CHANGES = {
    "swapped provers": swapped,
    "fewer provers": lambda block: replace(block, provers=block.provers[:-1]),
    "a fee": with_leaf(fees=Amount(1)),
    "a digest": with_leaf(digest=bytes(32)),
    "a root in between": with_leaf(to_root=bytes(32)),
    "fee split": with_header(fee_split=BasisPoints(6_001)),
    "round": with_header(round=Round(9)),
    "sequencer": with_header(sequencer=Account(bytes(32))),
    "seed": with_header(seed=Beacon(bytes(32))),
    "pool": with_header(pool=Digest(bytes(32))),
    "network": with_header(network=bytes(32)),
    "no proof": lambda block: replace(block, proof=b""),
    "a longer proof": lambda block: replace(block, proof=block.proof + b"\0"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_block(played: Played, tmp_path: Path, name: str) -> None:
    run = played.copy(tmp_path / "run")
    rewrite(run, 1, CHANGES[name])
    assert FIRST in refusals(verify_run(run))
    assert FIRST in refusals(verify_run(run, payments=True))


def test_blocks_are_one_chain(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")
    first, second = run / FIRST, run / "blocks" / block_name(2)
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    assert set(refusals(verify_run(run))) >= {FIRST, f"blocks/{block_name(2)}"}


def test_a_forged_block_is_no_job_of_the_log(played: Played, tmp_path: Path) -> None:
    """Attestations can be forged; what the log settled cannot."""
    run = played.copy(tmp_path / "run")

    def forge(block: BlockProof) -> BlockProof:
        forged = with_header(fee_split=BasisPoints(9_000))(block)
        return replace(forged, proof=_attested(played, forged))

    rewrite(run, 3, forge)
    assert verify_run(run).ok
    reasons = refusals(verify_run(run, payments=True))
    assert reasons[f"blocks/{block_name(3)}"] == "the log settled a job with another fee split"


def test_forged_provers_are_not_those_of_the_log(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")

    def forge(block: BlockProof) -> BlockProof:
        forged = swapped(block)
        return replace(forged, proof=_attested(played, forged))

    rewrite(run, 1, forge)
    assert verify_run(run).ok
    assert refusals(verify_run(run, payments=True))[FIRST] == "the log recorded other provers"


def _attested(played: Played, block: BlockProof) -> bytes:
    backend = played.network.backend
    one = root_statement(backend, block)
    attested = Attested(
        True, one.first, one.end, one.job, one.prover, one.from_root, one.to_root, one.claim
    )
    return attested.to_bytes(backend.proof_bytes)


# --- the log ---


def test_every_region_of_the_log(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")
    size = (run / "log").stat().st_size
    for place in range(0, size, size // 24):
        flip(run / "log", place)
        assert not verify_run(run, payments=True).ok, f"byte {place} of {size}"
        flip(run / "log", place)


def test_a_log_that_ends_too_early(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")
    (run / "log").write_bytes(log_bytes(load_log(run)[:-1]))
    assert "the log ends at" in refusals(verify_run(run, payments=True))["summary.json"]


def test_a_log_without_a_block(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")
    certified = load_log(run)
    (run / "log").write_bytes(log_bytes(certified[:5] + certified[6:]))
    assert "at height 6" in refusals(verify_run(run, payments=True))["log"]


# --- payouts ---


def test_every_payout(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")
    original = json.loads((run / "summary.json").read_text())
    for name, income in original["income"].items():
        for cause in income["by_cause"]:
            summary = json.loads(json.dumps(original))
            summary["income"][name]["by_cause"][cause] += 1
            summary["income"][name]["total"] += 1
            assert_refused(run, summary, f"summary.json: income of {name}")
    for name in original["income"]:
        original["income"][name]["total"] -= 1
    (run / "summary.json").write_text(json.dumps(original))
    refused = refusals(verify_run(run, payments=True))
    assert set(refused) == {f"summary.json: income of {name}" for name in original["income"]}


@pytest.mark.parametrize(
    ("income", "what"),
    [
        ({"stranger": {"total": 1, "by_cause": {"PROVER_PAY": 1}}}, "income of stranger"),
        ({"prover-4": None}, "income of prover-4"),
        ({"prover-4": {"total": 0.0, "by_cause": {}}}, "income of prover-4"),
    ],
)
def test_odd_incomes(played: Played, tmp_path: Path, income: dict[str, Any], what: str) -> None:
    run = played.copy(tmp_path / "run")
    summary = json.loads((run / "summary.json").read_text())
    summary["income"] |= income
    assert_refused(run, summary, f"summary.json: {what}")


def test_an_income_left_out(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")
    summary = json.loads((run / "summary.json").read_text())
    del summary["income"]["prover-4"]
    assert_refused(run, summary, "summary.json: income of prover-4")


def assert_refused(run: Path, summary: Any, what: str) -> None:
    (run / "summary.json").write_text(json.dumps(summary))
    assert what in refusals(verify_run(run, payments=True))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not a table"),
        ("{}", "it has no final_height"),
        ('{"final_height": true}', "it has no final_height"),
        ('{"final_height": 999}', "it speaks of height 999"),
        ('{"final_height": 1}', "it has no table of income"),
        ('{"final_height": 1, "income": 7}', "it has no table of income"),
    ],
)
def test_odd_summaries(played: Played, tmp_path: Path, text: str, sentence: str) -> None:
    run = played.copy(tmp_path / "run")
    (run / "summary.json").write_text(text)
    assert sentence in refusals(verify_run(run, payments=True))["summary.json"]


# --- the folder ---


@pytest.mark.parametrize("name", ["genesis.toml", "log", "summary.json"])
def test_a_missing_file(played: Played, tmp_path: Path, name: str) -> None:
    run = played.copy(tmp_path / "run")
    (run / name).unlink()
    assert "cannot be read" in refusals(verify_run(run, payments=True))[name]


def test_missing_blocks(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")
    (run / "blocks" / block_name(3)).unlink()
    assert verify_run(run).ok
    what = f"blocks/{block_name(3)}"
    assert "the file is missing" in refusals(verify_run(run, payments=True))[what]
    (run / FIRST).unlink()
    assert "later blocks are there" in refusals(verify_run(run))[FIRST]


def test_a_block_too_many(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")
    (run / "blocks" / block_name(4)).write_bytes((run / FIRST).read_bytes())
    reasons = refusals(verify_run(run, payments=True))
    assert reasons[f"blocks/{block_name(4)}"] == "the final log settles no such job"


def test_another_genesis(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")
    text = (run / "genesis.toml").read_text()
    (run / "genesis.toml").write_text(text.replace('name = "small"', 'name = "smell"'))
    assert "another network" in refusals(verify_run(run))[FIRST]


@pytest.mark.parametrize("text", ["", "[network]", "\xff", "rollup = []"])
def test_no_genesis(played: Played, tmp_path: Path, text: str) -> None:
    run = played.copy(tmp_path / "run")
    (run / "genesis.toml").write_bytes(text.encode("latin-1"))
    assert set(refusals(verify_run(run))) == {"genesis.toml"}


def test_a_failure_is_a_pair() -> None:
    what, reason = Failure("a file", "a sentence")
    assert (what, reason) == ("a file", "a sentence")


# --- real proofs ---


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One block of two leaves with real proofs, proved in this process."""
    backend = Plonky2Backend()
    try:
        backend.require_circuits()
    except BackendMissing:
        backend.build_circuits()
    run = tmp_path_factory.mktemp("proven")
    network = SmallNetwork(Wish(backend, PLONKY2, 2, 1), run)
    network.play()
    export_run(run, network.node)
    return run


def test_a_real_block(proven: Path, tmp_path: Path) -> None:
    report = verify_run(proven, payments=True)
    assert report.failures == ()
    assert not any("warning" in line for line in report.lines)
    path = proven / FIRST
    size = path.stat().st_size
    for place in [*range(0, 900, 90), *range(900, size, size // 20), size - 1]:
        flip(path, place, 0x10)
        assert not verify_run(proven).ok, f"byte {place} of {size}"
        flip(path, place, 0x10)
    assert verify_run(proven).ok


def test_a_real_proof_binds_job_provers_and_fees(proven: Path) -> None:
    original = BlockProof.read((proven / FIRST).read_bytes())
    header: JobHeader = original.header
    assert header.content.parent == JobId(bytes(32))
    assert Count(header.leaf_count) == 2
    for change in (
        lambda block: replace(block, provers=(Account(bytes(32)), *block.provers[1:])),
        with_leaf(fees=Amount(header.content.leaves[0].fees + 1)),
        with_header(fee_split=BasisPoints(1)),
    ):
        rewrite(proven, 1, change)
        assert FIRST in refusals(verify_run(proven))
        rewrite(proven, 1, lambda block: original)
