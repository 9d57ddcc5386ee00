"""Calls full of card numbers, phone numbers, addresses and keys: is any of them found in what is kept afterwards?

    python -m bench.leaks [--json]

Real calls in the daemon's registry with its store, bus, metrics and logs at debug level; only ears and voice are made
up: what a caller says is known exactly. Then every file is searched (SQLite with its WAL, spilled records, event logs,
recordings, logs, what observers were told, metrics), for whole numbers and for half of one, written or read out. The
search is a plain one of its own and shares nothing with what hides numbers. Exit code 1 where anything is found.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import track

from bench.dummies import Ears, Leg, Voice, listen, say
from voicebridge.audio.clock import Ticker
from voicebridge.call.admission import Admission
from voicebridge.call.matching import RuleMatcher
from voicebridge.call.registry import Registry
from voicebridge.call.work import Parts
from voicebridge.conversation.agent import AgentSpec, Limits, Rule
from voicebridge.conversation.form import Form, Slot
from voicebridge.pbx.attach import AttachRequest
from voicebridge.tools import tool
from voicebridge.tools.runner import ToolRunner
from voicebridge.trace.bus import Bus
from voicebridge.trace.metrics import Metrics
from voicebridge.trace.privacy import Privacy
from voicebridge.trace.store import CallStore

WINDOW = 8
"""So many digits of a number in a row are a find: half a card, and more than chance makes of times and ids."""
CARD, PHONE, OTHER, CALLER, MAIL = "4539148803436467", "017642198305", "8812094576", "493098765410", "quentin"
NEEDLES = (CARD, PHONE, OTHER, CALLER, MAIL)
_WORDS = dict(zip("zero one two three four five six seven eight nine oh".split(), "01234567890", strict=True))  # noqa: SIM905
SPELLED = {digit: word for word, digit in _WORDS.items() if word != "oh"}


def read_out(number: str) -> str:
    return " ".join(SPELLED[digit] for digit in number)


CALLS: tuple[tuple[str, ...], ...] = (
    (f"my card is {CARD}", f"I mean {CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:]}", read_out(CARD)),
    (f"call me at {PHONE[:4]}-{PHONE[4:]}", f"that is {read_out(PHONE)}", f"{MAIL}.fox@example.com please"),
    ("call me back", read_out(PHONE[:4]), read_out(PHONE[4:8]), read_out(PHONE[8:]), "yes"),
    ("call me back", f"{PHONE}", "no", f"it is {OTHER}", "yes"),
    (f"it begins with {read_out(OTHER[:4])}", f"{read_out(OTHER[4:])} is the rest", f"{MAIL} fox at example dot com"),
    ("call me back", f"#{PHONE}#", "yes"),
    (f"#{CARD}", "hello", "a human please"),
    (f"my number is {OTHER} and I want a human please",),
)
"""What callers say, or key where it begins with #."""


@dataclass(frozen=True)
class Find:
    """`where`: a file; `digits`: what of which number stood in it."""

    where: str
    digits: str


