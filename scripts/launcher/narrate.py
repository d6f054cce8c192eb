"""Tells a run while it happens: one plain line for each thing worth knowing.

It is given what :class:`scripts.launcher.watch.Story` passes on, so that a final event is told
once; what a node does by itself (proving) is told as that node reports it. Times count from the
launch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from protocol.events import Acquittal
from scripts.launcher.plan import Plan
from scripts.words import counted

TELL_EVERY = 10
"""Ticks between two lines about the log itself."""

SHORT = 8
"""Hexadecimal digits that stand for a long name."""


_SKIPS: Final = {
    "NOT_REVEALED": "nobody revealed in time",
    "NOT_COMMITTED": "no prover was committed in time",
    "PARENT_FELL": "the block that it built on fell",
}
"""Why a round made no block, by the name of the reason."""


class Narrator:
    """Turns records into sentences."""

    def __init__(self, plan: Plan, start_ms: int) -> None:
        self._names = plan.names
        self._start_ms = start_ms
        self._jobs: dict[str, int] = {}
        self._elected: dict[str, None] = {}
        self._root = plan.wish.leaves.bit_length() - 1
        self._tell: dict[str, Callable[[dict[str, Any]], str | None]] = {
            "Final": self._tell_final,
            "LeaderElected": self._tell_leader_elected,
            "RunnerUpElected": self._tell_runner_up_elected,
            "RoundSkipped": self._tell_round_skipped,
            "Awarded": self._tell_awarded,
            "JobOpened": self._tell_job_opened,
            "Assigned": self._tell_assigned,
            "ProofStarted": self._tell_proof_started,
            "ProofFinished": self._tell_proof_finished,
            "ProofRecorded": self._tell_proof_recorded,
            "ProofOffered": self._tell_proof_offered,
            "UncleClaimed": self._tell_uncle_claimed,
            "SlashPending": self._tell_slash_pending,
            "SlashVoted": self._tell_slash_voted,
            "ProverSlashed": self._tell_prover_slashed,
            "ProverAcquitted": self._tell_prover_acquitted,
            "RightMissed": self._tell_right_missed,
            "TakenOver": self._tell_taken_over,
            "JobSettled": self._tell_job_settled,
            "JobVoided": self._tell_job_voided,
            "BackupTaken": self._tell_backup_taken,
            "InvalidProofPunished": self._tell_invalid_proof_punished,
            "EquivocationPunished": self._tell_equivocation_punished,
            "Cheat": self._tell_cheat,
            "Halted": self._tell_halted,
        }

    def tell(self, node: str, record: dict[str, Any]) -> str | None:
        """The line for one record; None for most."""
        tell = self._tell.get(record["kind"])
        sentence = None if tell is None else tell(record | {"node": node})
        if sentence is None:
            return None
        tick = record.get("tick")
        seconds = (record["at_ms"] - self._start_ms) / 1000
        where = f"tick {tick:>4}" if tick is not None else " " * 9
        return f"{seconds:7.1f} s  {where}  {sentence}"

    def line(self, now_ms: int, sentence: str) -> str:
        """A line of the launcher's own."""
        return f"{(now_ms - self._start_ms) / 1000:7.1f} s  {' ' * 9}  {sentence}"

    # --- one method a kind of record ---

    def _tell_final(self, record: dict[str, Any]) -> str | None:
        if record["tick"] % TELL_EVERY:
            return None
        return f"final in slot {record['slot']}, state {record['digest'][:SHORT]}"

    def _tell_leader_elected(self, record: dict[str, Any]) -> str:
        share = record["fee_split"] / 100
        return (
            f"round {record['round']}: {self._name(record['leader'])} leads among "
            f"{record['candidates']}, {share:g} % of fees to provers"
        )

    def _tell_runner_up_elected(self, record: dict[str, Any]) -> str:
        return f"round {record['round']}: {self._name(record['sequencer'])} may make the block, too"

    def _tell_round_skipped(self, record: dict[str, Any]) -> str:
        why = _SKIPS[record["why"]]
        leader = "" if record["leader"] is None else f", {self._name(record['leader'])} led"
        return f"round {record['round']}: skipped, {why}{leader}"

    def _tell_awarded(self, record: dict[str, Any]) -> str:
        return (
            f"round {record['round']}: {self._name(record['sequencer'])} awards its block to "
            f"{self._name(record['prover'])} for {record['price']:,}, bond {record['bond']:,}"
        )

    def _tell_job_opened(self, record: dict[str, Any]) -> str:
        number = self._jobs.setdefault(record["job"], len(self._jobs) + 1)
        header = record["header"]
        leaves = header["content"]["leaves"]
        fees = sum(leaf["fees"] for leaf in leaves)
        seed, pool = header["seed"][:SHORT], len(record["pool"])
        sentence = f"block {number}: {len(leaves)} leaves, fees {fees:,}, seed {seed}"
        if not pool:
            return sentence
        self._elected[record["job"]] = None
        return f"{sentence}, {pool} provers in the pool"

    def _tell_assigned(self, record: dict[str, Any]) -> str | None:
        """Where nobody is in the pool, the award said whose everything is."""
        prover = record["prover"]
        if prover is not None and record["job"] not in self._elected:
            return None
        holder = "anybody" if prover is None else self._name(prover)
        return f"{self._block(record)}: {self._place(record)} elects {holder}"

    def _tell_proof_started(self, record: dict[str, Any]) -> str:
        key = record["key"]
        return f"{self._block(key)}: {record['node']} proves {self._place(key)}"

    def _tell_proof_finished(self, record: dict[str, Any]) -> str:
        key, seconds = record["key"], record["wall_ms"] / 1000
        return (
            f"{self._block(key)}: {record['node']} proved {self._place(key)} "
            f"in {seconds:.1f} s on {counted(record['threads'], 'thread')}"
        )

    def _tell_proof_recorded(self, record: dict[str, Any]) -> str:
        return (
            f"{self._block(record)}: {self._place(record)} recorded for "
            f"{self._name(record['prover'])}"
        )

    def _tell_proof_offered(self, record: dict[str, Any]) -> str:
        return (
            f"{self._block(record)}: {self._name(record['prover'])} offers "
            f"{self._place(record)} to who proves above it"
        )

    def _tell_uncle_claimed(self, record: dict[str, Any]) -> str:
        return (
            f"{self._block(record)}: {self._name(record['prover'])} proved "
            f"{self._place(record)}, too, and claims it as an uncle"
        )

    def _tell_slash_pending(self, record: dict[str, Any]) -> str:
        return (
            f"{self._block(record)}: {self._name(record['prover'])} failed and loses "
            f"{record['penalty']:,} of its stake unless it shows its proofs by tick "
            f"{record['grace_ends']}"
        )

    def _tell_slash_voted(self, record: dict[str, Any]) -> str:
        verdict = "guilty" if record["is_guilty"] else "not guilty"
        return (
            f"{self._block(record)}: {self._name(record['voter'])} finds "
            f"{self._name(record['prover'])} {verdict}"
        )

    def _tell_prover_slashed(self, record: dict[str, Any]) -> str:
        return f"{self._block(record)}: {self._name(record['prover'])} is slashed"

    def _tell_prover_acquitted(self, record: dict[str, Any]) -> str:
        return (
            f"{self._block(record)}: {self._name(record['prover'])} keeps its stake: "
            f"{Acquittal[record['why']].value}"
        )

    def _tell_right_missed(self, record: dict[str, Any]) -> str:
        verb = "missed" if record["failed"] else "declined"
        return f"{self._block(record)}: {self._name(record['holder'])} {verb} {self._place(record)}"

    def _tell_taken_over(self, record: dict[str, Any]) -> str:
        heir = "anybody" if record["heir"] is None else self._name(record["heir"])
        return (
            f"{self._block(record)}: {self._place(record)} passes from "
            f"{self._name(record['previous'])} to {heir}"
        )

    def _tell_job_settled(self, record: dict[str, Any]) -> str:
        return f"{self._block(record)}: proven and paid"

    def _tell_job_voided(self, record: dict[str, Any]) -> str:
        because = self._jobs.get(record["because"], 0)
        number = self._number(record)
        return f"block {number}: void" + (f", because of block {because}" * (because != number))

    def _tell_backup_taken(self, record: dict[str, Any]) -> str:
        return f"{self._name(record['prover'])} backs up with a whole block and its proof"

    def _tell_invalid_proof_punished(self, record: dict[str, Any]) -> str:
        return (
            f"{self._block(record)}: {self._name(record['offender'])} signed bytes that do "
            f"not prove {self._place(record)}, says {self._name(record['reporter'])}: slashed"
        )

    def _tell_equivocation_punished(self, record: dict[str, Any]) -> str:
        return (
            f"{self._name(record['offender'])} signed two things for slot {record['slot']}, says "
            f"{self._name(record['reporter'])}: slashed"
        )

    def _tell_cheat(self, record: dict[str, Any]) -> str:
        return f"CHEAT {record['node']} {record['cheat']}: {record['what']}"

    def _tell_halted(self, record: dict[str, Any]) -> str:
        return f"{record['node']} stops voting: {record['sentence']}"

    # --- words ---

    def _name(self, account: str) -> str:
        return self._names.get(account, account[:SHORT])

    def _block(self, record: dict[str, Any]) -> str:
        """A block by its number; what is no job yet, and may never be one, is a backup."""
        number = self._number(record)
        return f"block {number}" if number else "backup"

    def _number(self, record: dict[str, Any]) -> int:
        return self._jobs.get(record["job"], 0)

    def _place(self, record: dict[str, Any]) -> str:
        level, position = record["index"]
        if level == 0:
            return f"leaf {position}"
        return "the root" if level == self._root else f"merge {level}:{position}"
