"""Synthetic instruments: notes of eleven families whose pitch, velocity and source do not depend on the family."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
from typing_extensions import Unpack

from audiointerp.data.instrument_families import FAMILIES, SOURCES, Instrument, draw_instrument, play
from audiointerp.data.rendered import Rendered, Rendering
from audiointerp.study import UserError, stream

VERSION = 1
VELOCITIES = (25, 50, 75, 100, 127)


class SyntheticInstruments(Rendered):
    """Notes of synthetic instruments with the factors of NSynth, none of which tells another one.

    Every instrument plays over the whole range of pitches, one note per equal part of it, and with all velocities in
    turn; sources take turns over the instruments of a family. A group is an instrument, so that a family is told in
    instruments that were not trained on. A note depends on the settings, the seed and its number alone.

    Args:
        instruments: Instruments per family.
        notes: Notes per instrument.
        families: Names out of `FAMILIES`; None for all eleven.
        pitches: Lowest and highest MIDI pitch.
        duration_s: Duration of a note [s]; NSynth's study takes 2.5 s.
        held: Share of the duration after which the note is let go.
        factors: Out of instrument_family, pitch, velocity, instrument_source and instrument.
        sample_rate: [Hz].
        seed: Seed of instruments and notes.
        pad: As in `Sounds`.
        cache: Folder in which the levels of large corpora are kept; None for none.
        **rendering: As in `Rendering`.
    Attributes:
        notes: Family, pitch, velocity, source and instrument of every note, whether they are factors or not.
    Raises:
        UserError: If a family or factor is unknown, a size is too small, or a pitch is not below a quarter of the
            sample rate.
    Example:
        >>> sounds = SyntheticInstruments(instruments=2, notes=3, families=["flute", "mallet"], duration_s=0.5)
        >>> len(sounds), sounds.group.nunique(), sounds.waveform(0).shape
        (12, 4, (8000,))
    """

    name = "Synthetic instruments"
    attribution = "synthesised by this package"

    def __init__(
        self,
        instruments: int = 16,
        notes: int = 8,
        families: Sequence[str] | None = None,
        pitches: Sequence[int] = (48, 71),
        duration_s: float = 2.5,
        held: float = 0.75,
        factors: Sequence[str] = ("instrument_family", "pitch", "velocity"),
        sample_rate: int = 16000,
        seed: int = 0,
        pad: str = "floor",
        cache: str | os.PathLike | None = None,
        **rendering: Unpack[Rendering],
    ) -> None:
        names = list(FAMILIES if families is None else families)
        unknown = [name for name in names if name not in FAMILIES]
        if unknown or len(names) < 2:
            raise UserError(f"expected two or more of data.families among {', '.join(FAMILIES)}, got {names}")
        if instruments < 2 or notes < 1 or not duration_s >= 0.25 or not 0 < held <= 1:
            raise UserError(
                "expected at least 2 instruments per family, 1 note per instrument, 0.25 s and a held share in (0, 1], "
                f"got {instruments}, {notes}, {duration_s} and {held}"
            )
        lowest, highest = int(pitches[0]), int(pitches[1])
        if not 0 <= lowest < highest or midi_hz(highest) >= sample_rate / 4:
            raise UserError(
                f"expected data.pitches as [lowest, highest] below {sample_rate / 4:g} Hz, got {list(pitches)}"
            )
        count = len(names) * instruments * notes
        super().__init__(count, round(duration_s * sample_rate), cache, store_mb=0, **rendering)
        self.sample_rate, self.seed, self.held, self.pad = int(sample_rate), int(seed), float(held), pad
        self._instrument = np.arange(count) // notes
        family = [names[i // instruments] for i in range(len(names) * instruments)]
        source = [SOURCES[i % len(SOURCES)] for i in range(len(family))]
        number = [i % instruments for i in range(len(family))]
        parts = [self._score(i, notes, lowest, highest) for i in range(len(family))]
        table = pd.DataFrame(
            {
                "instrument_family": [family[i] for i in self._instrument],
                "pitch": np.concatenate([pitch for pitch, _ in parts]),
                "velocity": np.concatenate([velocity for _, velocity in parts]),
                "instrument_source": [source[i] for i in self._instrument],
                "instrument": [f"{family[i]}_{source[i]}_{number[i]:03d}" for i in self._instrument],
            }
        )
        unknown = [name for name in factors if name not in table]
        if unknown or not len(factors):
            raise UserError(f"expected data.factors among {', '.join(table)}, got {list(factors)}")
        self.notes = table
        self.factors = table[list(factors)].copy()
        self.group = table["instrument"]
        self.path = pd.Series(
            [f"{row.instrument}-{row.pitch:03d}-{row.velocity:03d}/{i:05d}" for i, row in enumerate(table.itertuples())]
        )
        self.preprocessing = {"sample_rate": self.sample_rate, "pad": self.pad}
        self.note = (
            f"Synthetic: {instruments} instruments in each of {len(names)} families; pitch, velocity and source do "
            "not depend on the family, and a group is an instrument."
        )
        key = f"instruments-{VERSION}:{seed}:{sample_rate}:{self.length}:{held}"
        self.clip_keys = [f"{key}:{path}" for path in self.path]

    def _score(self, instrument: int, notes: int, lowest: int, highest: int) -> tuple[np.ndarray, np.ndarray]:
        """Pitches, one drawn from each equal part of the range, and velocities, each as often as any other."""
        rng = stream(self.seed, "score", instrument)
        edges = np.linspace(lowest, highest + 1, notes + 1)
        pitch = np.floor(rng.uniform(edges[:-1], edges[1:])).astype(np.int64)
        velocity = rng.permutation(np.resize(rng.permutation(VELOCITIES), notes))
        return rng.permutation(pitch), velocity.astype(np.int64)

    def instrument(self, i: int) -> Instrument:
        """Gives the instrument that plays note `i`."""
        row = self.notes.iloc[i]
        rng = stream(self.seed, "instrument", row["instrument"])
        return draw_instrument(row["instrument_family"], row["instrument_source"], rng)

    def render(self, i: int) -> np.ndarray:
        row = self.notes.iloc[i]
        f0 = midi_hz(int(row["pitch"]))
        rng = stream(self.seed, "note", i)
        return play(self.instrument(i), f0, int(row["velocity"]), self.length, self.held, self.sample_rate, rng)


def midi_hz(pitch: float) -> float:
    """Gives the frequency of a MIDI pitch [Hz].

    Example:
        >>> midi_hz(69), round(midi_hz(60), 2)
        (440.0, 261.63)
    """
    return 440.0 * 2.0 ** ((pitch - 69) / 12)
