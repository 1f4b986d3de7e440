"""The mel scale and its filters."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np


def hz_to_mel(hz: np.ndarray | float) -> np.ndarray:
    """Slaney's mel scale: linear below 1,000 Hz (15 mel), logarithmic above.

    Example:
        >>> hz_to_mel([200.0, 1000.0, 6400.0]).tolist()
        [3.0, 15.0, 42.0]
    """
    hz = np.asarray(hz, dtype=float)
    return np.where(hz < 1000.0, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1000.0) / 1000.0) * 27 / math.log(6.4))


def mel_to_hz(mel: np.ndarray | float) -> np.ndarray:
    """The inverse of `hz_to_mel`."""
    mel = np.asarray(mel, dtype=float)
    return np.where(mel < 15, mel * 200 / 3, 1000.0 * np.exp((np.maximum(mel, 15) - 15) * math.log(6.4) / 27))


@lru_cache(maxsize=16)
def mel_filters(sample_rate: int, n_fft: int, mels: int, area: bool) -> np.ndarray:
    """Triangular filters on Slaney's scale from 0 Hz to half the sample rate.

    Args:
        sample_rate: [Hz].
        n_fft: Points of the Fourier transform.
        mels: Number of filters.
        area: Whether each filter has area 1 (Slaney's normalisation) instead of height 1.
    Returns:
        Float32 `(n_fft // 2 + 1, mels)`.
    """
    corners = mel_to_hz(np.linspace(0.0, hz_to_mel(sample_rate / 2), mels + 2))
    hz = np.fft.rfftfreq(n_fft, 1 / sample_rate)[:, None]
    rising = (hz - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - hz) / (corners[2:] - corners[1:-1])
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if area:
        filters = filters * 2 / (corners[2:] - corners[:-2])
    return filters.astype(np.float32)
