"""Class-balanced accuracy, as one number and as values per row that add up to it."""

from __future__ import annotations

import numpy as np


def balanced_weights(labels: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """Gives each tested row a weight such that every class counts the same; they sum to 1, others are 0.

    Args:
        labels: Integer labels, shape `(N,)`.
        tested: Which rows were tested, bool, shape `(N,)`.
    """
    weights = np.zeros(len(labels))
    classes, inverse, counts = np.unique(labels[tested], return_inverse=True, return_counts=True)
    weights[tested] = 1.0 / (len(classes) * counts[inverse])
    return weights


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Gives the mean over classes of the share of their rows that is predicted right.

    Args:
        labels: Integer labels from 0, shape `(N,)` or `(P, N)`.
        predicted: Predictions, same shape; -1 marks rows that were not tested.
    Returns:
        Accuracy, a scalar or shape `(P,)`; equal to plain accuracy where classes are equally frequent.
    Example:
        >>> float(balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])).round(4))
        0.8333
    """
    tested = predicted >= 0
    right = tested & (predicted == labels)
    recalls = []
    present = []
    for label in np.unique(labels):
        of_class = tested & (labels == label)
        count = of_class.sum(-1)
        recalls.append((right & of_class).sum(-1) / np.maximum(count, 1))
        present.append(count > 0)
    return np.sum(recalls, axis=0) / np.maximum(np.sum(present, axis=0), 1)
