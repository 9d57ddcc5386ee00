"""Which tools there are, from which packages, and what of them an agent gets."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from voicebridge import plugins
from voicebridge.config import ConfigError, Settings
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.form import Form
from voicebridge.conversation.toolspec import ToolSpec
from voicebridge.plugins import Plugin
from voicebridge.tools.context import SPOKEN, SetupError
from voicebridge.tools.fallback import Fallback
from voicebridge.tools.schema import BadArguments
from voicebridge.tools.tool import ALTERNATIVE, Tool

log = logging.getLogger(__name__)

CORE_TOOLS = frozenset({"hang_up", "hand_off", "send_dtmf"})
"""Done by the core itself; agents may list them, plug-ins may not define them."""

Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A plug-in as `voicebridge plugins ls` tells of it. `unset`: it was refused only because it has no settings."""

    plugin: Plugin
    gives: tuple[str, ...] = ()
    unset: bool = False


@dataclass(slots=True)
class Shelf:
    """What was found. `settings` are those of voicebridge.toml by tool; `owners` tells a tool's package."""

    tools: dict[str, Tool] = field(default_factory=dict)
    fallbacks: dict[str, Fallback] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    @property
    def refused(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.plugin.refused and not entry.unset]


def load_tools(tools: Tables, fallbacks: Tables) -> Shelf:
    """Every installed plug-in, made with its settings. One that cannot be is refused with its reason, the others load.

    Raises ConfigError for settings of a plug-in that is not installed.
    """
    shelf = Shelf()
    _stock(shelf, "tools", tools)
    _stock(shelf, "fallbacks", fallbacks)
    for entry in shelf.refused:
        log.warning("plug-in refused: %s", entry.plugin.refused)
    return shelf


def tools_for(agent: AgentSpec, shelf: Shelf) -> tuple[ToolSpec, ...]:
    """The agent's allow-list, in its own words. Raises ConfigError for a tool that there is not."""
    return tuple(_spec(agent, shelf, name) for name in agent.tools if name not in CORE_TOOLS)


def equip(agent: AgentSpec, shelf: Shelf) -> AgentSpec:
    """The agent with its toolbox, and with the form of the fallback plug-in that its `fallback_form` names.

    Raises ConfigError, with a line for each thing that does not fit.
    """
    agent = _with_fallback(agent, shelf)
    agent = dataclasses.replace(agent, toolbox=tools_for(agent, shelf))
    problems = list(_problems(agent, shelf))
    if problems:
        raise ConfigError("\n".join(f"agent {agent.name}: {problem}" for problem in problems))
    box = tuple(_reachable(agent, spec) for spec in agent.toolbox)
    return dataclasses.replace(agent, toolbox=box)


def equipped(settings: Settings, shelf: Shelf | None = None) -> tuple[Settings, Shelf]:
    """The settings with every agent's toolbox filled, and where the tools come from (the installed plug-ins, without a
    shelf). Raises ConfigError."""
    shelf = shelf or load_tools(settings.config.tools, settings.config.fallbacks)
    agents = {name: equip(agent, shelf) for name, agent in settings.agents.items()}
    return settings.model_copy(update={"agents": agents}), shelf


# ---- loading


def _stock(shelf: Shelf, kind: str, tables: Tables) -> None:
    found = plugins.load_all(kind)
    for name in sorted(set(tables) - {plugin.name for plugin in found}):
        known = ", ".join(plugin.name for plugin in found) or "none"
        raise ConfigError(f"[{kind}.{name}]: no plug-in of that name is installed; there are: {known}")
    for plugin in found:
        shelf.entries.append(_shelved(shelf, plugin, dict(tables.get(plugin.name, {})), plugin.name in tables))


