"""What a client asks for: the body of a chat completion, checked."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from voicebridge.engines.llama_cpp.prompt import Said

T = TypeVar("T", bound=BaseModel)

MAX_MESSAGES = 2000
"""Tokenising takes time with the square of them (40,000: minutes), and all callers wait for it."""
PATIENCE_S = 1.0
"""The deadline of a client that tells none."""


class BadRequest(ValueError):
    """A body that is none; the text says what is wrong with it, nothing of what was said in it."""


def _text(content: Any) -> Any:
    """OpenAI's content is a text, none, or a list of parts of which only texts are taken."""
    if content is None:
        return ""
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content


def _texts(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop or []


class AskedMessage(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[str, BeforeValidator(_text)] = ""


class Extension(BaseModel):
    """`deadline`: time.monotonic() seconds, null for speculative work. `shared`: how many messages are the agent's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    call: str = ""
    agent: str = ""
    deadline: Annotated[float, Field(allow_inf_nan=False)] | None = None
    shared: int = Field(default=1, ge=0)


class Asked(BaseModel):
    """What else OpenAI's clients send is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    messages: list[AskedMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_tokens: int | None = Field(default=None, ge=0)
    max_completion_tokens: int | None = Field(default=None, ge=0)
    temperature: float | None = Field(default=None, ge=0, le=5)
    seed: int = 1
    stop: Annotated[list[str], BeforeValidator(_texts), Field(max_length=16)] = []
    grammar: str | None = None
    stream: bool = False
    voicebridge: Extension | None = None

    @property
    def said(self) -> Sequence[Said]:
        return [Said("system" if one.role == "developer" else one.role, one.content) for one in self.messages]

    @property
    def tokens(self) -> int | None:
        return self.max_tokens if self.max_tokens is not None else self.max_completion_tokens

    @property
    def deadline(self) -> float:
        if self.voicebridge is None:
            return time.monotonic() + PATIENCE_S
        return math.inf if self.voicebridge.deadline is None else self.voicebridge.deadline


class Deferral(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    call: str = Field(min_length=1)
    deadline: Annotated[float, Field(allow_inf_nan=False)]


class Release(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    call: str = Field(min_length=1)


def checked(kind: type[T], body: bytes) -> T:
    """Raises BadRequest."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()[:4]]
        raise BadRequest("; ".join(faults)) from None
    except (KeyError, TypeError):
        raise BadRequest("messages: content is neither a text nor a list of texts") from None
