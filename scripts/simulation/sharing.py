"""What the nodes of one process compute only once: a stand-in for computing it in each of them.

**The problem.** Every node of a network checks every signature and reads every message. In one
process all but the first of these computations repeat another one, and they are most of the time.

**What is shared.** Results of pure functions, under all of their inputs:

- ``protocol.signing.verify`` and ``protocol.vrf.verify``, by the bytes they are given;
- ``protocol.codec.decode``, by the type, the payload and its bound: nodes get one frozen value
  where each had an equal one of its own. A refusal is not kept: it is computed each time;
- ``protocol.codec.encode``, by the type and by the value itself, which is kept alive meanwhile;
- ``protocol.rollup.execute_body``, by its bytes, its content and the state's root.

**Properties.** A run is byte for byte the same with and without it, which a test holds. Nothing is
shared that a node could change: values are frozen, and states of the rollup are immutable. Whatever
stands behind these names when sharing begins is what is shared, planted faults too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from protocol import codec, rollup, signing, vrf
from protocol.messages import BlockContent
from protocol.ports import ProverBackend, RollupState
from protocol.types import NetworkId

ENTRIES_MAX: Final = 1 << 15
"""Results kept of each function; when there are more, all are forgotten."""

_OURS: Final = ("p2p", "protocol", "prover", "scripts", "sequencer")


def _by_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[Any, Any] = {}

    def shared(*arguments: Any) -> Any:
        found = known.get(arguments, known)
        if found is known:
            found = _kept(known, arguments, function(*arguments))
        return found

    return shared


def _decode(decode: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[Any, Any] = {}

    def shared(kind: Any, payload: bytes, *, size_max: int) -> Any:
        key = kind, payload, size_max
        found = known.get(key, known)
        if found is known:
            found = _kept(known, key, decode(kind, payload, size_max=size_max))
        return found

    return shared


def _encode(encode: Callable[..., bytes]) -> Callable[..., bytes]:
    known: dict[Any, tuple[Any, bytes]] = {}

    def shared(value: Any, kind: Any = None) -> bytes:
        key = id(value), kind
        found = known.get(key)
        if found is None:
            found = _kept(known, key, (value, encode(value, kind)))
        return found[1]

    return shared


def _execute_body(execute_body: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[Any, Any] = {}

    def shared(
        network: NetworkId,
        content: BlockContent,
        body: bytes,
        state: RollupState,
        backend: ProverBackend,
    ) -> Any:
        key = network, content, body, state.root, backend
        found = known.get(key)
        if found is None:
            executed = execute_body(network, content, body, state, backend)
            found = _kept(known, key, executed)
        return found

    return shared


def _kept(known: dict[Any, Any], key: Any, value: Any) -> Any:
    if len(known) >= ENTRIES_MAX:
        known.clear()
    known[key] = value
    return value


_SHARED: Final = (
    (signing, "verify", _by_arguments),
    (vrf, "verify", _by_arguments),
    (codec, "decode", _decode),
    (codec, "encode", _encode),
    (rollup, "execute_body", _execute_body),
)


@contextmanager
def shared() -> Iterator[None]:
    """All nodes of this process share these results until the block is left."""
    stand_ins = [
        (function, share(function))
        for home, name, share in _SHARED
        for function in (getattr(home, name),)
    ]
    for function, stand_in in stand_ins:
        _replace(function, stand_in)
    try:
        yield
    finally:
        for function, stand_in in stand_ins:
            _replace(stand_in, function)


def _replace(old: Any, new: Any) -> None:
    """Put one function in the place of another, wherever a module of ours holds it."""
    for module in _modules():
        for held, value in list(vars(module).items()):
            if value is old:
                setattr(module, held, new)


def _modules() -> list[Any]:
    """Our modules that are loaded, in the order of their names."""
    names = sorted(name for name in sys.modules if name.partition(".")[0] in _OURS)
    return [sys.modules[name] for name in names]
