"""`voicebridge call` and `voicebridge demo`: test calls, and what came of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from voicebridge.audio.resample import resample_segment
from voicebridge.cli.checks.listening import WILDCARDS
from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.cli.sipcall import NO_SOUND, Received, SipOptions, place, record_of, sip_options, told
from voicebridge.cli.testcall import DaemonFailed, demo_lines, running_daemon, wait_for_record
from voicebridge.config import ConfigError, Settings, split_address, state_dir
from voicebridge.conversation.spoken import speak
from voicebridge.engines.base import EngineError, Voice
from voicebridge.phone import Heard, Line, Phone, PhoneError, read_wav
from voicebridge.plugins import PluginError
from voicebridge.trace.render import show_call, summary
from voicebridge.trace.store import CallStore

HUNG_UP = "it is full or shutting down, or this address is not in its [listen] allow (its log says which)"

CALLERS = {"espeak": Voice("en-us+benjamin", "en", 0.75)}
"""Who speaks a text, by the engine's name; others speak with their own voice. Of 36 sentences in this voice, at 8 kHz,
moonshine had 17 % of the words wrong and 19 right throughout; in espeak's default voice 30 % and 12. Thirteen others
were tried on some or all of them, at paces from 0.6 to 1: none was better."""
MADE = (
    "the caller's voice was made by {}: such a voice is understood worse than people are; "
    "a WAV of yours is the better test"
)


@click.command()
@click.argument("lines", nargs=-1, metavar="[WAV|TEXT]...")
@click.option("--to", "address", metavar="HOST:PORT", help="The daemon; without it, that of the configuration.")
@click.option("--rate", type=click.Choice(["8000", "16000"]), default="8000", show_default=True)
@click.option("--barge-in", type=click.FloatRange(min=0), help="Say each line so many seconds into the agent's speech.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Stereo WAV: caller left, agent right.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@sip_options
@config_option
def call(
    lines: tuple[str, ...],
    address: str | None,
    rate: str,
    barge_in: float | None,
    save: Path | None,
    as_json: bool,
    path: Path | None,
    **sip: Any,
) -> None:
    """Call a daemon as the PBX would, over AudioSocket, and say each LINE: a WAV file, or a text (spoken by the
    configured text-to-speech engine). Without lines the greeting is listened to.

    With --sip it is the PBX that is called, as telephones do: its dialplan, its codec and the network are then in what
    is heard and measured.

    A made voice is understood worse than people are: the better test is a WAV of yours, or of your callers.

    The conversation is shown where the daemon keeps its records on this machine.
    """
    console = Console(stderr=as_json, highlight=False)
    settings = settings_or_exit(path)
    options = SipOptions(sip.pop("sip"), **sip)
    made = None
    try:
        options.check(address=address, rate=int(rate))
        spoken = asyncio.run(_spoken(lines, int(rate), barge_in, settings))
        if options.target is not None:
            made = place(options, spoken, _teller(console))
            heard = made.heard
        else:
            host, port = split_address(address) if address else _configured(settings)
            heard = asyncio.run(Phone(host, port, rate=int(rate), on_event=_teller(console)).call(spoken))
        if save is not None:
            heard.save(save)
    except (PhoneError, PluginError, ConfigError, EngineError, ValueError, OSError) as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(1)
    if made is not None:
        _report(console, heard, record_of(settings, made), as_json=as_json, sip=made.received)
    else:
        store = CallStore(settings.config.store.dir, keep_days=0, url=settings.config.store.url)
        _report(console, heard, wait_for_record(store, heard.call_id), as_json=as_json)
    if not all(map(_is_file, lines)):
        console.print(MADE.format(settings.config.engines.chosen("tts")[0].name), markup=False)
    if not heard.arrivals:
        why = NO_SOUND if made is not None else f"{host}:{port} hung up at once: {HUNG_UP}"
        click.echo(f"voicebridge: {why}", err=True)
        sys.exit(1)


def _teller(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(text, style="dim", markup=False)


def _configured(settings: Settings) -> tuple[str, int]:
    """Where the daemon of this configuration can be called. Raises ValueError."""
    host, port = split_address(settings.config.listen.audiosocket)
    if port == 0:
        raise ValueError("[listen] audiosocket is any free port: say --to, the daemon's first lines tell which")
    return WILDCARDS.get(host, host), port


def _is_file(line: str) -> bool:
    return line.endswith(".wav")


@contextlib.contextmanager
def _calm() -> Iterator[None]:
    """An engine's log lines would stand between those of the call; --log-level debug shows them."""
    log = logging.getLogger("voicebridge.engines")
    before = log.level
    if logging.getLogger().level > logging.DEBUG:
        log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)


