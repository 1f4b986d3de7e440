"""Splits of a grid of tones: by tuple, by withheld combinations, by a withheld octave; and whether tuples differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from audiointerp.data.base import nearest
from audiointerp.data.splits import assign_roles, check_shares
from audiointerp.data.syntone import SynTone
from audiointerp.study import UserError, stream

SPLITS = ("tuple", "combination", "octave")
BANDS = 4


def tone_roles(sounds: SynTone, split: str, shares: Mapping[str, float], seed: int = 0) -> np.ndarray:
    """Gives each clip its role.

    `tuple`: tuples at random. `combination`: a quarter of the cells of timbre x four bands of pitch x four bands of
    amplitude is the test, so that each timbre, band of pitch and band of amplitude is met in training, but not these
    combinations. `octave`: the second octave from the bottom is the test. In both, the shares of the other roles divide
    what is left.

    Args:
        sounds: The tones.
        split: `tuple`, `combination` or `octave`.
        shares: Share of the tuples per role, summing to 1.
        seed: Seed of the draw.
    Returns:
        The role of each clip, str `(N,)`.
    Raises:
        UserError: If the split is unknown, the shares are wrong, or nothing or everything would be withheld.
    """
    shares = check_shares(shares)
    if split not in SPLITS:
        raise UserError(f"study.split: there is no {split!r}: {nearest(split, SPLITS)}")
    if split == "tuple":
        return assign_roles(sounds.group, sounds.factors, shares, seed)
    values = sounds.values()
    if split == "combination":
        bands = [_band(values[name], sounds.levels_of[name]) for name in ("f0_hz", "amplitude")]
        timbre = np.searchsorted(sorted(sounds.waveform_names), values["timbre"])
        withheld = (timbre + bands[0] + bands[1]) % BANDS == 0
    else:
        low = 2 * sounds.levels_of["f0_hz"].min()
        withheld = (values["f0_hz"] >= low) & (values["f0_hz"] < 2 * low)
    if withheld.all() or not withheld.any():
        raise UserError(
            f"expected study.split={split} to withhold some clips and keep some, it withholds {int(withheld.sum())} of "
            f"{len(withheld)}: widen data.f0_hz and data.amplitude, or take study.split=tuple"
        )
    rest = {role: share for role, share in shares.items() if role != "test"}
    total = sum(rest.values())
    if total <= 0:
        raise UserError(f"expected study.roles with a share for training beside the test, got {shares}")
    roles = np.full(len(sounds), "test", dtype="<U6")
    kept = np.flatnonzero(~withheld)
    rest = {role: share / total for role, share in rest.items()}
    roles[kept] = assign_roles(sounds.group.iloc[kept], sounds.factors.iloc[kept].reset_index(drop=True), rest, seed)
    return roles


def count_distinct(parts: Iterable[np.ndarray], tolerance: float = 1e-4, seed: int = 0) -> int:
    """Counts different pictures; what differs by rounding alone counts as the same.

    Pictures are projected on eight random directions; two are the same if no projection tells them apart.

    Args:
        parts: Pictures in batches, each `(B, ...)`.
        tolerance: What counts as different, in standard deviations of a projection.
        seed: Seed of the directions.
    Example:
        >>> count_distinct([np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 1.0]])])
        3
    """
    rng = stream(seed, "distinct")
    directions = np.empty((0, 8))
    projections = []
    for part in parts:
        flat = part.reshape(len(part), -1).astype(np.float64)
        directions = directions if len(directions) else rng.standard_normal((flat.shape[1], 8))
        projections.append(flat @ directions)
    projected = np.concatenate(projections)
    steps = tolerance * np.maximum(projected.std(0), 1e-30)
    label = np.zeros(len(projected), dtype=np.int64)
    for values, step in zip(projected.T, steps, strict=True):
        order = np.lexsort((values, label))
        new = (np.diff(label[order]) != 0) | (np.diff(values[order]) > step)
        label[order] = np.concatenate([[0], np.cumsum(new)])
    return int(label.max()) + 1


def _band(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Which of four bands of levels each value lies in."""
    return np.searchsorted(levels, values) * BANDS // len(levels)
