"""The closed loop: Piper says sentences, Vosk hears them, with and without a real Asterisk between them.

    python -m bench.loop                 60 sentences, two calls at a time, and the same ones straight
    python -m bench.loop --no-pbx        without Asterisk
    python -m bench.loop --json

Straight, a sentence goes Piper -> 8 kHz -> mu-law -> Vosk, through our engines' workers. Through the PBX a SIPp caller
plays the same sound as RTP; Asterisk hands it to a `voicebridge run` of its own, and the call's record tells what was
understood. The models are those made for tests (tests/models): they know a hundred words, and the sentences use only
these. What the rate tells of is the path: what is wrong behind the PBX and not before it was lost on the way.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.machine import machine
from tests.pbx import corpus
from tests.pbx.asterisk import Asterisk
from tests.pbx.caller import Caller
from tests.pbx.daemon import VoiceDaemon, caller_said
from tests.pbx.install import Unavailable, provide
from tests.pbx.words import errors
from voicebridge.audio.g711 import MU
from voicebridge.audio.resample import resample_segment
from voicebridge.engines.base import Voice
from voicebridge.engines.piper import ENGINE as PIPER
from voicebridge.engines.vosk import ENGINE as VOSK

MODELS = Path(__file__).parents[1] / "tests/models"
VOICE = MODELS / "piper-tiny-en/tiny-voice.onnx"
RECOGNISER = {"model": str(MODELS / "vosk-tiny-en"), "language": "en"}
RATE = 8_000
READY_S, GIVE_UP_S = 60.0, 20.0
TRIES = 100
WORSE = 0.05
"""So much more of the words may be wrong behind the PBX than before it: one sentence in twenty lost is a fault."""
PATTERNS = (
    "i would like to change my appointment on {day}",
    "my account number is {digit} {digit} {digit} {digit}",
    "can i speak with {desk} on {day} please",
    "how much is the payment on {day}",
    "please repeat the opening hours on {day}",
    "i want to cancel the {thing} number {number}",
    "yes {day} {part} is okay thank you",
    "is support open on {day} at {number}",
    "transfer me to {desk} {part} please",
    "no i need help with my {thing} {day}",
    "when is the next appointment on {day} {part}",
    "what is the status of my {thing} number {digit} {digit} {digit}",
)
FILL = {
    "day": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    "digit": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "number": ("ten", "eleven", "twelve", "thirteen", "fifteen", "twenty", "thirty five", "forty two", "fifty"),
    "thing": ("order", "payment", "appointment", "account"),
    "desk": ("sales", "support", "billing", "the operator"),
    "part": ("morning", "afternoon", "evening"),
}
AGENT = """\
name = "loop"
greeting = "hello"
model_scope = "none"
"""
ENGINES = f"""\
[engines]
stt = "vosk"
tts = "piper"
llm = ""
embed = ""
[engines.options.vosk]
model = "{RECOGNISER["model"]}"
language = "en"
[engines.options.piper]
voice = "{VOICE}"
"""


@dataclass(frozen=True)
class Heard:
    """A sentence as it was understood straight and, where there was one, through the PBX; `wrong` words of each."""

    said: str
    straight: str
    straight_wrong: int
    pbx: str | None = None
    pbx_wrong: int | None = None


def sentences(count: int, seed: int = 4) -> list[str]:
    """The same ones each time, all different: every pattern in turn, filled by chance."""
    chance = random.Random(seed)
    made: list[str] = []
    for number in range(count):
        words = PATTERNS[number % len(PATTERNS)].split()
        for _ in range(TRIES):  # a pattern has more fillings than it is used
            text = " ".join(chance.choice(FILL[word[1:-1]]) if word.startswith("{") else word for word in words)
            if text not in made:
                break
        made.append(text)
    return made


async def spoken(texts: Sequence[str]) -> list[bytes]:
    """Each sentence as a telephone carries it: 8 kHz, once through mu-law."""
    engine = PIPER.create({"voice": str(VOICE)})
    await engine.start()
    try:
        await engine.wait_ready(READY_S)
        made = []
        for text in texts:
            now = time.monotonic()
            speech = await engine.synthesize(text, voice=Voice(), deadline=now, give_up=now + GIVE_UP_S)
            made.append(MU.decode(MU.encode(resample_segment(speech.pcm, speech.rate, RATE))))
        return made
    finally:
        await engine.stop()


async def straight(sounds: Sequence[bytes]) -> list[str]:
    engine = VOSK.create(RECOGNISER)
    await engine.start()
    session = engine.session(rate=RATE, language="en")
    try:
        await engine.wait_ready(READY_S)
        made = []
        for number, pcm in enumerate(sounds):
            session.begin(number)
            session.feed(bytes(RATE // 5) + pcm)
            now = time.monotonic()
            made.append((await session.transcribe(deadline=now, give_up=now + GIVE_UP_S)).text)
        return made
    finally:
        await session.close()
        await engine.stop()


async def through_pbx(
    asterisk: Asterisk, daemon: VoiceDaemon, folder: Path, sounds: Sequence[bytes], at_once: int, bar: Progress
) -> list[str]:
    task = bar.add_task(f"{len(sounds)} calls", total=len(sounds))
    lines = asyncio.Semaphore(at_once)

    async def one(pcm: bytes) -> str:
        async with lines:
            caller = Caller(asterisk, daemon.media, folder)
            await caller.begin()
            try:
                await caller.until_quiet()
                said = await caller.say(pcm)
                await caller.until_spoken_to(after=said.last_voice)
            finally:
                await caller.end()
            record = await asyncio.to_thread(daemon.record, caller.id)
        bar.advance(task)
        return caller_said(record)

    return list(await asyncio.gather(*(one(pcm) for pcm in sounds)))


def compared(texts: Sequence[str], heard: Sequence[str], behind: Sequence[str] | None) -> list[Heard]:
    """The recogniser's [unk] counts as a word, and so as a wrong one."""
    rows = []
    for number, text in enumerate(texts):
        row = Heard(text, heard[number], errors(text.split(), heard[number].split()))
        if behind is not None:
            wrong = errors(text.split(), behind[number].split())
            row = Heard(row.said, row.straight, row.straight_wrong, behind[number], wrong)
        rows.append(row)
    return rows


