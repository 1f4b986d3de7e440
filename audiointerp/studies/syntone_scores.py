"""Tables of a disentanglement run: scores against chance, their variances, and what few labels teach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from audiointerp.disentangle.metrics import chance_of_all, evaluate, evaluate_all, sample_efficiency
from audiointerp.study import stream

RIGHT, SWAPPED = "right", "swapped"
FIVE = ("mig", "sap", "dcimig", "jemmig", "modularity")


@dataclass(frozen=True)
class Scored:
    """What metrics are given.

    Attributes:
        levels: Level of each factor, `(N, F)`.
        kinds: `ordered` or `categorical`, per factor.
        bins: Bins per code.
        rows: Rows for the slow metrics, at most.
        repeats: Draws of noise and permutations.
        seed: Seed of everything that is drawn.
    """

    levels: np.ndarray
    kinds: Sequence[str]
    bins: int
    rows: int
    repeats: int
    seed: int


def score_table(model: str, codes: np.ndarray, given: Scored) -> pd.DataFrame:
    """Scores codes `(N, D)` by every metric, and by the five of the paper with arguments in its swapped order.

    Returns:
        One row per metric and order of arguments: `value`, `noise`, `permuted`, `adjusted`, `n`.
    """
    rng = stream(given.seed, "metric rows")
    # Lasso finds nothing at all in permuted codes, which DCI calls perfectly disentangled: forests know chance.
    forest = {"dci": {"model": "forest"}}
    some = np.sort(rng.permutation(len(codes))[: given.rows])
    common = {"bins": given.bins, "repeats": given.repeats, "seed": given.seed}
    found = [
        (RIGHT, name, scores, len(some))
        for name, scores in chance_of_all(
            evaluate_all, factors=given.levels[some], codes=codes[some], kinds=given.kinds, settings=forest, **common
        ).items()
    ]
    # The paper's evaluator passed codes as factors and factors as codes, all of them as numbers.
    found += [
        (SWAPPED, name, scores, len(codes))
        for name, scores in chance_of_all(
            evaluate, factors=codes, codes=given.levels, normalise_by="code", protocol="published", **common
        ).items()
    ]
    rows = [
        {"model": model, "metric": name, "arguments": order, **asdict(scores), "n": n, "seed": given.seed}
        for order, name, scores, n in found
    ]
    return pd.DataFrame(rows)


def variance_table(
    model: str,
    means: np.ndarray,
    log_variances: np.ndarray | None,
    given: Scored,
    draws: int,
) -> pd.DataFrame:
    """Tells how far the five metrics vary with the noise of the codes, and with the sounds they are computed on.

    Args:
        model: Name of the model.
        means: Posterior means, `(N, D)`.
        log_variances: Log-variances; None where codes have none.
        given: What metrics are given.
        draws: Draws of each kind.
    Returns:
        One row per metric and source (`codes drawn from the posterior`, `bootstrap of tuples`): mean and SD.
    """
    rng = stream(given.seed, "variances", model)
    rows = []
    sources = {"bootstrap of tuples": True} | (
        {} if log_variances is None else {"codes drawn from the posterior": False}
    )
    for source, resampled in sources.items():
        scores = []
        for _ in range(draws):
            if resampled:
                chosen = rng.integers(len(means), size=len(means))
                codes, levels = means[chosen], given.levels[chosen]
            else:
                codes = means + np.exp(0.5 * log_variances) * rng.standard_normal(means.shape)
                levels = given.levels
            scores.append(asdict(evaluate(factors=levels, codes=codes, bins=given.bins, kinds=given.kinds)))
        frame = pd.DataFrame(scores)
        rows += [
            {
                "model": model,
                "metric": name,
                "source": source,
                "mean": frame[name].mean(),
                "sd": frame[name].std(ddof=1),
            }
            | {"draws": draws, "seed": given.seed}
            for name in frame
        ]
    return pd.DataFrame(rows)


def efficiency_table(
    codes_of: Mapping[str, np.ndarray],
    levels: np.ndarray,
    names: Sequence[str],
    kinds: Sequence[str],
    train: np.ndarray,
    test: np.ndarray,
    labels: Sequence[int],
    seed: int,
) -> pd.DataFrame:
    """Reads each factor from codes with few labels and with many (random forests).

    Args:
        codes_of: Models to codes of all sounds, `(N, D)` each.
        levels: Level of each factor, `(N, F)`.
        names: Names of the factors.
        kinds: `ordered` or `categorical`, per factor.
        train: Rows whose labels may be used.
        test: Rows that are read.
        labels: Numbers of labels; the last one stands for many.
        seed: Seed of draws and forests.
    Returns:
        One row per model, factor and number of labels: `score` (R^2, or class-balanced accuracy) and `ratio` of the
        mean score over factors to that with most labels.
    """
    many = stream(seed, "efficiency rows").permutation(train)[: max(labels)]
    few = [count for count in sorted(labels) if count < len(many)]
    rows = []
    for model, codes in codes_of.items():
        found = sample_efficiency(
            train_factors=levels[many],
            train_codes=codes[many],
            test_factors=levels[test],
            test_codes=codes[test],
            labels=few,
            kinds=kinds,
            seed=seed,
        )
        for column, count in enumerate(found.labels):
            ratio = float(found.ratio[column]) if column < len(found.ratio) else 1.0
            rows += [
                {"model": model, "factor": name, "labels": count, "score": float(found.scores[row, column])}
                | {"ratio": ratio, "seed": seed}
                for row, name in enumerate(names)
            ]
    return pd.DataFrame(rows)
