"""Keys that are told twice reach the call once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicebridge.pbx.asterisk.keys import Keys


class Call:
    def __init__(self) -> None:
        self.digits = ""
        self.heard: list[tuple[bytes, int]] = []
        self.closed: list[str] = []

    def on_audio(self, pcm: bytes, rate: int) -> None:
        self.heard.append((pcm, rate))

    def on_dtmf(self, digit: str) -> None:
        self.digits += digit

    def on_closed(self, reason: str) -> None:
        self.closed.append(reason)


@given(st.text("0123456789*#ABCD", max_size=12), st.lists(st.booleans(), max_size=30))
def test_two_ways_that_both_tell_everything_are_one(pressed: str, order: list[bool]):
    call = Call()
    keys = Keys(call)
    media, ari = list(pressed), list(pressed)
    for by_media in [*order, *(True,) * len(pressed), *(False,) * len(pressed)]:
        way, tell = (media, keys.on_dtmf) if by_media else (ari, keys.on_ari_dtmf)
        if way:
            tell(way.pop(0))
    assert call.digits == pressed


@given(st.text("0123456789*#", max_size=12), st.booleans())
def test_one_way_is_enough(pressed: str, by_media: bool):
    call = Call()
    keys = Keys(call)
    for digit in pressed:
        (keys.on_dtmf if by_media else keys.on_ari_dtmf)(digit)
    assert call.digits == pressed


def test_the_rest_goes_through_and_nothing_after_the_end():
    call = Call()
    keys = Keys(call)
    keys.on_audio(b"\1\0", 8_000)
    keys.on_closed("hangup")
    keys.on_ari_dtmf("1")
    assert (call.heard, call.closed, call.digits) == ([(b"\1\0", 8_000)], ["hangup"], "")
