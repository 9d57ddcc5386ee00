"""AudioSocket without sockets: every frame, every cut, every way to break the rules."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebridge.protocol import audiosocket as wire

CALL_ID = UUID("0190a5a0-1111-7222-8333-444455556666")
HELLO = wire.uuid_frame(CALL_ID)


def raw(kind: int, payload: bytes = b"", *, size: int | None = None) -> bytes:
    """A frame as somebody else's program would build it."""
    return struct.pack(">BH", kind, len(payload) if size is None else size) + payload


def parse(*pieces: bytes) -> list[wire.Event]:
    parser, events = wire.AudioSocketParser(), []
    for piece in pieces:
        parser.feed(piece)
        events += parser.events()
    return events


def opened() -> wire.AudioSocketParser:
    parser = wire.AudioSocketParser()
    parser.feed(HELLO)
    assert parser.next_event() == wire.CallId(CALL_ID)
    return parser


# ---- captured form: what Asterisk 22 sends, byte by byte

CAPTURED = bytes.fromhex("010010 0190a5a0111172228333444455556666 100004 0100ff7f 030001 35 120002 0080 000000")
CAPTURED_EVENTS = [
    wire.CallId(CALL_ID),
    wire.Audio(8_000, b"\x01\x00\xff\x7f"),
    wire.Dtmf("5"),
    wire.Audio(16_000, b"\x00\x80"),
    wire.Hangup(),
]


def test_a_session_is_read_in_order():
    assert parse(CAPTURED) == CAPTURED_EVENTS


@pytest.mark.parametrize("cut", range(len(CAPTURED) + 1))
def test_a_session_cut_in_two_anywhere_reads_the_same(cut: int):
    assert parse(CAPTURED[:cut], CAPTURED[cut:]) == CAPTURED_EVENTS


def test_a_session_that_dribbles_in_byte_by_byte_reads_the_same():
    assert parse(*(CAPTURED[i : i + 1] for i in range(len(CAPTURED)))) == CAPTURED_EVENTS


def test_nothing_is_told_before_a_frame_is_whole():
    parser = opened()
    frame = wire.audio_frame(bytes(320), 8_000)
    for i in range(len(frame)):
        assert parser.next_event() is wire.NEED_DATA
        parser.feed(frame[i : i + 1])
    assert parser.next_event() == wire.Audio(8_000, bytes(320))
    assert parser.next_event() is wire.NEED_DATA


# ---- the kinds

@pytest.mark.parametrize(("kind", "rate"), wire.AUDIO_RATES.items())
def test_every_audio_kind_has_its_rate_both_ways(kind: int, rate: int):
    pcm = bytes(range(200)) * 2
    assert parse(HELLO, raw(kind, pcm))[1] == wire.Audio(rate, pcm)
    assert wire.audio_frame(pcm, rate) == raw(kind, pcm)


@pytest.mark.parametrize("digit", sorted(wire.DIGITS))
def test_every_digit_goes_both_ways(digit: str):
    assert parse(HELLO, wire.dtmf_frame(digit))[1] == wire.Dtmf(digit)


def test_small_letters_are_digits_too():
    assert parse(HELLO, raw(0x03, b"a"))[1] == wire.Dtmf("A")


def test_hang_up_and_errors_may_come_first():
    assert parse(wire.hangup_frame()) == [wire.Hangup()]
    assert parse(wire.error_frame(4)) == [wire.PeerError(4)]
    assert parse(raw(0xFF)) == [wire.PeerError(None)]


@pytest.mark.parametrize("kind", sorted(set(range(256)) - {0x00, 0x01, 0x03, 0xFF} - set(wire.AUDIO_RATES)))
def test_a_kind_of_a_later_version_is_skipped(kind: int):
    assert parse(HELLO, raw(kind, b"later"), wire.dtmf_frame("1"))[1:] == [wire.Unknown(kind, 5), wire.Dtmf("1")]


def test_an_empty_audio_frame_and_the_longest_unknown_are_whole_frames():
    assert parse(HELLO, raw(0x10))[1] == wire.Audio(8_000, b"")
    assert parse(HELLO, raw(0x77, bytes(0xFFFF)))[1] == wire.Unknown(0x77, 0xFFFF)


# ---- broken rules

