"""What synthetic sounds are made with: an object that rings, the force that strikes it, room and microphone."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from audiointerp.data import modal
from audiointerp.data.materials import COLOUR_HZ, Body, Material

Array = np.ndarray


@dataclass(frozen=True)
class Scene:
    """What a clip is rendered into.

    Attributes:
        length: Samples of the clip.
        points: Points of the Fourier transforms, at least twice the length.
        sample_rate: [Hz].
    """

    length: int
    points: int
    sample_rate: int

    def spectrum(self, x: Array) -> Array:
        """Spectrum of a signal of at most `length` samples."""
        return modal.rfft(x, self.points)

    def ring(
        self,
        body: Body,
        rng: np.random.Generator,
        *,
        pitch: float = 1.0,
        damping: float = 1.0,
        held: float = 0.0,
        modes: int | None = None,
        uneven: float = 0.35,
    ) -> Array:
        """Spectrum of an object's unit-energy impulse response, struck a little off its usual point.

        Args:
            body: The object.
            rng: Draws how far off.
            pitch: Factor on all modes: a smaller piece is higher.
            damping: Factor on the material's damping.
            held: Additional decay rate, of a hand or the ground [1/s].
            modes: Number of modes, all by default.
            uneven: How far off: standard deviation of the modes' log amplitudes.
        """
        frequencies = body.frequencies_hz[:modes] * pitch
        levels = body.levels[:modes] * np.exp(rng.normal(0.0, uneven, len(frequencies)))
        decays = body.decays[:modes] * (damping * pitch) + held
        response = modal.modal_response(frequencies, decays, levels, self.length, self.sample_rate)
        response *= np.float32(1.0 / np.sqrt(np.sum(response**2) + 1e-20))
        return self.spectrum(response)

    def shaped(self, gains_db: tuple[float, ...]) -> Array:
        """Gains at 125, 500, 2000 and 7000 Hz as a curve over the bins, of unit mean power."""
        return _shaped(gains_db, self.points, self.sample_rate)

    def pulse(self, material: Material, rng: np.random.Generator, hardness: float = 0.0) -> Array:
        """Spectrum of the force of an impact whose strength is drawn; `hardness` shortens it, as a log factor."""
        duration_s = material.contact_s * np.exp(rng.normal(-hardness, 0.3))
        return modal.contact(duration_s, self.points, self.sample_rate)

    def times(self) -> Array:
        """Time of each sample [s], float32, shape `(length,)`."""
        return np.arange(self.length, dtype=np.float32) * np.float32(1.0 / self.sample_rate)


@functools.lru_cache(maxsize=64)
def _shaped(gains_db: tuple[float, ...], points: int, sample_rate: int) -> Array:
    curve = modal.curve_db(np.array(COLOUR_HZ), np.array(gains_db), points, sample_rate)
    curve *= np.float32(np.sqrt(len(curve) / np.sum(curve**2)))
    curve.setflags(write=False)
    return curve


def record(dry: Array, rng: np.random.Generator, scene: Scene) -> Array:
    """Puts a sound into a room, before a microphone, over a noise floor, and sets its level.

    The level is the mean of RMS and peak level in dB, drawn alike for all sounds: how loud a clip is says nothing
    about what was done with what.

    Args:
        dry: Spectrum of the sound, complex64 `(points // 2 + 1,)`.
        rng: Draws room, distance, microphone, floor and level.
        scene: Length and sample rate.
    Returns:
        Float32, shape `(length,)`, in [-1, 1].
    """
    rate, points = scene.sample_rate, scene.points
    distance_m = float(np.exp(rng.uniform(np.log(0.2), np.log(1.5))))
    reverberation_s = float(np.exp(rng.uniform(np.log(0.1), np.log(0.4))))
    direct = float(np.clip(4.0 / distance_m, 2.5, 20.0))
    room = modal.room_response(rng, reverberation_s, direct, min(scene.length, round(0.5 * rate)), rate)
    knots = np.array([60.0, 250.0, 1000.0, 3000.0, 7500.0])
    colour_db = np.cumsum(rng.normal(0.0, 1.5, 5)) + np.array([-10.0, 0.0, 0.0, 0.0, 0.0])
    colour_db = colour_db - colour_db[2] - np.array([0.0, 0.0, 0.0, 0.4, 1.0]) * distance_m
    wet = dry * scene.spectrum(room) * modal.curve_db(knots, colour_db, points, rate)
    sound = modal.irfft(wet, points)[: scene.length]
    floor_shape = np.exp(modal.octaves(points, rate) * np.float32(-rng.uniform(0.1, 0.6)))
    floor = modal.irfft(modal.coloured_spectrum(rng, floor_shape), points)[: scene.length]
    loud = np.sqrt(np.mean(sound**2)) + 1e-12
    snr_db = rng.uniform(22.0, 50.0)
    sound += floor * np.float32(loud * 10.0 ** (-snr_db / 20.0) / (np.sqrt(np.mean(floor**2)) + 1e-12))
    rms, peak = np.sqrt(np.mean(sound**2)), np.max(np.abs(sound))
    gain = 10.0 ** (rng.uniform(-32.0, -14.0) / 20.0) / np.sqrt(rms * peak)
    return sound * np.float32(min(gain, 0.99 / peak))
