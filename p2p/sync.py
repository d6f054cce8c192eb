"""Certified blocks in ranges: what a node serves to one that is behind, and what it asks for.

A request is a height; the answer is certified blocks above it, parents first: final ones, then
notarised ones. Each block carries its parent's certificate and comes with its own, so the asker
trusts nobody: it checks what it gets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from p2p.store import Store
from protocol.codec import decode, encode
from protocol.errors import Reason, Refused
from protocol.happenings import BlockFinal, Effect
from protocol.messages import (
    LOG_BLOCK_BYTES_MAX,
    Certificate,
    CertifiedBlock,
    LogBlock,
    block_hash,
)
from protocol.types import Tick

BLOCKS_REQUEST: Final = "blocks"
"""Name of the request for certified blocks."""

BLOCKS_MAX: Final = 256
"""Most blocks in one answer."""

HEIGHT_BYTES: Final = 8
"""Length of a request: a height, big-endian."""

CERTIFICATE_BYTES_MAX: Final = 64_000
"""Largest certificate, in bytes."""

EVERYTHING: Final = 1 << 48
"""More blocks than a log will ever have."""


def tick_bytes(height: Tick) -> bytes:
    """A request for blocks above ``height``."""
    return height.to_bytes(HEIGHT_BYTES, "big")


def certified_from(
    store: Store, above: Tick = Tick(0), limit: int = EVERYTHING
) -> tuple[CertifiedBlock, ...]:
    """Stored blocks above a height that have a certificate, parents first."""
    rows = [
        (payload, certificate)
        for _, _, payload, certificate in store.final_blocks(above + 1, limit)
    ]
    rows += [(payload, certificate) for _, payload, certificate in store.unfinalised()]
    found = [
        CertifiedBlock(_block(payload), _certificate(certificate))
        for payload, certificate in rows
        if certificate is not None
    ]
    return tuple(one for one in found if one.block.header.height > above)


def put_certified(store: Store, certified: CertifiedBlock) -> None:
    """Keep a block and its certificate."""
    header = certified.block.header
    name = block_hash(header)
    store.put_block(name, header.height, encode(certified.block))
    store.put_certificate(name, encode(certified.certificate))


def finalise(store: Store, effects: Iterable[Effect]) -> None:
    """Mark in the store what became final."""
    for effect in effects:
        if isinstance(effect, BlockFinal):
            header = effect.block.header
            store.finalise(header.height, block_hash(header))


def encode_certified(store: Store, request: bytes, size_max: int) -> bytes | None:
    """The answer to a request, or None when the request is malformed."""
    if len(request) != HEIGHT_BYTES:
        return None
    above = Tick(int.from_bytes(request, "big"))
    chosen: list[CertifiedBlock] = []
    size = HEIGHT_BYTES
    for certified in certified_from(store, above, BLOCKS_MAX)[:BLOCKS_MAX]:
        size += len(encode(certified))
        if size > size_max:
            break
        chosen.append(certified)
    return encode(tuple(chosen), tuple[CertifiedBlock, ...])


def decode_certified(answer: bytes, size_max: int) -> tuple[CertifiedBlock, ...]:
    """The blocks of an answer. Raises :class:`~protocol.errors.Refused`."""
    blocks: tuple[CertifiedBlock, ...] = decode(
        tuple[CertifiedBlock, ...], answer, size_max=size_max
    )
    if len(blocks) > BLOCKS_MAX:
        raise Refused(Reason.TOO_LARGE, f"{len(blocks)} blocks, at most {BLOCKS_MAX}")
    return blocks


def _block(payload: bytes) -> LogBlock:
    block: LogBlock = decode(LogBlock, payload, size_max=LOG_BLOCK_BYTES_MAX)
    return block


def _certificate(payload: bytes) -> Certificate:
    certificate: Certificate = decode(Certificate, payload, size_max=CERTIFICATE_BYTES_MAX)
    return certificate
