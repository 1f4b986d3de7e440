"""What every metric asks of its input: checked arrays, kinds of factors, scaling to [0, 1] and equal-width bins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

KINDS = ("ordered", "categorical")
"""An ordered factor is a quantity: scaled, binned and regressed; the levels of a categorical one are names."""

Kinds = str | Sequence[str] | None
"""One kind for all factors, or one per factor; None: all are ordered."""

CONSTANT = 1e-12
"""A column whose range is below this share of its largest magnitude does not vary: what is left is rounding."""


def matrix(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Gives `values` as a finite float matrix.

    Args:
        values: Numbers, one row per sound and one column per factor or code, shape `(N, C)`.
        name: What they are called in an error.
    Raises:
        ValueError: If the shape is another one, or a value is not a finite number.
    Example:
        >>> matrix([[1, 2]], "codes")
        array([[1., 2.]])
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected numbers in {name}, got {error}: give classes as whole numbers") from error
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"expected {name} of shape (N, columns), got {array.shape}: give one row per sound, and one column each"
        )
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).any(1).sum())
        raise ValueError(f"expected finite {name}, got {count} rows with NaN or infinity: leave these rows out of both")
    return array


def pair(
    factors: ArrayLike, codes: ArrayLike, *, bins: int | None = None, least_factors: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Checks factors and codes of the same sounds.

    Args:
        factors: Shape `(N, F)`.
        codes: Shape `(N, D)`.
        bins: Bins per column, 2 or more, and no more than rows; None where nothing is binned.
        least_factors: How many factors the metric compares at least.
    Returns:
        Both as float64.
    Raises:
        ValueError: If one is no finite matrix, rows differ in number, bins are fewer than 2 or more than rows, or
            factors are missing.
    """
    factors, codes = matrix(factors, "factors"), matrix(codes, "codes")
    if len(factors) != len(codes):
        raise ValueError(
            f"expected one row of factors per row of codes, got {len(factors)} and {len(codes)}: "
            "evaluate both on the same sounds"
        )
    if bins is not None and (not isinstance(bins, int | np.integer) or bins < 2):
        raise ValueError(f"expected a whole number of bins, 2 or more, got {bins!r}: 10 is what most papers use")
    if bins is not None and len(codes) < bins:
        raise ValueError(f"expected at least as many rows as bins ({bins}), got {len(codes)}: use more sounds")
    if factors.shape[1] < least_factors:
        raise ValueError(
            f"expected at least {least_factors} factors, got {factors.shape[1]}: this metric compares factors"
        )
    return factors, codes


def kinds_of(kinds: Kinds, count: int) -> tuple[str, ...]:
    """Gives one kind per factor.

    Args:
        kinds: `ordered` or `categorical` for all, one per factor, or None for all ordered.
        count: The number of factors.
    Raises:
        ValueError: If a kind is unknown, or their number is not that of the factors.
    Example:
        >>> kinds_of("ordered", 2)
        ('ordered', 'ordered')
    """
    given = (kinds or "ordered",) * count if kinds is None or isinstance(kinds, str) else tuple(kinds)
    if len(given) != count:
        raise ValueError(f"expected one kind per factor ({count}), got {len(given)}: give them in the factors' order")
    unknown = sorted({str(kind) for kind in given} - set(KINDS))
    if unknown:
        raise ValueError(f"expected kinds among {', '.join(KINDS)}, got {', '.join(unknown)}: correct kinds")
    return given


def varying(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tells which columns vary by more than rounding; shape `(C,)` for `(N, C)`."""
    return _range(values)[2]


def _range(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Gives the smallest and the largest value of each column, and whether they differ by more than rounding."""
    columns = np.ascontiguousarray(values.T)  # several times quicker than going down columns of rows
    low, high = columns.min(axis=1), columns.max(axis=1)
    return low, high, high - low > CONSTANT * np.maximum(np.abs(low), np.abs(high))


def unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scales each column to [0, 1]; a constant one becomes 0.

    Example:
        >>> unit(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
        [[0.0, 0.0], [1.0, 0.0]]
    """
    low, high, varies = _range(values)
    scaled = values - low
    scaled *= varies / np.where(varies, high - low, 1.0)
    return scaled


def binned(values: NDArray[np.float64], bins: int) -> NDArray[np.intp]:
    """Cuts each column's range into bins of equal width.

    A value within 1e-9 of an edge counts as above it, so that levels which lie on edges do not depend on rounding.

    Args:
        values: Shape `(N, C)`.
        bins: Their number.
    Returns:
        Bin of each value, 0 to `bins - 1`, shape `(C, N)`: one contiguous row per column.
    Example:
        >>> binned(np.array([[0.0], [0.4], [0.5], [1.0]]), 2).tolist()
        [[0, 0, 1, 1]]
    """
    low, high, varies = _range(values)
    cut = np.empty(values.shape[::-1], dtype=np.intp)
    for row, column in enumerate(values.T):  # one column at a time stays in the cache
        scaled = column - low[row]
        scaled *= varies[row] * bins / (high[row] - low[row] if varies[row] else 1.0)
        scaled += 1e-9
        cut[row] = scaled
    return np.minimum(cut, bins - 1, out=cut)


def levels(factors: NDArray[np.float64], kinds: Sequence[str], bins: int) -> NDArray[np.intp]:
    """Gives each factor as whole numbers from 0: bins of an ordered one, the levels of a categorical one.

    Args:
        factors: Shape `(N, F)`.
        kinds: One per factor.
        bins: Bins of an ordered factor.
    Returns:
        Shape `(F, N)`.
    """
    cut = binned(factors, bins)
    for row, kind in enumerate(kinds):
        if kind == "categorical":
            cut[row] = np.unique(factors[:, row], return_inverse=True)[1].reshape(-1)
    return cut


def classes_of(factor: NDArray[np.float64], index: int) -> NDArray[np.intp]:
    """Numbers the levels of a categorical factor, for a classifier to learn.

    Args:
        factor: Shape `(N,)`.
        index: Which factor it is, for the error.
    Raises:
        ValueError: If levels are more than a quarter of the rows: nothing could be learnt of them.
    Example:
        >>> classes_of(np.array([5.0, 5.0, 7.0, 7.0, 7.0, 5.0, 7.0, 5.0]), 0).tolist()
        [0, 0, 1, 1, 1, 0, 1, 0]
    """
    names, classes = np.unique(factor, return_inverse=True)
    if 1 < len(names) and 4 * len(names) > len(factor):
        raise ValueError(
            f"expected four rows or more per level of categorical factor {index}, got {len(names)} levels in "
            f"{len(factor)} rows: call it ordered, or use more sounds"
        )
    return classes.reshape(-1)


def halves(labels: NDArray[np.intp], rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draws two halves of the rows, each class cut in half too; a class with one row goes to the first.

    Args:
        labels: Class of each row, shape `(N,)`; all equal where there are no classes.
        rng: Where chance comes from.
    Returns:
        Sorted indices of the rows of both halves.
    """
    shuffled = rng.permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    place = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[place % 2 == 0]), np.sort(order[place % 2 == 1])


def published(protocol: str) -> bool:
    """Tells whether the published protocol is asked for, whose models are judged on the rows that they were fitted on.

    Raises:
        ValueError: If the protocol is unknown.
    """
    if protocol not in ("corrected", "published"):
        raise ValueError(f"expected protocol corrected or published, got {protocol!r}: choose one of them")
    return protocol == "published"
