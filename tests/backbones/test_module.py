"""Any network can be a backbone: its layers are what its modules give, and the rest can be run from each."""

import functools
import importlib

import numpy as np
import pytest
import torch
from torch import nn

from audiointerp import cli
from audiointerp.activations.base import Site, capture
from audiointerp.activations.extract import activations_of, extract
from audiointerp.backbones.base import state_digest
from audiointerp.backbones.module import ModuleBackbone
from audiointerp.backbones.wrapping import channel_axes, code_digest, drawn
from audiointerp.edit.transfer import push
from audiointerp.modulation.layers import ripple_responses, ripple_sound_responses
from audiointerp.study import UserError
from tests.backbones import foreign

NAMES = ["first", "norm", "twice@0", "second", "twice@1", "head"]
SHAPE = {"sample_rate": 8000, "segment_s": 0.05, "channel": True, "output": "frames", "output_mean": [1]}


def wrapped(layers=NAMES, **given):
    given = {**SHAPE, **given}
    build = functools.partial(foreign.Foreign, **given.pop("build", {}))
    return ModuleBackbone(build, layers=layers, **given)


def noise(rows=3, samples=400):
    return 0.1 * torch.randn(rows, samples, generator=torch.Generator().manual_seed(1))


class Sounds:
    fingerprint = "noise"

    def __len__(self):
        return 70

    def batch(self, indices):
        return noise(70)[torch.as_tensor(np.asarray(indices))]


