"""How harmonic sounds are, and which filters answer most where they are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from torch import Tensor

FRAME_S = 0.04
HOP_S = 0.02
QUIET = 1e-4
"""Frames whose power is below this share of the loudest frame's do not count (-40 dB)."""


def harmonicity(
    waveforms: Tensor, sample_rate: int, low_hz: float = 75.0, high_hz: float = 1200.0
) -> NDArray[np.float64]:
    r"""Share of the power of each sound that repeats itself with a pitch, its mean over frames weighted by power.

    The largest value of :math:`r_x(\tau) / r_w(\tau)` over pitch periods :math:`\tau`, autocorrelations of the
    windowed frame and of the window, each 1 at 0; harmonics-to-noise in dB is :math:`10 \log_{10} (h / (1 - h))`.

    Args:
        waveforms: Shape `(B, L)`, `L` at least one frame of 40 ms.
        sample_rate: [Hz].
        low_hz: Lowest pitch [Hz]; two periods of it must fit into a frame.
        high_hz: Highest pitch [Hz].
    Returns:
        Shape `(B,)`, in [0, 1]; NaN for silence.
    Raises:
        ValueError: If the sounds are shorter than a frame, or the pitches make no sense.
    References:
        Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled sound
        (Boersma, 1993).
    Example:
        >>> t = torch.arange(8000) / 16000
        >>> tone = sum(torch.sin(2 * torch.pi * 200 * k * t) for k in (1, 2, 3))
        >>> noise = torch.randn(8000, generator=torch.Generator().manual_seed(0))
        >>> harmonicity(torch.stack([tone, noise]), 16000).round(1).tolist()
        [1.0, 0.2]
    """
    frame, hop = round(FRAME_S * sample_rate), round(HOP_S * sample_rate)
    shortest, longest = int(sample_rate / high_hz), int(sample_rate / low_hz)
    if waveforms.ndim != 2 or waveforms.shape[1] < frame:
        raise ValueError(f"expected sounds (B, L) of at least {frame} samples, got {tuple(waveforms.shape)}")
    if not 1 < shortest < longest <= frame // 2:
        raise ValueError(f"expected pitches of {2 / FRAME_S:g} Hz or more, low below high, got {low_hz} and {high_hz}")
    window = torch.hann_window(frame, dtype=torch.float64)
    frames = waveforms.double().unfold(1, frame, hop)
    frames = (frames - frames.mean(2, keepdim=True)) * window
    own, of_window = _autocorrelation(frames, longest), _autocorrelation(window, longest)
    power = own[..., 0]
    repeated = own / power.clamp_min(1e-12)[..., None] / (of_window / of_window[0])
    best = repeated[..., shortest:].amax(2).clamp(0.0, 1.0)
    weight = torch.where(power > QUIET * power.amax(1, keepdim=True), power, 0.0)
    total = weight.sum(1)
    return torch.where(total > 1e-9, (best * weight).sum(1) / total.clamp_min(1e-12), torch.nan).numpy()


def follows(responses: ArrayLike, harmonic: ArrayLike) -> NDArray[np.float64]:
    """Rank correlation over sounds of each filter's share of all filters' response with the sounds' harmonicity.

    Args:
        responses: Mean response of each filter to each sound, not negative, shape `(B, N)`.
        harmonic: Harmonicity of the sounds, shape `(B,)`; sounds where it is NaN are left out.
    Returns:
        Spearman's rho, shape `(N,)`: above 0 for filters that answer, beside the others, more to harmonic sounds; 0 for
        a filter whose share never changes.
    Raises:
        ValueError: If shapes disagree or fewer than three sounds are left.
    Example:
        >>> follows([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]], [0.1, 0.5, 0.9]).round(6).tolist()
        [1.0, -1.0]
    """
    responses, harmonic = np.asarray(responses, dtype=np.float64), np.asarray(harmonic, dtype=np.float64)
    known = np.isfinite(harmonic)
    if responses.ndim != 2 or harmonic.shape != responses.shape[:1] or known.sum() < 3:
        raise ValueError(
            f"expected responses (B, N) to three sounds or more and a harmonicity of each, got {responses.shape} and "
            f"{harmonic.shape}, of which {known.sum()} are known"
        )
    shares = responses[known] / (responses[known].sum(1, keepdims=True) + 1e-12)
    ranks, against = rankdata(shares, axis=0), rankdata(harmonic[known])
    ranks, against = ranks - ranks.mean(0), against - against.mean()
    size = np.sqrt((ranks**2).sum(0) * (against**2).sum())
    return np.divide(against @ ranks, size, out=np.zeros(responses.shape[1]), where=size > 0)


def _autocorrelation(frames: Tensor, longest: int) -> Tensor:
    """Autocorrelation at lags of 0 to `longest` samples."""
    points = 2 * frames.shape[-1]
    spectrum = torch.fft.rfft(frames, n=points)
    return torch.fft.irfft(spectrum.abs().square(), n=points)[..., : longest + 1]
