r"""Metrics made of mutual information between binned codes and factors: MIG, MIG-sup, JEMMIG, DCIMIG, modularity.

Plug-in estimates in bits; all metrics read one table, which `information_table` computes once. Codes are cut into bins
of equal width over their range: one outlier squeezes all other values into few bins, and a collapsed code, whose range
is tiny but not zero, is stretched like any other. Leave collapsed codes out beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audiointerp.disentangle.metrics.inputs import Kinds, binned, kinds_of, levels, pair


@dataclass(frozen=True)
class InformationTable:
    """Entropies of factors and codes, alone and together, in bits.

    Attributes:
        factor_entropy: Shape `(F,)`.
        code_entropy: Shape `(D,)`.
        joint_entropy: Shape `(F, D)`.
        information: Mutual information, shape `(F, D)`; what is below 1e-12 bits is 0.
        bins: Bins of the codes.
    """

    factor_entropy: NDArray[np.float64]
    code_entropy: NDArray[np.float64]
    joint_entropy: NDArray[np.float64]
    information: NDArray[np.float64]
    bins: int


def information_table(
    *, factors: ArrayLike, codes: ArrayLike, bins: int = 10, kinds: Kinds = None, factor_bins: int | None = None
) -> InformationTable:
    r"""Computes :math:`H(f)`, :math:`H(c)`, :math:`H(f, c)` and :math:`I(f; c)` of every factor and code.

    Args:
        factors: Known factors, shape `(N, F)`.
        codes: Codes of the same sounds, shape `(N, D)`.
        bins: Bins of equal width per code.
        kinds: `ordered` (binned like codes) or `categorical` (levels as they are), for all or per factor; None: all
            ordered.
        factor_bins: Bins of ordered factors; by default as many as of codes.
    Raises:
        ValueError: If shapes differ, a value is not finite, rows are fewer than bins, or a kind is unknown.
    Example:
        >>> table = information_table(factors=[[0], [0], [1], [1]], codes=[[0, 0], [0, 1], [1, 0], [1, 1]], bins=2)
        >>> table.information.tolist()
        [[1.0, 0.0]]
    """
    factors, codes = pair(factors, codes, bins=bins)
    if factor_bins is None:
        factor_bins = bins
    else:
        pair(factors[:, :1], codes[:, :1], bins=factor_bins)
    rows = levels(factors, kinds_of(kinds, factors.shape[1]), factor_bins)
    columns = binned(codes, bins)
    logs = np.log2(np.maximum(np.arange(len(codes) + 1), 1))  # log of every count that can be

    def entropy(indices: NDArray[np.intp]) -> float:
        counts = np.bincount(indices)
        return float(logs[-1] - counts @ logs[counts] / len(indices))

    of_factors = np.array([entropy(row) for row in rows])
    of_codes = np.array([entropy(column) for column in columns])
    joint = np.empty((len(rows), len(columns)))
    for f, row in enumerate(rows):
        shifted = row * bins
        for c, column in enumerate(columns):
            joint[f, c] = entropy(shifted + column)
    information = of_factors[:, None] + of_codes - joint
    information[information < 1e-12] = 0.0
    return InformationTable(of_factors, of_codes, joint, information, int(bins))


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divides, 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole > 1e-12)


def _gaps(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Subtracts the second largest from the largest along an axis; a lone value has no rival."""
    if values.shape[axis] == 1:
        return values.take(0, axis)
    top = np.partition(values, values.shape[axis] - 2, axis=axis)
    return top.take(-1, axis) - top.take(-2, axis)


def mig_of(table: InformationTable, normalise_by: str = "factor") -> float:
    """`mig` of a table that is there already."""
    if normalise_by not in ("factor", "code"):
        raise ValueError(f"expected normalise_by factor or code, got {normalise_by!r}: choose one of them")
    by = table.factor_entropy[:, None] if normalise_by == "factor" else table.code_entropy
    return float(_gaps(_ratio(table.information, by), 1).mean())


