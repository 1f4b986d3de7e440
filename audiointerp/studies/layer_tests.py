"""Tests of decoding by layer: against permuted labels, between layers, between networks, and as published."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from audiointerp.data.questions import Question
from audiointerp.data.splits import random_folds
from audiointerp.probes.accuracy import balanced_accuracy
from audiointerp.probes.designs import Split, by_fold
from audiointerp.probes.layers import PROBES, LayerReader, nested_choice, null_accuracies
from audiointerp.probes.measures import compare, most_frequent, published_test, to_segments
from audiointerp.statistics.permutation import Permutations, max_statistic_p, permutation_p, permuted_labels
from audiointerp.statistics.tests import holm
from audiointerp.studies.world import World
from audiointerp.study import RunContext

CORRECTED = "corrected"
PUBLISHED = "published"


def against_chance(
    context: RunContext,
    world: World,
    network: str,
    readers: Mapping[str, LayerReader],
    predicted: Mapping[tuple[str, str, str], np.ndarray],
    permutations: int,
) -> pd.DataFrame:
    """Tests every layer of one network against permuted labels, by the maximum over layers and factors."""
    rows = []
    for probe in PROBES:
        observed, nulls, keys = [], [], []
        for factor, question in world.questions.items():
            drawn = permute(world, question, permutations, context.seed)
            if not drawn.possible:
                rows.append(
                    {
                        "factor": factor,
                        "probe": probe,
                        "comparison": "layer against permuted labels",
                        "test": f"none: {drawn.reason}",
                    }
                )
                continue
            permuted = to_segments(drawn.labels, question)
            nulls.append(null_accuracies(readers, probe, by_fold(question.folds), permuted, context.progress))
            observed += [
                float(balanced_accuracy(question.labels, predicted[factor, probe, layer])) for layer in readers
            ]
            keys += [(factor, layer, drawn.scheme) for layer in readers]
        if not nulls:
            continue
        null = np.concatenate(nulls, axis=1)
        corrected = max_statistic_p(np.array(observed), null)
        single = permutation_p(np.array(observed), null)
        for (factor, layer, scheme), value, column, p, p_corrected in zip(
            keys, observed, null.T, single, corrected, strict=True
        ):
            rows.append(
                {
                    "factor": factor,
                    "protocol": CORRECTED,
                    "probe": probe,
                    "network": network,
                    "comparison": "layer against permuted labels",
                    "layer_a": layer,
                    "layer_b": "permuted labels",
                    "difference": value - column.mean(),
                    "null_95": float(np.quantile(column, 0.95)),
                    "test": f"permutation, {scheme}",
                    "p": p,
                    "p_corrected": p_corrected,
                    "correction": "maximum statistic over layers and factors",
                    "n_groups": len(np.unique(world.questions[factor].groups[world.questions[factor].tested])),
                }
            )
    return pd.DataFrame(rows)


def between_layers(
    context: RunContext,
    world: World,
    readers: Mapping[str, Mapping[str, LayerReader]],
    published: Mapping[str, Mapping[str, LayerReader]],
    folds: int,
) -> pd.DataFrame:
    """Tests the best layer against the first and the last, and the trained network against the untrained ones."""
    rows: list[dict] = []
    names = list(readers)
    asked = [(question, probe) for question in world.questions.values() for probe in PROBES]
    for question, probe in context.progress(asked, description="comparing layers", unit="question"):
        factor = question.factor
        nested = {}
        for network in names:
            guess, chosen = nested_choice(readers[network], probe, question.labels, question.folds)
            nested[network] = guess
            layers = list(readers[network])
            for end in (layers[0], layers[-1]):
                other = readers[network][end].predict(probe, question.labels, by_fold(question.folds))
                rows.append(
                    {"factor": factor, "protocol": CORRECTED, "probe": probe, "network": network}
                    | {"comparison": f"best against {'first' if end == layers[0] else 'last'}"}
                    | {"layer_a": most_frequent(chosen.values()), "layer_b": end}
                    | compare(question, guess, other, context.seed)
                )
        for network in names[1:]:
            rows.append(
                {"factor": factor, "protocol": CORRECTED, "probe": probe, "network": f"{names[0]} - {network}"}
                | {"comparison": "trained against untrained, each at its best layer"}
                | compare(question, nested[names[0]], nested[network], context.seed)
            )
    for question in world.questions.values():
        for network, layers in published.items():
            rows += as_published(question, network, layers, folds, context.seed)
    frame = pd.DataFrame(rows)
    # One family per question asked: the controls' own comparisons must not dilute those of the network in question.
    ends = frame["comparison"].str.startswith("best against")
    for (_, probe, _), family in frame[frame["protocol"] == CORRECTED].groupby(
        [frame["network"].where(ends, "all"), "probe", ends]
    ):
        frame.loc[family.index, "p_corrected"] = holm(family["p"].to_numpy())
        frame.loc[family.index, "correction"] = f"Holm over {len(family)} comparisons ({probe})"
    return frame


def as_published(
    question: Question, network: str, readers: Mapping[str, LayerReader], folds: int, seed: int
) -> list[dict]:
    """Does what the paper did: random folds, the best mean, independent t tests of fold scores, Bonferroni x 3."""
    splits = question_splits(question, PUBLISHED, folds, seed)
    scores = {
        layer: np.array([np.mean(guess[s.test] == question.labels[s.test]) for s in splits])
        for layer, reader in readers.items()
        for guess in [reader.predict("knn", question.labels, splits)]
    }
    best = max(scores, key=lambda layer: scores[layer].mean())
    layers = list(scores)
    rows = []
    for name, end in (("first", layers[0]), ("last", layers[-1])):
        row = {"factor": question.factor, "protocol": PUBLISHED, "probe": "knn", "network": network} | {
            "comparison": f"best against {name}",
            "layer_a": best,
            "layer_b": end,
        }
        test = {"test": f"none: the {name} layer is the best"}
        rows.append(row | (published_test(scores[best], scores[end]) if best != end else test))
    return rows


def question_splits(question: Question, protocol: str, folds: int, seed: int) -> list[Split]:
    """Gives the folds of a protocol: over groups outside `fit`, or over randomly drawn segments of all roles."""
    if protocol == CORRECTED:
        return by_fold(question.folds)
    drawn = np.full(len(question.labels), -1)
    drawn[question.rows] = random_folds(len(question.rows), folds, seed)
    return by_fold(drawn)


def permute(world: World, question: Question, count: int, seed: int) -> Permutations:
    """Draws permuted labels of the clips that are decoded, the other factors held fixed where the design allows."""
    rows = question.tested
    clips, first = np.unique(question.clips[rows], return_index=True)
    others = [q.labels[rows][first] for name, q in world.questions.items() if name != question.factor]
    within = np.unique(np.stack(others, axis=1), axis=0, return_inverse=True)[1].reshape(-1) if others else None
    return permuted_labels(
        question.labels[rows][first], question.groups[rows][first], within=within, n=count, seed=seed
    )
