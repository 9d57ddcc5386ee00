"""The pages: plain functions that read the store, run in threads, and fill templates."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response

from voicebridge.trace.blame import BUDGET_S
from voicebridge.trace.record import Record
from voicebridge.trace.rows import Page, Query
from voicebridge.trace.spans import ACTORS
from voicebridge.trace.store.database import DamagedRecordError, NoStoreError, StoreError
from voicebridge.web import search, view
from voicebridge.web.charts import share_bar
from voicebridge.web.guard import form, session_of
from voicebridge.web.overview import SPANS, Overviews, calls_plot, gap_plot
from voicebridge.web.waterfall import NAMES

log = logging.getLogger(__name__)


class Kept(Protocol):
    """What is read of the store: `trace.store.reader.Calls`."""

    def find(self, query: Query) -> Page: ...
    def record(self, call_id: str) -> Record: ...
    def records(self, since: float | None = ..., until: float | None = ..., agent: str = ...) -> Iterator[Record]: ...
    def recording(self, call_id: str) -> Path | None: ...
    def agents(self) -> list[str]: ...


@dataclass
class Pages:
    """`erase`: deletes all of a call, blocking; raises StoreError and OSError. `unknown`: see `trace.review`."""

    calls: Kept
    erase: Callable[[str], None]
    unknown: Mapping[str, Collection[str]] = field(default_factory=dict)
    numbers: search.Numbers = field(default_factory=search.Numbers)

    def __post_init__(self) -> None:
        self._overviews = Overviews(self.calls.records, self.unknown)
        self._templates = Environment(
            loader=PackageLoader("voicebridge.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(clock=view.clock, moment=view.moment, code=view.code)
        self._templates.globals.update(
            actor_names=NAMES,
            actors=ACTORS,
            outcomes=view.OUTCOMES,
            sources=view.SOURCES,
            share_bar=_share_bar,
            budget_s=BUDGET_S,
        )

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        session = session_of(request)
        shown = self._templates.get_template(template).render(
            csrf=session.csrf if session else "", inside=session is not None, path=request.url.path, **values
        )
        return HTMLResponse(shown, status)

    def message(self, request: Request, title: str, text: str, status: int) -> HTMLResponse:
        return self.page(request, "message.html", status, title=title, text=text)

    def overview(self, request: Request) -> Response:
        span = next((one for one in SPANS if one.name == request.query_params.get("span")), SPANS[1])
        agent = request.query_params.get("agent", "")
        with self._readable():
            found = self._overviews.get(span, agent)
            agents = self.calls.agents()
        return self.page(
            request, "overview.html", found=found, span=span, spans=SPANS, agent=agent, agents=agents,
            calls_plot=calls_plot(found, span), gap_plot=gap_plot(found, span),
        )  # fmt: skip

    def listing(self, request: Request) -> Response:
        fields = {name: request.query_params.get(name, "") for name in search.FIELDS}
        number = _page_number(request.query_params.get("page", "1"))
        problem, found = "", Page((), 0)
        with self._readable():
            try:
                found = self.calls.find(search.query(fields, self.numbers, number))
            except search.SearchError as error:
                problem, fields["who"] = str(error), ""
            agents = self.calls.agents()
        pages = max(1, -(-found.total // search.PER_PAGE))
        return self.page(
            request, "calls.html", 400 if problem else 200, found=found, fields=fields, problem=problem, agents=agents,
            number=number, pages=pages, earlier=search.address(fields, number + 1) if number < pages else "",
            later=search.address(fields, number - 1) if number > 1 else "",
        )  # fmt: skip

    async def search(self, request: Request) -> Response:
        """A posted search becomes an address without the caller's number in it."""
        fields = await self.checked(request)
        if number := fields.get("caller", "").strip():
            fields["who"] = self.numbers.word(number)
        return RedirectResponse(search.address(fields), 303)

    def call(self, request: Request) -> Response:
        record, recording = self._record(request)
        turns = [view.turn_view(turn, record.get("engines") or {}) for turn in record["turns"]]
        shown = {bar for turn in turns if turn.picture for bar in NAMES if f"a-{bar}" in turn.picture}
        return self.page(
            request, "call.html", record=record, turns=turns, facts=view.facts(record), legend=view.legend(shown),
            sound=view.sound(recording, turns, record) if recording else None,
        )  # fmt: skip

    def document(self, request: Request) -> Response:
        record, _ = self._record(request)
        name = f"attachment; filename={record['call_id']}.json"
        return JSONResponse(record, headers={"content-disposition": name})

    def recording(self, request: Request) -> Response:
        """With ranges, so that the player may jump."""
        _, recording = self._record(request)
        if recording is None:
            raise HTTPException(404, "This call was not recorded.")
        return FileResponse(
            recording, media_type="audio/wav", filename=recording.name, content_disposition_type="inline"
        )

    async def delete(self, request: Request) -> Response:
        await self.checked(request)
        call_id = request.path_params["call_id"]
        with contextlib.suppress(DamagedRecordError):  # it is erased like any other
            await run_in_threadpool(self._read, call_id)
        try:
            await run_in_threadpool(self.erase, call_id)
        except (StoreError, OSError) as error:
            log.error("call=%s not erased: %s", call_id, error)  # noqa: TRY400 - the cause is enough
            raise HTTPException(500, f"The call was not erased: {error}") from error
        log.info("call=%s erased from the dashboard", call_id)
        return self.message(request, "Erased", "The call, its recording and its event log are gone.", 200)

    async def checked(self, request: Request) -> dict[str, str]:
        """A posted form, once it is sure that this session's page sent it."""
        try:
            fields = await form(request)
        except ValueError as error:
            raise HTTPException(413, str(error)) from error
        session = session_of(request)
        if session is None or not session.accepts(fields.get("csrf", "")):
            raise HTTPException(
                403, "This form was not sent from a page of this session: reload the page and try again."
            )
        return fields

    def _record(self, request: Request) -> tuple[Record, Path | None]:
        call_id = request.path_params["call_id"]
        try:
            record = self._read(call_id)
        except DamagedRecordError as error:
            raise HTTPException(500, f"{error}. All that can be done with it is to erase it: calls purge") from error
        return record, self.calls.recording(call_id)

    def _read(self, call_id: str) -> Record:
        """Raises DamagedRecordError, and else HTTPException."""
        with self._readable():
            try:
                return self.calls.record(call_id)
            except FileNotFoundError as error:
                raise HTTPException(
                    404, "No such call is kept: it is unknown, erased, or past its retention."
                ) from error

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except DamagedRecordError:
            raise
        except NoStoreError as error:
            raise HTTPException(503, f"No calls are kept yet. {error}.") from error
        except StoreError as error:
            raise HTTPException(503, f"The store cannot be read: {error}") from error


def _page_number(given: str) -> int:
    return min(int(given), 1_000_000) if given.isascii() and given.isdigit() and len(given) < 8 and int(given) else 1


def _share_bar(value: float, highest: float, kind: str) -> Markup:
    return Markup(share_bar(value, highest, kind))  # noqa: S704 - numbers and a class
