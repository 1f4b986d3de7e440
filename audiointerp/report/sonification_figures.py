"""Figures of sonification: curves over layers with their controls, and spectrograms of inputs and sonifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audiointerp.report import palette
from audiointerp.report.canvas import canvas, foot, interval_note, need, need_rows, panel_title
from audiointerp.report.labels import Label, label_ends

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOOR_DB = -60.0
FEW_LINES = 4
BANDED = ("sonification",)
"""Lines that have a band where there are many."""

LINES = {
    "supervised": palette.VERMILION,
    "supervised, strided": palette.ORANGE,
    "contrastive, fconly": palette.BLUE,
    "contrastive, full": palette.SKY,
    "untrained, fconly": palette.CONTROL,
    "untrained, strided": palette.NOISE_FLOOR,
    "given, fconly": palette.VIOLET,
    "given, full": palette.PINK,
    "nothing": palette.INK,
    "sonification": palette.BLUE,
    "sonification, peak-matched": palette.VERMILION,
    "random map": palette.GREEN,
    "other clip": palette.OLIVE,
    "phases randomised": palette.CONTROL,
    "untrained network": palette.NOISE_FLOOR,
    "the scene itself": palette.INK,
}
"""Colour of each network and of each thing that is taken out."""


def over_layers(
    frame: pd.DataFrame,
    *,
    title: str,
    ylabel: str,
    line: str = "network",
    panel: str | None = None,
    references: Mapping[str, float] | None = None,
) -> Figure:
    """Draws a measure over layers, one line per network or variant, one panel per value of `panel`.

    Args:
        frame: Columns depth (number of the block), `line`, score, ci_low, ci_high, interval, and `panel`.
        title: The answer, a sentence.
        ylabel: What is measured, with its unit.
        line: Column that names the lines.
        panel: Column that splits the table.
        references: Names to heights of dotted lines, such as a noise floor.
    Raises:
        UserError: If a column is missing, or there is no row.
    """
    need(frame, "depth", line, "score", "ci_low", "ci_high", *([panel] if panel else []))
    frame = frame.dropna(subset=["score"])
    need_rows(frame, line, frame)
    panels = list(frame.groupby(panel, sort=False)) if panel else [("", frame)]
    low, high = min(0.0, float(frame["score"].min())), max([float(frame["score"].max()), *(references or {}).values()])
    few = frame[line].nunique() <= FEW_LINES  # more bands than that hide one another
    with canvas(title, max(7.0, 5.0 * len(panels)), 4.0, columns=len(panels), sharey=True) as (figure, axes):
        for ax, (name, rows) in zip(axes[0], panels, strict=True):
            ends = []
            for key, mine in rows.groupby(line, sort=False):
                mine = mine.sort_values("depth")
                colour = LINES.get(str(key), palette.PINK)
                weak = colour in (palette.CONTROL, palette.NOISE_FLOOR)
                ax.plot(mine["depth"], mine["score"], color=colour, marker="o", ms=4, lw=1.4 if weak else 2, zorder=4)
                if few or key in BANDED:
                    ax.fill_between(mine["depth"], mine["ci_low"], mine["ci_high"], color=colour, alpha=0.13, lw=0)
                words = palette.MUTED if weak else colour
                ends.append(Label(float(mine["score"].iloc[-1]), str(key), words))
            for key, height in (references or {}).items():
                ax.axhline(height, color=palette.CHANCE, lw=1.0, ls=(0, (1, 2)), zorder=2)
                ends.append(Label(height, key, palette.CHANCE))
            pad = 0.12 * (high - low or 1.0)
            ax.set(
                xlabel="block", xticks=sorted(rows["depth"].unique()), ylim=(low - (pad if low < 0 else 0), high + pad)
            )
            panel_title(ax, str(name))
            ax.grid(axis="y")
            label_ends(figure, ax, ends)
        axes[0][0].set_ylabel(ylabel)
        foot(
            figure,
            interval_note(frame, "bands"),
            "" if few else f"drawn for: {', '.join(BANDED)}; others in the table",
        )
    return figure


def spectrograms(
    pictures: Mapping[tuple[str, str], np.ndarray],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    duration_s: Mapping[tuple[str, str], float],
    top_khz: float,
) -> Figure:
    """Draws log spectrograms in a grid; each is relative to its own loudest bin.

    Args:
        pictures: Row and column to levels [dB], shape `(F, T)`; a place without one stays empty.
        rows: Names of the rows.
        columns: Names of the columns.
        title: A sentence.
        duration_s: Row and column to the duration [s].
        top_khz: Frequency of the highest bin [kHz].
    Raises:
        UserError: If there is no picture.
    """
    need_rows(pd.DataFrame(list(pictures)), "pictures", pd.DataFrame(list(pictures)))
    width, height = 1.75 * len(columns) + 1.2, 1.05 * len(rows) + 0.9
    with canvas(title, width, height, columns=len(columns), rows=len(rows)) as (figure, axes):
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                ax, picture = axes[i][j], pictures.get((row, column))
                ax.grid(False)
                if picture is None:
                    ax.set_axis_off()
                else:
                    extent = (0, duration_s[row, column], 0, top_khz)
                    ax.imshow(
                        picture, origin="lower", aspect="auto", extent=extent, vmin=FLOOR_DB, vmax=0, cmap="magma"
                    )
                ax.tick_params(labelsize=6.5, length=2, labelleft=j == 0, labelbottom=i == len(rows) - 1)
                if i == 0:
                    ax.set_title(column, fontsize=7.5, loc="left")
                if j == 0:
                    ax.set_ylabel(row, fontsize=7, rotation=0, ha="right", va="center")
        foot(figure, f"time [s] by frequency [kHz]; {-FLOOR_DB:.0f} dB below each picture's loudest bin is black")
    return figure
