"""The acoustic model: which sound each 30 ms of speech is, learnt with cross-entropy from espeak's own alignment."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from tests.models.recipe.corpus import STRANGE, UNKNOWN, Utterance
from tests.models.recipe.mfcc import COEFFICIENTS, HOP, WINDOW
from tests.models.recipe.sentences import VOCABULARY

SILENCE: Final = "sil"
SUBSAMPLING: Final = 3
"""Frames of features to one of the model's: Vosk takes nothing else."""
OFFSETS: Final = ((-2, -1, 0, 1, 2), (-1, 0, 1), (-3, 0, 3), (-3, 0, 3), (-6, -3, 0, 3), (0,))
"""What each layer sees of the one before, in frames of features. From the second on each third frame is looked at."""
LEFT, RIGHT = (-sum(layer[0] for layer in OFFSETS), sum(layer[-1] for layer in OFFSETS))
WIDTH: Final = 192
EPOCHS: Final = 7
CHUNK: Final = 50
BATCH: Final = 64
IGNORED: Final = -100
RAREST: Final = 150
"""A sound that is in fewer places is left out, with the sentences that have it."""
MOST_PRONUNCIATIONS, RAREST_PRONUNCIATION = 8, 0.02
SAME: Final = {
    "t̪": "t", "ʲ": "", "ʍ": "w", "a:": "a", "aa": "a", "ei": "eɪ", "əu": "oʊ", "əʊ": "oʊ", "ʌʊ": "oʊ", "ʌʉ": "oʊ",
    "oɪ": "ɔɪ", "æʊ": "aʊ", "ᵻ": "ɪ", "r": "ɹ", "əɹ": "ɚ", "ʉɹ": "ʊɹ", "ɔə": "ɔɹ", "oə": "ɔɹ", "ɑə": "ɑɹ", "ʌɹ": "ɚ",
    "ɐ": "ə",
}  # fmt: skip
"""Sounds of some accents that are rare, and of which sound they are a sort."""

Floats = npt.NDArray[np.float32]
Pronunciations = dict[str, list[tuple[tuple[str, ...], float]]]


class TooLittle(ValueError):
    """The utterances do not have all words."""


@dataclass(frozen=True)
class Layer:
    """An affine layer: `weights` [outputs, len(offsets) * inputs], its inputs ordered by offset."""

    offsets: tuple[int, ...]
    weights: Floats
    bias: Floats


@dataclass(frozen=True)
class Acoustic:
    """`priors` of the `sounds` (the first is silence), and how each word is said: sounds and a weight of at most 1."""

    layers: tuple[Layer, ...]
    priors: Floats
    sounds: tuple[str, ...]
    lexicon: Pronunciations


@dataclass(frozen=True)
class Labelled:
    features: Floats
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lesson:
    """All that there is to be learnt from the utterances."""

    utterances: list[Labelled]
    sounds: tuple[str, ...]
    lexicon: Pronunciations


def lesson(utterances: Sequence[Utterance]) -> Lesson:
    """Labels for each frame, and the lexicon: how the voices do say the words. Raises TooLittle."""
    counted = Counter(_same(span.sound) for heard in utterances for span in heard.spans)
    kept = sorted(sound for sound, count in counted.items() if sound and count >= RAREST)
    numbers = {SILENCE: 0, **{sound: number for number, sound in enumerate(kept, 1)}, "": 0}
    said: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    labelled = []
    for heard in utterances:
        if not all(_same(span.sound) in numbers for span in heard.spans):
            continue
        words: list[list[str]] = [[] for _ in heard.text.split()]
        labels = np.zeros(heard.samples, np.int64)
        for span in heard.spans:
            sound = _same(span.sound)
            labels[int(span.start) : int(span.end)] = numbers[sound]
            if sound:
                words[span.word].append(sound)
        for word, sounds in zip(heard.text.split(), words, strict=True):
            said[word][tuple(sounds)] += 1
        middles = np.arange(len(heard.features)) * HOP + WINDOW // 2
        labelled.append(Labelled(heard.features, labels[np.minimum(middles, heard.samples - 1)]))
    if missing := sorted(set(VOCABULARY) - said.keys()):
        raise TooLittle(
            f"{len(missing)} words were not heard ({missing[0]} ...): take more than {len(utterances)} lines"
        )
    return Lesson(labelled, (SILENCE, *kept), _lexicon(said))


def _same(sound: str) -> str:
    return SAME.get(sound, sound)


def _lexicon(said: dict[str, Counter[tuple[str, ...]]]) -> Pronunciations:
    made: Pronunciations = {}
    for word, ways in said.items():
        often = ways.most_common(1)[0][1]
        least = RAREST_PRONUNCIATION * ways.total()
        made[word] = [(way, n / often) for way, n in ways.most_common(MOST_PRONUNCIATIONS) if way and n >= least]
    made[UNKNOWN] = [((STRANGE,) * 3, 1.0)]
    return made


