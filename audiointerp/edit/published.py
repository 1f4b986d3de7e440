"""Latent transfer as it was published, each of its mistakes by a switch of its own (Dick et al., published code)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

ATYPICAL_HALF_WIDTH = 0.2
TYPICAL_HALF_WIDTH = 0.3


@dataclass(frozen=True)
class Mistakes:
    """Which mistakes of the published analysis are made.

    Attributes:
        any_class: "Atypical P" is drawn from every class: the class filter was the output argument of the comparison.
        log_sigmoid: Outputs are log-sigmoid of probabilities, called inverse sigmoid, instead of logits.
    """

    any_class: bool = True
    log_sigmoid: bool = True

    def outputs(self, logits: np.ndarray) -> np.ndarray:
        """Gives the outputs that distances are measured in, shape as `logits`."""
        if not self.log_sigmoid:
            return logits
        probabilities = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
        return -np.log1p(np.exp(-probabilities))


def choose_by_windows(
    values: np.ndarray, labels: np.ndarray, rows: np.ndarray, count: int, mistakes: Mistakes, rng: np.random.Generator
) -> pd.DataFrame:
    """Draws pairs by windows on a factor's one dimension: atypical within 0.2 of the grand mean, typical within 0.3 of
    their class mean.

    Args:
        values: The dimension, shape `(N,)`.
        labels: Integer labels, shape `(N,)`.
        rows: Rows that may be drawn.
        count: Pairs per ordered pair of classes; sounds are drawn again and again, as published.
        mistakes: Which mistakes are made.
        rng: Draws.
    Returns:
        One row per pair: source, own (row of P^), other (row of Q^), label (p), target (q).
    """
    own = values[rows]
    classes = labels[rows]
    near_middle = np.abs(own - own.mean()) <= ATYPICAL_HALF_WIDTH
    typical = {
        label: rows[(classes == label) & (np.abs(own - own[classes == label].mean()) < TYPICAL_HALF_WIDTH)]
        for label in np.unique(classes)
    }
    parts = []
    for p in typical:
        atypical = rows[near_middle] if mistakes.any_class else rows[near_middle & (classes == p)]
        for q in typical:
            if p == q or not len(atypical) or not len(typical[p]) or not len(typical[q]):
                continue
            drawn = [rng.choice(pool, size=count) for pool in (atypical, typical[p], typical[q])]
            parts.append(pd.DataFrame(dict(zip(("source", "own", "other"), drawn, strict=True), label=p, target=q)))
    columns = ["source", "own", "other", "label", "target"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns, dtype=int)
