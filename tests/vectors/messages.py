"""Wire stability: a fixed example of every message, its canonical bytes and its hashes.

``messages.json`` next to this file is the contract with other implementations and with networks
that run already. A change of it breaks both; one that is meant is made by

    python -m tests.vectors.messages

and reviewed as a difference of that file. Fields are listed in their order on the wire, byte
strings in hexadecimal. Every example is filled by its type: each number and byte string is cut from
a digest of the name of its place, so that no two places hold the same.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin

from protocol import messages
from protocol.codec import encode
from protocol.messages import Operation, Payload
from protocol.rollup import transfer_hash
from protocol.signing import digest, public_key
from protocol.types import BOUNDS, LENGTHS, NetworkId, Salt, TreeIndex

PATH: Final = Path(__file__).with_name("messages.json")

SEED: Final = digest(b"provnet/vectors/seed/1")
"""The Ed25519 seed that signs, 32 bytes."""

NETWORK: Final = NetworkId(digest(b"provnet/vectors/network/1"))


def filler(place: str) -> bytes:
    """96 bytes that belong to a place."""
    parts = (digest(b"provnet/vectors/1", place.encode(), bytes([part])) for part in range(3))
    return b"".join(parts)


def example(hint: Any, place: str) -> Any:
    """The value of type ``hint`` for a place."""
    if hint is bool:
        return filler(place)[0] % 2 == 1
    if isinstance(hint, type) and issubclass(hint, Enum):
        return tuple(hint)[filler(place)[0] % len(hint)]
    if hint in BOUNDS:
        return int.from_bytes(filler(place)[:8], "little") % (BOUNDS[hint] + 1)
    if hint in LENGTHS:
        return filler(place)[: LENGTHS[hint]]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        names = [field.name for field in dataclasses.fields(hint)]
        return hint(**{name: example(hints[name], f"{place}.{name}") for name in names})
    return composite(get_origin(hint), get_args(hint), place)


def composite(origin: Any, arguments: tuple[Any, ...], place: str) -> Any:
    """The first kind of a union, two items of an array, all parts of a group."""
    if origin in (Union, types.UnionType):
        return example(arguments[0], place)
    if arguments[-1] is Ellipsis:
        arguments = arguments[:1] * 2
    return tuple(example(one, f"{place}[{index}]") for index, one in enumerate(arguments))


def message_types() -> dict[str, type[Any]]:
    """Every dataclass that protocol.messages defines, and the tree index, by name."""
    found = {name: kind for name, kind in vars(messages).items() if is_message(kind)}
    return found | {"TreeIndex": TreeIndex}


def is_message(kind: Any) -> bool:
    """Whether protocol.messages defines this dataclass."""
    return dataclasses.is_dataclass(kind) and kind.__module__ == messages.__name__


def examples() -> dict[str, Any]:
    """The example of every message; of an operation, one a kind of payload."""
    made = {name: example(kind, name) for name, kind in message_types().items()}
    del made["Operation"]
    for kind in get_args(Payload):
        name = f"Operation/{kind.__name__}"
        operation = example(Operation, name)
        payload = example(kind, f"{name}.payload")
        made[name] = dataclasses.replace(operation, payload=payload)
    return made


def identities(made: dict[str, Any]) -> dict[str, bytes]:
    """Every digest and signature that protocol.messages derives from the examples."""
    operations = {name: value for name, value in made.items() if name.startswith("Operation/")}
    derived: dict[str, bytes] = {
        "account": public_key(SEED),
        "job_id": messages.job_id(made["JobHeader"]),
        "block_hash": messages.block_hash(made["LogHeader"]),
        "operations_digest": messages.operations_digest(made["LogBlock"].operations),
        "body_hash": messages.body_hash(encode(made["BlockBody"])),
        "commitment_digest": messages.commitment_digest(
            made["BlockContent"], Salt(filler("salt")[:32])
        ),
        "transfer_hash": transfer_hash(made["Transfer"]),
        "sign_bid": messages.sign_bid(SEED, NETWORK, made["Bid"]).signature,
        "sign_vote": messages.sign_vote(SEED, NETWORK, made["Vote"]).signature,
        "sign_header": messages.sign_header(SEED, NETWORK, made["LogHeader"]).signature,
        "sign_transfer": messages.sign_transfer(SEED, NETWORK, made["Transfer"]).signature,
    }
    for name, operation in operations.items():
        derived[f"operation_hash {name}"] = messages.operation_hash(operation)
        signed = messages.sign_operation(SEED, NETWORK, operation)
        derived[f"sign_operation {name}"] = signed.signature
    return derived


def legible(value: Any) -> Any:
    """The value as JSON: fields by name, bytes in hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple):
        return [legible(one) for one in value]
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: legible(getattr(value, name)) for name in names}
    return value


def vectors() -> dict[str, Any]:
    """The content of the file."""
    made = examples()
    wire = {name: vector(value) for name, value in sorted(made.items())}
    return {
        "messages": wire,
        "seed": SEED.hex(),
        "network": NETWORK.hex(),
        "identities": {name: one.hex() for name, one in sorted(identities(made).items())},
    }


def vector(value: Any) -> dict[str, Any]:
    """One message: its fields, its bytes, and their BLAKE2b-256 as protocol.signing digests."""
    payload = encode(value)
    named: Callable[..., bytes] = partial(digest, b"provnet/vector/1")
    return {"fields": legible(value), "bytes": payload.hex(), "hash": named(payload).hex()}


def text() -> str:
    """The file as it should be."""
    return json.dumps(vectors(), indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
