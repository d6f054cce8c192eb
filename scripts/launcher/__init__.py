"""Launches a testnet of real processes on this machine, breaks it on request, and says what
happened.

``plan`` decides who there is and under which parameters, ``processes`` starts and stops nodes,
``watch`` reads what they write, ``faults`` kills at a moment of the protocol, ``summary`` judges
the run, ``testnet`` puts them together.
"""
