"""The line-up: which engines the settings want, made of their plug-ins and started side by side."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from typing import Any

from voicebridge import plugins
from voicebridge.choice import Choice
from voicebridge.config import ConfigError, Settings
from voicebridge.engines.base import Embedder, LlmEngine, SttEngine, TtsEngine, TurnJudge
from voicebridge.engines.failover import members, together
from voicebridge.modelstore.catalogue import UnknownModel

log = logging.getLogger(__name__)

SPARE_S = 5.0
"""So long a start waits for the preferred engine of a kind before it does with another."""


def engines_in_use(settings: Settings) -> dict[str, tuple[Choice, ...]]:
    """By kind, the engines that the agents need: no model without talk, no embeddings without examples."""
    wanted = settings.config.engines
    with_rules = any(rule.examples for agent in settings.agents.values() for rule in agent.rules)
    with_model = any(agent.model_scope != "none" for agent in settings.agents.values())
    kinds = ("stt", "tts", *(("llm",) if with_model else ()), *(("embed",) if with_rules else ()), "turn")
    return {kind: chosen for kind in kinds if (chosen := wanted.chosen(kind))}


def make_engine(settings: Settings, choice: Choice) -> Any:
    """Not started. Raises PluginError, and ConfigError where its options or its model are not usable."""
    plugin, options = plugins.load(choice.kind, choice.plugin), dict(choice.options)
    if getattr(plugin, "takes_deadlines", False) and not settings.config.engines.deadlines:
        options["deadlines"] = False
    try:
        engine = plugin.create(options)
    except ConfigError as error:
        if choice.name == choice.plugin:
            raise
        raise ConfigError(f"{_place_of(settings, choice)}: {error}") from error
    except (KeyError, TypeError, ValueError, UnknownModel) as error:
        why = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{_place_of(settings, choice)}: {why}") from error
    if engine.name != choice.name:
        engine.name = choice.name  # an alias or an address: several of a plug-in are told apart
    return engine


def _place_of(settings: Settings, choice: Choice) -> str:
    """Where an engine's options stand, or its name where it has none."""
    given = choice.name in settings.config.engines.options
    return settings.where("engines", "options", choice.name) if given else settings.where("engines", choice.kind)


class Engines:
    """The engines of the settings, started side by side."""

    def __init__(self, settings: Settings) -> None:
        made = {
            kind: together(kind, [make_engine(settings, choice) for choice in choices])
            for kind, choices in engines_in_use(settings).items()
        }
        self.stt: SttEngine = made["stt"]
        self.tts: TtsEngine = made["tts"]
        self.llm: LlmEngine | None = made.get("llm")
        self.embed: Embedder | None = made.get("embed")
        self.turn: TurnJudge | None = made.get("turn")

    def all(self) -> dict[str, Any]:
        made = {"stt": self.stt, "tts": self.tts, "llm": self.llm, "embed": self.embed, "turn": self.turn}
        return {kind: engine for kind, engine in made.items() if engine is not None}

    def states(self) -> dict[str, bool]:
        """Each engine by kind and name, the spares too: whether it is ready."""
        return {
            f"{kind} {one.name}": bool(one.ready) for kind, engine in self.all().items() for one in members(engine)
        }

    async def start(self) -> None:
        async with asyncio.TaskGroup() as group:
            for engine in self.all().values():
                group.create_task(engine.start())

    async def wait_ready(self, *, timeout_s: float) -> bool:
        """Of each kind the preferred engine, or after a few seconds any."""
        began = time.monotonic()
        while not all(map(self._serves, self.all().values(), itertools.repeat(time.monotonic() - began > SPARE_S))):
            if time.monotonic() > began + timeout_s:
                return False
            await asyncio.sleep(0.05)
        return True

    @staticmethod
    def _serves(engine: Any, late: bool) -> bool:
        return bool(engine.ready if late else members(engine)[0].ready)

    async def stop(self) -> None:
        results = await asyncio.gather(*(engine.stop() for engine in self.all().values()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                log.warning("an engine did not stop cleanly: %r", result)
