"""The study of filters from the command to the report, on tiny tasks; its own sums against loops."""

import numpy as np
import pandas as pd
import pytest
import torch

from audiointerp import cli
from audiointerp.backbones.strf_network import FRONTS, PUBLISHED, STRFNetwork
from audiointerp.modulation.harmonicity import harmonicity
from audiointerp.studies.strf import STRFStudy
from audiointerp.studies.strf_task import balanced_accuracy, by_clip, verified
from audiointerp.studies.strf_tuning import (
    SHUFFLED,
    ablate,
    against_centre,
    against_harmonicity,
    read_filters,
    responses,
    tuning_table,
    used_at,
)
from audiointerp.study import UserError
from tests.studies.conftest import Run

TINY = (
    *("study.seeds=1", "study.shuffled=1", "study.training.epochs=1", "study.examples=1", "backbone.filters=4"),
    *("backbone.frames=11", "backbone.bins=7", "logger=none", "device=cpu", "hydra.run.dir=run"),
)
CALLS = ("experiment=strf_calls", "data.clips=64", "data.birds=8", "data.duration_s=0.5", "backbone.segment_s=0.5")
SPEECH = ("experiment=strf_speech_activity", "data.clips=24", "data.pools=8", "backbone.recurrent=true")
SPEAKERS = ("experiment=strf_speakers", "data.clips=48", "data.speakers=2", "study.fronts=[learnt Gabor]")
BLIND = f"learnt Gabor, labels {SHUFFLED}"


