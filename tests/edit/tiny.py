"""A network of three linear layers and segments for it: small enough that what an edit does can be worked out."""

import torch
from torch import nn

from audiointerp.backbones.base import Backbone


class Tiny(Backbone):
    """Layers `first` (12 values) and `second` (3 x 4 values), five outputs.

    Args:
        bent: Whether a ReLU follows each layer; without it the network is linear.
    """

    name, sample_rate, segment_samples, hop_samples, preprocessing = "tiny", 8, 8, 8, "none"
    output_names = tuple("abcde")

    def __init__(self, bent=True, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first, self.second, self.head = nn.Linear(8, 12), nn.Linear(12, 12), nn.Linear(12, 5)
        self.second = nn.Sequential(self.second, nn.Unflatten(1, (3, 4)))
        self.bend = nn.ReLU() if bent else nn.Identity()
        self.eval()

    @property
    def layers(self):
        return {"first": self.first, "second": self.second}

    def front_end(self, waveforms):
        return 2 * waveforms

    def forward(self, features):
        return self.resume("first", self.first(features))

    def resume(self, layer, activation):
        if layer == "first":
            activation = self.second(self.bend(activation))
        return self.head(self.bend(activation).flatten(1))


class Segments:
    """Rows of a tensor `(N, 8)`, counted as they are read."""

    def __init__(self, waveforms):
        self.waveforms, self.fingerprint, self.read = waveforms, "tiny", []

    def __len__(self):
        return len(self.waveforms)

    def batch(self, indices):
        self.read.append(len(indices))
        return self.waveforms[torch.tensor(list(indices))]


def noise(rows, seed=0):
    return Segments(torch.randn(rows, 8, generator=torch.Generator().manual_seed(seed)))
