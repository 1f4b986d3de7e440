"""Figures of the timbre study: what is drawn is what the table says, and what is missing is named."""

import pandas as pd
import pytest

from audiointerp.report import timbre_figures
from audiointerp.study import UserError

READ = pd.DataFrame({
    "representation": ["embedding, SVM", "permuted"], "value": [0.9, 0.1], "ci_low": [0.85, None],
    "ci_high": [0.95, None], "interval": ["cluster bootstrap", "none"], "control": [False, True], "paper": [0.72, None],
})  # fmt: skip
PAIRS = pd.DataFrame({
    "method": ["mean shift"] * 2, "source": ["reed", "vocal"], "target": ["vocal", "reed"], "is_target": [0.25, 0.75],
    "nearer_db": [1.5, -0.5], "distance": [1.0, 2.0],
})  # fmt: skip
METHODS = pd.DataFrame({
    "method": ["mean shift", "plain reconstruction"], "role": ["edit", "control"], "is_target": [0.4, 0.0],
    "is_target_low": [0.3, None], "is_target_high": [0.5, None],
})  # fmt: skip
DRAWN = {
    "readings": lambda frame: timbre_figures.readings(frame, title="Read", label="accuracy", chance=0.1),
    "pair_matrix": lambda frame: timbre_figures.pair_matrix(frame, "is_target", title="Taken", label="share", bound=1),
    "methods": lambda frame: timbre_figures.methods(frame, {"is_target": "taken for B"}, title="Moved"),
    "against_distance": lambda frame: timbre_figures.against_distance(
        frame, title="Far", value="nearer_db", label="dB"
    ),
}
FRAMES = {"readings": READ, "pair_matrix": PAIRS, "methods": METHODS, "against_distance": PAIRS}


def words(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_values_stand_beside_their_dots():
    figure = DRAWN["readings"](READ)
    assert words(figure) == [".90 [.85, .95]", ".10"]
    assert "diamond: the paper's" in figure._supxlabel.get_text()


def test_a_matrix_has_sources_in_rows():
    figure = DRAWN["pair_matrix"](PAIRS)
    ax = figure.axes[0]
    place = {text.get_text(): text.get_position() for text in ax.texts}
    assert place == {".25": (1, 0), ".75": (0, 1)}  # reed to vocal: first row, second column
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["reed", "vocal"]


def test_every_method_has_a_line_and_every_panel_an_axis():
    figure = DRAWN["methods"](METHODS)
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == list(METHODS["method"])
    assert len(DRAWN["against_distance"](PAIRS).axes) == 1


@pytest.mark.parametrize("name", DRAWN)
def test_missing_columns_and_empty_tables_are_named(name):
    with pytest.raises(UserError, match="expected a table with columns"):
        DRAWN[name](FRAMES[name][["method"]] if "method" in FRAMES[name] else FRAMES[name][["value"]])
    with pytest.raises(UserError, match="expected rows"):
        DRAWN[name](FRAMES[name].head(0))
