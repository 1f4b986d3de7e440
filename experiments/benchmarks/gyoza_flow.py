"""Trains gyoza's factor flow on arrays written by `flow_training.py`; runs in an environment that holds gyoza.

python experiments/benchmarks/gyoza_flow.py IN.npz OUT.npz '{"factor_sizes": [62, 1, 1], "sigma": 0.9, ...}'
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version

import numpy as np
import tensorflow as tf
from gyoza.modelling.data_iterators import volatile_factorized_pair_iterator
from gyoza.modelling.flow_layers import (
    ActivationNormalization,
    AdditiveCoupling,
    FlowLayer,
    Heaviside,
    Reflection,
    Shuffle,
    SupervisedFactorNetwork,
)
from gyoza.modelling.masks import Heaviside as HalfMask
from gyoza.modelling.standard_layers import BasicFullyConnectedNet

ITERATOR_PAIRS = 256


def published_flow(
    features: int, factor_sizes: list[int], sigma: float, stages: int, hidden: int, depth: int, reflections: int
) -> SupervisedFactorNetwork:
    """Builds the published flow; the latent is the residual followed by the factors."""

    def couple() -> FlowLayer:
        net = BasicFullyConnectedNet(latent_dimension_count=hidden, output_dimension_count=features, depth=depth)
        mask = HalfMask(axes=[1], shape=[features])
        return AdditiveCoupling(shape=[features], axes=[1], compute_coupling_parameters=net, mask=mask)

    layers: list[FlowLayer] = []
    for _ in range(stages):
        layers += [
            Shuffle(shape=[features], axes=[1]),
            couple(),
            Heaviside(shape=[features], axes=[1]),
            couple(),
            Heaviside(shape=[features], axes=[1]),
            ActivationNormalization(shape=[features], axes=[1]),
            Reflection(shape=[features], axes=[1], reflection_count=reflections),
        ]
    return SupervisedFactorNetwork(sequence=layers, dimensions_per_factor=factor_sizes, sigma=sigma)


def batches(arrays: dict[str, np.ndarray], role: str, pairs: range, size: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Yields pairs `(B, 2, D)` and what they share `(B, 1 + F)`, a column of zeros for the residual first."""
    scores = arrays["scores"]
    first, second, shared = (arrays[f"{role}_{name}"] for name in ("first", "second", "shared"))
    for start in range(pairs.start, pairs.stop, size):
        part = slice(start, start + size)
        alike = np.pad(shared[part], ((0, 0), (1, 0))).astype(np.float32)
        yield tf.constant(np.stack([scores[first[part]], scores[second[part]]], axis=1)), tf.constant(alike)


def train(arrays: dict[str, np.ndarray], settings: dict) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Trains for the epochs asked for, or until the seconds are over; each step is that of gyoza's own `fit`.

    Returns:
        What it cost, and latents and log-determinants of the rows to be read.
    """
    net = published_flow(arrays["scores"].shape[1], **settings["flow"])
    optimiser = tf.keras.optimizers.Adam(settings["learning_rate"])
    validation = next(batches(arrays, "validation", range(1), len(arrays["validation_first"])))

    def step(batch: tuple[tf.Tensor, tf.Tensor]) -> None:
        with tf.GradientTape() as tape:
            loss = net.compute_loss(data=batch)
        variables = net.trainable_variables
        optimiser.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    size, count = settings["batch"], settings["epoch_pairs"]
    net(next(batches(arrays, "train", range(size), size))[0][:, 0])  # its normalisation takes its first batch
    own_loss = [float(net.compute_loss(data=validation))]
    epochs: list[dict[str, float]] = []
    begin, cpu_begin = time.perf_counter(), time.process_time()
    late = False
    while len(epochs) < settings["epochs"] and not late:
        epoch_begin, steps = time.perf_counter(), 0
        pairs = range(count * len(epochs), count * (len(epochs) + 1))
        for batch in batches(arrays, "train", pairs, size):
            step(batch)
            steps += 1
            late = time.perf_counter() - begin > settings["seconds"]
            if late:
                break
        own_loss.append(float(net.compute_loss(data=validation)))
        epochs.append({"steps": steps, "seconds": round(time.perf_counter() - epoch_begin, 2)})
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu_begin

    rows = tf.constant(arrays["scores"][arrays["read"]])
    latents = {"latents": net(rows).numpy(), "log_det": net.compute_jacobian_determinant(x=rows).numpy()}
    facts = {
        "parameters": int(sum(np.prod(variable.shape) for variable in net.trainable_variables)),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "epochs": epochs,
        "own_validation_loss": own_loss,
        "round_trip": float(tf.reduce_max(tf.abs(net.invert(net(rows)) - rows))),
        "versions": {name: version(name) for name in ("gyoza", "tensorflow-cpu", "keras", "numpy")},
    }
    return facts, latents


def iterator_pairs_per_second(arrays: dict[str, np.ndarray], batch: int) -> float:
    """Times gyoza's own iterator over pairs that share at least one factor."""

    def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros((len(first), 1)), first == second], axis=1)

    source = volatile_factorized_pair_iterator(arrays["scores"], arrays["labels"], similarity, batch, 1)
    begin = time.perf_counter()
    next(source)
    return batch / (time.perf_counter() - begin)


def main() -> None:
    """Reads the arrays and the settings, trains and writes."""
    source, goal, text = sys.argv[1:]
    settings = json.loads(text)
    tf.config.threading.set_intra_op_parallelism_threads(settings["threads"])
    random.seed(settings["seed"])  # gyoza's shuffles
    np.random.seed(settings["seed"])
    tf.random.set_seed(settings["seed"])
    with np.load(source) as held:
        arrays = dict(held)
    facts, latents = train(arrays, settings)
    facts["iterator_pairs_per_second"] = iterator_pairs_per_second(arrays, ITERATOR_PAIRS)
    np.savez(goal, facts=json.dumps(facts), **latents)


if __name__ == "__main__":
    main()
