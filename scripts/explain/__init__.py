"""Why a tree node went to whom, recomputed from what everybody has: genesis and certified log.

``publiclog`` checks and replays the log, ``deal`` recomputes who was dealt what, ``steps`` puts
together what happened to one tree node, ``telling`` says it to a person or as JSON, ``command`` is
the command line. No file that a node wrote about itself is read.
"""
