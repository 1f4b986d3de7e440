"""Tables of training regimes: scores by seed, means with intervals, and differences on the same clips."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from audiointerp.statistics.intervals import cluster_difference, cluster_interval, seed_interval
from audiointerp.studies.cnn12_task import Task
from audiointerp.training.fit_network import FittedNetwork
from audiointerp.training.recognise import scores

Key = tuple[str, float, str, int]
"""Regime, share of labels, split, seed."""


def score_rows(task: Task, key: Key, fitted: FittedNetwork) -> dict:
    """Gives one row: what one network scored on the held-out clips of its split, and what training it took."""
    name, fraction, split, seed = key
    test = task.splits[split].test
    measured = scores(fitted.logits, task.targets[test])
    return (
        {"regime": name, "fraction": fraction, "split": split, "seed": seed, "test_clips": len(test)}
        | measured
        | {"train_loss": fitted.loss}
        | {key: round(value, 4) for key, value in fitted.facts.items()}
    )


def right(task: Task, logits: Tensor, split: str) -> np.ndarray:
    """Tells for each held-out clip whether its class was named, float `(N,)`."""
    return (logits.argmax(1) == task.targets[task.splits[split].test]).double().numpy()


def by_clip(task: Task, heard: Mapping[Key, Tensor], name: str, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Gives the share of seeds that were right on each held-out clip of all splits, and the clips' groups."""
    values, groups = [], []
    for split, part in task.splits.items():
        mine = [right(task, logits, split) for key, logits in heard.items() if key[:3] == (name, fraction, split)]
        values.append(np.mean(mine, axis=0))
        groups.append(task.sounds.group.to_numpy()[part.test])
    return np.concatenate(values), np.concatenate(groups)


def by_seed(task: Task, heard: Mapping[Key, Tensor], name: str, fraction: float) -> np.ndarray:
    """Gives the share of held-out clips of all splits that each seed was right on, `(S,)`, in the seeds' order."""
    seeds: dict[int, list[np.ndarray]] = {}
    for (regime, share, split, seed), logits in heard.items():
        if (regime, share) == (name, fraction):
            seeds.setdefault(seed, []).append(right(task, logits, split))
    return np.array([np.concatenate(seeds[seed]).mean() for seed in sorted(seeds)])


def summarise(task: Task, table: pd.DataFrame, heard: Mapping[Key, Tensor], seed: int) -> pd.DataFrame:
    """Gives one row per regime and share of labels: mean score, its interval, and the range over seeds.

    Accuracies have an interval over the groups of the held-out clips, each clip's value being its mean over seeds; mean
    average precisions one over seeds.
    """
    rows = []
    for (name, fraction), mine in table.groupby(["regime", "fraction"], sort=False):
        seeds = mine.groupby("seed")[task.measure].mean()
        if task.multilabel:
            interval = seed_interval(seeds.to_numpy())
        else:
            interval = cluster_interval(*by_clip(task, heard, name, fraction), seed=seed)
        rows.append(
            {"regime": name, "fraction": fraction, "score": interval.estimate}
            | {"ci_low": interval.low, "ci_high": interval.high, "interval": interval.kind}
            | {"chance": chance(task), "seeds_low": seeds.min(), "seeds_high": seeds.max(), "n_seeds": len(seeds)}
            | {name: float(mine[name].mean()) for name in ("mAP", "mAUC")}
            | {"d_prime": float(mine["d_prime"].mean()) if np.isfinite(mine["d_prime"]).all() else np.nan}
            | {"processor_s": float(mine["processor_s"].mean()), "clips_per_s": float(mine["clips_per_s"].mean())}
        )
    return pd.DataFrame(rows)


def by_split(task: Task, table: pd.DataFrame) -> pd.DataFrame:
    """Gives one row per regime, share of labels and split: mean, least and largest score over seeds."""
    grouped = table.groupby(["regime", "fraction", "split"], sort=False)[task.measure]
    return grouped.agg(score="mean", low="min", high="max").reset_index()


def chance(task: Task) -> float:
    """Gives the score of always naming the class that is most frequent in training, or of random ranks."""
    if task.multilabel:
        test = np.concatenate([part.test for part in task.splits.values()])
        shares = task.targets[test].mean(0)
        return float(shares[(shares > 0) & (shares < 1)].mean())
    named = [
        (task.targets[part.test] == task.targets[part.train].bincount().argmax()).double().mean()
        for part in task.splits.values()
    ]
    return float(np.mean(named))


def compare(
    task: Task, heard: Mapping[Key, Tensor], summary: pd.DataFrame, control: str, baseline: str, seed: int
) -> pd.DataFrame:
    """Compares regimes on the same clips: frozen encoders with the untrained one, tuned networks with scratch.

    The interval is over groups of clips, for the networks that were trained; `seeds_low` and `seeds_high` are the
    differences of single seeds, by which training itself varies. Only accuracies, which each clip has one of, are
    compared; for tags the table is empty.
    """
    columns = ["regime", "against", "fraction", "difference", "ci_low", "ci_high", "interval"]
    columns += ["seeds_low", "seeds_high"]
    if task.multilabel:
        return pd.DataFrame(columns=columns)
    rows = []
    for name, fraction in zip(summary["regime"], summary["fraction"], strict=True):
        other = baseline if name.endswith(("full", "scratch", "longer")) else control
        if name == other or not ((summary["regime"] == other) & (summary["fraction"] == fraction)).any():
            continue
        (mine, groups), (theirs, _) = (by_clip(task, heard, item, fraction) for item in (name, other))
        found = cluster_difference(mine, theirs, groups, seed=seed)
        seeds = by_seed(task, heard, name, fraction) - by_seed(task, heard, other, fraction)
        rows.append(
            (name, other, fraction, found.estimate, found.low, found.high, found.kind, seeds.min(), seeds.max())
        )
    return pd.DataFrame(rows, columns=columns)
