"""The main programme of the llama.cpp workers: a GGUF model, served over HTTP on a Unix socket.

`python -m voicebridge.engines.llama_worker --socket PATH --options JSON`. PyPI's `xllamacpp` runs llama.cpp's own
server inside this process: OpenAI's API, slots, continuous batching. SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

BATCH_TOKENS = 64
"""The server goes on with a prompt that nobody waits for any more; others get a token a batch meanwhile, which at 64
tokens is every 0.4 to 0.6 s, at no cost (8 s at the default)."""
NO_POLLING = 0
"""ggml's threads may spin while they wait for each other; on cores that others want too that costs everybody."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """`context` tokens a slot; `threads` compute one batch; `slot_dir` is where saved slots are kept."""

    model: str
    task: Literal["chat", "embed"] = "chat"
    slots: int = 8
    context: int = 2048
    threads: int = 2
    slot_dir: str = ""


def parameters(options: ServerOptions, socket: Path) -> Any:
    """What xllamacpp's Server takes."""
    import xllamacpp

    made = xllamacpp.CommonParams()
    made.model.path = options.model
    made.hostnames, made.port = [str(socket)], 0
    made.n_parallel, made.n_ctx = options.slots, options.slots * options.context
    made.n_batch = made.n_ubatch = BATCH_TOKENS
    made.cache_idle_slots, made.cache_ram_mib = False, 0  # we say ourselves which slot holds what
    made.n_gpu_layers = 0
    made.ui, made.verbosity = False, 0
    for pool in (made.cpuparams, made.cpuparams_batch):
        pool.n_threads, pool.poll = options.threads, NO_POLLING
    if options.slot_dir:
        made.slot_save_path = options.slot_dir.rstrip("/") + "/"
    if options.task == "embed":
        made.embedding = True
        made.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        made.n_batch = made.n_ubatch = options.context  # an encoder takes its text in one piece
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="voicebridge.engines.llama_worker")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--options", type=json.loads, required=True)
    asked = parser.parse_args(arguments)
    if asked.socket.suffix != ".sock":
        parser.error("the socket's name must end in .sock: llama.cpp takes others for host names")
    options = ServerOptions(**asked.options)
    if not Path(options.model).is_file():
        print(f"ERROR model file {options.model} is not there", file=sys.stderr)
        sys.exit(1)
    import xllamacpp

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    os.umask(0o177)
    asked.socket.unlink(missing_ok=True)
    try:
        server = xllamacpp.Server(parameters(options, asked.socket))
    except RuntimeError as error:  # it does not say what failed; the file is what comes from elsewhere
        asked.socket.unlink(missing_ok=True)
        print(f"ERROR model file {options.model} cannot be loaded: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"INFO serving {Path(options.model).name} on {server.listening_address}", file=sys.stderr, flush=True)
    ended.wait()
    asked.socket.unlink(missing_ok=True)
    sys.stderr.flush()
    os._exit(0)  # native threads may be computing: tearing down the interpreter under them would crash


if __name__ == "__main__":
    main()
