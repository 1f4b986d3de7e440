"""The page over all jobs of a sweep: who is in it, what differs, and where it leads."""

import json

import pandas as pd
import pytest
from omegaconf import OmegaConf

from audiointerp import sweep
from audiointerp.report.sweep_figures import swept
from audiointerp.report.wandb_mirror import mirror
from audiointerp.study import RunContext, UserError


def job(folder, scale, seed, headline, status="complete", target="tests.tiny.tiny_study.Tiny", report=True):
    folder.mkdir(parents=True)
    record = {
        "experiment": "tiny",
        "status": status,
        "config_hash": folder.name,
        "overrides": ["experiment=tiny", f"study.scale={scale}", f"seed={seed}"],
        "config": {"study": {"_target_": target}},
        "results": {"headline": headline},
        "seconds": {"draw": 1.25, "mean": 0.5},
    }
    (folder / "results.json").write_text(json.dumps(record), encoding="utf-8")
    if report:
        (folder / "report.html").write_text("a page", encoding="utf-8")
    return folder


def test_jobs_come_in_their_order_with_what_differs_between_them(tmp_path):
    for number in (10, 2, 0):
        job(tmp_path / "sweep" / f"{number}-abc", scale=number, seed=0, headline={"mean": number / 2})
    job(tmp_path / "sweep" / "1-half", scale=1, seed=0, headline={}, status="failed")
    (tmp_path / "sweep" / "3-cut").mkdir()
    (tmp_path / "sweep" / "3-cut" / "results.json").write_text("{", encoding="utf-8")
    runs = sweep.runs_of(tmp_path / "sweep")
    assert [run.folder.name for run in runs] == ["0-abc", "2-abc", "10-abc"]
    assert [run.settings for run in runs] == [{"study.scale": "0"}, {"study.scale": "2"}, {"study.scale": "10"}]


def test_a_job_that_was_finished_earlier_is_found_where_it_lies(tmp_path):
    earlier = job(tmp_path / "2026-abc", scale=1, seed=0, headline={"mean": 1.0})
    sweep.point_to(tmp_path / "sweep" / "0-abc", earlier)
    job(tmp_path / "sweep" / "1-def", scale=2, seed=0, headline={"mean": 2.0})
    runs = sweep.runs_of(tmp_path / "sweep")
    assert [run.folder.resolve() for run in runs] == [(tmp_path / "sweep" / "1-def"), earlier]
    table = tmp_path / "sweep" / "tables" / "jobs.csv"
    assert sweep.compare(tmp_path / "sweep").is_file()
    assert pd.read_csv(table)["report"].tolist() == ["1-def/report.html", "../2026-abc/report.html"]


def test_the_page_leads_to_each_report(tmp_path):
    for scale in (1, 2):
        for seed in (0, 1):
            nested = {"mean": scale + seed, "best": {"layer": "layer7", "accuracy": 0.5, "deep": {"x": 1}}}
            job(tmp_path / f"{scale}{seed}-x", scale, seed, nested, report=seed == 0)
    page = sweep.compare(tmp_path).read_text(encoding="utf-8")
    assert page.count('href="10-x/report.html"') == page.count('href="20-x/report.html"') == 1
    assert 'href="11-x' not in page and "4 runs compared" in page
    table = pd.read_csv(tmp_path / "tables" / "jobs.csv")
    assert list(table) == ["study.scale", "seed", "mean", "best accuracy", "total_s", "report"]
    assert table["mean"].tolist() == [1, 2, 2, 3] and (table["total_s"] == 1.8).all()
    done = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert done["status"] == "complete" and len(done["jobs"]) == 4


def test_a_study_compares_its_own_runs_and_no_others(tmp_path, monkeypatch):
    class Own:
        @staticmethod
        def compare(context: RunContext, runs):
            context.page.verdict(f"{len(runs)} were compared.")

    monkeypatch.setattr("hydra.utils.get_class", lambda target: Own)
    for number in (0, 1):
        job(tmp_path / f"{number}-x", number, 0, {}, target="audiointerp.studies.own.Own")
    assert "2 were compared." in sweep.compare(tmp_path).read_text(encoding="utf-8")
    job(tmp_path / "2-x", 2, 0, {}, target="audiointerp.studies.other.Other")
    assert "were compared." not in sweep.compare(tmp_path).read_text(encoding="utf-8")
    assert sweep.comparison_of(sweep.runs_of(tmp_path)[:1] * 2) is Own.compare
    job(tmp_path / "elsewhere" / "0-x", 0, 0, {}, target="somebody.elses.Class")
    assert sweep.comparison_of(sweep.runs_of(tmp_path / "elsewhere")) is None


