"""Figures of pictures: what is drawn is what was given."""

import numpy as np
import pandas as pd
import pytest

from audiointerp.report import pictures
from audiointerp.study import UserError


def test_sounds_stand_one_under_another():
    wave = np.sin(np.arange(1600) / 5).astype(np.float32)
    rows = [("one, 440 Hz", wave, np.eye(6)), ("two", wave / 2, np.eye(6) / 2)]
    figure = pictures.beside(rows, sample_rate=8000, window_s=0.2, title="Two sounds")
    assert len(figure.axes) == 6 and figure._suptitle.get_text() == "Two sounds"
    drawn = figure.axes[3].lines[0].get_ydata()
    assert np.allclose(drawn, wave[800:960] / 2)
    spectrum = figure.axes[1].lines[0]
    peak = spectrum.get_xdata()[np.argmax(spectrum.get_ydata())]
    assert peak == pytest.approx(8 / (2 * np.pi * 5), rel=0.01) and max(spectrum.get_ydata()) == pytest.approx(0, abs=1)


def test_a_grid_has_a_panel_for_each_picture():
    given = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(float)
    figure = pictures.grid(given, ["a", "b"], ["1", "2", "3"], title="Grid")
    assert len(figure.axes) == 6
    assert (figure.axes[4].images[0].get_array() == given[1, 1]).all()
    assert figure.axes[3].get_ylabel() == "b" and figure.axes[1].get_title() == "2"


def test_scores_stand_beside_their_chance():
    frame = pd.DataFrame(
        {"model": ["vae", "pca"] * 2, "metric": ["mig", "mig", "sap", "sap"]}
        | {"value": [0.4, 0.3, 0.2, 0.1], "permuted": [0.05, 0.06, 0.01, 0.02]}
    )
    axes = pictures.scores_beside_chance(frame, title="Scores").axes[0]
    drawn = [line.get_xdata().tolist() for line in axes.lines]
    assert drawn == [[0.05, 0.01], [0.4, 0.2], [0.06, 0.02], [0.3, 0.1]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mig", "sap"]
    with pytest.raises(UserError, match="add permuted"):
        pictures.scores_beside_chance(frame.drop(columns="permuted"), title="Scores")


def test_losses_are_drawn_where_they_are():
    frame = pd.DataFrame({"epoch": [1, 2], "train_loss": [3.0, 2.0], "val_loss": [4.0, 2.5], "val_kl": [1.0, 1.5]})
    figure = pictures.loss_curves(frame, {"loss": "loss", "kl": "KL", "other": "other"}, title="Losses")
    assert [len(ax.lines) for ax in figure.axes] == [2, 1]
    assert figure.axes[0].lines[1].get_ydata().tolist() == [4.0, 2.5]
