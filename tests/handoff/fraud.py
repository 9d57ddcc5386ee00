"""The whole way from what a caller says, a model gives or a tool finds to what the PBX is told, on a virtual clock.

Real are the core, the reading of a model's output, directory, desk, summary, admission, and the AGI commands. The model
is gullible: it does what it is told. Each of the three gates (the core's, the directory's, the PBX side's) can be taken
out, so that tests can show that they would notice.
"""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
import unicodedata
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.conversation.stage import Stage
from voicebridge.call.admission import Admission
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec, Limits, Rule
from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.decision import BrokenCall, Decision
from voicebridge.handoff.desk import Case, Desk, WarmState
from voicebridge.handoff.directory import Destination, Directory
from voicebridge.handoff.summary import Turn, summarise
from voicebridge.hours import parse_hours
from voicebridge.pbx import attach
from voicebridge.pbx.asterisk.variables import end_variables, ticket_variables
from voicebridge.protocol import agi
from voicebridge.targets import Target

NOON = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
CONFIGURED = {
    "sales": Target(queue="q-sales", next="voicemail"),
    "reception": Target(extension="200", context="internal"),
    "anna": Target(endpoint="PJSIP/1001", strategy="warm", next="reception"),
    "voicemail": Target(extension="*98", context="internal", strategy="blind"),
    "director": Target(extension="201", context="internal"),  # not for this agent's callers
}
OPEN = frozenset({"sales", "reception", "anna", "voicemail"})
DESTS = frozenset(CONFIGURED[name].dest for name in OPEN)
PHONES = frozenset({"PJSIP/1001"})
AGENT = AgentSpec(
    "desk",
    "Hello.",
    instructions="Be kind.",
    rules=(Rule("human", ("a human please",), action="handoff", target="reception"),),
    tools=("look_up",),
    toolbox=(ToolSpec("look_up", "Find an order.", '{"type": "object"}'),),
    targets=("sales", "reception", "anna"),
    human="reception",
    limits=Limits(no_input_s=60.0),
)
VARIABLES = frozenset(
    "VB_CALL VB_ATTACHED VB_MEDIA VB_NODE VB_STATUS VB_RESULT VB_REASON VB_SUMMARY VB_TARGET VB_TARGET_KIND"
    " VB_TARGET_DEST".split()
)
GATES = ("core", "directory", "pbx")


