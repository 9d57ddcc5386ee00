"""`[metrics] listen`: who gets what over HTTP."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import httpx
import pytest

from voicebridge.config import Config, ConfigError, Metrics, Settings, load
from voicebridge.observing.listener import MAX_CONNECTIONS, MetricsListener, listener, started
from voicebridge.trace import metrics as counted


@pytest.fixture
async def server():
    made = MetricsListener(counted.Metrics(), "127.0.0.1", 0)
    await made.start()
    yield made
    await made.stop()


async def raw(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def get(url: str, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(method, url)


async def test_a_prometheus_gets_the_exposition(server):
    answer = await get(f"http://127.0.0.1:{server.port}/metrics?x=1")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE voicebridge_build_info gauge" in answer.text
    assert answer.text.endswith("\n")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("GET", "/metrics/x", 404), ("POST", "/metrics", 405)]
)
async def test_there_is_nothing_else(server, method, path, status):
    answer = await get(f"http://127.0.0.1:{server.port}{path}", method)
    assert answer.status_code == status


@pytest.mark.parametrize(("path", "status"), [("/metrics", b"200"), ("/", b"404")], ids=["metrics", "other"])
async def test_a_head_has_no_body_and_leaves_no_traceback(server, caplog, path, status):
    answer = await raw(server.port, f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 " + status) and answer.endswith(b"\r\n\r\n")
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET /" + b"a" * 20_000, b"x\r\n\r\n"])
async def test_what_is_no_request_is_refused_and_the_next_one_served(server, sent):
    assert (await raw(server.port, sent))[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431")
    assert (await get(f"http://127.0.0.1:{server.port}/metrics")).status_code == 200


async def test_who_is_not_in_the_allow_list_gets_no_answer():
    made = MetricsListener(counted.Metrics(), "127.0.0.1", 0, [ipaddress.ip_network("192.0.2.0/24")])
    await made.start()
    assert await raw(made.port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    await made.stop()


async def test_a_few_that_say_nothing_keep_nobody_out_for_long_and_many_are_refused(server):
    mute = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(MAX_CONNECTIONS)]
    await asyncio.sleep(0.05)
    assert await raw(server.port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    for _, writer in mute:
        writer.close()
    await asyncio.sleep(0.05)
    assert (await get(f"http://127.0.0.1:{server.port}/metrics")).status_code == 200


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_ipv6():
    settings = wanted(listen="[::1]:0")
    made = await started(settings, counted.Metrics())
    assert made is not None
    assert (await get(f"http://[::1]:{made.port}/metrics")).status_code == 200
    await made.stop()


# ---- the settings


def wanted(**options: object) -> Settings:
    return Settings(config=Config(metrics=Metrics(**options)), agents={}, source="")


def test_without_an_address_nothing_listens():
    assert listener(wanted(), counted.Metrics()) is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"listen": "0.0.0.0:9464"}, 'e.g. metrics.allow = ["192.0.2.20/32"]'),
        ({"listen": "[::]:9464"}, "reachable from outside"),
        ({"listen": "9464"}, "write host:port"),
        ({"listen": "127.0.0.1:0", "allow": ["everybody"]}, "metrics.allow: 'everybody'"),
    ],
)
def test_what_cannot_be_listened_on_is_said_with_its_key_and_cure(options, told):
    with pytest.raises(ConfigError) as error:
        listener(wanted(**options), counted.Metrics())
    assert told in str(error.value)


def test_an_error_names_the_line(tmp_path):
    file = tmp_path / "voicebridge.toml"
    file.write_text('[log]\nformat = "text"\n[metrics]\nlisten = "0.0.0.0:9464"\n')
    with pytest.raises(ConfigError, match=r"voicebridge.toml:4: metrics.listen: '0.0.0.0:9464' is reachable"):
        listener(load(file), counted.Metrics())


async def test_an_address_that_is_taken_is_said_with_the_cure(server):
    with pytest.raises(ConfigError, match=f"metrics.listen = 127.0.0.1:{server.port}: the address is already in use"):
        await started(wanted(listen=f"127.0.0.1:{server.port}"), counted.Metrics())
