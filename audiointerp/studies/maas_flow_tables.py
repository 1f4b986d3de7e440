"""Tables of the main job in brief: what a run is known by, and what tables over runs are made of."""

from __future__ import annotations

import pandas as pd

from audiointerp.edit.outcomes import ALL_SEEDS, METHOD
from audiointerp.statistics.tests import holm


def corrected_p(table: pd.DataFrame, network: str) -> pd.DataFrame:
    """Corrects the method's tests of the network in question, over factors and references."""
    table = table.reset_index(drop=True)
    tested = (table["role"] == METHOD) & (table["network"] == network) & (table["flow_seed"] == ALL_SEEDS)
    table.loc[tested, "p_corrected"] = holm(table.loc[tested, "p"].to_numpy())
    return table


def headline(table: pd.DataFrame, disentanglement: pd.DataFrame, network: str) -> dict:
    """Gives the numbers that a run is known by, over all flow seeds, by factor."""
    moved = to_other(table[table["network"] == network])
    read = disentanglement[(disentanglement["probe"] == "knn") & (disentanglement["network"] == network)]
    return {
        factor: {
            "d_z": dict(zip(mine["edit"], mine["d_z"], strict=True)),
            "read_as_target": dict(zip(mine["edit"], mine["read_as_target"], strict=True)),
            "read_from": {
                role: float(rows["accuracy"].mean())
                for role, rows in read[read["factor"] == factor].groupby("role", sort=False)
            },
        }
        for factor, mine in moved.groupby("factor", sort=False)
    }


def to_other(table: pd.DataFrame) -> pd.DataFrame:
    """Keeps the rows that most is read from: moved to Q^, measured to Q^, over all flow seeds."""
    return table[(table["reference"] == "Q^") & (table["moved_to"] == "Q^") & (table["flow_seed"] == ALL_SEEDS)]


def brief_effects(table: pd.DataFrame) -> list[dict]:
    """Gives one row per network, factor and edit, for tables that compare runs."""
    seeds = table[(table["reference"] == "Q^") & (table["moved_to"] == "Q^") & (table["flow_seed"] != ALL_SEEDS)]
    rows = []
    for _, row in to_other(table).iterrows():
        mine = seeds[
            (seeds["network"] == row["network"]) & (seeds["factor"] == row["factor"]) & (seeds["edit"] == row["edit"])
        ]["d_z"]
        interval = "" if pd.isna(row["ci_low"]) else f" [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
        rows.append(
            {
                key: row[key]
                for key in ("network", "factor", "edit", "role", "nearer_share", "read_as_target", "other_kept")
            }
            | {
                key: row[key]
                for key in (
                    "on_target",
                    "off_target",
                    "negative_share",
                    "mahalanobis_percentile",
                    "edit_norm",
                    "largest_edit_norm",
                )
            }
            | {"d_z": f"{row['d_z']:.2f}{interval}" if not pd.isna(row["d_z"]) else "nothing varies"}
            | {"seeds": f"{mine.min():.2f} to {mine.max():.2f}" if mine.notna().any() else "-"}
            | {"n_groups": int(row["n_groups"])}
        )
    return rows


def brief_blocks(disentanglement: pd.DataFrame) -> list[dict]:
    """Gives one row per network, factor, block role and probe, for tables that compare runs."""
    rows = []
    keys = ["network", "layer", "factor", "role", "probe"]
    for key, mine in disentanglement.groupby(keys, sort=False):
        first, accuracy = mine.iloc[0], mine["accuracy"]
        interval = "" if pd.isna(first["ci_low"]) else f" [{first['ci_low']:.3f}, {first['ci_high']:.3f}]"
        rows.append(
            dict(zip(keys, key, strict=True))
            | {
                "accuracy": f"{first['accuracy']:.3f}{interval}",
                "seeds": f"{accuracy.min():.3f} to {accuracy.max():.3f}",
            }
            | {"chance": first["chance"]}
        )
    return rows
