"""What an edit did: distances in the network's output, what the edited output is read as, effect sizes by groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from audiointerp.edit.transfer import OTHER, OWN
from audiointerp.statistics.effects import d_z_interval
from audiointerp.statistics.tests import cluster_sign_flip

REFERENCES = {OWN: "P^", OTHER: "Q^"}
METHOD, CONTROL, BASELINE = "method", "control", "baseline"
ROLES = {
    "flow": METHOD,
    "no-op": CONTROL,
    "random direction": CONTROL,
    "within-class swap": CONTROL,
    "class-mean shift": BASELINE,
    "LDA shift": BASELINE,
}


@dataclass(frozen=True)
class OutputReaders:
    """Linear classifiers of each factor on unedited outputs of training sounds.

    Attributes:
        readers: Factor to a fitted classifier of logits.
    """

    readers: Mapping[str, LinearDiscriminantAnalysis]

    def read(self, factor: str, logits: np.ndarray) -> np.ndarray:
        """Gives the class that each output `(n, K)` is read as, int `(n,)`."""
        return self.readers[factor].predict(logits)


def fit_readers(logits: np.ndarray, labels: Mapping[str, np.ndarray], train: np.ndarray) -> OutputReaders:
    """Trains the classifiers that say what an output is read as (LDA with Ledoit-Wolf shrinkage, equal priors).

    Args:
        logits: Unedited outputs, shape `(N, K)`.
        labels: Factor to integer labels, each `(N,)`; rows with -1 are left out.
        train: Training rows.
    """
    readers = {}
    for factor, values in labels.items():
        rows = train[values[train] >= 0]
        classes = np.unique(values[rows])
        prior = np.full(len(classes), 1.0 / len(classes))
        lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=prior)
        readers[factor] = lda.fit(logits[rows].astype(np.float64), values[rows])
    return OutputReaders(readers)


def effect_rows(
    factor: str,
    pairs: pd.DataFrame,
    edited: Mapping[tuple[str, str], np.ndarray],
    changes: Mapping[tuple[str, str], np.ndarray],
    output: np.ndarray,
    groups: np.ndarray,
    labels: Mapping[str, np.ndarray],
    readers: OutputReaders,
    seed: int,
) -> list[dict]:
    """Measures each edit against both references of its pair; positive d_z: the edited output came nearer.

    Args:
        factor: The edited factor.
        pairs: Pairs as `choose_pairs` gives them.
        edited: (edit, `own class` or `other class`) to edited logits, each `(n, K)`.
        changes: The same keys to the changes of the reduced layer, each `(n, k)`.
        output: Unedited logits of all rows, shape `(N, K)`.
        groups: Group of each row, shape `(N,)`.
        labels: Factor to integer labels, each `(N,)`.
        readers: Classifiers of unedited outputs.
        seed: For bootstrap and sign flips.
    Returns:
        Rows of the table `transfer`.
    """
    source = pairs["source"].to_numpy()
    rows = []
    for (edit, moved_to), logits in edited.items():
        kept = [
            np.mean(readers.read(other, logits) == values[source])
            for other, values in labels.items()
            if other != factor
        ]
        wanted = pairs["target"] if moved_to == OTHER else pairs["label"]
        read = float(np.mean(readers.read(factor, logits) == wanted.to_numpy()))
        for measured_to, column in ((OWN, "own"), (OTHER, "other")):
            reference = pairs[column].to_numpy()
            before = np.linalg.norm(output[source] - output[reference], axis=1)
            after = np.linalg.norm(logits - output[reference], axis=1)
            nearer = before - after
            interval = d_z_interval(nearer, groups[source], groups[reference], seed=seed)
            test = cluster_sign_flip(nearer, groups[source], seed=seed)
            rows.append(
                {
                    "factor": factor,
                    "reference": REFERENCES[measured_to],
                    "moved_to": REFERENCES[moved_to],
                    "edit": edit,
                    "role": ROLES[edit],
                    "n": len(pairs),
                    "n_groups": interval.n_clusters,
                    "distance_before": before.mean(),
                    "distance_after": after.mean(),
                    "d_z": interval.estimate,
                    "ci_low": interval.low,
                    "ci_high": interval.high,
                    "interval": interval.kind,
                    "p": test.p,
                    "read_as_target": read,
                    "other_kept": float(np.mean(kept)) if kept else np.nan,
                    "edit_norm": float(np.linalg.norm(changes[edit, moved_to], axis=1).mean()),
                }
            )
    return rows
