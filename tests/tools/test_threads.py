"""Threads for plain functions: bounded, and a name that hangs leaves room for the others."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
import time

import pytest

from voicebridge.tools.threads import Threads

WAIT_S = 5.0


def test_a_function_runs_in_another_thread_and_its_end_comes_back():
    threads = Threads()
    assert threads.submit("a", threading.get_ident).result(WAIT_S) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        threads.submit("a", lambda: 1 // 0).result(WAIT_S)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration(1), GeneratorExit()])
async def test_what_would_end_the_process_or_upset_asyncio_comes_back_as_an_error(error):
    def fails() -> None:
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        await asyncio.wrap_future(Threads().submit("a", fails))


def test_one_name_cannot_take_all_threads_and_the_waiting_ones_come_in_order():
    threads, gate, ran = Threads(most=3, each=2), threading.Event(), []
    hanging = [threads.submit("hangs", gate.wait) for _ in range(2)]
    late = [threads.submit("hangs", lambda n=n: ran.append(n)) for n in range(3)]
    assert threads.submit("other", lambda: "done").result(WAIT_S) == "done"
    time.sleep(0.02)
    assert ran == []
    assert threads.busy == 2
    gate.set()
    for job in (*hanging, *late):
        job.result(WAIT_S)
    assert sorted(ran) == [0, 1, 2]


def test_there_are_never_more_threads_than_allowed():
    threads, lock, now, most = Threads(most=3, each=3), threading.Lock(), 0, 0

    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1

    for job in [threads.submit(f"tool {n % 4}", work) for n in range(40)]:
        job.result(WAIT_S)
    assert most == 3


def test_a_job_that_is_given_up_before_its_turn_is_not_run():
    threads, gate, ran = Threads(most=1, each=1), threading.Event(), []
    first = threads.submit("a", gate.wait)
    second, third = threads.submit("a", lambda: ran.append(2)), threads.submit("a", lambda: ran.append(3))
    assert second.cancel()
    gate.set()
    first.result(WAIT_S)
    third.result(WAIT_S)
    assert ran == [3]


def test_context_variables_are_those_of_who_submitted():
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("mine")
    assert Threads().submit("a", variable.get).result(WAIT_S) == "mine"


def test_a_thread_that_hangs_does_not_keep_the_process_from_ending():
    code = "from voicebridge.tools.threads import Threads; import threading; "
    code += "Threads().submit('a', threading.Event().wait); print('end')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "end\n"
