"""What all figures are drawn on and with: one style, a sentence as the title, tables held to their columns, intervals.

Figures are pure functions from a table to a matplotlib figure that answers one question. Every figure says its answer
in its title, draws what chance and controls give into the same axes, and tells what its bands or bars are. Intervals
are read from the columns `ci_low` and `ci_high`; the column `interval` names their kind; where an interval is missing
(too few groups), none is drawn.
"""

from __future__ import annotations

import contextlib
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from audiointerp.report import palette
from audiointerp.study import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = {
    "font.size": 10.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 10.0,
    "axes.labelcolor": palette.INK,
    "axes.edgecolor": palette.MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": palette.INK,
    "xtick.color": palette.MUTED,
    "ytick.color": palette.MUTED,
    "xtick.labelcolor": palette.INK,
    "ytick.labelcolor": palette.INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "grid.color": palette.GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "text.parse_math": False,
}


@contextlib.contextmanager
def canvas(
    title: str, width: float, height: float, *, columns: int = 1, rows: int = 1, sharey: bool = False
) -> Iterator[tuple[Figure, Any]]:
    """Opens a figure of `rows` x `columns` axes [inches] whose title, a sentence, stands above at the left."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        lines = textwrap.wrap(title, max(24, int(width * 11.2))) or [""]
        figure = Figure(figsize=(width, height + 0.19 * (len(lines) - 1)), layout="constrained")
        FigureCanvasAgg(figure)
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06, wspace=0.04)
        axes = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
        figure.suptitle("\n".join(lines), x=0.012, ha="left", fontsize=11.5, fontweight="bold")
        yield figure, axes


def need(frame: pd.DataFrame, *columns: str) -> None:
    """Holds a table against the columns that a figure needs.

    Raises:
        UserError: If one is missing.
    """
    missing = [column for column in columns if column not in frame]
    if missing:
        raise UserError(
            f"expected a table with columns {', '.join(columns)}, got {', '.join(map(str, frame.columns)) or 'none'}: "
            f"add {', '.join(missing)}"
        )


def need_rows(rows: pd.DataFrame, which: str, frame: pd.DataFrame) -> None:
    """Refuses an empty selection of a table.

    Raises:
        UserError: If there is no row.
    """
    if rows.empty:
        raise UserError(f"expected rows of {which}, got none in a table of {len(frame)}: look at its columns' values")


def interval_note(frame: pd.DataFrame, mark: str) -> str:
    """Says what the marks of intervals mean, or why there are none."""
    if "ci_low" not in frame or not frame["ci_low"].notna().any():
        few = "n_groups" in frame and frame["n_groups"].max() < 5
        return "no intervals: too few groups" if few else "no intervals"
    kinds = []
    if "interval" in frame:
        known = frame.loc[frame["ci_low"].notna(), "interval"].dropna()
        kinds = [kind for kind in dict.fromkeys(map(str, known)) if kind not in ("", "none")]
    return f"{mark}: 95 % intervals" + (f" ({', '.join(kinds)})" if kinds else "")


def foot(figure: Figure, *notes: str) -> None:
    """Writes notes under a figure, in one paragraph."""
    width = max(24, int(figure.get_figwidth() * 14.5))
    words = "\n".join(textwrap.wrap("; ".join(note for note in notes if note), width))
    figure.supxlabel(words, x=0.012, ha="left", fontsize=8.5, color=palette.MUTED)


def number(value: Any) -> str:
    """A number as figures say it: two digits after the point below one, three significant digits above.

    Example:
        >>> number(0.8349), number(-0.05), number(12.345), number(1.0), number(None)
        ('.83', '−.05', '12.3', '1.0', 'not measured')
    """
    if value is None or not math.isfinite(value):
        return "not measured"
    if abs(value) < 0.995:
        words = (f"{value:.2f}" if 0.005 <= abs(value) or value == 0 else f"{value:.1g}").replace("0.", ".", 1)
    else:
        words = f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"
    return words.replace("-", "\u2212", 1) if words.startswith("-") else words


def interval_words(value: Any, low: Any, high: Any) -> str:
    """A number with its interval, where there is one.

    Example:
        >>> interval_words(0.62, 0.48, 0.79), interval_words(0.62, float("nan"), float("nan"))
        ('.62 [.48, .79]', '.62')
    """
    known = all(bound is not None and math.isfinite(bound) for bound in (low, high))
    return f"{number(value)} [{number(low)}, {number(high)}]" if known else number(value)


def has_interval(row: pd.Series) -> bool:
    """Tells whether a row of a table has both ends of an interval."""
    return all(key in row.index and pd.notna(row[key]) for key in ("ci_low", "ci_high"))


def band(ax: Axes, xs: Sequence[float] | pd.Series, curve: pd.DataFrame, colour: str) -> None:
    """Draws the intervals of a curve as a band, where it has any."""
    if {"ci_low", "ci_high"} <= set(curve.columns) and curve["ci_low"].notna().any():
        bounds = curve[["ci_low", "ci_high"]].to_numpy(float)
        ax.fill_between(xs, bounds[:, 0], bounds[:, 1], color=colour, alpha=0.16, lw=0, zorder=1)


def whisker(ax: Axes, row: pd.Series, place: float, *, horizontal: bool) -> None:
    """Draws the interval of a row as a line at its place on the other axis, where it has one."""
    if has_interval(row):
        draw = ax.hlines if horizontal else ax.vlines
        draw(place, row["ci_low"], row["ci_high"], color=palette.INK, lw=1.4, zorder=4)


def panel_title(ax: Axes, words: str) -> None:
    """Writes what one panel of a figure shows above it, at the left."""
    ax.set_title(words, loc="left", fontsize=10, fontweight="bold", color=palette.INK)
