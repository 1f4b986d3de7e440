"""Chains: what is one is read as it is, what is none is refused."""

import pytest
import torch
from torch import nn

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.sonify.chain import chain_of, receptive_field, shortest_input
from audiointerp.study import UserError
from tests.sonify.small_chain import chain


def conv(inputs=1, outputs=2, kernel=3, **settings):
    return nn.Conv1d(inputs, outputs, kernel, padding=settings.pop("padding", kernel // 2), **settings)


def test_cnn12_is_a_chain_and_has_the_papers_receptive_fields():
    stages = chain_of(CNN12(width=0.0625))
    names = list(stages)
    fields = {n: receptive_field(stages[name] for name in names[:n]) for n in (2, 4, 6, 8, 10, 11)}
    assert fields == {2: 16, 4: 44, 6: 156, 8: 604, 10: 2396, 11: 4444}
    assert shortest_input(stages.values()) == CNN12(width=0.0625).shortest == 1024


@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 1, 3)])
def test_the_shortest_input_is_the_shortest(strides):
    net = chain(strides=strides)
    least = shortest_input(chain_of(net).values())
    assert net(torch.zeros(1, 1, least, dtype=torch.float64)).shape[2] == 1
    with pytest.raises(RuntimeError):
        net(torch.zeros(1, 1, least - 1, dtype=torch.float64))


def test_stages_give_what_the_network_gives():
    net, x = chain(), torch.randn(2, 1, 100, dtype=torch.float64)
    out = x
    for stage in chain_of(nn.Sequential(nn.Sequential(*net[:3]), *net[3:], nn.Flatten())).values():
        out = stage(out)
    assert torch.equal(out, net(x))


class Normalised(nn.Module):
    """A block that does more than its parts say."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool = conv(), nn.Identity()

    def forward(self, x):
        return torch.relu(self.conv(x)) / 2


def blocks(*parts):
    net = nn.Module()
    net.blocks = nn.ModuleList(parts)
    return net


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.Linear(2, 2), "a network with `blocks`"),
        (nn.Sequential(nn.Flatten()), "at least one Conv1d"),
        (nn.Sequential(conv(), nn.Tanh(), conv(2)), "got Conv1d and Tanh"),
        (nn.Sequential(conv(), nn.BatchNorm1d(2), nn.ReLU(), conv(2), nn.ReLU()), "got Conv1d and BatchNorm1d"),
        (nn.Sequential(conv(), nn.ReLU(), nn.MaxPool1d(3, 2)), "as wide as its stride"),
        (nn.Sequential(conv(), nn.ReLU(), nn.MaxPool1d(2, ceil_mode=True)), "as wide as its stride"),
        (nn.Sequential(conv(kernel=4), nn.ReLU()), "odd width"),
        (nn.Sequential(conv(dilation=2), nn.ReLU()), "without dilation"),
        (nn.Sequential(conv(padding="same"), nn.ReLU()), "as a number"),
        (nn.Sequential(conv(padding_mode="reflect"), nn.ReLU()), "padded by zeros"),
        (blocks(nn.Linear(1, 1)), "a Conv1d `conv`"),
        (blocks(Normalised()), "its output is not what these give"),
    ],
)
def test_what_is_no_chain_is_refused(net, message):
    with pytest.raises(UserError, match=message):
        chain_of(net)
