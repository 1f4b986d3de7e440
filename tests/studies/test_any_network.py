"""The main job hears with somebody else's network as it does with YAMNet."""

import pytest

from tests.backbones.tiny_transformers import save
from tests.studies.conftest import Run

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


def test_a_module_of_ones_own(place):
    assert place.inside(*TINY, *FOREIGN, "hydra.run.dir=module") == 0
    run = Run(place.folder / "module")
    assert set(run.table("layer_decoding")["layer"]) >= {"first", "second"}
    assert run.record["provenance"]["weights"]["source"] == "built by tests.backbones.foreign.Foreign"
    assert run.results["edited_layer"] in ("first", "second") and (run.folder / "report.html").is_file()
    assert {"own block", "residual"} <= set(run.table("disentanglement")["role"])
    assert set(run.table("transfer")["network"]) == {"trained", "untrained"}


def test_a_model_of_transformers(place, monkeypatch):
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    save(transformers, "ast", place.folder / "ast")
    chosen = ("backbone=huggingface", "backbone.model=ast", "backbone.layers=[block1,block3]")
    assert place.inside(*TINY, *chosen, "hydra.run.dir=transformers") == 0
    run = Run(place.folder / "transformers")
    assert set(run.table("layer_decoding")["layer"]) >= {"block1", "block3"}
    weights = run.record["provenance"]["weights"]
    assert (weights["kind"], weights["source"]) == ("trained", "ast")
    assert run.results["edited_layer"] in ("block1", "block3")
