"""A tool as the core and the language model see it; what it does stands in `voicebridge.tools`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """`schema` is the JSON schema of the arguments as compact JSON text: an object with `properties` and `required`.

    `consequential`: it changes something in the world, so the caller confirms aloud before it runs; `confirm` is the
    question, with `{argument}` placeholders. `cancellable`: a barge-in may cancel it. `fillers` cover the wait and
    `failed` tells that it did not work, each in the tool's own words; empty ones give the agent's. `alternative` is
    what is offered then: `tool NAME`, `form NAME` (take a message), `handoff TARGET`, or nothing. Where it is the very
    form whose answers the tool has refused in words of its own, the caller changes one of them and it is tried again.
    """

    name: str
    description: str
    schema: str
    consequential: bool = False
    confirm: str = ""
    cancellable: bool = False
    fillers: tuple[str, ...] = ()
    failed: str = ""
    alternative: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a model wants run. `arguments` is JSON text of an object, as the model gave it: not yet validated."""

    tool: str
    arguments: str
