"""What a metric gives where there is nothing to find: random codes, permuted labels, and the score above chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from audiointerp.disentangle.metrics.inputs import pair
from audiointerp.study import stream


@dataclass(frozen=True)
class AboveChance:
    """A score beside what it is by chance.

    Attributes:
        value: The score itself.
        noise: The mean score of codes that are independent normal noise.
        permuted: The mean score of the same codes, their rows permuted: this is the chance level.
        adjusted: `(value - permuted) / (best - permuted)`: 0 at chance, 1 at best; NaN where chance is the best.
    """

    value: float
    noise: float
    permuted: float
    adjusted: float


def chance(
    metric: Callable[..., float],
    *,
    factors: ArrayLike,
    codes: ArrayLike,
    seed: int | np.random.Generator = 0,
    repeats: int = 5,
    best: float = 1.0,
    **settings: Any,
) -> AboveChance:
    r"""Holds a metric against its chance level.

    Permuting rows keeps how codes are distributed and how they depend on each other; noise replaces them.

    Args:
        metric: A metric of this package, or any function of `factors` and `codes` that gives a number.
        factors: Known factors, shape `(N, F)`.
        codes: Codes, shape `(N, D)`.
        seed: Seed of noise and permutations, or a generator to draw them from.
        repeats: How many draws of each are averaged.
        best: The score of a perfect model.
        settings: Further arguments of the metric; a `seed` of its own is not among them.
    Raises:
        ValueError: As the metric, or if repeats are fewer than 1.
    Example:
        >>> from audiointerp.disentangle.metrics import modularity
        >>> factors = np.stack(np.meshgrid(range(4), range(25)), axis=-1).reshape(-1, 2).astype(float)
        >>> chance(modularity, factors=factors, codes=factors, bins=4).adjusted
        1.0
    """

    def scored(given: ArrayLike) -> dict[str, float]:
        return {"score": metric(factors=factors, codes=given, **settings)}

    return _against_chance(scored, factors, codes, seed, repeats, {"score": best})["score"]


def chance_of_all(
    evaluation: Callable[..., Any],
    *,
    factors: ArrayLike,
    codes: ArrayLike,
    seed: int | np.random.Generator = 0,
    repeats: int = 5,
    **settings: Any,
) -> dict[str, AboveChance]:
    """Holds many metrics against chance at once: as `chance`, for `evaluate` or `evaluate_all`; the best is 1.

    Args:
        evaluation: A function of `factors` and `codes` that gives a dataclass or mapping of names to numbers.
        factors: Known factors, shape `(N, F)`.
        codes: Codes, shape `(N, D)`.
        seed: Seed of noise and permutations, or a generator to draw them from.
        repeats: How many draws of each are averaged.
        settings: Further arguments of the evaluation.
    Returns:
        Names of metrics to their scores.
    Raises:
        ValueError: As the metrics, or if repeats are fewer than 1.
    """

    def scored(given: ArrayLike) -> dict[str, float]:
        found = evaluation(factors=factors, codes=given, **settings)
        return asdict(found) if is_dataclass(found) else dict(found)

    return _against_chance(scored, factors, codes, seed, repeats, {})


def _against_chance(
    scored: Callable[[ArrayLike], Mapping[str, float]],
    factors: ArrayLike,
    codes: ArrayLike,
    seed: int | np.random.Generator,
    repeats: int,
    best: Mapping[str, float],
) -> dict[str, AboveChance]:
    if repeats < 1:
        raise ValueError(f"expected 1 repeat or more, got {repeats}: 5 is enough for a chance level")
    factors, codes = pair(factors, codes)
    rng = seed if isinstance(seed, np.random.Generator) else stream(seed, "chance")
    value = scored(codes)
    noise = [scored(rng.standard_normal(codes.shape)) for _ in range(repeats)]
    permuted = [scored(codes[rng.permutation(len(codes))]) for _ in range(repeats)]
    found = {}
    for name, score in value.items():
        level = float(np.mean([draw[name] for draw in permuted]))
        room = best.get(name, 1.0) - level
        adjusted = (score - level) / room if room > 1e-9 else float("nan")
        found[name] = AboveChance(score, float(np.mean([draw[name] for draw in noise])), level, adjusted)
    return found
