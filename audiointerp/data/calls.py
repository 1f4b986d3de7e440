"""Synthetic calls of known types, uttered by birds: the default of the task that zebra finch calls are read for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from typing_extensions import Unpack

from audiointerp.data.rendered import Rendered, Rendering
from audiointerp.study import UserError, stream

VERSION = 1
Array = np.ndarray


@dataclass(frozen=True)
class Bird:
    """What one bird's calls share.

    Attributes:
        pitch_hz: Fundamental frequency [Hz].
        resonance_hz: Centre of the emphasised band [Hz].
        noisiness: Level of noise in its tones.
        tempo: Factor on all of its rates.
    """

    pitch_hz: float
    resonance_hz: float
    noisiness: float
    tempo: float


def _harmonics(phase: Array, pitch_hz: float, bird: Bird, sample_rate: int) -> Array:
    """Harmonics under the bird's resonance."""
    orders = np.arange(1, max(2, int(0.45 * sample_rate / pitch_hz)) + 1)
    distance = np.log2(orders * pitch_hz / bird.resonance_hz)
    levels = np.exp(-0.5 * (distance / 0.9) ** 2)
    return (levels[:, None] * np.sin(2 * np.pi * orders[:, None] * phase)).sum(0)


def _tone(course_hz: Array, bird: Bird, rate: int) -> Array:
    return _harmonics(np.cumsum(course_hz) / rate, float(course_hz.max()), bird, rate)


def stack(t: Array, bird: Bird, rng: np.random.Generator, rate: int) -> Array:
    """A steady harmonic stack: finely spaced in frequency, slow in time."""
    return _tone(np.full(len(t), 0.7 * bird.pitch_hz), bird, rate)


def whine(t: Array, bird: Bird, rng: np.random.Generator, rate: int) -> Array:
    """A high tone whose pitch rises and falls once."""
    return _tone(2.2 * bird.pitch_hz * (1.0 + 0.15 * np.sin(np.pi * t / t[-1])), bird, rate)


def falling(t: Array, bird: Bird, rng: np.random.Generator, rate: int) -> Array:
    """Quick falling sweeps, one after the other."""
    turns = (t * 9.0 * bird.tempo) % 1.0
    return _tone(bird.pitch_hz * 2.0 ** (1.2 - 1.6 * turns), bird, rate)


def rising(t: Array, bird: Bird, rng: np.random.Generator, rate: int) -> Array:
    """Quick rising sweeps: the same as falling, backwards."""
    return falling(t, bird, rng, rate)[::-1]


def trill(t: Array, bird: Bird, rng: np.random.Generator, rate: int) -> Array:
    """A tone that is switched on and off 22 times a second."""
    gate = 0.5 - 0.5 * np.cos(2 * np.pi * 22.0 * bird.tempo * t)
    return _tone(np.full(len(t), 1.2 * bird.pitch_hz), bird, rate) * gate**2


def pips(t: Array, bird: Bird, rng: np.random.Generator, rate: int) -> Array:
    """Short pips, six a second."""
    turns = (t * 6.0 * bird.tempo) % 1.0
    return _tone(np.full(len(t), 1.6 * bird.pitch_hz), bird, rate) * np.exp(-0.5 * ((turns - 0.3) / 0.09) ** 2)


def hiss(t: Array, bird: Bird, rng: np.random.Generator, rate: int) -> Array:
    """A broad band of noise that swells and dies: slow and coarse."""
    spectrum = np.fft.rfft(rng.standard_normal(len(t)))
    distance = np.log2(np.maximum(np.fft.rfftfreq(len(t), 1.0 / rate), 50.0) / bird.resonance_hz)
    return 3.0 * np.fft.irfft(spectrum * np.exp(-0.5 * (distance / 1.2) ** 2), len(t))


def rattle(t: Array, bird: Bird, rng: np.random.Generator, rate: int) -> Array:
    """Bursts of noise, fourteen a second: fast and coarse."""
    turns = (t * 14.0 * bird.tempo) % 1.0
    return hiss(t, bird, rng, rate) * np.exp(-0.5 * ((turns - 0.4) / 0.12) ** 2)


CALLS: dict[str, Callable[[Array, Bird, np.random.Generator, int], Array]] = {
    "stack": stack,
    "whine": whine,
    "falling": falling,
    "rising": rising,
    "trill": trill,
    "pips": pips,
    "hiss": hiss,
    "rattle": rattle,
}


