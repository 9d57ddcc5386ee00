"""The record of a call: one JSON document, as the store keeps it, the CLI and the dashboard show it, webhooks send it.

    version         2
    call_id         of a test call: `new_test_id`
    agent, language, peer, dialled, unique_id
    caller          the caller's number as `[store] caller_numbers` wants it: "***42", whole, or ""
    caller_key      HMAC of the number, by which his calls are found and erased; "" where none was told
    node            host name; software: voicebridge's version
    began_at        unix seconds; seconds: how long it was; rate: Hz of its audio
    outcome         hangup, transfer, fallback; target, summary; ended_by: who or what
    disclosure      {"said": bool, "at": s}: whether the caller heard that he speaks to a machine
    consent         {"asked": bool, "given": bool | null, "recorded": bool}
    engines         the preferred one by kind (stt, llm, tts)
    frames          {"sent": n, "gap_p50_ms", "gap_p99_ms", "gap_max_ms", "late": n}: of our own frames on the wire
    turns           a list of these:

    turn            number; caller: what he said; source: rule, form, model, tool, line; rule; secret: bool
    last_voice      s since the call began: the caller's last voiced sample, by energy; null where he said nothing
    gap_s           the response gap: from last_voice to the first audible sample of the answer's own words; null
    marks           {name: s}: when each stage was reached (timeline.STAGES)
    spans           [{"name", "actor", "from", "to"}]: contiguous from last_voice to the audible sample; they add up
                    to gap_s. `actor`: caller, vad, stt, match, llm, tts, tool, endpoint, cover, playout (spans.ACTORS)
    slow            {"actor", "span", "ms", "over_ms", "text"}: why the gap is above its budget; null where it is not
    said            [{"kind", "text", "heard", "complete", "at", "until"}]: kind: greeting,
                    answer, filler, prompt, trouble ...
    cut_off         whether the caller interrupted; cut_at: s, when; stopped_after_ms: his first voice to our silence
    fillers         [[from, to]]: cover speech in this turn; `to` is null where it was not finished
    troubles        ["TranscriptFailed: timeout"]; moves: engines that failed over; engines: who served, by kind
    tools           [{"tool", "at", "ms", "ok", "cause", "attempts", "try": [{"at", "ms", "cause"}]}]
    handoffs        [{"at", "state", "target", "cause"}]

Times are seconds since the call began unless named otherwise. Texts are redacted before they come here.
"""

from __future__ import annotations

import functools
import socket
from importlib import metadata
from typing import Any
from uuid import UUID, uuid4

VERSION = 2
Record = dict[str, Any]
Turn = dict[str, Any]


def new_test_id() -> UUID:
    """An id for a test call of ours (doctor's, `voicebridge call`): a UUID of version 8, which RFC 9562 leaves to us;
    PBXs make those of version 4."""
    return UUID(int=uuid4().int & ~(0xF << 76) | 8 << 76)


def is_test(record: Record) -> bool:
    """Whether it is one: nobody's question, and no caller to be counted."""
    return str(record.get("call_id", ""))[14:15] == "8"


@functools.cache
def origin() -> Record:
    """Where and by what a record was made: its first three fields."""
    return {"version": VERSION, "node": socket.gethostname(), "software": metadata.version("voicebridge-pbx")}