def report(rows: Sequence[Heard], at_once: int) -> dict[str, Any]:
    words = sum(len(row.said.split()) for row in rows)
    told = [row.pbx_wrong for row in rows if row.pbx_wrong is not None]
    return {
        "sentences": len(rows),
        "words": words,
        "wer_straight": round(sum(row.straight_wrong for row in rows) / words, 4),
        "wer_pbx": round(sum(told) / words, 4) if told else None,
        "at_once": at_once,
        "rows": [asdict(row) for row in rows],
        **machine(),
    }


def show(console: Console, made: dict[str, Any]) -> None:
    table = Table(
        "said", "straight", "through Asterisk", title=f"what was not right; {made['machine']}, {made['date']}"
    )
    for row in made["rows"]:
        if row["straight_wrong"] or row["pbx_wrong"]:
            table.add_row(row["said"], row["straight"], row["pbx"])
    console.print(table)
    console.print(f"{made['sentences']} sentences, {made['words']} words, wrong: straight {made['wer_straight']:.1%}")
    if made["wer_pbx"] is not None:
        console.print(f"through Asterisk [bold]{made['wer_pbx']:.1%}[/], {made['at_once']} calls at a time")


@click.command()
@click.option("--sentences", "count", default=60, show_default=True)
@click.option("--at-once", default=2, show_default=True, help="Calls at the same time.")
@click.option("--pbx/--no-pbx", "with_pbx", default=True, help="Whether Asterisk is between them, too.")
@click.option("--json", "as_json", is_flag=True)
def main(count: int, at_once: int, with_pbx: bool, as_json: bool) -> None:
    """Word error rate of Piper to Vosk, straight and through a real Asterisk. Fails where the PBX costs over 5 %."""
    console = Console(stderr=True)
    texts = sentences(count)
    sounds = asyncio.run(spoken(texts))
    heard = asyncio.run(straight(sounds))
    behind = None
    if with_pbx:
        try:
            install = provide(lambda text: console.print(f"pbx: {text}"))
            corpus.prompts(install)
        except (Unavailable, corpus.CorpusError) as reason:
            raise click.ClickException(str(reason)) from reason
        behind = _behind(install, sounds, at_once, console)
    made = report(compared(texts, heard, behind), at_once)
    if as_json:
        click.echo(json.dumps(made))
    else:
        show(Console(), made)
    if made["wer_pbx"] is not None and made["wer_pbx"] > made["wer_straight"] + WORSE:
        sys.exit(1)


def _behind(install: Any, sounds: Sequence[bytes], at_once: int, console: Console) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="voicebridge-bench-") as name:
        folder = Path(name)
        agents = folder / "daemon/agents"
        agents.mkdir(parents=True)
        (agents / "loop.toml").write_text(AGENT)
        with (
            Asterisk(install, corpus.prompts(install)["all-circuits-busy-now"].path) as asterisk,
            VoiceDaemon(folder / "daemon", agent="loop", engines=ENGINES) as daemon,
            Progress(console=console) as bar,
        ):
            return asyncio.run(through_pbx(asterisk, daemon, folder, sounds, at_once, bar))


if __name__ == "__main__":
    main()
