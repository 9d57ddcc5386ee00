"""Configuration: `voicebridge.toml` and `agents/*.toml`, checked, with errors that name file, line and key."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, field_validator

from voicebridge.agentfile import check_targets, embedded_agents, load_agent
from voicebridge.choice import Choice, Engines
from voicebridge.conversation.agent import AgentSpec
from voicebridge.logins import AmiLogin, AriLogin
from voicebridge.operating import Control, Kind, Log, Metrics, Service, Tracing, Web
from voicebridge.targets import HandoffSettings, Target, target_problems
from voicebridge.tomlfile import ConfigError, place, read, validated

__all__ = ["Choice", "Config", "ConfigError", "Engines", "Listen", "Settings", "Store", "cache_dir", "is_loopback",
           "load", "load_agent", "split_address", "state_dir", "unbound"]  # fmt: skip

DEFAULT_PORT = 9092
FASTAGI_PORT = 4573
ETC = Path("/etc/voicebridge")


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
    too, by the default agent. `own_ports`: where systemd holds the sockets open, the ports, first and last, at which
    this daemon is reached for calls that it already has; empty is any that is free (a firewall wants to know).
    """

    audiosocket: str = f"127.0.0.1:{DEFAULT_PORT}"
    fastagi: str | None = None
    advertise: str = ""
    bare: bool = True
    allow: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
    handshake_s: float = Field(default=5.0, gt=0, le=60)
    max_calls: int = Field(default=50, ge=1)
    own_ports: tuple[Annotated[int, Field(ge=1, le=65535)], Annotated[int, Field(ge=1, le=65535)]] | None = None

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


class Models(_Strict):
    """`mirror`: a folder, `file://` or web address that holds models' files, where the publishers cannot be reached."""

    mirror: str = ""


class Store(_Strict):
    """Where calls are kept. What was said stands only there.

    `url`: the database, e.g. "postgresql+psycopg://voicebridge@db/voicebridge" (a password from PGPASSWORD or
    ~/.pgpass); "" is SQLite in `<dir>/calls.db`. Recordings and event logs are files in `<dir>/calls`,
    whatever the database.
    `redact`: what is taken out of texts before anything is stored, shown or sent. `caller_numbers`: whether the
    caller's number is stored as "***42", whole, or not at all; erasing by caller works in all three.
    """

    dir: Path = Field(default_factory=lambda: state_dir())
    url: str = ""
    keep_days: int = Field(default=30, ge=0)
    redact: tuple[Kind, ...] = ("card", "number", "email")
    caller_numbers: Literal["masked", "full", "none"] = "masked"
    record_audio: bool = False
    event_log: bool = False


class Config(_Strict):
    listen: Listen = Listen()
    engines: Engines = Engines()
    store: Store = Field(default_factory=lambda: Store())
    models: Models = Models()
    targets: dict[str, Target] = Field(default_factory=dict)
    handoff: HandoffSettings = HandoffSettings()
    ari: AriLogin | None = None
    ami: AmiLogin | None = None
    metrics: Metrics = Metrics()
    tracing: Tracing = Tracing()
    control: Control = Control()
    web: Web = Web()
    log: Log = Log()
    service: Service = Service()
    tools: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings by entry point of `voicebridge.tools`; `fallbacks` and `events` likewise (`voicebridge plugins ls`)."""
    fallbacks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    events: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Who is told of calls (`voicebridge.events`): those named here, e.g. `[events.webhook]`."""
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

    def where(self, *key: str) -> str:
        """`file:line: a.b.c`, for mistakes that are found later than at loading; the key alone without a file."""
        path = Path(self.source)
        named = ".".join(key)
        return f"{place(path, read(path)[1], key)}: {named}" if path.is_file() else named


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


def unbound(error: OSError, port: int) -> str:
    """Why an address cannot be listened on, and the cure."""
    if error.errno == errno.EADDRINUSE:
        return f"the address is already in use; by whom: ss -ltnp 'sport = :{port}'"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address; which it has: ip address"
    return str(error.strerror or error)


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
        return Settings(config=Config(), agents=embedded_agents(), source="embedded profile")
    table, text = read(path)
    config = validated(TypeAdapter(Config), table, path, text)
    try:
        config.listen.check_exposure("allow" in table.get("listen", {}))
    except ConfigError as error:
        key = str(error).partition(" ")[0].removeprefix("listen.")
        raise ConfigError(f"{place(path, text, ('listen', key))}: {error}") from None
    if problems := [f"{place(path, text, loc)}: {problem}" for loc, problem in target_problems(config.targets)]:
        raise ConfigError("\n".join(problems))
    agents = embedded_agents()
    folder = path.parent / (config.agents_dir or "agents")
    if config.agents_dir is not None and not folder.is_dir():
        raise ConfigError(f"{place(path, text, ('agents_dir',))}: agents_dir: there is no folder {folder}")
    for file in sorted(folder.glob("*.toml")):
        agent = load_agent(file)
        check_targets(agent, config.targets, file)
        agents[agent.name] = agent
    if config.default_agent not in agents:
        known = ", ".join(sorted(agents))
        where = place(path, text, ("default_agent",))
        raise ConfigError(f"{where}: default_agent: {config.default_agent!r} is none of the agents: {known}")
    return Settings(config=config, agents=agents, source=str(path))
