"""The main programme of the speech workers: one engine, served by the Wyoming protocol on a Unix socket.

`python -m voicebridge.engines.worker ENGINE --socket PATH [--options JSON]`; ENGINE is an entry point's
name (`moonshine`) or where it is (`voicebridge.engines.moonshine:ENGINE`, which saves the search). The
socket appears when the engine is ready to serve, and only our own user may connect. SIGTERM ends it.

Beyond Wyoming (https://github.com/rhasspy/wyoming) the `context` of `transcribe` and `synthesize` may
hold `id`, `deadline` (time.monotonic() seconds; a client that sends none is served as if it needed the
result in 1 s) and, for synthesis, `speed` and `language`. The answer's `context` holds `id`, `queued_s`
and `busy_s`. Word marks come in an event `voicebridge-marks` before `audio-stop`, which other clients
ignore. How recognisers are served that hear while the caller speaks: stt_worker.py;
how voices are: tts_worker.py. A judge of turns answers `voicebridge-judge` (a `context`) and the audio events of
`transcribe` with `voicebridge-turn` (`probability`, `context`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from wyoming.error import Error
from wyoming.event import Event, async_read_event, async_write_event

from voicebridge.engines.scheduler import Job, Scheduler, due
from voicebridge.engines.spoken import Synthesiser
from voicebridge.engines.stt_worker import Stream, StreamingModel, checked_rate
from voicebridge.engines.tts_worker import Speaking

log = logging.getLogger(__name__)

MAX_AUDIO_S = 60
MAX_RATE = 48_000


Recogniser = Callable[[bytes, int, str], str]
"""(16-bit little-endian mono PCM, its rate in Hz, language tag or "") -> text. ValueError: cannot do that."""


class SpeechWorker(Protocol):
    """The worker's side of an engine. Made in the worker process; heavy imports belong into `open`."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Literal["stt", "tts", "turn"]: ...
    @property
    def languages(self) -> Sequence[str]: ...
    @property
    def threads(self) -> int:
        """How many threads compute at the same time."""

    def open(self) -> Recogniser | Synthesiser | StreamingModel | Judge:
        """Load and warm up the model. Called once in each computing thread, which alone uses the result.

        A recogniser that hears while the caller speaks (stt_worker.py) gives a StreamingModel, maybe the same to all
        threads, and has an attribute `streaming`, which is True.
        """


Judge = Callable[[bytes, int], float]
"""(16-bit little-endian mono PCM, its rate in Hz) -> the probability that who speaks has finished."""
JUDGE_EVENT, TURN_EVENT = "voicebridge-judge", "voicebridge-turn"


def is_streaming(worker: SpeechWorker) -> bool:
    return bool(getattr(worker, "streaming", False))


def info(worker: SpeechWorker) -> Event:
    """The answer to `describe`."""
    artifact: dict[str, Any] = {
        "name": worker.name,
        "attribution": {"name": "voicebridge", "url": ""},
        "installed": True,
        "description": None,
        "version": None,
    }
    entry = artifact | {"languages": list(worker.languages)}
    if worker.kind == "turn":
        return Event("info", {TURN_EVENT: [entry]})
    if worker.kind == "stt":
        program = artifact | {"models": [entry], "supports_transcript_streaming": is_streaming(worker)}
        return Event("info", {"asr": [program]})
    voices = [entry | {"name": name, "languages": list(languages)} for name, languages in _voices(worker)]
    return Event("info", {"tts": [artifact | {"voices": voices, "supports_synthesize_streaming": True}]})


def _voices(worker: SpeechWorker) -> Sequence[tuple[str, Sequence[str]]]:
    """Name and languages of each, where an engine tells; else it is one voice."""
    told: Mapping[str, Sequence[str]] = getattr(worker, "voices", {})
    return list(told.items()) or [(worker.name, worker.languages)]