def _shelved(shelf: Shelf, plugin: Plugin, settings: dict[str, Any], given: bool) -> Entry:
    """Put what a plug-in gives on the shelf, all of it or nothing."""
    if plugin.refused:
        return Entry(plugin)
    where = f"{plugin.kind} plug-in {plugin.name!r} of package {plugin.package}"
    try:
        made, fallback = _made(plugin, settings)
    except SetupError as error:
        why = f"{where}: [{plugin.kind}.{plugin.name}]: {error}"
        return Entry(dataclasses.replace(plugin, refused=why), unset=not given)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code: it must not keep others from loading
        log.debug("%s", where, exc_info=error)
        return Entry(dataclasses.replace(plugin, refused=f"{where}: {type(error).__name__}: {error}"))
    seen: set[str] = set()
    for tool in made:
        if tool.name in CORE_TOOLS:
            return Entry(dataclasses.replace(plugin, refused=f"{where}: {tool.name} is a tool of voicebridge's own"))
        owner = shelf.owners.get(tool.name, plugin.package if tool.name in seen else "")
        if owner:
            why = f"{where}: a tool {tool.name!r} comes from {owner} already; rename or remove one"
            return Entry(dataclasses.replace(plugin, refused=why))
        seen.add(tool.name)
    for tool in made:
        shelf.tools[tool.name] = tool
        shelf.owners[tool.name] = plugin.package
        if isinstance(plugin.thing, Tool):
            shelf.settings[tool.name] = settings
    if fallback is not None:
        shelf.fallbacks[plugin.name] = fallback
        return Entry(plugin, (fallback.form.name, *(tool.name for tool in made)))
    return Entry(plugin, tuple(tool.name for tool in made))


def _made(plugin: Plugin, settings: dict[str, Any]) -> tuple[list[Tool], Fallback | None]:
    """Raises SetupError where it is no plug-in of its kind, and whatever its own code raises."""
    if plugin.kind == "tools" and isinstance(plugin.thing, Tool):
        return [plugin.thing], None
    create = getattr(plugin.thing, "create", None)
    shape = "a Tool or has create(settings)" if plugin.kind == "tools" else "has create(settings)"
    if not callable(create):
        raise TypeError(f"it is a {type(plugin.thing).__name__}; a plug-in for {plugin.kind} is what {shape}")
    made = create(settings)
    if plugin.kind == "fallbacks":
        if not isinstance(made, Fallback) or not isinstance(made.form, Form):
            raise TypeError(f"create(settings) gave a {type(made).__name__}, not a Fallback with a Form")
        return _tools(made.tools), made
    return _tools(made), None


def _tools(made: Any) -> list[Tool]:
    tools = list(made)
    for tool in tools:
        if not isinstance(tool, Tool):
            raise TypeError(f"create(settings) gave a {type(tool).__name__} where a Tool belongs")
    return tools


# ---- an agent


def _with_fallback(agent: AgentSpec, shelf: Shelf) -> AgentSpec:
    """A form of the agent's own beats a plug-in of that name."""
    wanted = agent.fallback_form
    if not wanted or agent.form(wanted) is not None:
        return agent
    if wanted not in shelf.fallbacks:
        forms = ", ".join(sorted({form.name for form in agent.forms} | set(shelf.fallbacks))) or "none"
        reason = _refusal(shelf, "fallbacks", wanted)
        raise ConfigError(
            f"agent {agent.name}: fallback_form: {wanted!r} is neither a form nor a plug-in{reason}; there are: {forms}"
        )
    fallback = shelf.fallbacks[wanted]
    needed = [fallback.form.tool, *(tool.name for tool in fallback.tools)]
    return dataclasses.replace(
        agent,
        forms=(*agent.forms, fallback.form),
        tools=tuple(dict.fromkeys((*agent.tools, *needed))),
        fallback_form=fallback.form.name,
    )


def _refusal(shelf: Shelf, kind: str, name: str) -> str:
    """Why a plug-in is not there, where that is what the name means."""
    for entry in shelf.entries:
        if entry.plugin.refused and (entry.plugin.kind, entry.plugin.name) == (kind, name):
            return f" ({entry.plugin.refused})"
    return ""


