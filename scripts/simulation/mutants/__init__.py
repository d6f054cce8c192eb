"""Planted bugs that the simulation has to find, to show that its checkers can.

**The problem.** A checker that never spoke may be right about a network without faults, or blind.

**Rules.** A bug is one text in the place of another in one function (:mod:`.mutant`), the same in
all nodes of the process, as a bug in a release is. Each is searched for seed after seed, in a
network in which it can show; when something was found, the same seed is run without the bug, and
then nothing may be found (:mod:`.hunt`). The first of them is a canary: it shows in few operations
only, so that a search that gives up too early is noticed (TigerBeetle, ``src/fuzz_tests.zig``).
"""
