"""What is sent and what is understood of what comes: messages of one call."""

from __future__ import annotations

import pytest

from voicebridge.audio.g711 import MU, A
from voicebridge.sip.messages import Message, Messages, Whom, reply_to

LOCAL = ("192.0.2.7", 5070)
SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP {kinds}\r\n"


def made() -> Messages:
    return Messages(Whom("100", "192.0.2.1:5080", "ann", ("X-A: b",)), LOCAL, 4000)


def parsed(text: str) -> Message:
    message = Message.parsed(text.encode())
    assert message is not None
    return message


def answer(invite: Message, more: str = "", sdp: str = "") -> Message:
    copied = "".join(f"{name}: {invite.first(name)}\r\n" for name in ("via", "from", "call-id", "cseq"))
    return parsed(f"SIP/2.0 200 OK\r\n{copied}To: {invite.first('to')};tag=theirs\r\n{more}\r\n{sdp}")


def test_an_invite_offers_both_laws_and_carries_what_it_is_given():
    invite = parsed(made().invite(("Authorization: Digest x",)))
    assert (invite.method, invite.code) == ("INVITE", 0)
    assert invite.first("x-a") == "b" and invite.first("authorization") == "Digest x"
    assert "m=audio 4000 RTP/AVP 0 8 101" in invite.body
    assert invite.first("to") == "<sip:100@192.0.2.1:5080>"
    assert len(invite.body) == int(invite.first("content-length"))


def test_two_calls_have_ids_of_their_own_and_one_keeps_its_id_and_tag():
    messages = made()
    first, second = parsed(messages.invite()), parsed(messages.invite())
    assert first.first("call-id") == second.first("call-id") != parsed(made().invite()).first("call-id")
    assert first.first("from") == second.first("from")
    assert second.number == first.number + 1


def test_a_cancel_and_the_ack_of_a_refusal_belong_to_the_invites_transaction():
    messages = made()
    invite = parsed(messages.invite())
    cancel = parsed(messages.cancel())
    ack = parsed(messages.refused(answer(invite)))
    for one in (cancel, ack):
        assert one.first("via") == invite.first("via")
        assert one.number == invite.number
    assert ack.first("to").endswith(";tag=theirs")


def test_within_the_dialog_all_goes_to_who_answered_with_his_tag_and_by_his_route():
    messages = made()
    invite = parsed(messages.invite())
    routes = "Record-Route: <sip:a;lr>, <sip:b;lr>\r\nRecord-Route: <sip:c;lr>\r\n"
    messages.answered(answer(invite, f'Contact: "x" <sip:agent@192.0.2.9:5090>;expires=9\r\n{routes}'))
    ack, bye = parsed(messages.ack()), parsed(messages.bye())
    for one in (ack, bye):
        assert one.first("to").endswith(";tag=theirs")
        assert one.all("route") == ["<sip:c;lr>", "<sip:b;lr>", "<sip:a;lr>"]
        assert one.first("via") != invite.first("via")
    assert messages.bye().startswith("BYE sip:agent@192.0.2.9:5090 SIP/2.0\r\n")
    assert (ack.number, bye.number) == (invite.number, invite.number + 1)


def test_a_registration_and_its_end():
    messages = made()
    first, last = parsed(messages.register()), parsed(messages.register(leave=True, more=("X: y",)))
    assert int(first.first("expires")) > 0 and last.first("expires") == "0"
    assert last.number == first.number + 1 and last.first("x") == "y"
    assert first.first("call-id") == last.first("call-id")


@pytest.mark.parametrize(("kinds", "law"), [("0 101", MU), ("101 8", A), ("9 8 0", A)], ids=["mu", "a", "wide"])
def test_the_answer_says_where_and_in_which_law(kinds: str, law: object):
    media = answer(parsed(made().invite()), "Supported:\r\nAllow-Events:\r\n", SDP.format(kinds=kinds)).media()
    assert media is not None
    assert (media.host, media.port, media.law) == ("192.0.2.9", 4000, law)


@pytest.mark.parametrize(
    "sdp",
    ["", "v=0\r\n", SDP.format(kinds="9"), SDP.format(kinds="0").replace("4000", "0"), "a=rtpmap:5 x/1\r\n", "m=audio"],
    ids=["none", "no-media", "g722", "refused", "astray", "cut"],
)  # fmt: skip
def test_an_answer_without_sound_for_us_has_none(sdp: str):
    assert answer(parsed(made().invite()), sdp=sdp).media() is None


def test_a_re_invite_gets_the_same_media_in_the_law_that_it_offers():
    messages = made()
    invite = parsed(messages.invite())
    again = parsed(
        "INVITE sip:ann@192.0.2.7 SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nVia: SIP/2.0/UDP b\r\nFrom: <sip:x>;tag=1\r\n"
        f"To: <sip:y>;tag=2\r\nCall-ID: {invite.first('call-id')}\r\nCSeq: 7 INVITE\r\n\r\n{SDP.format(kinds='8 101')}"
    )
    reply = parsed(messages.media_again(again))
    assert "m=audio 4000 RTP/AVP 8 101" in reply.body
    assert (reply.code, reply.number, reply.method) == (200, 7, "INVITE")
    assert reply.all("via") == ["SIP/2.0/UDP a", "SIP/2.0/UDP b"]
    assert reply.first("to") == "<sip:y>;tag=2"
    assert parsed(messages.bye()).number == invite.number + 1, "nothing of the call itself has changed"


def test_a_reply_copies_what_belongs_to_the_request():
    request = parsed("BYE sip:a SIP/2.0\r\nVia: v\r\nFrom: f\r\nTo: t\r\nCall-ID: c\r\nCSeq: 3 BYE\r\nX: y\r\n\r\n")
    assert reply_to(request, "200 OK") == (
        "SIP/2.0 200 OK\r\nVia: v\r\nFrom: f\r\nTo: t\r\nCall-ID: c\r\nCSeq: 3 BYE\r\nContent-Length: 0\r\n\r\n"
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n\r\n", b"\0\0\0\0", b"HTTP/1.1 200 OK\r\nCSeq: 1 X\r\n\r\n",
     b"SIP/2.0 abc OK\r\nCSeq: 1 INVITE\r\n\r\n",
     b"SIP/2.0 200 OK\r\n\r\n", b"\xff\xfe\xfd", b"SIP/2.0", b"BYE sip:a SIP/2.0\r\nCSeq: one BYE\r\n\r\n"],
    ids=["empty", "keep-alive", "zeros", "http", "code", "no-cseq", "binary", "short", "cseq"],
)  # fmt: skip
def test_what_is_no_sip_is_none(data: bytes):
    assert Message.parsed(data) is None
