"""Figures of decoding: how well each layer tells a factor, and how far the leaky protocol lies above."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from audiointerp.report import palette
from audiointerp.report.canvas import (
    band,
    canvas,
    has_interval,
    interval_note,
    interval_words,
    need,
    need_rows,
    number,
    panel_title,
)
from audiointerp.report.labels import Label, label_ends
from audiointerp.study import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


LEVELS_ONLY = "duration and level"
"""The name that stands for the layer in rows of the probe that sees only a clip's duration and level."""


def layer_curves(
    frame: pd.DataFrame, *, factor: str, title: str, probe: str | None = None, best: Any | None = None
) -> Figure:
    """Draws how well each layer tells the classes of one factor.

    Args:
        frame: One row per layer, network and protocol: columns layer, factor, protocol ("corrected", "published"),
            probe, accuracy, ci_low, ci_high, interval, chance, n_clips, n_groups, network ("trained", "standin",
            "untrained", "untrained, seed 1" ...; or "untrained" with a column seed). Rows whose layer is
            "duration and level" hold the probe that sees nothing else.
        factor: The rows to draw.
        title: The answer, a sentence.
        probe: The rows to draw, where the table holds several probes.
        best: The layer that was chosen on `select`, to be marked; otherwise the row whose column `chosen` is true.
    Raises:
        UserError: If a column is missing, or no row is left.
    """
    need(frame, "layer", "factor", "accuracy", "chance", "network")
    rows = frame[frame["factor"] == factor]
    is_level = rows["layer"].astype(str) == LEVELS_ONLY
    levels, rows = rows[is_level], rows[~is_level]
    if probe is not None and "probe" in rows:
        rows = rows[rows["probe"] == probe]
    need_rows(rows, f"factor {factor!r}" + (f" and probe {probe!r}" if probe else ""), frame)
    layers = list(dict.fromkeys(rows["layer"]))
    place = {layer: i for i, layer in enumerate(layers)}
    colour = palette.factor(factor)
    with canvas(title, 7.0, 4.2) as (figure, axes):
        ax = axes[0][0]
        ends: list[Label] = []
        for (name, protocol), curve in _curves(rows):
            xs, ys = [place[layer] for layer in curve["layer"]], curve["accuracy"].to_numpy(float)
            untrained = palette.network(name) == palette.NETWORKS["untrained"]
            published = protocol == "published"
            line_colour = palette.CONTROL if untrained else colour
            style = {"color": line_colour, "linestyle": palette.PROTOCOLS.get(protocol, "-")}
            many = untrained and _n_untrained(rows, protocol) > 1
            thin = many or (untrained and published)
            ax.plot(
                xs, ys, **style, lw=1.0 if thin else 1.6 if published or untrained else 2.2, alpha=0.8 if many else 1.0,
                marker="o" if not published else None, ms=2.5 if thin else 4.0, zorder=3 if untrained else 4,
            )  # fmt: skip
            if not many and not published:
                band(ax, xs, curve, line_colour)
            if not many:
                ends.append(Label(ys[-1], _curve_name(name, protocol, rows), line_colour, xs[-1]))
        for protocol, group in rows[_untrained(rows)].groupby(_column(rows, "protocol", "corrected")):
            if (n := _n_untrained(rows, str(protocol))) > 1:
                end = group.loc[group["layer"] == layers[-1], "accuracy"].mean()
                words = _curve_name("untrained", str(protocol), rows)
                ends.append(Label(end, f"{words}, {n} seeds", palette.MUTED, len(layers) - 1))
        chance = float(rows["chance"].iloc[0])
        ax.axhline(chance, color=palette.CHANCE, lw=1.0, ls=(0, (1, 2)), zorder=2)
        ends.append(Label(chance, "chance", palette.CHANCE))
        if len(levels):
            level = levels.iloc[0]
            ax.axhline(level["accuracy"], color=palette.BASELINE, lw=1.4, ls=(0, (5, 2, 1, 2)), zorder=2)
            if has_interval(level):
                ax.axhspan(level["ci_low"], level["ci_high"], color=palette.BASELINE, alpha=0.12, lw=0, zorder=1)
            ends.append(Label(float(level["accuracy"]), "duration and level only", "#9A6200"))
        _mark_best(ax, rows, place, best, colour)
        top = max(1.0, float(np.nanmax(rows["accuracy"])))
        ax.set(ylim=(0, top * 1.04), xlim=(-0.4, len(layers) - 0.6), ylabel=f"accuracy for {factor} [share of clips]")
        _name_layers(ax, layers)
        ax.grid(axis="y")
        _note(ax, interval_note(rows[~_untrained(rows)], "bands"))
        label_ends(figure, ax, ends)
    return figure


