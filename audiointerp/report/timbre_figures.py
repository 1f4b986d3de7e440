"""Figures of the timbre study: probes beside controls, matrices of transfers, distance against success."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audiointerp.report import palette
from audiointerp.report.figures import _figure, _foot, _interval_note, _need, _need_rows, interval_words, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def readings(frame: pd.DataFrame, *, title: str, label: str, chance: float | None = None) -> Figure:
    """Draws what is read from each representation as a dot with its interval; controls are grey.

    Args:
        frame: One row per dot: representation, value, ci_low, ci_high, interval, control (bool), and optionally paper.
        title: The answer, a sentence.
        label: What the axis says.
        chance: Where chance lies.
    Raises:
        UserError: If a column is missing, or the table is empty.
    """
    _need(frame, "representation", "value", "control")
    _need_rows(frame, "any representation", frame)
    frame = frame.reset_index(drop=True)
    with _figure(title, 7.2, 1.2 + 0.3 * len(frame)) as (figure, axes):
        ax = axes[0][0]
        for place, row in frame.iterrows():
            colour = palette.CONTROL if row["control"] else palette.BLUE
            if pd.notna(row.get("ci_low")):
                ax.hlines(place, row["ci_low"], row["ci_high"], color=colour, lw=2, alpha=0.6)
            ax.plot(row["value"], place, "o", color=colour, ms=6, zorder=3)
            if pd.notna(row.get("paper")):
                ax.plot(row["paper"], place, "D", mfc="white", mec=palette.VERMILION, ms=6, zorder=4)
            ax.annotate(interval_words(row["value"], row.get("ci_low"), row.get("ci_high")), (1.02, place),
                        xycoords=("axes fraction", "data"), va="center", fontsize=8.5)  # fmt: skip
        if chance is not None:
            ax.axvline(chance, color=palette.CHANCE, lw=1, ls=(0, (1, 2)))
        low = min(0.0, float(np.nanmin(frame["value"])))
        ax.set(xlim=(low - 0.03, 1.03), ylim=(len(frame) - 0.4, -0.6), xlabel=label)
        ax.set_yticks(range(len(frame)), list(frame["representation"]))
        ax.grid(axis="x")
        paper = "diamond: the paper's" if "paper" in frame and frame["paper"].notna().any() else ""
        dotted = "dotted: chance" if chance is not None else ""
        _foot(figure, _interval_note(frame, "lines"), "grey: controls, which must show nothing", dotted, paper)
    return figure


def pair_matrix(frame: pd.DataFrame, value: str, *, title: str, label: str, bound: float | None = None) -> Figure:
    """Draws a number per ordered pair of families: sources in rows, targets in columns.

    Args:
        frame: One row per pair: source, target, `value`.
        value: The column drawn.
        title: The answer, a sentence.
        label: What the colour says.
        bound: Colours reach from 0 to it; None: as far as the values go on either side of 0.
    Raises:
        UserError: If a column is missing, or the table is empty.
    """
    _need(frame, "source", "target", value)
    _need_rows(frame, "any pair", frame)
    names = sorted({*frame["source"], *frame["target"]})
    table = frame.pivot_table(index="source", columns="target", values=value).reindex(index=names, columns=names)
    values = table.to_numpy(float)
    reach = float(np.nanmax(np.abs(values))) or 1.0
    side = max(2.6, 0.5 * len(names))
    with _figure(title, side + 2.6, side + 1.5) as (figure, axes):
        ax = axes[0][0]
        low, high, colours = (0.0, bound, "Blues") if bound else (-reach, reach, "PuOr")
        image = ax.imshow(values, aspect="equal", vmin=low, vmax=high, cmap=colours)
        for (i, j), cell in np.ndenumerate(values):
            if np.isfinite(cell):
                colour = "white" if abs(cell) > 0.6 * (bound or reach) else palette.INK
                ax.text(j, i, number(cell), ha="center", va="center", fontsize=7.5, color=colour)
        ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(names)), names)
        ax.set(xlabel="to", ylabel="from")
        ax.tick_params(length=0)
        figure.colorbar(image, ax=ax, shrink=0.7, label=label)
    return figure


def methods(frame: pd.DataFrame, panels: dict[str, str], *, title: str) -> Figure:
    """Draws each method of transfer by several measures, a panel each, with intervals.

    Args:
        frame: One row per method: method, role, and for each panel its column with `_low` and `_high`.
        panels: Columns to labels.
        title: The answer, a sentence.
    Raises:
        UserError: If a column is missing, or the table is empty.
    """
    _need(frame, "method", "role", *panels)
    _need_rows(frame, "any method", frame)
    frame = frame.reset_index(drop=True)
    colours = {"edit": palette.BLUE, "control": palette.CONTROL, "upper bound": palette.GREEN}
    with _figure(title, 3.1 * len(panels) + 1.6, 1.2 + 0.3 * len(frame), columns=len(panels), sharey=True) as (
        figure, axes,
    ):  # fmt: skip
        for ax, (column, label) in zip(axes[0], panels.items(), strict=True):
            for place, row in frame.iterrows():
                colour = colours[row["role"]]
                low, high = row.get(f"{column}_low"), row.get(f"{column}_high")
                if low is not None and pd.notna(low):
                    ax.hlines(place, low, high, color=colour, lw=2, alpha=0.6)
                ax.plot(row[column], place, "o", color=colour, ms=6, zorder=3)
            ax.axvline(0, color=palette.GRID, lw=1)
            ax.set(xlabel=label, ylim=(len(frame) - 0.4, -0.6))
            ax.grid(axis="x")
        axes[0][0].set_yticks(range(len(frame)), list(frame["method"]))
        _foot(figure, "lines: 95 % intervals", "grey: controls", "green: a real note of B through the same autoencoder")
    return figure


def against_distance(frame: pd.DataFrame, *, title: str, value: str, label: str) -> Figure:
    """Draws the success of transfers against the distance of the two families in the code, a panel per method.

    Args:
        frame: One row per method and pair: method, distance, `value`.
        title: The answer, a sentence.
        value: The column along the ordinate.
        label: What the ordinate says.
    Raises:
        UserError: If a column is missing, or the table is empty.
    """
    _need(frame, "method", "distance", value)
    _need_rows(frame, "any pair", frame)
    panels = list(frame.groupby("method", sort=False))
    with _figure(title, 2.2 * len(panels) + 0.6, 2.7, columns=len(panels), sharey=True) as (figure, axes):
        for ax, (method, mine) in zip(axes[0], panels, strict=True):
            ax.plot(mine["distance"], mine[value], "o", color=palette.BLUE, ms=3.5, alpha=0.5, mew=0)
            ax.set(xlabel="distance in the code")
            ax.set_title(str(method), fontsize=9, loc="left")
            ax.grid(True)
        axes[0][0].set_ylabel(label)
    return figure
