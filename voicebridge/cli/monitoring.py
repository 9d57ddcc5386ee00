"""`voicebridge monitoring dashboard|alerts|scrape`: files for Grafana and Prometheus that come with voicebridge."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import click
import yaml

from voicebridge.cli.run import config_option, settings_or_exit

EXAMPLE = "127.0.0.1:9464"
"""The address in the file as it is shipped."""


def shipped(name: str) -> str:
    return (resources.files("voicebridge") / "data" / "monitoring" / name).read_text(encoding="utf-8")


@click.group()
def monitoring() -> None:
    """Files for Grafana and Prometheus; print them to where these look for theirs."""


@monitoring.command()
@click.option("--json", "as_json", is_flag=True, help="It is JSON in any case.")
def dashboard(as_json: bool) -> None:
    """A Grafana dashboard: Dashboards, New, Import, and paste it."""
    click.echo(shipped("dashboard.json"), nl=False)


@monitoring.command()
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def alerts(as_json: bool) -> None:
    """Alert rules: `voicebridge monitoring alerts > /etc/prometheus/voicebridge-alerts.yml`."""
    _print(shipped("alerts.yml"), as_json)


@monitoring.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def scrape(path: Path | None, as_json: bool) -> None:
    """What to add to prometheus.yml, with the address that the configuration listens on."""
    listen = settings_or_exit(path).config.metrics.listen
    text = shipped("scrape.yml")
    if listen:
        text = text.replace(EXAMPLE, listen)
    else:
        click.echo("voicebridge: metrics.listen is not set: the daemon does not serve metrics yet", err=True)
    _print(text, as_json)


def _print(text: str, as_json: bool) -> None:
    click.echo(json.dumps(yaml.safe_load(text), indent=2) if as_json else text, nl=as_json)
