"""ARI's events, as Asterisk 22.10 sent them, and what is no event."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.pbx.asterisk import ari_events as ev
from voicebridge.pbx.asterisk.ari import AriAccess
from voicebridge.pbx.asterisk.giveback import place_of
from voicebridge.pbx.asterisk.sweep import is_in_app

CHANNEL: dict[str, Any] = {
    "id": "1795522253.2", "name": "PJSIP/sipp-00000001", "state": "Up",
    "protocol_id": "0200374a-c3d7-453c-8111-9063a9b821b6", "caller": {"name": "Caller", "number": "caller"},
    "connected": {"name": "", "number": ""}, "accountcode": "",
    "dialplan": {
        "context": "bench", "exten": "stasis", "priority": 4,
        "app_name": "Stasis", "app_data": "voicebridge,agent=desk",
    },
    "creationtime": "2026-11-24T12:10:53.697+0000", "language": "en",
}  # fmt: skip


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "application": "voicebridge", "asterisk_id": "02:fc:00:00:00:01", **more}


def test_events_are_read_as_asterisk_writes_them():
    channel = ev.Channel.parsed(CHANNEL)
    assert (channel.context, channel.extension, channel.priority) == ("bench", "stasis", 4)
    assert (channel.caller_number, channel.caller_name) == ("caller", "Caller")
    start = event("StasisStart", channel=CHANNEL, args=["agent=desk"])
    assert ev.parsed(start) == ev.StasisStart(channel, ("agent=desk",))
    assert ev.parsed(event("StasisEnd", channel=CHANNEL)) == ev.StasisEnd(channel)
    gone = event("ChannelDestroyed", channel=CHANNEL, cause=17, cause_txt="User busy")
    assert ev.parsed(gone) == ev.ChannelDestroyed(channel, 17)
    key = event("ChannelDtmfReceived", channel=CHANNEL, digit="#", duration_ms=100)
    assert ev.parsed(key) == ev.ChannelDtmfReceived(channel, "#")
    dial = event("Dial", peer=CHANNEL, dialstatus="RINGING", dialstring="x", forward="")
    assert ev.parsed(dial) == ev.Dial(channel, "RINGING")
    assert ev.parsed(event("ChannelVarset", channel=CHANNEL, variable="X", value="y")) is None
    assert ev.parsed(event("SomethingOfAsterisk30")) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KINDS = st.sampled_from(["StasisStart", "ChannelDestroyed", "Dial", "ChannelDtmfReceived", "PlaybackFinished"])


@given(KINDS, st.dictionaries(st.sampled_from(["channel", "peer", "args", "cause", "playback"]), JSON))
def test_what_is_no_event_is_told_by_these_errors_alone(kind: str, fields: dict[str, Any]):
    try:
        ev.parsed({"type": kind, **fields})
    except (KeyError, TypeError, ValueError, AttributeError):
        return


def test_who_is_in_our_application():
    caller = ev.Channel.parsed(CHANNEL)
    assert is_in_app(caller, "voicebridge")
    assert not is_in_app(caller, "voice")
    human = ev.Channel("vb-human-1", "PJSIP/a-1", "Ringing", running="AppDial2")
    assert is_in_app(human, "voicebridge")
    talking = ev.Channel("vb-human-1", "PJSIP/a-1", "Up", running="", context="voicebridge-warm")
    assert not is_in_app(talking, "voicebridge")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("from-trunk,100,3", ("from-trunk", "100", 3)),
        (" desk , s ", ("desk", "s", 1)),
        ("", None), ("desk", None), ("desk,s,x", None), ("a,b,1,2", None), ("a b,s,1", None), ("desk,${X},1", None),
    ],
)  # fmt: skip
def test_a_place_to_return_to(text: str, place: tuple[str, str, int] | None):
    assert place_of(text) == place


def test_the_password_is_in_no_address_and_no_text():
    access = AriAccess("https://pbx.example:8089/ari/", "voice", "geheim", "my app")
    assert access.events_url == "wss://pbx.example:8089/ari/events?app=my%20app"
    assert "geheim" not in repr(access) + access.events_url
