"""Clouds of dots in the page: what they hold, what nothing can break out of, and what is left out."""

import json

import numpy as np
import pandas as pd
import pytest

from audiointerp import audio
from audiointerp.report import clouds, media, render
from audiointerp.report.page import Page
from audiointerp.study import UserError

VIEWS = {"flat": ["x", "y"], "deep": ["x", "y", "z"]}
EVIL = "</script><script>window.broken = true</script>"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tables").mkdir()
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((6, 3)), columns=["x", "y", "z"])
    frame["family"] = ["reed", EVIL, "reed", "vocal", "vocal", "reed"]
    frame["pitch"] = np.arange(6) + 60
    frame["audio"] = ["audio/0.wav", "audio/1.wav", "audio/none.wav", None, None, None]
    frame.to_csv(tmp_path / "tables" / "views.csv", index=False)
    (tmp_path / "audio").mkdir()
    for i in range(2):
        audio.write(tmp_path / "audio" / f"{i}.wav", 0.1 * rng.standard_normal(4000), 16000)
    return tmp_path


def page_of(says=("family", "pitch")):
    page = Page("Dots", "Where are they?")
    page.section("Dots")
    page.cloud("All of them", "views", VIEWS, ["family", "pitch"], says=says)
    return page


def test_the_page_holds_dots_colours_and_sounds(folder):
    page_of().save(folder)
    text = render(folder).read_text(encoding="utf-8")
    data = json.loads(text.split('<script type="application/json">')[1].split("</script>")[0])
    assert [len(axes) for axes in data["views"].values()] == [2, 3] and len(data["says"]) == 6
    assert [bool(sound) for sound in data["sounds"]] == [True, True, False, False, False, False]
    assert len(data["colours"]["family"]["classes"]) == 3
    assert data["colours"]["pitch"]["low"] == 60 and data["colours"]["pitch"]["high"] == 65
    assert "1 of 6 sounds are left out" in text


def test_nothing_breaks_out_of_the_data(folder):
    page_of().save(folder)
    assert "window.broken = true</script>" not in render(folder).read_text(encoding="utf-8")


def test_sounds_that_do_not_fit_are_left_out_from_the_end(folder):
    part = page_of().blocks[-1]
    whole = clouds.fill(folder, part, media.Budget(10**7))
    less = clouds.fill(folder, part, media.Budget(len(whole["data"]) - 100))
    kept = json.loads(less["data"])["sounds"]
    assert kept[0] and not kept[1] and less["silent"] == 2
    assert "why" in clouds.fill(folder, part, media.Budget(10))


def test_what_is_missing_is_said(folder):
    part = {**page_of().blocks[-1], "colours": ["velocity"]}
    assert "no column velocity" in clouds.fill(folder, part, media.Budget(10**7))["why"]
    (folder / "tables" / "views.csv").unlink()
    page_of().save(folder)
    assert "tables/views.csv is not in this run" in render(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(("views", "colours"), [({}, ["family"]), ({"one": ["x"]}, ["family"]), (VIEWS, [])])
def test_a_cloud_needs_views_and_colours(views, colours):
    with pytest.raises(UserError, match="two or three columns"):
        Page("a", "b").cloud("c", "views", views, colours)
