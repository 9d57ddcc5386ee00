"""The network of the Piper voice: signs to lengths, and the signs of each frame to loudness and voicing."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.models.recipe.voice_frames import BANDS, IDS, VOICING_EDGES_HZ, Example

SIGNS: Final = max(IDS.values()) + 1
EMBEDDED, HIDDEN, WIDE = 32, 64, 112
VOICINGS: Final = len(VOICING_EDGES_HZ) - 1
PLACES: Final = 3
"""Numbers that tell where in its sound a frame is."""
AT_ONCE: Final = 4
EPOCHS: Final = 6


class VoiceNet(nn.Module):
    """`encode` the signs, then `decode` them stretched to frames. Convolutions of five."""

    def __init__(self) -> None:
        super().__init__()
        self.signs = nn.Embedding(SIGNS, EMBEDDED)
        self.encoder = nn.ModuleList([_convolution(EMBEDDED, HIDDEN), _convolution(HIDDEN, HIDDEN)])
        self.length = nn.Conv1d(HIDDEN, 1, 1)
        widths = [HIDDEN + PLACES, WIDE, WIDE, WIDE]
        self.decoder = nn.ModuleList(_convolution(a, b) for a, b in zip(widths, widths[1:], strict=False))
        self.output = nn.Conv1d(WIDE, BANDS + VOICINGS, 1)

    def encode(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[1, signs] to [1, HIDDEN, signs] and the length of each in frames."""
        hidden = self.signs(ids).transpose(1, 2)
        for layer in self.encoder:
            hidden = functional.relu(layer(hidden))
        return hidden, functional.softplus(self.length(hidden)[0, 0])

    def decode(self, hidden: torch.Tensor, frames: torch.Tensor, most: int) -> torch.Tensor:
        """[BANDS + VOICINGS, at most `most` frames], each sign held for its number of `frames`."""
        ends = torch.cumsum(frames, 0)
        at = torch.arange(min(int(torch.round(ends[-1])), most)) + 0.5
        which = (ends[None] <= at[:, None]).sum(1).clamp(max=len(ends) - 1)
        past = (at - (ends - frames)[which]).clamp(min=0)
        left = (ends[which] - at).clamp(min=0)
        place = torch.stack([torch.log1p(past), torch.log1p(left), past / (past + left + 1)])
        wide = torch.cat([hidden[0][:, which], place])[None]
        for layer in self.decoder:
            wide = functional.relu(layer(wide))
        return self.output(wide)[0]


def _convolution(inside: int, outside: int) -> nn.Conv1d:
    return nn.Conv1d(inside, outside, 5, padding=2)


def train(learnt: Sequence[Example], seed: int, epochs: int, told: Callable[[str], None]) -> VoiceNet:
    """`told` is given a line with the loss after each epoch."""
    torch.manual_seed(seed)
    chance = random.Random(seed)
    net = VoiceNet()
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3)
    steps = epochs * (len(learnt) // AT_ONCE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps + 1)
    for epoch in range(1, epochs + 1):
        losses = []
        for number, example in enumerate(chance.sample(learnt, len(learnt)), 1):
            loss = _loss(net, example)
            (loss / AT_ONCE).backward()
            losses.append(loss.item())
            if number % AT_ONCE == 0:
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimiser.step()
                optimiser.zero_grad()
                schedule.step()
        told(f"epoch {epoch} of {epochs}: loss {np.mean(losses):.3f}")
    return net.eval()


def _loss(net: VoiceNet, example: Example) -> torch.Tensor:
    frames = torch.from_numpy(example.frames)
    hidden, lengths = net.encode(torch.from_numpy(example.ids)[None])
    made = net.decode(hidden, frames, len(example.levels))
    levels = torch.from_numpy(example.levels[: made.shape[1]]).T
    voicing = torch.from_numpy(example.voicing[: made.shape[1]]).T
    louder = torch.exp(0.15 * levels.mean(0))  # what is loud matters more
    off = ((made[:BANDS] - levels).abs().mean(0) * louder).mean()
    unvoiced = functional.binary_cross_entropy_with_logits(made[BANDS:], voicing)
    late = (torch.log1p(lengths) - torch.log1p(frames)).abs().mean()
    return off + 0.5 * unvoiced + 0.5 * late
