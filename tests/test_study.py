"""Streams, the run's folder, and what a context writes there."""

import dataclasses
import json
import math
import os
import stat
import sys

import numpy as np
import pandas as pd
import pytest

from audiointerp.study import RunContext, Study, UserError, stream, to_plain, torch_stream, write_atomically


@pytest.fixture
def context(tmp_path):
    return RunContext(tmp_path / "run", tmp_path / "cache", record={"experiment": "tiny"})


class Recorder:
    def __init__(self):
        self.saved, self.described = [], {}

    def save(self, folder):
        self.saved.append((folder, (folder / "results.json").exists()))

    def describe(self, name, alt):
        self.described[name] = alt


def test_stream_gives_the_same_numbers_for_the_same_names_whatever_was_drawn_before():
    stream(1, "a").normal(size=100)
    np.random.seed(3)
    assert stream(1, "a", 2).integers(2**40, size=5).tolist() == stream(1, "a", 2).integers(2**40, size=5).tolist()


def test_streams_of_different_names_are_uncorrelated():
    names = [(seed, consumer, epoch) for seed in (0, 1) for consumer in ("a", "b") for epoch in (0, 1)]
    draws = np.stack([stream(*name).normal(size=4000) for name in names])
    off = np.corrcoef(draws)[~np.eye(len(names), dtype=bool)]
    assert np.abs(off).max() < 0.08


def test_stream_joins_names_unambiguously():
    assert stream(0, "ab", "c").integers(2**40) != stream(0, "a", "bc").integers(2**40)
    assert stream(0, 1).integers(2**40) != stream(0, "1").integers(2**40)


def test_torch_stream_is_its_own_and_leaves_the_global_state_alone():
    import torch

    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = torch.rand(4, generator=torch_stream(5, "flow"))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, torch.rand(4, generator=torch_stream(5, "flow")))
    assert not torch.equal(first, torch.rand(4, generator=torch_stream(6, "flow")))


def test_user_error_is_a_value_error():
    assert issubclass(UserError, ValueError)


def test_write_atomically_leaves_the_old_file_and_no_scrap_when_it_fails(tmp_path, monkeypatch):
    path = write_atomically(tmp_path / "a.txt", "old")

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX")
def test_write_atomically_gives_the_mode_of_an_ordinary_file(tmp_path):
    (tmp_path / "ordinary").write_text("x")
    expected = stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)
    assert stat.S_IMODE(write_atomically(tmp_path / "mine", "x").stat().st_mode) == expected


def test_to_plain_converts_what_json_cannot_hold(tmp_path):
    @dataclasses.dataclass
    class Effect:
        d_z: np.float32
        p: float

    given = {
        1: np.int64(4),
        "array": np.arange(3).reshape(1, 3),
        "effect": Effect(np.float32(0.5), math.nan),
        "path": tmp_path / "x",
        "set": {"b", "a"},
        "yes": np.bool_(True),
        "infinite": [math.inf],
    }
    plain = to_plain(given)
    assert plain == {
        "1": 4,
        "array": [[0, 1, 2]],
        "effect": {"d_z": 0.5, "p": None},
        "path": str(tmp_path / "x"),
        "set": ["a", "b"],
        "yes": True,
        "infinite": [None],
    }
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_to_plain_refuses_a_table():
    with pytest.raises(TypeError, match="DataFrame: write tables with context.table"):
        to_plain({"table": pd.DataFrame()})


def test_step_adds_up_seconds_and_tells_them_also_after_an_error(context, caplog):
    caplog.set_level("INFO", logger="audiointerp")
    with context.step("fit"):
        pass
    first = context.seconds["fit"]
    with pytest.raises(RuntimeError), context.step("fit"):
        raise RuntimeError
    assert context.seconds["fit"] >= first
    said = [record.getMessage() for record in caplog.records]
    assert [message.split(" ")[0] for message in said] == ["fit", "fit:", "fit", "fit:"]
    assert "done in" in said[1] and "stopped after" in said[3]


