"""What every backbone offers: a front end, named layers, an output with names, and a way to resume from a layer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class WeightsInfo:
    """Where a network's weights came from.

    Attributes:
        kind: `trained`, `standin` or `untrained`.
        source: File name, download address or `seed N`, for people to read.
        sha256: Digest of the parameters and buffers themselves, whatever file they came from.
    """

    kind: str
    source: str
    sha256: str


def state_digest(module: nn.Module) -> str:
    """Gives the sha256 of all parameters and buffers, by name, type and bytes."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        array = value.detach().cpu()
        digest.update(f"{name}|{array.dtype}|{tuple(array.shape)}|".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy())  # numpy itself has no bfloat16
    return digest.hexdigest()


class Backbone(nn.Module):
    """An audio network whose layers can be read, and resumed from.

    Attributes:
        name: Short name, part of cache keys.
        sample_rate: Rate of the waveforms that `front_end` takes [Hz].
        segment_samples: Length of one input segment [samples].
        hop_samples: Step between two segments of a longer clip [samples].
        preprocessing: Version of the front end, part of cache keys.
        output_names: One name per output unit.
        weights: Where the weights came from.
    """

    name: str
    sample_rate: int
    segment_samples: int
    hop_samples: int
    preprocessing: str
    output_names: Sequence[str]
    weights: WeightsInfo

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        """Layer names to modules, in the order of the forward pass."""
        raise NotImplementedError

    def channel_axis(self, layer: str) -> int:
        """Tells the axis of a layer's output `(B, ...)` that holds its channels: 1 behind convolutions."""
        return 1

    def front_end(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, segment_samples)` in [-1, 1] into the features that `forward` takes."""
        raise NotImplementedError

    def resume(self, layer: str, activation: Tensor) -> Tensor:
        """Runs the network from the output of `layer` on; bit-equal to the full pass for the captured activation."""
        raise NotImplementedError

    def untrained(self, seed: int) -> Backbone:
        """Gives the same architecture with random weights drawn from `seed`: the control."""
        raise NotImplementedError
