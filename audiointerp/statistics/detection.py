"""Errors of detection and of verification: detection error rate, F1, ROC, equal error rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Roc:
    """Receiver operating characteristic.

    Attributes:
        false_alarms: Share of negatives at or above each threshold, ascending from 0 to 1.
        hits: Share of positives at or above it.
        thresholds: Descending; the first lies above all scores.
    """

    false_alarms: NDArray[np.float64]
    hits: NDArray[np.float64]
    thresholds: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area under the curve: chance is .5."""
        return float(np.sum(np.diff(self.false_alarms) * (self.hits[1:] + self.hits[:-1]) / 2.0))


def roc(labels: ArrayLike, scores: ArrayLike) -> Roc:
    """Hits and false alarms at every threshold.

    Args:
        labels: 0 or 1, shape `(N,)`, both present.
        scores: Higher for 1, shape `(N,)`.
    Raises:
        ValueError: If shapes differ, a label is another, or one is missing.
    """
    labels, scores = _checked(labels, scores)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # equal scores share a threshold
    hits = np.cumsum(labels[order])[last] / labels.sum()
    alarms = np.cumsum(1 - labels[order])[last] / (1 - labels).sum()
    thresholds = np.append(np.inf, scores[order][last])
    return Roc(np.append(0.0, alarms), np.append(0.0, hits), thresholds)


def equal_error_rate(labels: ArrayLike, scores: ArrayLike) -> float:
    """Error where misses and false alarms are equally frequent, on the straight line between thresholds.

    Args:
        labels: 1 for a trial of one speaker, 0 for one of two.
        scores: Similarities.
    Raises:
        ValueError: As `roc`.
    Example:
        >>> equal_error_rate([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
        0.0
    """
    curve = roc(labels, scores)
    gap = curve.false_alarms - (1.0 - curve.hits)
    after = int(np.argmax(gap >= 0))
    if gap[after] == 0 or after == 0:
        return float(curve.false_alarms[after])
    part = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(curve.false_alarms[after - 1] + part * (curve.false_alarms[after] - curve.false_alarms[after - 1]))


def detection_error_rate(labels: ArrayLike, said: ArrayLike) -> float:
    """Missed and falsely alarmed frames over the frames of speech; above 1 where false alarms abound.

    Args:
        labels: 0 or 1 per frame, shape `(N,)`.
        said: 0 or 1 per frame.
    Returns:
        NaN where there is no speech.
    Raises:
        ValueError: If shapes differ or a value is another.
    Example:
        >>> detection_error_rate([1, 1, 0, 0], [1, 0, 1, 0])
        1.0
    """
    labels, said = _binary(labels, said)
    return float((labels != said).sum() / labels.sum()) if labels.any() else float("nan")


def frame_f1(labels: ArrayLike, said: ArrayLike) -> float:
    """Harmonic mean of precision and recall over frames; arguments and errors as in `detection_error_rate`.

    Example:
        >>> frame_f1([1, 1, 0, 0], [1, 0, 1, 0])
        0.5
    """
    labels, said = _binary(labels, said)
    both = float((labels & said).sum())
    total = float(labels.sum() + said.sum())
    return 2.0 * both / total if total else float("nan")


def _binary(labels: ArrayLike, said: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    labels, said = np.asarray(labels), np.asarray(said)
    if (
        labels.shape != said.shape
        or labels.ndim != 1
        or not np.isin(labels, (0, 1)).all()
        or not np.isin(said, (0, 1)).all()
    ):
        raise ValueError(f"expected two rows of 0 and 1 of one length, got shapes {labels.shape} and {said.shape}")
    return labels.astype(np.int64), said.astype(np.int64)


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.shape != scores.shape or labels.ndim != 1 or set(np.unique(labels)) != {0, 1}:
        raise ValueError(
            f"expected labels 0 and 1, both present, with as many scores, got {sorted(set(labels.ravel().tolist()))} "
            f"and shapes {labels.shape} and {scores.shape}"
        )
    return labels.astype(np.int64), scores
