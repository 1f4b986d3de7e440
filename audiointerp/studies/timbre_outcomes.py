"""What transfers did: by method, by pair of families, against their distance, and why the published inverse spikes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from audiointerp.edit.maps import pseudo_inverse_map, published_map
from audiointerp.statistics.intervals import cluster_interval, pair_interval
from audiointerp.studies.timbre_notes import Notes
from audiointerp.studies.timbre_transfer import EDITS, PLAIN, RANDOM, REAL, Maps
from audiointerp.study import stream


def transfer_tables(notes: Notes, maps: Maps, records: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
    """Gives the tables of the transfers: by method, by pair, against distance, and why the inverse spikes."""
    pairs = pair_table(records)
    train = notes.rows("train")
    flat = maps.codes.reshape(len(maps.codes), -1)
    scale = np.maximum(flat[train].std(0), 1e-9)
    own = {name: train[notes.labels[train] == k] for k, name in enumerate(notes.classes)}
    centres = pd.DataFrame({name: flat[rows].mean(0) / scale for name, rows in own.items() if len(rows)}).T
    centres /= np.sqrt(flat.shape[1])
    apart = {
        (a, b): float(np.linalg.norm(centres.loc[a] - centres.loc[b])) for a in centres.index for b in centres.index
    }
    pairs["distance"] = [apart[a, b] for a, b in zip(pairs["source"], pairs["target"], strict=True)]
    return {
        "transfers": summarise(records, seed),
        "transfer_pairs": pairs,
        "transfer_notes": records,
        "distance_predicts": distance_predicts(pairs, centres, seed),
        "inverse": inverse_spikes(maps),
    }


def summarise(records: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Gives one row per method; intervals are over the groups of the source notes, for `nearer_db` of both notes."""
    rows = []
    for method, mine in records.groupby("method", sort=False):
        row: dict[str, Any] = {"method": method, "role": role_of(str(method))}
        groups = mine["group"].to_numpy()
        intervals = {
            column: cluster_interval(mine[column].to_numpy(float), groups, seed=seed)
            for column in ("is_target", "is_source", "in_tune")
        }
        found = intervals["is_target"]
        near = pair_interval(mine["nearer_db"].to_numpy(float), groups, mine["real_group"].to_numpy(), seed=seed)
        for column, one in {**intervals, "nearer_db": near}.items():
            row |= {column: one.estimate, f"{column}_low": one.low, f"{column}_high": one.high}
        row |= {
            "pitch_error_cents": float(mine["pitch_error_cents"].median()),
            "median_peak": float(mine["peak"].median()),
            "clipped_share": float((mine["peak"] > 1).mean()),
            "median_largest_code": float(mine["largest_code"].median()),
            "interval": found.kind,
            "nearer_db_interval": near.kind,
            "n": len(mine),
            "n_groups": found.n_clusters,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def role_of(method: str) -> str:
    """Says whether a method is an edit, a control, or the most that can be hoped for."""
    return {PLAIN: "control", RANDOM: "control", REAL: "upper bound"}.get(method, "edit")


def pair_table(records: pd.DataFrame) -> pd.DataFrame:
    """Gives one row per method and ordered pair of families."""
    columns = ["is_target", "is_source", "in_tune", "nearer_db"]
    return records.groupby(["method", "source", "target"], sort=False)[columns].mean().reset_index()


def distance_predicts(pairs: pd.DataFrame, centres: pd.DataFrame, seed: int, permutations: int = 999) -> pd.DataFrame:
    """Correlates the distance between two families in the code with the success of transfers between them.

    Spearman's rho over ordered pairs; pairs share families, so that p comes from permuting the families of the
    distances (Mantel).

    Args:
        pairs: As `pair_table` gives it.
        centres: Standardised average code of each family, one row per family.
        seed: Seed of the permutations.
        permutations: How many.
    Returns:
        One row per edit and measure: rho, p, n_pairs.
    """
    names = list(centres.index)
    values = centres.to_numpy()
    distance = np.sqrt(((values[:, None] - values[None]) ** 2).sum(2))
    rng = stream(seed, "mantel")
    orders = [np.arange(len(names)), *(rng.permutation(len(names)) for _ in range(permutations))]
    rows = []
    for method, mine in pairs[pairs["method"].isin(EDITS)].groupby("method", sort=False):
        i, j = (pd.Index(names).get_indexer(mine[column]) for column in ("source", "target"))
        for measure in ("is_target", "nearer_db"):
            outcome = rankdata(mine[measure])
            rhos = [_correlation(rankdata(distance[np.ix_(order, order)][i, j]), outcome) for order in orders]
            if not np.isfinite(rhos[0]):
                p = np.nan
            else:
                p = float(np.mean(np.abs(rhos) >= abs(rhos[0]) - 1e-12))
            rows.append({"method": method, "measure": measure, "rho": rhos[0], "p": p, "n_pairs": len(mine)})
    return pd.DataFrame(rows)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size > 0 else float("nan")


def inverse_spikes(maps: Maps) -> pd.DataFrame:
    """Says of each family's average code why it has no inverse: rank, singular values, and what elimination makes."""
    rows = []
    train = maps.notes.rows("train")
    for family in np.unique(maps.notes.labels[train]):
        mean = maps.mean(int(family)).astype(np.float64)
        values = np.linalg.svd(mean, compute_uv=False)
        self_map = published_map(mean, mean)
        rows.append(
            {"family": maps.notes.classes[family], "frames": mean.shape[0], "channels": mean.shape[1],
             "rank": int(np.linalg.matrix_rank(mean @ mean.T)), "largest_singular": float(values[0]),
             "smallest_singular": float(values[-1]), "condition": float(np.linalg.cond(mean @ mean.T)),
             "largest_entry_published": float(np.abs(self_map).max()),
             "largest_entry_pseudo": float(np.abs(pseudo_inverse_map(mean, mean)).max())}
        )  # fmt: skip
    return pd.DataFrame(rows)
