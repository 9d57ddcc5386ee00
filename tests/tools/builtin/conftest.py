"""A real web service on loopback whose answers the test sets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Service:
    """`answers` are given in turn, the last for ever: (status, headers, body), or a function that may wait first."""

    url: str = ""
    answers: list[Any] = field(default_factory=lambda: [(200, {}, b"{}")])
    seen: list[Seen] = field(default_factory=list)

    def next(self) -> tuple[int, dict[str, str], bytes]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        made: tuple[int, dict[str, str], bytes] = answer() if isinstance(answer, Callable) else answer
        return made

    def gives(self, *documents: Any) -> None:
        self.answers = [(200, {}, json.dumps(document).encode()) for document in documents]


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            document = json.loads(body) if body else None
            made.seen.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, document))
            status, headers, text = made.next()
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
            except OSError:
                return  # the client had enough

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, *given: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
