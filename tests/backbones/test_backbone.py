"""The identity of a network's weights is that of the numbers, by name, whatever file they came from."""

import pytest
import torch
from torch import nn

from audiointerp.backbones.base import state_digest


def network(dtype=torch.float32):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(torch.linspace(0, 1, value.numel()).reshape(value.shape))
    return model.to(dtype)


def test_equal_weights_have_equal_digests():
    assert state_digest(network()) == state_digest(network())
    assert len(state_digest(network())) == 64


def test_every_change_changes_the_digest():
    digests = {state_digest(network())}
    model = network()
    model[0].weight.data[1, 2] += 1e-7
    digests.add(state_digest(model))
    model = network()
    model[1].running_mean[0] = 1.0
    digests.add(state_digest(model))
    model = network()
    model[1].num_batches_tracked += 1
    digests.add(state_digest(model))
    digests.add(state_digest(nn.ModuleDict({"a": network()})))
    digests.add(state_digest(network(torch.float64)))
    digests.add(state_digest(network(torch.bfloat16)))
    assert len(digests) == 7


@pytest.mark.parametrize("other", [torch.zeros(4, dtype=torch.int32), torch.zeros(2, 2), torch.zeros(5)])
def test_type_and_shape_count_where_the_bytes_are_alike(other):
    first, second = nn.Module(), nn.Module()
    first.register_buffer("table", torch.zeros(4))
    second.register_buffer("table", other)
    assert state_digest(first) != state_digest(second)


def test_the_layout_in_memory_does_not_matter():
    model = network()
    before = state_digest(model)
    model[0].weight.data = model[0].weight.data.T.contiguous().T
    assert state_digest(model) == before
