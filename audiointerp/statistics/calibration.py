"""How often the tests and intervals of this package are wrong, measured on simulated clips that come in clusters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audiointerp.statistics.effects import d_z_interval
from audiointerp.statistics.intervals import (
    Interval,
    cluster_difference,
    cluster_interval,
    pair_interval,
    seed_interval,
)
from audiointerp.statistics.permutation import max_statistic_p, permutation_p, permuted_labels
from audiointerp.statistics.tests import (
    benjamini_hochberg,
    bonferroni,
    cluster_sign_flip,
    corrected_resampled_t,
    holm,
    independent_t,
    paired_t,
)

PERMUTATIONS = 99
CLIPS = 4
"""Clips per cluster where clusters are of equal size."""


def calibration_table(runs: int = 1000, *, alpha: float = 0.05, resamples: int = 500, seed: int = 0) -> pd.DataFrame:
    """Measures false positives of every test and coverage of every interval: the two tables below one another.

    Args:
        runs: Simulations per row.
        alpha: Nominal share of false positives; intervals are at level `1 - alpha`.
        resamples: Bootstrap resamples per interval.
        seed: Seed of the simulations.
    Returns:
        The rows of `false_positives` and of `coverage`.
    Raises:
        ValueError: If `runs` is less than 1 or `alpha` is not between 0 and 1.
    Example:
        >>> sorted(set(calibration_table(2, resamples=20).measure))
        ['coverage', 'false positives']
    """
    parts = false_positives(runs, alpha=alpha, seed=seed), coverage(runs, alpha=alpha, resamples=resamples, seed=seed)
    return pd.concat(parts, ignore_index=True)


def false_positives(runs: int = 1000, *, alpha: float = 0.05, seed: int = 0) -> pd.DataFrame:
    """Measures how often each test finds something at `alpha` where there is nothing.

    Half of the variance of a clip is its cluster's. Rows with `valid` False break the test's assumptions on purpose
    (clips counted as if they were independent, folds as if they shared no training data) and show what that costs.

    Args:
        runs: Simulations per row.
        alpha: Nominal share of false positives.
        seed: Seed of the simulations.
    Returns:
        Columns `test`, `setting`, `measure`, `valid`, `nominal`, `observed`, `standard_error` (of `observed`, at the
        nominal share) and `runs`. For corrections and the maximum statistic a run counts if any of its tests is
        significant.
    Raises:
        ValueError: If `runs` is less than 1 or `alpha` is not between 0 and 1.
    Example:
        >>> false_positives(2).columns.tolist()[:4]
        ['test', 'setting', 'measure', 'valid']
    """
    _check(runs, alpha)

    def clips(rng: np.random.Generator, n: int) -> tuple[NDArray, NDArray]:
        clusters = np.repeat(np.arange(n), CLIPS)
        return rng.normal(size=n)[clusters] + rng.normal(size=clusters.size), clusters

    def means(rng: np.random.Generator, n: int) -> NDArray:
        return clips(rng, n)[0].reshape(n, CLIPS).mean(axis=1)

    def folds(rng: np.random.Generator) -> NDArray:
        # Two models read one feature each; the features are equally good, so neither model is better.
        groups, n_folds, held_out = 20, 10, 4
        x = rng.normal(size=(groups, 1, 2)) + rng.normal(size=(groups, CLIPS, 2))
        y = x.sum(axis=2) + rng.normal(size=(groups, 1)) + rng.normal(size=(groups, CLIPS))
        order = rng.permuted(np.tile(np.arange(groups), (n_folds, 1)), axis=1)
        test, train = order[:, :held_out], order[:, held_out:]
        slope = (x[train] * y[train][..., None]).sum(axis=(1, 2)) / (x[train] ** 2).sum(axis=(1, 2))
        loss = ((y[test][..., None] - slope[:, None, None] * x[test]) ** 2).mean(axis=(1, 2))
        return loss[:, 0] - loss[:, 1]

    def decoding(rng: np.random.Generator, scheme: str) -> tuple[NDArray, NDArray]:
        # Five features of clashing spread, the label unrelated to all of them, as are the groups' own means.
        n = 16
        clusters = np.repeat(np.arange(n), CLIPS)
        features = (rng.normal(size=(n, 5))[clusters] + rng.normal(size=(n * CLIPS, 5))) * 10.0 ** np.arange(5)
        if scheme == "within":
            labels, groups = np.tile([0, 1], clusters.size // 2), clusters
        else:
            labels = rng.permutation(np.arange(n) % 2)[clusters]
            groups = clusters if scheme == "groups" else np.zeros_like(clusters)
        null = permuted_labels(labels, groups, n=PERMUTATIONS, seed=int(rng.integers(2**32))).labels
        features = features - features.mean(axis=0)
        return np.abs((2 * labels - 1) @ features), np.abs((2 * null - 1) @ features)

    def p_values(rng: np.random.Generator) -> NDArray:
        return np.array([paired_t(means(rng, 8), np.zeros(8)).p for _ in range(5)])

    cases: list[tuple[str, str, bool, Callable[[np.random.Generator], float]]] = [
        ("paired t", "means of 12 clusters", True, lambda rng: paired_t(means(rng, 12), means(rng, 12)).p),
        ("paired t", "clips of 12 clusters", False, lambda rng: paired_t(clips(rng, 12)[0], clips(rng, 12)[0]).p),
        (
            "independent t (Welch)",
            "means of 6 and 12 clusters",
            True,
            lambda rng: independent_t(means(rng, 6), 3 * means(rng, 12)).p,
        ),
        (
            "independent t",
            "means of 8 and 8 clusters",
            True,
            lambda rng: independent_t(means(rng, 8), means(rng, 8), equal_variance=True).p,
        ),
        (
            "independent t (Welch)",
            "clips of 8 and 8 clusters",
            False,
            lambda rng: independent_t(clips(rng, 8)[0], clips(rng, 8)[0]).p,
        ),
        (
            "corrected resampled t",
            "10 random splits of 20 groups, a fifth held out",
            True,
            lambda rng: corrected_resampled_t(folds(rng), 1 / 4).p,
        ),
        (
            "paired t",
            "10 random splits of 20 groups, a fifth held out",
            False,
            lambda rng: paired_t(folds(rng), np.zeros(10)).p,
        ),
        ("cluster sign flip", "10 clusters, exact", True, lambda rng: cluster_sign_flip(*clips(rng, 10)).p),
        (
            "cluster sign flip",
            "30 clusters, 199 drawn",
            True,
            lambda rng: cluster_sign_flip(*clips(rng, 30), n=199, seed=int(rng.integers(2**32))).p,
        ),
        ("permutation", "over 16 whole groups", True, lambda rng: permutation_p(*decoding(rng, "groups"))[0]),
        ("permutation", "within 16 groups", True, lambda rng: permutation_p(*decoding(rng, "within"))[0]),
        ("permutation", "over clips of 16 groups", False, lambda rng: permutation_p(*decoding(rng, "clips"))[0]),
        (
            "maximum statistic",
            "5 features, over 16 whole groups",
            True,
            lambda rng: max_statistic_p(*decoding(rng, "groups")).min(),
        ),
        (
            "maximum statistic",
            "5 features, within 16 groups",
            True,
            lambda rng: max_statistic_p(*decoding(rng, "within")).min(),
        ),
        (
            "permutation",
            "5 features, uncorrected, over 16 whole groups",
            False,
            lambda rng: permutation_p(*decoding(rng, "groups")).min(),
        ),
        ("Bonferroni", "5 tests", True, lambda rng: bonferroni(p_values(rng)).min()),
        ("Holm", "5 tests", True, lambda rng: holm(p_values(rng)).min()),
        ("Benjamini-Hochberg", "5 tests, all null", True, lambda rng: benjamini_hochberg(p_values(rng)).min()),
    ]
    rows = []
    for index, (test, setting, valid, simulate) in enumerate(cases):
        rng = np.random.default_rng([seed, 0, index])
        hits = np.mean([simulate(rng) <= alpha for _ in range(runs)])
        rows.append(_row(test, setting, "false positives", valid, alpha, hits, runs))
    return pd.DataFrame(rows)


def coverage(runs: int = 1000, *, alpha: float = 0.05, resamples: int = 500, seed: int = 0) -> pd.DataFrame:
    """Measures how often each interval at level `1 - alpha` holds the planted value.

    Half of the variance of a clip is its cluster's, unless the setting says otherwise. Rows with `valid` False ignore
    the clusters.

    Args:
        runs: Simulations per row.
        alpha: One minus the level.
        resamples: Bootstrap resamples per interval.
        seed: Seed of the simulations.
    Returns:
        Columns as in `false_positives`; simulations that gave no interval (nothing varied) are not counted in `runs`.
    Raises:
        ValueError: If `runs` is less than 1 or `alpha` is not between 0 and 1.
    Example:
        >>> coverage(1, resamples=20).measure.unique().tolist()
        ['coverage']
    """
    _check(runs, alpha)
    level = 1 - alpha

    def clusters_of(rng: np.random.Generator, n: int, unequal: bool) -> NDArray:
        return np.repeat(np.arange(n), 1 + rng.geometric(0.1, n) if unequal else CLIPS)

    def normal(rng: np.random.Generator, n: int, unequal: bool = False) -> tuple[NDArray, NDArray]:
        clusters = clusters_of(rng, n, unequal)
        return 0.5 + (rng.normal(size=n)[clusters] + rng.normal(size=clusters.size)) / np.sqrt(2), clusters

    def accuracy(rng: np.random.Generator, n: int) -> tuple[NDArray, NDArray]:
        clusters = clusters_of(rng, n, True)
        return (rng.random(clusters.size) < rng.beta(2.4, 0.6, n)[clusters]).astype(float), clusters

    def skewed(rng: np.random.Generator, n: int) -> tuple[NDArray, NDArray]:
        clusters = clusters_of(rng, n, False)
        return rng.exponential(size=n)[clusters] + 0.3 * rng.normal(size=clusters.size), clusters

    def pairs(rng: np.random.Generator, n: int, shared: bool = False) -> tuple[NDArray, NDArray, NDArray]:
        source, reference = np.repeat(np.arange(n), CLIPS), rng.integers(0, n, CLIPS * n)
        reference = np.where(source == reference, (reference + 1) % n, reference)
        as_source = rng.normal(size=n)
        as_reference = as_source if shared else rng.normal(size=n)
        variance = 3.0
        values = 0.5 + (as_source[source] + as_reference[reference] + rng.normal(size=source.size)) / np.sqrt(variance)
        return values, source, reference if shared else reference + n

    def difference(rng: np.random.Generator, n: int) -> Interval:
        right, clusters = normal(rng, n)
        return cluster_difference(right + rng.normal(size=right.size), right - 0.5, clusters, **keywords)

    keywords = {"level": level, "resamples": resamples}
    cases: list[tuple[str, str, bool, float, Callable[[np.random.Generator], Interval]]] = [
        (
            "mean over seeds",
            "5 seeds",
            True,
            0.5,
            lambda rng: seed_interval(0.5 + rng.normal(size=5), level=level),
        )
    ]

    def add(name: str, setting: str, truth: float, simulate: Callable[..., Interval], *sizes: int) -> None:
        for n in sizes:
            cases.append((name, f"{setting}, {n} clusters", True, truth, lambda rng, n=n: simulate(rng, n)))

    add(
        "cluster interval",
        "equal sizes",
        0.5,
        lambda rng, n: cluster_interval(*normal(rng, n), **keywords),
        5,
        10,
        20,
        40,
    )
    add(
        "cluster interval",
        "unequal sizes",
        0.5,
        lambda rng, n: cluster_interval(*normal(rng, n, True), **keywords),
        10,
        20,
        40,
    )
    add(
        "cluster interval",
        "accuracy .8, unequal sizes",
        0.8,
        lambda rng, n: cluster_interval(*accuracy(rng, n), **keywords),
        10,
        20,
        40,
    )
    add(
        "cluster interval",
        "skewed (exponential)",
        1.0,
        lambda rng, n: cluster_interval(*skewed(rng, n), **keywords),
        10,
        20,
        40,
    )
    add("cluster difference", "clip noise only", 0.5, difference, 20)
    add(
        "pair interval",
        "source, reference and noise alike",
        0.5,
        lambda rng, n: pair_interval(*pairs(rng, n), **keywords),
        10,
        20,
    )
    add(
        "pair interval",
        "one set of groups on both sides",
        0.5,
        lambda rng, n: pair_interval(*pairs(rng, n, True), **keywords),
        10,
        20,
    )
    add("d_z interval", "d_z .5", 0.5, lambda rng, n: d_z_interval(*normal(rng, n), **keywords), 10, 20, 40)
    add(
        "d_z interval",
        "d_z 1.5",
        1.5,
        lambda rng, n: d_z_interval(normal(rng, n)[0] + 1, np.repeat(np.arange(n), CLIPS), **keywords),
        20,
    )
    add("d_z interval", "pairs, d_z .5", 0.5, lambda rng, n: d_z_interval(*pairs(rng, n), **keywords), 10, 20)

    cases.append(
        (
            "cluster interval",
            "clips of 20 clusters taken for clusters",
            False,
            0.5,
            lambda rng: cluster_interval(normal(rng, 20)[0], np.arange(20 * CLIPS), **keywords),
        )
    )
    rows = []
    for index, (test, setting, valid, truth, simulate) in enumerate(cases):
        rng = np.random.default_rng([seed, 1, index])
        intervals = [simulate(rng) for _ in range(runs)]
        held = [interval.low <= truth <= interval.high for interval in intervals if not np.isnan(interval.low)]
        share = np.mean(held) if held else np.nan
        rows.append(_row(test, setting, "coverage", valid, level, share, len(held)))
    return pd.DataFrame(rows)


def _row(test: str, setting: str, measure: str, valid: bool, nominal: float, observed: float, runs: int) -> dict:
    error = np.sqrt(nominal * (1 - nominal) / runs) if runs else np.nan
    return {
        "test": test,
        "setting": setting,
        "measure": measure,
        "valid": valid,
        "nominal": nominal,
        "observed": float(observed),
        "standard_error": float(error),
        "runs": runs,
    }


def _check(runs: int, alpha: float) -> None:
    if runs < 1:
        raise ValueError(f"expected at least one run, got {runs}: use 1000 or more for a table")
    if not 0 < alpha < 1:
        raise ValueError(f"expected alpha between 0 and 1, got {alpha}: write 0.05 for 5 %")
