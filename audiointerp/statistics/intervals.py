"""Intervals for means and other smooth statistics of clips (or pairs of clips) that come in clusters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from audiointerp.statistics.clusters import CELLS, codes, remembered_draws, vector
from audiointerp.statistics.designs import OneWay, TwoWay

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Takes sums of columns, shape `(..., C)`, and gives the statistic, shape `(...)`; NaN where it is undefined."""

BOOTSTRAP_FROM = 20
T_FROM = 5
SEEDS_FROM = 3


@dataclass(frozen=True)
class Interval:
    """An estimate and what surrounds it.

    Attributes:
        estimate: The number, in the unit of the values; NaN where it is undefined.
        low: Lower end; NaN where there is no interval.
        high: Upper end; NaN where there is no interval.
        kind: How the interval was made, in words, or "none: " and why there is none.
        n_clusters: How many clusters (or seeds) carried it; for pairs the smaller of the two counts.
    """

    estimate: float
    low: float
    high: float
    kind: str
    n_clusters: int

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.estimate:.3g} ({self.kind})"
        return f"{self.estimate:.3g} [{self.low:.3g}, {self.high:.3g}]"


def cluster_interval(
    values: ArrayLike,
    clusters: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    r"""Interval of the mean :math:`\sum_i w_i v_i / \sum_i w_i` of clips that come in clusters.

    Clips of one cluster (recording, object, speaker) resemble one another, so clusters are what is counted and
    resampled; numerator and denominator are resampled together, since clusters differ in size. The kinds of interval
    are described at `interval_of_sums`.

    Args:
        values: One number per clip, shape `(N,)`.
        clusters: The cluster of each clip, shape `(N,)`.
        weights: Not negative, shape `(N,)`; clips of weight 0 are left out. All equal by default.
        level: Nominal coverage.
        resamples: Bootstrap resamples.
        seed: Seed of the bootstrap; the same seed gives the same bits.
    Returns:
        The interval round the weighted mean.
    Raises:
        ValueError: If shapes differ, a value is not finite, a label is missing, a weight is negative or all are 0, or
            `level` or `resamples` make no sense.
    Example:
        >>> cluster_interval([1.0, 0.0, 1.0, 1.0], ["a", "a", "b", "c"])
        Interval(estimate=0.75, low=nan, high=nan, kind='none: 3 clusters', n_clusters=3)
    """
    values, code, _, weights = _weighted(values, clusters, None, weights)
    columns = np.stack([weights, weights * values], axis=1)
    return interval_of_sums(columns, _ratio, code, level=level, resamples=resamples, seed=seed)


def cluster_difference(
    a: ArrayLike,
    b: ArrayLike,
    clusters: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interval of the mean of `a - b`, both measured on the same clips (say, the accuracy of two layers).

    All but the numbers is given as to `cluster_interval`.

    Args:
        a: One number per clip, shape `(N,)`.
        b: The same for the rival, shape `(N,)`.
    Returns:
        The interval round the weighted mean difference.
    Raises:
        ValueError: As `cluster_interval`.
    Example:
        >>> cluster_difference([1, 1, 0], [0, 0, 0], ["a", "b", "c"]).estimate == 2 / 3
        True
    """
    a = vector(a, "values of a")
    b = vector(b, "values of b", a.size)
    return cluster_interval(a - b, clusters, weights=weights, level=level, resamples=resamples, seed=seed)


def pair_interval(
    values: ArrayLike,
    source_clusters: ArrayLike,
    reference_clusters: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interval of the mean over pairs of clips, each with a source cluster and a reference cluster.

    Both sides are resampled, a pair counting as often as its source came times its reference came. Where a label is
    found on both sides, the sides name one set of clusters, and each is resampled once for both. The bootstrap leaves
    out no side's variance, but is too wide (up to 1.7 times) where single pairs' noise is most of it.

    Args:
        values: One number per pair, shape `(N,)`.
        source_clusters: The cluster of the source clip of each pair, shape `(N,)`.
        reference_clusters: The cluster of the reference clip of each pair, shape `(N,)`.
        weights: Not negative, shape `(N,)`; pairs of weight 0 are left out. All equal by default.
        level: Nominal coverage.
        resamples: Bootstrap resamples.
        seed: Seed of the bootstrap.
    Returns:
        The interval round the weighted mean; the smaller number of clusters decides its kind.
    Raises:
        ValueError: As `cluster_interval`.
    References:
        The pigeonhole bootstrap (Owen, 2007), Annals of Applied Statistics 1, section 3.
    Example:
        >>> pair_interval([1.0, 3.0], ["a", "b"], ["c", "c"]).kind
        'none: 1 cluster'
    """
    values, source, reference, weights = _weighted(values, source_clusters, reference_clusters, weights)
    columns = np.stack([weights, weights * values], axis=1)
    return interval_of_sums(columns, _ratio, source, reference, level=level, resamples=resamples, seed=seed)


def seed_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Interval of the mean over training seeds, by Student's t; fewer than three seeds carry none.

    Args:
        values: One number per seed, shape `(S,)`.
        level: Nominal coverage.
    Returns:
        The interval; `n_clusters` is the number of seeds.
    Raises:
        ValueError: If a value is not finite or `level` is not between 0 and 1.
    Example:
        >>> print(seed_interval([0.80, 0.82, 0.84]))
        0.82 [0.77, 0.87]
    """
    _check(level, 1)
    values = vector(values, "values")
    n, mean = values.size, float(values.mean())
    if n < SEEDS_FROM:
        return _none(mean, f"{n} seed{'s' * (n > 1)}", n)
    if np.ptp(values) == 0:
        return _none(mean, "no seed differs", n)
    half = stats.t.ppf(0.5 + level / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return Interval(mean, float(mean - half), float(mean + half), "t over seeds", n)


def resampled_interval(values: ArrayLike, test_to_train_ratio: float, *, level: float = 0.95) -> Interval:
    r"""Interval of the mean over splits that share training data, by the corrected resampled t.

    Of `J` splits the variance of the mean is taken as :math:`(1/J + n_{test}/n_{train}) s^2`, since scores of splits
    that overlap vary less from one another than from the truth; `statistics.tests.corrected_resampled_t` is its test.

    Args:
        values: One number per split, shape `(J,)`.
        test_to_train_ratio: Clips (or groups) for testing over those for training; 0 where the split is always the same
            and only the training differs (`seed_interval`).
        level: Nominal coverage.
    Returns:
        The interval; `n_clusters` is the number of splits.
    Raises:
        ValueError: As `seed_interval`, or if the ratio is negative.
    References:
        Inference for the Generalization Error (Nadeau and Bengio, 2003), Machine Learning 52, equation 9.
    Example:
        >>> print(resampled_interval([0.80, 0.82, 0.84], 1 / 3))
        0.82 [0.75, 0.89]
    """
    if not (np.isfinite(test_to_train_ratio) and test_to_train_ratio >= 0):
        raise ValueError(f"expected a test_to_train_ratio of 0 or more, got {test_to_train_ratio}")
    plain = seed_interval(values, level=level)
    if np.isnan(plain.low) or test_to_train_ratio == 0:
        return plain
    half = (plain.high - plain.estimate) * np.sqrt(1.0 + plain.n_clusters * test_to_train_ratio)
    low, high = float(plain.estimate - half), float(plain.estimate + half)
    return Interval(plain.estimate, low, high, "corrected resampled t over splits", plain.n_clusters)


def interval_of_sums(
    columns: NDArray[np.float64],
    statistic: Statistic,
    source_clusters: ArrayLike,
    reference_clusters: ArrayLike | None = None,
    *,
    accelerated: bool = False,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    r"""Interval of any smooth function of sums over clips, or over pairs of clips, that come in clusters.

    - *20 clusters or more*, "cluster bootstrap": percentiles of the resampled statistic at the expanded level
      :math:`\Phi(-\sqrt{n/(n-1)}\; t_{n_e-1,\,1-\alpha/2})`. Plain percentiles are too narrow (92 % for 95 % at 20
      clusters even for normal data), BCa alone no better; the bootstrap-t covers skewed data better, but leaves the
      range of the statistic or has no end where many clusters agree, as they do for accuracies.
      :math:`n_e = (\sum_g W_g)^2 / \sum_g W_g^2`, at least 5, is the number of clusters that unequal sizes leave in
      effect; :math:`W_g` is a cluster's sum of column 0.
    - *5 to 19*, "t over clusters": estimate +- t times the standard error of the delete-one-cluster jackknife,
      :math:`n_e - 1` degrees of freedom; for the mean of clusters of equal size this is exactly the t interval over
      cluster means. For pairs the two jackknife variances are added and that over single cells is taken off, never
      below the larger one.
    - *Fewer*: none. None either where leaving out a cluster never changes the statistic: resampling then says "no
      width", which is not evidence of none.

    Args:
        columns: What is summed, shape `(N, C)`; column 0 is the weight of the item.
        statistic: From sums, shape `(..., C)`, to values, shape `(...)`; NaN where undefined.
        source_clusters: The cluster of each item, shape `(N,)`.
        reference_clusters: For pairs, the cluster on the other side, shape `(N,)`.
        accelerated: Whether the percentiles are moved for bias and skewness (BCa), which ratios to a standard deviation
            need and means do not.
        level: Nominal coverage.
        resamples: Bootstrap resamples.
        seed: Seed of the bootstrap.
    Returns:
        The interval round `statistic(columns.sum(axis=0))`.
    Raises:
        ValueError: If shapes differ, or `level` or `resamples` make no sense.
    References:
        What Teachers Should Know About the Bootstrap (Hesterberg, 2015), The American Statistician 69: expanded
            percentiles.
        Better Bootstrap Confidence Intervals (Efron, 1987): BCa.
        Asymptotic Behavior of a t-Test Robust to Cluster Heterogeneity (Carter, Schnepel and Steigerwald, 2017).
        Robust Inference With Multiway Clustering (Cameron, Gelbach and Miller, 2011).
    Example:
        >>> columns = np.stack([np.ones(6), np.arange(6.0)], axis=1)
        >>> print(interval_of_sums(columns, lambda sums: sums[..., 1] / sums[..., 0], range(6)))
        2.5 [0.537, 4.46]
    """
    _check(level, resamples)
    columns = np.asarray(columns, dtype=np.float64)
    if columns.ndim != 2:
        raise ValueError(f"expected columns of shape (N, C), got {columns.shape}: stack what is summed along axis 1")
    if reference_clusters is None:
        design = OneWay(columns, source_clusters)
    else:
        design = TwoWay(columns, source_clusters, reference_clusters)
    n, suffix = design.n_clusters, design.suffix
    tail, effective = (1 - level) / 2, max(design.effective, T_FROM)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = float(statistic(design.totals))
        if np.isnan(estimate):
            return _none(estimate, "the statistic is undefined", n)
        if n < T_FROM:
            return _none(estimate, f"{n} cluster{'s' * (n > 1)}", n)
        left_out = [statistic(rest) for rest in design.without_one()]
        changes = np.abs(np.concatenate(left_out) - estimate)
        if not changes.size or np.nanmax(changes, initial=0.0) <= 1e-12 * abs(estimate):
            return _none(estimate, "no cluster differs", n)
        if n < BOOTSTRAP_FROM:
            variance = design.variance([_jackknife(estimate, rest) for rest in left_out])
            if not np.isfinite(variance):
                return _none(estimate, "undefined without one of the clusters", n)
            half = stats.t.isf(tail, effective - 1) * np.sqrt(variance)
            return Interval(estimate, float(estimate - half), float(estimate + half), "t over clusters" + suffix, n)
        rng = np.random.default_rng(seed)
        rows = max(1, CELLS // design.widest)
        if reference_clusters is None and resamples * n <= 2 * CELLS:
            resampled = statistic(remembered_draws(seed, n, resamples) @ design.sums)
        else:
            sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]
            resampled = np.concatenate([statistic(design.resample(rng, size)) for size in sizes])
    defined = np.isfinite(resampled)
    if 1 - defined.mean() > tail:
        return _none(estimate, f"undefined in {1 - defined.mean():.0%} of the resamples", n)
    expanded = stats.norm.sf(np.sqrt(n / (n - 1)) * stats.t.isf(tail, effective - 1))
    levels = np.array([expanded, 1 - expanded])
    if accelerated:
        levels = _accelerate(levels, estimate, resampled[defined], np.concatenate(design.sides(left_out)))
    low, high = np.quantile(resampled[defined], levels)
    return Interval(estimate, float(low), float(high), "cluster bootstrap" + suffix, n)


def _ratio(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    return totals[..., 1] / totals[..., 0]


def _jackknife(estimate: float, left_out: NDArray[np.float64]) -> float:
    n = left_out.size
    return float((n - 1) / n * ((left_out - estimate) ** 2).sum())


def _accelerate(
    levels: NDArray[np.float64], estimate: float, resampled: NDArray[np.float64], left_out: NDArray[np.float64]
) -> NDArray[np.float64]:
    below = ((resampled < estimate).sum() + 0.5 * (resampled == estimate).sum() + 0.5) / (resampled.size + 1)
    bias = stats.norm.ppf(below)
    influence = estimate - left_out[np.isfinite(left_out)]
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    shifted = bias + stats.norm.ppf(levels)
    return stats.norm.cdf(bias + shifted / np.maximum(1 - acceleration * shifted, 0.1))


def _none(estimate: float, why: str, n: int) -> Interval:
    return Interval(estimate, float("nan"), float("nan"), f"none: {why}", n)


def _check(level: float, resamples: int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"expected a level between 0 and 1, got {level}: write 0.95 for 95 %")
    if resamples < 1:
        raise ValueError(f"expected at least one resample, got {resamples}: use 2000 or more for a 95 % interval")


def _weighted(
    values: ArrayLike, source: ArrayLike, reference: ArrayLike | None, weights: ArrayLike | None
) -> tuple[NDArray, NDArray, NDArray | None, NDArray]:
    values = vector(values, "values")
    source = codes(source, "clusters", values.size)
    if weights is None:
        weights = np.ones(values.size)
    else:
        weights = vector(weights, "weights", values.size)
        if (weights < 0).any() or not weights.any():
            raise ValueError("expected weights that are not negative and not all 0: leave out items by weight 0")
    kept = weights > 0
    if reference is not None:
        reference = codes(reference, "reference clusters", values.size)
        reference = reference[0][reference[1]][kept]
    return values[kept], source[0][source[1]][kept], reference, weights[kept]
