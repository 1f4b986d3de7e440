"""What the published code does to spectrograms and to features besides its filters, mistakes included."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TOP_DB = 80.0
LATE_S = 0.054
"""How long after its label a frame lies: half of 2,048 points at 16 kHz, less the one frame of padding [s]."""


class BatchFloor(nn.Module):
    """Log power as the published front end gives it: floored 80 dB below the loudest of the batch, and late.

    What a clip's features are depends on the clips beside it; `GaborSTRF` behind other bands has no such floor.

    Args:
        frame_rate: Frames per second [Hz].
    """

    def __init__(self, frame_rate: float) -> None:
        super().__init__()
        self.late = round(LATE_S * frame_rate)

    def forward(self, levels: Tensor) -> Tensor:
        """Turns log power `(B, T, F)` [nats] into what the published filters get; the last frame is held."""
        floored = levels.clamp_min(levels.max() - TOP_DB / 10.0 * math.log(10.0))
        late = min(self.late, floored.shape[1] - 1)
        return torch.cat([floored[:, late:], floored[:, -1:].expand(-1, late, -1)], dim=1)


class Scrambled(nn.Module):
    """Mixes frames and features as the published `reshape` does where a transposition is meant."""

    def forward(self, features: Tensor) -> Tensor:
        """Turns features `(B, T, D)` into `(B, T, D)` whose rows are consecutive values of the transposed ones."""
        return features.transpose(1, 2).reshape(features.shape)
