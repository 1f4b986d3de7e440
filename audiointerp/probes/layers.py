"""Reading one layer, or all of them: predictions by fold, honest choice of a layer, permutation nulls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np

from audiointerp.probes.accuracy import balanced_accuracy
from audiointerp.probes.designs import Split, by_fold, inner_folds, partition
from audiointerp.probes.linear import FoldedRidge, ridge_predict
from audiointerp.probes.neighbours import Neighbours, SplitNeighbours, knn_predict
from audiointerp.study import UserError

PROBES = ("knn", "ridge")


class LayerReader:
    """One layer's reduced activations and what can be read from them.

    Args:
        scores: Reduced activations, shape `(N, D)`.
        neighbours: k of the nearest-neighbour probe.
        penalty: Ridge penalty in units of D.
        search_all: Whether the neighbours of all rows are searched once, for many splits; otherwise split by split.
    """

    def __init__(self, scores: np.ndarray, neighbours: int = 3, penalty: float = 1.0, search_all: bool = True) -> None:
        self.scores = scores
        self.search_all = search_all
        self.neighbours = neighbours
        self.penalty = penalty

    @cached_property
    def search(self) -> Neighbours | SplitNeighbours:
        """The neighbour search, set up at its first use."""
        return Neighbours(self.scores) if self.search_all else SplitNeighbours(self.scores)

    def predict(self, probe: str, labels: np.ndarray, splits: Sequence[Split]) -> np.ndarray:
        """Predicts the test rows of each split; see `knn_predict` and `ridge_predict`.

        Raises:
            UserError: If the probe is unknown.
        """
        if probe == "knn":
            return knn_predict(self.search, labels, splits, self.neighbours)
        if probe == "ridge":
            folds = partition(splits, len(self.scores)) if np.ndim(labels) == 1 else None
            if folds is None:
                return ridge_predict(self.scores, labels, splits, self.penalty)
            return self._ridge_by_fold(labels, folds)
        raise UserError(f"expected a probe among {', '.join(PROBES)}, got {probe!r}")

    def _ridge_by_fold(self, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
        ridge = FoldedRidge(self.scores, labels, folds, self.penalty)
        names = np.unique(folds[folds >= 0])
        predicted = np.full(len(labels), -1, dtype=np.int16)
        for fold in names:
            test = np.flatnonzero(folds == fold)
            predicted[test] = ridge.predict(names[names != fold], test)
        return predicted


def choose_layer(
    readers: Mapping[str, LayerReader], probe: str, labels: np.ndarray, splits: Sequence[Split]
) -> tuple[str, dict[str, float]]:
    """Gives the layer with the best accuracy on the test rows of `splits`, and the accuracy of each."""
    scores = {
        name: float(balanced_accuracy(labels, reader.predict(probe, labels, splits)))
        for name, reader in readers.items()
    }
    return max(scores, key=lambda name: scores[name]), scores


def nested_choice(
    readers: Mapping[str, LayerReader], probe: str, labels: np.ndarray, folds: np.ndarray
) -> tuple[np.ndarray, dict[int, str]]:
    """Predicts each fold from the layer that was best among the other folds.

    Args:
        readers: The layers.
        probe: The probe.
        labels: Integer labels, shape `(N,)`.
        folds: Fold of each row, -1 for rows that are not tested, shape `(N,)`.
    Returns:
        Predictions `(N,)`, -1 where nothing was tested, and the layer chosen for each fold.
    """
    predicted = np.full(len(labels), -1)
    scores = {name: inner_accuracies(reader, probe, labels, folds) for name, reader in readers.items()}
    chosen: dict[int, str] = {}
    for split in by_fold(folds):
        fold = int(folds[split.test[0]])
        chosen[fold] = max(readers, key=lambda name, fold=fold: scores[name][fold])
        predicted[split.test] = readers[chosen[fold]].predict(probe, labels, [split])[split.test]
    return predicted, chosen


def inner_accuracies(reader: LayerReader, probe: str, labels: np.ndarray, folds: np.ndarray) -> dict[int, float]:
    """Gives, for each fold, the accuracy of cross-validation among the other folds."""
    names = np.unique(folds[folds >= 0])
    ridge = FoldedRidge(reader.scores, labels, folds, reader.penalty) if probe == "ridge" else None
    found = {}
    for outer in names:
        if ridge is None:
            predicted = reader.predict(probe, labels, inner_folds(folds, outer))
        else:
            predicted = np.full(len(labels), -1)
            for inner in names[names != outer]:
                test = np.flatnonzero(folds == inner)
                predicted[test] = ridge.predict(names[(names != outer) & (names != inner)], test)
        found[int(outer)] = float(balanced_accuracy(labels, predicted))
    return found


def null_accuracies(
    readers: Mapping[str, LayerReader],
    probe: str,
    splits: Sequence[Split],
    permuted: np.ndarray,
    progress: Callable = lambda items, **_: items,
) -> np.ndarray:
    """Gives the accuracy of each layer under each labelling, shape `(P, layers)`.

    Args:
        readers: The layers.
        probe: The probe.
        splits: The splits that the observed accuracies come from.
        permuted: Permuted labels, shape `(P, N)`.
        progress: Wraps an iterable; a progress bar.
    """
    columns = [
        balanced_accuracy(permuted, reader.predict(probe, permuted, splits))
        for reader in progress(readers.values(), description=f"permuted labels, {probe}", unit="layer")
    ]
    return np.stack(columns, axis=1)
