"""Tests of differences, paired or not, by fold or by cluster, all two-sided; and corrections for several tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from audiointerp.statistics.clusters import CELLS, codes, sums, vector

EXACT_UP_TO = 16


@dataclass(frozen=True)
class TestResult:
    """What a test gave.

    Attributes:
        name: The test, in words.
        statistic: Its statistic; its sign is the sign of the difference.
        df: Degrees of freedom; NaN for a test that has none.
        p: Two-sided p value, uncorrected; NaN where nothing varies, so that nothing can be tested.
        n: How many units (folds, clusters, pairs, values) it rests on.
    """

    __test__: ClassVar[bool] = False

    name: str
    statistic: float
    df: float
    p: float
    n: int


def corrected_resampled_t(differences_by_fold: ArrayLike, test_to_train_ratio: float) -> TestResult:
    r"""Tests the mean difference of two models over resampled or cross-validated folds.

    Folds share training data, so their scores are correlated and the plain t test finds differences where there are
    none. With `J` folds, :math:`t = \bar d / \sqrt{(1/J + n_{test}/n_{train})\, s^2}`, `J - 1` degrees of freedom.

    Args:
        differences_by_fold: Score of one model minus that of the other, one per fold, shape `(J,)`.
        test_to_train_ratio: Clips (or groups) for testing over those for training: 1 / (K - 1) for K folds.
    Returns:
        The test; `n` is the number of folds.
    Raises:
        ValueError: If there are fewer than two folds or the ratio is not positive.
    References:
        Inference for the Generalization Error (Nadeau and Bengio, 2003), Machine Learning 52, equation 9.
    Example:
        >>> result = corrected_resampled_t([0.1, 0.3, 0.2, 0.2], 1 / 3)
        >>> round(result.statistic, 3), round(result.p, 3)
        (3.207, 0.049)
    """
    differences = _at_least_two(differences_by_fold, "differences by fold")
    if not (np.isfinite(test_to_train_ratio) and test_to_train_ratio > 0):
        raise ValueError(
            f"expected a positive test_to_train_ratio, got {test_to_train_ratio}: pass clips for testing over clips "
            "for training"
        )
    n = differences.size
    error = np.sqrt((1 / n + test_to_train_ratio) * _variance(differences))
    return _t("corrected resampled t", differences.mean(), error, n - 1, n)


def independent_t(a: ArrayLike, b: ArrayLike, *, equal_variance: bool = False) -> TestResult:
    """Tests the difference of two means of independent values, by default without assuming equal variances (Welch).

    Args:
        a: Independent values, one per unit, shape `(N,)`; clips of one cluster are not independent.
        b: The other sample, shape `(M,)`.
        equal_variance: Whether to pool the variances, as in Student's form.
    Returns:
        The test of mean of `a` minus mean of `b`; `n` is `N + M`.
    Raises:
        ValueError: If a sample has fewer than two values or one that is not finite.
    Example:
        >>> independent_t([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]).p
        1.0
    """
    a, b = _at_least_two(a, "values of a"), _at_least_two(b, "values of b")
    parts = _variance(a) / a.size, _variance(b) / b.size
    if equal_variance:
        df = float(a.size + b.size - 2)
        pooled = ((a.size - 1) * _variance(a) + (b.size - 1) * _variance(b)) / df
        error = np.sqrt(pooled * (1 / a.size + 1 / b.size))
    else:
        error = np.sqrt(sum(parts))
        spread = parts[0] ** 2 / (a.size - 1) + parts[1] ** 2 / (b.size - 1)
        df = float(sum(parts) ** 2 / spread) if spread > 0 else float("nan")
    name = "independent t" if equal_variance else "independent t (Welch)"
    return _t(name, a.mean() - b.mean(), error, df, a.size + b.size)


def paired_t(a: ArrayLike, b: ArrayLike) -> TestResult:
    """Tests the mean of `a - b` over independent pairs.

    Args:
        a: One value per pair, shape `(N,)`; pairs of one cluster are not independent (see `cluster_sign_flip`).
        b: The other value of each pair, shape `(N,)`.
    Returns:
        The test; `n` is the number of pairs.
    Raises:
        ValueError: If there are fewer than two pairs, shapes differ, or a value is not finite.
    Example:
        >>> paired_t([2.0, 3.0, 5.0], [1.0, 1.0, 2.0]).df
        2.0
    """
    a = _at_least_two(a, "values of a")
    differences = a - vector(b, "values of b", a.size)
    n = differences.size
    return _t("paired t", differences.mean(), np.sqrt(_variance(differences) / n), n - 1, n)


def cluster_sign_flip(differences: ArrayLike, clusters: ArrayLike, *, n: int = 9999, seed: int = 0) -> TestResult:
    r"""Tests the mean of paired differences by flipping the signs of whole clusters.

    Under the null a cluster's differences are as likely as their negatives. Up to 16 clusters that are not 0 all flips
    are enumerated (smallest p: 2 / 2^clusters); beyond, `n` are drawn and :math:`p = (1 + hits) / (n + 1)`.

    Args:
        differences: One difference per clip, shape `(N,)`.
        clusters: The cluster of each clip, shape `(N,)`.
        n: How many flips are drawn where they are not enumerated.
        seed: Seed of the flips.
    Returns:
        The test; its statistic is the mean difference over clips, its `n` the number of clusters.
    Raises:
        ValueError: If shapes differ, a difference is not finite, or `n` is less than 1.
    Example:
        >>> cluster_sign_flip([1.0, 1.0, 2.0, 3.0], ["a", "a", "b", "c"]).p
        0.25
    """
    if n < 1:
        raise ValueError(f"expected at least one flip, got n={n}: use 999 or more")
    differences = vector(differences, "differences")
    distinct, code = codes(clusters, "clusters", differences.size)
    totals = sums(differences[:, None], code, len(distinct))[:, 0]
    observed, slack = abs(totals.sum()), 1e-9 * np.abs(totals).sum()
    moving = totals[totals != 0]
    if moving.size <= EXACT_UP_TO:
        flipped = np.zeros(1)
        for total in moving:
            flipped = np.concatenate([flipped + total, flipped - total])
        p = float((np.abs(flipped) >= observed - slack).mean())
        name = "cluster sign flip (exact)"
    else:
        rng = np.random.default_rng(seed)
        rows, hits = max(1, CELLS // moving.size), 0
        for start in range(0, n, rows):
            signs = rng.integers(0, 2, size=(min(rows, n - start), moving.size), dtype=np.int8)
            flipped = 2 * (signs @ moving) - moving.sum()
            hits += int((np.abs(flipped) >= observed - slack).sum())
        p = (1 + hits) / (n + 1)
        name = f"cluster sign flip ({n} drawn)"
    return TestResult(name, float(differences.mean()), float("nan"), p, len(distinct))


def bonferroni(p: ArrayLike) -> NDArray[np.float64]:
    """Corrects p values for their number, whatever their dependence; NaN means not tested, is kept and not counted.

    Args:
        p: Uncorrected p values, any shape.
    Returns:
        Corrected p values, same shape.
    Raises:
        ValueError: If a p value lies outside [0, 1].
    Example:
        >>> bonferroni([0.01, 0.5]).tolist()
        [0.02, 1.0]
    """
    p, tested = _p_values(p)
    return np.minimum(p * tested.sum(), 1.0)


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Corrects p values as `bonferroni`, stepping down: never larger, valid under the same conditions.

    Args:
        p: Uncorrected p values, any shape; NaN means not tested, is kept and not counted.
    Returns:
        Corrected p values, same shape.
    Raises:
        ValueError: If a p value lies outside [0, 1].
    References:
        A Simple Sequentially Rejective Multiple Test Procedure (Holm, 1979).
    Example:
        >>> holm([0.01, 0.5, 0.02]).tolist()
        [0.03, 0.5, 0.04]
    """
    p, tested = _p_values(p)
    ordered, order = np.sort(p[tested]), np.argsort(p[tested])
    stepped = np.maximum.accumulate(ordered * np.arange(ordered.size, 0, -1))
    return _back(p, tested, order, stepped)


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Corrects p values so that a threshold on them bounds the false discovery rate.

    Valid for tests that are independent or positively dependent.

    Args:
        p: Uncorrected p values, any shape; NaN means not tested, is kept and not counted.
    Returns:
        Corrected p values, same shape.
    Raises:
        ValueError: If a p value lies outside [0, 1].
    References:
        Controlling the False Discovery Rate (Benjamini and Hochberg, 1995).
    Example:
        >>> benjamini_hochberg([0.01, 0.5, 0.02]).tolist()
        [0.03, 0.5, 0.03]
    """
    p, tested = _p_values(p)
    ordered, order = np.sort(p[tested]), np.argsort(p[tested])
    ranked = ordered * ordered.size / np.arange(1, ordered.size + 1)
    return _back(p, tested, order, np.minimum.accumulate(ranked[::-1])[::-1])


def _at_least_two(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = vector(values, name)
    if array.size < 2:
        raise ValueError(f"expected at least two {name}, got {array.size}: one alone has no spread to test against")
    return array


def _variance(values: NDArray[np.float64]) -> float:
    # Equal values have no variance; the rounding of their mean must not pretend otherwise.
    return 0.0 if np.ptp(values) <= 1e-12 * np.abs(values).max() else float(values.var(ddof=1))


def _t(name: str, difference: float, error: float, df: float, n: int) -> TestResult:
    if not error > 0:
        return TestResult(name, float("nan"), float(df), float("nan"), n)
    statistic = float(difference / error)
    return TestResult(name, statistic, float(df), float(2 * stats.t.sf(abs(statistic), df)), n)


def _p_values(p: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    p = np.asarray(p, dtype=np.float64)
    tested = ~np.isnan(p)
    if ((p[tested] < 0) | (p[tested] > 1)).any():
        raise ValueError(f"expected p values in [0, 1], got {np.nanmin(p)} to {np.nanmax(p)}: pass p, not statistics")
    return p, tested


def _back(
    p: NDArray[np.float64], tested: NDArray[np.bool_], order: NDArray[np.intp], stepped: NDArray[np.float64]
) -> NDArray[np.float64]:
    inner = np.empty(order.size)
    inner[order] = np.minimum(stepped, 1.0)
    corrected = p.copy()
    corrected[tested] = inner
    return corrected
