"""A network cut off after some of its blocks: linear readers of every depth, and first blocks to fine-tune."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.study import UserError, torch_stream


class Readers(nn.Module):
    """Linear classifiers on the time means of some layers of a frozen network, all in one pass.

    Each layer's means are standardised by the training clips, a fixed affine map that leaves a linear classifier what
    it is: without it a classifier on weak activations would only learn more slowly, and depths would not compare.

    Args:
        network: With `features`, `front_end` and `pooled`; it is not changed.
        layers: Names of the layers to read.
        output_names: Names of the classes.
        seed: Seed of the classifiers' first weights.
    Raises:
        UserError: If the network has no such layer.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], output_names: Sequence[str], seed: int) -> None:
        super().__init__()
        unknown = [name for name in layers if name not in network.layers]
        if unknown:
            raise UserError(f"expected layers among {', '.join(network.layers)}, got {unknown[0]!r}")
        self.network = network.eval().requires_grad_(False)
        self.shortest = network.shortest
        self.names = tuple(layers)
        self.output_names = [str(name) for name in output_names]
        with torch.no_grad():
            sizes = {name: value.shape[1] for name, value in self.pooled_of_silence().items()}
        self.heads = nn.ModuleDict({name: _linear(sizes[name], output_names, seed, name) for name in self.names})
        for name in self.names:
            self.register_buffer(f"mean_{name}", torch.zeros(sizes[name]))
            self.register_buffer(f"scale_{name}", torch.ones(sizes[name]))

    def pooled_of_silence(self) -> dict[str, Tensor]:
        """Gives the pooled layers of one silent segment, for their sizes."""
        silence = torch.zeros(1, self.network.segment_samples, device=next(self.network.parameters()).device)
        return self.network.pooled(self.network.front_end(silence))

    @torch.no_grad()
    def standardise(self, batches: Iterable[Tensor]) -> None:
        """Sets the means and scales from waveforms `(B, L)`; a unit that never varies keeps the scale 1."""
        count, total, squares = 0, dict.fromkeys(self.names, 0.0), dict.fromkeys(self.names, 0.0)
        for waveforms in batches:
            pooled = self.network.pooled(self.front_end(waveforms))
            count += len(waveforms)
            for name in self.names:
                total[name] = total[name] + pooled[name].double().sum(0)
                squares[name] = squares[name] + pooled[name].double().square().sum(0)
        for name in self.names:
            mean = total[name] / count
            spread = (squares[name] / count - mean.square()).clamp_min(0).sqrt()
            getattr(self, f"mean_{name}").copy_(mean)
            getattr(self, f"scale_{name}").copy_(torch.where(spread > 1e-6 * mean.abs() + 1e-12, spread, 1.0))

    def front_end(self, waveforms: Tensor) -> Tensor:
        return self.network.front_end(waveforms)

    def features(self, waveforms: Tensor) -> Tensor:
        return self.network.features(waveforms)

    def train(self, mode: bool = True) -> Readers:
        """Keeps the frozen network in evaluation mode."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Turns features into logits, shape `(layers, B, K)`."""
        with torch.no_grad():
            pooled = self.network.pooled(features)
        return torch.stack([
            self.heads[name]((pooled[name] - getattr(self, f"mean_{name}")) / getattr(self, f"scale_{name}"))
            for name in self.names
        ])  # fmt: skip


class FirstBlocks(nn.Module):
    """The first blocks of a network, a mean over time, and a linear classifier, all of it to be trained.

    Args:
        network: Where the blocks are copied from.
        blocks: How many.
        output_names: Names of the classes.
        seed: Seed of the classifier's first weights.
    Raises:
        UserError: If there are fewer blocks.
    """

    def __init__(self, network: CNN12, blocks: int, output_names: Sequence[str], seed: int) -> None:
        super().__init__()
        if not 1 <= blocks <= len(network.blocks):
            raise UserError(f"expected a depth from 1 to {len(network.blocks)} blocks, got {blocks}")
        copied = network.with_outputs(output_names, seed)
        self.front_end, self.features = copied.front_end, copied.features
        self.output_names, self.shortest = copied.output_names, copied.shortest
        self.settings = {**copied.settings, "blocks": blocks}
        self.blocks = copied.blocks[:blocks]
        width = self.blocks[-1].conv.out_channels
        self.classifier = _linear(width, output_names, seed, f"block{blocks}")

    def forward(self, features: Tensor) -> Tensor:
        """Turns features `(B, 1, L)` into logits `(B, K)`."""
        for block in self.blocks:
            features = block(features)
        return self.classifier(features.mean(-1))


def _linear(inputs: int, output_names: Sequence[str], seed: int, name: str) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):  # the layer draws weights of its own first
        layer = nn.Linear(inputs, len(output_names))
    with torch.no_grad():
        layer.weight.normal_(0.0, math.sqrt(1.0 / inputs), generator=torch_stream(seed, "reader", name))
        layer.bias.zero_()
    return layer
