"""Classifiers and regressors of notes, and their measures: support vectors, a small network, linear, neighbours."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from audiointerp.statistics.intervals import Interval, cluster_interval, interval_of_sums
from audiointerp.study import UserError

KINDS = ("svm_tuned", "svm", "mlp", "linear", "knn")


def classify(
    kind: str,
    features: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    *,
    seed: int = 0,
    width: int = 250,
    neighbours: int = 5,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Predicts the classes of test rows; features are standardised by the training rows.

    `svm` has a Gaussian kernel and decides one class against one (11 classes: 55 machines), untuned as published;
    `svm_tuned` chooses penalty and width on held-out groups of the training rows; `mlp` has three hidden layers of
    ReLUs; `linear` is logistic regression.

    Args:
        kind: Out of `KINDS`.
        features: Shape `(N, D)`.
        labels: Integer labels, shape `(N,)`.
        train: Rows to train on.
        test: Rows to predict.
        seed: Seed of the network.
        width: Units of each hidden layer.
        neighbours: k of the nearest neighbours.
        groups: Group of every row, `(N,)`, which `svm_tuned` keeps whole; None where each row is its own.
    Returns:
        Predicted labels, shape `(len(test),)`.
    Raises:
        UserError: If the kind is unknown, or the training rows hold fewer than two classes.
    """
    if len(np.unique(labels[train])) < 2:
        raise UserError(
            f"expected training notes of two classes or more, got {len(np.unique(labels[train]))} in {len(train)} "
            "notes: take more instruments, or other shares in study.roles"
        )
    held = None if groups is None else groups[train]
    fitted = fit_probe(kind, features[train], labels[train], seed, width, neighbours, groups=held)
    return fitted.predict(features[test])


