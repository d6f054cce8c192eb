"""What every statement must satisfy before a proof of it is looked at.

A statement names a tree node twice, as an index and as a span of leaves, and binds its content
through its claim. Both backends refuse the same contradictions here, with the words that they use
for proofs.
"""

from __future__ import annotations

from protocol import tree
from protocol.ports import LeafContent, ProverBackend, Statement
from protocol.types import Claim


def contradiction(backend: ProverBackend, statement: Statement) -> str | None:
    """None when the statement's parts fit each other, else a word for those that do not. Total."""
    if tree.span(statement.index) != (statement.first, statement.end):
        return "span"
    if isinstance(statement.content, LeafContent) != (statement.index.level == 0):
        return "content"
    try:
        claim = _claim(backend, statement)
    except ValueError:
        # not what a hash can have given: no claim binds such content
        return "content"
    return None if claim == statement.claim else "claim"


def _claim(backend: ProverBackend, statement: Statement) -> Claim:
    if isinstance(statement.content, LeafContent):
        position = statement.index.position
        return backend.leaf_claim(statement.prover, position, statement.content)
    return backend.merge_claim(statement.prover, statement.content)
