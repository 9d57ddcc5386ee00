"""The scenario that SIPp plays for `voicebridge load`: it signals, the media is ours (the SDP says where).

What happens in each call is written to SIPp's log, a line a step: `offered N`, `heard N` (the PBX works on it),
`answered N ADDRESS PORT`, `refused N CODE`, `ended N caller|callee`. N is SIPp's number of the call, from 1; line N of
its CSV file holds the call's id (a UUID) and the port of its media. A call is hung up by an INFO with its Call-ID: SIPp
has no other way to be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from voicebridge.audio.g711 import Law
from voicebridge.protocol.rtp import EVENTS

CODES = (
    300, 301, 302, 305, 380, 400, 402, 403, 404, 405, 406, 408, 410, 413, 414, 415, 416, 420, 421, 422, 423, 480, 481,
    482, 483, 484, 485, 486, 487, 488, 491, 493, 494, 500, 501, 502, 503, 504, 505, 513, 580, 600, 603, 604, 606,
)  # fmt: skip
"""Final answers that refuse a call: SIPp wants each one named."""
CHALLENGES = (401, 407)
PROVISIONAL = (100, 180, 181, 182, 183)
RING_S = 30.0
TIMED_OUT = 0
"""The "code" of a call that nobody answered."""
WARNING = "<!-- Made by voicebridge load. -->"


@dataclass(frozen=True, slots=True)
class Account:
    """Who calls, where the PBX asks (SIP digest)."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Script:
    """`headers` are put into each INVITE as they are; `caller` is the user of From."""

    law: Law
    caller: str = "voicebridge-load"
    account: Account | None = None
    headers: Sequence[str] = ()
    ring_s: float = RING_S

    def __post_init__(self) -> None:
        """Raises ValueError: what would break out of its line or of SIPp's syntax."""
        account = (self.account.user, self.account.password) if self.account is not None else ()
        if any(set(text) & set("\r\n[] ") for text in account):
            raise ValueError("no spaces and no square brackets in the user and the password: SIPp cannot send them")
        for text in (self.caller, *self.headers):
            if set(text) & set("\r\n[]"):
                raise ValueError(f"{text!r}: no line ends and no square brackets in a SIP header")
        for header in self.headers:
            if ":" not in header:
                raise ValueError(f"{header!r} is no header: it lacks a colon (Name: value)")

    def xml(self) -> str:
        parts = [
            '<?xml version="1.0" encoding="UTF-8"?>', WARNING, '<scenario name="load">',
            _nop("offered [call_number]"), self._invite(1), *self._replies(1),
            *(self._authenticated() if self.account is not None else ()),
            _label("answered1"), self._ack(1, then="talk"),
            *((_label("answered2"), self._ack(2, then="talk")) if self.account is not None else ()),
            _label("talk"), *self._talk(), *self._refusals(), _label("over"), "<nop/>",
            '<Reference variables="address,port,tag,line,param"/>', "</scenario>",
        ]  # fmt: skip
        return "\n".join(parts) + "\n"

    # ---- the beginning

    def _invite(self, number: int) -> str:
        extra = [*self.headers, "X-VB-Call: [field0]"]
        if number > 1 and self.account is not None:
            extra.append(f"[authentication username={self.account.user} password={self.account.password}]")
        head = self._head("INVITE", number, to="To: <sip:[service]@[remote_ip]:[remote_port]>")
        contact = "Contact: <sip:load@[local_ip]:[local_port]>"
        return _send([*head, contact, *extra, *_typed(self._sdp())], 'retrans="500"')

    def _sdp(self) -> list[str]:
        kind = self.law.payload_type
        return [
            "v=0", "o=voicebridge 1 1 IN IP[local_ip_type] [local_ip]", "s=-",
            "c=IN IP[local_ip_type] [local_ip]", "t=0 0", f"m=audio [field1] RTP/AVP {kind} {EVENTS}",
            f"a=rtpmap:{kind} {self.law.name}/8000", f"a=rtpmap:{EVENTS} telephone-event/8000",
            f"a=fmtp:{EVENTS} 0-16", "a=ptime:20", "a=sendrecv",
        ]  # fmt: skip

    def _replies(self, number: int) -> list[str]:
        limit = f'timeout="{round(self.ring_s * 1000)}" ontimeout="silent{number}"'  # the first one's counts
        heard = _log("heard [call_number]")
        made = [_recv(f'response="{code}" optional="true" {limit}', heard) for code in PROVISIONAL]
        asks = self.account is not None and number == 1
        for code in CHALLENGES:
            more = 'auth="true" next="authenticate"' if asks else f'next="refused{number}"'
            made.append(_recv(f'response="{code}" optional="true" {more}', "" if asks else _refused(code)))
        made += [
            _recv(f'response="{code}" optional="true" next="refused{number}"', _refused(code)) for code in CODES
        ]
        found = (
            '<ereg regexp="c=IN IP[46] ([^[:space:]]+)" search_in="body" check_it="true" assign_to="line,address"/>',
            '<ereg regexp="m=audio ([0-9]+)" search_in="body" check_it="true" assign_to="line,port"/>',
            '<ereg regexp="tag=([^;]+)" search_in="hdr" header="To:" check_it="true" assign_to="param,tag"/>',
            _log("answered [call_number] [$address] [$port]"),
        )
        return [*made, _recv(f'response="200" next="answered{number}" {limit}', *found)]

    def _authenticated(self) -> list[str]:
        return [_label("authenticate"), self._ack(1, refused=True), self._invite(2), *self._replies(2)]

    def _ack(self, number: int, *, refused: bool = False, then: str = "") -> str:
        """Of a refusal it belongs to the INVITE's own transaction, of an answer it does not (RFC 3261, 17.1.1.3).

        `then`: where it goes on, at once: a BYE that comes while SIPp is at a step of its own would be unexpected.
        """
        after = f'next="{then}"' if then else ""
        return _send([*self._head("ACK", number, same_branch=refused), "Content-Length: 0"], after)

    def _refusals(self) -> list[str]:
        made = []
        for number in (1, 2) if self.account is not None else (1,):
            made += [_label(f"refused{number}"), self._ack(number, refused=True), _jump("over")]
            made += [
                _label(f"silent{number}"), _nop(f"refused [call_number] {TIMED_OUT}"),
                _send([*self._head("CANCEL", number, to="To: <sip:[service]@[remote_ip]:[remote_port]>"),
                       "Content-Length: 0"]),
                _jump("over"),
            ]  # fmt: skip
        return made

    # ---- the call

    def _talk(self) -> list[str]:
        """Until an INFO from us or a BYE from the other side; a re-INVITE gets the same media again."""
        ok = ["SIP/2.0 200 OK", *(f"[last_{name}:]" for name in ("Via", "From", "To", "Call-ID", "CSeq"))]
        return [
            '<recv request="INFO" optional="true" next="hangup"/>',
            '<recv request="INVITE" optional="true" next="again"/>',
            '<recv request="ACK" optional="true" next="talk"/>',
            '<recv request="UPDATE" optional="true" next="agreed"/>',
            '<recv request="OPTIONS" optional="true" next="agreed"/>',
            '<recv request="NOTIFY" optional="true" next="agreed"/>',
            _recv('request="BYE"', _log("ended [call_number] callee")),
            _send([*ok, "Content-Length: 0"], 'next="over"'),
            _label("again"),
            _send([*ok, "Contact: <sip:load@[local_ip]:[local_port]>", *_typed(self._sdp())], 'next="talk"'),
            _label("agreed"), _send([*ok, "Content-Length: 0"], 'next="talk"'),
            _label("hangup"), _send([*self._head("BYE", 3, to=_TO_TAGGED), "Content-Length: 0"], 'retrans="500"'),
            '<recv request="BYE" optional="true" next="ended"/>',
            '<recv response="481" optional="true" next="ended"/>', '<recv response="200"/>',
            _label("ended"), _nop("ended [call_number] caller"), _jump("over"),
        ]  # fmt: skip

    def _head(self, method: str, number: int, *, to: str = "[last_To:]", same_branch: bool = False) -> list[str]:
        via = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]"
        return [
            f"{method} sip:[service]@[remote_ip]:[remote_port] SIP/2.0",
            "[last_Via:]" if same_branch else via,
            f'From: "{self.caller}" <sip:{self.caller}@[local_ip]:[local_port]>;tag=[pid]-[call_number]',
            to, "Call-ID: [call_id]", f"CSeq: {number} {method}", "Max-Forwards: 70",
        ]  # fmt: skip


_TO_TAGGED = "To: <sip:[service]@[remote_ip]:[remote_port]>;tag=[$tag]"


def _typed(sdp: Sequence[str]) -> list[str]:
    return ["Content-Type: application/sdp", "Content-Length: [len]", "", *sdp]


def _send(lines: Sequence[str], attributes: str = "") -> str:
    body = list(lines) if "" in lines else [*lines, ""]
    return f"<send {attributes}>\n<![CDATA[\n" + "\n".join(body) + "\n]]>\n</send>"


def _recv(attributes: str, *actions: str) -> str:
    inner = f"\n<action>\n{chr(10).join(actions)}\n</action>\n" if any(actions) else ""
    return f"<recv {attributes}>{inner}</recv>"


def _log(message: str) -> str:
    return f'<log message="{escape(message)}"/>'


def _nop(message: str) -> str:
    return f"<nop><action>{_log(message)}</action></nop>"


def _refused(code: int) -> str:
    return _log(f"refused [call_number] {code}")


def _label(name: str) -> str:
    return f'<label id="{name}"/>'


def _jump(name: str) -> str:
    return f'<nop next="{name}"/>'
