"""The echo guard: our own voice on a caller's loudspeaker, callers who speak over it, and callers without an echo.

    python -m bench.speakerphone [--paths 40] [--json]
    python -m bench.speakerphone --calls     real calls of a phone that returns what it hears, guard on and off

The echoes are made: delayed by 50 to 600 ms, reverberated (60 ms), band-limited, 10 to 40 dB down, every third one
clipped by its loudspeaker, with line noise, all of it through mu-law. The agent's words are those of the demo in the
agent's voice; the callers' are the exams' (three synthetic voices) and a person's (Asterisk's prompts) where installed.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from bench.calls import BENCH, RATE, spread
from bench.heard import spoken
from bench.machine import machine
from voicebridge.audio.echo import EchoGuard
from voicebridge.audio.pcm import frame_bytes, frame_samples, samples
from voicebridge.audio.vad import SpeechStarted, VoiceActivityDetector
from voicebridge.cli.testcall import recorded_sentence, running_daemon, wait_for_record
from voicebridge.phone import Line, Phone, read_wav
from voicebridge.trace.store import CallStore

Signal = npt.NDArray[np.float64]
PERSON = Path.home() / ".cache/voicebridge/pbx-root/usr/share/asterisk/sounds/en_US_f_Allison"
SAID = (
    "Northgate Cycles, good day. How can I help you?",
    "A basic service is $45 and takes two working days. A full service is $95 and takes four working days.",
    "We are open from Monday to Friday from nine to six, and on Saturday from ten to four.",
    "I'm sorry, I don't know that. Is there anything else I can do for you?",
    "The shop is at 14 Harbour Street, opposite the railway station.",
)
TAPS = 480
NOISE = 5.0


def mu_law(signal: Signal) -> Signal:
    """There and back (G.711's curve with 7 bits and a sign)."""
    level = np.clip(signal / 32_768, -1, 1)
    code = np.round(np.log1p(255 * np.abs(level)) / np.log(256) * 127) / 127
    return np.asarray(np.sign(level) * np.expm1(code * np.log(256)) / 255 * 32_768)


@dataclass
class Room:
    """A loudspeaker, the air and a microphone, as a stream: `hear` gives the echo of what was said before.

    `gain_db` is negative; `clip`: the loudspeaker gives no more than half of the loudest sample there is.
    """

    delay_s: float
    gain_db: float
    clip: bool = False
    seed: int = 0
    rate: int = RATE

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        taps = rng.standard_normal(TAPS) * np.exp(-np.arange(TAPS) / (TAPS / 5))
        taps[0] = 2.5
        spectrum, hertz = np.fft.rfft(taps, 1_024), np.fft.rfftfreq(1_024, 1 / self.rate)
        shape = 1 / (1 + (200 / np.maximum(hertz, 1)) ** 4) / (1 + (hertz / rng.uniform(2_200, 3_400)) ** 6)
        taps = np.fft.irfft(spectrum * shape)[: TAPS + 100]
        self._taps = taps / np.sqrt((taps**2).sum()) * 10 ** (self.gain_db / 20)
        self._noise = rng
        self._past = np.zeros(len(self._taps) - 1 + round(self.delay_s * self.rate) + frame_samples(self.rate))

    def echo(self, pcm: bytes) -> Signal:
        """Take what the loudspeaker says now; gives what the microphone hears of it at the same time."""
        said = samples(pcm).astype(np.float64)
        if self.clip:
            said = np.tanh(said / 8_000) * 8_000
        self._past = np.concatenate((self._past[len(said) :], said))
        heard = np.convolve(self._past[: len(self._taps) - 1 + len(said)], self._taps, mode="valid")
        return heard + self._noise.standard_normal(len(said)) * NOISE


class Speakerphone(Phone):
    """A phone whose microphone hears its loudspeaker."""

    def __init__(self, host: str, port: int, *, room: Room, rate: int = RATE) -> None:
        super().__init__(host, port, rate=rate)
        self._room = room
        self._loud = bytearray()

    def _on_audio(self, pcm: bytes, rate: int) -> None:
        super()._on_audio(pcm, rate)
        self._loud += pcm

    def _microphone(self, frame: bytes) -> bytes:
        size = len(frame)
        said = bytes(self._loud[:size]).ljust(size, b"\0")
        del self._loud[: max(size, len(self._loud) - 5 * size)]
        return to_pcm(mu_law(samples(frame) + self._room.echo(said)))


def to_pcm(signal: Signal) -> bytes:
    return np.clip(signal, -32_768, 32_767).astype("<i2").tobytes()


def frames(pcm: bytes, rate: int = RATE) -> Iterator[bytes]:
    size = frame_bytes(rate)
    return (pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size))


