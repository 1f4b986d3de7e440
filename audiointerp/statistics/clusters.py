"""Clusters: labels to whole numbers, sums per cluster, and how often a resample draws each cluster."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

CELLS = 2_000_000
"""Numbers held at once while resampling (16 MB of float64): the bound on memory."""


def vector(values: ArrayLike, name: str, length: int | None = None) -> NDArray[np.float64]:
    """Gives `values` as a finite float vector.

    Args:
        values: Numbers, shape `(N,)`.
        name: What they are called in an error.
        length: The `N` that is expected, if any.
    Returns:
        Shape `(N,)`, float64.
    Raises:
        ValueError: If the shape is another one, or a value is not finite.
    Example:
        >>> vector([1, 2], "values")
        array([1., 2.])
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"expected {name} of shape (N,) with N >= 1, got {array.shape}: pass one number per item")
    if length is not None and array.size != length:
        raise ValueError(f"expected {length} {name}, got {array.size}: pass one per item, in the same order")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ValueError(f"expected finite {name}, got {count} that are not: leave these items out everywhere first")
    return array


def codes(labels: ArrayLike, name: str, length: int | None = None) -> tuple[NDArray, NDArray[np.intp]]:
    """Gives the distinct labels and, for each item, which one it has.

    Args:
        labels: Labels of any one sortable type, shape `(N,)`.
        name: What they are called in an error.
        length: The `N` that is expected, if any.
    Returns:
        The `K` distinct labels, sorted, and a code in `0..K-1` per item, shape `(N,)`.
    Raises:
        ValueError: If the shape is another one, or a label is missing (None or NaN).
    Example:
        >>> [x.tolist() for x in codes(["b", "a", "b"], "labels")]
        [['a', 'b'], [1, 0, 1]]
    """
    array = np.asarray(labels)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"expected {name} of shape (N,) with N >= 1, got {array.shape}: pass one label per item")
    if length is not None and array.size != length:
        raise ValueError(f"expected {length} {name}, got {array.size}: pass one per item, in the same order")
    if array.dtype == object:
        missing = sum(label is None or label != label for label in array)
        if missing == 0 and all(isinstance(label, str) for label in array):
            array = array.astype(str)
    else:
        missing = int((array != array).sum())
    if missing:
        raise ValueError(f"expected a label for every item in {name}, got {missing} missing: leave these items out")
    distinct, inverse = np.unique(array, return_inverse=True)
    return distinct, inverse.reshape(-1)


def sums(columns: NDArray[np.float64], code: NDArray[np.intp], n_clusters: int) -> NDArray[np.float64]:
    """Adds up each column within each cluster.

    Args:
        columns: Shape `(N, C)`.
        code: The cluster of each item, shape `(N,)`, in `0..n_clusters-1`.
        n_clusters: How many clusters there are.
    Returns:
        Shape `(n_clusters, C)`.
    Example:
        >>> sums(np.array([[1.0], [2.0], [4.0]]), np.array([0, 1, 1]), 2).ravel().tolist()
        [1.0, 6.0]
    """
    return np.stack([np.bincount(code, weights=column, minlength=n_clusters) for column in columns.T], axis=1)


@lru_cache(maxsize=2)
def remembered_draws(seed: int, n_clusters: int, rows: int) -> NDArray[np.float64]:
    """Gives the `draws` of a fresh generator, kept for the next statistic of the same clusters.

    A curve over layers asks for dozens of intervals that differ in the values only; drawing costs ten times as much as
    applying the draws.
    """
    return draws(np.random.default_rng(seed), n_clusters, rows)


def draws(rng: np.random.Generator, n_clusters: int, rows: int) -> NDArray[np.float64]:
    """Draws clusters with replacement, as many as there are, and counts how often each came.

    Args:
        rng: Where chance comes from.
        n_clusters: How many clusters there are, and how many are drawn.
        rows: How many resamples.
    Returns:
        Multinomial counts, shape `(rows, n_clusters)`; each row sums to `n_clusters`.
    Example:
        >>> draws(np.random.default_rng(0), 4, 3).sum(axis=1).tolist()
        [4.0, 4.0, 4.0]
    """
    picks = rng.integers(0, n_clusters, size=(rows, n_clusters))
    picks += n_clusters * np.arange(rows)[:, None]
    return np.bincount(picks.ravel(), minlength=rows * n_clusters).reshape(rows, n_clusters).astype(np.float64)
