"""Everything between a fresh clone and a running command.

``start`` finds a Python and runs this package, which needs nothing but the standard library.
Three stages follow each other, each with a stamp that is written last:

1. the environment: ``.venv`` with exactly the packages of ``requirements.lock``;
2. the project: the Rust crate built as ``prover._native``, and provnet installed in place;
3. the circuits: their cache in ``.build/circuits``.

A stage is done when its stamp holds the digest of all that went into it and of the stage before.
Whatever interrupts a stage leaves it without a stamp, and the next run does it anew. One lock
covers all stages, so that a second terminal waits and then finds the work done.
"""
