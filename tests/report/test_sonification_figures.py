"""Figures of sonification: every line, reference and picture is drawn; what is missing is told."""

import numpy as np
import pandas as pd
import pytest

from audiointerp.report import palette
from audiointerp.report.sonification_figures import BANDED, FEW_LINES, LINES, over_layers, spectrograms
from audiointerp.study import UserError


def table(lines):
    return pd.DataFrame(
        {"depth": depth, "network": name, "score": 0.1 * n + 0.01 * depth, "ci_low": 0.0, "ci_high": 0.9,
         "interval": "cluster bootstrap"}
        for n, name in enumerate(lines) for depth in (1, 4)
    )  # fmt: skip


def test_every_network_is_a_line_with_its_colour_and_band():
    figure = over_layers(table(["supervised", "untrained, fconly"]), title="t", ylabel="y", references={"floor": 0.3})
    (ax,) = figure.axes
    drawn = {line.get_color(): line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() == "o"}
    assert {LINES["supervised"], palette.CONTROL} == set(drawn)
    np.testing.assert_allclose(drawn[LINES["supervised"]].get_ydata(), [0.01, 0.04])
    assert len(ax.collections) == 2
    assert {text.get_text() for text in ax.texts} >= {"supervised", "untrained, fconly", "floor"}


def test_many_lines_leave_the_band_to_the_sonification():
    names = ["nothing", *BANDED, "random map", "other clip", "phases randomised"]
    assert len(names) > FEW_LINES
    frame = pd.concat([table(names).rename(columns={"network": "variant"}).assign(network=n) for n in ("a", "b")])
    figure = over_layers(frame, title="t", ylabel="y", line="variant", panel="network")
    assert [len(ax.collections) for ax in figure.axes] == [1, 1]
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "b"]


def test_spectrograms_stand_in_their_places():
    pictures = {("map 1", "input"): np.zeros((5, 4)), ("map 2", "sonification"): np.full((5, 4), -10.0)}
    figure = spectrograms(
        pictures, ["map 1", "map 2"], ["input", "sonification"], title="t", duration_s=dict.fromkeys(pictures, 2.0),
        top_khz=4.0,
    )  # fmt: skip
    assert [len(ax.images) for ax in figure.axes] == [1, 0, 0, 1]
    assert figure.axes[0].images[0].get_extent() == [0, 2.0, 0, 4.0]


def test_tables_that_lack_something_are_refused():
    with pytest.raises(UserError, match="add depth"):
        over_layers(table(["supervised"]).drop(columns="depth"), title="t", ylabel="y")
    with pytest.raises(UserError, match="expected rows"):
        over_layers(table(["supervised"]).assign(score=np.nan), title="t", ylabel="y")
    with pytest.raises(UserError, match="expected rows"):
        spectrograms({}, ["a"], ["b"], title="t", duration_s={}, top_khz=4.0)
