"""k-nearest-neighbour decoding: one search serves all folds, factors, protocols and permutations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.neighbors import NearestNeighbors

from audiointerp.probes.designs import Split
from audiointerp.study import UserError


def _searched(scores: np.ndarray, split: Split, k: int) -> np.ndarray:
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(scores[split.train])
    return split.train[search.kneighbors(scores[split.test], return_distance=False)]


def _enough(split: Split, k: int) -> None:
    if len(split.train) < k:
        raise UserError(f"expected at least k={k} rows to train on, got {len(split.train)}: lower k or use more sounds")


class Neighbours:
    """The nearest rows of every row, searched once (Euclidean, scikit-learn's brute force).

    Args:
        scores: Reduced activations, shape `(N, D)`.
        depth: How many neighbours are kept for each row. A query whose list does not hold enough rows that it may
            see is searched again, exactly.
    """

    def __init__(self, scores: np.ndarray, depth: int = 48) -> None:
        self.scores = np.ascontiguousarray(scores, dtype=np.float32)
        depth = min(depth, len(scores) - 1)
        search = NearestNeighbors(n_neighbors=depth, algorithm="brute").fit(self.scores)
        self.indices = search.kneighbors(return_distance=False).astype(np.int32)

    def nearest(self, split: Split, k: int) -> np.ndarray:
        """Gives the `k` nearest training rows of each test row, nearest first, shape `(len(split.test), k)`.

        Raises:
            UserError: If the split trains on fewer than `k` rows.
        """
        _enough(split, k)
        seen = np.zeros(len(self.scores), dtype=bool)
        seen[split.train] = True
        listed = self.indices[split.test]
        allowed = seen[listed]
        enough = allowed.sum(1) >= k
        found = np.empty((len(split.test), k), dtype=np.int64)
        # A stable sort brings the allowed neighbours to the front and keeps them ordered by distance.
        order = np.argsort(~allowed[enough], axis=1, kind="stable")[:, :k]
        found[enough] = np.take_along_axis(listed[enough], order, axis=1)
        if not enough.all():
            found[~enough] = _searched(self.scores, Split(split.train, split.test[~enough]), k)
        return found


class SplitNeighbours:
    """Nearest rows, searched anew for each split: less work than `Neighbours` for a split or two.

    Args:
        scores: Reduced activations, shape `(N, D)`.
    """

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = np.ascontiguousarray(scores, dtype=np.float32)

    def nearest(self, split: Split, k: int) -> np.ndarray:
        """Gives the `k` nearest training rows of each test row, nearest first, shape `(len(split.test), k)`.

        Raises:
            UserError: If the split trains on fewer than `k` rows.
        """
        _enough(split, k)
        return _searched(self.scores, split, k)


def vote(labels: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Gives the label that most of the neighbours carry; of equally frequent ones, the nearest neighbour's.

    Args:
        labels: Integer labels from 0, shape `(N,)`, or `(P, N)` for many labellings at once.
        neighbours: Row indices, nearest first, shape `(M, k)`.
    Returns:
        Labels, shape `(M,)` or `(P, M)`.
    Example:
        >>> vote(np.array([0, 1, 1, 2]), np.array([[0, 1, 2], [3, 0, 1]])).tolist()
        [1, 2]
    """
    voted = np.asarray(labels)[..., neighbours]
    if voted.shape[-1] <= 2:
        return voted[..., 0]
    if voted.shape[-1] == 3:
        return np.where(voted[..., 1] == voted[..., 2], voted[..., 1], voted[..., 0])
    counts = (voted[..., :, None] == voted[..., None, :]).sum(-1)
    return np.take_along_axis(voted, counts.argmax(-1)[..., None], axis=-1)[..., 0]


def knn_predict(
    search: Neighbours | SplitNeighbours, labels: np.ndarray, splits: Sequence[Split], k: int
) -> np.ndarray:
    """Predicts the test rows of each split from its training rows.

    Args:
        search: Finds the neighbours.
        labels: Integer labels from 0, shape `(N,)` or `(P, N)`.
        splits: Splits whose test rows do not overlap.
        k: Number of neighbours.
    Returns:
        Predicted labels, shape as `labels`; -1 for rows that no split tests.
    """
    labels = np.asarray(labels)
    predicted = np.full(labels.shape, -1, dtype=np.int16)
    for split in splits:
        predicted[..., split.test] = vote(labels, search.nearest(split, k))
    return predicted
