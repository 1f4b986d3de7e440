"""How long a factor flow takes to early stopping on 60,000 x 64 scores, beside gyoza's on the same rows and pairs.

Scores come from a planted world: factors of 6 and 4 classes in subspaces of their own, a random rotation, a mild
nonlinearity. Eight tenths of the rows train, one tenth says when to stop, one tenth is read. Both libraries get the
same pairs, drawn beforehand by `PairSampler`. Wall clock depends on what else the machine does: processor seconds and
the load average stand beside it.

    OMP_NUM_THREADS=2 python experiments/benchmarks/flow_training.py --gyoza-python gyoza-env/bin/python

Writes `flow_training.json` and the table in `README.md`. Without `--gyoza-python` only ours is measured; the environment
is made by `python -m venv gyoza-env && gyoza-env/bin/pip install gyoza tensorflow-cpu`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from scipy.linalg import helmert

from audiointerp.disentangle.flow import RESIDUAL, FactorFlow
from audiointerp.disentangle.pairs import PairLikelihood, PairSampler, label_matrix, nats_per_dim
from audiointerp.probes.accuracy import balanced_accuracy
from audiointerp.probes.designs import Split
from audiointerp.probes.layers import LayerReader
from audiointerp.study import stream, write_atomically
from audiointerp.training.fit_flow import VALIDATION_PAIRS, FlowSettings, fit_flow

FOLDER = Path(__file__).parent
FEATURES = 64
CLASSES = {"first": 6, "second": 4}
READ = 3000  # rows that probes are trained on, and as many that they are tried on
TARGET_SECONDS = 120
TARGET_PAIRS_PER_SECOND = 1e5
OURS = {"published size": {"stages": 5}, "default model": {"stages": 4}}
BLOCKS = {"K-1 each": {"first": 5, "second": 3}, "1 each, as published": {"first": 1, "second": 1}}
GYOZA = {"stages": 5, "hidden": 64, "depth": 3, "reflections": 8, "sigma": 0.9}


@dataclass(frozen=True)
class World:
    """Planted scores and how they are shared out.

    Attributes:
        scores: float32 `(N, 64)`.
        latents: What they were made of, the factors' dimensions last, float32 `(N, 64)`.
        labels: Factor names to integer labels `(N,)`.
        train: Rows to train on.
        select: Rows that say when to stop.
        test: Rows that are read.
    """

    scores: np.ndarray
    latents: np.ndarray
    labels: dict[str, np.ndarray]
    train: np.ndarray
    select: np.ndarray
    test: np.ndarray


def planted_world(rows: int, seed: int) -> World:
    """Draws the world; class means are corners of regular simplices and hold nine tenths of the factors' variance."""
    rng = np.random.default_rng(seed)
    cells = np.unravel_index(rng.permutation(np.arange(rows) % np.prod([*CLASSES.values()])), [*CLASSES.values()])
    labels = dict(zip(CLASSES, cells, strict=True))
    latents = rng.standard_normal((rows, FEATURES))
    for name, block in factor_blocks({name: count - 1 for name, count in CLASSES.items()}).items():
        corners = np.sqrt(0.9 * CLASSES[name]) * helmert(CLASSES[name]).T
        latents[:, block] = corners[labels[name]] + np.sqrt(0.1) * latents[:, block]
    into, out_of = (np.linalg.qr(rng.standard_normal((FEATURES, FEATURES)))[0] for _ in range(2))
    mixed, half = latents @ into, FEATURES // 2
    # One half shifts the other: invertible, and the volume is kept, so that likelihoods can be compared.
    mixed[:, half:] += 0.5 * np.tanh(mixed[:, :half] @ rng.standard_normal((half, half)) / np.sqrt(half))
    parts = np.split(np.arange(rows), [8 * rows // 10, 9 * rows // 10])
    return World((mixed @ out_of).astype(np.float32), latents.astype(np.float32), labels, *parts)


def factor_blocks(sizes: Mapping[str, int]) -> dict[str, slice]:
    """Gives the factors' dimensions, which are the last ones."""
    ends = FEATURES - sum(sizes.values()) + np.cumsum([*sizes.values()])
    return {name: slice(int(end) - size, int(end)) for (name, size), end in zip(sizes.items(), ends, strict=True)}


class Bench:
    """The world, the rows that are read, and the pairs that likelihoods are compared on.

    Args:
        world: The planted world.
        seed: Of the pairs.
    """

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.seed = seed
        count = min(READ, len(world.test))
        self.read = np.concatenate([world.train[:count], world.test[:count]])
        self.split = Split(np.arange(count), np.arange(count, 2 * count))
        self.labels = label_matrix(world.labels, list(CLASSES))
        self.pairs = PairSampler(self.labels[world.test[:count]]).draw(50_000, stream(seed, "compared pairs"))

    def judge(self, latents: np.ndarray, log_det: np.ndarray, sizes: Mapping[str, int]) -> dict[str, object]:
        """Reads the latents of the rows `read`: likelihood of unseen pairs, and what can be told from each block."""
        blocks = factor_blocks(sizes)
        parts = {RESIDUAL: slice(0, FEATURES - sum(sizes.values()))} | blocks
        unseen = torch.from_numpy(latents[self.split.test])
        volume = torch.from_numpy(log_det[self.split.test])
        first, second, shared = self.pairs
        losses = PairLikelihood(blocks)(
            unseen[first], unseen[second], volume[first], volume[second], torch.from_numpy(shared)
        )
        accuracy = {
            name: {factor: self._read(latents[:, part], factor) for factor in CLASSES} for name, part in parts.items()
        }
        return {"test_nats_per_dim": nats_per_dim(losses.mean(), FEATURES), "accuracy": accuracy}

    def _read(self, values: np.ndarray, factor: str) -> float:
        labels = self.world.labels[factor][self.read]
        return float(balanced_accuracy(labels, LayerReader(values).predict("knn", labels, [self.split])))


def ours(bench: Bench, model: Mapping[str, int], sizes: Mapping[str, int], settings: FlowSettings) -> dict[str, object]:
    """Trains our flow to early stopping."""
    trainer = partial(
        pl.Trainer, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0
    )
    world = bench.world
    with tempfile.TemporaryDirectory() as folder:
        begin, busy = time.perf_counter(), processor_seconds()
        fitted = fit_flow(
            partial(FactorFlow, **model),
            trainer,
            world.scores,
            world.labels,
            world.train,
            world.select,
            sizes,
            settings,
            seed=bench.seed,
            folder=folder,
            cache=folder,
        )
        seconds, busy = time.perf_counter() - begin, processor_seconds() - busy
    steps = fitted.epochs * settings.batches(len(world.train))
    with torch.no_grad():
        latents, log_det = fitted.flow(torch.from_numpy(world.scores[bench.read]))
    return {
        "library": "audiointerp",
        "parameters": sum(parameter.numel() for parameter in fitted.flow.parameters()),
        **cost(seconds, busy, steps, settings.batch),
        "epochs": fitted.epochs,
        "validation_nats_per_dim": fitted.nats_per_dim,
        "round_trip": fitted.round_trip,
        **bench.judge(latents.numpy(), log_det.numpy(), sizes),
    }


def gyoza(
    bench: Bench, python: str, sizes: Mapping[str, int], settings: FlowSettings, options: argparse.Namespace
) -> dict[str, object]:
    """Trains gyoza's flow in its own interpreter, on the pairs that ours saw in its first epoch."""
    world = bench.world
    rng = stream(bench.seed, "gyoza pairs")
    arrays: dict[str, np.ndarray] = {"scores": world.scores, "labels": bench.labels, "read": bench.read}
    counts = {"train": settings.batches(len(world.train)) * settings.batch, "validation": VALIDATION_PAIRS}
    for role, rows in (("train", world.train), ("validation", world.select)):
        first, second, shared = PairSampler(bench.labels[rows]).draw(counts[role], rng)
        arrays |= {f"{role}_first": rows[first], f"{role}_second": rows[second], f"{role}_shared": shared}
    request = {
        "flow": {"factor_sizes": [FEATURES - sum(sizes.values()), *sizes.values()], **GYOZA},
        "learning_rate": 5e-3,
        "batch": settings.batch,
        "epochs": options.gyoza_epochs,
        "seconds": options.gyoza_seconds,
        "threads": torch.get_num_threads(),
        "seed": bench.seed,
    }
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.npz", Path(folder) / "made.npz"
        np.savez(given, **arrays)
        script = os.fspath(FOLDER / "gyoza_flow.py")
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        subprocess.run([python, script, given, made, json.dumps(request)], env=environment, check=True)
        with np.load(made) as held:
            facts, latents, log_det = json.loads(str(held["facts"])), held["latents"], held["log_det"]
    steps = sum(epoch["steps"] for epoch in facts["epochs"])
    return {
        "library": "gyoza",
        "parameters": facts["parameters"],
        **cost(facts["seconds"], facts["cpu_seconds"], steps, settings.batch),
        "epochs": round(steps * settings.batch / counts["train"], 2),
        "capped": steps * settings.batch < options.gyoza_epochs * counts["train"],
        "own_validation_loss": facts["own_validation_loss"],
        "seconds_by_epoch": facts["epochs"],
        "iterator_pairs_per_second": round(facts["iterator_pairs_per_second"], 1),
        "versions": facts["versions"],
        "round_trip": facts["round_trip"],
        **bench.judge(latents, log_det, sizes),
    }
