"""What a filter is tuned to, measured from its kernel: its modulation transfer function and where that peaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

POINTS = (512, 256)
"""Points of the transform in time and in frequency, to which kernels are padded."""


@dataclass(frozen=True)
class ModulationTransfer:
    """Gain of filters over modulations.

    Attributes:
        omega: Temporal modulation, ascending, shape `(P,)` [Hz].
        Omega: Spectral modulation, ascending, shape `(Q,)` [cycles/octave].
        gain: Magnitude, shape `(N, P, Q)`.
    """

    omega: NDArray[np.float64]
    Omega: NDArray[np.float64]
    gain: NDArray[np.float64]


def fold(omega: ArrayLike, Omega: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Gives the one of :math:`(\omega, \Omega)` and :math:`(-\omega, -\Omega)` with :math:`\omega \geq 0`.

    The two are the same real filter. With no temporal modulation the spectral one is not negative.

    Args:
        omega: Temporal modulations [Hz].
        Omega: Spectral modulations [cycles/octave], of the same shape.
    Example:
        >>> [values.tolist() for values in fold([-4.0, 4.0, 0.0], [1.0, 1.0, -2.0])]
        [[4.0, 4.0, 0.0], [-1.0, 1.0, 2.0]]
    """
    omega, big_omega = np.asarray(omega, dtype=np.float64), np.asarray(Omega, dtype=np.float64)
    flip = (omega < 0) | ((omega == 0) & (big_omega < 0))
    sign = np.where(flip, -1.0, 1.0)
    return omega * sign + 0.0, big_omega * sign + 0.0


def modulation_transfer(
    kernels: ArrayLike, frame_rate: float, bins_per_octave: float, points: tuple[int, int] = POINTS
) -> ModulationTransfer:
    """Gain of kernels for every modulation, by their two-dimensional Fourier transform.

    Args:
        kernels: Real or complex, shape `(N, K_t, K_f)`.
        frame_rate: Frames per second [Hz].
        bins_per_octave: Bins per octave.
        points: Points of the transform, at least as many as taps.
    Raises:
        ValueError: If the kernels have not three axes, or more taps than there are points.
    """
    kernels = np.asarray(kernels)
    if kernels.ndim != 3 or kernels.shape[1] > points[0] or kernels.shape[2] > points[1]:
        raise ValueError(f"expected kernels of shape (N, K_t, K_f) of at most {points} taps, got {kernels.shape}")
    spectrum = np.fft.fftshift(np.fft.fft2(kernels, s=points, axes=(1, 2)), axes=(1, 2))
    return ModulationTransfer(
        np.fft.fftshift(np.fft.fftfreq(points[0], 1.0 / frame_rate)),
        np.fft.fftshift(np.fft.fftfreq(points[1], 1.0 / bins_per_octave)),
        np.abs(spectrum),
    )


def peaks(transfer: ModulationTransfer) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Best modulation of each filter, folded, finer than the grid by a parabola through the logarithms beside the peak.

    Args:
        transfer: Gains on an evenly spaced grid.
    Returns:
        Temporal [Hz] and spectral modulation [cycles/octave], each shape `(N,)`.
    """
    found = []
    for gain in transfer.gain:
        i, j = np.unravel_index(np.argmax(gain), gain.shape)
        log = np.log(gain + 1e-12 * gain.max())
        found.append(
            (
                transfer.omega[i] + _between(log[:, j], i) * (transfer.omega[1] - transfer.omega[0]),
                transfer.Omega[j] + _between(log[i], j) * (transfer.Omega[1] - transfer.Omega[0]),
            )
        )
    omega, big_omega = np.array(found).T
    return fold(omega, big_omega)


def measured_tuning(
    kernels: ArrayLike, frame_rate: float, bins_per_octave: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Best modulations of kernels, measured; those of real kernels at low modulations are not the declared ones.

    Args:
        kernels: Real or complex, shape `(N, K_t, K_f)`.
        frame_rate: Frames per second [Hz].
        bins_per_octave: Bins per octave.
    Returns:
        Temporal [Hz] and spectral modulation [cycles/octave], each shape `(N,)`, folded.
    Raises:
        ValueError: As `modulation_transfer`.
    """
    return peaks(modulation_transfer(kernels, frame_rate, bins_per_octave))


def _between(values: NDArray[np.float64], at: int) -> float:
    """Where the parabola through three values peaks, in steps from the middle one; 0 at the ends."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, middle, after = values[at - 1 : at + 2]
    curve = before - 2.0 * middle + after
    return float(np.clip(0.5 * (before - after) / curve, -0.5, 0.5)) if curve < 0 else 0.0
