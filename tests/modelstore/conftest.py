"""A web server that models come from, with the faults that such servers and the lines to them have."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Site:
    """`break_after` bytes of one answer, then the line goes dead; `ranges` it may not know; `etag` it may send;
    `begin_at`: where it begins whatever it was asked; `no_length`: it does not say how much will come."""

    files: dict[str, bytes]
    port: int = 0
    ranges: bool = True
    break_after: int | None = None
    etag: str = ""
    begin_at: int | None = None
    no_length: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    if_range: list[str | None] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:  # noqa: N802
        made, asked = self.site, self.headers.get("Range")
        made.asked.append((self.path, asked))
        made.if_range.append(self.headers.get("If-Range"))
        data = made.files.get(self.path.strip("/"))
        if data is None:
            self.send_error(404)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-", asked or "")
        first = int(wanted[1]) if wanted and made.ranges else 0
        if self.headers.get("If-Range") not in (None, made.etag):
            first = 0
        if first and first >= len(data):
            self.send_error(416)
            return
        first = made.begin_at if first and made.begin_at is not None else first
        self.send_response(206 if first else 200)
        self._headers(data, first)
        end = len(data) if made.break_after is None else first + made.break_after
        made.break_after = None
        self.wfile.write(data[first:end])

    def _headers(self, data: bytes, first: int) -> None:
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        if self.path.endswith("/"):
            self.send_header("Content-Type", "text/html")
        if self.site.etag:
            self.send_header("ETag", self.site.etag)
        if not self.site.no_length:
            self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site({})
    handler = type("Handler", (_Handler,), {"site": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
