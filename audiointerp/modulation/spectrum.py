"""The modulation power spectrum of sounds: which modulations there are for a filter to be tuned to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from audiointerp.modulation.filters import fold


@dataclass(frozen=True)
class ModulationSpectrum:
    """Power of sounds over modulations, of the half plane of positive temporal modulation.

    Attributes:
        omega: Temporal modulation, ascending from 0, shape `(P,)` [Hz].
        Omega: Spectral modulation, ascending, shape `(Q,)` [cycles/octave].
        power: Shares that sum to 1, shape `(P, Q)`.
    """

    omega: NDArray[np.float64]
    Omega: NDArray[np.float64]
    power: NDArray[np.float64]

    def share(self, omega_up_to: float = np.inf, Omega_up_to: float = np.inf) -> float:
        """Share of the power at modulations of at most these magnitudes."""
        slow = np.abs(self.omega) <= omega_up_to
        coarse = np.abs(self.Omega) <= Omega_up_to
        return float(self.power[np.ix_(slow, coarse)].sum())

    def frame(self) -> pd.DataFrame:
        """The power as a table, one row per modulation: omega_hz, Omega_cycles_per_octave, power."""
        omega, big_omega = np.meshgrid(self.omega, self.Omega, indexing="ij")
        columns = {"omega_hz": omega.ravel(), "Omega_cycles_per_octave": big_omega.ravel(), "power": self.power.ravel()}
        return pd.DataFrame(columns)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> ModulationSpectrum:
        """What `frame` wrote.

        Raises:
            ValueError: If a modulation of the grid is missing.
        """
        table = frame.pivot(index="omega_hz", columns="Omega_cycles_per_octave", values="power")
        if len(frame) < 4 or table.isna().any(axis=None):
            raise ValueError(f"expected the power at every modulation of a grid, got {len(frame)} rows")
        return cls(table.index.to_numpy(float), table.columns.to_numpy(float), table.to_numpy())

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Draws modulations in proportion to their power: a population that only mirrors the sounds.

        Args:
            count: How many.
            rng: The random stream.
        Returns:
            Temporal [Hz] and spectral modulation [cycles/octave], each shape `(count,)`, folded.
        """
        cells = rng.choice(self.power.size, size=count, p=self.power.ravel())
        i, j = np.unravel_index(cells, self.power.shape)
        step_t, step_f = self.omega[1] - self.omega[0], self.Omega[1] - self.Omega[0]
        jitter = rng.uniform(-0.5, 0.5, (2, count))
        return fold(self.omega[i] + jitter[0] * step_t, self.Omega[j] + jitter[1] * step_f)


def modulation_spectrum(
    spectrograms: Iterable[ArrayLike], frame_rate: float, bins_per_octave: float, frames: int = 100
) -> ModulationSpectrum:
    """Mean modulation power of windows of log-frequency spectrograms, each without its mean.

    Args:
        spectrograms: Log power or log magnitude, each `(T, F)`, `T` at least `frames`, all of one `F`.
        frame_rate: Frames per second [Hz].
        bins_per_octave: Bins per octave.
        frames: Frames of a window, half-overlapping, Hann in both directions.
    Raises:
        ValueError: If there is no spectrogram, one is shorter than a window, or nothing is modulated.
    References:
        Modulation spectra of natural sounds and ethological theories of auditory processing (Singh and Theunissen,
        2003), section II.
    """
    total, windows = None, 0
    for spectrogram in spectrograms:
        spectrogram = np.asarray(spectrogram, dtype=np.float64)
        if spectrogram.ndim != 2 or len(spectrogram) < frames:
            raise ValueError(f"expected spectrograms (T, F) of at least {frames} frames, got {spectrogram.shape}")
        window = np.hanning(frames + 2)[1:-1, None] * np.hanning(spectrogram.shape[1] + 2)[1:-1]
        for start in range(0, len(spectrogram) - frames + 1, max(1, frames // 2)):
            part = spectrogram[start : start + frames]
            mean = (part * window).sum() / window.sum()
            power = np.abs(np.fft.fft2((part - mean) * window)) ** 2
            total = power if total is None else total + power
            windows += 1
    if total is None or not total.sum() > 0:
        raise ValueError(f"expected modulated spectrograms, got {windows} windows without any modulation")
    bins = total.shape[1]
    omega = np.fft.fftfreq(frames, 1.0 / frame_rate)
    big_omega = np.fft.fftshift(np.fft.fftfreq(bins, 1.0 / bins_per_octave))
    half = np.fft.fftshift(total, axes=1)[omega >= 0]
    # The other half is its mirror image; the line of no temporal modulation is its own.
    half[1:] *= 2.0
    return ModulationSpectrum(omega[omega >= 0], big_omega, half / half.sum())
