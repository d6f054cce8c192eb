"""Every bound of the network, with its unit and its reason.

A bound here is a promise to the operator: whatever peers send, memory, time and log stay below it.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Size(NamedTuple):
    """How many entries a table has now, and the most it may have where it is bounded by itself."""

    length: int
    most: int | None = None


KIB: Final = 1024
MIB: Final = 1024 * KIB

# gossip

GOSSIP_BYTES_MAX: Final = 256 * KIB
"""Bytes of one gossiped payload: a block proposal with a thousand transfers; bodies go by
request.
"""

RPC_BYTES_MAX: Final = 1 * MIB
"""Bytes of one gossip frame: the size to which the library splits what it sends."""

RPC_MESSAGES_MAX: Final = 1024
"""Messages in one gossip frame. They are processed in turn, so this bounds parsing, not time."""

RPC_SUBSCRIPTIONS_MAX: Final = 64
"""Subscriptions in one gossip frame: several times the topics there are."""

RPC_CONTROL_BYTES_MAX: Final = 64 * KIB
"""Bytes of control messages in one gossip frame: about 700 message ids."""

RPC_OTHER_FIELDS_MAX: Final = 16
"""Fields of a gossip frame that we do not read; other implementations add a few."""

MESSAGE_ENVELOPE_BYTES_MAX: Final = 512
"""Bytes around a payload: author, number, topic, signature, and a key nobody needs."""

CONTROL_ENTRIES_MAX: Final = 64
"""IHAVE, IWANT, GRAFT or PRUNE entries taken from one frame: one a topic each is usual."""

CONTROL_IDS_MAX: Final = 512
"""Message ids taken from one frame's IHAVE and IWANT entries."""

PRUNE_BACK_OFF_S_MAX: Final = 60
"""Seconds of back-off a peer may ask for; the field is 64 bits wide."""

GOSSIP_MESSAGES_PER_S: Final = 200.0
"""Messages a second read from one peer over time. At a millisecond and a half each a flood costs
at most a third of a core.
"""

GOSSIP_MESSAGES_BURST: Final = 1000.0
"""Messages read at once from a peer that was quiet: a catch-up after a stall."""

GOSSIP_BYTES_PER_S: Final = 4.0 * MIB
"""Bytes a second read from one peer's gossip over time."""

GOSSIP_BYTES_BURST: Final = 16.0 * MIB
"""Bytes read at once from a peer that was quiet."""

GOSSIP_FRAME_S: Final = 20.0
"""Seconds for a frame to arrive whole once its length is known: a stalled body ends the stream."""

GOSSIP_CHUNK_BYTES: Final = 16 * KIB
"""Bytes asked of a stream at once. Small, because the sender gives up after 5 s without credit and
a throttled reader must give some well before that."""

WINDOW_BATCH_BYTES: Final = 16 * KIB
"""Bytes read from a stream before its sender is given new credit: a sixteenth of the window."""

READ_AHEAD_BYTES: Final = 16 * KIB
"""Bytes taken from a socket at once when less is asked for: some 50 small frames."""

REPLAY_BYTES_PER_S: Final = 1.0 * MIB
"""Bytes a second of cached messages a peer may ask for again (IWANT)."""

REPLAY_BYTES_BURST: Final = 4.0 * MIB
"""Bytes of cached messages a peer may ask for at once."""

QUEUE_MESSAGES_MAX: Final = 1024
"""Frames waiting for one peer; more are dropped, gossip repairs it."""

QUEUE_BATCH_BYTES: Final = 32 * KIB
"""Bytes of waiting frames written to a peer at once; a larger frame is written alone."""

QUEUE_BYTES_MAX: Final = 8 * MIB
"""Bytes waiting for one peer: 64 frozen peers hold half a gigabyte at worst."""

SEEN_MESSAGES_MAX: Final = 200_000
"""Message ids remembered, about 40 MB: 120 s at 1,600 messages a second."""

