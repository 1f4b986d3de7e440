"""Sixteen families of synthetic sounds to train a stand-in network on; no object of any study is among them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import jn_zeros
from typing_extensions import Unpack

from audiointerp.data import modal
from audiointerp.data.rendered import Rendered, Rendering
from audiointerp.data.scene import Scene, record
from audiointerp.study import UserError, stream

VERSION = 1
Array = np.ndarray
Family = Callable[[np.random.Generator, Scene], Array]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


# --- solid objects: told by the ratios of their modes, whatever they are made of and however they are excited --------


def _solid(
    rng: np.random.Generator, scene: Scene, ratios: Array, low_hz: float, high_hz: float, tilt_db: float
) -> Array:
    """Modes of any damping, struck once or often, or scraped."""
    frequencies = _log_uniform(rng, low_hz, high_hz) * ratios * np.exp(rng.normal(0.0, 0.006, len(ratios)))
    loss = _log_uniform(rng, 0.0007, 0.03)
    decays = rng.uniform(1.0, 12.0) + np.pi * loss * frequencies
    levels = np.exp(rng.normal(0.0, 0.5, len(ratios))) * 10.0 ** (tilt_db * np.log2(ratios) / 20.0)
    response = modal.modal_response(frequencies, decays, levels, scene.length, scene.sample_rate)
    response *= np.float32(1.0 / np.sqrt(np.sum(response**2) + 1e-20))
    seconds = scene.length / scene.sample_rate
    if rng.random() < 0.25:
        force = rng.standard_normal(scene.length, dtype=np.float32)
        force *= _wander(rng, scene, rng.uniform(2.0, 8.0), 0.05)
        force *= np.float32(1.0 / np.sqrt(scene.length))
    else:
        hits = 1 if rng.random() < 0.4 else rng.integers(2, 10)
        at = rng.uniform(0.02, 0.6 if hits == 1 else 0.95, hits) * seconds
        force = modal.impulses(at, np.exp(rng.normal(0.0, 0.5, hits)), scene.length, scene.sample_rate)
    pulse = modal.contact(_log_uniform(rng, 0.0001, 0.0012), scene.points, scene.sample_rate)
    return scene.spectrum(force) * scene.spectrum(response) * pulse


def bar(rng: np.random.Generator, scene: Scene) -> Array:
    """A free bar: few, wide-set modes."""
    ratios = (2.0 * np.arange(1, 9) + 1.0) ** 2 / 9.0
    return _solid(rng, scene, ratios, 200.0, 1200.0, -3.0)


def plate(rng: np.random.Generator, scene: Scene) -> Array:
    """A thin plate: many modes, evenly dense."""
    return _solid(rng, scene, modal.plate(60, rng.uniform(0.5, 1.0)), 60.0, 300.0, -0.5)


def bell(rng: np.random.Generator, scene: Scene) -> Array:
    """A bell: hum, prime, minor third, quint, nominal, each a beating pair."""
    partials = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.0, 4.0, 5.33, 6.7])
    return _solid(
        rng, scene, np.concatenate([partials, partials * (1.0 + rng.uniform(0.001, 0.006))]), 250.0, 1500.0, -2.0
    )


def tube(rng: np.random.Generator, scene: Scene) -> Array:
    """A tube closed at one end, blown: odd harmonics in its own breath."""
    ratios = 2.0 * np.arange(12) + 1.0
    tone = np.zeros(scene.length)
    vibrato = 1.0 + 0.01 * rng.random() * np.sin(rng.uniform(20.0, 40.0) * scene.times())
    phase = 2.0 * np.pi * np.cumsum(_log_uniform(rng, 150.0, 700.0) * vibrato) / scene.sample_rate
    fall = rng.uniform(0.7, 1.6)
    for ratio in ratios:
        tone += np.sin(ratio * phase + rng.uniform(0.0, 6.3)) / ratio**fall * (ratio * 700.0 < 0.45 * scene.sample_rate)
    tone *= _onset(rng, scene)
    breath = rng.standard_normal(scene.length) * _onset(rng, scene) * _log_uniform(rng, 0.02, 0.3)
    return scene.spectrum((tone + breath).astype(np.float32))


def membrane(rng: np.random.Generator, scene: Scene) -> Array:
    """A drum skin: zeros of Bessel functions, low and quickly gone."""
    ratios = np.sort(np.concatenate([jn_zeros(n, 3) for n in range(7)]))
    ratios = ratios / ratios[0]
    return _solid(rng, scene, ratios, 60.0, 260.0, -4.0)


def string(rng: np.random.Generator, scene: Scene) -> Array:
    """A plucked string: harmonics, a little stretched by stiffness."""
    k = np.arange(1, 41)
    ratios = k * np.sqrt(1.0 + _log_uniform(rng, 1e-5, 4e-4) * k**2)
    frequencies = _log_uniform(rng, 90.0, 600.0) * ratios
    levels = np.abs(np.sin(np.pi * k * rng.uniform(0.05, 0.5))) / k ** rng.uniform(0.8, 1.6)
    decays = rng.uniform(1.0, 5.0) + 0.002 * _log_uniform(rng, 0.3, 3.0) * frequencies
    response = modal.modal_response(frequencies, decays, levels, scene.length, scene.sample_rate)
    plucks = rng.integers(1, 4)
    at = rng.uniform(0.02, 0.7, plucks) * scene.length / scene.sample_rate
    return scene.spectrum(response) * scene.spectrum(
        modal.impulses(at, np.ones(plucks), scene.length, scene.sample_rate)
    )


# --- what else sounds ------------------------------------------------------------------------------------------------


def engine(rng: np.random.Generator, scene: Scene) -> Array:
    """Firing at 15 to 90 Hz, uneven from cylinder to cylinder, through an exhaust."""
    rate = _log_uniform(rng, 15.0, 90.0) * (1.0 + rng.uniform(-0.4, 0.4) * scene.times() / 2.0)
    turns = np.cumsum(rate) / scene.sample_rate
    at = np.searchsorted(turns, np.arange(1, int(turns[-1]) + 1)) / scene.sample_rate
    strengths = np.tile(rng.uniform(0.6, 1.0, 4), len(at) // 4 + 1)[: len(at)] * np.exp(rng.normal(0.0, 0.1, len(at)))
    force = modal.impulses(at, strengths, scene.length, scene.sample_rate)
    force += rng.standard_normal(scene.length, dtype=np.float32) * np.float32(_log_uniform(rng, 0.003, 0.03))
    pipe = modal.modal_response(
        rng.uniform(60.0, 900.0, 6),
        rng.uniform(60.0, 250.0, 6),
        rng.uniform(0.2, 1.0, 6),
        scene.length,
        scene.sample_rate,
    )
    return scene.spectrum(force) * scene.spectrum(pipe)


def wind(rng: np.random.Generator, scene: Scene) -> Array:
    """Gusts: noise below a few hundred hertz, with a whistle that wanders."""
    noise = rng.standard_normal(scene.length, dtype=np.float32) * _wander(rng, scene, 3.0, 0.3)
    dull = scene.spectrum(noise) * modal.curve_db(
        [100, 400, 1500, 7000], [10, 0, -22, -45], scene.points, scene.sample_rate
    )
    centre = _log_uniform(rng, 300.0, 1200.0) * (1.0 + 0.5 * (_wander(rng, scene, 3.0, 0.0) - 0.5))
    whistle = np.sin(2 * np.pi * np.cumsum(centre) / scene.sample_rate + 2.0 * _wander(rng, scene, 60.0, 0.0))
    return dull + scene.spectrum((whistle * noise * _log_uniform(rng, 0.05, 0.6)).astype(np.float32))


def rain(rng: np.random.Generator, scene: Scene) -> Array:
    """Drops on a hard ground: thousands of clicks per second, all over the upper spectrum."""
    seconds = scene.length / scene.sample_rate
    count = rng.poisson(_log_uniform(rng, 500.0, 8000.0) * seconds)
    force = modal.impulses(
        rng.uniform(0.0, seconds, count),
        rng.pareto(2.5, count) * rng.choice([-1, 1], count),
        scene.length,
        scene.sample_rate,
    )
    tilt = rng.uniform(0.0, 8.0)
    gains = [-18.0 - tilt, -8.0, 0.0, tilt - 4.0]
    return scene.spectrum(force) * modal.curve_db([125, 700, 2500, 7000], gains, scene.points, scene.sample_rate)


def water(rng: np.random.Generator, scene: Scene) -> Array:
    """Bubbles: short tones that rise as they die."""
    out = np.zeros(scene.length, dtype=np.float32)
    for _ in range(rng.integers(8, 40)):
        n = round(rng.uniform(0.015, 0.07) * scene.sample_rate)
        first = rng.integers(0, scene.length - n)
        time = np.arange(n, dtype=np.float32) / np.float32(scene.sample_rate)
        start, rise = _log_uniform(rng, 350.0, 2200.0), rng.uniform(2.0, 25.0)
        tone = np.sin(np.float32(2 * np.pi * start) * time * (1.0 + np.float32(rise / 2) * time))
        out[first : first + n] += np.float32(np.exp(rng.normal(0.0, 0.6))) * tone * np.exp(time * np.float32(-90.0))
    return scene.spectrum(out)


def babble(rng: np.random.Generator, scene: Scene) -> Array:
    """One to four voices without words: pulses of the glottis through three formants that move with the syllables."""
    total = np.zeros(scene.points // 2 + 1, dtype=np.complex64)
    seconds = scene.length / scene.sample_rate
    for _ in range(rng.integers(1, 5)):
        pitch = _log_uniform(rng, 90.0, 260.0) * (1.0 + 0.25 * (_wander(rng, scene, 4.0, 0.0) - 0.5))
        turns = np.cumsum(pitch) / scene.sample_rate
        at = np.searchsorted(turns, np.arange(1, int(turns[-1]) + 1)) / scene.sample_rate
        starts = np.cumsum(rng.uniform(0.1, 0.3, 12)) - rng.uniform(0.0, 0.3)
        for start, stop in zip(starts[:-1], starts[1:], strict=True):
            inside = at[(at >= start) & (at < stop)]
            if start > seconds or len(inside) == 0:
                continue
            envelope = np.sin(np.pi * (inside - start) / (stop - start)) + 0.05
            formants = np.array([rng.uniform(300, 850), rng.uniform(850, 2300), rng.uniform(2300, 3300)])
            vowel = modal.modal_response(
                formants, np.pi * np.array([70.0, 100.0, 150.0]), np.array([1.0, 0.6, 0.3]), 800, scene.sample_rate
            )
            pulses = modal.impulses(inside, envelope, scene.length, scene.sample_rate)
            if rng.random() < 0.4:
                first = int(max(start, 0.0) * scene.sample_rate)
                n = min(round(0.05 * scene.sample_rate), scene.length - first)
                pulses[first : first + n] += 0.15 * rng.standard_normal(max(n, 0), dtype=np.float32)
            total += scene.spectrum(pulses) * scene.spectrum(vowel)
    return total


def birds(rng: np.random.Generator, scene: Scene) -> Array:
    """Chirps between 2 and 7 kHz that sweep and trill."""
    out = np.zeros(scene.length, dtype=np.float32)
    base = _log_uniform(rng, 2200.0, 5500.0)
    for _ in range(rng.integers(2, 9)):
        n = round(rng.uniform(0.04, 0.2) * scene.sample_rate)
        first = rng.integers(0, scene.length - n)
        x = np.linspace(0.0, 1.0, n)
        course = base * (1.0 + rng.uniform(-0.3, 0.3) * x + rng.uniform(0.0, 0.1) * np.sin(rng.uniform(6, 60) * x))
        tone = np.sin(2 * np.pi * np.cumsum(course) / scene.sample_rate) * np.sin(np.pi * x)
        out[first : first + n] += (np.exp(rng.normal(0.0, 0.4)) * tone).astype(np.float32)
    return scene.spectrum(out)


def insects(rng: np.random.Generator, scene: Scene) -> Array:
    """A high carrier in a regular rattle of pulses."""
    time = scene.times()
    carrier = np.sin(np.float32(2 * np.pi * _log_uniform(rng, 3000.0, 6800.0)) * time)
    beat = np.clip(np.sin(np.float32(2 * np.pi * _log_uniform(rng, 15.0, 120.0)) * time), 0.0, None)
    song = np.clip(
        np.sin(np.float32(2 * np.pi * rng.uniform(0.8, 4.0)) * time + np.float32(rng.uniform(0, 6.3))), -0.2, None
    )
    noise = 1.0 + np.float32(0.3) * rng.standard_normal(scene.length, dtype=np.float32)
    return scene.spectrum(carrier * beat * (song + np.float32(0.2)) * noise)


def tone(rng: np.random.Generator, scene: Scene) -> Array:
    """A steady or beeping tone with a few harmonics."""
    time = scene.times()
    pitch = _log_uniform(rng, 200.0, 4000.0)
    out = sum(
        np.float32(rng.uniform(0.0, 1.0) / k) * np.sin(np.float32(2 * np.pi * pitch * k) * time)
        for k in range(1, 5)
        if pitch * k < 0.45 * scene.sample_rate
    )
    out = out + np.float32(0.2) * np.sin(np.float32(2 * np.pi * pitch) * time)
    if rng.random() < 0.5:
        out = out * (np.sin(np.float32(2 * np.pi * rng.uniform(1.0, 8.0)) * time + np.float32(rng.uniform(0, 6.3))) > 0)
    return scene.spectrum(out.astype(np.float32))


def sweep(rng: np.random.Generator, scene: Scene) -> Array:
    """A siren: a tone that glides up and down, or only once."""
    time = scene.times()
    middle, width = _log_uniform(rng, 400.0, 2500.0), rng.uniform(0.25, 0.7)
    rate = rng.uniform(0.4, 5.0)
    shape = np.sin(2 * np.pi * rate * time + rng.uniform(0.0, 6.3))
    if rng.random() < 0.5:
        shape = 2.0 * ((rate * time + rng.random()) % 1.0) - 1.0
    phase = 2 * np.pi * np.cumsum(middle * (1.0 + width * shape)) / scene.sample_rate
    return scene.spectrum((np.sin(phase) + rng.uniform(0.0, 0.4) * np.sin(2.0 * phase)).astype(np.float32))


def noise(rng: np.random.Generator, scene: Scene) -> Array:
    """A steady band of noise."""
    centre, octaves = _log_uniform(rng, 300.0, 5000.0), rng.uniform(0.3, 2.5)
    distance = np.abs(modal.octaves(scene.points, scene.sample_rate) - np.float32(np.log2(centre / 1000.0)))
    band = np.exp(-np.clip(distance - np.float32(octaves / 2.0), 0.0, None) * np.float32(6.0))
    return scene.spectrum(rng.standard_normal(scene.length, dtype=np.float32)) * band


def _wander(rng: np.random.Generator, scene: Scene, rate_hz: float, low: float) -> Array:
    """A smooth random course between `low` and 1 that turns about `rate_hz` times a second, float32."""
    seconds = scene.length / scene.sample_rate
    knots = rng.uniform(low, 1.0, max(4, int(rate_hz * seconds) + 3))
    return np.interp(scene.times(), np.linspace(0.0, seconds, len(knots)), knots).astype(np.float32)


def _onset(rng: np.random.Generator, scene: Scene) -> Array:
    """A note's envelope: rises once, may fall."""
    time = scene.times()
    start, rise = rng.uniform(0.0, 0.35), rng.uniform(0.01, 0.08)
    return np.clip((time - np.float32(start)) / np.float32(rise), 0.0, 1.0) * np.exp(
        time * np.float32(-rng.uniform(0.0, 2.0))
    )


