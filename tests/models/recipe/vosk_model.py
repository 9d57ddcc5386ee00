"""A folder that Vosk loads, of an acoustic model and what may be said."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.models.recipe import graph, kaldi, mfcc
from tests.models.recipe.acoustic import SUBSAMPLING, Acoustic

MODEL_CONF: Final = f"""\
--min-active=200
--max-active=3000
--beam=13
--lattice-beam=6.0
--acoustic-scale=0.7
--frame-subsampling-factor={SUBSAMPLING}
--endpoint.silence-phones={graph.SILENT}
--endpoint.rule2.min-trailing-silence=0.5
--endpoint.rule3.min-trailing-silence=0.75
--endpoint.rule4.min-trailing-silence=1.0
"""


def build(folder: Path, acoustic: Acoustic, follows: graph.Bigrams) -> None:
    """Writes am/, conf/ and graph/ into `folder`."""
    for name in ("am", "conf", "graph/phones"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    sounds = range(1, len(acoustic.sounds))
    outputs = [0, *(sound for sound in sounds for _ in graph.POSITIONS)]
    transitions = kaldi.transition_model(outputs)
    network = kaldi.network(acoustic.layers, mfcc.COEFFICIENTS, acoustic.priors)
    (folder / "am/final.mdl").write_bytes(kaldi.BINARY + transitions + network)
    (folder / "conf/mfcc.conf").write_text(mfcc.CONF)
    (folder / "conf/model.conf").write_text(MODEL_CONF)
    places = [f"{graph.phone(sound, place)} {place}" for sound in sounds for place in graph.POSITIONS]
    (folder / "graph/phones/word_boundary.int").write_text("\n".join([f"{graph.SILENT} nonword", *places, ""]))
    words = sorted(acoustic.lexicon)
    table = ["<eps>", *words, "#0", "<s>", "</s>"]
    (folder / "graph/words.txt").write_text("".join(f"{word} {number}\n" for number, word in enumerate(table)))
    (folder / "graph/HCLr.fst").write_bytes(graph.lexicon_fst(acoustic, words).packed("writes"))
    (folder / "graph/Gr.fst").write_bytes(graph.grammar_fst(words, follows).packed("reads"))
    (folder / "graph/disambig_tid.int").write_text("")
