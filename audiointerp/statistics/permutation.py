"""Permutation nulls: labels permuted as the design allows, and p values from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from audiointerp.statistics.clusters import codes


@dataclass(frozen=True)
class Permutations:
    """Labels permuted `n` times, or why they cannot be.

    Attributes:
        labels: Codes into `classes`, shape `(n, N)`, the smallest integer type that holds them; `(0, N)` if impossible.
        scheme: What was exchanged, and what was held fixed, in words.
        possible: Whether a permutation can change anything.
        reason: Why not, in words; empty where it can.
        classes: The distinct labels, shape `(K,)`: `classes[labels]` are labels like those that came.
        arrangements: How many distinct arrangements there are (inf if very many); no p value can be below 1 over this.
    """

    labels: NDArray[np.integer]
    scheme: str
    possible: bool
    reason: str
    classes: NDArray
    arrangements: float


def permuted_labels(
    labels: ArrayLike, groups: ArrayLike, *, within: ArrayLike | None = None, n: int, seed: int
) -> Permutations:
    """Permutes labels as their design allows: within groups, else over whole groups, else not at all.

    - A label that varies within groups is permuted within them: what a group shares then carries no label.
    - A label that is constant in every group is permuted over whole groups, of whatever size: clips of one group are
      not exchangeable with those of another one by one. `within`, where it is constant in groups too, is held fixed:
      only groups of the same `within` exchange labels. Where that would leave nothing to permute, it is let go, and
      the scheme says so.
    - Nothing changes if there is one class only, or if permuting can do no more than rename classes (one group per
      class): then no test is possible.

    Args:
        labels: One label per clip, shape `(N,)`, any sortable type.
        groups: The group of each clip, shape `(N,)`.
        within: Labels of another factor, shape `(N,)`.
        n: How many permutations.
        seed: Seed; the same seed gives the same permutations.
    Returns:
        The permutations.
    Raises:
        ValueError: If shapes differ, a label is missing, or `n` is less than 1.
    Example:
        >>> drawn = permuted_labels([0, 0, 1, 1], ["a", "a", "b", "b"], n=9, seed=0)
        >>> drawn.possible, drawn.reason
        (False, 'each class has one group: permuting them only renames classes')
        >>> permuted_labels([0, 1, 0, 1], ["a", "a", "b", "b"], n=9, seed=0).scheme
        'within groups (2 of 2 hold more than one class); 4 arrangements in all'
    """
    if n < 1:
        raise ValueError(f"expected at least one permutation, got n={n}: use 999 or more")
    classes, label = codes(labels, "labels")
    names, group = codes(groups, "groups", label.size)
    kind = np.int16 if len(classes) <= np.iinfo(np.int16).max else np.int32
    label = label.astype(kind)
    first = np.unique(group, return_index=True)[1]
    mixed = np.unique(group[label != label[first][group]])
    other = None if within is None else codes(within, "within", label.size)[1]

    if mixed.size:
        units, strata, back, thing = label, group, None, "clip"
        scheme = f"within groups ({mixed.size} of {len(names)} hold more than one class)"
        if other is not None and (other != other[first][group]).any():
            scheme += ", the other factor not held fixed: it varies within groups"
    else:
        units, back, thing = label[first], group, "group"
        strata = np.zeros(len(names), dtype=np.intp)
        scheme = f"over {len(names)} whole groups"
        if other is not None and (other != other[first][group]).any():
            scheme += ", the other factor not held fixed: it varies within groups"
        elif other is not None and _changeable(units, other[first]):
            strata = other[first]
            scheme += ", the other factor held fixed"
        elif other is not None and _changeable(units, strata):
            scheme += ", the other factor not held fixed: that would leave nothing to permute"
    if not _changeable(units, strata):
        empty = np.empty((0, label.size), dtype=kind)
        return Permutations(empty, "none", False, _why_not(units, thing, len(classes)), classes, 1.0)

    arrangements = _arrangements(units, strata)
    if arrangements <= n:
        scheme += f"; {arrangements:.0f} arrangements in all"
    drawn = _permute(units, strata, n, np.random.default_rng(seed))
    drawn = drawn if back is None else drawn[:, back]
    return Permutations(drawn, scheme, True, "", classes, arrangements)


def permutation_p(observed: ArrayLike, null: ArrayLike) -> NDArray[np.float64]:
    r"""Uncorrected one-sided p value of each statistic, large ones counting against the null: `(1 + hits) / (n + 1)`.

    For a two-sided test pass absolute values of statistics whose null is centred on 0.

    Args:
        observed: One statistic per test, shape `(M,)`.
        null: The same statistics under `n` permutations, shape `(n, M)`.
    Returns:
        Shape `(M,)`; NaN where a column has a NaN (not tested).
    Raises:
        ValueError: If shapes do not fit or there is no permutation.
    References:
        Permutation P-values Should Never Be Zero (Phipson and Smyth, 2010).
    Example:
        >>> permutation_p([3.0, 0.0], [[1.0, 1.0], [2.0, 2.0], [0.0, 0.0]]).tolist()
        [0.25, 1.0]
    """
    observed, null = _statistics(observed, null)
    p = (1 + (null >= observed - _slack(observed)).sum(axis=0)) / (len(null) + 1)
    return np.where(_tested(observed, null), p, np.nan)


def max_statistic_p(observed: ArrayLike, null: ArrayLike) -> NDArray[np.float64]:
    r"""One-sided p values corrected over all tests by the maximum statistic: family-wise error, any dependence.

    Each column is centred and scaled by the mean and standard deviation of its `n + 1` values, the observed one among
    them, so that factors with other chance levels and spreads weigh alike. The observed labelling is one of the
    permutations under the null and must be treated as one of them: standardised by the others alone, it would be the
    only value outside its own sample and exceed the maximum too often. Every row of `null` must hold the statistics of
    all columns under one draw (labels of several factors permuted together or apart, but drawn once per row).

    Args:
        observed: One statistic per test (layers times factors), shape `(M,)`; large values count against the null.
        null: The same statistics under `n` permutations, shape `(n, M)`.
    Returns:
        Corrected p values, shape `(M,)`, at least `1 / (n + 1)`; NaN where a column has a NaN: it was not tested and
        takes no part in the maximum. A column that never varies has p = 1.
    Raises:
        ValueError: If shapes do not fit or there is no permutation.
    References:
        Resampling-Based Multiple Testing (Westfall and Young, 1993), single-step maxT.
    Example:
        >>> null = np.random.default_rng(0).normal(size=(99, 2)) * [1, 100]
        >>> max_statistic_p([9.0, 9.0], null).round(2).tolist()
        [0.01, 0.74]
    """
    observed, null = _statistics(observed, null)
    p = np.full(observed.size, np.nan)
    tested = _tested(observed, null)
    if not tested.any():
        return p
    rows = np.concatenate([observed[None, tested], null[:, tested]])
    rows -= rows.mean(axis=0)
    sd = rows.std(axis=0)
    varies = sd > 1e-12 * (np.abs(observed[tested]) + sd)
    rows = np.where(varies, rows / np.where(varies, sd, 1.0), -np.inf)
    maxima = rows[1:].max(axis=1)
    hits = (maxima[:, None] >= rows[0] - 1e-9).sum(axis=0)
    p[tested] = (1 + hits) / (len(null) + 1)
    return p


def _changeable(units: NDArray, strata: NDArray) -> bool:
    """Whether some permutation within strata does more than rename classes.

    Exchanging two units of different classes renames these classes exactly if each is the only one of its class; so
    there must be a stratum that holds several classes, and in it a unit whose class has another unit anywhere.
    """
    stratum = np.unique(strata, return_inverse=True)[1].reshape(-1)
    first = np.unique(stratum, return_index=True)[1]
    several = np.zeros(first.size, dtype=bool)
    several[stratum[units != units[first][stratum]]] = True
    return bool((several[stratum] & (np.bincount(units)[units] > 1)).any())


def _why_not(units: NDArray, thing: str, n_classes: int) -> str:
    if n_classes == 1:
        return "there is one class only"
    if units.size == n_classes:
        return f"each class has one {thing}: permuting them only renames classes"
    return f"where classes could be exchanged, each has one {thing}: permuting them only renames classes"


def _arrangements(units: NDArray, strata: NDArray) -> float:
    stratum = np.unique(strata, return_inverse=True)[1].reshape(-1)
    cells = np.unique(stratum * (int(units.max()) + 1) + units, return_counts=True)[1]
    log = gammaln(np.bincount(stratum) + 1).sum() - gammaln(cells + 1).sum()
    return float(np.rint(np.exp(log))) if log < 36 else float("inf")


def _permute(units: NDArray, strata: NDArray, n: int, rng: np.random.Generator) -> NDArray:
    """Permutes within strata, all strata of one size at once."""
    order = np.argsort(strata, kind="stable")
    sizes = np.unique(strata, return_counts=True)[1]
    starts = np.cumsum(sizes) - sizes
    drawn = np.empty((n, units.size), dtype=units.dtype)
    for size in np.unique(sizes):
        where = order[starts[sizes == size][:, None] + np.arange(size)]
        block = np.broadcast_to(units[where], (n, *where.shape)).reshape(-1, size)
        drawn[:, where.ravel()] = (rng.permuted(block, axis=1) if size > 1 else block).reshape(n, -1)
    return drawn


def _statistics(observed: ArrayLike, null: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    observed, null = np.asarray(observed, dtype=np.float64), np.asarray(null, dtype=np.float64)
    if observed.ndim != 1 or null.ndim != 2 or null.shape[1] != observed.size or len(null) == 0:
        raise ValueError(
            f"expected observed of shape (M,) and null of shape (n, M) with n >= 1, got {observed.shape} and "
            f"{null.shape}: stack the statistics of one permutation into one row"
        )
    return observed, null


def _tested(observed: NDArray[np.float64], null: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.isfinite(observed) & np.isfinite(null).all(axis=0)


def _slack(observed: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1e-12 * np.abs(observed)
