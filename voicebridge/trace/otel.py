"""A call's record as an OpenTelemetry trace: call > turn > stages, tools and speech, with the times at which they were.

    python -m voicebridge.trace.otel ENDPOINT [--content]      a record as one line of JSON on standard input, each

Made when the call has ended, in a process of its own (`observing.tracing` keeps it): Python that computes beside the
media clock makes calls stutter. Needs the extra `otel`. The trace's id is the call's UUID.

Attribute names are those of OpenTelemetry's GenAI conventions (1.41, "development") where there are any, else
`voicebridge.*`. What was said stands in a span only with `content`, and is redacted before it comes here.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from voicebridge.trace.record import Record, Turn

Value = str | bool | int | float
Kind = Literal["server", "client", "internal"]
WAITS = {
    "vad": "voice activity", "stt": "transcribe", "match": "match rules", "llm": "chat", "tts": "synthesize",
    "tool": "wait for a tool", "endpoint": "endpoint", "cover": "filler", "playout": "playout",
}  # fmt: skip
"""Names of stages by actor."""
OPERATIONS = {"llm": "chat", "stt": "transcribe", "tts": "synthesize"}
"""`gen_ai.operation.name`; the last two are our own, there is none for them."""
SCOPE = "voicebridge"
QUEUE, BATCH, EVERY_MS = 16_384, 512, 1_000
SEND_S = 10.0
SAID_EVERY_S = 60.0


@dataclass(frozen=True)
class Event:
    """Seconds since the call began."""

    name: str
    at: float
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Span:
    """Seconds since the call began. `error`: why it failed, "" where it did not."""

    name: str
    begin: float
    end: float
    attributes: Mapping[str, Value]
    kind: Kind = "internal"
    error: str = ""
    events: tuple[Event, ...] = ()
    inner: tuple[Span, ...] = ()


def trace_of(record: Record, *, content: bool = False) -> Span:
    """The call's span with all that is in it."""
    agent, engines = record["agent"], record.get("engines", {})
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": SCOPE,
        "gen_ai.agent.name": agent,
        "gen_ai.conversation.id": record["call_id"],
        "gen_ai.output.type": "speech",
        "voicebridge.outcome": record["outcome"],
        "voicebridge.ended_by": record["ended_by"],
        "voicebridge.target": record.get("target", ""),
        "voicebridge.dialled": record.get("dialled", ""),
        "voicebridge.language": record.get("language", ""),
        "voicebridge.turns": len(record["turns"]),
    }
    turns = [turn for turn in record["turns"] if _begin(turn) is not None]
    inner = tuple(_turn(turn, record["call_id"], engines, content) for turn in turns)
    end = max((record["seconds"], *(span.end for span in inner)))
    return Span(f"invoke_agent {agent}", 0.0, end, _told(attributes), "server", inner=inner)


def _told(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if value is not None and value != ""}


def _times(turn: Turn) -> Iterator[float]:
    """All that is known of when a turn was."""
    yield from (at for at in (turn.get("marks") or {}).values() if at is not None)
    for said in turn.get("said", ()):
        yield from (said[key] for key in ("at", "until") if said.get(key) is not None)
    for run in turn.get("tools", ()):
        yield from (run["at"], run["at"] + (run["ms"] or 0) / 1000)


def _begin(turn: Turn) -> float | None:
    last_voice = turn.get("last_voice")
    return last_voice if last_voice is not None else min(_times(turn), default=None)


def _turn(turn: Turn, call_id: str, engines: Mapping[str, str], content: bool) -> Span:
    begin = _begin(turn)
    assert begin is not None
    slow = turn.get("slow") or {}
    attributes: dict[str, Value | None] = {
        "gen_ai.conversation.id": call_id,
        "voicebridge.turn": turn["turn"],
        "voicebridge.source": turn.get("source"),
        "voicebridge.rule": turn.get("rule"),
        "voicebridge.response_gap_s": turn.get("gap_s"),
        "voicebridge.slow.actor": slow.get("actor"),
        "voicebridge.slow.ms": slow.get("ms"),
        "voicebridge.cut_off": bool(turn.get("cut_off")),
        "voicebridge.stopped_after_ms": turn.get("stopped_after_ms"),
    }
    if content:
        attributes["gen_ai.input.messages"] = _message("user", turn.get("caller", ""))
        heard = " ".join(said["heard"].strip() for said in turn.get("said", ()) if said.get("heard"))
        attributes["gen_ai.output.messages"] = _message("assistant", heard)
    served = {**engines, **{kind: name for kind, name in (turn.get("engines") or {}).items() if name}}
    inner = (*_stages(turn, served), *_tools(turn), *_speech(turn))
    end = max([begin, *_times(turn), *(span.end for span in inner)])
    troubles = turn.get("troubles") or ()
    return Span(
        f"turn {turn['turn']}", begin, end, _told(attributes), error="; ".join(troubles),
        events=tuple(_events(turn)), inner=inner,
    )  # fmt: skip


def _message(role: str, text: str) -> str | None:
    """As the conventions' JSON schema of messages wants it."""
    parts = [{"type": "text", "content": text}]
    return json.dumps([{"role": role, "parts": parts}], ensure_ascii=False) if text else None


def _events(turn: Turn) -> Iterator[Event]:
    if turn.get("cut_at") is not None:
        yield Event("barge_in", turn["cut_at"])
    for step in turn.get("handoffs", ()):
        told = {f"voicebridge.handoff.{key}": step.get(key) for key in ("state", "target", "cause")}
        yield Event("handoff", step["at"], _told(told))
    for move in turn.get("moves", ()):
        told = {f"voicebridge.engine.{key}": move.get(key) for key in ("kind", "from", "to", "cause")}
        yield Event("engine_failover", move["at"], _told(told))


