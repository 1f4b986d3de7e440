"""Regions of modulation: which filters are slow, fast, coarse or fine, for ablation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

REGIONS = ("slow", "fast", "coarse", "fine")


def regions(omega: ArrayLike, Omega: ArrayLike, share: float = 0.5) -> dict[str, NDArray[np.bool_]]:
    """Names the filters at each end of temporal and of spectral modulation; regions hold equally many.

    Ablating equally many filters each time makes what falls a matter of which, not of how many.

    Args:
        omega: Temporal modulation, shape `(N,)` [Hz]; its sign does not count.
        Omega: Spectral modulation, shape `(N,)` [cycles/octave]; its sign does not count.
        share: Share of the filters in a region, above 0, at most 0.5.
    Returns:
        Names to masks of shape `(N,)`.
    Raises:
        ValueError: If shapes differ, or the share is out of range.
    Example:
        >>> {name: mask.tolist() for name, mask in regions([1.0, 8.0], [2.0, 0.1]).items()}
        {'slow': [True, False], 'fast': [False, True], 'coarse': [False, True], 'fine': [True, False]}
    """
    omega, big_omega = np.abs(np.asarray(omega, dtype=np.float64)), np.abs(np.asarray(Omega, dtype=np.float64))
    if omega.shape != big_omega.shape or omega.ndim != 1 or not 0.0 < share <= 0.5:
        raise ValueError(
            f"expected omega and Omega of one shape (N,) and a share in (0, 0.5], got {omega.shape}, "
            f"{big_omega.shape} and {share}"
        )
    count = max(1, int(share * len(omega)))
    masks = {}
    for values, (low, high) in ((omega, REGIONS[:2]), (big_omega, REGIONS[2:])):
        order = np.argsort(values, kind="stable")
        for name, chosen in ((low, order[:count]), (high, order[::-1][:count])):
            masks[name] = np.isin(np.arange(len(values)), chosen)
    return masks


def random_region(like: Mapping[str, NDArray[np.bool_]], rng: np.random.Generator) -> NDArray[np.bool_]:
    """As many filters as a region has, drawn at random: the control of an ablation."""
    mask = next(iter(like.values()))
    return rng.permutation(mask)
