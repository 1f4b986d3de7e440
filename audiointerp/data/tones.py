r"""Periodic tones: band-limited ones read from wavetables, and the aliasing ones of the published set."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

WAVEFORMS = ("sine", "triangle", "sawtooth", "square")
TABLE = 8192
OVERSHOOT = 1.28
"""Largest peak of a band-limited waveform of amplitude 1: a square of one partial reaches 4 / pi."""


def partials(waveform: str, highest: int, brightness: float = 0.0) -> np.ndarray:
    r"""Amplitudes of the sine partials of a waveform whose ideal shape lies between -1 and 1.

    Args:
        waveform: `sine`, `triangle`, `sawtooth` or `square`.
        highest: Number of the highest partial, at least 1.
        brightness: Partial :math:`k` is multiplied by :math:`k^{brightness}`.
    Returns:
        Signed amplitudes of partials 1 to `highest`, float64 `(highest,)`.
    Raises:
        ValueError: If the waveform is unknown or `highest` is below 1.
    Example:
        >>> partials("square", 3).round(3).tolist()
        [1.273, 0.0, 0.424]
    """
    if highest < 1:
        raise ValueError(f"expected a highest partial of at least 1, got {highest}")
    k = np.arange(1, highest + 1)
    odd = k % 2 == 1
    if waveform == "sine":
        series = (k == 1).astype(float)
    elif waveform == "triangle":
        series = np.where(odd, 8 / np.pi**2 * np.where(k % 4 == 1, 1.0, -1.0) / k**2, 0.0)
    elif waveform == "sawtooth":
        series = 2 / np.pi * np.where(odd, 1.0, -1.0) / k
    elif waveform == "square":
        series = np.where(odd, 4 / np.pi / k, 0.0)
    else:
        raise ValueError(f"expected a waveform among {', '.join(WAVEFORMS)}, got {waveform!r}")
    return series * k.astype(float) ** brightness


def wavetable(waveform: str, highest: int, brightness: float = 0.0) -> Tensor:
    """One period of a band-limited waveform, its first sample repeated at the end; float32 `(TABLE + 1,)`.

    Raises:
        ValueError: As in `partials`.
    """
    spectrum = np.zeros(TABLE // 2 + 1, dtype=complex)
    spectrum[1 : highest + 1] = -0.5j * TABLE * partials(waveform, highest, brightness)
    period = np.fft.irfft(spectrum, TABLE)
    return torch.from_numpy(np.append(period, period[0]).astype(np.float32))


def read_tables(tables: Tensor, which: Tensor, cycles: Tensor) -> Tensor:
    """Reads wavetables by linear interpolation; the error of partial 72 lies 106 dB under the waveform.

    Args:
        tables: Periods, float32 `(U, TABLE + 1)`.
        which: Table of each clip, int64 `(B,)`.
        cycles: Phase of each sample in cycles, float64 `(B, L)`; changed in place.
    Returns:
        Samples, float32 `(B, L)`.
    """
    place = cycles.sub_(torch.floor(cycles)).mul_(TABLE).float()
    index = place.to(torch.int32).clamp_(max=TABLE - 1)  # a phase just below one cycle rounds up to it
    share = place.sub_(index)
    index = index.add_((which.to(torch.int32) * (TABLE + 1))[:, None])
    flat = tables.reshape(-1)
    below = flat.index_select(0, index.reshape(-1)).view_as(share)
    above = flat.index_select(0, index.add_(1).reshape(-1)).view_as(share)
    return torch.lerp(below, above, share)


def naive(waveform: str, cycles: Tensor) -> Tensor:
    """Samples of the ideal shape, which alias; phase 0 is where scipy.signal's waveforms start.

    Args:
        waveform: `sine`, `triangle`, `sawtooth` or `square`.
        cycles: Phase in cycles, float64, any shape.
    Returns:
        Float32, the shape of `cycles`.
    Raises:
        ValueError: If the waveform is unknown.
    """
    if waveform == "sine":
        return torch.sin(2 * math.pi * cycles).float()
    phase = cycles - torch.floor(cycles)
    if waveform == "triangle":
        return (1 - 4 * (phase - 0.5).abs()).float()
    if waveform == "sawtooth":
        return (2 * phase - 1).float()
    if waveform == "square":
        return torch.where(phase < 0.5, 1.0, -1.0).float()
    raise ValueError(f"expected a waveform among {', '.join(WAVEFORMS)}, got {waveform!r}")


def vibrato_cycles(seconds: Tensor, f0_hz: Tensor, rate_hz: Tensor, depth_cents: Tensor) -> Tensor:
    r"""Cycles that a vibrato adds.

    The frequency is :math:`f_0 (1 + d \sin 2 \pi r t)` with :math:`d = 2^{depth / 1200} - 1`.

    Args:
        seconds: Times [s], float64 `(L,)`.
        f0_hz: Middle frequency of each clip [Hz], float64 `(B,)`.
        rate_hz: Rate [Hz], `(B,)`.
        depth_cents: Depth [cents], `(B,)`.
    Returns:
        Float64 `(B, L)`.
    """
    excursion = f0_hz * (2 ** (depth_cents / 1200) - 1) / (2 * math.pi * rate_hz)
    return excursion[:, None] * (1 - torch.cos(2 * math.pi * rate_hz[:, None] * seconds))


def envelope(seconds: Tensor, attack_s: Tensor | None, decay_s: Tensor | None) -> Tensor:
    """Linear rise over `attack_s` times an exponential fall with time constant `decay_s`; float32 `(B, L)` or `(1, L)`.

    Args:
        seconds: Times [s], float64 `(L,)`.
        attack_s: Seconds of the rise `(B,)`, None for none.
        decay_s: Time constant of the fall [s] `(B,)`, None for none.
    """
    shape = torch.ones(1, len(seconds), dtype=torch.float64, device=seconds.device)
    if attack_s is not None:
        shape = shape * (seconds / attack_s[:, None]).clamp(max=1.0)
    if decay_s is not None:
        shape = shape * torch.exp(-seconds / decay_s[:, None])
    return shape.float()
