"""Who is trained on whom: splits of segments by folds, groups, roles and levels of another factor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Indices of the rows to train on and to test on."""

    train: np.ndarray
    test: np.ndarray


def by_fold(folds: np.ndarray, rows: np.ndarray | None = None) -> list[Split]:
    """Gives one split per fold: test on the fold, train on the others.

    Args:
        folds: Fold of each row, int, shape `(N,)`; negative: in no fold, used by no split.
        rows: Rows that may be used at all, all by default.
    Example:
        >>> [split.test.tolist() for split in by_fold(np.array([0, 1, 0, -1]))]
        [[0, 2], [1]]
    """
    usable = folds >= 0
    if rows is not None:
        usable = usable & np.isin(np.arange(len(folds)), rows)
    return [
        Split(np.flatnonzero(usable & (folds != fold)), np.flatnonzero(usable & (folds == fold)))
        for fold in np.unique(folds[usable])
    ]


def partition(splits: Sequence[Split], rows: int) -> np.ndarray | None:
    """Gives the folds behind splits that each train on all other splits' test rows; None where they are no such folds.

    Args:
        splits: The splits.
        rows: Number of rows N.
    Returns:
        Fold of each row, -1 for rows of none, shape `(N,)`; or None.
    Example:
        >>> partition(by_fold(np.array([1, 0, 1, -1])), 4).tolist()
        [1, 0, 1, -1]
    """
    folds = np.full(rows, -1)
    for fold, split in enumerate(splits):
        folds[split.test] = fold
    tested = np.count_nonzero(folds >= 0)
    if len(splits) < 2 or sum(len(split.test) for split in splits) != tested:
        return None
    for fold, split in enumerate(splits):
        others = folds[split.train]
        if len(split.train) + len(split.test) != tested or (others < 0).any() or (others == fold).any():
            return None
    return folds


def by_role(roles: np.ndarray, train: Sequence[str], test: str, rows: np.ndarray | None = None) -> Split:
    """Gives the split that trains on some roles and tests on another."""
    usable = np.ones(len(roles), dtype=bool) if rows is None else np.isin(np.arange(len(roles)), rows)
    return Split(np.flatnonzero(usable & np.isin(roles, list(train))), np.flatnonzero(usable & (roles == test)))


def inner_folds(folds: np.ndarray, outer: int, rows: np.ndarray | None = None) -> list[Split]:
    """Gives the splits among all folds but `outer`: what a choice for that outer fold may look at."""
    return by_fold(np.where(folds == outer, -1, folds), rows)


def by_level(
    other: np.ndarray, folds: np.ndarray, rows: np.ndarray | None = None
) -> Iterator[tuple[object, list[Split]]]:
    """Gives, for each level of another factor, splits that test on it and train on the other levels only.

    Groups stay on one side: within a level each fold is tested with the other folds of the other levels.

    Yields:
        The level and its splits.
    """
    usable = folds >= 0
    if rows is not None:
        usable = usable & np.isin(np.arange(len(folds)), rows)
    for level in np.unique(other[usable]):
        splits = [
            Split(
                np.flatnonzero(usable & (other != level) & (folds != fold)),
                np.flatnonzero(usable & (other == level) & (folds == fold)),
            )
            for fold in np.unique(folds[usable])
        ]
        yield level, [split for split in splits if len(split.train) and len(split.test)]
