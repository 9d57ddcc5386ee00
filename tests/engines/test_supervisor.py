"""The supervisor with small real child processes that serve a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from voicebridge.engines.supervisor import Supervisor, Worker, WorkerSpec, worker_environment

# Answers every line with the line; "quit" ends it. Says its niceness and environment when asked.
CHILD = """
import os, socketserver, sys
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            word = line.decode().strip()
            if word == "quit":
                os._exit(3)
            answer = {"nice": str(os.nice(0)), "secret": os.environ.get("DB_PASSWORD", "-"),
                      "threads": os.environ["OMP_NUM_THREADS"]}.get(word, word)
            self.wfile.write(answer.encode() + b"\\n")
class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
print("WARNING about to serve", flush=True)
Server(sys.argv[1], Echo).serve_forever()
"""


async def ask(path: Path, word: str) -> str:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(word.encode() + b"\n")
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()


def spec_for(path: Path, **changes: object) -> WorkerSpec:
    async def probe() -> bool:
        return await ask(path, "ping") == "ping"

    values: dict[str, object] = {
        "name": "echo",
        "argv": [sys.executable, "-c", CHILD, str(path)],
        "probe": probe,
        "socket": path,
        "nice": 3,
        "probe_every_s": 0.1,
        "probe_timeout_s": 0.3,
        "probe_misses": 2,
    }
    return WorkerSpec(**(values | changes))  # type: ignore[arg-type]


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextlib.asynccontextmanager
async def running(spec: WorkerSpec) -> AsyncIterator[Worker]:
    worker = Worker(spec)
    worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


async def test_starts_with_niceness_threads_and_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    path = tmp_path / "echo.sock"
    async with running(spec_for(path, env={"OMP_NUM_THREADS": "2"})) as worker:
        assert await worker.wait_ready(15)
        assert worker.pid is not None
        assert worker.restarts == 0
        assert int(await ask(path, "nice")) == min(19, os.nice(0) + 3)
        assert await ask(path, "secret") == "-"
        assert await ask(path, "threads") == "2"


async def test_killed_worker_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    states: list[str] = []
    async with running(spec_for(path)) as worker:
        worker.on_change.append(lambda w: states.append(w.state))
        assert await worker.wait_ready(15)
        first = worker.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: worker.restarts == 1 and worker.ready)
        assert worker.pid != first
        assert "SIGKILL" in worker.last_error
        assert await ask(path, "hello") == "hello"
        assert states == ["starting", "ready", "pausing", "starting", "ready"]


async def test_crashes_in_a_row_are_spaced_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    real = asyncio.sleep

    async def sleep(delay: float) -> None:
        if delay >= 0.15:  # probes sleep less here
            pauses.append(delay)
        await real(min(delay, 0.01))

    monkeypatch.setattr("voicebridge.engines.supervisor.asyncio.sleep", sleep)
    spec = spec_for(tmp_path / "none.sock", argv=[sys.executable, "-S", "-c", "raise SystemExit(7)"])
    async with running(spec) as worker:
        await until(lambda: worker.restarts >= 7)
        assert not worker.ready
        assert worker.last_error == "exited with status 7"
    assert pauses[:6] == [0.2, 0.5, 1.0, 2.0, 5.0, 5.0]


async def test_stopped_worker_is_killed_and_restarted(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    async with running(spec_for(path)) as worker:
        assert await worker.wait_ready(15)
        first = worker.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        await until(lambda: worker.restarts == 1 and worker.ready)
        assert not alive(first)
        assert "probes" in worker.last_error
        assert await ask(path, "hello") == "hello"


async def test_worker_that_never_serves_is_told_and_killed(tmp_path: Path) -> None:
    spec = spec_for(
        tmp_path / "x.sock", argv=[sys.executable, "-c", "import time; time.sleep(99)"], start_timeout_s=0.3
    )
    async with running(spec) as worker:
        await until(lambda: worker.pid is not None)
        first = worker.pid
        assert first is not None
        assert await worker.wait_ready(0.05) is False
        await until(lambda: worker.restarts >= 1)
        assert "not ready after" in worker.last_error
        assert not alive(first)


async def test_program_that_does_not_exist(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(spec_for(tmp_path / "x.sock", argv=["/nonexistent/engine"])) as worker:
        await until(lambda: worker.restarts >= 1)
        assert not worker.ready
        assert worker.last_error.startswith("exited with status 127: cannot run /nonexistent/engine")
        await until(lambda: "cannot run /nonexistent/engine" in caplog.text)


async def test_stop_leaves_no_process_and_no_socket(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + CHILD
    supervisor = Supervisor()
    soft = supervisor.add(spec_for(path))
    hard = supervisor.add(
        spec_for(
            tmp_path / "b.sock", name="b", argv=[sys.executable, "-c", stubborn, str(tmp_path / "b.sock")]
        )
    )
    with pytest.raises(ValueError, match="already"):
        supervisor.add(spec_for(path))
    await until(lambda: soft.pid is not None and hard.pid is not None)
    pids = [soft.pid, hard.pid]
    await soft.wait_ready(15)
    await until(lambda: (tmp_path / "b.sock").exists())
    await supervisor.stop()
    assert not any(alive(pid) for pid in pids if pid)
    assert [soft.state, hard.state] == ["stopped", "stopped"]
    assert not path.exists()
    assert not supervisor.workers


async def test_output_goes_to_the_log_at_its_level(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(spec_for(tmp_path / "echo.sock")) as worker:
        assert await worker.wait_ready(15)
        await until(lambda: "about to serve" in caplog.text)
    record = next(r for r in caplog.records if "about to serve" in r.getMessage())
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "worker echo: about to serve"


async def test_workers_die_with_their_daemon(tmp_path: Path) -> None:
    """SIGKILL to the daemon leaves no worker behind."""
    daemon = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from voicebridge.engines.supervisor import Worker, WorkerSpec
        async def main():
            async def probe(): return True
            argv = [sys.executable, "-c", "import time; time.sleep(60)"]
            worker = Worker(WorkerSpec("sleeper", argv, probe))
            worker.start()
            await worker.wait_ready(10)
            print(worker.pid, flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
    """)
    process = subprocess.Popen([sys.executable, "-c", daemon], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert alive(pid)
    process.kill()
    process.wait()
    process.stdout.close()
    await until(lambda: not alive(pid))


def test_environment_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARI_PASSWORD", "x")
    monkeypatch.setenv("LANG", "C.UTF-8")
    env = worker_environment({"OMP_NUM_THREADS": "4"})
    assert "ARI_PASSWORD" not in env
    assert env["LANG"] == "C.UTF-8"
    assert env["OMP_NUM_THREADS"] == "4"
