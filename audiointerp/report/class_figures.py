"""Figures of classes: sounds as dots coloured by class, and which class is taken for which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audiointerp.report import palette
from audiointerp.report.canvas import canvas, need, need_rows, number, panel_title
from audiointerp.report.labels import label_clouds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def scatter(
    frame: pd.DataFrame,
    x: str,
    y: str,
    colour: str | Sequence[str],
    *,
    title: str,
    xlabel: str | None = None,
    ylabel: str | None = None,
) -> Figure:
    """Draws the same dots once per factor, coloured by its classes (Dick et al., figure 1).

    Args:
        frame: One row per sound: columns `x`, `y` and those named by `colour`.
        x: The column along the abscissa.
        y: The column along the ordinate.
        colour: The factor, or factors, one panel each; numeric columns get a colour bar.
        title: The answer, a sentence.
        xlabel: What the abscissa says; otherwise the column's name.
        ylabel: What the ordinate says; otherwise the column's name.
    Raises:
        UserError: If a column is missing, or the table is empty.
    """
    by = [colour] if isinstance(colour, str) else list(colour)
    need(frame, x, y, *by)
    need_rows(frame, "any sound", frame)
    size = float(np.clip(420 / math.sqrt(len(frame)), 5, 26))
    with canvas(title, 3.9 * len(by) + 0.3, 4.3, columns=len(by), sharey=True) as (figure, axes):
        placed: list[tuple[Axes, list[tuple[float, float, str, str]]]] = []
        for ax, factor in zip(axes[0], by, strict=True):
            if pd.api.types.is_numeric_dtype(frame[factor]) and frame[factor].nunique() > 10:
                dots = ax.scatter(frame[x], frame[y], c=frame[factor], s=size, cmap="cividis", alpha=0.8, lw=0)
                figure.colorbar(dots, ax=ax, label=str(factor), shrink=0.8)
            else:
                words = []
                for name, (fill, marker) in palette.classes(sorted(frame[factor].unique(), key=str)).items():
                    dots = frame[frame[factor] == name]
                    ax.scatter(dots[x], dots[y], s=size, color=fill, marker=marker, alpha=0.55, lw=0)
                    words.append((float(dots[x].median()), float(dots[y].median()), str(name), fill))
                placed.append((ax, words))
            ax.set(xlabel=xlabel or x)
            ax.grid(True)
            ax.margins(0.06)
            panel_title(ax, f"coloured by {factor}")
        axes[0][0].set_ylabel(ylabel or y)
        figure.draw_without_rendering()
        for ax, words in placed:
            label_clouds(ax, words)
    return figure


def confusion(
    frame: pd.DataFrame, *, title: str, true: str = "true", predicted: str = "predicted", count: str = "count"
) -> Figure:
    """Draws which classes are taken for which, as shares of each true class.

    Args:
        frame: One row per pair of classes: columns `true`, `predicted`, `count`.
        title: The answer, a sentence.
        true: The column of true classes.
        predicted: The column of predicted classes.
        count: The column of counts [clips].
    Raises:
        UserError: If a column is missing, or the table is empty.
    """
    from matplotlib.colors import LinearSegmentedColormap

    need(frame, true, predicted, count)
    need_rows(frame, "any clip", frame)
    names = list(dict.fromkeys([*frame[true], *frame[predicted]]))
    table = frame.pivot_table(index=true, columns=predicted, values=count, aggfunc="sum", fill_value=0)
    counts = table.reindex(index=names, columns=names, fill_value=0).to_numpy(float)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    cell = 0.56 if len(names) <= 14 else 0.34
    side = max(2.6, cell * len(names))
    with canvas(title, max(side + 3.0, 5.4), side + 1.7) as (figure, axes):
        ax = axes[0][0]
        blues = LinearSegmentedColormap.from_list("share", ["#FFFFFF", "#CFE3F1", palette.BLUE, "#00324F"])
        image = ax.imshow(shares, cmap=blues, vmin=0, vmax=1, aspect="equal")
        if len(names) <= 14:
            for (i, j), share in np.ndenumerate(shares):
                if share > 0:
                    ax.text(j, i, number(share), ha="center", va="center", fontsize=8,
                            color="white" if share > 0.45 else palette.INK)  # fmt: skip
        ax.set_xticks(range(len(names)), [str(name) for name in names], rotation=45, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(names)), [f"{name} ({int(n)})" for name, n in zip(names, totals[:, 0], strict=True)])
        ax.set(xlabel="predicted", ylabel="true (clips)")
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
        figure.colorbar(image, ax=ax, shrink=0.7, label="share of the true class")
    return figure
