"""OpenAI's chat API over HTTP, in front of the thread that computes.

`/v1/chat/completions` (messages, max_tokens, temperature, seed, stop, grammar in GBNF, stream), `/v1/models`,
`/health`.
Ours: the object `voicebridge` in a request's body (see asked.Extension), `POST /v1/voicebridge/defer` and `/release`,
`GET /v1/voicebridge/stats`. With `max_tokens` 0 the prompt is computed and nothing said. A client that closes its
connection ends the work for it before the next batch.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from voicebridge.engines.llama_cpp.asked import Asked, BadRequest, Deferral, Release, checked
from voicebridge.engines.llama_cpp.batching import Batching, QueueFull
from voicebridge.engines.llama_cpp.model import BadGrammar, Model, ModelError
from voicebridge.engines.llama_cpp.prompt import BadPrompt, Prompts
from voicebridge.engines.llama_cpp.request import Failed, Finished, Outcome, Piece, Request

log = logging.getLogger(__name__)

MAX_BODY = 1024 * 1024
"""Some hundred times what a prompt may have; a body is tokenised in up to a second, and all callers wait for it."""


class Refused(Exception):
    """An answer that is an error; `status` is HTTP's."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True)
class Served:
    """A model that is loaded."""

    model: Model
    prompts: Prompts
    batching: Batching
    temperature: float


class Server:
    """`served` is None while the model loads."""

    def __init__(self) -> None:
        self.served: Served | None = None

    def application(self) -> web.Application:
        made = web.Application(client_max_size=MAX_BODY, middlewares=[_errors])
        made.router.add_post("/v1/chat/completions", self._chat)
        made.router.add_get("/v1/models", self._models)
        made.router.add_get("/health", self._health)
        made.router.add_post("/v1/voicebridge/defer", self._defer)
        made.router.add_post("/v1/voicebridge/release", self._release)
        made.router.add_get("/v1/voicebridge/stats", self._stats)
        return made

    def _ready(self) -> Served:
        if self.served is None:
            raise Refused(503, "the model is being loaded")
        return self.served

    async def _health(self, _: web.Request) -> web.Response:
        self._ready()
        return web.json_response({"status": "ok"})

    async def _models(self, _: web.Request) -> web.Response:
        name = self._ready().model.name
        return web.json_response(
            {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "voicebridge"}]}
        )

    async def _stats(self, _: web.Request) -> web.Response:
        batching = self._ready().batching
        return web.json_response({**batching.counts.told(), **batching.load()})

    async def _defer(self, request: web.Request) -> web.Response:
        asked = checked(Deferral, await request.read())
        if not self._ready().batching.defer(asked.call, asked.deadline):
            raise Refused(404, "the call waits for nothing")
        return web.json_response({})

    async def _release(self, request: web.Request) -> web.Response:
        asked = checked(Release, await request.read())
        self._ready().batching.release(asked.call)
        return web.json_response({})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        served = self._ready()
        asked = checked(Asked, await request.read())
        async with aclosing(_outcomes(served, asked)) as outcomes:
            first = await anext(outcomes)  # what is refused has a status of its own, no stream
            if asked.stream:
                response = web.StreamResponse(
                    headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
                )
                with suppress(ConnectionError):  # the client has gone: nobody to tell
                    await _streamed(request, response, _about(served, "chat.completion.chunk"), first, outcomes)
                return response
            return await _whole(served, first, outcomes)


