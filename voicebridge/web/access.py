"""Who may look: the password or a one-time link, sessions in a signed cookie, tokens against forged forms.

Nothing of it is kept on disk: a restart logs everybody out.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from itsdangerous import BadSignature, URLSafeTimedSerializer

from voicebridge.config import ConfigError, Network, is_loopback, split_address
from voicebridge.operating import Web

PASSWORD_VARIABLE = "VB_WEB_PASSWORD"  # noqa: S105 - its name
SESSION_S = 12 * 3600
FAILURES = 5
FAILURES_ALL = 50
FAILURES_S = 60.0
"""So many failed logins a client, and all clients together, are heard in so many seconds."""


def password_of(web: Web) -> str:
    """From the environment, else the file, else the configuration; "" where there is none. Raises ConfigError."""
    if value := os.environ.get(PASSWORD_VARIABLE):
        return value
    if web.password_file is None:
        return web.password.get_secret_value()
    try:
        value = web.password_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"web.password_file = {str(web.password_file)!r} cannot be read: {error.strerror}: "
            "make it readable for the user who runs `voicebridge web`"
        ) from error
    except UnicodeDecodeError as error:
        why = "is not UTF-8: is it the right file?"
        raise ConfigError(f"web.password_file = {str(web.password_file)!r} {why}") from error
    if not value:
        raise ConfigError(f"web.password_file = {str(web.password_file)!r} is empty: write the password into it")
    return value


def networks(web: Web) -> tuple[Network, ...]:
    """Loopback and whom the owner allows. Raises ConfigError."""
    found = [ipaddress.ip_network(own) for own in ("127.0.0.0/8", "::1/128")]
    for value in web.allow:
        try:
            found.append(ipaddress.ip_network(value))
        except ValueError as error:
            raise ConfigError(f"web.allow: {error}: write networks, e.g. 192.0.2.0/24 or 2001:db8::/32") from error
    return tuple(found)


def check_exposure(web: Web, password: str) -> None:
    """Refuse to show calls beyond loopback without an allow-list and a password. Raises ConfigError."""
    try:
        host, _ = split_address(web.listen)
    except ValueError as error:
        raise ConfigError(f"web.listen: {error}") from error
    if is_loopback(host):
        return
    lacking = []
    if not password:
        lacking.append(f"a password (in {PASSWORD_VARIABLE}, or in a file: web.password_file)")
    if not web.allow:
        lacking.append('who may connect (e.g. web.allow = ["192.0.2.0/24"])')
    if lacking:
        raise ConfigError(f"web.listen = {web.listen!r} is reachable from outside: give {' and '.join(lacking)}")


def own_names(web: Web) -> frozenset[str]:
    """The host names that we answer to. Addresses are answered to always: only a name can be bound to another address
    behind a browser's back."""
    host, _ = split_address(web.listen)
    return frozenset(name.lower() for name in ("localhost", host, socket.gethostname(), socket.getfqdn(), *web.hosts))


def is_ours(header: str, names: frozenset[str]) -> bool:
    """Whether a `Host` header names us."""
    host = header.strip().lower()
    bare = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
    if bare in names:
        return True
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return True


def allowed(client: str, allow: tuple[Network, ...]) -> bool:
    """Whether a client's address is in one of the networks; IPv4 in IPv6's dress counts as IPv4."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in allow)


@dataclass(frozen=True, slots=True)
class Session:
    """`csrf`: what every form of this session must bring back."""

    name: str
    csrf: str

    def accepts(self, given: str) -> bool:
        return _same(given, self.csrf)


class Throttle:
    """Counts failures a client and of all together over a sliding minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: deque[tuple[float, str]] = deque(maxlen=FAILURES_ALL)

    def wait_s(self, client: str) -> int:
        """Whole seconds until the client is heard again; 0 now."""
        now = self._clock()
        while self._failures and self._failures[0][0] <= now - FAILURES_S:
            self._failures.popleft()
        own = [at for at, name in self._failures if name == client]
        if len(own) >= FAILURES:
            return int(own[-FAILURES] + FAILURES_S - now) + 1
        if len(self._failures) >= FAILURES_ALL:
            return int(self._failures[0][0] + FAILURES_S - now) + 1
        return 0

    def failed(self, client: str) -> None:
        self._failures.append((self._clock(), client))


@dataclass
class Door:
    """Logins and sessions. `announce` is told a new link whenever the one before it was used, without a password."""

    password: str
    announce: Callable[[str], None] = lambda token: None
    throttle: Throttle = field(default_factory=Throttle)

    def __post_init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._cookies = URLSafeTimedSerializer(
            self._key, salt="session", signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._left: dict[str, float] = {}
        self._token = ""
        if not self.password:
            self._renew()

    def _renew(self) -> None:
        self._token = secrets.token_urlsafe(24)
        self.announce(self._token)

    def by_password(self, given: str) -> bool:
        return bool(self.password) and _same(given, self.password)

    def by_token(self, given: str) -> bool:
        """Good once; the next one is announced."""
        if not self._token or not _same(given, self._token):
            return False
        self._renew()
        return True

    def new_cookie(self) -> str:
        return self._cookies.dumps(secrets.token_urlsafe(12))

    def session(self, cookie: str) -> Session | None:
        """None where the cookie is not ours, too old, or its owner has left."""
        try:
            name = self._cookies.loads(cookie, max_age=SESSION_S)
        except BadSignature:
            return None
        if not isinstance(name, str) or name in self._left:
            return None
        return Session(name, hmac.new(self._key, f"csrf {name}".encode(), hashlib.sha256).hexdigest())

    def leave(self, session: Session) -> None:
        now = time.monotonic()
        self._left = {name: at for name, at in self._left.items() if at > now - SESSION_S}
        self._left[session.name] = now


def _same(one: str, other: str) -> bool:
    """In a time that tells nothing, not even the length."""
    return hmac.compare_digest(hashlib.sha256(one.encode()).digest(), hashlib.sha256(other.encode()).digest())
