"""Requests of several calls in one context, batch by batch, with the real small model: the order of things is counted
in batches, never by the clock."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: make llama")
from voicebridge.engines.llama_cpp.batching import Batching, QueueFull
from voicebridge.engines.llama_cpp.prompt import Prompts, Said
from voicebridge.engines.llama_cpp.request import Failed, Finished, Outcome, Piece, Request
from voicebridge.engines.llama_cpp.schedule import Pace
from voicebridge.engines.llama_cpp.sequences import Sequences

if TYPE_CHECKING:
    from voicebridge.engines.llama_cpp.model import Model

pytestmark = pytest.mark.models

CALLS, AGENTS, CONTEXT = 2, 2, 512
STEP = 32
SYSTEM = Said("system", "You work for a bakery. " + " ".join(f"Loaf {n} costs {n + 2} pounds." for n in range(1, 5)))
COUNT = Said("user", "Count from 1 to 30.")
BEGUN = Said("assistant", "1, 2, 3, 4, 5, 6, 7, 8,")


class Bench:
    """Calls of one agent; what came of each, and after how many batches."""

    def __init__(self, model: Model, *, context: int = CONTEXT, **options: Any) -> None:
        self.model = model
        self.prompts = Prompts(model, context)
        self.sequences = Sequences(CALLS, AGENTS)
        self.batching = Batching(model, self.sequences, context=context, pace=Pace(least=STEP, most=STEP), **options)
        self.turns = 0
        self.came: dict[str, list[Outcome]] = {}
        self.first: dict[str, int] = {}
        self.ended: dict[str, int] = {}

    def ask(
        self, call: str, *said: Said, tokens: int = 6, due: float = 0.2, agent: str = "bakery", **more: Any
    ) -> Request:
        """`due` in seconds from now; inf is speculative."""
        prompt = self.prompts.make(said, shared=1 if agent else 0, answer=tokens > 0, room=tokens, drop=False)
        more.setdefault("sampler", self.model.sampler(temperature=0, seed=1) if tokens else None)
        request = Request(
            tokens=prompt.tokens,
            deadline=due if due == math.inf else time.monotonic() + due,
            max_tokens=tokens,
            deliver=lambda outcome: self._deliver(call, outcome),
            call=call,
            agent=agent,
            shared=prompt.shared,
            **more,
        )
        self.batching.submit(request)
        return request

    def _deliver(self, call: str, outcome: Outcome) -> None:
        self.came.setdefault(call, []).append(outcome)
        self.first.setdefault(call, self.turns)
        if not isinstance(outcome, Piece):
            self.ended[call] = self.turns

    def turn(self, count: int = 1) -> None:
        for _ in range(count):
            self.turns += 1
            self.batching.turn()

    def until(self, done: Callable[[], bool]) -> None:
        for _ in range(200):
            if done():
                return
            self.turn()
        raise AssertionError("not done after 200 batches")

    def all_done(self) -> None:
        self.turn()
        self.until(lambda: not any(self.batching.load()[one] for one in ("waiting", "running")))

    def text(self, call: str) -> str:
        return "".join(outcome.text for outcome in self.came[call] if isinstance(outcome, Piece))

    def end(self, call: str) -> Finished | Failed:
        last = self.came[call][-1]
        assert not isinstance(last, Piece)
        return last


def finished(bench: Bench, call: str) -> Finished:
    end = bench.end(call)
    assert isinstance(end, Finished)
    return end


def test_the_first_call_of_an_agent_computes_its_prompt_and_the_others_have_it(model: Model) -> None:
    bench = Bench(model)
    bench.ask("a", SYSTEM, COUNT, BEGUN)
    bench.all_done()
    cold, counts = bench.text("a"), bench.batching.counts
    agents = len(bench.prompts.make([SYSTEM], shared=1, answer=False, room=1, drop=False).tokens)
    assert finished(bench, "a").reused == agents
    assert counts.prefilled == finished(bench, "a").prompt
    bench.ask("b", SYSTEM, COUNT, BEGUN)
    bench.all_done()
    assert bench.text("b") == cold
    assert counts.prefilled == finished(bench, "a").prompt + 1  # all of it stood in one sequence or another
    for call in "ab":
        bench.batching.release(call)
    before = counts.prefilled
    bench.ask("c", SYSTEM, Said("user", "Hi."))
    bench.all_done()
    assert finished(bench, "c").reused == agents
    assert counts.prefilled - before == finished(bench, "c").prompt - agents


def test_two_first_calls_at_once_compute_the_prompt_once(model: Model) -> None:
    bench = Bench(model)
    bench.ask("a", SYSTEM, Said("user", "Hi."), tokens=1)
    bench.ask("b", SYSTEM, Said("user", "Hello there."), tokens=1)
    bench.all_done()
    agents = finished(bench, "a").reused
    assert agents == finished(bench, "b").reused > 30
    rest = sum(finished(bench, call).prompt - agents for call in "ab")
    assert bench.batching.counts.prefilled == agents + rest


def test_a_prompt_that_was_computed_while_the_caller_spoke_leaves_but_his_last_words(model: Model) -> None:
    bench = Bench(model)
    bench.ask("a", SYSTEM, Said("user", "Do you have rye bread"), tokens=0, due=math.inf)
    bench.all_done()
    assert finished(bench, "a").generated == 0
    assert bench.text("a") == ""
    bench.ask("a", SYSTEM, Said("user", "Do you have rye bread today?"))
    bench.all_done()
    assert finished(bench, "a").prompt - finished(bench, "a").reused <= 10


def test_the_earliest_deadline_is_served_first(model: Model) -> None:
    bench = Bench(model)
    bench.ask("late", SYSTEM, COUNT, due=30)
    bench.ask("soon", SYSTEM, COUNT, due=0.1, tokens=4)
    bench.all_done()
    assert bench.ended["soon"] < bench.first["late"]


def test_an_answer_with_time_makes_room_within_one_batch_and_goes_on_afterwards(model: Model) -> None:
    bench = Bench(model)
    bench.ask("a", SYSTEM, COUNT, BEGUN, tokens=20)
    bench.until(lambda: "a" in bench.first)
    assert bench.batching.defer("a", time.monotonic() + 30)
    so_far = bench.text("a")
    bench.ask("b", SYSTEM, Said("user", "Hi."), tokens=3)
    asked = bench.turns
    bench.until(lambda: "b" in bench.ended)
    assert bench.first["b"] == asked + 1  # what of its prompt was missing fits into one batch
    assert bench.text("a") == so_far
    bench.all_done()
    assert bench.text("a").startswith(" 9, 10, 11, 12, 13")


def test_a_deadline_that_comes_nearer_counts_too(model: Model) -> None:
    bench = Bench(model)
    bench.ask("a", SYSTEM, COUNT, due=30, tokens=3)
    bench.ask("b", SYSTEM, COUNT, due=20, tokens=3)
    bench.turn()
    assert bench.batching.defer("a", time.monotonic())
    bench.all_done()
    assert bench.ended["a"] < bench.first["b"]
    assert not bench.batching.defer("a", time.monotonic())


def test_without_deadlines_it_is_first_come_first_served(model: Model) -> None:
    bench = Bench(model, deadlines=False)
    bench.ask("late", SYSTEM, COUNT, due=30, tokens=4)
    bench.ask("soon", SYSTEM, COUNT, due=0.1, tokens=4)
    bench.all_done()
    assert bench.first["late"] <= bench.first["soon"]


def test_speculative_work_waits_and_makes_room_for_the_calls_own_answer(model: Model) -> None:
    bench = Bench(model)
    bench.ask("a", SYSTEM, Said("user", "word " * 80), tokens=0, due=math.inf, agent="")
    bench.turn(2)
    bench.ask("b", SYSTEM, COUNT, tokens=2, agent="")
    began = bench.batching.counts.prefilled
    bench.until(lambda: "b" in bench.ended)
    assert "a" not in bench.ended
    assert bench.batching.counts.prefilled - began == finished(bench, "b").prompt - finished(bench, "b").reused
    bench.ask("a", SYSTEM, COUNT, tokens=2, agent="")
    bench.all_done()
    ends = [outcome for outcome in bench.came["a"] if isinstance(outcome, Finished)]
    assert [(end.reason, end.generated) for end in ends] == [("dropped", 0), ("length", 2)]


def test_speculative_work_loses_its_sequence_to_one_who_waits(model: Model) -> None:
    bench = Bench(model)
    for call in "ab":
        bench.ask(call, SYSTEM, Said("user", call + " word" * 80), tokens=0, due=math.inf, agent="")
    bench.turn()
    bench.ask("c", SYSTEM, COUNT, tokens=2, agent="")
    bench.until(lambda: "c" in bench.ended)
    assert finished(bench, "b").reason == "dropped"
    assert "a" not in bench.ended


def test_who_is_cancelled_hears_nothing_more_and_computes_nothing_more(model: Model) -> None:
    bench = Bench(model)
    request = bench.ask("a", SYSTEM, COUNT, BEGUN, tokens=100)
    bench.until(lambda: len(bench.came.get("a", [])) > 3)
    came, generated = len(bench.came["a"]), bench.batching.counts.generated
    bench.batching.cancel(request)
    bench.batching.cancel(request)  # a second time does nothing
    bench.turn(2)
    assert (len(bench.came["a"]), bench.batching.counts.generated) == (came, generated)
    assert bench.batching.load()["running"] == 0
    bench.ask("a", SYSTEM, COUNT, BEGUN, tokens=1)
    bench.all_done()
    assert finished(bench, "a").reused == finished(bench, "a").prompt - 1


def test_one_answer_of_a_call_at_a_time(model: Model) -> None:
    bench = Bench(model)
    bench.ask("a", SYSTEM, COUNT, tokens=3)
    bench.ask("a", SYSTEM, COUNT, BEGUN, tokens=3)
    bench.all_done()
    ends = [outcome for outcome in bench.came["a"] if isinstance(outcome, Finished)]
    assert [end.generated for end in ends] == [3, 3]
    assert bench.text("a").endswith(" 9,") or " 9" in bench.text("a")


def test_more_calls_than_sequences_are_all_served(model: Model) -> None:
    bench = Bench(model)
    for n in range(4):
        bench.ask(f"call {n}", COUNT, BEGUN, tokens=2, agent="")
    bench.all_done()
    texts = {bench.text(f"call {n}") for n in range(4)}
    assert len(texts) == 1
    assert texts.pop().startswith(" ")


def test_as_many_as_may_wait(model: Model) -> None:
    bench = Bench(model, waiting=2)
    for call in "ab":
        bench.ask(call, COUNT, tokens=1, agent="")
    with pytest.raises(QueueFull, match="2 requests are waiting"):
        bench.ask("c", COUNT, tokens=1, agent="")
    bench.all_done()
    bench.ask("c", COUNT, tokens=1, agent="")
    bench.all_done()
    assert finished(bench, "c").generated == 1


def test_who_was_cancelled_takes_nobodys_place(model: Model) -> None:
    bench = Bench(model, waiting=2)
    for call in "abcdef":
        bench.batching.cancel(bench.ask(call, SYSTEM, COUNT))
    bench.ask("g", SYSTEM, COUNT)
    bench.all_done()
    assert finished(bench, "g").generated == 6


def test_an_answer_ends_where_the_calls_context_does(model: Model) -> None:
    bench = Bench(model, context=84)
    bench.ask("a", COUNT, BEGUN, tokens=200, agent="")
    bench.all_done()
    end = finished(bench, "a")
    assert end.reason == "length"
    assert end.prompt + end.generated == 84


def test_stop_words_and_grammars_end_an_answer(model: Model) -> None:
    bench = Bench(model)
    bench.ask("a", SYSTEM, COUNT, BEGUN, tokens=20, stops=("11",))
    grammar = model.sampler(temperature=0, seed=1, grammar='root ::= "say " [a-z]+ "."')
    bench.ask("b", SYSTEM, COUNT, tokens=8, sampler=grammar)
    bench.all_done()
    assert finished(bench, "a").reason == "stop"
    assert bench.text("a") == " 9, 10, "
    assert bench.text("b").startswith("say ")


def test_a_grammar_that_nothing_fits_ends_its_own_answer_only(model: Model) -> None:
    bench = Bench(model)
    nothing = model.sampler(temperature=0.2, seed=1, grammar=r"root ::= [^\x00-\U0010FFFF]")
    bench.ask("a", SYSTEM, COUNT, sampler=nothing)
    bench.ask("b", SYSTEM, COUNT)
    bench.all_done()
    assert bench.end("a") == Failed(400, "the grammar allows no token of this model here")
    assert finished(bench, "b").generated == 6


def test_a_changed_prompt_of_an_agent_is_computed_anew(model: Model) -> None:
    bench = Bench(model)
    bench.ask("a", SYSTEM, COUNT, tokens=1)
    bench.all_done()
    other = Said("system", SYSTEM.text.replace("Loaf 3", "Cake 3"))
    bench.ask("b", other, COUNT, tokens=1)
    bench.all_done()
    whole = bench.prompts.make([other], shared=1, answer=False, room=1, drop=False)
    assert finished(bench, "b").reused == whole.shared
    assert bench.sequences.agent_length("bakery", whole.tokens) == whole.shared


def test_a_model_that_fails_tells_all_who_wait_and_gives_up(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from voicebridge.engines.llama_cpp.model import ModelError

    broken = threading.Event()
    bench = Bench(model, broken=broken.set)

    def fail(_: object) -> None:
        raise ModelError("no more")

    monkeypatch.setattr(model, "decode", fail)
    bench.ask("a", SYSTEM, COUNT)
    bench.batching.start()
    assert broken.wait(10)
    assert bench.end("a") == Failed(500, "the model failed")
    bench.batching.close()
