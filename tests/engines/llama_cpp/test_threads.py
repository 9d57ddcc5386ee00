"""How many threads compute: pure, the costs are given."""

from __future__ import annotations

from collections import Counter

from voicebridge.engines.llama_cpp.threads import TRY_EVERY, Threads


def used(threads: Threads, costs: dict[int, float], batches: int, tokens: int = 8) -> Counter[int]:
    counted: Counter[int] = Counter()
    for _ in range(batches):
        count = threads.best(tokens)
        threads.took(tokens, count, costs[count] * tokens)
        counted[count] += 1
    return counted


def test_the_quicker_number_is_used_and_the_other_one_tried_now_and_then() -> None:
    counted = used(Threads(2), {1: 0.012, 2: 0.028}, 10 * TRY_EVERY)
    assert 5 <= counted[2] <= 12
    assert used(Threads(2), {1: 0.005, 2: 0.003}, 10 * TRY_EVERY)[1] <= 12


def test_when_the_other_process_has_gone_it_is_found_out() -> None:
    threads = Threads(2)
    used(threads, {1: 0.012, 2: 0.028}, 2 * TRY_EVERY)
    counted = used(threads, {1: 0.005, 2: 0.003}, 10 * TRY_EVERY)
    assert counted[2] > counted[1]


def test_when_another_process_comes_it_is_found_out_at_once() -> None:
    threads = Threads(2)
    used(threads, {1: 0.005, 2: 0.003}, 2 * TRY_EVERY)
    assert used(threads, {1: 0.012, 2: 0.028}, TRY_EVERY)[2] < 8


def test_sizes_are_told_apart() -> None:
    threads = Threads(4)
    used(threads, {1: 0.01, 4: 0.02}, 10, tokens=1)
    used(threads, {1: 0.01, 4: 0.005}, 10, tokens=32)
    assert threads.best(1) == 1
    assert threads.best(33) == 4


def test_one_thread_is_one_thread() -> None:
    assert used(Threads(1), {1: 0.01}, 100) == {1: 100}
