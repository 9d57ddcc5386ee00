"""FastAGI by bytes: what Asterisk sends, in pieces of any size, damaged, hostile; and what we send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.protocol import agi

ENVIRONMENT = (
    b"agi_network: yes\nagi_network_script: attach\nagi_request: agi://127.0.0.1:4573/attach\n"
    b"agi_channel: PJSIP/sipp-00000001\nagi_language: en\nagi_type: PJSIP\nagi_uniqueid: 1767225600.1\n"
    b"agi_version: 22.10.1~dfsg+~cs6.15.60671435-1\nagi_callerid: +442071838750\nagi_calleridname: Ann: Smith\n"
    b"agi_callingpres: 0\nagi_dnid: 100\nagi_rdnis: unknown\nagi_context: voicebridge\nagi_extension: s\n"
    b"agi_priority: 9\nagi_enhanced: 0.0\nagi_accountcode: \nagi_threadid: 139\nagi_arg_1: one\nagi_arg_2: \n\n"
)


def opened() -> agi.AgiConnection:
    connection = agi.AgiConnection()
    connection.feed(ENVIRONMENT)
    (event,) = connection.events()
    assert isinstance(event, agi.Environment)
    return connection


def asked() -> agi.AgiConnection:
    connection = opened()
    connection.command(agi.get_variable("VB_AGENT"))
    return connection


def test_the_environment_is_what_asterisk_22_sends():
    connection = agi.AgiConnection()
    connection.feed(ENVIRONMENT)
    (seen,) = connection.events()
    assert isinstance(seen, agi.Environment)
    assert (seen.script, seen.arguments) == ("attach", ("one", ""))
    assert (seen.get("calleridname"), seen.get("callerid")) == ("Ann: Smith", "+442071838750")
    assert (seen.get("rdnis"), seen.get("accountcode"), seen.get("nothing")) == ("", "", "")


@pytest.mark.parametrize(
    ("path", "script"), [("/attach/", "attach"), ("attach?node=2", "attach"), ("", ""), ("a/b", "a/b")]
)
def test_a_script_is_a_path(path: str, script: str):
    connection = agi.AgiConnection()
    connection.feed(f"agi_network_script: {path}\n\n".encode())
    (seen,) = connection.events()
    assert isinstance(seen, agi.Environment)
    assert seen.script == script


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (b"200 result=1 (desk)\n", agi.Reply(200, "1", "desk")),
        (b"200 result=0\n", agi.Reply(200, "0")),
        (b"200 result=1\r\n", agi.Reply(200, "1")),
        (b"200 result=-1\n", agi.Reply(200, "-1")),
        (b"200 result=1 ()\n", agi.Reply(200, "1", "")),
        (b"200 result=1 (a (b) c)\n", agi.Reply(200, "1", "a (b) c")),
        (b"200 result=1 (one\ntwo\n\nHANGUP\nfour)\n", agi.Reply(200, "1", "one\ntwo\n\nHANGUP\nfour")),
        (b"200 result=0 (timeout) endpos=80\n", agi.Reply(200, "0", "timeout")),
        (b"200 result=1 (\xff\xe9)\n", agi.Reply(200, "1", "\ufffd\ufffd")),
        (b"100 result=0 Trying...\n200 result=1\n", agi.Reply(200, "1")),
        (b"510 Invalid or unknown command\n", agi.Reply(510, value="Invalid or unknown command")),
        (b"511 Command Not Permitted on a dead channel or intercept routine\n",
         agi.Reply(511, value="Command Not Permitted on a dead channel or intercept routine")),
        (b"520-Invalid command syntax.  Proper usage follows:\nUsage: GET VARIABLE <name>\n\nHANGUP\n"
         b"520 End of proper usage.\n", agi.Reply(520, value="Invalid command syntax.  Proper usage follows:")),
        (b"520 Invalid command syntax.  Proper usage not available.\n",
         agi.Reply(520, value="Invalid command syntax.  Proper usage not available.")),
    ],
)
def test_replies(sent: bytes, reply: agi.Reply):
    connection = asked()
    connection.feed(sent)
    assert list(connection.events()) == [reply]
    assert reply.ok == (reply.code == 200)
    connection.command(agi.verbose("next"))  # it is our turn again


def test_a_hangup_comes_in_between_and_commands_go_on():
    connection = opened()
    connection.feed(b"HANGUP\n")
    assert list(connection.events()) == [agi.Hangup()]
    connection.command(agi.set_variable("VB_RESULT", "HANGUP"))
    connection.feed(b"HANGUP\n200 result=1\n")
    assert list(connection.events()) == [agi.Hangup(), agi.Reply(200, "1")]


@given(st.lists(st.integers(1, 40), max_size=60))
def test_pieces_of_any_size_give_the_same_events(sizes: list[int]):
    connection = agi.AgiConnection()
    events: list[agi.Event] = []
    for sent in (ENVIRONMENT, b"200 result=1 (two\nlines)\n"):
        at = 0
        for size in [*sizes, len(sent)]:
            connection.feed(sent[at : at + size])
            at += size
            events += connection.events()
        if len(events) == 1:
            connection.command(agi.get_variable("A"))
    assert [type(event) for event in events] == [agi.Environment, agi.Reply]
    assert events[1] == agi.Reply(200, "1", "two\nlines")


# ---- peers that are no Asterisk


@given(st.binary(max_size=400) | st.text("agi_:x 2051-=()\n", max_size=300).map(str.encode))
def test_no_garbage_does_more_than_break_the_connection(data: bytes):
    for connection in (agi.AgiConnection(), opened(), asked()):
        connection.feed(data)
        try:
            for event in connection.events():
                assert isinstance(event, agi.Environment | agi.Reply | agi.Hangup)
        except agi.RemoteProtocolError:
            connection.feed(b"200 result=1\n")
            with pytest.raises(agi.RemoteProtocolError):
                connection.next_event()


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"GET / HTTP/1.1\r\n", "no agi_name"),
        (b"\n", "without agi_network_script"),
        (b"agi_channel: x\n\n", "without agi_network_script"),
        (b"agi_network_script: " + b"x" * agi.MAX_LINE, "a line of more than"),
        (b"agi_network_script: attach\n" + b"agi_arg_1: %s\n" % (b"x" * 8_000) * 5, "environment of more than"),
    ],
)
def test_a_bad_environment_is_refused(data: bytes, fault: str):
    connection = agi.AgiConnection()
    connection.feed(data)
    with pytest.raises(agi.RemoteProtocolError, match=fault):
        list(connection.events())


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"hello\n", "no reply"),
        (b"200 OK\n", "without a result"),
        (b"200 result=1 (" + b"y\n" * 20_000, "a reply of more than"),
        (b"520-usage\n" + b"y\n" * 20_000, "a reply of more than"),
        (b"200 result=1 (a)\n200 result=1 (b)\n", "nobody asked for"),
    ],
)
def test_a_bad_reply_is_refused(data: bytes, fault: str):
    connection = asked()
    connection.feed(data)
    with pytest.raises(agi.RemoteProtocolError, match=fault):
        list(connection.events())


def test_the_callers_own_text_cannot_name_the_script():
    connection = agi.AgiConnection()
    connection.feed(b"agi_network_script: outcome\nagi_calleridname: x\nagi_network_script: attach\n\n")
    (seen,) = connection.events()
    assert isinstance(seen, agi.Environment)
    assert seen.script == "outcome"


def test_a_value_that_looks_like_two_replies_does_not_answer_the_next_command():
    connection = asked()
    connection.feed(b"200 result=1 (a)\n200 result=1 (b)\n")
    assert connection.next_event() == agi.Reply(200, "1", "a")
    with pytest.raises(agi.RemoteProtocolError, match="nobody asked for"):
        connection.command(agi.get_variable("VB_LANGUAGE"))
    with pytest.raises(agi.RemoteProtocolError):
        connection.next_event()


def test_the_news_of_a_hangup_may_be_there_before_a_command():
    for news in (b"HANGUP\n", b"HANGUP\nHANGUP\n", b"HAN"):
        connection = opened()
        connection.feed(news)
        connection.command(agi.verbose("x"))
        connection.feed(b"HANGUP\n"[len(news) :] + b"200 result=1\n")
        assert list(connection.events())[-1] == agi.Reply(200, "1")


# ---- what we send


def test_commands_as_asterisk_reads_them():
    assert agi.get_variable("VB_AGENT") == b"GET VARIABLE VB_AGENT\n"
    assert agi.get_full_variable("${CALLERID(num)}") == b'GET FULL VARIABLE "${CALLERID(num)}"\n'
    assert agi.set_variable("VB_CALL", "a b") == b'SET VARIABLE VB_CALL "a b"\n'
    assert agi.set_variable("VB_X", 'say "\\"') == b'SET VARIABLE VB_X "say \\"\\\\\\""\n'
    assert agi.verbose("hello", 3) == b'VERBOSE "hello" 3\n'


@pytest.mark.parametrize(
    "name", ["", "VB CALL", "VB_CALL\nEXEC Dial", "${X}", "VB-CALL", "1X", "X" * 90, "CALLERID(num)"]
)
def test_only_names_of_variables_are_names(name: str):
    with pytest.raises(agi.LocalProtocolError, match="no name"):
        agi.set_variable(name, "x")


@given(st.text(st.characters(codec=None), max_size=200))
def test_a_command_is_one_line_or_none(text: str):
    try:
        line = agi.set_variable("VB_X", text)
    except agi.LocalProtocolError:
        assert any(letter in text for letter in "\r\n\0")
        return
    assert line.count(b"\n") == 1 and line.endswith(b"\n")


def test_commands_wait_for_their_turn():
    connection = agi.AgiConnection()
    with pytest.raises(agi.LocalProtocolError, match="before the environment"):
        connection.command(agi.get_variable("A"))
    connection = asked()
    with pytest.raises(agi.LocalProtocolError, match="before the reply"):
        connection.command(agi.get_variable("B"))


@pytest.mark.parametrize(
    "line", [b"", b"NOOP", b"NOOP\nHANGUP\n", b"NO\rOP\n", b"SET VARIABLE A " + b"x" * 2_040 + b"\n"]
)
def test_what_is_not_one_short_line_is_not_sent(line: bytes):
    with pytest.raises(agi.LocalProtocolError):
        opened().command(line)
