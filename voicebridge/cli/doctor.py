"""`voicebridge doctor`: what is wrong on this machine, and the cure."""

from __future__ import annotations

from pathlib import Path

import click

from voicebridge.cli.run import config_option, settings_or_exit


@click.command()
@config_option
def doctor(path: Path | None) -> None:
    """Check the configuration."""
    settings = settings_or_exit(path)
    click.echo(f"ok    configuration: {settings.source}")
