"""Calls that never were, of a bicycle shop: records as a daemon writes them, and recordings that fit.

For the dashboard's tests and pictures. Varied and repeatable: a seed, a number, and the moment at which the newest
ended."""

from __future__ import annotations

import math
import random
import uuid
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from voicebridge.trace.record import VERSION, Record
from voicebridge.trace.turn import EngineMove, HandoffStep, Said, ToolTrace, TurnTrace

RATE = 8_000
DAY_S = 86_400
PACE_S = 0.062
"""A character of speech."""
GREETING = "Northgate Cycles, good day. How can I help you?"
ENGINES = {"stt": "moonshine", "llm": "llama_server", "tts": "piper"}

RULES = {
    "hours": (
        ("When are you open on Saturday?", "What are your opening hours?"),
        "We are open from nine to six, on Saturdays until four.",
    ),
    "service": (
        ("What does a basic service cost?", "How much is a service?"),
        "A basic service is $45 and takes two working days. A full service is $95 and takes four working days.",
    ),
    "rentals": (
        ("Can I rent a bike for the weekend?", "Do you rent out e-bikes?"),
        "Yes. A city bike is $20 a day, an e-bike $45 a day.",
    ),
    "not_covered": (
        (
            "Is there parking near the shop?",
            "Where can I park near the shop?",
            "Do you sell skateboards?",
            "Can I pay with a cheque?",
        ),
        "I'm sorry, I don't know that. I can tell you about opening hours, prices, rentals and repairs.",
    ),
}
SMALLTALK = (
    ("Hello, how are you today?", ("Good day, hello!", " How is your bike today?")),
    (
        "My bike makes a funny noise when I pedal.",
        ("That may be the chain or the bottom bracket.", " Bring it in and we will have a look."),
    ),
    ("Which tyre would you take for gravel?", ("For gravel a forty millimetre tyre is a good choice.",)),
)


@dataclass
class Maker:
    """One call, turn by turn; `at` is the clock."""

    dice: random.Random
    began_at: float
    agent: str = "northgate"
    at: float = 0.02
    turns: list[TurnTrace] = field(default_factory=list)
    end: tuple[str, str, str] = ("hangup", "rule_goodbye", "")

    def say(self, turn: TurnTrace, text: str, kind: str = "answer", *, cut: float = 1.0) -> None:
        """From `at` on; `cut`: the share of it that was heard."""
        length = len(text) * PACE_S
        words = text.split(" ")
        heard = text if cut >= 1 else " ".join(words[: max(1, int(len(words) * cut))])
        until = self.at + length * min(1.0, cut)
        turn.said.append(Said(len(turn.said), kind, text, heard, cut >= 1, self.at, until))
        self.at = until + 0.15
        if cut < 1:
            turn.cut_off, turn.cut_at, turn.cut_voice = True, until, until - 0.16
            self.at = until

    def greet(self) -> None:
        turn = TurnTrace(0, source="line")
        turn.marks = {"first_clause": 0.0, "speech_ready": 0.001, "sent": self.at, "audible": self.at}
        turn.engines["tts"] = "disk"
        self.say(turn, GREETING, "greeting", cut=1.0 if self.dice.random() < 0.85 else 0.6)
        self.turns.append(turn)

    def ask(self, words: str, source: str, rule: str = "") -> TurnTrace:
        """The caller speaks after a pause."""
        self.at += self.dice.uniform(0.5, 1.6) + len(words) * 0.07
        turn = TurnTrace(len(self.turns), caller=words, source=source, rule=rule, last_voice=self.at)
        turn.engines = {
            "stt": ENGINES["stt"],
            "llm": ENGINES["llm"] if source == "model" else "",
            "tts": ENGINES["tts"] if source == "model" else "disk",
        }
        self.turns.append(turn)
        return turn

    def wait(self, turn: TurnTrace, **slow: float) -> None:
        """Marks until the answer is heard. `slow`: more seconds by actor."""

        def took(least: float, most: float, actor: str) -> float:
            return self.dice.uniform(least, most) + slow.get(actor, 0.0)

        assert turn.last_voice is not None
        marks, now = turn.marks, turn.last_voice
        marks["detected"] = now = now + took(0.06, 0.09, "vad")
        marks["transcript"] = now = now + took(0.06, 0.16, "stt")
        marks["rule"] = now = now + took(0.01, 0.04, "match")
        if turn.source == "model":
            marks["first_token"] = now = now + took(0.07, 0.2, "llm")
            marks["first_clause"] = now = now + took(0.06, 0.16, "llm2")
        else:
            marks["first_clause"] = now
        marks["speech_ready"] = now = now + took(0.002, 0.03, "tts")
        endpoint = turn.last_voice + took(0.2, 0.3, "endpoint")
        marks["endpoint"] = endpoint
        now = max(now, endpoint) + took(0.008, 0.02, "playout")
        marks["sent"] = now
        marks["audible"] = self.at = now + 0.01

    def record(self) -> Record:
        outcome, ended_by, target = self.end
        dice = self.dice
        return {
            "version": VERSION, "call_id": str(uuid.UUID(int=dice.getrandbits(128), version=4)), "agent": self.agent,
            "language": "de" if self.agent == "werkstatt" else "en", "peer": "192.0.2.20:41830",
            "caller": f"***{dice.randrange(10, 99)}", "caller_key": "", "dialled": dice.choice(("100", "100", "110")),
            "unique_id": f"{self.began_at:.0f}.{dice.randrange(99)}", "node": "pbx1", "software": "0.1.0",
            "began_at": round(self.began_at, 3), "seconds": round(self.at + 0.6, 3), "rate": RATE, "outcome": outcome,
            "target": target, "summary": "He asks for a human." if target else "", "ended_by": ended_by,
            "disclosure": {"said": True, "at": 0.02}, "consent": {"asked": False, "given": None, "recorded": True},
            "engines": ENGINES,
            "frames": {
                "sent": int(self.at * 50), "gap_p50_ms": 20, "gap_p99_ms": 21, "gap_max_ms": dice.randrange(22, 38),
                "late": 0,
            },
            "turns": [turn.as_dict(0.0) for turn in self.turns],
        }  # fmt: skip


