"""Planted truth for the factor flow: python experiments/maas_flow/planted.py

A linear-Gaussian world whose factors live in known subspaces, mixed by a random rotation, read by a linear "network".
Does the flow find the subspaces, do its edits land where the true change would, and does everything stay at chance when
there is no factor in it? Writes planted.json and the table in README.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from scipy.linalg import subspace_angles

from audiointerp.collect import fill
from audiointerp.disentangle.flow import FactorFlow
from audiointerp.edit.transfer import choose_pairs, typicality
from audiointerp.probes.accuracy import balanced_accuracy
from audiointerp.probes.designs import Split
from audiointerp.probes.layers import LayerReader
from audiointerp.report.cells import markdown
from audiointerp.statistics.effects import d_z_interval
from audiointerp.statistics.intervals import seed_interval
from audiointerp.study import stream, write_atomically
from audiointerp.training.fit_flow import FlowFit, FlowSettings

HERE = Path(__file__).parent
CLASSES = {"material": 6, "action": 4}
DIMENSIONS = 32
CLIPS = 3000
SIGMA = 0.9


def world(seed: int, planted: bool) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], dict[str, slice]]:
    """Draws rows `(N, D)` before and after mixing, labels, and the planted dimensions of each factor."""
    rng = stream(seed, "planted world")
    source = rng.standard_normal((CLIPS, DIMENSIONS)).astype(np.float32)
    labels, blocks, start = {}, {}, 0
    for name, count in CLASSES.items():
        labels[name] = rng.integers(count, size=CLIPS)
        blocks[name] = slice(start, start + count - 1)
        start += count - 1
        if planted:
            means = rng.standard_normal((count, count - 1))
            means = (means - means.mean(0)) / means.std(0) * np.sqrt(SIGMA)
            block = source[:, blocks[name]]
            source[:, blocks[name]] = means[labels[name]] + np.sqrt(1 - SIGMA) * block
    rotation = np.linalg.qr(rng.standard_normal((DIMENSIONS, DIMENSIONS)))[0].astype(np.float32)
    return source, rotation, labels, blocks


def sensitivity(flow: FactorFlow, factor: str, rows: np.ndarray) -> np.ndarray:
    """Gives the mean gradient of each dimension of a factor's block, shape `(D, d)`."""
    block = flow.blocks[factor]

    def latent(row: torch.Tensor) -> torch.Tensor:
        return flow(row[None])[0][0, block]

    each = [torch.autograd.functional.jacobian(latent, torch.from_numpy(row)) for row in rows]
    return torch.stack(each).mean(0).numpy().T


def measure(seed: int, planted: bool) -> list[dict]:
    """Trains one flow and holds it against the truth."""
    source, rotation, labels, blocks = world(seed, planted)
    scores = source @ rotation
    rows = stream(seed, "split").permutation(CLIPS)
    train, select, test = rows[: CLIPS // 2], rows[CLIPS // 2 : 2 * CLIPS // 3], rows[2 * CLIPS // 3 :]
    network = stream(seed, "network").standard_normal((DIMENSIONS, 50)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        fitted = FlowFit(
            FactorFlow,
            partial(pl.Trainer, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False),
            scores, labels, train, select, {name: count - 1 for name, count in CLASSES.items()},
            FlowSettings(), seed=seed, folder=folder, cache=folder,
        ).fit()  # fmt: skip
    flow = fitted.flow
    with torch.no_grad():
        latents = flow(torch.from_numpy(scores))[0].numpy()
    found = []
    for factor, values in labels.items():
        read = {}
        for name, part in flow.blocks.items():
            reader = LayerReader(latents[:, part])
            guess = reader.predict("knn", values, [Split(train, test)])
            read["own" if name == factor else name] = float(balanced_accuracy(values, guess))
        typical = typicality(latents[:, flow.blocks[factor]], values, train, test)
        pairs = choose_pairs(values, np.arange(CLIPS), typical, 2, stream(seed, "pairs", factor))
        a, b = (scores[pairs[column]] for column in ("source", "other"))
        with torch.no_grad():
            change = flow.change(torch.from_numpy(a), torch.from_numpy(b), factor).numpy()
        truth = np.zeros_like(source[pairs["source"]])
        truth[:, blocks[factor]] = (source[pairs["other"]] - source[pairs["source"]])[:, blocks[factor]]
        truth = truth @ rotation
        wanted = (a + truth) @ network
        before = np.linalg.norm(a @ network - wanted, axis=1)
        after = np.linalg.norm((a + change) @ network - wanted, axis=1)
        effect = d_z_interval(before - after, pairs["source"].to_numpy(), pairs["other"].to_numpy(), seed=seed)
        directions = sensitivity(flow, factor, scores[test[:50]])
        angle = np.degrees(subspace_angles(directions, rotation[blocks[factor]].T).max())
        others = [value for name, value in read.items() if name not in ("own", "residual")]
        found.append(
            {
                "world": "planted" if planted else "no factor in it",
                "factor": factor,
                "seed": seed,
                "chance": 1 / CLASSES[factor],
                "own block": read["own"],
                "other block": float(np.mean(others)),
                "residual": read["residual"],
                "largest angle to the planted subspace [degrees]": float(angle) if planted else None,
                "distance left to the true change": float(after.mean() / before.mean()) if planted else None,
                "d_z towards the true change": effect.estimate if planted else None,
            }
        )
    return found


def main() -> None:
    """Runs all seeds and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    records = [row for planted in (True, False) for seed in range(seeds) for row in measure(seed, planted)]
    write_atomically(HERE / "planted.json", json.dumps(records, indent=1) + "\n")
    measures = list(records[0])[3:]
    lines = []
    for kind, factor in dict.fromkeys((row["world"], row["factor"]) for row in records):
        mine = [row for row in records if (row["world"], row["factor"]) == (kind, factor)]
        cells = []
        for name in measures:
            values = [row[name] for row in mine]
            if None in values:
                cells.append("-")
            else:
                cells.append(f"{values[0]:.3f}" if name == "chance" else str(seed_interval(values)))
        lines.append([kind, factor, *cells])
    fill(HERE / "README.md", markdown(["world", "factor", *measures], lines), "planted")


if __name__ == "__main__":
    main()
