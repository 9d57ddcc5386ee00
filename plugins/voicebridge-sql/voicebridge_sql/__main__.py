"""`python -m voicebridge_sql create shop.db schema.sql seed.sql`: make an SQLite database of SQL files."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import click


@click.group()
def main() -> None:
    """Help with databases for voicebridge's agents."""


@main.command()
@click.argument("database", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace a database that is there.")
def create(database: Path, files: tuple[Path, ...], force: bool) -> None:
    """Make the SQLite file DATABASE by running FILES, one after the other."""
    if database.exists() and not force:
        click.echo(f"{database} is there already: name another, or say --force", err=True)
        sys.exit(2)
    part = database.with_name(f".{database.name}.part")
    part.unlink(missing_ok=True)
    connection = sqlite3.connect(part)
    at = files[0]
    try:
        for at in files:
            connection.executescript(at.read_text(encoding="utf-8"))
        connection.close()
        part.replace(database)
    except (OSError, UnicodeDecodeError, sqlite3.Error) as error:
        click.echo(f"{at}: {error}", err=True)
        sys.exit(2)
    finally:
        connection.close()
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
