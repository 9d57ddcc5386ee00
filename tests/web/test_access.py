"""Passwords, links, sessions, and who is refused."""

from __future__ import annotations

import ipaddress

import pytest

from voicebridge.config import ConfigError
from voicebridge.operating import Web
from voicebridge.web import access
from voicebridge.web.access import Door, Throttle, allowed, check_exposure, is_ours, networks, own_names, password_of


@pytest.fixture(autouse=True)
def no_password(monkeypatch):
    monkeypatch.delenv(access.PASSWORD_VARIABLE, raising=False)


def test_the_environment_beats_the_file_beats_the_configuration(tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("from file\n")
    web = Web(password="from configuration")
    assert password_of(web) == "from configuration"
    both = web.model_copy(update={"password_file": tmp_path / "secret"})
    assert password_of(both) == "from file"
    monkeypatch.setenv(access.PASSWORD_VARIABLE, "from environment")
    assert password_of(both) == "from environment"


@pytest.mark.parametrize(("content", "told"), [(None, "cannot be read"), ("\n", "is empty")], ids=["absent", "empty"])
def test_a_password_file_that_holds_none_is_an_error(tmp_path, content, told):
    if content is not None:
        (tmp_path / "secret").write_text(content)
    with pytest.raises(ConfigError, match=told):
        password_of(Web(password_file=tmp_path / "secret"))


@pytest.mark.parametrize("listen", ["0.0.0.0:8099", "[::]:8099", "192.0.2.1:80", "pbx.example:80"])
def test_beyond_loopback_a_password_and_an_allow_list_are_needed(listen):
    with pytest.raises(ConfigError, match="VB_WEB_PASSWORD.*web.allow"):
        check_exposure(Web(listen=listen), "")
    with pytest.raises(ConfigError, match="web.allow"):
        check_exposure(Web(listen=listen), "secret")
    with pytest.raises(ConfigError, match="a password"):
        check_exposure(Web(listen=listen, allow=("192.0.2.0/24",)), "")
    check_exposure(Web(listen=listen, allow=("192.0.2.0/24",)), "secret")


@pytest.mark.parametrize("listen", ["127.0.0.1:8099", "[::1]:8099", "localhost:8099"])
def test_on_loopback_neither_is(listen):
    check_exposure(Web(listen=listen), "")


def test_mistakes_in_addresses_are_named():
    with pytest.raises(ConfigError, match="web.listen"):
        check_exposure(Web(listen="8099"), "")
    with pytest.raises(ConfigError, match=r"web\.allow: .*192\.0\.2\.1/24"):
        networks(Web(allow=("192.0.2.1/24",)))


def test_clients_are_let_in_by_their_network():
    allow = networks(Web(allow=("192.0.2.0/24", "2001:db8::/32")))
    assert all(allowed(a, allow) for a in ("127.0.0.1", "::1", "192.0.2.9", "::ffff:192.0.2.9", "2001:db8::5"))
    assert not any(allowed(a, allow) for a in ("192.0.3.1", "2001:db9::5", "", "unix", "::ffff:192.0.3.1"))
    assert allowed("fe80::1%eth0", (ipaddress.ip_network("fe80::/10"),))


def test_only_our_names_and_plain_addresses_are_answered_to():
    names = own_names(Web(hosts=("Calls.Example.org",)))
    ours = ("localhost:8099", "localhost", "127.0.0.1:8099", "[::1]:8099", "192.0.2.1", "calls.example.org:443")
    assert all(is_ours(host, names) for host in ours)
    assert not any(
        is_ours(host, names) for host in ("evil.example:8099", "", "127.0.0.1.evil.example", "localhost.evil:1")
    )


def test_a_link_is_good_once_and_the_next_is_announced():
    links: list[str] = []
    door = Door("", announce=links.append)
    assert not door.by_token("") and not door.by_token("wrong") and not door.by_password("")
    assert door.by_token(links[0])
    assert not door.by_token(links[0])
    assert len(links) == 2 and links[0] != links[1]
    assert door.by_token(links[1])


def test_with_a_password_there_are_no_links():
    links: list[str] = []
    door = Door("sesame", announce=links.append)
    assert links == [] and not door.by_token("") and not door.by_password("") and not door.by_password("Sesame")
    assert door.by_password("sesame")


def test_a_session_is_known_by_its_cookie_until_its_owner_leaves():
    door = Door("sesame")
    cookie = door.new_cookie()
    session = door.session(cookie)
    other = door.session(door.new_cookie())
    assert session is not None and other is not None
    assert session.csrf != other.csrf and session.accepts(session.csrf) and not session.accepts(other.csrf)
    assert not session.accepts("")
    door.leave(session)
    assert door.session(cookie) is None
    assert door.session("") is None


def test_a_cookie_of_another_start_a_changed_or_an_old_one_is_none(monkeypatch):
    door = Door("sesame")
    cookie = door.new_cookie()
    assert door.session(("A" if cookie[0] != "A" else "B") + cookie[1:]) is None
    assert Door("sesame").session(cookie) is None
    monkeypatch.setattr(access, "SESSION_S", -1)
    assert door.session(cookie) is None


def test_failures_are_throttled_a_client_and_all_together():
    now = [100.0]
    throttle = Throttle(clock=lambda: now[0])
    for _ in range(access.FAILURES):
        assert throttle.wait_s("a") == 0
        throttle.failed("a")
    assert throttle.wait_s("a") == 61 and throttle.wait_s("b") == 0
    now[0] += 61
    assert throttle.wait_s("a") == 0
    for number in range(access.FAILURES_ALL):
        throttle.failed(str(number))
    assert throttle.wait_s("somebody new") > 0
