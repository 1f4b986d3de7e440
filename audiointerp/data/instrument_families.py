"""What makes a synthetic instrument: partials, envelope, noise and what its source does to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Range = tuple[float, float]

SOURCES = ("acoustic", "electronic", "synthetic")
PARTIALS = 32
FULL_DB = -12.0
"""Level of the loudest velocity re full scale, before the instrument's own [dB RMS at the note's loudest]."""
RANGE_DB = 18.0
"""From the softest to the loudest velocity [dB]."""


@dataclass(frozen=True)
class Family:
    """Ranges from which the instruments of a family are drawn.

    Attributes:
        slope: Exponent by which partials fall, `k ** -slope`.
        even: Gain of even partials.
        attack_s: Time to the full level [s].
        decay_s: Time constant of the decay [s]; None where a note is sustained.
        noise_db: Level of the noise part re the tone [dB].
        noise_hz: Centre of the noise band [Hz].
        chiff: Whether the noise is a burst at the start only.
        stretch: Inharmonicity B: partial k lies at `k * sqrt(1 + B k^2)`.
        ratios: Frequencies of the partials re the lowest, where they are no multiples of it.
        drawn: Numbers of the partials that sound, where not all do.
        formants_hz: Resonances fixed in frequency [Hz].
        vibrato_cents: Depth of vibrato.
        detune_cents: Distance of a second, detuned voice.
        partial_decay: How much faster partial k decays, `1 + partial_decay * (k - 1)`.
    """

    slope: Range
    even: Range = (1.0, 1.0)
    attack_s: Range = (0.01, 0.02)
    decay_s: Range | None = None
    noise_db: Range = (-60.0, -55.0)
    noise_hz: Range = (2000.0, 3000.0)
    chiff: bool = False
    stretch: Range = (0.0, 0.0)
    ratios: Sequence[float] | None = None
    drawn: Sequence[int] | None = None
    formants_hz: Sequence[Range] = ()
    vibrato_cents: Range = (0.0, 0.0)
    detune_cents: Range = (0.0, 0.0)
    partial_decay: Range = (0.0, 0.0)


FAMILIES: dict[str, Family] = {
    "bass": Family((3.0, 3.6), decay_s=(0.45, 0.65), attack_s=(0.02, 0.03), partial_decay=(0.3, 0.5)),
    "brass": Family((0.4, 0.6), attack_s=(0.10, 0.16), formants_hz=((1000.0, 1300.0),), noise_db=(-45.0, -40.0)),
    "flute": Family(
        (2.6, 3.2), attack_s=(0.08, 0.14), noise_db=(-16.0, -12.0), noise_hz=(1500.0, 2500.0), vibrato_cents=(8.0, 18.0)
    ),
    "guitar": Family(
        (0.8, 1.0), decay_s=(0.35, 0.5), attack_s=(0.003, 0.006), stretch=(1e-4, 4e-4), partial_decay=(0.08, 0.15)
    ),
    "keyboard": Family(
        (1.5, 1.8), decay_s=(1.1, 1.5), attack_s=(0.002, 0.005), stretch=(6e-4, 12e-4), partial_decay=(0.05, 0.1),
        noise_db=(-10.0, -6.0), noise_hz=(500.0, 800.0), chiff=True,
    ),
    "mallet": Family(
        (0.6, 0.9), decay_s=(0.2, 0.3), attack_s=(0.001, 0.003), ratios=(1.0, 3.93, 9.24), partial_decay=(1.0, 2.0),
        noise_db=(-12.0, -8.0), noise_hz=(3000.0, 4500.0), chiff=True,
    ),
    "organ": Family((0.2, 0.4), attack_s=(0.015, 0.03), drawn=(1, 2, 4, 8)),
    "reed": Family((0.9, 1.1), even=(0.02, 0.06), attack_s=(0.04, 0.06), noise_db=(-38.0, -33.0)),
    "string": Family(
        (0.7, 0.9), attack_s=(0.22, 0.32), vibrato_cents=(20.0, 35.0), noise_db=(-28.0, -24.0),
        noise_hz=(3500.0, 5000.0), formants_hz=((2500.0, 3000.0),),
    ),
    "synth_lead": Family((0.15, 0.3), attack_s=(0.003, 0.006), detune_cents=(14.0, 24.0)),
    "vocal": Family(
        (1.0, 1.3), attack_s=(0.14, 0.2), vibrato_cents=(35.0, 55.0), noise_db=(-34.0, -28.0),
        formants_hz=((550.0, 700.0), (1100.0, 1300.0), (2600.0, 3000.0)),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Instrument:
    """One instrument of a family; numbers as in `Family`, drawn.

    Attributes:
        family: Its name.
        source: `acoustic`, `electronic` or `synthetic`.
        multiples: Frequency of each partial re the lowest, `(K,)`.
        gains: Amplitude of each partial, `(K,)`.
        formants_hz: Resonances [Hz].
        attack_s: [s].
        decay_s: [s]; infinite where a note is sustained.
        partial_decay: As in `Family`.
        noise_db: [dB].
        noise_hz: [Hz].
        vibrato_cents: Depth.
        vibrato_hz: Rate [Hz].
        detune_cents: Distance of the second voice.
        level_db: The instrument's own level [dB].
    """

    family: str
    source: str
    multiples: Array
    gains: Array
    formants_hz: tuple[float, ...]
    attack_s: float
    decay_s: float
    partial_decay: float
    noise_db: float
    noise_hz: float
    vibrato_cents: float
    vibrato_hz: float
    detune_cents: float
    level_db: float


def draw_instrument(family: str, source: str, rng: np.random.Generator) -> Instrument:
    """Draws an instrument of a family and a source from a random stream."""
    kind = FAMILIES[family]
    if kind.ratios is not None:
        multiples = np.asarray(kind.ratios)
    else:
        numbers = np.arange(1, PARTIALS + 1) if kind.drawn is None else np.asarray(kind.drawn)
        multiples = numbers * np.sqrt(1.0 + rng.uniform(*kind.stretch) * numbers**2)
    place = np.arange(1, len(multiples) + 1)
    gains = place ** -rng.uniform(*kind.slope)
    gains[1::2] *= 1.0 if kind.drawn is not None else rng.uniform(*kind.even)
    gains *= 10.0 ** (rng.normal(0.0, 1.0, len(gains)) / 20.0)
    return Instrument(
        family,
        source,
        multiples,
        gains,
        tuple(rng.uniform(*band) for band in kind.formants_hz),
        rng.uniform(*kind.attack_s),
        np.inf if kind.decay_s is None else rng.uniform(*kind.decay_s),
        rng.uniform(*kind.partial_decay),
        rng.uniform(*kind.noise_db),
        rng.uniform(*kind.noise_hz),
        rng.uniform(*kind.vibrato_cents),
        rng.uniform(4.5, 6.5),
        rng.uniform(*kind.detune_cents),
        rng.uniform(-0.5, 0.5),
    )


def play(
    instrument: Instrument,
    f0_hz: float,
    velocity: int,
    length: int,
    held: float,
    sample_rate: int,
    rng: np.random.Generator,
) -> Array:
    """Plays one note.

    A harder note is louder, by 18 dB from velocity 0 to 127, and brighter.

    Args:
        instrument: Who plays.
        f0_hz: Frequency of the lowest partial [Hz].
        velocity: MIDI velocity, 1 to 127.
        length: Samples.
        held: Share of the length after which the note is let go.
        sample_rate: [Hz].
        rng: Phases, noise and small irregularities of this note.
    Returns:
        Float32, shape `(length,)`, within [-1, 1].
    """
    t = np.arange(length) / sample_rate
    force = velocity / 127.0
    cycles = f0_hz * t
    if instrument.vibrato_cents:
        rate, onset = instrument.vibrato_hz, np.minimum(1.0, t / 0.4)
        depth = f0_hz * np.log(2.0) / 1200.0 * instrument.vibrato_cents
        cycles = cycles - onset * depth / (2 * np.pi * rate) * np.cos(2 * np.pi * (rate * t + rng.random()))
    if instrument.source == "acoustic":  # a slow drift that no player avoids
        drift = np.interp(t, np.linspace(0, t[-1], 12), rng.normal(0.0, 3.0, 12))
        cycles = cycles + np.cumsum(f0_hz * np.log(2.0) / 1200.0 * drift) / sample_rate
    tone = _partials(instrument, cycles, f0_hz, force, t, sample_rate, rng)
    if instrument.detune_cents:
        apart = 2.0 ** (instrument.detune_cents / 1200.0)
        tone = tone + _partials(instrument, cycles * apart, f0_hz * apart, force, t, sample_rate, rng)
    tone = tone * _envelope(instrument, t, held)
    tone = tone / np.sqrt(np.convolve(tone**2, np.full(1024, 1 / 1024), "same").max())
    sound = tone + _noise(instrument, t, held, sample_rate, rng)
    if instrument.source == "electronic":  # an amplifier: soft clipping and a little hum
        sound = np.tanh(1.5 * sound) / 1.3 + 0.01 * np.sin(2 * np.pi * (50.0 * t + rng.random()))
    level_db = FULL_DB - RANGE_DB * (1.0 - force) + instrument.level_db
    sound = sound * 10.0 ** (level_db / 20.0)
    if instrument.source != "synthetic":
        sound = sound + 10.0 ** (-70.0 / 20.0) * rng.standard_normal(length)
    return (sound * min(1.0, 0.99 / np.abs(sound).max())).astype(np.float32)


def _partials(
    instrument: Instrument,
    cycles: Array,
    f0_hz: float,
    force: float,
    t: Array,
    sample_rate: int,
    rng: np.random.Generator,
) -> Array:
    multiples = instrument.multiples
    hz = f0_hz * multiples
    heard = hz < 0.46 * sample_rate
    gains = instrument.gains * multiples ** (-0.8 * (1.0 - force))
    if instrument.formants_hz:
        resonance = sum(np.exp(-0.5 * ((hz - centre) / (0.18 * centre)) ** 2) for centre in instrument.formants_hz)
        gains = gains * (0.12 + resonance)
    phases = np.zeros(len(hz)) if instrument.source == "synthetic" else rng.random(len(hz))
    out = np.zeros(len(t))
    for k in np.flatnonzero(heard & (gains > 1e-4 * gains.max())):
        turns = multiples[k] * cycles + phases[k]
        part = gains[k] * np.sin((2 * np.pi * (turns - np.floor(turns))).astype(np.float32))
        if np.isfinite(instrument.decay_s) and k:
            part = part * np.exp(-t * instrument.partial_decay * k / instrument.decay_s)
        out += part
    return out


def _envelope(instrument: Instrument, t: Array, held: float) -> Array:
    rise = np.minimum(1.0, t / instrument.attack_s)
    let_go = held * t[-1]
    release = np.exp(-np.maximum(0.0, t - let_go) / 0.08)
    fall = np.exp(-t / instrument.decay_s) if np.isfinite(instrument.decay_s) else 1.0
    return rise * fall * release


def _noise(instrument: Instrument, t: Array, held: float, sample_rate: int, rng: np.random.Generator) -> Array:
    spectrum = np.fft.rfft(rng.standard_normal(len(t)))
    hz = np.fft.rfftfreq(len(t), 1 / sample_rate)
    spectrum *= np.exp(-0.5 * (np.log2(np.maximum(hz, 1.0) / instrument.noise_hz) / 0.7) ** 2)
    noise = np.fft.irfft(spectrum, len(t))
    noise /= np.sqrt(np.mean(noise**2))
    quiet = 12.0 if instrument.source == "synthetic" else 0.0
    shape = np.exp(-t / 0.03) if FAMILIES[instrument.family].chiff else _envelope(instrument, t, held)
    return noise * shape * 10.0 ** ((instrument.noise_db - quiet) / 20.0)
