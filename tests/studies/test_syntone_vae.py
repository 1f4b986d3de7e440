"""VAEs on tones from the command to the report, on a tiny grid and a tiny network."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from audiointerp.data.syntone import SynTone
from audiointerp.disentangle.metrics import evaluate_all
from audiointerp.edit.swaps import EDITS
from audiointerp.probes.readers import FactorReader
from audiointerp.studies.syntone_scores import RIGHT, SWAPPED, Scored, efficiency_table, score_table, variance_table
from audiointerp.studies.syntone_sounds import GRIFFIN_LIM, SINUSOIDAL, hear, invert
from audiointerp.studies.syntone_vae import SyntoneVAE
from audiointerp.study import RunContext, UserError
from tests.studies.conftest import Place, Run

TINY = (
    *("experiment=syntone_vae", "model=factor_vae", "logger=none", "device=cpu", "paths.cache=cache"),
    *("data.f0_hz=[110,1100,16]", "data.amplitude=[.1,.7,5]", "data.mels=32"),
    *("model.latents=4", "model.channels=[4,4]", "model.hidden=16", "model.width=16", "model.depth=2"),
    *("study.training.epochs=2", "study.training.batch=32", "study.bins=4", "study.metric_rows=80", "study.common=50"),
    *("study.chance_repeats=1", "study.labels=[40,80]", "study.swaps=20", "study.variance_draws=2"),
    *("study.reader_epochs=3", "study.examples=2", "study.steps=3"),
)
MODELS = ["factor_vae", "pca", "ica"]
FACTORS = ["timbre", "pitch", "level"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("place"), TINY)


@pytest.fixture(scope="module")
def run(place):
    return place.only_run()


def test_every_model_is_scored_in_both_orders(run):
    table = run.table("metrics")
    assert {"model", "metric", "value", "noise", "permuted", "adjusted", "arguments", "seed"} <= set(table)
    assert list(dict.fromkeys(table["model"])) == MODELS
    for _, mine in table.groupby("model"):
        right, swapped = (set(mine.loc[mine["arguments"] == order, "metric"]) for order in (RIGHT, SWAPPED))
        assert swapped == {"mig", "sap", "dcimig", "jemmig", "modularity"}
        assert {"mig_by_factor", "mig_sup", "dci_disentanglement", "irs", "z_diff", "z_min_var", "z_max_var"} <= right
    assert set(table.loc[table["model"] == "factor_vae", "strength"]) == {6.0}
    assert (table["value"] != table["permuted"]).mean() > 0.8


def test_the_other_tables_are_there(run):
    bound = run.table("upper_bound")
    assert bound["factor"].tolist() == FACTORS and (bound["needed"] == 0.99).all()
    assert bound["measure"].tolist() == ["accuracy", "R^2", "R^2"]
    training = run.table("training")
    assert training["epoch"].tolist() == [1, 2] and training["train_discriminator"].notna().all()
    swaps = run.table("factor_swap")
    assert len(swaps) == len(MODELS) * len(FACTORS) * len(EDITS) * len(FACTORS)
    efficiency = run.table("sample_efficiency")
    assert set(efficiency["labels"]) == {40, 80} and set(efficiency["factor"]) == set(FACTORS)
    variances = run.table("variances")
    assert set(variances["source"]) == {"bootstrap of tuples", "codes drawn from the posterior"}
    assert set(variances.loc[variances["source"] != "bootstrap of tuples", "model"]) == {"factor_vae"}


def test_the_headline_is_what_a_comparison_needs(run):
    headline = run.results["headline"]
    assert headline["model"] == "factor_vae" and headline["strength"] == 6.0 and headline["seed"] == 0
    assert len(headline["kl_per_dimension"]) == 4 and list(headline["metrics"]) == MODELS
    assert {"value", "permuted", "adjusted"} == set(headline["metrics"]["pca"]["mig_by_factor"])
    assert set(headline["swapped_factor"]["factor_vae"]) == set(FACTORS)
    assert run.results["tuples"] == run.results["distinct_inputs"] == 320
    saved = np.load(run.folder / "codes.npz")
    assert saved["factor_vae"].shape == saved["ica"].shape == (50, 4) and saved["factor_vae_kl"].shape == (4,)
    assert len(saved["clips"]) == 50 and saved["clips"].max() < 320


def test_the_report_says_shows_and_plays(run):
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert page.index("mutual information gap") < page.index("What was compared")
    assert "Even with labels" in page  # three epochs are too few for the reader
    for name in ("scores", "losses", "reconstructions", "traversals", "samples"):
        assert (run.folder / "figures" / f"{name}.png").is_file()
    captions = json.dumps(json.loads((run.folder / "report.json").read_text(encoding="utf-8")))
    assert GRIFFIN_LIM in captions and "as rendered" in captions
    assert len(list((run.folder / "audio").glob("traversal_*.wav"))) == 4 * 3
    assert len(list((run.folder / "audio").glob("clip_*.wav"))) == 2 * 2


def test_the_same_seed_gives_the_same_tables_with_models_trained_anew(place, run):
    (place.folder / "cache" / "models").rename(place.folder / "models")
    assert place.inside("rerun=true", "hydra.run.dir=again") == 0
    again = Run(place.folder / "again").tables()
    assert [name for name, content in run.tables().items() if again[name] != content] == []
    saved, same = np.load(run.folder / "codes.npz"), np.load(place.folder / "again" / "codes.npz")
    assert all((saved[name] == same[name]).all() for name in saved)


def test_another_seed_meets_the_same_clips(place, run):
    assert place.inside("seed=1", "study.examples=0", "hydra.run.dir=other") == 0
    saved, other = np.load(run.folder / "codes.npz"), np.load(place.folder / "other" / "codes.npz")
    assert (saved["clips"] == other["clips"]).all() and (saved["pca"] == other["pca"]).all()
    assert not (saved["factor_vae"] == other["factor_vae"]).all()
    assert Run(place.folder / "other").table("upper_bound").equals(run.table("upper_bound"))


def test_the_published_run_says_what_its_inputs_do_not_show(place, capsys):
    published = ("data=syntone_published", "data.f0_hz=[440,8000,16]", "protocol=published", "study.examples=1")
    assert place.inside(*published, "hydra.run.dir=published", "data.duration_s=0.3") == 0
    run = Run(place.folder / "published")
    assert run.results["distinct_inputs"] == 64 < run.results["tuples"] == 320
    assert "320 factor tuples give 64 different inputs" in (run.folder / "report.html").read_text(encoding="utf-8")
    bound = run.table("upper_bound").set_index("factor")["value"]
    assert bound["level"] < 0.1


def test_tuples_that_cannot_be_told_apart_stop_the_corrected_run(tmp_path):
    sounds = SynTone(f0_hz=[110, 110.0000001, 2], amplitude=[0.1, 0.5, 2], mels=8)
    with pytest.raises(UserError, match="16 factor tuples give 8 different inputs"):
        SyntoneVAE().world(RunContext(tmp_path / "run", tmp_path / "cache"), sounds)
    with pytest.raises(UserError, match="expected two factors or more"):
        one = SynTone(waveforms=["sine"], amplitude=[0.1, 0.1, 1])
        SyntoneVAE().world(RunContext(tmp_path / "run", tmp_path / "cache"), one)
    with pytest.raises(UserError, match="expected clips for train, select and test"):
        few = SynTone(f0_hz=[110, 1100, 4], amplitude=[0.1, 0.5, 4])
        study = SyntoneVAE(roles={"train": 0.5, "test": 0.5})
        study.world(RunContext(tmp_path / "run", tmp_path / "cache"), few)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bins": 1}, "expected bins of 2 or more in SyntoneVAE, got 1"),
        ({"swaps": 0}, "expected swaps of 1 or more"),
        ({"steps": 1}, "expected steps of 2 or more"),
        ({"rivals": ["nmf"]}, "expected study.rivals among pca, ica, got 'nmf'"),
        ({"split": "random"}, "expected study.split among tuple, combination, octave, got 'random'"),
        ({"labels": [100]}, "two or more numbers of labels"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(settings, message):
    with pytest.raises(UserError, match=message):
        SyntoneVAE(**settings)


@pytest.fixture(scope="module")
def perfect():
    """Codes that are the factors themselves, and noise."""
    grid = np.stack(np.meshgrid(range(4), range(10), range(5), range(3), indexing="ij"), axis=-1).reshape(-1, 4)[:, :3]
    given = Scored(grid, ("categorical", "ordered", "ordered"), 10, 400, 2, 0)
    return grid.astype(float), np.random.default_rng(0).normal(size=(len(grid), 3)), given


def test_codes_that_are_the_factors_score_one_and_noise_scores_chance(perfect):
    codes, noise, given = perfect
    for found, level in ((codes, 1.0), (noise, 0.0)):
        table = score_table("m", found, given)
        right = table[table["arguments"] == RIGHT].set_index("metric")["adjusted"]
        assert right[["mig_by_factor", "dcimig"]].round(1).tolist() == [level, level]
    some = score_table("m", codes, given)
    assert len(some) == 5 + len(evaluate_all(factors=given.levels, codes=codes, bins=10, kinds=given.kinds))


def test_variances_come_from_the_posterior_s_noise_and_from_the_tuples(perfect):
    codes, _, given = perfect

    def spread(log_variance):
        table = variance_table("m", codes, np.full_like(codes, log_variance), given, 4).set_index(["source", "metric"])
        return table.loc[("codes drawn from the posterior", "mig"), "mean"]

    assert spread(-30.0) == pytest.approx(1.0, abs=0.01) and spread(2.0) < 0.3
    assert set(variance_table("m", codes, None, given, 2)["source"]) == {"bootstrap of tuples"}


def test_few_labels_teach_less_than_many(perfect):
    codes, noise, given = perfect
    rows = np.random.default_rng(0).permutation(len(codes))
    table = efficiency_table(
        {"codes": codes, "noise": noise}, given.levels, FACTORS, given.kinds, rows[:400], rows[400:], [6, 300], 0
    )
    means = table.groupby(["model", "labels"])["score"].mean()
    assert means["codes", 300] > 0.97 > 0.9 > means["codes", 6] and means["noise", 300] < 0.3
    ratios = table[table["model"] == "codes"].groupby("labels")["ratio"].first()
    assert ratios[300] == 1.0 and 0.0 < ratios[6] < 0.95


def test_pictures_become_the_tones_that_are_read_off_them():
    sounds = SynTone(f0_hz=[220, 880, 40], amplitude=[0.1, 0.7, 8], waveforms=["sine", "square"])
    pictures, heard = sounds.pictures(), sounds.heard()
    reader = FactorReader(components=24, hidden=(64, 64), epochs=150).fit(pictures, heard)
    chosen = np.arange(0, len(sounds), 37)
    found = hear(sounds, pictures[chosen], reader)
    assert [one.how for one in found].count(SINUSOIDAL) > 0.8 * len(chosen)
    again = reader.read(np.stack([sounds_picture(sounds, one.waveform) for one in found if one.how == SINUSOIDAL]))
    sure = chosen[[one.how == SINUSOIDAL for one in found]]
    cents = 1200 * np.abs(again.values["pitch"].to_numpy() - heard["pitch"].to_numpy()[sure])
    assert np.median(cents) < 60
    blank = hear(sounds, np.full((1, *sounds.picture_shape), 0.5, np.float32), reader)
    assert blank[0].how == GRIFFIN_LIM and np.abs(blank[0].waveform).max() <= 1


def test_a_pitch_read_above_half_the_sample_rate_is_not_re_synthesised():
    sounds = SynTone(version="published", f0_hz=[440, 8000, 3], amplitude=[0.3, 0.5, 2], waveforms=["sine"])
    values = pd.DataFrame({"timbre": ["sine"] * 2, "pitch": np.log2([7900.0, 8300.0]), "level": [-10.0] * 2})
    reader = SimpleNamespace(read=lambda pictures: SimpleNamespace(values=values, confidence=np.ones(2)))
    found = hear(sounds, sounds.pictures()[:2], reader)
    assert [one.how for one in found] == [SINUSOIDAL, GRIFFIN_LIM]


def sounds_picture(sounds, waveform):
    import torch

    return sounds.front_end(torch.from_numpy(waveform)[None])[0].numpy()


def test_an_inverted_picture_sounds_at_its_pitch():
    sounds = SynTone(f0_hz=[300, 600, 2], amplitude=[0.3, 0.5, 2], waveforms=["sine"])
    waveform = invert(sounds, sounds.pictures()[2])
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    assert np.argmax(spectrum) * 16000 / len(waveform) == pytest.approx(600, rel=0.1)
    assert isinstance(sounds.factors, pd.DataFrame)