def test_the_output_and_layers_are_those_of_the_network_itself():
    backbone = wrapped(seed=3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = foreign.Foreign().eval()
    x = noise()
    with torch.inference_mode(), capture(backbone, backbone.layers) as values:
        logits = backbone(backbone.front_end(x))
    with torch.inference_mode():
        first = network.first(x[:, None])[0]
        normed = network.norm(first)
        second = network.second(network.twice(normed))[0]
        frames = network(x[:, None])["frames"]
    assert torch.equal(logits, frames.mean(1)) and logits.shape == (3, 6)
    expected = [first, normed, normed.tanh(), second, second.tanh()]
    for name, value in zip(NAMES, expected, strict=False):
        assert torch.equal(values[name], value), name
    assert values["head"].shape == (3, frames.shape[1], 6)


def test_layers_come_in_the_order_of_the_forward_pass_and_under_names_of_ones_own():
    assert list(wrapped(layers=NAMES[::-1]).layers) == NAMES
    assert list(wrapped(layers={"late": "second", "early": "first.conv"}).layers) == ["early", "late"]
    # Of the children: what is called several times or never is left out.
    assert list(wrapped(layers=None).layers) == ["first", "norm", "second", "head"]


@pytest.mark.parametrize("layer", NAMES)
def test_the_rest_of_the_network_runs_from_each_layer_to_the_bit(layer):
    backbone = wrapped()
    with torch.inference_mode(), capture(backbone, backbone.layers) as values:
        logits = backbone(backbone.front_end(noise()))
    kept = values[layer].clone()
    with torch.inference_mode():
        assert torch.equal(backbone.resume(layer, values[layer]), logits)
        assert not torch.equal(backbone.resume(layer, values[layer] + 1.0), logits)
    assert torch.equal(values[layer], kept)
    assert not any(module._forward_hooks for module in backbone.modules())


def test_a_connection_round_a_layer_is_refused():
    backbone = ModuleBackbone(foreign.Skipping, sample_rate=8000, segment_s=0.05)
    with torch.inference_mode(), capture(backbone, backbone.layers) as values:
        logits = backbone(backbone.front_end(noise()))
    with torch.inference_mode():
        assert torch.equal(backbone.resume("before", values["before"]), logits)
        with pytest.raises(UserError, match="expected to go on from 'middle' of Skipping.*a connection leads round it"):
            backbone.resume("middle", values["middle"])


def test_extraction_and_edits_take_it_as_any_other(tmp_path):
    backbone = wrapped()
    found = extract(backbone, Sounds(), range(60), tmp_path, components=3)
    assert list(found.scores) == NAMES and found.scores["second"].shape == (70, 3) and found.output.shape == (70, 6)
    full, logits = activations_of(backbone, Sounds(), [5, 6], "second")
    assert np.allclose(found.reductions["second"].reduce(full).numpy(), found.scores["second"][[5, 6]], atol=1e-4)
    changes = {"nothing": np.zeros((2, 3), np.float32), "something": np.ones((2, 3), np.float32)}
    edited = push(backbone, Sounds(), "second", found.reductions["second"], [5, 6], changes)
    assert np.allclose(edited["nothing"], logits.numpy(), atol=1e-6)
    assert not np.allclose(edited["something"], logits.numpy(), atol=1e-4)


def test_ripples_are_read_from_a_network_on_spectrograms():
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    backbone = ModuleBackbone(network, front_end=lambda x: x.unflatten(1, (-1, 16)), channel=True, segment_s=0.04)
    shape = {"frames": 40, "bins": 16, "frame_rate": 100.0, "bins_per_octave": 4.0}
    found = ripple_responses(backbone, {"0": backbone.layers["0"]}, omega=[2.0, 20.0], Omega=[0.5], **shape)
    assert found["0"].response.shape == (4, 2, 1) and (found["0"].response > 0).all()


class Turned(nn.Module):
    """Convolutions, a turn to frames first, a recurrent and a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv, self.act, self.norm = nn.Conv1d(1, 5, 16, stride=8), nn.ReLU(), nn.BatchNorm1d(5)
        self.recurrent = nn.LSTM(5, 3, batch_first=True, bidirectional=True)
        self.linear, self.head = nn.Linear(6, 7), nn.Linear(7, 2)

    def forward(self, x):
        frames = self.norm(self.act(self.conv(x))).transpose(1, 2)
        return self.head(self.linear(self.recurrent(frames)[0]).mean(1))


def turned(**given):
    return ModuleBackbone(Turned(), sample_rate=8000, segment_s=0.1, channel=True, **given)


def test_the_axis_of_the_channels_is_told_by_the_network():
    backbone = turned()
    axes = {layer: backbone.channel_axis(layer) for layer in backbone.layers}
    assert axes == {"conv": 1, "act": 1, "norm": 1, "recurrent": -1, "linear": -1, "head": -1}
    own = turned(channel_axes={"linear": 1})
    assert (own.channel_axis("linear"), own.channel_axis("conv"), own.channel_axis("head")) == (1, 1, -1)
    assert not any(module._forward_hooks for module in backbone.modules())
    with pytest.raises(UserError, match=r"expected a layer of Turned, got 'liner': did you mean 'linear'\?"):
        turned(channel_axes={"liner": 1})
    with pytest.raises(UserError, match=r"got 'cnov': did you mean 'conv'\?"):
        backbone.channel_axis("cnov")


@pytest.mark.parametrize("axis", [0, 3, -3, "x", 1.0, True])
def test_an_axis_that_cannot_hold_channels_is_refused(axis):
    with pytest.raises(UserError, match=r"channel_axes of linear as a whole number from 1 to 2 or from -2 to -1"):
        turned(channel_axes={"linear": axis})


def test_axes_that_the_network_does_not_tell_are_warned_of(caplog):
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = torch.nn.Conv1d(1, 9, 3), torch.nn.Conv1d(1, 10, 3)
            self.joined = torch.nn.Identity()

        def forward(self, x):
            return self.joined(torch.cat([self.one(x), self.two(x)], 1))

    net = Branches()
    layers = {"two": net.two, "joined": net.joined}
    assert channel_axes(net, layers, lambda: net(torch.zeros(1, 1, 12))) == {"two": 1, "joined": 2}
    assert "layer joined: axis 2 is taken" in caplog.text and "layer two" not in caplog.text
    rows = torch.nn.LSTM(4, 8, proj_size=3, batch_first=True)
    assert channel_axes(rows, {"rows": Site(rows, 0)}, lambda: rows(torch.zeros(1, 8, 4))) == {"rows": -1}


def test_ripples_are_read_from_a_network_on_waveforms():
    backbone, modulations = turned(), {"omega": [10.0, 40.0], "Omega": [0.5], "octaves": 4.0}
    found = ripple_sound_responses(backbone, backbone.layers, **modulations)
    assert {layer: len(one.response) for layer, one in found.items()} == {
        "conv": 5, "act": 5, "norm": 5, "recurrent": 6, "linear": 7, "head": 2
    }  # fmt: skip
    assert (found["linear"].response > 0).all()
    other = ripple_sound_responses(backbone, {"linear": backbone.layers["linear"]}, **modulations, channel_axis=1)
    assert len(other["linear"].response) == 99  # frames


# Weights


def test_weights_come_from_the_target_a_file_or_a_seed(tmp_path):
    built, again, other = wrapped(seed=1), wrapped(seed=1), wrapped(seed=2)
    assert built.weights.kind == "trained" and built.weights.sha256 == again.weights.sha256 != other.weights.sha256
    torch.save(other.network.state_dict(), tmp_path / "mine.pth")
    loaded = wrapped(seed=1, weights=str(tmp_path / "mine.pth"), target="package.Mine")
    assert loaded.weights.sha256 == other.weights.sha256 and loaded.weights.source == "mine.pth"
    assert loaded.name == "package.Mine"
    random = wrapped(seed=1, weights="random")
    assert random.weights.kind == "untrained" and random.weights.source == "random, seed 1"


def test_the_untrained_control_forgets_what_the_target_loads():
    backbone = wrapped(build={"loads": True})
    control = backbone.untrained(5)
    assert control.weights.kind == "untrained" and list(control.layers) == NAMES
    assert not torch.equal(control.network.head.weight, foreign.LOADED)
    scale = control.network.scale  # its module has no way to draw it anew
    assert not torch.equal(scale, backbone.network.scale)
    assert torch.equal(scale.sort().values, backbone.network.scale.sort().values)
    assert torch.equal(control.network.table, backbone.network.table)
    assert control.weights.sha256 == backbone.untrained(5).weights.sha256 != backbone.untrained(6).weights.sha256
    assert control.preprocessing == backbone.preprocessing


def test_a_network_that_is_there_already_is_copied():
    network = foreign.Foreign()
    before = state_digest(network)
    backbone = ModuleBackbone(network, layers=["first"], **SHAPE)
    assert state_digest(network) == before == backbone.weights.sha256
    assert network.training and network.head.weight.requires_grad
    assert not torch.equal(drawn(network, 0).first.conv.weight, network.first.conv.weight)


def test_other_code_or_settings_are_another_preprocessing():
    same = [wrapped().preprocessing, wrapped(seed=4).preprocessing]
    others = [
        wrapped(version="2").preprocessing,
        wrapped(front_end=foreign.Spectrum()).preprocessing,
        wrapped(build={"width": 4}).preprocessing,
    ]
    assert same[0] == same[1] and len({*same, *others}) == 4
    namespaces = [{}, {}]
    for namespace, sign in zip(namespaces, "+-", strict=True):
        exec(f"def f(x):\n    return x {sign} 1", namespace)
    network = nn.Identity()
    assert code_digest(network, namespaces[0]["f"]) != code_digest(network, namespaces[1]["f"])


# What cannot be


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": ["frist"]}, r"Foreign has no submodule 'frist': did you mean 'first'\?"),
        ({"layers": ["unused"]}, "'unused' is not reached in the forward pass"),
        ({"layers": ["twice"]}, "'twice' is called 2 times in one forward pass: say which is meant, NAME@0"),
        ({"layers": ["twice@2"]}, "'twice@2' is called 2 times, there is no call 2"),
        ({"layers": []}, r"expected backbone.layers=\[NAME, ...\], got none"),
        ({"output": "logits"}, "to have a part 'logits', got a dict with frames, length"),
        ({"output": None}, "to give one tensor, got a dict with frames, length: say which, backbone.output"),
        ({"output_mean": []}, r"to give a tensor \(B, K\), got a tensor \(2, \d+, 6\): take means"),
        ({"output_names": ["a"]}, "expected 6 backbone.output_names"),
        ({"segment_s": 0}, "expected backbone.sample_rate, segment_s and hop_s above 0"),
        ({"build": {"widht": 4}}, "backbone.network cannot be built: .*widht"),
        ({"weights": "nowhere.pth"}, "expected a file with weights, got nowhere.pth"),
    ],
)
def test_what_cannot_be_is_said(given, message):
    with pytest.raises(UserError, match=message):
        wrapped(**given)


def test_a_target_that_gives_no_network_is_refused():
    with pytest.raises(UserError, match="expected backbone.target to give a torch.nn.Module, got dict"):
        ModuleBackbone(foreign.not_a_network)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(foreign.Foreign(width=4).state_dict(), tmp_path / "small.pth")
    with pytest.raises(UserError, match="expected the .* tensors of Foreign.*of another shape"):
        wrapped(weights=str(tmp_path / "small.pth"))


def test_going_on_from_a_layer_that_is_not_there():
    with pytest.raises(UserError, match=r"expected a layer of Foreign, got 'secnod': did you mean 'second'\?"):
        wrapped().resume("secnod", torch.zeros(1, 8, 4))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["backbone.target=tests.backbones.foreign.Foriegn"], "did you mean 'tests.backbones.foreign.Foreign'"),
        ([], "backbone.target is missing"),
        (
            ["backbone.target=tests.backbones.foreign.Foreign", "+backbone.network.widht=3"],
            "backbone.network has no key 'widht'.*did you mean 'width'",
        ),
    ],
)
def test_a_misspelt_target_fails_before_any_work(overrides, message):
    with pytest.raises(UserError, match=message):
        cli.compose_config(["experiment=maas_decode", "backbone=module", *overrides])


def test_files_of_one_name_in_two_packages_are_both_part_of_the_digest(tmp_path, monkeypatch):
    for package in ("one_of_two", "other_of_two"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "layers.py").write_text("import torch\n\n\nclass Layer(torch.nn.Identity):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    layers = [importlib.import_module(f"{package}.layers") for package in ("one_of_two", "other_of_two")]
    network = torch.nn.Sequential(*(module.Layer() for module in layers))
    before = code_digest(network)
    for package in ("one_of_two", "other_of_two"):
        file = tmp_path / package / "layers.py"
        text = file.read_text()
        file.write_text(text + "\n# changed\n")
        assert code_digest(network) != before
        file.write_text(text)
        assert code_digest(network) == before
