"""Where the control socket is, for the daemon and its clients alike, and how it is taken."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path

from voicebridge.config import Config

NAME = "control.sock"
LONGEST = 107
"""Bytes of a socket's path (sun_path has 108, with a zero at the end: unix(7))."""
BACKLOG = 64
LOOK_S = 1.0


class Taken(Exception):  # noqa: N818 - a state of the world, not a mistake
    """A living daemon listens there."""


def socket_path(config: Config) -> Path | None:
    """`[control] socket`, else `<store.dir>/control.sock`; None where it is switched off.

    A relative path is below `store.dir`. Where the path is too long for a socket: a short one of its own in a folder
    of the temporary folder, named by who owns the store, whoever asks.
    """
    if config.control.socket == "":
        return None
    wanted = (config.store.dir / (config.control.socket or NAME)).expanduser().absolute()
    if len(os.fsencode(wanted)) <= LONGEST:
        return wanted
    short = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"voicebridge-{_owner(config.store.dir)}" / f"{short}.sock"


def _owner(folder: Path) -> int:
    try:
        return folder.stat().st_uid
    except OSError:
        return os.getuid()


def listening(path: Path) -> socket.socket:
    """A socket that listens at the path, for us and our user alone. What a dead daemon left there is replaced.

    Raises Taken, and OSError where it cannot be. Blocks for a moment.
    """
    if answers(path):
        raise Taken(path)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.parent.parent == Path(tempfile.gettempdir()):
        _check_private(path.parent)
    part = path.with_name(f".{os.getpid()}")
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        made.bind(str(part))
        part.chmod(0o600)
        made.listen(BACKLOG)
        made.setblocking(False)
        part.replace(path)  # in one step: there is never none, nor one that others may open
    except OSError:
        made.close()
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return made


def answers(path: Path) -> bool:
    """Whether somebody listens at the path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(LOOK_S)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # its queue is full
        except TimeoutError:
            return True
        except OSError:
            return False
    return True


def identity(path: Path) -> tuple[int, int] | None:
    """By which a socket is known again; None where there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else None


def _check_private(folder: Path) -> None:
    """In a folder that all may write to somebody else may have been there first."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, os.getuid()) or found.st_mode & 0o077:
        raise PermissionError(1, f"{folder} is not a folder of ours alone: remove it, or set [control] socket")
