"""What a raw-waveform network is trained and tested on: clips, targets, splits, and shares of the labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audiointerp.data.base import Sounds, nearest
from audiointerp.data.crops import Clips
from audiointerp.data.splits import assign_roles, leave_level_out, official_folds
from audiointerp.probes.designs import Split
from audiointerp.study import UserError, stream

TEST_NAMES = ("test", "eval")
HELD_BACK = ("val", "validation")


@dataclass(frozen=True)
class Task:
    """Clips with targets and the splits that they are tested by.

    Attributes:
        sounds: The corpus.
        clips: Its clips, padded where they are shorter than a crop.
        factor: What is told: a factor, or `tags`.
        targets: Class indices int64 `(N,)`, or tags, float `(N, K)`.
        classes: Names of the classes.
        splits: Names to rows to train and to test on.
        by: What the splits keep apart, in words.
    """

    sounds: Sounds
    clips: Clips
    factor: str
    targets: Tensor
    classes: list[str]
    splits: Mapping[str, Split]
    by: str

    @property
    def multilabel(self) -> bool:
        """Whether a clip may have several classes."""
        return self.targets.ndim == 2

    @property
    def measure(self) -> str:
        """Name of the score that is reported first."""
        return "mAP" if self.multilabel else "accuracy"

    def share(self, rows: np.ndarray, fraction: float, seed: int) -> np.ndarray:
        """Draws a share of clips, of each class alike and at least one; a smaller share is part of a larger one.

        Args:
            rows: Positions of the clips.
            fraction: The share, in (0, 1].
            seed: Seed of the draw.
        """
        if fraction >= 1:
            return rows
        order = stream(seed, "share of labels").permutation(rows)
        if self.multilabel:
            return np.sort(order[: max(2, math.ceil(fraction * len(rows)))])
        labels = self.targets.numpy()[order]
        kept = [order[labels == k][: max(1, math.ceil(fraction * (labels == k).sum()))] for k in np.unique(labels)]
        return np.sort(np.concatenate(kept))


def task_of(
    sounds: Sounds, shortest: int, *, factor: str | None = None, split: str = "auto", folds: int = 1, seed: int = 0
) -> Task:
    """Sets up what is told and how it is tested.

    Args:
        sounds: The corpus.
        shortest: Fewest samples of a clip; shorter ones are padded.
        factor: What is told; None for the tags where there are any, else the first factor.
        split: `folds` (the corpus' own), `groups`, the name of a factor each of whose levels is left out in turn, or
            `auto`: folds where there are some, else groups.
        folds: Most splits of a cross-validation.
        seed: Seed of splits over groups.
    Raises:
        UserError: If there is no such factor or split, or a split leaves nothing to train or to test on.
    """
    known = [*(["tags"] if sounds.tags is not None else []), *sounds.factors]
    factor = factor or known[0]
    if factor not in known:
        raise UserError(f"study.factor: there is no {factor!r}: {nearest(factor, known)}")
    if factor == "tags":
        classes, targets = list(sounds.tags), torch.tensor(sounds.tags.to_numpy(np.float32))
    else:
        names, codes = np.unique(sounds.factors[factor].astype(str), return_inverse=True)
        classes, targets = names.tolist(), torch.from_numpy(codes.astype(np.int64))
    splits, by = _splits(sounds, factor, split, folds, seed)
    for name, part in splits.items():
        if not len(part.train) or not len(part.test):
            raise UserError(f"expected clips to train and to test on, split {name} has {len(part.train)} and "
                            f"{len(part.test)}: choose another study.split")  # fmt: skip
    return Task(sounds, Clips(sounds, shortest), factor, targets, classes, splits, by)


def _splits(sounds: Sounds, factor: str, split: str, folds: int, seed: int) -> tuple[dict[str, Split], str]:
    if split == "auto":
        split = "groups" if sounds.fold is None else "folds"
    if split == "folds":
        names = set() if sounds.fold is None else set(sounds.fold)
        if names & set(TEST_NAMES):
            test = sounds.fold.isin(TEST_NAMES).to_numpy()
            train = ~test & ~sounds.fold.isin(HELD_BACK).to_numpy()
            return {"official": Split(np.flatnonzero(train), np.flatnonzero(test))}, "the corpus' own split"
        numbers = official_folds(sounds.fold, sounds.group)
        kept = range(min(folds, numbers.max() + 1))
        parts = {f"fold {k + 1}": Split(np.flatnonzero(numbers != k), np.flatnonzero(numbers == k)) for k in kept}
        return parts, "the corpus' own folds"
    if split == "groups":
        parts = {}
        for k in range(folds):
            shares = {"fit": 0.0, "train": 0.75, "select": 0.0, "test": 0.25}
            roles = assign_roles(sounds.group, sounds.factors, shares, seed + k)
            parts[f"groups {k + 1}"] = Split(np.flatnonzero(roles == "train"), np.flatnonzero(roles == "test"))
        return parts, "groups"
    if split not in sounds.factors or split == factor:
        others = [name for name in sounds.factors if name != factor]
        raise UserError(f"study.split: there is no {split!r}: {nearest(split, ['auto', 'folds', 'groups', *others])}")
    levels = np.unique(sounds.factors[split].astype(str))[:folds]
    pairs = leave_level_out(sounds.factors[split], sounds.group, None)
    if len(pairs) != sounds.factors[split].nunique():
        raise UserError(f"expected groups within the levels of {split}, some span several: choose another study.split")
    return {f"{split} {level}": Split(*pair) for level, pair in zip(levels, pairs, strict=False)}, f"{split}s"
