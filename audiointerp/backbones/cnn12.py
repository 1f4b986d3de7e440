"""CNN12: eleven convolutions on the raw waveform, a mean over time, one fully connected layer."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiointerp.backbones.base import WeightsInfo, state_digest
from audiointerp.backbones.blocks import BlockNetwork
from audiointerp.backbones.weights import load_state
from audiointerp.backbones.yamnet import initialise
from audiointerp.study import UserError

SAMPLE_RATE = 8_000
CHANNELS = (64, 64, 128, 128, 256, 256, 512, 512, 1024, 1024, 2048)
KERNELS = (11, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3)
POOLS = (1, 4, 1, 4, 1, 4, 1, 4, 1, 4, 1)
EMBEDDING = 512
OUTPUTS = 527


class MaxPool(nn.MaxPool1d):
    """Max-pooling whose training on a CPU takes a third of the time of torch's, to the same bits."""

    def forward(self, x: Tensor) -> Tensor:
        """Turns `(B, C, T)` into `(B, C, T // pool)`."""
        if x.device.type != "cpu" or not x.requires_grad:
            return super().forward(x)
        frames = x.shape[-1] // self.kernel_size
        return x[..., : frames * self.kernel_size].unflatten(-1, (frames, self.kernel_size)).max(-1).values


class Block(nn.Module):
    """A convolution, a ReLU, and a max-pooling where there is one; no normalisation, so that it can be run backwards.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        kernel: Width of the filters [samples], odd.
        pool: Downsampling; 1 for none.
        strided: Whether the convolution's stride downsamples instead of a pooling.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, pool: int, strided: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride=pool if strided else 1, padding=kernel // 2)
        self.pool = MaxPool(pool) if pool > 1 and not strided else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Turns `(B, C, T)` into `(B, C', T // pool)`."""
        return self.pool(F.relu(self.conv(x)))


