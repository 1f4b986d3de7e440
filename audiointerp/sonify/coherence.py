"""Coherence of a sound and its sonification, as published, and beside what sounds without any relation give."""

from __future__ import annotations

import functools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

NPERSEG = 256
TOP = 5


def frame_spectra(x: np.ndarray, nperseg: int = NPERSEG) -> np.ndarray:
    """Spectra of segments as `scipy.signal.welch` takes them: half overlap, mean removed, Hann window.

    scipy goes through segments one by one, which takes ten times as long on clips of seconds.

    Args:
        x: Shape `(..., L)`.
        nperseg: Samples of a segment.
    Returns:
        Complex, shape `(..., S, nperseg // 2 + 1)`.
    """
    frames = sliding_window_view(np.asarray(x, dtype=np.float64), nperseg, axis=-1)[..., :: nperseg - nperseg // 2, :]
    window = np.hanning(nperseg + 1)[:-1]
    return np.fft.rfft((frames - frames.mean(-1, keepdims=True)) * window, axis=-1)


def spectrum_of_coherence(x: np.ndarray, s: np.ndarray, nperseg: int = NPERSEG) -> np.ndarray:
    """Magnitude-squared coherence at each frequency (Welch, Hann window, half overlap), shape `(nperseg // 2 + 1,)`.

    Raises:
        ValueError: If the lengths differ, or hold fewer than two segments: one segment alone has coherence 1.
    """
    x, s = np.asarray(x, dtype=np.float64), np.asarray(s, dtype=np.float64)
    needed = nperseg + nperseg // 2
    if x.shape != s.shape or x.ndim != 1 or len(x) < needed:
        raise ValueError(
            f"expected two signals of one length of at least {needed} samples (two segments of {nperseg}), got "
            f"{x.shape} and {s.shape}: take longer clips or a smaller nperseg"
        )
    return _coherence(frame_spectra(x, nperseg), frame_spectra(s, nperseg))


def _coherence(x: np.ndarray, s: np.ndarray) -> np.ndarray:
    cross = np.abs((x.conj() * s).mean(-2)) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return cross / ((np.abs(x) ** 2).mean(-2) * (np.abs(s) ** 2).mean(-2))


def top_coherence(x: np.ndarray, s: np.ndarray, k: int = TOP, nperseg: int = NPERSEG) -> float:
    """Mean of the `k` largest values of the coherence of two signals, in [0, 1]; NaN where one of them is silent.

    References:
        Revisiting transposed convolutions for interpreting raw waveform sound event recognition CNNs by sonification,
            equation 3.
    Example:
        >>> x = np.random.default_rng(0).standard_normal(4000)
        >>> round(top_coherence(x, -0.5 * x), 6), top_coherence(x, 0 * x)
        (1.0, nan)
    """
    values = spectrum_of_coherence(x, s, nperseg)
    values = values[np.isfinite(values)]
    return float(np.sort(values)[-k:].mean()) if len(values) else float("nan")


def shared_power(x: np.ndarray, s: np.ndarray, nperseg: int = NPERSEG) -> float:
    r"""Share of the power of `x` that is linear in `s`: :math:`\sum_f P_{xx} C_{xs} / \sum_f P_{xx}`; NaN if silent.

    All frequencies count by their power, while the five most coherent ones may be where nothing is heard.

    Example:
        >>> x = np.random.default_rng(0).standard_normal(4000)
        >>> round(shared_power(x, 3 * x), 6)
        1.0
    """
    coherence = spectrum_of_coherence(x, s, nperseg)
    power = (np.abs(frame_spectra(x, nperseg)) ** 2).mean(0)
    power[1 : (nperseg + 1) // 2] *= 2  # one side stands for both
    known = np.isfinite(coherence)
    total = power[known].sum()
    return float((power * coherence)[known].sum() / total) if total > 0 else float("nan")


@functools.lru_cache(maxsize=256)
def noise_floor(length: int, k: int = TOP, nperseg: int = NPERSEG, draws: int = 32, seed: int = 0) -> float:
    """Top-k coherence of independent white noises of a length: what no relation at all gives, mean over draws.

    Example:
        >>> bool(noise_floor(8000) > 2 * noise_floor(40000))
        True
    """
    x, s = np.random.default_rng(seed).standard_normal((2, draws, length))
    values = np.sort(_coherence(frame_spectra(x, nperseg), frame_spectra(s, nperseg)), axis=1)
    return float(values[:, -k:].mean())


def above_null(value: float, null: float) -> float:
    """Puts a coherence on a scale where the null gives 0 and full coherence 1: `(value - null) / (1 - null)`.

    Example:
        >>> round(above_null(0.55, 0.1), 6), above_null(0.1, 0.1)
        (0.5, 0.0)
    """
    return (value - null) / (1.0 - null) if null < 1.0 else float("nan")


def phase_randomised(s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gives a sound with the same spectrum and random phases: no relation in time to anything is left.

    Args:
        s: Shape `(L,)`.
        rng: Draws the phases.
    Example:
        >>> s = np.random.default_rng(0).standard_normal(1000)
        >>> other = phase_randomised(s, np.random.default_rng(1))
        >>> bool(np.allclose(np.abs(np.fft.rfft(s)), np.abs(np.fft.rfft(other))))
        True
    """
    s = np.asarray(s, dtype=np.float64)
    spectrum = np.fft.rfft(s)
    turned = spectrum * np.exp(2j * np.pi * rng.random(len(spectrum)))
    turned[0] = spectrum[0]
    if len(s) % 2 == 0:
        turned[-1] = spectrum[-1]
    return np.fft.irfft(turned, len(s))
