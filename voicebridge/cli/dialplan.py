"""`voicebridge dialplan print|install|check`: what Asterisk must know of us."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console as Screen

from voicebridge.cli.checks import dialplan as checks
from voicebridge.cli.checks.finding import timed
from voicebridge.cli.doctor import exit_code, line, verdict
from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.config import ConfigError, Settings
from voicebridge.pbx.asterisk import shipped
from voicebridge.pbx.asterisk.ami import PASSWORD_VARIABLE, access_of
from voicebridge.pbx.asterisk.console import Console, ConsoleError, by_ami, by_program, parsed_access

ETC = Path("/etc/asterisk")
NOTES = {
    "asterisk": """\
Save this as /etc/asterisk/voicebridge.conf (`voicebridge dialplan install` does all of it), add to extensions.conf
    #include "voicebridge.conf"
and reload: asterisk -rx 'dialplan reload'. Then call it from your own dialplan, as the comments below show.""",
    "freepbx": """\
Save this as /etc/asterisk/voicebridge.conf (`voicebridge dialplan install` does all of it), add to
extensions_custom.conf (extensions.conf is written anew by FreePBX)
    #include "voicebridge.conf"
and reload: fwconsole reload. Then, in the web interface: Admin, Custom Destinations, Add:
    Target: voicebridge-agent,desk,1       (desk: the agent's name in voicebridge.toml)
    Return: Yes, and a Destination: where callers go whom the agent did not hang up on, or whom none could be given.
An inbound route, an IVR key or a time condition may now lead to it. To let the targets of voicebridge.toml decide,
add to extensions_custom.conf, and take from-voicebridge,s,1 as the Destination behind the return (a second one):
    [from-voicebridge]
    exten => s,1,Set(VB_NOBODY=from-internal,200,1)
     same => n,Goto(voicebridge-handoff,s,1)
A FreePBX queue or extension is an extension in voicebridge.toml:
    [targets.sales]
    extension = "600"
    context = "from-internal"
""",
}


@click.group()
def dialplan() -> None:
    """The Asterisk dialplan that comes with voicebridge: print, install, check."""


@dialplan.command("print")
@click.option("--for", "pbx", type=click.Choice(sorted(NOTES)), default="asterisk", show_default=True,
              help="Whose notes stand above it.")  # fmt: skip
@click.option("--file", "name", default=shipped.MAIN, show_default=True, help="Which of the files.")
@click.option("--json", "as_json", is_flag=True, help="Print {notes, files: {name: text}}, of all files.")
def print_(pbx: str, name: str, as_json: bool) -> None:
    """Print the dialplan, and what to do with it."""
    files = shipped.files()
    if as_json:
        click.echo(json.dumps({"notes": NOTES[pbx], "files": files}))
        return
    if name not in files:
        click.echo(f"voicebridge: no file {name!r}; there are: {', '.join(files)}", err=True)
        sys.exit(2)
    click.echo("".join(f"; {note}\n" for note in NOTES[pbx].splitlines()) + "\n" + files[name], nl=False)


@dialplan.command()
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), default=ETC, show_default=True,
              help="Asterisk's configuration.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of {file, change, what, backup}.")
def install(folder: Path, dry_run: bool, as_json: bool) -> None:
    """Put the files where Asterisk reads them and include them; what is changed is kept as a backup.

    On FreePBX the include goes into extensions_custom.conf. A second run changes nothing.
    """
    try:
        steps = list(shipped.install(folder, dry_run=dry_run))
    except shipped.InstallError as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps([asdict(step) for step in steps]))
        return
    for step in steps:
        kept = f" (before: {step.backup})" if step.backup else ""
        click.echo(f"{step.change:<9}  {step.file}: {step.what}{kept}")
    if not dry_run and any(step.change != "unchanged" for step in steps):
        reload = "fwconsole reload" if shipped.is_freepbx(folder) else checks.RELOAD
        click.echo(f"now: {reload}, then: voicebridge dialplan check")


@dialplan.command()
@config_option
@click.option("--asterisk", "program", metavar="COMMAND",
              help="How Asterisk's program is run; `-rx` is added. Without it and --ami: asterisk.")  # fmt: skip
@click.option("--ami", metavar="USER[:SECRET]@HOST[:PORT]",
              help=f"Ask over AMI instead; the secret better in {PASSWORD_VARIABLE}.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of {check, state, found, cure, seconds}.")
def check(path: Path | None, program: str | None, ami: str | None, as_json: bool) -> None:
    """Ask the running Asterisk what is missing. Exit code 1 when something is."""
    settings = settings_or_exit(path)
    screen = Screen(highlight=False, soft_wrap=True, quiet=as_json)
    try:
        console = chosen(settings, program, ami)
    except (ConsoleError, ConfigError) as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(2)
    findings = []
    for finding in timed(checks.check(settings, console)):
        findings.append(finding)
        screen.print(line(finding))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        screen.print(verdict(findings))
    sys.exit(exit_code(findings))


def chosen(settings: Settings, program: str | None, ami: str | None) -> Console:
    """How to ask: as told, else by the program where there is one, else as [ami] says. Raises ConsoleError."""
    if ami is not None:
        return by_ami(parsed_access(ami, os.environ.get(PASSWORD_VARIABLE, "")))
    if program is not None:
        return by_program(program)
    if shutil.which("asterisk") is None and (access := access_of(settings.config)) is not None:
        return by_ami(access)
    return by_program()
