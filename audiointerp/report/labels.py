"""Labels beside the lines and clouds that they name, moved apart where they would overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass
class Label:
    """A label to the right of a line: the height of the line's end, its words, its colour, where the line ends."""

    y: float
    words: str
    colour: str
    x: float | None = None


def label_ends(figure: Figure, ax: Axes, labels: Sequence[Label]) -> None:
    """Writes each label beside the end of its line, moved apart where they would overlap, tied by a thin line."""
    if not labels:
        return
    blended = ("axes fraction", "data")
    drawn = [
        ax.annotate(label.words, (1.0, label.y), (1.05, label.y), xycoords=blended, textcoords=blended, va="center",
                    fontsize=9, color=label.colour, annotation_clip=False)
        for label in labels
    ]  # fmt: skip
    figure.draw_without_rendering()
    low, high = ax.get_ylim()
    points = ax.get_window_extent().height / figure.dpi * 72
    gap = 11.5 / points * (high - low)
    heights = spread([label.y for label in labels], gap, low, high)
    for text, label, height in zip(drawn, labels, heights, strict=True):
        text.set_position((1.05, height))
        ax.plot([1.005, 1.025, 1.04], [label.y, height, height], transform=ax.get_yaxis_transform(), clip_on=False,
                color=label.colour, lw=0.8, solid_joinstyle="round")  # fmt: skip


def spread(wishes: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Moves heights apart, by as little as can be, until neighbours are `gap` apart and all lie in `[low, high]`.

    Groups of labels that touch are placed evenly round their mean wish (pool adjacent violators).
    """
    order = sorted(range(len(wishes)), key=lambda i: wishes[i])
    blocks: list[list[int]] = []

    def start(block: list[int]) -> float:
        centre = sum(wishes[i] for i in block) / len(block)
        first = centre - gap * (len(block) - 1) / 2
        return max(low, min(first, high - gap * (len(block) - 1)))

    for i in order:
        blocks.append([i])
        while len(blocks) > 1 and start(blocks[-1]) < start(blocks[-2]) + gap * len(blocks[-2]) - 1e-12:
            last = blocks.pop()
            blocks[-1] = blocks[-1] + last
    placed = [0.0] * len(wishes)
    for block in blocks:
        for k, i in enumerate(block):
            placed[i] = start(block) + k * gap
    return placed


def label_clouds(ax: Axes, words: Sequence[tuple[float, float, str, str]]) -> None:
    """Writes the name of each cloud of dots at its middle, moved apart where names would overlap."""
    from matplotlib.patheffects import withStroke

    if not words:
        return
    spots = ax.transData.transform(np.array([(x, y) for x, y, *_ in words], dtype=float))
    scale = ax.figure.dpi / 72
    sizes = np.array([(7.2 * len(name) * scale + 8, 14.0 * scale) for *_, name, _ in words])
    placed = _push_apart(spots, sizes)
    for (_, _, name, colour), spot in zip(words, ax.transData.inverted().transform(placed), strict=True):
        ax.text(*spot, name, ha="center", va="center", fontsize=9.5, fontweight="bold", color=colour, zorder=6,
                path_effects=[withStroke(linewidth=3.5, foreground="white")])  # fmt: skip


def _push_apart(spots: np.ndarray, sizes: np.ndarray, steps: int = 200) -> np.ndarray:
    """Moves boxes (centres `(N, 2)`, sizes `(N, 2)`) apart along the axis on which they overlap least."""
    spots = spots.astype(float).copy()
    for _ in range(steps):
        moved = False
        for i in range(len(spots)):
            for j in range(i):
                apart = spots[i] - spots[j]
                overlap = (sizes[i] + sizes[j]) / 2 - np.abs(apart)
                if (overlap > 1e-6).all():
                    axis = int(np.argmin(overlap))
                    shift = overlap[axis] / 2 * (1.0 if apart[axis] >= 0 else -1.0)
                    spots[i, axis] += shift
                    spots[j, axis] -= shift
                    moved = True
        if not moved:
            break
    return spots
