"""What every request passes: the client's address, the host it names, the session, and headers that bind the browser.

A plain ASGI layer, so that streams and files go through it untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicebridge.config import Network
from voicebridge.web.access import Door, Session, allowed, is_ours

COOKIE = "voicebridge_session"
OPEN = ("/login", "/healthz", "/static/")
"""What is seen without a session."""
MAX_FORM = 16_384
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class Guard:
    """Lets through what may pass; the session stands in `scope["state"]["session"]`."""

    app: ASGIApp
    door: Door
    allow: tuple[Network, ...]
    names: frozenset[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = self._refusal(scope)

        async def bound(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if not scope["path"].startswith("/static/"):
                    headers["cache-control"] = "no-store"
            await send(message)

        await (answer or self.app)(scope, receive, bound)

    def _refusal(self, scope: Scope) -> Response | None:
        """None: it may pass."""
        client = (scope.get("client") or ("", 0))[0]
        headers = Headers(scope=scope)
        if not allowed(client, self.allow):
            return PlainTextResponse("This address is not in web.allow.\n", 403)
        host = headers.get("host", "")
        if not is_ours(host, self.names):
            return PlainTextResponse("This is not a name of ours: add it to web.hosts.\n", 421)
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin is not None and _netloc(origin) != host:
            return PlainTextResponse("Sent by a page that is not ours.\n", 403)
        session = self.door.session(HTTPConnection(scope).cookies.get(COOKIE, ""))
        scope.setdefault("state", {})["session"] = session
        if session is None and not scope["path"].startswith(OPEN):
            wants_page = "text/html" in headers.get("accept", "") and scope["method"] == "GET"
            return RedirectResponse("/login", 303) if wants_page else PlainTextResponse("Log in first: /login\n", 401)
        return None


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def session_of(request: Request) -> Session | None:
    session = request.scope["state"].get("session")
    return session if isinstance(session, Session) else None


async def form(request: Request) -> dict[str, str]:
    """The fields of a posted form, each once. Raises ValueError where it is larger than any of ours."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM:
            raise ValueError("the form is too large")
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=40)
    return {name: values[-1] for name, values in fields.items()}
