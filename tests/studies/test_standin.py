"""The stand-in: made once, told apart from trained weights everywhere, and taken where no weights can be had."""

import json
import logging

import pytest
import torch

from audiointerp.backbones.weights import NoWeights
from audiointerp.backbones.yamnet import YAMNet, class_names
from audiointerp.data.sound_families import FAMILIES
from audiointerp.report import Page
from audiointerp.studies import standin
from audiointerp.study import RunContext, UserError

TINY = standin.StandInSettings(clips=64, held_out=32, epochs=1)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    cache = tmp_path_factory.mktemp("standin")
    state = torch.get_rng_state()
    result = standin.make_stand_in(cache, TINY)
    assert torch.equal(torch.get_rng_state(), state)
    return cache, result


def test_it_is_made_once_and_its_manifest_says_how_good_it_is(made, monkeypatch):
    cache, first = made
    (manifest,) = cache.glob("models/*/manifest.json")
    facts = json.loads(manifest.read_text())
    assert facts["kind"] == "standin" and facts["output_names"] == list(FAMILIES)
    assert facts["held_out_accuracy"] == first.accuracy == pytest.approx(sum(facts["held_out_recall"].values()) / 16)
    assert facts["settings"]["clips"] == 64 and 0 <= first.accuracy <= 1
    monkeypatch.setattr(standin, "_train", lambda *_: 1 / 0)
    assert standin.make_stand_in(cache, TINY) == first
    with pytest.raises(ZeroDivisionError):
        standin.make_stand_in(cache, standin.StandInSettings(clips=64, held_out=32, epochs=1, seed=5))
    assert len(list(cache.glob("models/*"))) == 1


def test_an_interrupted_one_is_made_again(made, monkeypatch, tmp_path):
    _, first = made
    folder = tmp_path / "models" / first.path.parent.name
    folder.mkdir(parents=True)
    (folder / "standin.pth").write_bytes(b"half")
    monkeypatch.setattr(standin, "_train", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        standin.make_stand_in(tmp_path, TINY)


def test_training_changes_the_network_and_uses_the_labels(made):
    _, result = made
    network = YAMNet(weights=str(result.path), kind="standin", output_names=result.output_names)
    fresh = YAMNet(weights="random", seed=TINY.seed, output_names=result.output_names)
    assert not torch.equal(network.network.classifier.weight, fresh.network.classifier.weight)
    assert not network.training and not any(value.requires_grad for value in network.parameters())


def test_the_backbone_is_told_what_it_is(made):
    _, result = made
    network = YAMNet(weights=str(result.path), kind="standin", output_names=result.output_names)
    assert network.weights.kind == "standin" and network.weights.source == "standin.pth"
    assert network.output_names == list(FAMILIES)
    features = network.front_end(0.1 * torch.randn(2, 15600, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        assert network(features).shape == (2, 16)
    assert network.untrained(3).output_names == list(FAMILIES)
    assert YAMNet(weights="random").untrained(3).output_names == class_names()


def test_its_weights_are_refused_as_audioset_s(made):
    with pytest.raises(UserError, match=r"with 521 outputs"):
        YAMNet(weights=str(made[1].path))


class Maker:
    """Builds something from weights as Hydra does: what is given replaces the settings."""

    def __init__(self, error=None):
        self.error, self.calls = error, []

    def __call__(self, **given):
        self.calls.append(given)
        if self.error and not given:
            raise self.error
        return "network"


@pytest.fixture
def ready(made, monkeypatch):
    monkeypatch.setattr(standin, "make_stand_in", lambda cache, device: made[1])
    return made[1]


def test_weights_that_can_be_had_are_taken(ready):
    maker = Maker()
    assert standin.with_weights(maker, "auto", of="YAMNet", cache="x") == ("network", None)
    assert maker.calls == [{}]


@pytest.mark.parametrize(("weights", "error"), [("standin", None), ("auto", NoWeights("no weights found"))])
def test_where_none_can_be_had_or_it_is_asked_for_the_stand_in_is_taken(weights, error, ready, caplog):
    maker = Maker(error)
    with caplog.at_level(logging.WARNING, "audiointerp"):
        assert standin.with_weights(maker, weights, of="YAMNet", cache="x") == ("network", ready)
    assert maker.calls[-1] == {"weights": str(ready.path), "kind": "standin", "output_names": list(FAMILIES)}
    assert ("no weights found" in caplog.text) == (error is not None)


@pytest.mark.parametrize(("weights", "error"), [("file.pth", NoWeights("none")), ("auto", UserError("another"))])
def test_every_other_mistake_stays_one(weights, error, ready):
    with pytest.raises(UserError, match=str(error)):
        standin.with_weights(Maker(error), weights, of="YAMNet", cache="x")


def test_another_network_has_no_stand_in(monkeypatch):
    monkeypatch.setattr(standin, "make_stand_in", lambda *_, **__: pytest.fail("trained one nevertheless"))
    with pytest.raises(UserError, match="expected backbone=yamnet for backbone.weights=standin, got CNN12: .*random"):
        standin.with_weights(Maker(), "standin", of="CNN12", cache="x")


def test_it_is_said_in_the_log_the_results_and_the_report(made, tmp_path, caplog):
    context = RunContext(tmp_path, tmp_path, page=Page("Title", "Question?"))
    with caplog.at_level(logging.WARNING, "audiointerp"):
        standin.announce(context, made[1])
    for text in (caplog.text, context.page.warnings[0], context.results["stand_in"]["warning"]):
        assert "STAND-IN" in text and "says nothing about AudioSet YAMNet" in text
    assert context.results["stand_in"]["held_out_accuracy"] == made[1].accuracy


def test_from_python_the_backbone_says_how_to_make_it():
    with pytest.raises(UserError, match=r"studies.standin.make_stand_in"):
        YAMNet(weights="standin")
