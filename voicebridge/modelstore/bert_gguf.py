"""A BERT encoder from safetensors to GGUF, as llama.cpp wants it: for sentence embeddings.

Formats: https://github.com/huggingface/safetensors (header) and llama.cpp's `bert` architecture (names of tensors and
keys as its own converter writes them). The same input gives the same bytes.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

LAYERS: Final = 6
WIDTH: Final = 384
FEED_FORWARD: Final = 1536
HEADS: Final = 12
CONTEXT: Final = 512
EPSILON: Final = 1e-12
TOKEN_NORMAL, TOKEN_UNKNOWN, TOKEN_CONTROL = 1, 2, 3
MEAN_POOLING: Final = 1
MOSTLY_F16: Final = 1

_TOP: Final = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm": "token_embd_norm",
}
_BLOCK: Final = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def read_safetensors(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """All float tensors of a file. Raises ValueError for what is none."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        first, end = entry["data_offsets"]
        flat = np.frombuffer(data[8 + length + first : 8 + length + end], dtype="<f4")
        tensors[name.removeprefix("bert.")] = flat.reshape(entry["shape"])
    return tensors


def _named(tensors: dict[str, npt.NDArray[np.float32]]) -> list[tuple[str, npt.NDArray[np.float32]]]:
    """The tensors under llama.cpp's names, in a fixed order; the pooler is not used for embeddings."""
    made = []
    for name, to in _TOP.items():
        if name.endswith(".weight"):
            made.append((to, tensors[name]))
        else:
            made += [(f"{to}.{part}", tensors[f"{name}.{part}"]) for part in ("weight", "bias")]
    for layer in range(LAYERS):
        for name, to in _BLOCK.items():
            for part in ("weight", "bias"):
                made.append((f"blk.{layer}.{to}.{part}", tensors[f"encoder.layer.{layer}.{name}.{part}"]))
    return made


def _phantom(token: str) -> str:
    """llama.cpp's WordPiece marks beginnings of words, not continuations."""
    if token.startswith("[") and token.endswith("]"):
        return token
    return token[2:] if token.startswith("##") else "\u2581" + token


def convert(weights: Path, vocabulary: Path, target: Path) -> None:
    """all-MiniLM-L6-v2's `model.safetensors` and `vocab.txt` to a GGUF file (weights of matrices in 16 bit)."""
    from gguf import GGMLQuantizationType, GGUFWriter

    tokens = vocabulary.read_text(encoding="utf-8").splitlines()
    writer = GGUFWriter(str(target), "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_file_type(MOSTLY_F16)
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(EPSILON)
    writer.add_causal_attention(False)
    writer.add_uint32("bert.pooling_type", MEAN_POOLING)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(2)
    writer.add_token_list([_phantom(token) for token in tokens])
    writer.add_token_types([_token_type(token) for token in tokens])
    ids = {token: index for index, token in enumerate(tokens)}
    writer.add_bos_token_id(ids["[CLS]"])
    writer.add_eos_token_id(ids["[SEP]"])
    writer.add_unk_token_id(ids["[UNK]"])
    writer.add_sep_token_id(ids["[SEP]"])
    writer.add_pad_token_id(ids["[PAD]"])
    writer.add_mask_token_id(ids["[MASK]"])
    for name, tensor in _named(read_safetensors(weights)):
        small = tensor.ndim == 1 or name.startswith(("position", "token_types"))
        kept = tensor.astype(np.float32 if small else np.float16)
        kind = GGMLQuantizationType.F32 if small else GGMLQuantizationType.F16
        writer.add_tensor(name, kept, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _token_type(token: str) -> int:
    if token == "[UNK]":
        return TOKEN_UNKNOWN
    return TOKEN_CONTROL if token.startswith("[") and token.endswith("]") else TOKEN_NORMAL