@dataclass(frozen=True)
class Watched:
    """What came of a stream: when voices began (seconds), when the echo was found, sounds taken for our own."""

    began: tuple[float, ...]
    found: float | None
    muted: int
    frame_us: float


def watch(sent: bytes, came: bytes, *, guarded: bool = True, rate: int = RATE) -> Watched:
    """Voice detection on what came, behind the guard, as in a call."""
    guard, detector = EchoGuard(rate), VoiceActivityDetector(rate)
    began, found, muted, busy = [], None, 0, 0.0
    for index, (ours, theirs) in enumerate(zip(frames(sent, rate), frames(came, rate), strict=False)):
        started = time.perf_counter()
        guard.played(ours)
        echo = guard.heard(theirs) and guarded
        busy += time.perf_counter() - started
        now = (index + 1) * 0.02
        if found is None and guard.echo is not None:
            found = now
        muted += echo
        told = detector.feed(bytes(len(theirs)) if echo else theirs)
        began += [now for change in told if isinstance(change, SpeechStarted)]
    count = max(1, len(sent) // frame_bytes(rate))
    return Watched(tuple(began), found, muted, busy / count * 1e6)


def echo_of(sent: bytes, room: Room) -> Signal:
    return np.concatenate([room.echo(frame) for frame in frames(sent, room.rate)])


def at_level(signal: Signal, dbfs: float) -> Signal:
    """Its loud parts at so many dB below full scale."""
    loud = signal[np.abs(signal) > 0.05 * np.abs(signal).max()]
    return np.asarray(signal / np.sqrt(np.mean(loud**2)) * 32_768 * 10 ** (dbfs / 20))


# ---- the bench


def our_voice() -> list[bytes]:
    return [pcm + bytes(RATE) for pcm in asyncio.run(spoken(list(SAID), RATE))]


def callers() -> list[list[Path]]:
    """Recordings of callers, by source."""
    exams = sorted((BENCH / "exam/wav").glob("*.wav")) + sorted((BENCH / "exam2/wav").glob("*.wav"))
    person = sorted(PERSON.glob("*.wav"))
    return [exams, person] if person else [exams]


def _agent(rng: np.random.Generator, ours: Sequence[bytes], seconds: float) -> bytes:
    said = b"".join(ours[index] for index in rng.permutation(len(ours)))
    return said[: round(seconds * RATE) * 2]


def _caller(rng: np.random.Generator, sources: list[list[Path]], count: int) -> Signal:
    files = sources[int(rng.integers(len(sources)))]
    chosen = [files[index] for index in rng.choice(len(files), count, replace=False)]
    pause = np.zeros(3_000)
    said = [np.concatenate((samples(read_wav(file, RATE)).astype(np.float64), pause)) for file in chosen]
    return np.concatenate(said)


def _room(rng: np.random.Generator, seed: int) -> Room:
    return Room(float(rng.uniform(0.05, 0.6)), float(rng.uniform(-40, -10)), bool(rng.random() < 0.33), seed)


def alone(rng: np.random.Generator, ours: Sequence[bytes], paths: int) -> dict[str, Any]:
    """Echo and nothing else: how often a voice seems to begin."""
    without = behind = after = calls = 0
    found, cost = [], []
    for seed in range(paths):
        sent = _agent(rng, ours, 15)
        came = to_pcm(mu_law(echo_of(sent, _room(rng, seed))))
        seen = watch(sent, came)
        without += len(watch(sent, came, guarded=False).began)
        behind += len(seen.began)
        after += sum(seen.found is not None and moment > seen.found for moment in seen.began)
        calls += seen.found is None
        found += [seen.found] if seen.found is not None else []
        cost.append(seen.frame_us)
    return {
        "calls": paths, "voices_without": without, "voices_with": behind, "voices_after_found": after,
        "never_found": calls, "found_s": spread(found), "frame_us": spread(cost),
    }  # fmt: skip


def double_talk(
    rng: np.random.Generator, ours: Sequence[bytes], sources: list[list[Path]], paths: int
) -> dict[str, Any]:
    """A caller speaks over the echo: how much later than without an echo he is noticed. None lost is the aim."""
    late, lost = [], 0
    for seed in range(paths):
        sent = _agent(rng, ours, 12)
        echo = echo_of(sent, _room(rng, seed))
        first = int(rng.uniform(5, 7) * RATE)
        said = np.zeros(len(echo))
        voice = at_level(_caller(rng, sources, 2), float(rng.uniform(-32, -18)))[: len(said) - first]
        said[first : first + len(voice)] = voice
        clean = watch(bytes(len(sent)), to_pcm(mu_law(said)), guarded=False).began
        seen = [moment for moment in watch(sent, to_pcm(mu_law(echo + said))).began if moment >= first / RATE]
        if clean and seen:
            late.append(seen[0] - clean[0])
        lost += bool(clean) and not seen
    return {"calls": paths, "later_s": spread(late), "lost": lost}


def no_echo(rng: np.random.Generator, ours: Sequence[bytes], sources: list[list[Path]], calls: int) -> dict[str, Any]:
    """Callers who speak over us on a line without an echo: anything taken from them is wrong."""
    found = muted = 0
    cost = []
    for _ in range(calls):
        sent = _agent(rng, ours, 12)
        came = np.zeros(len(sent) // 2)
        first = int(rng.uniform(0, 1) * RATE)
        said = _caller(rng, sources, 4)[: len(came) - first]
        came[first : first + len(said)] = said
        seen = watch(sent, to_pcm(mu_law(came + rng.standard_normal(len(came)) * NOISE)))
        found += seen.found is not None
        muted += seen.muted
        cost.append(seen.frame_us)
    return {"calls": calls, "falsely_found": found, "frames_taken": muted, "frame_us": spread(cost)}


# ---- real calls


def agent_file(folder: Path, guard: str) -> Path:
    """A configuration whose demo agent has the guard `auto` or `off`."""
    text = (resources.files("voicebridge") / "data/agents/demo.toml").read_text(encoding="utf-8")
    (folder / "agents").mkdir()
    (folder / "agents/demo.toml").write_text(f'echo_guard = "{guard}"\n{text}')
    config = folder / "voicebridge.toml"
    config.write_text("")
    return config


def call(port: int, store: Path, room: Room, lines: Sequence[Line]) -> dict[str, Any]:
    """A call on a speakerphone; gives the daemon's record of it."""
    heard = asyncio.run(Speakerphone("127.0.0.1", port, room=room).call(lines))
    record = wait_for_record(CallStore(store, keep_days=1), heard.call_id)
    assert record is not None, "the daemon wrote no record"
    return record


def pauses(store: Path, call_id: str) -> int:
    """How often the agent fell silent for what it took for a voice."""
    log = (store / "calls" / f"{call_id}.events.jsonl").read_text().splitlines()
    return sum(command["is"] == "PausePlayout" for line in log[1:] for command in json.loads(line)["commands"])


def real_calls(count: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for guard in ("off", "auto"):
        with tempfile.TemporaryDirectory() as folder:
            config = agent_file(Path(folder), guard)
            with running_daemon(config, ["--agent", "demo", "--event-log"]) as (port, store):
                rooms = [Room(0.12 + 0.09 * seed, -12.0 - 2 * seed, seed=seed) for seed in range(count)]
                records = [call(port, store, room, [recorded_sentence()]) for room in rooms]
                made[guard] = {
                    "calls": count,
                    "pauses": sum(pauses(store, record["call_id"]) for record in records),
                    "turns": sum(bool(turn["caller"]) for record in records for turn in record["turns"]),
                    "asked_and_answered": sum(
                        any(turn.get("rule") == "service" for turn in record["turns"]) for record in records
                    ),
                }
    return made


@click.command()
@click.option("--paths", default=40, show_default=True, help="How many echoes, and callers over them.")
@click.option("--calls", is_flag=True, help="Real calls as well (two minutes).")
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(paths: int, calls: bool, seed: int, as_json: bool) -> None:
    """What the echo guard does and what it costs."""
    rng, ours, sources = np.random.default_rng(seed), our_voice(), callers()
    found: dict[str, Any] = {"machine": machine()}
    found["echo alone"] = alone(rng, ours, paths)
    found["a caller over the echo"] = double_talk(rng, ours, sources, paths)
    found["callers without an echo"] = no_echo(rng, ours, sources, 2 * paths)
    if calls:
        found["real calls"] = real_calls(4)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    table = Table("what", "measured", "value")
    for what, values in found.items():
        for name, value in values.items() if isinstance(values, dict) else ():
            table.add_row(what, name.replace("_", " "), str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
