"""AMI in the real Asterisk, and what doctor finds out about the interfaces."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.pbx.asterisk import Asterisk, free_port
from tests.pbx.conftest import Dial
from voicebridge import config
from voicebridge.cli.checks import pbx
from voicebridge.cli.checks.finding import Finding
from voicebridge.pbx.asterisk import ami

pytestmark = pytest.mark.asterisk


def access(asterisk: Asterisk, user: str = "admin", password: str | None = None) -> ami.AmiAccess:
    return ami.AmiAccess("127.0.0.1", asterisk.ami_port, user, password or asterisk.secret)


async def test_a_channel_is_redirected(asterisk: Asterisk, dial: Dial):
    caller = await dial("127.0.0.1:9", "echo")
    async with ami.connected(access(asterisk)) as client:
        (shown, *_) = [line for line in await client.command("core show channels concise") if "echo" in line]
        await client.redirect(shown.split("!")[0], "fallback", "s")
    await asyncio.to_thread(asterisk.wait_for, caller.id, "fallback")


async def test_what_cannot_be_redirected_is_said(asterisk: Asterisk):
    async with ami.connected(access(asterisk)) as client:
        with pytest.raises(ami.AmiError, match="Channel does not exist"):
            await client.redirect("PJSIP/nobody", "fallback", "s")
        with pytest.raises(ami.AmiError, match="control characters"):
            await client.redirect("PJSIP/nobody", "fallback\r\nAction: Originate", "s")
        assert "Asterisk" in (await client.command("core show version"))[0]


async def test_a_login_that_may_not_do_it_is_told_what_it_lacks(asterisk: Asterisk):
    assert await ami.missing(access(asterisk)) == []
    (lack,) = await ami.missing(access(asterisk, "reader"))
    assert lack == "'reader' needs `write = call,command,system` in manager.conf"
    async with ami.connected(access(asterisk, "reader")) as client:
        with pytest.raises(ami.AmiError, match=r"needs `write = command`"):
            await client.command("core show version")


async def test_a_bad_password_and_a_dead_port_are_told_apart(asterisk: Asterisk):
    with pytest.raises(ami.AmiDenied, match="user and password") as denied:
        await ami.missing(access(asterisk, password="another"))
    assert "another" not in str(denied.value)
    nobody = ami.AmiAccess("127.0.0.1", free_port(), "admin", "x")
    with pytest.raises(ami.AmiError, match="cannot be reached"):
        await ami.missing(nobody)


async def test_a_port_that_never_answers_costs_three_seconds_at_most():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(ami.AmiError, match="in time"):
        await asyncio.wait_for(ami.missing(ami.AmiAccess("127.0.0.1", port, "admin", "x")), 10)
    server.close()


def found(folder: Path, asterisk: Asterisk, *, secret: str | None = None, user: str = "admin") -> dict[str, Finding]:
    file = folder / "voicebridge.toml"
    file.write_text(
        f'[ari]\nurl = "http://127.0.0.1:{asterisk.ari_port}/ari"\nuser = "bench"\n'
        f'password = "{secret or asterisk.secret}"\n'
        f'[ami]\naddress = "127.0.0.1:{asterisk.ami_port}"\nuser = "{user}"\npassword = "{asterisk.secret}"\n'
    )
    return {finding.check: finding for finding in asyncio.run(pbx.check(config.load(file)))}


def test_doctor_finds_both_interfaces_and_their_dialplan(asterisk: Asterisk, tmp_path: Path):
    findings = found(tmp_path, asterisk)
    assert [(name, one.state) for name, one in findings.items()] == [
        ("ari", "ok"), ("ami", "ok"), ("ari dialplan", "ok"),
    ]
    assert "Asterisk 2" in findings["ari"].found


def test_doctor_says_what_is_wrong_with_a_login(asterisk: Asterisk, tmp_path: Path):
    findings = found(tmp_path, asterisk, secret="another", user="reader")
    assert {name: one.state for name, one in findings.items()} == {"ari": "fail", "ami": "fail"}
    assert "[ari] user and password" in findings["ari"].found
    assert "write = call,command,system" in findings["ami"].found


def test_doctor_names_the_module_that_is_missing(asterisk: Asterisk, tmp_path: Path):
    asterisk.cli("module unload chan_audiosocket.so")
    try:
        findings = found(tmp_path, asterisk)
        assert findings["ari"].state == "fail"
        assert findings["ari"].cure == "module load chan_audiosocket.so"
    finally:
        asterisk.cli("module load chan_audiosocket.so")


def test_nothing_is_asked_where_nothing_is_configured(tmp_path: Path):
    file = tmp_path / "voicebridge.toml"
    file.write_text("")
    assert asyncio.run(pbx.check(config.load(file))) == []
