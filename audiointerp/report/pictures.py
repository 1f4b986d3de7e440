"""Figures of pictures and codes: originals beside reconstructions, traversals, scores of models, loss curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audiointerp.report import palette
from audiointerp.report.canvas import canvas, need

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LINEAR = ("pca", "ica")
"""Linear rivals are drawn in the colour of baselines."""


def beside(
    rows: Sequence[tuple[str, np.ndarray, np.ndarray]], *, sample_rate: int, window_s: float, title: str
) -> Figure:
    """Sounds one under another: 20 ms of the waveform, its spectrum, and its picture.

    Args:
        rows: Name, waveform `(L,)` and picture `(F, T)` of each sound.
        sample_rate: [Hz].
        window_s: Duration of a picture [s].
        title: A sentence.
    """
    top = max(1.0, max(float(picture.max()) for _, _, picture in rows)) if rows else 1.0
    with canvas(title, 8.4, 1.5 * max(1, len(rows)) + 0.5, columns=3, rows=max(1, len(rows))) as (figure, axes):
        for (name, waveform, picture), (left, middle, right) in zip(rows, axes, strict=True):
            shown = waveform[len(waveform) // 2 :][: int(0.02 * sample_rate)]
            left.plot(np.arange(len(shown)) / sample_rate * 1000, shown, color=palette.BLUE, linewidth=0.9)
            left.set(ylim=(-1.05, 1.05))
            left.set_ylabel(name.replace(", ", "\n"), fontsize=7.5)
            window = np.hanning(len(waveform))
            spectrum = np.abs(np.fft.rfft(waveform * window)) / max(window.sum() / 2, 1e-9)
            hz = np.fft.rfftfreq(len(waveform), 1 / sample_rate)
            middle.plot(hz / 1000, 20 * np.log10(spectrum + 1e-4), color=palette.BLUE, linewidth=0.7)
            middle.set(ylim=(-82, 3), ylabel="dB")
            right.imshow(
                picture, origin="lower", aspect="auto", vmin=0, vmax=top, extent=(0, window_s, 0, len(picture))
            )
            right.grid(False)
            right.set_ylabel("mel band")
        axes[-1][0].set_xlabel("time [ms]")
        axes[-1][1].set_xlabel("frequency [kHz]")
        axes[-1][2].set_xlabel("time [s]")
    return figure


def grid(pictures: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, title: str) -> Figure:
    """Pictures in a grid, such as a traversal: one latent a row, one value a column.

    Args:
        pictures: Shape `(R, C, F, T)`.
        rows: Names of the rows.
        columns: Names of the columns.
        title: A sentence.
    """
    with canvas(title, 1.1 * len(columns) + 1.6, 0.95 * len(rows) + 0.6, columns=len(columns), rows=len(rows)) as (
        figure,
        axes,
    ):
        for r, row in enumerate(rows):
            for c, column in enumerate(columns):
                ax = axes[r][c]
                ax.imshow(pictures[r, c], origin="lower", aspect="auto", vmin=0, vmax=max(1e-9, float(pictures.max())))
                ax.set(xticks=[], yticks=[])
                ax.grid(False)
                if r == 0:
                    ax.set_title(column, fontsize=8)
                if c == 0:
                    ax.set_ylabel(row, fontsize=8)
    return figure


def scores_beside_chance(frame: pd.DataFrame, *, title: str) -> Figure:
    """Each metric of each model as a dot, with its chance level as a tick.

    Args:
        frame: `model`, `metric`, `value`, `permuted`.
        title: A sentence.
    """
    need(frame, "model", "metric", "value", "permuted")
    metrics, models = list(dict.fromkeys(frame["metric"])), list(dict.fromkeys(frame["model"]))
    with canvas(title, 7.6, 0.32 * len(metrics) + 1.3) as (figure, axes):
        ax = axes[0][0]
        for number, model in enumerate(models):
            mine = frame[frame["model"] == model].set_index("metric").reindex(metrics)
            place = np.arange(len(metrics)) + (number - (len(models) - 1) / 2) * 0.22
            colour = palette.FACTORS[number % len(palette.FACTORS)]
            ax.plot(mine["permuted"], place, "|", color=palette.CHANCE, markersize=9)
            marker = palette.MARKERS[number % len(palette.MARKERS)]
            ax.plot(mine["value"], place, marker, color=colour, markersize=5, label=model)
        ax.set(yticks=range(len(metrics)), yticklabels=metrics, xlim=(-0.05, 1.05), xlabel="score (grey tick: chance)")
        ax.invert_yaxis()
        ax.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def loss_curves(frame: pd.DataFrame, terms: Mapping[str, str], *, title: str) -> Figure:
    """Terms of a loss over epochs, training and validation.

    Args:
        frame: `epoch`, and `train_TERM`, `val_TERM` where they exist.
        terms: Names of terms to labels.
        title: A sentence.
    """
    need(frame, "epoch")
    present = [term for term in terms if f"train_{term}" in frame or f"val_{term}" in frame]
    with canvas(title, 2.6 * max(1, len(present)) + 0.4, 2.6, columns=max(1, len(present))) as (figure, axes):
        for ax, term in zip(axes[0], present, strict=False):
            for stage, style in (("train", "-"), ("val", "--")):
                if f"{stage}_{term}" in frame:
                    name = "training" if stage == "train" else "validation"
                    ax.plot(frame["epoch"], frame[f"{stage}_{term}"], style, color=palette.BLUE, label=name)
            ax.set(xlabel="epoch", ylabel=terms[term])
            ax.legend(frameon=False, fontsize=8)
    return figure


def seed_points(scores: pd.DataFrame, table: pd.DataFrame, metrics: Sequence[str], *, title: str) -> Figure:
    """Draws scores of models over seeds: a panel per metric, points for seeds, bars for intervals.

    Args:
        scores: One row per model, strength, metric and seed: columns model, strength, metric, value.
        table: One row per model, strength and metric: value, value_low, value_high, permuted.
        metrics: The metrics to draw.
        title: What it says, a sentence.
    """
    names = [tuple(row) for row in scores[["model", "strength"]].drop_duplicates().to_numpy()]
    size = 2.1 * len(metrics) + 1.2, 0.3 * len(names) + 1.2
    with canvas(title, *size, columns=len(metrics), rows=1) as (figure, axes):
        for index, (ax, metric) in enumerate(zip(axes[0], metrics, strict=True)):
            for place, (model, strength) in enumerate(names):
                points, row = (
                    part[(part["model"] == model) & (part["strength"] == strength) & (part["metric"] == metric)]
                    for part in (scores, table[table["arguments"] == "right"])
                )
                colour = palette.BASELINE if model in LINEAR else palette.BLUE
                ax.plot(points["value"], [place] * len(points), "o", color=colour, ms=3.5, alpha=0.5, mew=0)
                ax.hlines([place] * len(row), row["value_low"], row["value_high"], color=colour, lw=2)
                ax.plot(row["permuted"], [place] * len(row), "|", color=palette.CONTROL, ms=10, mew=1.5)
            labels = [f"{model} ({strength:g})" if strength else model for model, strength in names]
            ax.set_yticks(range(len(names)), labels if index == 0 else [""] * len(names))
            ax.set_ylim(len(names) - 0.5, -0.5)
            ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
            ax.set_xlabel(metric.replace("_", " "))
    return figure


def over_strength(table: pd.DataFrame, *, title: str) -> Figure:
    """Draws chance-adjusted scores over the weight of an objective: a panel per metric, a line per model.

    Args:
        table: One row per model, strength and metric: adjusted, adjusted_low, adjusted_high.
        title: What it says, a sentence.
    """
    metrics = list(dict.fromkeys(table["metric"]))
    models = [name for name, rows in table.groupby("model", sort=False) if rows["strength"].nunique() > 1]
    with canvas(title, 2.2 * len(metrics) + 1, 2.8, columns=len(metrics), rows=1) as (figure, axes):
        for ax, metric in zip(axes[0], metrics, strict=True):
            mine = table[table["metric"] == metric]
            for index, model in enumerate(models):
                rows = mine[mine["model"] == model].sort_values("strength")
                colour = palette.FACTORS[index % len(palette.FACTORS)]
                ax.plot(rows["strength"], rows["adjusted"], marker="o", ms=4, color=colour, label=model)
                ax.fill_between(rows["strength"], rows["adjusted_low"], rows["adjusted_high"], color=colour, alpha=0.18)
            for name, rows in mine[mine["model"].isin(LINEAR)].groupby("model", sort=False):
                ax.axhline(rows["adjusted"].mean(), color=palette.BASELINE, lw=1, ls=":")
                ax.annotate(
                    name, (1, rows["adjusted"].mean()), xycoords=("axes fraction", "data"), fontsize=7, ha="right"
                )
            ax.axhline(0, color=palette.CHANCE, lw=0.8, ls="--")
            ax.set_xscale("symlog", base=2, linthresh=1)
            ax.set(xlabel="weight", title=metric.replace("_", " "))
        axes[0][0].set_ylabel("chance-adjusted score")
        axes[0][0].legend(frameon=False, fontsize=8)
    return figure
