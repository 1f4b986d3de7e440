"""Linear decoding: discriminant analysis with a ridge, in closed form for all folds and permutations at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from audiointerp.probes.designs import Split


def ridge_predict(
    scores: np.ndarray, labels: np.ndarray, splits: Sequence[Split], penalty: float = 1.0, batch: int = 64
) -> np.ndarray:
    r"""Predicts test rows: the class whose mean is nearest, measured by the spread within classes.

    That is linear discriminant analysis with equal priors, its covariance within classes :math:`W` regularised by
    :math:`\lambda D / n`; for two equally frequent classes it is ridge regression onto their labels with the penalty
    :math:`\lambda D`. (Plain regression onto indicators, however scaled, reads classes that lie between others or are
    rare wrongly.) Only the total covariance :math:`T = W + M \Pi M^T` of the standardised rows is inverted, once for
    all labellings: :math:`W^{-1} M = T^{-1} M (1 - \Pi M^T T^{-1} M)^{-1}` with class means M and class shares
    :math:`\Pi`.

    Args:
        scores: Reduced activations, shape `(N, D)`.
        labels: Integer labels from 0, shape `(N,)`, or `(P, N)` for many labellings at once.
        splits: Splits whose test rows do not overlap.
        penalty: Ridge penalty :math:`\lambda` in units of the number of features.
        batch: Labellings solved for at once; bounds memory.
    Returns:
        Predicted labels, shape as `labels`; -1 for rows that no split tests.
    References:
        The Elements of Statistical Learning (Hastie, Tibshirani and Friedman, 2009), sections 4.2 (masking) and 4.3.
    """
    labels = np.asarray(labels)
    many = np.atleast_2d(labels)
    classes = int(many.max()) + 1
    predicted = np.full(many.shape, -1, dtype=np.int16)
    for split in splits:
        train = scores[split.train].astype(np.float64)
        mean, scale = train.mean(0), train.std(0)
        # A column that does not vary in training may still have a spread of the order of rounding.
        scale[scale <= 1e-9 * np.abs(train).max(0)] = np.inf
        train = (train - mean) / scale
        test = ((scores[split.test] - mean) / scale).astype(np.float32)
        total = train.T @ train / len(train)
        total[np.diag_indices_from(total)] += penalty * len(total) / len(train)
        inverse = cho_solve(cho_factor(total), np.eye(len(total)))
        for start in range(0, len(many), batch):
            weights, offset = _discriminants(train, many[start : start + batch][:, split.train], classes, inverse)
            response = test @ weights.reshape(-1, weights.shape[-1]).T.astype(np.float32)
            response = response.reshape(len(test), -1, classes) + offset.astype(np.float32)
            predicted[start : start + batch, split.test] = response.argmax(-1).T
    return predicted.reshape(labels.shape)


class FoldedRidge:
    """What `ridge_predict` gives, for many splits whose training rows are whole folds: their moments are added up.

    Args:
        scores: Reduced activations, shape `(N, D)`.
        labels: Integer labels from 0, shape `(N,)`; those of rows without a fold may be anything.
        folds: Fold of each row, -1 for rows that are not used, shape `(N,)`.
        penalty: Ridge penalty in units of D.
    """

    def __init__(self, scores: np.ndarray, labels: np.ndarray, folds: np.ndarray, penalty: float = 1.0) -> None:
        used = folds >= 0
        self.centre = scores[used].mean(0, dtype=np.float64)
        self.scores, self.penalty = scores, penalty
        self.classes = int(labels[used].max()) + 1
        size, width = int(folds.max()) + 1, scores.shape[1]
        self.counts, self.sums = np.zeros((size, self.classes)), np.zeros((size, self.classes, width))
        self.squares = np.zeros((size, width, width))
        for fold in np.unique(folds[used]):
            rows = np.flatnonzero(folds == fold)
            values = scores[rows] - self.centre
            hot = (labels[rows] == np.arange(self.classes)[:, None]).astype(np.float64)
            self.counts[fold], self.sums[fold], self.squares[fold] = hot.sum(1), hot @ values, values.T @ values

    def predict(self, train: Sequence[int], test: np.ndarray) -> np.ndarray:
        """Predicts the rows `test` from the folds `train`; labels, shape `(len(test),)`."""
        train = np.asarray(train)
        counts, sums, squares = (part[train].sum(0) for part in (self.counts, self.sums, self.squares))
        n = counts.sum()
        mean = sums.sum(0) / n
        covariance = squares / n - np.outer(mean, mean)
        variance = covariance.diagonal()
        # What rounding leaves of the variance of a constant column is of the order of 1e-16 of its mean square.
        scale = np.sqrt(np.where(variance <= 1e-13 * squares.diagonal() / n, np.inf, variance))
        total = covariance / np.outer(scale, scale)
        np.fill_diagonal(total, np.isfinite(scale) + self.penalty * len(total) / n)
        share = counts / n
        means = np.where(share[:, None] > 0, sums / np.maximum(counts, 1)[:, None] - mean, 0.0) / scale
        inverse = cho_solve(cho_factor(total), np.eye(len(total)))
        weights, offset = _weigh(means[None], share[None], inverse)
        values = (self.scores[test] - self.centre - mean) / scale
        return (values @ weights[0].T + offset[0]).argmax(-1)


def _discriminants(
    train: np.ndarray, labels: np.ndarray, classes: int, inverse: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gives the weights `(P, K, D)` and offsets `(P, K)` of each class of each labelling `(P, n)`."""
    hot = (labels[:, None, :] == np.arange(classes)[:, None]).astype(np.float32)
    share = hot.mean(-1, dtype=np.float64)
    means = (hot.reshape(-1, hot.shape[-1]) @ train.astype(np.float32)).reshape(*share.shape, -1) / hot.shape[-1]
    return _weigh(means / np.where(share > 0, share, 1.0)[..., None], share, inverse)


def _weigh(means: np.ndarray, share: np.ndarray, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gives weights and offsets from class means `(P, K, D)`, shares `(P, K)` and the inverse total covariance."""
    solved = means @ inverse
    overlap = solved @ means.transpose(0, 2, 1)
    weights = np.linalg.solve(np.eye(means.shape[1]) - overlap * share[:, None, :], solved)
    offset = -0.5 * (weights * means).sum(-1)
    return weights, np.where(share > 0, offset, -np.inf)
