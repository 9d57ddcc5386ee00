"""The thin layer over llama.cpp, with the real small model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from voicebridge.engines.local_llm import DEFAULT_MODEL
from voicebridge.engines.model_host import model_path

if TYPE_CHECKING:
    from voicebridge.engines.llama_cpp.model import Model

pytestmark = pytest.mark.models

COUNTING = "<|im_start|>user\nCount from 1 to 30.<|im_end|>\n<|im_start|>assistant\n1, 2, 3, 4, 5, 6, 7, 8,"


def computed(model: Model, tokens: list[int], seq: int, start: int = 0) -> None:
    from voicebridge.engines.llama_cpp.model import Entry

    for at in range(start, len(tokens), 16):
        part = tokens[at : at + 16]
        last = len(tokens) - 1
        model.decode([Entry(token, at + n, seq, at + n == last) for n, token in enumerate(part)])


def continued(model: Model, tokens: list[int], seq: int, count: int = 8) -> bytes:
    """Greedily, from a prompt whose last token is computed here."""
    tokens, begun = list(tokens), len(tokens)
    sampler = model.sampler(temperature=0, seed=1)
    computed(model, tokens, seq, start=begun - 1)
    for _ in range(count):
        at = 0
        tokens.append(model.sample(sampler, at))
        computed(model, tokens, seq, start=len(tokens) - 1)
    sampler.close()
    return b"".join(model.piece(token) for token in tokens[begun:])


def test_tokens_and_back(model: Model) -> None:
    text = "Ein Brötchen – 2 €, 面包 🥐"
    tokens = model.tokens(text, special=False)
    assert b"".join(model.piece(token) for token in tokens).decode() == text
    assert len(model.tokens("<|im_end|>", special=True)) == 1 < len(model.tokens("<|im_end|>", special=False))
    assert "<|im_end|>" in model.marks
    assert model.ends(model.tokens("<|im_end|>", special=True)[0])


def test_a_copied_beginning_goes_on_exactly_as_a_computed_one(model: Model) -> None:
    tokens = model.tokens(COUNTING, special=True)
    computed(model, tokens[:-1], 0)
    cold = continued(model, tokens, 0)
    model.cut(0, 0)
    computed(model, tokens[:-1], 2)
    model.copy(2, 1, len(tokens) - 1)
    assert continued(model, tokens, 1) == cold
    assert cold.startswith(b" 9, 10,")
    model.cut(1, 0)
    model.copy(2, 1, 20)  # part of it: without unified memory this would end the process
    computed(model, tokens[:-1], 1, start=20)
    assert continued(model, tokens, 1) == cold


def test_what_was_cut_off_and_computed_again_makes_no_difference(model: Model) -> None:
    tokens = model.tokens(COUNTING, special=True)
    computed(model, tokens[:-1], 0)
    cold = continued(model, tokens, 0)
    model.cut(0, 25)
    computed(model, tokens[:-1], 0, start=25)
    assert continued(model, tokens, 0) == cold


def test_the_same_seed_says_the_same(model: Model) -> None:
    tokens = model.tokens("My favourite things are", special=False)  # it may go on in many ways
    computed(model, tokens, 0)
    drawn = []
    for seed in (7, 7, 8, 9, 10, 11):
        sampler = model.sampler(temperature=5.0, seed=seed)
        drawn.append([model.sample(sampler, len(tokens) - 1) for _ in range(8)])
        sampler.close()
    assert drawn[0] == drawn[1]
    assert any(other != drawn[0] for other in drawn[2:])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_grammar_is_kept_to_whatever_the_model_would_say(model: Model, temperature: float) -> None:
    from voicebridge.engines.llama_cpp.model import Entry

    tokens = model.tokens(COUNTING, special=True)
    sampler = model.sampler(temperature=temperature, seed=3, grammar='root ::= "Brötchen, " ("bitte" | "danke") "."')
    computed(model, tokens, 0)
    at, said = (len(tokens) - 1) % 16, b""
    for position in range(len(tokens), len(tokens) + 30):
        token = model.sample(sampler, at)
        if model.ends(token):
            break
        sampler.accept(token)
        said += model.piece(token)
        model.decode([Entry(token, position, 0, True)])
        at = 0
    sampler.close()
    sampler.close()  # a second time does nothing
    assert said.decode() in ("Brötchen, bitte.", "Brötchen, danke.")


@pytest.mark.parametrize(
    "grammar", ['root ::= "yes', "no rules", 'root ::= root "a"', 'start ::= "a"', "root ::= missing"]
)
def test_what_is_no_grammar_is_refused(model: Model, grammar: str) -> None:
    from voicebridge.engines.llama_cpp.model import BadGrammar

    with pytest.raises(BadGrammar, match="not GBNF"):
        model.sampler(temperature=0, seed=1, grammar=grammar)


@pytest.mark.parametrize("grammar", ["root ::= " + "(" * 100_000 + '"a"' + ")" * 100_000, 'root ::= "a"\n' * 9_000])
def test_a_grammar_that_would_exhaust_the_stack_is_refused(model: Model, grammar: str) -> None:
    from voicebridge.engines.llama_cpp.model import BadGrammar

    with pytest.raises(BadGrammar, match="at most"):
        model.sampler(temperature=0, seed=1, grammar=grammar)


def test_brackets_that_are_text_are_not_counted(model: Model) -> None:
    model.sampler(temperature=0, seed=1, grammar=f'root ::= "{"(" * 100}" [{"(" * 100}]').close()


def test_a_full_memory_is_told_and_changes_nothing(model: Model) -> None:
    from voicebridge.engines.llama_cpp.model import Entry, Model, NoRoom

    small = Model(model_path("test", {}, DEFAULT_MODEL), sequences=2, cells=256, batch=64, threads=1)
    for at in range(0, 256, 64):
        small.decode([Entry(1000, at + n, 0, False) for n in range(64)])
    with pytest.raises(NoRoom):
        small.decode([Entry(1000, 0, 1, False)])
    small.cut(0, 255)
    small.decode([Entry(1000, 0, 1, False)])


@pytest.mark.parametrize("content", [b"", b"GGUF" + bytes(1000)])
def test_a_damaged_file_is_named_with_the_reason(model: Model, tmp_path: Path, content: bytes) -> None:
    from voicebridge.engines.llama_cpp.model import Model, ModelError

    path = tmp_path / "damaged.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"model file {path} cannot be loaded: .+"):
        Model(path, sequences=1, cells=64, batch=64, threads=1)
