"""The language model's threads on cores that others want too.

    python -m bench.threads

For each number of threads and of busy processes beside it (nice 10, as our workers are): time to the first token and to
the ninth (about a first clause), over six questions on a warm prompt.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench.calls import spread
from bench.machine import machine
from voicebridge.config import load
from voicebridge.conversation.commands import ChatMessage
from voicebridge.engines.base import EngineError
from voicebridge.engines.llama_server import ENGINE, LlamaServer

QUESTIONS = (
    "Where is your shop?",
    "How much does it cost to rent a bike?",
    "Do you have parking near the shop for my car?",
    "What time do you open on Saturday?",
    "Can you fix a flat tyre while I wait?",
    "Do you sell electric bikes for children?",
)
TOKENS = 9
GIVE_UP_S = 30.0


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    hogs = [subprocess.Popen(["nice", "-n", "10", sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


async def _measure(engine: LlamaServer) -> dict[str, Any]:
    agent = load().agents["open"]
    prompt = (ChatMessage("system", agent.system_prompt()),)
    session = engine.session(agent=agent.name)
    await session.warm(prompt)
    first, ninth = [], []
    for question in QUESTIONS:
        began = time.monotonic()
        heard = 0.0
        with contextlib.suppress(EngineError):
            pieces = session.generate(
                (*prompt, ChatMessage("user", question)), max_tokens=TOKENS, deadline=began, give_up=began + GIVE_UP_S
            )
            async for _ in pieces:
                heard = heard or time.monotonic() - began
        first.append(heard or GIVE_UP_S)
        ninth.append(time.monotonic() - began)
    await session.close()
    return {"first_s": spread(first), "ninth_s": spread(ninth)}


async def _run() -> list[dict[str, Any]]:
    rows = []
    for threads in (1, os.cpu_count() or 2):
        engine = ENGINE.create({"threads": threads})
        await engine.start()
        try:
            await engine.host.worker.wait_ready(60.0)
            for hogs in (0, 1, 2):
                with _busy(hogs):
                    rows.append({"threads": threads, "busy": hogs, **await _measure(engine)})
        finally:
            await engine.stop()
    return rows


@click.command()
@click.option("--json", "as_json", is_flag=True)
def main(as_json: bool) -> None:
    """Measure the model's threads against busy cores."""
    rows = asyncio.run(_run())
    if as_json:
        click.echo(json.dumps({"rows": rows, **machine()}))
        return
    table = Table("threads", "busy", "first p50", "max", "ninth p50", "max", title=" ".join(machine().values()))
    for row in rows:
        times = [f"{row[name][key]:.2f} s" for name in ("first_s", "ninth_s") for key in ("p50", "max")]
        table.add_row(str(row["threads"]), str(row["busy"]), *times)
    Console().print(table)


if __name__ == "__main__":
    main()