def _rule(call: Maker) -> None:
    name = call.dice.choice(list(RULES))
    asked, answer = RULES[name]
    turn = call.ask(call.dice.choice(asked), "rule", name)
    call.wait(turn)
    call.say(turn, answer, cut=call.dice.choice((1.0, 1.0, 1.0, 0.35, 0.6)))


def _model(call: Maker) -> None:
    words, answers = call.dice.choice(SMALLTALK)
    turn = call.ask(words, "model", "smalltalk?")
    slow = call.dice.choice(({}, {}, {}, {}, {}, {}, {}, {"llm": 0.6}, {"tts": 0.7}, {"stt": 0.5}))
    call.wait(turn, **slow)
    for answer in answers:
        call.say(turn, answer)


def slow_model(call: Maker) -> None:
    turn = call.ask(SMALLTALK[1][0], "model", "smalltalk?")
    call.wait(turn, llm=1.4)
    turn.moves.append(EngineMove("llm", "llama_server", "openai", "timeout after 1.2 s", turn.marks["rule"] + 1.2))
    turn.troubles.append("ModelFailed: timeout after 1.2 s")
    turn.engines["llm"] = "openai"
    call.say(turn, SMALLTALK[1][1][0], cut=0.5)


def booking(call: Maker, *, fails: bool = False) -> None:
    """A form's tool, tried twice, with cover speech."""
    turn = call.ask("Tomorrow at ten, please.", "form", "book_repair")
    call.wait(turn)
    marks = turn.marks
    began = marks["endpoint"] + 0.01
    first, second = (0.8, 0.8) if fails else (0.8, call.dice.uniform(0.3, 0.6))
    ended = began + first + 0.2 + second
    tool = ToolTrace(1, "book_repair", began, ended, not fails, "timeout" if fails else "")
    tool.tries = (
        (began, round(first * 1000), "timeout"),
        (began + first + 0.2, round(second * 1000), "timeout" if fails else ""),
    )
    turn.tools.append(tool)
    for gone in ("first_clause", "speech_ready", "sent", "audible"):
        marks.pop(gone)
    marks.update(parsed=marks.pop("rule") + 0.002, tool=began, tool_done=ended, first_clause=ended + 0.01)
    marks.update(speech_ready=ended + 0.05, sent=ended + 0.06, audible=ended + 0.07)
    call.at = began + 0.7
    call.say(turn, "One moment, I am looking that up.", "filler")
    turn.said[-1].until = min(turn.said[-1].until or ended, ended)
    call.at = marks["audible"]
    text = "I am sorry, the calendar does not answer." if fails else "You are booked for tomorrow at ten."
    call.say(turn, text)


def _failing(call: Maker) -> None:
    booking(call, fails=True)


def status(call: Maker) -> None:
    """A tool that answers at once, as a rule."""
    turn = call.ask("Is my bike ready?", "form", "repair_status")
    call.wait(turn)
    marks = turn.marks
    began = marks["endpoint"] + 0.01
    took = call.dice.choice((0.03, 0.04, 0.05, 0.06, 0.09, 0.4))
    tool = ToolTrace(1, "repair_status", began, began + took, ok=True)
    tool.tries = ((began, round(took * 1000), ""),)
    turn.tools.append(tool)
    marks.update(
        tool=began, tool_done=began + took, first_clause=began + took + 0.002, speech_ready=began + took + 0.06
    )
    marks.update(sent=began + took + 0.07, audible=began + took + 0.08)
    call.at = marks["audible"]
    call.say(turn, "Yes, it is ready. You can fetch it until six.")


