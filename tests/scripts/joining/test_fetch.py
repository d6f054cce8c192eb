"""A bundle over HTTP, from a real server: bounded in size and time, and nothing but HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.bundle import BUNDLE_BYTES_MAX, BundleError, format_bundle
from scripts.joining.fetch import BUNDLE_PATH, fetch, get_bundle
from tests.scripts.test_bundle import WHOLE

Serve = Callable[[dict[str, tuple[int, dict[str, str], bytes]]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that answers paths as told; gives its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def test_a_node_s_address_alone_is_enough(serve: Serve) -> None:
    address = serve({BUNDLE_PATH: (200, {}, format_bundle(WHOLE))})
    for source in (address, f"{address}/", f"{address}{BUNDLE_PATH}"):
        assert get_bundle(source) == WHOLE


def test_a_path_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "join.toml"
    path.write_bytes(format_bundle(WHOLE))
    assert get_bundle(str(path)) == WHOLE


def test_redirects_are_followed_to_http_only(serve: Serve, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(format_bundle(WHOLE))
    address = serve(
        {
            "/there": (200, {}, format_bundle(WHOLE)),
            "/good": (302, {"Location": "/there"}, b""),
            "/file": (302, {"Location": f"file://{secret}"}, b""),
            "/ftp": (302, {"Location": "ftp://127.0.0.1/x"}, b""),
        }
    )
    assert get_bundle(f"{address}/good") == WHOLE
    for path in ("/file", "/ftp"):
        with pytest.raises(BundleError, match="no bundle came"):
            get_bundle(f"{address}{path}")


def test_what_is_too_large_is_not_read_to_its_end(serve: Serve) -> None:
    address = serve({"/b": (200, {}, b"#" * (4 * BUNDLE_BYTES_MAX))})
    assert len(fetch(f"{address}/b")) == BUNDLE_BYTES_MAX + 1
    with pytest.raises(BundleError, match="more than"):
        get_bundle(f"{address}/b")


def test_a_damaged_bundle_and_a_wrong_digest_are_refused(serve: Serve) -> None:
    raw = format_bundle(WHOLE)
    address = serve({"/b": (200, {}, raw[:-70]), "/whole": (200, {}, raw)})
    with pytest.raises(BundleError, match="no join bundle"):
        get_bundle(f"{address}/b")
    with pytest.raises(BundleError, match="another bundle"):
        get_bundle(f"{address}/whole", "00")


def test_an_answer_that_is_none_is_named(serve: Serve) -> None:
    address = serve({})
    with pytest.raises(BundleError, match="it answers 404") as caught:
        get_bundle(f"{address}/nothing")
    assert "serves its API" in caught.value.hint


def test_nobody_there_is_named() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        with pytest.raises(BundleError, match="refused"):
            get_bundle(f"http://127.0.0.1:{port}/v1/bundle")


def test_a_server_that_stalls_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(BundleError, match="timed out"):
            fetch(f"http://127.0.0.1:{port}/v1/bundle", limit_s=0.2)


def test_a_server_that_trickles_is_given_up() -> None:
    stop = threading.Event()

    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            while not stop.wait(0.02):
                try:
                    connection.sendall(b"#")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(BundleError, match=r"more than 0\.3 s passed"):
            fetch(f"http://127.0.0.1:{port}/v1/bundle", limit_s=0.3)
        stop.set()
        thread.join()
