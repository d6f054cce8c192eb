"""What an audit finds: jobs as they stood when they were settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from protocol.messages import JobHeader
from protocol.types import Account, JobId

Place: TypeAlias = tuple[int, int]
"""Level and position of a tree node."""


@dataclass(frozen=True, slots=True)
class Payment:
    """An amount in micro-units that an account earned by a cause; account None: it was burned."""

    account: Account | None
    cause: str
    amount: int


@dataclass(frozen=True, slots=True)
class Settled:
    """A job that was paid.

    :ivar tick: when.
    :ivar provers: whose record each tree node has, leaves first, each level from the left.
    :ivar missed: tree nodes whose own prover missed its window.
    :ivar payments: all that left the escrow.
    """

    job: JobId
    header: JobHeader
    tick: int
    provers: tuple[Account, ...]
    missed: tuple[Place, ...]
    payments: tuple[Payment, ...]
