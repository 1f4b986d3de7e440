"""What edits did: distances in the network's output, what the output is read as, effect sizes by groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from audiointerp.edit.transfer import OTHER, OWN
from audiointerp.statistics.effects import d_z_interval
from audiointerp.statistics.intervals import Interval, interval_of_sums, pair_interval
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
ROUNDING = 1e-5
ALL_SEEDS = "all"


@dataclass(frozen=True)
class OutputReaders:
    """Linear classifiers of each factor on unedited outputs of training sounds.

    Attributes:
        readers: Factor to a fitted classifier of logits.
    """

    readers: Mapping[str, LinearDiscriminantAnalysis]

    def probabilities(self, factor: str, logits: np.ndarray) -> np.ndarray:
        """Gives the probability of each class for outputs `(n, K)`, columns in the order of the labels."""
        return self.readers[factor].predict_proba(logits.astype(np.float64))


def fit_readers(logits: np.ndarray, labels: Mapping[str, np.ndarray], train: np.ndarray) -> OutputReaders:
    """Trains the classifiers that say what an output is read as (LDA with Ledoit-Wolf shrinkage, equal priors).

    Args:
        logits: Unedited outputs, shape `(N, K)`.
        labels: Factor to integer labels from 0, each `(N,)`; every class has training rows.
        train: Training rows.
    """
    readers = {}
    for factor, values in labels.items():
        classes = np.unique(values[train])
        prior = np.full(len(classes), 1.0 / len(classes))
        lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=prior)
        readers[factor] = lda.fit(logits[train].astype(np.float64), values[train])
    return OutputReaders(readers)


def outcomes(
    factor: str,
    pairs: pd.DataFrame,
    edited: Mapping[tuple[str, str], np.ndarray],
    output: np.ndarray,
    labels: Mapping[str, np.ndarray],
    readers: OutputReaders,
) -> pd.DataFrame:
    """Measures every edit of every pair.

    Args:
        factor: The edited factor.
        pairs: Pairs as `choose_pairs` gives them.
        edited: (edit, `own class` or `other class`) to edited logits, each `(n, K)`.
        output: Unedited logits of all rows, shape `(N, K)`.
        labels: Factor to integer labels, each `(N,)`.
        readers: Classifiers of unedited outputs.
    Returns:
        One row per edit and pair: factor, edit, moved_to (`P^` or `Q^`), source, own, other, the distances to both
        references before and after, whether the output is read as the class it was moved to, whether the other factors
        are still read right, the norm of the unedited output, and by how much the probabilities of the target class
        (on_target) and, in absolute value, of the other factors' classes (off_target) changed.
    """
    source = pairs["source"].to_numpy()
    rest = [other for other in labels if other != factor]
    before = {name: readers.probabilities(name, output[source]) for name in labels}
    frames = []
    for (edit, moved_to), logits in edited.items():
        after = {name: readers.probabilities(name, logits) for name in labels}
        wanted = pairs["target" if moved_to == OTHER else "label"].to_numpy()
        each = np.arange(len(pairs))
        frame = pd.DataFrame(
            {
                "factor": factor,
                "edit": edit,
                "moved_to": REFERENCES[moved_to],
                "source": source,
                "own": pairs["own"].to_numpy(),
                "other": pairs["other"].to_numpy(),
                "read_as_target": after[factor].argmax(1) == wanted,
                "output_norm": np.linalg.norm(output[source], axis=1),
                "on_target": (after[factor] - before[factor])[each, wanted],
            }
        )
        if rest:
            frame["other_kept"] = np.mean([after[name].argmax(1) == labels[name][source] for name in rest], axis=0)
            changed = [np.abs(after[name] - before[name])[each, labels[name][source]] for name in rest]
            frame["off_target"] = np.mean(changed, axis=0)
        else:
            frame["other_kept"] = frame["off_target"] = np.nan
        for measured_to, column in ((OWN, "own"), (OTHER, "other")):
            reference = output[pairs[column].to_numpy()]
            frame[f"before {REFERENCES[measured_to]}"] = np.linalg.norm(output[source] - reference, axis=1)
            frame[f"after {REFERENCES[measured_to]}"] = np.linalg.norm(logits - reference, axis=1)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def nearer(records: pd.DataFrame, reference: str) -> np.ndarray:
    """Gives how much nearer each edited output is to its reference than the unedited one; rounding counts as none."""
    before = records[f"before {reference}"].to_numpy()
    difference = before - records[f"after {reference}"].to_numpy()
    size = ROUNDING * np.maximum(before, records["output_norm"].to_numpy() if "output_norm" in records else 0.0)
    return np.where(np.abs(difference) < size, 0.0, difference)


def summarise(records: pd.DataFrame, groups: np.ndarray, seed: int) -> pd.DataFrame:
    """Turns outcomes of pairs into the table `transfer`: a row per factor, edit, reference and flow, and over all.

    Args:
        records: Outcomes with a column `flow_seed`.
        groups: Group of each segment, shape `(N,)`.
        seed: For bootstrap and sign flips.
    """
    rows = []
    each = [(str(name), part) for name, part in records.groupby("flow_seed", sort=False)]
    for flow_seed, part in [*each, (ALL_SEEDS, records)] if len(each) > 1 else [(ALL_SEEDS, records)]:
        for (factor, edit, moved_to), mine in part.groupby(["factor", "edit", "moved_to"], sort=False):
            source = groups[mine["source"]]
            for reference, column in (("P^", "own"), ("Q^", "other")):
                difference = nearer(mine, reference)
                interval = d_z_interval(difference, source, groups[mine[column]], seed=seed)
                rows.append(
                    {
                        "factor": factor,
                        "reference": reference,
                        "moved_to": moved_to,
                        "edit": edit,
                        "role": ROLES[edit],
                        "protocol": "corrected",
                        "n": len(mine),
                        "n_groups": interval.n_clusters,
                        "distance_before": mine[f"before {reference}"].mean(),
                        "distance_after": mine[f"after {reference}"].mean(),
                        "d_z": interval.estimate,
                        "ci_low": interval.low,
                        "ci_high": interval.high,
                        "interval": interval.kind,
                        "p": cluster_sign_flip(difference, source, seed=seed, n=1999).p,
                        "nearer_share": float(np.mean(difference > 0)),
                        "read_as_target": mine["read_as_target"].mean(),
                        "other_kept": mine["other_kept"].mean(),
                        "on_target": mine["on_target"].mean(),
                        "off_target": mine["off_target"].mean(),
                        "edit_norm": mine["edit_norm"].mean(),
                        "largest_edit_norm": mine["edit_norm"].max(),
                        "negative_share": mine["negative_share"].mean(),
                        "mahalanobis_percentile": mine["mahalanobis_percentile"].mean(),
                        "flow_seed": flow_seed,
                    }
                )
    return pd.DataFrame(rows)


def rivalry(
    records: pd.DataFrame, method: str, rival: str, groups: np.ndarray, seed: int, reference: str = "Q^"
) -> list[dict]:
    """Compares two edits of the same pairs: effect size, share that came nearer, share that is read as the target.

    Args:
        records: Outcomes of edits moved to `reference`.
        method: One edit.
        rival: The other.
        groups: Group of each segment, shape `(N,)`.
        seed: For the bootstrap.
        reference: What distances are measured to.
    """
    rows = []
    for factor, mine in records[records["moved_to"] == reference].groupby("factor", sort=False):
        a, b = (mine[mine["edit"] == name] for name in (method, rival))
        source, goal = groups[a["source"]], groups[a["other" if reference == "Q^" else "own"]]
        x, y = nearer(a, reference), nearer(b, reference)
        columns = np.stack([np.ones_like(x), x, x**2, y, y**2], axis=1)
        effect = interval_of_sums(columns, _effect_difference, source, goal, accelerated=True, seed=seed)
        read = a["read_as_target"].to_numpy(float) - b["read_as_target"].to_numpy(float)
        share = pair_interval(read, source, goal, seed=seed)
        # An edit that leaves the range of the data can dominate every mean: the share of pairs that came nearer cannot.
        came = pair_interval((x > 0).astype(float) - (y > 0), source, goal, seed=seed)
        for measure, interval in (("d_z", effect), ("share nearer", came), ("read as target", share)):
            rows.append(
                {
                    "factor": factor,
                    "measure": measure,
                    "method": method,
                    "rival": rival,
                    "difference": interval.estimate,
                    "ci_low": interval.low,
                    "ci_high": interval.high,
                    "interval": interval.kind,
                    "n_groups": interval.n_clusters,
                    "outcome": outcome(interval),
                }
            )
    return rows


def outcome(interval: Interval) -> str:
    """Says which way a comparison falls."""
    if np.isnan(interval.low):
        return "cannot be told"
    if interval.low > 0:
        return "method ahead"
    return "rival ahead" if interval.high < 0 else "no difference shown"


def _effect_difference(sums: np.ndarray) -> np.ndarray:
    count, x, xx, y, yy = np.moveaxis(sums, -1, 0)

    def effect(total: np.ndarray, squares: np.ndarray) -> np.ndarray:
        mean = total / count
        return mean / np.sqrt(np.maximum(squares / count - mean**2, 1e-30))

    return effect(x, xx) - effect(y, yy)


def negative_share(activation: np.ndarray) -> np.ndarray:
    """Gives the share of values below zero of each activation `(n, ...)`: a ReLU layer never gives any."""
    return (activation < 0).reshape(len(activation), -1).mean(1)


def distance_percentile(
    edited: np.ndarray,
    target: np.ndarray,
    means: np.ndarray,
    precision: np.ndarray,
    scores: np.ndarray,
    labels: Sequence,
) -> np.ndarray:
    """Says how far from its target class an edited row lies, among real rows and how far they lie from their own class.

    Mahalanobis distances; all real rows are ranked together, since the classes share one covariance and each has few.

    Args:
        edited: Edited rows, shape `(n, D)`.
        target: Their target classes, int `(n,)`.
        means: Class means, shape `(K, D)`.
        precision: Inverse of the covariance within classes, shape `(D, D)`.
        scores: Real rows that were not used for either, shape `(N, D)`.
        labels: Their classes, int `(N,)`.
    Returns:
        Percentile in [0, 100]: 50 is typical, 100 lies farther out than every real row.
    """

    def distance(rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        offset = rows - means[classes]
        return np.einsum("nd,de,ne->n", offset, precision, offset)

    real = np.sort(distance(scores, np.asarray(labels)))
    return 100.0 * np.searchsorted(real, distance(edited, target)) / len(real)
