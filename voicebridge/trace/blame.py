"""Why a turn was slow: whom the answer waited for longer than usual, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voicebridge.trace.spans import ACTORS, by_actor

BUDGET_S = 0.8
"""Callers notice a gap from here on (facts: between people it is 0.2 s; at 0.8 s they begin to repeat themselves)."""
USUAL_S = {
    "vad": 0.12, "stt": 0.20, "match": 0.06, "llm": 0.30, "tts": 0.10, "tool": 0.0, "endpoint": 0.25, "cover": 0.0,
    "playout": 0.06,
}  # fmt: skip
"""What each takes on a machine that is not overloaded. Whoever is furthest above it is to blame."""
_ENGINES = {"stt": "the recogniser", "llm": "the language model", "tts": "the voice"}


def slow(turn: Mapping[str, Any]) -> dict[str, Any] | None:
    """For a recorded turn above the budget: {actor, span, ms, over_ms, text}; None for others."""
    gap = turn.get("gap_s")
    shares = by_actor(turn)
    if gap is None or gap <= BUDGET_S or not shares:
        return None
    blamable = [name for name in shares if name != "cover"] or ["cover"]  # a filler comes of somebody else's delay
    actor = max(blamable, key=lambda name: shares[name] - USUAL_S[name])
    longest = max((s for s in turn["spans"] if s["actor"] == actor), key=lambda s: s["to"] - s["from"])
    took, usual = shares[actor], USUAL_S[actor]
    return {
        "actor": actor,
        "span": longest["name"],
        "ms": round(took * 1000),
        "over_ms": round((took - usual) * 1000),
        "text": _text(turn, actor, took, gap),
    }


def _text(turn: Mapping[str, Any], actor: str, took: float, gap: float) -> str:
    share = f"{took:.2f} of {gap:.2f} s"
    moved = next((move for move in turn.get("moves", ()) if move["kind"] == actor), None)
    match actor:
        case "tool":
            slowest = max(turn["tools"], key=lambda tool: tool["ms"] or 0, default=None)
            if slowest is None:
                return f"a tool took {share}"
            tried = f", {slowest['attempts']} attempts" if slowest.get("attempts", 1) > 1 else ""
            failed = "" if slowest["ok"] else f", and failed: {slowest['cause'] or 'not finished'}"
            return f"the tool {slowest['tool']} took {share}{tried}{failed}"
        case "stt" | "llm" | "tts":
            name = turn.get("engines", {}).get(actor, "")
            text = f"{_ENGINES[actor]} {name} took {share}" if name else f"{_ENGINES[actor]} took {share}"
            if moved is not None:
                text += f": {moved['from']} failed ({moved['cause']}), {moved['to']} went on"
            elif trouble := next((t for t in turn.get("troubles", ()) if _about(actor) in t), ""):
                text += f" ({trouble})"
            return text
        case "endpoint":
            return f"we waited {share} to be sure that the caller had finished: his words did not sound complete"
        case _:
            return f"{ACTORS[actor]} took {share}: the machine was busy"


def _about(actor: str) -> str:
    return {"stt": "TranscriptFailed", "llm": "ModelFailed", "tts": "SegmentFailed"}[actor]