def regress(
    kind: str,
    features: np.ndarray,
    values: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    *,
    seed: int = 0,
    width: int = 250,
    neighbours: int = 5,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Predicts a number for each test row; arguments as in `classify`, `linear` is ridge regression.

    Raises:
        UserError: If the kind is unknown.
    """
    mean, scale = values[train].mean(), max(float(values[train].std()), 1e-12)
    scaled = (np.asarray(values, dtype=np.float64)[train] - mean) / scale
    held = None if groups is None else groups[train]
    fitted = fit_probe(kind, features[train], scaled, seed, width, neighbours, numbers=True, groups=held)
    return fitted.predict(features[test]) * scale + mean


@dataclass(frozen=True)
class Question:
    """What one probe is to read; the features come beside it, so that many questions share them.

    Attributes:
        kind: Out of `KINDS`.
        targets: Integer labels, or numbers, `(N,)`.
        train: Rows to train on.
        test: Rows to predict.
        numbers: Whether the targets are numbers.
        groups: As in `classify`.
        width: Units of the MLP's hidden layers.
        seed: Seed of the network.
    """

    kind: str
    targets: np.ndarray
    train: np.ndarray
    test: np.ndarray
    numbers: bool = False
    groups: np.ndarray | None = None
    width: int = 250
    seed: int = 0

    def answer(self, features: np.ndarray) -> np.ndarray:
        """Predicts the targets of the test rows, `(len(test),)`, from features `(N, D)`."""
        ask = regress if self.numbers else classify
        rows = (self.train, self.test)
        return ask(self.kind, features, self.targets, *rows, seed=self.seed, width=self.width, groups=self.groups)


def answers(features: np.ndarray, questions: Sequence[Question]) -> list[np.ndarray]:
    """Answers questions to the same features `(N, D)` on one thread, so that any number of cores gives the same."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return [question.answer(features) for question in questions]


def fit_probe(
    kind: str,
    features: np.ndarray,
    targets: np.ndarray,
    seed: int = 0,
    width: int = 250,
    neighbours: int = 5,
    numbers: bool = False,
    groups: np.ndarray | None = None,
) -> Any:
    """Fits a probe to all rows given; what comes back has `predict(features)`.

    Args:
        kind: Out of `KINDS`.
        features: Shape `(n, D)`.
        targets: Labels, or standardised numbers, shape `(n,)`.
        seed: Seed of the network.
        width: Units of each hidden layer.
        neighbours: k of the nearest neighbours.
        numbers: Whether the targets are numbers.
        groups: Group of each row, `(n,)`; None where each row is its own.
    Raises:
        UserError: If the kind is unknown.
    """
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from audiointerp.probes.support_vectors import GaussianSVM, TunedSVM

    if kind not in KINDS:
        raise UserError(f"expected a probe among {', '.join(KINDS)}, got {kind!r}")
    network = {"hidden_layer_sizes": (width,) * 3, "random_state": seed, "max_iter": 200}
    models = {
        "svm_tuned": lambda: TunedSVM(groups, numbers),
        "svm": lambda: GaussianSVM(penalty=10.0 if numbers else 1.0, numbers=numbers),
        "mlp": lambda: MLPRegressor(**network) if numbers else MLPClassifier(**network),
        "linear": lambda: RidgeCV(np.logspace(0, 5, 11)) if numbers else LogisticRegression(C=0.01, max_iter=300),
        "knn": lambda: (KNeighborsRegressor if numbers else KNeighborsClassifier)(min(neighbours, len(features))),
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Stochastic Optimizer")
        warnings.filterwarnings("ignore", "lbfgs failed to converge")
        return make_pipeline(StandardScaler(), models[kind]()).fit(features, targets)


def accuracy_over_groups(labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray, seed: int = 0) -> Interval:
    """Gives the share of rows that are predicted right, with its interval over groups; each argument `(n,)`."""
    return cluster_interval((labels == predicted).astype(float), groups, seed=seed)


def explained_over_groups(values: np.ndarray, predicted: np.ndarray, groups: np.ndarray, seed: int = 0) -> Interval:
    r"""Gives :math:`R^2 = 1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2` with its interval over groups.

    NaN where the true numbers do not vary.

    Args:
        values: True numbers, shape `(n,)`.
        predicted: Predicted numbers, shape `(n,)`.
        groups: Group of each row.
        seed: Seed of the bootstrap.
    """
    values = np.asarray(values, dtype=np.float64)
    centred = values - values.mean()
    columns = np.stack([np.ones(len(values)), (values - predicted) ** 2, centred, centred**2], axis=1)

    def explained(sums: np.ndarray) -> np.ndarray:
        spread = sums[..., 3] - sums[..., 2] ** 2 / sums[..., 0]
        varied = spread > 1e-9 * sums[..., 3]  # what is left of equal numbers is rounding
        return 1.0 - sums[..., 1] / np.where(varied, spread, np.nan)

    return interval_of_sums(columns, explained, groups, seed=seed)


def class_table(labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Gives precision, recall and F1 of each class and their macro averages.

    `precision_published` is what the paper's text calls precision: true negatives over all negatives, which everyone
    else calls specificity.

    Args:
        labels: True labels, shape `(n,)`.
        predicted: Predicted labels, shape `(n,)`.
        classes: Names, by label.
    Returns:
        One row per class that occurs, and the row `macro average`: class, precision, recall, f1, precision_published,
        n_clips.
    Example:
        >>> table = class_table(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ["reed", "vocal"])
        >>> table.round(3).to_dict("records")[0]["recall"]
        0.5
    """
    from sklearn.metrics import precision_recall_fscore_support

    kept = np.unique(np.concatenate([labels, predicted]))
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, labels=kept, zero_division=0.0)
    negatives = np.array([(labels != label).sum() for label in kept])
    right = np.array([((labels != label) & (predicted != label)).sum() for label in kept])
    table = pd.DataFrame(
        {
            "class": [classes[label] for label in kept],
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "precision_published": right / np.maximum(negatives, 1),
            "n_clips": support,
        }
    )
    mean = table.drop(columns=["class", "n_clips"]).mean().to_dict()
    macro = {"class": "macro average", **mean, "n_clips": int(support.sum())}
    return pd.concat([table, pd.DataFrame([macro])], ignore_index=True)


def confusion_counts(labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Counts which class was taken for which: columns true, predicted, count, one row per pair of classes."""
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    rows, columns = np.indices(counts.shape).reshape(2, -1)
    return pd.DataFrame(
        {"true": np.asarray(classes)[rows], "predicted": np.asarray(classes)[columns], "count": counts.reshape(-1)}
    )
