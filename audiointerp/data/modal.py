"""Sounds of solid objects: modes that ring and die away, what excites them, and the room that they are heard in."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from scipy import fft

Array = np.ndarray


def modal_response(
    frequencies_hz: Array, decays: Array, amplitudes: Array, length: int, sample_rate: int, phases: Array | None = None
) -> Array:
    r"""Gives a sum of damped sinusoids, :math:`\sum_k a_k e^{-d_k t} \sin(2 \pi f_k t + \phi_k)`.

    With :math:`t = 128 i + j` each mode is an outer product of two short vectors of powers, so that the sum over modes
    is one small matrix product and no array of modes times samples is ever made.

    Args:
        frequencies_hz: Shape `(K,)`; modes above 0.98 of half the sample rate are left out.
        decays: Amplitude decay rates [1/s], shape `(K,)`.
        amplitudes: Shape `(K,)`.
        length: Samples.
        sample_rate: [Hz].
        phases: Shape `(K,)`; None for zeros, which start without a jump.
    Returns:
        Float32, shape `(length,)`.
    Example:
        >>> tone = modal_response(np.array([1000.0]), np.array([0.0]), np.array([0.5]), 16, 16000)
        >>> [round(float(x), 2) for x in tone[:5]]
        [0.0, 0.19, 0.35, 0.46, 0.5]
    """
    heard = frequencies_hz < 0.49 * sample_rate
    start = np.asarray(amplitudes, dtype=np.complex128)[heard]
    if phases is not None:
        start = start * np.exp(1j * np.asarray(phases)[heard])
    rate = (2j * np.pi * frequencies_hz[heard] - decays[heard]) / sample_rate
    block = 128
    fine = np.exp(np.arange(block)[:, None] * rate)
    coarse = np.exp(block * np.arange(-(-length // block))[:, None] * rate) * start
    left = np.concatenate([coarse.imag, coarse.real], axis=1).astype(np.float32)
    right = np.concatenate([fine.real, fine.imag], axis=1).astype(np.float32)
    return (left @ right.T).reshape(-1)[:length]


# --- shapes: ratios of mode frequencies to the lowest one -------------------------------------------------------------


def bar(modes: int, aspect: float) -> Array:
    """Bending modes of a free bar: close to squares of odd numbers; `aspect` adds torsion."""
    bending = (2.0 * np.arange(1, modes + 1) + 1.0) ** 2 / 9.0
    return np.sort(np.concatenate([bending, aspect * np.arange(1, modes // 3 + 1) * 2.3]))[:modes]


def plate(modes: int, aspect: float) -> Array:
    """Bending modes of a supported rectangular plate of sides 1 and `aspect`: dense, evenly spread over frequency."""
    steps = np.arange(1, int(2 * np.sqrt(modes)) + 3)
    grid = (steps[:, None] ** 2 + (steps[None, :] / aspect) ** 2).ravel()
    return np.sort(grid)[:modes] / grid.min()


def shell(modes: int, aspect: float) -> Array:
    """Modes of a cup, glass or bell: rings of nodes, each with a near twin (the wall is never quite round)."""
    order = np.arange(2, modes // 2 + 3, dtype=float)
    ring = np.sqrt((order**4 + (0.8 * aspect) ** 4) * (1.0 + 1.0 / order**2))
    twins = np.concatenate([ring, ring * (1.0 + 0.004 * aspect)])
    return np.sort(twins / ring[0])[:modes]


def tube(modes: int, aspect: float) -> Array:
    """A hollow tube: the bar's bending modes and the harmonics of the air column."""
    air = 1.7 * aspect * np.arange(1, modes // 2 + 1)
    return np.sort(np.concatenate([bar(modes - len(air), aspect), air]))[:modes]


def block(modes: int, aspect: float) -> Array:
    """A compact lump: elastic modes whose number grows with the cube of frequency."""
    return (1.0 + np.arange(modes) * (0.7 + 0.6 * aspect)) ** (1.0 / 3.0 + 0.2)


SHAPES: dict[str, Callable[[int, float], Array]] = {
    "bar": bar,
    "plate": plate,
    "shell": shell,
    "tube": tube,
    "block": block,
}


# --- excitation -------------------------------------------------------------------------------------------------------


def contact(duration_s: float, points: int, sample_rate: int) -> Array:
    """Spectrum of one impact's force, a bell-shaped pulse of unit area: the longer it touches, the duller.

    Args:
        duration_s: Time of contact [s]; the pulse's standard deviation is a quarter of it.
        points: Points of the Fourier transform.
        sample_rate: [Hz].
    Returns:
        Float32, shape `(points // 2 + 1,)`.
    """
    grid = grid_hz(points, sample_rate)
    return np.exp(grid * grid * np.float32(-0.5 * (2.0 * np.pi * 0.25 * duration_s) ** 2))


def impulses(times_s: Array, strengths: Array, length: int, sample_rate: int) -> Array:
    """Impulses at times, each spread over its two nearest samples; float32, shape `(length,)`."""
    at = np.asarray(times_s) * sample_rate
    whole = np.floor(at).astype(np.int64)
    inside = (whole >= 0) & (whole < length - 1)
    whole, rest = whole[inside], (at[inside] - whole[inside])
    strengths = np.asarray(strengths)[inside]
    train = np.bincount(whole, strengths * (1.0 - rest), length) + np.bincount(whole + 1, strengths * rest, length)
    return train.astype(np.float32)


@functools.lru_cache(maxsize=8)
def grid_hz(points: int, sample_rate: int) -> Array:
    """Frequencies of the bins of a real FFT of `points` points [Hz], float32, shape `(points // 2 + 1,)`; shared."""
    grid = np.fft.rfftfreq(points, 1.0 / sample_rate).astype(np.float32)
    grid.setflags(write=False)
    return grid


@functools.lru_cache(maxsize=8)
def octaves(points: int, sample_rate: int) -> Array:
    """`log2(f / 1 kHz)` of the bins of a real FFT, from 20 Hz up, float32; shared."""
    grid = np.log2(np.maximum(grid_hz(points, sample_rate), 20.0) / 1000.0).astype(np.float32)
    grid.setflags(write=False)
    return grid


def curve_db(points_hz: Array, gains_db: Array, points: int, sample_rate: int) -> Array:
    """A gain that runs linearly in dB over log frequency through given points; float32, shape `(points // 2 + 1,)`."""
    over = octaves(points, sample_rate)
    db = np.interp(over, np.log2(np.asarray(points_hz) / 1000.0), gains_db).astype(np.float32)
    return np.exp(db * np.float32(np.log(10.0) / 20.0))


def room_response(
    rng: np.random.Generator, reverberation_s: float, direct: float, length: int, sample_rate: int
) -> Array:
    """Direct sound, a few early reflections and a diffuse tail that dies away; float32, shape `(length,)`.

    Args:
        rng: Draws reflections and tail.
        reverberation_s: Time for 60 dB of decay [s].
        direct: Energy of the direct sound over that of the rest, as an amplitude ratio.
        length: Samples kept.
        sample_rate: [Hz].
    """
    time = np.arange(length, dtype=np.float32) * np.float32(1.0 / sample_rate)
    tail = rng.standard_normal(length, dtype=np.float32) * np.exp(np.float32(-6.9 / reverberation_s) * time)
    tail[: round(0.003 * sample_rate)] = 0.0
    early = rng.integers(round(0.001 * sample_rate), round(0.02 * sample_rate), 5)
    tail *= np.float32(1.0 / np.sqrt(np.sum(tail**2) + 1e-12))
    tail[early] += rng.normal(0.0, 0.3, 5).astype(np.float32)
    tail /= np.float32(direct)
    tail[0] = 1.0
    return tail


def coloured_spectrum(rng: np.random.Generator, shape: Array) -> Array:
    """Spectrum of Gaussian noise with an amplitude shape over the bins of a real FFT; complex64, as long as `shape`."""
    parts = rng.standard_normal((len(shape), 2), dtype=np.float32)
    return parts.view(np.complex64)[:, 0] * shape


def points_for(length: int) -> int:
    """Points of a Fourier transform that is quick and long enough to convolve two signals of `length` samples."""
    power = 1 << (2 * length - 1).bit_length()
    return power * 3 // 4 if power * 3 // 4 >= 2 * length else power


def rfft(x: Array, points: int) -> Array:
    """Real FFT in single precision on one thread: the same bits whatever else is transformed beside it."""
    return fft.rfft(x, points, workers=1)


def irfft(x: Array, points: int) -> Array:
    """Inverse of `rfft`, float32, shape `(points,)`."""
    return fft.irfft(x, points, workers=1)
