"""Figures of trained networks: what is drawn is what the table holds."""

import pandas as pd
import pytest

from audiointerp.report import palette
from audiointerp.report.training_figures import colour_of, curves, regimes
from audiointerp.study import UserError

SUMMARY = pd.DataFrame({
    "regime": ["scratch", "contrastive, full", "untrained, fconly"], "score": [0.5, 0.8, 0.3],
    "ci_low": [0.4, 0.7, None], "ci_high": [0.6, 0.9, None], "interval": ["t over clusters"] * 3, "chance": 0.1,
    "fraction": 1.0,
})  # fmt: skip
SEEDS = pd.DataFrame({"regime": ["scratch", "scratch", "contrastive, full"], "score": [0.45, 0.55, 0.8]})


def words(figure):
    from matplotlib.text import Text

    return " | ".join(text.get_text() for text in figure.findobj(Text))


def test_regimes_show_means_seeds_and_chance():
    figure = regimes(SUMMARY, SEEDS, title="Contrastive is best", label="accuracy")
    ax = figure.axes[0]
    drawn = [(tuple(line.get_xdata()), line.get_color()) for line in ax.lines]
    assert (
        ((0.8,), palette.BLUE) in drawn and ((0.3,), palette.CONTROL) in drawn and ((0.45, 0.55), palette.INK) in drawn
    )
    assert any(list(xs) == [0.1, 0.1] for xs, _ in drawn)
    assert len(ax.collections) == 2  # no whisker without an interval
    assert "t over clusters" in words(figure) and "chance" in words(figure) and "Contrastive is best" in words(figure)
    assert [label.get_text() for label in ax.get_yticklabels()] == SUMMARY["regime"].tolist()


def test_curves_show_lines_references_and_chance():
    rows = [
        {"depth": d, "pretraining": name, "score": s + 0.1 * d, "ci_low": s, "ci_high": s + 0.4, "chance": 0.1,
         "reference": 0.6 if name == "untrained" else float("nan"), "interval": "t over clusters"}
        for name, s in (("untrained", 0.1), ("supervised elsewhere", 0.3)) for d in (2, 1)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    figure = curves(frame, "depth", "pretraining", title="Deeper is better", xlabel="blocks kept", ylabel="accuracy")
    lines = {line.get_color(): (list(line.get_xdata()), list(line.get_ydata())) for line in figure.axes[0].lines[:1]}
    assert lines[palette.CONTROL][0] == [1, 2] and lines[palette.CONTROL][1] == pytest.approx([0.2, 0.3])
    assert any(list(line.get_ydata()) == [0.6, 0.6] for line in figure.axes[0].lines)
    assert "supervised elsewhere" in words(figure) and "blocks kept" in words(figure)


def test_colours_keep_their_meaning():
    assert colour_of("untrained, full") == palette.CONTROL and colour_of("log-mel, scratch") == palette.BASELINE
    assert len({colour_of(name) for name in ("scratch", "contrastive, full", "contrastive elsewhere, full")}) == 3


def test_missing_columns_and_rows_are_told():
    with pytest.raises(UserError, match="add chance"):
        regimes(SUMMARY.drop(columns="chance"), SEEDS, title="t", label="l")
    with pytest.raises(UserError, match="got none"):
        regimes(SUMMARY[:0], SEEDS, title="t", label="l")
    with pytest.raises(UserError, match="add depth"):
        curves(SUMMARY, "depth", "regime", title="t", xlabel="x", ylabel="y")
