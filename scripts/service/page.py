"""The explorer page: one answer without anything from elsewhere.

Style and script stand in the page itself; the content security policy admits exactly these two by
their digests, requests to this node, and nothing else (Content Security Policy Level 3). Colours
and shapes are those of the report (:mod:`scripts.report.style`).
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from scripts.report.style import sheet

FOLDER: Final = Path(__file__).resolve().parent / "page"
"""Where the parts of the page are."""


class Page:
    """The page, put together once."""

    def __init__(self) -> None:
        style = f"\n{sheet()}\n{(FOLDER / 'style.css').read_text()}"
        script = f"\n{(FOLDER / 'script.js').read_text()}"
        frame = (FOLDER / "index.html").read_text()
        self.text = frame.replace("<!--style-->", style).replace("<!--script-->", script)
        self.policy = "; ".join(
            (
                "default-src 'none'",
                f"style-src {_digest(style)}",
                f"script-src {_digest(script)}",
                "connect-src 'self'",
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
            )
        )

    async def endpoint(self, _request: Request) -> Response:
        """The answer to a request."""
        headers = {"content-security-policy": self.policy}
        return Response(self.text, media_type="text/html", headers=headers)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
