"""Extraction: all layers of a network on all segments in one pass, reduced on the way, into the store."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from audiointerp.activations.base import Site, capture
from audiointerp.activations.reduction import LinearReduction, fit_reduction
from audiointerp.activations.store import CHUNK, StoredArray, address, claimed, exclusive
from audiointerp.backbones.base import Backbone, state_digest
from audiointerp.processes import SHARD, Share, ShareDone, share
from audiointerp.study import UserError

BATCH = 64
FIT_LIMIT = 2048
OUTPUT = "output"
POLL_S = 0.1
PRECISIONS = ("float32", "bf16")


class Waveforms(Protocol):
    """Segments of equal length that can be read in batches."""

    fingerprint: str

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int]) -> Tensor: ...


@dataclass(frozen=True)
class Activations:
    """Reduced activations of one network on one set of segments.

    Attributes:
        scores: Layer name to reduced activations, float32 `(N, k)`.
        output: Logits, float32 `(N, K)`.
        reductions: Layer name to its reduction, for the layers whose reduction was kept.
        convergence: Layer name to the subspace check of its reduction (see `LinearReduction`).
        explained: Layer name to the share of variance that the components hold.
        stored_bytes: Size of all of it on disk [bytes].
        cached: Whether everything was in the store already.
        precision: What the network ran in, `float32` or `bf16`.
    """

    scores: Mapping[str, np.ndarray]
    output: np.ndarray
    reductions: Mapping[str, LinearReduction]
    convergence: Mapping[str, float]
    explained: Mapping[str, float]
    stored_bytes: int
    cached: bool
    precision: str = "float32"

    def part(self, rows: np.ndarray) -> Activations:
        """Gives the activations of some segments, by the same reductions; nothing of them is stored apart."""
        scores = {name: values[rows] for name, values in self.scores.items()}
        return replace(self, scores=scores, output=self.output[rows], stored_bytes=0)


def extract(
    backbone: Backbone,
    segments: Waveforms,
    fit: Sequence[int],
    cache: str | os.PathLike,
    *,
    layers: Sequence[str] | None = None,
    components: int = 64,
    keep: Sequence[str] | None = None,
    group_bytes: float = 2e9,
    precision: str = "float32",
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> Activations:
    """Runs the network over all segments once and gives its layers, reduced, and its logits.

    Reductions are fitted on at most 2,048 segments of `fit`, layers in groups that fit into `group_bytes`. What is in
    the store already is not computed again; an interrupted pass goes on at its next chunk with the same bits.

    Processes that want the same at once, on one machine or on many that see one cache, share it out: one fits the
    reductions, each takes the chunks of its rank first and then what is left, and the last writes the manifests. The
    bits do not depend on who computed them. A part of a job array (`AUDIOINTERP_SHARD`) does its own chunks only.

    Args:
        backbone: The network, in evaluation mode.
        segments: What it hears.
        fit: Indices of the segments that reductions may see.
        cache: Folder of the store.
        layers: Names of the wanted layers, all by default.
        components: Components of each reduction.
        keep: Layers whose reduction stays in the store and comes back (needed to lift an edit), all by default.
            Reductions that an earlier call kept are left where they are.
        group_bytes: How much memory the activations of the fitting clips may take at once [bytes].
        precision: `float32`, or `bf16` for autocasting the network and the projections; sounds and front end stay as
            they are, what is stored is float32.
        progress: Wraps an iterable with `description` and `total` keywords; a progress bar.
    Raises:
        UserError: If a layer or the precision is unknown, `fit` holds fewer than three indices, the network is in
            training mode, or the store cannot be written to.
        ShareDone: In a part of a job array, when its share is in the store.
    """
    names = list(backbone.layers) if layers is None else list(layers)
    keep = names if keep is None else list(keep)
    for given, known, what in ((names, list(backbone.layers), "layers"), (keep, names, "layers to keep")):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise UserError(f"expected {what} among {known}, got {unknown}")
    fit = np.asarray(fit)
    if len(fit) < 3 or fit.dtype.kind not in "iu":
        raise UserError(
            f"expected the indices of at least 3 segments to fit reductions on, got {len(fit)} of type {fit.dtype}: "
            "give the role `fit` a larger share"
        )
    if precision not in PRECISIONS:
        raise UserError(f"expected a precision of {' or '.join(PRECISIONS)}, got {precision!r}")
    if backbone.training:
        raise UserError(f"expected {type(backbone).__name__} in evaluation mode, got it training: call eval() first")
    chosen = _subsample(fit, FIT_LIMIT)
    base = {
        "audio": segments.fingerprint,
        "network": backbone.name,
        "weights": state_digest(backbone),  # as they are now, not as they were loaded
        "preprocessing": backbone.preprocessing,
        "batch": BATCH,
        "chunk": CHUNK,
        "dtype": precision,
        "device": _device(backbone).type,
        "torch": torch.__version__,
    }
    fitted = hashlib.sha256(chosen.astype(np.int64).tobytes()).hexdigest()
    pooling = {"pooling": "pca", "components": components, "fit": fitted, "version": 2}
    root = Path(cache) / "activations"
    arrays = {name: StoredArray(root, base | {"layer": name} | pooling, len(segments)) for name in names}
    arrays[OUTPUT] = StoredArray(root, base | {"layer": OUTPUT, "pooling": "none"}, len(segments))

    reductions = {name: arrays[name].load_reduction() for name in keep}
    cached = all(array.complete for array in arrays.values()) and None not in reductions.values()
    own, missing = share(), 0
    if not cached:
        reductions, missing = _compute(
            backbone, segments, chosen, arrays, keep, components, group_bytes, precision, progress, root, base
        )
    if own.alone:
        raise ShareDone(
            f"part {own.index} of {own.count} is in the store, {missing} chunks of other parts are not: when all parts "
            f"are done, start the same command without {SHARD}"
        )
    facts = {name: arrays[name].facts() for name in names}
    return Activations(
        scores={name: arrays[name].read() for name in names},
        output=arrays[OUTPUT].read(),
        reductions={name: reductions[name] for name in keep},
        convergence={name: facts[name]["convergence"] for name in names},
        explained={name: facts[name]["explained"] for name in names},
        stored_bytes=sum(array.bytes() for array in arrays.values()),
        cached=cached,
        precision=precision,
    )


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Gives the context in which a network runs in a precision, `float32` or `bf16`; its front end stays outside."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def _listen(backbone: Backbone, segments: Waveforms, batch: Sequence[int], precision: str) -> Tensor:
    """Runs the network on some segments; gives its output `(B, K)`."""
    features = backbone.front_end(segments.batch(batch).to(_device(backbone)))
    with autocast(_device(backbone), precision):
        return backbone(features)


def _compute(
    backbone: Backbone,
    segments: Waveforms,
    chosen: np.ndarray,
    arrays: Mapping[str, StoredArray],
    keep: Sequence[str],
    components: int,
    group_bytes: float,
    precision: str,
    progress: Callable[..., Iterable],
    root: Path,
    base: Mapping[str, object],
) -> tuple[dict[str, LinearReduction | None], int]:
    """Fits the reductions that are missing and fills the arrays that are not complete.

    Returns:
        The reductions, and how many chunks other processes still have to fill.
    """
    names = [name for name in arrays if name != OUTPUT]
    with exclusive(root, base):
        reductions = {name: arrays[name].load_reduction() for name in names}
        for name in names:
            if reductions[name] is None and (name in keep or not arrays[name].complete):
                # Values without the reduction that made them cannot be gone on with, or lifted to.
                arrays[name].discard()
        todo = {name: array for name, array in arrays.items() if not array.complete}
        unfitted = [name for name in names if name in todo and reductions[name] is None]
        for group in _groups(backbone, segments, unfitted, len(chosen), group_bytes):
            for name, reduction in _fit(backbone, segments, chosen, group, components, precision, progress).items():
                arrays[name].save_reduction(reduction)
                reductions[name] = reduction
    if not todo:
        return reductions, 0
    claims = root / f"{address(base)}.claims"
    missing = _fill(backbone, segments, todo, reductions, precision, progress, share(), claims)
    if not missing:
        with exclusive(root, base):
            for name, array in todo.items():
                if not array.complete:
                    array.finish(**_facts(reductions.get(name)))
                    if name != OUTPUT and name not in keep:
                        array.drop_reduction()
            shutil.rmtree(claims, ignore_errors=True)
    return reductions, missing


def _facts(reduction: LinearReduction | None) -> dict[str, float]:
    if reduction is None:
        return {}
    return {"convergence": reduction.convergence, "explained": float(reduction.explained.sum())}


def projections(
    reductions: Mapping[str, LinearReduction], device: torch.device | str
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Gives, for `capture`, functions that turn a layer's output `(B, ...)` into its scores `(B, k)`."""

    def project(matrix: Tensor, offset: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda value: torch.addmm(offset, value.flatten(1), matrix)

    return {name: project(*(part.to(device) for part in reduction.affine())) for name, reduction in reductions.items()}


def activations_of(
    backbone: Backbone, segments: Waveforms, indices: Sequence[int], layer: str
) -> tuple[Tensor, Tensor]:
    """Gives the full activations `(n, ...)` of one layer and the logits `(n, K)` for a few segments.

    Batches are as long as in `extract`, but hold other segments: the values agree to rounding, not to the bit.
    """
    values, outputs = [], []
    for batch in _batches(np.asarray(indices)):
        with torch.inference_mode(), capture(backbone, {layer: backbone.layers[layer]}) as layers:
            outputs.append(backbone(backbone.front_end(segments.batch(batch).to(_device(backbone)))))
        values.append(layers[layer])
    return torch.cat(values), torch.cat(outputs)


def _device(backbone: Backbone) -> torch.device:
    return next(backbone.parameters()).device


def _subsample(indices: np.ndarray, limit: int) -> np.ndarray:
    """Takes evenly spaced entries, so that neighbours in time (of one clip) are thinned out first."""
    if len(indices) <= limit:
        return indices
    return indices[np.linspace(0, len(indices) - 1, limit).round().astype(int)]


def _batches(indices: np.ndarray) -> list[np.ndarray]:
    return [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]


def _groups(
    backbone: Backbone,
    segments: Waveforms,
    names: Sequence[str],
    rows: int,
    limit: float,
) -> list[list[str]]:
    """Packs layers into groups whose activations for the fitting segments fit into `limit` bytes."""
    if not names:
        return []
    with torch.inference_mode(), capture(backbone, {name: backbone.layers[name] for name in names}) as values:
        backbone(backbone.front_end(segments.batch([0]).to(_device(backbone))))
    groups: list[list[str]] = []
    room = 0.0
    for name in names:
        size = 4.0 * rows * values[name].numel()
        if not groups or size > room:
            groups.append([])
            room = limit
        groups[-1].append(name)
        room -= size
    return groups


def _fit(
    backbone: Backbone,
    segments: Waveforms,
    chosen: np.ndarray,
    names: Sequence[str],
    components: int,
    precision: str,
    progress: Callable[..., Iterable],
) -> dict[str, LinearReduction]:
    layers = {name: backbone.layers[name] for name in names}
    tables: dict[str, Tensor] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    first = 0
    title = f"fitting {names[0]}" + (f" to {names[-1]}" if len(names) > 1 else "")
    for batch in progress(_batches(chosen), description=title):
        with torch.inference_mode(), capture(backbone, layers) as values:
            _listen(backbone, segments, batch, precision)
        for name, value in values.items():
            if name not in tables:
                shapes[name] = tuple(value.shape[1:])
                tables[name] = torch.empty(len(chosen), value[0].numel())
            tables[name][first : first + len(batch)] = value.flatten(1)
        first += len(batch)
    return {name: fit_reduction(tables.pop(name), components, shapes[name]) for name in names}


def _fill(
    backbone: Backbone,
    segments: Waveforms,
    arrays: Mapping[str, StoredArray],
    reductions: Mapping[str, LinearReduction | None],
    precision: str,
    progress: Callable[..., Iterable],
    own: Share,
    claims: Path,
) -> int:
    """Writes the chunks that nobody else writes, those of the own share first; gives how many are missing then."""
    layers = {name: backbone.layers[name] for name in arrays if name != OUTPUT}
    transform = projections({name: reductions[name] for name in layers}, _device(backbone))
    rows = len(segments)

    def missing(chunks: Iterable[int]) -> list[int]:
        return [chunk for chunk in chunks if not all(array.has(chunk) for array in arrays.values())]

    chunks = missing(range(-(-rows // CHUNK)))
    mine = [chunk for chunk in chunks if chunk % own.count == own.index]
    wanted = mine if own.alone else mine + [chunk for chunk in chunks if chunk % own.count != own.index]
    left = progress(wanted, description=f"hearing {rows} segments, {len(layers)} layers", unit="chunk")
    while wanted:
        for chunk in left:
            with claimed(claims, chunk) as free:
                if free and missing([chunk]):
                    _hear(backbone, segments, arrays, layers, transform, chunk, precision)
        wanted = left = missing(wanted)
        if wanted:
            time.sleep(POLL_S)  # somebody else is at them; who is killed leaves them free
    return len(missing(chunks))


def _hear(
    backbone: Backbone,
    segments: Waveforms,
    arrays: Mapping[str, StoredArray],
    layers: Mapping[str, torch.nn.Module | Site],
    transform: Mapping[str, Callable[[Tensor], Tensor]],
    chunk: int,
    precision: str,
) -> None:
    """Runs the network over one chunk and writes it."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in arrays}
    for batch in _batches(np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, len(segments)))):
        with torch.inference_mode(), capture(backbone, layers, transform) as values:
            logits = _listen(backbone, segments, batch, precision)
        for name, value in {**values, OUTPUT: logits}.items():
            if name in parts:
                parts[name].append(value.float().cpu().numpy())
    for name, array in arrays.items():
        if not array.has(chunk):
            array.write(chunk, np.concatenate(parts[name]))
