"""The messages of one call, made and read with pyVoIP 1.6 (extra `sip`).

Only its makers and its parser are used, not its client: that sends each request once and then waits for ever, takes no
refusal but 404 and 503, acknowledges an answer with a tag that nobody knows (the PBX gives such a call up after 32 s),
answers a BYE so, and leaves threads behind. What stands within a dialog (RFC 3261, section 12) and what is copied from
a request is therefore written here.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyVoIP.VoIP  # noqa: F401 - first: its modules import each other in a circle
from pyVoIP.RTP import PayloadType, RTPParseError, TransmitType
from pyVoIP.SIP import SIPClient, SIPMessage, SIPParseError

from voicebridge.audio.g711 import LAWS, Law
from voicebridge.protocol.rtp import EVENTS, PCMA, PCMU

UNREADABLE = (SIPParseError, RTPParseError, ValueError, LookupError, NameError, AttributeError)
"""What pyVoIP's parser raises on what it does not know."""
CODECS = {PCMU: PayloadType.PCMU, PCMA: PayloadType.PCMA, EVENTS: PayloadType.EVENT}
LINE = re.compile(r"[^\r\n]+")


@dataclass(frozen=True, slots=True)
class Media:
    """Where the other side wants to have its sound, and in which law."""

    host: str
    port: int
    law: Law