def search(folder: Path, needles: Sequence[str] = NEEDLES) -> list[Find]:
    """Every needle, or half of one that is a number, in any file below."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        text = path.read_bytes().decode("utf-8", "ignore").lower()
        digits, keys = _digits(text), "".join(re.findall(r'"digit": ?"(\d)"', text))
        for needle in needles:
            starts = range(len(needle) - WINDOW + 1) if needle.isdigit() else ()
            pieces = [needle[at : at + WINDOW] for at in starts] or [needle]
            found += [
                Find(str(path.relative_to(folder)), piece) for piece in pieces
                if piece in digits or piece in keys or piece in text
            ]
    return found


def _digits(text: str) -> str:
    """With every run of digits put together, however it is written or read out."""
    text = re.sub(r"\b(double|triple) (\w+)", lambda m: " ".join([m[2]] * (2 if m[1] == "double" else 3)), text)
    text = re.sub(rf"\b({'|'.join(_WORDS)})\b", lambda match: _WORDS[match[1]], text)
    return re.sub(r"(?<=\d)[^0-9a-z]{1,6}(?=\d)", "", text)


@tool
async def call_back(phone: str) -> dict[str, str]:
    """Have somebody call back."""
    return {"phone": phone, "say": f"We will call {phone}."}


FORM = Form(
    "back", "call_back", (Slot("phone", "phone", ask=("Your number?",), least=6),), confirm="{phone}, is that right?",
    done=("We call {phone}.",),
)  # fmt: skip
AGENT = AgentSpec(
    "desk", "Hello.", model_scope="none", tools=("call_back",), toolbox=(call_back.spec(),), forms=(FORM,),
    rules=(Rule("back", ("call me back",), action="form", form="back"),
           Rule("human", ("a human please", "I want a human"), action="fallback", say=("One moment.",))),
    limits=Limits(endpoint_s=0.06, endpoint_unsure_s=0.06, endpoint_open_s=0.06, endpoint_spelled_s=0.06,
                  speculate_s=0.02),
)  # fmt: skip


class House:
    """A daemon's registry with everybody who is told of calls; all they are told goes into files in `folder`."""

    def __init__(self, folder: Path, privacy: Privacy | None = None) -> None:
        self.folder, self.ears = folder, Ears()
        self.store = CallStore(folder / "store", keep_days=1)
        self.store.prepare()
        runner = ToolRunner([call_back], folder=folder / "tools")
        parts: Any = Parts(AGENT, self.ears, None, Voice(), RuleMatcher(AGENT, None), tools=runner)  # type: ignore[arg-type]
        bus, self.metrics = Bus(), Metrics()
        bus.subscribe(self.metrics.happened)
        bus.subscribe(self._told)
        self.registry = Registry(
            lambda leg, ticket: parts, Ticker(), self.store, admission=Admission([AGENT.name], AGENT.name, max_calls=9),
            record_audio=True, event_log=True, bus=bus, privacy=privacy or Privacy(folder=folder / "store"),
        )  # fmt: skip

    def _told(self, happening: dict[str, Any]) -> None:
        with (self.folder / "told.jsonl").open("a") as file:
            file.write(json.dumps(happening, default=str) + "\n")

    async def call(self, said: Sequence[str]) -> None:
        ticket: Any = self.registry.attach(AttachRequest(caller=f"+{CALLER}", dialled="100", unique_id="1.2"))
        call: Any = self.registry.accept(Leg(ticket.call_id))
        await listen(call, 0.3)
        for words in said:
            if words.startswith("#"):
                for key in words[1:]:
                    call.on_dtmf(key)
                    await listen(call, 0.04)
                await listen(call, 0.3)
                continue
            await say(call, self.ears, words)
        if call.ending is None:
            call.on_closed("hangup")
        else:
            call.on_closed("local")
        await listen(call, 0.1)

    async def close(self) -> None:
        await self.registry.drain(limit_s=0)
        (self.folder / "metrics.txt").write_bytes(self.metrics.text())
        await asyncio.to_thread(self.store.flush)
        self.store.close()


async def play(folder: Path, *, calls: Sequence[Sequence[str]] = CALLS, privacy: Privacy | None = None) -> None:
    """All the calls, with what they leave in `folder`."""
    log, root = logging.FileHandler(folder / "daemon.log"), logging.getLogger()
    level = root.level
    root.addHandler(log)
    root.setLevel(logging.DEBUG)
    try:
        house = House(folder, privacy)
        for said in calls:
            await house.call(said)
        await house.close()
    finally:
        root.removeHandler(log)
        root.setLevel(level)
        log.close()


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(as_json: bool) -> None:
    """Play calls and search what is left of them."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for number, said in enumerate(track(CALLS, "calls", console=Console(stderr=True), disable=as_json)):
            (folder / str(number)).mkdir()
            asyncio.run(play(folder / str(number), calls=[said]))
        found = search(folder)
        files = sum(path.is_file() for path in folder.rglob("*"))
    if as_json:
        click.echo(json.dumps({"calls": len(CALLS), "files": files, "found": [asdict(find) for find in found]}))
    else:
        for find in found:
            click.echo(f"{find.where}: {find.digits}")
        click.echo(f"{len(CALLS)} calls, {files} files searched: {len(found) or 'nothing'} found")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
