"""Certified blocks in ranges: what a node serves to one that is behind, and what it asks for.

**Rules.** A request names the first and the last height wanted. The answer is a :class:`Section`:
the height up to which the log is final for whoever answers, and certified blocks of the range. Up
to that height they are the log from the first height on, without a gap, or nothing if its start is
not here; above it they are what is notarised, parents first. It may end early: answers are bounded.

**Properties.** Each block carries its parent's certificate and comes with its own, so the asker
trusts nobody: it checks what it gets. What can be seen of a section alone, :func:`read_section`
checks; whether it is of the log, the replica judges.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from p2p.ranges import Range
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
    header_is_signed,
)
from protocol.types import NetworkId, Tick

BLOCKS_REQUEST: Final = "blocks"
"""Name of the request for certified blocks."""

BLOCKS_MAX: Final = 256
"""Most blocks in one answer."""

SECTION_BYTES_MAX: Final = 2_000_000
"""Largest answer with certified blocks, in bytes."""

CERTIFICATE_BYTES_MAX: Final = 64_000
"""Largest certificate, in bytes."""

EVERYTHING: Final = 1 << 48
"""More blocks than a log will ever have."""


_HEIGHT_BYTES: Final = 8
_HEAD_BYTES: Final = 16
"""Bytes of a section around its blocks, at most."""


@dataclass(frozen=True, slots=True)
class Section:
    """Certified blocks of a range of heights, parents first.

    :ivar final: height up to which the log is final for whoever answers.
    """

    final: Tick
    blocks: tuple[CertifiedBlock, ...]

    @property
    def last(self) -> int:
        """Height of the last block; 0 without one."""
        return self.blocks[-1].block.header.height if self.blocks else 0


def above(height: int, count: int = BLOCKS_MAX) -> Range:
    """The heights that follow a height."""
    return Range(height + 1, height + count)


def range_bytes(wanted: Range) -> bytes:
    """A request for the blocks of a range of heights."""
    return b"".join(one.to_bytes(_HEIGHT_BYTES, "big") for one in (wanted.first, wanted.last))


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


def answer_section(store: Store, request: bytes) -> bytes | None:
    """The answer to a request, or None when the request is malformed."""
    if len(request) != 2 * _HEIGHT_BYTES:
        return None
    first = int.from_bytes(request[:_HEIGHT_BYTES], "big")
    last = min(int.from_bytes(request[_HEIGHT_BYTES:], "big"), first + BLOCKS_MAX - 1)
    if not 0 < first <= EVERYTHING:
        return None
    final = Tick(store.final_height())
    found = certified_from(store, Tick(first - 1), last - first + 1)
    if store.begins_at() >= first:
        found = ()
    chosen: list[CertifiedBlock] = []
    size = _HEAD_BYTES
    for certified in found[:BLOCKS_MAX]:
        size += len(encode(certified))
        if size > SECTION_BYTES_MAX or certified.block.header.height > last:
            break
        chosen.append(certified)
    return encode(Section(final, tuple(chosen)))


def read_section(network: NetworkId, wanted: Range, answer: bytes) -> Section:
    """The section that an answer to a request spells.

    :raises Refused: TOO_LARGE, or as :func:`~protocol.codec.decode`; WRONG_HEIGHT for blocks that
        were not asked for, or left out; OFF_FINAL_CHAIN when one of the log does not follow the one
        before; BAD_SIGNATURE for a header that its proposer did not sign.
    """
    section: Section = decode(Section, answer, size_max=SECTION_BYTES_MAX)
    if len(section.blocks) > BLOCKS_MAX:
        raise Refused(Reason.TOO_LARGE, f"{len(section.blocks)} blocks, at most {BLOCKS_MAX}")
    headers = [one.block.header for one in section.blocks]
    heights = [header.height for header in headers]
    log = [header for header in headers if header.height <= section.final]
    is_asked = all(wanted.first <= height <= wanted.last for height in heights)
    if not is_asked or heights != sorted(heights):
        raise Refused(Reason.WRONG_HEIGHT, f"in answer to {wanted.first} to {wanted.last}")
    if [header.height for header in log] != list(range(wanted.first, wanted.first + len(log))):
        raise Refused(Reason.WRONG_HEIGHT, "a block is left out")
    if any(child.parent != block_hash(parent) for parent, child in pairwise(log)):
        raise Refused(Reason.OFF_FINAL_CHAIN, "a block does not follow the one before it")
    if not all(header_is_signed(network, one.block.signed) for one in section.blocks):
        raise Refused(Reason.BAD_SIGNATURE)
    return section


def _block(payload: bytes) -> LogBlock:
    block: LogBlock = decode(LogBlock, payload, size_max=LOG_BLOCK_BYTES_MAX)
    return block


def _certificate(payload: bytes) -> Certificate:
    certificate: Certificate = decode(Certificate, payload, size_max=CERTIFICATE_BYTES_MAX)
    return certificate
