"""Several engines of a kind as one: the first that works serves, and a call moves on in the middle of an utterance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from voicebridge.engines.failover.group import Group
from voicebridge.engines.failover.llm import LlmFailover
from voicebridge.engines.failover.stt import SttFailover
from voicebridge.engines.failover.tts import TtsFailover

WRAPPERS: dict[str, Any] = {"stt": SttFailover, "llm": LlmFailover, "tts": TtsFailover}


def together(kind: str, engines: Sequence[Any]) -> Any:
    """One engine of several, the preferred one first; a single one stays as it is. Names are unique."""
    return engines[0] if len(engines) == 1 else WRAPPERS[kind](engines)


def members(engine: Any) -> list[Any]:
    """The engines behind one, the preferred one first."""
    return engine.engines if isinstance(engine, Group) else [engine]
