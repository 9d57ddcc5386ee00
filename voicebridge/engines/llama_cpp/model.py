"""A GGUF model and its context: llama-cpp-python's low-level functions, as plain Python. No policy.

One context with many sequences in unified memory: without that a copy of part of a sequence aborts the process. Only
one thread may use the context; tokenising and making samplers may be done from any.
"""

from __future__ import annotations

import ctypes
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp as llama
import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)

TOP_K, TOP_P, MIN_P = 40, 0.95, 0.05
"""llama.cpp's own defaults."""
NO_ROOM = 1
"""llama_decode's word for a full memory; it has changed nothing then."""
MARKS = 1 | 8
"""Attributes of tokens that text is only read as where special tokens are parsed: UNKNOWN and CONTROL."""
MAX_GRAMMAR, MAX_NESTED = 64 * 1024, 64
"""Characters of a grammar, and brackets in brackets: llama.cpp reads and follows them recursively, on the stack."""
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]', re.DOTALL)
_TOKEN_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)], align=True)


class ModelError(Exception):
    """The model cannot be loaded, or the context is broken and the process of no more use."""


class NoRoom(Exception):
    """The memory of the context is full: forget some sequence and try again."""


class BadGrammar(ValueError):
    """A text that is no GBNF grammar, or one that nothing fits."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One token of a batch: at `position` of sequence `seq`. `asks`: what comes behind it will be sampled."""

    token: int
    position: int
    seq: int
    asks: bool


ERROR_LEVEL = 4
"""Of ggml's log; more than a thousand lines of lower ones come while a model loads."""
_troubles: list[str] = []
"""What llama.cpp complained of since a model began to be loaded."""


@llama.llama_log_callback  # type: ignore[untyped-decorator, unused-ignore]
def _log(level: int, text: bytes, _: Any) -> None:
    if level == ERROR_LEVEL:
        _troubles.append(text.decode(errors="replace").strip())
        log.debug("llama.cpp: %s", _troubles[-1])


class Model:
    """`cells`: tokens that all sequences can hold; `batch`: tokens that one decode may have. `threads` at most."""

    def __init__(self, path: Path, *, sequences: int, cells: int, batch: int, threads: int) -> None:
        llama.llama_log_set(_log, ctypes.c_void_p(0))
        llama.llama_backend_init()
        _troubles.clear()
        wanted = llama.llama_model_default_params()
        wanted.n_gpu_layers = 0
        self._model: Any = llama.llama_model_load_from_file(str(path).encode(), wanted)
        if not self._model:
            raise ModelError(f"model file {path} cannot be loaded: {_complaint()}")
        self._vocab: Any = llama.llama_model_get_vocab(self._model)
        self._context: Any = llama.llama_init_from_model(self._model, _parameters(sequences, cells, batch, threads))
        if not self._context:
            raise ModelError(
                f"model file {path}: no memory for {cells} tokens of {sequences} sequences: {_complaint()}"
            )
        self._memory: Any = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(batch, 0, 1)
        self._piece = ctypes.create_string_buffer(512)
        self.name, self.threads = path.name, threads
        self.trained_context = int(llama.llama_model_n_ctx_train(self._model))
        self.vocabulary = int(llama.llama_vocab_n_tokens(self._vocab))
        self.whole = bool(llama.llama_model_is_recurrent(self._model) or llama.llama_model_is_hybrid(self._model))
        self.marks = frozenset(self._marks())

    def _marks(self) -> list[str]:
        """Texts that are special tokens where those are parsed."""
        found = [n for n in range(self.vocabulary) if llama.llama_vocab_get_attr(self._vocab, n) & MARKS]
        return [text for token in found if (text := self.text_of(token))]

    # ---- text and tokens

    def tokens(self, text: str, *, special: bool) -> list[int]:
        """`special`: texts of special tokens (`marks`) are read as such."""
        data = text.encode(errors="replace")
        room = len(data) + 8
        found = (llama.llama_token * room)()
        count = llama.llama_tokenize(self._vocab, data, len(data), found, room, False, special)
        if count < 0:
            raise ModelError(f"a text of {len(data)} bytes cannot be told in tokens")
        return list(found[:count])

    @property
    def begin(self) -> int | None:
        """The token that has to come first, if any."""
        return int(llama.llama_vocab_bos(self._vocab)) if llama.llama_vocab_get_add_bos(self._vocab) else None

    def text_of(self, token: int) -> str:
        """As it stands in the vocabulary; "" for none."""
        return str(llama.llama_vocab_get_text(self._vocab, token).decode(errors="replace")) if token >= 0 else ""

    @property
    def begin_text(self) -> str:
        return self.text_of(int(llama.llama_vocab_bos(self._vocab)))

    @property
    def end_text(self) -> str:
        return self.text_of(int(llama.llama_vocab_eos(self._vocab)))

    def piece(self, token: int) -> bytes:
        """What a token adds to a text, maybe part of a character; special tokens add nothing. One thread at a time."""
        size = llama.llama_token_to_piece(self._vocab, token, self._piece, len(self._piece), 0, False)
        return self._piece.raw[:size] if size > 0 else b""

    def ends(self, token: int) -> bool:
        return bool(llama.llama_vocab_is_eog(self._vocab, token))

    @property
    def template(self) -> str:
        """The chat template (Jinja) in the file; "" where it has none."""
        found = llama.llama_model_chat_template(self._model, None)
        return found.decode(errors="replace") if found else ""

    # ---- the context: one thread

    def decode(self, entries: Sequence[Entry]) -> None:
        """Compute a batch. Raises NoRoom, ModelError."""
        _troubles.clear()
        batch = self._batch
        batch.n_tokens = len(entries)
        for at, entry in enumerate(entries):
            batch.token[at], batch.pos[at], batch.logits[at] = entry.token, entry.position, entry.asks
            batch.n_seq_id[at], batch.seq_id[at][0] = 1, entry.seq
        status = llama.llama_decode(self._context, batch)
        if status == NO_ROOM:
            raise NoRoom
        if status != 0:
            raise ModelError(f"a batch of {len(entries)} tokens failed with status {status}: {_complaint()}")

    def use_threads(self, count: int) -> None:
        """From the next batch on."""
        llama.llama_set_n_threads(self._context, count, count)

    def cut(self, seq: int, length: int) -> None:
        """Sequence `seq` keeps its first `length` tokens. Raises ModelError where the memory cannot do that."""
        if not llama.llama_memory_seq_rm(self._memory, seq, length, -1):
            raise ModelError(f"the memory cannot be cut at {length}")

    def copy(self, source: int, target: int, length: int) -> None:
        llama.llama_memory_seq_cp(self._memory, source, target, 0, -1 if self.whole else length)

    def logits(self, at: int) -> npt.NDArray[np.float32]:
        """What entry `at` of the last batch, which asked, says of every token. A view: valid until the next decode."""
        found = llama.llama_get_logits_ith(self._context, at)
        return np.ctypeslib.as_array(found, shape=(self.vocabulary,))

    def sampler(self, *, temperature: float, seed: int, grammar: str = "") -> Sampler:
        """Raises BadGrammar."""
        return Sampler(self, self._vocab, temperature, seed, grammar)

    def sample(self, sampler: Sampler, at: int) -> int:
        """A token to follow entry `at` of the last batch."""
        token = int(llama.llama_sampler_sample(sampler.chain, self._context, at))
        return token if sampler.allows(token) else sampler.among(self.logits(at))


