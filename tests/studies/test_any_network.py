"""The main job and the timbre study hear with somebody else's network as they do with YAMNet."""

import collections
import json

import numpy as np
import pytest

from audiointerp.studies import maas_flow, timbre
from tests.backbones.tiny_transformers import MODELS, save
from tests.studies import test_timbre
from tests.studies.conftest import Place, Run

TINY = (
    "experiment=maas_flow", "study.decode.permutations=9", "study.decode.untrained=1", "study.decode.components=4",
    "study.decode.folds=3", "study.decode.listen=1", "study.flow_seeds=1", "study.untrained_flows=1",
    "study.candidates=null", "study.training.epochs=1", "study.training.batch=64", "study.most_pairs=20",
    "study.dose_pairs=4", "study.doses_at=[0,1]", "study.published=false", "study.examples=1",
)  # fmt: skip
FOREIGN = (
    "backbone=module", "backbone.target=tests.backbones.foreign.Foreign", "backbone.channel=true",
    "backbone.output=frames", "backbone.output_mean=[1]", "backbone.sample_rate=8000", "backbone.segment_s=0.3",
    "backbone.layers=[first,second]", "+backbone.network.width=12",
)  # fmt: skip
# Name to how it is chosen, and the channels of its layers.
NETWORKS = {
    "module": (FOREIGN, {"first": 12, "second": 12}),
    "ast": (("backbone.layers=[block1,block3]",), {"block1": 16, "block3": 16}),
    "wav2vec2": (("backbone.layers=[conv2,block3]", "backbone.segment_s=0.3"), {"conv2": 8, "block3": 16}),
    "hubert": (("backbone.layers=[conv1,block2]", "backbone.segment_s=0.3"), {"conv1": 8, "block2": 16}),
    "clap": (("backbone.segment_s=0.5",), {"block1": 16, "block2": 16}),
}
NOTES = (
    *test_timbre.TINY, "study.probes=[linear]", "study.training.steps=3", "study.seeds=1", "study.widths=[4]",
    "~study.flow", "report=false",
)  # fmt: skip


@pytest.fixture
def choose(place, monkeypatch):
    """Gives what the command line says of a network, saved first where it is one of transformers."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def choice(name):
        if name not in MODELS:
            return NETWORKS[name][0]
        save(pytest.importorskip("transformers"), name, place.folder / name)
        return "backbone=huggingface", f"backbone.model={name}", *NETWORKS[name][0]

    return choice


def test_a_module_of_ones_own(place):
    assert place.inside(*TINY, *FOREIGN, "hydra.run.dir=module") == 0
    run = Run(place.folder / "module")
    assert set(run.table("layer_decoding")["layer"]) >= {"first", "second"}
    assert run.record["provenance"]["weights"]["source"] == "built by tests.backbones.foreign.Foreign"
    assert run.results["edited_layer"] in ("first", "second") and (run.folder / "report.html").is_file()
    assert {"own block", "residual"} <= set(run.table("disentanglement")["role"])
    assert set(run.table("transfer")["network"]) == {"trained", "untrained"}


def test_a_model_of_transformers(place, choose):
    assert place.inside(*TINY, *choose("ast"), "hydra.run.dir=transformers") == 0
    run = Run(place.folder / "transformers")
    assert set(run.table("layer_decoding")["layer"]) >= {"block1", "block3"}
    weights = run.record["provenance"]["weights"]
    assert (weights["kind"], weights["source"]) == ("trained", "ast")
    assert run.results["edited_layer"] in ("block1", "block3")


@pytest.mark.parametrize("name", ["wav2vec2", "hubert", "clap"])
def test_other_models_of_transformers_are_edited(place, choose, monkeypatch, name):
    for page in ("show_decoding", "show_flow"):  # drawn above
        monkeypatch.setattr(maas_flow, page, lambda *_: None)
    assert place.inside(*TINY, *choose(name), "report=false", f"hydra.run.dir={name} flow") == 0
    run = Run(place.folder / f"{name} flow")
    assert set(run.table("layer_decoding")["layer"]) >= set(NETWORKS[name][1])
    table = run.table("transfer")
    assert set(table["network"]) == {"trained", "untrained"} and run.results["edited_layer"] in NETWORKS[name][1]
    assert (table.loc[table["edit"] == "flow", "edit_norm"] > 0).all()
    nothing = table[table["edit"] == "no-op"]
    assert nothing["distance_before"].to_numpy() == pytest.approx(nothing["distance_after"].to_numpy(), rel=1e-3)


def test_what_is_heard_in_half_precision_is_kept_apart(place, monkeypatch):
    for page in ("show_decoding", "show_flow"):
        monkeypatch.setattr(maas_flow, page, lambda *_: None)
    asked = ("report=false", "paths.cache=halved", "study.published=true")
    runs = []
    for precision in ("float32", "bf16"):
        folder = place.folder / f"module {precision}"
        chosen = (f"study.decode.precision={precision}", f"hydra.run.dir={folder}")
        assert place.inside(*TINY, *FOREIGN, *asked, *chosen) == 0
        runs.append(Run(folder))
    stored = [json.loads(file.read_text()) for file in place.folder.glob("halved/activations/*/manifest.json")]
    counts = collections.Counter(entry["key"]["dtype"] for entry in stored)
    assert counts["float32"] == counts["bf16"] > 0 and len(counts) == 2
    for run in runs:
        table = run.table("transfer")
        nothing = table[table["edit"] == "no-op"]
        assert nothing["distance_before"].to_numpy() == pytest.approx(nothing["distance_after"].to_numpy(), rel=1e-3)
    exact, rough = (run.table("transfer")["distance_before"].to_numpy() for run in runs)
    assert len(exact) != len(rough) or not np.allclose(exact, rough, rtol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_timbre_is_read_from_any_network_and_judged_by_it(place, choose, monkeypatch, name):
    monkeypatch.setattr(timbre, "show_timbre", lambda *_: None)  # drawn in test_timbre
    heard, hear = [], timbre.Listener.hear
    monkeypatch.setattr(timbre.Listener, "hear", lambda *given: heard.append(hear(*given)) or heard[-1])
    assert Place(place.folder, test_timbre.TINY).inside(*NOTES, *choose(name), f"hydra.run.dir={name} timbre") == 0
    channels = NETWORKS[name][1]
    run = Run(place.folder / f"{name} timbre")
    assert {layer: values.shape[1] for layer, values in heard[0].items()} == channels
    assert all((values.std(0) > 0).any() for values in heard[0].values())
    read = run.table("reading")["representation"]
    assert {words.rpartition(" ")[2] for words in read if "(trained)" in words} == set(channels)
    judge = run.results["judge"]
    assert "(trained)" in judge["network"] and set(judge["accuracy"]) == {"real", "reconstructed"}
    assert judge["layer"] in channels
    assert all(list(found) == [judge["layer"]] for found in heard[1:]) and len(heard) > 1
