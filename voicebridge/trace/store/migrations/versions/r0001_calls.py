"""Calls with their turns, spans, tools, handoffs and recordings; and that something was erased."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _serial() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, primary_key=True, autoincrement=True)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _float(name: str, *, nullable: bool = True) -> sa.Column[float]:
    return sa.Column(name, sa.Float(53), nullable=nullable)


def _int(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _bool(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _part(table: str, *columns: sa.Column[Any]) -> None:
    """What belongs to a call, numbered in it."""
    op.create_table(
        table,
        sa.Column("call_id", sa.String(36), nullable=False),
        sa.Column("n", sa.Integer, nullable=False, autoincrement=False),
        *columns,
        sa.PrimaryKeyConstraint("call_id", "n", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.call_id"], name=f"fk_{table}_call_id", ondelete="CASCADE"),
    )


def upgrade() -> None:
    _calls()
    _part(
        "turns", _int("turn"), _text("source"), _text("rule"), _float("gap_s"), _text("slow_actor"),
        _bool("cut_off"), _text("caller"), _text("agent"), _text("words"),
    )  # fmt: skip
    _part("spans", _int("turn"), _text("name"), _text("actor"), _float("from_s"), _float("to_s"))
    _part(
        "tool_calls", _int("turn"), _text("tool"), _float("at_s"), _float("ms"), _bool("ok"), _text("cause"),
        _int("attempts"),
    )  # fmt: skip
    _part("handoffs", _int("turn"), _float("at_s"), _text("state"), _text("target"), _text("cause"))
    op.create_table(
        "recordings",
        sa.Column("call_id", sa.String(36), nullable=False),
        _text("node"),
        _text("path"),
        _float("seconds", nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        _int("channels"),
        sa.PrimaryKeyConstraint("call_id", name="pk_recordings"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.call_id"], name="fk_recordings_call_id", ondelete="CASCADE"),
    )
    op.create_table(
        "erasures", _serial(), _float("at", nullable=False), _text("why"), _int("calls"), _int("files"),
    )  # fmt: skip
    op.create_table(
        "leftovers",
        sa.Column("call_id", sa.String(36), nullable=False),
        _text("node"),
        sa.PrimaryKeyConstraint("call_id", "node", name="pk_leftovers"),
    )


def _calls() -> None:
    op.create_table(
        "calls",
        _serial(),
        sa.Column("call_id", sa.String(36), nullable=False),
        _float("began_at", nullable=False),
        _float("seconds", nullable=False),
        _text("agent"),
        _text("caller"),
        sa.Column("caller_key", sa.String(64), nullable=False),
        _text("dialled"),
        _text("outcome"),
        _text("ended_by"),
        _text("target"),
        _text("node"),
        _int("turns"),
        _float("gap_p50"),
        _float("gap_max"),
        _int("problems"),
        _text("document"),
        sa.UniqueConstraint("call_id", name="uq_calls_call_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_calls_began_at", "calls", ["began_at", "id"])
    op.create_index("ix_calls_agent_began_at", "calls", ["agent", "began_at"])
    op.create_index("ix_calls_outcome_began_at", "calls", ["outcome", "began_at"])
    op.create_index("ix_calls_ended_by_began_at", "calls", ["ended_by", "began_at"])
    op.create_index("ix_calls_caller_key", "calls", ["caller_key"])


def downgrade() -> None:
    for table in ("leftovers", "erasures", "recordings", "handoffs", "tool_calls", "spans", "turns", "calls"):
        op.drop_table(table)
