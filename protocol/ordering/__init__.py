"""Ordering: one growing list of log blocks that all honest validators agree on.

:class:`~protocol.ordering.streamlet.Streamlet` is the engine. Another one would offer the same:
take ``on_time``, ``on_block``, ``on_vote`` and ``on_certified``, return
:mod:`outputs <protocol.ordering.outputs>`, and leave signing, disk, network and the meaning of
operations to its owner.
"""

from protocol.ordering.chain import Anchor, Link, genesis
from protocol.ordering.outputs import (
    Candidate,
    Discarded,
    Draft,
    Equivocation,
    Finalised,
    Missing,
    Notarised,
    Output,
    ProposalDue,
    VoteDue,
)
from protocol.ordering.settings import Settings
from protocol.ordering.streamlet import SignedSlots, Streamlet
from protocol.ordering.validators import Identity, Validator, Validators

__all__ = [
    "Anchor",
    "Candidate",
    "Discarded",
    "Draft",
    "Equivocation",
    "Finalised",
    "Identity",
    "Link",
    "Missing",
    "Notarised",
    "Output",
    "ProposalDue",
    "Settings",
    "SignedSlots",
    "Streamlet",
    "Validator",
    "Validators",
    "VoteDue",
    "genesis",
]
