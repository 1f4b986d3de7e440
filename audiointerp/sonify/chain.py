"""Sequential 1-D CNNs as chains of convolution, ReLU and max-pooling, which is what can be run backwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiointerp.study import UserError


@dataclass(frozen=True)
class Stage:
    """A convolution, a ReLU, and a max-pooling where there is one.

    Attributes:
        conv: The convolution.
        pool: Width and stride of the max-pooling; 1 for none.
    """

    conv: nn.Conv1d
    pool: int = 1

    @property
    def padding(self) -> int:
        return int(self.conv.padding[0])

    @property
    def stride(self) -> int:
        return int(self.conv.stride[0])

    @property
    def kernel(self) -> int:
        return int(self.conv.kernel_size[0])

    def convolved(self, length: int) -> int:
        """Gives the frames that the convolution makes of `length` frames; below 1 where there are too few."""
        return (length + 2 * self.padding - self.kernel) // self.stride + 1

    def __call__(self, x: Tensor) -> Tensor:
        """Turns `(B, C, T)` into `(B, C', T')`."""
        return F.max_pool1d(F.relu(self.conv(x)), self.pool) if self.pool > 1 else F.relu(self.conv(x))


def chain_of(model: nn.Module) -> dict[str, Stage]:
    """Reads a network as a chain, and refuses one that is none, as its sonifications would be silently wrong.

    Args:
        model: A network with `blocks`, each with `conv` and `pool` (such as CNN12), or a `Sequential` of `Conv1d`,
            `ReLU` and `MaxPool1d`; what follows the last of these (a mean over time, a classifier) is left out.
    Returns:
        Names to stages: `block1`, `block2` ...
    Raises:
        UserError: If there is no convolution, something else stands between two of them, a convolution has even width,
            dilation, groups or padding that is not zeros, a pooling overlaps or is padded, or a block computes
            something else than its parts say.
    Example:
        >>> net = nn.Sequential(nn.Conv1d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten())
        >>> {name: stage.pool for name, stage in chain_of(net).items()}
        {'block1': 2}
    """
    blocks = getattr(model, "blocks", None)
    if blocks is not None:
        stages = [_of_block(n, block) for n, block in enumerate(blocks, start=1)]
    elif isinstance(model, nn.Sequential):
        stages = _of_sequence(_flat(model))
    else:
        raise UserError(
            f"expected a network with `blocks` (conv, pool) or a Sequential of Conv1d, ReLU and MaxPool1d, got "
            f"{type(model).__name__}: sonify it by attribution on its mel picture (sonify.mel_masks)"
        )
    if not stages:
        raise UserError("expected at least one Conv1d followed by a ReLU, got none")
    for n, stage in enumerate(stages, start=1):
        _check(n, stage.conv)
    return {f"block{n}": stage for n, stage in enumerate(stages, start=1)}


def shortest_input(stages: Iterable[Stage]) -> int:
    """Gives the fewest samples that leave one frame in the last stage.

    Example:
        >>> shortest_input([Stage(nn.Conv1d(1, 1, 3, padding=1), 4), Stage(nn.Conv1d(1, 1, 3, padding=1), 2)])
        8
    """
    length = 1
    for stage in reversed(list(stages)):
        length = max(1, (length * stage.pool - 1) * stage.stride + stage.kernel - 2 * stage.padding)
    return length


def receptive_field(stages: Iterable[Stage]) -> int:
    """Gives the samples of the input that one frame of the last stage depends on.

    Example:
        >>> receptive_field([Stage(nn.Conv1d(1, 1, 11, padding=5), 1), Stage(nn.Conv1d(1, 1, 3, padding=1), 4)])
        16
    """
    length = 1
    for stage in reversed(list(stages)):
        length = (length * stage.pool - 1) * stage.stride + stage.kernel
    return length


def _of_block(n: int, block: nn.Module) -> Stage:
    conv, pool = getattr(block, "conv", None), getattr(block, "pool", None)
    if not isinstance(conv, nn.Conv1d) or not isinstance(pool, nn.MaxPool1d | nn.Identity):
        raise UserError(
            f"expected block {n} to have a Conv1d `conv` and a MaxPool1d or Identity `pool`, got "
            f"{type(conv).__name__} and {type(pool).__name__}"
        )
    stage = Stage(conv, _width(n, pool))
    with torch.no_grad():
        length = max(1, (2 * stage.pool - 1) * stage.stride + stage.kernel)
        generator = torch.Generator().manual_seed(0)
        probe = torch.randn(1, conv.in_channels, length, generator=generator).to(conv.weight)
        if not torch.equal(block(probe), stage(probe)):
            raise UserError(
                f"expected block {n} to be convolution, ReLU and max-pooling, its output is not what these give: "
                "networks with normalisation or skips cannot be run backwards by a DeconvNet"
            )
    return stage


def _flat(model: nn.Module) -> list[nn.Module]:
    parts = []
    for part in model.children():
        parts += _flat(part) if isinstance(part, nn.Sequential) else [part]
    return parts


def _of_sequence(parts: list[nn.Module]) -> list[Stage]:
    last = max((n for n, part in enumerate(parts) if isinstance(part, nn.Conv1d)), default=-1)
    stages, at = [], 0
    while at <= last:
        n, part = len(stages) + 1, parts[at]
        following = [*parts[at + 1 : at + 3], None, None]
        if not isinstance(part, nn.Conv1d) or not isinstance(following[0], nn.ReLU):
            raise UserError(
                f"expected Conv1d, ReLU and optionally MaxPool1d as block {n}, got {type(part).__name__} and "
                f"{type(following[0]).__name__}: other layers cannot be run backwards by a DeconvNet"
            )
        pooled = isinstance(following[1], nn.MaxPool1d)
        stages.append(Stage(part, _width(n, following[1]) if pooled else 1))
        at += 3 if pooled else 2
    return stages


def _width(n: int, pool: nn.Module) -> int:
    if isinstance(pool, nn.Identity):
        return 1
    stride = pool.stride if pool.stride is not None else pool.kernel_size
    width, stride, padding, dilation = (
        int(value[0] if isinstance(value, tuple) else value)
        for value in (pool.kernel_size, stride, pool.padding, pool.dilation)
    )
    if stride != width or padding or dilation != 1 or pool.ceil_mode:
        raise UserError(
            f"expected the max-pooling of block {n} to be as wide as its stride, without padding, dilation or "
            f"ceil_mode, got {pool}: windows that overlap have no unique way back"
        )
    return width


def _check(n: int, conv: nn.Conv1d) -> None:
    if conv.kernel_size[0] % 2 == 0 or conv.dilation[0] != 1 or conv.groups != 1 or conv.padding_mode != "zeros":
        raise UserError(
            f"expected the convolution of block {n} to be of odd width, without dilation and groups, padded by zeros, "
            f"got {conv}"
        )
    if isinstance(conv.padding, str):
        raise UserError(f"expected the padding of block {n} as a number, got {conv.padding!r}: write kernel // 2")
