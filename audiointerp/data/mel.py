r"""Mel pictures of clips: with one level reference for all clips, or normalised frame by frame as published."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audiointerp.mel import mel_filters
from audiointerp.study import UserError

FLOOR_DB = -80.0


@dataclass(frozen=True)
class MelPictures:
    r"""Mel spectrograms as a network's input.

    `one-reference`: :math:`1 + \frac{10}{80} \log_{10}(P / P_0 + 10^{-8})`, where :math:`P_0` is the power of a
    full-scale sine at a bin's centre: 1 is full scale, 0 lies 80 dB below it, and a level is the same number in every
    clip. Frames lie inside the clip. `per-frame`: magnitudes of each frame divided by their largest, then mel power,
    linear, area-normalised filters, the clip padded by reflection (what librosa gives by default): level is lost.

    Args:
        sample_rate: [Hz].
        n_fft: Window (Hann) and transform, in samples.
        hop: Samples from frame to frame.
        mels: Mel bands.
        level: `one-reference` or `per-frame`.
    Raises:
        UserError: If a number is too small, or `level` is unknown.
    """

    sample_rate: int = 16000
    n_fft: int = 1024
    hop: int = 512
    mels: int = 64
    level: str = "one-reference"

    def __post_init__(self) -> None:
        if self.level not in ("one-reference", "per-frame"):
            raise UserError(f"expected level to be one-reference or per-frame, got {self.level!r}")
        if self.n_fft < 16 or self.n_fft % 2 or self.hop < 1 or self.mels < 2:
            raise UserError(
                "expected an even data.n_fft of at least 16, data.hop of at least 1 and data.mels of at least 2, got "
                f"{self.n_fft}, {self.hop} and {self.mels}"
            )

    def frames(self, length: int) -> int:
        """Gives the number of frames of a clip.

        Raises:
            UserError: If the clip is shorter than a frame.
        """
        if length < self.n_fft:
            raise UserError(f"expected clips of at least {self.n_fft} samples (data.n_fft), got {length}")
        return 1 + (length if self.level == "per-frame" else length - self.n_fft) // self.hop

    def power(self, waveforms: Tensor) -> Tensor:
        """Power spectra of Hann-windowed frames, shape `(B, T, n_fft // 2 + 1)`, of waveforms `(B, L)`."""
        if self.level == "per-frame":
            half = self.n_fft // 2
            waveforms = torch.nn.functional.pad(waveforms[:, None], (half, half), mode="reflect")[:, 0]
        window = torch.hann_window(self.n_fft, device=waveforms.device)
        spectra = torch.view_as_real(torch.fft.rfft(waveforms.unfold(1, self.n_fft, self.hop) * window))
        return spectra.square_().sum(-1)

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Gives the pictures of waveforms `(B, L)`, float32 `(B, mels, T)`."""
        power = self.power(waveforms)
        if self.level == "per-frame":
            power = power / power.amax(-1, keepdim=True).clamp_min(1e-30)
            return (power @ self._filters(power.device, True)).transpose(1, 2).contiguous()
        reference = (self.n_fft / 4) ** 2  # the Hann window sums to n_fft / 2, a sine has half of that in a bin
        level = (power @ self._filters(power.device, False)).div_(reference).add_(10 ** (FLOOR_DB / 10)).log10_()
        return level.mul_(-10 / FLOOR_DB).add_(1.0).transpose(1, 2).contiguous()

    def to_power(self, pictures: Tensor) -> Tensor:
        """Mel power of pictures `(B, mels, T)`, the inverse of the level's scale; `per-frame` pictures are power."""
        if self.level == "per-frame":
            return pictures.clamp_min(0.0)
        floor = 10 ** (FLOOR_DB / 10)
        return (10 ** ((pictures - 1) * FLOOR_DB / -10) - floor).clamp_min(0.0) * (self.n_fft / 4) ** 2

    def filters(self) -> np.ndarray:
        """The mel filters, float32 `(n_fft // 2 + 1, mels)`."""
        return mel_filters(self.sample_rate, self.n_fft, self.mels, self.level == "per-frame")

    def _filters(self, device: torch.device, area: bool) -> Tensor:
        return torch.from_numpy(mel_filters(self.sample_rate, self.n_fft, self.mels, area)).to(device)
