"""Whether an explanation that can be heard carries the decision: measures on one vector of probabilities per clip."""

from __future__ import annotations

import numpy as np
import pandas as pd

MEASURES = ("AI", "AD", "AG", "FF", "Fid-In")


def faithfulness(p: np.ndarray, p_in: np.ndarray, p_out: np.ndarray) -> pd.DataFrame:
    r"""Measures explanations by what the network says of them, for the class it names for the whole clip.

    With :math:`p` the probability of that class for the clip, :math:`p_{in}` for the explanation and :math:`p_{out}`
    for what is left without it: AI :math:`= 100\,[p_{in} > p]`, AD :math:`= 100\,(p - p_{in})_+ / p`,
    AG :math:`= 100\,(p_{in} - p)_+ / (1 - p)`, FF :math:`= p - p_{out}`, Fid-In: whether the class stays the same.

    Args:
        p: Probabilities of the clips, `(N, K)`.
        p_in: Of the explanations, `(N, K)`.
        p_out: Of the rest, `(N, K)`.
    Returns:
        One row per clip: `AI`, `AD`, `AG` [%], `FF`, `Fid-In` (0 or 1), and the class `target`.
    Raises:
        ValueError: If the shapes differ or a value is no probability.
    References:
        Listenable Maps for Audio Classifiers (Paissan et al., 2024), section 4.1.
    Example:
        >>> whole, inside, rest = np.array([[0.8, 0.2]]), np.array([[0.9, 0.1]]), np.array([[0.5, 0.5]])
        >>> faithfulness(whole, inside, rest).round(2).iloc[0].to_dict()
        {'AI': 100.0, 'AD': 0.0, 'AG': 50.0, 'FF': 0.3, 'Fid-In': 1.0, 'target': 0.0}
    """
    p, p_in, p_out = (np.asarray(values, dtype=np.float64) for values in (p, p_in, p_out))
    if not (p.shape == p_in.shape == p_out.shape and p.ndim == 2):
        raise ValueError(f"expected three arrays (N, K) of one shape, got {p.shape}, {p_in.shape} and {p_out.shape}")
    if min(values.min() for values in (p, p_in, p_out)) < 0 or max(v.max() for v in (p, p_in, p_out)) > 1 + 1e-6:
        raise ValueError("expected probabilities in [0, 1]: take the softmax or sigmoid of logits first, once")
    target = p.argmax(1)
    clips = np.arange(len(p))
    own, inside, rest = p[clips, target], p_in[clips, target], p_out[clips, target]
    return pd.DataFrame(
        {
            "AI": 100.0 * (inside > own),
            "AD": 100.0 * np.maximum(own - inside, 0) / np.maximum(own, 1e-12),
            "AG": 100.0 * np.maximum(inside - own, 0) / np.maximum(1 - own, 1e-12),
            "FF": own - rest,
            "Fid-In": (p_in.argmax(1) == target).astype(float),
            "target": target,
        }
    )


def sparseness(attribution: np.ndarray) -> float:
    """Gini index of the absolute attribution: 0 where all is equal, near 1 where one value holds all; NaN if all is 0.

    References:
        Concise Explanations of Neural Networks using Adversarial Training (Chalasani et al., 2020), section 2.
    Example:
        >>> sparseness(np.ones(4)), sparseness(np.array([0.0, 0.0, 0.0, 5.0]))
        (0.0, 0.75)
    """
    values = np.sort(np.abs(np.asarray(attribution, dtype=np.float64)).reshape(-1))
    total = values.sum()
    if total <= 0:
        return float("nan")
    n = len(values)
    return float(1.0 - 2.0 * np.sum(values / total * (n - np.arange(1, n + 1) + 0.5) / n))


def complexity(attribution: np.ndarray) -> float:
    """Entropy [nats] of the absolute attribution as shares of its sum; NaN if all is 0.

    References:
        Evaluating and Aggregating Feature-based Model Explanations (Bhatt et al., 2020), section 4.
    Example:
        >>> round(complexity(np.ones(8)) / float(np.log(8)), 6), complexity(np.array([0.0, 1.0]))
        (1.0, 0.0)
    """
    values = np.abs(np.asarray(attribution, dtype=np.float64)).reshape(-1)
    total = values.sum()
    if total <= 0:
        return float("nan")
    shares = values[values > 0] / total
    return float(-(shares * np.log(shares)).sum()) + 0.0
