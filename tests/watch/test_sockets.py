"""Sockets that somebody holds open for us: taken, passed on, and never left with somebody waiting at them."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from voicebridge.watch.sockets import VARIABLE, Sockets, StrangeSocket


@pytest.fixture
def door() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_nothing_was_passed():
    assert Sockets.taken({}).fds == ()
    other = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDNAMES": "fastagi"}
    assert Sockets.taken(other).fds == ()
    assert other == {}, "nobody after us may take them for his"


def test_what_a_parent_passes_is_taken_and_not_handed_on_to_workers(door: socket.socket):
    os.set_inheritable(door.fileno(), True)
    sockets = Sockets.taken({VARIABLE: f"fastagi={door.fileno()}"})
    assert sockets.fds == (("fastagi", door.fileno()),)
    assert not os.get_inheritable(door.fileno())
    assert sockets.environment == {VARIABLE: f"fastagi={door.fileno()}"}
    (copy,) = sockets.opened()["fastagi"]
    assert copy.getsockname() == door.getsockname()
    copy.detach()


@pytest.mark.parametrize("names", ["http:fastagi", ""], ids=["strange", "none"])
def test_a_socket_by_a_name_that_we_do_not_know_is_refused_with_the_cure(names: str):
    given = {"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": names}
    with pytest.raises(StrangeSocket, match="FileDescriptorName= audiosocket or fastagi"):
        Sockets.taken(given)


def passing(fd: int) -> subprocess.Popen[str]:
    """`voicebridge.watch.parent` with the descriptor as systemd's first."""
    program = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); "
        "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='audiosocket'); "
        "os.execv(sys.executable, [sys.executable, '-m', 'voicebridge.watch.parent', '--version'])"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, str(fd)], stderr=subprocess.PIPE, text=True, pass_fds=(fd,)
    )


def test_a_file_in_a_sockets_place_ends_it_with_the_code_that_systemd_does_not_restart(tmp_path: Path):
    with (tmp_path / "file").open("w") as file, passing(file.fileno()) as process:
        _, told = process.communicate(timeout=60)
    assert process.returncode == 2 and "descriptor 3 is no socket" in told and "Traceback" not in told


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "not_listening"])
def test_a_socket_that_nobody_can_call_is_refused_and_not_waited_at(kind: socket.SocketKind):
    with socket.socket(socket.AF_INET, kind) as strange:
        strange.bind(("127.0.0.1", 0))
        sockets = Sockets((("fastagi", os.dup(strange.fileno())),))
        assert sockets.turn_away() == 0
        with pytest.raises(StrangeSocket, match="no listening TCP socket"):
            sockets.opened()


def test_whoever_waits_is_let_go_and_the_socket_stays_open(door: socket.socket):
    sockets = Sockets((("fastagi", door.fileno()),))
    assert sockets.turn_away() == 0
    waiting = [socket.create_connection(door.getsockname(), 5) for _ in range(3)]
    assert sockets.turn_away() == 3
    assert [each.recv(1) for each in waiting] == [b"", b"", b""]
    for each in waiting:
        each.close()
    with socket.create_connection(door.getsockname(), 5) as later:
        assert select.select([door], [], [], 5)[0] == [door]
        later.sendall(b"x")


def test_systemds_way_of_passing_them_is_understood():
    """By systemd's own program: it listens, and starts the command when the first caller comes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = "from voicebridge.watch.sockets import Sockets; s = Sockets.taken(); print(s.fds, s.turn_away(), flush=True)"
    try:
        process = subprocess.Popen(
            ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "--fdname=fastagi", "-E", "PYTHONPATH",
             sys.executable, "-c", told], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("no systemd-socket-activate")
    with process:
        caller = None
        for _ in range(200):
            try:
                caller = socket.create_connection(("127.0.0.1", port), 0.5)
                break
            except OSError:
                select.select([], [], [], 0.05)
        assert caller is not None
        assert process.communicate(timeout=30)[0] == "(('fastagi', 3),) 1\n"
        caller.close()
