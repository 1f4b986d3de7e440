"""Linear decoding: ridge regression onto class indicators, in closed form for all folds and permutations at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from audiointerp.probes.designs import Split


def ridge_predict(
    scores: np.ndarray, labels: np.ndarray, splits: Sequence[Split], penalty: float = 1.0, batch: int = 64
) -> np.ndarray:
    r"""Predicts the test rows of each split by a ridge regression onto indicators divided by their class' share.

    The regression estimates :math:`p(x \mid c) / p(x)`, so that the largest output is the class-balanced choice, as
    in linear discriminant analysis. Rows are standardised by the training rows; the penalty is `penalty * D`.

    Args:
        scores: Reduced activations, shape `(N, D)`.
        labels: Integer labels from 0, shape `(N,)`, or `(P, N)` for many labellings at once.
        splits: Splits whose test rows do not overlap.
        penalty: Ridge penalty in units of the number of features.
        batch: Labellings solved for at once; bounds memory.
    Returns:
        Predicted labels, shape as `labels`; -1 for rows that no split tests.
    """
    labels = np.asarray(labels)
    many = np.atleast_2d(labels)
    classes = int(many.max()) + 1
    predicted = np.full(many.shape, -1, dtype=np.int16)
    for split in splits:
        train = scores[split.train].astype(np.float64)
        mean, scale = train.mean(0), train.std(0)
        scale[scale == 0] = 1.0
        train = (train - mean) / scale
        test = ((scores[split.test] - mean) / scale).astype(np.float32)
        gram = train.T @ train
        gram[np.diag_indices_from(gram)] += penalty * gram.shape[0]
        # (n, D) @ (D, D)^-1 once; each labelling is then one product.
        solved = np.ascontiguousarray(cho_solve(cho_factor(gram), train.T), dtype=np.float32)
        for start in range(0, len(many), batch):
            part = many[start : start + batch][:, split.train]
            targets, offset = _indicators(part, classes)
            weights = (solved @ targets).reshape(solved.shape[0], -1)
            response = (test @ weights).reshape(len(test), len(part), classes) + offset
            predicted[start : start + batch, split.test] = response.argmax(-1).T
    return predicted.reshape(labels.shape)


def _indicators(labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gives centred indicators over share `(n, P * K)` and what makes an absent class never chosen `(P, K)`."""
    hot = (labels.T[:, :, None] == np.arange(classes)).astype(np.float32)
    share = hot.mean(0)
    present = share > 0
    hot /= np.where(present, share, 1.0)
    hot -= present
    return hot.reshape(len(hot), -1), np.where(present, 1.0, -np.inf).astype(np.float32)
