"""YAMNet (AudioSet, 521 classes): torch_vggish_yamnet's network behind the official front end, 14 named layers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from importlib import resources

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiointerp.audio import import_torchaudio
from audiointerp.backbones.base import Backbone, WeightsInfo, state_digest
from audiointerp.backbones.weights import load_state, resolve
from audiointerp.study import UserError

SAMPLE_RATE = 16_000
PATCH_FRAMES = 96
WINDOW = 400
HOP = 160
FFT = 512
MEL_BANDS = 64
MEL_LOW_HZ = 125.0
MEL_HIGH_HZ = 7500.0
LOG_OFFSET = 0.001
PATCH_SAMPLES = (PATCH_FRAMES - 1) * HOP + WINDOW


def class_names() -> list[str]:
    """Gives the display names of YAMNet's 521 outputs, in order.

    Example:
        >>> names = class_names()
        >>> len(names), names[0]
        (521, 'Speech')
    """
    text = resources.files("audiointerp.backbones").joinpath("audioset_521.json").read_text(encoding="utf-8")
    return [name for _, name in json.loads(text)]


def mel_matrix(sample_rate: int = SAMPLE_RATE, fft: int = FFT, high_hz: float = MEL_HIGH_HZ) -> np.ndarray:
    r"""Gives the HTK mel filterbank with triangles that are straight in mel, not in Hz, and no DC.

    Band :math:`m` rises from edge :math:`e_m` to :math:`e_{m+1}` and falls to :math:`e_{m+2}`, the edges being equally
    spaced on :math:`1127 \ln(1 + f / 700)` from 125 to `high_hz`. The defaults are YAMNet's.

    Args:
        sample_rate: [Hz].
        fft: Length of the transform [samples].
        high_hz: Upper edge of the last band [Hz].
    Returns:
        Weights float32, shape `(64, fft // 2 + 1)`.
    References:
        AudioSet's YAMNet release, features.py; agrees with reference values to 1e-6.
    """

    def mel(hz: np.ndarray | float) -> np.ndarray:
        return 1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0)

    bins = mel(np.linspace(0.0, sample_rate / 2, fft // 2 + 1))
    edges = np.linspace(mel(MEL_LOW_HZ), mel(high_hz), MEL_BANDS + 2)
    low, centre, high = (edges[i : i + MEL_BANDS, None] for i in range(3))
    weights = np.maximum(0.0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    weights[:, 0] = 0.0
    return weights.astype(np.float32)


class LogMel(nn.Module):
    """The official YAMNet front end: frames without padding, magnitude spectrum, 64 mel bands, log(mel + 0.001)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW, periodic=True), persistent=False)
        self.register_buffer("mel", torch.from_numpy(mel_matrix().T.copy()), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, L)` at 16 kHz into log-mel frames `(B, T, 64)`; frame `t` starts at `t * 0.010` s."""
        frames = waveforms.unfold(-1, WINDOW, HOP) * self.window
        spectrum = torch.view_as_real(torch.fft.rfft(frames, n=FFT))
        magnitude = spectrum.square().sum(-1).sqrt_()
        return torch.log(magnitude @ self.mel + LOG_OFFSET)


class YAMNet(Backbone):
    """AudioSet YAMNet on segments of 0.975 s (96 frames), resumable from any of its 14 layers.

    Layer `n` is the output of block `n` after its pointwise convolution, batch norm and ReLU; the output is the 521
    logits of a segment (a clip's class scores are means over its segments).

    Args:
        weights: `auto`, a path, or `random`; the command line also takes `standin` (see `studies.standin`).
        folder: Where `auto` looks first (`paths.weights`).
        seed: For `random` weights.
        hop_s: Step between two segments of a longer clip [s].
        sample_rate: What sounds are resampled to [Hz]; YAMNet hears 16000 only.
        output_names: Names of the outputs where they are not AudioSet's 521 classes: the last layer has as many.
        kind: What weights from a file are: `trained`, or `standin`.
    Raises:
        UserError: If the weights cannot be found or are not YAMNet's, or another sample rate is asked for.
    References:
        Code and weights: AudioSet YAMNet release; network port: torch_vggish_yamnet.
    """

    name = "yamnet"
    preprocessing = "yamnet-logmel-1"
    FILES = ("yamnet.pth", "yamnet_tflite.pth")
    URL = "https://github.com/w-hc/torch_audioset/releases/download/v0.1/yamnet.pth"

    def __init__(
        self,
        *,
        weights: str = "auto",
        folder: str | os.PathLike | None = None,
        seed: int = 0,
        hop_s: float = 0.48,
        sample_rate: int = SAMPLE_RATE,
        output_names: Sequence[str] | None = None,
        kind: str = "trained",
    ) -> None:
        super().__init__()
        if sample_rate != SAMPLE_RATE:
            raise UserError(f"expected backbone.sample_rate=16000 (YAMNet hears nothing else), got {sample_rate}")
        if not hop_s > 0:
            raise UserError(f"expected backbone.hop_s above 0 s, got {hop_s}")
        import_torchaudio()
        from torch_vggish_yamnet.yamnet.model import YAMNet as Network

        self.sample_rate = SAMPLE_RATE
        self.segment_samples = PATCH_SAMPLES
        self.hop_samples = round(hop_s * SAMPLE_RATE)
        self.hop_s = hop_s
        self.output_names = class_names() if output_names is None else [str(name) for name in output_names]
        self.log_mel = LogMel()
        with torch.random.fork_rng(devices=[]):  # the network draws weights of its own first
            self.network = Network()
            if output_names is not None:
                self.network.classifier = nn.Linear(self.network.classifier.in_features, len(self.output_names))
        if weights == "random":
            initialise(self.network, seed)
            self.weights = WeightsInfo("untrained", f"random, seed {seed}", state_digest(self.network))
        else:
            path = resolve(weights, names=self.FILES, folder=folder, url=self.URL)
            self._load(path)
            self.weights = WeightsInfo(kind, path.name, state_digest(self.network))
        self.eval().requires_grad_(False)

    def _load(self, path: os.PathLike) -> None:
        state = load_state(path)
        expected = self.network.state_dict()
        wrong = [key for key in expected if key in state and state[key].shape != expected[key].shape]
        missing = [key for key in expected if key not in state]
        unknown = [key for key in state if key not in expected]
        if wrong or missing or unknown:
            raise UserError(
                f"expected YAMNet's {len(expected)} tensors in {os.fspath(path)}, got {len(missing)} missing, "
                f"{len(unknown)} unknown, {len(wrong)} of another shape (first: {(missing + unknown + wrong)[0]}): "
                f"give a file saved from torch_vggish_yamnet's YAMNet with {len(self.output_names)} outputs"
            )
        self.network.load_state_dict(state)

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        return {name: getattr(self.network, name) for name in self.network.layer_names}

    def front_end(self, waveforms: Tensor) -> Tensor:
        """Turns segments `(B, 15600)` at 16 kHz into log-mel patches `(B, 1, 96, 64)`."""
        if waveforms.ndim != 2 or waveforms.shape[1] != PATCH_SAMPLES:
            raise ValueError(
                f"expected waveforms of shape (B, {PATCH_SAMPLES}) at 16000 Hz, got {tuple(waveforms.shape)}: "
                "cut or pad the sounds with data.Segments"
            )
        return self.log_mel(waveforms).unsqueeze(1)

    def forward(self, features: Tensor) -> Tensor:
        """Turns patches `(B, 1, 96, 64)` into logits `(B, K)`, one per name of an output."""
        for name in self.network.layer_names:
            features = getattr(self.network, name)(features)
        return self._head(features)

    def _head(self, activation: Tensor) -> Tensor:
        return self.network.classifier(F.adaptive_avg_pool2d(activation, 1).flatten(1))

    def resume(self, layer: str, activation: Tensor) -> Tensor:
        """Runs the blocks after `layer` on its output `(B, C, T, F)`; gives logits `(B, K)`."""
        names = self.network.layer_names
        if layer not in names:
            raise UserError(f"expected a layer of YAMNet ({names[0]} ... {names[-1]}), got {layer!r}")
        for name in names[names.index(layer) + 1 :]:
            activation = getattr(self.network, name)(activation)
        return self._head(activation)

    def untrained(self, seed: int) -> YAMNet:
        names = None if self.output_names == class_names() else self.output_names
        untrained = YAMNet(weights="random", seed=seed, hop_s=self.hop_s, output_names=names)
        return untrained.to(next(self.parameters()).device)


def initialise(network: nn.Module, seed: int) -> None:
    """Draws He-normal weights so that activity keeps its scale through 27 ReLU convolutions; biases are zero.

    The framework's own default shrinks activity by a factor of about 2.4 per convolution, which would leave nothing
    but rounding at the last layers and make the untrained control too weak.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.Linear):
                module.weight.normal_(0.0, math.sqrt(1.0 / module.in_features), generator=generator)
                module.bias.zero_()
