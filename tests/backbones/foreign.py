"""Networks as somebody else might have written them, each with one of the habits that wrappers trip over."""

import torch
from torch import nn

LOADED = torch.linspace(-1, 1, 8 * 6).reshape(6, 8)


class Block(nn.Module):
    """Gives a tuple, and works in place."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, 8, stride=4)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.conv(x)), "state"


class Foreign(nn.Module):
    """Two blocks, an activation that is called twice, a dict as output, and a head that loads weights by itself."""

    def __init__(self, width=8, loads=False, classes=6):
        super().__init__()
        self.first, self.second = Block(1, width), Block(width, width)
        self.norm = nn.BatchNorm1d(width)
        self.twice = nn.Tanh()
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(width, classes)
        self.scale = nn.Parameter(torch.ones(classes))
        self.register_buffer("table", torch.arange(4.0))
        if loads:
            with torch.no_grad():
                self.head.weight.copy_(LOADED)
                self.scale.copy_(torch.linspace(1, 2, classes))

    def forward(self, x):
        x = self.twice(self.norm(self.first(x)[0]))
        x = self.twice(self.second(x)[0])
        return {"frames": self.head(x.transpose(1, 2)) * self.scale, "length": x.shape[-1]}


class Skipping(nn.Module):
    """A connection leads round its middle."""

    def __init__(self):
        super().__init__()
        self.before, self.middle, self.after = nn.Linear(400, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.before(x)
        return self.after(self.middle(x) + x)


class Spectrum(nn.Module):
    """A front end."""

    def forward(self, waveforms):
        return torch.fft.rfft(waveforms).abs().log1p()


def not_a_network():
    """Gives something else."""
    return {"a": 1}