@dataclass(frozen=True, slots=True)
class Message:
    """What came. `code` is 0 for a request. Names of headers are in small letters, in their order."""

    method: str
    number: int
    code: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: str

    @classmethod
    def parsed(cls, data: bytes) -> Message | None:
        """None where it is no SIP message: keep-alives, for one."""
        head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        first, *lines = LINE.findall(head) or [""]
        pairs = [line.partition(":") for line in lines if ":" in line]
        headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
        number, _, method = dict(headers).get("cseq", "").partition(" ")
        words = first.split(" ", 2)
        if "SIP/2.0" not in (words[0], words[-1]) or len(words) < 3 or not number.isdigit():
            return None
        answer = words[0] == "SIP/2.0"
        if answer and not words[1].isdigit():
            return None
        code, reason = (int(words[1]), words[2]) if answer else (0, "")
        return cls(method.strip() if answer else words[0], int(number), code, reason, headers, body)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def first(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    @property
    def uri(self) -> str:
        """Of its Contact, without brackets."""
        found = re.search(r"<([^>]+)>", self.first("contact"))
        return found[1] if found else self.first("contact").partition(";")[0]

    def media(self) -> Media | None:
        """Of its SDP: the first audio in a law of ours. None where there is none."""
        head = f"SIP/2.0 200 OK\r\nContent-Type: application/sdp\r\nContent-Length: {len(self.body)}\r\n\r\n"
        try:  # without the other headers: pyVoIP fails on those that are empty
            told: dict[str, Any] = SIPMessage((head + self.body).encode()).body
        except UNREADABLE:
            return None
        laws = {law.payload_type: law for law in LAWS.values()}
        for made in told.get("m", ()):
            known = [laws[int(kind)] for kind in made["methods"] if kind.isdigit() and int(kind) in laws]
            if made["type"] == "audio" and known and made["port"]:
                return Media(next((str(c["address"]) for c in told.get("c", ())), ""), made["port"], known[0])
        return None


class _Maker(SIPClient):  # type: ignore[misc]  # untyped
    """pyVoIP's maker of messages, with one call's own id and tag: its ids are the same in each process."""

    def __init__(self, server: str, user: str, local: tuple[str, int]) -> None:
        self._tag, self._id = secrets.token_hex(8), f"{uuid.uuid4()}@{local[0]}"
        super().__init__(server, 0, user, "", None, myIP=local[0], myPort=local[1])

    def gen_tag(self) -> str:
        return self._tag

    def gen_call_id(self) -> str:
        return self._id


@dataclass(frozen=True, slots=True)
class Whom:
    """Who is called (`extension` at `server`, HOST or HOST:PORT), by `user`; `headers` go into the INVITE."""

    extension: str
    server: str
    user: str
    headers: tuple[str, ...] = ()


class Messages:
    """One call's. `local`: our own address; `rtp_port`: where its sound is wanted."""

    def __init__(self, whom: Whom, local: tuple[str, int], rtp_port: int) -> None:
        self._whom, self._local = whom, local
        self._maker = _Maker(whom.server, whom.user, local)
        self._rtp_port = rtp_port
        self._invite = ""
        self._to = self._peer = ""
        self._routes: list[str] = []

    @property
    def call_id(self) -> str:
        return str(self._maker.gen_call_id())

    @property
    def uri(self) -> str:
        """Who is called, as the request says it."""
        return f"sip:{self._whom.extension}@{self._whom.server}"

    @property
    def registrar(self) -> str:
        return f"sip:{self._whom.server}"

    # ---- outside of a dialog

    def register(self, *, leave: bool = False, more: Sequence[str] = ()) -> str:
        return _with(str(self._maker.gen_first_response(deregister=leave)), more)

    def invite(self, more: Sequence[str] = ()) -> str:
        """Each is a request of its own: its CSeq is the next one."""
        self._invite = _with(self._offer(CODECS), (*self._whom.headers, *more))
        return self._invite

    def cancel(self) -> str:
        """Of the newest INVITE: its own branch and number (RFC 3261, 9.1)."""
        return self._of_invite("CANCEL", self._header("To"))

    def refused(self, reply: Message) -> str:
        """The ACK of a refusal belongs to the INVITE's transaction (17.1.1.3)."""
        return self._of_invite("ACK", reply.first("to"))

    def _of_invite(self, method: str, to: str) -> str:
        lines = [f"Via: {self._header('Via')}", f"From: {self._header('From')}", f"To: {to}"]
        return _request(method, self.uri, [*lines, *self._counted(method, self._number)])

    def _header(self, name: str) -> str:
        found = re.search(rf"^{name}: (.*?)\r$", self._invite, re.MULTILINE)
        return found[1] if found else ""

    @property
    def _number(self) -> int:
        return int(self._header("CSeq").partition(" ")[0])

    def _counted(self, method: str, number: int) -> list[str]:
        return [f"Call-ID: {self.call_id}", f"CSeq: {number} {method}", "Max-Forwards: 70"]

    # ---- within it

    def answered(self, reply: Message) -> None:
        """The call is on: what follows goes to whom the answer names."""
        self._to, self._peer = reply.first("to"), reply.uri or self.uri
        self._routes = list(reversed([part.strip() for line in reply.all("record-route") for part in line.split(",")]))

    def ack(self) -> str:
        return self._within("ACK", self._number)

    def bye(self) -> str:
        return self._within("BYE", self._number + 1)

    def _within(self, method: str, number: int) -> str:
        host, port = self._local
        lines = [f"Via: SIP/2.0/UDP {host}:{port};branch={_branch()};rport"]
        lines += [f"Route: {route}" for route in self._routes]
        lines += [f"From: {self._header('From')}", f"To: {self._to}", *self._counted(method, number)]
        return _request(method, self._peer, lines)

    def media_again(self, request: Message) -> str:
        """The answer to a re-INVITE: the same media as before, in the law that it asks for."""
        asked, kinds = request.media(), dict(CODECS)
        if asked is not None:
            kinds = {kind: name for kind, name in CODECS.items() if kind in (asked.law.payload_type, EVENTS)}
        host, port = self._local
        lines = [f"Contact: <sip:{self._whom.user}@{host}:{port}>", "Content-Type: application/sdp"]
        return reply_to(request, "200 OK", lines, self._offer(kinds).partition("\r\n\r\n")[2])

    def _offer(self, kinds: dict[int, PayloadType]) -> str:
        ports, both = {self._rtp_port: kinds}, TransmitType.SENDRECV
        return str(self._maker.gen_invite(self._whom.extension, "1", ports, both, _branch(), self.call_id))


COPIED = (("via", "Via"), ("from", "From"), ("to", "To"), ("call-id", "Call-ID"), ("cseq", "CSeq"))


def reply_to(request: Message, status: str, more: Sequence[str] = (), body: str = "") -> str:
    """RFC 3261, 8.2.6.2: what is copied from the request."""
    copied = [f"{name}: {value}" for key, name in COPIED for value in request.all(key)]
    return "\r\n".join([f"SIP/2.0 {status}", *copied, *more, f"Content-Length: {len(body.encode())}", "", body])


def _request(method: str, uri: str, lines: Sequence[str]) -> str:
    return "\r\n".join([f"{method} {uri} SIP/2.0", *lines, "Content-Length: 0", "", ""])


def _with(text: str, headers: Sequence[str]) -> str:
    first, _, rest = text.partition("\r\n")
    return "\r\n".join([first, *headers, rest])


def _branch() -> str:
    return f"z9hG4bK{uuid.uuid4().hex}"
