"""The figures of the studies: pure functions from a table to a matplotlib figure that answers one question.

Every figure says its answer in its title, draws what chance and controls give into the same axes, and tells what its
bands or bars are. Intervals are read from the columns `ci_low` and `ci_high`; the column `interval` names their kind;
where an interval is missing (too few groups), none is drawn.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from audiointerp.report import palette
from audiointerp.report.canvas import canvas, foot, interval_note, interval_words, need, need_rows, number
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
                _band(ax, xs, curve, line_colour)
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
            if _has_interval(level):
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
            _panel_title(ax, f"{factor}: gap {_signed(gap.mean())} on average")
        axes[0][0].set_ylabel("layer")
    return figure


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
            _panel_title(ax, str(factor))
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
                _band(ax, curve[x], curve, colour)
                words_colour = palette.MUTED if control else colour
                ends.append(Label(float(curve[y].iloc[-1]), str(edit), words_colour, float(curve[x].iloc[-1])))
            ax.axhline(0, color=palette.CHANCE, lw=1.0, ls=(0, (1, 2)), zorder=2)
            ax.set(ylim=(low, high), xlabel=xlabel)
            ax.grid(axis="y")
            if factor is not None:
                _panel_title(ax, str(factor))
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
                    _panel_title(ax, str(factor))
                if j == 0:
                    ax.set_ylabel(f"{label}\nto {_hat(str(reference))}")
        star = f"* corrected p < {number(alpha)}" if "p_corrected" in frame else ""
        hats = "P\u0302, Q\u0302: typical sounds of the same and of another class"
        foot(figure, hats, interval_note(frame, "lines"), star)
    return figure


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
            _panel_title(ax, f"coloured by {factor}")
        axes[0][0].set_ylabel(ylabel or y)
        figure.draw_without_rendering()
        for ax, words in placed:
            _label_clouds(ax, words)
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
                _panel_title(ax, str(name))
        left_out = max(len(rows) for _, rows in panels) - max(len(rows) for _, rows in chosen)
        rest = f"{left_out} classes in between are not drawn" if left_out > 0 else ""
        foot(figure, "blue: rises, orange: falls", interval_note(frame, "lines"), rest)
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


@dataclass
class Label:
    """A label to the right of a line: the height of the line's end, its words, its colour, where the line ends."""

    y: float
    words: str
    colour: str
    x: float | None = None


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


def _has_interval(row: pd.Series) -> bool:
    return all(key in row.index and pd.notna(row[key]) for key in ("ci_low", "ci_high"))


def _band(ax: Axes, xs: Sequence[float] | pd.Series, curve: pd.DataFrame, colour: str) -> None:
    if {"ci_low", "ci_high"} <= set(curve.columns) and curve["ci_low"].notna().any():
        bounds = curve[["ci_low", "ci_high"]].to_numpy(float)
        ax.fill_between(xs, bounds[:, 0], bounds[:, 1], color=colour, alpha=0.16, lw=0, zorder=1)


def whisker(ax: Axes, row: pd.Series, place: float, *, horizontal: bool) -> None:
    if _has_interval(row):
        draw = ax.hlines if horizontal else ax.vlines
        draw(place, row["ci_low"], row["ci_high"], color=palette.INK, lw=1.4, zorder=4)


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


def _panel_title(ax: Axes, words: str) -> None:
    ax.set_title(words, loc="left", fontsize=10, fontweight="bold", color=palette.INK)


def _signed(value: float) -> str:
    return ("+" if value >= 0 else "\u2212") + number(abs(value))


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


def _spread(wishes: Sequence[float], gap: float, low: float, high: float) -> list[float]:
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
    heights = _spread([label.y for label in labels], gap, low, high)
    for text, label, height in zip(drawn, labels, heights, strict=True):
        text.set_position((1.05, height))
        ax.plot([1.005, 1.025, 1.04], [label.y, height, height], transform=ax.get_yaxis_transform(), clip_on=False,
                color=label.colour, lw=0.8, solid_joinstyle="round")  # fmt: skip


def _label_clouds(ax: Axes, words: Sequence[tuple[float, float, str, str]]) -> None:
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
