"""A static host for a built site, and the command that builds one."""

import gzip
import mimetypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tools.paths import ROOT

SITE_URL = "https://guide.example/pool/"
"""Not at the root of its host, as most project pages are."""
PREFIX = urlsplit(SITE_URL).path


def build(
    site: Path, *arguments: str, root: Path = ROOT, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m mkdocs build` in `root`, into `site`."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-d", str(site), *arguments],
        cwd=root,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "SITE_URL": SITE_URL, **environment},
        capture_output=True,
        encoding="utf-8",
    )


def complaints(ran: "subprocess.CompletedProcess[str]") -> str:
    """What a build said, but for how far it had come."""
    said = (ran.stderr + ran.stdout).splitlines()
    return "\n".join(line for line in said if line and not line.startswith("INFO "))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # a page that is closed early resets its connections


@contextmanager
def serving(site: Path, divide: Callable[[bytes], Iterable[bytes]] | None = None) -> Iterator[str]:
    """Serve `site` below `PREFIX`, with its 404 page; yields the address.

    Args:
        site: The folder.
        divide: Yields a page in pieces, of which each is sent at once, uncompressed.
    """

    @cache
    def load(path: str) -> tuple[int, str, bytes]:
        file = site / path.removeprefix(PREFIX)
        file = file / "index.html" if file.is_dir() else file
        if not path.startswith(PREFIX) or not file.is_file():
            return 404, "text/html", gzip.compress((site / "404.html").read_bytes())
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return 200, kind, gzip.compress(file.read_bytes())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, kind, body = load(unquote(urlsplit(self.path).path))
            is_divided = divide and kind == "text/html"
            body = gzip.decompress(body) if is_divided else body
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            if not is_divided:
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for piece in divide(body) if divide and is_divided else [body]:
                self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
        server.shutdown()