async def _spoken(lines: Sequence[str], rate: int, barge_in: float | None, settings: Settings) -> list[Line]:
    """Files are read, texts synthesized."""
    made = {text: read_wav(Path(text), rate) for text in lines if _is_file(text)}
    texts = [text for text in lines if text not in made]
    if texts:
        from voicebridge.lineup import make_engine

        choice = settings.config.engines.chosen("tts")[0]
        tts, voice = make_engine(settings, choice), CALLERS.get(choice.plugin, Voice())
        with _calm():
            await tts.start()
            try:
                for text in texts:
                    give_up = time.monotonic() + 20
                    speech = await tts.synthesize(speak(text).text, voice=voice, deadline=give_up, give_up=give_up)
                    made[text] = resample_segment(speech.pcm, speech.rate, rate)
            finally:
                await tts.stop()
    return [Line(Path(text).name if _is_file(text) else text, made[text], barge_in) for text in lines]


def _outside(heard: Heard) -> list[dict[str, Any]]:
    return [
        {
            "line": spoken.line.label,
            "begins_s": round(spoken.begins, 3),
            "gap_s": None if spoken.gap is None else round(spoken.gap, 3),
            "barge_in_stop_s": None
            if spoken.agent_stopped is None
            else round(spoken.agent_stopped - spoken.first_voice, 3),
        }
        for spoken in heard.lines
    ]


def _report(
    console: Console, heard: Heard, record: dict[str, Any] | None, *, as_json: bool, sip: Received | None = None
) -> None:
    if as_json:
        made = {"call_id": heard.call_id, "seconds": round(heard.seconds, 3), "ended_by": heard.ended_by}
        if sip is not None:
            made = {**made, "sip": sip}
        click.echo(json.dumps({**made, "lines": _outside(heard), "record": record}))
        return
    if record is not None:
        show_call(console, record)
    console.print()
    if sip is not None:
        console.print(told(sip), markup=False)
    gaps = [spoken.gap for spoken in heard.lines if spoken.gap is not None]
    console.print(f"response gap on the wire: [bold]{summary(gaps)}[/]")
    if record is None:
        console.print("no record of this call here: the daemon has another store (-c its configuration)")
        return
    answered = [turn for turn in record["turns"] if turn["gap_s"] is not None]
    for source in sorted({turn["source"] for turn in answered}):
        inside = [turn["gap_s"] for turn in answered if turn["source"] == source]
        console.print(f"  the daemon's timeline, by {source}: {summary(inside)}")


# ---- demo


@click.command()
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Where to put the call's recording.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def demo(save: Path | None, as_json: bool) -> None:
    """Start a daemon on loopback with the embedded engines, call it with recorded speech, show the conversation."""
    console = Console(stderr=as_json, highlight=False)
    folder = state_dir() / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    target = save or folder / "call.wav"
    try:
        heard, record = _demo_call(console)
    except DaemonFailed as error:
        click.echo(error.log, err=True)
        click.echo(f"voicebridge: {error}; its log stands above", err=True)
        sys.exit(1)
    except PhoneError as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(1)
    heard.save(target)
    console.print()
    _report(console, heard, record, as_json=as_json)
    console.print(f"listen to it: {target} (caller left, agent right)")
    if record is None or not all(spoken.answer for spoken in heard.lines):
        click.echo("voicebridge: the demo call was not answered in every turn", err=True)
        sys.exit(1)


def _demo_call(console: Console) -> tuple[Heard, dict[str, Any] | None]:
    """Raises DaemonFailed, PhoneError."""
    with contextlib.ExitStack() as stack:
        with console.status("starting the daemon and its engines ..."):
            port, store = stack.enter_context(running_daemon())
        phone = Phone("127.0.0.1", port, on_event=lambda text: console.print(f"  {text}", style="dim", markup=False))
        heard = asyncio.run(phone.call(demo_lines()))
        return heard, wait_for_record(CallStore(store, keep_days=1), heard.call_id)
