"""A node's HTTP API, its metrics and its explorer page: the only place that knows HTTP.

**The problem.** Whoever runs a node, or only looks at a network, wants to ask and to watch without
reading files of another process; and whoever may ask must not be able to slow the node, to fill its
memory, or to spend its money.

**Rules.**

- Reads are of final state. A model fed by the node's observer keeps the last blocks, jobs and moves
  of money (``story``); answers are made from it and from the node's final state (``answers``).
- What an endpoint takes and gives is declared once (``routes``, ``values``): the application serves
  from the declarations, and the OpenAPI document is written from them (``schema``, ``openapi``).
- What submits in the node's name needs the node's token (``token``). Requests are served only under
  a name of this machine, without CORS, within limits (``application``, ``server``).
- Off unless the configuration has the table ``[api]``; on loopback unless it says otherwise.

**Properties.** No request waits for, or holds, the node's loop longer than its answer takes to
make; what is kept is bounded by constants that stand where they are used.
"""
