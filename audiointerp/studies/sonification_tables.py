"""Tables of sonification: means with intervals by network and layer, and what becomes of the paper's claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from audiointerp.sonify.coherence import noise_floor
from audiointerp.statistics.intervals import Interval, cluster_difference, cluster_interval, seed_interval
from audiointerp.studies.claims import verdict
from audiointerp.studies.cnn12_task import Task
from audiointerp.studies.sonification_evidence import CONTROLS, LEAST_SQUARES, NOTHING, PUBLISHED
from audiointerp.studies.sonification_networks import CONTROL, STRIDED, control_of
from audiointerp.training.recognise import scores

STRIDING = "strided convolution sonifies worse than max-pooling"
COHERENCES = ("coherence", "coherence_null", "coherence_corrected", "coherence_other", "shared_power")


def unfold(rows: Sequence[Mapping], task: Task) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Splits what `ClipEvidence` gave into a table of coherence and one of removal.

    The table of removal has a column `correct` (the share of seeds is made later) for one class per clip, NaN where a
    control was silent, and keeps the logits in its column `logits`.
    """
    whole, variants = [], []
    for row in rows:
        own = {key: value for key, value in row.items() if key != "variants"}
        own["group"] = str(task.sounds.group.iloc[row["clip"]])
        whole.append(own)
        for variant in row.get("variants", ()):
            shared = {key: own[key] for key in ("network", "seed", "clip", "group", "layer", "depth")}
            right = float("nan")
            if not task.multilabel and np.isfinite(variant["logits"]).all():
                right = float(variant["logits"].argmax() == int(task.targets[row["clip"]]))
            variants.append({**shared, **variant, "correct": right})
    return pd.DataFrame(whole), pd.DataFrame(variants)


def by_clip(frame: pd.DataFrame, value: str) -> pd.Series:
    """Gives a value's mean over seeds and layers for each clip that has it, with clip and group as index."""
    return frame.dropna(subset=[value]).groupby(["clip", "group"], sort=True)[value].mean()


def mean(frame: pd.DataFrame, value: str, seed: int) -> Interval:
    """Gives a mean over clips with its interval over groups of clips."""
    values = by_clip(frame, value)
    if not len(values):
        return Interval(np.nan, np.nan, np.nan, "none: not measured", 0)
    return cluster_interval(values.to_numpy(), values.index.get_level_values("group").to_numpy(), seed=seed)


def difference(a: pd.DataFrame, b: pd.DataFrame, value: str, seed: int, other: str | None = None) -> Interval:
    """Gives the mean difference on the clips that both have, `a` minus `b`, with its interval over groups of clips."""
    both = pd.concat([by_clip(a, value), by_clip(b, other or value)], axis=1, join="inner").to_numpy()
    groups = pd.concat([by_clip(a, value), by_clip(b, other or value)], axis=1, join="inner").index
    if not len(both):
        return Interval(np.nan, np.nan, np.nan, "none: not measured", 0)
    return cluster_difference(both[:, 0], both[:, 1], groups.get_level_values("group").to_numpy(), seed=seed)


def shown(interval: Interval) -> dict:
    """Gives an interval as columns of a table."""
    return {"score": interval.estimate, "ci_low": interval.low, "ci_high": interval.high, "interval": interval.kind}


def summarise_coherence(table: pd.DataFrame, floor: float, seed: int) -> pd.DataFrame:
    """Gives one row per network, layer and measure: mean, interval, and the floor of unrelated noise as `chance`."""
    rows = []
    for (name, layer, depth), mine in table.groupby(["network", "layer", "depth"], sort=False):
        for measure in (*COHERENCES, "selectivity"):
            if measure in mine:
                chance = floor if measure in COHERENCES[:2] else 0.0
                rows.append(
                    {"network": name, "layer": layer, "depth": depth, "measure": measure}
                    | shown(mean(mine, measure, seed))
                    | {"chance": chance, "dead_share": float(mine["dead"].mean())}
                )
    return pd.DataFrame(rows)