class Connection:
    """One client of a recogniser, or of a judge of turns.

    Its next request replaces one that waits; one that left gets nothing computed.
    """

    def __init__(
        self,
        worker: SpeechWorker,
        scheduler: Scheduler[Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._worker = worker
        self._scheduler = scheduler
        self._reader = reader
        self._writer = writer
        self._request: Mapping[str, Any] = {}
        self._rate = 0
        self._pcm = bytearray()
        self._job: Job[Any] | None = None
        self._answers: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        try:
            while event := await async_read_event(self._reader):
                await self._handle(event)
        except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("connection closed: %s", type(error).__name__)  # it does not speak Wyoming
        finally:
            if self._job is not None:
                self._job.drop()
            for task in self._answers:
                task.cancel()
            self._writer.close()

    async def _handle(self, event: Event) -> None:
        match event.type:
            case "describe":
                await self._write(info(self._worker))
            case "ping":
                await self._write(Event("pong", dict(event.data)))
            case "transcribe" | "voicebridge-judge":
                self._request = event.data
            case "audio-start":
                self._pcm.clear()
                self._rate = int(event.data["rate"])
            case "audio-chunk":
                self._add(event)
            case "audio-stop":
                self._submit(self._request, self._work())
                self._request = {}
                self._pcm.clear()

    def _work(self) -> Callable[[Any], Any]:
        pcm, rate, language = bytes(self._pcm), self._rate, str(self._request.get("language") or "")
        if self._worker.kind == "turn":
            return lambda judge: judge(pcm, checked_rate(rate))
        return lambda recognise: recognise(pcm, checked_rate(rate), language)

    def _add(self, event: Event) -> None:
        if event.data["width"] != 2 or event.data["channels"] != 1:
            raise TypeError("only 16-bit mono is taken")
        self._rate = int(event.data["rate"])
        self._pcm += event.payload or b""
        del self._pcm[: max(0, len(self._pcm) - 2 * min(self._rate, MAX_RATE) * MAX_AUDIO_S)]

    def _submit(self, request: Mapping[str, Any], work: Callable[[Any], Any]) -> None:
        context = request.get("context") or {}
        if self._job is not None:
            self._job.drop()
        self._job = self._scheduler.submit(work, deadline=due(context))
        task = asyncio.create_task(self._answer(self._job, context))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer(self, job: Job[Any], context: Mapping[str, Any]) -> None:
        try:
            done = await job.future
        except ValueError as error:
            events = [Error(text=str(error), code="refused").event()]
        except Exception as error:  # the boundary: an engine may raise anything
            log.exception("the engine failed")
            events = [Error(text=type(error).__name__, code="failed").event()]
        else:
            told = {"id": context.get("id"), "queued_s": done.queued_s, "busy_s": done.busy_s}
            log.debug("request %s: queued %.3f s, computed %.3f s", told["id"], done.queued_s, done.busy_s)
            turn = self._worker.kind == "turn"
            kind, field = (TURN_EVENT, "probability") if turn else ("transcript", "text")
            events = [Event(kind, {field: done.result, "context": told})]
        with contextlib.suppress(OSError):
            for event in events:
                await self._write(event)

    async def _write(self, event: Event) -> None:
        await async_write_event(event, self._writer)


def find_engine(reference: str) -> Any:
    """The ENGINE object that `reference` names. LookupError when there is none."""
    if ":" in reference:
        module, _, attribute = reference.partition(":")
        return getattr(importlib.import_module(module), attribute)
    from importlib.metadata import entry_points  # 50 ms that the other way saves

    for group in ("voicebridge.stt", "voicebridge.tts", "voicebridge.turn"):
        for entry in entry_points(group=group, name=reference):
            return entry.load()
    raise LookupError(f"no speech engine is named {reference!r}")


async def serve(worker: SpeechWorker, path: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    scheduler: Scheduler[Any] = Scheduler(worker.open, worker.threads)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await scheduler.opened
    path.unlink(missing_ok=True)  # noqa: ASYNC240 - a stale socket, before anybody is served
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client: Stream | Speaking | Connection
        if worker.kind == "tts":
            client = Speaking(scheduler, reader, writer, info(worker))
        elif is_streaming(worker):
            client = Stream(scheduler, reader, writer, info(worker))
        else:
            client = Connection(worker, scheduler, reader, writer)
        task = asyncio.create_task(client.run())
        connections.add(task)
        task.add_done_callback(connections.discard)

    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(connected, path)
    finally:
        os.umask(before)
    log.info("serving %s", worker.name)
    await stop.wait()
    server.close()
    path.unlink(missing_ok=True)  # noqa: ASYNC240 - the last thing we do


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="voicebridge.engines.worker")
    parser.add_argument("engine")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--options", type=json.loads, default={})
    asked = parser.parse_args(arguments)
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr, level=logging.INFO)
    asyncio.run(serve(find_engine(asked.engine).worker(asked.options), asked.socket))
    # A thread may be inside native code, which tearing down the interpreter would crash.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
