"""Runs gathered into a folder of experiments/, and the tables of its README."""

import json

import pytest

from audiointerp import collect, sweep
from audiointerp.study import UserError


@pytest.fixture
def make_run(tmp_path):
    def make(name, seed=0, status="complete", experiment="tiny", **results):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        record = {
            "experiment": experiment,
            "config_hash": f"{seed:064x}",
            "config": {"seed": seed, "protocol": "corrected", "root": str(tmp_path)},
            "device": "cpu",
            "status": status,
            "results": results,
        }
        (folder / "results.json").write_text(json.dumps(record))
        return folder

    return make


README = "# Tiny\n\nbefore\n<!-- results:begin -->\nold\n<!-- results:end -->\nafter\n"


def test_records_are_gathered_without_paths_and_the_readme_is_redrawn(make_run, tmp_path):
    into = tmp_path / "experiments" / "tiny"
    into.mkdir(parents=True)
    (into / "README.md").write_text(README)
    runs = [make_run("b", 1, mean=0.25), make_run("a", 0, mean=1 / 3)]
    target = collect.collect(runs, into)
    records = json.loads(target.read_text())
    assert [record["config"]["seed"] for record in records] == [0, 1]
    assert str(tmp_path) not in target.read_text()
    text = (into / "README.md").read_text()
    assert text.startswith("# Tiny\n\nbefore\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| mean |" in text and "| 0.333 |" in text and "| 0.25 |" in text


def test_a_run_of_the_same_settings_replaces_the_earlier_one(make_run, tmp_path):
    into = tmp_path / "tiny"
    collect.collect([make_run("a", 0, mean=1.0), make_run("b", 1, mean=2.0)], into)
    collect.collect([make_run("c", 0, mean=3.0)], into)
    read = [record["results"]["mean"] for record in json.loads((into / "results.json").read_text())]
    assert read == [3.0, 2.0]
    collect.collect([tmp_path / "runs" / "c"], into, fresh=True)
    assert len(json.loads((into / "results.json").read_text())) == 1


def test_the_folder_of_a_sweep_gives_its_runs(make_run, tmp_path):
    for seed in (0, 1):
        make_run(f"sweep/{seed}", seed)
    assert len(collect.read_records([tmp_path / "runs" / "sweep"])) == 2


@pytest.mark.parametrize(
    "readme",
    ["no markers", "<!-- results:end --><!-- results:begin -->", "<!-- results:begin -->" * 2 + "<!-- results:end -->"],
)
def test_a_readme_without_markers_is_told_before_anything_is_written(make_run, tmp_path, readme):
    into = tmp_path / "tiny"
    into.mkdir()
    (into / "README.md").write_text(readme)
    with pytest.raises(UserError, match="results:begin"):
        collect.collect([make_run("a")], into)
    assert [path.name for path in into.iterdir()] == ["README.md"]


def test_unfinished_and_foreign_folders_are_told(make_run, tmp_path):
    with pytest.raises(UserError, match="no results.json"):
        collect.read_records([tmp_path])
    with pytest.raises(UserError, match="not complete"):
        collect.read_records([make_run("a", status="failed")])
    broken = make_run("b")
    (broken / "results.json").write_text("{")
    with pytest.raises(UserError, match="expected JSON"):
        collect.read_records([broken])


def test_runs_of_several_experiments_need_a_folder(make_run):
    with pytest.raises(UserError, match="--into FOLDER"):
        collect.collect([make_run("a", experiment="one"), make_run("b", experiment="two")])


def test_headlines_show_intervals_and_leave_out_what_is_no_number():
    headline = {"rho": {"value": 0.51234, "low": 0.4, "high": 0.6}, "layer": "l9", "curve": [1, 2], "n": 3}
    record = {
        "config_hash": "f" * 64,
        "config": {"seed": 1, "protocol": "published"},
        "results": {"headline": headline},
    }
    table = collect.headline_table([record])
    assert table.splitlines()[2] == "| ffffffff | 1 | published | 0.512 [0.4, 0.6] | l9 | 3 |"


def test_an_experiment_with_tables_of_its_own_is_drawn_by_them(monkeypatch):
    import sys
    import types

    summaries = types.ModuleType("audiointerp.report.summaries")
    summaries.__spec__ = types.SimpleNamespace(name="audiointerp.report.summaries")
    summaries.TABLES = {"tiny": lambda records: f"{len(records)} runs"}
    monkeypatch.setitem(sys.modules, "audiointerp.report.summaries", summaries)
    assert collect.tables_of("tiny")([1, 2]) == "2 runs"
    assert collect.tables_of("other") is collect.headline_table


def test_the_command_prints_its_file_or_one_error(make_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_run("a")
    assert collect.main([str(run)]) == 0
    assert capsys.readouterr().out.strip().replace("\\", "/") == "experiments/tiny/results.json"
    assert collect.main(["absent"]) == 2
    assert capsys.readouterr().err.startswith("error: expected the folder of a run")


def test_jobs_that_an_earlier_command_had_finished_are_collected_too(tmp_path):
    record = {"experiment": "tiny", "status": "complete", "config_hash": "a", "results": {"headline": {"mean": 1}}}
    earlier = tmp_path / "tiny" / "2026-01-01_00-00-00-aaaaaaaa"
    earlier.mkdir(parents=True)
    (earlier / "results.json").write_text(json.dumps(record), encoding="utf-8")
    sweep.point_to(tmp_path / "tiny" / "sweep-1" / "0-aaaaaaaa", earlier)
    assert [found["config_hash"] for found in collect.read_records([tmp_path / "tiny" / "sweep-1"])] == ["a"]
