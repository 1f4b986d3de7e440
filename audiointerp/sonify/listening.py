"""Sounds made ready to be compared by ear: turned to one loudness, and similar or not as spectrograms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audiointerp.sonify.coherence import frame_spectra

LEVEL_DB = -26.0


def loudness_db(waveform: np.ndarray, sample_rate: int) -> float:
    """A-weighted level of a sound [dB re full scale], minus infinity for silence.

    Example:
        >>> tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
        >>> round(loudness_db(tone, 8000), 1)
        -3.0
    """
    spectrum = np.fft.rfft(np.asarray(waveform, dtype=np.float64))
    square = np.fft.rfftfreq(len(waveform), 1 / sample_rate) ** 2
    weight = 12194.0**2 * square**2 / (
        (square + 20.6**2) * np.sqrt((square + 107.7**2) * (square + 737.9**2)) * (square + 12194.0**2)
    )  # fmt: skip
    power = 2.0 * np.sum((1.2589 * weight * np.abs(spectrum)) ** 2) / len(waveform) ** 2
    return float(10 * np.log10(power)) if power > 0 else float("-inf")


def match_loudness(
    sounds: Sequence[np.ndarray], sample_rate: int, level_db: float = LEVEL_DB, most_db: float = 40.0
) -> list[np.ndarray]:
    """Turns sounds to one loudness, all of them down together where a peak would leave full scale.

    Args:
        sounds: Each of shape `(L,)`; silence stays silence.
        sample_rate: [Hz].
        level_db: A-weighted level aimed at [dB re full scale].
        most_db: Most that a sound is turned up.
    Example:
        >>> tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
        >>> [round(loudness_db(sound, 8000), 1) for sound in match_loudness([tone, 0.01 * tone], 8000)]
        [-26.0, -26.0]
    """
    turned = []
    for sound in sounds:
        level = loudness_db(sound, sample_rate)
        factor = 10 ** (min(level_db - level, most_db) / 20) if np.isfinite(level) else 0.0
        turned.append(np.asarray(sound, dtype=np.float64) * factor)
    peak = max((float(np.abs(sound).max()) for sound in turned), default=0.0)
    return [(sound * min(1.0, 0.99 / peak) if peak > 0 else sound).astype(np.float32) for sound in turned]


def log_spectrogram(waveform: np.ndarray, nperseg: int = 256, floor_db: float = -80.0) -> np.ndarray:
    """Levels of Hann windows with half overlap [dB re the loudest], shape `(F, T)`, not below `floor_db`."""
    power = np.abs(frame_spectra(waveform, min(nperseg, len(waveform))).T) ** 2
    top = power.max()
    return np.full(power.shape, floor_db) if top <= 0 else np.maximum(10 * np.log10(power / top + 1e-30), floor_db)


def likeness(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Compares two sounds of one length.

    Returns:
        `waveform`: absolute correlation of the samples; `spectrogram`: correlation of the log spectrograms; NaN where
        one of them does not vary.
    Example:
        >>> x = np.random.default_rng(0).standard_normal(4000)
        >>> {name: round(value, 3) for name, value in likeness(x, -x).items()}
        {'waveform': 1.0, 'spectrogram': 1.0}
    """
    pairs = {"waveform": (a, b), "spectrogram": (log_spectrogram(a), log_spectrogram(b))}
    found = {}
    for name, (one, other) in pairs.items():
        one, other = np.ravel(one).astype(np.float64), np.ravel(other).astype(np.float64)
        same = one.std() == 0 or other.std() == 0
        found[name] = float("nan") if same else float(np.corrcoef(one, other)[0, 1])
    return {**found, "waveform": abs(found["waveform"])}
