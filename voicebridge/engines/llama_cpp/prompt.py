"""Messages as the model's tokens, by the chat template in its file.

What is a message's text cannot be read as a special token. An answer that has been begun (an assistant's message that
comes last) is gone on with, and so is whatever comes last where only a prompt is to be computed: the template is cut
behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from voicebridge.engines.llama_cpp.sequences import common

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""For files without a template of their own."""
_PLACE = re.compile("\ue100(\\d+)\ue101")


class BadPrompt(ValueError):
    """Messages that the model's template does not take, or that are too many."""


class Vocabulary(Protocol):
    """What of model.Model is needed here."""

    marks: frozenset[str]

    @property
    def template(self) -> str: ...
    @property
    def begin(self) -> int | None: ...
    @property
    def begin_text(self) -> str: ...
    @property
    def end_text(self) -> str: ...
    def tokens(self, text: str, *, special: bool) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Said:
    """One message."""

    role: str
    text: str


OTHER = Said("user", ".")
"""For templates that take no prompt without a question."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """`tokens`, the first `shared` of which are the same whatever comes behind the agent's messages.

    `dropped` messages were left out, the oldest behind the agent's, for want of room.
    """

    tokens: tuple[int, ...]
    shared: int
    dropped: int = 0


class Prompts:
    """`context`: how many tokens a call may have."""

    def __init__(self, vocabulary: Vocabulary, context: int) -> None:
        self._vocabulary = vocabulary
        self.context = context
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
        )
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
        self._template = environment.from_string(vocabulary.template or CHATML)

    def make(self, said: Sequence[Said], *, shared: int, answer: bool, room: int, drop: bool) -> Prompt:
        """The prompt for an `answer`, or just for what was said so far, with `room` for tokens behind it.

        `shared` leading messages are the agent's; with `drop` the oldest of the others make room. Raises BadPrompt.
        """
        goes_on = not answer or said[-1].role == "assistant"
        tokens = self._tokens(said, behind=-1 if goes_on else None)
        most = self.context - max(1, min(room, self.context // 4))
        first, excess, dropped = min(shared, len(said)), len(tokens) - most, 0
        if excess > 0 and drop:
            dropped = self._dropped(said, first, excess)
            said = [*said[:first], *said[first + dropped :]]
            tokens = self._tokens(said, behind=-1 if goes_on else None)
        if len(tokens) > most:
            kept = " without what was said before" if dropped else ""
            raise BadPrompt(
                f"the prompt has {len(tokens)} tokens{kept}, and a call's context has {self.context} of which"
                f" {self.context - most} are for the answer: shorten it, or raise the engine's option `context`"
            )
        agents = 0
        if first:
            agents = common(tokens, self._tokens([*said[:first], OTHER], behind=-2))
        return Prompt(tuple(tokens), agents, dropped)

    def _dropped(self, said: Sequence[Said], first: int, excess: int) -> int:
        """How many messages have to go. In steps of a quarter of the context: where the cut is, it stays for some
        turns, and what is behind it stays computed."""
        step = max(1, self.context // 4)
        wanted = -(-excess // step) * step
        gone = tokens = 0
        while tokens < wanted and first + gone < len(said) - 1:
            tokens += len(self._vocabulary.tokens(said[first + gone].text, special=False)) + 4
            gone += 1
        while first + gone < len(said) - 1 and said[first + gone].role in ("assistant", "tool"):
            gone += 1  # an answer without its question
        return gone

    def _tokens(self, said: Sequence[Said], *, behind: int | None) -> list[int]:
        """All of the template, ready for an answer, or just up to the end of what the message `behind` says."""
        vocabulary = self._vocabulary
        form = self._form(said, behind is None)
        if behind is not None:
            mark = _mark(range(len(said))[behind])
            form = form[: form.rindex(mark) + len(mark)]
        form = form.removeprefix(vocabulary.begin_text) if vocabulary.begin is not None else form
        found = [] if vocabulary.begin is None else [vocabulary.begin]
        if not any(mark in message.text for message in said for mark in vocabulary.marks):
            return found + vocabulary.tokens(_PLACE.sub(lambda at: said[int(at[1])].text, form), special=True)
        for at, part in enumerate(_PLACE.split(form)):
            text = said[int(part)].text if at % 2 else part
            if text:
                found += vocabulary.tokens(text, special=at % 2 == 0)
        return found

    def _form(self, said: Sequence[Said], answer: bool) -> str:
        """The template filled in, with a mark for each message's text."""
        for roles in ([message.role for message in said], _plain([message.role for message in said])):
            messages = [{"role": role, "content": _mark(at)} for at, role in enumerate(roles)]
            try:
                form = self._template.render(
                    messages=messages,
                    add_generation_prompt=answer,
                    enable_thinking=False,
                    bos_token=self._vocabulary.begin_text,
                    eos_token=self._vocabulary.end_text,
                )
            except (jinja2.TemplateError, TypeError, ValueError) as error:
                trouble = f"the model's chat template does not take these messages: {error}"
                continue
            if [int(place) for place in _PLACE.findall(form)] == list(range(len(said))):
                return form
            trouble = "the model's chat template leaves out some of these messages"
        raise BadPrompt(trouble)


def _mark(at: int) -> str:
    return f"\ue100{at}\ue101"


def _plain(roles: Sequence[str]) -> list[str]:
    """For templates that know nothing but one system prompt, users and assistants."""
    return [role if role == "assistant" or (role == "system" and at == 0) else "user" for at, role in enumerate(roles)]


def _refuse(reason: str) -> None:
    raise BadPrompt(reason)
