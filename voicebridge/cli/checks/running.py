"""doctor on what runs and what is kept: the daemon behind its control socket, the store, the service's unit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from voicebridge.cli.checks.finding import Finding, State
from voicebridge.config import Settings
from voicebridge.control.client import Control, NoDaemon, Refused
from voicebridge.trace.store.status import Status, status

LATE_MS = 10.0
CALL_BYTES = 40_000
"""A call's record with its spans, about; a recording is 32,000 bytes a second at 8 kHz, both sides."""
RECORDED_S = 180
UNITS = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))


def daemon(settings: Settings) -> Iterator[Finding]:
    """What the running daemon says of itself."""
    try:
        told = Control.of(settings, answer_s=3.0).status()
    except NoDaemon as error:
        yield Finding("daemon", "skip", str(error))
        return
    except Refused as error:
        yield Finding("daemon", "fail", f"the control socket answers, but not as ours does: {error}", "who holds it?")
        return
    yield _serving(told)
    for name, engine in told["engines"].items():
        if engine.get("state") not in ("ready", "", None):
            why = engine.get("last_error") or "no reason told"
            cure = "journalctl -u voicebridge, or the log of voicebridge run; voicebridge engines bench"
            yield Finding(f"engine {name}", "fail", f"is {engine['state']}: {why}", cure)
        elif engine.get("restarts"):
            found = f"ready, but started again {engine['restarts']} times: {engine.get('last_error') or ''}"
            yield Finding(f"engine {name}", "warn", found, "journalctl -u voicebridge | grep worker")
    late = told["clock"].get("late_p99_ms")
    if late is not None:
        state: State = "ok" if late <= LATE_MS else "warn"
        cure = "" if state == "ok" else "something takes its cores: fewer calls, or niceness for what else runs here"
        yield Finding("media clock", state, f"p99 {late:.1f} ms late, at most {told['clock']['late_max_ms']:.0f}", cure)


def _serving(told: dict[str, Any]) -> Finding:
    since = f"{datetime.fromtimestamp(told['started_at']):%Y-%m-%d %H:%M}"
    calls = f"{told['calls']} of {told['max_calls']} calls"
    found = f"version {told['version']}, process {told['pid']}, since {since}; {calls}"
    if told["draining"]:
        return Finding("daemon", "warn", f"{found}; takes no new calls", "it is shutting down, or was told to drain")
    if not told["ready"]:
        return Finding("daemon", "warn", f"{found}; not ready yet", "wait, then: voicebridge status")
    if told["calls"] >= told["max_calls"]:
        return Finding("daemon", "warn", f"{found}: full", "more: [listen] max_calls, if the machine bears it")
    return Finding("daemon", "ok", found)


def store(settings: Settings) -> Iterator[Finding]:
    """The database, what waits for it, and whether the disk will hold what is to be kept."""
    kept = settings.config.store
    try:
        found = status(kept.dir, kept.url)
    except OSError as error:  # the check of folders says it with its cure
        yield Finding("store", "skip", f"{kept.dir}: {error.strerror}")
        return
    if found.problem and not kept.url and not (kept.dir / "calls.db").exists():
        yield Finding("store", "ok", f"{found.where}: will be made by the daemon")
    elif found.problem:
        cure = "calls go on and their records wait in files; voicebridge store status"
        yield Finding("store", "fail", found.problem, cure)
    elif not found.healthy:
        what = f"{found.waiting} records wait in files" + (f", {found.refused} refused" if found.refused else "")
        cure = "a running daemon puts them in; voicebridge store status"
        yield Finding("store", "warn", f"{found.where}: {what}", cure)
    else:
        yield Finding("store", "ok", f"{found.where}: {found.calls} calls, kept for {kept.keep_days} days")
    yield from _room(settings, found)


def _room(settings: Settings, found: Status) -> Iterator[Finding]:
    """What `keep_days` of calls like the last ones will take, against what is free."""
    kept = settings.config.store
    if not found.calls or found.oldest is None or not kept.dir.exists():
        return
    days = max(1.0, (datetime.now().timestamp() - found.oldest) / 86_400)
    a_call = CALL_BYTES + (RECORDED_S * 32_000 if kept.record_audio else 0)
    wanted = found.calls / days * max(0.0, kept.keep_days - days) * a_call
    free = shutil.disk_usage(kept.dir).free
    told = f"{found.calls / days:.0f} calls a day will take {wanted / 1e9:.2g} GB more; {free / 1e9:.1f} GB are free"
    if wanted > 0.8 * free:
        yield Finding("retention", "warn", told, "shorter [store] keep_days, record_audio = false, or a larger disk")
    else:
        yield Finding("retention", "ok", told)


def unit(folders: tuple[Path, ...] = UNITS) -> Finding:
    """Whether it would start with the machine, and be watched."""
    files = [folder / "voicebridge.service" for folder in folders]
    file = next((file for file in files if file.exists()), None)
    if shutil.which("systemctl") is None:
        return Finding("service", "skip", "no systemd here")
    if file is None:
        return Finding("service", "warn", "no unit is installed: nothing starts it with the machine",
                       "voicebridge install-service")  # fmt: skip
    text = file.read_text(encoding="utf-8", errors="replace")
    if "WatchdogSec" not in text:
        return Finding("service", "warn", f"{file} has no WatchdogSec", "voicebridge install-service")
    return Finding("service", "ok", f"{file}, with a watchdog")
