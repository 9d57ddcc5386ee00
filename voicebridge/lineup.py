"""The line-up: which engines the settings want, made of their plug-ins and started side by side."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicebridge import plugins
from voicebridge.choice import ALIAS, Choice, is_address
from voicebridge.config import ConfigError, Settings
from voicebridge.engines.base import Embedder, LlmEngine, SttEngine, TtsEngine, TurnJudge
from voicebridge.engines.failover import members, together
from voicebridge.engines.supervisor import Worker
from voicebridge.modelstore.catalogue import catalogue
from voicebridge.modelstore.resolve import is_path
from voicebridge.plugins import PluginError

log = logging.getLogger(__name__)

MODEL_OPTIONS = ("model", "models", "voice", "voices")
"""By which engines that have a `default_model` are told of others: names of the catalogue, or paths."""
OWN_PLACE = re.compile(r"^(\[engines\.options\.\w+\] |engines\.options\.\w+: |engine \w+: (options: )?)+")
"""What engines write before an error, who cannot know the line."""
WORDS = {
    "Value error, ": "", "Extra inputs are not permitted": "there is no such option", "Field required": "is missing",
}  # fmt: skip

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
    """Not started. Raises PluginError, and ConfigError where its options or its model are not usable.

    Both name the line, where there is one. A daemon refuses to start with any engine that cannot be made, be it a
    spare: what was written down by mistake would pass unseen until the first one fails. One that is made and does not
    get ready is another matter: the next of its kind serves.
    """
    try:
        plugin = plugins.load(choice.kind, choice.plugin)
    except PluginError as error:
        raise PluginError(f"{place_of_name(settings, choice)}: {error}") from error
    options = dict(choice.options)
    if hasattr(plugin, "default_model"):
        options = beside_the_file(options, Path(settings.source))
    if getattr(plugin, "takes_deadlines", False) and not settings.config.engines.deadlines:
        options["deadlines"] = False
    try:
        engine = plugin.create(options)
    except ConfigError as error:
        raise ConfigError(_told(settings, choice, str(error))) from error
    except (KeyError, TypeError, ValueError) as error:
        why = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigError(_told(settings, choice, why)) from error
    if engine.name != choice.name:
        engine.name = choice.name  # an alias or an address: several of a plug-in are told apart
    return engine


def beside_the_file(options: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """Options whose relative paths to models are taken from the configuration's folder, wherever we are started."""

    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: placed(each) for key, each in value.items()}
        if not isinstance(value, str) or not value or value.startswith(("/", "~")):
            return value
        known = any(model.name == value for model in catalogue())
        there = source.absolute().parent / value
        return str(there) if not known and (is_path(value) or there.exists()) else value

    if not source.is_file():
        return dict(options)
    return {key: placed(value) if key in MODEL_OPTIONS else value for key, value in options.items()}


# ---- where what is wrong stands


def table_of(settings: Settings, choice: Choice) -> str:
    """The name of the table that has the engine's options; an address has its plug-in's. "" where there is none."""
    names = (choice.name, choice.plugin) if is_address(choice.name) else (choice.name,)
    return next((name for name in names if name in settings.config.engines.options), "")


def place_of(settings: Settings, choice: Choice, *key: str) -> str:
    """`file:line: engines.options.NAME`, or where the engine is named if it has no options."""
    table = table_of(settings, choice)
    return settings.where("engines", "options", table, *key) if table else settings.where("engines", choice.kind)


def place_of_name(settings: Settings, choice: Choice) -> str:
    """Where the plug-in is named: for an alias that is the option `engine`."""
    if choice.name == choice.plugin or is_address(choice.name):
        return settings.where("engines", choice.kind)
    return settings.where("engines", "options", choice.name, ALIAS)


def _told(settings: Settings, choice: Choice, why: str) -> str:
    """What is wrong, with the place of the option that it is about."""
    why = OWN_PLACE.sub("", why)
    for pydantic, plain in WORDS.items():
        why = why.replace(pydantic, plain)
    if not table_of(settings, choice) and choice not in settings.config.engines.chosen(choice.kind):
        return why
    blamed = _blamed(choice.options, why)
    return f"{place_of(settings, choice, *blamed)}: {why.removeprefix(f'{blamed[0]}: ') if blamed else why}"


def _blamed(options: Mapping[str, Any], why: str) -> tuple[str, ...]:
    """The option that an error is about, as it names the option or its value; none where that is not to be seen."""
    by_name = re.match(r"(\w+)[.:]", why)
    if by_name and by_name[1] in options:
        return (by_name[1],)
    for key, value in options.items():
        values = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]
        if any(isinstance(each, str) and len(each) > 1 and each in why for each in values):
            return (key,)
    return next(((key,) for key in re.findall(r"`(\w+)`", why) if key in options), ())


@dataclass(frozen=True, slots=True)
class EngineState:
    """`restarts` of its worker process beyond the first start; None where another keeps it. `state`: of that process
    (supervisor.WorkerState), else "ready" or "absent"; `last_error`: why it ended last, "" where it never did."""

    kind: str
    name: str
    ready: bool
    restarts: int | None
    state: str = ""
    last_error: str = ""


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

    def standing(self) -> list[EngineState]:
        """How each engine is, the spares too."""
        return [
            _state(kind, one)
            for kind, engine in self.all().items()
            for one in members(engine)
        ]

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


def _state(kind: str, engine: Any) -> EngineState:
    ready, worker = bool(engine.ready), _worker(engine)
    if worker is None:
        return EngineState(kind, engine.name, ready, None, "ready" if ready else "absent")
    return EngineState(kind, engine.name, ready, worker.restarts, worker.state, worker.last_error)


def _worker(engine: Any) -> Worker | None:
    """The process that the daemon keeps for an engine."""
    worker = getattr(getattr(engine, "host", None), "worker", None)
    return worker if isinstance(worker, Worker) else None