def mig(
    *,
    factors: ArrayLike,
    codes: ArrayLike,
    bins: int = 10,
    kinds: Kinds = None,
    factor_bins: int | None = None,
    normalise_by: str = "factor",
) -> float:
    r"""Mutual information gap: does one code alone tell each factor?

    .. math:: \frac1F \sum_f \Big[\max_c \frac{I(f; c)}{H} - \text{second}_c \frac{I(f; c)}{H}\Big]

    with :math:`H = H(f)` as published; the metric collection of the review divides by :math:`H(c)`. A factor with more
    levels than there are bins caps the score at :math:`\log(bins) / \log(levels)` when divided by :math:`H(f)`.

    Args:
        factors: Known factors, shape `(N, F)`; one that does not vary counts 0.
        codes: Codes, shape `(N, D)`; with one code only, nothing is subtracted.
        bins: Bins of equal width per code.
        kinds: `ordered` (binned) or `categorical` (levels as they are), for all or per factor; None: all ordered.
        factor_bins: Bins of ordered factors; by default as many as of codes.
        normalise_by: `factor` or `code`.
    Returns:
        A score in [0, 1].
    Raises:
        ValueError: If shapes differ, a value is not finite, rows are fewer than bins, or an option is unknown.
    References:
        Isolating Sources of Disentanglement in Variational Autoencoders (Chen, Li, Grosse and Duvenaud, 2018), section
        4.1. Measuring Disentanglement: A Review of Metrics (Carbonneau, Zaidi, Boilard and Gagnon, 2020).
    Example:
        >>> mig(factors=[[0], [0], [1], [1]], codes=[[0, 0], [0, 1], [1, 0], [1, 1]], bins=2)
        1.0
    """
    table = information_table(factors=factors, codes=codes, bins=bins, kinds=kinds, factor_bins=factor_bins)
    return mig_of(table, normalise_by)


def mig_sup_of(table: InformationTable, normalise_by: str = "code") -> float:
    """`mig_sup` of a table that is there already."""
    if normalise_by not in ("factor", "code"):
        raise ValueError(f"expected normalise_by factor or code, got {normalise_by!r}: choose one of them")
    active = table.code_entropy > 1e-12
    if not active.any():
        return 0.0
    by = table.factor_entropy[:, None] if normalise_by == "factor" else table.code_entropy
    return float(_gaps(_ratio(table.information, by), 0)[active].mean())


def mig_sup(
    *,
    factors: ArrayLike,
    codes: ArrayLike,
    bins: int = 10,
    kinds: Kinds = None,
    factor_bins: int | None = None,
    normalise_by: str = "code",
) -> float:
    r"""Mutual information gap, the other way round: does each code tell one factor alone?

    .. math:: \frac1D \sum_c \Big[\max_f \frac{I(f; c)}{H} - \text{second}_f \frac{I(f; c)}{H}\Big]

    with :math:`H = H(c)` as in the review's collection, or :math:`H(f)` as published. Codes that hold noise lower it:
    with D codes, of which K are used, a perfect model gets K / D.

    Args:
        factors: Known factors, shape `(N, F)`; with one factor only, nothing is subtracted.
        codes: Codes, shape `(N, D)`; those that do not vary are left out, and if none does the score is 0.
        bins: Bins of equal width per code.
        kinds: `ordered` (binned) or `categorical` (levels as they are), for all or per factor; None: all ordered.
        factor_bins: Bins of ordered factors; by default as many as of codes.
        normalise_by: `code` or `factor`.
    Returns:
        A score in [0, 1].
    Raises:
        ValueError: If shapes differ, a value is not finite, rows are fewer than bins, or an option is unknown.
    References:
        Progressive Learning and Disentanglement of Hierarchical Representations (Li, Murkute, Gyawali and Wang, 2020).
    """
    table = information_table(factors=factors, codes=codes, bins=bins, kinds=kinds, factor_bins=factor_bins)
    return mig_sup_of(table, normalise_by)


def jemmig_of(table: InformationTable) -> float:
    """`jemmig` of a table that is there already."""
    information = table.information
    # Several codes may be best, as all are for a constant factor: of these the one that holds most else.
    tied = information >= information.max(axis=1, keepdims=True) - 1e-12
    joint = np.where(tied, table.joint_entropy, 0.0).max(axis=1)
    cost = joint - _gaps(information, 1)
    return float(np.mean(1.0 - cost / (table.factor_entropy + np.log2(table.bins))))


def jemmig(
    *, factors: ArrayLike, codes: ArrayLike, bins: int = 10, kinds: Kinds = None, factor_bins: int | None = None
) -> float:
    r"""Joint entropy minus mutual information gap: one code per factor, and nothing else in that code.

    .. math:: \frac1F \sum_f \Big[1 - \frac{H(f, c^*) - I(f; c^*) + I(f; c^{**})}{H(f) + \log_2 bins}\Big]

    where c* and c** are the codes that tell most and second most of f. The cost itself is better when low; this is one
    minus the normalised cost, as in the review's collection: better when high. Codes that do not vary get more than
    noise does, H(c) being part of the cost.

    Args:
        factors: Known factors, shape `(N, F)`.
        codes: Codes, shape `(N, D)`.
        bins: Bins of equal width per code, 2 or more.
        kinds: `ordered` (binned) or `categorical` (levels as they are), for all or per factor; None: all ordered.
        factor_bins: Bins of ordered factors; by default as many as of codes.
    Returns:
        A score of at most 1.
    Raises:
        ValueError: If shapes differ, a value is not finite, rows are fewer than bins, or a kind is unknown.
    References:
        Theory and Evaluation Metrics for Learning Disentangled Representations (Do and Tran, 2020), section 3.3.
    """
    return jemmig_of(information_table(factors=factors, codes=codes, bins=bins, kinds=kinds, factor_bins=factor_bins))


