"""`voicebridge calls`: the calls that were: list, show, export. What `tail` and `purge` do stands in their own files."""

from __future__ import annotations

import click


@click.group()
def calls() -> None:
    """The calls that were: find them, see where the time went, take them elsewhere."""
