"""Figures of spectro-temporal filters: front ends compared, filters drawn, populations over modulations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audiointerp.report import palette
from audiointerp.report.canvas import canvas, need

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def fronts(
    frame: pd.DataFrame, seeds: pd.DataFrame, *, measure: str, chance: float | None, title: str, by: str = "front"
) -> Figure:
    """Draws one measure of each front end: mean, interval over seeds, seeds as points, chance.

    Args:
        frame: Columns `by`, measure, mean, ci_low, ci_high.
        seeds: One row per front end and seed: `by` and a column named as the measure; may be empty.
        measure: The measure to draw.
        chance: What a guess gives, None where there is no such number.
        title: The answer, a sentence.
        by: What is compared.
    Raises:
        UserError: If a column is missing.
    """
    need(frame, by, "measure", "mean", "ci_low", "ci_high")
    rows = frame[frame["measure"] == measure].reset_index(drop=True)
    with canvas(title, 7.0, 0.42 * len(rows) + 1.2) as (figure, axes):
        ax = axes[0][0]
        places = np.arange(len(rows))[::-1]
        for place, (_, row) in zip(places, rows.iterrows(), strict=True):
            control = any(word in str(row[by]) for word in ("shuffled", "random", "frozen"))
            colour = palette.CONTROL if control else palette.BLUE if "Gabor" in str(row[by]) else palette.BASELINE
            ax.plot([row["mean"]], [place], "D", color=colour, ms=6, zorder=4)
            if np.isfinite(row["ci_low"]):
                ax.hlines(place, row["ci_low"], row["ci_high"], color=colour, lw=1.8, zorder=3)
            if len(seeds):
                values = seeds.loc[seeds[by] == row[by], measure]
                ax.plot(values, np.full(len(values), place - 0.22), "o", color=colour, ms=3, alpha=0.6, zorder=3)
        if chance is not None:
            ax.axvline(chance, color=palette.CHANCE, lw=1.0, ls=(0, (1, 2)))
            ax.text(chance, len(rows) - 0.45, " chance", color=palette.CHANCE, fontsize=9, va="bottom")
        ax.set_yticks(places, rows[by])
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.set_xlabel(f"{measure.replace('_', ' ')} on test groups (diamonds: mean, bars: 95 % over seeds)")
        ax.grid(axis="x")
    return figure


def drawn_filters(
    before: np.ndarray,
    after: np.ndarray,
    names: Sequence[str],
    *,
    frame_rate: float,
    bins_per_octave: float,
    title: str,
    columns: int = 8,
) -> Figure:
    """Draws the real parts of filters before training and, below each, after it; time to the right, frequency upwards.

    Args:
        before: Complex or real, shape `(N, K_t, K_f)`; each is scaled to its own largest value.
        after: The same filters after training, of the same shape.
        names: What stands above each filter after training.
        frame_rate: Frames per second [Hz].
        bins_per_octave: Bins per octave.
        title: The answer, a sentence.
        columns: Filters in a row.
    """
    columns = min(columns, len(after))
    blocks = -(-len(after) // columns)
    seconds, octaves = after.shape[1] / frame_rate / 2, after.shape[2] / bins_per_octave / 2
    with canvas(title, 1.35 * columns, 2.5 * blocks, columns=columns, rows=2 * blocks) as (figure, axes):
        for place in range(blocks * columns):
            block, column = divmod(place, columns)
            for row, kernels in ((2 * block, before), (2 * block + 1, after)):
                ax = axes[row][column]
                if place >= len(kernels):
                    ax.set_axis_off()
                    continue
                real = np.real(kernels[place]).T
                size = np.abs(real).max() or 1.0
                ax.imshow(
                    real / size, origin="lower", aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1,
                    extent=(-seconds, seconds, -octaves, octaves),
                )  # fmt: skip
                ax.tick_params(labelsize=7)
                learnt = row % 2 == 1
                ax.set_title(names[place] if learnt else "", fontsize=7.5)
                ax.set_yticks([-octaves, 0, octaves], [f"{-octaves:.1f}", "0", f"{octaves:.1f}"])
                ax.set_xticks(
                    [-seconds, 0, seconds], [f"{-seconds:.2f}", "0", f"{seconds:.2f}"] if learnt else [""] * 3
                )
                if column:
                    ax.set_yticklabels([])
                else:
                    ax.set_ylabel(("after" if learnt else "before") + "\noctave", fontsize=8)
                if learnt and block == blocks - 1:
                    ax.set_xlabel("s", fontsize=8)
    return figure


def modulation_plane(
    populations: dict[str, tuple[np.ndarray, np.ndarray]],
    spectrum: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
    *,
    title: str,
) -> Figure:
    """Draws populations of filters over modulations, with their marginals, on the power of the sounds.

    Args:
        populations: Names to temporal [Hz] and spectral modulations [cycles/octave]; the first stands in front.
        spectrum: Temporal and spectral modulations and the power `(P, Q)` of the sounds, drawn as contours that hold
            50 and 90 % of it; None for none.
        title: The answer, a sentence.
    """
    colours = (palette.BLUE, palette.CONTROL, palette.VERMILION, palette.GREEN)
    markers = ("o", "x", "^", "s")
    with canvas(title, 7.0, 5.6, columns=2, rows=2) as (figure, axes):
        for ax in (axes[0][1],):
            ax.set_axis_off()
        top, plane, side = axes[0][0], axes[1][0], axes[1][1]
        grid = plane.get_gridspec()
        grid.set_width_ratios([4, 1])
        grid.set_height_ratios([1, 4])
        fast = max(float(np.quantile(omega, 0.99)) for omega, _ in populations.values()) * 1.08
        fine = max(float(np.quantile(np.abs(density), 0.99)) for _, density in populations.values()) * 1.08
        if spectrum is not None:
            omega, density, power = spectrum
            order = np.sort(power.ravel())[::-1]
            held = np.cumsum(order) / order.sum()
            levels = sorted({float(order[np.searchsorted(held, share)]) for share in (0.5, 0.9)})
            plane.contour(omega, density, power.T, levels=levels, colors=palette.BASELINE, linewidths=1.2)
            top.plot(omega, power.sum(1) / power.sum(1).max(), color=palette.BASELINE, lw=1.2)
            side.plot(power.sum(0) / power.sum(0).max(), density, color=palette.BASELINE, lw=1.2)
            axes[0][1].text(0.0, 0.85, "sounds (50, 90 %)", color=palette.BASELINE, fontsize=9)
        for order, (name, (omega, density)) in reversed(list(enumerate(populations.items()))):
            colour = colours[order % len(colours)]
            plane.plot(omega, density, markers[order % 4], color=colour, ms=4, alpha=0.8, lw=0)
            for ax, values, limit, upright in ((top, omega, (0, fast), True), (side, density, (-fine, fine), False)):
                counts, edges = np.histogram(values, bins=16, range=limit)
                counts = counts / max(1, counts.max())
                ax.stairs(counts, edges, orientation="vertical" if upright else "horizontal", color=colour, lw=1.4)
            axes[0][1].text(0.0, 0.6 - 0.25 * order, f"{markers[order % 4]}  {name}", color=colour, fontsize=9)
        plane.set_xlim(0, fast)
        plane.set_ylim(-fine, fine)
        top.set_xlim(0, fast)
        side.set_ylim(-fine, fine)
        top.set_xticklabels([])
        side.set_yticklabels([])
        top.set_yticks([])
        side.set_xticks([])
        plane.axhline(0.0, color=palette.GRID, lw=0.8, zorder=0)
        plane.set_xlabel("temporal modulation [Hz]")
        plane.set_ylabel("spectral modulation [cycles/octave]\n(above 0: falling sounds)")
    return figure


def task_distances(frame: pd.DataFrame, *, title: str) -> Figure:
    """Draws how far the filters of two tasks lie apart, beside the distance between seeds and shuffled trainings.

    Args:
        frame: One row per pair of tasks: columns pair, distance, ci_low, ci_high, between_seeds, shuffled, sounds.
        title: The answer, a sentence.
    Raises:
        UserError: If a column is missing.
    """
    need(frame, "pair", "distance", "ci_low", "ci_high", "between_seeds", "shuffled", "sounds")
    marks = (
        ("between_seeds", "seeds of one task", "|", palette.CHANCE),
        ("shuffled", "labels shuffled", "x", palette.CONTROL),
        ("sounds", "the sounds themselves", "s", palette.BASELINE),
    )
    with canvas(title, 7.0, 0.5 * len(frame) + 1.4) as (figure, axes):
        ax = axes[0][0]
        places = np.arange(len(frame))[::-1]
        for place, (_, row) in zip(places, frame.iterrows(), strict=True):
            ax.plot([row["distance"]], [place], "D", color=palette.BLUE, ms=6, zorder=4)
            if np.isfinite(row["ci_low"]):
                ax.hlines(place, row["ci_low"], row["ci_high"], color=palette.BLUE, lw=1.8, zorder=3)
        ax.plot([], [], "D", color=palette.BLUE, label="filters of the two tasks")
        for column, label, marker, colour in marks:
            ax.plot(frame[column], places, marker, color=colour, ms=9 if marker == "|" else 6, mew=2, lw=0, label=label)
        ax.set_yticks(places, frame["pair"])
        ax.set_ylim(-0.6, len(frame) - 0.4)
        ax.set_xlim(left=0.0)
        ax.set_xlabel("energy distance of modulations [pooled spreads]; bars: 95 % t over seeds")
        ax.grid(axis="x")
        figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    return figure
