"""The main programme of the worker: a GGUF model by llama-cpp-python, served over HTTP on a Unix socket.

`python -m voicebridge.engines.llama_cpp.worker --socket PATH --options JSON`. One thread computes, another does the
HTTP. SIGTERM ends it; the supervisor starts it again when it dies.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from aiohttp import web

from voicebridge.engines.llama_cpp.batching import Batching
from voicebridge.engines.llama_cpp.model import Model, ModelError
from voicebridge.engines.llama_cpp.prompt import Prompts
from voicebridge.engines.llama_cpp.schedule import MOST_TOKENS
from voicebridge.engines.llama_cpp.sequences import Sequences
from voicebridge.engines.llama_cpp.server import Served, Server

BACKLOG = 128


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """`calls` conversations are kept computed, of `context` tokens at most each; `agents`: prompts that calls share.

    `threads` compute one batch. Without `deadlines` it is first come, first served. `waiting` requests may wait.
    """

    model: str
    calls: int = 8
    context: int = 2048
    agents: int = 8
    threads: int = 2
    temperature: float = 0.2
    deadlines: bool = True
    waiting: int = 64


def checked(given: Mapping[str, Any]) -> WorkerOptions:
    """Raises ValueError, with the name of what is wrong."""
    known = {one.name for one in fields(WorkerOptions)}
    if unknown := sorted(set(given) - known):
        raise ValueError(f"there is no option {unknown[0]}; there are {', '.join(sorted(known))}")
    if "model" not in given:
        raise ValueError("the option model is missing")
    options = WorkerOptions(**given)
    for name in ("calls", "context", "agents", "threads", "waiting"):
        if not isinstance(getattr(options, name), int) or getattr(options, name) < 1:
            raise ValueError(f"the option {name} has to be a whole number, 1 at least")
    return options


def load(options: WorkerOptions) -> Served:
    """Raises ModelError. Takes a second or so; the thread that computes runs from then on."""
    model = Model(
        Path(options.model),
        sequences=options.calls + options.agents,
        cells=options.calls * options.context,
        batch=max(MOST_TOKENS, options.calls),
        threads=options.threads,
    )
    context = min(options.context, model.trained_context)
    sequences = Sequences(options.calls, options.agents, whole=model.whole)
    batching = Batching(
        model,
        sequences,
        context=context,
        deadlines=options.deadlines,
        waiting=options.waiting,
        broken=lambda: os._exit(1),
    )
    batching.start()
    return Served(model, Prompts(model, context), batching, options.temperature)


async def serve(options: WorkerOptions, path: Path) -> None:
    """Until SIGTERM or SIGINT. Raises ModelError."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = Server()
    runner = web.AppRunner(server.application(), handler_cancellation=True, access_log=None)
    await runner.setup()
    with _listening(path) as listening:
        await web.SockSite(runner, listening, backlog=BACKLOG).start()
        loading = asyncio.create_task(asyncio.to_thread(load, options))
        ending = asyncio.create_task(ended.wait())
        await asyncio.wait([loading, ending], return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            server.served = loading.result()
            print(f"INFO serving {Path(options.model).name}", file=sys.stderr, flush=True)
            await ending


@contextlib.contextmanager
def _listening(path: Path) -> Any:
    """A socket of ours alone; its file goes when the block ends."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        mask = os.umask(0o177)
        try:
            made.bind(str(path))
        finally:
            os.umask(mask)
        made.setblocking(False)
        try:
            yield made
        finally:
            path.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="voicebridge.engines.llama_cpp.worker")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--options", type=json.loads, required=True)
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        options = checked(asked.options)
    except (ValueError, TypeError) as error:
        parser.error(str(error))
    code = 0
    if not Path(options.model).is_file():
        print(f"ERROR model file {options.model} is not there", file=sys.stderr)
        code = 1
    else:
        try:
            asyncio.run(serve(options, asked.socket))
        except ModelError as error:
            print(f"ERROR {error}", file=sys.stderr)
            code = 1
    sys.stderr.flush()
    os._exit(code)  # the thread may be computing: tearing down the interpreter under it would crash


if __name__ == "__main__":
    main()
