"""`voicebridge web`: the dashboard, a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.config import ConfigError, Settings
from voicebridge.trace.store.database import StoreError


@click.command()
@config_option
@click.option("--listen", metavar="HOST:PORT", help="Where browsers connect; beyond loopback a password is needed.")
@click.option("--store", type=click.Path(path_type=Path, file_okay=False), help="Folder where calls are kept.")
def web(path: Path | None, listen: str | None, store: Path | None) -> None:
    """Show live calls, past calls and an overview in a browser.

    Without a password (VB_WEB_PASSWORD, or web.password_file) it prints a link that logs in one browser, once.
    """
    from voicebridge.web.serve import Dashboard

    settings = _overridden(settings_or_exit(path), listen, store)
    try:
        dashboard = Dashboard(settings, lambda text: click.echo(f"voicebridge web: {text}", err=True))
    except (ConfigError, StoreError) as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(2)
    dashboard.serve()


def _overridden(settings: Settings, listen: str | None, store: Path | None) -> Settings:
    config = settings.config
    if listen is not None:
        config = config.model_copy(update={"web": config.web.model_copy(update={"listen": listen})})
    if store is not None:
        config = config.model_copy(update={"store": config.store.model_copy(update={"dir": store})})
    return settings.model_copy(update={"config": config})
