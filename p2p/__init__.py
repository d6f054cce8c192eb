"""The network under a node: gossip and requests among authenticated peers.

Read in this order: ``limits`` (every bound), ``registry`` (what both networks share), ``memory``
(the stand-in), then ``host`` with its parts ``gossip``, ``exchange``, ``peers``; ``guards`` last.
"""
