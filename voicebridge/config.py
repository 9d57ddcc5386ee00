"""Configuration: `voicebridge.toml` and `agents/*.toml`, checked, with errors that name file, line and key."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError, field_validator

from voicebridge.conversation import templates
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.form import Form
from voicebridge.logins import AmiLogin, AriLogin
from voicebridge.targets import HandoffSettings, Target, named_by, target_problems

DEFAULT_PORT = 9092
FASTAGI_PORT = 4573
ETC = Path("/etc/voicebridge")


class ConfigError(Exception):
    """The configuration cannot be used; the text names the place and what is wrong there."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _network(value: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """One message for both families, where pydantic would give two."""
    return ipaddress.ip_network(value)


Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, PlainValidator(_network)]


class Listen(_Strict):
    """Where PBXs connect. Beyond loopback only with an allow-list.

    `fastagi`: where Asterisk's dialplan asks for an agent before a call and for the outcome after it; "" switches it
    off, None is the host of `audiosocket` at port 4573 (a free one where that has none of its own), given up where
    somebody has it. `advertise`: the host by which PBXs reach this machine; "" is the address listened on, or where
    that is all of them, the one by which the PBX came. `bare`: serve AudioSocket connections that no attach announced,
    too, by the default agent.
    """

    audiosocket: str = f"127.0.0.1:{DEFAULT_PORT}"
    fastagi: str | None = None
    advertise: str = ""
    bare: bool = True
    allow: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
    handshake_s: float = Field(default=5.0, gt=0, le=60)
    max_calls: int = Field(default=50, ge=1)

    @field_validator("audiosocket")
    @classmethod
    def _address(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("fastagi")
    @classmethod
    def _address_or_none(cls, value: str | None) -> str | None:
        if value:
            split_address(value)
        return value

    @field_validator("advertise")
    @classmethod
    def _host(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z0-9.-]+|[0-9A-Fa-f:]+", value):
            raise ValueError(f"{value!r} is not a host: write a name or an address, without a port")
        return value

    @property
    def fastagi_address(self) -> tuple[str, int] | None:
        """None where it is switched off."""
        if self.fastagi is None:
            host, port = split_address(self.audiosocket)
            return host, FASTAGI_PORT if port else 0
        return split_address(self.fastagi) if self.fastagi else None

    def check_exposure(self, given: bool) -> None:
        """Refuse to listen beyond loopback without an allow-list of the owner's own."""
        for key, value in (("audiosocket", self.audiosocket), ("fastagi", self.fastagi)):
            if value and not given and not is_loopback(split_address(value)[0]):
                raise ConfigError(
                    f"listen.{key} = {value!r} is reachable from outside: "
                    'name the PBXs that may connect, e.g. listen.allow = ["192.0.2.10/32"]'
                )


class Engines(_Strict):
    """Names of entry points (`voicebridge plugins ls`), the first is used. Options go to the engine as they are."""

    stt: str = "moonshine"
    llm: str = "llama_server"
    tts: str = "espeak"
    embed: str = "minilm"
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Store(_Strict):
    """Where calls are kept: `<dir>/calls`. What was said stands only there."""

    dir: Path = Field(default_factory=lambda: state_dir())
    keep_days: int = Field(default=30, ge=0)
    record_audio: bool = False
    event_log: bool = False


class Config(_Strict):
    listen: Listen = Listen()
    engines: Engines = Engines()
    store: Store = Field(default_factory=lambda: Store())
    targets: dict[str, Target] = Field(default_factory=dict)
    handoff: HandoffSettings = HandoffSettings()
    ari: AriLogin | None = None
    ami: AmiLogin | None = None
    tools: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings by entry point of `voicebridge.tools`; `fallbacks` likewise (`voicebridge plugins ls`)."""
    fallbacks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    default_agent: str = "demo"
    agents_dir: Path | None = None


class Settings(_Strict):
    """All that a daemon starts from."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    config: Config
    agents: dict[str, AgentSpec]
    source: str

    @property
    def default_agent(self) -> AgentSpec:
        return self.agents[self.config.default_agent]


def state_dir() -> Path:
    """systemd's StateDirectory, else VOICEBRIDGE_STATE, else below the user's home."""
    for name in ("STATE_DIRECTORY", "VOICEBRIDGE_STATE"):
        if value := os.environ.get(name):
            return Path(value)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "voicebridge"


def cache_dir() -> Path:
    """Models, rendered prompts and other things that can be made again."""
    for name in ("VOICEBRIDGE_CACHE", "CACHE_DIRECTORY"):
        if value := os.environ.get(name):
            return Path(value)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "voicebridge"


