"""Decoded pictures made audible: from parameters that a reader is sure of, else by Griffin-Lim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from audiointerp import audio
from audiointerp.data.syntone import SynTone
from audiointerp.data.syntone_grid import TIMBRE
from audiointerp.probes.readers import FactorReader

SURE = 0.9
SINUSOIDAL, GRIFFIN_LIM = "re-synthesised from pitch, level and waveform as read", "Griffin-Lim"


@dataclass(frozen=True)
class Heard:
    """A picture's sound.

    Attributes:
        waveform: Float32 `(L,)`, at the tones' sample rate.
        how: `SINUSOIDAL` or `GRIFFIN_LIM`.
        words: What was read off the picture.
    """

    waveform: np.ndarray
    how: str
    words: str


def hear(sounds: SynTone, pictures: np.ndarray, reader: FactorReader) -> list[Heard]:
    """Turns pictures `(N, F, T)` into sounds.

    A picture whose waveform is read with a probability of .9 or more, and whose pitch and level lie on the grid's
    range, the pitch below half the sample rate, becomes the tone that was read; this holds only where the tones have
    no further factors. Others go through the pseudo-inverse of the mel filters and Griffin-Lim.
    """
    if not len(pictures):
        return []
    reading = reader.read(pictures)
    plain = {"pitch", "level", TIMBRE} <= set(reading.values) and set(sounds.levels_of) <= {
        TIMBRE,
        "f0_hz",
        "amplitude",
    }
    found = []
    for row, (picture, confidence) in enumerate(zip(pictures, reading.confidence, strict=True)):
        values = reading.values.iloc[row]
        words = ", ".join(_words(name, values[name]) for name in reading.values)
        if plain and confidence >= SURE:
            f0, amplitude = float(2 ** values["pitch"]), float(10 ** (values["level"] / 20))
            heard = f0 < sounds.sample_rate / 2 and _within(f0, sounds.levels_of["f0_hz"])
            if heard and _within(amplitude, sounds.levels_of["amplitude"]):
                tone = sounds.tone(str(values[TIMBRE]), {"f0_hz": f0, "amplitude": amplitude})
                found.append(Heard(np.clip(tone, -1, 1), SINUSOIDAL, words))
                continue
        found.append(Heard(invert(sounds, picture, seed=row), GRIFFIN_LIM, words))
    return found


def invert(sounds: SynTone, picture: np.ndarray, seed: int = 0) -> np.ndarray:
    """Finds a waveform for a picture `(F, T)`; peaks over full scale are scaled down."""
    front_end = sounds.front_end
    mel = front_end.to_power(torch.from_numpy(np.ascontiguousarray(picture))).numpy()
    power = np.maximum(0.0, np.linalg.pinv(front_end.filters().T) @ mel)
    waveform = audio.griffin_lim(power, front_end.n_fft, front_end.hop, seed=seed)
    return waveform / max(1.0, float(np.abs(waveform).max()))


def _within(value: float, levels: np.ndarray) -> bool:
    return bool(0.95 * levels.min() <= value <= 1.05 * levels.max())


def _words(name: str, value: object) -> str:
    if name == "pitch":
        return f"{2 ** float(value):.0f} Hz"
    if name == "level":
        return f"{float(value):.1f} dB"
    return str(value) if isinstance(value, str) else f"{name} {float(value):.2g}"
