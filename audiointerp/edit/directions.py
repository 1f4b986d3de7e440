"""Edits to compare a method with: class-mean shift, LDA shift, and a random direction of the same norm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassMoments:
    """Means of the classes of one factor and the spread within them, from training sounds.

    Attributes:
        means: Mean of each class, shape `(K, D)`.
        precision: Inverse of the shrunk covariance within classes, shape `(D, D)`.
    """

    means: np.ndarray
    precision: np.ndarray


def class_moments(scores: np.ndarray, labels: np.ndarray, classes: int) -> ClassMoments:
    """Measures class means and the within-class covariance (Ledoit-Wolf shrinkage) of training rows.

    Args:
        scores: Rows, shape `(N, D)`.
        labels: Integer labels, shape `(N,)`.
        classes: Number of classes K.
    Raises:
        ValueError: If a class has no row.
    """
    from sklearn.covariance import ledoit_wolf

    absent = [label for label in range(classes) if not (labels == label).any()]
    if absent:
        raise ValueError(f"expected training sounds of every class, classes {absent} have none: use more sounds")
    means = np.stack([scores[labels == label].mean(0) for label in range(classes)])
    covariance, _ = ledoit_wolf(scores - means[labels], assume_centered=True)
    return ClassMoments(means, np.linalg.pinv(covariance, hermitian=True))


def mean_shift(moments: ClassMoments, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Gives the change from the mean of class `source` to that of class `target`, shape `(n, D)`."""
    return moments.means[target] - moments.means[source]


def lda_shift(moments: ClassMoments, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Gives the least change along the discriminant direction that carries its score from mean to mean, `(n, D)`."""
    between = mean_shift(moments, source, target)
    direction = between @ moments.precision
    length = (direction**2).sum(1, keepdims=True)
    step = (direction * between).sum(1, keepdims=True) / np.where(length > 0, length, 1.0)
    return direction * step


def random_like(changes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gives random directions with the norm of `changes`, row by row, shape `(n, D)`."""
    directions = rng.standard_normal(changes.shape)
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    return directions / norms * np.linalg.norm(changes, axis=1, keepdims=True)
