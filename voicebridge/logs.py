"""How we log: text, JSON, or journald's fields. `call=`, `turn=`, `agent=` and `peer=` in a line become fields.

Lines are written through `logging` as ever; structlog makes fields of them where there are to be any. It is loaded
only then: the parent of the daemon is small and stays so.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from structlog.types import EventDict, Processor

    from voicebridge.journal import Journal

Format = Literal["auto", "text", "json"]
TEXT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
UNDER_SYSTEMD: Final = "%(levelname)s %(name)s %(message)s"
"""journald knows when it was."""
VARIABLE: Final = "VOICEBRIDGE_LOG_FORMAT"
"""Tells the parent of the daemon, who reads no configuration."""
CHATTY: Final = ("httpx", "httpcore", "wyoming", "asyncio", "panoramisk", "urllib3", "uvicorn")
FIELDS: Final = re.compile(r"\b(call|turn|agent|peer|channel|tool)=([^\s,;]+)")
IDENTIFIER: Final = "voicebridge"
PRIORITIES: Final = ((50, 2), (40, 3), (30, 4), (20, 6), (0, 7))
"""The lowest of logging's levels for each of syslog's priorities."""


def priority(level: int) -> int:
    """syslog's for one of `logging`'s levels: 3 is an error, 6 information."""
    return next(number for lowest, number in PRIORITIES if level >= lowest)


def to_journal(stream: int, environment: Mapping[str, str]) -> bool:
    """Whether what is written to this descriptor goes to journald (systemd.exec(5), JOURNAL_STREAM)."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    with contextlib.suppress(OSError):
        there = os.fstat(stream)
        return (device, inode) == (str(there.st_dev), str(there.st_ino))
    return False


def fields_of(message: str) -> dict[str, str]:
    """What a line says of whom it is about. The first of a name counts."""
    found: dict[str, str] = {}
    for name, value in FIELDS.findall(message):
        found.setdefault(name, value.rstrip(":"))
    return found


class Prefixed(logging.Formatter):
    """Text with the priority before each line, as sd-daemon(3) has it: "<4>..."."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{priority(record.levelno)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


class JournalHandler(logging.Handler):
    """To journald, with fields."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal
        self.setFormatter(_structured(self._send, _code))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.format(record)
        except Exception:  # noqa: BLE001 - logging's own way: a line that cannot be written fails nobody
            self.handleError(record)

    def _send(self, logger: Any, name: str, event: EventDict) -> str:
        """structlog's last processor."""
        self._journal.send(journal_fields(event))
        return ""


def _code(logger: Any, name: str, event: EventDict) -> EventDict:
    """structlog's processor: where a line was written."""
    record = event["_record"]
    event["code"] = {"FILE": record.pathname, "LINE": str(record.lineno), "FUNC": str(record.funcName)}
    event["priority"] = priority(record.levelno)
    return event


def journal_fields(event: EventDict) -> dict[str, str]:
    """The entry's fields: journald's own names, and VB_CALL, VB_TURN ... for the others."""
    told = dict(event)
    message = "\n".join(filter(None, (str(told.pop("event", "")), told.pop("exception", ""))))
    fields = {"MESSAGE": message, "PRIORITY": str(told.pop("priority")), "SYSLOG_IDENTIFIER": IDENTIFIER}
    fields["LOGGER"] = str(told.pop("logger"))
    fields |= {f"CODE_{name}": value for name, value in told.pop("code").items()}
    told.pop("level", None)
    extra = {f"VB_{name.upper()}": str(value) for name, value in told.items()}
    return fields | {name: value for name, value in extra.items() if re.fullmatch(r"VB_[A-Z0-9_]{1,60}", name)}


def _taken_out(logger: Any, name: str, event: EventDict) -> EventDict:
    """structlog's processor: fields beside the event."""
    for field, value in fields_of(str(event.get("event", ""))).items():
        event.setdefault(field, value)
    return event


def _structured(last: Callable[..., str | bytes], *before: Processor) -> logging.Formatter:
    """Of lines of `logging` and of structlog alike. `before` sees the record, too."""
    import structlog

    shared: list[Processor] = [
        structlog.stdlib.add_logger_name, structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder(), _taken_out,
    ]  # fmt: skip
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            *before, structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info, last,
        ],
    )  # fmt: skip


def _json() -> logging.Formatter:
    import structlog

    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    return _structured(structlog.processors.JSONRenderer(ensure_ascii=False), stamp)


def handler(kind: Format) -> logging.Handler:
    """For standard error, or for journald where that is at its other end."""
    under_systemd = to_journal(2, os.environ)
    if kind == "auto" and under_systemd:
        from voicebridge.journal import Journal

        try:
            return JournalHandler(Journal())
        except OSError:  # it listens to streams only
            pass
    made = logging.StreamHandler(sys.stderr)
    if kind == "json":
        made.setFormatter(_json())
    else:
        made.setFormatter(Prefixed(UNDER_SYSTEMD) if under_systemd else logging.Formatter(TEXT))
    return made


def setup(kind: Format = "auto", level: str = "") -> None:
    """Have the process log like this from now on; "" leaves the level as it is.

    Where somebody else has set up logging (a test, a program that we are part of) it is left to him.
    """
    root = logging.getLogger()
    ours = [one for one in root.handlers if one.name == IDENTIFIER]
    if len(ours) < len(root.handlers):
        return
    made = handler(kind)
    made.name = IDENTIFIER
    for old in ours:
        root.removeHandler(old)
        old.close()
    root.addHandler(made)
    if level:
        root.setLevel(level.upper())
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def setup_small() -> None:
    """For the processes beside the daemon: text, with priorities before it under systemd; JSON where it is wanted."""
    setup("json" if os.environ.get(VARIABLE) == "json" else "text", "info")
