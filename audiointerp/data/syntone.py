"""SynTone: tones from a grid of timbre, pitch, level and more; as published, and in a form that can be identified."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from audiointerp.data import tones
from audiointerp.data.mel import MelPictures
from audiointerp.data.rendered import Rendered
from audiointerp.data.syntone_grid import (
    HEARD,
    LOGARITHMIC,
    PRESETS,
    TIMBRE,
    VERSIONS,
    chosen_waveforms,
    factor_levels,
    largest_peak,
)
from audiointerp.study import UserError, stream

FORMAT = 1
BATCH = 64


class SynTone(Rendered):
    r"""Single tones, one per tuple of factor levels; a group is a tuple.

    `corrected`: band-limited waveforms, :math:`t = n / f_s`, random phase, levels equally spaced in octaves and in dB,
    one level reference for all pictures. `published` (Brima et al., 2024), with what its code does: a time axis that
    includes its end point (pitches 62.5 ppm sharp), waveforms that alias, phase 0, levels equally spaced in Hz and in
    amplitude, and pictures normalised frame by frame, so that amplitude cannot be seen in them.

    A clip depends on `seed` and on its place in the grid alone. Further factors are crossed with the first three.
    Vibrato deviates from f0 to both sides; brightness tilts the partials by :math:`k^{brightness}`; noise (uniform,
    white) lies `snr_db` under the tone.

    Args:
        version: `corrected` or `published`; where a setting is None, the version decides.
        waveforms: Names out of sine, triangle, sawtooth, square; None for all.
        f0_hz: Lowest, highest [Hz] and number of levels.
        amplitude: Lowest, highest (peak of the ideal waveform re full scale) and number of levels.
        attack_s: Range of the linear rise [s]; None for no such factor, as below.
        decay_s: Range of the time constant of the fall [s].
        vibrato_hz: Range of the vibrato's rate [Hz]; goes with `vibrato_cents`.
        vibrato_cents: Range of the vibrato's depth [cents].
        brightness: Range of the tilt's exponent; without sine, which has one partial.
        snr_db: Range of the signal-to-noise ratio [dB].
        clips: Size of a random subsample of the tuples; None for all.
        sample_rate: [Hz].
        duration_s: Duration of a clip [s].
        n_fft: Window of the picture in samples.
        hop: Samples between its frames.
        mels: Its mel bands.
        seed: Seed of phases, noise and subsample.
        cache: Folder in which the levels of large corpora are kept; None for none.
        progress: Called as `progress(iterable, description=, total=)`; None for a bar that appears after two seconds.
    Raises:
        UserError: If a name is unknown, a range is none, or a clip would pass full scale or half the sample rate.
    References:
        Learning Disentangled Audio Representations through Controlled Synthesis (Brima et al., 2024), section 2.
    """

    name = "SynTone"
    attribution = "synthesised by this package"

    def __init__(
        self,
        version: str = "corrected",
        waveforms: Sequence[str] | None = None,
        f0_hz: Sequence[float] | None = None,
        amplitude: Sequence[float] | None = None,
        attack_s: Sequence[float] | None = None,
        decay_s: Sequence[float] | None = None,
        vibrato_hz: Sequence[float] | None = None,
        vibrato_cents: Sequence[float] | None = None,
        brightness: Sequence[float] | None = None,
        snr_db: Sequence[float] | None = None,
        clips: int | None = None,
        sample_rate: int = 16000,
        duration_s: float | None = None,
        n_fft: int | None = None,
        hop: int | None = None,
        mels: int | None = None,
        seed: int = 0,
        cache: str | os.PathLike | None = None,
        progress: Callable | None = None,
    ) -> None:
        if version not in VERSIONS:
            raise UserError(f"expected data.version of corrected or published, got {version!r}")
        preset = PRESETS[version]
        self.version, self.sample_rate, self.seed = version, int(sample_rate), int(seed)
        given = {"attack_s": attack_s, "decay_s": decay_s, "vibrato_hz": vibrato_hz, "vibrato_cents": vibrato_cents}
        given |= {"brightness": brightness, "snr_db": snr_db}
        given = {"f0_hz": f0_hz or preset.f0_hz, "amplitude": amplitude or preset.amplitude} | given
        self.waveform_names = chosen_waveforms(waveforms)
        self.levels_of: dict[str, np.ndarray] = {TIMBRE: np.array(self.waveform_names)}
        self.levels_of |= {
            name: factor_levels(name, values, version == "corrected")
            for name, values in given.items()
            if values is not None
        }
        self._check()
        self.front_end = MelPictures(
            self.sample_rate, n_fft or preset.n_fft, hop or preset.hop, mels or preset.mels, preset.level
        )
        length = round((duration_s or preset.duration_s) * self.sample_rate)
        self.picture_shape = (self.front_end.mels, self.front_end.frames(length))
        self.index = self._chosen(clips)
        super().__init__(len(self.index), length, cache, keep_mb=0, progress=progress)
        self._place = np.stack(np.unravel_index(self.index, [len(v) for v in self.levels_of.values()]), axis=1)
        columns = {name: values[self._place[:, f]] for f, (name, values) in enumerate(self.levels_of.items())}
        self._columns = columns
        self.factors = pd.DataFrame({name: column for name, column in columns.items() if len(self.levels_of[name]) > 1})
        if not len(self.factors.columns):
            raise UserError("expected a factor with two levels or more: widen data.f0_hz or data.amplitude")
        self.group = pd.Series(["/".join(map(str, row)) for row in self._place])
        self.path = pd.Series([f"{columns[TIMBRE][i]}/{self.group[i].replace('/', '_')}" for i in range(len(self))])
        self.preprocessing = {"sample_rate": self.sample_rate, "pad": self.pad}
        grid = [[name, *map(str, values.tolist())] for name, values in self.levels_of.items()]
        self._recipe = f"syntone-{FORMAT}-{version}:{self.seed}:{self.sample_rate}:{length}:{grid}"
        self.clip_keys = [f"{self._recipe}:{i}" for i in self.index]
        self.note = (
            "Every tuple of factor levels is one clip. " + {
                "corrected": "Band-limited, random phase; level and pitch are in equal steps of dB and octaves.",
                "published": "As published: aliased waveforms, phase 0; its pictures do not show the amplitude.",
            }[version]
        )  # fmt: skip

    def _check(self) -> None:
        levels = self.levels_of
        if ("vibrato_hz" in levels) != ("vibrato_cents" in levels):
            raise UserError(
                "expected data.vibrato_hz and data.vibrato_cents together: a vibrato has a rate and a depth"
            )
        if self.version == "published" and len(levels) > 3:
            raise UserError(f"expected timbre, f0_hz and amplitude alone in the published version, got {list(levels)}")
        if "brightness" in levels and "sine" in self.waveform_names:
            raise UserError(
                "expected data.waveforms without sine where data.brightness is set, as a sine has one partial: set "
                "data.waveforms=[triangle,sawtooth,square]"
            )
        highest = levels["f0_hz"].max() * 2 ** (levels.get("vibrato_cents", np.zeros(1)).max() / 1200)
        if highest > self.sample_rate / 2 or (self.version == "corrected" and highest >= self.sample_rate / 2):
            raise UserError(f"expected data.f0_hz below {self.sample_rate / 2:g} Hz, got up to {highest:.5g} Hz")
        noise = 3**0.5 * 10 ** (-levels["snr_db"].min() / 20) if "snr_db" in levels else 0.0
        tilt = (
            1.0
            if self.version == "published"
            else max(largest_peak(n, self.levels_of, self.sample_rate) for n in levels[TIMBRE])
        )
        peak = levels["amplitude"].max() * tilt * (1 + noise)
        if peak > 1.0:
            raise UserError(
                f"expected clips within full scale, the loudest could reach {peak:.3g}: lower the second value of "
                f"data.amplitude to {levels['amplitude'].max() / peak:.3g}"
            )

    def _chosen(self, clips: int | None) -> np.ndarray:
        """Places in the grid, timbre slowest; a subsample is drawn from the seed."""
        total = int(np.prod([len(values) for values in self.levels_of.values()], dtype=np.int64))
        if clips is None and total > 2_000_000:
            raise UserError(f"expected at most 2,000,000 tuples, got {total}: set data.clips, or fewer levels")
        if clips is None or clips == total:
            return np.arange(total)
        if not 1 <= clips <= total:
            raise UserError(f"expected data.clips of 1 to {total} (the number of tuples), got {clips}")
        return np.sort(stream(self.seed, "tuples").choice(total, size=clips, replace=False))

    @property
    def level_index(self) -> pd.DataFrame:
        """Number of each factor's level, int64, one row a clip; levels are spaced as the grid is."""
        names = list(self.levels_of)
        return pd.DataFrame({name: self._place[:, names.index(name)] for name in self.factors}).astype(np.int64)

    def heard(self) -> pd.DataFrame:
        """Factors on the scales of hearing.

        `pitch` is in octaves above 1 Hz, `level` in dB re full scale; others that are spaced by ratios are in octaves,
        the rest is as it is, timbre by its name.
        """
        columns = {}
        for name in self.factors:
            values = self._columns[name]
            if name == "amplitude":
                values = 20 * np.log10(values)
            elif name in LOGARITHMIC:
                values = np.log2(values)
            columns[HEARD.get(name, name)] = values
        return pd.DataFrame(columns)

    def values(self) -> dict[str, np.ndarray]:
        """Every parameter of synthesis of each clip, those with a single level included; each `(N,)`."""
        return dict(self._columns)

    def render(self, i: int) -> np.ndarray:
        return self.waveforms([i])[0]

    def waveforms(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Samples of clips, float32 `(B, length)`; a clip has the same bits in every batch."""
        indices = np.asarray(indices, dtype=np.int64)
        parts = [self.batch(indices[start : start + BATCH]).numpy() for start in range(0, len(indices), BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, self.length), np.float32)

    def batch(self, indices: np.ndarray, device: str = "cpu", frozen: bool = False) -> Tensor:
        """Renders clips on a device.

        Args:
            indices: Clips, int64 `(B,)`.
            device: Where.
            frozen: Whether what is no factor (phase, noise) is the same in all clips.
        Returns:
            Samples, float32 `(B, length)`.
        """
        values = {
            name: torch.from_numpy(column[indices].astype(np.float64)).to(device)
            for name, column in self._columns.items()
            if name != TIMBRE
        }
        if self.version == "published":
            seconds = torch.linspace(0, self.length / self.sample_rate, self.length, dtype=torch.float64, device=device)
            cycles = values["f0_hz"][:, None] * seconds
            samples = torch.empty(len(indices), self.length, device=device)
            names = self._columns[TIMBRE][indices]
            for name in np.unique(names):
                mine = torch.from_numpy(np.flatnonzero(names == name)).to(device)
                samples[mine] = tones.naive(str(name), cycles[mine])
            return samples * values["amplitude"].float()[:, None]
        seconds = torch.arange(self.length, dtype=torch.float64, device=device) / self.sample_rate
        cycles = values["f0_hz"][:, None] * seconds
        if not frozen:
            cycles += torch.from_numpy(self._phases[indices]).to(device)[:, None]
        if "vibrato_hz" in values:
            cycles += tones.vibrato_cycles(seconds, values["f0_hz"], values["vibrato_hz"], values["vibrato_cents"])
        tables, which = self._tables
        samples = tones.read_tables(tables.to(device), torch.from_numpy(which[indices]).to(device), cycles)
        samples *= values["amplitude"].float()[:, None]
        if "attack_s" in values or "decay_s" in values:
            samples *= tones.envelope(seconds, values.get("attack_s"), values.get("decay_s"))
        if "snr_db" in values:
            noise = np.stack([self._noise(0 if frozen else int(self.index[i])) for i in indices])
            rms = samples.double().square().mean(1).sqrt() * 10 ** (-values["snr_db"] / 20)
            samples += torch.from_numpy(noise).to(device) * rms.float()[:, None]
        return samples

    def picture_parts(
        self,
        indices: np.ndarray | None = None,
        *,
        device: str = "cpu",
        frozen: bool = False,
        progress: Callable | None = None,
    ) -> Iterator[np.ndarray]:
        """Renders clips batch by batch and gives their pictures, float32 `(B, mels, T)` each.

        Args:
            indices: Clips; None for all.
            device: Where it is computed.
            frozen: As in `batch`.
            progress: Called as `progress(iterable, description=, total=)`; None for the one given on construction.
        """
        indices = np.arange(len(self)) if indices is None else np.asarray(indices, dtype=np.int64)
        starts = range(0, len(indices), BATCH)
        if progress is None:
            shown = self._shown(starts, len(starts))
        else:
            shown = progress(starts, description="rendering", total=len(starts))
        for start in shown:
            yield self.front_end(self.batch(indices[start : start + BATCH], device, frozen)).cpu().numpy()

    def pictures(self, indices: np.ndarray | None = None, **how: Any) -> np.ndarray:
        """Gives the pictures of clips, float32 `(N, mels, T)`; arguments as in `picture_parts`."""
        out = np.empty((len(self) if indices is None else len(indices), *self.picture_shape), dtype=np.float32)
        filled = 0
        for part in self.picture_parts(indices, **how):
            out[filled : filled + len(part)] = part
            filled += len(part)
        return out

    def tone(self, timbre: str, values: Mapping[str, float]) -> np.ndarray:
        """Renders a band-limited tone that need not lie on the grid, float32 `(length,)`.

        Args:
            timbre: A waveform's name.
            values: `f0_hz`, `amplitude` and, where they are factors, `attack_s` and `decay_s`.
        Raises:
            ValueError: If f0 is not between 0 and half the sample rate, or the waveform is unknown.
        """
        f0 = float(values["f0_hz"])
        if not 0 < f0 < self.sample_rate / 2:
            raise ValueError(f"expected f0 between 0 and {self.sample_rate / 2:g} Hz, got {f0}")
        table = tones.wavetable(timbre, max(1, math.ceil(self.sample_rate / 2 / f0) - 1))
        seconds = torch.arange(self.length, dtype=torch.float64) / self.sample_rate
        samples = tones.read_tables(table[None], torch.zeros(1, dtype=torch.long), f0 * seconds[None])
        shape = [torch.tensor([float(values[name])]) if name in values else None for name in ("attack_s", "decay_s")]
        return (samples * tones.envelope(seconds, *shape) * float(values["amplitude"]))[0].numpy()

    @functools.cached_property
    def _phases(self) -> np.ndarray:
        """Phase of each clip in cycles, by its place in the grid."""
        return stream(self.seed, "phases").random(int(self.index[-1]) + 1)[self.index]

    def _noise(self, place: int) -> np.ndarray:
        drawn = stream(self.seed, "noise", place).random(self.length, dtype=np.float32)
        return (drawn - np.float32(0.5)) * np.float32(12**0.5)

    @functools.cached_property
    def _tables(self) -> tuple[Tensor, np.ndarray]:
        """Wavetables, each with the partials below half the sample rate, and which one each clip reads."""
        top = self._columns["f0_hz"] * 2 ** (self._columns.get("vibrato_cents", np.zeros(1)) / 1200)
        highest = np.ceil(self.sample_rate / 2 / top).astype(int) - 1
        tilt = self._columns.get("brightness", np.zeros(len(self)))
        timbre = self._place[:, 0]
        highest = np.where(np.array(self.waveform_names)[timbre] == "sine", 1, np.maximum(highest, 1))
        keys = np.stack([timbre, highest, tilt], axis=1)
        needed, which = np.unique(keys, axis=0, return_inverse=True)
        tables = [tones.wavetable(self.waveform_names[int(t)], int(k), float(b)) for t, k, b in needed]
        return torch.stack(tables), which.reshape(-1)

    def __getstate__(self) -> dict:
        return {name: value for name, value in super().__getstate__().items() if name not in ("_tables", "_phases")}