class SyntheticCalls(Rendered):
    """Calls of eight types that differ in their spectro-temporal modulation, each bird uttering all of them.

    A group is a bird: a type is told in birds that were not trained on. Pitch, resonance and tempo are the bird's, and
    duration, onset and level are drawn alike for all types, so that only the course in time and frequency tells them.

    Args:
        clips: Number of clips; clip `i` is of type `i % 8`.
        birds: Number of birds.
        duration_s: Duration of a clip [s].
        snr_db: Lowest and highest signal-to-noise ratio [dB].
        sample_rate: [Hz].
        seed: Seed of everything.
        **rendering: As in `Rendering`.
    Raises:
        UserError: If there are fewer clips than types times birds, fewer than two birds, or clips under 0.5 s.
    """

    name = "Synthetic calls"
    attribution = "synthesised by this package"

    def __init__(
        self,
        clips: int = 640,
        birds: int = 20,
        duration_s: float = 1.0,
        snr_db: tuple[float, float] | list[float] = (0.0, 20.0),
        sample_rate: int = 16000,
        seed: int = 0,
        **rendering: Unpack[Rendering],
    ) -> None:
        if birds < 2 or clips < birds * len(CALLS) or not duration_s >= 0.5:
            raise UserError(
                f"expected at least 2 birds, {len(CALLS)} clips per bird and clips of 0.5 s or more, got {birds} "
                f"birds, {clips} clips and {duration_s} s"
            )
        super().__init__(clips, round(duration_s * sample_rate), **rendering)
        self.sample_rate, self.seed, self.snr_db = int(sample_rate), int(seed), (float(snr_db[0]), float(snr_db[1]))
        kinds = list(CALLS)
        self._kind = np.arange(clips) % len(kinds)
        self._bird = np.arange(clips) // len(kinds) % birds
        self.factors = pd.DataFrame({"call": [kinds[k] for k in self._kind]})
        self.group = pd.Series([f"bird {b:02d}" for b in self._bird])
        self.path = self.group.str.replace(" ", "_") + "/" + self.factors["call"] + [f"/{i:05d}" for i in range(clips)]
        self.preprocessing = {"sample_rate": self.sample_rate}
        self.note = f"Synthetic: {birds} birds, each with all {len(kinds)} types; a type is told in birds never heard."
        key = f"synthetic-calls-{VERSION}:{seed}:{sample_rate}:{self.length}:{self.snr_db}"
        self.clip_keys = [f"{key}:{path}" for path in self.path]

    def render(self, i: int) -> np.ndarray:
        """Computes clip `i`, float32, shape `(length,)`."""
        own = stream(self.seed, "bird", int(self._bird[i]))
        bird = Bird(
            float(np.exp(own.uniform(np.log(450.0), np.log(900.0)))),
            float(np.exp(own.uniform(np.log(1800.0), np.log(4000.0)))),
            float(own.uniform(0.02, 0.2)),
            float(np.exp(own.normal(0.0, 0.08))),
        )
        rng = stream(self.seed, "call", i)
        seconds = self.length / self.sample_rate
        duration = min(0.95 * seconds, rng.uniform(0.35, 0.7))
        t = np.arange(round(duration * self.sample_rate)) / self.sample_rate
        varied = Bird(bird.pitch_hz * np.exp(rng.normal(0.0, 0.03)), bird.resonance_hz, bird.noisiness, bird.tempo)
        call = CALLS[list(CALLS)[self._kind[i]]](t, varied, rng, self.sample_rate)
        call = call / (np.sqrt(np.mean(call**2)) + 1e-9) + bird.noisiness * rng.standard_normal(len(t))
        edge = round(0.02 * self.sample_rate)
        call *= np.minimum(1.0, np.minimum(np.arange(len(t)), np.arange(len(t))[::-1]) / edge)
        start = int(rng.integers(self.length - len(t) + 1))
        clip = 10.0 ** (-rng.uniform(*self.snr_db) / 20.0) * rng.standard_normal(self.length)
        clip[start : start + len(t)] += call
        clip *= 10.0 ** (rng.uniform(-30.0, -15.0) / 20.0) / np.sqrt(np.mean(clip**2))
        return (clip * min(1.0, 0.99 / np.abs(clip).max())).astype(np.float32)
