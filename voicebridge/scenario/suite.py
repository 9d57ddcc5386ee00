"""Which scenarios there are, for which agent and with which configuration; and what came of each.

A file `desk.test.yaml` belongs to the agent `desk`: the one whose `desk.toml` lies beside it, else the configured one.
`agent:` names another, or a TOML file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from voicebridge.config import Config, ConfigError, Settings, load_agent
from voicebridge.conversation.agent import AgentSpec
from voicebridge.scenario.format import CallScript
from voicebridge.scenario.observation import Observation
from voicebridge.scenario.script import SUFFIX, Script, load
from voicebridge.scenario.source import ScriptError
from voicebridge.scenario.stubs import stock
from voicebridge.scenario.verdict import Failure, judge
from voicebridge.targets import named_by, target_problems
from voicebridge.tools.catalogue import Shelf, equip, load_tools

EMBEDDED = Path(str(resources.files("voicebridge"))) / "data" / "agents"
Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Suite:
    """One file's calls; `settings` have the file's piece of configuration in them, and its agent as the only one.

    The agent has its tools; those on the shelf that are not installed are canned.
    """

    script: Script
    agent: AgentSpec
    settings: Settings
    shelf: Shelf
    calls: tuple[CallScript, ...]


@dataclass(frozen=True)
class Result:
    """One call. `seconds` is how long playing it took; `reason` why it was skipped."""

    suite: Suite
    call: CallScript
    status: Status
    seconds: float = 0.0
    failures: tuple[Failure, ...] = ()
    seen: Observation = field(default_factory=Observation)
    reason: str = ""

    def line(self, failure: Failure) -> int:
        """Where the step of a failure stands in the file."""
        script = self.suite.script
        names = [call.name for call in script.calls]
        return script.line(names.index(self.call.name), failure.step)


def judged(suite: Suite, call: CallScript, seen: Observation, seconds: float) -> Result:
    failures = tuple(judge(call, seen))
    return Result(suite, call, "failed" if failures else "passed", seconds, failures, seen)


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Scenario files as they are, of an agent's TOML the one beside it, of a folder all of them; an embedded agent's by
    the agent's name. Raises ScriptError."""
    for path in paths:
        if path.is_dir():
            found = sorted(path.rglob(f"*{SUFFIX}"))
            if not found:
                raise ScriptError(f"{path}: there is no *{SUFFIX} in this folder")
            yield from found
        elif path.suffix == ".toml":
            beside = path.with_name(path.stem + SUFFIX)
            if not beside.is_file():
                raise ScriptError(f"{path}: its scenarios belong into {beside.name} beside it, which is not there")
            yield beside
        elif not path.exists() and (embedded := EMBEDDED / (path.name + SUFFIX)).is_file():
            yield embedded
        else:
            yield path


def open_suite(path: Path, base: Settings, *, pattern: str = "") -> Suite:
    """`base`: the configuration in use; `pattern`: only calls with this in their name. Raises ScriptError."""
    script = load(path)
    config = _with_piece(script, base.config)
    agent = _agent(script, base)
    if unknown := [name for _, name in named_by(agent) if name not in config.targets]:
        raise ScriptError(
            f"{script.at('agent')}: agent {agent.name!r} names the target {unknown[0]!r}, which is not configured: "
            "put it into config.targets here, or tell the configuration with --config"
        )
    agent, shelf = _with_tools(script, agent, config)
    _check_names(script, agent, config)
    settings = base.model_copy(
        update={
            "config": config.model_copy(update={"default_agent": agent.name}),
            "agents": {agent.name: agent},
            "source": str(path),
        }
    )
    wanted = tuple(call for call in script.calls if pattern.casefold() in call.name.casefold())
    return Suite(script, agent, settings, shelf, wanted)


def _with_piece(script: Script, base: Config) -> Config:
    """Tables (targets, tools ...) are joined by key, everything else is replaced."""
    try:
        piece = Config.model_validate(script.config)
    except ValidationError as error:
        raise ScriptError("\n".join(_problems(script, error))) from None
    changes: dict[str, Any] = {}
    for name in piece.model_fields_set:
        ours, theirs = getattr(piece, name), getattr(base, name)
        changes[name] = {**theirs, **ours} if isinstance(ours, dict) else ours
    config = base.model_copy(update=changes)
    if wrong := list(target_problems(config.targets)):
        raise ScriptError("\n".join(f"{script.at('config', *place)}: {problem}" for place, problem in wrong))
    return config


def _problems(script: Script, error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        place = ("config", *problem["loc"])
        keys = ".".join(str(part) for part in place)
        yield f"{script.at(*place)}: {keys}: {problem['msg'].removeprefix('Value error, ')}"


def _agent(script: Script, base: Settings) -> AgentSpec:
    folder = script.path.parent
    name = script.agent or script.path.name.removesuffix(SUFFIX)
    file = folder / name if name.endswith(".toml") else folder / f"{name}.toml"
    try:
        if file.is_file():
            return load_agent(file)
    except ConfigError as error:
        raise ScriptError(str(error)) from None
    if name in base.agents:
        return base.agents[name]
    known = ", ".join(sorted(base.agents))
    raise ScriptError(f"{script.at('agent')}: agent: no {file}, and {name!r} is none of the configured ones: {known}")


def _with_tools(script: Script, agent: AgentSpec, config: Config) -> tuple[AgentSpec, Shelf]:
    """Raises ScriptError."""
    try:
        shelf = load_tools(config.tools, config.fallbacks)
        stock(shelf, agent, sorted({name for call in script.calls for name in call.tools}))
        return equip(agent, shelf), shelf
    except ConfigError as error:
        place = script.at("config", "tools") if script.config else script.at("agent")
        hint = " (install its package, or can it in `tools:`)" if "there is no tool" in str(error) else ""
        raise ScriptError("\n".join(f"{place}: {line}{hint}" for line in str(error).splitlines())) from None


def _check_names(script: Script, agent: AgentSpec, config: Config) -> None:
    """Names that can never come up are typos. Raises ScriptError."""
    problems = []
    for number, call in enumerate(script.calls):
        for tool in call.tools:
            if agent.tool(tool) is None:
                place = script.at("calls", number, "tools", tool)
                problems.append(f"{place}: tools.{tool}: agent {agent.name!r} has no such tool in its `tools`")
        for at, step in enumerate(call.steps):
            target = step.expect.hand_off if step.expect is not None else ""
            if target and target not in config.targets:
                place = script.at("calls", number, "steps", at, "expect", "hand_off")
                known = ", ".join(sorted(config.targets)) or "none is configured"
                problems.append(f"{place}: expect.hand_off: {target!r} is none of the targets: {known}")
    if problems:
        raise ScriptError("\n".join(dict.fromkeys(problems)))