async def _outcomes(served: Served, asked: Asked) -> AsyncGenerator[Piece | Finished, None]:
    """Closing it ends the work. Raises Refused."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Outcome] = asyncio.Queue()

    def deliver(outcome: Outcome) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(queue.put_nowait, outcome)

    request = _request(served, asked, deliver)
    try:
        served.batching.submit(request)
    except QueueFull as error:
        if request.sampler is not None:
            request.sampler.close()
        raise Refused(503, str(error)) from error
    try:
        while True:
            outcome = await queue.get()
            if isinstance(outcome, Failed):
                raise Refused(outcome.status, outcome.detail)
            yield outcome
            if isinstance(outcome, Finished):
                return
    finally:
        served.batching.cancel(request)


def _request(served: Served, asked: Asked, deliver: Callable[[Outcome], None]) -> Request:
    """Raises Refused."""
    ours = asked.voicebridge
    answer = asked.tokens != 0
    context = served.prompts.context
    try:
        prompt = served.prompts.make(
            asked.said,
            shared=ours.shared if ours else 0,
            answer=answer,
            room=1 if asked.tokens is None else asked.tokens,
            drop=ours is not None,
        )
        sampler = None
        if answer:
            temperature = served.temperature if asked.temperature is None else asked.temperature
            sampler = served.model.sampler(temperature=temperature, seed=asked.seed, grammar=asked.grammar or "")
    except (BadPrompt, BadGrammar, ModelError) as error:
        raise Refused(400, str(error)) from error
    served.batching.counts.dropped += prompt.dropped
    return Request(
        tokens=prompt.tokens,
        deadline=asked.deadline,
        max_tokens=context if asked.tokens is None else asked.tokens,
        deliver=deliver,
        sampler=sampler,
        stops=tuple(asked.stop),
        call=ours.call if ours else "",
        agent=ours.agent if ours else "",
        shared=prompt.shared,
    )


async def _streamed(
    request: web.Request,
    response: web.StreamResponse,
    about: dict[str, Any],
    first: Piece | Finished,
    rest: AsyncIterator[Piece | Finished],
) -> None:
    await response.prepare(request)

    async def send(outcome: Piece | Finished) -> None:
        delta = {"content": outcome.text} if isinstance(outcome, Piece) else {}
        reason = outcome.reason if isinstance(outcome, Finished) else None
        event = {**about, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        if isinstance(outcome, Finished):
            event["usage"] = _usage(outcome)
        await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")

    try:
        await send(first)
        async for outcome in rest:
            await send(outcome)
    except Refused as error:  # the head has been sent: an event tells it
        await response.write(b"data: " + json.dumps(_error(error.status, str(error))).encode() + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()


async def _whole(served: Served, first: Piece | Finished, rest: AsyncIterator[Piece | Finished]) -> web.Response:
    outcomes = [first, *[outcome async for outcome in rest]]
    text = "".join(outcome.text for outcome in outcomes if isinstance(outcome, Piece))
    ended = outcomes[-1]
    assert isinstance(ended, Finished)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": ended.reason}
    return web.json_response({**_about(served, "chat.completion"), "choices": [choice], "usage": _usage(ended)})


def _about(served: Served, kind: str) -> dict[str, Any]:
    name = f"chatcmpl-{uuid.uuid4().hex}"
    return {"id": name, "object": kind, "created": int(time.time()), "model": served.model.name}


def _usage(ended: Finished) -> dict[str, Any]:
    return {
        "prompt_tokens": ended.prompt,
        "completion_tokens": ended.generated,
        "total_tokens": ended.prompt + ended.generated,
        "prompt_tokens_details": {"cached_tokens": ended.reused},
    }


def _error(status: int, detail: str) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"code": status, "message": detail, "type": kind}}


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except (Refused, BadRequest, web.HTTPException) as error:
        if isinstance(error, web.HTTPException):
            return web.json_response(_error(error.status, error.reason), status=error.status)
        status = error.status if isinstance(error, Refused) else 400
        return web.json_response(_error(status, str(error)), status=status)
    except Exception as error:  # noqa: BLE001 - a fault of ours: the client is told, and the next one served
        at = traceback.extract_tb(error.__traceback__)[-1]
        # Where, not what: a message could quote what was said.
        log.error("a request failed: %s at %s:%d", type(error).__name__, at.filename, at.lineno)  # noqa: TRY400
        return web.json_response(_error(500, type(error).__name__), status=500)
