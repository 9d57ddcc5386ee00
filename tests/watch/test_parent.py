"""The watching parent with real processes: a toy daemon that crashes, freezes, ends; the clock's limits shortened."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.processes import alive, wait_until
from tests.watch import toy

TOY = str(Path(toy.__file__))
DRIVER = """
import json, logging, sys
from voicebridge.watch.notify import Notify
from voicebridge.watch.parent import LOG_FORMAT, Limits, Watcher
from voicebridge.watch.sockets import Sockets
from voicebridge.watch.sweeper import NoSweeper, ProcessSweeper
logging.basicConfig(level="INFO", format=LOG_FORMAT)
limits, sweep, *argv = sys.argv[1:]
sys.exit(Watcher(
    argv,
    sweeper=ProcessSweeper([sys.executable, "-c", sweep], told=b"where it is") if sweep else NoSweeper(),
    notify=Notify.taken(),
    limits=Limits(**json.loads(limits)),
    sockets=Sockets.taken(),
).run())
"""
QUICK = {
    "spawn": 5.0, "starting": 3.0, "serving": 0.8, "ending": 3.0, "first_pause": 0.1, "longest_pause": 0.4,
    "healthy": 1.0,
}
Shortened = dict[str, float]
SOON_S = 10.0
"""What is only a matter of a moment has so long on a machine with much to do."""


class Watched:
    """A parent with a toy below it."""

    def __init__(
        self, folder: Path, *lives: str, limits: Shortened = QUICK, sweep: str = "", door: socket.socket | None = None,
        **env: str,
    ) -> None:
        if door is not None:
            env["VOICEBRIDGE_SOCKETS"] = f"fastagi={door.fileno()}"
        self.folder = folder
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", DRIVER, json.dumps(limits), sweep, sys.executable, TOY, str(folder), *lives],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **env},
                pass_fds=() if door is None else (door.fileno(),),
            )

    def starts(self) -> list[tuple[int, float]]:
        """(pid, time.monotonic()) of each life so far."""
        file = self.folder / "starts"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(pid), float(at)) for pid, at in (line.split() for line in lines if len(line.split()) == 2)]

    def pid(self, life: int) -> int:
        """Of the nth life, once it has begun."""
        self.until(lambda: len(self.starts()) > life)
        return self.starts()[life][0]

    def until(self, done: Callable[[], bool]) -> None:
        assert wait_until(done, SOON_S), self.output()

    def until_said(self, text: str) -> None:
        self.until(lambda: text in self.output())

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def code(self) -> int:
        return self.process.wait(SOON_S)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def make(*lives: str, **options: str) -> Watched:
        made.append(Watched(tmp_path, *lives, **options))
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.wait()
        for pid, _ in one.starts():
            assert wait_until(lambda pid=pid: not alive(pid), SOON_S), "a daemon outlived its parent"


# ---- ends


def test_an_end_of_its_own_is_the_end_of_all(watched):
    one = watched("serve:0.3,end:0.1,exit:0")
    assert one.code() == 0
    assert len(one.starts()) == 1


def test_an_exit_with_0_in_the_middle_of_serving_is_a_crash(watched):
    one = watched("serve:0.3,exit:0", "serve")
    one.until_said("exit code 0; starting it again")
    one.pid(1)
    assert one.process.poll() is None


def test_a_configuration_that_cannot_be_used_is_not_tried_again(watched):
    one = watched("start:0.2,exit:2")
    assert one.code() == 2
    assert len(one.starts()) == 1


def test_one_that_has_served_is_started_again_even_if_its_configuration_has_become_bad(watched):
    one = watched("serve:0.2,exit:1", "exit:2", "exit:2", "serve")
    one.until_said("exit code 1")
    one.pid(3)
    assert one.output().count("exit code 2") == 2
    assert one.process.poll() is None


# ---- crashes


def test_a_crash_is_told_with_its_signal_and_another_daemon_starts_at_once(watched):
    one = watched("serve:0.2,kill:SIGSEGV", "serve")
    one.pid(1)
    one.until_said("ready after")
    assert "killed by SIGSEGV; starting it again in 0.1 s" in one.output()
    (_, first), (_, second) = one.starts()
    assert second - first < 5.0


def test_a_kill_from_outside_is_a_crash(watched):
    one = watched("serve")
    os.kill(one.pid(0), signal.SIGKILL)
    assert one.pid(1) != one.pid(0)
    assert "killed by SIGKILL" in one.output()


def test_pauses_double_up_to_the_longest_and_it_never_gives_up(watched):
    one = watched("exit:3")
    one.pid(5)
    paused = re.findall(r"exit code 3; starting it again in ([\d.]+) s", one.output())
    assert paused[:5] == ["0.1", "0.2", "0.4", "0.4", "0.4"]
    times = [at for _, at in one.starts()]
    for (before, after), pause in zip(zip(times, times[1:], strict=False), paused, strict=False):
        assert after - before >= float(pause)


def test_who_served_for_a_while_starts_with_the_shortest_pause_again(watched):
    one = watched("exit:3", "exit:3", "serve:1.3,exit:4", "serve")
    one.pid(3)
    assert re.findall(r"exit code (\d); starting it again in ([\d.]+) s", one.output()) == [
        ("3", "0.1"), ("3", "0.2"), ("4", "0.1"),
    ]


def test_a_program_that_is_not_there_is_an_exit_code_and_tried_again(tmp_path):
    output = tmp_path / "output"
    with output.open("wb") as sink:
        argv = [sys.executable, "-c", DRIVER, json.dumps(QUICK), "", "/nowhere/daemon"]
        process = subprocess.Popen(argv, stderr=sink)
    try:
        assert wait_until(lambda: output.read_text().count("exit code 127") >= 2, SOON_S)
        assert "cannot run /nowhere/daemon" in output.read_text()
    finally:
        process.kill()
        process.wait()


# ---- freezes


def test_a_stopped_daemon_is_killed_and_replaced(watched):
    one = watched("serve")
    one.until_said("ready after")
    frozen = one.pid(0)
    os.kill(frozen, signal.SIGSTOP)
    began = time.monotonic()
    one.pid(1)
    assert 0.8 < time.monotonic() - began < SOON_S
    assert not alive(frozen)
    assert re.search(r"frozen: no heartbeat for [\d.]+ s; starting it again in 0.1 s", one.output())


def test_a_process_whose_media_clock_stands_is_frozen_too(watched):
    one = watched("serve:0.3,mute", "serve")
    one.pid(1)
    assert "frozen" in one.output()


def test_a_heartbeat_that_is_closed_is_one_that_is_missing(watched):
    one = watched("serve:0.2,close", "serve")
    one.pid(1)
    assert "frozen" in one.output()


def test_loading_without_a_heartbeat_is_no_freeze(watched):
    one = watched("load:1.2,start:0.1,load:1.2,serve")
    one.until_said("ready after")
    assert len(one.starts()) == 1
    assert "frozen" not in one.output()


def test_loading_for_ever_is_one(watched):
    one = watched("mute", "start:0.1,mute", "serve", limits={**QUICK, "spawn": 1.0, "starting": 1.0})
    one.pid(2)
    assert one.output().count("frozen: no heartbeat") >= 2


def test_time_in_which_the_parent_itself_stood_still_does_not_count(watched):
    one = watched("serve")
    one.until_said("ready after")
    for pid in (one.pid(0), one.process.pid):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(2.0)  # more than twice the limit
    for pid in (one.process.pid, one.pid(0)):
        os.kill(pid, signal.SIGCONT)
    time.sleep(1.5)
    assert alive(one.pid(0))
    assert "frozen" not in one.output()


# ---- signals


def test_sigterm_lets_the_daemon_finish_and_its_end_is_ours(watched):
    one = watched("obey,serve")
    one.until_said("ready after")
    one.process.terminate()
    assert one.code() == 0
    assert len(one.starts()) == 1


def test_sigint_is_passed_on_and_the_exit_code_of_the_daemon_is_ours(watched):
    one = watched("obey,serve")
    one.until_said("ready after")
    one.process.send_signal(signal.SIGINT)
    assert one.code() == 7


def test_sigterm_while_it_starts_ends_it_well(watched):
    one = watched("start:60")
    one.pid(0)
    one.process.terminate()
    assert one.code() == 0
    assert len(one.starts()) == 1


def test_sigterm_in_the_pause_between_two_starts_ends_it_at_once(watched):
    one = watched("exit:3", limits={**QUICK, "first_pause": 60.0, "longest_pause": 60.0})
    one.until_said("starting it again in 60.0 s")
    one.process.terminate()
    assert one.code() == 0


def test_a_daemon_that_freezes_as_it_ends_is_killed_and_not_started_again(watched):
    one = watched("obey,serve", limits={**QUICK, "ending": 0.8})
    one.until_said("ready after")
    os.kill(one.pid(0), signal.SIGSTOP)
    one.process.terminate()
    assert one.code() == 128 + signal.SIGKILL
    assert len(one.starts()) == 1


def test_sighup_reaches_the_daemon_and_ends_nobody(watched):
    one = watched("obey,serve")
    one.until_said("ready after")
    one.process.send_signal(signal.SIGHUP)
    one.until((one.folder / "hup").exists)
    assert one.process.poll() is None and alive(one.pid(0))


def test_the_daemon_dies_with_a_parent_that_is_killed(watched):
    one = watched("serve")
    one.until_said("ready after")
    one.process.kill()
    one.until(lambda: not alive(one.pid(0)))


# ---- whoever else is told


def test_systemd_hears_what_happens_and_the_daemon_knows_nothing_of_it(watched, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(SOON_S)
        one = watched(
            "environment,serve:0.5,exit:3", "obey,serve",
            NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="600000", WATCHDOG_PID="",
        )
        one.pid(1)
        one.until(lambda: one.output().count("ready after") == 2)
        one.process.terminate()
        assert one.code() == 0
        told = []
        while "STOPPING=1" not in told:
            told += systemd.recv(4096).decode().splitlines()
    assert told.index("WATCHDOG=1") < told.index("READY=1") < told.index("STATUS=starting again: exit code 3")
    assert told.count("READY=1") == 2
    assert told.count("WATCHDOG=1") >= 3
    environment = (tmp_path / "environment").read_text()
    assert "NOTIFY_SOCKET" not in environment and "WATCHDOG" not in environment


def told(systemd: socket.socket, text: str, limit_s: float = SOON_S) -> list[str]:
    """What systemd hears, up to `text`."""
    until, heard = time.monotonic() + limit_s, []
    while text not in heard:
        assert time.monotonic() < until, heard
        heard += systemd.recv(4096).decode().splitlines()
    return heard


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(SOON_S)
        yield listening


def notified(tmp_path: Path) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000", "WATCHDOG_PID": ""}


def test_a_daemon_that_is_lame_is_told_of_and_the_watchdog_is_not_fed(watched, systemd, tmp_path):
    one = watched("start:0.5,lame", **notified(tmp_path))
    told(systemd, "STATUS=no engine is ready for: stt")
    time.sleep(0.5)  # what was fed before that is heard by then
    systemd.settimeout(0.05)
    with pytest.raises(TimeoutError):
        while True:
            systemd.recv(4096)
    systemd.settimeout(1.5)
    with pytest.raises(TimeoutError):
        systemd.recv(4096)
    assert alive(one.pid(0)), "it is for systemd to start all of it again"


def test_what_a_daemon_says_of_itself_reaches_systemd_whole(watched, systemd, tmp_path):
    watched("start:0.2,serve:0.2,say:taking calls; 3 calls now,serve", **notified(tmp_path))
    told(systemd, "STATUS=taking calls; 3 calls now")


def test_a_reload_is_begun_and_ended_for_systemd(watched, systemd, tmp_path):
    one = watched("obey,serve:1.5,answer,serve", **notified(tmp_path))
    told(systemd, "READY=1")
    one.process.send_signal(signal.SIGHUP)
    heard = told(systemd, "RELOADING=1")
    while not any(line.startswith("MONOTONIC_USEC=") for line in heard):
        heard += systemd.recv(4096).decode().splitlines()
    told(systemd, "READY=1")


def test_who_loads_models_is_given_time(watched, systemd, tmp_path):
    watched("start:1.0,serve", **notified(tmp_path))
    assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in told(systemd, "READY=1"))


# ---- one takes over from another


@pytest.fixture
def door() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_a_new_daemon_takes_over_when_it_is_ready_and_the_old_one_finishes(watched, door):
    one = watched("leave:1.0,serve", "start:0.5,leave:0.1,serve", door=door)
    one.until_said("ready after")
    one.process.send_signal(signal.SIGUSR2)
    one.until_said(f"takes the calls; pid {one.pid(0)} ends its own")
    assert alive(one.pid(0)) and alive(one.pid(1))
    one.until_said("the daemon that was relieved has ended: exit code 0")
    assert alive(one.pid(1))
    one.process.terminate()
    assert one.code() == 0
    assert len(one.starts()) == 2


def test_a_new_daemon_that_does_not_get_ready_changes_nothing(watched, door):
    one = watched("leave:0.1,serve", "start:0.2,exit:2", door=door)
    one.until_said("ready after")
    one.process.send_signal(signal.SIGUSR2)
    one.until_said("handover failed: the new daemon ended: exit code 2; the old one goes on")
    assert alive(one.pid(0)) and one.process.poll() is None


def test_without_sockets_that_both_can_use_one_comes_after_the_other(watched):
    one = watched("leave:0.2,serve", "serve")
    one.until_said("ready after")
    one.process.send_signal(signal.SIGUSR2)
    one.pid(1)
    assert not alive(one.pid(0))
    one.until(lambda: one.output().count("ready after") == 2)


def test_callers_who_wait_too_long_for_a_daemon_are_let_go(watched, door):
    one = watched("load:60", limits={**QUICK, "spawn": 60.0, "queue": 0.5}, door=door)
    with socket.create_connection(door.getsockname(), 5) as waiting:
        waiting.settimeout(SOON_S)
        assert waiting.recv(1) == b""
    one.until_said("1 callers have waited too long")


def test_a_second_sigterm_reaches_the_daemon(watched):
    one = watched("leave:60,serve")
    one.until_said("ready after")
    one.process.terminate()
    time.sleep(0.3)
    assert alive(one.pid(0))
    one.process.send_signal(signal.SIGINT)
    one.code()
    assert not alive(one.pid(0)), "asked twice, calls are not waited for"


SWEEP = "import time, pathlib\nwhile True:\n    pathlib.Path({file!r}).open('a').write('x')\n    time.sleep({pause})"


def swept(file: Path) -> int:
    return len(file.read_text()) if file.exists() else 0


def test_orphans_are_swept_while_no_daemon_is_ready_and_not_when_one_is(watched, tmp_path):
    file = tmp_path / "swept"
    one = watched("start:1.0,exit:3", "start:1.0,serve", sweep=SWEEP.format(file=str(file), pause=0.05))
    one.until(lambda: swept(file) > 0)
    assert "ready after" not in one.output()
    one.pid(1)
    before = swept(file)
    one.until(lambda: swept(file) > before)
    one.until_said("ready after")
    time.sleep(0.3)
    at_rest = swept(file)
    time.sleep(0.5)
    assert swept(file) == at_rest


def test_orphans_do_not_wait_for_the_pause_before_the_next_start(watched, tmp_path):
    file = tmp_path / "swept"
    limits = {**QUICK, "first_pause": 60.0, "longest_pause": 60.0}
    one = watched("serve:0.5,exit:3", sweep=SWEEP.format(file=str(file), pause=0.05), limits=limits)
    one.until_said("starting it again in 60.0 s")
    before = swept(file)
    one.until(lambda: swept(file) > before)


def test_a_sweep_that_hangs_holds_up_nobody(watched, tmp_path):
    one = watched("start:0.1,exit:3", "start:0.1,serve", sweep="import time; time.sleep(3600)")
    one.until_said("ready after")


def test_before_it_ends_for_want_of_a_daemon_orphans_are_swept(watched, tmp_path):
    file = tmp_path / "swept"
    one = watched("exit:2", sweep=f"import sys; open({str(file)!r}, 'w').write(sys.stdin.read())")
    assert one.code() == 2
    assert file.read_text() == "where it is"


# ---- cost


def test_the_parent_is_small_and_sleeps(watched):
    one = watched("serve")
    one.until_said("ready after")
    ticks = cpu_ticks(one.process.pid)
    time.sleep(1.0)
    assert cpu_ticks(one.process.pid) - ticks <= 10  # hundredths of a second
    private = re.search(r"RssAnon:\s*(\d+) kB", Path(f"/proc/{one.process.pid}/status").read_text())
    assert private is not None and int(private[1]) < 16_000


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_it_loads_nothing_that_a_daemon_is_made_of():
    heavy = {"asyncio", "numpy", "pydantic", "httpx", "click", "socket", "uvloop"}
    code = f"import sys, voicebridge.watch.parent; print(sorted({heavy!r} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_a_command_becomes_a_parent_and_a_daemon_of_the_same_command(tmp_path):
    """`python -m voicebridge.watch.parent ARGUMENT...` runs `python -m voicebridge ARGUMENT... --no-parent`."""
    (tmp_path / "voicebridge").mkdir()
    (tmp_path / "voicebridge" / "__init__.py").write_text("raise SystemExit('not from the working folder')")
    reading, writing = os.pipe()
    os.close(writing)
    parent = [sys.executable, "-P", "-m", "voicebridge.watch.parent", "--sweep", str(reading)]
    told = subprocess.run(
        [*parent, "run", "--config", "none.toml"],
        capture_output=True, text=True, pass_fds=(reading,), cwd=tmp_path, timeout=30,
    )
    os.close(reading)
    assert told.returncode == 2, told.stderr
    assert "none.toml" in told.stderr and "not from the working folder" not in told.stderr
