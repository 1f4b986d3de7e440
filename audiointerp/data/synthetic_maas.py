"""Synthetic MaAS: six materials under four actions, rendered from physics; one group per object."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
from typing_extensions import Unpack

from audiointerp.data import modal
from audiointerp.data.actions import ACTIONS
from audiointerp.data.base import PADS, nearest
from audiointerp.data.materials import MATERIALS, Body, draw_body
from audiointerp.data.rendered import Rendered, Rendering
from audiointerp.data.scene import Scene, record
from audiointerp.study import UserError, stream

VERSION = 1
FACTORS = ("material", "action")
SHORTEST = 15_600
RENDERED_AT = 16_000


class SyntheticMaAS(Rendered):
    """Objects of six materials, each tapped, rubbed, broken and whirled: the corpus that needs no download.

    Materials are told by their modes and by how fast these die away (`data.materials`), actions by what excites them
    (`data.actions`). What else differs from clip to clip: the object (shape, size, wall, strike point: the group),
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
        cache: Folder in which large corpora and their levels are kept; None for none.
        store_mb: More clips are kept in a file in the cache if they take less [MB].
        **rendering: As in `Rendering`.
    Raises:
        UserError: If a name is unknown, a factor has a single class, or a number is out of range.
    """

    name = "Synthetic MaAS"
    attribution = "synthesised by this package"

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
        store_mb: float = 8192,
        **rendering: Unpack[Rendering],
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
        super().__init__(clips, length, cache, store_mb=store_mb, **rendering)
        self.sample_rate, self.pad, self.seed = int(sample_rate), pad, int(seed)
        self.scene = Scene(length, modal.points_for(length), self.sample_rate)
        index = np.arange(clips)
        material = np.array(self.materials)[index % len(self.materials)]
        action = np.array(self.actions)[index // len(self.materials) % len(self.actions)]
        self._object = index // cells % objects
        self._take = index // cells // objects
        labels = pd.DataFrame({"material": material, "action": action})
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
        self.group = pd.Series([f"{m}:{o}" for m, _, o, _ in rows])
        self.path = pd.Series([f"{m}/{a}/{o:03d}_{t:03d}" for m, a, o, t in rows])
        self.preprocessing = {"sample_rate": self.sample_rate, "pad": self.pad}
        self.clip_keys = [f"synthetic-maas-{VERSION}:{self.seed}:{self.sample_rate}:{length}:{p}" for p in self.path]
        heard = min(objects, -(-clips // cells))
        self.note = (
            f"Synthetic: {heard} objects per material, each heard in "
            f"{'all ' + str(len(self.actions)) + ' actions' if len(self.actions) > 1 else 'one action'}. Objects are "
            "nested in materials. Materials differ by modes and damping, actions by their excitation; level is drawn "
            "alike for all, but how peaked a clip is belongs to its action."
        )
        self._bodies: dict[tuple[str, int], Body] = {}

    def render(self, i: int) -> np.ndarray:
        """Computes clip `i`, float32, shape `(length,)`."""
        material, action = str(self._material[i]), str(self._action[i])
        key = (material, int(self._object[i]))
        body = self._bodies.get(key)
        if body is None:
            body = draw_body(MATERIALS[material], stream(self.seed, "synthetic object", *key))
            self._bodies[key] = body
        rng = stream(self.seed, "synthetic clip", *key, action, int(self._take[i]))
        return record(ACTIONS[action](body, rng, self.scene), rng, self.scene)


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
