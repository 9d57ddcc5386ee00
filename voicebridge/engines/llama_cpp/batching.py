"""The thread that computes: requests come in, batches go through the model, pieces of text go out.

All requests share one context. Between two batches (some 60 ms) it looks who is needed soonest, takes in who is new,
and forgets who is not wanted any more. An agent's prompt is computed once, by a job of its own as urgent as the most
urgent of those who wait for it, and copied to every call.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from voicebridge.engines.llama_cpp.model import BadGrammar, Entry, Model, NoRoom
from voicebridge.engines.llama_cpp.request import Failed, Finished, Piece, Request
from voicebridge.engines.llama_cpp.schedule import Pace, Share, Want, plan
from voicebridge.engines.llama_cpp.sequences import Copy, Cut, Sequences, common
from voicebridge.engines.llama_cpp.stats import Counts
from voicebridge.engines.llama_cpp.threads import Threads
from voicebridge.engines.llama_cpp.wording import Wording

log = logging.getLogger(__name__)

ALIKE = 8
"""An agent's prompt may end so many tokens sooner in one request than in another: its last word can melt into what
comes next."""


class QueueFull(Exception):
    """As many requests wait as may."""


class Batching:
    """`waiting`: how many requests may wait for a sequence. `broken` is called when the model is of no more use."""

    def __init__(
        self,
        model: Model,
        sequences: Sequences,
        *,
        context: int,
        deadlines: bool = True,
        waiting: int = 64,
        pace: Pace | None = None,
        broken: Callable[[], None] = lambda: None,
    ) -> None:
        self._model, self._sequences, self._context = model, sequences, context
        self._deadlines, self._most_waiting, self._broken = deadlines, waiting, broken
        self._waiting: list[Request] = []
        self._running: list[Request] = []
        self._queued: set[Request] = set()  # wait for a sequence, or to be heard of; not those cancelled meanwhile
        self._told: list[Callable[[], None]] = []
        self._changed = threading.Condition()
        self._order = itertools.count(1)
        self._pace = pace or Pace()
        self._threads = Threads(model.threads)
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="llama", daemon=True)
        self.counts = Counts()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop after the batch that is being computed."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    # ---- from any thread

    def submit(self, request: Request) -> None:
        """Raises QueueFull."""
        if len(self._queued) >= self._most_waiting:
            if request.sampler is not None:
                request.sampler.close()
            raise QueueFull(f"{self._most_waiting} requests are waiting")
        self._queued.add(request)
        request.order = next(self._order)
        request.wording = Wording(request.stops)
        self._tell(lambda: self._take_in(request))

    def cancel(self, request: Request) -> None:
        """Nobody waits for it any more; nothing is delivered. What has been computed stays in the call's sequence."""
        self._queued.discard(request)
        self._tell(lambda: self._forget(request))

    def defer(self, call: str, deadline: float) -> bool:
        """Move the deadline of what the call waits for; False if it waits for nothing."""
        found = [one for one in self._of(call) if not one.speculative]
        for request in found:
            request.deadline = deadline
        return bool(found)

    def release(self, call: str) -> None:
        """The call has ended: drop its requests and forget its conversation."""
        self._tell(lambda: self._let_go(call))

    def load(self) -> dict[str, int]:
        return {"waiting": len(self._waiting), "running": len(self._running), "batch_limit": self._pace.limit}

    def _tell(self, what: Callable[[], None]) -> None:
        with self._changed:
            self._told.append(what)
            self._changed.notify()

    # ---- the thread

    def _serve(self) -> None:
        try:
            while self._wait():
                self.turn()
        except Exception:
            log.exception("the model is of no more use")
            for request in [*self._waiting, *self._running]:
                request.deliver(Failed(500, "the model failed"))
            self._broken()

    def _wait(self) -> bool:
        """Until there is something to do; False when closed."""
        with self._changed:
            while not (self._closed or self._told or self._running or self._waiting):
                self._changed.wait()
        return not self._closed

    def turn(self) -> None:
        """Hear what has been told since the last time, and compute one batch."""
        with self._changed:
            told, self._told = self._told, []
        for what in told:
            what()
        self._admit()
        self._step()

    def _take_in(self, request: Request) -> None:
        for other in self._of(request.call):
            if other.speculative:
                self._finish(other, "dropped")
        self._waiting.append(request)

    def _let_go(self, call: str) -> None:
        for request in self._of(call):
            self._finish(request, "dropped")
        self._do(self._sequences.release(call))

    def _of(self, call: str) -> list[Request]:
        """The call's requests; those without a call are each by itself."""
        return [one for one in (*self._waiting, *self._running) if call and one.call == call]

    def _admit(self) -> None:
        """Give those who wait a sequence, the most urgent first."""
        for job in [one for one in self._running if one.job]:
            job.deadline = math.inf  # unless somebody still waits for it
        for request in sorted(self._waiting, key=lambda one: (one.deadline, one.order)):
            if request.agent and request.shared and not self._agent_is_there(request):
                continue
            if self._sequences.owns(request.call):
                continue  # one at a time: they share a sequence
            place = self._sequences.call(request.call, request.tokens, all_of_it=request.max_tokens == 0)
            if place is None:
                self._make_room(request)
                continue
            self._waiting.remove(request)
            self._queued.discard(request)
            self._running.append(request)
            self._do(place.operations)
            request.seq, request.reused = place.seq, place.reused
            self.counts.reused += place.reused
            if place.reused == len(request.tokens):
                self._finish(request, "length")

    def _agent_is_there(self, request: Request) -> bool:
        """Else see to it that it is being computed."""
        prompt = request.tokens[: request.shared]
        for job in [one for one in self._running if one.job and one.agent == request.agent]:
            if common(job.tokens, prompt) >= request.shared - ALIKE:
                job.deadline = min(job.deadline, request.deadline)
                return False
        if self._sequences.agent_length(request.agent, prompt) >= request.shared - ALIKE:
            return True
        place = self._sequences.agent(request.agent, prompt)
        if place is None:
            return True  # no room for another agent's prompt: the call computes it for itself
        self._do(place.operations)
        job = Request(prompt, request.deadline, 0, lambda _: None, agent=request.agent, job=True)
        job.order, job.seq, job.reused = next(self._order), place.seq, place.reused
        self._running.append(job)
        if place.reused == len(prompt):
            self._finish(job, "length")
            return True
        return False

    def _make_room(self, request: Request) -> None:
        """All sequences are in use: whoever computes without need gives his to one who waits."""
        idle = [one for one in self._running if one.speculative and not one.job]
        if idle and not request.speculative:
            self._finish(max(idle, key=lambda one: one.order), "dropped")

    def _step(self) -> None:
        wants = [self._want(request) for request in self._running]
        shares = plan(wants, time.monotonic(), self._pace.limit, deadlines=self._deadlines)
        if not shares:
            return
        parts = [(request, share) for share in shares for request in self._running if request.order == share.key]
        entries = [entry for request, share in parts for entry in self._entries(request, share)]
        threads = self._threads.best(len(entries))
        self._model.use_threads(threads)
        began = time.perf_counter()
        if not self._decoded(entries):
            return
        for request, share in parts:
            held = self._sequences.held[request.seq]
            self.counts.prefilled += share.tokens if len(held) < len(request.tokens) else 0
            held.extend(self._next(request, share.tokens))
        asked = iter([at for at, entry in enumerate(entries) if entry.asks])
        for request, _ in parts:
            self._go_on(request, asked)
        seconds = time.perf_counter() - began
        self._pace.took(len(entries), seconds)
        self._threads.took(len(entries), threads, seconds)
        self.counts.step(seconds)

    def _want(self, request: Request) -> Want:
        left = len(request.tokens) - len(self._sequences.held[request.seq])
        return Want(request.order, request.deadline, request.order, max(0, left))

    def _next(self, request: Request, count: int) -> Sequence[int]:
        done = len(self._sequences.held[request.seq])
        return request.tokens[done : done + count] if done < len(request.tokens) else request.generated[-1:]

    def _entries(self, request: Request, share: Share) -> list[Entry]:
        """Its tokens in the batch; what follows the prompt's last one is asked for."""
        done = len(self._sequences.held[request.seq])
        end = done + share.tokens
        asks = request.max_tokens > 0 and end >= len(request.tokens)
        return [
            Entry(token, at, request.seq, asks and at == end - 1)
            for at, token in enumerate(self._next(request, share.tokens), done)
        ]

    def _decoded(self, entries: list[Entry]) -> bool:
        """False when there was no room: then somebody has made some."""
        try:
            self._model.decode(entries)
        except NoRoom:
            if (cut := self._sequences.evict()) is not None:
                self._do((cut,))
                return False
            last = max(self._running, key=lambda one: (one.deadline, one.order))
            self._fail(last, 503, "the memory of the model is full")
            return False
        return True

    def _go_on(self, request: Request, asked: Iterator[int]) -> None:
        """Choose the token that follows, where the prompt is there."""
        if len(self._sequences.held[request.seq]) < len(request.tokens):
            return
        if request.max_tokens == 0 or request.sampler is None:
            self._finish(request, "length")
            return
        at = next(asked)
        try:
            token = self._model.sample(request.sampler, at)
        except BadGrammar as error:
            self._fail(request, 400, str(error))
            return
        self.counts.generated += 1
        if self._model.ends(token):
            self._finish(request, "stop")
            return
        request.sampler.accept(token)
        request.generated.append(token)
        if text := request.wording.add(self._model.piece(token)):
            request.deliver(Piece(text))
        if request.wording.stopped:
            self._finish(request, "stop")
        elif len(request.generated) >= request.max_tokens or self._full(request):
            self._finish(request, "length")

    def _full(self, request: Request) -> bool:
        return len(self._sequences.held[request.seq]) + 1 >= self._context

    # ---- ends

    def _finish(self, request: Request, reason: str) -> None:
        if reason != "dropped" and (text := request.wording.finish()):
            request.deliver(Piece(text))
        self._forget(request)
        request.deliver(Finished(reason, len(request.tokens), request.reused, len(request.generated)))

    def _fail(self, request: Request, status: int, detail: str) -> None:
        self._forget(request)
        request.deliver(Failed(status, detail))

    def _forget(self, request: Request) -> None:
        self._queued.discard(request)
        if request in self._waiting:
            self._waiting.remove(request)
        if request in self._running:
            self._running.remove(request)
            self._sequences.free(request.seq)
        if request.sampler is not None:
            request.sampler.close()

    def _do(self, operations: Sequence[Cut | Copy]) -> None:
        for one in operations:
            if isinstance(one, Cut):
                self._model.cut(one.seq, one.length)
            else:
                self._model.copy(one.source, one.target, one.length)
