"""The node's token: who knows it may act in the node's name.

32 random bytes as hexadecimal digits in a file beside the keys, readable by its owner only, made
once and kept. It is sent as ``Authorization: Bearer TOKEN`` and compared in constant time.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from scripts.configuration import ConfigurationError
from scripts.keys import KEYS_MODE

TOKEN_FILE: Final = "api-token"  # noqa: S105 -- a file's name
"""Name of the file, in the node's folder."""

TOKEN_BYTES: Final = 32
"""Random bytes of a token."""


class Token:
    """A secret that requests are compared with."""

    def __init__(self, text: str) -> None:
        self._expected = f"Bearer {text}".encode()

    def admits(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header carries the token."""
        return hmac.compare_digest(authorization.encode("utf-8", "replace"), self._expected)


def load_token(path: Path) -> Token:
    """The token of a file, which is made when there is none.

    :raises ConfigurationError: when the file is not a token, or others may read it.
    """
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEYS_MODE)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(TOKEN_BYTES) + "\n")
    text = path.read_text().strip()
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(
            f"{path} can be read by others", f"run: chmod 600 {path}, or remove it to get a new one"
        )
    is_hex = len(text) == 2 * TOKEN_BYTES and all(one in "0123456789abcdef" for one in text)
    if not is_hex:
        raise ConfigurationError(
            f"{path} does not hold {2 * TOKEN_BYTES} hexadecimal digits",
            "remove the file to get a new token",
        )
    return Token(text)
