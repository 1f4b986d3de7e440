"""DCI: disentanglement, completeness and informativeness from the importance of each code to predict each factor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audiointerp.disentangle.metrics.inputs import Kinds, classes_of, halves, kinds_of, pair, published, unit, varying
from audiointerp.disentangle.metrics.predictability import balanced_accuracy
from audiointerp.study import stream

MODELS = ("lasso", "forest", "boosting")
PENALTIES = (0.0001, 0.001, 0.01, 0.1, 0.2, 0.4, 0.8, 1.0)


@dataclass(frozen=True)
class DCI:
    """What `dci` gives.

    Attributes:
        disentanglement: 1 if each code serves one factor, 0 if all serve all equally; codes weighted by importance.
        completeness: 1 if each factor needs one code, 0 if it needs all equally.
        informativeness: How well all codes together predict factors, 1 at best.
        importance: Of each code for each factor, shape `(F, D)`.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: NDArray[np.float64]


def dci(
    *,
    factors: ArrayLike,
    codes: ArrayLike,
    kinds: Kinds = None,
    model: str = "lasso",
    protocol: str = "corrected",
    seed: int = 0,
) -> DCI:
    r"""Disentanglement, completeness, informativeness.

    With the importance :math:`R_{fc} \ge 0` of code c to predict factor f,

    .. math::
        \text{D} = \sum_c w_c \Big[1 - H_F\big(R_{fc} / \textstyle\sum_{f'} R_{f'c}\big)\Big], \quad
        \text{C} = \frac1F \sum_f \Big[1 - H_D\big(R_{fc} / \textstyle\sum_{c'} R_{fc'}\big)\Big]

    where :math:`H_K` is entropy to the base K and :math:`w_c` the share of code c in all importance. Corrected: models
    are fitted on one half of the rows; informativeness is R^2 (ordered) or class-balanced accuracy moved so that chance
    is 0 (categorical) on the other half; each factor's importances sum to 1, so that factors count equally. Published:
    all rows for both, importances as they are, and 1 - 12 mean squared error of factors scaled to [0, 1] (which is R^2
    for a uniform continuous factor only) or plain accuracy.

    Args:
        factors: Known factors, shape `(N, F)`, two or more; one that does not vary counts 0.
        codes: Codes, shape `(N, D)`, two or more.
        kinds: `ordered` or `categorical`, for all or per factor; None: all ordered.
        model: `lasso` (linear, the penalty chosen by ten folds; a categorical factor gets a forest), `forest` (30 trees
            of depth 8: deeper ones learn noise by heart) or `boosting`.
        protocol: `corrected` or `published`.
        seed: Seed of halves and forests.
    Raises:
        ValueError: If shapes differ, a value is not finite, rows are fewer than 40, there are fewer than two factors or
            codes, an option is unknown, or a categorical factor has more levels than a quarter of the rows.
    References:
        A Framework for the Quantitative Evaluation of Disentangled Representations (Eastwood and Williams, 2018),
        section 2.
    """
    factors, codes = pair(factors, codes, least_factors=2)
    in_sample = published(protocol)
    kinds = kinds_of(kinds, factors.shape[1])
    if model not in MODELS:
        raise ValueError(f"expected a model among {', '.join(MODELS)}, got {model!r}: choose one of them")
    if codes.shape[1] < 2:
        raise ValueError(f"expected at least 2 codes, got {codes.shape[1]}: completeness compares codes")
    if len(codes) < 40:
        raise ValueError(f"expected at least 40 rows to fit and judge models, got {len(codes)}: use more sounds")
    columns, everything = unit(codes), np.arange(len(codes))
    importance = np.zeros((factors.shape[1], codes.shape[1]))
    told = np.zeros(len(importance))
    for row in np.flatnonzero(varying(factors)):
        categorical = kinds[row] == "categorical"
        target = unit(factors[:, row : row + 1])[:, 0]
        classes = classes_of(target, int(row)) if categorical else np.zeros(len(target), dtype=np.intp)
        train, test = (everything, everything) if in_sample else halves(classes, stream(seed, "dci", int(row)))
        if categorical:
            target = classes
        fitted, importance[row] = _fit(columns[train], target[train], model, categorical, seed)
        told[row] = _told(target[test], fitted.predict(columns[test]), categorical, in_sample)
    if not in_sample:
        importance = _shares(importance, axis=1)
    return DCI(
        disentanglement=float(importance.sum(0) @ _purity(importance.T) / max(importance.sum(), 1e-300)),
        completeness=float(_purity(importance).mean()),
        informativeness=float(told.mean()),
        importance=importance,
    )


def _fit(codes: NDArray, target: NDArray, model: str, categorical: bool, seed: int) -> tuple[object, NDArray]:
    """Fits a model; gives it and the importance of each code."""
    if model == "lasso" and not categorical:
        from sklearn.linear_model import LassoCV

        # Each penalty starts from the solution of the one before, which a loose tolerance would take for its own.
        fitted = LassoCV(alphas=np.array(PENALTIES), cv=10, max_iter=5000, tol=1e-7).fit(codes, target)
        return fitted, np.abs(fitted.coef_)
    from sklearn import ensemble

    if model == "boosting":
        kind = ensemble.GradientBoostingClassifier if categorical else ensemble.GradientBoostingRegressor
        fitted = kind(random_state=seed)
    else:
        kind = ensemble.RandomForestClassifier if categorical else ensemble.RandomForestRegressor
        balance = {"class_weight": "balanced"} if categorical else {}
        fitted = kind(n_estimators=30, max_depth=8, max_features=1.0, random_state=seed, **balance)
    fitted.fit(codes, target)
    return fitted, np.maximum(fitted.feature_importances_, 0.0)  # boosting gives -1e-16 for what it does not use


def _told(target: NDArray, predicted: NDArray, categorical: bool, in_sample: bool) -> float:
    """Gives the informativeness of one factor, at least 0."""
    if categorical and in_sample:
        return float(np.mean(target == predicted))
    if categorical:
        chance = 1.0 / len(np.unique(target))
        return max(0.0, (balanced_accuracy(target, predicted) - chance) / (1.0 - chance)) if chance < 1 else 0.0
    error = float(np.mean((target - predicted) ** 2))
    worst = 1.0 / 12.0 if in_sample else float(target.var())
    return max(0.0, 1.0 - error / worst) if worst > 0 else 0.0


def _shares(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    total = values.sum(axis=axis, keepdims=True)
    return values / np.where(total > 0, total, 1.0)


def _purity(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gives one minus the entropy of each row's shares, to the base of their number; 0 for a row of zeros."""
    shares = _shares(values, axis=1)
    logs = np.log(np.where(shares > 0, shares, 1.0)) / np.log(values.shape[1])
    return np.where(values.sum(axis=1) > 0, 1.0 + (shares * logs).sum(axis=1), 0.0)
