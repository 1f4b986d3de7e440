"""How narrow the band is that a map's sonification leaves of its input, and where it lies."""

from __future__ import annotations

import numpy as np

from audiointerp.sonify.coherence import NPERSEG, frame_spectra


def band(x: np.ndarray, s: np.ndarray, sample_rate: int, nperseg: int = NPERSEG) -> dict[str, float]:
    r"""Measures the pass band between an input and its sonification.

    The spectrum of the sonification is divided by that of the input, where the input has power (above -60 dB of its
    strongest bin), and made to sum to 1: shares :math:`q_f`. `selectivity` is :math:`1 - H(q) / \log F`: 0 where all
    frequencies pass alike, 1 where one does.

    Args:
        x: The input, shape `(L,)`.
        s: The sonification, shape `(L,)`.
        sample_rate: [Hz].
        nperseg: Segment of Welch's method, at most `L` [samples].
    Returns:
        `selectivity` in [0, 1], `centre_hz` (mean of :math:`q`) and `width_hz` (its standard deviation); NaN where one
        of them is silent.
    Example:
        >>> x = np.random.default_rng(0).standard_normal(8000)
        >>> band(x, x, 8000)["selectivity"] < 0.01
        True
    """
    hz = np.fft.rfftfreq(nperseg, 1 / sample_rate)
    inputs, outputs = ((np.abs(frame_spectra(sound, nperseg)) ** 2).mean(0) for sound in (x, s))
    heard = inputs > 1e-6 * inputs.max()
    passed = outputs[heard] / inputs[heard] if heard.any() else np.zeros(0)
    if heard.sum() < 2 or passed.sum() <= 0:
        return dict.fromkeys(("selectivity", "centre_hz", "width_hz"), float("nan"))
    shares = passed / passed.sum()
    positive = shares[shares > 0]
    entropy = float(-(positive * np.log(positive)).sum())
    centre = float((shares * hz[heard]).sum())
    return {
        "selectivity": float(1.0 - entropy / np.log(heard.sum())),
        "centre_hz": centre,
        "width_hz": float(np.sqrt((shares * (hz[heard] - centre) ** 2).sum())),
    }
