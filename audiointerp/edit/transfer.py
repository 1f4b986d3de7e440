"""Latent transfer: who is edited towards whom, and the edited layer pushed through the rest of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from audiointerp.activations.base import capture
from audiointerp.activations.extract import BATCH, Waveforms, autocast
from audiointerp.activations.reduction import LinearReduction
from audiointerp.backbones.base import Backbone

OWN = "own class"
OTHER = "other class"


@dataclass(frozen=True)
class Typicality:
    """How typical sounds are for their class on one factor's block.

    Attributes:
        distance: Mahalanobis distance of each row to the centre of its class in the block, shape `(N,)`.
        typical: Rows in the nearest quartile of their class, bool `(N,)`.
        atypical: Rows in the farthest quartile of their class, bool `(N,)`.
    """

    distance: np.ndarray
    typical: np.ndarray
    atypical: np.ndarray


def typicality(block: np.ndarray, labels: np.ndarray, train: np.ndarray, rows: np.ndarray) -> Typicality:
    """Ranks `rows` by how near they are to the centre of their class; centres and spread come from `train`.

    Args:
        block: The factor's latent dimensions, shape `(N, d)`.
        labels: Integer labels, shape `(N,)`.
        train: Rows that centres and the pooled within-class spread are measured on.
        rows: Rows to rank, each class by itself.
    """
    centres = {label: block[train][labels[train] == label].mean(0) for label in np.unique(labels[train])}
    rows = rows[np.isin(labels[rows], list(centres))]
    within = np.concatenate([block[train][labels[train] == label] - centre for label, centre in centres.items()])
    covariance = np.atleast_2d(np.cov(within, rowvar=False)) + 1e-6 * np.eye(block.shape[1])
    offset = block[rows] - np.stack([centres[label] for label in labels[rows]])
    distance = np.full(len(block), np.nan)
    distance[rows] = np.sqrt(np.einsum("nd,de,ne->n", offset, np.linalg.inv(covariance), offset))
    typical, atypical = np.zeros(len(block), bool), np.zeros(len(block), bool)
    for label in np.unique(labels[rows]):
        members = rows[labels[rows] == label]
        members = members[np.argsort(distance[members], kind="stable")]
        quarter = max(1, len(members) // 4)
        typical[members[:quarter]] = True
        atypical[members[-quarter:]] = True
    return Typicality(distance, typical, atypical)


def choose_pairs(
    labels: np.ndarray, groups: np.ndarray, typical: Typicality, per_source: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Pairs each atypical sound with typical ones of its own class and of other classes, never of its own group.

    Args:
        labels: Integer labels of the factor, shape `(N,)`.
        groups: Group of each row, shape `(N,)`.
        typical: Who is typical and atypical.
        per_source: References of each kind for each atypical sound.
        rng: Draws the references.
    Returns:
        One row per pair: source, own (row of P^), other (row of Q^), label, target (class of Q^).
    """
    references = np.flatnonzero(typical.typical)
    pairs = []
    for source in np.flatnonzero(typical.atypical):
        apart = references[groups[references] != groups[source]]
        own = apart[labels[apart] == labels[source]]
        other = apart[labels[apart] != labels[source]]
        if not len(own) or not len(other):
            continue
        targets = rng.permutation(np.unique(labels[other]))
        for index in range(per_source):
            target = targets[index % len(targets)]
            pairs.append((source, rng.choice(own), rng.choice(other[labels[other] == target]), labels[source], target))
    return pd.DataFrame(pairs, columns=["source", "own", "other", "label", "target"])


def push(
    backbone: Backbone,
    segments: Waveforms,
    layer: str,
    reduction: LinearReduction,
    sources: Sequence[int],
    changes: Mapping[str, np.ndarray],
    progress: Callable[..., Iterable] = lambda items, **_: items,
    inspect: Callable[[str, torch.Tensor, torch.Tensor], None] | None = None,
    precision: str = "float32",
) -> dict[str, np.ndarray]:
    """Lifts changes of the reduced layer to the full activation and runs the rest of the network.

    Args:
        backbone: The network.
        segments: What it hears.
        layer: The edited layer.
        reduction: The layer's reduction.
        sources: Row of each edited sound, shape `(n,)`.
        changes: Names of edits to changes of the reduced layer, each `(n, k)`.
        progress: Wraps an iterable; a progress bar.
        inspect: Called with the edit's name, the activation before and the activation after, batch by batch.
        precision: What the network runs in, as in `extract`.
    Returns:
        Logits `(n, K)` of each edit.
    """
    device = next(backbone.parameters()).device
    sources = np.asarray(sources)
    outputs: dict[str, list[np.ndarray]] = {name: [] for name in changes}
    starts = range(0, len(sources), BATCH)
    for start in progress(starts, description=f"editing {layer}", unit="batch"):
        rows = sources[start : start + BATCH]
        with torch.inference_mode():
            features = backbone.front_end(segments.batch(rows).to(device))
            with autocast(device, precision), capture(backbone, {layer: backbone.layers[layer]}) as values:
                backbone(features)
            before = values[layer]
            for name, change in changes.items():
                part = torch.as_tensor(change[start : start + BATCH], dtype=torch.float32)
                after = (before + reduction.lift(part).to(device)).to(before.dtype)
                if inspect is not None:
                    inspect(name, before, after)
                with autocast(device, precision):
                    outputs[name].append(backbone.resume(layer, after).float().cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in outputs.items()}
