"""Peers that break AudioSocket in every way we could think of, each made from a seed and a number alone."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from voicebridge.protocol import audiosocket as wire

STUCK_S = 10.0
"""A stream that the server should have ended and has not by then is a failure."""
DEAF_S = 0.4
"""So long a peer that never reads stays when it has sent all."""

Ending = Literal["close", "reset", "half-close", "wait", "deaf"]
SHARED_IDS = tuple(uuid.UUID(int=n) for n in range(1, 4))


@dataclass(frozen=True)
class Stream:
    """What one peer sends, piece by piece, and how it goes: `wait` until the server closes, `deaf` never reads."""

    kind: str
    pieces: tuple[bytes, ...]
    pause_s: float
    ending: Ending


def _raw(kind: int, payload: bytes, size: int | None = None) -> bytes:
    return struct.pack(">BH", kind, len(payload) if size is None else size) + payload


def _hello(rng: random.Random) -> bytes:
    shared = rng.random() < 0.1
    return wire.uuid_frame(rng.choice(SHARED_IDS) if shared else uuid.UUID(int=rng.getrandbits(128)))


def _audio(rng: random.Random) -> bytes:
    rate = rng.choice((8_000, 8_000, 8_000, 16_000, rng.choice(sorted(wire.AUDIO_RATES.values()))))
    size = rng.choice((rate // 50, rate // 50, rng.randrange(0, rate // 10)))
    pcm = rng.choice((rng.randbytes(2 * size), bytes(2 * size), rng.randbytes(2) * size))
    return wire.audio_frame(pcm[:0xFFFE], rate)


def _good_frames(rng: random.Random, most: int = 40) -> list[bytes]:
    frames = [_audio(rng) for _ in range(rng.randrange(most))]
    for _ in range(rng.randrange(4)):
        frames.insert(rng.randint(0, len(frames)), wire.dtmf_frame(rng.choice(sorted(wire.DIGITS))))
    if rng.random() < 0.5:
        frames.append(wire.hangup_frame())
    return frames


def _session(rng: random.Random) -> bytes:
    return _hello(rng) + b"".join(_good_frames(rng))


def _rubbish(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 2, 3, 18, 19, 20, rng.randrange(2_000), rng.randrange(100_000))))


def _truncated(rng: random.Random) -> bytes:
    data = _session(rng)
    return data[: rng.randrange(len(data))]


def _flipped(rng: random.Random) -> bytes:
    data = bytearray(_session(rng))
    for _ in range(rng.randint(1, 20)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _spliced(rng: random.Random) -> bytes:
    """Bytes lost or doubled, so that what follows is read out of step."""
    data = _session(rng)
    a, b = sorted(rng.randrange(len(data)) for _ in range(2))
    return data[:a] + data[b:] if rng.random() < 0.5 else data[:b] + data[a:]


def _wrong_sizes(rng: random.Random) -> bytes:
    kind = rng.choice((0x00, 0x01, 0x03, 0xFF, *wire.AUDIO_RATES))
    bad = _raw(kind, rng.randbytes(rng.randrange(400)), rng.choice((None, rng.randrange(0x1_0000))))
    return (_hello(rng) if rng.random() < 0.8 else b"") + b"".join(_good_frames(rng, 5)) + bad


def _unknown(rng: random.Random) -> bytes:
    frames = [_raw(rng.randrange(256), rng.randbytes(rng.choice((0, 5, rng.randrange(0x1_0000))))) for _ in range(8)]
    return _hello(rng) + b"".join(frames)


def _twice(rng: random.Random) -> bytes:
    return _hello(rng) + b"".join(_good_frames(rng, 4)) + _hello(rng)


def _headless(rng: random.Random) -> bytes:
    return b"".join(_good_frames(rng, 10))


def _other_protocol(rng: random.Random) -> bytes:
    return rng.choice((b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"SSH-2.0-x\r\n", b"OPTIONS sip:a\r\n"))


def _nothing(rng: random.Random) -> bytes:
    return b""


KINDS: dict[str, Callable[[random.Random], bytes]] = {
    "session": _session,
    "rubbish": _rubbish,
    "truncated": _truncated,
    "flipped bits": _flipped,
    "spliced": _spliced,
    "wrong sizes": _wrong_sizes,
    "unknown kinds": _unknown,
    "two call ids": _twice,
    "no call id": _headless,
    "other protocol": _other_protocol,
    "nothing": _nothing,
}


def make_stream(seed: int, number: int) -> Stream:
    rng = random.Random(f"{seed}:{number}")
    kind = rng.choice(sorted(KINDS))
    data = KINDS[kind](rng)
    count = rng.choice((1, 1, 2, 5, 30))
    edges = sorted({0, len(data), *(rng.randint(0, len(data)) for _ in range(count - 1))})
    pieces = tuple(data[a:b] for a, b in zip(edges, edges[1:], strict=False))
    endings: tuple[Ending, ...] = ("close", "close", "reset", "half-close", "wait", "deaf")
    return Stream(kind, pieces, rng.choice((0.0, 0.0, 0.002, 0.02)), rng.choice(endings))


async def play(stream: Stream, port: int) -> str:
    """Be that peer. Returns who ended it: `server` or `peer`; `stuck` where the server had to and did not."""
    loop, peer = asyncio.get_running_loop(), socket.socket()
    peer.setblocking(False)
    if stream.ending == "deaf":
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    await loop.sock_connect(peer, ("127.0.0.1", port))
    reader = loop.create_task(_read_to_end(peer, deaf=stream.ending == "deaf"))
    try:
        async with asyncio.timeout(STUCK_S):
            ended = await _send(stream, peer, reader)
            if not ended and stream.ending == "half-close":
                with contextlib.suppress(OSError):
                    peer.shutdown(socket.SHUT_WR)
            if stream.ending == "deaf":
                await asyncio.sleep(0.0 if ended else DEAF_S)
            elif ended or stream.ending in ("half-close", "wait"):
                await reader
                ended = True
    except TimeoutError:
        return "stuck"
    finally:
        reader.cancel()
        await asyncio.wait([reader])
        if stream.ending == "reset":
            with contextlib.suppress(OSError):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
    return "server" if ended else "peer"


async def _read_to_end(peer: socket.socket, *, deaf: bool) -> None:
    if deaf:
        await asyncio.Event().wait()
    with contextlib.suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(peer, 65_536):
            pass


async def _send(stream: Stream, peer: socket.socket, reader: asyncio.Task[None]) -> bool:
    """True where the server closed before all was sent."""
    for piece in stream.pieces:
        if reader.done():
            return True
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(peer, piece), STUCK_S / 2)
        except OSError:  # reset by the server (a TimeoutError is one too, and then the reader tells)
            return not isinstance(sys.exception(), TimeoutError)
        await asyncio.sleep(stream.pause_s)
    return False
