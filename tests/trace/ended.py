"""Records of calls that have ended, as the store gets them, for whoever reads records."""

from __future__ import annotations

from typing import Any

CALL_ID = "23e748a5-1b00-4470-955f-26f6c5495da7"


def turn(number: int = 1, last_voice: float = 5.0, **changes: Any) -> dict[str, Any]:
    """A turn that the model answered 0.6 s after the caller's last voice: 0.1 vad, 0.1 stt, 0.3 llm, 0.1 tts."""
    steps = (("detected", "vad", 0.1), ("transcript", "stt", 0.1), ("first_token", "llm", 0.2),
             ("first_clause", "llm", 0.1), ("speech_ready", "tts", 0.05), ("audible", "playout", 0.05))  # fmt: skip
    spans, at = [], last_voice
    for name, actor, took in steps:
        spans.append({"name": name, "actor": actor, "from": round(at, 4), "to": round(at + took, 4)})
        at += took
    made: dict[str, Any] = {
        "turn": number, "caller": "Do you rent bikes?", "source": "model", "rule": "", "secret": False,
        "last_voice": last_voice, "gap_s": 0.6, "marks": {span["name"]: span["to"] for span in spans}, "spans": spans,
        "said": [{"kind": "answer", "text": "We do, from nine.", "heard": "We do,", "complete": False,
                  "at": round(at, 4), "until": round(at + 1, 4)}],
        "cut_off": False, "cut_at": None, "stopped_after_ms": None, "fillers": [], "troubles": [], "tools": [],
        "handoffs": [], "moves": [], "engines": {"stt": "vosk", "llm": "llama_server", "tts": "piper"}, "slow": None,
    }  # fmt: skip
    return {**made, **changes}


def record(*turns: dict[str, Any], **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "version": 2, "call_id": CALL_ID, "agent": "desk", "language": "en", "peer": "127.0.0.1:4040",
        "caller": "***42", "caller_key": "k", "dialled": "100", "unique_id": "1.1", "node": "here", "software": "0",
        "began_at": 1_795_545_628.5, "seconds": 24.9, "rate": 8000, "outcome": "hangup", "target": "", "summary": "",
        "ended_by": "rule_goodbye", "disclosure": {"said": True, "at": 0.1},
        "consent": {"asked": False, "given": None, "recorded": False},
        "engines": {"stt": "vosk", "llm": "llama_server", "tts": "piper"},
        "frames": {"sent": 1245, "gap_p50_ms": 20, "gap_p99_ms": 21, "gap_max_ms": 24, "late": 0},
        "turns": list(turns),
    }  # fmt: skip
    return {**made, **changes}
