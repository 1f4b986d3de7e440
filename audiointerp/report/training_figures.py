"""Figures of trained networks: regimes side by side, shares of labels, depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from audiointerp.report import palette
from audiointerp.report.canvas import canvas, foot, interval_note, need, need_rows, whisker
from audiointerp.report.labels import Label, label_ends

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def regimes(frame: pd.DataFrame, seeds: pd.DataFrame, *, title: str, label: str) -> Figure:
    """Draws what each training regime scores: mean and interval, its seeds as small dots, chance as a line.

    Args:
        frame: One row per regime: columns regime, score, ci_low, ci_high, interval, chance.
        seeds: One row per regime and seed: columns regime, score.
        title: The answer, a sentence.
        label: What is scored, with its unit.
    Raises:
        UserError: If a column is missing, or there is no row.
    """
    need(frame, "regime", "score", "ci_low", "ci_high", "chance")
    need(seeds, "regime", "score")
    need_rows(frame, "regimes", frame)
    with canvas(title, 7.0, 1.2 + 0.34 * len(frame)) as (figure, axes):
        ax = axes[0][0]
        for place, (_, row) in enumerate(frame.iterrows()):
            colour = colour_of(row["regime"])
            dots = seeds.loc[seeds["regime"] == row["regime"], "score"]
            ax.plot(dots, [place + 0.22] * len(dots), ls="", marker="o", ms=3, color=colour, alpha=0.6, zorder=3)
            whisker(ax, row, place, horizontal=True)
            ax.plot(row["score"], place, marker="o", ms=7, color=colour, zorder=5)
        chance = float(frame["chance"].iloc[0])
        ax.axvline(chance, color=palette.CHANCE, lw=1.0, ls=(0, (1, 2)), zorder=2)
        ax.annotate("chance", (chance, -0.75), fontsize=8.5, color=palette.CHANCE, ha="center", annotation_clip=False)
        ax.set(yticks=range(len(frame)), yticklabels=frame["regime"], xlabel=label, ylim=(len(frame) - 0.4, -0.6))
        ax.set_xlim(0, max(1e-3, 1.05 * float(frame[["score", "ci_high"]].max().max()), 1.05 * seeds["score"].max()))
        ax.grid(axis="x")
        foot(figure, f"{interval_note(frame, 'lines')}; small dots: seeds")
    return figure


def curves(frame: pd.DataFrame, x: str, line: str, *, title: str, xlabel: str, ylabel: str) -> Figure:
    """Draws scores over an ordered setting (share of labels, depth), one line per regime, labelled at its end.

    Args:
        frame: One row per point: columns `x` (numbers), `line`, score, ci_low, ci_high, interval, chance; optionally
            `reference`, a score drawn as a dashed line in the line's colour.
        x: Column of the setting.
        line: Column that names the lines.
        title: The answer, a sentence.
        xlabel: What the setting is.
        ylabel: What is scored, with its unit.
    Raises:
        UserError: If a column is missing, or there is no row.
    """
    need(frame, x, line, "score", "ci_low", "ci_high", "chance")
    need_rows(frame, line, frame)
    with canvas(title, 7.0, 4.2) as (figure, axes):
        ax = axes[0][0]
        ends = []
        for name, mine in frame.groupby(line, sort=False):
            mine = mine.sort_values(x)
            colour, dashed = colour_of(name), (0, (5, 1.5)) if str(name).endswith("full") else "-"
            ax.plot(mine[x], mine["score"], color=colour, ls=dashed, marker="o", ms=4, zorder=4)
            ax.fill_between(mine[x], mine["ci_low"], mine["ci_high"], color=colour, alpha=0.13, lw=0, zorder=1)
            if "reference" in mine and mine["reference"].notna().any():
                ax.axhline(mine["reference"].max(), color=colour, lw=1.0, ls=(0, (4, 3)), zorder=2)
            ends.append(Label(float(mine["score"].iloc[-1]), str(name), colour))
        chance = float(frame["chance"].iloc[0])
        ax.axhline(chance, color=palette.CHANCE, lw=1.0, ls=(0, (1, 2)), zorder=2)
        ends.append(Label(chance, "chance", palette.CHANCE))
        top = float(frame[["score", "ci_high"]].max().max())
        ax.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, max(1e-3, 1.05 * top)), xticks=sorted(frame[x].unique()))
        ax.grid(axis="y")
        foot(figure, interval_note(frame, "bands"))
        label_ends(figure, ax, ends)
    return figure


def colour_of(regime: str) -> str:
    """Gives the colour of a regime, the same in every figure; controls are grey.

    Example:
        >>> colour_of("untrained, fconly") == palette.CONTROL
        True
    """
    name = str(regime)
    starts = {
        "untrained": palette.CONTROL,
        "log-mel": palette.BASELINE,
        "scratch": palette.INK,
        "contrastive elsewhere": palette.GREEN,
        "contrastive": palette.BLUE,
        "supervised": palette.VERMILION,
        "given": palette.VIOLET,
    }
    return next((colour for start, colour in starts.items() if name.startswith(start)), palette.PINK)