def summarise_removal(table: pd.DataFrame, task: Task, seed: int) -> pd.DataFrame:
    """Gives one row per network, layer and what was taken out: recognition, and the falls of the map and of others."""
    rows = []
    for (name, layer, depth, variant), mine in table.groupby(["network", "layer", "depth", "variant"], sort=False):
        target, others = mean(mine, "target_fall", seed), mean(mine, "others_fall", seed)
        rows.append(
            {"network": name, "layer": layer, "depth": depth, "variant": variant}
            | shown(recognition(mine, task, seed))
            | {"target_fall": target.estimate, "target_low": target.low, "target_high": target.high}
            | {"others_fall": others.estimate, "chance": float("nan")}
        )
    return pd.DataFrame(rows)


def recognition(mine: pd.DataFrame, task: Task, seed: int) -> Interval:
    """Gives accuracy over clips, or the mean average precision over seeds, without clips whose control was silent."""
    if not task.multilabel:
        return mean(mine, "correct", seed)
    values, measured = [], mine[[bool(np.isfinite(logits).all()) for logits in mine["logits"]]]
    for _, own in measured.groupby("seed"):
        targets = task.targets[own["clip"].to_numpy()] > 0.5
        if (
            targets.any(0) & ~targets.all(0)
        ).any():  # a class that some of the clips that are left have, and others lack
            values.append(scores(torch.from_numpy(np.stack(own["logits"])), targets)["mAP"])
    return seed_interval(values) if values else Interval(np.nan, np.nan, np.nan, "none: not measured", 0)


def summarise(table: pd.DataFrame, keys: Sequence[str], measures: Sequence[str], seed: int) -> pd.DataFrame:
    """Gives one row per combination of `keys`: each measure's mean and interval over the groups of clips."""
    rows = []
    for key, mine in table.groupby(list(keys), sort=False):
        row = dict(zip(keys, key, strict=True))
        for measure in measures:
            found = mean(mine, measure, seed)
            row |= {measure: found.estimate, f"{measure}_low": found.low, f"{measure}_high": found.high}
        rows.append(row)
    return pd.DataFrame(rows)


def floor_of(task: Task, rows: Sequence[int], top: int) -> float:
    """Gives the coherence that unrelated noises of the clips' lengths have, mean over clips."""
    return float(np.mean([noise_floor(int(length), top) for length in task.clips.lengths[list(rows)]]))


def above_zero(interval: Interval) -> bool | None:
    """Tells whether an interval lies above 0; None where there is none."""
    return None if np.isnan(interval.low) else bool(interval.low > 0)


