"""Distances between tasks: planted ones are found, equal tasks lie no further apart than seeds; splits and scores."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from audiointerp.modulation.spectrum import ModulationSpectrum
from audiointerp.report import Page
from audiointerp.studies.strf_scores import against, summarised
from audiointerp.studies.strf_tasks import (
    CALLS,
    VOICES,
    compare_tasks,
    contrast_in_words,
    distances,
    exchanged,
    in_words,
    oblique,
    oblique_in_words,
    voices_beside_calls,
)
from audiointerp.study import RunContext, SweepRun, UserError

SPECTRUM = ModulationSpectrum(np.arange(4.0), np.arange(-2.0, 3.0), np.full((4, 5), 0.05))


def filters(shift, seed, count=16):
    """Filters of one seed begin alike; training moves those of a task by `shift`."""
    begun = np.random.default_rng(seed).normal(size=(count, 2)) * [5.0, 1.0] + [10.0, 0.0]
    return begun + np.array(shift) + 0.1 * np.random.default_rng([seed, 9]).normal(size=(count, 2))


def tasks(shifts, seeds=5):
    return {name: [filters(shift, seed) for seed in range(seeds)] for name, shift in shifts.items()}


def test_tasks_that_moved_apart_are_told_from_tasks_that_did_not():
    learnt = tasks({"strf_a": (0, 0), "strf_b": (0, 0), "strf_c": (15, 2)})
    spectra = dict.fromkeys(learnt, SPECTRUM)
    found = distances(learnt, {name: parts[:3] for name, parts in learnt.items()}, spectra).set_index("pair")
    assert found.loc["a | b", "p"] > 0.2 and found.loc["a | b", "distance"] < 0.02
    for pair in ("a | c", "b | c"):
        assert found.loc[pair, "p"] < 0.03 and found.loc[pair, "ci_low"] > found.loc[pair, "between_seeds"]
    assert (found["sounds"] < 0.01).all() and np.isfinite(found["shuffled"]).all()
    assert "a and c (p = 0.0" in in_words(found.reset_index())
    assert "No two tasks" in in_words(found.loc[["a | b"]].reset_index())


def test_without_two_networks_nothing_is_tested():
    assert all(np.isnan(exchanged([filters((0, 0), 0), filters((0, 0), 0)], 1, 0)))
    learnt = tasks({"strf_a": (0, 0), "strf_b": (9, 0)}, seeds=1)
    found = distances(learnt, {name: [] for name in learnt}, dict.fromkeys(learnt, SPECTRUM))
    assert np.isnan(found["shuffled"]).all() and found["interval"].tolist() == ["none: 1 seed"]


def test_voices_cluster_where_it_was_planted_and_only_there():
    names = (*VOICES, CALLS)
    planted = voices_beside_calls(tasks(dict(zip(names, [(0, 0), (1, 0), (20, 0)], strict=True))))
    assert "holds:" in contrast_in_words(planted) and planted["mean"].iloc[2] > 0.3
    reversed_ = voices_beside_calls(tasks(dict(zip(names, [(0, 0), (20, 0), (10, 0)], strict=True))))
    assert "does not hold:" in contrast_in_words(reversed_)
    single = voices_beside_calls(tasks(dict(zip(names, [(0, 0), (1, 0), (20, 0)], strict=True)), seeds=1))
    assert "cannot be told here" in contrast_in_words(single)


def written(folder, name, shift, protocol="corrected", **backbone):
    """The files of a finished run that a comparison reads."""
    (folder / "tables").mkdir(parents=True)
    parts = []
    for labels, seeds in (("as they are", 3), ("shuffled", 2)):
        for seed in range(seeds):
            omega, density = filters(shift if labels == "as they are" else (0, 0), seed).T
            frame = pd.DataFrame({"omega_hz": omega, "Omega_cycles_per_octave": density})
            first = filters((0, 0), seed)
            frame = frame.assign(first_omega_hz=first[:, 0], first_Omega_cycles_per_octave=first[:, 1])
            parts.append(frame.assign(labels=labels, seed=seed))
    pd.concat(parts).to_csv(folder / "tables" / "tuning.csv", index=False)
    SPECTRUM.frame().to_csv(folder / "tables" / "modulation_spectrum.csv", index=False)
    own = {"frame_rate": 80, "axis": "log", "bins_per_octave": 11.0, "filters": 16, **backbone}
    record = {"experiment": name, "config": {"protocol": protocol, "backbone": own}}
    return SweepRun(folder, json.loads(json.dumps(record)), {})


def test_runs_are_compared_on_the_page(tmp_path):
    names = (*VOICES, CALLS)
    runs = [written(tmp_path / name, name, shift) for name, shift in zip(names, [(0, 0), (1, 0), (15, 0)], strict=True)]
    runs.append(written(tmp_path / "published", CALLS, (0, 0), protocol="published"))
    page = Page("Tasks", "How far?")
    context = RunContext(tmp_path / "page", tmp_path, page=page)
    compare_tasks(context, runs)
    assert len(context.results["task_distances"]) == 3 and len(page.verdicts) == 3
    assert (tmp_path / "page" / "figures" / "task_distances.svg").is_file()
    calls = [row for row in context.results["task_distances"] if "calls" in row["pair"]]
    assert min(row["distance"] for row in calls) > 0.3  # those of the published protocol are left out
    with pytest.raises(UserError, match="one frame rate, axis and number of filters"):
        compare_tasks(context, [runs[0], written(tmp_path / "mel", "strf_scenes", (0, 0), axis="mel")])
    alone = RunContext(tmp_path / "alone", tmp_path, page=Page("Tasks", "How far?"))
    compare_tasks(alone, runs[:1])
    assert not alone.results


def test_filters_that_went_to_the_axes_are_found():
    parts = []
    for seed in range(5):
        first = filters((0, 0), seed) - [10.0, 0.0]
        went = first * np.where(np.arange(16)[:, None] % 2, [1.0, 0.01], [0.01, 1.0])
        columns = {"first_omega_hz": first[:, 0], "first_Omega_cycles_per_octave": first[:, 1], "seed": seed}
        for labels, own in (("as they are", went), ("shuffled", first)):
            frame = pd.DataFrame({**columns, "omega_hz": own[:, 0], "Omega_cycles_per_octave": own[:, 1]})
            parts.append(frame.assign(labels=labels))
    slant = oblique(pd.concat(parts)).set_index("filters")
    assert slant.loc["after training", "ci_high"] < 0.2 < slant.loc["before training", "ci_low"]
    assert slant.loc["labels shuffled", "obliqueness"] == pytest.approx(slant.loc["before training", "obliqueness"])
    words = oblique_in_words(slant.reset_index().assign(task="calls"))
    assert "calls 0." in words and "(intervals apart)" in words


def scores(gain, seeds=5):
    rng = np.random.default_rng(0)
    split = rng.normal(0.0, 0.05, seeds)  # what a split makes of all front ends
    rows = [("mine", k, 0.8 + split[k]) for k in range(seeds)]
    rows += [("other", k, 0.8 - gain + split[k] + rng.normal(0.0, 0.005)) for k in range(seeds)]
    return pd.DataFrame(rows, columns=["front", "seed", "accuracy"])


def test_differences_are_taken_seed_by_seed():
    found = against(scores(0.05), "mine", ["accuracy"], 0.4).iloc[0]
    assert found["ci_low"] > 0.02 and found["p"] < 0.01 and found["seeds"] == 5
    none = against(scores(0.0), "mine", ["accuracy"], 0.4).iloc[0]
    assert none["ci_low"] < 0 < none["ci_high"] and none["p"] > 0.05
    table = summarised(scores(0.05), ["accuracy"], 0.4).set_index("front")
    overlap = table.loc["mine", "ci_low"] < table.loc["other", "ci_high"]
    assert overlap  # the means' own intervals hold what splits do to both
    narrow = summarised(scores(0.05), ["accuracy"], 0.0).set_index("front")
    width = [frame.loc["mine", "ci_high"] - frame.loc["mine", "ci_low"] for frame in (table, narrow)]
    assert width[0] / width[1] == pytest.approx(np.sqrt(1 + 5 * 0.4))
    assert np.isnan(against(scores(0.05), "mine", ["accuracy"], 0.0)["p"]).all()
    assert against(scores(0.1).query("front == 'mine'"), "mine", ["accuracy"], 0.4).empty


def test_a_spectrum_is_read_as_it_was_written():
    again = ModulationSpectrum.from_frame(SPECTRUM.frame())
    for field in dataclasses.fields(SPECTRUM):
        assert np.array_equal(getattr(again, field.name), getattr(SPECTRUM, field.name))
    with pytest.raises(ValueError, match="at every modulation of a grid"):
        ModulationSpectrum.from_frame(SPECTRUM.frame().iloc[:-1])