class CNN12(BlockNetwork):
    r"""The raw-waveform network of the sonification study, of any size, resumable from each of its 12 layers.

    Eleven blocks convolution - ReLU - [max-pool] with stride 1, the mean over time, and a fully connected layer to the
    embedding :math:`h`, on which a linear classifier stands. The paper's text does not give channels and kernels; the
    default, after the channel plan of PANNs' CNN14 that it cites, has 13.9 M parameters with 527 classes and 52.7 M
    with `width=2`, as it says. The only preprocessing is a scaling to unit peak.

    Args:
        weights: `random`, or a path to a state dict that this architecture can load.
        seed: For `random` weights.
        channels: Filters of each block.
        kernels: Their widths [samples], odd.
        pools: Downsampling after each block; 1 for none.
        width: Factor on all channels; the embedding keeps its size.
        strided: Whether strided convolutions downsample instead of max-pooling.
        embedding: Size of the embedding.
        sample_rate: What sounds are resampled to [Hz].
        segment_s: Duration of a segment where a longer sound is cut [s]; the network itself takes any length from
            `shortest` samples on.
        hop_s: Step between two segments of a longer sound [s].
        output_names: Names of the outputs; None for as many as `weights` from a file have, 527 for random ones.
        kind: What weights from a file are: `trained`, or `standin`.
    Raises:
        UserError: If the lists differ in length, a number is out of range, the segment is too short, or the weights
            are not there or of another architecture.
    References:
        Revisiting transposed convolutions for interpreting raw waveform sound event recognition CNNs by sonification
        (anonymous, under review), sections 3.1 and A.1.
    Example:
        >>> network = CNN12(width=0.0625, output_names=["dog", "rain"])
        >>> network.shortest
        1024
        >>> with torch.no_grad():
        ...     tuple(network(network.front_end(torch.zeros(3, 5000))).shape)
        (3, 2)
    """

    name = "cnn12"

    def __init__(
        self,
        *,
        weights: str = "random",
        seed: int = 0,
        channels: Sequence[int] = CHANNELS,
        kernels: Sequence[int] = KERNELS,
        pools: Sequence[int] = POOLS,
        width: float = 1.0,
        strided: bool = False,
        embedding: int = EMBEDDING,
        sample_rate: int = SAMPLE_RATE,
        segment_s: float = 1.0,
        hop_s: float = 0.5,
        output_names: Sequence[str] | None = None,
        kind: str = "trained",
    ) -> None:
        super().__init__()
        _check(channels, kernels, pools, width, embedding, sample_rate, hop_s)
        state = None if weights == "random" else _state(weights)
        if output_names is None:
            outputs = OUTPUTS if state is None or "classifier.weight" not in state else len(state["classifier.weight"])
            output_names = [f"output {k + 1}" for k in range(outputs)]
        self.settings = {
            "channels": tuple(channels),
            "kernels": tuple(kernels),
            "pools": tuple(pools),
            "width": width,
            "strided": strided,
            "embedding": embedding,
            "sample_rate": sample_rate,
            "segment_s": segment_s,
            "hop_s": hop_s,
        }
        self.sample_rate = int(sample_rate)
        self.output_names = [str(name) for name in output_names]
        self.shortest = math.prod(pools)
        self.segment_samples = round(segment_s * sample_rate)
        self.hop_samples = round(hop_s * sample_rate)
        self.preprocessing = f"unit-peak-{sample_rate}-1"
        if self.segment_samples < self.shortest:
            raise UserError(
                f"expected backbone.segment_s of at least {self.shortest / sample_rate:g} s ({self.shortest} samples, "
                f"one frame of the last block), got {segment_s}"
            )
        counts = [max(1, round(width * count)) for count in channels]
        with torch.random.fork_rng(devices=[]):  # layers draw weights of their own first
            self.blocks = nn.ModuleList(
                Block(inputs, outputs, kernel, pool, strided)
                for inputs, outputs, kernel, pool in zip([1, *counts[:-1]], counts, kernels, pools, strict=True)
            )
            self.embed = nn.Linear(counts[-1], embedding)
            self.classifier = nn.Linear(embedding, len(self.output_names))
        if state is None:
            initialise(self, seed)
            self.weights = WeightsInfo("untrained", f"random, seed {seed}", state_digest(self))
        else:
            _load(self, state, weights)
            self.weights = WeightsInfo(kind, os.path.basename(weights), state_digest(self))
        self.eval().requires_grad_(False)

    def features(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, L)` into `(B, 1, L)` as loud as they are: what training augments is scaled before."""
        return waveforms.unsqueeze(1)

    def with_outputs(self, names: Sequence[str], seed: int) -> CNN12:
        """Gives a network with this one's encoder and a new classifier, its weights drawn from `seed`."""
        other = CNN12(seed=seed, output_names=names, **self.settings).to(next(self.parameters()).device)
        encoder = {key: value for key, value in self.state_dict().items() if not key.startswith("classifier.")}
        other.load_state_dict(encoder, strict=False)
        other.weights = WeightsInfo(self.weights.kind, self.weights.source, state_digest(other))
        return other


def _check(
    channels: Sequence[int],
    kernels: Sequence[int],
    pools: Sequence[int],
    width: float,
    embedding: int,
    sample_rate: int,
    hop_s: float,
) -> None:
    if not len(channels) == len(kernels) == len(pools) > 0:
        raise UserError(
            "expected backbone.channels, kernels and pools of one length, one number per block, got "
            f"{len(channels)}, {len(kernels)} and {len(pools)}"
        )
    even = [kernel for kernel in kernels if kernel % 2 == 0 or kernel < 1]
    if even:
        raise UserError(f"expected odd backbone.kernels (a filter is centred on its sample), got {even[0]}")
    if min(channels) < 1 or min(pools) < 1 or not width > 0 or embedding < 1 or sample_rate < 1 or not hop_s > 0:
        raise UserError(
            "expected positive backbone.channels, pools, width, embedding, sample_rate and hop_s, got "
            f"{list(channels)}, {list(pools)}, {width}, {embedding}, {sample_rate} and {hop_s}"
        )


def _state(weights: str) -> dict[str, Tensor]:
    if weights in ("auto", "standin"):
        raise UserError(
            f"expected backbone.weights=random or a file, got {weights}: nobody has published CNN12's weights, train "
            "some with experiment=cnn12_supervised or cnn12_contrastive"
        )
    from pathlib import Path

    return load_state(Path(weights).expanduser())


def _load(network: nn.Module, state: Mapping[str, Tensor], weights: str) -> None:
    expected = network.state_dict()
    missing = [key for key in expected if key not in state]
    unknown = [key for key in state if key not in expected]
    wrong = [key for key in expected if key in state and state[key].shape != expected[key].shape]
    if missing or unknown or wrong:
        first = (wrong + missing + unknown)[0]
        shapes = f", {tuple(state[first].shape)} instead of {tuple(expected[first].shape)}" if wrong else ""
        raise UserError(
            f"expected the {len(expected)} tensors of this architecture in {weights}, got {len(missing)} missing, "
            f"{len(unknown)} unknown, {len(wrong)} of another shape (first: {first}{shapes}): give the channels, "
            "kernels, width, embedding and output_names that the weights were trained with"
        )
    broken = next((key for key in expected if not bool(torch.isfinite(state[key]).all())), None)
    if broken is not None:
        raise UserError(
            f"expected finite weights in {weights}, got NaN or infinity in {broken}: its training diverged, give an "
            "earlier checkpoint"
        )
    network.load_state_dict(state)
