"""Scores of front ends over seeds: means with intervals, and differences seed by seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from audiointerp.statistics.intervals import resampled_interval
from audiointerp.statistics.tests import corrected_resampled_t

LEARNT = ("learnt in the front end", "learnt behind it")


def summarised(scores: pd.DataFrame, measures: Sequence[str], ratio: float, by: str = "front") -> pd.DataFrame:
    """Mean over seeds with its interval, one row per front end and measure.

    Args:
        scores: One row per network: `by`, the measures, and how many numbers were learnt where that is told.
        measures: Columns; missing values are left out.
        ratio: Test groups over training groups of the splits, 0 where there is one split.
        by: What is told apart.
    """
    rows = []
    for name, mine in scores.groupby(by, sort=False):
        for measure in measures:
            values = mine[measure].dropna().to_numpy()
            if not len(values):
                continue
            interval = resampled_interval(values, ratio)
            row = {by: name, "measure": measure, "mean": interval.estimate}
            row |= {"ci_low": interval.low, "ci_high": interval.high, "interval": interval.kind, "seeds": len(values)}
            rows.append(row | {name: int(mine[name].iloc[0]) for name in LEARNT if name in mine})
    return pd.DataFrame(rows)


def against(scores: pd.DataFrame, main: str, measures: Sequence[str], ratio: float) -> pd.DataFrame:
    """Differences of one front end to each other, seed by seed on the same split.

    Args:
        scores: As in `summarised`, with a column `seed`.
        main: The front end that is compared.
        measures: Columns.
        ratio: As in `summarised`.
    Returns:
        One row per other front end and measure: mean difference, interval, p value of the corrected resampled t test
        (NaN where nothing varies or fewer than three seeds are shared).
    """
    rows = []
    for other in scores["front"].drop_duplicates():
        if other == main:
            continue
        for measure in measures:
            wide = scores.pivot(index="seed", columns="front", values=measure)[[main, other]].dropna()
            if wide.empty:
                continue
            values = (wide[main] - wide[other]).to_numpy()
            interval = resampled_interval(values, ratio)
            tested = np.isfinite(interval.low)
            p = corrected_resampled_t(values, ratio).p if tested and ratio > 0 else np.nan
            rows.append(
                {
                    "front": main,
                    "against": other,
                    "measure": measure,
                    "difference": interval.estimate,
                    "ci_low": interval.low,
                    "ci_high": interval.high,
                    "interval": interval.kind,
                    "p": p,
                    "seeds": len(values),
                }
            )
    columns = ["front", "against", "measure", "difference", "ci_low", "ci_high", "interval", "p", "seeds"]
    return pd.DataFrame(rows, columns=columns)
