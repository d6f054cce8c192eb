"""Gets a join bundle from a file or over HTTP, within bounds of size and time."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from scripts.bundle import BUNDLE_BYTES_MAX, Bundle, BundleError, parse_bundle, read_bundle

SCHEMES: Final = ("http", "https")
"""What an address of a bundle may begin with."""

BUNDLE_PATH: Final = "/v1/bundle"
"""Where a node serves its bundle: asked for when an address names no path."""

FETCH_S: Final = 20.0
"""Seconds for a bundle to arrive whole."""

_ANSWER_S: Final = 5.0
_CHUNK_BYTES: Final = 64 * 1024


def get_bundle(source: str, digest_wanted: str = "") -> Bundle:
    """A bundle from a path or an address.

    :raises BundleError: when it does not come, or cannot be used.
    """
    if urlsplit(source).scheme in SCHEMES:
        return parse_bundle(fetch(source), digest_wanted)
    return read_bundle(Path(source), digest_wanted)


def fetch(address: str, limit_s: float = FETCH_S) -> bytes:
    """What an address answers with, one byte more than a bundle may have at the most.

    :raises BundleError: when it does not answer in time, or refuses.
    """
    parts = urlsplit(address)
    if parts.path in ("", "/"):
        address = urlunsplit(parts._replace(path=BUNDLE_PATH))
    until = time.monotonic() + limit_s
    read = bytearray()
    try:
        with _opener().open(address, timeout=min(_ANSWER_S, limit_s)) as answer:
            while len(read) <= BUNDLE_BYTES_MAX and (chunk := answer.read1(_CHUNK_BYTES)):
                read += chunk
                if time.monotonic() > until:
                    raise TimeoutError(f"more than {limit_s:g} s passed")
    except urllib.error.HTTPError as failure:
        failure.close()
        raise _unfetched(address, f"it answers {failure.code} {failure.reason}") from None
    except (OSError, HTTPException, ValueError) as failure:
        reason = failure.reason if isinstance(failure, urllib.error.URLError) else failure
        raise _unfetched(address, str(reason)) from None
    return bytes(read[: BUNDLE_BYTES_MAX + 1])


def _unfetched(address: str, reason: str) -> BundleError:
    return BundleError(
        f"no bundle came from {address}: {reason}",
        "look whether the node runs and serves its API there, or get the bundle as a file",
    )


def _opener() -> urllib.request.OpenerDirector:
    """Opens HTTP and nothing else, also when it is sent on to somewhere else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener
