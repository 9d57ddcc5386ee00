"""An agent's file: `agents/NAME.toml` into an `AgentSpec`, with everything told that could not work in a call."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from voicebridge.conversation import templates
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.form import Form, Slot
from voicebridge.conversation.owntools import OWN
from voicebridge.targets import Target, named_by
from voicebridge.tomlfile import ConfigError, place, read, validated

EMBEDDED_AGENTS = resources.files("voicebridge") / "data" / "agents"
KEYS = "0123456789*#ABCD"
LEAST_S = 0.02
"""A timer shorter than a frame only spins."""
LONGEST = 2_000
"""Characters of one line of an agent's: two minutes of speech."""
MAY_BE_EMPTY = frozenset({"perhaps", "anything_else", "still"})
"""Lines without which something else is said, or nothing more."""


def load_agent(path: Path) -> AgentSpec:
    """An agent's file; with `extends = "NAME"`, on top of an embedded agent or of NAME.toml beside it."""
    table, text = read(path)
    table.setdefault("name", path.stem)
    table = _extended(table, path, text, (path.resolve(),))
    agent: AgentSpec = validated(TypeAdapter(AgentSpec), table, path, text)
    problems = [f"{place(path, text, loc)}: {problem}" for loc, problem in _agent_problems(agent)]
    if problems:
        raise ConfigError("\n".join(problems))
    named = dict.fromkeys((*agent.targets, *(name for _, name in named_by(agent))))
    return dataclasses.replace(agent, targets=tuple(named))  # what a rule or a form names is open to its callers


def _extended(table: dict[str, Any], path: Path, text: str, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The table on top of what it extends: lists are longer, tables are merged, everything else is replaced.

    Its own rules go before those of the base: an entry of the same name replaces the base's, and an example sentence
    that it gives to a rule of its own is taken from the base's.
    """
    name = table.pop("extends", None)
    if name is None:
        return table
    bases = [path.parent / f"{name}.toml", Path(str(EMBEDDED_AGENTS / f"{name}.toml"))]
    found = [base for base in bases if base.exists() and base.resolve() not in seen]
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name) or not found:
        files = sorted(file.name for file in EMBEDDED_AGENTS.iterdir() if _is_agent(file))
        known = _list(name.removesuffix(".toml") for name in files)
        where = place(path, text, ("extends",))
        raise ConfigError(f"{where}: extends: no agent {name!r} that can be extended; embedded are: {known}")
    base, base_text = read(found[0])
    return _merged(_extended(base, found[0], base_text, (*seen, found[0].resolve())), table)


def _merged(base: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    made = dict(base)
    for key, value in table.items():
        old = base.get(key)
        if isinstance(value, list) and isinstance(old, list):
            known = {item["name"]: item for item in old if isinstance(item, dict) and "name" in item}
            own = [
                known.get(item.get("name", ""), {}) | item if isinstance(item, dict) else item for item in value
            ]
            named = {item["name"] for item in value if isinstance(item, dict) and "name" in item}
            kept = [item for item in old if not (isinstance(item, dict) and item.get("name") in named)]
            made[key] = own + (_without_examples_of(value, kept) if key == "rules" else kept)
        elif isinstance(value, dict) and isinstance(old, dict):
            made[key] = _merged(old, value)
        else:
            made[key] = value
    return made


def _without_examples_of(own: list[Any], base: list[Any]) -> list[Any]:
    """The base's rules without the examples that stand with a rule of our own: a sentence means one thing."""
    taken = {text for rule in own if isinstance(rule, dict) for text in rule.get("examples") or ()}
    return [
        rule | {"examples": [text for text in rule["examples"] if text not in taken]} if "examples" in rule else rule
        for rule in base
    ]


def check_targets(agent: AgentSpec, targets: Mapping[str, Target], file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    known = ", ".join(sorted(targets)) or "none is configured (voicebridge.toml, [targets.NAME])"
    problems = [
        f"{place(file, text, loc)}: {loc[-1] if isinstance(loc[-1], str) else loc[0]}: "
        f"{name!r} is none of the targets: {known}"
        for loc, name in named_by(agent)
        if name not in targets
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def _agent_problems(agent: AgentSpec) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """What no type tells: (where, what)."""
    if not 0.2 <= agent.speed <= 5:
        yield ("speed",), f"speed: {agent.speed} is not between 0.2 and 5"
    for limit, value in dataclasses.asdict(agent.limits).items():
        if isinstance(value, str):
            continue
        if not 0 < value < 1e6 and (limit, value) != ("no_input_limit", 0):
            yield ("limits", limit), f"limits.{limit}: {value} is not above 0"
        elif limit.endswith("_s") and value < LEAST_S:
            yield ("limits", limit), f"limits.{limit}: {value} is not at least {LEAST_S}, one frame of sound"
    yield from _text_problems(agent)
    yield from _rule_problems(agent)
    for index, form in enumerate(agent.forms):
        yield from _form_problems(agent, index, form)


def _rule_problems(agent: AgentSpec) -> Iterator[tuple[tuple[int | str, ...], str]]:
    seen: set[str] = set()
    for index, rule in enumerate(agent.rules):
        here = ("rules", index, "name")
        if rule.name in seen:
            yield here, f"rules.name: two rules are called {rule.name!r}"
        seen.add(rule.name)
        if not rule.examples and not rule.dtmf:
            yield here, f"rules.examples: rule {rule.name!r} has neither examples nor a key (dtmf): nothing leads to it"
        if rule.action == "say" and not rule.say:
            yield here, f"rules.say: rule {rule.name!r} has nothing to say"
        if rule.leads_to and not getattr(agent.rule(rule.leads_to), "offer", ""):
            yield ("rules", index, "leads_to"), f"rules.leads_to: {rule.leads_to!r} is no rule with an offer"
        if rule.action == "tool" and rule.tool not in agent.tools:
            known = _list(agent.tools)
            yield ("rules", index, "tool"), f"rules.tool: {rule.tool!r} is not in the agent's tools: {known}"
        if rule.action == "tool" and rule.tool in OWN:
            why = f"rules.tool: {rule.tool} is the model's own: end_call and handoff are actions of rules"
            yield ("rules", index, "tool"), why
        if len(rule.dtmf) > 1 or rule.dtmf not in KEYS:
            yield ("rules", index, "dtmf"), f"rules.dtmf: {rule.dtmf!r} is not one of the keys {KEYS}"
        elif rule.dtmf and rule.dtmf in [other.dtmf for other in agent.rules[:index]]:
            yield ("rules", index, "dtmf"), f"rules.dtmf: two rules have the key {rule.dtmf}"
        if any(not text.strip() for text in (*rule.say, *rule.examples)):
            yield here, f"rules: rule {rule.name!r} has an empty text among say or examples"
        if rule.action == "form" and agent.form(rule.form) is None:
            known = _list(form.name for form in agent.forms)
            yield ("rules", index, "form"), f"rules.form: {rule.form!r} is none of the agent's forms: {known}"


def _text_problems(agent: AgentSpec) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Lines that would be silence where something has to be said, or that nobody would listen to the end of."""
    for name, value in dataclasses.asdict(agent.lines).items():
        texts = (value,) if isinstance(value, str) else value
        if name not in MAY_BE_EMPTY and (not texts or not all(text.strip() for text in texts)):
            yield ("lines", name), f"lines.{name}: is empty, and nothing would be said"
    if agent.disclosure and not agent.disclosure.strip():
        yield ("disclosure",), 'disclosure: is blank; disclosure = "" says nothing'
    if agent.greeting and not agent.greeting.strip():
        yield ("greeting",), 'greeting: is blank; greeting = "" lets the caller speak first'
    for text in agent.fixed_lines():
        if len(text) > LONGEST:
            where = ("greeting",) if text == agent.greeting else ()
            yield where, f"{text[:40]!r}...: {len(text)} characters; at most {LONGEST} can be said at once"


def _form_problems(agent: AgentSpec, index: int, form: Form) -> Iterator[tuple[tuple[int | str, ...], str]]:
    here = ("forms", index, "name")
    names = [slot.name for slot in form.slots]
    if sum(other.name == form.name for other in agent.forms) > 1:
        yield here, f"forms.name: two forms are called {form.name!r}"
    if form.tool not in agent.tools:
        yield ("forms", index, "tool"), f"forms.tool: {form.tool!r} is not in the agent's tools: {_list(agent.tools)}"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield here, f"forms.slots: form {form.name!r} has two slots called {name!r}"
    if form.tool in OWN:
        yield ("forms", index, "tool"), f"forms.tool: {form.tool} is the model's; a form is for another tool"
    if form.misses < 1:
        yield ("forms", index, "misses"), f"forms.misses: {form.misses} is not at least 1"
    for slot in form.slots:
        for why in _slot_problems(slot):
            yield here, f"forms.slots: slot {slot.name!r} of form {form.name!r} {why}"
        if not slot.ask and not slot.optional:
            yield here, f"forms.slots: slot {slot.name!r} of form {form.name!r} has no question (ask)"
        if slot.kind == "choice" and not slot.choices:
            yield here, f"forms.slots: slot {slot.name!r} of form {form.name!r} is a choice without choices"
    unknown = templates.fields(form.confirm) - set(names)
    if unknown:
        yield ("forms", index, "confirm"), f"forms.confirm: no slot is called {_list(sorted(unknown))}"
    secret = {slot.name for slot in form.slots if slot.secret}
    said = templates.fields(form.confirm).union(*(templates.fields(text) for text in form.done))
    for name in sorted(secret & said):
        yield here, f"forms: slot {name!r} of form {form.name!r} is secret and would be said aloud"


def _slot_problems(slot: Slot) -> Iterator[str]:
    if not slot.name.isidentifier():
        yield "needs a name of letters, digits and _"
    if any(not text.strip() for text in (*slot.ask, *slot.again)):
        yield "has an empty question"
    if slot.least is not None and slot.most is not None and slot.least > slot.most:
        yield f"can never be answered: least = {slot.least} is above most = {slot.most}"
    if slot.most is not None and slot.most < 1 and slot.kind != "number":
        yield f"can never be answered: most = {slot.most}"
    for name, value in (("opens", slot.opens), ("closes", slot.closes)):
        if value and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d|24:00", value):
            yield f"has {name} = {value!r}: write HH:MM"
    if slot.kind == "choice" and any(not choice.value.strip() for choice in slot.choices):
        yield "has a choice without a value"
    if slot.terminator not in ("*", "#", ""):
        yield f"has terminator = {slot.terminator!r}: * or # end the keys"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _is_agent(file: Traversable) -> bool:
    return file.name.endswith(".toml")


def embedded_agents() -> dict[str, AgentSpec]:
    with resources.as_file(EMBEDDED_AGENTS) as files:
        agents = [load_agent(file) for file in sorted(files.glob("*.toml"))]
    return {agent.name: agent for agent in agents}
