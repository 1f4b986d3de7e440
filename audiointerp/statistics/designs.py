"""Designs: what is resampled and left out where items come in clusters, on one side or on both."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from audiointerp.statistics.clusters import codes, draws, sums


class OneWay:
    """Items in one kind of cluster.

    Attributes:
        n_clusters: How many clusters there are.
        effective: How many clusters of equal weight would vary as much; weights are the sums of column 0.
        totals: Sums of the columns over all items, shape `(C,)`.
        widest: Numbers that one resample needs at once.
        suffix: What the design adds to the name of an interval.

    Args:
        columns: What is summed, shape `(N, C)`; column 0 is the weight.
        clusters: The cluster of each item, shape `(N,)`.
    Raises:
        ValueError: If lengths differ or a label is missing.
    Example:
        >>> design = OneWay(np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 7.0]]), ["a", "a", "b"])
        >>> design.totals.tolist(), design.without_one()[0].tolist()
        ([3.0, 12.0], [[1.0, 7.0], [2.0, 5.0]])
    """

    suffix = ""

    def __init__(self, columns: NDArray[np.float64], clusters: ArrayLike) -> None:
        distinct, code = codes(clusters, "clusters", len(columns))
        self.n_clusters = self.widest = len(distinct)
        self.sums = sums(columns, code, self.n_clusters)
        self.totals = self.sums.sum(axis=0)
        self.effective = _effective(self.sums[:, 0])

    def without_one(self) -> list[NDArray[np.float64]]:
        """Gives the totals without each cluster, shape `(n_clusters, C)`, as the only item of a list."""
        return [self.totals - self.sums]

    def variance(self, parts: list[float]) -> float:
        """Puts together the jackknife variances that belong to `without_one`."""
        return parts[0]

    def sides(self, parts: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """Keeps what belongs to clusters of the items of `without_one`."""
        return parts

    def resample(self, rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
        """Draws clusters with replacement and gives the totals of each resample, shape `(rows, C)`."""
        return draws(rng, self.n_clusters, rows) @ self.sums


class TwoWay:
    """Pairs of items with a source cluster and a reference cluster: counts of both are multiplied.

    A pair whose source came twice and whose reference came three times in a resample counts six times. Where a label is
    found on both sides, the sides name one set of clusters, and each has one count.

    Attributes:
        n_clusters: The smaller of the two numbers of clusters.
        effective: As in `OneWay`, the smaller of the two.
        shared: Whether the sides name one set of clusters.
        totals: Sums of the columns over all pairs, shape `(C,)`.
        widest: Numbers that one resample needs at once.
        suffix: What the design adds to the name of an interval.

    Args:
        columns: What is summed, shape `(N, C)`; column 0 is the weight.
        source: The source cluster of each pair, shape `(N,)`.
        reference: The reference cluster of each pair, shape `(N,)`.
    Raises:
        ValueError: If lengths differ or a label is missing.
    Example:
        >>> design = TwoWay(np.array([[1.0], [10.0]]), ["a", "b"], ["b", "c"])
        >>> design.shared, design.without_one()[0].ravel().tolist()
        (True, [10.0, 0.0, 1.0])
    """

    suffix = ", pairs"

    def __init__(self, columns: NDArray[np.float64], source: ArrayLike, reference: ArrayLike) -> None:
        length = len(columns)
        source_names, source = codes(source, "source clusters", length)
        reference_names, reference = codes(reference, "reference clusters", length)
        sides = (len(source_names), len(reference_names))
        self.n_clusters = min(sides)
        self.shared = source_names.dtype.kind == reference_names.dtype.kind and bool(
            np.isin(source_names, reference_names).any()
        )
        by_source, by_reference = sums(columns, source, sides[0]), sums(columns, reference, sides[1])
        self.effective = min(_effective(by_source[:, 0]), _effective(by_reference[:, 0]))
        if self.shared:
            names = np.union1d(source_names, reference_names)
            source, reference = (
                np.searchsorted(names, source_names)[source],
                np.searchsorted(names, reference_names)[reference],
            )
            sides = (len(names), len(names))
        self.shape, self.widest = sides, max(sides)
        cells, cell = np.unique(source * sides[1] + reference, return_inverse=True)
        self.cells = sums(columns, cell.reshape(-1), len(cells))
        self.row, self.column = np.divmod(cells, sides[1])
        self.totals = self.cells.sum(axis=0)
        self.matrices = [sparse.csr_array((values, (self.row, self.column)), shape=sides) for values in self.cells.T]

    def without_one(self) -> list[NDArray[np.float64]]:
        """Gives the totals without each source, each reference, each cell of both; without each cluster if shared."""
        rows = sums(self.cells, self.row, self.shape[0])
        columns = sums(self.cells, self.column, self.shape[1])
        if self.shared:
            own = self.row == self.column
            return [self.totals - rows - columns + sums(self.cells[own], self.row[own], self.shape[0])]
        return [self.totals - rows, self.totals - columns, self.totals - self.cells]

    def variance(self, parts: list[float]) -> float:
        """Puts together the jackknife variances that belong to `without_one`."""
        return parts[0] if self.shared else max(parts[0], parts[1], parts[0] + parts[1] - parts[2])

    def sides(self, parts: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """Keeps what belongs to clusters of the items of `without_one`."""
        return parts[:2]

    def resample(self, rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
        """Draws clusters with replacement and gives the totals of each resample, shape `(rows, C)`."""
        source = draws(rng, self.shape[0], rows)
        reference = source if self.shared else draws(rng, self.shape[1], rows)
        return np.stack([((matrix.T @ source.T).T * reference).sum(axis=1) for matrix in self.matrices], axis=1)


def _effective(weights: NDArray[np.float64]) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum())
