"""Measures of decoding: class-balanced accuracy by group, comparisons of layers, the published tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from scipy import stats

from audiointerp.probes.accuracy import balanced_accuracy, balanced_weights
from audiointerp.probes.designs import Split
from audiointerp.statistics.intervals import Interval, cluster_difference, cluster_interval
from audiointerp.statistics.tests import cluster_sign_flip, corrected_resampled_t, independent_t


class Asked(Protocol):
    """What a measure needs to know of the segments that were asked: see `audiointerp.data.questions.Question`."""

    labels: np.ndarray
    groups: np.ndarray
    clips: np.ndarray
    folds: np.ndarray

    @property
    def chance(self) -> float: ...

    @property
    def tested(self) -> np.ndarray: ...


def learnable(question: Asked, splits: Sequence[Split]) -> list[Split]:
    """Keeps the test rows whose class the training rows of their split hold."""
    kept = []
    for split in splits:
        known = np.unique(question.labels[split.train])
        test = split.test[np.isin(question.labels[split.test], known)]
        if len(test):
            kept.append(Split(split.train, test))
    return kept


def accuracy_interval(
    question: Asked, predicted: np.ndarray, seed: int, clusters: np.ndarray | None = None
) -> Interval:
    """Gives class-balanced accuracy with its interval over groups (or other clusters)."""
    tested = predicted >= 0
    weights = balanced_weights(question.labels, tested)[tested]
    right = (predicted == question.labels)[tested].astype(float)
    clusters = question.groups if clusters is None else clusters
    return cluster_interval(right, clusters[tested], weights=weights, seed=seed)


def group_row(question: Asked, predicted: np.ndarray, seed: int) -> dict:
    """Gives accuracy with its interval over groups, as columns of a table."""
    interval = accuracy_interval(question, predicted, seed)
    return {
        "accuracy": interval.estimate,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "interval": interval.kind,
    } | counts(question, predicted)


def fold_row(question: Asked, predicted: np.ndarray, splits: Sequence[Split]) -> dict:
    """Gives accuracy with its interval over fold scores, as published: folds share training data, it is too narrow."""
    scores = fold_accuracies(question.labels, predicted, splits)
    half = stats.t.ppf(0.975, len(scores) - 1) * scores.std(ddof=1) / np.sqrt(len(scores))
    return {
        "accuracy": scores.mean(),
        "ci_low": scores.mean() - half,
        "ci_high": scores.mean() + half,
        "interval": f"t over {len(scores)} random folds (as published)",
    } | counts(question, predicted)


def counts(question: Asked, predicted: np.ndarray) -> dict:
    """Gives chance and how many clips and groups were tested, as columns of a table."""
    tested = predicted >= 0
    return {
        "chance": question.chance,
        "n_clips": len(np.unique(question.clips[tested])),
        "n_groups": len(np.unique(question.groups[tested])),
    }


def fold_accuracies(labels: np.ndarray, predicted: np.ndarray, splits: Sequence[Split]) -> np.ndarray:
    """Gives the class-balanced accuracy of each fold, shape `(folds,)`."""
    return np.array([float(balanced_accuracy(labels[s.test], predicted[s.test])) for s in splits])


def compare(question: Asked, a: np.ndarray, b: np.ndarray, seed: int) -> dict:
    """Compares two predictions of the same segments: interval over groups, corrected resampled t over folds."""
    tested = np.flatnonzero((a >= 0) & (b >= 0))
    right_a, right_b = (x[tested] == question.labels[tested] for x in (a, b))
    weights = balanced_weights(question.labels, (a >= 0) & (b >= 0))[tested]
    interval = cluster_difference(
        right_a.astype(float), right_b.astype(float), question.groups[tested], weights=weights, seed=seed
    )
    folds = question.folds[tested]
    splits = [Split(tested[folds != fold], tested[folds == fold]) for fold in np.unique(folds)]
    differences = fold_accuracies(question.labels, a, splits) - fold_accuracies(question.labels, b, splits)
    result = corrected_resampled_t(differences, 1.0 / (len(splits) - 1))
    flip = cluster_sign_flip(
        weights * len(weights) * (right_a.astype(float) - right_b), question.groups[tested], seed=seed
    )
    return {
        "difference": interval.estimate,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "interval": interval.kind,
        "test": result.name,
        "statistic": result.statistic,
        "p": result.p,
        "p_sign_flip": flip.p,
        "n_groups": interval.n_clusters,
    }


def published_test(a: np.ndarray, b: np.ndarray, tests: int = 3) -> dict:
    """Compares fold scores as the paper did: independent t test, Bonferroni; fold scores are neither independent nor
    unpaired, so its p values are not to be believed.

    Args:
        a: Accuracy of one layer in each fold.
        b: Accuracy of another layer in each fold.
        tests: Bonferroni factor.
    """
    result = independent_t(a, b, equal_variance=True)
    return {
        "difference": float(a.mean() - b.mean()),
        "test": "independent t of fold scores (as published)",
        "statistic": result.statistic,
        "p": result.p,
        "p_corrected": min(1.0, tests * result.p),
        "correction": f"Bonferroni x {tests} (as published)",
    }


def to_segments(clip_labels: np.ndarray, question: Asked) -> np.ndarray:
    """Gives permuted labels of clips to their segments, `(P, N)`; segments that are not decoded keep theirs."""
    rows = question.tested
    _, of_segment = np.unique(question.clips[rows], return_inverse=True)
    labels = np.repeat(question.labels[None].astype(np.int16), len(clip_labels), axis=0)
    labels[:, rows] = clip_labels[:, of_segment]
    return labels


def most_frequent(values: Iterable[str]) -> str:
    """Gives the most frequent of some names, the first of equals."""
    names, counts = np.unique(list(values), return_counts=True)
    return str(names[counts.argmax()])
