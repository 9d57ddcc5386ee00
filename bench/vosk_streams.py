"""How many callers one Vosk worker hears in real time, and how soon it has their last words.

    python -m bench.vosk_streams                       20 callers, the tests' tiny model
    python -m bench.vosk_streams --padded 40 --find    how many a model of 40 MB allows
    python -m bench.vosk_streams --phrases yes_no      with what was asked for: two recognisers a caller

Each caller speaks sentences (espeak's, 8 kHz) in real time and pauses between them: 0.6 to 1.4 s of silence that
is not sent, as in calls. Every 0.9 s the worker is asked what it understands so far, and 60 ms after the last voice for
the end, which has to be there 0.3 s after the last voice; the lag is from the question to the answer. A stream is late
where one of its ends came later than that. `real-time factor`: the worker's CPU seconds a second of speech. The callers
run on the same cores. The padded model only has more to compute for every frame; the search of a real one, with its
large vocabulary, comes on top.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import random
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np
from rich.console import Console

from bench.machine import machine
from bench.vosk_padded import padded
from voicebridge.audio.resample import resample_segment
from voicebridge.conversation.form import Slot, SlotKind
from voicebridge.engines import espeak
from voicebridge.engines.base import EngineError, SttSession, Voice
from voicebridge.engines.local import LocalHost
from voicebridge.engines.vosk import ENGINE
from voicebridge.engines.wyoming_stt import WyomingStt
from voicebridge.slots import phrases

RATE: Final = 8000
FRAME_S: Final = 0.02
MODEL: Final = Path(__file__).parents[1] / "tests/models/vosk-tiny-en"
SENTENCES: Final = (
    "i want to speak to a person", "two thirty", "on monday morning please", "what are your opening hours",
    "i need help with my order", "four four seven nine", "no thank you", "i want to book an appointment next friday",
    "yes", "can you check the status of my account please",
)  # fmt: skip
LOOK_S: Final = 0.9
SPECULATE_S: Final = 0.06
ENDPOINT_S: Final = 0.3
GIVE_UP_S: Final = 10.0
STEPS: Final = (2, 4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128)
LATE_SHARE: Final = 0.05


@dataclass(frozen=True)
class Result:
    streams: int
    ends: int
    late_ends: int
    late_streams: int
    wrong: int
    lag_p50_s: float
    lag_p95_s: float
    lag_p99_s: float
    real_time_factor: float
    cores_used: float

    @property
    def in_time(self) -> bool:
        return self.late_ends <= LATE_SHARE * self.ends


@dataclass
class Caller:
    lags: list[float]
    late: int = 0
    wrong: int = 0
    spoken_s: float = 0.0


async def speech() -> list[tuple[str, bytes]]:
    """The sentences at the telephone's rate."""
    voice = espeak.ENGINE.create({})
    await voice.start()
    try:
        until = time.monotonic() + 30
        made = [await voice.synthesize(text, voice=Voice(), deadline=until, give_up=until) for text in SENTENCES]
    finally:
        await voice.stop()
    return [(each.text, resample_segment(each.pcm, each.rate, RATE)) for each in made]


async def call(
    engine: WyomingStt, number: int, spoken: list[tuple[str, bytes]], until: float, kind: SlotKind | None
) -> Caller:
    rng, told = random.Random(number), Caller([])
    session = engine.session(rate=RATE, language="en")
    expected = phrases(Slot("it", kind), "en") if kind is not None else ()
    await asyncio.sleep(rng.uniform(0, 2))
    utterance = 0
    while time.monotonic() < until:
        text, pcm = rng.choice(spoken)
        utterance += 1
        session.begin(utterance, expected)
        last_voice = await say(session, pcm)
        told.spoken_s += len(pcm) / 2 / RATE
        await asyncio.sleep(max(0.0, last_voice + SPECULATE_S - time.monotonic()))
        asked, deadline = time.monotonic(), last_voice + ENDPOINT_S
        try:
            heard = (await session.transcribe(deadline=deadline, give_up=asked + GIVE_UP_S)).text
        except EngineError as error:
            heard = error.cause
        told.lags.append(time.monotonic() - asked)
        told.late += time.monotonic() > deadline
        told.wrong += heard != text
        await asyncio.sleep(rng.uniform(0.3, 1.1))
    await session.close()
    return told