def dcimig_of(table: InformationTable) -> float:
    """`dcimig` of a table that is there already."""
    gaps = _gaps(table.information, 0)
    best = table.information.argmax(axis=0)
    credit = np.zeros(len(table.factor_entropy))
    np.maximum.at(credit, best, gaps)
    total = table.factor_entropy.sum()
    return float(credit.sum() / total) if total > 1e-12 else 0.0


def dcimig(
    *, factors: ArrayLike, codes: ArrayLike, bins: int = 10, kinds: Kinds = None, factor_bins: int | None = None
) -> float:
    r"""DCIMIG: how much of all factors is told by codes that tell one factor only.

    Each code's gap between its best and second best factor is credited to the best one:

    .. math:: \sum_f \max_{c : f^*(c) = f} \big[I(f; c) - \text{second}_{f'} I(f'; c)\big] \Big/ \sum_f H(f)

    Args:
        factors: Known factors, shape `(N, F)`; if none varies the score is 0.
        codes: Codes, shape `(N, D)`.
        bins: Bins of equal width per code.
        kinds: `ordered` (binned) or `categorical` (levels as they are), for all or per factor; None: all ordered.
        factor_bins: Bins of ordered factors; by default as many as of codes.
    Returns:
        A score in [0, 1].
    Raises:
        ValueError: If shapes differ, a value is not finite, rows are fewer than bins, or a kind is unknown.
    References:
        How to Not Measure Disentanglement (Sepliarskaia, Kiseleva and de Rijke, 2019), section 4.
    """
    return dcimig_of(information_table(factors=factors, codes=codes, bins=bins, kinds=kinds, factor_bins=factor_bins))


def modularity_of(table: InformationTable, uninformative: str = "leave out") -> float:
    """`modularity` of a table that is there already."""
    if uninformative not in ("leave out", "zero"):
        raise ValueError(f"expected uninformative 'leave out' or 'zero', got {uninformative!r}: choose one of them")
    if len(table.factor_entropy) < 2:
        raise ValueError("expected at least 2 factors, got 1: this metric compares factors")
    squares = table.information**2
    best = squares.max(axis=0)
    active = best > 0
    if not active.any():
        return 0.0
    rest = (squares.sum(axis=0) - best)[active] / best[active] / (len(squares) - 1)
    scores = 1.0 - rest
    return float(scores.mean() if uninformative == "leave out" else scores.sum() / len(best))


def modularity(
    *,
    factors: ArrayLike,
    codes: ArrayLike,
    bins: int = 10,
    kinds: Kinds = None,
    factor_bins: int | None = None,
    uninformative: str = "leave out",
) -> float:
    r"""Modularity: does each code tell at most one factor?

    .. math:: \frac1D \sum_c \Big[1 - \frac{\sum_{f \neq f^*} I(f; c)^2}{(F - 1)\, I(f^*; c)^2}\Big]

    Chance is far from 0: noise tells a little of every factor, by accident not equally much (.58 to .98, most where
    factors differ in their number of levels). Never read it without its noise baseline.

    Args:
        factors: Known factors, shape `(N, F)`, two or more.
        codes: Codes, shape `(N, D)`.
        bins: Bins of equal width per code.
        kinds: `ordered` (binned) or `categorical` (levels as they are), for all or per factor; None: all ordered.
        factor_bins: Bins of ordered factors; by default as many as of codes.
        uninformative: What to do with codes that tell nothing of any factor, such as constant ones: `leave out` of the
            mean, or `zero`, as in some libraries. If no code tells anything the score is 0.
    Returns:
        A score in [0, 1].
    Raises:
        ValueError: If shapes differ, a value is not finite, rows are fewer than bins, factors are fewer than two, or an
            option is unknown.
    References:
        Learning Deep Disentangled Embeddings with the F-Statistic Loss (Ridgeway and Mozer, 2018), section 3.
    """
    table = information_table(factors=factors, codes=codes, bins=bins, kinds=kinds, factor_bins=factor_bins)
    return modularity_of(table, uninformative)
