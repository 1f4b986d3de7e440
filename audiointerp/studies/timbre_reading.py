"""What can be read from representations of notes: family, pitch, velocity, source; controls and rivals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from audiointerp.probes.classifiers import (
    KINDS,
    Question,
    accuracy_over_groups,
    answers,
    class_table,
    confusion_counts,
    explained_over_groups,
)
from audiointerp.statistics.intervals import seed_interval
from audiointerp.statistics.permutation import permuted_labels
from audiointerp.studies.timbre_notes import FAMILY, PITCH, SOURCE, VELOCITY, Notes
from audiointerp.study import RunContext, stream
from audiointerp.training.fit_autoencoder import FittedAutoencoder
from audiointerp.training.side_by_side import side_by_side

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
    asked: list[tuple[str, np.ndarray, list[Asked]]] = []
    for name, features in representations.items():
        chosen, jobs = probes_of(name, probes), []
        for kind in chosen:
            for width in widths if kind == "mlp" and name == EMBEDDING else widths[:1]:
                jobs += [Asked(FAMILY, kind, width, split) for split in ("groups", "random")]
        for target in numbers(notes):
            kinds = chosen if name == EMBEDDING else chosen[:1]
            jobs += [Asked(target, kind, widths[0]) for kind in kinds]
        if notes.source is not None:
            jobs.append(Asked(SOURCE, chosen[0], widths[0]))
        asked.append((name, features, jobs))
    for name, features in layers.items():
        kind = probes_of(name, [kind for kind in probes if kind in MACHINES])[0]
        asked.append((name, features, [Asked(target, kind, widths[0]) for target in (FAMILY, *numbers(notes))]))
    rows, classes, confusions = [], [], []
    found = answered([(features, [one.question(notes, context.seed) for one in jobs]) for _, features, jobs in asked])
    found = context.progress(found, description="probing", total=len(asked), unit="representation")
    for (name, features, jobs), predictions in zip(asked, found, strict=True):
        for one, predicted in zip(jobs, predictions, strict=True):
            row = measured(notes, one, predicted, context.seed)
            rows.append({"representation": name, "features": features.shape[1], **row})
            if name == EMBEDDING and one.target == FAMILY and one.width == widths[0]:
                true = notes.labels[notes.rows("test", one.split)]
                about = {"probe": one.kind, "split": one.split}
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


@dataclass(frozen=True)
class Asked:
    """One reading of a representation.

    Attributes:
        target: Family, pitch, velocity or source.
        kind: The probe.
        width: Units of the MLP's hidden layers.
        split: `groups` or `random`.
    """

    target: str
    kind: str
    width: int
    split: str = "groups"

    def question(self, notes: Notes, seed: int) -> Question:
        """Gives it as the probe takes it: trained on the role `train`, asked of `test`."""
        train, test = notes.rows("train", self.split), notes.rows("test", self.split)
        return Question(
            self.kind, wanted(notes, self.target), train, test, self.target in (PITCH, VELOCITY),
            notes.groups if self.split == "groups" else None, self.width, seed,
        )  # fmt: skip


def answered(asked: Sequence[tuple[np.ndarray, Sequence[Question]]]) -> Iterator[list[np.ndarray]]:
    """Answers the questions to each of several representations, as many at a time as there are cores."""
    return side_by_side([partial(answers, features, questions) for features, questions in asked])


def measured(notes: Notes, asked: Asked, predicted: np.ndarray, seed: int) -> dict:
    """Gives the row of the table for what was read of the test notes."""
    test = notes.rows("test", asked.split)
    # A random split has no groups of its own: its interval is over notes, and too narrow.
    clusters = notes.groups[test] if asked.split == "groups" else test
    true = wanted(notes, asked.target)[test]
    row = {"target": asked.target, "probe": asked.kind, "width": asked.width if asked.kind == "mlp" else None}
    row |= {"split": asked.split}
    if asked.target in (PITCH, VELOCITY):
        found = explained_over_groups(true, predicted, clusters, seed)
        row |= {"measure": "R^2", "chance": 0.0, "median_error": float(np.median(np.abs(predicted - true)))}
    else:
        found = accuracy_over_groups(true, predicted, clusters, seed)
        shares = np.bincount(true) / len(test)
        row |= {"measure": "accuracy", "chance": float(shares.max()), "median_error": None}
    row |= {"value": found.estimate, "ci_low": found.low, "ci_high": found.high, "interval": found.kind}
    paper = PAPER.get(asked.kind) if asked.target == FAMILY and asked.split == "random" else None
    return row | {"paper": paper, "n_clips": len(test), "n_groups": len(np.unique(notes.groups[test]))}


def permuted_rows(
    context: RunContext, notes: Notes, features: np.ndarray, kinds: Sequence[str], draws: int, width: int
) -> list[dict]:
    """Reads permuted labels: over whole groups what is constant in each group, else within groups.

    The value is the mean over the draws, its interval that of a mean over draws, t. Where permuting can change nothing
    the page says so.
    """
    train, test = notes.rows("train"), notes.rows("test")
    asked: list[tuple[str, str, list[Question]]] = []
    for target in (FAMILY, *numbers(notes)):
        true = wanted(notes, target)
        seed = int(stream(context.seed, "permuted labels", target).integers(2**32))
        drawn = permuted_labels(true, notes.groups, n=draws, seed=seed)
        if not drawn.possible:
            context.page.warn(f"There is no control by permuted labels for {target}: {drawn.reason}.")
            continue
        for kind in kinds if target == FAMILY else kinds[:1]:
            about = (target != FAMILY, notes.groups, width, context.seed)
            questions = [Question(kind, labels, train, test, *about) for labels in drawn.classes[drawn.labels]]
            asked.append((target, kind, questions))
    rows = []
    found = answered([(features, questions) for _, _, questions in asked])
    found = context.progress(found, description="probing, permuted labels", total=len(asked), unit="probe")
    for (target, kind, questions), predictions in zip(asked, found, strict=True):
        values = [
            float((predicted == question.targets[test]).mean())
            if target == FAMILY
            else explained_over_groups(question.targets[test], predicted, notes.groups[test]).estimate
            for question, predicted in zip(questions, predictions, strict=True)
        ]
        over = seed_interval(values)
        chance = float(np.bincount(notes.labels[test]).max() / len(test)) if target == FAMILY else 0.0
        rows.append(
            {"target": target, "probe": kind, "width": width if kind == "mlp" else None, "split": "groups",
             "measure": "accuracy" if target == FAMILY else "R^2", "chance": chance, "median_error": None,
             "value": over.estimate, "ci_low": over.low, "ci_high": over.high,
             "interval": over.kind.replace("seeds", "draws"), "paper": None, "n_clips": len(test),
             "n_groups": len(np.unique(notes.groups[test]))}
        )  # fmt: skip
    return rows


def read_seeds(
    notes: Notes, fitted: Sequence[FittedAutoencoder], probes: Sequence[str], width: int, seed: int
) -> pd.DataFrame:
    """Reads the family from every trained code, the seeds apart."""
    kinds = [kind for kind in (*MACHINES, "mlp") if kind in probes] or probes_of(EMBEDDING, probes)[:1]
    asked = [Asked(FAMILY, kind, width, split) for kind in kinds for split in ("groups", "random")]
    questions = [one.question(notes, seed) for one in asked]
    codes = [one.encode(notes.waveforms).reshape(len(notes.waveforms), -1) for one in fitted]
    found = answered([(features, questions) for features in codes])
    return pd.DataFrame(
        [
            {"seed": seed + number, "probe": asked_for.kind, "split": asked_for.split,
             "accuracy": float((predicted == question.targets[question.test]).mean()),
             "validation": one.history[-1]["val_loss"], "seconds": one.seconds}
            for number, (one, predictions) in enumerate(zip(fitted, found, strict=True))
            for asked_for, question, predicted in zip(asked, questions, predictions, strict=True)
        ]
    )  # fmt: skip
