"""What ARI tells, as frozen events; of the many it has those that a call needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Channel:
    """`state`: Down, Ring, Ringing, Up, Busy. The dialplan's place is the step that runs (`Stasis()` itself)."""

    id: str
    name: str
    state: str
    caller_number: str = ""
    caller_name: str = ""
    context: str = ""
    extension: str = ""
    priority: int = 0
    running: str = ""
    """The application that it runs, with its arguments: `Stasis`, `voicebridge,agent=desk`."""
    running_args: str = ""

    @classmethod
    def parsed(cls, found: Mapping[str, Any]) -> Channel:
        """Raises KeyError, TypeError, ValueError for what is no channel."""
        place, caller = found.get("dialplan") or {}, found.get("caller") or {}
        return cls(
            id=str(found["id"]),
            name=str(found["name"]),
            state=str(found["state"]),
            caller_number=str(caller.get("number", "")),
            caller_name=str(caller.get("name", "")),
            context=str(place.get("context", "")),
            extension=str(place.get("exten", "")),
            priority=int(place.get("priority", 0)),
            running=str(place.get("app_name", "")),
            running_args=str(place.get("app_data", "")),
        )


@dataclass(frozen=True, slots=True)
class StasisStart:
    """A channel is ours now; `args` are those of `Stasis(app,...)`, or of whoever originated it."""

    channel: Channel
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StasisEnd:
    """A channel is no longer ours: gone, or in the dialplan."""

    channel: Channel


@dataclass(frozen=True, slots=True)
class ChannelStateChange:
    channel: Channel


@dataclass(frozen=True, slots=True)
class ChannelDestroyed:
    """`cause` as in Q.850: 16 normal, 17 busy, 19 no answer, 21 rejected."""

    channel: Channel
    cause: int


@dataclass(frozen=True, slots=True)
class ChannelHangupRequest:
    """Somebody wants a channel's end. `soft`: Asterisk itself, or an application; else its far side has hung up."""

    channel: Channel
    soft: bool


@dataclass(frozen=True, slots=True)
class ChannelDtmfReceived:
    channel: Channel
    digit: str


@dataclass(frozen=True, slots=True)
class Dial:
    """How a call that we made goes on: RINGING, PROGRESS, ANSWER, BUSY, NOANSWER, CHANUNAVAIL, CONGESTION."""

    peer: Channel
    status: str


@dataclass(frozen=True, slots=True)
class PlaybackFinished:
    playback: str
    state: str


@dataclass(frozen=True, slots=True)
class ApplicationReplaced:
    """Another one has connected as our application: Asterisk tells him what happens, not us."""

    app: str


Event = (
    StasisStart
    | StasisEnd
    | ChannelStateChange
    | ChannelDestroyed
    | ChannelHangupRequest
    | ChannelDtmfReceived
    | Dial
    | PlaybackFinished
    | ApplicationReplaced
)


def parsed(found: Mapping[str, Any]) -> Event | None:
    """None for what we have no use for. Raises KeyError, TypeError, ValueError, AttributeError."""
    match found["type"]:
        case "StasisStart":
            return StasisStart(Channel.parsed(found["channel"]), tuple(str(arg) for arg in found["args"]))
        case "StasisEnd":
            return StasisEnd(Channel.parsed(found["channel"]))
        case "ChannelStateChange":
            return ChannelStateChange(Channel.parsed(found["channel"]))
        case "ChannelDestroyed":
            return ChannelDestroyed(Channel.parsed(found["channel"]), int(found.get("cause", 0)))
        case "ChannelHangupRequest":
            return ChannelHangupRequest(Channel.parsed(found["channel"]), bool(found.get("soft", False)))
        case "ChannelDtmfReceived":
            return ChannelDtmfReceived(Channel.parsed(found["channel"]), str(found["digit"]))
        case "Dial":
            return Dial(Channel.parsed(found["peer"]), str(found.get("dialstatus", "")))
        case "PlaybackFinished":
            return PlaybackFinished(str(found["playback"]["id"]), str(found["playback"]["state"]))
        case "ApplicationReplaced":
            return ApplicationReplaced(str(found.get("application", "")))
        case _:
            return None
