"""Both databases: an SQLite file a test, and one PostgreSQL server for the session, emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.trace.store.server import Server, programs, serving


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg", reason="pip install 'voicebridge-pbx[postgres]'")
    tools = programs()
    if tools is None:
        pytest.skip("no PostgreSQL here: apt install postgresql")
    with serving(tools) as made:
        yield made


@pytest.fixture
def postgres(server: Server) -> str:
    """The address of an empty database."""
    import psycopg

    address = server.url.replace("+psycopg", "")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return server.url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """`[store] url`: each test on both."""
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres")
