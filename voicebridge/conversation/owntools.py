"""The tools that are the conversation's own: hang up, hand off, send keys. A model may name them like any other."""

from __future__ import annotations

import json
from typing import Any

from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.toolspec import ToolSpec

HAND_OFF = "hand_off"
HANG_UP = "hang_up"
SEND_DTMF = "send_dtmf"
OWN = (HAND_OFF, HANG_UP, SEND_DTMF)


def for_model(agent: AgentSpec) -> tuple[ToolSpec, ...]:
    """What the model may want run: the agent's tools, and the own ones that its allow-list or its targets open.

    Nothing where the model only chats.
    """
    if agent.model_scope != "open" or not (agent.toolbox or agent.targets or set(agent.tools) & set(OWN)):
        return ()
    own = [spec for spec in _own(agent) if spec.name in agent.tools or (spec.name == HAND_OFF and agent.targets)]
    return (*agent.toolbox, *own)


def _own(agent: AgentSpec) -> tuple[ToolSpec, ...]:
    return (
        ToolSpec(
            HAND_OFF, "Connect the caller with a person.",
            _schema("target", {"type": "string", "enum": list(agent.targets)}),
        ),
        ToolSpec(HANG_UP, "End the call after the caller has said goodbye.", json.dumps({"type": "object"})),
        ToolSpec(
            SEND_DTMF, "Press keys on the phone.",
            _schema("digits", {"type": "string", "pattern": "^[0-9*#]{1,32}$", "maxLength": 32}),
        ),
    )


def _schema(name: str, what: dict[str, object]) -> str:
    return json.dumps({"type": "object", "properties": {name: what}, "required": [name]})


def as_object(arguments: str) -> dict[str, Any]:
    """A model's arguments; empty where they are no JSON text of an object."""
    try:
        made = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return {}
    return made if isinstance(made, dict) else {}


def argument(arguments: str, name: str) -> str:
    """One string out of a model's arguments; "" where there is none."""
    value = as_object(arguments).get(name)
    return value if isinstance(value, str) else ""