def _secret(call: Maker) -> None:
    turn = call.ask("***", "form", "account")
    turn.secret = True
    call.wait(turn)
    call.say(turn, "Thank you. I have found your order: it is ready.")


def handoff(call: Maker) -> None:
    turn = call.ask("I want to talk to a human.", "rule", "human")
    call.wait(turn)
    call.say(turn, "I will put you through to the workshop. One moment.")
    good = call.dice.random() < 0.7
    turn.handoffs.append(HandoffStep("calling", "workshop", "", call.at))
    call.at += call.dice.uniform(2.0, 6.0)
    turn.handoffs.append(
        HandoffStep("connected" if good else "refused", "workshop", "" if good else "no answer", call.at)
    )
    call.end = ("transfer", "rule_human", "workshop") if good else ("fallback", "handoff_failed", "")


def _goodbye(call: Maker) -> None:
    turn = call.ask("That's all, thank you, goodbye.", "rule", "goodbye")
    call.wait(turn)
    call.say(turn, "Thank you for calling Northgate Cycles. Goodbye.", "goodbye")


def a_call(dice: random.Random, began_at: float) -> Record:
    call = Maker(dice, began_at, agent=dice.choice(("northgate", "northgate", "northgate", "werkstatt")))
    call.greet()
    if dice.random() < 0.05:
        call.at += 12.0
        call.end = ("hangup", dice.choice(("no_input", "caller")), "")
        return call.record()
    for _ in range(dice.randrange(1, 5)):
        dice.choices((_rule, _model, status, _secret, booking, _failing), (40, 30, 12, 8, 6, 2))[0](call)
    if dice.random() < 0.22:
        handoff(call)
    elif dice.random() < 0.7:
        _goodbye(call)
    else:
        call.end = ("hangup", dice.choice(("caller", "caller", "dropped")), "")
    return call.record()


def the_call(began_at: float) -> Record:
    """One with everything in it, for the pictures."""
    dice = random.Random(5)
    call = Maker(dice, began_at)
    call.greet()
    turn = call.ask("Hello, how are you today?", "model", "smalltalk?")
    call.wait(turn)
    for text in SMALLTALK[0][1]:
        call.say(turn, text)
    turn = call.ask("What does a basic service cost?", "rule", "service")
    call.wait(turn)
    call.say(turn, RULES["service"][1], cut=0.3)
    slow_model(call)
    booking(call)
    _secret(call)
    handoff(call)
    return call.record()


def the_slow_call(began_at: float) -> Record:
    """Turns made slow on purpose: by the recogniser, the model, the voice, a tool."""
    call = Maker(random.Random(9), began_at)
    call.greet()
    for number, actor in enumerate(("stt", "llm", "tts")):
        words, answers = SMALLTALK[number]
        turn = call.ask(words, "model", "smalltalk?")
        call.wait(turn, **{actor: 1.1})
        call.say(turn, answers[0])
    booking(call)
    _goodbye(call)
    return call.record()


def some_calls(count: int, until: float, *, seed: int = 1, days: float = 30.0) -> Iterator[Record]:
    """Oldest first, in shop hours mostly."""
    dice = random.Random(seed)
    moments: list[float] = []
    while len(moments) < count:
        moment = until - 60 - dice.random() ** 1.3 * days * DAY_S
        hour = moment % DAY_S / 3600
        if dice.random() < math.exp(-(((hour - 13) / 4.5) ** 2)):
            moments.append(moment)
    for moment in sorted(moments):
        yield a_call(dice, moment)


def recording(record: dict[str, Any], path: Path) -> None:
    """Two hums that rise and fall like speech, where the record says that somebody spoke."""
    sound = np.zeros((int(record["seconds"] * RATE), 2))
    for turn in record["turns"]:
        if turn["last_voice"] is not None:
            begin = turn["last_voice"] - 0.07 * len(turn["caller"])
            _hum(sound, 0, begin, turn["last_voice"], 170)
        if turn["cut_at"] is not None:
            _hum(sound, 0, turn["cut_at"] - 0.16, turn["cut_at"] + 0.5, 170)
        for said in turn["said"]:
            if said["at"] is not None:
                _hum(sound, 1, said["at"], said["until"], 120)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(sound, -1, 1) * 26_000).astype("<i2").tobytes())


def _hum(sound: np.ndarray[Any, Any], side: int, begin: float, end: float, pitch: float) -> None:
    first, last = max(0, int(begin * RATE)), min(len(sound), int(end * RATE))
    if last <= first:
        return
    t = np.arange(last - first) / RATE
    syllables = np.abs(np.sin(t * 9.5 + np.sin(t * 2.3))) * (0.55 + 0.45 * np.sin(t * 1.7 + 1))
    sound[first:last, side] += syllables * (np.sin(2 * np.pi * pitch * t) + 0.5 * np.sin(4 * np.pi * pitch * t)) * 0.5
