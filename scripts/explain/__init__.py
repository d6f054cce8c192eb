"""Why a tree node went to whom, recomputed from what everybody has: genesis and certified log.

``publiclog`` checks and replays the log, ``case`` gathers what concerns one tree node, ``deal``
recomputes who was dealt what, ``reasons`` shows why, ``steps`` puts it in order, ``telling`` says
it to a person or as JSON, ``command`` is the command line. No file that a node wrote about itself
is read.
"""