class Sampler:
    """One answer's choice of tokens. `close` it; the model's thread uses it."""

    def __init__(self, model: Model, vocab: Any, temperature: float, seed: int, grammar: str) -> None:
        self.grammar: Any = None
        if grammar:
            if len(grammar) > MAX_GRAMMAR or _nested(grammar) > MAX_NESTED:
                most = f"at most {MAX_GRAMMAR} characters and {MAX_NESTED} brackets in brackets"
                raise BadGrammar(f"a grammar may have {most}")
            self.grammar = llama.llama_sampler_init_grammar(vocab, grammar.encode(), b"root")
            if not self.grammar:
                raise BadGrammar("the grammar is not GBNF with a rule `root`")
        self.chain: Any = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        for part in _chain(temperature, seed):
            llama.llama_sampler_chain_add(self.chain, part)

    def close(self) -> None:
        """Free it; a second time does nothing."""
        for part in (self.chain, self.grammar):
            if part:
                llama.llama_sampler_free(part)
        self.chain = self.grammar = None

    def allows(self, token: int) -> bool:
        """The grammar, if any. Asking about one token is quicker than about all, and mostly the answer is yes."""
        if not self.grammar:
            return True
        one = np.zeros(1, _TOKEN_DATA)
        one["id"], one["logit"] = token, 1.0
        self._apply(self.grammar, one)
        return bool(one["logit"][0] > -np.inf)

    def among(self, logits: npt.NDArray[np.float32]) -> int:
        """A token that the grammar allows. BadGrammar where that is none: to accept one would end the process."""
        every = np.zeros(len(logits), _TOKEN_DATA)
        every["id"], every["logit"] = np.arange(len(logits)), logits
        array = self._apply(self.grammar, every)
        if not math.isfinite(every["logit"].max()):
            raise BadGrammar("the grammar allows no token of this model here")
        llama.llama_sampler_apply(self.chain, ctypes.byref(array))
        return int(array.data[array.selected].id)

    def accept(self, token: int) -> None:
        """It has been chosen: the grammar goes on behind it."""
        if self.grammar:
            llama.llama_sampler_accept(self.grammar, token)

    @staticmethod
    def _apply(part: Any, candidates: npt.NDArray[Any]) -> Any:
        data = ctypes.cast(candidates.ctypes.data, llama.llama_token_data_p)
        array = llama.llama_token_data_array(data=data, size=len(candidates), selected=-1, sorted=False)
        llama.llama_sampler_apply(part, ctypes.byref(array))
        return array


def _nested(grammar: str) -> int:
    """How deep the brackets of a grammar go, at most."""
    depth = deepest = 0
    for mark in re.findall(r"[()]", _QUOTED.sub("", grammar)):
        depth += 1 if mark == "(" else -1
        deepest = max(deepest, depth)
    return deepest


def _complaint() -> str:
    return (_troubles or ["llama.cpp does not say why"])[0]


def _chain(temperature: float, seed: int) -> list[Any]:
    if temperature <= 0:
        return [llama.llama_sampler_init_greedy()]
    return [
        llama.llama_sampler_init_top_k(TOP_K),
        llama.llama_sampler_init_top_p(TOP_P, 1),
        llama.llama_sampler_init_min_p(MIN_P, 1),
        llama.llama_sampler_init_temp(temperature),
        llama.llama_sampler_init_dist(seed & 0xFFFFFFFF),
    ]


def _parameters(sequences: int, cells: int, batch: int, threads: int) -> Any:
    made = llama.llama_context_default_params()
    made.n_ctx, made.n_seq_max = cells, sequences
    made.n_batch = made.n_ubatch = batch
    made.n_threads = made.n_threads_batch = threads
    made.kv_unified = made.swa_full = made.no_perf = True
    made.offload_kqv = False
    return made
