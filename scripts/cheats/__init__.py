"""Nodes that break rules on purpose, to show what the honest ones do about it.

The problem: a protocol for strangers is worth what it does with those that cheat, and an honest
program has no way to cheat.

The rules: honest code knows nothing of this package. A cheat is a wrapper around a port of a node
(its agents, its network, its replica), in one small file that says what it does, which rule that
breaks, which named reason meets it, and whom it may cost. :mod:`scripts.cheats.node` puts the
wrappers around a node whose ``node.toml`` has a table ``[cheats]``, and nobody else's; the node
tells each of its cheats in its log and as a ``Cheat`` in its ``events.jsonl``.

The property: a wrapper says what its node could say by itself with a changed program. It signs with
this node's keys only, and reaches into nothing.
"""
