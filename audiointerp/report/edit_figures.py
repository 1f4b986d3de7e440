"""Figures of edits: how far each moves the network's output, with which strength, towards what, and which classes."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from audiointerp.report import palette
from audiointerp.report.canvas import (
    band,
    canvas,
    foot,
    interval_note,
    interval_words,
    need,
    need_rows,
    number,
    panel_title,
    whisker,
)
from audiointerp.report.labels import Label, label_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def effect_bars(frame: pd.DataFrame, *, title: str, value: str = "d_z", label: str = "effect size $d_z$") -> Figure:
    """Draws the effect of each edit on the network's output, controls pale: one panel per factor.

    Args:
        frame: One row per factor and edit: columns factor, edit, `value`, ci_low, ci_high, interval, and optionally
            p_corrected and n_groups.
        title: The answer, a sentence.
        value: The column drawn.
        label: What the axis says.
    Raises:
        UserError: If a column is missing, or the table is empty.
    """
    need(frame, "factor", "edit", value)
    need_rows(frame, "any edit", frame)
    factors = list(dict.fromkeys(frame["factor"]))
    n_edits = frame.groupby("factor")["edit"].size().max()
    low, high = _range(frame, value)
    size = (max(6.4, 3.9 * len(factors) + 1.2), 1.5 + 0.42 * n_edits)
    with canvas(title, *size, columns=len(factors)) as (figure, axes):
        for ax, factor in zip(axes[0], factors, strict=True):
            rows = frame[frame["factor"] == factor].reset_index(drop=True)
            for place, row in rows.iterrows():
                control = palette.is_control(row["edit"])
                colour = palette.edit(row["edit"])
                ax.barh(place, row[value], 0.62, color=colour, alpha=0.45 if control else 0.85, lw=0)
                whisker(ax, row, place, horizontal=True)
                ax.annotate(
                    interval_words(row[value], row.get("ci_low"), row.get("ci_high")) + _stars(row.get("p_corrected")),
                    (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=8.5,
                    color=palette.MUTED if control else palette.INK,
                )  # fmt: skip
            ax.axvline(0, color=palette.INK, lw=1.0)
            ax.set(ylim=(len(rows) - 0.45, -0.55), xlim=(low, high))
            ax.set_xlabel(label, parse_math=label.count("$") == 2)
            ax.set_yticks(range(len(rows)), [str(edit) for edit in rows["edit"]])
            for tick, edit in zip(ax.get_yticklabels(), rows["edit"], strict=True):
                tick.set_color(palette.MUTED if palette.is_control(edit) else palette.INK)
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
            ax.grid(axis="x")
            panel_title(ax, str(factor))
        foot(figure, interval_note(frame, "lines"), "pale: controls, which must show nothing", _star_note(frame))
    return figure


def dose_response(
    frame: pd.DataFrame,
    *,
    title: str,
    x: str = "strength",
    y: str = "effect",
    xlabel: str = "edit strength [1 = at the target]",
    ylabel: str = "effect on the output",
) -> Figure:
    """Draws how the effect grows with the strength of each edit: one panel per factor where there are several.

    Args:
        frame: One row per strength and edit (and factor): columns `x`, `y`, edit, ci_low, ci_high, interval.
        title: The answer, a sentence.
        x: The column along the abscissa.
        y: The column along the ordinate.
        xlabel: What the abscissa says.
        ylabel: What the ordinate says.
    Raises:
        UserError: If a column is missing, or the table is empty.
    """
    need(frame, x, y, "edit")
    need_rows(frame, "any edit", frame)
    panels = list(frame.groupby("factor", sort=False)) if "factor" in frame else [(None, frame)]
    low, high = _range(frame, y)
    with canvas(title, max(6.4, 4.2 * len(panels)), 3.9, columns=len(panels)) as (figure, axes):
        placed: list[tuple[Axes, list[Label]]] = []
        for ax, (factor, rows) in zip(axes[0], panels, strict=True):
            ends: list[Label] = []
            for edit, curve in rows.groupby("edit", sort=False):
                curve = curve.sort_values(x)
                colour = palette.edit(str(edit))
                control = palette.is_control(str(edit))
                ax.plot(curve[x], curve[y], "o-", color=colour, ms=4, lw=1.4 if control else 2.2, zorder=4 - control)
                band(ax, curve[x], curve, colour)
                words_colour = palette.MUTED if control else colour
                ends.append(Label(float(curve[y].iloc[-1]), str(edit), words_colour, float(curve[x].iloc[-1])))
            ax.axhline(0, color=palette.CHANCE, lw=1.0, ls=(0, (1, 2)), zorder=2)
            ax.set(ylim=(low, high), xlabel=xlabel)
            ax.grid(axis="y")
            if factor is not None:
                panel_title(ax, str(factor))
            placed.append((ax, ends))
        axes[0][0].set_ylabel(ylabel)
        foot(figure, interval_note(frame, "bands"), "dotted: no effect")
        for ax, ends in placed:
            label_ends(figure, ax, ends)
    return figure


def distances(frame: pd.DataFrame, *, title: str, label: str = "distance in the output", alpha: float = 0.05) -> Figure:
    """Draws the distance of edited sounds to two typical sounds in the network's output (Dick et al., figure 2).

    The upper row is the distance to a typical sound of the same class, P^; the lower row that to a typical sound of
    another class, Q^. Brackets compare each edit with the unedited sound.

    Args:
        frame: One row per factor, reference and edit: columns factor, reference ("P^", "Q^"), edit ("unedited",
            "moved to P^", "moved to Q^"), distance, ci_low, ci_high, interval and, for edits, p_corrected: the
            corrected p-value of the comparison with the unedited sound.
        title: The answer, a sentence.
        label: What is measured, with its unit where it has one.
        alpha: A corrected p-value below it gets a star.
    Raises:
        UserError: If a column is missing, or the table is empty.
    """
    need(frame, "factor", "reference", "edit", "distance")
    need_rows(frame, "any edit", frame)
    factors, references = (list(dict.fromkeys(frame[column])) for column in ("factor", "reference"))
    top = float(np.nanmax(frame[[c for c in ("distance", "ci_high") if c in frame]].to_numpy(float)))
    colours = {"unedited": palette.CONTROL, "P": palette.SKY, "Q": palette.ORANGE}
    size = (max(6.4, 3.3 * len(factors) + 1.0), 1.2 + 2.3 * len(references))
    with canvas(title, *size, columns=len(factors), rows=len(references)) as (figure, axes):
        for i, reference in enumerate(references):
            for j, factor in enumerate(factors):
                ax = axes[i][j]
                rows = frame[(frame["factor"] == factor) & (frame["reference"] == reference)].reset_index(drop=True)
                for place, row in rows.iterrows():
                    edit = str(row["edit"])
                    colour = colours["P" if "P" in edit else "Q" if "Q" in edit else "unedited"]
                    ax.bar(place, row["distance"], 0.62, color=colour, alpha=0.85, lw=0)
                    whisker(ax, row, place, horizontal=False)
                    ax.annotate(
                        number(row["distance"]), (place, 0), (0, 4), textcoords="offset points", ha="center",
                        fontsize=8.5, color=palette.INK,
                    )  # fmt: skip
                _brackets(ax, rows, top, alpha)
                ax.set(ylim=(0, top * 1.42), xlim=(-0.55, max(len(rows), 1) - 0.45))
                ax.set_xticks(range(len(rows)), [_hat(str(edit)).replace("moved ", "moved\n") for edit in rows["edit"]])
                ax.tick_params(axis="x", length=0)
                ax.grid(axis="y")
                ax.locator_params(axis="y", nbins=5)
                if i == 0:
                    panel_title(ax, str(factor))
                if j == 0:
                    ax.set_ylabel(f"{label}\nto {_hat(str(reference))}")
        star = f"* corrected p < {number(alpha)}" if "p_corrected" in frame else ""
        hats = "P\u0302, Q\u0302: typical sounds of the same and of another class"
        foot(figure, hats, interval_note(frame, "lines"), star)
    return figure


def class_scores(
    frame: pd.DataFrame,
    *,
    title: str,
    top: int = 8,
    value: str = "change",
    label: str = "change of the class score",
    panel: str | None = None,
) -> Figure:
    """Draws which output classes rise and which fall.

    Args:
        frame: One row per output class (and panel): columns class, `value`, and optionally ci_low, ci_high, interval.
        title: The answer, a sentence.
        top: How many of each side to draw.
        value: The column drawn.
        label: What the axis says, with its unit.
        panel: A column that splits the table into panels, such as the target of the edit.
    Raises:
        UserError: If a column is missing, or the table is empty.
    """
    need(frame, "class", value, *([panel] if panel else []))
    need_rows(frame, "any class", frame)
    panels = list(frame.groupby(panel, sort=False)) if panel else [(None, frame)]
    chosen = [(name, _extremes(rows, value, top)) for name, rows in panels]
    low, high = _range(pd.concat([rows for _, rows in chosen]), value)
    height = 1.4 + 0.27 * max(len(rows) for _, rows in chosen)
    with canvas(title, max(6.4, 4.6 * len(panels)), height, columns=len(panels)) as (figure, axes):
        for ax, (name, rows) in zip(axes[0], chosen, strict=True):
            for place, row in rows.iterrows():
                colour = palette.RISE if row[value] > 0 else palette.FALL
                ax.barh(place, row[value], 0.68, color=colour, alpha=0.85, lw=0)
                whisker(ax, row, place, horizontal=True)
            ax.axvline(0, color=palette.INK, lw=1.0)
            ax.set(ylim=(len(rows) - 0.4, -0.6), xlim=(low, high), xlabel=label)
            ax.set_yticks(range(len(rows)), [textwrap.shorten(str(c), 34, placeholder=" …") for c in rows["class"]])
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
            ax.grid(axis="x")
            if name is not None:
                panel_title(ax, str(name))
        left_out = max(len(rows) for _, rows in panels) - max(len(rows) for _, rows in chosen)
        rest = f"{left_out} classes in between are not drawn" if left_out > 0 else ""
        foot(figure, "blue: rises, orange: falls", interval_note(frame, "lines"), rest)
    return figure


def _stars(p: Any) -> str:
    return " *" if p is not None and pd.notna(p) and p < 0.05 else ""


def _star_note(frame: pd.DataFrame) -> str:
    return "* corrected p < .05" if "p_corrected" in frame else ""


def _range(frame: pd.DataFrame, value: str) -> tuple[float, float]:
    numbers = frame[[c for c in (value, "ci_low", "ci_high") if c in frame]].to_numpy(float)
    low, high = min(0.0, float(np.nanmin(numbers))), max(0.0, float(np.nanmax(numbers)))
    pad = 0.06 * (high - low or 1.0)
    return low - pad, high + pad


def _extremes(rows: pd.DataFrame, value: str, top: int) -> pd.DataFrame:
    ordered = rows.dropna(subset=[value]).sort_values(value, ascending=False)
    if len(ordered) > 2 * top:
        ordered = pd.concat([ordered.head(top), ordered.tail(top)])
    return ordered.reset_index(drop=True)


def _hat(words: str) -> str:
    return re.sub(r"([PQ])\^", lambda match: match.group(1) + "\u0302", words)


def _brackets(ax: Axes, rows: pd.DataFrame, top: float, alpha: float) -> None:
    """Draws who is compared with the unedited sound, with a star where the corrected p-value is below `alpha`."""
    if "p_corrected" not in rows or "unedited" not in set(rows["edit"].astype(str)):
        return
    start = int(np.flatnonzero(rows["edit"].astype(str) == "unedited")[0])
    level = 0
    for place, p in enumerate(rows["p_corrected"]):
        if place == start or pd.isna(p):
            continue
        y = top * (1.08 + 0.16 * level)
        ax.plot([start, start, place, place], [y, y + 0.025 * top, y + 0.025 * top, y], color=palette.MUTED, lw=1.0)
        ax.annotate(
            "*" if p < alpha else "n.s.", ((start + place) / 2, y + 0.025 * top), (0, 0 if p < alpha else 1),
            textcoords="offset points", ha="center", va="bottom", fontsize=11 if p < alpha else 8, color=palette.INK,
        )  # fmt: skip
        level += 1