SEEN_S: Final = 120.0
"""Seconds a message id is remembered. Not replay protection: that is the protocol's."""

HEARTBEAT_S: Final = 1
"""Seconds between heartbeats of the mesh; the specification's value."""

ANNOUNCE_S: Final = 5.0
"""Seconds between repeats of our subscriptions: heals a peer that forgot them when a stream
broke.
"""

MESH_DEGREE: Final = 4
"""Mesh peers wanted a topic. Each costs a copy of every message, half a millisecond of a core;
beside flood publishing few are enough."""

MESH_DEGREE_LOW: Final = 3
"""Mesh peers a topic below which more are grafted."""

MESH_DEGREE_HIGH: Final = 6
"""Mesh peers a topic above which some are pruned."""

SMALL_MESH_DEGREE: Final = 2
"""Mesh peers wanted a topic while fewer than ``PEERS_MAX`` peers are connected. That is everybody
whom we know, so each message comes from its author; the mesh is the second way, IHAVE the third."""

SMALL_MESH_DEGREE_LOW: Final = 2
"""Mesh peers a topic below which more are grafted, as long: with one, two could stay by
themselves."""

SMALL_MESH_DEGREE_HIGH: Final = 3
"""Mesh peers a topic above which some are pruned, as long."""

SMALL_GOSSIP_DEGREE: Final = 1
"""Peers outside the mesh to whom what a topic had is announced with each heartbeat, as long.
Everybody who has a message announces it in three heartbeats: each peer hears of it some three
times. At one message a second these announcements are the larger part of what gossip costs."""

# the log

HISTORY_EPOCHS: Final = 256
"""Epochs of final log blocks that are kept and served below the newest border; a newcomer goes on
from a snapshot."""

# requests

NAME_CHARACTERS_MAX: Final = 64
"""Characters of a request's name."""

REQUEST_BYTES_MAX: Final = 1 * MIB
"""Bytes of a request's body."""

ANSWER_BYTES_MAX: Final = 8 * MIB
"""Bytes of an answer's body: a log section, a batch of proofs."""

REQUESTS_AT_ONCE_MAX: Final = 16
"""Requests of one peer served at the same time."""

REQUESTS_PER_S: Final = 50.0
"""Requests a second served to one peer over time."""

REQUESTS_BURST: Final = 200.0
"""Requests served at once to a peer that was quiet."""

REQUEST_READ_S: Final = 10.0
"""Seconds for a request to arrive whole."""

REQUEST_SERVE_S: Final = 60.0
"""Seconds for a request's answer to be found and sent."""

EXCHANGE_BYTES_IN_FLIGHT_MAX: Final = 64 * MIB
"""Bytes of requests and answers held for all peers while they are served."""

EXCHANGE_PEER_BYTES_IN_FLIGHT_MAX: Final = 16 * MIB
"""Bytes of requests and answers held for one peer while they are served."""

# connections and streams

PEERS_MAX: Final = 32
"""Peers to whom connections are sought; up to 20 known peers all are connected."""

PEERS_INBOUND_MAX: Final = 48
"""Peers that came to us, at most. Whoever fills these places leaves us those that we choose."""

PEERS_OUTBOUND_MIN: Final = 16
"""Peers that we choose ourselves, if so many are known, however many came to us: whoever fills all
inbound places has not cut us off."""

PEERS_PER_RANGE_MAX: Final = 4
"""Peers that we choose in one range of public addresses. Addresses of one range are cheap for one
owner; addresses in many are dear."""

IP4_RANGE_BITS: Final = 16
"""Leading bits that public IPv4 addresses of one range share."""

IP6_RANGE_BITS: Final = 32
"""Leading bits that public IPv6 addresses of one range share: what a provider is given."""

CONNECTIONS_PER_PEER_MAX: Final = 2
"""Two, because two nodes may dial each other at the same moment."""