def leakage(frame: pd.DataFrame, *, title: str, probe: str | None = None, network: str | None = None) -> Figure:
    """Draws how far the published, leaky protocol lies above the corrected one: one panel per factor.

    Args:
        frame: As for `layer_curves`, with rows of both protocols.
        title: The answer, a sentence.
        probe: The rows to draw, where the table holds several probes.
        network: The rows to draw; otherwise the first network that is not untrained.
    Raises:
        UserError: If a column is missing, or no factor has both protocols.
    """
    need(frame, "layer", "factor", "protocol", "accuracy", "chance")
    rows = frame[frame["layer"].astype(str) != LEVELS_ONLY]
    if probe is not None and "probe" in rows:
        rows = rows[rows["probe"] == probe]
    if "network" in rows:
        wanted = network if network is not None else next(iter(rows.loc[~_untrained(rows), "network"]), None)
        rows = rows[rows["network"] == wanted]
    factors = [f for f, g in rows.groupby("factor", sort=False) if {"corrected", "published"} <= set(g["protocol"])]
    if not factors:
        raise UserError(
            "expected rows of protocol 'corrected' and 'published' for one factor at least, got "
            f"{sorted(set(map(str, frame['protocol'])))}: run both protocols"
        )
    n_layers = rows.groupby("factor")["layer"].nunique().max()
    with canvas(title, 3.6 * len(factors) + 0.6, 1.7 + 0.24 * n_layers, columns=len(factors)) as (figure, axes):
        for ax, factor in zip(axes[0], factors, strict=True):
            rows_of = rows[rows["factor"] == factor]
            both = rows_of.pivot_table(index="layer", columns="protocol", values="accuracy", sort=False)
            both = both.dropna(subset=["corrected", "published"])
            colour, places = palette.factor(factor, factors), np.arange(len(both))
            ax.hlines(places, both["corrected"], both["published"], color=colour, alpha=0.35, lw=3)
            ax.plot(both["corrected"], places, "o", color=colour, ms=6, zorder=3)
            ax.plot(both["published"], places, "o", color="white", mec=colour, mew=1.5, ms=6, zorder=3)
            ax.axvline(float(rows_of["chance"].iloc[0]), color=palette.CHANCE, lw=1.0, ls=(0, (1, 2)))
            gap = both["published"] - both["corrected"]
            widest = int(np.argmax(np.abs(gap.to_numpy())))
            for place, (corrected, published) in enumerate(zip(both["corrected"], both["published"], strict=True)):
                words = {"left": "", "right": _signed(published - corrected)}
                if place == widest:
                    at = ("left", "right") if corrected <= published else ("right", "left")
                    words = {at[0]: "corrected", at[1]: "published"}
                    words["right"] += f"  {_signed(published - corrected)}"
                for side, x, shift, align in (("left", min, -7, "right"), ("right", max, 7, "left")):
                    ax.annotate(
                        words[side], (x(corrected, published), place), (shift, 0), textcoords="offset points",
                        va="center", ha=align, fontsize=8.5, color=colour if place == widest else palette.MUTED,
                    )  # fmt: skip
            ax.annotate(
                "chance", (float(rows_of["chance"].iloc[0]), len(both) - 0.45), (3, 0), textcoords="offset points",
                fontsize=8, color=palette.CHANCE, va="center",
            )  # fmt: skip
            ax.set(xlim=(0, 1.14), ylim=(len(both) - 0.3, -0.7), xlabel="accuracy [share of clips]")
            ax.set_xticks(np.arange(0, 1.01, 0.25))
            ax.set_yticks(places, _layer_names(both.index) or [str(layer) for layer in both.index])
            ax.grid(axis="x")
            panel_title(ax, f"{factor}: gap {_signed(gap.mean())} on average")
        axes[0][0].set_ylabel("layer")
    return figure


