"""Parameter randomisation: a sonification that stays the same when weights are drawn anew says nothing about them."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from torch import nn

from audiointerp.study import UserError


def cascade(model: nn.Module, fresh: nn.Module, depth: int) -> Iterator[tuple[int, nn.Module]]:
    """Gives a network with more and more of its blocks drawn anew, from a layer down to the first.

    Args:
        model: With `blocks`; it is not changed.
        fresh: The same architecture with random weights.
        depth: The layer's number; blocks above it do not matter and stay.
    Yields:
        How many blocks are random, from 0 to `depth`, and the network, the same object changed step by step.
    Raises:
        UserError: If there is no such block.
    References:
        Sanity Checks for Saliency Maps (Adebayo et al., 2018), section 3.1: cascading randomisation.
    Example:
        >>> net = nn.Module()
        >>> net.blocks = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
        >>> [random for random, _ in cascade(net, copy.deepcopy(net), 2)]
        [0, 1, 2]
    """
    if not 1 <= depth <= len(model.blocks):
        raise UserError(f"expected a depth from 1 to {len(model.blocks)}, got {depth}")
    changed = copy.deepcopy(model)
    yield 0, changed
    for n in range(depth - 1, -1, -1):
        changed.blocks[n].load_state_dict(fresh.blocks[n].state_dict())
        yield depth - n, changed
