"""A daemon that does nothing but live as it is told: `toy.py FOLDER LIFE...`, a LIFE for each start, the last for ever.

A LIFE is words joined by commas, done in order. Each start is noted in FOLDER/starts as "pid time".
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

EVERY_S = 0.05


def main() -> None:
    folder, lives = Path(sys.argv[1]), sys.argv[2:]
    with (folder / "starts").open("a") as starts:
        starts.write(f"{os.getpid()} {time.monotonic()}\n")
    number = len((folder / "starts").read_text().splitlines()) - 1
    fd = int(os.environ["VOICEBRIDGE_HEARTBEAT"])
    for deed in lives[min(number, len(lives) - 1)].split(","):
        do(deed, fd, folder)


def beat(fd: int, phase: bytes, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        os.write(fd, phase)
        time.sleep(EVERY_S)


def do(deed: str, fd: int, folder: Path) -> None:
    name, _, value = deed.partition(":")
    match name:
        case "load":  # seconds without a beat, as an import takes them
            time.sleep(float(value))
        case "start":
            beat(fd, b"s", float(value))
        case "serve":
            os.write(fd, b"r")
            beat(fd, b"t", float(value or 3600))
        case "end":
            beat(fd, b"e", float(value))
        case "lame":  # serves, and says that nobody can be understood
            os.write(fd, b"r<no engine is ready for: stt\n")
            beat(fd, b"l", float(value or 3600))
        case "say":  # in words, cut in two as a pipe may do
            os.write(fd, b"t<" + value[:3].encode())
            time.sleep(0.1)
            os.write(fd, value[3:].encode() + b"\n")
        case "answer":  # as after a reload
            os.write(fd, b"r")
        case "mute":  # lives, and its media clock does not tick
            time.sleep(3600)
        case "close":
            os.close(fd)
            time.sleep(3600)
        case "obey":  # SIGTERM ends it well after a moment, with 0; SIGHUP is noted
            signal.signal(signal.SIGTERM, lambda number, frame: (beat(fd, b"e", 0.2), sys.exit(0)))
            signal.signal(signal.SIGINT, lambda number, frame: sys.exit(7))
            signal.signal(signal.SIGHUP, lambda number, frame: (folder / "hup").touch())
        case "exit":
            sys.exit(int(value))
        case "kill":
            os.kill(os.getpid(), getattr(signal, value))
            time.sleep(10)
        case "leave":  # at SIGTERM it finishes its calls first
            def finish(number: int, frame: object) -> None:
                beat(fd, b"t", float(value))
                beat(fd, b"e", 0.2)
                sys.exit(0)

            signal.signal(signal.SIGTERM, finish)
        case "environment":
            (folder / "environment").write_text("\n".join(f"{name}={text}" for name, text in os.environ.items()))


if __name__ == "__main__":
    main()
