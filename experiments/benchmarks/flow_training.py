"""How long a factor flow takes to early stopping on 60,000 x 64 scores, beside gyoza's on the same rows.

Scores come from a planted world: factors of 6 and 4 classes in subspaces of their own, a random rotation, a mild
nonlinearity. Eight tenths of the rows train, one tenth says when to stop, one tenth is read. Both libraries get
pairs drawn by `PairSampler`, in epochs of one size. Wall clock depends on what else the machine does: processor
seconds and the load average stand beside it.

    OMP_NUM_THREADS=2 python experiments/benchmarks/flow_training.py --gyoza-python gyoza-env/bin/python

Writes `flow_training.json` and the table in `README.md`. Without `--gyoza-python` only ours is measured;
its environment is made by `python -m venv gyoza-env && gyoza-env/bin/pip install gyoza tensorflow-cpu`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from scipy.linalg import helmert

from audiointerp.collect import fill
from audiointerp.disentangle.flow import RESIDUAL, FactorFlow
from audiointerp.disentangle.pairs import PairLikelihood, PairSampler, label_matrix, nats_per_dim
from audiointerp.probes.accuracy import balanced_accuracy
from audiointerp.probes.designs import Split
from audiointerp.probes.layers import LayerReader
from audiointerp.report.cells import markdown
from audiointerp.study import stream, write_atomically
from audiointerp.training.fit_flow import VALIDATION_PAIRS, FlowFit, FlowSettings

FOLDER = Path(__file__).parent
FEATURES = 64
CLASSES = {"first": 6, "second": 4}
READ = 3000  # rows that probes are trained on, and as many that they are tried on
TARGET_SECONDS = 120
TARGET_PAIRS_PER_SECOND = 1e5
BLOCKS = {"K-1 each": {"first": 5, "second": 3}, "1 each, as published": {"first": 1, "second": 1}}
OURS = (({"stages": 5}, "K-1 each"), ({"stages": 5}, "1 each, as published"), ({"stages": 4}, "K-1 each"))
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
        fitted = FlowFit(
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
        ).fit()
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
    """Trains gyoza's flow in its own interpreter, on pairs of the same sampler in epochs of the same size."""
    world = bench.world
    rng = stream(bench.seed, "gyoza pairs")
    arrays: dict[str, np.ndarray] = {"scores": world.scores, "labels": bench.labels, "read": bench.read}
    epoch = settings.batches(len(world.train)) * settings.batch
    for role, rows, count in (
        ("train", world.train, options.gyoza_epochs * epoch),
        ("validation", world.select, VALIDATION_PAIRS),
    ):
        first, second, shared = PairSampler(bench.labels[rows]).draw(count, rng)
        arrays |= {f"{role}_first": rows[first], f"{role}_second": rows[second], f"{role}_shared": shared}
    request = {
        "flow": {"factor_sizes": [FEATURES - sum(sizes.values()), *sizes.values()], **GYOZA},
        "learning_rate": 5e-3,
        "batch": settings.batch,
        "epochs": options.gyoza_epochs,
        "epoch_pairs": epoch,
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
        "epochs": round(steps * settings.batch / epoch, 2),
        "capped": steps * settings.batch < options.gyoza_epochs * epoch,
        "own_validation_loss": facts["own_validation_loss"],
        "seconds_by_epoch": facts["epochs"],
        "iterator_pairs_per_second": round(facts["iterator_pairs_per_second"], 1),
        "versions": facts["versions"],
        "round_trip": facts["round_trip"],
        **bench.judge(latents, log_det, sizes),
    }


def cost(seconds: float, busy: float, steps: int, batch: int) -> dict[str, object]:
    """Puts together what training took."""
    return {
        "seconds": round(seconds, 1),
        "processor_seconds": round(busy, 1),
        "steps": steps,
        "milliseconds_per_step": round(1e3 * seconds / steps, 1),
        "processor_milliseconds_per_step": round(1e3 * busy / steps, 1),
        "pairs_per_second": round(steps * batch / seconds),
        "load_average": round(os.getloadavg()[0], 1),
    }


