"""Targets: the only places where a caller can be sent, as the configuration names them.

    [targets.sales]
    queue = "sales"
    strategy = "announced"
    announce = "I am putting you through to our sales team."
    hours = "mon-fri 09:00-17:30, sat 10:00-14:00"
    closed = ["2026-12-24", "12-25"]
    timezone = "Europe/Berlin"
    next = "voicemail"

Every value ends up in a dialplan, so each is checked letter by letter. Nothing a caller or a model says is ever one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from voicebridge.conversation.agent import AgentSpec
from voicebridge.hours import Hours, parse_hours

Strategy = Literal["blind", "announced", "warm"]
Kind = Literal["queue", "extension", "context", "sip", "endpoint"]
KINDS: tuple[Kind, ...] = ("queue", "extension", "context", "sip", "endpoint")
WARM_KINDS: tuple[Kind, ...] = ("endpoint", "extension")
"""What can be called while the caller waits: it must ring one human, who then presses a key."""

_SAFE = {
    "name": (r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", "letters, digits, _ and -, at most 40"),
    "queue": (r"[A-Za-z0-9_.-]{1,80}", "letters, digits, _ . and -"),
    "extension": (r"[A-Za-z0-9*#+_.-]{1,40}", "letters, digits, * # + _ . and -"),
    "context": (r"[A-Za-z0-9_.-]{1,80}", "letters, digits, _ . and -"),
    "priority": (r"[0-9]{1,5}|[A-Za-z][A-Za-z0-9_-]{0,39}", "a number or a label"),
    "sip": (
        r"sips?:(?:[A-Za-z0-9_.+*#-]{1,64}@)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})(?::[0-9]{1,5})?",
        "sip:user@host or sip:user@host:port, without parameters",
    ),
    "endpoint": (
        r"[A-Za-z0-9]{2,20}/[A-Za-z0-9_.+*#-][A-Za-z0-9_.@:+*#/-]{0,119}",
        'a dial string such as "PJSIP/1001": technology, slash, then letters, digits and _ . @ : + * # / -',
    ),
}


def is_safe(kind: str, value: str) -> bool:
    """Whether a value of this kind (a Kind, "name" or "priority") may stand in a dialplan."""
    return re.fullmatch(_SAFE[kind][0], value, re.ASCII) is not None


def _checked(kind: str) -> Any:
    def check(value: str) -> str:
        if value and not is_safe(kind, value):
            raise ValueError(f"{value!r} is not allowed: write {_SAFE[kind][1]}")
        return value

    return AfterValidator(check)


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("write one line, without control characters")
    return value


class Target(BaseModel):
    """One place: exactly one of `queue`, `extension` (in `context`), `context` (at `extension` and `priority`), `sip`
    (a URI; needs ARI) or `endpoint` (a dial string).

    `extension` and `context` together are an extension, unless there is a `priority`. `strategy`: `blind` sends the
    caller without a word, `announced` says `announce` (or the agent's `connecting`) first, `warm` calls the human while
    the caller waits, over ARI, and is announced without it. `hours` (voicebridge.hours): outside of them, and where
    nobody takes the call, it goes to the target `next`. `ring_s`: how long a human is rung. `label`: how it is called
    when spoken of: "the sales team".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: Annotated[str, _checked("queue")] = ""
    extension: Annotated[str, _checked("extension")] = ""
    context: Annotated[str, _checked("context")] = ""
    priority: Annotated[str, _checked("priority")] = ""
    sip: Annotated[str, _checked("sip")] = ""
    endpoint: Annotated[str, _checked("endpoint")] = ""
    strategy: Strategy = "announced"
    announce: Annotated[str, AfterValidator(_one_line), Field(max_length=300)] = ""
    hours: str = ""
    closed: tuple[str, ...] = ()
    special: dict[str, str] = Field(default_factory=dict)
    timezone: str = ""
    next: Annotated[str, _checked("name")] = ""
    ring_s: float = Field(default=20.0, ge=3, le=120)
    label: Annotated[str, AfterValidator(_one_line), Field(max_length=80)] = ""

    _hours: Hours = PrivateAttr()

    @model_validator(mode="after")
    def _whole(self) -> Target:
        given = [name for name in ("queue", "sip", "endpoint") if getattr(self, name)]
        given += ["extension or context"] if self.extension or self.context else []
        if len(given) != 1:
            said = " and ".join(given) if given else "nothing"
            raise ValueError(f"give exactly one of queue, extension, context, sip or endpoint; there is {said}")
        if self.priority and not self.context:
            raise ValueError("priority: only with a context")
        if self.strategy == "warm" and self.kind not in WARM_KINDS:
            raise ValueError(f'strategy = "warm" needs an endpoint or an extension to ring, not a {self.kind}')
        try:
            self._hours = parse_hours(
                self.hours, closed=self.closed, special=self.special, timezone=self.timezone
            )
        except ValueError as error:
            raise ValueError(f"hours: {error}") from None
        return self

    @property
    def kind(self) -> Kind:
        if self.queue:
            return "queue"
        if self.sip:
            return "sip"
        if self.endpoint:
            return "endpoint"
        return "extension" if self.extension and not self.priority else "context"

    @property
    def dest(self) -> str:
        """What the dialplan needs: a queue's name; `exten@context`; `context,exten,priority`; a URI; a dial string."""
        if self.kind == "extension":
            return f"{self.extension}@{self.context or 'default'}"
        if self.kind == "context":
            return f"{self.context},{self.extension or 's'},{self.priority or '1'}"
        return self.queue or self.sip or self.endpoint

    @property
    def dial(self) -> str:
        """What to call so that the human rings while the caller waits; "" where that cannot be."""
        if self.kind == "extension":
            return f"Local/{self.dest}"
        return self.endpoint

    @property
    def opening(self) -> Hours:
        return self._hours


class HandoffSettings(BaseModel):
    """`[handoff]`: where a handoff is told to, as JSON by POST, signed with the secret. Nothing waits for it.

    `hold_music` is a WAV file (mono, 16 bits, 8000 Hz) for who waits while a human is called; without one, our own.
    The secret stands in a file, or in the environment variable `secret_env` names; never in the configuration.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    webhook: str = ""
    hold_music: Path | None = None
    secret_file: Path | None = None
    secret_env: str = "VB_WEBHOOK_SECRET"
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    attempts: int = Field(default=6, ge=1, le=20)

    @model_validator(mode="after")
    def _address(self) -> HandoffSettings:
        if not self.webhook:
            return self
        parts = urlsplit(self.webhook)
        if parts.scheme not in ("http", "https") or not parts.hostname or not self.webhook.isprintable():
            raise ValueError(f"webhook: {self.webhook!r} is no address: write http://host/path or https://host/path")
        return self


def target_problems(targets: Mapping[str, Target]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong between targets: (where, what)."""
    for name, target in targets.items():
        if not is_safe("name", name):
            yield ("targets", name), f"targets: {name!r} is not allowed as a name: write {_SAFE['name'][1]}"
        if not target.next:
            continue
        if target.next not in targets:
            known = ", ".join(sorted(targets))
            yield ("targets", name, "next"), f"targets.{name}.next: {target.next!r} is none of the targets: {known}"
        elif (circle := _circle(targets, name)) and circle[0] == min(circle):
            yield ("targets", name, "next"), f"targets.{name}.next: goes round in a circle: {' -> '.join(circle)}"


def named_by(agent: AgentSpec) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Every target that an agent's own file names: (where, name). Beside these no target is open to its callers."""
    for index, name in enumerate(agent.targets):
        yield ("targets", index), name
    if agent.human:
        yield ("human",), agent.human
    for index, rule in enumerate(agent.rules):
        if rule.target:
            yield ("rules", index, "target"), rule.target
    for index, form in enumerate(agent.forms):
        if form.give_up:
            yield ("forms", index, "give_up"), form.give_up
    for tool in agent.toolbox:
        what, _, name = tool.alternative.partition(" ")
        if what == "handoff" and name:
            yield ("tools",), name.strip()


def _circle(targets: Mapping[str, Target], first: str) -> list[str]:
    """The names from `first` back to it by `next`; empty where they do not come back."""
    way = [first]
    while (following := targets[way[-1]].next) in targets:
        if following == first:
            return [*way, first]
        if following in way:
            return []
        way.append(following)
    return []
