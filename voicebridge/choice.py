"""Which engines are used: `[engines]` of the configuration, with its lists, addresses and aliases.

    [engines]
    stt = ["vosk", "spare"]               # the first is used; the second where that fails
    llm = "http://10.0.0.5:8080/v1"       # an address: an engine on another machine
    tts = "tcp://10.0.0.6:10200"
    [engines.options.vosk]                # for the engine of that name
    model = "small-en-us"
    [engines.options.spare]               # an alias: an engine again, with other options
    engine = "wyoming"
    uri = "tcp://10.0.0.7:10300"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

REMOTE = {"stt": "wyoming", "tts": "wyoming", "llm": "openai"}
SCHEMES = {
    "wyoming": (("tcp", "unix"), "tcp://HOST:PORT (Wyoming)"),
    "openai": (("http", "https", "unix"), "http://HOST:PORT/v1 or https:// (OpenAI-compatible)"),
}
"""What the engine of each kind that somebody else runs is reached by, and how that is written."""
ALIAS = "engine"
"""The option by which a table of options is for an engine of another name."""


def is_address(name: str) -> bool:
    return "://" in name


@dataclass(frozen=True, slots=True)
class Choice:
    """One engine to be made: `plugin` is its entry point in `voicebridge.<kind>`, `name` what it is called here."""

    kind: str
    name: str
    plugin: str
    options: Mapping[str, Any]


def _several(value: Any) -> Any:
    if isinstance(value, str):
        return (value,) if value else ()
    return value


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not name.strip():
            raise ValueError("an empty name")
        if names.count(name) > 1:
            raise ValueError(f"{name!r} stands twice; with other options it needs a name of its own (`engine` there)")
    return names


def _options(options: dict[str, Any]) -> dict[str, Any]:
    engine = options.get(ALIAS, "-")
    if not isinstance(engine, str) or not engine or is_address(engine):
        raise ValueError(f"{ALIAS} = {engine!r} is not the name of an engine (voicebridge plugins ls)")
    return options


Named = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_once)]
Options = Annotated[dict[str, Any], AfterValidator(_options)]


class Engines(BaseModel):
    """Names of entry points (`voicebridge plugins ls`), addresses, or aliases; options go to the engines as they are.

    Of a list the first is used, the next where that fails. "" is none (llm, embed, turn). `turn` judges from the sound
    whether a caller has finished, beside his words. `deadlines`: whose caller would
    hear silence first is served first; otherwise who came first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stt: Named = ("moonshine",)
    llm: Named = ("llama_server",)
    tts: Named = ("espeak",)
    embed: str = "minilm"
    turn: str = ""
    deadlines: bool = True
    options: dict[str, Options] = Field(default_factory=dict)

    @field_validator("stt", "tts")
    @classmethod
    def _some(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError("a call needs one: name an engine (voicebridge plugins ls)")
        return names

    @field_validator("stt")
    @classmethod
    def _stt_addresses(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _addresses("stt", names)

    @field_validator("llm")
    @classmethod
    def _llm_addresses(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _addresses("llm", names)

    @field_validator("tts")
    @classmethod
    def _tts_addresses(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _addresses("tts", names)

    @field_validator("embed", "turn")
    @classmethod
    def _here(cls, name: str, info: ValidationInfo) -> str:
        if is_address(name):
            what = "embeddings are made" if info.field_name == "embed" else "turns are judged"
            raise ValueError(f"{what} on this machine: name an engine, or an alias of one")
        return name

    def chosen(self, kind: str) -> tuple[Choice, ...]:
        """The engines of a kind, the preferred one first."""
        value = getattr(self, kind)
        names = value if isinstance(value, tuple) else filter(None, (value,))
        return tuple(self._choice(kind, name) for name in names)

    def _choice(self, kind: str, name: str) -> Choice:
        given = dict(self.options.get(name, {}))
        plugin = str(given.pop(ALIAS, name))
        if is_address(name):
            plugin = REMOTE[kind]
            where = {"urls": [name]} if plugin == "openai" else {"uri": name}
            shared = {key: value for key, value in self.options.get(plugin, {}).items() if key != ALIAS}
            given = {**shared, **given, **where}
        return Choice(kind, name, plugin, given)


def _addresses(kind: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError for an address that no engine of the kind is reached by."""
    schemes, written = SCHEMES[REMOTE[kind]]
    for name in filter(is_address, names):
        try:
            parts = urlsplit(name)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{name!r}: {error}; write {written}") from None
        if parts.username or parts.password:
            raise ValueError(f"no password in an address: [engines.options.{REMOTE[kind]}] has api_key_file")
        there = parts.path if parts.scheme == "unix" else parts.hostname and (port or parts.scheme != "tcp")
        if parts.scheme not in schemes or not there:
            raise ValueError(f"{name!r} is no address of a {kind} engine: write {written}")
    return names
