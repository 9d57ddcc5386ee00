"""doctor on the machine: its clock, limits and memory, who can read secrets, and what is open to the network."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from voicebridge.cli.checks.finding import Finding
from voicebridge.config import Settings, is_loopback, split_address

FILES_A_CALL = 12
"""Descriptors: the leg, three engine connections, a recording, what tools hold; and some."""
LOW_MEMORY = 500_000_000
PROC = Path("/proc")
ASK_S = 5.0


def check(settings: Settings) -> Iterator[Finding]:
    yield open_files(settings, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield memory((PROC / "meminfo").read_text(encoding="ascii") if (PROC / "meminfo").exists() else "")
    yield time_sync(_asked("timedatectl", "show", "--property=NTPSynchronized"))
    yield from secrets(settings)
    yield from exposed(settings)
    yield firewall(settings, _asked("nft", "list", "ruleset"))


def open_files(settings: Settings, limit: int) -> Finding:
    wanted = 100 + FILES_A_CALL * settings.config.listen.max_calls
    if limit < wanted:
        found = f"{limit} open files are allowed; {settings.config.listen.max_calls} calls may need {wanted}"
        return Finding("open files", "warn", found, f"LimitNOFILE={wanted} in the unit, or ulimit -n {wanted}")
    return Finding("open files", "ok", f"{limit} allowed")


def memory(meminfo: str) -> Finding:
    """From /proc/meminfo."""
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in meminfo.splitlines())}
    if "MemAvailable" not in kib:
        return Finding("memory", "skip", "this system does not tell")
    free, swapped = kib["MemAvailable"] * 1024, (kib.get("SwapTotal", 0) - kib.get("SwapFree", 0)) * 1024
    found = f"{free / 1e9:.1f} GB available" + (f", {swapped / 1e9:.1f} GB swapped out" if swapped > 1e8 else "")
    if free < LOW_MEMORY:
        cure = "a smaller model ([engines.options]), fewer calls ([listen] max_calls), or more memory"
        return Finding("memory", "fail" if free < LOW_MEMORY / 4 else "warn", found, cure)
    return Finding("memory", "ok", found)


def time_sync(told: str | None) -> Finding:
    """From `timedatectl show --property=NTPSynchronized`; None where there is none to ask."""
    if told is None or "=" not in told:
        return Finding("time", "skip", "timedatectl does not answer here")
    if told.strip().endswith("=yes"):
        return Finding("time", "ok", "synchronised")
    found = "this machine's clock is not synchronised: records and the PBX's log will not agree"
    return Finding("time", "warn", found, "apt install chrony, or timedatectl set-ntp true")


def secrets(settings: Settings) -> Iterator[Finding]:
    """Files of passwords that others than their owner may read, and passwords in a configuration that others may."""
    config = settings.config
    named = [
        ("ari.password_file", config.ari.password_file if config.ari else None),
        ("ami.password_file", config.ami.password_file if config.ami else None),
        ("web.password_file", config.web.password_file),
        ("handoff.secret_file", config.handoff.secret_file),
        ("the key of callers' numbers", config.store.dir / "caller.key"),
    ]
    files = [(name, path) for name, path in named if path is not None and path.exists()]
    source = Path(settings.source)
    inside = any(login is not None and login.password.get_secret_value() for login in (config.ari, config.ami))
    if source.is_file() and (inside or config.web.password.get_secret_value()):
        files.append(("a password in the configuration", source))
    wrong = [(name, path) for name, path in files if path.stat().st_mode & 0o004]
    for name, path in wrong:
        yield Finding("secrets", "fail", f"{name}: everybody can read {path}", f"chmod o-rwx {path}")
    if not wrong:
        shown = ", ".join(name for name, _ in files)
        yield Finding("secrets", "ok", f"private: {shown}" if files else "none in files")


def exposed(settings: Settings) -> Iterator[Finding]:
    """What else listens than the doors for calls (`exposure` has those)."""
    config = settings.config
    for check, address, allow in (
        ("metrics", config.metrics.listen, config.metrics.allow), ("web", config.web.listen, config.web.allow),
    ):  # fmt: skip
        if not address:
            continue
        if is_loopback(split_address(address)[0]):
            yield Finding(f"{check} exposure", "ok", f"{address}: this machine only")
        elif any(network.endswith("/0") for network in map(str, allow)):
            cure = f'[{check}] allow = ["ADDRESS/32"]'
            yield Finding(f"{check} exposure", "fail", f"{address}: anybody may connect", cure)
        else:
            yield Finding(f"{check} exposure", "ok", f"{address}: for {', '.join(map(str, allow)) or 'nobody'}")


def firewall(settings: Settings, rules: str | None) -> Finding:
    """Whether packets to our ports are filtered, where we listen beyond loopback; by `nft list ruleset`."""
    listen = settings.config.listen
    addresses = [split_address(listen.audiosocket), *([listen.fastagi_address] if listen.fastagi_address else [])]
    open_ones = [f"{host}:{port}" for host, port in addresses if not is_loopback(host)]
    if not open_ones:
        return Finding("firewall", "ok", "nothing of ours can be reached from outside")
    reachable = ", ".join(open_ones)
    if rules is None:
        return Finding("firewall", "skip", f"{reachable} can be reached; nft cannot be asked (are you root?)")
    if "drop" in rules or "reject" in rules:
        return Finding("firewall", "ok", f"rules that drop are in place; {reachable} has its allow-list, too")
    found = f"no rule drops anything; {reachable} is guarded by its allow-list alone"
    return Finding("firewall", "warn", found, "let only the PBX through to it (nft, ufw, or the cloud's rules)")


def _asked(*command: str) -> str | None:
    """What a program prints; None where it is not there or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
