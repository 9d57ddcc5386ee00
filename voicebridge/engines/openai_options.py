"""What the engine `openai` is told by `[engines.options.openai]`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from voicebridge.config import ConfigError


class Options(BaseModel):
    """`model`: without one the first that the server names (/v1/models). `continues`: how a server is told to go on
    with an answer that has begun. `ask` works with every one; `prefix` sends the answer so far as the last message
    (llama.cpp and others go on with it by themselves), `vllm` with vLLM's fields for it. `prefill` computes prompts
    before they are needed: for servers of your own, as providers charge for it. `first_output_s`: so long after the
    caller would hear silence a server without words or a call is left for the next; after the part `hedge` of that
    time the next one is asked as well, 1 for never. `parallel`: so many requests at once a server, those that are
    needed first before others (with `deadlines` off in the order of their coming); 0 for no limit of ours. `extra` is
    added to every request, `max_tokens_name` is what the server calls that limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    urls: tuple[str, ...] = Field(min_length=1)
    model: str = ""
    api_key_env: str = ""
    api_key_file: str = ""
    temperature: float | None = 0.2
    context: int = Field(default=8192, ge=256)
    first_output_s: float = Field(default=2.0, gt=0)
    hedge: float = Field(default=0.5, gt=0, le=1)
    parallel: int = Field(default=0, ge=0)
    deadlines: bool = True
    prefill: bool = False
    continues: Literal["ask", "prefix", "vllm"] = "ask"
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra: dict[str, Any] = Field(default_factory=dict)

    @field_validator("urls", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("urls")
    @classmethod
    def _addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            parts = urlsplit(url)
            if parts.username or parts.password:
                raise ValueError("no password in an address: use api_key_env or api_key_file")
            if not (parts.scheme in ("http", "https") and parts.hostname) and not url.startswith("unix:/"):
                raise ValueError(f"{url!r} is none of http://HOST[:PORT], https://HOST[:PORT], unix:/PATH")
        return tuple(dict.fromkeys(url.rstrip("/").removesuffix("/v1") for url in urls))


def checked_options(given: Mapping[str, Any]) -> Options:
    """Raises ConfigError, which names every option that is wrong."""
    try:
        return Options.model_validate(dict(given))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"engines.options.openai: {faults}") from None


def api_key(options: Options) -> str:
    """The API key, or "". Raises ConfigError."""
    if options.api_key_env:
        if key := os.environ.get(options.api_key_env, "").strip():
            return key
        raise ConfigError(f"engine openai: the environment has no {options.api_key_env}; set it or correct api_key_env")
    if not options.api_key_file:
        return ""
    try:
        key = Path(options.api_key_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"engine openai: api_key_file {options.api_key_file} cannot be read: {error}") from None
    if not key:
        raise ConfigError(f"engine openai: api_key_file {options.api_key_file} is empty; write the key into it")
    return key
