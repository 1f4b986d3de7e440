"""A small convolutional network on log-mel frames: the honest rival of one on raw waveforms, of equal size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from audiointerp.backbones.base import WeightsInfo, state_digest
from audiointerp.backbones.blocks import BlockNetwork
from audiointerp.backbones.yamnet import LOG_OFFSET, initialise, mel_matrix

WINDOW_S = 0.032
HOP_S = 0.010
STAGES = (1.0, 2.0, 4.0, 8.0)


class LogMelCNN(BlockNetwork):
    """Four stages of two 3 x 3 convolutions, ReLU and 2 x 2 max-pooling on 64 log-mel bands; then as CNN12.

    Args:
        parameters: About how many parameters it shall have, classifier left out: the widest such network is built.
        embedding: Size of the embedding.
        sample_rate: [Hz].
        segment_s: Duration of a segment [s].
        hop_s: Step between two segments of a longer sound [s].
        output_names: Names of the outputs.
        seed: Seed of the weights.
    """

    name = "logmel_cnn"
    averaged = (-2, -1)

    def __init__(
        self,
        *,
        parameters: int,
        embedding: int = 512,
        sample_rate: int = 8000,
        segment_s: float = 1.0,
        hop_s: float = 0.5,
        output_names: Sequence[str] = ("output 1", "output 2"),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings = {
            "parameters": parameters,
            "embedding": embedding,
            "sample_rate": sample_rate,
            "segment_s": segment_s,
            "hop_s": hop_s,
        }
        self.sample_rate, self.output_names = sample_rate, [str(name) for name in output_names]
        self.window, self.hop = round(WINDOW_S * sample_rate), round(HOP_S * sample_rate)
        self.segment_samples, self.hop_samples = round(segment_s * sample_rate), round(hop_s * sample_rate)
        self.shortest = self.window + 15 * self.hop  # sixteen frames, halved four times
        self.preprocessing = f"unit-peak-logmel-{sample_rate}-1"
        width = widest(parameters, embedding)
        counts = [1, *(round(width * stage) for stage in STAGES for _ in range(2))]
        with torch.random.fork_rng(devices=[]):  # layers draw weights of their own first
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2) if n % 2 else nn.Identity())
                for n, (i, o) in enumerate(zip(counts[:-1], counts[1:], strict=True))
            )
            self.embed = nn.Linear(counts[-1], embedding)
            self.classifier = nn.Linear(embedding, len(self.output_names))
        self.register_buffer("taper", torch.hann_window(self.window), persistent=False)
        mel = mel_matrix(sample_rate, self.window, 0.94 * sample_rate / 2)
        self.register_buffer("mel", torch.from_numpy(mel.T.copy()), persistent=False)
        initialise(self, seed)
        self.weights = WeightsInfo("untrained", f"random, seed {seed}", state_digest(self))
        self.eval().requires_grad_(False)

    def features(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, L)`, as loud as they are, into log-mel frames `(B, 1, T, 64)`."""
        frames = waveforms.unfold(-1, self.window, self.hop) * self.taper
        magnitude = torch.fft.rfft(frames).abs()
        return torch.log(magnitude @ self.mel + LOG_OFFSET).unsqueeze(1)


def widest(parameters: int, embedding: int) -> float:
    """Gives the largest width of the first stage, in sixteenths, whose network has at most so many parameters."""
    steps = 1
    while _count((steps + 1) / 16, embedding) <= parameters and steps < 16 * 1024:
        steps += 1
    return max(1.0, steps / 16)


def _count(width: float, embedding: int) -> int:
    counts = [1, *(round(width * stage) for stage in STAGES for _ in range(2))]
    convolutions = sum(9 * i * o + o for i, o in zip(counts[:-1], counts[1:], strict=True))
    return convolutions + counts[-1] * embedding + embedding
