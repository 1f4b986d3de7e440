"""Batches of random crops, and of whole clips: the same whatever the number of workers and of processes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from audiointerp.data.base import Sounds
from audiointerp.data.segments import pad_to
from audiointerp.study import UserError, stream, torch_stream

Place = tuple[int, int, int]
"""Number of a batch, rank and number of processes: what is drawn, beside the seed."""


class Clips:
    """Clips of sounds as training takes them: long enough, decoded once where they fit into memory.

    Args:
        sounds: The sounds.
        shortest: Shorter clips are padded to this length as the sounds ask for [samples].
        keep_mb: Clips stay in memory if all of them together take less [MB].
    """

    def __init__(self, sounds: Sounds, shortest: int, keep_mb: float = 2048) -> None:
        self.sounds, self.shortest = sounds, int(shortest)
        self.lengths = np.maximum(np.asarray(sounds.lengths, dtype=np.int64), self.shortest)
        self._keep = 4e-6 * float(self.lengths.sum()) < keep_mb
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> np.ndarray:
        """Samples of clip `i`, float32, shape `(lengths[i],)`; not to be written into."""
        if i not in self._kept:
            waveform = self.sounds.waveform(i)
            waveform = pad_to(waveform, self.shortest, self.sounds.sample_rate, self.sounds.pad)
            if not self._keep:
                return waveform
            self._kept[i] = waveform
        return self._kept[i]


class Crops(Dataset):
    """Random crops of clips, in ready-made batches.

    Rounds go through all clips, each in an order of its own; a batch may end one round and begin the next. What a batch
    holds depends on the seed and its number, counted over all epochs: a process of several takes every n-th of its
    rows, so that all of them together see what one process would.

    Args:
        clips: The clips.
        targets: One row per clip: class indices `(N,)`, or shares and labels `(N, K)`.
        rows: Positions of the clips that are used.
        batch: Clips per batch, over all processes.
        length: Samples of a crop; at most the shortest clip's.
        batches: Batches per epoch; None for as many as one round takes.
        views: Crops of each clip. Two do not overlap where the clip is long enough, else each lies anywhere.
        seed: Root seed.
        name: Name of the random stream.
    Raises:
        UserError: If there is no clip, a crop is longer than the shortest clip, or views are not one or two.
    """

    def __init__(
        self,
        clips: Clips,
        targets: Tensor,
        rows: np.ndarray,
        batch: int,
        length: int,
        *,
        batches: int | None = None,
        views: int = 1,
        seed: int = 0,
        name: str = "crops",
    ) -> None:
        if len(rows) == 0:
            raise UserError(
                "expected at least one clip to train on, got none: look at the split and at study.fractions"
            )
        if length > clips.shortest or views not in (1, 2):
            raise UserError(
                f"expected crops of at most the clips' shortest length ({clips.shortest} samples) and 1 or 2 views, "
                f"got {length} and {views}"
            )
        self.clips, self.targets, self.rows = clips, targets, np.asarray(rows, dtype=np.int64)
        self.batch, self.length, self.views, self.seed, self.name = int(batch), int(length), views, seed, name
        self.batches = batches or -(-len(rows) // self.batch)

    @property
    def apart(self) -> float:
        """Share of the clips that are long enough for two crops that do not overlap."""
        return float((self.clips.lengths[self.rows] >= 2 * self.length).mean())

    def __len__(self) -> int:
        return self.batches

    def chosen(self, number: int) -> np.ndarray:
        """Positions of the clips of one whole batch, shape `(batch,)`."""
        first = number * self.batch
        n = len(self.rows)
        rounds = range(first // n, (first + self.batch - 1) // n + 1)
        order = np.concatenate([stream(self.seed, self.name, "order", k).permutation(n) for k in rounds])
        return self.rows[order[first - rounds[0] * n :][: self.batch]]

    def __getitem__(self, place: Place) -> tuple[Tensor, Tensor]:
        """One process's part of a batch: crops `(B, L)`, or `(B, 2, L)` of two views, and their targets."""
        number, rank, processes = place
        clips = self.chosen(number)
        rng = stream(self.seed, self.name, "starts", number)
        starts = self._starts(clips, rng)[rank::processes]
        clips = clips[rank::processes]
        out = np.empty((len(clips), self.views, self.length), dtype=np.float32)
        for row, clip in enumerate(clips.tolist()):
            waveform = self.clips[clip]
            for view in range(self.views):
                out[row, view] = waveform[starts[row, view] : starts[row, view] + self.length]
        crops = torch.from_numpy(out if self.views > 1 else out[:, 0])
        return crops, self.targets[torch.from_numpy(clips)]

    def _starts(self, clips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draws where crops begin, int `(B, views)`."""
        lengths = self.clips.lengths[clips]
        draws = rng.random((len(clips), self.views))
        anywhere = np.floor(draws * (lengths - self.length + 1)[:, None]).astype(np.int64)
        if self.views == 1:
            return anywhere
        slack = lengths - 2 * self.length
        gaps = np.sort(np.floor(draws * np.maximum(slack + 1, 1)[:, None]).astype(np.int64), axis=1)
        apart = gaps + np.array([0, self.length])
        swap = rng.random(len(clips)) < 0.5
        apart[swap] = apart[swap, ::-1]
        return np.where((slack >= 0)[:, None], apart, anywhere)


class WholeClips(Dataset):
    """Whole clips in batches of one length, each clip once.

    Args:
        clips: The clips.
        targets: As in `Crops`.
        rows: Positions of the clips that are used.
        batch: Most clips per batch.
    """

    def __init__(self, clips: Clips, targets: Tensor, rows: np.ndarray, batch: int) -> None:
        self.clips, self.targets = clips, targets
        rows = np.asarray(rows, dtype=np.int64)
        lengths = clips.lengths[rows]
        self.parts = [
            part
            for length in np.unique(lengths)
            for part in np.split(rows[lengths == length], range(batch, int((lengths == length).sum()), batch))
        ]

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, place: Place) -> tuple[Tensor, Tensor, Tensor]:
        """Waveforms `(B, L)`, their targets and the clips' positions `(B,)`."""
        part = self.parts[place[0]]
        waveforms = torch.from_numpy(np.stack([self.clips[clip] for clip in part.tolist()]))
        positions = torch.from_numpy(part)
        return waveforms, self.targets[positions], positions


class Places(Sampler):
    """Names the batches of an epoch, and this process's part in them.

    Lightning tells the epoch by `set_epoch`, also after a resume; with workers or without, nothing else enters.

    Args:
        batches: Batches per epoch.
        shared: Whether all processes take part in each batch (training), or batches are dealt out (evaluation).
    """

    def __init__(self, batches: int, shared: bool) -> None:
        self.batches, self.shared, self.epoch = batches, shared, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = int(epoch)

    def __len__(self) -> int:
        rank, processes = _rank()
        return self.batches if self.shared else len(range(rank, self.batches, processes))

    def __iter__(self) -> Iterator[Place]:
        rank, processes = _rank()
        if self.shared:
            first = self.epoch * self.batches
            return ((number, rank, processes) for number in range(first, first + self.batches))
        return ((number, 0, 1) for number in range(rank, self.batches, processes))


def crop_loader(crops: Crops, num_workers: int = 0) -> DataLoader:
    """Loads the crops of one process; `num_workers` changes nothing but the speed."""
    return _loader(crops, Places(len(crops), shared=True), num_workers)


def clip_loader(clips: WholeClips, num_workers: int = 0) -> DataLoader:
    """Loads whole clips, each in one process only."""
    return _loader(clips, Places(len(clips), shared=False), num_workers)


def _loader(batches: Dataset, places: Places, num_workers: int) -> DataLoader:
    return DataLoader(
        batches,
        batch_size=None,
        sampler=places,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
        generator=torch_stream(0, "loader"),  # it draws a number, which must not come from the global stream
    )


def _rank() -> tuple[int, int]:
    parallel = torch.distributed
    if parallel.is_available() and parallel.is_initialized():
        return parallel.get_rank(), parallel.get_world_size()
    return 0, 1
