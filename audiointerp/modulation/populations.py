"""Populations of filters compared: how far each moved, how far two populations lie apart, and what chance gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from audiointerp.statistics.permutation import permutation_p
from audiointerp.study import stream


@dataclass(frozen=True)
class Apart:
    """How far two populations lie apart.

    Attributes:
        distance: Energy distance, in units of the pooled spread; 0 for equal distributions.
        null: Distances after filters changed sides at random, shape `(M,)`.
        p: Share of the null at least as far, counting the observed.
    """

    distance: float
    null: NDArray[np.float64]
    p: float


def displacement(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """How far each value moved, in units of the initial spread (standard deviation over filters).

    Args:
        before: Values before training, shape `(N,)` or `(N, D)`.
        after: Values after it, of the same shape.
    Returns:
        Absolute displacement, of the same shape.
    Raises:
        ValueError: If shapes differ, there are fewer than two filters, or nothing varied before training.
    Example:
        >>> displacement([0.0, 2.0], [1.0, 2.0]).tolist()
        [1.0, 0.0]
    """
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if before.shape != after.shape or len(before) < 2:
        raise ValueError(f"expected values of two filters or more, of one shape, got {before.shape} and {after.shape}")
    spread = before.std(axis=0)
    if not np.all(spread > 0):
        raise ValueError("expected values that differ between filters before training, got equal ones")
    return np.abs(after - before) / spread


def obliqueness(modulations: ArrayLike, units: ArrayLike) -> NDArray[np.float64]:
    r"""How oblique filters are: 0 for one tuned to time or to frequency alone, 1 for as much of both.

    Natural sounds have little power where both modulations are rapid. With :math:`x` and :math:`y` the modulations in
    units of their own, :math:`2 |x y| / (x^2 + y^2)`.

    Args:
        modulations: Temporal and spectral modulation of each filter, shape `(N, 2)`.
        units: What counts as one of each, shape `(2,)`, above 0.
    Returns:
        Shape `(N,)`, in [0, 1]; 0 for a filter without any modulation.
    Raises:
        ValueError: If shapes disagree or a unit is not above 0.
    Example:
        >>> obliqueness([[8.0, 0.0], [8.0, -1.0], [0.0, 0.0]], [8.0, 1.0]).tolist()
        [0.0, 1.0, 0.0]
    """
    modulations, units = np.asarray(modulations, dtype=np.float64), np.asarray(units, dtype=np.float64)
    if modulations.ndim != 2 or modulations.shape[1:] != (2,) or units.shape != (2,) or not np.all(units > 0):
        raise ValueError(
            f"expected modulations (N, 2) and two units above 0, got {modulations.shape} and {units.tolist()}"
        )
    x, y = np.abs(modulations / units).T
    size = x**2 + y**2
    return np.divide(2.0 * x * y, size, out=np.zeros(len(size)), where=size > 0)


def energy_distance(a: ArrayLike, b: ArrayLike) -> float:
    r"""Energy distance :math:`2 E|X - Y| - E|X - X'| - E|Y - Y'|` of two samples in units of their pooled spread.

    Args:
        a: Shape `(N, D)`.
        b: Shape `(M, D)`.
    Returns:
        At least 0 up to rounding, 0 for equal samples.
    Raises:
        ValueError: If the samples have not the same number of columns, or are empty.
    References:
        Energy statistics (Szekely and Rizzo, 2013), definition 1.
    """
    a, b = _scaled(a, b)
    return float(2.0 * cdist(a, b).mean() - cdist(a, a).mean() - cdist(b, b).mean())


def apart(a: ArrayLike, b: ArrayLike, *, permutations: int = 999, seed: int = 0) -> Apart:
    """Tests whether two populations of filters differ, by letting filters change sides.

    Args:
        a: Modulations of the filters of one population, shape `(N, D)`.
        b: Those of the other, shape `(M, D)`.
        permutations: Draws of the null.
        seed: Seed of the draws.
    Raises:
        ValueError: As `energy_distance`.
    """
    a, b = _scaled(a, b)
    distances = cdist(np.concatenate([a, b]), np.concatenate([a, b]))
    rng = stream(seed, "populations")
    side = np.arange(len(distances)) < len(a)
    observed = _energy(distances, side)
    null = np.array([_energy(distances, rng.permutation(side)) for _ in range(permutations)])
    return Apart(observed, null, float(permutation_p([observed], null[:, None])[0]))


def _energy(distances: NDArray[np.float64], side: NDArray[np.bool_]) -> float:
    across = distances[np.ix_(side, ~side)].mean()
    return float(2.0 * across - distances[np.ix_(side, side)].mean() - distances[np.ix_(~side, ~side)].mean())


def _scaled(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both samples divided by the spread of all."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1:] != b.shape[1:] or not len(a) or not len(b):
        raise ValueError(f"expected samples (N, D) and (M, D), got shapes {a.shape} and {b.shape}")
    spread = np.concatenate([a, b]).std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return a / spread, b / spread
