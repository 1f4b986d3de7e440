"""Maximally activating inputs: the k clips that drive each map of each layer most, kept while clips stream by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from audiointerp.study import UserError

SCORES = ("peak", "mean", "l2")


def score_of(activation: Tensor, score: str) -> Tensor:
    """Scores each map of each clip, `(B, C, T)` to `(B, C)`.

    Args:
        activation: Rectified activation.
        score: `peak`, `mean`, or `l2` (the root mean square, so that long clips are not favoured).
    Raises:
        UserError: If there is no such score.
    Example:
        >>> [score_of(torch.tensor([[[0.0, 3.0, 0.0]]]), name).item() for name in ("peak", "mean")]
        [3.0, 1.0]
    """
    if score == "peak":
        return activation.amax(2)
    if score == "mean":
        return activation.mean(2)
    if score == "l2":
        return activation.square().mean(2).sqrt()
    raise UserError(f"expected a score out of {', '.join(SCORES)}, got {score!r}")


class TopInputs:
    """The k best clips of every map of every layer, in memory that does not grow with the number of clips.

    Equal scores are ordered by the clips' numbers, so that the result depends neither on the order of clips nor on how
    they were dealt out over processes.

    Args:
        maps: Layers to their number of maps.
        k: Clips kept per map.
        score: As in `score_of`.
    Attributes:
        scores: Per layer `(C, k)`, best first; minus infinity where there were fewer clips.
        clips: Per layer the clips' numbers, int64 `(C, k)`; -1 where there were fewer.
        frames: Per layer the frame of the largest activation, int64 `(C, k)`.
        seen: Clips so far.
        means: Per layer the mean score of each map, `(C,)`.
        active: Per layer the share of clips in which each map was above zero anywhere, `(C,)`.
    Raises:
        UserError: If `k` is below 1 or there is no such score.
    Example:
        >>> top = TopInputs({"block1": 1}, k=2)
        >>> for clip, value in enumerate([1.0, 5.0, 3.0]):
        ...     top.update({"block1": torch.tensor([[[0.0, value]]])}, [clip])
        >>> top.clips["block1"].tolist()
        [[1, 2]]
    """

    def __init__(self, maps: Mapping[str, int], k: int = 3, score: str = "peak") -> None:
        if k < 1 or score not in SCORES:
            raise UserError(f"expected k of at least 1 and a score out of {', '.join(SCORES)}, got {k} and {score!r}")
        self.k, self.score, self.seen = int(k), score, 0
        self.scores = {name: torch.full((count, k), -torch.inf) for name, count in maps.items()}
        self.clips = {name: torch.full((count, k), -1) for name, count in maps.items()}
        self.frames = {name: torch.full((count, k), -1) for name, count in maps.items()}
        self._sums = {name: torch.zeros(count, dtype=torch.float64) for name, count in maps.items()}
        self._active = {name: torch.zeros(count, dtype=torch.float64) for name, count in maps.items()}

    @property
    def means(self) -> dict[str, Tensor]:
        return {name: total / max(1, self.seen) for name, total in self._sums.items()}

    @property
    def active(self) -> dict[str, Tensor]:
        return {name: total / max(1, self.seen) for name, total in self._active.items()}

    def update(self, activations: Mapping[str, Tensor], clips: Sequence[int]) -> None:
        """Hears some clips.

        Args:
            activations: Rectified activation of every layer, `(B, C, T)`.
            clips: Their numbers, `(B,)`, none heard before.
        """
        numbers = torch.as_tensor(clips, dtype=torch.long)
        for name, activation in activations.items():
            scores = score_of(activation, self.score).cpu().float()
            frames = activation.argmax(2).cpu()
            self._sums[name] += scores.double().sum(0)
            self._active[name] += (activation > 0).any(2).double().sum(0).cpu()
            self._keep(name, scores.T, numbers.expand(scores.shape[1], -1), frames.T)
        self.seen += len(numbers)

    def merge(self, other: TopInputs) -> None:
        """Takes in what another process has found."""
        for name in self.scores:
            self._keep(name, other.scores[name], other.clips[name], other.frames[name])
            self._sums[name] += other._sums[name]
            self._active[name] += other._active[name]
        self.seen += other.seen

    def _keep(self, name: str, scores: Tensor, clips: Tensor, frames: Tensor) -> None:
        parts = [
            torch.cat(pair, 1)
            for pair in ((self.scores[name], scores), (self.clips[name], clips), (self.frames[name], frames))
        ]
        by_clip = parts[1].argsort(dim=1, stable=True)
        parts = [part.gather(1, by_clip) for part in parts]
        best = parts[0].argsort(dim=1, descending=True, stable=True)[:, : self.k]
        self.scores[name], self.clips[name], self.frames[name] = (part.gather(1, best) for part in parts)

    def table(self) -> pd.DataFrame:
        """Gives one row per layer, map and rank: `layer`, `map`, `rank` (1 is best), `clip`, `score`, `frame`."""
        rows = []
        for name, scores in self.scores.items():
            count, k = scores.shape
            rows.append(
                pd.DataFrame(
                    {
                        "layer": name,
                        "map": np.repeat(np.arange(count), k),
                        "rank": np.tile(np.arange(1, k + 1), count),
                        "clip": self.clips[name].reshape(-1).numpy(),
                        "score": scores.reshape(-1).numpy(),
                        "frame": self.frames[name].reshape(-1).numpy(),
                    }
                )
            )
        table = pd.concat(rows, ignore_index=True)
        return table[table["clip"] >= 0].reset_index(drop=True)


def class_entropy(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Measures how varied the classes of each map's best clips are.

    Args:
        table: As `TopInputs.table` gives it.
        labels: Class of each clip.
    Returns:
        One row per layer and map whose best score is above zero: `layer`, `map`, `entropy` [bits], from 0 (one class)
        to the logarithm of `k`.
    Example:
        >>> top = pd.DataFrame({"layer": "block1", "map": 0, "clip": [0, 1, 2, 3], "score": 1.0})
        >>> class_entropy(top, ["dog", "dog", "rain", "rain"])["entropy"].tolist()
        [1.0]
    """
    rows = []
    known = table.assign(label=[labels[clip] for clip in table["clip"]])
    for (layer, number), mine in known.groupby(["layer", "map"], sort=False):
        if mine["score"].max() > 0:
            shares = mine["label"].value_counts(normalize=True).to_numpy()
            rows.append((layer, number, float(-(shares * np.log2(shares)).sum()) + 0.0))
    return pd.DataFrame(rows, columns=["layer", "map", "entropy"])
