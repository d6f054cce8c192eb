"""What a machine can prove within its budgets, and what that would have earned.

``measure`` takes times and memory with real proofs, ``earnings`` holds them against the settled
blocks of a run or of a node, ``edit`` writes them into a ``node.toml``, ``command`` shows them.
"""
