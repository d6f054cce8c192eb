"""A whole network in one process: the nodes' own code, in virtual time, with faults from one seed.

**The problem.** What goes wrong in a network goes wrong rarely, in an order that nobody thought of,
and never again while somebody looks. So it has to be made to go wrong often, in any order, and as
often as one likes in the same one (FoundationDB; https://apple.github.io/foundationdb/testing.html;
TigerBeetle, ``src/vopr.zig``).

**What is real.** The node (``p2p.node``), its replica, its archive, its agents and its pool, as
``scripts.node`` puts them together; the members and the genesis are those of ``provnet testnet``.

**What stands in for what.** ``p2p.memory`` for libp2p, ``p2p.memory_disk`` for the disk,
:mod:`~scripts.simulation.hardware` for machines, ``prover.modelled`` for proofs, trio's virtual
clock for time, :mod:`~scripts.simulation.sharing` for computing the same thing in every node.
**What is left out.** The HTTP API, the files for people, and the greeting by which nodes compare
their clocks: the clock of a simulated node is never doubted.

**Rules.** A run is a function of a seed and its options: :mod:`~scripts.simulation.scheduling`
draws turns, :mod:`~scripts.simulation.faults` what goes wrong, and every other chance has a stream
of lots of its own. A run has two parts: until it is healed, whatever goes wrong, nothing unsafe may
happen; afterwards the network has to finish its work. The digest of a run covers everything that
any node was told, wrote down and did, in order.
"""