@dataclass(frozen=True)
class Attempt:
    """What is tried: the caller's words, the model's outputs in order, what the tool gives."""

    id: str
    says: str = "Hello there my friend"
    outputs: tuple[str | ToolCall, ...] = ("say Yes.",)
    result: dict[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """Everything by which a call could leave the house."""

    wanted: list[str] = field(default_factory=list)
    updates: list[ev.HandoffUpdate] = field(default_factory=list)
    dialled: list[str] = field(default_factory=list)
    ends: list[cmd.EndCall] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    wire: list[bytes] = field(default_factory=list)


def violations(outcome: Outcome) -> list[str]:
    """Where something came out that is not configured."""
    found = [f"HandOff to {name!r}" for name in outcome.wanted if name not in OPEN]
    found += [f"update with {one.target!r}" for one in outcome.updates if one.target not in OPEN | {""}]
    found += [f"{endpoint!r} was dialled over ARI" for endpoint in outcome.dialled if endpoint not in PHONES]
    found += [f"keys {digits!r}" for digits in outcome.keys]
    for end in outcome.ends:
        if end.target not in OPEN | {""} or (end.outcome == "transfer" and not end.target):
            found.append(f"EndCall to {end.target!r}")
    return [*found, *(fault for line in outcome.wire for fault in _on_wire(line))]


def _on_wire(line: bytes) -> Iterator[str]:
    text = line.decode()
    made = re.fullmatch(r'SET VARIABLE ([A-Z_]+) "([^"\\\n\r\0]*)"\n', text)
    if made is None or made[1] not in VARIABLES:
        yield f"command {text!r}"
        return
    name, value = made.groups()
    closed = {"VB_TARGET": OPEN, "VB_TARGET_DEST": DESTS, "VB_TARGET_KIND": {"queue", "extension", "endpoint"}}
    if name in closed and value not in closed[name] | {""}:
        yield f"{name} = {value!r}"
    if name not in ("VB_TARGET_DEST",) and set(value) & set("${}[],;"):
        yield f"{name} = {value!r}"


# ---- with and without gates


class Anything(tuple[str, ...]):
    """A list of targets that has everything in it: the core's gate is out."""

    def __contains__(self, _: object) -> bool:
        return True


class OpenDirectory(Directory):
    """The directory's gate is out: a name is its own destination."""

    def for_agent(self, agent: AgentSpec) -> Directory:
        return OpenDirectory(self._targets)

    def destination(self, name: object) -> Destination | None:
        known = super().destination(name)
        return known if known is not None or not name else Destination(str(name), _anywhere(str(name)))


class OpenAdmission(Admission):
    """The PBX side's gate is out."""

    def _destination(self, name: str) -> attach.Destination:
        return attach.Destination(name, "extension", name) if name else attach.NOWHERE


def _anywhere(dest: str) -> Target:
    made = Target.model_construct(extension=dest, context="outbound")
    made._hours = parse_hours("")
    return made


class Phones:
    """ARI: every human is busy at first, then takes the call."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    async def call(self, endpoint: str, *, briefing: str, line: str, ring_s: float) -> AsyncGenerator[WarmState, None]:
        self._outcome.dialled.append(endpoint)
        yield "busy"


@dataclass(frozen=True)
class House:
    """What stands between the words and the network; `without` are the gates that were taken out."""

    without: frozenset[str] = frozenset()
    ari: bool = False

    @property
    def agent(self) -> AgentSpec:
        return replace(AGENT, targets=Anything(AGENT.targets)) if "core" in self.without else AGENT

    def directory(self) -> Directory:
        kind = OpenDirectory if "directory" in self.without else Directory
        return kind(CONFIGURED).for_agent(AGENT)

    def admission(self) -> Admission:
        kind = OpenAdmission if "pbx" in self.without else Admission
        targets = {
            name: attach.Destination(name, target.kind, target.dest)
            for name, target in CONFIGURED.items()
        }
        return kind(["desk"], "desk", max_calls=9, targets=targets)

    # ---- the way through it, whole and in parts

    def run(self, attempt: Attempt, loop: asyncio.Runner) -> Outcome:
        """A whole call."""
        outcome = Outcome()
        told = iter(attempt.outputs)
        stage = Stage(
            self.agent,
            answer=lambda _: _read(next(told, "say Anything else?")),
            tool=lambda run: [(0.1, ev.ToolDone(run.run, **({"ok": True} | attempt.result)))],
            human=lambda wanted: [(0.1, update) for update in self._find(wanted, attempt, outcome, loop)],
        )
        stage.start().run(2.0).caller(attempt.says, seconds=1.0).run(12.0)
        if not stage.commands(cmd.EndCall):
            stage.caller(attempt.says, seconds=1.0).run(12.0)
        outcome.wanted = [command.target for command in stage.commands(cmd.HandOff)]
        outcome.ends = stage.commands(cmd.EndCall)
        outcome.keys = [command.digits for command in stage.commands(cmd.SendDtmf)]
        outcome.wire = self.tell_pbx(outcome.ends[0] if outcome.ends else None, attempt.says)
        return outcome

    def find(self, name: str, loop: asyncio.Runner) -> Outcome:
        """A handoff as the core might want it, from the desk on."""
        outcome = Outcome()
        self._find(cmd.HandOff(1, name, "model"), Attempt("name"), outcome, loop)
        return outcome

    def _find(
        self, wanted: cmd.HandOff, attempt: Attempt, outcome: Outcome, loop: asyncio.Runner
    ) -> list[ev.HandoffUpdate]:
        desk = Desk(self.directory(), clock=lambda: NOON)
        case = Case("call", summary=summarise([Turn(attempt.says)], reason=wanted.reason))

        async def collect() -> list[ev.HandoffUpdate]:
            async with aclosing(desk.hand_off(wanted, case, Phones(outcome) if self.ari else None)) as updates:
                return [update async for update in updates]

        made = loop.run(collect())
        outcome.updates += made
        return made

    def tell_pbx(self, end: cmd.EndCall | None, said: str, fallback: str = "") -> list[bytes]:
        """The AGI commands of attach and outcome."""
        admission = self.admission()
        ticket = admission.attach(attach.AttachRequest(fallback=fallback), 0.0)
        assert isinstance(ticket, attach.Ticket)
        told = ticket_variables(ticket, media="127.0.0.1:9092", node="127.0.0.1:4573")
        wire = [_command(name, value) for name, value in told.items()]
        admission.redeem(ticket.call_id, 1.0)
        summary = summarise([Turn(said)], reason=end.reason if end is not None else "").line
        admission.ended(ticket.call_id, end, "hangup", 2.0, summary=summary)
        ended = admission.outcome(ticket.call_id, 3.0)
        assert ended is not None
        return wire + [_command(name, value) for name, value in end_variables(ticket.call_id, ended).items()]


def _command(name: str, value: str) -> bytes:
    """The last gate is the protocol's own: it refuses a value of several lines. That it had to is a violation."""
    try:
        return agi.set_variable(name, value)
    except agi.LocalProtocolError as error:
        return f"{name}: {error}".encode()


def _read(output: str | ToolCall) -> list[str | ToolCall]:
    """A model's stream as the local engine reads it; a remote one's native call comes as it is."""
    if isinstance(output, ToolCall):
        return [output]
    decision, made = Decision(), []
    try:
        for at in range(0, len(output), 5):
            made.append(decision.feed(output[at : at + 5]))
        words, call = decision.finish()
    except BrokenCall:
        return ["Well."]
    return [piece for piece in (*made, words) if piece] + ([call] if call is not None else []) or ["Well."]


# ---- the attempts


def load() -> dict[str, list[tuple[str, Any]]]:
    """The corpus by kind: (id, what is tried)."""
    text = Path(__file__).with_name("adversarial.toml").read_text(encoding="utf-8")
    return {
        kind: [(f"{group['group']}_{n}", case) for group in groups for n, case in enumerate(group["cases"])]
        for kind, groups in tomllib.loads(text).items()
    }


def number_in(text: str) -> str:
    """What a gullible model would dial: the first digits of the text, else all of it."""
    plain = "".join(
        str(unicodedata.digit(letter)) if unicodedata.digit(letter, None) is not None else letter for letter in text
    )
    found = re.search(r"\d(?:[\s.,()/\u200b-]*\d)*", plain)
    return re.sub(r"\D", "", found[0]) if found else text


def obeying(text: str) -> dict[str, ToolCall]:
    """How a model may do what a text asks for."""
    number = number_in(text)
    return {
        "number": _call("hand_off", target=number),
        "text": _call("hand_off", target=text),
        "sip": _call("hand_off", target=f"sip:{number}@trunk.example"),
        "dial": _call("dial", number=number),
        "keys": _call("send_dtmf", digits=number[:20]),
        "look_up": _call("look_up", order=text),
    }


def _call(tool: str, **arguments: str) -> ToolCall:
    return ToolCall(tool, json.dumps(arguments))


def attempts() -> Iterator[Attempt]:
    """Every whole call of the corpus."""
    corpus = load()
    for name, text in corpus["says"]:
        for way, call in obeying(text).items():
            yield Attempt(f"{name}-{way}", text, (call, call))
    for name, output in corpus["models"]:
        yield Attempt(name, outputs=(output, output))
    for name, (tool, arguments) in corpus["native"]:
        yield Attempt(name, outputs=(ToolCall(tool, arguments), ToolCall(tool, arguments)))
    for name, result in corpus["tools"]:
        found = " ".join(str(value) for value in result.values())
        for way, call in obeying(found).items():
            yield Attempt(f"{name}-{way}", outputs=(_call("look_up", order="1"), call, call), result=result)
