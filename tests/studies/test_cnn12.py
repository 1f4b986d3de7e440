"""Raw-waveform networks from the command to the report: every regime, every depth, on tiny sounds and networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.data.sound_families import SoundFamilies
from audiointerp.studies.cnn12 import REGIMES, Cnn12, changed_settings
from audiointerp.studies.cnn12_layers import Cnn12Layers, map_activity
from audiointerp.studies.cnn12_page import difference_words, few_levels, patches_in_words
from audiointerp.studies.cnn12_task import task_of
from audiointerp.study import UserError
from audiointerp.training.fit_network import NetworkSettings
from tests.studies.conftest import Run

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
SIZE = {"channels": [4, 8, 8], "kernels": [11, 3, 3], "pools": [4, 4, 1], "width": 1.0, "embedding": 8}
TINY = (
    *(f"backbone.{name}={str(value).replace(' ', '')}" for name, value in SIZE.items()),
    "study.training.steps=2", "study.training.batch=8", "study.training.crop_s=0.2", "study.seeds=2",
    "study.pretraining.steps=2", "study.pretraining.batch=8", "study.pretraining.crop_s=0.2",
    "study.pretraining.projection=[8,8]", "data.factors=[material,action]",
)  # fmt: skip
SOURCE = ("study.source.clips=32", "study.source.length=1600")


@pytest.fixture(scope="module")
def transfer(place):
    assert place.inside("experiment=cnn12_transfer", *TINY, *SOURCE, "hydra.run.dir=transfer") == 0
    return Run(place.folder / "transfer")


def test_every_regime_is_trained_with_every_seed(transfer):
    table, summary = transfer.table("scores"), transfer.table("summary")
    assert len(table) == 20 and (table.groupby("regime")["seed"].nunique() == 2).all()
    assert set(summary["regime"]) == set(table["regime"]) <= set(REGIMES) and len(summary) == 10
    assert table["accuracy"].between(0, 1).all() and table["mAP"].between(0, 1).all()
    means = table.groupby("regime")["accuracy"].mean()
    np.testing.assert_allclose(summary.set_index("regime")["score"], means[summary["regime"]], atol=1e-6)
    assert {"clips_per_s", "waiting_share", "processor_s", "peak_memory_mb"} <= set(table)


def test_every_split_has_its_means(transfer):
    splits, table = transfer.table("splits"), transfer.table("scores")
    assert len(splits) == 10 and splits["split"].nunique() == 1
    mine = table[table["regime"] == "scratch"]["accuracy"]
    row = splits.set_index("regime").loc["scratch"]
    assert [row["score"], row["low"], row["high"]] == pytest.approx([mine.mean(), mine.min(), mine.max()])


def test_a_held_out_factor_is_no_interval_over_its_levels():
    sounds = SoundFamilies(clips=32, length=1600, sample_rate=8000)
    task = task_of(sounds, 1600)
    assert few_levels(task) == ""
    assert "clips of groups 1: of speakers unheard they say nothing" in few_levels(replace(task, by="speakers"))


def test_each_regime_stands_against_its_own_control(transfer):
    differences = transfer.table("differences").set_index("regime")["against"].to_dict()
    assert differences["contrastive, fconly"] == "untrained, fconly"
    assert differences["supervised elsewhere, full"] == "scratch" == differences["log-mel, scratch"]
    assert "scratch" not in differences and "untrained, fconly" not in differences
    row = transfer.table("differences").set_index("regime").loc["contrastive, full"]
    scores = transfer.table("scores").set_index(["regime", "seed"])["accuracy"]
    by_seed = scores["contrastive, full"] - scores["scratch"]
    assert [row["seeds_low"], row["seeds_high"]] == pytest.approx([by_seed.min(), by_seed.max()], abs=1e-6)


def test_groups_are_held_out_and_the_record_says_what_was_done(transfer):
    sounds, patches = transfer.results["sounds"], transfer.results["patches"]
    assert sounds["factor"] == "material" and sounds["split_by"] == "groups" and sounds["clips"] == 48
    assert patches == {"patch_s": 0.2, "clips_long_enough_for_two": pytest.approx(1.0, abs=0.2)}
    sizes = transfer.results["parameters"]
    assert 0 < sizes["network"] and sizes["log-mel"] > 0
    assert transfer.record["status"] == "complete"


def test_the_report_opens_with_a_verdict(transfer):
    page = (transfer.folder / "report.html").read_text(encoding="utf-8")
    assert page.index("best is") < page.index("What was compared") < page.index("What each way of training scores")
    assert "two crops that do not overlap" in page
    for name in ("regimes.svg", "regimes.csv"):
        assert (transfer.folder / "figures" / name).is_file()


def test_saved_weights_are_taken_again_and_everything_comes_from_the_cache(place, transfer):
    saved = transfer.folder / "checkpoints" / "scratch.pt"
    assert CNN12(weights=str(saved), **SIZE).weights.kind == "trained"
    arguments = ("experiment=cnn12_supervised", *TINY, f"backbone.weights={saved}", "hydra.run.dir=given")
    assert place.inside(*arguments, "study.regimes=['given, fconly','given, full','untrained, fconly',scratch]") == 0
    given, before = Run(place.folder / "given").table("scores"), transfer.table("scores")
    for regime in ("untrained, fconly", "scratch"):
        columns = ["seed", "accuracy", "mAP", "processor_s"]
        one, other = (table.loc[table["regime"] == regime, columns].to_numpy() for table in (given, before))
        assert np.array_equal(one, other)


def test_label_shares_and_variants(place):
    extra = ("study.seeds=1", "study.fractions=[0.3,1.0]", "study.variants={hot:{temperature:0.5,noise:null}}")
    assert place.inside("experiment=cnn12_contrastive", *TINY, *extra, "hydra.run.dir=contrastive") == 0
    run = Run(place.folder / "contrastive")
    counted = run.table("scores").groupby("regime")["fraction"].apply(list).to_dict()
    assert counted.pop("hot") == [1.0] and set(map(tuple, counted.values())) == {(0.3, 1.0)} and len(counted) == 4
    assert (run.folder / "figures" / "label_shares.svg").is_file()


def test_every_depth_of_every_network_is_read(place, transfer):
    extra = (*SOURCE, "study.full_depths=[2]", "study.activity_clips=4")
    assert place.inside("experiment=cnn12_layers", *TINY, *extra, "hydra.run.dir=layers") == 0
    run = Run(place.folder / "layers")
    table = run.table("depth_scores")
    depths = table.groupby(["pretraining", "tuning"])["depth"].agg(lambda values: sorted(set(values)))
    assert set(table["pretraining"]) == {"untrained", "contrastive elsewhere", "supervised elsewhere"}
    assert all(found == ([1, 2, 3, 4] if tuning == "fconly" else [2, 4]) for (_, tuning), found in depths.items())
    activity = run.table("activity")
    assert (
        len(activity) == 9 and activity["active_share"].between(0, 1).all() and activity["sparsity"].between(0, 1).all()
    )
    summary = run.table("depth_summary")
    whole = summary[summary["depth"] == 4].set_index(["pretraining", "tuning"])["score"]
    for row in summary.itertuples():
        assert row.reference == whole[row.pretraining, row.tuning]
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Untrained: frozen, its first" in page and (run.folder / "figures" / "depth_full.svg").is_file()


def test_factors_are_decoded_from_its_layers_as_from_any_backbone(place, transfer):
    small = ("study.components=4", "study.untrained=0", "study.folds=4", "study.listen=2", "study.permutations=9")
    size = [argument for argument in TINY if argument.startswith("backbone.")]
    trained = f"backbone.weights={transfer.folder / 'checkpoints' / 'scratch.pt'}"
    arguments = (
        "experiment=maas_decode",
        "backbone=cnn12_small",
        *size,
        *small,
        "data.factors=[material,action]",
        trained,
    )
    assert place.inside(*arguments, "backbone.segment_s=0.3", "hydra.run.dir=decode") == 0
    heard = Run(place.folder / "decode").table("layer_decoding")
    assert {"block1", "block2", "block3", "embedding"} <= set(heard["layer"])


def test_activity_is_counted_by_map_and_by_value():
    sounds = SoundFamilies(clips=64, sample_rate=8000, length=1600)
    network = CNN12(output_names=["a"], segment_s=0.1, **{**SIZE, "channels": [4, 8, 8]})
    task = task_of(sounds, 1600)
    with torch.no_grad():
        network.blocks[0].conv.weight[:3] = 0.0
        network.blocks[0].conv.bias[:] = torch.tensor([-1.0, -1.0, 1.0, 0.0])
    measured = map_activity(network, task, np.arange(3)).set_index("depth")
    assert measured.loc[1, "active_share"] == 0.5  # one map is always on, one sometimes, two never
    assert 0.5 <= measured.loc[1, "sparsity"] <= 0.75


def test_changed_settings_reach_training_and_augmentation():
    changed = changed_settings(NetworkSettings(), {"temperature": 0.3, "noise": None})
    assert changed.temperature == 0.3 and changed.augmentation.noise is None
    assert changed.augmentation.gain_db == NetworkSettings().augmentation.gain_db


def test_words_say_what_is_told_apart():
    import pandas as pd

    row = {"difference": -0.1, "ci_low": -0.2, "ci_high": -0.01, "seeds_low": -0.3, "seeds_high": -0.02}
    assert difference_words(pd.Series(row)).endswith("worse")
    assert difference_words(pd.Series({**row, "seeds_high": 0.02})).endswith("seeds disagree")
    assert difference_words(pd.Series({**row, "ci_high": 0.1})).endswith("not told apart")
    assert difference_words(pd.Series({**row, "ci_low": np.nan})).endswith("no interval")
    assert "0% of the clips" in patches_in_words({"patch_s": 2.5, "clips_long_enough_for_two": 0.0})


@pytest.mark.parametrize(
    ("study", "settings", "message"),
    [
        (Cnn12, {"regimes": ["scrach"]}, "study.regimes: there is no 'scrach'"),
        (Cnn12, {"regimes": []}, "expected regimes, and fractions in"),
        (Cnn12, {"fractions": [0.0]}, r"fractions in \(0, 1\]"),
        (Cnn12, {"seeds": 0}, "seeds of 1 or more"),
        (Cnn12, {"folds": 0}, "folds of 1 or more"),
        (Cnn12, {"regimes": ["supervised elsewhere, full"]}, "expected a corpus to train elsewhere"),
        (Cnn12, {"variants": {"x": {"temprature": 1}}}, "study.variants.x has no setting 'temprature'"),
        (Cnn12Layers, {"pretrainings": ["supervised"]}, "expected study.pretrainings out of untrained"),
        (Cnn12Layers, {"pretrainings": []}, "expected study.pretrainings out of"),
        (Cnn12Layers, {}, "expected a corpus to train elsewhere"),
        (Cnn12Layers, {"pretrainings": ["untrained"], "activity_clips": 0}, "activity_clips of 1 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(study, settings, message):
    with pytest.raises(UserError, match=message):
        study(**settings)


def test_mistakes_that_only_show_together_are_told(place, capsys):
    for arguments, message in {
        (
            "experiment=cnn12_supervised",
            *TINY,
            "study.regimes=['given, full']",
        ): "expected trained weights for the regimes 'given'",
        ("experiment=cnn12_supervised", *TINY, "data.sample_rate=16000"): "expected sounds at 8000 Hz",
        ("experiment=cnn12_layers", *TINY, *SOURCE, "study.full_depths=[4]"): "study.full_depths from 1 to 3, got [4]",
        ("experiment=cnn12_supervised", *TINY, "study.training.crop_s=0.1"): "at least 0.182 s (1456 samples",
    }.items():
        assert place.inside(*arguments) != 0
        assert message in "".join(capsys.readouterr())
