"""Sample efficiency: how much of what many labels teach about codes a few labels teach already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audiointerp.disentangle.metrics.inputs import Kinds, kinds_of, pair
from audiointerp.disentangle.metrics.predictability import balanced_accuracy
from audiointerp.study import stream


@dataclass(frozen=True)
class SampleEfficiency:
    """What `sample_efficiency` gives.

    Attributes:
        labels: Numbers of labels, the last being all training rows.
        scores: R^2 (ordered) or class-balanced accuracy (categorical) on test rows, shape `(F, len(labels))`.
        ratio: Scores from few labels over those from all, mean over factors, shape `(len(labels) - 1,)`; NaN where a
            factor cannot be predicted from all labels either.
    """

    labels: tuple[int, ...]
    scores: NDArray[np.float64]
    ratio: NDArray[np.float64]


def sample_efficiency(
    *,
    train_factors: ArrayLike,
    train_codes: ArrayLike,
    test_factors: ArrayLike,
    test_codes: ArrayLike,
    labels: Sequence[int] = (100, 1000),
    kinds: Kinds = None,
    model: str = "forest",
    seed: int = 0,
) -> SampleEfficiency:
    """Predicts each factor from codes with few labels and with all.

    Codes that hold one factor each let a forest, whose trees cut one code at a time, learn from few labels; a linear
    model does not see the difference between codes and their rotation.

    Args:
        train_factors: Factors of the training rows, shape `(N, F)`.
        train_codes: Their codes, shape `(N, D)`.
        test_factors: Factors of the test rows, shape `(M, F)`.
        test_codes: Their codes, shape `(M, D)`.
        labels: Numbers of training rows whose labels are used, fewer than N; each draw contains the smaller ones.
        kinds: `ordered` or `categorical`, for all or per factor; None: all ordered.
        model: `forest`, or `linear` (ridge or logistic regression on standardised codes).
        seed: Seed of the draws and forests.
    Raises:
        ValueError: If shapes differ, a value is not finite, a number of labels is below 2 or not below N, or an option
            is unknown.
    References:
        Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations (Locatello et al.,
        2019), section 5.3.
    """
    factors, codes = pair(train_factors, train_codes)
    held_factors, held_codes = pair(test_factors, test_codes)
    if factors.shape[1] != held_factors.shape[1] or codes.shape[1] != held_codes.shape[1]:
        raise ValueError(
            f"expected the same columns in training and test rows, got factors {factors.shape[1]} and "
            f"{held_factors.shape[1]}, codes {codes.shape[1]} and {held_codes.shape[1]}: use one model and one table"
        )
    if model not in ("forest", "linear"):
        raise ValueError(f"expected model forest or linear, got {model!r}: choose one of them")
    few = tuple(sorted(int(count) for count in labels))
    if not few or few[0] < 2 or few[-1] >= len(codes):
        raise ValueError(f"expected numbers of labels from 2 to {len(codes) - 1}, got {list(labels)}: give more rows")
    kinds = kinds_of(kinds, factors.shape[1])
    order = stream(seed, "sample_efficiency").permutation(len(codes))
    counts = (*few, len(codes))
    scores = np.array(
        [
            [
                _score(codes[rows], factors[rows, column], held_codes, held_factors[:, column], kind, model, seed)
                for rows in (order[:count] for count in counts)
            ]
            for column, kind in enumerate(kinds)
        ]
    )
    full = scores[:, -1:]
    shares = np.divide(scores[:, :-1], full, out=np.full(scores[:, :-1].shape, np.nan), where=full > 0)
    return SampleEfficiency(counts, scores, shares.mean(axis=0))


def _score(
    codes: NDArray, target: NDArray, held_codes: NDArray, held_target: NDArray, kind: str, model: str, seed: int
) -> float:
    """Fits and judges one model: R^2, not below 0, or class-balanced accuracy."""
    from sklearn import ensemble, linear_model, pipeline, preprocessing

    if np.ptp(target) == 0 or np.ptp(held_target) == 0:  # one value only: nothing is learnt, nothing can be judged
        return 1.0 / len(np.unique(held_target)) if kind == "categorical" else 0.0
    if kind == "categorical":
        _, both = np.unique(np.concatenate([target, held_target]), return_inverse=True)
        target, held_target = np.split(both.reshape(-1), [len(target)])
        linear, forest = linear_model.LogisticRegression(max_iter=5000), ensemble.RandomForestClassifier
    else:
        linear, forest = linear_model.Ridge(), ensemble.RandomForestRegressor
    if model == "linear":
        fitted = pipeline.make_pipeline(preprocessing.StandardScaler(), linear)
    else:
        fitted = forest(n_estimators=50, max_features=1.0, random_state=seed)
    predicted = fitted.fit(codes, target).predict(held_codes)
    if kind == "categorical":
        return balanced_accuracy(held_target, predicted)
    return max(0.0, float(1.0 - np.mean((predicted - held_target) ** 2) / held_target.var()))