class Net(nn.Module):
    """Convolutions with the OFFSETS, ReLU and BatchNorm between them."""

    def __init__(self, sounds: int, mean: Floats, deviation: Floats) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation
        widths = [COEFFICIENTS, *[WIDTH] * (len(OFFSETS) - 1), sounds]
        strides = [1, SUBSAMPLING, 1, 1, 1, 1]
        self.affine = nn.ModuleList(
            nn.Conv1d(inside, outside, len(offsets), stride=stride)
            for inside, outside, offsets, stride in zip(widths, widths[1:], OFFSETS, strides, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH, affine=False) for _ in OFFSETS[1:])
        self.dropout = nn.Dropout(0.05)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden = features
        for affine, norm in zip(self.affine, self.norms, strict=False):
            hidden = self.dropout(norm(functional.relu(affine(hidden))))
        return self.affine[-1](hidden)

    def folded(self) -> tuple[Layer, ...]:
        """What normalises a layer's inputs becomes part of the layer: Kaldi is given affine layers and ReLUs only."""
        made = []
        for number, (affine, offsets) in enumerate(zip(self.affine, OFFSETS, strict=True)):
            mean, deviation = self.mean, self.deviation
            if number:
                norm = self.norms[number - 1]
                mean, deviation = norm.running_mean.numpy(), np.sqrt(norm.running_var.numpy() + norm.eps)
            weights = affine.weight.detach().numpy().astype(np.float64) / deviation[None, :, None]
            bias = affine.bias.detach().numpy() - (weights * mean[None, :, None]).sum((1, 2))
            flat = weights.transpose(0, 2, 1).reshape(len(weights), -1)
            made.append(Layer(offsets, flat.astype(np.float32), bias.astype(np.float32)))
        return tuple(made)


def train(learnt: Lesson, seed: int, epochs: int, told: Callable[[str], None]) -> Acoustic:
    """`told` is given a line after each epoch: the loss, and how many of the frames are right."""
    torch.manual_seed(seed)
    chance = random.Random(seed)
    some = np.concatenate([one.features for one in learnt.utterances[::10]])
    net = Net(len(learnt.sounds), some.mean(0), some.std(0))
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    batches = sum(1 for _ in _batches(learnt.utterances, net, random.Random(seed)))
    steps = int(epochs * batches * 1.02) + 5  # the number of chunks is not quite the same in each epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.15)
    for epoch in range(1, epochs + 1):
        told(f"epoch {epoch} of {epochs}: {_epoch(net, learnt, chance, optimiser, schedule)}")
    net.eval()
    labels = np.concatenate([one.labels for one in learnt.utterances])
    priors = np.bincount(labels, minlength=len(learnt.sounds)) + 1.0
    return Acoustic(net.folded(), (priors / priors.sum()).astype(np.float32), learnt.sounds, learnt.lexicon)


def _epoch(
    net: Net,
    learnt: Lesson,
    chance: random.Random,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.OneCycleLR,
) -> str:
    net.train()
    losses, right, frames = [], 0, 0
    for features, labels in _batches(learnt.utterances, net, chance):
        scores = net(torch.from_numpy(features))
        wanted = torch.from_numpy(labels)
        loss = functional.cross_entropy(scores, wanted, label_smoothing=0.02, ignore_index=IGNORED)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        if schedule.last_epoch < schedule.total_steps - 1:
            schedule.step()
        known = wanted != IGNORED
        losses.append(loss.item())
        right, frames = right + int((scores.argmax(1) == wanted)[known].sum()), frames + int(known.sum())
    return f"loss {np.mean(losses):.3f}, {right / frames:.1%} of the frames right"


def _batches(
    utterances: Sequence[Labelled], net: Net, chance: random.Random
) -> Iterator[tuple[Floats, npt.NDArray[np.int64]]]:
    """Pieces of CHUNK labels in random order of the utterances, each beginning at the first to third frame."""
    features, labels = [], []
    for one in chance.sample(utterances, len(utterances)):
        skipped = chance.randrange(SUBSAMPLING)
        normal = (one.features[skipped:] - net.mean) / net.deviation
        wanted = one.labels[skipped::SUBSAMPLING]
        # The edges are repeated, as Kaldi does it.
        after = RIGHT + SUBSAMPLING * CHUNK
        normal = np.concatenate([normal[:1].repeat(LEFT, 0), normal, normal[-1:].repeat(after, 0)])
        for at in range(0, len(wanted), CHUNK):
            piece = wanted[at : at + CHUNK]
            begin = at * SUBSAMPLING
            features.append(normal[begin : begin + LEFT + RIGHT + SUBSAMPLING * (CHUNK - 1) + 1].T)
            labels.append(np.pad(piece, (0, CHUNK - len(piece)), constant_values=IGNORED))
            if len(features) == BATCH:
                yield np.stack(features).astype(np.float32), np.stack(labels)
                features, labels = [], []
