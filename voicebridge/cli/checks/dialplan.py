"""Whether a running Asterisk has what our dialplan needs, has our dialplan, and reaches this daemon."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import replace

from voicebridge.cli.checks import listening
from voicebridge.cli.checks.finding import Finding, State
from voicebridge.config import Settings
from voicebridge.pbx.asterisk import shipped
from voicebridge.pbx.asterisk.console import Console, ConsoleError
from voicebridge.protocol.agi import DEFAULT_PORT

OLDEST = 18
TRIED = {22: "22.10.1"}
"""By major version, what our tests have run with (docs/install.md has the table)."""
CONNECT_S = 2.0
APPLICATIONS = {
    "AudioSocket": "app_audiosocket", "TryExec": "app_exec", "AGI": "res_agi", "Gosub": "app_stack",
}  # fmt: skip
FUNCTIONS = {"STACK_PEEK": "app_stack", "DIALPLAN_EXISTS": "func_dialplan", "CHANNEL": "func_channel"}
HANDOFF_APPLICATIONS = {"Queue": "app_queue", "Dial": "app_dial", "Log": "app_verbose"}
HANDOFF_FUNCTIONS = {"CUT": "func_cut", "PJSIP_HEADER": "res_pjsip_header_funcs"}
MODULES = ("res_agi", "app_audiosocket", "res_audiosocket")
RELOAD = "asterisk -rx 'dialplan reload'"
_STEP = re.compile(r"\s*(?:'([^']+)'\s+=>)?\s*(?:\[[^\]\s]+\])?\s*(\d+)\.\s(.*\S)\s+\[[^\]]*\]\s*")


def check(settings: Settings, console: Console) -> Iterator[Finding]:
    """All of it; where Asterisk does not answer, that alone."""
    try:
        yield version(console("core show version"))
        for name in MODULES:
            yield module(console, name)
        yield from needed(console, APPLICATIONS, FUNCTIONS, "fail", "the dialplan needs it")
        yield from needed(console, HANDOFF_APPLICATIONS, HANDOFF_FUNCTIONS, "warn", "voicebridge-handoff needs it")
        yield from contexts(console)
        yield from reached(settings, console("dialplan show globals"))
    except ConsoleError as error:
        found, _, cure = str(error).rpartition(": ")
        yield Finding("asterisk", "fail", found or str(error), cure)
    yield fastagi(settings)
    yield from audiosocket(settings)


def version(told: str) -> Finding:
    found = re.search(r"Asterisk (?:certified/)?(\d+)\.(\S+)", told)
    if found is None:
        return Finding("asterisk", "warn", f"answers, but tells no version: {told.strip()[:60]!r}", "is it Asterisk?")
    if int(found[1]) < OLDEST:
        cure = f"voicebridge is made for Asterisk {OLDEST} and later: upgrade it"
        return Finding("asterisk", "fail", f"version {found[1]}.{found[2]} is too old", cure)
    if int(found[1]) not in TRIED:
        cure = f"nothing, if calls go well: only what Asterisk {OLDEST} has is used; please tell us"
        told = f"version {found[1]}.{found[2]}: voicebridge was tried with {', '.join(TRIED.values())}"
        return Finding("asterisk", "warn", told, cure)
    return Finding("asterisk", "ok", f"version {found[1]}.{found[2]}")


def module(console: Console, name: str) -> Finding:
    told = console(f"module show like {name}")
    row = next((line for line in told.splitlines() if line.startswith(f"{name}.so")), "")
    if "Running" in row and "Not Running" not in row:
        return Finding(f"{name}.so", "ok", "loaded")
    return Finding(f"{name}.so", "fail", "not loaded", load(name))


def load(name: str) -> str:
    return (
        f"asterisk -rx 'module load {name}.so', and in modules.conf: load = {name}.so "
        "(the file comes with Asterisk's modules package)"
    )


def needed(
    console: Console, applications: dict[str, str], functions: dict[str, str], missing: State, why: str
) -> Iterator[Finding]:
    for kind, wanted in (("application", applications), ("function", functions)):
        for name, owner in wanted.items():
            told = console(f"core show {kind} {name}")
            if f"'{name}'" in told or f"{name}(" in told:
                yield Finding(f"{name}()", "ok", "there")
            else:
                yield Finding(f"{name}()", missing, f"not there: {why}", load(owner))


# ---- our contexts


def contexts(console: Console) -> Iterator[Finding]:
    """The main file's are needed; the others' are looked at where they are loaded."""
    for file, text in shipped.files().items():
        for context, wanted in shipped.extensions(text).items():
            loaded = shown(console(f"dialplan show {context}"))
            if not loaded:
                if file == shipped.MAIN:
                    cure = f"voicebridge dialplan install, then {RELOAD}"
                    yield Finding(f"[{context}]", "fail", "not in the running dialplan", cure)
                continue
            if others := shipped.differences(loaded, wanted):
                found = f"not as this version ships it, in {', '.join(others)}"
                cure = f"voicebridge dialplan install (keeps a backup), then {RELOAD}; put your own into other contexts"
                yield Finding(f"[{context}]", "fail", found, cure)
            else:
                yield Finding(f"[{context}]", "ok", f"as {file} has it")


def shown(text: str) -> dict[str, list[str]]:
    """Extension -> its applications, from what `dialplan show CONTEXT` prints; empty where there is no context."""
    found: dict[str, list[str]] = {}
    here: list[str] = []
    for line in text.splitlines():
        if (step := _STEP.fullmatch(line)) is None:
            continue
        if step[1]:
            here = found.setdefault(step[1], [])
        here.append(step[3])
    return found


# ---- addresses


def reached(settings: Settings, told: str) -> Iterator[Finding]:
    """Where the dialplan asks, as far as that is a global variable."""
    found = re.search(r"^\s*VB_FASTAGI=(\S*)", told, re.MULTILINE)
    asked = found[1] if found else f"127.0.0.1:{DEFAULT_PORT}"
    if (address := settings.config.listen.fastagi_address) is None:
        return
    host, port = address
    if asked.rpartition(":")[2] != str(port):
        cure = f"[globals] VB_FASTAGI=HOST:{port} in extensions.conf, or Set() it before the Gosub"
        yield Finding("VB_FASTAGI", "warn", f"the dialplan asks at {asked}, the daemon listens on {host}:{port}", cure)
    else:
        yield Finding("VB_FASTAGI", "ok", f"the dialplan asks at {asked}")


def audiosocket(settings: Settings) -> Iterator[Finding]:
    address = settings.config.listen.audiosocket
    seen = listening.look(settings)
    if seen.holder == "nobody" and seen.port:
        yield Finding("audiosocket", "fail", f"nobody answers on {address}", "start the daemon: voicebridge run")
    elif seen.holder == "nobody":
        yield Finding("audiosocket", "skip", "a free port, another one at each start; attach tells Asterisk which")
    else:
        for finding in listening.port(settings, seen):
            yield replace(finding, check="audiosocket")


def fastagi(settings: Settings) -> Finding:
    """Ask the daemon as Asterisk would."""
    address = settings.config.listen.fastagi_address
    if address is None:
        return Finding("fastagi", "fail", "switched off", '[listen] fastagi = "127.0.0.1:4573" in voicebridge.toml')
    host, port = listening.WILDCARDS.get(address[0], address[0]), address[1]
    at = f"{address[0]}:{port}"
    if port == 0:
        return Finding("fastagi", "skip", "a free port, another one at each start: give it one in [listen] fastagi")
    try:
        with socket.create_connection((host, port), timeout=CONNECT_S) as link:
            link.sendall(b"agi_network: yes\nagi_network_script: ping\n\n")
            told = link.recv(256)
            with contextlib.suppress(OSError):  # it waits for that as it does from Asterisk
                link.sendall(b"200 result=1\n")
    except (ConnectionRefusedError, TimeoutError):
        return Finding("fastagi", "fail", f"nobody answers on {at}", "start the daemon: voicebridge run")
    except OSError as error:
        return Finding("fastagi", "fail", f"{at}: {error.strerror or error}", "is [listen] fastagi right?")
    if b"voicebridge" in told:
        return Finding("fastagi", "ok", f"a voicebridge answers on {at}")
    who = f"ss -ltnp 'sport = :{port}'"
    found = f"{at} hangs up: this address is not in [listen] allow, or it is another program"
    return Finding("fastagi", "warn" if not told else "fail", found, f"{who}; or add this address to [listen] allow")
