"""Notes of one family turned into another in the code, decoded, and judged by who never saw the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch

from audiointerp.activations.reduction import LinearReduction, fit_reduction
from audiointerp.data.instruments import midi_hz
from audiointerp.disentangle.flow import FactorFlow
from audiointerp.edit.directions import random_like
from audiointerp.edit.maps import (
    PairedNetwork,
    pair_notes,
    pseudo_inverse_map,
    published_map,
    ridge_map,
    transport_map,
)
from audiointerp.probes.pitch import cents, estimate_pitch
from audiointerp.studies.timbre_judge import Judge
from audiointerp.studies.timbre_notes import Notes
from audiointerp.study import RunContext, stream
from audiointerp.training.fit_autoencoder import FittedAutoencoder
from audiointerp.training.spectral import log_mel_distance

PLAIN, REAL, RANDOM = "plain reconstruction", "real note of B, reconstructed", "random direction"
PUBLISHED, PSEUDO, RIDGE, SHIFT = "published b A^-1", "pseudo-inverse", "ridge on pairs", "mean shift"
TRANSPORT, NETWORK, FLOW = "Gaussian transport", "network on pairs", "factor flow"
EDITS = (PUBLISHED, PSEUDO, RIDGE, SHIFT, TRANSPORT, NETWORK, FLOW)
METHODS = (*EDITS, PLAIN, RANDOM, REAL)
IN_TUNE_CENTS = 50.0
AT_ONCE = 32


@dataclass(frozen=True)
class Maps:
    """Codes in reduced coordinates and everything that was fitted to those of the role `train`.

    Attributes:
        notes: The notes.
        codes: Float32 `(N, C, T)`.
        reduction: Of the flattened codes.
        scores: Reduced codes, `(N, k)`.
        network: One network for all pairs of families.
        flow: Factor flow on the reduced codes, None for none.
        seed: Seed of the random directions.
    """

    notes: Notes
    codes: np.ndarray
    reduction: LinearReduction
    scores: np.ndarray
    network: PairedNetwork
    flow: FactorFlow | None
    seed: int
    _fitted: dict[tuple[str, int, int], Any] = field(default_factory=dict)

    def train(self, family: int) -> np.ndarray:
        """Gives the training notes of a family."""
        rows = self.notes.rows("train")
        return rows[self.notes.labels[rows] == family]

    def mean(self, family: int) -> np.ndarray:
        """Gives the average code of a family's training notes, shape `(T, C)`."""
        return self.codes[self.train(family)].mean(0).T

    def partners(self, rows: np.ndarray, family: int) -> np.ndarray:
        """Gives, for each note, the training note of a family nearest in pitch and velocity."""
        return pair_notes(self.notes.pitch, self.notes.velocity, rows, self.train(family))

    def fitted(self, method: str, source: int, target: int) -> Any:
        """Gives the map of a method from one family to another, fitted at its first use."""
        key = (method, source, target)
        if key not in self._fitted:
            if method in (PUBLISHED, PSEUDO):
                make = published_map if method == PUBLISHED else pseudo_inverse_map
                self._fitted[key] = make(self.mean(source), self.mean(target))
            elif method == RIDGE:
                rows = self.train(source)
                self._fitted[key] = ridge_map(self.scores[rows], self.scores[self.partners(rows, target)])
            else:
                self._fitted[key] = transport_map(self.scores[self.train(source)], self.scores[self.train(target)])
        return self._fitted[key]

    def edit(self, method: str, rows: np.ndarray, source: int, target: int) -> np.ndarray:
        """Gives the codes `(n, C, T)` of notes of one family after they were moved to another.

        Changes of reduced codes are lifted: what the reduction leaves out is kept as it was.
        """
        codes, scores = self.codes[rows], self.scores[rows]
        if method == PLAIN:
            return codes
        if method in (PUBLISHED, PSEUDO):
            matrix = self.fitted(method, source, target)
            return np.einsum("st,nct->ncs", matrix, codes.astype(np.float64))
        if method in (RIDGE, TRANSPORT):
            change = self.fitted(method, source, target)(scores) - scores
        elif method == NETWORK:
            change = self.network(scores, source, target) - scores
        elif method == FLOW:
            wanted = torch.from_numpy(self.scores[self.partners(rows, target)])
            with torch.no_grad():
                change = self.flow.change(torch.from_numpy(scores), wanted, "family").numpy()
        else:
            here, there = (self.scores[self.train(family)].mean(0) for family in (source, target))
            change = np.tile(there - here, (len(rows), 1))
            if method == RANDOM:
                change = random_like(change, stream(self.seed, "random direction", source, target))
        return codes + self.reduction.lift(torch.as_tensor(change, dtype=torch.float32)).numpy()


