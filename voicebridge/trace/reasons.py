"""Why a call ended as it did, in words: `rule_human` is the core's name for it, not a reader's."""

from __future__ import annotations

_FIXED = {
    "not_understood": "the agent did not understand several times running",
    "model": "the language model decided so",
    "no_input": "the caller said nothing",
    "call_length": "the call reached its time limit",
    "no_answer_in_time": "no answer was ready in time",
    "hangup": "the caller hung up",
    "dropped": "the line was lost",
    "error": "the audio connection failed",
    "local": "the daemon ended it",
    "shutdown": "the daemon was shut down",
    "done": "the agent had finished",
    "audio_lost": "the audio was lost",
}
_ENGINES = {"stt": "speech recognition", "llm": "the language model", "tts": "the voice"}


def reason_text(reason: str, outcome: str = "") -> str:
    """`reason`: a record's `ended_by`; one that is not known is given back with spaces."""
    if reason in _FIXED:
        return _FIXED[reason]
    kind, _, rest = reason.partition("_")
    if kind == "rule" and rest:
        if outcome in ("transfer", "fallback"):
            return f"the caller asked for it by rule {rest}"
        return f"rule {rest} ended it"
    if kind == "form" and rest.endswith("_not_understood"):
        return f"the answers to form {rest.removesuffix('_not_understood')} were not understood"
    if kind == "tool" and rest.endswith("_failed"):
        return f"the tool {rest.removesuffix('_failed')} failed"
    if kind == "tool" and rest:
        return f"the tool {rest} wanted it"
    if kind in _ENGINES and rest:
        return f"{_ENGINES[kind]} failed: {rest.replace('_', ' ')}"
    return reason.replace("_", " ") or "not known"