BROKEN = {
    "half a sample": HELLO + raw(0x10, bytes(3)),
    "more than a second": HELLO + raw(0x10, size=16_002),
    "call id too short": raw(0x01, bytes(15)),
    "call id too long": raw(0x01, bytes(17)),
    "call id empty": raw(0x01),
    "a second call id": HELLO + HELLO,
    "two digits": HELLO + raw(0x03, b"12"),
    "no digit": HELLO + raw(0x03),
    "a letter that is no digit": HELLO + raw(0x03, b"x"),
    "a byte beyond ASCII": HELLO + raw(0x03, b"\xb5"),
    "audio before the call id": wire.audio_frame(bytes(320), 8_000),
    "DTMF before the call id": wire.dtmf_frame("1"),
    "an unknown kind before the call id": raw(0x42, b"hi"),
    "an HTTP request": b"GET / HTTP/1.1\r\n",
    "a TLS hello": bytes.fromhex("16030100c8010000c40303"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_rules_are_the_peers_fault(data: bytes):
    with pytest.raises(wire.RemoteProtocolError):
        parse(data)


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_after_an_error_nothing_is_read_any_more(data: bytes):
    parser = wire.AudioSocketParser()
    parser.feed(data)
    with pytest.raises(wire.RemoteProtocolError) as first:
        list(parser.events())
    parser.feed(HELLO + wire.dtmf_frame("1"))
    with pytest.raises(wire.RemoteProtocolError) as second:
        parser.next_event()
    assert second.value is first.value
    assert not parser._buffer, "a broken parser must not collect what nobody reads"


def test_what_came_before_the_error_is_still_told():
    parser = wire.AudioSocketParser()
    parser.feed(HELLO + wire.dtmf_frame("7") + raw(0x03, b"??"))
    assert parser.next_event() == wire.CallId(CALL_ID)
    assert parser.next_event() == wire.Dtmf("7")
    with pytest.raises(wire.RemoteProtocolError):
        parser.next_event()


def test_a_wrong_size_is_refused_before_its_payload_has_come():
    parser = opened()
    parser.feed(raw(0x10, size=0xFFFE))
    with pytest.raises(wire.RemoteProtocolError):
        parser.next_event()


def test_a_second_of_audio_is_the_most():
    parser = opened()
    parser.feed(raw(0x10, bytes(16_000)))
    assert parser.next_event() == wire.Audio(8_000, bytes(16_000))


@pytest.mark.parametrize(
    "make",
    [
        lambda: wire.audio_frame(bytes(320), 11_025),
        lambda: wire.audio_frame(bytes(3), 8_000),
        lambda: wire.audio_frame(bytes(0x1_0000), 192_000),
        lambda: wire.dtmf_frame("x"),
        lambda: wire.dtmf_frame(""),
        lambda: wire.dtmf_frame("12"),
        lambda: wire.error_frame(256),
        lambda: wire.error_frame(-1),
    ],
)
def test_what_cannot_be_sent_is_our_fault(make):
    with pytest.raises(wire.LocalProtocolError):
        make()


# ---- any session, any cut, any rubbish

even = st.binary(max_size=400).map(lambda data: data[: len(data) // 2 * 2])
unknown_kinds = st.sampled_from(sorted(set(range(256)) - {0x00, 0x01, 0x03, 0xFF} - set(wire.AUDIO_RATES)))
frames = st.one_of(
    st.tuples(st.sampled_from(sorted(wire.AUDIO_RATES.values())), even).map(
        lambda a: (wire.audio_frame(a[1], a[0]), wire.Audio(a[0], a[1]))
    ),
    st.sampled_from(sorted(wire.DIGITS)).map(lambda d: (wire.dtmf_frame(d), wire.Dtmf(d))),
    st.integers(0, 255).map(lambda code: (wire.error_frame(code), wire.PeerError(code))),
    st.tuples(unknown_kinds, st.binary(max_size=300)).map(lambda u: (raw(*u), wire.Unknown(u[0], len(u[1])))),
    st.just((wire.hangup_frame(), wire.Hangup())),
)


@given(session=st.lists(frames, max_size=20), cuts=st.lists(st.integers(0, 5_000), max_size=12))
def test_any_session_reads_the_same_however_it_was_cut(session, cuts):
    data = HELLO + b"".join(sent for sent, _ in session)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    assert parse(*pieces) == [wire.CallId(CALL_ID), *(event for _, event in session)]


@settings(max_examples=1000)
@given(
    prefix=st.sampled_from([b"", HELLO, HELLO + wire.audio_frame(bytes(320), 8_000)]),
    pieces=st.lists(st.binary(max_size=200), max_size=8),
)
def test_rubbish_gives_events_or_a_protocol_error_and_nothing_else(prefix: bytes, pieces: list[bytes]):
    parser = wire.AudioSocketParser()
    broken = False
    for piece in [prefix, *pieces]:
        parser.feed(piece)
        try:
            for event in parser.events():
                assert not broken
                assert isinstance(event, wire.Event)
        except wire.RemoteProtocolError:
            broken = True
        assert len(parser._buffer) < wire.HEADER_SIZE + 0x1_0000


@given(at=st.integers(0, len(CAPTURED) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_never_raises_anything_else(at: int, bit: int):
    damaged = bytearray(CAPTURED)
    damaged[at] ^= 1 << bit
    try:
        events = parse(bytes(damaged))
    except wire.RemoteProtocolError:
        return
    assert all(isinstance(event, wire.Event) for event in events)
