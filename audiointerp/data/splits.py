"""Splits by group: the four roles, folds for cross-validation, leaving out a level of another factor."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from audiointerp.study import UserError, stream

SHARES = {"fit": 0.2, "train": 0.4, "select": 0.15, "test": 0.25}
_FEW_GROUPS = {
    1: ("fit",),
    2: ("train", "test"),
    3: ("train", "test", "select"),
    4: ("train", "train", "test", "select"),
}


def assign_roles(
    group: pd.Series | Sequence, factors: pd.DataFrame, shares: Mapping[str, float] | None = None, seed: int = 0
) -> np.ndarray:
    """Gives each group, and with it each of its clips, one of the four roles.

    Groups are stratified by the cells of the categorical factors that are constant within groups. Where these cells
    hold fewer than four groups in the median, the last factor is dropped from the stratification, until one is left.
    A stratum with few groups is filled so that decoding over groups stays possible: one group goes to `fit` (it can
    serve no decoding over groups), two to train and test, three to train, test and select, four to train (two), test
    and select. From five on all roles are filled by their shares; remainders are balanced over the strata.

    Args:
        group: Group of each clip, length `N`.
        factors: Factor table, `N` rows.
        shares: Share of the groups per role, summing to 1; a role with share 0 stays empty. None for .2 fit, .4 train,
            .15 select, .25 test.
        seed: Seed of the draw; the order of the clips has no influence.
    Returns:
        The role of each clip, shape `(N,)`, str.
    Raises:
        UserError: If a role is unknown, a share is negative, or the shares do not sum to 1.
        ValueError: If lengths differ.
    """
    shares = check_shares(SHARES if shares is None else shares)
    group = np.asarray(group, dtype=str)
    if len(group) != len(factors):
        raise ValueError(f"expected one group per row of factors, got {len(group)} and {len(factors)}")
    names, first, clip_group = np.unique(group, return_index=True, return_inverse=True)
    rng = stream(seed, "roles")
    roles = np.empty(len(names), dtype="<U6")
    wanted = np.array([shares.get(role, 0.0) for role in SHARES])
    behind = np.zeros(len(SHARES))
    strata = _strata(clip_group, first, factors)
    for stratum in rng.permutation(np.unique(strata)):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        behind += wanted * len(members)
        counts = _role_counts(len(members), wanted, behind, rng)
        behind -= counts
        roles[members] = np.repeat(list(SHARES), counts)
    return roles[clip_group]


def draw_groups(group: pd.Series | Sequence, factors: pd.DataFrame, most: int, seed: int = 0) -> np.ndarray:
    """Draws whole groups, evenly over the strata of `assign_roles`, until they hold `most` clips at most.

    Args:
        group: Group of each clip, length `N`.
        factors: Factor table, `N` rows.
        most: Most clips; of the first group drawn all clips are taken, however many it has.
        seed: Seed of the draw; the order of the clips has no influence.
    Returns:
        Whether each clip is drawn, bool `(N,)`.
    """
    group = np.asarray(group, dtype=str)
    _, first, clip_group, sizes = np.unique(group, return_index=True, return_inverse=True, return_counts=True)
    strata = _strata(clip_group, first, factors)
    rng = stream(seed, "drawn groups")
    place = np.empty(len(sizes))
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        place[members] = (np.arange(len(members)) + rng.random(len(members))) / len(members)
    order = np.argsort(place, kind="stable")
    taken = order[np.cumsum(sizes[order]) <= most]
    drawn = np.zeros(len(sizes), dtype=bool)
    drawn[taken if len(taken) else order[:1]] = True
    return drawn[clip_group]


def check_shares(shares: Mapping[str, float]) -> dict[str, float]:
    """Gives back the shares of the roles.

    Raises:
        UserError: If a role is unknown, a share is negative, or the shares do not sum to 1.
    Example:
        >>> check_shares({"train": 0.7, "test": 0.3})
        {'train': 0.7, 'test': 0.3}
    """
    shares = dict(shares)
    total = sum(shares.values())
    if set(shares) - set(SHARES) or min(shares.values(), default=-1) < 0 or abs(total - 1) > 1e-6:
        raise UserError(
            f"expected shares of {', '.join(SHARES)}, none negative, summing to 1, got {shares}, which sum to "
            f"{total:g}: set the others as well"
        )
    return shares


def _strata(clip_group: np.ndarray, first: np.ndarray, factors: pd.DataFrame) -> np.ndarray:
    """Stratum of each group, by the factors that are constant within groups."""
    constant = []
    for factor in factors:
        if pd.api.types.is_numeric_dtype(factors[factor]):
            continue
        codes = pd.factorize(factors[factor], sort=True)[0]
        if (codes == codes[first][clip_group]).all():
            constant.append(codes[first])
    while constant:
        _, strata, sizes = np.unique(np.stack(constant, axis=1), axis=0, return_inverse=True, return_counts=True)
        if np.median(sizes) >= 4 or len(constant) == 1:
            return strata.reshape(-1)
        constant.pop()
    return np.zeros(len(first), dtype=int)


def _role_counts(n: int, wanted: np.ndarray, behind: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How many of a stratum's `n` groups each role takes; `behind` is what each role still lacks over all strata."""
    roles = list(SHARES)
    open_roles = wanted > 0
    if n in _FEW_GROUPS:
        fallback = "train" if wanted[roles.index("train")] else roles[int(np.argmax(wanted))]
        taken = [role if wanted[roles.index(role)] else fallback for role in _FEW_GROUPS[n]]
        return np.array([taken.count(role) for role in roles])
    counts = np.maximum(np.floor(n * wanted + 1e-9), open_roles).astype(int)
    while counts.sum() > n:  # roles with a tiny share still get their one
        counts[np.argmax(counts)] -= 1
    order = np.argsort(-np.where(open_roles, behind - counts + 1e-6 * rng.random(len(roles)), -np.inf))
    counts[order[: n - counts.sum()]] += 1
    return counts


