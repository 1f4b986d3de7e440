"""Support vectors with a Gaussian kernel, of given width and penalty, or with both chosen over held-out groups."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics import euclidean_distances
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.svm import SVC, SVR

from audiointerp.study import stream

PENALTIES = (1.0, 10.0, 100.0)
SHARPNESSES = (0.03, 0.1, 0.3, 1.0)
FOLDS = 3
MOST_ROWS = 6000
"""Rows whose kernel is kept whole, 8 bytes for each pair of them."""

DEFAULT = (1.0, 1.0)


class GaussianSVM(BaseEstimator):
    r"""A support vector machine with the kernel :math:`\exp(-\gamma \|x - y\|^2 / D)`, one class against one.

    :math:`D` counts the columns that vary, so that a sharpness of 1 is scikit-learn's default where features are
    standardised. Up to `MOST_ROWS` the kernel comes from one matrix product: with thousands of columns that is ten
    times as fast.

    Args:
        penalty: C, the price of what lies on the wrong side of the margin.
        sharpness: :math:`\gamma`, relative to the number of columns.
        numbers: Whether targets are numbers, not labels.
    """

    def __init__(self, penalty: float = 1.0, sharpness: float = 1.0, numbers: bool = False) -> None:
        self.penalty, self.sharpness, self.numbers = penalty, sharpness, numbers

    def fit(self, features: np.ndarray, targets: np.ndarray) -> GaussianSVM:
        """Fits the machine to features `(n, D)` and targets `(n,)`."""
        self.features_ = np.asarray(features, dtype=np.float64)
        self.columns_ = varying(self.features_)
        if len(features) > MOST_ROWS:
            settings = {"kernel": "rbf", "gamma": self.sharpness / self.columns_}
            self.machine_ = _machine(self.penalty, self.numbers, **settings).fit(self.features_, targets)
            return self
        squares = euclidean_distances(self.features_, squared=True) / self.columns_
        self.machine_ = _machine(self.penalty, self.numbers).fit(np.exp(-self.sharpness * squares), targets)
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Predicts targets `(m,)` of features `(m, D)`."""
        if len(self.features_) > MOST_ROWS:
            return self.machine_.predict(np.asarray(features, dtype=np.float64))
        squares = euclidean_distances(np.asarray(features, dtype=np.float64), self.features_, squared=True)
        return self.machine_.predict(np.exp(-self.sharpness * squares / self.columns_))


class TunedSVM(BaseEstimator):
    """A `GaussianSVM` whose penalty and width are those that predict held-out groups of the training rows best.

    Held-out rows of a class that the others do not hold say nothing and are not counted. Among equals the default is
    taken, then the smoothest; it stays with the default where fewer than two classes can be held out. Of more than
    `MOST_ROWS` rows it chooses on as many whole groups as fit, drawn at random.

    Args:
        groups: Group of each row that it will be fitted to, `(n,)`; None where each row is its own.
        numbers: Whether targets are numbers, not labels.
        penalties: What C is chosen from.
        sharpnesses: What the width is chosen from.
    Attributes:
        chosen_: Penalty and sharpness, once fitted.
    """

    def __init__(
        self,
        groups: np.ndarray | None = None,
        numbers: bool = False,
        penalties: Sequence[float] = PENALTIES,
        sharpnesses: Sequence[float] = SHARPNESSES,
    ) -> None:
        self.groups, self.numbers, self.penalties, self.sharpnesses = groups, numbers, penalties, sharpnesses

    def fit(self, features: np.ndarray, targets: np.ndarray) -> TunedSVM:
        """Chooses on held-out groups of features `(n, D)` and targets `(n,)`, then fits to all rows."""
        self.chosen_ = self._choose(*self._some(np.asarray(features, dtype=np.float64), np.asarray(targets)))
        self.fitted_ = GaussianSVM(*self.chosen_, self.numbers).fit(features, targets)
        return self

    def _choose(self, features: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
        """Gives penalty and sharpness."""
        folds = self._folds(targets, groups)
        if not folds:
            return DEFAULT
        squares = euclidean_distances(features, squared=True) / varying(features)
        right = {DEFAULT: sum(self._right(np.exp(-squares), targets, DEFAULT[0], *fold) for fold in folds)}
        for sharpness in self.sharpnesses:
            kernel = np.exp(-sharpness * squares)
            for penalty in self.penalties:
                right[penalty, sharpness] = sum(self._right(kernel, targets, penalty, *fold) for fold in folds)
        return max(right, key=right.__getitem__)

    def _some(self, features: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gives features, targets and groups of the rows to choose on: whole groups, no more than `MOST_ROWS` rows."""
        groups = np.arange(len(targets)) if self.groups is None else np.unique(self.groups, return_inverse=True)[1]
        if len(targets) <= MOST_ROWS:
            return features, targets, groups
        order = stream(0, "groups to choose on").permutation(groups.max() + 1)
        kept = order[np.cumsum(np.bincount(groups)[order]) <= MOST_ROWS]
        rows = np.flatnonzero(np.isin(groups, kept))
        return features[rows], targets[rows], groups[rows]

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Predicts targets `(m,)` of features `(m, D)`."""
        return self.fitted_.predict(features)

    def _folds(self, targets: np.ndarray, groups: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Gives rows to train on and rows to hold out."""
        number = min(FOLDS, len(np.unique(groups)))
        if number > 1 and not self.numbers:
            number = min(number, np.unique(targets, return_counts=True)[1].max())
        if number < 2:
            return []
        maker = GroupKFold(number) if self.numbers else StratifiedGroupKFold(number)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")
            folds = list(maker.split(np.zeros(len(targets)), targets, groups))
        if not self.numbers:
            folds = [(train, held[np.isin(targets[held], targets[train])]) for train, held in folds]
        folds = [(train, held) for train, held in folds if len(held) and len(np.unique(targets[train])) > 1]
        several = len({target for _, held in folds for target in targets[held]}) > 1
        return folds if several else []

    def _right(
        self, kernel: np.ndarray, targets: np.ndarray, penalty: float, train: np.ndarray, held: np.ndarray
    ) -> float:
        """Counts rows that are predicted right; of numbers, less the squared error."""
        machine = _machine(penalty, self.numbers).fit(kernel[np.ix_(train, train)], targets[train])
        predicted = machine.predict(kernel[np.ix_(held, train)])
        return (
            -float(((predicted - targets[held]) ** 2).sum())
            if self.numbers
            else int((predicted == targets[held]).sum())
        )


def varying(features: np.ndarray) -> int:
    """Counts the columns that vary, at least one.

    Example:
        >>> varying(np.array([[1.0, 2.0], [1.0, 3.0]]))
        1
    """
    return max(1, int((np.ptp(features, axis=0) > 0).sum()))


def _machine(penalty: float, numbers: bool, kernel: str = "precomputed", gamma: float | str = "scale") -> SVC | SVR:
    if numbers:
        return SVR(kernel=kernel, gamma=gamma, C=penalty)
    return SVC(kernel=kernel, gamma=gamma, C=penalty, decision_function_shape="ovo")
