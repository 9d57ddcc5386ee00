"""The `voicebridge` command."""

from __future__ import annotations

import os
from importlib import metadata

import click

from voicebridge import logs
from voicebridge.cli.call import call, demo
from voicebridge.cli.calls import calls
from voicebridge.cli.dialplan import dialplan
from voicebridge.cli.doctor import doctor
from voicebridge.cli.engines import engines
from voicebridge.cli.export import export
from voicebridge.cli.load import load
from voicebridge.cli.measure import measure_command
from voicebridge.cli.models import models
from voicebridge.cli.monitoring import monitoring
from voicebridge.cli.plugins import plugins
from voicebridge.cli.purge import purge
from voicebridge.cli.replay import replay
from voicebridge.cli.report import report
from voicebridge.cli.run import run
from voicebridge.cli.scenarios import test
from voicebridge.cli.service import install_service, uninstall_service, upgrade_service
from voicebridge.cli.status import reload, status
from voicebridge.cli.store import store
from voicebridge.cli.tail import tail
from voicebridge.cli.web import web


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(metadata.version("voicebridge-pbx"), prog_name="voicebridge")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default=lambda: os.environ.get("VOICEBRIDGE_LOG", "info"),
    show_default="info, or VOICEBRIDGE_LOG",
    help="What is logged to standard error: ids and timings, never what was said.",
)
def main(log_level: str) -> None:
    """A voice agent for your PBX, on your own machines."""
    logs.setup("auto", log_level)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script: `voicebridge completion bash > /etc/bash_completion.d/voicebridge`."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main, {}, "voicebridge", "_VOICEBRIDGE_COMPLETE").source())


for command in (
    run, call, calls, demo, dialplan, doctor, engines, load, measure_command, models, monitoring, plugins, replay,
    reload, report, status, store, test, web,
):  # fmt: skip
    main.add_command(command)
for command in (export, purge, tail):
    calls.add_command(command)
for command in (install_service, uninstall_service, upgrade_service):
    main.add_command(command)
