"""What operating a daemon is configured by: `[metrics]`, `[tracing]`, `[control]`, `[web]`, `[log]`, `[service]`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

Kind = Literal["card", "number", "email"]
"""What is taken out of what was said: payment cards' numbers (Luhn), other long numbers (phones,
accounts), addresses."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Metrics(_Strict):
    """`listen`: where Prometheus fetches `/metrics`, "host:port"; "" is only the control socket. Beyond loopback
    `allow` is needed."""

    listen: str = ""
    allow: tuple[str, ...] = ()


class Tracing(_Strict):
    """OpenTelemetry: `endpoint` of a collector (OTLP over HTTP, e.g. "http://127.0.0.1:4318"); "" is none.

    `content`: whether spans carry what was said (redacted); off.
    """

    endpoint: str = ""
    content: bool = False


class Control(_Strict):
    """The daemon's own socket, for `voicebridge calls tail`, the dashboard, `doctor`: a path; None is
    `<store.dir>/control.sock`, "" switches it off."""

    socket: str | None = None


class Web(_Strict):
    """`voicebridge web`. A password (VB_WEB_PASSWORD, else the file, else here) is needed beyond loopback, and
    wanted always.

    `hosts`: names by which browsers reach it, besides localhost, this machine's own and plain addresses, e.g. that of a
    proxy in front of it.
    """

    listen: str = "127.0.0.1:8099"
    allow: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    password: SecretStr = SecretStr("")
    password_file: Path | None = None


class Log(_Strict):
    """`format`: "text", "json", or "auto": to journald with fields where it listens, else text."""

    format: Literal["auto", "text", "json"] = "auto"


class Service(_Strict):
    """`drain_s`: so long running calls may go on after SIGTERM before they go to their fallback.

    `workers_s`: with no engine of a kind that calls need ready for so long, systemd's watchdog is fed no more.
    """

    drain_s: float = Field(default=30.0, ge=0, le=3600)
    workers_s: float = Field(default=60.0, ge=5)
