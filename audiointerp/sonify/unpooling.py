"""Ways back through a max-pooling: to the switch, to all of the window, along a line, or by share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

UNPOOLINGS = ("switch", "nearest", "linear", "soft")


def to_switch(values: Tensor, switches: Tensor, pool: int) -> Tensor:
    """Puts each value where the maximum of its window was, zeros elsewhere.

    Windows do not overlap, so no place is written twice and the result does not depend on the order of writing.

    Args:
        values: Shape `(M, C, T)`.
        switches: Place of each maximum, from the start of the first window, int64 `(M, C, T)`.
        pool: Width of a window.
    Returns:
        Shape `(M, C, T * pool)`.
    Example:
        >>> to_switch(torch.tensor([[[5.0, 7.0]]]), torch.tensor([[[1, 2]]]), 2).tolist()
        [[[0.0, 5.0, 7.0, 0.0]]]
    """
    out = values.new_zeros(*values.shape[:2], values.shape[2] * pool)
    return out.scatter_(2, switches, values)


def to_nearest(values: Tensor, pool: int) -> Tensor:
    """Repeats each value over its window, `(M, C, T)` to `(M, C, T * pool)`.

    Example:
        >>> to_nearest(torch.tensor([[[5.0, 7.0]]]), 2).tolist()
        [[[5.0, 5.0, 7.0, 7.0]]]
    """
    return values.repeat_interleave(pool, dim=2)


def along_line(values: Tensor, pool: int) -> Tensor:
    """Interpolates between the middles of windows, `(M, C, T)` to `(M, C, T * pool)`.

    Example:
        >>> along_line(torch.tensor([[[0.0, 4.0]]]), 2).tolist()
        [[[0.0, 1.0, 3.0, 4.0]]]
    """
    return F.interpolate(values, size=values.shape[2] * pool, mode="linear", align_corners=False)


def by_share(values: Tensor, before: Tensor, switches: Tensor, pool: int) -> Tensor:
    """Shares each value over its window in proportion to the activation there; at the switch where all of it is zero.

    Args:
        values: Shape `(M, C, T)`.
        before: Rectified activation before pooling, shape `(M, C, T * pool)`.
        switches: As for `to_switch`.
        pool: Width of a window.
    Example:
        >>> before, switches = torch.tensor([[[1.0, 3.0, 0.0, 0.0]]]), torch.tensor([[[1, 2]]])
        >>> by_share(torch.tensor([[[8.0, 7.0]]]), before, switches, 2).tolist()
        [[[2.0, 6.0, 7.0, 0.0]]]
    """
    windows = before.unflatten(2, (-1, pool))
    total = windows.sum(-1, keepdim=True)
    spread = windows / torch.where(total > 0, total, 1.0) * values.unsqueeze(-1)
    alone = to_switch(values, switches, pool).unflatten(2, (-1, pool))
    return torch.where(total > 0, spread, alone).flatten(2)
