"""AdamW with a linear warm-up and a cosine decay, for Lightning."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from torch import Tensor


def batch_number(module: pl.LightningModule, index: int) -> int:
    """Gives the number of a training batch, counted over all epochs, also after a resume."""
    return module.current_epoch * int(module.trainer.num_training_batches) + index


def warm_up_cosine(step: int, steps: int, warm_up: float) -> float:
    r"""Gives the learning rate's factor: linear up to 1, then half a cosine down to 0, without restarts.

    Args:
        step: Steps done.
        steps: Steps in all.
        warm_up: Share of the steps for which the rate rises.
    Example:
        >>> [round(warm_up_cosine(step, 10, 0.2), 3) for step in (0, 1, 2, 6, 10)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    rising = max(1, round(warm_up * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))


@dataclass(frozen=True)
class Optimisation:
    """How weights are moved.

    Attributes:
        learning_rate: Largest learning rate.
        weight_decay: Decoupled decay of every parameter with more than one axis.
        warm_up: Share of the steps for which the learning rate rises.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    warm_up: float = 0.1

    def lightning(self, parameters: Iterable[Tensor], steps: int) -> dict:
        """Gives what `configure_optimizers` returns, for the parameters that learn.

        Args:
            parameters: All parameters.
            steps: Optimiser steps in all (`trainer.estimated_stepping_batches`).
        """
        learning = [value for value in parameters if value.requires_grad]
        groups = [
            {"params": [value for value in learning if value.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [value for value in learning if value.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warm_up_cosine(step, int(steps), self.warm_up)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
