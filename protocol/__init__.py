"""The rules of a proving network: pure, deterministic, complete.

Nothing in here does I/O, reads a clock, draws randomness, logs, or computes with floats. Time,
entropy and messages come in as arguments; what follows from them comes out as values. The reader's
path: ``types``, ``messages``, ``ledger``, ``machine``, one rule in ``sequencing`` and one in
``proving``, then ``ordering`` and ``replica``.
"""
