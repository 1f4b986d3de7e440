"""What networks of blocks have in common: a mean behind the last block, an embedding, a linear classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from audiointerp.backbones.base import Backbone
from audiointerp.study import UserError


def unit_peak(waveforms: Tensor) -> Tensor:
    """Divides each waveform by its largest absolute sample; silence stays silence.

    Args:
        waveforms: Shape `(..., L)`.
    Example:
        >>> unit_peak(torch.tensor([[0.5, -0.25], [0.0, 0.0]])).tolist()
        [[1.0, -0.5], [0.0, 0.0]]
    """
    peak = waveforms.abs().amax(-1, keepdim=True)
    return waveforms / torch.where(peak > 0, peak, torch.ones_like(peak))


class BlockNetwork(Backbone):
    """Blocks one after the other, a mean over what is left of time (and frequency), an embedding, a classifier.

    Resumable from each block and from the embedding. What inherits builds `blocks`, `embed` and `classifier`, and says
    in `features` what the first block gets.

    Attributes:
        averaged: Axes of a block's output, counted from its end, that its mean is taken over.
        blocks: Each with one tensor in and out.
        embed: From the channels of the last block to the embedding, `(B, D)`.
        classifier: From the embedding to logits `(B, K)`.
        shortest: Fewest samples that give one frame in the last block.
        settings: What the architecture was built from.
    """

    averaged: tuple[int, ...] = (-1,)
    blocks: nn.ModuleList
    embed: nn.Linear
    classifier: nn.Linear
    shortest: int
    settings: dict[str, Any]

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        return {f"block{n}": block for n, block in enumerate(self.blocks, start=1)} | {"embedding": self.embed}

    def front_end(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, L)`, each scaled to unit peak first, into features.

        Raises:
            ValueError: If the shape is another, or `L` is below `shortest`.
        """
        if waveforms.ndim != 2 or waveforms.shape[1] < self.shortest:
            raise ValueError(
                f"expected waveforms of shape (B, L) with L of at least {self.shortest} samples "
                f"({self.shortest / self.sample_rate:g} s at {self.sample_rate} Hz), got {tuple(waveforms.shape)}: "
                "pad shorter sounds with data.Segments"
            )
        return self.features(unit_peak(waveforms))

    def features(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, L)` into features as loud as they are: what training augments is scaled before."""
        raise NotImplementedError

    def encode(self, features: Tensor) -> Tensor:
        """Turns features into embeddings `(B, D)`."""
        for block in self.blocks:
            features = block(features)
        return self.embed(features.mean(self.averaged))

    def pooled(self, features: Tensor) -> dict[str, Tensor]:
        """Gives the mean of each block, `(B, C)`, and the embedding `(B, D)`, by the names of the layers."""
        means = {}
        for n, block in enumerate(self.blocks, start=1):
            features = block(features)
            means[f"block{n}"] = features.mean(self.averaged)
        return means | {"embedding": self.embed(features.mean(self.averaged))}

    def forward(self, features: Tensor) -> Tensor:
        """Turns features into logits `(B, K)`, one per name of an output."""
        return self.classifier(self.encode(features))

    def resume(self, layer: str, activation: Tensor) -> Tensor:
        """Runs what follows `layer` on its output, `(B, C, ...)` of a block or `(B, D)`; gives logits `(B, K)`.

        Raises:
            UserError: If there is no such layer.
        """
        names = list(self.layers)
        if layer not in names:
            raise UserError(f"expected a layer of {type(self).__name__} ({names[0]} ... {names[-1]}), got {layer!r}")
        if layer != names[-1]:
            for block in self.blocks[names.index(layer) + 1 :]:
                activation = block(activation)
            activation = self.embed(activation.mean(self.averaged))
        return self.classifier(activation)

    def untrained(self, seed: int) -> BlockNetwork:
        fresh = type(self)(seed=seed, output_names=self.output_names, **self.settings)
        return fresh.to(next(self.parameters()).device)