def _column(rows: pd.DataFrame, name: str, default: str) -> pd.Series:
    if name not in rows:
        return pd.Series(default, index=rows.index, dtype=object)
    return rows[name].astype(object).where(rows[name].notna(), default).map(str)


def _untrained(rows: pd.DataFrame) -> pd.Series:
    if "network" not in rows:
        return pd.Series(False, index=rows.index)
    return rows["network"].map(lambda name: palette.network(str(name)) == palette.NETWORKS["untrained"]).astype(bool)


def _curves(rows: pd.DataFrame) -> Iterable[tuple[tuple[str, str], pd.DataFrame]]:
    keys = [_column(rows, "network", "trained"), _column(rows, "protocol", "corrected"), _column(rows, "seed", "")]
    for (name, protocol, _), curve in rows.groupby([key.to_numpy() for key in keys], sort=False):
        yield (str(name), str(protocol)), curve


def _n_untrained(rows: pd.DataFrame, protocol: str) -> int:
    chosen = rows[_untrained(rows) & (_column(rows, "protocol", "corrected") == protocol)]
    return len({*zip(_column(chosen, "network", ""), _column(chosen, "seed", ""), strict=True)})


def _curve_name(name: str, protocol: str, rows: pd.DataFrame) -> str:
    words = {"standin": "stand-in"}.get(name, name)
    if _column(rows, "protocol", "corrected").nunique() == 1:
        return words
    return f"{words}, {protocol}"


def _mark_best(ax: Axes, rows: pd.DataFrame, place: dict[Any, int], best: Any, colour: str) -> None:
    shown = rows[~_untrained(rows) & (_column(rows, "protocol", "corrected") != "published")]
    if best is None and "chosen" in shown:
        best = next(iter(shown.loc[shown["chosen"].fillna(False).astype(bool), "layer"]), None)
    found = shown[shown["layer"].astype(str) == str(best)]
    if best is None or found.empty:
        return
    row = found.iloc[0]
    spot, side = (place[row["layer"]], float(row["accuracy"])), place[row["layer"]] / max(1, len(place) - 1)
    ax.plot(*spot, "o", ms=11, mfc="none", mec=colour, mew=1.6, zorder=5)
    name = re.sub(r"^(?:layer[ _.]?)?(?=\d+$)", "layer ", str(row["layer"]), flags=re.IGNORECASE)
    words = f"chosen: {name}, {interval_words(row['accuracy'], row.get('ci_low'), row.get('ci_high'))}"
    # Above the highest curve or band near the words, so that they cross none.
    highest = np.nanmax(rows[[c for c in ("accuracy", "ci_high") if c in rows]].to_numpy(float))
    y = min(highest + 0.05, 0.985) if highest < 0.95 else max(spot[1] - 0.22, 0.06)
    ax.annotate(
        words, spot, (spot[0], y), ha="left" if side < 0.3 else "right" if side > 0.7 else "center", va="bottom",
        fontsize=9, color=colour, fontweight="bold", zorder=6,
        arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.8, "shrinkB": 6, "shrinkA": 0},
    )  # fmt: skip


def _layer_names(layers: Sequence[Any]) -> list[str]:
    """The numbers of layers that are called by number, "layer3" or 3; empty where one is not."""
    found = [re.fullmatch(r"(?:layer[ _.]?)?(\d+)", str(layer).strip(), re.IGNORECASE) for layer in layers]
    return [match.group(1) for match in found if match] if all(found) else []


def _name_layers(ax: Axes, layers: Sequence[Any]) -> None:
    if numbers := _layer_names(layers):
        ax.set_xticks(range(len(layers)), numbers)
        ax.set_xlabel("layer")
        return
    long = max(len(str(layer)) for layer in layers) * len(layers) > 60
    rotation = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if long else {}
    ax.set_xticks(range(len(layers)), [str(layer) for layer in layers], **rotation)
    ax.set_xlabel("layer, from the input to the output")


def _note(ax: Axes, words: str) -> None:
    ax.set_title(words, loc="left", fontsize=8.5, color=palette.MUTED)


def _signed(value: float) -> str:
    return ("+" if value >= 0 else "\u2212") + number(abs(value))
