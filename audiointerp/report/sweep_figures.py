"""What the swept settings of a sweep change: each headline number over each setting."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from audiointerp.report import palette
from audiointerp.report.canvas import canvas, foot, need, need_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def swept(frame: pd.DataFrame, settings: Sequence[str], numbers: Sequence[str], *, title: str) -> Figure:
    """Draws every job as a dot and the means over the other settings as a line, a panel per number and setting.

    Args:
        frame: One row per job: a column per setting, as given, and one per number.
        settings: Columns of the swept settings; numbers are drawn in their order, words side by side.
        numbers: Columns of the numbers.
        title: What is drawn, a sentence.
    Raises:
        UserError: If a column is missing, or there is no row.
    """
    need(frame, *settings, *numbers)
    need_rows(frame, "jobs", frame)
    with canvas(
        title, 2.7 * len(settings) + 0.8, 1.9 * len(numbers) + 0.6, rows=len(numbers), columns=len(settings)
    ) as (figure, axes):
        for row, number in enumerate(numbers):
            for column, setting in enumerate(settings):
                ax = axes[row][column]
                places, names = _places(frame[setting])
                ax.plot(places, frame[number], ls="", marker="o", ms=4, color=palette.BLUE, alpha=0.55, zorder=3)
                means = frame[number].groupby(places).mean()
                ax.plot(means.index, means, color=palette.INK, lw=1.4, zorder=2)
                ax.set_xticks(sorted(set(places)), names)
                ax.grid(axis="y")
                if column == 0:
                    ax.set_ylabel(textwrap.fill(number, 18))
                if row == len(numbers) - 1:
                    ax.set_xlabel(setting)
        foot(figure, "dots: jobs; line: mean over the other settings")
    return figure


def _places(values: pd.Series) -> tuple[pd.Series, list[str]]:
    """Where values stand on an axis, and the names of its ticks: numbers in order, words as they come."""
    words = values.astype(str)
    numeric = pd.to_numeric(words, errors="coerce")
    order = words[numeric.sort_values(kind="stable").index] if numeric.notna().all() else words
    names = list(dict.fromkeys(order))
    return words.map({name: place for place, name in enumerate(names)}), names
