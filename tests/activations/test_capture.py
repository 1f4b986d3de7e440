"""Capture reads what a layer gave, whatever happens to it later, and leaves the network as it was."""

import pytest
import torch
from small_network import LAYERS, Noise, SmallNetwork
from torch import nn
from torch.nn import functional as F

from audiointerp.activations.base import Site, capture


def hooks(model):
    return sum(
        len(getattr(module, name)) for module in model.modules() for name in ("_forward_hooks", "_forward_pre_hooks")
    )


class InPlace(nn.Module):
    """Overwrites what its first layer gave."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.second = nn.Linear(5, 2)

    def forward(self, x):
        x = self.first(x)
        x.clamp_(min=0).add_(100)
        return self.second(x)


class Parts(nn.Module):
    """Gives a tuple, a dict, or a tensor."""

    def __init__(self, kind):
        super().__init__()
        self.inner = Split(kind)

    def forward(self, x):
        self.inner(x)
        return x


class Split(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        return {"tuple": (x + 1, x + 2), "dict": {"sum": x + 1, "twice": 2 * x}, "tensor": x + 1}[self.kind]


class Shared(nn.Module):
    """Calls one layer `times` times, and leaves another out on demand."""

    def __init__(self, times=2, skip=False):
        super().__init__()
        self.times, self.skip = times, skip
        self.layer = nn.Linear(3, 3)
        self.last = nn.Linear(3, 1)

    def forward(self, x):
        for _ in range(self.times):
            x = self.layer(x)
        return x if self.skip else self.last(x)


@pytest.fixture(params=["kept whole", "transformed"])
def transform(request):
    return {} if request.param == "kept whole" else {name: lambda value: value.mean(-1) for name in LAYERS}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_outputs_are_bit_equal_and_values_are_those_of_the_layers(transform, mode):
    network, waves = SmallNetwork(), Noise(7).waveforms
    with mode():
        bare = network(network.front_end(waves))
        with capture(network, network.layers, transform) as values:
            watched = network(network.front_end(waves))
        assert torch.equal(bare, watched)
        assert list(values) == LAYERS
        step = network.front_end(waves)
        for name in LAYERS:
            conv = network.blocks[name][0]
            step = F.conv1d(step, conv.weight, conv.bias, conv.stride).clamp(min=0)
            expected = step.mean(-1) if transform else step
            torch.testing.assert_close(values[name], expected, rtol=1e-5, atol=1e-6)
    assert hooks(network) == 0


def test_gradients_are_bit_equal_and_values_are_detached():
    gradients = []
    for watched in (False, True):
        model = InPlace()
        with torch.no_grad():
            for index, parameter in enumerate(model.parameters()):
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape) + 0.1 * index)
        x = torch.linspace(-1, 1, 12).reshape(3, 4).requires_grad_()
        if watched:
            with capture(model, {"first": model.first}) as values:
                model(x).sum().backward()
            assert not values["first"].requires_grad
        else:
            model(x).sum().backward()
        gradients.append([x.grad, *(parameter.grad for parameter in model.parameters())])
    for bare, watched in zip(*gradients, strict=True):
        assert torch.equal(bare, watched)


def test_in_place_operations_after_a_layer_do_not_reach_its_value():
    model = InPlace()
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), capture(model, {"first": model.first, "again": model.first}) as values:
        model(x)
        expected = model.first(x)
    assert torch.equal(values["first"], expected) and torch.equal(values["again"], expected)
    assert (expected < 0).any()  # so that the ReLU had something to change


@pytest.mark.parametrize(
    "keep",
    [lambda v: v, lambda v: v[:, :2], lambda v: v.flatten(1), lambda v: v.T, lambda v: v.unsqueeze(0)],
    ids=["itself", "slice", "flattened", "transposed", "unsqueezed"],
)
def test_a_transform_keeps_no_alias_of_the_network_s_memory(keep):
    model = InPlace()
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = keep(model.first(x)).clone()
        with capture(model, {"first": model.first}, {"first": keep}) as values:
            model(x)
    assert torch.equal(values["first"], expected)
    # Nor does a small part keep the large whole in memory.
    assert values["first"].untyped_storage().nbytes() == expected.numel() * 4


def test_values_do_not_follow_later_changes_of_a_layer_that_gives_its_input_back():
    model = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
    x = torch.tensor([[-1.0, 2.0]])
    with capture(model, {"identity": model[0], "relu": model[1], "whole": model}) as values:
        model(x)
    assert values["identity"].tolist() == [[-1, 2]]
    assert values["relu"].tolist() == values["whole"].tolist() == [[0, 2]]


@pytest.mark.parametrize(("kind", "key", "expected"), [("tuple", 1, 7.0), ("dict", "twice", 10.0)])
def test_a_part_of_a_tuple_or_dict_can_be_named(kind, key, expected):
    model = Parts(kind)
    with capture(model, {"part": Site(model.inner, output=key)}) as values:
        model(torch.tensor([5.0]))
    assert values["part"].tolist() == [expected]


@pytest.mark.parametrize(
    ("kind", "output", "message"),
    [
        ("tuple", None, "expected layer 'deep' to give one tensor, got tuple: say which part is meant"),
        ("dict", None, "expected layer 'deep' to give one tensor, got dict"),
        ("tuple", 2, "expected layer 'deep' to give a part 2, got a tuple without it"),
        ("tuple", "sum", "expected layer 'deep' to give a part 'sum', got a tuple without it"),
        ("dict", "mean", "expected layer 'deep' to give a part 'mean', got a dict without it"),
        ("tensor", 0, "expected layer 'deep' to give a tuple, list or dict with a part 0, got one tensor"),
    ],
)
def test_what_is_not_one_tensor_is_refused_by_name(kind, output, message):
    model = Parts(kind)
    with capture(model, {"deep": Site(model.inner, output=output)}):
        with pytest.raises(TypeError) as caught:
            model(torch.ones(2, 2))
    assert message in str(caught.value)
    assert hooks(model) == 0


def test_a_layer_used_twice_needs_to_say_which_call_is_meant():
    model, x = Shared(times=2), torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        with capture(model, {"layer": model.layer}), pytest.raises(RuntimeError, match=r"'layer' was called more than"):
            model(x)
        sites = {"second": Site(model.layer, call=1), "first": Site(model.layer, call=0)}
        with capture(model, sites) as values:
            model(x)
        first = model.layer(x)
        assert torch.equal(values["first"], first)
        assert torch.equal(values["second"], model.layer(first))


def test_a_layer_called_outside_a_pass_of_the_model_is_not_recorded():
    model, x = Shared(times=1), torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), capture(model, {"layer": model.layer}) as values:
        model.layer(x)
        assert not values
        model(x)
        kept = values["layer"]
        resumed = model.last(model.layer(5 * x))
        assert values["layer"] is kept
        assert not torch.equal(model(5 * x), model(x)) and torch.equal(model(5 * x), resumed)


def test_a_layer_that_is_not_reached_or_not_called_as_often_as_asked_is_told():
    model = Shared(skip=True)
    with capture(model, {"last": model.last}), pytest.raises(RuntimeError, match=r"\['last'\] were not reached"):
        model(torch.ones(1, 3))
    with capture(model, {"third": Site(model.layer, call=2)}), pytest.raises(RuntimeError, match="as often as asked"):
        model(torch.ones(1, 3))
    assert hooks(model) == 0


def test_a_pass_that_does_not_reach_a_layer_never_shows_the_value_of_the_pass_before():
    model = Shared()
    with capture(model, {"last": model.last}) as values:
        model(torch.ones(1, 3))
        assert set(values) == {"last"}
        model.skip = True
        with pytest.raises(RuntimeError, match="were not reached"):
            model(torch.ones(1, 3))
        assert not values


@pytest.mark.parametrize("strange", [nn.Linear(3, 3), Site(nn.Linear(3, 3))])
def test_a_module_that_is_no_part_of_the_model_is_refused(strange):
    model = Shared()
    with pytest.raises(ValueError, match=r"expected 'other' to be a module of Shared, got one that is no part of it"):
        with capture(model, {"layer": model.layer, "other": strange}):
            pass
    assert hooks(model) == 0


def test_a_transform_of_no_layer_is_refused():
    model = Shared()
    with pytest.raises(ValueError, match=r"expected transforms of the layers \['layer'\], got \['layr'\]"):
        with capture(model, {"layer": model.layer}, {"layr": torch.square}):
            pass
    assert hooks(model) == 0


def test_each_pass_fills_the_values_anew():
    network, waves = SmallNetwork(), Noise(6).waveforms
    with torch.no_grad(), capture(network, network.layers) as values:
        network(network.front_end(waves[:4]))
        first = dict(values)
        network(network.front_end(waves[4:]))
        assert values["block1"].shape[0] == 2 and first["block1"].shape[0] == 4
        network(network.front_end(waves[:4]))
    for name in LAYERS:
        assert torch.equal(values[name], first[name])


def fails(value):
    raise ArithmeticError("no such value")


@pytest.mark.parametrize("where", ["forward", "transform", "body"])
def test_no_hook_is_left_after_an_error(where):
    network, waves = SmallNetwork(), Noise(2).waveforms
    bare = network(network.front_end(waves))
    transform = {"block3": fails} if where == "transform" else None
    with pytest.raises((ArithmeticError, RuntimeError)):
        with capture(network, network.layers, transform) as values:
            assert hooks(network) == 6  # four layers, the start and the end of a pass
            if where == "forward":
                network(waves[:, None, :20])  # too short for the second convolution
            if where == "body":
                raise ArithmeticError
            network(network.front_end(waves))
    assert "block4" not in values
    assert hooks(network) == 0
    assert torch.equal(network(network.front_end(waves)), bare)


def test_captures_within_each_other_do_not_disturb():
    network, waves = SmallNetwork(), Noise(2).waveforms
    with torch.no_grad(), capture(network, network.layers) as outer:
        with capture(network, {"block2": network.layers["block2"]}) as inner:
            network(network.front_end(waves))
        kept = inner["block2"].clone()
        network(network.front_end(2 * waves))
    assert torch.equal(inner["block2"], kept) and not torch.equal(outer["block2"], kept)
    assert hooks(network) == 0


def test_hooks_of_others_stay():
    network, seen = SmallNetwork(), []
    network.blocks["block1"].register_forward_hook(lambda *args: seen.append(1))
    with capture(network, network.layers):
        pass
    network(network.front_end(Noise(1).waveforms))
    assert seen == [1] and hooks(network) == 1