def _spec(agent: AgentSpec, shelf: Shelf, name: str) -> ToolSpec:
    if name not in shelf.tools:
        known = ", ".join(sorted({*shelf.tools, *CORE_TOOLS}))
        refused = "; ".join(entry.plugin.refused for entry in shelf.entries if entry.plugin.refused)
        more = f". Refused: {refused}" if refused else ""
        raise ConfigError(f"agent {agent.name}: tools: there is no tool {name!r}; there are: {known}{more}")
    settings = {**shelf.settings.get(name, {}), **agent.tool_settings.get(name, {})}
    words = {key: settings[key] for key in SPOKEN if key in settings}
    for key, value in words.items():
        texts = value if key == "fillers" else [value]
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            shape = "a list of texts" if key == "fillers" else "a text"
            raise ConfigError(f"agent {agent.name}: tool_settings.{name}.{key}: has to be {shape}")
    if "fillers" in words:
        words["fillers"] = tuple(words["fillers"])
    return dataclasses.replace(shelf.tools[name].spec(), **words)


def _problems(agent: AgentSpec, shelf: Shelf) -> Iterator[str]:
    """What would come to light only in a call."""
    allowed = {spec.name for spec in agent.toolbox}
    for name in sorted(set(agent.tool_settings) - allowed):
        yield f"tool_settings.{name}: the agent has no such tool; its tools: {', '.join(sorted(allowed)) or 'none'}"
    for spec in agent.toolbox:
        yield from _settings_problems(agent, shelf, spec)
    for rule in agent.rules:
        if rule.action == "tool" and rule.tool not in allowed | CORE_TOOLS:
            yield f"rules.{rule.name}: {rule.tool!r} is not among the agent's tools"
        elif rule.action == "tool" and rule.tool in allowed:
            try:
                shelf.tools[rule.tool].parse(json.dumps(rule.arguments, default=str))
            except BadArguments as error:
                yield f"rules.{rule.name}.arguments do not fit {rule.tool}: {error}"
    for form in agent.forms:
        yield from _form_problems(form, agent)


def _settings_problems(agent: AgentSpec, shelf: Shelf, spec: ToolSpec) -> Iterator[str]:
    settings = {**shelf.settings.get(spec.name, {}), **agent.tool_settings.get(spec.name, {})}
    if not ALTERNATIVE.fullmatch(spec.alternative):
        yield f"tool_settings.{spec.name}.alternative: write 'tool NAME', 'form NAME' or 'handoff TARGET'"
    parameters = json.loads(spec.schema)["properties"]
    for wanted in re.findall(r"\{(\w*)\}", spec.confirm):
        if wanted not in parameters:
            yield f"tool_settings.{spec.name}.confirm: {{{wanted}}} is not among its parameters"
    model = shelf.tools[spec.name].settings
    if model is not None:
        try:
            model.model_validate({key: value for key, value in settings.items() if key not in SPOKEN})
        except ValidationError as error:
            for problem in error.errors():
                key = ".".join((spec.name, *(str(part) for part in problem["loc"])))
                yield f"tool_settings.{key}: {problem['msg']} (or [tools.{spec.name}] in voicebridge.toml)"


def _form_problems(form: Form, agent: AgentSpec) -> Iterator[str]:
    """A form's slots have to be what its tool takes."""
    spec = agent.tool(form.tool)
    if spec is None:
        if form.tool not in CORE_TOOLS:
            yield f"forms.{form.name}: its tool {form.tool!r} is not among the agent's tools"
        return
    schema = json.loads(spec.schema)
    given = {slot.name for slot in form.slots} | {name for name, _ in form.fixed}
    for name in sorted(given - set(schema["properties"])):
        yield f"forms.{form.name}: {form.tool} takes no {name!r}; it takes: {', '.join(schema['properties'])}"
    needed = given - {slot.name for slot in form.slots if slot.optional}
    for name in sorted(set(schema["required"]) - needed):
        yield f"forms.{form.name}: {form.tool} needs {name!r}, and no slot asks for it"


def _reachable(agent: AgentSpec, spec: ToolSpec) -> ToolSpec:
    """Without an alternative that this agent has not got: the tool's author could not know it."""
    kind, _, name = spec.alternative.partition(" ")
    targets = {*agent.targets, agent.human} - {""}
    there = {"tool": agent.tool(name) is not None, "form": agent.form(name) is not None, "handoff": name in targets}
    if not kind or there[kind]:
        return spec
    log.info("agent=%s tool=%s its alternative %r is not the agent's", agent.name, spec.name, spec.alternative)
    return dataclasses.replace(spec, alternative="")
