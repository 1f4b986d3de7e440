"""The grid of SynTone's factors: what a version takes by default, and the levels that a setting asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audiointerp.data import tones
from audiointerp.data.base import nearest
from audiointerp.study import UserError

VERSIONS = ("corrected", "published")
TIMBRE = "timbre"
LOGARITHMIC = ("f0_hz", "amplitude", "attack_s", "decay_s", "vibrato_hz")
HEARD = {"f0_hz": "pitch", "amplitude": "level"}
SMALLEST = {"f0_hz": 1.0, "amplitude": 1e-3, "attack_s": 1e-4, "decay_s": 1e-3, "vibrato_hz": 0.1}


@dataclass(frozen=True)
class Preset:
    """What a version takes where nothing else is set; a range is lowest, highest and number of levels."""

    f0_hz: tuple[float, float, int]
    amplitude: tuple[float, float, int]
    duration_s: float
    n_fft: int
    hop: int
    mels: int
    level: str


PRESETS = {
    "corrected": Preset((110.0, 1100.0, 400), (0.05, 0.75, 20), 0.288, 1024, 512, 64, "one-reference"),
    "published": Preset((440.0, 8000.0, 400), (0.1, 1.0, 20), 1.0, 2048, 512, 128, "per-frame"),
}


def largest_peak(name: str, levels: dict[str, np.ndarray], sample_rate: int) -> float:
    """Largest absolute sample of a waveform of amplitude 1, over the pitches and tilts of the grid."""
    tilts = levels.get("brightness", np.zeros(1))
    counts = np.unique(np.ceil(sample_rate / 2 / levels["f0_hz"]).astype(int) - 1)
    counts = counts if len(counts) < 8 else counts[np.linspace(0, len(counts) - 1, 8).astype(int)]
    return max(
        float(tones.wavetable(name, max(1, int(k)), float(b)).abs().max()) for k in counts for b in tilts[[0, -1]]
    )


def chosen_waveforms(given: Sequence[str] | None) -> list[str]:
    names = list(tones.WAVEFORMS) if given is None else [given] if isinstance(given, str) else [str(n) for n in given]
    for name in names:
        if name not in tones.WAVEFORMS:
            raise UserError(f"data.waveforms: there is no {name!r}: {nearest(name, tones.WAVEFORMS)}")
    if not names or len(set(names)) < len(names):
        raise UserError(f"expected data.waveforms with names, each once, got {names}: {nearest('', tones.WAVEFORMS)}")
    return names


def factor_levels(name: str, given: Sequence[float], equal_ratios: bool) -> np.ndarray:
    """The levels of a factor: equal ratios where that is how it is heard, equal steps otherwise or as published.

    Raises:
        UserError: If it is not lowest, highest and a whole number of levels.
    """
    given = list(given)
    lowest = SMALLEST.get(name, -np.inf)
    if len(given) != 3 or given[2] != int(given[2]) or given[2] < 1 or given[0] < lowest:
        least = f", from {lowest:g} on" if np.isfinite(lowest) else ""
        raise UserError(f"expected data.{name} to be [lowest, highest, number of levels]{least}, got {given}")
    low, high, count = float(given[0]), float(given[1]), int(given[2])
    if not (low < high if count > 1 else low == high):
        raise UserError(
            f"expected data.{name} with lowest < highest for several levels, lowest = highest for one, got {given}"
        )
    return np.geomspace(low, high, count) if equal_ratios and name in LOGARITHMIC else np.linspace(low, high, count)
