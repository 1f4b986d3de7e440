"""Synthetic voices: a speaker's pitch and tract, syllables that come at a rate of speech, and noises beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

Array = np.ndarray
VOWELS_HZ = np.array(
    [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410), (490, 1350, 1690)],
    dtype=np.float64,
)
"""First three formants of six vowels [Hz], after Peterson and Barney (1952)."""


@dataclass(frozen=True)
class Speaker:
    """What one speaker's utterances share.

    Attributes:
        pitch_hz: Mean fundamental frequency [Hz].
        tract: Factor on all formants.
        tilt_db: Fall of the source's spectrum per octave [dB].
        breath: Level of breath beside the voice.
        rate_hz: Syllables per second [Hz].
    """

    pitch_hz: float
    tract: float
    tilt_db: float
    breath: float
    rate_hz: float


def draw_speaker(rng: np.random.Generator) -> Speaker:
    """Draws a speaker."""
    size = rng.uniform(0.0, 1.0)  # small speakers are high and have short tracts, loosely
    return Speaker(
        pitch_hz=float(95.0 * 2.5**size * np.exp(rng.normal(0.0, 0.08))),
        tract=float(0.92 + 0.28 * size + rng.normal(0.0, 0.03)),
        tilt_db=float(rng.uniform(-14.0, -7.0)),
        breath=float(np.exp(rng.uniform(np.log(0.01), np.log(0.15)))),
        rate_hz=float(rng.uniform(3.0, 5.5)),
    )


def utterance(speaker: Speaker, rng: np.random.Generator, length: int, sample_rate: int) -> Array:
    """An utterance of syllables, vowels after fricatives; float32, shape `(length,)`, RMS 1.

    Args:
        speaker: Who speaks.
        rng: Draws what is said.
        length: Samples.
        sample_rate: [Hz].
    """
    t = np.arange(length) / sample_rate
    seconds = length / sample_rate
    course = speaker.pitch_hz * (1.08 - 0.16 * t / seconds) * np.exp(0.03 * np.sin(2 * np.pi * rng.uniform(1, 3) * t))
    phase = np.cumsum(course) / sample_rate
    count = max(1, int(0.46 * sample_rate / course.max()))
    harmonics = np.arange(1, min(count, 60) + 1)
    levels = 10.0 ** (speaker.tilt_db * np.log2(harmonics) / 20.0)
    source = (levels[:, None] * np.sin(2 * np.pi * harmonics[:, None] * phase)).sum(0)
    source += speaker.breath * rng.standard_normal(length)
    out = np.zeros(length)
    syllable = max(1, round(sample_rate / speaker.rate_hz))
    edge = max(1, round(0.015 * sample_rate))
    for start in range(0, length, syllable):
        stop = min(length, start + syllable)
        size = stop - start
        consonant = min(size, round(syllable * rng.uniform(0.15, 0.35)))
        hiss = rng.standard_normal(consonant + edge)
        centre = rng.uniform(2500.0, 6000.0)
        out[start : start + consonant] += (
            0.25 * _resonate(hiss, min(centre, 0.45 * sample_rate), 900.0, sample_rate)[edge:]
        )
        vowel = source[start + consonant : stop]
        if not len(vowel):
            continue
        for formant, width in zip(VOWELS_HZ[rng.integers(len(VOWELS_HZ))] * speaker.tract, (80, 110, 160), strict=True):
            vowel = vowel + 1.5 * _resonate(vowel, min(formant, 0.45 * sample_rate), width, sample_rate)
        rise = np.minimum(1.0, np.arange(len(vowel)) / edge)
        out[start + consonant : stop] += _unit(vowel) * np.minimum(rise, rise[::-1]) * rng.uniform(0.6, 1.0)
    return _unit(out).astype(np.float32)


def noise(rng: np.random.Generator, length: int, sample_rate: int) -> Array:
    """A noise of its own colour, steady or with slow gusts, sometimes with a hum; float32, shape `(length,)`, RMS 1."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(length, 1.0 / sample_rate), 30.0) / 1000.0)
    knots = np.linspace(-5.0, 3.0, 6)
    db = rng.uniform(-9.0, 0.0) * octaves + np.interp(octaves, knots, rng.normal(0.0, 4.0, 6))
    sound = np.fft.irfft(spectrum * 10.0 ** (db / 20.0), length)
    t = np.arange(length) / sample_rate
    if rng.random() < 0.5:
        course = np.interp(t, np.linspace(0.0, t[-1] + 1e-9, 5), rng.normal(0.0, 4.0, 5))
        sound = sound * 10.0 ** (course / 20.0)
    sound = _unit(sound)
    if rng.random() < 0.4:
        hum = rng.uniform(50.0, 400.0)
        sound = sound + 0.3 * sum(np.sin(2 * np.pi * k * hum * t + rng.uniform(0, 6.3)) / k for k in (1, 2, 3))
    return _unit(sound).astype(np.float32)


def _resonate(x: Array, centre_hz: float, width_hz: float, sample_rate: int) -> Array:
    """A two-pole resonance of gain about 1 at its centre."""
    radius = np.exp(-np.pi * width_hz / sample_rate)
    angle = 2.0 * np.pi * centre_hz / sample_rate
    gain = (1.0 - radius) * np.sqrt(1.0 - 2.0 * radius * np.cos(2.0 * angle) + radius**2)
    return lfilter([gain], [1.0, -2.0 * radius * np.cos(angle), radius**2], x)


def _unit(x: Array) -> Array:
    return x / (np.sqrt(np.mean(np.square(x, dtype=np.float64))) + 1e-9)
