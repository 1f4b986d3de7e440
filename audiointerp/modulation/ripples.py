"""Ripples: sounds and spectrograms with one temporal and one spectral modulation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audiointerp.study import stream


def ripple_spectrogram(
    omega: float,
    Omega: float,
    *,
    frames: int,
    bins: int,
    frame_rate: float,
    bins_per_octave: float,
    phase: float = 0.0,
) -> NDArray[np.float32]:
    r"""A ripple as a log-frequency spectrogram, :math:`\cos(2 \pi (\omega t + \Omega f) + \phi)`.

    Args:
        omega: Temporal modulation [Hz].
        Omega: Spectral modulation [cycles/octave]; of the sign of `omega` it falls.
        frames: Frames `T`.
        bins: Bins `F`.
        frame_rate: Frames per second [Hz].
        bins_per_octave: Bins per octave.
        phase: Phase at the first frame and bin [rad].
    Returns:
        Float32, shape `(T, F)`, in [-1, 1].
    Example:
        >>> ripple_spectrogram(0.0, 0.0, frames=2, bins=3, frame_rate=100.0, bins_per_octave=10.0).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    turns = omega * np.arange(frames)[:, None] / frame_rate + Omega * np.arange(bins) / bins_per_octave
    return np.cos(2.0 * np.pi * turns + phase).astype(np.float32)


def ripple_sound(
    omega: float,
    Omega: float,
    *,
    duration_s: float = 1.0,
    sample_rate: int = 16000,
    low_hz: float = 125.0,
    octaves: float = 5.5,
    tones_per_octave: int = 20,
    depth: float = 0.9,
    phase: float = 0.0,
    seed: int = 0,
) -> NDArray[np.float32]:
    r"""A ripple as a sound: tones evenly spaced in octaves whose level moves as one wave.

    Tone :math:`k` at :math:`x_k` octaves above the lowest has the amplitude :math:`1 + m \cos(2 \pi (\omega t + \Omega
    x_k) + \phi)`.

    Args:
        omega: Temporal modulation [Hz].
        Omega: Spectral modulation [cycles/octave].
        duration_s: [s].
        sample_rate: [Hz].
        low_hz: Lowest tone [Hz].
        octaves: Range of the tones; the highest lies below half the sample rate.
        tones_per_octave: Tones per octave.
        depth: Modulation depth m in [0, 1].
        phase: Phase of the modulation [rad].
        seed: Seed of the tones' own phases.
    Returns:
        Float32, shape `(L,)`, peak 0.5.
    Raises:
        ValueError: If the highest tone lies above half the sample rate, the tones are too few to carry the spectral
            modulation, or the depth is not in [0, 1].
    References:
        Spectro-temporal modulation transfer functions and speech intelligibility (Chi, Gao, Guyton, Ru and Shamma,
        1999), section II.
    """
    if low_hz * 2.0**octaves >= sample_rate / 2:
        raise ValueError(f"expected tones below {sample_rate / 2:g} Hz, got up to {low_hz * 2.0**octaves:g} Hz")
    if tones_per_octave < 2.0 * abs(Omega):
        raise ValueError(
            f"expected at least {2 * abs(Omega):g} tones per octave for Omega {Omega:g}, got {tones_per_octave}"
        )
    if not 0.0 <= depth <= 1.0:
        raise ValueError(f"expected a depth in [0, 1], got {depth}")
    t = np.arange(round(duration_s * sample_rate)) / sample_rate
    own = stream(seed, "ripple tones").uniform(0.0, 2.0 * np.pi, int(octaves * tones_per_octave) + 1)
    sound = np.zeros(len(t))
    for k, start in enumerate(own):
        x = k / tones_per_octave
        level = 1.0 + depth * np.cos(2.0 * np.pi * (omega * t + Omega * x) + phase)
        sound += level * np.sin(2.0 * np.pi * low_hz * 2.0**x * t + start)
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)
