"""What can be read from representations of notes: family, pitch, velocity, source; controls and rivals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from audiointerp.probes.classifiers import (
    KINDS,
    accuracy_over_groups,
    class_table,
    classify,
    confusion_counts,
    explained_over_groups,
    regress,
)
from audiointerp.statistics.intervals import seed_interval
from audiointerp.statistics.permutation import permuted_labels
from audiointerp.studies.timbre_notes import FAMILY, PITCH, SOURCE, VELOCITY, Notes
from audiointerp.study import RunContext, stream
from audiointerp.training.fit_autoencoder import FittedAutoencoder

EMBEDDING, UNTRAINED = "embedding", "untrained encoder"
LOGMEL, LOGMEL_SMALL = "log-mel", "log-mel, as large as the code"
LEVELS = "duration and level"
SMALL = (EMBEDDING, UNTRAINED, LOGMEL_SMALL, LEVELS)
PERMUTED = "embedding, permuted labels"
MACHINES = ("svm_tuned", "svm")
PAPER = {"svm": 0.7206, "mlp": 0.8256}
"""Accuracies in the paper's figure 2 (NSynth's own encoder and notes, notes split at random)."""


@dataclass(frozen=True)
class Reading:
    """What was read.

    Attributes:
        table: One row per representation, target, probe, width and split.
        classes: Precision, recall and F1 per class, of the embedding's probes.
        confusions: Counts of true and predicted classes, of the same.
    """

    table: pd.DataFrame
    classes: pd.DataFrame
    confusions: pd.DataFrame


def read_everything(
    context: RunContext,
    notes: Notes,
    representations: Mapping[str, np.ndarray],
    layers: Mapping[str, np.ndarray],
    probes: Sequence[str],
    widths: Sequence[int],
    permutations: int,
) -> Reading:
    """Reads every target from every representation.

    Args:
        context: The run.
        notes: The notes.
        representations: Names to features `(N, D)`; read by all probes.
        layers: Layers of another network to features `(N, D)`; read by support vectors alone.
        probes: Out of `KINDS`.
        widths: Units of the MLP's hidden layers.
        permutations: Draws of permuted labels.
    """
    jobs = []
    for name, features in representations.items():
        chosen = probes_of(name, probes)
        for kind in chosen:
            for width in widths if kind == "mlp" and name == EMBEDDING else widths[:1]:
                for split in ("groups", "random"):
                    jobs.append((name, features, FAMILY, kind, width, split))
        for target in numbers(notes):
            kinds = chosen if name == EMBEDDING else chosen[:1]
            jobs += [(name, features, target, kind, widths[0], "groups") for kind in kinds]
        if notes.source is not None:
            jobs.append((name, features, SOURCE, chosen[0], widths[0], "groups"))
    for name, features in layers.items():
        kind = probes_of(name, [kind for kind in probes if kind in MACHINES])[0]
        jobs += [(name, features, target, kind, widths[0], "groups") for target in (FAMILY, *numbers(notes))]
    rows, classes, confusions = [], [], []
    for name, features, target, kind, width, split in context.progress(jobs, description="probing", unit="probe"):
        row, predicted = read_one(notes, features, target, kind, width, split, context.seed)
        rows.append({"representation": name, "features": features.shape[1], **row})
        if name == EMBEDDING and target == FAMILY and width == widths[0]:
            true = notes.labels[notes.rows("test", split)]
            about = {"probe": kind, "split": split}
            classes.append(class_table(true, predicted, notes.classes).assign(**about))
            confusions.append(confusion_counts(true, predicted, notes.classes).assign(**about))
    features = representations[EMBEDDING]
    rows += [
        {"representation": PERMUTED, "features": features.shape[1], **row}
        for row in permuted_rows(context, notes, features, probes_of(EMBEDDING, probes), permutations, widths[0])
    ]
    return Reading(pd.DataFrame(rows), pd.concat(classes, ignore_index=True), pd.concat(confusions, ignore_index=True))


def probes_of(representation: str, probes: Sequence[str]) -> list[str]:
    """Gives the probes that read a representation: those asked for, the MLP of small ones alone, else support vectors.

    Example:
        >>> probes_of("embedding", ["linear", "mlp"]), probes_of("log-mel", ["linear", "mlp"])
        (['mlp', 'linear'], ['linear'])
        >>> probes_of("log-mel", ["mlp"])
        ['svm_tuned']
    """
    return [kind for kind in KINDS if kind in probes and (kind != "mlp" or representation in SMALL)] or [KINDS[0]]


def level_features(notes: Notes) -> np.ndarray:
    """Gives what notes tell without being heard, `(N, 3)`: log duration, RMS and peak [dB]; probes standardise them."""
    levels = notes.sounds.levels
    return np.stack([np.log(levels["duration_s"]), levels["rms_db"], levels["peak_db"]], axis=1)


def numbers(notes: Notes) -> list[str]:
    """Names the numbers that vary."""
    return [name for name in (PITCH, VELOCITY) if len(np.unique(wanted(notes, name))) > 1]


def wanted(notes: Notes, target: str) -> np.ndarray:
    """Gives what is to be read of each note, `(N,)`: integer labels, or numbers."""
    if target in (PITCH, VELOCITY):
        return notes.pitch if target == PITCH else notes.velocity
    return notes.labels if target == FAMILY else pd.factorize(notes.source, sort=True)[0]


def read_one(
    notes: Notes, features: np.ndarray, target: str, kind: str, width: int, split: str, seed: int
) -> tuple[dict, np.ndarray]:
    """Trains one probe on the role `train` and reads `test`; gives a row of the table and the predictions."""
    train, test = notes.rows("train", split), notes.rows("test", split)
    # A random split has no groups of its own: its interval is over notes, and too narrow.
    groups = notes.groups if split == "groups" else np.arange(len(notes.groups))
    clusters = groups[test]
    row = {"target": target, "probe": kind, "width": width if kind == "mlp" else None, "split": split}
    if target in (PITCH, VELOCITY):
        values = wanted(notes, target)
        predicted = regress(kind, features, values, train, test, seed=seed, width=width, groups=groups)
        found = explained_over_groups(values[test], predicted, clusters, seed)
        error = float(np.median(np.abs(predicted - values[test])))
        row |= {"measure": "R^2", "chance": 0.0, "median_error": error}
    else:
        labels = wanted(notes, target)
        predicted = classify(kind, features, labels, train, test, seed=seed, width=width, groups=groups)
        found = accuracy_over_groups(labels[test], predicted, clusters, seed)
        shares = np.bincount(labels[test]) / len(test)
        row |= {"measure": "accuracy", "chance": float(shares.max()), "median_error": None}
    row |= {"value": found.estimate, "ci_low": found.low, "ci_high": found.high, "interval": found.kind}
    paper = PAPER.get(kind) if target == FAMILY and split == "random" else None
    return row | {"paper": paper, "n_clips": len(test), "n_groups": len(np.unique(notes.groups[test]))}, predicted


def permuted_rows(
    context: RunContext, notes: Notes, features: np.ndarray, kinds: Sequence[str], draws: int, width: int
) -> list[dict]:
    """Reads permuted labels: over whole groups what is constant in each group, else within groups.

    The value is the mean over the draws, its interval that of a mean over draws, t. Where permuting can change nothing
    the page says so.
    """
    train, test = notes.rows("train"), notes.rows("test")
    rows = []
    for target in (FAMILY, *numbers(notes)):
        true = wanted(notes, target)
        seed = int(stream(context.seed, "permuted labels", target).integers(2**32))
        drawn = permuted_labels(true, notes.groups, n=draws, seed=seed)
        if not drawn.possible:
            context.page.warn(f"There is no control by permuted labels for {target}: {drawn.reason}.")
            continue
        for kind in kinds if target == FAMILY else kinds[:1]:
            values = []
            for labels in drawn.classes[drawn.labels]:
                settings = {"seed": context.seed, "width": width, "groups": notes.groups}
                if target == FAMILY:
                    predicted = classify(kind, features, labels, train, test, **settings)
                    values.append(float((predicted == labels[test]).mean()))
                else:
                    predicted = regress(kind, features, labels, train, test, **settings)
                    values.append(explained_over_groups(labels[test], predicted, notes.groups[test]).estimate)
            found = seed_interval(values)
            chance = float(np.bincount(notes.labels[test]).max() / len(test)) if target == FAMILY else 0.0
            rows.append(
                {"target": target, "probe": kind, "width": width if kind == "mlp" else None, "split": "groups",
                 "measure": "accuracy" if target == FAMILY else "R^2", "chance": chance, "median_error": None,
                 "value": found.estimate, "ci_low": found.low, "ci_high": found.high,
                 "interval": found.kind.replace("seeds", "draws"), "paper": None, "n_clips": len(test),
                 "n_groups": len(np.unique(notes.groups[test]))}
            )  # fmt: skip
    return rows


def read_seeds(
    notes: Notes, fitted: Sequence[FittedAutoencoder], probes: Sequence[str], width: int, seed: int
) -> pd.DataFrame:
    """Reads the family from every trained code, the seeds apart."""
    rows = []
    for number, one in enumerate(fitted):
        features = one.encode(notes.waveforms).reshape(len(notes.waveforms), -1)
        for kind in [kind for kind in (*MACHINES, "mlp") if kind in probes] or probes_of(EMBEDDING, probes)[:1]:
            for split in ("groups", "random"):
                train, test = notes.rows("train", split), notes.rows("test", split)
                groups = notes.groups if split == "groups" else None
                predicted = classify(kind, features, notes.labels, train, test, seed=seed, width=width, groups=groups)
                right = float((predicted == notes.labels[test]).mean())
                rows.append(
                    {"seed": seed + number, "probe": kind, "split": split, "accuracy": right,
                     "validation": one.history[-1]["val_loss"], "seconds": one.seconds}
                )  # fmt: skip
    return pd.DataFrame(rows)
