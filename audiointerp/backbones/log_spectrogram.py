"""Log spectrograms on a logarithmic or a mel axis: what spectro-temporal filters listen to."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiointerp.study import UserError

AXES = ("log", "mel")
WINDOW_S = 0.025
OFFSET = 1e-5
"""Added to the power of a band before the logarithm; full-scale white noise has about 1e-2 in a band."""


def band_centres(
    bands: int, low_hz: float, *, axis: str = "log", bins_per_octave: float = 11.0, high_hz: float = 7500.0
) -> np.ndarray:
    """Centres of the bands [Hz], shape `(bands,)`.

    Args:
        bands: How many.
        low_hz: Centre of the lowest [Hz].
        axis: `log`, evenly spaced in octaves, or `mel`, evenly spaced in (HTK) mel up to `high_hz`.
        bins_per_octave: Bands per octave of the logarithmic axis.
        high_hz: Centre of the highest band of the mel axis [Hz].
    Raises:
        UserError: If the axis is unknown.
    """
    if axis == "log":
        return low_hz * 2.0 ** (np.arange(bands) / bins_per_octave)
    if axis != "mel":
        raise UserError(f"expected an axis of {', '.join(AXES)}, got {axis!r}")
    low, high = (1127.0 * math.log1p(hz / 700.0) for hz in (low_hz, high_hz))
    return 700.0 * np.expm1(np.linspace(low, high, bands) / 1127.0)


class PowerSpectrogram(nn.Module):
    """Power spectra of Hann-windowed frames; frame `t` is centred on `t / frame_rate` seconds.

    Args:
        sample_rate: [Hz].
        frame_rate: Frames per second; divides the sample rate.
    Raises:
        UserError: If the frame rate does not divide the sample rate.
    """

    def __init__(self, sample_rate: int = 16000, frame_rate: int = 80) -> None:
        super().__init__()
        if frame_rate < 1 or sample_rate % frame_rate:
            raise UserError(f"expected a frame_rate that divides {sample_rate} Hz, got {frame_rate}")
        self.sample_rate, self.hop = int(sample_rate), sample_rate // frame_rate
        window = 2 * round(WINDOW_S * sample_rate / 2) + 1  # odd, so that its middle is a sample
        self.points = 1 << (window - 1).bit_length() + 1
        self.register_buffer("window", torch.hann_window(window, periodic=False), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, L)` into power spectra `(B, L // hop + 1, points // 2 + 1)`."""
        half = len(self.window) // 2
        # The last frame may be centred after the last sample, by less than a hop.
        padded = F.pad(waveforms, (half, half + self.hop - 1))
        frames = padded.unfold(-1, len(self.window), self.hop)[:, : waveforms.shape[1] // self.hop + 1]
        spectrum = torch.view_as_real(torch.fft.rfft(frames * self.window, n=self.points))
        return spectrum.square().sum(-1) / self.window.square().sum()


class Bands(nn.Module):
    """Gaussian bands of power spectra and the logarithm; with `learnable`, a LEAF-style filterbank.

    LEAF learns the centres and widths of Gabor filters on the waveform and a compression. Its filters' power is that
    of Gaussian bands on power spectra, and here it is those whose centres [octave], widths [octave] and offsets under
    the logarithm are learnt; at first they are the fixed bands.

    Args:
        centres_hz: Centres of the bands, shape `(F,)` [Hz].
        sample_rate: [Hz].
        points: Points of the transform behind the power spectra.
        learnable: Whether centres, widths and offsets are parameters.
    References:
        LEAF: a learnable frontend for audio classification (Zeghidour, Teboul, Quitry and Tagliasacchi, 2021).
    """

    def __init__(self, centres_hz: np.ndarray, sample_rate: int, points: int, learnable: bool = False) -> None:
        super().__init__()
        octaves = np.log2(np.asarray(centres_hz, dtype=np.float64) / 1000.0)
        spacing = np.gradient(octaves)
        # No band is narrower than what the window resolves.
        resolved = np.log2(1.0 + 0.6 / WINDOW_S / np.asarray(centres_hz))
        widths = np.maximum(0.5 * spacing, 0.5 * resolved)
        self.register_buffer("hz", torch.linspace(0.0, sample_rate / 2, points // 2 + 1), persistent=False)
        for name, value in (("centre", octaves), ("log_width", np.log(widths)), ("log_offset", np.zeros(len(octaves)))):
            parameter = nn.Parameter(torch.tensor(value, dtype=torch.float32), requires_grad=learnable)
            self.register_parameter(name, parameter)

    def weights(self) -> Tensor:
        """Weights of the bands, each summing to 1, shape `(P, F)`."""
        octaves = torch.log2(self.hz.clamp_min(1.0) / 1000.0)[:, None]
        width = torch.exp(self.log_width.clamp(-6.0, 1.0))
        weights = torch.exp(-0.5 * ((octaves - self.centre) / width) ** 2)
        return weights / (weights.sum(0) + 1e-6)

    def forward(self, power: Tensor) -> Tensor:
        """Turns power spectra `(B, T, P)` into log bands `(B, T, F)`."""
        return torch.log(power @ self.weights() + OFFSET * torch.exp(self.log_offset.clamp(-10.0, 10.0)))


class Standardise(nn.Module):
    """Takes off each band's mean and divides by one scale, both measured once on training sounds."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, spectrograms: Tensor) -> None:
        """Measures spectrograms `(B, T, F)`."""
        self.mean.copy_(spectrograms.mean((0, 1)))
        self.scale.copy_((spectrograms - self.mean).std().clamp_min(1e-6))

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Standardises spectrograms `(B, T, F)`."""
        return (spectrograms - self.mean) / self.scale
