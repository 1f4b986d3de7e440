"""A small chain of convolutions and poolings, and sonification written as a gradient: an independent way to it."""

import torch
import torch.nn.functional as F
from torch import nn


class PositiveBack(torch.autograd.Function):
    """A ReLU whose way back lets positive gradients through, whatever was heard."""

    @staticmethod
    def forward(ctx, x):
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.clamp(min=0)


def chain(*, strides=(1, 1, 1), pools=(2, 1, 3), channels=(5, 6, 7), kernels=(7, 3, 5), seed=0):
    """A `Sequential` of three blocks in float64."""
    generator = torch.Generator().manual_seed(seed)
    parts, inputs = [], 1
    for outputs, kernel, stride, pool in zip(channels, kernels, strides, pools, strict=True):
        conv = nn.Conv1d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)
        with torch.no_grad():
            conv.weight.normal_(0, (2 / (inputs * kernel)) ** 0.5, generator=generator)
            conv.bias.normal_(0, 0.1, generator=generator)
        parts += [conv, nn.ReLU()] + ([nn.MaxPool1d(pool)] if pool > 1 else [])
        inputs = outputs
    return nn.Sequential(*parts).double().requires_grad_(False)


def by_gradient(net, x, block, seeds_of):
    """Leads `seeds_of(activation)`, shape `(C, T)`, of a block back to the samples `(L,)` by autograd."""
    x = x[None, None].clone().requires_grad_(True)
    activation, count = x, 0
    for part in net:
        if isinstance(part, nn.Conv1d):
            if count == block:
                break
            count += 1
            activation = PositiveBack.apply(part(activation))
        elif isinstance(part, nn.MaxPool1d):
            activation = F.max_pool1d(activation, part.kernel_size, return_indices=True)[0]
    (found,) = torch.autograd.grad(activation, x, seeds_of(activation[0].detach())[None])
    return found[0, 0]


def noise(samples=203, seed=1):
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