def run(folder, monkeypatch, *arguments):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["audiointerp"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert cli.main([*TINY, *arguments]) == 0
    return Run(folder / "run")


def test_calls_are_told_compared_and_shown(tmp_path, monkeypatch):
    done = run(tmp_path, monkeypatch, *CALLS)
    scores = done.table("scores")
    assert set(scores["front"]) == {*FRONTS, BLIND} and scores["accuracy"].between(0, 1).all()
    learnt = scores.set_index("front")["learnt in the front end"]
    assert learnt["learnt Gabor"] == 16 and learnt["frozen Gabor"] == 0 and learnt["free convolution"] == 4 * 2 * 77
    assert scores["learnt behind it"].nunique() == 1  # the budget is equal
    tuning = done.table("tuning")
    assert tuning.groupby("labels").size().to_dict() == {"as they are": 4, "shuffled": 4}
    assert (tuning["omega_hz"] >= 0).all() and tuning["centre_hz"].between(125, 8000).all()
    assert set(done.table("populations")["against"]) == {
        "the filters before training",
        "the sounds' own modulations",
        "filters trained on shuffled labels",
    }
    assert set(done.table("ablation")["silenced"]) == {"none", "slow", "fast", "coarse", "fine", "random"}
    assert set(done.table("differences")["against"]) == {*FRONTS, BLIND} - {"learnt Gabor"}
    assert done.table("modulation_spectrum")["power"].sum() == pytest.approx(1.0)
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    assert page.index("Accuracy (chance 0.12): learnt Gabor") < page.index("What was compared")
    for name in ("fronts", "filters", "modulation", "ablation"):
        assert (done.folder / "figures" / f"{name}.png").is_file()
    assert done.results["headline"].keys() == {*FRONTS, BLIND}
    assert done.results["task"]["split"] == "groups" and done.results["task"]["read"] == "learnt Gabor"


def test_the_published_front_end_is_trained_beside_and_read(tmp_path, monkeypatch):
    fronts = "study.fronts=[learnt Gabor]"
    done = run(tmp_path, monkeypatch, *CALLS, "protocol=published", "study.shuffled=0", fronts)
    assert set(done.table("scores")["front"]) == {"learnt Gabor", PUBLISHED}
    assert done.results["task"]["read"] == PUBLISHED
    shape = {"frames": 11, "bins": 7, "frame_rate": 50, "bands": 48, "bins_per_octave": 8.0}
    own = STRFNetwork(["a"], front=PUBLISHED, filters=4, seed=0, **shape)
    first = done.table("tuning")["first_declared_omega_hz"]
    with torch.no_grad():
        assert np.abs(own.strf.tuning().omega.numpy()) == pytest.approx(first.to_numpy(), rel=1e-4)
    assert "frames lie 54 ms after their label" in (done.folder / "report.html").read_text(encoding="utf-8")


def test_speech_is_told_frame_by_frame(tmp_path, monkeypatch):
    done = run(tmp_path, monkeypatch, *SPEECH, "study.fronts=[learnt Gabor,bands only]", "report=false")
    summary = done.table("fronts")
    assert set(summary["measure"]) == {"roc_area", "detection_error_rate", "frame_f1"}
    assert summary.loc[summary["measure"] == "roc_area", "mean"].between(0, 1).all()


def test_speakers_are_told_and_verified(tmp_path, monkeypatch):
    done = run(tmp_path, monkeypatch, *SPEAKERS, "study.shuffled=0", "report=false", "study.shots=6")
    assert set(done.table("fronts")["measure"]) == {"accuracy", "equal_error_rate"}
    assert set(done.table("populations")["against"]) == {"the filters before training", "the sounds' own modulations"}
    assert done.results["task"]["train"] == 12


def test_accuracy_is_the_mean_recall_of_clips():
    clips = np.array([0, 0, 1, 2, 2])
    labels = np.array([0, 0, 0, 1, 1])
    logits = np.array([[1.0, 0.0], [0.0, 3.0], [2.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    means, first = by_clip(logits, clips)
    assert means.tolist() == [[0.5, 1.5], [2.0, 0.0], [0.0, 1.0]] and first.tolist() == [0, 2, 3]
    assert balanced_accuracy(labels[first], means) == pytest.approx((0.5 + 1.0) / 2)


def test_verification_leaves_out_pairs_of_one_group():
    codes = np.eye(4)[[0, 0, 1, 1]]
    labels, groups = np.array([0, 0, 1, 1]), np.array(list("abcd"))
    assert verified(codes, labels, groups) == 0.0
    assert verified(codes[[0, 2, 1, 3]], labels, groups) > 0.4
    assert np.isnan(verified(codes, labels, np.array(list("aabb"))))  # no pair of one speaker is left


def test_silenced_filters_are_those_of_the_region_and_the_network_is_left_as_it_was():
    network = STRFNetwork(["a", "b"], filters=4, frames=11, bins=7, output="concatenated").eval()
    tuning = tuning_table(network.untrained(0).strf, network.strf, used_at(network))
    spectrogram = torch.randn(2, 40, 64, generator=torch.Generator().manual_seed(0))
    varying = []

    def score(model):
        varying.append((model.strf(spectrogram).std((2, 3)) > 1e-5).all(0).reshape(2, 4))
        return float(varying[-1].float().mean())

    found = ablate(network, tuning, score, seed=0)
    regions = ("slow", "fast", "coarse", "fine")
    assert found["none"] == {"score": 1.0} and found["random"] == {"score": 0.5, "lost": 0.5}
    assert all(found[name] == {"score": 0.5, "lost": 0.5, "lost_beyond_random": 0.0} for name in regions)
    slow = np.argsort(tuning["omega_hz"])[:2].tolist()
    for channels in varying[1]:  # real and imaginary parts
        assert sorted(slow) == np.flatnonzero(~channels.numpy()).tolist()
    assert not network.strf._forward_hooks
    moved = tuning[[name for name in tuning if name.startswith("moved_")]]
    assert (moved == 0).all(axis=None)


@pytest.mark.parametrize("output", ["magnitude", "concatenated", "real"])
def test_responses_are_root_mean_squares_of_each_filter(output):
    network = STRFNetwork(["a"], filters=3, frames=11, bins=7, output=output)
    spectrograms = torch.randn(5, 30, 64, generator=torch.Generator().manual_seed(0))
    found = responses(network.strf, spectrograms, batch=2)
    with torch.no_grad():
        given = network.strf(spectrograms).numpy()
    parts = given[:, :3] ** 2 + (given[:, 3:] ** 2 if output == "concatenated" else 0.0)
    assert found == pytest.approx(np.sqrt(parts.mean((2, 3))), rel=1e-4)


def test_filters_are_read_before_and_after():
    network = STRFNetwork(["a"], filters=4, frames=11, bins=7)
    trained = network.untrained(1)  # as if training had moved everything
    sounds = 0.1 * torch.randn(6, 16000, generator=torch.Generator().manual_seed(0))
    heard = network.spectrogram(network.front_end(sounds)).detach()
    table = read_filters(network, trained, heard, harmonicity(sounds, 16000))
    again = read_filters(trained, network, heard, harmonicity(sounds, 16000))
    assert table["follows_harmonicity"].tolist() == again["first_follows_harmonicity"].tolist()
    assert table["omega_hz"].tolist() == again["first_omega_hz"].tolist() and (table["moved_omega"] > 0).all()


def planted_tuning(seed):
    rng = np.random.default_rng(seed)
    centre = rng.uniform(200, 4000, 30)
    columns = {"omega_hz": centre**2, "Omega_cycles_per_octave": -centre, "sigma_t_s": -1 / centre}
    table = pd.DataFrame({"centre_hz": centre, **columns, "sigma_f_octave": rng.uniform(size=30)})
    first = {f"first_{name}": rng.uniform(size=30) for name in (*columns, "sigma_f_octave")}
    table = table.assign(**first, first_follows_harmonicity=rng.uniform(size=30))
    return table.assign(follows_harmonicity=1 / centre, labels="as they are", seed=seed)


def test_tuning_that_follows_the_centre_or_harmonicity_is_found():
    table = pd.concat([planted_tuning(seed) for seed in range(4)])
    found = against_centre(table).set_index("tuning")["rank_correlation_with_centre"]
    assert found["omega_hz"] == found["Omega_cycles_per_octave"] == pytest.approx(1.0)
    assert found["sigma_t_s"] == pytest.approx(-1.0) and abs(found["sigma_f_octave"]) < 0.5
    found = against_harmonicity(table).set_index(["filters", "tuning"])
    after = found.loc["after training", "rank_correlation_with_harmonicity"]
    assert after["omega_hz"] == pytest.approx(-1.0) and after["sigma_t_s"] == pytest.approx(1.0)
    before = found.loc["before training"]
    assert ((before["ci_low"] < 0.2) & (before["ci_high"] > -0.2)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": 0}, "seeds of 1 or more"),
        ({"shots": 0}, "shots of 1 or more"),
        ({"seeds": 2, "shuffled": 3}, "study.shuffled of at most study.seeds"),
        ({"split": "speakers"}, "study.split of auto, groups, folds, got 3, 5 and .speakers."),
        ({"fronts": ["frozen Gabor"]}, "'learnt Gabor' among them"),
        ({"fronts": ["learnt Gabor", "gammatone"]}, "expected study.fronts out of"),
        ({"roles": {"train": 1.5}}, "summing to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        STRFStudy(**settings)


def test_sounds_that_do_not_fit_the_task_are_refused(tmp_path, monkeypatch, capsys):
    for arguments, message in (
        ((*CALLS, "study.factor=bird"), "expected study.factor among call, got 'bird'"),
        ((*CALLS, "study.factor=null"), "expected sounds with times of speech"),
        ((*CALLS, "study.split=folds"), "expected a corpus with folds of its own"),
        ((*CALLS, "data.sample_rate=8000"), "expected sounds at 16000 Hz, got 8000 Hz"),
        ((*CALLS, "data.birds=2", "study.roles={train: 1.0, select: 0, test: 0}"), "got none for select, test"),
    ):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["audiointerp"])
        assert cli.main([*TINY, *arguments]) != 0
        assert message in capsys.readouterr().err