def judge(coherence: pd.DataFrame, removal: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Holds the paper's claims against the tables of coherence and removal, all layers together.

    Returns:
        One row per claim and network: claim, network, verdict, published, corrected, control.
    """
    rows = []
    names = list(dict.fromkeys(coherence["network"]))
    for name in [name for name in names if name not in (CONTROL, STRIDED[CONTROL])]:
        if len(removal) and not removal["correct"].isna().all():
            rows.append(_claim("removing sonifications lowers recognition", name, *_recognition(removal, name, seed)))
        if len(removal):
            rows.append(_claim("a sonification stimulates its own map", name, *_stimulation(removal, name, seed)))
    contrastive = next((name for name in names if name.startswith("contrastive")), None)
    if contrastive and "supervised" in names:
        rows.append(
            _claim("contrastive coherence decays more slowly", contrastive, *_decay(coherence, contrastive, seed))
        )
    if {"supervised", STRIDED["supervised"]} <= set(names):
        # About the architecture: that untrained networks show it too does not speak against it.
        rows.append(_claim(STRIDING, STRIDED["supervised"], *_striding(coherence, seed), refuted_by_control=False))
    return pd.DataFrame(rows, columns=["claim", "network", "verdict", "published", "corrected", "control"])


def _claim(
    claim: str, name: str, published: Interval, corrected: Interval, control: Interval, refuted_by_control: bool = True
) -> dict:
    against = above_zero(control) if refuted_by_control else None
    found = verdict(above_zero(corrected), above_zero(published), against)
    parts = {"published": published, "corrected": corrected, "control": control}
    return {"claim": claim, "network": name, "verdict": found} | {key: str(value) for key, value in parts.items()}


def _recognition(removal: pd.DataFrame, name: str, seed: int) -> tuple[Interval, Interval, Interval]:
    """Loss of accuracy: published removal; least squares beyond controls of the same energy; the untrained network."""
    parts = dict(iter(removal[removal["network"] == name].groupby("variant")))
    published = difference(parts[NOTHING], parts[PUBLISHED], "correct", seed)
    controls = removal[(removal["network"] == name) & removal["variant"].isin(CONTROLS)]
    corrected = difference(controls, parts[LEAST_SQUARES], "correct", seed)
    untrained = removal[removal["network"] == control_of(name, set(removal["network"]))]
    return published, corrected, _difference_of(untrained, "correct", seed, corrected=True)


def _stimulation(removal: pd.DataFrame, name: str, seed: int) -> tuple[Interval, Interval, Interval]:
    """Fall of the map: published removal; least squares beyond controls of the same energy; the untrained network."""
    mine = removal[removal["network"] == name]
    published = mean(mine[mine["variant"] == PUBLISHED], "target_fall", seed)
    untrained = removal[removal["network"] == control_of(name, set(removal["network"]))]
    return (
        published,
        _difference_of(mine, "target_fall", seed, corrected=False),
        _difference_of(untrained, "target_fall", seed, corrected=False),
    )


def _difference_of(mine: pd.DataFrame, value: str, seed: int, corrected: bool) -> Interval:
    sonified, controls = mine[mine["variant"] == LEAST_SQUARES], mine[mine["variant"].isin(CONTROLS)]
    if not len(mine):
        return Interval(np.nan, np.nan, np.nan, "none: no untrained network", 0)
    return difference(controls, sonified, value, seed) if corrected else difference(sonified, controls, value, seed)


def _decay(coherence: pd.DataFrame, contrastive: str, seed: int) -> tuple[Interval, Interval, Interval]:
    """Fall from the first to the last layer: supervised minus contrastive, and as control minus untrained."""

    def falls(name: str, value: str) -> pd.DataFrame:
        mine = coherence[coherence["network"] == name]
        first, last = (mine[mine["depth"] == edge] for edge in (mine["depth"].min(), mine["depth"].max()))
        keys = ["seed", "clip", "group"]
        both = first[[*keys, value]].merge(last[[*keys, value]], on=keys, suffixes=("_first", "_last"))
        return both.assign(fall=both[f"{value}_first"] - both[f"{value}_last"])

    published = difference(falls("supervised", "coherence"), falls(contrastive, "coherence"), "fall", seed)
    corrected = difference(
        falls("supervised", "coherence_corrected"), falls(contrastive, "coherence_corrected"), "fall", seed
    )
    if CONTROL not in set(coherence["network"]):
        return published, corrected, Interval(np.nan, np.nan, np.nan, "none: no untrained network", 0)
    control = difference(
        falls("supervised", "coherence_corrected"), falls(CONTROL, "coherence_corrected"), "fall", seed
    )
    return published, corrected, control


def _striding(coherence: pd.DataFrame, seed: int) -> tuple[Interval, Interval, Interval]:
    """What max-pooling's sonifications have more than strided convolution's: coherence, above random phases, untrained.

    The last is what two untrained networks of the two kinds differ by.
    """

    def more(name: str, value: str) -> Interval:
        pooled, strided = (coherence[coherence["network"] == own] for own in (name, STRIDED[name]))
        if not len(pooled) or not len(strided):
            return Interval(np.nan, np.nan, np.nan, "none: no untrained networks of both kinds", 0)
        return difference(pooled, strided, value, seed)

    return (
        more("supervised", "coherence"),
        more("supervised", "coherence_corrected"),
        more(CONTROL, "coherence_corrected"),
    )
