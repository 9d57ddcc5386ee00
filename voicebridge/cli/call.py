"""`voicebridge call` and `voicebridge demo`: test calls, and what came of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from voicebridge.audio.resample import resample_segment
from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.config import DEFAULT_PORT, split_address, state_dir
from voicebridge.phone import Heard, Line, Phone, PhoneError, read_wav
from voicebridge.trace.render import show_call, summary
from voicebridge.trace.store import CallStore

RECORD_WAIT_S = 3.0
READY_WAIT_S = 90.0


@click.command()
@click.argument("lines", nargs=-1, metavar="[WAV|TEXT]...")
@click.option("--to", "address", default=f"127.0.0.1:{DEFAULT_PORT}", show_default=True, metavar="HOST:PORT")
@click.option("--rate", type=click.Choice(["8000", "16000"]), default="8000", show_default=True)
@click.option("--barge-in", type=click.FloatRange(min=0), help="Say each line so many seconds into the agent's speech.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Stereo WAV: caller left, agent right.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@config_option
def call(
    lines: tuple[str, ...],
    address: str,
    rate: str,
    barge_in: float | None,
    save: Path | None,
    as_json: bool,
    path: Path | None,
) -> None:
    """Call a daemon as the PBX would, over AudioSocket, and say each LINE: a WAV file, or a text (spoken by the
    configured text-to-speech engine). Without lines the greeting is listened to.

    The conversation is shown where the daemon keeps its records on this machine.
    """
    console = Console(stderr=as_json, highlight=False)
    try:
        host, port = split_address(address)
        spoken = asyncio.run(_spoken(lines, int(rate), barge_in, path))
        heard = asyncio.run(
            Phone(host, port, rate=int(rate), on_event=lambda text: console.print(text, style="dim")).call(spoken)
        )
    except (PhoneError, ValueError) as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(1)
    if save is not None:
        heard.save(save)
    store = CallStore(settings_or_exit(path).config.store.dir, keep_days=0)
    _report(console, heard, _record(store, heard.call_id), as_json=as_json)
    if not heard.arrivals:
        sys.exit(1)


async def _spoken(lines: Sequence[str], rate: int, barge_in: float | None, config: Path | None) -> list[Line]:
    """Files are read, texts synthesized."""
    made = {text: read_wav(Path(text), rate) for text in lines if text.endswith(".wav")}
    texts = [text for text in lines if text not in made]
    if texts:
        from voicebridge import plugins

        tts = plugins.load("tts", settings_or_exit(config).config.engines.tts).create({})
        await tts.start()
        try:
            from voicebridge.conversation.spoken import speak
            from voicebridge.engines.base import Voice

            for text in texts:
                give_up = time.monotonic() + 20
                speech = await tts.synthesize(speak(text).text, voice=Voice(), deadline=give_up, give_up=give_up)
                made[text] = resample_segment(speech.pcm, speech.rate, rate)
        finally:
            await tts.stop()
    return [Line(Path(text).name if text.endswith(".wav") else text, made[text], barge_in) for text in lines]


def _record(store: CallStore, call_id: str) -> dict[str, Any] | None:
    """The daemon writes it when the call has ended; None where it keeps its store elsewhere."""
    until = time.monotonic() + RECORD_WAIT_S
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return store.read(call_id)
        time.sleep(0.05)
    return None


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


def _report(console: Console, heard: Heard, record: dict[str, Any] | None, *, as_json: bool) -> None:
    if as_json:
        made = {"call_id": heard.call_id, "seconds": round(heard.seconds, 3), "ended_by": heard.ended_by}
        click.echo(json.dumps({**made, "lines": _outside(heard), "record": record}))
        return
    if record is not None:
        show_call(console, record)
    console.print()
    gaps = [spoken.gap for spoken in heard.lines if spoken.gap is not None]
    console.print(f"response gap, measured outside the daemon from the frames on the wire: [bold]{summary(gaps)}[/]")
    if record is not None:
        for source in ("rule", "line", "model"):
            inside = [t["gap_s"] for t in record["turns"] if t["gap_s"] is not None and t["source"] == source]
            if inside:
                console.print(f"  by the daemon's own timeline, answered by {source}: {summary(inside)}")


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
    with _daemon(console) as (port, state):
        try:
            heard = asyncio.run(
                Phone("127.0.0.1", port, on_event=lambda text: console.print(f"  {text}", style="dim")).call(_demo_lines())
            )
        except PhoneError as error:
            click.echo(f"voicebridge: {error}", err=True)
            sys.exit(1)
        record = _record(CallStore(state, keep_days=1), heard.call_id)
    heard.save(target)
    console.print()
    _report(console, heard, record, as_json=as_json)
    console.print(f"listen to it: {target} (caller left, agent right)")
    if record is None or not all(spoken.answer for spoken in heard.lines):
        click.echo("voicebridge: the demo call was not answered in every turn", err=True)
        sys.exit(1)


def _demo_lines() -> list[Line]:
    with resources.as_file(resources.files("voicebridge") / "data" / "demo") as folder:
        table = tomllib.loads((folder / "demo.toml").read_text(encoding="utf-8"))
        return [
            Line(entry["text"], read_wav(folder / entry["file"], 8_000), entry.get("barge_in_s"))
            for entry in table["line"]
        ]


@contextlib.contextmanager
def _daemon(console: Console) -> Iterator[tuple[int, Path]]:
    """`voicebridge run` as a process of its own, with a store of its own; yields its port and its store."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="voicebridge-demo-") as state:
        log = Path(state) / "daemon.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "voicebridge", "run", "--listen", f"127.0.0.1:{port}"],
                env={**os.environ, "VOICEBRIDGE_STATE": state, "STATE_DIRECTORY": state},
                stderr=sink,
                stdout=sink,
            )
        try:
            with console.status("starting the daemon and its engines ..."):
                _await_port(process, port, log)
            yield port, Path(state)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            if process.poll() is None:
                process.kill()


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + READY_WAIT_S
    while time.monotonic() < until:
        if process.poll() is not None:
            click.echo(log.read_text(errors="replace"), err=True)
            click.echo(f"voicebridge: the daemon ended with {process.returncode}; its log stands above", err=True)
            sys.exit(1)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return
        time.sleep(0.05)
    click.echo(f"voicebridge: the daemon was not ready within {READY_WAIT_S:.0f} s; its log: {log}", err=True)
    sys.exit(1)


