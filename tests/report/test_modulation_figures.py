"""Figures of filters are drawn from plain tables and hold what they were given."""

import numpy as np
import pandas as pd
import pytest

from audiointerp.report import modulation_figures
from audiointerp.study import UserError


def summary():
    rows = [("learnt Gabor", 0.8, 0.7, 0.9), ("frozen Gabor", 0.7, np.nan, np.nan), ("bands only", 0.6, 0.5, 0.7)]
    return pd.DataFrame(rows, columns=["front", "mean", "ci_low", "ci_high"]).assign(measure="accuracy")


def test_fronts_show_means_intervals_seeds_and_chance():
    seeds = pd.DataFrame({"front": ["learnt Gabor"] * 3, "accuracy": [0.75, 0.8, 0.85]})
    figure = modulation_figures.fronts(summary(), seeds, measure="accuracy", chance=0.5, title="So it is")
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == summary()["front"].tolist()
    assert len(ax.collections) == 2  # intervals, where there are any
    drawn = [line.get_xdata() for line in ax.lines]
    assert [0.8] in [list(values) for values in drawn] and [0.75, 0.8, 0.85] in [list(values) for values in drawn]
    assert any("chance" in text.get_text() for text in ax.texts)
    with pytest.raises(UserError, match="add ci_high"):
        modulation_figures.fronts(summary().drop(columns="ci_high"), seeds, measure="accuracy", chance=None, title="")


def test_filters_are_drawn_before_and_after_with_frequency_upwards():
    before, after = np.zeros((2, 7, 5, 3), dtype=complex)
    before[0, 0, 0] = -3.0  # early and low
    after[0, 4, 2] = 2.0  # late and high
    figure = modulation_figures.drawn_filters(
        before, after, list("abcdefg"), frame_rate=100.0, bins_per_octave=10.0, title="Filters", columns=4
    )
    assert len(figure.axes) == 16 and sum(ax.axison for ax in figure.axes) == 14
    first, learnt = figure.axes[0].images[0], figure.axes[4].images[0]
    assert first.get_array()[0, 0] == -1.0 and learnt.get_array()[2, 4] == 1.0 and learnt.origin == "lower"
    assert learnt.get_extent() == pytest.approx((-0.025, 0.025, -0.15, 0.15))
    assert [figure.axes[i].get_title() for i in (0, 4, 5, 12)] == ["", "a", "b", "e"]


def test_distances_of_tasks_stand_beside_their_nulls():
    rows = [("a | b", 0.4, 0.3, 0.5, 0.1, 0.2, 0.6), ("a | c", 0.2, np.nan, np.nan, 0.1, np.nan, 0.6)]
    columns = ["pair", "distance", "ci_low", "ci_high", "between_seeds", "shuffled", "sounds"]
    frame = pd.DataFrame(rows, columns=columns)
    ax = modulation_figures.task_distances(frame, title="Apart").axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a | b", "a | c"]
    assert len(ax.collections) == 1
    drawn = {line.get_label(): list(line.get_xdata()) for line in ax.lines}
    assert drawn["seeds of one task"] == [0.1, 0.1] and drawn["the sounds themselves"] == [0.6, 0.6]
    with pytest.raises(UserError, match="add sounds"):
        modulation_figures.task_distances(frame.drop(columns="sounds"), title="")


def test_the_plane_holds_every_filter():
    rng = np.random.default_rng(0)
    populations = {name: (rng.uniform(0, 20, 30), rng.normal(size=30)) for name in ("after", "before")}
    power = np.outer(np.exp(-np.arange(20) / 5), np.exp(-np.abs(np.arange(-5, 6)) / 2))
    spectrum = (np.arange(20.0), np.arange(-5, 6) / 2, power / power.sum())
    for given in (spectrum, None):
        figure = modulation_figures.modulation_plane(populations, given, title="Plane")
        plane = figure.axes[2]
        drawn = [set(line.get_xdata()) for line in plane.lines if len(line.get_xdata()) == 30]
        assert {*map(frozenset, drawn)} == {frozenset(omega) for omega, _ in populations.values()}
        assert "Hz" in plane.get_xlabel() and "octave" in plane.get_ylabel()
