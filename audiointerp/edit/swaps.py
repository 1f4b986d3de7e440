"""Factor swaps: coordinates of one sound's code replaced by another's, decoded, and read by someone else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

NOTHING, ONE, OWN, OTHERS, ALL = "nothing", "one latent", "own latents", "as many others", "all latents"
EDITS = (NOTHING, ONE, OWN, OTHERS, ALL)


def owners(importance: np.ndarray) -> np.ndarray:
    """Gives each code to the factor that it tells most of, relative to what any code tells of that factor.

    A factor that gets none takes the code that tells most of it.

    Args:
        importance: What each code tells of each factor, not negative, `(F, D)`.
    Returns:
        Position of a factor for each code, int `(D,)`.
    Example:
        >>> owners(np.array([[0.9, 0.1, 0.0], [0.1, 0.2, 0.4]])).tolist()
        [0, 1, 1]
    """
    importance = np.asarray(importance, dtype=float)
    relative = importance / np.maximum(importance.max(1, keepdims=True), 1e-12)
    return relative.argmax(0)


def swap_columns(importance: np.ndarray, factor: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Gives the coordinates that each edit of one factor replaces.

    `one latent`: the code that tells most of the factor. `own latents`: all codes that belong to it. `as many others`
    (control): as many of the rest, at random. `all latents` and `nothing` are ceiling and floor.

    Args:
        importance: As in `owners`.
        factor: Position of the factor.
        rng: Where the control is drawn from.
    """
    count = importance.shape[1]
    best = np.array([int(np.argmax(importance[factor]))])
    own = np.union1d(np.flatnonzero(owners(importance) == factor), best)
    rest = np.setdiff1d(np.arange(count), own)
    others = rng.permutation(rest)[: len(own)]
    return {NOTHING: own[:0], ONE: best, OWN: own, OTHERS: np.sort(others), ALL: np.arange(count)}


def draw_pairs(levels: np.ndarray, factor: int, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws pairs of sounds that differ in a factor.

    Args:
        levels: Level of each factor, int `(N, F)`.
        factor: Position of the factor.
        count: Number of pairs.
        rng: Where they are drawn from.
    Returns:
        Positions of the edited sounds and of those that give, each `(count,)`.
    Raises:
        ValueError: If all sounds have the same level.
    """
    values = np.asarray(levels)[:, factor]
    if (values == values[0]).all():
        raise ValueError(
            f"expected sounds that differ in factor {factor}, all have level {values[0]}: take more sounds"
        )
    first = rng.integers(len(values), size=count)
    second = rng.integers(len(values), size=count)
    while (same := values[first] == values[second]).any():
        second[same] = rng.integers(len(values), size=int(same.sum()))
    return first, second


def swap_factor(
    codes: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    columns: np.ndarray,
) -> np.ndarray:
    """Gives the codes of `first` with `columns` taken from `second`, `(len(first), D)`."""
    changed = codes[first].copy()
    changed[:, columns] = codes[second][:, columns]
    return changed


def swap_table(
    codes: np.ndarray,
    heard: pd.DataFrame,
    levels: np.ndarray,
    importance: np.ndarray,
    decode: Callable[[np.ndarray], np.ndarray],
    read: Callable[[np.ndarray], pd.DataFrame],
    units: Mapping[str, tuple[str, float]],
    *,
    pairs: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Swaps each factor by each edit and tells how far every factor, as read, lies from where it should be.

    The swapped factor should become that of the giving sound, every other one should stay.

    Args:
        codes: Codes of the sounds, `(N, D)`.
        heard: Their true factors, one column each: text for classes, numbers otherwise.
        levels: Level of each factor, int `(N, F)`.
        importance: What each code tells of each factor, `(F, D)`.
        decode: Codes to pictures.
        read: Pictures to factors, columns as in `heard`.
        units: Numeric factors to unit and factor of conversion into it.
        pairs: Pairs per factor.
        rng: Where pairs and control are drawn from.
    Returns:
        One row per swapped factor, edit and read factor: `goal` (`swapped` or `kept`), `measure` with `unit`, `error`
        (median distance from the goal; for classes the share that is not read as it), `moved` (median share of the way
        from the edited sound's value to the giving sound's; for classes the share read as the giving sound's), `n`.
    """
    rows = []
    for position, factor in enumerate(heard):
        first, second = draw_pairs(levels, position, pairs, rng)
        for edit, columns in swap_columns(importance, position, rng).items():
            found = read(decode(swap_factor(codes, first, second, columns)))
            for name in heard:
                true, given = heard[name].to_numpy()[first], heard[name].to_numpy()[second]
                rows.append(
                    {"swapped": factor, "edit": edit, "latents": len(columns), "read": name}
                    | {"goal": "swapped" if name == factor else "kept"}
                    | _distance(found[name].to_numpy(), true, given, name == factor, units.get(name, ("", 1.0)))
                    | {"n": len(first)}
                )
    return pd.DataFrame(rows)


def _distance(found: np.ndarray, true: np.ndarray, given: np.ndarray, swapped: bool, unit: tuple[str, float]) -> dict:
    goal = given if swapped else true
    if not np.issubdtype(found.dtype, np.number):
        return {
            "unit": "share misread",
            "error": float(np.mean(found.astype(str) != goal.astype(str))),
            "moved": float(np.mean(found.astype(str) == given.astype(str))) if swapped else np.nan,
        }
    way = given - true
    apart = np.abs(way) > 1e-9
    moved = float(np.median((found - true)[apart] / way[apart])) if swapped and apart.any() else np.nan
    return {"unit": unit[0], "error": float(np.median(np.abs(found - goal)) * unit[1]), "moved": moved}