FAMILIES: dict[str, Family] = {
    "bar": bar,
    "plate": plate,
    "bell": bell,
    "tube": tube,
    "membrane": membrane,
    "string": string,
    "engine": engine,
    "wind": wind,
    "rain": rain,
    "water": water,
    "babble": babble,
    "birds": birds,
    "insects": insects,
    "tone": tone,
    "sweep": sweep,
    "noise": noise,
}


class SoundFamilies(Rendered):
    """Clips of sixteen families, each clip from an object or a source of its own.

    Clip `i` is of family `i % 16`; it depends on `seed` and `i` alone. Materials are not told apart here: every solid
    family has any damping.

    Args:
        clips: Number of clips, at least 16.
        sample_rate: [Hz].
        length: Samples of a clip.
        seed: Seed of all clips.
        **rendering: As in `Rendering`.
    Raises:
        UserError: If there are fewer clips than families.
    """

    name = "Sound families"
    attribution = "synthesised by this package"

    def __init__(
        self,
        clips: int = 1600,
        sample_rate: int = 16000,
        length: int = 15600,
        seed: int = 0,
        **rendering: Unpack[Rendering],
    ) -> None:
        if clips < len(FAMILIES):
            raise UserError(f"expected at least {len(FAMILIES)} clips, one per family, got {clips}")
        super().__init__(clips, length, **rendering)
        self.sample_rate, self.seed = int(sample_rate), int(seed)
        self.scene = Scene(length, modal.points_for(length), self.sample_rate)
        families = list(FAMILIES)
        self.labels = np.arange(clips) % len(families)
        self.factors = pd.DataFrame({"family": [families[k] for k in self.labels]})
        self.path = pd.Series([f"{families[k]}/{i:05d}" for i, k in enumerate(self.labels)])
        self.group = self.path.copy()
        self.preprocessing = {"sample_rate": self.sample_rate}
        self.clip_keys = [f"sound-families-{VERSION}:{self.seed}:{self.sample_rate}:{length}:{p}" for p in self.path]

    def render(self, i: int) -> np.ndarray:
        """Computes clip `i`, float32, shape `(length,)`."""
        name = list(FAMILIES)[self.labels[i]]
        rng = stream(self.seed, "sound family", name, i)
        return record(FAMILIES[name](rng, self.scene), rng, self.scene)
