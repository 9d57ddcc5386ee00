"""The tables. The same on SQLite and PostgreSQL; `migrations/` makes and changes them, this is what they are now.

A call is its document, whole, as JSON in `calls.document`; all other columns and tables are taken from it so that calls
can be found and counted. Texts of the tables are without NUL and lone surrogates, which PostgreSQL cannot hold; the
document escapes these.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in an INTEGER.
_Serial = BigInteger().with_variant(Integer(), "sqlite")

calls = Table(
    "calls",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),  # in the order in which they were written
    Column("call_id", String(36), nullable=False, unique=True),
    Column("began_at", Float(53), nullable=False),
    Column("seconds", Float(53), nullable=False),
    Column("agent", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("caller_key", String(64), nullable=False),
    Column("dialled", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("ended_by", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("gap_p50", Float(53)),
    Column("gap_max", Float(53)),
    Column("problems", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Index("ix_calls_began_at", "began_at", "id"),
    Index("ix_calls_agent_began_at", "agent", "began_at"),
    Index("ix_calls_outcome_began_at", "outcome", "began_at"),
    Index("ix_calls_ended_by_began_at", "ended_by", "began_at"),
    Index("ix_calls_caller_key", "caller_key"),
    sqlite_autoincrement=True,
)


def _of_call() -> Column[str]:
    return Column("call_id", String(36), ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True)


def _number() -> Column[int]:
    """Which of its kind in its call, from 0."""
    return Column("n", Integer, primary_key=True, autoincrement=False)


turns = Table(
    "turns",
    metadata,
    _of_call(),
    _number(),
    Column("turn", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("gap_s", Float(53)),
    Column("slow_actor", Text, nullable=False),
    Column("cut_off", Boolean, nullable=False),
    Column("caller", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("words", Text, nullable=False),  # both in one case, for the search
)

spans = Table(
    "spans",
    metadata,
    _of_call(),
    _number(),
    Column("turn", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("from_s", Float(53)),
    Column("to_s", Float(53)),
)

tool_calls = Table(
    "tool_calls",
    metadata,
    _of_call(),
    _number(),
    Column("turn", Integer, nullable=False),
    Column("tool", Text, nullable=False),
    Column("at_s", Float(53)),
    Column("ms", Float(53)),
    Column("ok", Boolean, nullable=False),
    Column("cause", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
)

handoffs = Table(
    "handoffs",
    metadata,
    _of_call(),
    _number(),
    Column("turn", Integer, nullable=False),
    Column("at_s", Float(53)),
    Column("state", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("cause", Text, nullable=False),
)

recordings = Table(
    "recordings",
    metadata,
    Column("call_id", String(36), ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True),
    Column("node", Text, nullable=False),  # on whose disk it is
    Column("path", Text, nullable=False),
    Column("seconds", Float(53), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("channels", Integer, nullable=False),
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("at", Float(53), nullable=False),
    Column("why", Text, nullable=False),  # age, caller, call: never who
    Column("calls", Integer, nullable=False),
    Column("files", Integer, nullable=False),
)

leftovers = Table(
    "leftovers",
    metadata,
    Column("call_id", String(36), primary_key=True),
    Column("node", Text, primary_key=True),  # on whose disk files of an erased call may be; it deletes them
)

PARTS = (turns, spans, tool_calls, handoffs, recordings)
"""What belongs to a call and goes with it."""
