"""Calls arriving all the time while the service is restarted: who is refused, who is lost, how long who waits.

    python -m bench.restart                     # the unit's rules without systemd: we hold the sockets
    python -m bench.restart --unit              # voicebridge.service of a systemd that runs here (tests/service)

A real Asterisk and SIPp; every caller dials the shipped dialplan. A call is *refused* where attach did not give it an
agent, *lost* where it ended without its caller's doing and not at the fallback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from bench.machine import machine
from tests.pbx import corpus, sipp
from tests.pbx.asterisk import Asterisk
from tests.pbx.caller import Caller
from tests.pbx.install import provide

ROOT = Path(__file__).parents[1]
PATIENCE_S = 60.0
"""So long a caller waits for the first word."""
WAYS = ("handover", "restart", "kill")
AGENT = 'name = "desk"\ngreeting = "Hello, this is the desk."\nmodel_scope = "none"\n'
CONFIG = """default_agent = "desk"
[store]
dir = "{folder}/calls"
[engines]
llm = ""
embed = ""
[service]
drain_s = {drain}
"""


@dataclass
class Called:
    """What came of one call. Seconds: `at` since the first call, `waited` for the first word."""

    at: float
    before: bool = False
    """Whether it was on when the service was restarted."""
    waited: float | None = None
    end: str = ""
    """finished (its caller hung up), fallback, refused, lost."""


class Service(Protocol):
    agi: str

    def act(self, way: str) -> None: ...


@dataclass
class Held:
    """The unit's rules as systemd would keep them: we hold the sockets, start the service, and start it again."""

    folder: Path
    drain_s: float
    agi: str = ""
    _doors: list[socket.socket] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Held:
        (self.folder / "agents").mkdir(parents=True)
        (self.folder / "agents" / "desk.toml").write_text(AGENT)
        (self.folder / "voicebridge.toml").write_text(CONFIG.format(folder=self.folder, drain=self.drain_s))
        self._doors = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(2)]
        self.agi = f"127.0.0.1:{self._doors[1].getsockname()[1]}"
        self._start()
        self._until("ready after")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
        for door in self._doors:
            door.close()

    def _start(self) -> None:
        """With LISTEN_FDS from 3 on, as sd_listen_fds(3) has them; the shell knows the process id that they need."""
        names = "audiosocket:fastagi"
        moved = " ".join(f"{3 + at}<&{each.fileno()}" for at, each in enumerate(self._doors))
        inner = f'LISTEN_FDS=2 LISTEN_FDNAMES={names} LISTEN_PID=$$ exec "$@" {moved}'
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                ["bash", "-c", inner, "bash", sys.executable, "-m", "voicebridge", "run", "-c",
                 str(self.folder / "voicebridge.toml")],
                pass_fds=[each.fileno() for each in self._doors], stdout=output, stderr=output, cwd=ROOT,
            )  # fmt: skip

    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    def _until(self, text: str, times: int = 1) -> None:
        until = time.monotonic() + 90
        while self.output().count(text) < times:
            if time.monotonic() > until:
                raise TimeoutError(f"no {text!r}:\n{self.output()[-3000:]}")
            time.sleep(0.1)

    def act(self, way: str) -> None:
        """Blocks until a daemon is ready again."""
        process, ready = self._process, self.output().count("ready after")
        assert process is not None
        if way == "handover":
            process.send_signal(signal.SIGUSR2)
        elif way == "restart":
            process.send_signal(signal.SIGTERM)
            process.wait(self.drain_s + 60)
            self._start()
        else:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGKILL)
        self._until("ready after", ready + 1)


class Unit:
    """The service of a systemd that runs here, at its usual addresses."""

    agi = "127.0.0.1:4573"

    def act(self, way: str) -> None:
        if way == "handover":
            subprocess.run(["systemctl", "kill", "--kill-whom=main", "-s", "USR2", "voicebridge"], check=True)
        elif way == "restart":
            subprocess.run(["systemctl", "restart", "voicebridge"], check=True)
        else:
            subprocess.run(["systemctl", "kill", "-s", "KILL", "voicebridge"], check=True)


