"""What is watched while a network trains: weights on a schedule, clips per second, memory, waiting for data."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from audiointerp.study import peak_rss_mb


class WeightsSchedule(pl.Callback):
    """Saves a network's weights, nothing else, after certain steps, to follow what becomes of it.

    Args:
        network: The network, a part of what is trained.
        folder: Where `step-00000100.pt` and so on go.
        steps: Optimiser steps after which to save; 0 for the first weights.
    """

    def __init__(self, network: nn.Module, folder: str | os.PathLike, steps: Sequence[int]) -> None:
        self.network, self.folder, self.steps = network, Path(folder), frozenset(int(step) for step in steps)
        self._last = -1

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._save(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step
        if step == self._last or step not in self.steps or not trainer.is_global_zero:
            return
        self._last = step
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{step:08d}.pt"
        partial = path.with_suffix(f".{os.getpid()}.part")
        torch.save({name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}, partial)
        os.replace(partial, path)


class Throughput(pl.Callback):
    """Measures a training: clips per second, processor seconds, peak memory, and the share of time without data.

    Attributes:
        measured: `clips_per_s` over all processes, `waiting_share` (from the end of a batch to the arrival of the
            next one, over all time), `processor_s`, `peak_memory_mb` (of the GPU where there is one).
    """

    def __init__(self) -> None:
        self.measured: dict[str, float] = {}
        self._clips, self._waited, self._ended = 0, 0.0, 0.0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(module.device)
        self._begin = self._ended = time.perf_counter()
        self._processor = time.process_time()

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int) -> None:
        self._waited += time.perf_counter() - self._ended

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self._ended = time.perf_counter()
        self._clips += len(batch[0]) * trainer.world_size

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        seconds = max(1e-9, time.perf_counter() - self._begin)
        cuda = module.device.type == "cuda"
        self.measured = {
            "clips_per_s": self._clips / seconds,
            "waiting_share": self._waited / seconds,
            "processor_s": time.process_time() - self._processor,
            "peak_memory_mb": torch.cuda.max_memory_allocated(module.device) / 1e6 if cuda else peak_rss_mb(),
        }
        module.log_dict(self.measured, rank_zero_only=True)
