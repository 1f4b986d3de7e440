"""Unsupervised disentanglement ranking (UDR): models of different seeds that agree on their codes, up to order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audiointerp.disentangle.metrics.inputs import matrix, varying


def udr(
    codes_of_models: Sequence[ArrayLike],
    *,
    kl_of_models: Sequence[ArrayLike] | None = None,
    least_kl: float = 0.01,
    similarity: str = "spearman",
) -> NDArray[np.float64]:
    r"""Scores models by how well their codes match those of other seeds one to one; needs no labels.

    With the similarity :math:`R_{ab} \ge 0` of code a of one model and code b of another, both informative,

    .. math:: \text{UDR}_{ij} = \frac{1}{d_i + d_j} \Big[ \sum_b \frac{\max_a R_{ab}^2}{\sum_a R_{ab}}
        + \sum_a \frac{\max_b R_{ab}^2}{\sum_b R_{ab}} \Big]

    and a model's score is its median over the others. Each term is 1 if a code resembles exactly one code of the other
    model, and small if it resembles several a little. Models that disentangle nothing but agree score high as well:
    compare seeds of one setting, and settings with one another.

    Args:
        codes_of_models: The codes that each model gives the same sounds, shape `(N, D)` each; D may differ.
        kl_of_models: KL divergence of each code from its prior [nats], shape `(D,)` each; without it, every code that
            varies counts as informative.
        least_kl: Codes with no larger KL divergence count as collapsed.
        similarity: `spearman` (absolute rank correlation) or `lasso` (absolute weights of a Lasso with penalty 0.1 that
            predicts standardised codes from standardised codes, averaged over both directions).
    Returns:
        A score in [0, 1] per model, shape `(M,)`; a pair in which a model has no informative code scores 0.
    Raises:
        ValueError: If there are fewer than two models, their rows differ in number, a value is not finite, the KL
            divergences do not fit, or the similarity is unknown.
    References:
        Unsupervised Model Selection for Variational Disentangled Representation Learning (Duan et al., 2020), sec. 4.
    Example:
        >>> codes = np.random.default_rng(0).normal(size=(100, 2))
        >>> udr([codes, -codes[:, ::-1]], similarity="spearman").round(1).tolist()
        [0.9, 0.9]
    """
    if similarity not in ("spearman", "lasso"):
        raise ValueError(f"expected similarity spearman or lasso, got {similarity!r}: choose one of them")
    models = [matrix(codes, f"codes of model {index}") for index, codes in enumerate(codes_of_models)]
    if len(models) < 2:
        raise ValueError(f"expected two models or more, got {len(models)}: train further seeds")
    if len({len(codes) for codes in models}) > 1:
        raise ValueError(
            f"expected codes of the same sounds, got {', '.join(str(len(codes)) for codes in models)} rows: "
            "encode the same sounds with every model"
        )
    kept = [_informative(codes, index, kl_of_models, least_kl) for index, codes in enumerate(models)]
    ready = [_standardised(codes, ranked=similarity == "spearman") for codes in kept]
    scores = np.full((len(models), len(models)), np.nan)
    for i in range(len(models)):
        for j in range(i):
            between = _correlations if similarity == "spearman" else _weights
            scores[i, j] = scores[j, i] = _one_to_one(between(ready[i], ready[j]))
    return np.nanmedian(scores, axis=1)


def _informative(
    codes: NDArray[np.float64], index: int, kl_of_models: Sequence[ArrayLike] | None, least_kl: float
) -> NDArray[np.float64]:
    mask = varying(codes)
    if kl_of_models is not None:
        if index >= len(kl_of_models) or np.shape(kl_of_models[index]) != (codes.shape[1],):
            got = np.shape(kl_of_models[index]) if index < len(kl_of_models) else "none"
            raise ValueError(
                f"expected KL divergences of shape ({codes.shape[1]},) for model {index}, got {got}: give one per code"
            )
        divergence = np.asarray(kl_of_models[index], dtype=np.float64)
        if not np.isfinite(divergence).all():
            raise ValueError(f"expected finite KL divergences of model {index}, got some that are not: check the model")
        mask &= divergence > least_kl
    return codes[:, mask]


def _standardised(codes: NDArray[np.float64], ranked: bool) -> NDArray[np.float64]:
    if not codes.shape[1]:
        return codes
    if ranked:
        from scipy.stats import rankdata

        codes = rankdata(codes, axis=0)
    return (codes - codes.mean(axis=0)) / codes.std(axis=0)


def _correlations(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.abs(one.T @ other) / len(one)


def _weights(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    if not one.shape[1] or not other.shape[1]:
        return np.zeros((one.shape[1], other.shape[1]))
    from sklearn.linear_model import Lasso

    forth = np.abs(np.atleast_2d(Lasso(alpha=0.1).fit(one, other).coef_)).T
    back = np.abs(np.atleast_2d(Lasso(alpha=0.1).fit(other, one).coef_))
    return (forth + back) / 2


def _one_to_one(similar: NDArray[np.float64]) -> float:
    if not similar.size:
        return 0.0
    total = 0.0
    for axis in (0, 1):
        sums = similar.sum(axis=axis)
        total += (similar.max(axis=axis) ** 2 / np.where(sums > 0, sums, 1.0)).sum()
    return float(total / sum(similar.shape))
