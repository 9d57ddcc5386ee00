"""The application: which address leads where, and what is said when something is not there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from voicebridge.config import Network
from voicebridge.web.access import SESSION_S, Door
from voicebridge.web.guard import COOKIE, Guard, form, session_of
from voicebridge.web.live import BROWSERS, Live
from voicebridge.web.pages import Pages

STATIC = Path(__file__).parent / "static"
TITLES = {400: "That cannot be done", 403: "Not allowed", 404: "Not found", 405: "Not allowed", 503: "No calls to show"}


def make_app(pages: Pages, live: Live, door: Door, *, allow: tuple[Network, ...], names: frozenset[str]) -> Starlette:
    """`allow`: whose browsers; `names`: the hosts that we answer to (`access.own_names`)."""

    async def wrong(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse(f"{error.detail}\n", error.status_code)
        title = TITLES.get(error.status_code, "Something went wrong")
        return pages.message(request, title, error.detail, error.status_code)

    gate = _Gate(pages, door)
    return Starlette(
        routes=[
            Route("/", _home),
            Route("/healthz", _healthz),
            Route("/login", gate.login, methods=["GET", "POST"]),
            Route("/logout", gate.logout, methods=["POST"]),
            Route("/overview", pages.overview),
            Route("/live", _live_page(pages)),
            Route("/live/events", _live_events(live)),
            Route("/calls", pages.listing),
            Route("/calls/search", pages.search, methods=["POST"]),
            Route("/calls/{call_id}", pages.call),
            Route("/calls/{call_id}/record.json", pages.document),
            Route("/calls/{call_id}/recording.wav", pages.recording),
            Route("/calls/{call_id}/erase", pages.delete, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, door=door, allow=allow, names=names)],
        exception_handlers={HTTPException: wrong},
    )


async def _home(request: Request) -> Response:
    return RedirectResponse("/overview", 303)


async def _healthz(request: Request) -> Response:
    """That this process answers; nothing of the daemon."""
    return PlainTextResponse("ok\n")


def _by_tls(request: Request) -> bool:
    """Whether a proxy in front of us says that the browser speaks TLS with it. Who lies binds only his own cookie."""
    return request.headers.get("x-forwarded-proto", request.url.scheme) == "https"


def _live_page(pages: Pages) -> Callable[[Request], Response]:
    def shown(request: Request) -> Response:
        return pages.page(request, "live.html")

    return shown


def _live_events(live: Live) -> Callable[[Request], Awaitable[Response]]:
    async def streamed(request: Request) -> Response:
        if live.watching >= BROWSERS:
            raise HTTPException(503, "Too many browsers watch already: close some.")
        return StreamingResponse(live.stream(), media_type="text/event-stream")

    return streamed


class _Gate:
    """In and out."""

    def __init__(self, pages: Pages, door: Door) -> None:
        self._pages = pages
        self._door = door

    async def login(self, request: Request) -> Response:
        if session_of(request) is not None:
            return RedirectResponse("/", 303)
        token = request.query_params.get("token", "")
        if request.method == "GET" and not token:
            return self._form(request)
        try:
            given = token if request.method == "GET" else (await form(request)).get("password", "")
        except ValueError as error:
            raise HTTPException(413, str(error)) from error
        client = request.client.host if request.client else ""
        # From here to the verdict nothing is waited for: many guesses at once are counted one after the other.
        if wait := self._door.throttle.wait_s(client):
            answer = self._form(request, f"Too many failed attempts: try again in {wait} s.", 429)
            answer.headers["retry-after"] = str(wait)
            return answer
        good = self._door.by_token(given) if request.method == "GET" else self._door.by_password(given)
        if not good:
            self._door.throttle.failed(client)
            wrong = "This link was used already, or is of another start." if token else "That is not the password."
            return self._form(request, wrong, 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            self._door.new_cookie(),
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=_by_tls(request),
        )
        return answer

    def _form(self, request: Request, problem: str = "", status: int = 200) -> Response:
        by_password = bool(self._door.password)
        return self._pages.page(request, "login.html", status, problem=problem, by_password=by_password)

    async def logout(self, request: Request) -> Response:
        await self._pages.checked(request)
        session = session_of(request)
        assert session is not None
        self._door.leave(session)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=_by_tls(request))
        return answer
