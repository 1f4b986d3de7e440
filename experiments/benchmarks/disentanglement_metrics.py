"""How much faster the disentanglement metrics are than plain loops.

    OMP_NUM_THREADS=1 python experiments/benchmarks/disentanglement_metrics.py [--rows 20000] [--codes 10] [--repeats 5]

Both compute the same five scores of the same planted codes; the loops are written from the formulas, one pair of a
factor and a code and one metric at a time, as published collections do. Writes disentanglement_metrics.json and the
table in README.md; the ratio of two times of one run says more than the times where a machine is shared.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from audiointerp.disentangle import metrics
from audiointerp.study import stream

HERE = Path(__file__).parent
BINS = 10


def planted(rows: int, codes: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws three factors (4, 400 and 20 levels) and codes that hold them, noisily, beside noise."""
    rng = stream(0, "benchmark")
    factors = np.stack([rng.integers(0, levels, rows) for levels in (4, 400, 20)], axis=1).astype(float)
    held = (factors - factors.mean(0)) / factors.std(0) + 0.3 * rng.standard_normal((rows, 3))
    return factors, np.concatenate([held, rng.standard_normal((rows, codes - 3))], axis=1)


def cut(values: np.ndarray) -> list[int]:
    """Cuts one column into bins."""
    low, high = min(values), max(values)
    return [min(int((value - low) / (high - low) * BINS + 1e-9), BINS - 1) for value in values.tolist()]


def entropy(symbols: list) -> float:
    """Gives the entropy of a list of symbols in bits."""
    return -sum(count / len(symbols) * math.log2(count / len(symbols)) for count in Counter(symbols).values())


def mutual_information(factors: np.ndarray, codes: np.ndarray) -> tuple[list, list, list]:
    """Gives the binned factors, the binned codes and their mutual information."""
    rows, cells = [cut(f) for f in factors.T], [cut(c) for c in codes.T]
    told = [[entropy(r) + entropy(c) - entropy(list(zip(r, c, strict=True))) for c in cells] for r in rows]
    return rows, cells, told


def loop_mig(factors: np.ndarray, codes: np.ndarray) -> float:
    """MIG, divided by the entropy of factors."""
    rows, _, told = mutual_information(factors, codes)
    gaps = [(sorted(values)[-1] - sorted(values)[-2]) / entropy(row) for row, values in zip(rows, told, strict=True)]
    return sum(gaps) / len(gaps)


def loop_jemmig(factors: np.ndarray, codes: np.ndarray) -> float:
    """JEMMIG, one minus the normalised cost."""
    rows, cells, told = mutual_information(factors, codes)
    scores = []
    for row, values in zip(rows, told, strict=True):
        best = cells[values.index(max(values))]
        cost = entropy(list(zip(row, best, strict=True))) - max(values) + sorted(values)[-2]
        scores.append(1 - cost / (entropy(row) + math.log2(BINS)))
    return sum(scores) / len(scores)


def loop_dcimig(factors: np.ndarray, codes: np.ndarray) -> float:
    """DCIMIG."""
    rows, _, told = mutual_information(factors, codes)
    credit = [0.0] * len(rows)
    for values in zip(*told, strict=True):
        owner = values.index(max(values))
        credit[owner] = max(credit[owner], sorted(values)[-1] - sorted(values)[-2])
    return sum(credit) / sum(entropy(row) for row in rows)


def loop_modularity(factors: np.ndarray, codes: np.ndarray) -> float:
    """Modularity."""
    rows, _, told = mutual_information(factors, codes)
    scores = []
    for values in zip(*told, strict=True):
        squares = sorted(value**2 for value in values)
        scores.append(1 - sum(squares[:-1]) / (squares[-1] * (len(rows) - 1)))
    return sum(scores) / len(scores)


def loop_sap(factors: np.ndarray, codes: np.ndarray) -> float:
    """SAP of ordered factors."""
    from sklearn.linear_model import LinearRegression

    gaps = []
    for factor in factors.T:
        scores = [LinearRegression().fit(code[:, None], factor).score(code[:, None], factor) for code in codes.T]
        gaps.append(sorted(scores)[-1] - sorted(scores)[-2])
    return sum(gaps) / len(gaps)


def loop_all(factors: np.ndarray, codes: np.ndarray) -> dict[str, float]:
    """All five, each from the start."""
    return {name: loop(factors, codes) for name, loop in LOOPS.items()}


LOOPS = {
    "mig": loop_mig,
    "sap": loop_sap,
    "dcimig": loop_dcimig,
    "jemmig": loop_jemmig,
    "modularity": loop_modularity,
}


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Gives the shortest processor time of some repeats."""
    taken = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return min(taken)


def main() -> None:
    """Measures, checks that both agree, and writes the table."""
    from results import keep

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--codes", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5, help="the shortest time of each counts; loops run once")
    arguments = parser.parse_args()
    factors, codes = planted(arguments.rows, arguments.codes)
    both = {"factors": factors, "codes": codes}
    kinds = ("categorical", "ordered", "ordered")
    metrics.evaluate(**both, kinds=kinds)  # scikit-learn is imported, caches are warm
    records = []
    for name, loop in LOOPS.items():
        metric = getattr(metrics, name)
        ours = seconds(lambda metric=metric: metric(**both), arguments.repeats)
        plain = seconds(lambda loop=loop: loop(factors, codes), 1)
        gap = abs(metric(**both) - loop(factors, codes))
        records.append({"metric": name, "seconds": ours, "loops": plain, "ratio": plain / ours, "difference": gap})
    ours = seconds(lambda: metrics.evaluate(**both), arguments.repeats)
    plain = seconds(lambda: loop_all(factors, codes), 1)
    found, expected = vars(metrics.evaluate(**both)), loop_all(factors, codes)
    gap = max(abs(found[name] - expected[name]) for name in LOOPS)
    records.append({"metric": "all five", "seconds": ours, "loops": plain, "ratio": plain / ours, "difference": gap})
    named = seconds(lambda: metrics.evaluate(**both, kinds=kinds), arguments.repeats)
    record = {**vars(arguments), "factors": 3, "bins": BINS, "rows_of_table": records, "one_categorical_s": named}
    cells = [
        [
            row["metric"],
            f"{1000 * row['seconds']:.1f}",
            f"{1000 * row['loops']:.0f}",
            f"{row['ratio']:.0f}",
            f"{row['difference']:.0e}",
        ]
        for row in records
    ]
    head = ["metric", "audiointerp [ms]", "plain loops [ms]", "loops / audiointerp", "difference of scores"]
    note = (
        f"{arguments.rows} rows, {arguments.codes} codes, 3 factors, {BINS} bins; processor time. With one categorical "
        f"factor, whose SAP takes decision trees, all five take {1000 * named:.0f} ms."
    )
    keep(HERE, "disentanglement_metrics", record, head, cells, note)


if __name__ == "__main__":
    main()