async def call(asterisk: Asterisk, service: Service, folder: Path, hold_s: float, began: float) -> Called:
    made = Called(time.monotonic() - began)
    caller = Caller(asterisk, service.agi, folder, extension="targets")
    try:
        await caller.begin()
        if await caller.until_spoken_to(limit_s=PATIENCE_S):
            made.waited = caller.voice_after(0.0)
        ended = await caller.until_ended(limit_s=hold_s)
    except sipp.SippError:
        ended = True
    finally:
        try:
            await caller.end()
        except sipp.SippError:
            ended = True
    steps = dict(await asyncio.to_thread(asterisk.steps, caller.id))
    made.end = judged(steps, ended, made.waited is not None)
    return made


def judged(steps: dict[str, str], ended: bool, spoken_to: bool) -> str:
    """By the dialplan's own log: `status` is what attach said, `done` the end of the fallback."""
    if steps.get("status", "OK") != "OK":
        return "refused"
    if not ended and spoken_to:
        return "finished"
    return "fallback" if steps.get("returned") == "FALLBACK" and "done" in steps else "lost"


async def crowd(
    asterisk: Asterisk, service: Service, way: str, *, seconds: float, every_s: float, hold_s: float, at_s: float
) -> list[Called]:
    """A call every so often; in the middle of it the service is dealt with."""
    began, tasks = time.monotonic(), []
    acting: asyncio.Future[None] | None = None
    with tempfile.TemporaryDirectory() as folder:
        while (now := time.monotonic() - began) < seconds:
            tasks.append(asyncio.create_task(call(asterisk, service, Path(folder), hold_s, began)))
            if acting is None and now >= at_s:
                acting = asyncio.ensure_future(asyncio.to_thread(service.act, way))
            await asyncio.sleep(every_s)
        calls = await asyncio.gather(*tasks)
        if acting is not None:
            await acting
    for each in calls:
        each.before = at_s - hold_s < each.at < at_s
    return list(calls)


def told(way: str, calls: Sequence[Called]) -> str:
    new = [each for each in calls if not each.before]
    waits = sorted(each.waited for each in new if each.waited is not None)
    ends = Counter(each.end for each in calls)
    running = Counter(each.end for each in calls if each.before)
    if not waits:
        return f"| {way} | {len(calls)} | nobody was served |"
    return (
        f"| {way} | {len(calls)} | {ends['refused']} | {ends['lost']} | "
        f"{running['finished']} finished, {running['fallback']} fallback | "
        f"{waits[len(waits) // 2]:.1f} / {waits[-1]:.1f} |"
    )


def main(progress: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unit", action="store_true", help="the service of a running systemd")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--every", type=float, default=1.0)
    parser.add_argument("--hold", type=float, default=6.0)
    parser.add_argument("--drain", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    sipp.ANSWER_S = PATIENCE_S
    install = provide(progress)
    results: dict[str, list[Called]] = {}
    crowded = {
        "seconds": wanted.seconds, "every_s": wanted.every, "hold_s": wanted.hold, "at_s": wanted.seconds / 3,
    }  # fmt: skip
    for way in wanted.ways.split(","):
        with Asterisk(install, corpus.prompts(install)["all-circuits-busy-now"].path) as asterisk:
            progress(f"{way}: a call every {wanted.every:g} s for {wanted.seconds:g} s")
            if wanted.unit:
                results[way] = asyncio.run(crowd(asterisk, Unit(), way, **crowded))
                continue
            with tempfile.TemporaryDirectory() as folder, Held(Path(folder) / "service", wanted.drain) as held:
                results[way] = asyncio.run(crowd(asterisk, held, way, **crowded))
    print(f"{json.dumps(machine())}\n")
    print("| way | calls | refused | lost | running at that moment | wait p50 / longest, s |")
    print("|---|---|---|---|---|---|")
    for way, calls in results.items():
        print(told(way, calls))
    if wanted.json:
        wanted.json.write_text(json.dumps({way: [asdict(each) for each in calls] for way, calls in results.items()}))
    return int(any(each.end in ("refused", "lost") for way in results if way != "kill" for each in results[way]))


if __name__ == "__main__":
    sys.exit(main())
