"""The way of the audio through a real Asterisk and back: delay, level, loss, and its clock against ours.

Asterisk is told to call us (`channel originate AudioSocket/us application Echo`) and gives back what it hears: chirps
are found in what returns by correlation. A second such channel runs Milliwatt(): those frames are paced by Asterisk's
own clock, and are counted against ours. No caller and no daemon is involved.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from voicebridge.audio.pcm import FULL_SCALE, samples
from voicebridge.cli.checks.finding import Finding, State, Tell
from voicebridge.pbx.asterisk.console import Console, ConsoleError
from voicebridge.protocol.audiosocket import Audio, AudioSocketParser, RemoteProtocolError, audio_frame

RATE = 8_000
FRAME_S = 0.02
CHIRP_S = 0.1
CHIRP_DBFS = -20.0
CHIRPS_AT_S = (0.5, 1.1, 1.7, 2.3)
LOOP_S = 3.2
TONE_S = 6.0
CALLED_S = 4.0
LIKE = 0.5
"""Normalised correlation (0 to 1) above which a chirp is taken for ours."""
DELAY_AIM_S = 0.1
LOSS_DB = 3.0
DRIFT_PPM = 300.0
"""20 s in a day; what jitter buffers bear for an hour is far more, but no healthy clock is so wrong."""
CHECK = "audio loop"
Samples = npt.NDArray[np.float64]


@dataclass
class Heard:
    """`arrivals`: (seconds since the first frame was sent, PCM). `sent`: what we sent, from the same moment on."""

    rate: int = RATE
    peer: str = ""
    sent: bytearray = field(default_factory=bytearray)
    arrivals: list[tuple[float, bytes]] = field(default_factory=list)
    trouble: str = ""


def check(console: Console, host: str, tell: Tell) -> Iterator[Finding]:
    """`host`: by which Asterisk reaches this machine; only an address of its own is listened on, for seconds."""
    tell("sending audio through Asterisk and back")
    try:
        heard = asyncio.run(through(console, host, "Echo", LOOP_S))
        yield loop(heard)
        if heard.trouble:
            return
        tell("counting Asterisk's frames")
        yield clock(asyncio.run(through(console, host, "Milliwatt", TONE_S)))
    except ConsoleError as error:
        yield Finding(CHECK, "fail", str(error), "voicebridge dialplan check tells more")
    except OSError as error:
        yield Finding(CHECK, "fail", f"{host} cannot be listened on: {error.strerror}", "[listen] advertise")


async def through(console: Console, host: str, application: str, seconds: float) -> Heard:
    """One channel of Asterisk's to us, on which `application` runs. Raises ConsoleError, OSError."""
    heard, done = Heard(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.peer = writer.get_extra_info("peername")[0]
        listening = asyncio.create_task(_listen(reader, heard))
        try:
            await _send(writer, heard, seconds)
        except ConnectionError:
            heard.trouble = "Asterisk hung up"
        listening.cancel()
        writer.close()
        done.set()

    server = await asyncio.start_server(talk, host, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        at = f"[{host}]" if ":" in host else host
        told = await asyncio.to_thread(
            console, f"channel originate AudioSocket/{at}:{port}/{uuid4()} application {application}"
        )
        try:
            await asyncio.wait_for(done.wait(), CALLED_S + seconds)
        except TimeoutError:
            said = " ".join(told.split()) or "no word"
            heard.trouble = heard.trouble or f"Asterisk did not call {at}:{port} ({said})"
    return heard


async def _listen(reader: asyncio.StreamReader, heard: Heard) -> None:
    parser = AudioSocketParser()
    while data := await reader.read(65_536):
        now = time.monotonic()
        parser.feed(data)
        try:
            for event in parser.events():
                if isinstance(event, Audio):
                    heard.rate = event.rate
                    heard.arrivals.append((now, event.pcm))
        except RemoteProtocolError as error:
            heard.trouble = str(error)
            return


async def _send(writer: asyncio.StreamWriter, heard: Heard, seconds: float) -> None:
    """Chirps in silence, at 20 ms a frame on absolute deadlines."""
    wanted = script(seconds)
    size = round(FRAME_S * RATE) * 2
    began = time.monotonic()
    for number in range(round(seconds / FRAME_S)):
        frame = wanted[number * size : (number + 1) * size]
        writer.write(audio_frame(frame, RATE))
        heard.sent += frame
        await asyncio.sleep(max(0.0, began + (number + 1) * FRAME_S - time.monotonic()))
    heard.arrivals = [(at - began, pcm) for at, pcm in heard.arrivals]


def script(seconds: float) -> bytes:
    """What is sent: chirps of 400 to 2400 Hz, which every codec passes."""
    made = np.zeros(round(seconds * RATE))
    for at in CHIRPS_AT_S:
        first = round(at * RATE)
        if first + len(_chirp()) <= len(made):
            made[first : first + len(_chirp())] = _chirp()
    return np.round(made * (FULL_SCALE - 1)).astype("<i2").tobytes()


def _chirp() -> Samples:
    t: Samples = np.arange(round(CHIRP_S * RATE)) / RATE
    wave: Samples = np.sin(2 * np.pi * (400 * t + 1000 * t**2 / CHIRP_S)) * np.hanning(len(t))
    level: float = 10 ** (CHIRP_DBFS / 20) / float(np.sqrt(np.mean(wave**2)))
    return wave * level


# ---- what it means


def delays(heard: Heard) -> list[tuple[float, float]]:
    """(delay in s, level in dB against what was sent) of each chirp that came back, by correlation.

    The time of a sample is that of its frame's arrival: TCP may deliver several at once, which counts as delay.
    """
    stream, times = _on_our_clock(heard)
    if not len(stream):
        return []
    chirp = _chirp()
    energy = np.sqrt(np.sum(chirp**2))
    found = []
    for at in CHIRPS_AT_S:
        window = np.flatnonzero((times >= at) & (times < at + 0.58))
        if len(window) < len(chirp):
            continue
        part = stream[window[0] : window[-1] + 1]
        match = np.correlate(part, chirp, "valid")
        best = int(np.argmax(np.abs(match)))
        came = part[best : best + len(chirp)]
        norm = float(np.sqrt(np.sum(came**2)))
        if norm and abs(match[best]) / (energy * norm) >= LIKE:
            found.append((float(times[window[0] + best]) - at, 20 * float(np.log10(norm / energy))))
    return found


def _on_our_clock(heard: Heard) -> tuple[Samples, Samples]:
    """All samples that came, and when each could have been heard: its frame's arrival, and its place in it."""
    streams, times = [], []
    ends = 0.0
    for at, pcm in heard.arrivals:
        data = samples(pcm).astype(np.float64) / FULL_SCALE
        begin = max(at, ends)
        streams.append(data)
        times.append(begin + np.arange(len(data)) / RATE)
        ends = begin + len(data) / RATE
    if not streams:
        return np.zeros(0), np.zeros(0)
    return np.concatenate(streams), np.concatenate(times)


def loop(heard: Heard) -> Finding:
    if heard.trouble:
        cure = "is chan_audiosocket loaded? a firewall between? [listen] advertise: by which Asterisk reaches us"
        return Finding(CHECK, "fail", heard.trouble, cure)
    if not heard.arrivals:
        return Finding(CHECK, "fail", "Asterisk calls, but sends no audio", "module load app_echo.so")
    if heard.rate != RATE:
        return Finding(CHECK, "warn", f"Asterisk sends {heard.rate} Hz where 8000 were offered", "is it Asterisk 18+?")
    found = delays(heard)
    if not found:
        stream, _ = _on_our_clock(heard)
        loudest = 20 * float(np.log10(max(1e-5, np.abs(stream).max())))
        told = f"audio comes back (peak {loudest:.0f} dBFS), but not what was sent"
        return Finding(CHECK, "fail", told, "asterisk -rx 'core show application Echo'; 'module load app_echo.so'")
    delay, gain = float(np.median([d for d, _ in found])), float(np.median([g for _, g in found]))
    told = (
        f"back after {delay * 1000:.0f} ms (longest {max(d for d, _ in found) * 1000:.0f}), level {gain:+.1f} dB, "
        f"{len(found)} of {len(CHIRPS_AT_S)} chirps, signed linear 16 bit at {heard.rate} Hz"
    )
    state: State = "ok"
    cure = ""
    if len(found) < len(CHIRPS_AT_S) or delay > DELAY_AIM_S:
        state, cure = "warn", "is one of the machines overloaded, or the network between them?"
    if abs(gain) > LOSS_DB:
        state, cure = "warn", "a volume or gain setting in the dialplan: VOLUME(), AGC(), DENOISE()"
    return Finding(CHECK, state, told, cure)


def drift(heard: Heard) -> tuple[float, float] | None:
    """How much faster Asterisk's clock is than ours, and what the measurement may be off by; both in ppm.

    By a straight line through the frames' earliest arrivals, half a second each: a frame can be late, never early.
    """
    if len(heard.arrivals) < 100:
        return None
    at = np.array([time for time, _ in heard.arrivals])
    audio = np.cumsum([len(pcm) / 2 / heard.rate for _, pcm in heard.arrivals])
    late = at - audio
    bins = np.array_split(np.arange(len(at)), max(4, round((at[-1] - at[0]) / 0.5)))
    kept = np.array([int(part[np.argmin(late[part])]) for part in bins if len(part)][1:])
    slope, cut = np.polyfit(at[kept], late[kept], 1)
    rest = late[kept] - (slope * at[kept] + cut)
    error = float(np.std(rest)) / (float(np.std(at[kept])) * np.sqrt(max(1, len(kept) - 2)))
    return -float(slope) * 1e6, 2 * float(error) * 1e6


def clock(heard: Heard) -> Finding:
    check = "clock"
    if heard.trouble or (found := drift(heard)) is None:
        why = heard.trouble or "no steady audio from Milliwatt()"
        return Finding(check, "skip", f"not measured: {why} (module load app_milliwatt.so)")
    ppm, error = found
    gaps = np.diff([at for at, _ in heard.arrivals])
    told = (
        f"Asterisk's audio runs {ppm:+.0f} ppm against our clock (to within {error:.0f}); its frames come every "
        f"{np.median(gaps) * 1000:.0f} ms, p99 {np.percentile(gaps, 99) * 1000:.0f}, longest {gaps.max() * 1000:.0f}"
    )
    if abs(ppm) - error > DRIFT_PPM:
        return Finding(check, "warn", told, "chronyc tracking, timedatectl; in a virtual machine: its clock source")
    return Finding(check, "ok", told)


def own_address(pbx: str) -> str:
    """The address of this machine by which a host reaches it. Nothing is sent."""
    family = socket.AF_INET6 if ":" in pbx else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((pbx, 9))
        return str(probe.getsockname()[0])