async def say(session: SttSession, pcm: bytes) -> float:
    """In real time; returns when the last frame was due."""
    began, step, look_at = time.monotonic(), round(FRAME_S * RATE) * 2, LOOK_S
    looks: set[asyncio.Task[None]] = set()
    for number, at in enumerate(range(0, len(pcm), step), start=1):
        await asyncio.sleep(max(0.0, began + number * FRAME_S - time.monotonic()))
        session.feed(pcm[at : at + step])
        if number * FRAME_S >= look_at:
            look_at += LOOK_S
            looks.add(asyncio.create_task(look(session)))
    return began + len(pcm) / 2 / RATE


async def look(session: SttSession) -> None:
    with contextlib.suppress(EngineError):  # the end was asked for meanwhile
        await session.transcribe(deadline=math.inf, give_up=time.monotonic() + GIVE_UP_S, final=False)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(
    engine: WyomingStt, streams: int, seconds: float, spoken: list[tuple[str, bytes]], kind: SlotKind | None
) -> Result:
    assert isinstance(engine.host, LocalHost)
    pid = engine.host.worker.pid
    assert pid is not None
    began, before = time.monotonic(), cpu_s(pid)
    calls = (call(engine, number, spoken, began + seconds, kind) for number in range(streams))
    told = await asyncio.gather(*calls)
    used, lags = cpu_s(pid) - before, np.array([lag for each in told for lag in each.lags])
    p50, p95, p99 = (round(float(each), 4) for each in np.percentile(lags, [50, 95, 99]))
    return Result(
        streams=streams, ends=len(lags), late_ends=sum(each.late for each in told),
        late_streams=sum(each.late > 0 for each in told), wrong=sum(each.wrong for each in told),
        lag_p50_s=p50, lag_p95_s=p95, lag_p99_s=p99,
        real_time_factor=round(used / sum(each.spoken_s for each in told), 4),
        cores_used=round(used / (time.monotonic() - began), 2),
    )  # fmt: skip


async def run(
    model: Path, streams: int, seconds: float, *, find: bool, kind: SlotKind | None, tell: Console
) -> list[Result]:
    spoken = await speech()
    engine = ENGINE.create({"model": str(model), "language": "en", "nice": 0})
    await engine.start()
    results: list[Result] = []
    try:
        if not await engine.wait_ready(60):
            raise click.ClickException("the worker did not start")
        for number in STEPS if find else (streams,):
            results.append(await measure(engine, number, seconds, spoken, kind))
            show(results[-1], tell)
            if not results[-1].in_time:
                break
    finally:
        await engine.stop()
    return results


def show(result: Result, tell: Console) -> None:
    tell.print(
        f"{result.streams:4d} streams: end after p50 {result.lag_p50_s:.3f} p95 {result.lag_p95_s:.3f} "
        f"p99 {result.lag_p99_s:.3f} s; late {result.late_ends} of {result.ends} ends, {result.late_streams} streams; "
        f"misheard {result.wrong}; real-time factor {result.real_time_factor:.4f}, {result.cores_used:.2f} cores"
    )


@click.command()
@click.option("--streams", default=20, show_default=True)
@click.option("--seconds", default=20.0, show_default=True, help="How long each number of streams is tried.")
@click.option("--model", type=click.Path(path_type=Path, exists=True), default=MODEL, help="A Vosk model's folder.")
@click.option("--padded", "megabytes", type=float, help="Pad the acoustic model to so many MB.")
@click.option("--find", is_flag=True, help="More and more streams, until they are late.")
@click.option("--phrases", "kind", help="The kind of slot that was asked for.")
@click.option("--json", "as_json", is_flag=True)
def main(
    streams: int, seconds: float, model: Path, megabytes: float | None, find: bool, kind: SlotKind | None, as_json: bool
) -> None:
    tell = Console(stderr=as_json, highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        if megabytes is not None:
            model = padded(model, Path(folder) / "model", megabytes)
        size = (model / "am/final.mdl").stat().st_size / 1e6
        results = asyncio.run(run(model, streams, seconds, find=find, kind=kind, tell=tell))
    fit = max((result.streams for result in results if result.in_time), default=0)
    if as_json:
        told = {"acoustic_model_mb": round(size, 1), "phrases": kind, "fit": fit, "results": [*map(asdict, results)]}
        click.echo(json.dumps(told | machine()))
        return
    about = machine()
    tell.print(f"acoustic model of {size:.1f} MB; {fit} streams in time; {about['machine']}, {about['date']}")


if __name__ == "__main__":
    main()
