"""A SIP user agent for one outgoing call over UDP: asks, repeats, authenticates, acknowledges, hangs up (RFC 3261)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from voicebridge.protocol.digest import Challenge, DigestError
from voicebridge.sip.messages import Media, Message, Messages, Whom, reply_to

T1_S = 0.5
"""Between a request and its first repetition (17.1.1.1)."""
DEAF_S = 8.0
"""Who has said nothing at all within so long is not there."""
RING_S = 30.0
LEAVE_S = 2.0
CHALLENGES = {401: ("www-authenticate", "Authorization"), 407: ("proxy-authenticate", "Proxy-Authorization")}
REDIRECTS = range(300, 400)
AGREED = {"OPTIONS", "UPDATE", "INFO", "NOTIFY", "MESSAGE"}
"""What is within our call and may be answered with nothing but yes."""


class SipError(Exception):
    """The call was not made; the text names cause and cure. `code`: the PBX's answer, 0 where there was none."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Account:
    """Who calls, where the PBX asks (digest)."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Answered:
    """`at`: when (`time.monotonic`); `after_s`: since the INVITE."""

    at: float
    after_s: float
    media: Media


WHY = {
    403: "it lets nobody with this user or address call there: see the endpoint's context and ACL, and its log",
    404: "no such extension where our calls arrive: `asterisk -rx 'dialplan show {extension}@CONTEXT'`, "
         "CONTEXT being that of our endpoint",
    408: "nobody answered there in the PBX's time",
    480: "nobody is there to answer: is what the extension dials registered and free?",
    484: "the number is not complete",
    486: "busy",
    488: "no codec in common: let the endpoint have ulaw or alaw (pjsip.conf: allow=ulaw)",
    500: "it failed; its log says why (a user with a password needs res_pjsip_authenticator_digest)",
    503: "it cannot serve the call now; its log says why",
    600: "busy everywhere",
    603: "declined",
    606: "no codec in common: let the endpoint have ulaw or alaw (pjsip.conf: allow=ulaw)",
}  # fmt: skip
ASKED = (
    "the PBX asks who calls ({code}): say --user, and --password-env with the variable that holds the password. "
    "Asterisk asks so, too, where no endpoint of its pjsip.conf fits our address"
)
REFUSED = "the PBX does not take user {user!r} with this password, or has no such user ({code})"
SILENT = (
    "nothing answered on {host}:{port} (UDP) within {seconds:.0f} s: does the PBX speak SIP over UDP there "
    "(`asterisk -rx 'pjsip show transports'`), and does a firewall let it through?"
)
NOBODY = (
    "nothing listens on {host}:{port} (UDP): is the PBX running, and is that its SIP port (`pjsip show transports`)?"
)


class UserAgent(asyncio.DatagramProtocol):
    """One call. `on_ended` is called once, when the other side hangs up."""

    def __init__(
        self, whom: Whom, address: tuple[str, int], account: Account | None, on_ended: Callable[[], None]
    ) -> None:
        self._whom, self._address, self._account, self._on_ended = whom, address, account, on_ended
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[tuple[str, int], asyncio.Queue[Message | OSError]] = {}
        self._messages: Messages | None = None
        self._on = self._registered = False

    @classmethod
    async def open(
        cls, whom: Whom, address: tuple[str, int], *, account: Account | None, on_ended: Callable[[], None],
        local: str | None = None,
    ) -> UserAgent:  # fmt: skip
        """`local`: from which address of this machine. Raises SipError."""
        loop = asyncio.get_running_loop()
        try:
            _, made = await loop.create_datagram_endpoint(
                lambda: cls(whom, address, account, on_ended), remote_addr=address, family=socket.AF_INET,
                local_addr=(local, 0) if local else None,
            )  # fmt: skip
        except OSError as error:
            raise SipError(f"no way to {address[0]}:{address[1]} over IPv4: {error.strerror or error}") from error
        return made

    @property
    def local(self) -> tuple[str, int]:
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        return host, port

    def take(self, rtp_port: int) -> None:
        """Our sound's port; before anything else."""
        self._messages = Messages(self._whom, self.local, rtp_port)

    # ---- asking

    async def register(self, *, leave: bool = False) -> None:
        """Raises SipError."""
        messages = self._made()

        def ask(more: tuple[str, ...]) -> str:
            return messages.register(leave=leave, more=more)

        reply = await self._authenticated("REGISTER", messages.registrar, ask)
        if reply.code != 200:
            raise SipError(f"the PBX does not register {self._whom.user!r}: {reply.code} {reply.reason}", reply.code)
        self._registered = not leave

    async def invite(self) -> Answered:
        """Until it is answered. Raises SipError."""
        messages, began = self._made(), time.monotonic()
        try:
            reply = await self._authenticated("INVITE", messages.uri, messages.invite)
        except asyncio.CancelledError:
            self._send(messages.cancel())  # Ctrl-C: nobody is to be rung for nothing
            raise
        if not 200 <= reply.code < 300:
            raise self._refusal(reply)
        at = time.monotonic()
        self._begin(reply)
        media = reply.media()
        if media is None:
            await self.hang_up()
            raise SipError("the PBX answered without sound in G.711: let the endpoint have ulaw or alaw", reply.code)
        host = self._address[0] if media.host in ("", "0.0.0.0") else media.host
        return Answered(at, at - began, Media(host, media.port, media.law))

    def _begin(self, reply: Message) -> None:
        messages, self._on = self._made(), True
        messages.answered(reply)
        self._send(messages.ack())

    async def _authenticated(self, method: str, uri: str, ask: Callable[[tuple[str, ...]], str]) -> Message:
        """The final answer; a challenge is answered once."""
        reply = await self._exchange(method, ask(()))
        if reply.code not in CHALLENGES:
            return reply
        if self._account is None:
            raise SipError(ASKED.format(code=reply.code), reply.code)
        theirs, ours = CHALLENGES[reply.code]
        try:
            challenge = Challenge.parsed(reply.first(theirs))
        except DigestError as error:
            raise SipError(f"the PBX asks who calls in a way that is not known here: {error}", reply.code) from error
        value = challenge.answer(
            self._account.user, self._account.password, method=method, uri=uri, cnonce=secrets.token_hex(8)
        )
        reply = await self._exchange(method, ask((f"{ours}: {value}",)))
        if reply.code in CHALLENGES:
            raise SipError(REFUSED.format(user=self._account.user, code=reply.code), reply.code)
        return reply

    async def _exchange(self, method: str, text: str) -> Message:
        """Send a request, repeat it while nothing comes, and give its final answer. Raises SipError."""
        request = Message.parsed(text.encode())
        assert request is not None
        key, host, port = (method, request.number), *self._address
        queue = self._waiting[key] = asyncio.Queue()
        heard, pause, began = False, T1_S, time.monotonic()
        self._send(text)
        try:
            while True:
                limit = began + (RING_S if heard else DEAF_S) - time.monotonic()
                try:
                    got = await asyncio.wait_for(queue.get(), limit if heard else min(pause, limit))
                except TimeoutError:
                    if time.monotonic() - began >= (RING_S if heard else DEAF_S):
                        raise await self._gave_up(method, queue, heard) from None
                    self._send(text)
                    pause *= 2
                    continue
                if isinstance(got, OSError):
                    raise SipError(NOBODY.format(host=host, port=port)) from got
                heard = True
                if got.code >= 200:
                    return got
        finally:
            if method != "INVITE":  # an INVITE's answers are acknowledged as often as they come
                del self._waiting[key]

    async def _gave_up(self, method: str, queue: asyncio.Queue[Message | OSError], heard: bool) -> SipError:
        if not heard:
            return SipError(SILENT.format(host=self._address[0], port=self._address[1], seconds=DEAF_S))
        if method == "INVITE":
            await self._cancel(queue)
        return SipError(
            f"nobody answered {self._whom.extension} within {RING_S:.0f} s; what does its dialplan do before Answer()?"
        )

    async def _cancel(self, queue: asyncio.Queue[Message | OSError]) -> None:
        """An answer that was under way is hung up (9.1)."""
        self._send(self._made().cancel())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                while isinstance(got := await queue.get(), OSError) or got.code < 200:
                    pass
                if got.code < 300:
                    self._begin(got)
                    await self.hang_up()

    def _refusal(self, reply: Message) -> SipError:
        if reply.code in REDIRECTS:
            to = reply.uri
            return SipError(f"the PBX sends the call on ({reply.code}) to {to}: call that", reply.code)
        why = WHY.get(reply.code, "the PBX's log says why").format(extension=self._whom.extension)
        return SipError(f"the PBX refused the call with {reply.code} {reply.reason}: {why}", reply.code)

    async def hang_up(self) -> None:
        """If the call is on, and take the registration back. Who does not answer is left."""
        with contextlib.suppress(TimeoutError, SipError):
            async with asyncio.timeout(LEAVE_S):
                if self._on:
                    self._on = False
                    await self._exchange("BYE", self._made().bye())
                if self._registered:
                    await self.register(leave=True)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _made(self) -> Messages:
        assert self._messages is not None, "take() comes first"
        return self._messages

    def _send(self, text: str) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(text.encode())

    # ---- being told

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def error_received(self, exc: Exception) -> None:
        """What the network said to something of ours: nobody listens there."""
        if isinstance(exc, OSError):
            for queue in self._waiting.values():
                queue.put_nowait(exc)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = Message.parsed(data)
        if message is None:
            return
        if not message.code:
            self._asked(message)
            return
        queue = self._waiting.get((message.method, message.number))
        if queue is None:
            return
        if message.method == "INVITE" and message.code >= 300:
            self._send(self._made().refused(message))
        elif message.method == "INVITE" and message.code >= 200 and self._on:
            self._send(self._made().ack())  # it has not got ours
        queue.put_nowait(message)

    def _asked(self, request: Message) -> None:
        ours = self._messages is not None and request.first("call-id") == self._messages.call_id
        match request.method:
            case "ACK":
                pass
            case "BYE" if ours:
                self._send(reply_to(request, "200 OK"))
                if self._on:
                    self._on = False
                    self._on_ended()
            case "INVITE" if ours:
                self._send(self._made().media_again(request))
            case "INVITE":
                self._send(reply_to(request, "486 Busy Here"))
            case method if method in AGREED and (ours or method == "OPTIONS"):
                self._send(reply_to(request, "200 OK"))
            case _:
                self._send(reply_to(request, "481 Call/Transaction Does Not Exist"))
