"""Metrics made of predictors: SAP, one code at a time, and explicitness, a linear classifier of all codes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audiointerp.disentangle.metrics.inputs import (
    Kinds,
    classes_of,
    halves,
    kinds_of,
    levels,
    pair,
    published,
    unit,
    varying,
)
from audiointerp.study import stream


def sap_scores(
    *, factors: ArrayLike, codes: ArrayLike, kinds: Kinds = None, protocol: str = "corrected", seed: int = 0
) -> NDArray[np.float64]:
    """Gives how well each code alone predicts each factor, shape `(F, D)`; arguments as `sap`."""
    factors, codes = pair(factors, codes)
    in_sample = published(protocol)
    kinds = kinds_of(kinds, factors.shape[1])
    scores = _squared_correlation(factors, codes)
    for row, kind in enumerate(kinds):
        if kind == "categorical":
            classes = classes_of(factors[:, row], row)
            columns = unit(codes)
            if in_sample:
                scores[row] = [_published_tree(column[:, None], classes) for column in columns.T]
            else:
                train, test = halves(classes, stream(seed, "sap", row))
                scores[row] = [_tree(column[:, None], classes, train, test) for column in columns.T]
    return scores


def sap(
    *, factors: ArrayLike, codes: ArrayLike, kinds: Kinds = None, protocol: str = "corrected", seed: int = 0
) -> float:
    r"""Separated attribute predictability: does one code alone predict each factor?

    .. math:: \frac1F \sum_f \big[\max_c S_{fc} - \text{second}_c S_{fc}\big]

    For an ordered factor S is the R^2 of a straight line through one code. For a categorical factor it is the
    class-balanced accuracy of a decision tree on one code, fitted on one half of the rows and judged on the other; a
    line through the numbers of classes would depend on their order. The published protocol judges trees on the rows
    that they were fitted on, their depth (1 to 9) chosen by ten folds, and does not balance classes; it is slow.

    Args:
        factors: Known factors, shape `(N, F)`; one that does not vary counts 0.
        codes: Codes, shape `(N, D)`; with one code only, nothing is subtracted.
        kinds: `ordered` or `categorical`, for all or per factor; None: all ordered.
        protocol: `corrected` or `published`, for categorical factors.
        seed: Seed of the halves.
    Returns:
        A score in [0, 1].
    Raises:
        ValueError: If shapes differ, a value is not finite, an option is unknown, or a categorical factor has more
            levels than a quarter of the rows.
    References:
        Variational Inference of Disentangled Latent Concepts from Unlabeled Observations (Kumar, Sattigeri and
        Balakrishnan, 2018), section 3.
    Example:
        >>> sap(factors=[[0], [0], [1], [1]], codes=[[0, 0], [0, 1], [1, 0], [1, 1]])
        1.0
    """
    scores = sap_scores(factors=factors, codes=codes, kinds=kinds, protocol=protocol, seed=seed)
    if scores.shape[1] == 1:
        return float(scores.mean())
    ordered = np.sort(scores, axis=1)
    return float((ordered[:, -1] - ordered[:, -2]).mean())


def _squared_correlation(factors: NDArray[np.float64], codes: NDArray[np.float64]) -> NDArray[np.float64]:
    def normalised(values: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = values - values.mean(axis=0)
        varies = varying(values)
        norm = np.sqrt(np.einsum("nc,nc->c", centred, centred))
        return centred * (varies / np.where(varies, norm, 1.0))

    squares = (normalised(factors).T @ normalised(codes)) ** 2
    # What two unrelated columns share by rounding alone is no prediction.
    return np.where(squares < 1e-24, 0.0, np.minimum(squares, 1.0))


def balanced_accuracy(classes: NDArray[np.intp], predicted: NDArray[np.intp]) -> float:
    """Gives the mean over classes of the share that was told correctly; chance is one over their number.

    Example:
        >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
        0.5
    """
    counts = np.bincount(classes)
    hits = np.bincount(classes[classes == predicted], minlength=len(counts))
    return float((hits[counts > 0] / counts[counts > 0]).mean())


def _tree(column: NDArray[np.float64], classes: NDArray[np.intp], train: NDArray, test: NDArray) -> float:
    from sklearn.tree import DecisionTreeClassifier

    if not column.any():  # unit scaling made a constant code 0: it tells no class from another
        return 1.0 / len(np.unique(classes))
    leaf = max(1, min(5, int(np.bincount(classes[train]).mean() / 2)))
    depth = min(10, math.ceil(math.log2(len(np.unique(classes)) + 1)) + 3)
    tree = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=leaf, class_weight="balanced", random_state=0)
    tree.fit(column[train], classes[train])
    return balanced_accuracy(classes[test], tree.predict(column[test]))


def _published_tree(column: NDArray[np.float64], classes: NDArray[np.intp]) -> float:
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    # As many folds as the rarest class has rows, ten at most; with fewer than two there is no depth to choose by.
    folds = min(10, int(np.bincount(classes).min()))
    trees = [DecisionTreeClassifier(max_depth=depth, random_state=0) for depth in range(1, 10)]
    best = trees[-1]
    if folds >= 2:
        means = [cross_val_score(tree, column, classes, cv=StratifiedKFold(folds)).mean() for tree in trees]
        best = trees[int(np.argmax(means))]
    return float(best.fit(column, classes).score(column, classes))


def explicitness(
    *,
    factors: ArrayLike,
    codes: ArrayLike,
    bins: int = 10,
    kinds: Kinds = None,
    protocol: str = "corrected",
    normalised: bool = True,
    seed: int = 0,
) -> float:
    r"""Explicitness: can each level of each factor be told from the others by a linear classifier of all codes?

    The area under the ROC curve of one-against-rest logistic regression, averaged over levels and factors and moved
    from [.5, 1] to [0, 1]. Without `normalised`, a level that lies between others along a code cannot be told by one
    linear boundary, and even a perfect code gets about .6; with it, the probabilities of all levels are divided by
    their sum, which makes such levels stand out. Nearly blind to rotations: it asks what can be read, not where.

    Args:
        factors: Known factors, shape `(N, F)`; one that does not vary counts 0.
        codes: Codes, shape `(N, D)`.
        bins: Levels that an ordered factor is cut into.
        kinds: `ordered` or `categorical`, for all or per factor; None: all ordered.
        protocol: `corrected` fits on one half of the rows and judges on the other; `published` does both on all.
        normalised: Whether the probabilities of levels are divided by their sum.
        seed: Seed of the halves.
    Returns:
        A score of at most 1; chance is 0.
    Raises:
        ValueError: If shapes differ, a value is not finite, rows are fewer than bins, or an option is unknown.
    References:
        Learning Deep Disentangled Embeddings with the F-Statistic Loss (Ridgeway and Mozer, 2018), section 3.
    """
    factors, codes = pair(factors, codes, bins=bins)
    in_sample = published(protocol)
    rows, codes = levels(factors, kinds_of(kinds, factors.shape[1]), bins), unit(codes)
    everything = np.arange(len(codes))
    scores = []
    for index, row in enumerate(rows):
        classes = np.unique(row, return_inverse=True)[1].reshape(-1)
        train, test = (everything, everything) if in_sample else halves(classes, stream(seed, "explicitness", index))
        scores.append(_area(codes, classes, train, test, normalised) if classes.any() and codes.any() else 0.5)
    return float(2 * np.mean(scores) - 1)


def _area(
    codes: NDArray[np.float64], classes: NDArray[np.intp], train: NDArray, test: NDArray, normalised: bool
) -> float:
    """Averages the areas under the curves of all levels that the test rows have; .5 where they have one only."""
    from scipy.stats import rankdata
    from sklearn.linear_model import LogisticRegression

    chances = np.empty((len(test), classes.max() + 1))
    for level in range(chances.shape[1]):
        model = LogisticRegression(class_weight="balanced", max_iter=1000)
        chances[:, level] = model.fit(codes[train], classes[train] == level).predict_proba(codes[test])[:, 1]
    if normalised:
        chances /= chances.sum(axis=1, keepdims=True)
    hot = classes[test][:, None] == np.arange(chances.shape[1])
    some = hot.any(axis=0) & ~hot.all(axis=0)
    if not some.any():
        return 0.5
    hot, ranks = hot[:, some], rankdata(chances[:, some], axis=0)
    count = hot.sum(axis=0)
    areas = ((ranks * hot).sum(axis=0) - count * (count + 1) / 2) / (count * (len(test) - count))
    return float(areas.mean())
