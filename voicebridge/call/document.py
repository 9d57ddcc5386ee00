"""A call as its record (`trace.record` tells what is in it), with nothing in it that is not to be kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from voicebridge.trace.record import origin

if TYPE_CHECKING:
    from voicebridge.call.call import Call


def document(call: Call) -> dict[str, Any]:
    """As the call stands now."""
    return {
        **origin(),
        "call_id": call.id,
        "agent": call.parts.agent.name,
        "language": call.parts.agent.language,
        "peer": call.leg.peer,
        "caller": call.privacy.caller(call.request.caller),
        "caller_key": call.caller_key,
        "dialled": call.request.dialled,
        "unique_id": call.request.unique_id,
        "began_at": call.began_at,
        "seconds": round(time.monotonic() - call.zero, 3),
        "rate": call.rate,
        "outcome": call.outcome,
        "target": call.ending.target if call.ending is not None else "",
        "summary": call.privacy.text(call.summary),
        "ended_by": call.core.ended_by,
        "disclosure": call.timeline.disclosed(call.zero),
        "consent": {
            "asked": call.core.consent.asked, "given": call.core.consent.given, "recorded": call.tape.recorded
        },
        "engines": {  # the preferred ones; which served a turn stands there
            "stt": call.parts.stt.name,
            "llm": call.parts.llm.name if call.parts.llm is not None else "",
            "tts": call.parts.mouth.engine_name,
        },
        "frames": call.frames.as_dict(),
        "turns": [
            call.timeline.told(turn, call.zero)
            for turn in call.timeline.turns if turn.said or turn.caller or turn.moves
        ],
    }