def split_address(value: str) -> tuple[str, int]:
    """`host:port`, `[v6]:port`; ValueError otherwise."""
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{value!r} is not an address: write host:port, e.g. 127.0.0.1:{DEFAULT_PORT}")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(path: Path | None = None) -> Settings:
    """The named file, else /etc/voicebridge/voicebridge.toml if there, else the embedded profile on loopback."""
    if path is None and (ETC / "voicebridge.toml").exists():
        path = ETC / "voicebridge.toml"
    if path is None:
        return Settings(config=Config(), agents=_embedded_agents(), source="embedded profile")
    table, text = _read(path)
    config = _validated(TypeAdapter(Config), table, path, text)
    try:
        config.listen.check_exposure("allow" in table.get("listen", {}))
    except ConfigError as error:
        key = str(error).partition(" ")[0].removeprefix("listen.")
        raise ConfigError(f"{_place(path, text, ('listen', key))}: {error}") from None
    if problems := [f"{_place(path, text, loc)}: {problem}" for loc, problem in target_problems(config.targets)]:
        raise ConfigError("\n".join(problems))
    agents = _embedded_agents()
    folder = path.parent / (config.agents_dir or "agents")
    if config.agents_dir is not None and not folder.is_dir():
        raise ConfigError(f"{_place(path, text, ('agents_dir',))}: agents_dir: there is no folder {folder}")
    for file in sorted(folder.glob("*.toml")):
        agent = load_agent(file)
        _check_targets(agent, config.targets, file)
        agents[agent.name] = agent
    if config.default_agent not in agents:
        known = ", ".join(sorted(agents))
        place = _place(path, text, ("default_agent",))
        raise ConfigError(f"{place}: default_agent: {config.default_agent!r} is none of the agents: {known}")
    return Settings(config=config, agents=agents, source=str(path))


def load_agent(path: Path) -> AgentSpec:
    table, text = _read(path)
    table.setdefault("name", path.stem)
    agent: AgentSpec = _validated(TypeAdapter(AgentSpec), table, path, text)
    problems = [f"{_place(path, text, loc)}: {problem}" for loc, problem in _agent_problems(agent)]
    if problems:
        raise ConfigError("\n".join(problems))
    return agent


def _check_targets(agent: AgentSpec, targets: Mapping[str, Target], file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    known = ", ".join(sorted(targets)) or "none is configured (voicebridge.toml, [targets.NAME])"
    problems = [
        f"{_place(file, text, loc)}: {loc[-1] if isinstance(loc[-1], str) else loc[0]}: "
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
        if not 0 < value < 1e6 and (limit, value) != ("no_input_limit", 0):
            yield ("limits", limit), f"limits.{limit}: {value} is not above 0"
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
        if rule.action == "tool" and rule.tool not in agent.tools:
            known = _list(agent.tools)
            yield ("rules", index, "tool"), f"rules.tool: {rule.tool!r} is not in the agent's tools: {known}"
        if rule.action == "form" and agent.form(rule.form) is None:
            known = _list(form.name for form in agent.forms)
            yield ("rules", index, "form"), f"rules.form: {rule.form!r} is none of the agent's forms: {known}"
    for index, form in enumerate(agent.forms):
        yield from _form_problems(agent, index, form)


def _form_problems(agent: AgentSpec, index: int, form: Form) -> Iterator[tuple[tuple[int | str, ...], str]]:
    here = ("forms", index, "name")
    names = [slot.name for slot in form.slots]
    if sum(other.name == form.name for other in agent.forms) > 1:
        yield here, f"forms.name: two forms are called {form.name!r}"
    if form.tool not in agent.tools:
        yield ("forms", index, "tool"), f"forms.tool: {form.tool!r} is not in the agent's tools: {_list(agent.tools)}"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield here, f"forms.slots: form {form.name!r} has two slots called {name!r}"
    for slot in form.slots:
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


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _embedded_agents() -> dict[str, AgentSpec]:
    folder = resources.files("voicebridge") / "data" / "agents"
    with resources.as_file(folder) as files:
        agents = [load_agent(file) for file in sorted(files.glob("*.toml"))]
    return {agent.name: agent for agent in agents}


def _read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 (byte {error.start})") from error
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        place = f"{path}:{line.group(1)}" if line else str(path)
        raise ConfigError(f"{place}: is not TOML: {error}") from error


def _validated(adapter: TypeAdapter[Any], table: dict[str, Any], path: Path, text: str) -> Any:
    try:
        return adapter.validate_python(table)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            keys = [part for part in problem["loc"] if isinstance(part, str)]
            lines.append(f"{_place(path, text, problem['loc'])}: {'.'.join(keys) or 'file'}: {problem['msg']}")
        raise ConfigError("\n".join(lines)) from None


def _place(path: Path, text: str, loc: tuple[int | str, ...]) -> str:
    """`file:line`, or the file alone where the key is nowhere in it."""
    at = _line_of(text, loc)
    return f"{path}:{at}" if at else str(path)


def _line_of(text: str, loc: tuple[int | str, ...]) -> int | None:
    """The line where a key stands, found by its tables' headers; a guess good enough for an error message."""
    keys = [part for part in loc if isinstance(part, str)]
    counts = [part for part in loc if isinstance(part, int)]
    if not keys:
        return None
    table, seen, best = "", -1, None
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[(\[)?\s*([\w.\-]+)\s*\]", line):
            table = header.group(2)
            seen = seen + 1 if header.group(1) and table == keys[0] else seen
            if table == ".".join(keys) or (len(keys) > 1 and table == ".".join(keys[:-1])):
                best = best or number
        wanted = not table if len(keys) == 1 else table == ".".join(keys[:-1])
        if wanted and (not counts or not table or seen in (-1, counts[0])) and _sets(line, keys[-1]):
            return number
        if not table and len(keys) > 1 and (_sets(line, ".".join(keys)) or _sets(line, keys[0])):
            best = best or number  # a dotted key, or an inline table
    return best


def _sets(line: str, key: str) -> bool:
    return re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", line) is not None