def processor_seconds() -> float:
    """Gives the seconds that all threads of this process have computed."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def drawing(bench: Bench, batch: int) -> float:
    """Gives the pairs per second that `PairSampler` draws in batches, the best of five runs."""
    sampler = PairSampler(bench.labels[bench.world.train])
    rates = []
    for repeat in range(5):
        rng = stream(bench.seed, "timed pairs", repeat)
        begin = time.perf_counter()
        for _ in range(100):
            sampler.draw(batch, rng)
        rates.append(100 * batch / (time.perf_counter() - begin))
    return max(rates)


def measure(options: argparse.Namespace, log: Callable[[str], None]) -> dict[str, object]:
    """Runs everything that was asked for."""
    bench = Bench(planted_world(options.rows, options.seed), options.seed)
    settings = FlowSettings()
    pairs_per_second = drawing(bench, settings.batch)
    planted = {name: count - 1 for name, count in CLASSES.items()}
    nothing = np.zeros(len(bench.read), np.float32)
    record: dict[str, object] = {
        "rows": options.rows,
        "features": FEATURES,
        "classes": CLASSES,
        "seed": options.seed,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "settings": asdict(settings),
        "pair_sampler": {
            "pairs_per_second": round(pairs_per_second),
            "met": pairs_per_second >= TARGET_PAIRS_PER_SECOND,
        },
        "references": {
            "planted latents": bench.judge(bench.world.latents[bench.read], nothing, planted),
            "scores": bench.judge(bench.world.scores[bench.read], nothing, planted),
        },
    }
    runs: dict[str, dict[str, object]] = {}
    for model, block_name in OURS:
        name = f"audiointerp, {model['stages']} stages, {block_name}"
        runs[name] = ours(bench, model, BLOCKS[block_name], settings)
        runs[name]["met"] = runs[name]["seconds"] <= TARGET_SECONDS
        log(f"{name}: {runs[name]['seconds']} s")
    if options.gyoza_python:
        for block_name, sizes in BLOCKS.items():
            name = f"gyoza, {GYOZA['stages']} stages, {block_name}"
            runs[name] = gyoza(bench, options.gyoza_python, sizes, settings, options)
            log(f"{name}: {runs[name]['seconds']} s, {runs[name]['steps']} steps")
    record["runs"] = runs
    return record


def table(record: Mapping[str, object]) -> str:
    """Writes the runs as a Markdown table with the sentences that go with it."""
    rows = []
    for name, run in [*record["references"].items(), *record["runs"].items()]:
        accuracy = run["accuracy"]
        trained = "seconds" in run
        rows.append(
            {
                "what": name,
                "steps": f"{run['steps']:,}" if trained else "-",
                "s": f"{run['seconds']:.0f}{' (cut off)' if run.get('capped') else ''}" if trained else "-",
                "processor s": f"{run['processor_seconds']:.0f}" if trained else "-",
                "load": run["load_average"] if trained else "-",
                "pairs / s": f"{run['pairs_per_second']:,}" if trained else "-",
                "processor ms / step": run["processor_milliseconds_per_step"] if trained else "-",
                "test nats / dim": f"{run['test_nats_per_dim']:.3f}",
                "own block": _pair(accuracy["first"]["first"], accuracy["second"]["second"]),
                "other's block": _pair(accuracy["second"]["first"], accuracy["first"]["second"]),
                "residual": _pair(accuracy[RESIDUAL]["first"], accuracy[RESIDUAL]["second"]),
            }
        )
    lines = markdown([*rows[0]], [[*row.values()] for row in rows])
    chance = ", ".join(f"{1 / count:.2f}" for count in record["classes"].values())
    notes = [
        f"{record['rows']:,} x {record['features']} scores, {record['threads']} threads on {record['cores']} cores, "
        f"torch {record['torch']}, seed {record['seed']}. Accuracies: k-NN (k = 3) of the factors of "
        f"{' and '.join(map(str, record['classes'].values()))} classes on unseen rows, chance {chance}.",
        f"`PairSampler` draws {record['pair_sampler']['pairs_per_second']:,} pairs per second.",
    ]
    runs = record["runs"].values()
    theirs = [run for run in runs if run["library"] == "gyoza"]
    if theirs:
        steps = {
            library: min(
                run["processor_milliseconds_per_step"] for name, run in record["runs"].items() if library in name
            )
            for library in ("audiointerp, 5", "gyoza")
        }
        versions = ", ".join(f"{name} {number}" for name, number in theirs[0]["versions"].items())
        notes.append(
            f"A step of {record['settings']['batch']} pairs costs gyoza ({versions}) "
            f"{steps['gyoza'] / steps['audiointerp, 5']:.0f} times the processor time of ours. Its own pair "
            f"iterator, which is not part of these seconds, gives {theirs[0]['iterator_pairs_per_second']:,} pairs per "
            f"second. Epochs trained of the ten published: {', '.join(str(run['epochs']) for run in theirs)}."
        )
    return "\n\n".join([lines, " ".join(notes)])


def _pair(first: float, second: float) -> str:
    return f"{first:.2f}, {second:.2f}"


def main() -> None:
    """Reads the command line, measures, writes the numbers and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=60_000, help="sounds, 240 or more (default: 60000)")
    parser.add_argument("--seed", type=int, default=0, help="of world, pairs and initial values")
    parser.add_argument("--gyoza-python", metavar="PATH", help="interpreter of an environment that holds gyoza")
    parser.add_argument("--gyoza-epochs", type=int, default=10, help="most epochs of gyoza (default: 10, as published)")
    parser.add_argument("--gyoza-seconds", type=float, default=300.0, help="most seconds of each of its two runs")
    parser.add_argument("--out", type=Path, default=FOLDER / "flow_training.json", help="file for the numbers")
    parser.add_argument("--readme", type=Path, default=FOLDER / "README.md", help="page that holds the table")
    options = parser.parse_args()
    if options.rows < 240:
        parser.error(f"expected --rows of at least 240, got {options.rows}")
    if options.gyoza_python and not shutil.which(options.gyoza_python):
        parser.error(f"expected an interpreter as --gyoza-python, got {options.gyoza_python}")
    record = measure(options, lambda text: print(text, file=sys.stderr, flush=True))
    write_atomically(options.out, json.dumps(record, indent=1) + "\n")
    fill(options.readme, table(record), "flow")
    print(table(record))


if __name__ == "__main__":
    main()