def test_progress_passes_items_on_and_shows_where_it_is(context, capsys):
    assert list(context.progress(range(3), description="clips", unit="clip")) == [0, 1, 2]
    assert "clips" in capsys.readouterr().err


def test_table_keeps_a_meaningful_index_and_drops_a_count(context):
    plain = context.table("plain", pd.DataFrame({"x": [0.1, 0.2]}))
    named = context.table("named", pd.DataFrame({"x": [1]}, index=pd.Index(["a"], name="layer")))
    assert plain.read_text() == "x\n0.1\n0.2\n"
    assert named.read_text() == "layer,x\na,1\n"


@pytest.mark.parametrize("name", ["a/b", "../up", "with space", ""])
def test_names_that_lead_elsewhere_are_refused(context, name):
    with pytest.raises(ValueError, match="tables/"):
        context.table(name, pd.DataFrame())
    assert not (context.folder / "tables").exists()


def test_figure_is_written_three_ways_closed_and_described(tmp_path):
    import matplotlib.pyplot as plt

    page = Recorder()
    context = RunContext(tmp_path / "run", tmp_path / "cache", page=page)
    figure, axes = plt.subplots()
    axes.plot([0, 1])
    context.figure("line", figure, pd.DataFrame({"x": [0, 1]}), alt="A line that rises.")
    folder = context.folder / "figures"
    assert sorted(path.name for path in folder.iterdir()) == ["line.csv", "line.png", "line.svg"]
    assert (folder / "line.png").read_bytes().startswith(b"\x89PNG")
    assert "A line that rises." in (folder / "line.svg").read_text()
    assert page.described == {"line": "A line that rises."}
    assert not plt.fignum_exists(figure.number)


def test_figures_are_the_same_bytes_each_time(context):
    import matplotlib.pyplot as plt

    drawn = []
    for _ in range(2):
        figure, axes = plt.subplots()
        axes.plot([0, 1], label="x")
        axes.legend()
        context.figure("line", figure, alt="A line.")
        drawn.append((context.folder / "figures" / "line.svg").read_bytes())
    assert drawn[0] == drawn[1]


def test_results_merge_and_are_written_last(tmp_path):
    page = Recorder()
    context = RunContext(tmp_path / "run", tmp_path / "cache", page=page, record={"experiment": "tiny"})
    context.result(headline={"a": np.float64(1.5)}, layers=[1])
    context.result(headline={"b": 2}, layers=[2])
    path = context.finish()
    record = json.loads(path.read_text())
    assert record["results"] == {"headline": {"a": 1.5, "b": 2}, "layers": [2]}
    assert record["status"] == "complete" and record["experiment"] == "tiny"
    assert record["started"] <= record["ended"]
    assert page.saved == [(context.folder, False)]


def test_log_metrics_appends_lines(context):
    context.log_metrics({"loss": np.float32(0.5)}, step=0)
    context.log_metrics({"loss": math.nan}, step=1)
    lines = [json.loads(line) for line in (context.folder / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"step": 0, "loss": 0.5}, {"step": 1, "loss": None}]


def test_without_a_logger_there_is_no_wandb(context):
    context.log_metrics({"loss": 1.0}, step=0)
    assert context.wandb_run is None and context.lightning_logger() is False
    context.close()
    assert not (context.folder / "wandb").exists()


@pytest.mark.slow
def test_wandb_stays_inside_the_run_folder_and_is_ended(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "elsewhere"))
    settings = {"logger": {"mode": "offline", "project": "p", "entity": None, "group": None, "tags": ["t"]}}
    context = RunContext(tmp_path / "run", tmp_path / "cache", config=settings)
    context.log_metrics({"loss": 1.0}, step=3)
    assert context.lightning_logger().experiment is context.wandb_run
    context.close()
    import wandb

    assert wandb.run is None
    assert list((context.folder / "wandb").glob("offline-run-*"))
    assert not (tmp_path / "elsewhere").exists()


def test_a_study_is_told_by_its_run_method():
    from tiny_study import Tiny

    assert isinstance(Tiny(), Study)
    assert not isinstance(object(), Study)
