"""Who holds the port, found out over real sockets; who may call, from the configuration."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from voicebridge.audio.clock import Ticker
from voicebridge.cli.checks.finding import Finding
from voicebridge.cli.checks.listening import Port, exposure, look, port
from voicebridge.config import Config, Listen, Settings, load
from voicebridge.pbx.asterisk.audiosocket import AudioSocketServer


def settings(address: str, allow: list[str] | None = None) -> Settings:
    given = {"audiosocket": address} | ({} if allow is None else {"allow": allow})
    return Settings(config=Config(listen=Listen.model_validate(given)), agents=load(None).agents, source="test")


def exposed(address: str, *allow: str) -> Finding:
    (finding,) = exposure(settings(address, list(allow) or None))
    return finding


@contextmanager
def served(handle: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that treats its one caller so."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                handle(link)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(5)


@contextmanager
def voicebridge(*allow: str) -> Iterator[str]:
    """The real listener, with the real clock, in a thread of its own."""
    started: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        ticker = Ticker()
        networks = Listen.model_validate({"allow": list(allow or ("127.0.0.0/8",))}).allow
        server = AudioSocketServer("127.0.0.1", 0, lambda leg: None, ticker=ticker, allow=networks)
        ticker.start()
        await server.start()
        started.put_nowait(f"127.0.0.1:{server.port}")
        await done.wait()
        await server.stop()
        ticker.stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(started.get(), loop).result(5)
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(5)
        loop.close()


def told(address: str, seen: Port) -> Finding:
    (finding,) = port(settings(address), seen)
    return finding


# ---- the port


def test_a_free_port_is_free() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    seen = look(settings(address))
    assert seen.holder == "nobody"
    assert told(address, seen).state == "ok"


def test_a_voicebridge_is_known_by_its_silence() -> None:
    with voicebridge() as address:
        seen = look(settings(address))
    assert (seen.holder, seen.host) == ("voicebridge", "127.0.0.1")


def test_a_voicebridge_that_listens_everywhere_is_asked_on_loopback() -> None:
    with voicebridge() as address:
        number = address.rpartition(":")[2]
        seen = look(settings(f"0.0.0.0:{number}"))
    assert (seen.holder, seen.host) == ("voicebridge", "127.0.0.1")


def test_a_voicebridge_that_does_not_allow_us_is_no_failure() -> None:
    with voicebridge("192.0.2.0/24") as address:
        seen = look(settings(address, ["192.0.2.0/24"]))
        finding = told(address, seen)
    assert (seen.holder, seen.detail) == ("guarded", "127.0.0.1")
    assert finding.state == "warn"
    assert '"127.0.0.1" to [listen] allow' in finding.cure


@pytest.mark.parametrize(
    ("says", "detail"),
    [
        (b"", "accepts but says nothing"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answers, but not as a voicebridge does"),
        (b"\x10\x01\x40" + b"\x01" * 320, "answers, but not as a voicebridge does"),
        (b"\x10\x01\x40" + bytes(100), "answers, but not as a voicebridge does"),
    ],
    ids=["hangs up", "another protocol", "sound instead of silence", "a cut frame"],
)
def test_something_else_is_not_taken_for_a_voicebridge(says: bytes, detail: str) -> None:
    with served(lambda link: link.sendall(says)) as address:
        seen = look(settings(address))
    assert (seen.holder, seen.detail) == ("other", detail)


def test_a_listener_that_never_answers_is_told_within_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        seen = look(settings(address))
        finding = told(address, seen)
    assert seen.holder == "other"
    assert finding.state == "fail"
    assert "a voicebridge that hangs" in finding.found


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    seen = look(settings("192.0.2.1:9092", ["192.0.2.7"]))
    assert seen.holder == "unusable"
    assert told("192.0.2.1:9092", seen).state == "fail"


# ---- exposure


def test_loopback_needs_no_allow_list() -> None:
    assert exposed("127.0.0.1:9092") == Finding("exposure", "ok", "127.0.0.1:9092: this machine only")


def test_a_named_pbx_may_call() -> None:
    assert exposed("192.0.2.1:9092", "192.0.2.7/32").state == "ok"
    assert exposed("10.0.0.1:9092", "10.0.0.0/8").state == "ok"


@pytest.mark.parametrize("everybody", ["0.0.0.0/0", "::/0"])
def test_the_whole_world_is_a_failure(everybody: str) -> None:
    finding = exposed("0.0.0.0:9092", "127.0.0.0/8", everybody)
    assert finding.state == "fail"
    assert "allow" in finding.cure


def test_half_a_continent_is_a_warning() -> None:
    assert exposed("0.0.0.0:9092", "8.0.0.0/8").state == "warn"


def test_an_allow_list_that_contradicts_the_address_is_a_warning() -> None:
    assert "takes no calls from outside" in exposed("127.0.0.1:9092", "192.0.2.7/32").found
    assert "a PBX elsewhere is refused" in exposed("0.0.0.0:9092", "127.0.0.0/8").found


def test_without_an_allow_list_the_configuration_itself_is_refused(tmp_path: Path) -> None:
    from voicebridge.config import ConfigError

    file = tmp_path / "voicebridge.toml"
    file.write_text('[listen]\naudiosocket = "0.0.0.0:9092"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"listen\.allow"):
        load(file)