def _stages(turn: Turn, served: Mapping[str, str]) -> Iterator[Span]:
    """Contiguous: what follows in the same hands is one stage, with the marks in it as events."""
    groups: list[list[dict[str, Any]]] = []
    for span in turn.get("spans") or ():
        if groups and groups[-1][-1]["actor"] == span["actor"]:
            groups[-1].append(span)
        else:
            groups.append([span])
    for group in groups:
        actor, begin, end = group[0]["actor"], group[0]["from"], group[-1]["to"]
        attributes: dict[str, Value | None] = {"voicebridge.actor": actor}
        engine = served.get(actor, "")
        if actor in OPERATIONS:
            attributes["gen_ai.operation.name"] = OPERATIONS[actor]
            attributes["gen_ai.provider.name"] = attributes["gen_ai.request.model"] = engine
        if actor == "llm":
            first = next((span["to"] for span in group if span["name"] == "first_token"), None)
            attributes["gen_ai.response.time_to_first_chunk"] = None if first is None else round(first - begin, 4)
        yield Span(
            " ".join(filter(None, (WAITS.get(actor, actor), engine if actor in OPERATIONS else ""))),
            begin, end, _told(attributes), "client" if actor in OPERATIONS else "internal",
            events=tuple(Event(span["name"], span["to"]) for span in group),
        )  # fmt: skip


def _tools(turn: Turn) -> Iterator[Span]:
    for run in turn.get("tools", ()):
        attributes: dict[str, Value | None] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": run["tool"],
            "gen_ai.tool.type": "function",
            "voicebridge.attempts": run.get("attempts"),
            "error.type": run.get("cause"),
        }
        tries = tuple(
            Event("attempt", one["at"], _told({"voicebridge.ms": one["ms"], "error.type": one.get("cause")}))
            for one in run.get("try", ())
        )
        end = run["at"] + (run["ms"] or 0) / 1000
        error = "" if run["ok"] else run.get("cause") or "failed"
        yield Span(f"execute_tool {run['tool']}", run["at"], end, _told(attributes), error=error, events=tries)


def _speech(turn: Turn) -> Iterator[Span]:
    for said in turn.get("said", ()):
        if said.get("at") is not None:
            until = said.get("until")
            attributes = {"voicebridge.complete": bool(said.get("complete"))}
            yield Span(f"say {said['kind']}", said["at"], said["at"] if until is None else until, attributes)


# ---- sending, in the process of its own


class Sender:
    """Needs the extra. What cannot be sent is dropped, and said once a minute at most."""

    def __init__(self, endpoint: str, *, content: bool) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._content = content
        self._ids = _ids()
        resource = Resource.create({"service.name": SCOPE})  # OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME go before
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(traces_url(endpoint), timeout=SEND_S),
                max_queue_size=QUEUE, max_export_batch_size=BATCH, schedule_delay_millis=EVERY_MS,
            )
        )  # fmt: skip
        self._tracer = self._provider.get_tracer(SCOPE)

    def send(self, record: Record) -> None:
        self._ids.trace_id = UUID(record["call_id"]).int
        self._emit(trace_of(record, content=self._content), record["began_at"], None)

    def close(self) -> None:
        self._provider.shutdown()

    def _emit(self, span: Span, zero: float, parent: Any) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        def at(seconds: float) -> int:
            return round((zero + seconds) * 1e9)

        made = self._tracer.start_span(
            span.name, parent, SpanKind[span.kind.upper()], span.attributes, start_time=at(span.begin)
        )
        for event in span.events:
            made.add_event(event.name, event.attributes, at(event.at))
        if span.error:
            made.set_status(Status(StatusCode.ERROR, span.error))
        inside = set_span_in_context(made)
        for inner in span.inner:
            self._emit(inner, zero, inside)
        made.end(at(span.end))


def _ids() -> Any:
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class CallIds(RandomIdGenerator):  # type: ignore[misc]  # not typed here
        """A trace has its call's id: who knows one finds the other."""

        trace_id = 0

        def generate_trace_id(self) -> int:
            return self.trace_id or int(super().generate_trace_id())

    return CallIds()


def traces_url(endpoint: str) -> str:
    """Of a collector; `http://host:4318` is enough."""
    return endpoint if endpoint.rstrip("/").endswith("/v1/traces") else f"{endpoint.rstrip('/')}/v1/traces"


def serve(sender: Sender, lines: Iterable[str]) -> None:
    """Until the daemon closes the pipe. A line that is none of ours is passed over."""
    for line in lines:
        try:
            sender.send(json.loads(line))
        except (KeyError, TypeError, ValueError) as error:
            print(f"WARNING a record was not traced: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    sender.close()


class OnceAMinute(logging.Filter):
    """A collector that is away is a line a minute, not one a batch."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now, key = time.monotonic(), f"{record.name} {record.lineno}"
        if now - self._said.get(key, -SAID_EVERY_S) < SAID_EVERY_S:
            return False
        self._said[key] = now
        return True


def _log_to_the_daemon() -> None:
    """A line begins with its level, as those of the engines' workers do."""
    handler = logging.StreamHandler()
    handler.addFilter(OnceAMinute())
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", handlers=[handler])


if __name__ == "__main__":
    _log_to_the_daemon()
    serve(Sender(sys.argv[1], content="--content" in sys.argv), sys.stdin)
