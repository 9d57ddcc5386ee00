"""Callers' keys: by them a caller's calls are found and erased where his number is not kept.

A key is HMAC-SHA256 of the number under a secret of this installation (`<dir>/caller.key`): who has the database but
not the secret cannot try all numbers. Nodes that share a PostgreSQL must share the secret (copy the file).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from voicebridge.trace.store.owner import handed_over

KEY_FILE = "caller.key"
SECRET_BYTES = 32


def normalised(number: str) -> str:
    """Digits of a number, without the ways in which its international prefix is written; names in lower case."""
    text = number.strip().casefold()
    text = re.sub(r"^(?:sips?|tel):", "", text)
    digits = re.sub(r"[\s()./-]", "", text)
    if found := re.fullmatch(r"(?:\+|00)?(\d+)(?:@.*)?", digits):
        return found[1]
    return text


def caller_key(folder: Path, number: str) -> str:
    """The key of a caller, hexadecimal; "" where no number was told. Makes the secret once. Raises OSError."""
    return _key(_secret(folder / KEY_FILE, make=True), number)


def known_key(folder: Path, number: str) -> str:
    """As `caller_key`, for who only reads: "" too where there is no secret yet, so no caller has a key."""
    try:
        return _key(_secret(folder / KEY_FILE, make=False), number)
    except FileNotFoundError:
        return ""


def fingerprint(folder: Path) -> str:
    """By which two nodes see that they have the same secret; "" where there is none."""
    try:
        return hashlib.sha256(b"fingerprint" + _secret(folder / KEY_FILE, make=False)).hexdigest()[:12]
    except FileNotFoundError:
        return ""


def _key(secret: bytes, number: str) -> str:
    plain = normalised(number)
    return hmac.digest(secret, plain.encode("utf-8", "replace"), "sha256").hex() if plain else ""


def _secret(path: Path, *, make: bool) -> bytes:
    try:
        status = path.stat()
    except FileNotFoundError:
        if not make:
            raise
        _make(path)
        status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_ino)


@functools.lru_cache(maxsize=8)
def _read(path: Path, changed: int, inode: int) -> bytes:
    """The file's time and number are only for the cache: a secret that was replaced is read again."""
    secret = path.read_bytes()
    if len(secret) < SECRET_BYTES:
        raise OSError(
            f"{path} is damaged: it holds {len(secret)} bytes, not {SECRET_BYTES}. Put the saved one back; without "
            "one, delete it: callers of before are then no longer found by their numbers"
        )
    return secret


def _make(path: Path) -> None:
    """Whole from the first moment, and one only, whoever else makes it at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        handed_over(part)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(part)
    finally:
        part.unlink()
