"""Questions asked of sounds: which factor, of which segments, tested by which folds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from audiointerp.data.splits import eligible_classes, group_folds, official_folds
from audiointerp.study import UserError

MOST_CLASSES = 100


@dataclass(frozen=True)
class Question:
    """One factor, asked of the segments that can answer.

    Attributes:
        factor: Name of the factor.
        classes: Names of the classes that are asked for.
        left_out: Classes that too few groups have, so that no held-out group of theirs could be tested.
        labels: Index into `classes` of each segment, shape `(N,)`; -1 for classes left out.
        groups: Group of each segment, int `(N,)`.
        clips: Clip of each segment, int `(N,)`.
        folds: Fold of each segment that may be decoded, -1 for others (the role `fit`, classes left out), `(N,)`.
        rows: Segments with a class, whatever their role.
    """

    factor: str
    classes: tuple[str, ...]
    left_out: tuple[str, ...]
    labels: np.ndarray
    groups: np.ndarray
    clips: np.ndarray
    folds: np.ndarray
    rows: np.ndarray

    @property
    def chance(self) -> float:
        """Class-balanced accuracy of a guess."""
        return 1.0 / len(self.classes)

    @property
    def tested(self) -> np.ndarray:
        """Segments that are decoded under the corrected protocol."""
        return np.flatnonzero(self.folds >= 0)

    def part(self, rows: np.ndarray) -> Question:
        """Gives the question asked of some segments only; their clips are numbered anew, classes and folds stay."""
        labels = self.labels[rows]
        clips = np.unique(self.clips[rows], return_inverse=True)[1].reshape(-1)
        return replace(
            self,
            labels=labels,
            groups=self.groups[rows],
            clips=clips,
            folds=self.folds[rows],
            rows=np.flatnonzero(labels >= 0),
        )


def ask(
    factor: str,
    values: pd.Series,
    groups: pd.Series,
    fold: pd.Series | None,
    roles: np.ndarray,
    clip_of: np.ndarray,
    *,
    folds: int,
    seed: int,
) -> Question:
    """Sets up the decoding of one factor: classes that can be tested, and folds over the groups outside `fit`.

    Args:
        factor: Name of the factor.
        values: Its value for each clip.
        groups: Group of each clip.
        fold: The corpus' own folds, or None; they go before folds drawn here.
        roles: Role of each clip.
        clip_of: Clip of each segment.
        folds: Number of folds drawn.
        seed: Root seed.
    Raises:
        UserError: If the factor has decimal numbers or too many values, fewer than two classes can be tested, or there
            are fewer groups than folds.
    """
    text = values.astype(str).to_numpy()
    if values.dtype.kind == "f" and not np.allclose(values, values.round()) or len(np.unique(text)) > MOST_CLASSES:
        raise UserError(
            f"expected a factor with at most {MOST_CLASSES} classes, {factor!r} holds numbers or "
            f"{len(np.unique(text))} values: name other factors in data.factors, or bin it into classes in a column of "
            "its own"
        )
    outside = roles != "fit"
    known = eligible_classes(text[outside], groups[outside], minimum=2)
    left_out = tuple(sorted(set(text) - set(known)))
    if len(known) < 2:
        raise UserError(
            f"expected two classes of {factor!r} with at least two groups each (outside the role `fit`), got "
            f"{list(known) or 'none'}: more recordings per class are needed, or a finer group column"
        )
    classes = tuple(sorted(known))
    of_clip = pd.Index(classes).get_indexer(text)
    clip_folds = np.full(len(text), -1)
    usable = outside & (of_clip >= 0)
    if fold is not None:
        clip_folds[usable] = official_folds(fold[usable], groups[usable])
    else:
        clip_folds[usable] = group_folds(of_clip[usable], groups[usable], folds, seed)
    group_of_clip = pd.factorize(groups)[0]
    labels = of_clip[clip_of]
    return Question(
        factor=factor,
        classes=classes,
        left_out=left_out,
        labels=labels,
        groups=group_of_clip[clip_of],
        clips=np.asarray(clip_of),
        folds=clip_folds[clip_of],
        rows=np.flatnonzero(labels >= 0),
    )
