"""The files of a run folder that a verifier reads, and the proof system that its genesis names.

``genesis.toml``; ``log``, certified log blocks in one framed file; ``blocks/0001.block`` and so on,
one :class:`protocol.light.BlockProof` a settled job; ``summary.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from protocol.codec import decode, encode
from protocol.errors import Refused
from protocol.light import BlockProof, frame, read_frames
from protocol.messages import LOG_BLOCK_BYTES_MAX, CertifiedBlock
from protocol.ordering.validators import Validator
from protocol.params import MODELLED, Genesis, parse_genesis
from prover.backend import Plonky2Backend
from prover.modelled import ModelledBackend

GENESIS: Final = "genesis.toml"
LOG: Final = "log"
SETS: Final = "sets"
BLOCKS: Final = "blocks"
SUMMARY: Final = "summary.json"

CERTIFIED_BYTES_MAX: Final = LOG_BLOCK_BYTES_MAX + 64_000
"""Largest log block with its certificate, in bytes."""

_LOG_HEADING: Final = b"provnet/log/1"
_SETS_HEADING: Final = b"provnet/sets/1"


class RunUnreadable(Exception):
    """A file of a run folder is missing or is not what it must be.

    :ivar what: which file.
    :ivar sentence: what is wrong with it.
    """

    def __init__(self, what: str, sentence: str) -> None:
        super().__init__(f"{what}: {sentence}")
        self.what = what
        self.sentence = sentence


def load_genesis(run: Path) -> Genesis:
    """The genesis of a run. Raises :class:`RunUnreadable`."""
    try:
        return parse_genesis(_read(run / GENESIS).decode())
    except (Refused, UnicodeDecodeError) as failure:
        raise RunUnreadable(GENESIS, str(failure)) from None


def load_log(run: Path) -> tuple[CertifiedBlock, ...]:
    """The certified blocks of a run's log, lowest first, unchecked.

    Raises :class:`RunUnreadable`.
    """
    try:
        return tuple(
            decode(CertifiedBlock, one, size_max=CERTIFIED_BYTES_MAX)
            for one in read_frames(_LOG_HEADING, _read(run / LOG))
        )
    except Refused as refusal:
        raise RunUnreadable(LOG, str(refusal)) from None


def log_bytes(certified: Iterable[CertifiedBlock]) -> bytes:
    """The bytes of a run's log."""
    return frame(_LOG_HEADING, (encode(one) for one in certified))


def load_sets(run: Path) -> tuple[tuple[Validator, ...], ...]:
    """The members of every set of validators that differs from the one before, unchecked; nothing
    where all blocks were ordered by those of the genesis.

    Raises :class:`RunUnreadable`.
    """
    if not (run / SETS).exists():
        return ()
    try:
        return tuple(
            decode(tuple[Validator, ...], one, size_max=CERTIFIED_BYTES_MAX)
            for one in read_frames(_SETS_HEADING, _read(run / SETS))
        )
    except Refused as refusal:
        raise RunUnreadable(SETS, str(refusal)) from None


def sets_bytes(sets: Iterable[tuple[Validator, ...]]) -> bytes:
    """The bytes of a run's sets of validators."""
    return frame(_SETS_HEADING, (encode(one, tuple[Validator, ...]) for one in sets))


def block_name(number: int) -> str:
    """Name of the file of the block with this number, counted from 1."""
    return f"{number:04}.block"


def count_blocks(run: Path) -> int:
    """How many blocks a run holds. Raises :class:`RunUnreadable` when they are not 1 to n."""
    names = {path.name for path in (run / BLOCKS).glob("*.block")}
    lacking = {block_name(number + 1) for number in range(len(names))} - names
    if lacking:
        raise RunUnreadable(f"{BLOCKS}/{min(lacking)}", "it is missing, but later blocks are there")
    return len(names)


def load_block(run: Path, number: int) -> BlockProof:
    """A block of a run, unchecked. Raises :class:`RunUnreadable`."""
    name = f"{BLOCKS}/{block_name(number)}"
    try:
        return BlockProof.read(_read(run / name, name))
    except Refused as refusal:
        raise RunUnreadable(name, str(refusal)) from None


def load_summary(run: Path) -> dict[str, Any]:
    """The table of ``summary.json``. Raises :class:`RunUnreadable`."""
    try:
        summary = json.loads(_read(run / SUMMARY))
    except ValueError as failure:
        raise RunUnreadable(SUMMARY, f"it is not JSON: {failure}") from None
    if not isinstance(summary, dict):
        raise RunUnreadable(SUMMARY, "it is not a table")
    return summary


def backend_of(genesis: Genesis) -> Plonky2Backend | ModelledBackend:
    """What verifies the proofs of a network. Raises :class:`prover.backend.BackendMissing`."""
    return ModelledBackend() if genesis.network.backend == MODELLED else Plonky2Backend()


def _read(path: Path, name: str = "") -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        raise RunUnreadable(name or path.name, f"it cannot be read: {failure.strerror}") from None