def fit_maps(
    notes: Notes,
    codes: np.ndarray,
    components: int,
    seed: int,
    fit_flow: Callable[[np.ndarray, Mapping[str, np.ndarray]], FactorFlow] | None,
) -> Maps:
    """Fits the reduction, the network on pairs and the flow to the role `train`.

    Args:
        notes: The notes.
        codes: Float32 `(N, C, T)`.
        components: Most components of the reduction.
        seed: Seed of the network.
        fit_flow: Trains a flow on scores `(N, k)` with labels of the factors; None for no flow.
    """
    train = notes.rows("train")
    flat = torch.from_numpy(codes).flatten(1)
    reduction = fit_reduction(flat[torch.from_numpy(train)].clone(), components, codes.shape[1:])
    scores = reduction.reduce(flat).numpy()
    maps = Maps(notes, codes, reduction, scores, PairedNetwork(len(notes.classes), seed=seed), None, seed)
    rows, partners = [], []
    for target in np.unique(notes.labels[train]):
        others = train[notes.labels[train] != target]
        rows.append(others)
        partners.append(maps.partners(others, int(target)))
    rows, partners = np.concatenate(rows), np.concatenate(partners)
    maps.network.fit(scores[rows], scores[partners], notes.labels[rows], notes.labels[partners])
    if fit_flow is None:
        return maps
    register = np.searchsorted(np.quantile(notes.pitch[train], [1 / 3, 2 / 3]), notes.pitch)
    flow = fit_flow(scores, {"family": notes.labels.astype(np.int64), "register": register.astype(np.int64)})
    return Maps(notes, codes, reduction, scores, maps.network, flow, seed)


@dataclass(frozen=True)
class Transfers:
    """What the transfers did.

    Attributes:
        records: One row per note, target family and method.
        examples: (method, source note, target family) to decoded waveforms.
        judge: Who told the families.
    """

    records: pd.DataFrame
    examples: dict[tuple[str, int, int], np.ndarray]
    judge: Judge


def transfer_all(
    context: RunContext, notes: Notes, maps: Maps, fitted: FittedAutoencoder, judge: Judge, per_pair: int
) -> Transfers:
    """Moves test notes of every family to every other one by every method, decodes and judges them.

    Args:
        context: The run.
        notes: The notes.
        maps: What was fitted.
        fitted: The autoencoder.
        judge: Who tells families.
        per_pair: Test notes per ordered pair of families.
    """
    methods = [method for method in METHODS if method != FLOW or maps.flow is not None]
    test = notes.rows("test")
    pairs = [
        (source, target)
        for source in np.unique(notes.labels[test])
        for target in np.unique(notes.labels[test])
        if source != target
    ]
    jobs = [(int(source), int(target), method) for source, target in pairs for method in methods]
    records, kept = [], {}
    together = max(AT_ONCE, fitted.network.at_once // per_pair)
    for first in context.progress(range(0, len(jobs), together), description="transfers", unit="batch"):
        batch = jobs[first : first + together]
        rows, codes = [], []
        for source, target, method in batch:
            mine = test[notes.labels[test] == source]
            mine = np.sort(stream(context.seed, "transferred", source, target).permutation(mine)[:per_pair])
            real = pair_notes(notes.pitch, notes.velocity, mine, test[notes.labels[test] == target])
            codes.append(maps.codes[real] if method == REAL else maps.edit(method, mine, source, target))
            rows += [(method, source, target, int(i), int(j)) for i, j in zip(mine, real, strict=True)]
        edited = np.concatenate(codes)
        raw = fitted.decode(np.nan_to_num(edited, posinf=1e6, neginf=-1e6).clip(-1e6, 1e6))
        peaks, sounds = np.abs(raw).max(1), np.clip(raw, -1.0, 1.0)
        read = judge(sounds)
        hz, _ = estimate_pitch(sounds, maps.notes.sounds.sample_rate)
        real_sounds = notes.waveforms[[row[4] for row in rows]][:, : sounds.shape[1]]
        apart = log_mel_distance(
            torch.from_numpy(real_sounds.copy()), torch.from_numpy(sounds), notes.sounds.sample_rate
        ).numpy()
        for place, (method, source, target, i, j) in enumerate(rows):
            wanted = notes.pitch[j] if method == REAL else notes.pitch[i]
            records.append(
                {"method": method, "source": notes.classes[source], "target": notes.classes[target], "note": i,
                 "real": j, "group": int(notes.groups[i]), "real_group": int(notes.groups[j]),
                 "read_as": notes.classes[read[place]],
                 "is_target": bool(read[place] == target), "is_source": bool(read[place] == source),
                 "pitch_error_cents": float(abs(cents(hz[place], midi_hz(wanted)))),
                 "to_real_db": float(apart[place]), "peak": float(peaks[place]),
                 "largest_code": float(np.abs(edited[place]).max())}
            )  # fmt: skip
            kept[method, i, target] = sounds[place]
    table = pd.DataFrame(records)
    plain = table[table["method"] == PLAIN].set_index(["note", "target"])["to_real_db"]
    before = plain.reindex(pd.MultiIndex.from_frame(table[["note", "target"]])).to_numpy()
    table["nearer_db"] = before - table["to_real_db"]
    table["in_tune"] = table["pitch_error_cents"] < IN_TUNE_CENTS
    return Transfers(table, kept, judge)
