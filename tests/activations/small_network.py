"""A network of four small convolutions on segments of 1,000 samples, and sounds for it."""

import hashlib

import torch
from torch import nn

from audiointerp.backbones.base import Backbone, WeightsInfo, state_digest

SEGMENT = 1000
LAYERS = ["block1", "block2", "block3", "block4"]


class SmallNetwork(Backbone):
    """Four convolutions, each with an in-place ReLU as its last step, and a linear output."""

    name = "small"
    preprocessing = "none-1"
    sample_rate = 16000
    segment_samples = SEGMENT
    hop_samples = SEGMENT
    output_names = ("a", "b", "c", "d", "e")

    def __init__(self, seed=0):
        super().__init__()
        sizes = [(1, 6, 16, 8), (6, 8, 8, 4), (8, 12, 4, 2), (12, 16, 4, 2)]  # channels in, out, kernel, stride
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.blocks = nn.ModuleDict(
                {
                    name: nn.Sequential(nn.Conv1d(*s), nn.ReLU(inplace=True))
                    for name, s in zip(LAYERS, sizes, strict=True)
                }
            )
            self.head = nn.Linear(16, 5)
        self.weights = WeightsInfo("untrained", f"seed {seed}", state_digest(self))
        self.eval().requires_grad_(False)

    @property
    def layers(self):
        return dict(self.blocks.items())

    def front_end(self, waveforms):
        return waveforms.unsqueeze(1)

    def forward(self, features):
        for block in self.blocks.values():
            features = block(features)
        return self.head(features.mean(-1))


class Noise:
    """Segments of noise of different level and colour; notes which of them were heard, in order."""

    def __init__(self, n, seed=0):
        generator = torch.Generator().manual_seed(seed)
        white = torch.randn(n, SEGMENT + 1, generator=generator)
        level, colour = torch.rand(2, n, 1, generator=generator)
        self.waveforms = (0.1 + level) * (white[:, 1:] + 2 * colour * white[:, :-1])
        self.fingerprint = hashlib.sha256(self.waveforms.numpy().tobytes()).hexdigest()
        self.heard = []

    def __len__(self):
        return len(self.waveforms)

    def batch(self, indices):
        self.heard += [int(index) for index in indices]
        return self.waveforms[torch.as_tensor(indices)]
