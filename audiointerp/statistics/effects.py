"""Effect sizes of paired differences, with intervals by the groups that the pairs came from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audiointerp.statistics.clusters import codes, vector
from audiointerp.statistics.intervals import Interval, interval_of_sums


def d_z(differences: ArrayLike) -> float:
    r"""Cohen's :math:`d_z`: the mean of paired differences over their standard deviation (denominator n - 1).

    Args:
        differences: One difference per pair, shape `(N,)`, any unit.
    Returns:
        The effect size, without unit; NaN where it is undefined: fewer than two pairs, or all differences equal.
    Raises:
        ValueError: If a difference is not finite.
    References:
        Statistical Power Analysis for the Behavioral Sciences (Cohen, 1988), section 2.3.5.
    Example:
        >>> d_z([1.0, 2.0, 3.0])
        2.0
        >>> d_z([0.0, 0.0])
        nan
    """
    differences = vector(differences, "differences")
    if differences.size < 2 or np.ptp(differences) == 0:
        return float("nan")
    return float(differences.mean() / differences.std(ddof=1))


def d_z_interval(
    differences: ArrayLike,
    source_clusters: ArrayLike,
    reference_clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interval of `d_z` over pairs of clips, by groups.

    The kinds are those of `intervals.interval_of_sums`, the percentiles moved for bias and skewness: the resampled
    standard deviation is too small and varies, which makes large effects look larger still.

    Args:
        differences: One difference per pair of clips, shape `(N,)`.
        source_clusters: The group of the source clip, shape `(N,)`.
        reference_clusters: The group of the reference clip, shape `(N,)`, where references are drawn from clips too.
        level: Nominal coverage.
        resamples: Bootstrap resamples.
        seed: Seed of the bootstrap.
    Returns:
        The interval round `d_z(differences)`; an estimate of NaN and "none: no difference varies" where all are equal.
    Raises:
        ValueError: As `intervals.cluster_interval`.
    Example:
        >>> d_z_interval([0.0, 0.0], ["a", "b"]).kind
        'none: no difference varies'
    """
    differences = vector(differences, "differences")
    middle, spread = differences.mean(), differences.std()
    if np.ptp(differences) == 0:
        sides = [clusters for clusters in (source_clusters, reference_clusters) if clusters is not None]
        smaller = min(len(codes(clusters, "clusters", differences.size)[0]) for clusters in sides)
        return Interval(float("nan"), float("nan"), float("nan"), "none: no difference varies", smaller)
    # Centred and scaled, so that the variance is not the small difference of two large sums.
    scaled = (differences - middle) / spread
    columns = np.stack([np.ones_like(scaled), scaled, scaled**2], axis=1)

    def statistic(totals: NDArray[np.float64]) -> NDArray[np.float64]:
        count, total, squares = np.moveaxis(totals, -1, 0)
        variance = (squares - total**2 / count) / (count - 1)
        sd = np.sqrt(np.where(variance > 1e-12, variance, np.nan))
        return (total / count + middle / spread) / sd

    return interval_of_sums(
        columns,
        statistic,
        source_clusters,
        reference_clusters,
        accelerated=True,
        level=level,
        resamples=resamples,
        seed=seed,
    )