def eligible_classes(labels: Sequence, groups: Sequence, minimum: int = 2) -> list:
    """The classes that occur in at least `minimum` groups, sorted: the others cannot be decoded over groups.

    Example:
        >>> eligible_classes(["wood", "wood", "rug"], ["oak", "pine", "rug"])
        ['wood']
    """
    table = pd.DataFrame({"label": np.asarray(labels), "group": np.asarray(groups)})
    counts = table.groupby("label")["group"].nunique()
    return sorted(counts.index[counts >= minimum].tolist())


def group_folds(labels: Sequence, groups: Sequence, n_folds: int, seed: int = 0) -> np.ndarray:
    """Folds that keep groups whole and classes balanced.

    Args:
        labels: Class of each clip, length `N`; decimal numbers are balanced by their quintiles.
        groups: Group of each clip.
        n_folds: Number of folds, at least 2.
        seed: Seed of the draw.
    Returns:
        The fold of each clip, int in `[0, n_folds)`, shape `(N,)`.
    Raises:
        UserError: If there are fewer groups than folds, or fewer than two folds.
        ValueError: If lengths differ.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels, groups = np.asarray(labels), np.asarray(groups)
    if len(labels) != len(groups):
        raise ValueError(f"expected one group per label, got {len(groups)} and {len(labels)}")
    n_groups = len(np.unique(groups))
    if n_folds < 2:
        raise UserError(f"expected at least 2 folds, got {n_folds}")
    if n_groups < n_folds:
        raise UserError(
            f"expected at least {n_folds} groups for {n_folds} folds, got {n_groups}: take fewer folds "
            "(study.folds, in maas_flow study.decode.folds), or more groups"
        )
    if labels.dtype.kind == "f":
        labels = np.searchsorted(np.quantile(labels, [0.2, 0.4, 0.6, 0.8]), labels)
    codes = np.unique(labels, return_inverse=True)[1]
    if np.bincount(codes).max() < n_folds:  # no class can be balanced
        codes = np.zeros_like(codes)
    whole = n_groups < len(groups)  # one clip per group is the much quicker plain case
    splitter = (StratifiedGroupKFold if whole else StratifiedKFold)(n_folds, shuffle=True, random_state=seed)
    folds = np.empty(len(labels), dtype=int)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for fold, (_, test) in enumerate(splitter.split(codes, codes, groups if whole else None)):
            folds[test] = fold
    return folds


def random_folds(n: int, n_folds: int, seed: int = 0) -> np.ndarray:
    """Folds drawn at random over clips, sizes equal to within one: the leaky published way, for comparison.

    Returns:
        The fold of each clip, int in `[0, n_folds)`, shape `(n,)`.
    Raises:
        UserError: If there are fewer clips than folds, or fewer than two folds.
    """
    if not 2 <= n_folds <= n:
        raise UserError(f"expected between 2 and {n} folds for {n} clips, got {n_folds}: take other folds or clips")
    return stream(seed, "random folds").permutation(np.arange(n) % n_folds)


def official_folds(fold: pd.Series | Sequence | None, groups: Sequence | None = None) -> np.ndarray:
    """The corpus' own folds as numbers, in the order of their names.

    Args:
        fold: Fold of each clip (`Sounds.fold`).
        groups: Group of each clip; given, no group may lie in two folds.
    Returns:
        The fold of each clip, int, shape `(N,)`.
    Raises:
        UserError: If there are no official folds, only one, or a group lies in two.
    Example:
        >>> official_folds(["1", "10", "2"])
        array([0, 2, 1])
    """
    if fold is None:
        raise UserError("expected a corpus with its own folds (as ESC-50), this one has none: take folds by group")
    values = np.asarray(fold, dtype=str)
    names = sorted(set(values), key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))
    if len(names) < 2:
        raise UserError(f"expected at least two official folds, all clips are in {names[0]!r}: take folds by group")
    folds = np.array([names.index(name) for name in names])[np.array([names.index(v) for v in values])]
    if groups is not None:
        spread = pd.Series(folds).groupby(np.asarray(groups, dtype=str)).nunique()
        if (spread > 1).any():
            raise UserError(f"expected each group inside one official fold, {spread.idxmax()!r} lies in {spread.max()}")
    return folds


def leave_level_out(
    labels_other: Sequence,
    groups: Sequence,
    labels: Sequence | None = None,
    n_folds: int = 5,
    seed: int = 0,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Splits that test on a level of another factor that training never met, and on groups that it never met.

    Does what is read of the material from three actions hold for the fourth? Where groups lie within levels each
    level is one split. Where a group spans levels (one surface, walked and run on), the groups are cut into folds
    as well: a split tests on one level of one fold, and trains on the other levels of the other folds.

    Args:
        labels_other: Level of the other factor of each clip, length `N`.
        groups: Group of each clip.
        labels: Class that is to be read, by which the folds of groups are balanced.
        n_folds: Folds of groups, where groups span levels; at most the number of groups.
        seed: Seed of these folds.
    Returns:
        Pairs of positions to train and to test on, level by level in sorted order; a pair without either is left out.
    Raises:
        UserError: If there is a single level.
    """
    other, groups = np.asarray(labels_other, dtype=str), np.asarray(groups, dtype=str)
    levels = np.unique(other)
    if len(levels) < 2:
        raise UserError(f"expected at least two levels to leave one out, got {levels.tolist()}: choose another factor")
    nested = pd.Series(other).groupby(groups).nunique().max() == 1
    if nested:
        return [(np.flatnonzero(other != level), np.flatnonzero(other == level)) for level in levels]
    n_folds = min(n_folds, len(np.unique(groups)))
    if n_folds < 2:
        raise UserError("expected at least two groups, all clips are of one: there is nothing to generalise over")
    folds = group_folds(other if labels is None else labels, groups, n_folds, seed)
    pairs = [
        (np.flatnonzero((other != level) & (folds != fold)), np.flatnonzero((other == level) & (folds == fold)))
        for level in levels
        for fold in range(n_folds)
    ]
    return [(train, test) for train, test in pairs if len(train) and len(test)]
