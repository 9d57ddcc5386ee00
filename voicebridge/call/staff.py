"""The agents that answer, each with what its calls share; who takes the place of whom when they are read anew.

A call keeps the parts with which it began. An agent that is gone from the configuration is kept by name: a ticket, or a
human who is being called, may still speak of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from voicebridge import slots
from voicebridge.call.work import Parts
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.form import Form, Slot
from voicebridge.conversation.owntools import for_model
from voicebridge.engines.base import Message

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """What a reading of the agents has changed, by name."""

    agents: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]


class Staff:
    """`make` gives an agent its parts: nothing loaded, nothing rendered."""

    def __init__(self, make: Callable[[AgentSpec], Parts]) -> None:
        self._make = make
        self._parts: dict[str, Parts] = {}
        self._gone: dict[str, Parts] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __getitem__(self, name: str) -> Parts:
        return self._parts[name] if name in self._parts else self._gone[name]

    async def hire(self, agents: Iterable[AgentSpec]) -> None:
        """At the start: with the fixed lines that are on disk, while engines load. `prepare` does the rest."""
        self._parts = {agent.name: self._make(agent) for agent in agents}
        await asyncio.to_thread(_load, list(self._parts.values()))

    async def prepare(self) -> None:
        await _prepare(list(self._parts.values()))

    async def renew(self, agents: Mapping[str, AgentSpec]) -> Change:
        """Others in the place of those who are there. They come when all is ready that their first call would wait for;
        who has not changed stays as he is."""
        fresh: list[Parts] = []
        for name, agent in agents.items():
            if name not in self._parts or self._parts[name].agent != agent:
                fresh.append(await asyncio.to_thread(self._make, agent))  # rules of a thousand examples: 0.15 s
        await asyncio.to_thread(_load, fresh)
        await _prepare(fresh)
        before, made = self._parts, {parts.agent.name: parts for parts in fresh}
        self._parts = {name: made.get(name) or before[name] for name in agents}
        gone = {name: parts for name, parts in before.items() if name not in agents}
        self._gone.update(gone)
        return Change(tuple(agents), tuple(made), tuple(gone))

    async def warm(self, names: Iterable[str] = ()) -> None:
        """Have agents' prompts computed before their first caller has asked anything: all, or those named."""
        for name in tuple(names) or tuple(self._parts):
            parts = self[name]
            prompt = parts.agent.system_prompt()
            if parts.llm is not None and prompt:
                session = parts.llm.session(agent=parts.agent.name, tools=for_model(parts.agent))
                await session.warm([Message("system", prompt)])
                await session.close()

    async def render_missing(self) -> None:
        """Lines that could not be rendered before, or only by a spare's voice."""
        for parts in list(self._parts.values()):
            if parts.mouth.missing:
                await parts.mouth.render()


def _load(crew: list[Parts]) -> None:
    for parts in crew:
        parts.mouth.load()


async def _prepare(crew: list[Parts]) -> None:
    """What a first call would wait for: words of its forms, fixed lines, examples."""
    for language in sorted({parts.agent.language for parts in crew if parts.agent.forms}):
        await asyncio.to_thread(slots.warm, language)
    for parts in crew:
        for form in parts.agent.forms:
            for problem in slots.missing(form, parts.agent.language):
                log.warning("agent=%s %s", parts.agent.name, problem)
        if parts.agent.recording_consent == "ask":
            asked = Form("recording_consent", "", (Slot("answer", "yes_no"),))
            for problem in slots.missing(asked, parts.agent.language):
                log.warning("agent=%s %s: callers give their consent by the key 1 alone", parts.agent.name, problem)
        await parts.mouth.render()
        await parts.matcher.prepare()
