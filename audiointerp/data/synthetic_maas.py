"""Synthetic MaAS: six materials under four actions, rendered from physics; one group per object."""

from __future__ import annotations

import functools
import math
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import fft

from audiointerp.data.base import PADS, Sounds, hash_of, nearest
from audiointerp.data.materials import ACTIONS, MATERIALS, Body, Scene, draw_body, record
from audiointerp.study import UserError, stream, write_atomically

VERSION = 1
FACTORS = ("material", "action")
SHORTEST = 15_600
RENDERED_AT = 16_000
WORTH_KEEPING = 5_000
BATCH = 256


class SyntheticMaAS(Sounds):
    """Objects of six materials, each tapped, rubbed, broken and whirled: the corpus that needs no download.

    Materials are told by their modes and by how fast these die away, actions by what excites them (see
    `data.materials`). What else differs from clip to clip: the object (shape, size, wall, strike point: the group),
    force, speed, distance, microphone, room, noise floor and level.

    A clip depends on `seed` and on which object is heard in which action for the how-manieth time, on nothing else: it
    has the same samples in every batch, subset and process. Clip `i` is of material `i % 6`, so that fewer clips of
    the same seed are the first ones of more.

    Args:
        clips: Number of clips, a multiple of the number of cells (materials x actions).
        objects: Objects per material; fewer are heard where `clips` does not reach round.
        sample_rate: [Hz]; modes above half of it are not heard.
        duration_s: Duration of a clip [s], at least 0.975 (one segment of YAMNet).
        materials: Names out of metal, glass, stone, wood, plastic, cardboard; None for all.
        actions: Names out of tap, rub, destruct, whirl; None for all.
        factors: Names out of `material`, `action`; None for those with several classes.
        seed: Seed of objects and clips.
        pad: How clips shorter than a segment are padded: `floor`, `zeros` or `repeat`.
        cache: Folder in which the levels of large corpora are kept; None for none.
        keep_mb: Rendered clips stay in memory if all of them together take less [MB].
        threads: Clips rendered at once; None for as many as there are cores.
        progress: Called as `progress(iterable, description=, total=)`; None for a bar that appears after two seconds.
    Raises:
        UserError: If a name is unknown, a factor has a single class, or a number is out of range.
    """

    name = "Synthetic MaAS"
    attribution = "synthesised by this package"
    batched = True

    def __init__(
        self,
        clips: int = 2400,
        objects: int = 25,
        sample_rate: int = 16000,
        duration_s: float = 1.0,
        materials: Sequence[str] | None = None,
        actions: Sequence[str] | None = None,
        factors: Sequence[str] | None = None,
        seed: int = 0,
        pad: str = "floor",
        cache: str | os.PathLike | None = None,
        keep_mb: float = 512,
        threads: int | None = None,
        progress: Callable | None = None,
    ) -> None:
        self.materials = _names(materials, list(MATERIALS), "data.materials")
        self.actions = _names(actions, list(ACTIONS), "data.actions")
        cells = len(self.materials) * len(self.actions)
        if pad not in PADS:
            raise UserError(f"expected pad to be one of {', '.join(PADS)}, got {pad!r}")
        if clips < cells or clips % cells:
            fitting = max(cells, round(clips / cells) * cells)
            raise UserError(
                f"expected data.clips to be a multiple of {cells} ({len(self.materials)} materials x "
                f"{len(self.actions)} actions, every object heard in all), got {clips}: take {fitting}"
            )
        if objects < 1 or sample_rate < 2000:
            raise UserError(
                f"expected data.objects of at least 1 and data.sample_rate of at least 2000 Hz, got {objects} and "
                f"{sample_rate}"
            )
        length = round(duration_s * sample_rate)
        if length < math.ceil(SHORTEST / RENDERED_AT * sample_rate):
            raise UserError(
                f"expected data.duration_s of at least {SHORTEST / RENDERED_AT} s (one segment of YAMNet), "
                f"got {duration_s}"
            )
        self.sample_rate, self.pad, self.seed = int(sample_rate), pad, int(seed)
        self.scene = Scene(length, fft.next_fast_len(2 * length, real=True), self.sample_rate)
        index = np.arange(clips)
        material = np.array(self.materials)[index % len(self.materials)]
        action = np.array(self.actions)[index // len(self.materials) % len(self.actions)]
        self._object = index // cells % objects
        self._take = index // cells // objects
        labels = pd.DataFrame({"material": material, "action": action}).astype(object)
        chosen = [f for f in FACTORS if labels[f].nunique() > 1] if factors is None else list(factors)
        for factor in chosen:
            if factor not in FACTORS:
                raise UserError(f"{self.name} has no factor {factor!r}: {nearest(factor, FACTORS)}")
            if labels[factor].nunique() < 2:
                raise UserError(f"{self.name}: expected at least two classes of {factor!r}: widen data.{factor}s")
        if not chosen:
            raise UserError(f"{self.name}: expected a factor: widen data.materials or data.actions")
        self._material, self._action = material, action
        self.factors = labels[chosen]
        rows = list(zip(material.tolist(), action.tolist(), self._object.tolist(), self._take.tolist(), strict=True))
        self.group = pd.Series([f"{m}:{o}" for m, _, o, _ in rows], dtype=object)
        self.path = pd.Series([f"{m}/{a}/{o:03d}_{t:03d}" for m, a, o, t in rows], dtype=object)
        self.lengths = np.full(clips, length, dtype=np.int64)
        self.dropped = pd.DataFrame(columns=["path", "reason"])
        self.preprocessing = {"sample_rate": self.sample_rate, "pad": self.pad}
        self.clip_keys = [f"synthetic-maas-{VERSION}:{self.seed}:{self.sample_rate}:{length}:{p}" for p in self.path]
        heard = min(objects, -(-clips // cells))
        self.note = (
            f"Synthetic: {heard} objects per material, each heard in "
            f"{'all ' + str(len(self.actions)) + ' actions' if len(self.actions) > 1 else 'one action'}. Objects are "
            "nested in materials. Materials differ by modes and damping, actions by their excitation; level is drawn "
            "alike for all, but how peaked a clip is belongs to its action."
        )
        self.threads, self.progress = threads, progress
        self._cache = None if cache is None else Path(cache).expanduser() / "sounds"
        self._kept = np.empty((clips, length), np.float32) if 4e-6 * clips * length < keep_mb else None
        self._is_kept = np.zeros(clips, dtype=bool)
        self._bodies: dict[tuple[str, int], Body] = {}

    @functools.cached_property
    def levels(self) -> pd.DataFrame:
        """Duration, RMS and peak of each clip; rendered at the first use, kept in the cache for large corpora."""
        columns = ["duration_s", "rms_db", "peak_db"]
        file = None
        if self._cache is not None and len(self) >= WORTH_KEEPING:
            file = self._cache / hash_of("levels-1", self.fingerprint) / "levels.csv"
            if file.is_file():
                known = pd.read_csv(file)
                if list(known.columns) == columns and len(known) == len(self):
                    return known
        rows = []
        starts = range(0, len(self), BATCH)
        for start in self._shown(starts, len(starts)):
            waveforms = self.waveforms(np.arange(start, min(start + BATCH, len(self))))
            rows.append(np.stack([np.sqrt(np.mean(waveforms**2, axis=1)), np.max(np.abs(waveforms), axis=1)], axis=1))
        db = 20.0 * np.log10(np.concatenate(rows).astype(np.float64))
        duration_s = self.scene.length / self.sample_rate
        table = pd.DataFrame({"duration_s": duration_s, "rms_db": db[:, 0], "peak_db": db[:, 1]})
        if file is not None:
            try:
                write_atomically(file, table.to_csv(index=False, lineterminator="\n", float_format="%.9g"))
            except OSError as error:
                warnings.warn(f"the levels of the sounds could not be kept ({error}): set paths.cache", stacklevel=2)
        return table

    def _shown(self, items: Iterable, total: int) -> Iterable:
        if self.progress is not None:
            return self.progress(items, description="rendering sounds", total=total)
        from tqdm.auto import tqdm

        return tqdm(items, desc="rendering sounds", total=total, unit="batch", delay=2, leave=False)

    def waveform(self, i: int) -> np.ndarray:
        """Samples of clip `i`, float32, shape `(length,)`."""
        return self.waveforms([i])[0]

    def waveforms(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Samples of clips, rendered by a few threads; float32, shape `(B, length)`."""
        indices = np.asarray(indices, dtype=np.int64)
        out = np.empty((len(indices), self.scene.length), dtype=np.float32)

        def fill(row: int) -> None:
            out[row] = self._clip(int(indices[row]))

        threads = min(self.threads or os.cpu_count() or 1, len(indices))
        if threads < 2 or (self._kept is not None and self._is_kept[indices].all()):
            for row in range(len(indices)):
                fill(row)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(fill, range(len(indices)), chunksize=8))
        return out

    def _clip(self, i: int) -> np.ndarray:
        if self._kept is not None and self._is_kept[i]:
            return self._kept[i]
        samples = self._render(i)
        if self._kept is not None:
            self._kept[i] = samples
            self._is_kept[i] = True
        return samples

    def _render(self, i: int) -> np.ndarray:
        material, action = str(self._material[i]), str(self._action[i])
        key = (material, int(self._object[i]))
        body = self._bodies.get(key)
        if body is None:
            body = draw_body(MATERIALS[material], stream(self.seed, "synthetic object", *key))
            self._bodies[key] = body
        rng = stream(self.seed, "synthetic clip", *key, action, int(self._take[i]))
        return record(ACTIONS[action](body, rng, self.scene), rng, self.scene)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_kept": None}  # a worker process renders what it needs


def _names(given: Sequence[str] | None, known: list[str], setting: str) -> list[str]:
    """The chosen names in the order of the known ones; all where none are given."""
    if given is None:
        return known
    given = [given] if isinstance(given, str) else [str(name) for name in given]
    for name in given:
        if name not in known:
            raise UserError(f"{setting}: there is no {name!r}: {nearest(name, known)}")
    if not given or len(set(given)) < len(given):
        raise UserError(f"expected {setting} with names, each once, got {given}: {nearest('', known)}")
    return [name for name in known if name in given]
