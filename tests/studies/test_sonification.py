"""Sonification and explanations from the command to the report, on tiny sounds and networks."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.data.spoken import VoicesInNoise
from audiointerp.sonify.deconvnet import DeconvNet, features_of
from audiointerp.sonify.top_inputs import TopInputs, score_of
from audiointerp.studies.explanations import Explanations
from audiointerp.studies.sonification import Sonification
from audiointerp.studies.sonification_evidence import LEAST_SQUARES, NOTHING, PUBLISHED, VARIANTS, ClipEvidence
from audiointerp.studies.sonification_maps import measure_maps, measure_randomisation, measure_scenes, spread
from audiointerp.studies.sonification_networks import CONTROL, STRIDED, Subject, given_network
from audiointerp.studies.sonification_tables import STRIDING, judge, summarise_removal, unfold
from audiointerp.study import UserError
from audiointerp.training.sonify import Listened
from tests.studies.conftest import Run

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
SIZE = {"channels": [4, 8, 8], "kernels": [11, 3, 3], "pools": [4, 4, 1], "width": 1.0, "embedding": 8}
NETWORK = (
    *(f"backbone.{name}={str(value).replace(' ', '')}" for name, value in SIZE.items()),
    "study.training.steps=2", "study.training.batch=8", "study.training.crop_s=0.2", "data.factors=[material,action]",
)  # fmt: skip
TINY = (
    *NETWORK, "study.pretraining.steps=2", "study.pretraining.batch=8", "study.pretraining.crop_s=0.2",
    "study.pretraining.projection=[8,8]", "study.layers=[1,3]", "study.clips=5", "study.maps=2", "study.scenes=2",
    "study.randomised=1", "study.shown=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(place):
    extra = ("study.evolution=[0,2]", "study.seeds=2", "study.layers=[1,3,1]", "hydra.run.dir=sonification")
    assert place.inside("experiment=sonification", *TINY, *extra) == 0
    return Run(place.folder / "sonification")


def test_every_network_layer_and_clip_is_measured(run):
    table = run.table("coherence")
    assert table.groupby(["network", "seed", "layer"])["clip"].nunique().eq(5).all() and len(table) == 4 * 2 * 2 * 5
    assert table["coherence"].dropna().between(0, 1).all() and table["shared_power"].dropna().between(0, 1).all()
    removal = run.table("removal")
    assert set(removal["variant"]) == set(VARIANTS) and set(removal["network"]) == set(table["network"])
    nothing = removal[removal["variant"] == NOTHING]
    assert (nothing["target_fall"] == 0).all() and set(nothing["correct"]) <= {0, 1}
    assert (table["energy_removed"].dropna().between(0, 1)).all()


def test_summaries_are_means_of_the_tables(run):
    table, summary = run.table("coherence"), run.table("coherence_summary")
    means = table.groupby(["network", "layer", "clip"])["coherence"].mean().groupby(["network", "layer"]).mean()
    mine = summary[summary["measure"] == "coherence"].set_index(["network", "layer"])["score"]
    np.testing.assert_allclose(mine, means[mine.index], rtol=1e-6)
    assert 0 < run.results["noise_floor"] < 1
    assert (summary.loc[summary["measure"] == "coherence", "chance"] == run.results["noise_floor"]).all()


def test_single_maps_scenes_random_weights_and_ways_back(run):
    maps, scenes = run.table("maps"), run.table("scenes")
    assert not maps.duplicated(["network", "seed", "layer", "map"]).any()  # block 1 was asked for twice
    assert maps["rank"].between(0, 1).all() and maps["rank_clip"].between(0, 1).all()
    assert set(scenes["layer"]) == {"the scene itself", "block1", "block3"} and scenes["spoken"].between(0, 1).all()
    random = run.table("random")
    likes = ["waveform", "spectrogram"]
    first, redrawn = (random.loc[keep, likes].dropna() for keep in (random["random"] == 0, random["random"] > 0))
    assert len(first) and (first > 0.999).all().all()
    assert len(redrawn) and (redrawn < 0.999).all().all()
    assert random.groupby("layer")["random"].max().to_dict() == {"block1": 1, "block3": 3}
    ways = run.table("ways")
    assert ways.groupby(["unpool", "led_back"]).ngroups == 12


def test_the_page_opens_with_the_claims_and_plays(run):
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert page.index("removing sonifications lowers recognition") < page.index("What was compared")
    assert "contrastive coherence decays more slowly" in page and page.count("<audio") >= 8
    for name in ("sounds_block1", "coherence", "coherence_corrected", "removal", "falls", "rank", "auc", "evolution"):
        assert (run.folder / "figures" / f"{name}.svg").is_file(), name
    evolution = run.table("evolution")
    assert sorted(set(evolution["step"])) == [0, 2]
    last = evolution.loc[evolution["step"] == 2, "spectrogram"].dropna()
    assert len(last) and (last > 0.999).all()


def test_claims_are_judged_for_trained_networks(run):
    claims = run.table("claims")
    assert set(claims["claim"]) == {
        "removing sonifications lowers recognition",
        "a sonification stimulates its own map",
        "contrastive coherence decays more slowly",
    }
    assert CONTROL not in set(claims["network"])


def test_a_checkpoint_and_a_strided_network_are_listened_to_beside_the_untrained_one(place):
    torch.save(CNN12(output_names=["a", "b"], **SIZE).state_dict(), place.folder / "given.pt")
    extra = (f"study.checkpoint={place.folder / 'given.pt'}", "study.removal=false", "study.scenes=0",
             "study.unpool=soft", "study.evolution=[2]",
             "study.networks=['given, fconly','supervised, strided','untrained, fconly','untrained, strided']",
             "study.randomised=1", "study.clips=3", "hydra.run.dir=given")  # fmt: skip
    assert place.inside("experiment=sonification", *TINY, *extra) == 0
    found = Run(place.folder / "given")
    names = ["given, fconly", "supervised, strided", CONTROL, STRIDED[CONTROL]]
    assert list(dict.fromkeys(found.table("coherence")["network"])) == names
    assert not any((found.folder / "tables" / f"{name}.csv").exists() for name in ("removal", "scenes"))
    unpoolings = found.table("ways").groupby("network")["unpool"].nunique()
    assert unpoolings.to_dict() == dict(zip(names, (4, 1, 4, 1), strict=True))  # nothing to unpool: one way
    columns = re.findall(r"[\w, ]+: sonification", (found.folder / "report.html").read_text(encoding="utf-8"))
    assert {"given: sonification", "untrained, fconly: sonification", f"{names[3]}: sonification"} <= set(columns)
    assert Sonification(checkpoint="given.pt").names == ("given, fconly", CONTROL)
    assert Sonification(networks=["supervised", CONTROL, "supervised"]).names == ("supervised", CONTROL)


def planted(stimulates, control):
    """Tables in which removal does, or does not, do more than its controls; clips are their own groups."""
    rng = np.random.default_rng(0)
    rows = []
    for name, effect in (("supervised", stimulates), (CONTROL, control)):
        for clip in range(30):
            for variant in VARIANTS:
                own = {LEAST_SQUARES: 0.3 + effect, PUBLISHED: 0.5, NOTHING: 0.0}.get(variant, 0.3)
                rows.append(
                    {"network": name, "seed": 0, "clip": clip, "group": str(clip), "variant": variant, "depth": 1}
                    | {"target_fall": own + 0.05 * rng.standard_normal() * (variant != NOTHING)}
                    | {"correct": float(rng.random() > own)}
                )
    coherence = pd.DataFrame(
        {"network": name, "seed": 0, "clip": clip, "group": str(clip), "depth": depth, "coherence": 0.9,
         "coherence_corrected": 0.9}
        for name in ("supervised", CONTROL) for clip in range(30) for depth in (1, 2)
    )  # fmt: skip
    return coherence, pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("stimulates", "control", "words"),
    [(0.3, 0.0, "holds"), (0.0, 0.0, "holds only without its control"), (0.3, 0.3, "holds only without its control")],
)
def test_planted_claims_are_judged(stimulates, control, words):
    claims = judge(*planted(stimulates, control), seed=0).set_index("claim")["verdict"]
    assert claims["a sonification stimulates its own map"] == words


@pytest.mark.parametrize(("worse", "words"), [(0.3, "holds"), (0.0, "does not hold")])
def test_planted_strides_are_judged_and_held_against_their_own_control(worse, words):
    coherence, removal = planted(0.3, 0.3)
    rng = np.random.default_rng(1)
    strided = [
        coherence[coherence["network"] == name].assign(
            network=STRIDED[name], coherence=0.9 - worse,
            coherence_corrected=lambda frame: 0.9 - worse + 0.05 * rng.standard_normal(len(frame)),
        )
        for name in STRIDED
    ]  # fmt: skip
    still = planted(0.3, 0.0)[1].replace({"network": STRIDED})
    claims = judge(pd.concat([coherence, *strided]), pd.concat([removal, still]), seed=0)
    assert claims.set_index("claim").loc[STRIDING, "verdict"] == words
    own = claims[claims["claim"] == "a sonification stimulates its own map"].set_index("network")["verdict"]
    assert own.to_dict() == {"supervised": "holds only without its control", "supervised, strided": "holds"}


def test_maps_are_spread_over_a_layer():
    assert spread(100, 4) == [0, 33, 66, 99] and spread(3, 8) == [0, 1, 2] and len(spread(5, None)) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"networks": ["supervized"]}, "study.networks: there is no 'supervized'"),
        ({"networks": ["given, fconly"]}, "expected study.checkpoint=FILE"),
        ({"networks": []}, "at least one of study.layers"),
        ({"layers": []}, "at least one of study.layers"),
        ({"score": "max"}, "study.score out of peak"),
        ({"unpool": "max"}, "study.unpool out of switch"),
        ({"seeds": 0}, "seeds of 1 or more"),
        ({"scenes": -1}, "scenes of 0 or more"),
        ({"clips": 0}, "clips of 2 or more"),
        ({"clips": 1}, "clips of 2 or more"),
        ({"maps": 0}, "maps of 1 or more"),
        ({"evolution": [0, 201]}, "from 0 to study.pretraining.steps=200, got 201: leave it out"),
        ({"evolution": [-1]}, "study.evolution from 0 .* got -1"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(settings, message):
    with pytest.raises(UserError, match=message):
        Sonification(**settings)


def test_a_checkpoint_that_is_not_there_is_told_by_its_own_setting():
    with pytest.raises(UserError, match="absent.pt, which does not exist: check study.checkpoint"):
        given_network("absent.pt", small())


def test_one_held_out_clip_has_no_other_as_control():
    task = SimpleNamespace(splits={"split": SimpleNamespace(test=np.array([3]))})
    with pytest.raises(UserError, match="at least 2 held-out clips, got 1"):
        Sonification().heard(task)


def small(seed=0, **settings):
    return CNN12(output_names=["a", "b"], seed=seed, **SIZE, **settings)


def subject():
    network = small()
    return Subject("supervised", 0, network, network, small(1))


def noises(count=3, samples=1600):
    return np.random.default_rng(0).standard_normal((count, samples)).astype(np.float32)


def evidence(clips):
    """What `ClipEvidence` says of the first of two clips in block 1, with the second as the other."""
    one, x = subject(), torch.from_numpy(clips[0])
    net = DeconvNet(one.encoder)
    heard = net.hear(features_of(one.encoder, x[None]))
    best = int(score_of(heard.maps[0], "peak")[0].argmax())
    listened = Listened(0, x, heard, {"block1": net.sonify(heard, "block1", [best])})
    return ClipEvidence(one, clips, [0, 1])(listened)


def test_a_silent_control_is_none_and_leaves_the_summaries_alone():
    clips = noises(2)
    clips[1] = 0
    single, several = torch.tensor([1, 0]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    for targets in (single, several):
        task = SimpleNamespace(
            multilabel=targets.ndim == 2, targets=targets, sounds=pd.DataFrame({"group": ["a", "b"]})
        )
        own = {"network": "supervised", "seed": 0}
        _, silent = unfold([{**own, **row} for row in evidence(clips)], task)
        _, heard = unfold([{**own, **row, "clip": 1} for row in evidence(noises(2)[::-1].copy())], task)
        silent_one = silent.set_index("variant")
        assert silent_one.loc["other clip", ["target_fall", "others_fall", "correct"]].isna().all()
        assert silent_one.drop("other clip")["target_fall"].notna().all() and heard["target_fall"].notna().all()
        summary = summarise_removal(pd.concat([silent, heard]), task, 0).set_index("variant")
        alone = summarise_removal(heard, task, 0).set_index("variant")
        columns = ["target_fall", "others_fall", "score"]
        pd.testing.assert_series_equal(summary.loc["other clip", columns], alone.loc["other clip", columns])
        assert summary.loc["sonification", "target_fall"] != alone.loc["sonification", "target_fall"]
        assert np.isfinite(summary.loc["sonification", "score"])
        nothing = summarise_removal(silent, task, 0).set_index("variant").loc["other clip"]
        assert nothing[columns].isna().all() and nothing["interval"] == "none: not measured"


def test_every_measure_goes_back_the_way_that_is_set():
    one, clips = subject(), noises()
    net = DeconvNet(one.encoder)
    top = TopInputs({name: stage.conv.out_channels for name, stage in net.stages.items()}, 1, "peak")
    for row, clip in enumerate(clips):
        top.update(dict(zip(net.layers, net.hear(features_of(one.encoder, torch.from_numpy(clip)[None])).maps,
                            strict=True)), [row])  # fmt: skip
    scenes = VoicesInNoise(2, snr_db=(0.0, 15.0), pools=2, quiet_share=0.0, sample_rate=one.encoder.sample_rate, seed=0)
    for measure, column in (
        (lambda way: measure_maps(one, top, clips, ["block2"], 3, way), "selectivity"),
        (lambda way: measure_scenes(one, scenes, ["block2"], "peak", way), "inside"),
        (lambda way: measure_randomisation(one, clips, [0, 1], ["block2"], "peak", way), "spectrogram"),
    ):
        switch, soft, nearest = (measure(way)[column].to_numpy() for way in ("switch", "soft", "nearest"))
        assert not np.allclose(switch, soft, equal_nan=True) and not np.allclose(switch, nearest, equal_nan=True)


def test_mistakes_that_only_show_together_are_told(place, capsys):
    for arguments, message in {
        ("experiment=sonification", *TINY, "study.layers=[4]"): "a layer from block1 to block3, got 4",
        ("experiment=sonification", *TINY, "study.checkpoint=none.pt"): "which does not exist",
        ("experiment=explanations", *NETWORK, "study.layers=[4]"): "study.layers from 1 to 3, got 4",
        ("experiment=explanations", *NETWORK, "study.clips=0"): "clips of 1 or more",
    }.items():
        assert place.inside(*arguments) != 0
        assert message in "".join(capsys.readouterr())


def test_explanations_of_a_waveform_network(place):
    extra = ("study.layers=[1,3]", "study.clips=4", "study.shown=1", "hydra.run.dir=explained")
    assert place.inside("experiment=explanations", *NETWORK, *extra) == 0
    found = Run(place.folder / "explained")
    table = found.table("explanations")
    assert table.groupby("method")["clip"].nunique().eq(4).all()
    whole = table[table["method"] == "whole clip"]
    assert (whole["Fid-In"] == 1).all() and (whole["AD"].abs() < 1e-3).all()
    assert {"DeconvNet, block1", "LRP", "noise"} <= set(table["method"]) and found.results["weights"] == "trained here"
    assert "<audio" in (found.folder / "report.html").read_text(encoding="utf-8")


def test_a_given_network_names_its_own_classes(place):
    many = CNN12(output_names=[f"c{k}" for k in range(16)], **SIZE)
    many.classifier.bias[15] = 100.0
    torch.save(many.state_dict(), place.folder / "many.pt")
    extra = (f"backbone.weights={place.folder / 'many.pt'}", "study.layers=[1]", "study.clips=2", "study.shown=1")
    assert place.inside("experiment=explanations", *NETWORK, *extra, "hydra.run.dir=many") == 0
    found = Run(place.folder / "many")
    assert found.results["weights"] == "trained"
    assert "named output 16" in (found.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("multilabel", [True, False])
def test_tags_have_probabilities_of_their_own(multilabel, tmp_path):
    torch.save(small().state_dict(), tmp_path / "given.pt")
    network, x = small(weights=str(tmp_path / "given.pt")), torch.from_numpy(noises(1)[0])
    task = SimpleNamespace(multilabel=multilabel)
    _, answer, _ = Explanations(layers=[1]).listener(SimpleNamespace(seed=0), task, network, None)
    logits = network(network.front_end(x[None]))[0]
    expected = logits.sigmoid() if multilabel else logits.softmax(0)
    np.testing.assert_allclose(answer(x), expected.numpy(), rtol=1e-6)


def test_explanations_of_yamnet(place):
    extra = ("backbone=yamnet", "data.factors=[material]", "study.clips=2")
    assert place.inside("experiment=explanations", *extra, "study.shown=1", "hydra.run.dir=yamnet") == 0
    found = Run(place.folder / "yamnet")
    assert found.results["network"] == "YAMNet" and set(found.table("methods")["method"]) >= {"saliency", "noise"}
    assert not found.table("methods")["method"].str.startswith("DeconvNet").any()
