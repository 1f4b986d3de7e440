"""Metrics made of interventions: what codes do while one factor is held fixed, or all but one (IRS, Z-diff, Z-var)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audiointerp.disentangle.metrics.inputs import Kinds, kinds_of, levels, pair, varying
from audiointerp.study import stream


def irs(*, factors: ArrayLike, codes: ArrayLike, bins: int = 10, kinds: Kinds = None, quantile: float = 1.0) -> float:
    r"""Interventional robustness: does a code stay put while its factor is held fixed and all others change?

    For code c and factor f, the deviation from the mean within a level of f, largest in the level and averaged over
    levels, relative to the largest deviation at all:

    .. math:: \text{IRS}_c = \max_f \Big[1 - \frac{\text{mean}_l \max_{n \in l} |c_n - \bar c_l|}
        {\max_n |c_n - \bar c|}\Big]

    averaged over codes, weighted by their largest deviation: unlike other metrics, this one depends on the scale of
    codes. Chance is far from 0 (.05 to .4), higher the fewer rows a level has.

    Args:
        factors: Known factors, shape `(N, F)`.
        codes: Codes, shape `(N, D)`; those that do not vary are left out, and if none does the score is 0.
        bins: Levels that an ordered factor is cut into.
        kinds: `ordered` or `categorical`, for all or per factor; None: all ordered.
        quantile: The deviation within a level that counts, 1 for the largest as published.
    Returns:
        A score in [0, 1].
    Raises:
        ValueError: If shapes differ, a value is not finite, rows are fewer than bins, a kind is unknown, or the
            quantile lies outside (0, 1].
    References:
        Robustly Disentangled Causal Mechanisms (Suter, Miladinovic, Schoelkopf and Bauer, 2019).
    """
    factors, codes = pair(factors, codes, bins=bins)
    if not 0 < quantile <= 1:
        raise ValueError(f"expected a quantile in (0, 1], got {quantile}: 1 is the published one")
    rows = levels(factors, kinds_of(kinds, factors.shape[1]), bins)
    codes = codes[:, varying(codes)]
    if not codes.shape[1]:
        return 0.0
    largest = np.abs(codes - codes.mean(axis=0)).max(axis=0)
    robust = np.zeros(codes.shape[1])
    for row in rows:
        within = []
        for members in _members(row):
            deviation = np.abs(codes[members] - codes[members].mean(axis=0))
            within.append(deviation.max(axis=0) if quantile == 1 else np.quantile(deviation, quantile, axis=0))
        robust = np.maximum(robust, 1.0 - np.mean(within, axis=0) / largest)
    return float(np.average(robust, weights=largest))


def z_diff(
    *,
    factors: ArrayLike,
    codes: ArrayLike,
    bins: int = 10,
    kinds: Kinds = None,
    batch: int = 200,
    train: int = 2000,
    test: int = 1000,
    seed: int = 0,
) -> float:
    """Z-diff: can a linear classifier tell which factor pairs of sounds share, from how much their codes differ?

    A point is the mean absolute difference of the codes, each scaled to a standard deviation of 1, over a batch of
    pairs that share the level of one factor; multinomial logistic regression tells which. Blind to compactness: a
    rotation within a factor's codes goes unseen, and it saturates early.

    Args:
        factors: Known factors, shape `(N, F)`, two or more.
        codes: Codes, shape `(N, D)`.
        bins: Levels that an ordered factor is cut into.
        kinds: `ordered` or `categorical`, for all or per factor; None: all ordered.
        batch: Pairs per point.
        train: Points that the classifier is fitted on.
        test: Points that it is judged on.
        seed: Seed of what is drawn.
    Returns:
        Accuracy moved so that chance is 0; 1 at best. 0 if no code varies.
    Raises:
        ValueError: If shapes differ, a value is not finite, rows are fewer than bins, factors are fewer than two, a
            number is smaller than 1, or a factor has no level with two rows.
    References:
        beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework (Higgins et al., 2017).
    """
    from sklearn.linear_model import LogisticRegression

    rows, codes = _prepared(factors, codes, bins, kinds, batch=batch, train=train, test=test)
    if not codes.shape[1]:
        return 0.0
    members = [_several(_members(row), f"factor {index}") for index, row in enumerate(rows)]
    rng = stream(seed, "z_diff")
    fixed = rng.integers(len(rows), size=train + test)
    points = np.empty((train + test, codes.shape[1]))
    for factor, groups in enumerate(members):
        places = np.flatnonzero(fixed == factor)
        order, sizes = np.concatenate(groups), np.array([len(group) for group in groups])
        starts = np.cumsum(sizes) - sizes
        for part in np.array_split(places, len(places) * batch // 50_000 + 1):  # bounds memory
            level = rng.integers(len(groups), size=(len(part), batch))
            size = sizes[level]
            first = (rng.random(level.shape) * size).astype(np.intp)
            second = (first + 1 + (rng.random(level.shape) * (size - 1)).astype(np.intp)) % size
            one, other = order[starts[level] + first], order[starts[level] + second]
            points[part] = np.abs(codes[one] - codes[other]).mean(axis=1)
    if len(np.unique(fixed[:train])) < 2:
        raise ValueError(f"expected train points of two factors or more, got one from {train} draws: raise train")
    model = LogisticRegression(max_iter=10_000).fit(points[:train], fixed[:train])
    return _above_chance(model.score(points[train:], fixed[train:]), len(rows))


def z_min_var(
    *,
    factors: ArrayLike,
    codes: ArrayLike,
    bins: int = 10,
    kinds: Kinds = None,
    batch: int = 200,
    train: int = 800,
    test: int = 800,
    least_std: float = 0.05,
    seed: int = 0,
) -> float:
    """Z-min-variance: does the code that varies least while one factor is held fixed tell which factor it is?

    A point is the code with the smallest variance, relative to its variance at all, in a batch of sounds that share the
    level of one factor. Each code votes for the factor that it was found for most often.

    Args:
        factors: Known factors, shape `(N, F)`, two or more.
        codes: Codes, shape `(N, D)`.
        bins: Levels that an ordered factor is cut into.
        kinds: `ordered` or `categorical`, for all or per factor; None: all ordered.
        batch: Sounds per point.
        train: Points that votes are counted in.
        test: Points that votes are judged on.
        least_std: Codes with a smaller standard deviation count as collapsed and are left out.
        seed: Seed of what is drawn.
    Returns:
        Accuracy moved so that chance is 0; 1 at best. 0 if all codes are collapsed.
    Raises:
        ValueError: If shapes differ, a value is not finite, rows are fewer than bins, factors are fewer than two, a
            number is smaller than 1, or a factor has no level with two rows.
    References:
        Disentangling by Factorising (Kim and Mnih, 2018), section 4.
    """
    rows, codes = _prepared(factors, codes, bins, kinds, least_std, batch=batch, train=train, test=test)
    groups = [_several(_members(row), f"factor {index}") for index, row in enumerate(rows)]
    return _votes(codes, groups, np.argmin, batch, train, test, stream(seed, "z_min_var"))


def z_max_var(
    *,
    factors: ArrayLike,
    codes: ArrayLike,
    bins: int = 3,
    kinds: Kinds = None,
    batch: int = 200,
    train: int = 800,
    test: int = 800,
    least_std: float = 0.05,
    seed: int = 0,
) -> float:
    """Z-max-variance: does the code that varies most while all factors but one are held fixed tell which one is free?

    As `z_min_var`, with its arguments and score, but the largest relative variance. A code that holds noise varies as
    much as ever, whatever is fixed, and is taken for the free factor's: with noise in the codes this score falls
    towards 0 however well factors are separated. Few bins, since levels of all other factors must coincide.

    Raises:
        ValueError: As `z_min_var`, and if no two rows coincide in all other factors.
    References:
        Relevance Factor VAE: Learning and Identifying Disentangled Factors (Kim, Wang, Sahu and Pavlovic, 2019).
    """
    rows, codes = _prepared(factors, codes, bins, kinds, least_std, batch=batch, train=train, test=test)
    groups = []
    for free in range(len(rows)):
        cells = np.unique(np.delete(rows, free, axis=0), axis=1, return_inverse=True)[1].reshape(-1)
        groups.append(_several(_members(cells), f"all factors but {free}"))
    return _votes(codes, groups, np.argmax, batch, train, test, stream(seed, "z_max_var"))


def _prepared(
    factors: ArrayLike, codes: ArrayLike, bins: int, kinds: Kinds, least_std: float = 0.0, **numbers: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Gives the levels of factors `(F, N)` and the codes that vary, each with a standard deviation of 1."""
    factors, codes = pair(factors, codes, bins=bins, least_factors=2)
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"expected {name} of 1 or more, got {number}: {name} counts what is drawn")
    rows = levels(factors, kinds_of(kinds, factors.shape[1]), bins)
    spread = codes.std(axis=0, ddof=1)
    active = varying(codes) & (spread >= least_std)
    return rows, (codes[:, active] - codes[:, active].mean(axis=0)) / spread[active]


