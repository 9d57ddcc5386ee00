"""The dashboard over HTTP: a real server, a real store."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import re
import socket
import sqlite3
import wave

import httpx
import pytest

from bench.screenshots import dashboard, fill
from voicebridge.config import ConfigError, load
from voicebridge.web import access
from voicebridge.web.serve import Dashboard

PAGE = {"accept": "text/html"}


def link_of(said: list[str]) -> str:
    return said[-1].split()[1]


@contextlib.asynccontextmanager
async def inside(served):
    """A client that is logged in."""
    made, said = served
    async with httpx.AsyncClient(base_url=made.url, headers=PAGE, trust_env=False) as client:
        answer = await client.get(link_of(said))
        assert answer.status_code == 303
        yield client


async def csrf(client) -> str:
    return re.search(r'name="csrf" value="([0-9a-f]{64})"', (await client.get("/calls")).text)[1]


async def test_without_a_session_nothing_is_shown_but_the_login(served):
    made, _ = served
    async with httpx.AsyncClient(base_url=made.url, trust_env=False) as client:
        for path in ("/", "/overview", "/calls", "/calls/x", "/calls/x/recording.wav", "/live", "/live/events"):
            assert (await client.get(path)).status_code == 401, path
            assert (await client.get(path, headers=PAGE)).headers["location"] == "/login"
        for path in ("/calls/search", "/calls/x/erase", "/logout"):
            assert (await client.post(path)).status_code == 401
        assert (await client.get("/healthz")).text == "ok\n"
        page = await client.get("/login")
        assert "voicebridge web" in page.text and "password" not in re.findall(r"<input[^>]*>", page.text)
        assert (await client.get("/static/style.css")).status_code == 200
        for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd"):
            assert (await client.get(path)).status_code in (401, 404)


async def test_a_link_logs_in_once_and_the_cookie_is_bound(served):
    made, said = served
    async with httpx.AsyncClient(base_url=made.url, headers=PAGE, trust_env=False) as client:
        link = link_of(said)
        answer = await client.get(link)
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie and "secure" not in cookie
        assert (await client.get("/overview")).status_code == 200
        client.cookies.clear()
        assert (await client.get(link)).status_code == 401
        by_tls = await client.get(link_of(said), headers={"x-forwarded-proto": "https"})
        assert "secure" in by_tls.headers["set-cookie"].lower()


async def test_every_answer_binds_the_browser(served):
    async with inside(served) as client:
        for path in ("/overview", "/login", "/static/live.js", "/nothing", "/healthz"):
            headers = (await client.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
            assert path.startswith("/static") or headers["cache-control"] == "no-store"
            assert "server" not in headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8099", "127.0.0.1.evil.example"])
async def test_a_name_that_was_bound_to_our_address_is_refused(served, host):
    async with inside(served) as client:
        assert (await client.get("/calls", headers={"host": host})).status_code == 421


async def test_forged_forms_are_refused(served):
    async with inside(served) as client:
        token = await csrf(client)
        good = {"csrf": token, "text": "parking"}
        assert (await client.post("/calls/search", data=good)).status_code == 303
        for data in ({"text": "x"}, {"csrf": ""}, {"csrf": "0" * 64}):
            assert (await client.post("/calls/search", data=data)).status_code == 403
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
            assert (await client.post("/calls/search", data=good, headers={"origin": origin})).status_code == 403
        own = str(client.base_url).rstrip("/")
        assert (await client.post("/calls/search", data=good, headers={"origin": own})).status_code == 303
        assert (await client.post("/calls/search", data={**good, "text": "x" * 20_000})).status_code == 413
        assert (await client.get("/logout")).status_code == 405


async def test_who_leaves_is_outside(served):
    async with inside(served) as client:
        cookie = client.cookies["voicebridge_session"]
        assert (await client.post("/logout", data={"csrf": await csrf(client)})).headers["location"] == "/login"
        client.cookies.set("voicebridge_session", cookie)
        assert (await client.get("/calls")).status_code == 303


async def test_the_password_is_asked_and_guesses_are_throttled(kept, monkeypatch):
    monkeypatch.setenv(access.PASSWORD_VARIABLE, "sesame")
    said: list[str] = []
    async with dashboard(kept[0], said) as made, httpx.AsyncClient(base_url=made.url, trust_env=False) as client:
        assert said == [f"the dashboard is at {made.url}"]
        assert (await client.post("/login", data={"password": "sesame"})).status_code == 303
        client.cookies.clear()
        for _ in range(access.FAILURES):
            assert (await client.post("/login", data={"password": "guess"})).status_code == 401
        refused = await client.post("/login", data={"password": "sesame"})
        assert refused.status_code == 429 and 0 < int(refused.headers["retry-after"]) <= 61


async def test_guesses_that_come_all_at_once_are_throttled_like_others(kept, monkeypatch):
    """Their heads first, so that all of them are being served before the first is judged."""
    monkeypatch.setenv(access.PASSWORD_VARIABLE, "sesame")
    body = b"password=guess"
    head = f"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    async with dashboard(kept[0], []) as made:
        guesses = [await asyncio.open_connection("127.0.0.1", made.port) for _ in range(3 * access.FAILURES)]
        for _, writer in guesses:
            writer.write(head.encode())
        await asyncio.sleep(0.3)
        for _, writer in guesses:
            writer.write(body)
        answers = [(await reader.read()).split(b" ", 2)[1] for reader, _ in guesses]
        for _, writer in guesses:
            writer.close()
    assert answers.count(b"401") == access.FAILURES and answers.count(b"429") == 2 * access.FAILURES


async def test_a_search_finds_by_words_and_number_and_logs_neither(served, caplog):
    caplog.set_level(logging.DEBUG)
    async with inside(served) as client:
        form = {"csrf": await csrf(client), "text": "parking", "caller": "+1 555 0142 777"}
        address = (await client.post("/calls/search", data=form)).headers["location"]
        assert "text=parking" in address and "who=" in address and "0142" not in address
        nobody = await client.get(address)
        assert nobody.status_code == 200 and "No calls fit" in nobody.text and "0142" not in nobody.text
        found = await client.get("/calls?text=parking")
        everything = await client.get("/calls")
        counts = [int(re.search(r"(\d+) found", page.text)[1]) for page in (found, everything)]
        assert 0 < counts[0] < counts[1] == 62
        assert (await client.get("/calls?min_gap=long")).status_code == 400
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert not any("token=" in line for line in ours)
    assert not any("0142" in line or "parking" in line for line in ours)


async def test_a_long_list_is_turned_page_by_page(served):
    async with inside(served) as client:
        seen: list[str] = []
        address = "/calls"
        while address:
            page = (await client.get(address)).text
            seen += re.findall(r'<th scope="row"[^>]*><a href="/calls/([0-9a-f-]{36})"', page)
            older = re.search(r'href="([^"]+)" rel="next"', page)
            address = older[1].replace("&amp;", "&") if older else ""
        assert len(seen) == len(set(seen)) == 62
        assert (await client.get("/calls?page=99999999999")).status_code == 200
        assert (await client.get("/calls?page=-3")).status_code == 200


async def test_a_calls_page_shows_the_call(served, kept):
    record = kept[1]
    async with inside(served) as client:
        page = (await client.get(f"/calls/{record['call_id']}")).text
        assert page.count('<svg class="waterfall"') == 6
        assert '<span class="hidden">not heard: </span>takes two working days.' in page
        assert "the language model openai took" in page and "attempt 1: 800 ms, timeout" in page
        assert 'id="audio"' in page and " style=" not in page
        document = await client.get(f"/calls/{record['call_id']}/record.json")
        assert document.json() == record and "attachment" in document.headers["content-disposition"]


async def test_the_player_may_jump_in_the_recording(served, kept):
    async with inside(served) as client:
        url = f"/calls/{kept[1]['call_id']}/recording.wav"
        whole = await client.get(url)
        assert whole.headers["content-type"] == "audio/wav" and whole.headers["accept-ranges"] == "bytes"
        with wave.open(io.BytesIO(whole.content)) as file:
            assert file.getnchannels() == 2
        part = await client.get(url, headers={"range": "bytes=1000-1999"})
        assert part.status_code == 206 and part.content == whole.content[1000:2000]
        assert part.headers["content-range"] == f"bytes 1000-1999/{len(whole.content)}"
        assert (await client.get(url, headers={"range": "bytes=99999999-"})).status_code == 416


@pytest.mark.parametrize("call_id", ["7d0c33fc-2f6f-4c65-9a35-2b7f5e1f0a99", "..%2f..%2fcaller.key", "x"])
async def test_what_is_not_kept_is_not_found(served, call_id):
    async with inside(served) as client:
        for tail in ("", "/record.json", "/recording.wav"):
            answer = await client.get(f"/calls/{call_id}{tail}")
            assert answer.status_code == 404
            assert "Not found" in answer.text


async def test_the_overview_counts_what_is_kept(served):
    async with inside(served) as client:
        for span in ("24h", "7d", "30d", "nonsense"):
            assert (await client.get(f"/overview?span={span}")).status_code == 200
        page = (await client.get("/overview?span=30d")).text
        assert page.count('<svg class="chart"') == 2
        assert "Questions without an answer" in page and "parking" in page
        one = (await client.get("/overview?span=30d&agent=werkstatt")).text
        assert int(re.search(r"<dt>Calls</dt><dd><b>(\d+)", one)[1]) < 62


async def test_a_call_is_erased_with_its_recording_after_a_confirmed_form(tmp_path, monkeypatch):
    monkeypatch.delenv(access.PASSWORD_VARIABLE, raising=False)
    record = fill(tmp_path, calls=2)
    said: list[str] = []
    async with dashboard(tmp_path, said) as made, inside((made, said)) as client:
        url = f"/calls/{record['call_id']}"
        assert (await client.post(f"{url}/erase", data={})).status_code == 403
        assert (await client.get(url)).status_code == 200
        done = await client.post(f"{url}/erase", data={"csrf": await csrf(client)})
        assert done.status_code == 200 and "are gone" in done.text
        assert (await client.get(url)).status_code == 404
        assert not list(tmp_path.glob("calls/*.wav"))
        assert (await client.post(f"{url}/erase", data={"csrf": await csrf(client)})).status_code == 404


async def test_before_the_first_call_the_pages_say_so(tmp_path, monkeypatch):
    monkeypatch.delenv(access.PASSWORD_VARIABLE, raising=False)
    said: list[str] = []
    async with dashboard(tmp_path, said) as made, inside((made, said)) as client:
        for path in ("/overview", "/calls"):
            answer = await client.get(path)
            assert answer.status_code == 503 and "No calls are kept yet" in answer.text


async def test_no_more_browsers_watch_than_the_daemon_can_bear(served, monkeypatch):
    from voicebridge.web import app

    monkeypatch.setattr(app, "BROWSERS", 0)
    async with inside(served) as client:
        assert (await client.get("/live/events")).status_code == 503


async def test_an_address_that_is_not_allowed_sees_nothing(kept, monkeypatch):
    monkeypatch.setenv(access.PASSWORD_VARIABLE, "sesame")
    monkeypatch.setattr("voicebridge.web.serve.networks", lambda web: ())
    async with dashboard(kept[0], []) as made, httpx.AsyncClient(base_url=made.url, trust_env=False) as client:
        assert (await client.get("/login")).status_code == 403
        assert (await client.get("/healthz")).status_code == 403


async def test_ipv6_is_served(kept, monkeypatch):
    monkeypatch.delenv(access.PASSWORD_VARIABLE, raising=False)
    said: list[str] = []
    try:
        running = dashboard(kept[0], said, listen="[::1]:0")
        async with running as made:
            assert made.url == f"http://[::1]:{made.port}/"
            async with inside((made, said)) as client:
                assert (await client.get("/calls")).status_code == 200
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")


@pytest.mark.parametrize(
    ("listen", "told"),
    [("8099", "is not an address"), ("192.0.2.77:0", "192.0.2.77"), ("127.0.0.1:{taken}", "already in use")],
    ids=["no_address", "not_ours", "taken"],
)
async def test_an_address_that_cannot_be_listened_on_is_said(kept, monkeypatch, listen, told):
    monkeypatch.setenv(access.PASSWORD_VARIABLE, "sesame")
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = listen.format(taken=other.getsockname()[1])
        with pytest.raises(ConfigError, match=told):
            async with dashboard(kept[0], [], listen=address, allow=("192.0.2.0/24",)):
                pass


def test_a_mistake_is_told_with_its_place(tmp_path, monkeypatch):
    monkeypatch.delenv(access.PASSWORD_VARIABLE, raising=False)
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    told = {
        'listen = "0.0.0.0:1"': r"vb.toml:2: web.listen = '0.0.0.0:1' is reachable from outside",
        'listen = "8099"': r"vb.toml:2: web.listen: '8099' is not an address",
        'allow = ["x"]': r"vb.toml:2: web.allow: 'x' does not appear",
        f'password_file = "{tmp_path}/secret"': r"vb.toml:2: web.password_file = .* is not UTF-8",
        f'password_file = "{tmp_path}/none"': r"vb.toml:2: web.password_file = .* cannot be read",
    }
    for line, what in told.items():
        (tmp_path / "vb.toml").write_text(f"[web]\n{line}\n")
        with pytest.raises(ConfigError, match=what):
            Dashboard(load(tmp_path / "vb.toml"), print)


async def test_a_damaged_record_hides_no_other_and_can_be_erased(tmp_path, monkeypatch):
    monkeypatch.delenv(access.PASSWORD_VARIABLE, raising=False)
    record = fill(tmp_path, calls=2)
    with contextlib.closing(sqlite3.connect(tmp_path / "calls.db")) as database, database:
        database.execute("UPDATE calls SET document = 'null' WHERE call_id = ?", (record["call_id"],))
    said: list[str] = []
    async with dashboard(tmp_path, said) as made, inside((made, said)) as client:
        url = f"/calls/{record['call_id']}"
        assert (await client.get("/overview?span=30d")).status_code == (await client.get("/calls")).status_code == 200
        shown = await client.get(url)
        assert shown.status_code == 500 and "is damaged" in shown.text
        assert (await client.post(f"{url}/erase", data={"csrf": await csrf(client)})).status_code == 200
        assert (await client.get(url)).status_code == 404


async def test_odd_requests_are_answered(served):
    async with inside(served) as client:
        for query in ("text=%00", "text=%ed%a0%80", f"text={'+'.join('w' * 2_000)}", "page=²", "min_gap=nan"):
            assert (await client.get(f"/calls?{query}")).status_code == 200, query
        form = {"csrf": await csrf(client)}
        assert (await client.post("/calls/search", data=form, headers={"origin": "http://["})).status_code == 403