CONNECTIONS_MAX: Final = 256
"""Sockets open at once, those still shaking hands included."""

HANDSHAKE_S: Final = 5.0
"""Seconds for an inbound connection to authenticate itself."""

NEGOTIATION_S: Final = 10
"""Seconds for a stream to agree on its protocol; a busy machine has taken five."""

STREAMS_PER_PEER_MAX: Final = 48
"""Streams a peer may have open to us: gossip, requests, and those being closed."""

STREAMS_PER_S: Final = 100.0
"""Streams a second a peer may open over time."""

STREAMS_BURST: Final = 400.0
"""Streams a peer may open at once."""

UNREAD_BYTES_MAX: Final = 24 * MIB
"""Bytes received and not yet read on one connection: above every honest window, below harm."""

STREAM_RESET_S: Final = 1.0
"""Seconds to tell the other side that a stream is over."""

PING_S: Final = 15.0
"""Seconds between pings of every peer. The library's own have no consequence."""

PING_TIMEOUT_S: Final = 10.0
"""Seconds for the answer to a ping: a machine whose provers take all cores has taken five."""

PING_MISSES_MAX: Final = 3
"""Pings missed one after another until a peer is taken for dead and closed: 45 to 60 s."""

TIDY_S: Final = 5.0
"""Seconds between clean-ups of what is remembered of peers that are gone."""

# addresses and the keeper

ADDRESSES_MAX: Final = 1024
"""Accounts in the address book; strangers leave first, from the range that holds most of them;
bootstrap entries never."""

ADDRESSES_PER_ACCOUNT_MAX: Final = 4
"""Addresses kept for one account, newest first."""

ADDRESS_CHARACTERS_MAX: Final = 200
"""Characters of one address."""

ADDRESSES_EXCHANGED_MAX: Final = 32
"""Addresses in one answer of the address exchange."""

ADDRESS_EXCHANGE_BYTES_MAX: Final = ADDRESSES_EXCHANGED_MAX * (ADDRESS_CHARACTERS_MAX + 1)
"""Bytes of one message of the address exchange."""

ADDRESS_EXCHANGE_S: Final = 5.0
"""Seconds between address exchanges with a random peer; a new peer is asked at once."""

KEEPER_PAUSE_S: Final = 0.5
"""Seconds between looks at the connections; each is jittered by half."""

DIAL_S: Final = 5.0
"""Seconds to connect to a peer."""

DIALS_AT_ONCE_MAX: Final = 8
"""Dials started in one look of the keeper."""

BACK_OFF_FIRST_S: Final = 0.5
"""Seconds until a failed dial is tried again; doubles with each failure."""

BACK_OFF_S_MAX: Final = 30.0
"""Seconds between dials of a peer that stays away."""

DEFERENCE_S: Final = 0.6
"""Seconds the larger account lets the smaller one dial first, so that two nodes rarely dial each
other.
"""

FAILURES_MAX: Final = 8
"""Failed dials after which a stranger's address is forgotten."""

# conduct

PENALTY_POINTS: Final = 10.0
"""Points of an ordinary fault: one rejected message."""

PENALTY_POINTS_MALFORMED: Final = 50.0
"""Points of bytes that no honest program sends."""

BAN_POINTS: Final = 100.0
"""Points at which a peer is banned: ten rejected messages within a minute, or two malformed
frames.
"""

PENALTY_HALF_LIFE_S: Final = 60.0
"""Seconds in which points halve: an honest peer with a rare fault is never banned."""

BAN_S: Final = 120.0
"""Seconds a ban lasts."""

CONDUCT_ACCOUNTS_MAX: Final = 4096
"""Accounts whose faults are remembered; the mildest leave first."""

LOG_LINES_PER_S: Final = 5.0
"""Lines a second logged about what peers did, so that nobody fills a disk by misbehaving."""

LOG_LINES_BURST: Final = 50.0
"""Lines logged at once about what peers did."""