def test_a_folder_without_finished_jobs_is_refused(tmp_path, capsys):
    with pytest.raises(UserError, match="expected the folder of a sweep with finished jobs"):
        sweep.compare(tmp_path)
    assert sweep.main([str(tmp_path)]) == 2
    assert "error: expected the folder of a sweep" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_headline_numbers_are_drawn_over_the_settings(tmp_path):
    for number, (scale, seed) in enumerate([(10, 0), (2, 0), (10, 1), (2, 1)]):
        job(tmp_path / f"{number}-x", scale, seed, {"mean": scale + seed, "same": 3, "best": {"layer": "layer7"}})
    page = sweep.compare(tmp_path).read_text(encoding="utf-8")
    points = pd.read_csv(tmp_path / "figures" / "swept.csv")
    assert list(points) == ["study.scale", "seed", "mean"] and points["mean"].tolist() == [10, 2, 11, 3]
    assert "Headline numbers of all jobs" in page and (tmp_path / "figures" / "swept.svg").is_file()


def test_numbers_stand_in_their_order_and_words_as_they_come():
    frame = pd.DataFrame({"n": ["10", "2", "10"], "word": ["b", "a", "b"], "mean": [1.0, 2.0, 3.0]})
    figure = swept(frame, ["n", "word"], ["mean"], title="t")
    ticks = [[label.get_text() for label in ax.get_xticklabels()] for ax in figure.axes]
    assert ticks == [["2", "10"], ["b", "a"]]
    line = figure.axes[0].lines[1]
    assert line.get_xdata().tolist() == [0, 1] and line.get_ydata().tolist() == [2.0, 2.0]
    with pytest.raises(UserError, match="expected a table with columns"):
        swept(frame, ["other"], ["mean"], title="t")
    with pytest.raises(UserError, match="expected rows of jobs"):
        swept(frame[:0], ["n"], ["mean"], title="t")


def test_a_sweep_is_one_group_of_wandb(tmp_path):
    config = OmegaConf.create({
        "logger": {"group": None, "project": "p", "entity": None, "tags": ["a"]},
        "hydra": {"sweep": {"dir": "outputs/tiny/sweep-today"}},
    })  # fmt: skip
    assert sweep.group_of(config) == "sweep-today"
    assert sweep.owner_of(config) == {"project": "p", "entity": None, "tags": ["a"]}
    config.logger.group = "mine"
    assert sweep.group_of(config) == "mine"


@pytest.mark.slow
def test_the_comparison_is_mirrored_as_a_run_of_its_own(tmp_path):
    for number in (0, 1):
        job(tmp_path / f"{number}-x", number, 0, {"mean": number})
    sweep.compare(tmp_path)
    files = mirror(tmp_path, group="sweep-today")
    media = [file.name for file in files.rglob("*") if file.is_file()]
    assert any(name.startswith("jobs") for name in media) and any(name.startswith("swept") for name in media)


def test_runs_of_different_commands_are_compared_in_a_folder_of_their_own(tmp_path, capsys):
    runs = [job(tmp_path / "outputs" / name, scale, 0, {"mean": scale}) for name, scale in (("a", 1), ("b", 2))]
    into = tmp_path / "compared"
    assert sweep.main([*map(str, runs), "--into", str(into)]) == 0
    assert pd.read_csv(into / "tables" / "jobs.csv")["mean"].tolist() == [1, 2]
    page = (into / "report.html").read_text(encoding="utf-8")
    assert "2 runs compared" in page and "has not finished" not in page
    assert sweep.main([*map(str, runs)]) == 2 and "give --into FOLDER" in capsys.readouterr().err
    assert sweep.main([str(tmp_path), "--into", str(into)]) == 2
    assert "with finished jobs" in capsys.readouterr().err