def _members(labels: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Lists the rows of each level that occurs."""
    counts = np.bincount(labels)
    ends = np.cumsum(counts[counts > 0])[:-1]
    return np.split(np.argsort(labels, kind="stable"), ends)


def _several(groups: Sequence[NDArray[np.intp]], what: str) -> list[NDArray[np.intp]]:
    kept = [group for group in groups if len(group) > 1]
    if not kept:
        raise ValueError(f"expected two rows or more that share a level of {what}, got none: use fewer bins")
    return kept


def _votes(
    codes: NDArray[np.float64],
    groups: Sequence[Sequence[NDArray[np.intp]]],
    choose: np.ufunc,
    batch: int,
    train: int,
    test: int,
    rng: np.random.Generator,
) -> float:
    """Counts which code is chosen for which factor; judges the votes on further points."""
    if not codes.shape[1]:
        return 0.0
    fixed = rng.integers(len(groups), size=train + test)
    chosen = np.empty(train + test, dtype=np.intp)
    for point, factor in enumerate(fixed):
        group = groups[factor][rng.integers(len(groups[factor]))]
        repeats, rest = divmod(max(batch, 2), len(group))
        # Without replacement while rows last: drawing anew would add variance of its own.
        rows = np.concatenate([np.tile(group, repeats), rng.choice(group, rest, replace=False)])
        chosen[point] = choose(codes[rows].var(axis=0))
    counts = np.zeros((codes.shape[1], len(groups)), dtype=np.intp)
    np.add.at(counts, (chosen[:train], fixed[:train]), 1)
    return _above_chance(np.mean(counts.argmax(axis=1)[chosen[train:]] == fixed[train:]), len(groups))


def _above_chance(accuracy: float, classes: int) -> float:
    return float((accuracy - 1 / classes) / (1 - 1 / classes))
