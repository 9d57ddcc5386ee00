"""doctor on the Asterisk that is to send us calls: its version, modules, our dialplan, who leads there, the audio."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

from voicebridge.cli.checks import audioloop, dialplan
from voicebridge.cli.checks.finding import Finding, Tell
from voicebridge.config import ConfigError, Settings, is_loopback
from voicebridge.pbx.asterisk import shipped
from voicebridge.pbx.asterisk.ami import access_of
from voicebridge.pbx.asterisk.console import Console, ConsoleError, by_ami, by_program

LEADS = re.compile(r"^\s*(?:'([^']+)'\s+=>)?.*?\d+\.\s+(?:Gosub|GosubIf|Goto|GotoIf|AGI|Stasis)\((.*)\)")
CONTEXT = re.compile(r"^\[ Context '([^']+)'")
OURS = re.compile(r"(?:^|[?:,(])voicebridge(?:-agent|-ari)?,|agi://[^)]*/attach|^voicebridge(?:,|$)")


def check(settings: Settings, program: str | None, tell: Tell, *, audio: bool) -> Iterator[Finding]:
    """`program`: how its console is asked; without one the program `asterisk` where there is one, else AMI.

    `audio`: whether the loop is measured, which takes ten seconds.
    """
    try:
        found = chosen(settings, program)
    except (ConsoleError, ConfigError) as error:
        yield Finding("asterisk", "fail", str(error), "see [ami] in voicebridge.toml, or --asterisk COMMAND")
        return
    if found is None:
        why = "no Asterisk on this machine, and no [ami] to ask one elsewhere"
        yield Finding("asterisk", "skip", why)
        return
    console, host = found
    try:
        told = dialplan.version(console("core show version"))
        yield told
        if told.state != "fail":
            yield from _needed(console)
            yield from dialplan.reached(settings, console("dialplan show globals"))
            yield led(console("dialplan show"))
    except ConsoleError as error:
        yield Finding("asterisk", "fail", str(error), "systemctl status asterisk; may this user ask it? (--asterisk)")
        return
    if audio:
        yield from audioloop.check(console, host, tell)


def chosen(settings: Settings, program: str | None) -> tuple[Console, str] | None:
    """The console, and the address by which that Asterisk reaches this machine; None where there is none.

    Raises ConsoleError, ConfigError.
    """
    advertised = settings.config.listen.advertise
    access = access_of(settings.config)
    if program is None and shutil.which("asterisk") is None and access is not None:
        loopback = is_loopback(access.host)
        return by_ami(access), advertised or ("127.0.0.1" if loopback else audioloop.own_address(access.host))
    if program is None and shutil.which("asterisk") is None:
        return None
    return by_program(program or "asterisk"), "127.0.0.1"


def _needed(console: Console) -> Iterator[Finding]:
    """What is missing, each by itself; what is there in one line."""
    found = [
        *(dialplan.module(console, name) for name in dialplan.MODULES),
        *dialplan.needed(
            console, dialplan.APPLICATIONS, dialplan.FUNCTIONS, "fail", "the dialplan needs it"
        ),
        *dialplan.contexts(console),
    ]
    faulty = [finding for finding in found if finding.state != "ok"]
    yield from faulty
    if not faulty:
        names = ", ".join(finding.check for finding in found)
        yield Finding("dialplan", "ok", f"{len(found)} of {len(found)} that calls need: {names}")


def led(shown: str) -> Finding:
    """Whether any extension leads to the agent, from what `dialplan show` prints."""
    own = {context for text in shipped.files().values() for context in shipped.extensions(text)}
    context = extension = ""
    found: list[str] = []
    for line in shown.splitlines():
        if begins := CONTEXT.match(line):
            context, extension = begins[1], ""
        elif step := LEADS.match(line):
            extension = step[1] or extension
            if context not in own and OURS.search(step[2]):
                found.append(f"{extension}@{context}")
        elif named := re.match(r"^\s*'([^']+)'\s+=>", line):
            extension = named[1]
    found = list(dict.fromkeys(found))
    if not found:
        cure = "exten => 100,1,Gosub(voicebridge,s,1(AGENT)), see the README; then: dialplan reload"
        return Finding("extensions", "warn", "no extension of the dialplan leads to an agent", cure)
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return Finding("extensions", "ok", f"{', '.join(found[:5])}{more} lead to an agent")
