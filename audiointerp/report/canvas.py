"""What all figures are drawn on: one style, a sentence above as the title, and tables with the columns they need."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from audiointerp.report import palette
from audiointerp.study import UserError

if TYPE_CHECKING:
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
