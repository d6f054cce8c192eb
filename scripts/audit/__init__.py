"""The rules a second time: what follows from a final log, read from the sentences of the rules.

Nothing here calls ``protocol.ledger``, ``protocol.machine``'s state, ``protocol.sequencing`` or
``protocol.proving``; of those rules only their tables of parameters are used, because a genesis
leaves out what stays at its default. :class:`~scripts.audit.books.Audit` is what to call.
"""
