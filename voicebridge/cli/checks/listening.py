"""Where calls come in: who may connect, and who holds the port."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from voicebridge.audio.pcm import frame_bytes
from voicebridge.cli.checks.finding import Finding
from voicebridge.config import Listen, Settings, is_loopback, split_address
from voicebridge.protocol.audiosocket import audio_frame

CONNECT_S = 1.0
LISTEN_S = 1.0
WIDE = 1 << 16
"""Addresses of one allowed public network; more are hardly PBXs."""
PBX = "ADDRESS-OF-THE-PBX/32"
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound: what to call instead

_SILENCE = audio_frame(bytes(frame_bytes(8_000)), 8_000)

Holder = Literal["nobody", "voicebridge", "guarded", "other", "unusable"]


@dataclass(frozen=True, slots=True)
class Port:
    """Who holds an address. `guarded`: hangs up at once, and our own address is not in the allow-list."""

    host: str
    port: int
    holder: Holder
    detail: str = ""


def exposure(settings: Settings) -> Iterator[Finding]:
    listen = settings.config.listen
    host, _ = split_address(listen.audiosocket)
    local = is_loopback(host)
    outside = [str(network) for network in listen.allow if not network.is_loopback]
    allowed = ", ".join(map(str, listen.allow))
    if local and outside:
        found = f"{listen.audiosocket} takes no calls from outside, though {', '.join(outside)} may call"
        yield Finding("exposure", "warn", found, '[listen] audiosocket = "ADDRESS-OF-THIS-MACHINE:PORT"')
    elif local:
        yield Finding("exposure", "ok", f"{listen.audiosocket}: this machine only")
    elif any(network.prefixlen == 0 for network in listen.allow):
        found = f"{listen.audiosocket}: anybody may call ({allowed})"
        yield Finding("exposure", "fail", found, f'[listen] allow = ["{PBX}"]')
    elif wide := [str(network) for network in listen.allow if network.is_global and network.num_addresses > WIDE]:
        found = f"{listen.audiosocket}: very many public addresses may call ({', '.join(wide)})"
        yield Finding("exposure", "warn", found, f'[listen] allow = ["{PBX}"]')
    elif not outside:
        found = f"{listen.audiosocket} is reachable, but only loopback may call: a PBX elsewhere is refused"
        yield Finding("exposure", "warn", found, f'[listen] allow = ["{PBX}"], or listen on {Listen().audiosocket}')
    else:
        yield Finding("exposure", "ok", f"{listen.audiosocket}: calls from {allowed}")


def look(settings: Settings) -> Port:
    """Connect and listen: a voicebridge sends a frame of silence within 20 ms, before it is told anything."""
    listen = settings.config.listen
    host, port = split_address(listen.audiosocket)
    to = WILDCARDS.get(host, host)
    if port == 0:
        return Port(to, port, "nobody", "any free port")
    try:
        with socket.create_connection((to, port), timeout=CONNECT_S) as link:
            own = link.getsockname()[0]
            came = _first_frame(link)
    except (ConnectionRefusedError, TimeoutError):
        return _bindable(to, host, port)
    except OSError as error:
        return Port(to, port, "unusable", error.strerror or str(error))
    if came == _SILENCE:
        return Port(to, port, "voicebridge")
    if came is None and not any(ipaddress.ip_address(own) in network for network in listen.allow):
        return Port(to, port, "guarded", own)
    return Port(to, port, "other", "answers, but not as a voicebridge does" if came else "accepts but says nothing")


def _first_frame(link: socket.socket) -> bytes | None:
    """What comes first, at most a frame; None where the peer hangs up without a word."""
    came = b""
    link.settimeout(LISTEN_S)
    with suppress(TimeoutError):
        while len(came) < len(_SILENCE):
            try:
                more = link.recv(len(_SILENCE) - len(came))
            except ConnectionError:
                more = b""
            if not more:
                return came or None
            came += more
    return came


def _bindable(to: str, host: str, port: int) -> Port:
    """Nobody answers: can the address be had?"""
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            return Port(to, port, "other" if taken else "unusable", "takes no calls" if taken else str(error.strerror))
    return Port(to, port, "nobody")


def port(settings: Settings, seen: Port) -> Iterator[Finding]:
    address = settings.config.listen.audiosocket
    who = f"ss -ltnp 'sport = :{seen.port}'"
    match seen.holder:
        case "nobody":
            yield Finding("port", "ok", f"{address} is free; no daemon runs there")
        case "voicebridge":
            yield Finding("port", "ok", f"a voicebridge serves on {address}")
        case "guarded":
            found = f"{address} hangs up on {seen.detail}: a voicebridge that does not allow it, or another program"
            yield Finding("port", "warn", found, f'add "{seen.detail}" to [listen] allow; who it is: {who}')
        case "other":
            found = f"{address} is held by another program, or by a voicebridge that hangs: it {seen.detail}"
            yield Finding("port", "fail", found, f"{who}, or another port: voicebridge run --listen HOST:PORT")
        case "unusable":
            cure = "ip -brief address; [listen] audiosocket must be an address of this machine, port 1024 or above"
            yield Finding("port", "fail", f"{address} cannot be used: {seen.detail}", cure)
