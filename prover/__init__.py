"""Makes proofs: the proof system and its stand-in behind one port, and the processes that work for
a node.

The reader's path: ``tasks`` (what is asked for), ``statement`` (what every proof is held against),
``backend`` (plonky2) and ``modelled`` (the stand-in), ``schedule`` (who is next, on how many
threads), ``worker`` (the child process), ``process`` (its parent's end), ``pool`` (all of it for a
trio program).

Importing this package needs no native code; constructing :class:`prover.backend.Plonky2Backend`
does.
"""
