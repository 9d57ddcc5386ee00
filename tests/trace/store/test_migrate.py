"""The tables are made by the migrations, once, whoever starts at the same time, and are what the schema says."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from voicebridge.trace.store import NewerStoreError, StoreError, database
from voicebridge.trace.store import migrate as module
from voicebridge.trace.store.link import opened
from voicebridge.trace.store.migrate import HEAD, migrate, revision
from voicebridge.trace.store.schema import metadata


def engine_of(folder: Path, url: str):
    address = database.address(folder, url)
    if database.is_sqlite(address):
        database.make_file(address)
    return database.writing(address)


def test_migrations_lead_to_the_tables_of_the_schema(url, tmp_path):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = engine_of(tmp_path, url)
    assert migrate(engine) is True
    assert migrate(engine) is False
    with engine.connect() as connection:
        assert revision(connection) == HEAD
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_version_that_is_expected_is_the_newest_of_the_migrations():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == HEAD
    assert [made.revision for made in script.walk_revisions()] == ["0001"]


def test_the_tables_can_be_taken_away_again(url, tmp_path):
    from voicebridge.trace.store.migrations.versions import r0001_calls

    engine = engine_of(tmp_path, url)
    migrate(engine)
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        r0001_calls.downgrade()
    with engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}


def test_daemons_that_start_at_once_migrate_one_after_the_other(url, tmp_path):
    gate, results = threading.Barrier(4), []

    def start() -> None:
        engine = engine_of(tmp_path, url)
        gate.wait()
        try:
            results.append(migrate(engine))
        except (StoreError, database.DBAPIError) as error:
            results.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == ["False", "False", "False", "True"]


def test_a_migration_that_fails_changes_nothing(url, tmp_path):
    engine = engine_of(tmp_path, url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE erasures (id integer)"))  # in the way of the last of the tables
    with pytest.raises(database.DBAPIError):
        migrate(engine)
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["erasures"]


def test_tables_of_a_later_version_are_refused(url, tmp_path):
    engine = engine_of(tmp_path, url)
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    with pytest.raises(NewerStoreError, match="version 0999.*up to 0001.*run the later voicebridge"):
        migrate(engine)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("mysql://x@y/z", "mysql is not supported: write postgresql://"),
        ("nonsense", "not a database's address"),
        ("postgresql://u:secret@h:x/d", "not a database's address"),
    ],
)
def test_a_database_that_is_none_of_ours_is_refused_with_the_cure(tmp_path, url, text):
    with pytest.raises(StoreError, match=text), opened(tmp_path, url):
        pass


def test_a_password_is_not_shown():
    assert "geheim" not in database.shown(database.address(Path(), "postgresql://me:geheim@db/calls"))
