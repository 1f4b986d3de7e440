"""Training of a factor flow on pairs of sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from audiointerp.disentangle.flow import RESIDUAL, FactorFlow
from audiointerp.disentangle.pairs import PairLikelihood, PairSampler, nats_per_dim, residual_leak
from audiointerp.study import stream


class PairBatches(IterableDataset):
    """Batches of pairs of rows, drawn anew each epoch from (seed, epoch).

    Args:
        scores: Reduced activations, float32 `(N, D)`.
        labels: Integer labels `(N, F)`.
        batch: Pairs per batch.
        batches: Batches per epoch.
        seed: Root seed.
        name: Name of the random stream.
        epoch: Tells the epoch when an iteration starts (Lightning starts a resumed one before any hook is called);
            None for the same pairs every time, as for validation.
    """

    def __init__(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        batch: int,
        batches: int,
        seed: int,
        name: str,
        epoch: Callable[[], int] | None = None,
    ) -> None:
        self.scores = torch.as_tensor(np.ascontiguousarray(scores, dtype=np.float32))
        self.sampler = PairSampler(labels)
        self.batch, self.batches, self.seed, self.name, self.epoch = batch, batches, seed, name, epoch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        rng = stream(self.seed, self.name, self.epoch() if self.epoch else 0)
        for _ in range(self.batches):
            first, second, shared = self.sampler.draw(self.batch, rng)
            yield self.scores[torch.from_numpy(first)], self.scores[torch.from_numpy(second)], torch.from_numpy(shared)


class FlowTraining(pl.LightningModule):
    """Fits a factor flow by the likelihood of pairs; keeps the weights of the best validation epoch.

    Args:
        flow: The flow, changed in place.
        likelihood: The loss of a pair.
        learning_rate: Adam's step size (AdamW).
        weight_decay: Decoupled weight decay.
        penalty: Weight of the residual's leak of factors (see `residual_leak`).
    """

    def __init__(
        self,
        flow: FactorFlow,
        likelihood: PairLikelihood,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        penalty: float = 0.0,
    ) -> None:
        super().__init__()
        self.flow = flow
        self.likelihood = likelihood
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.penalty = penalty
        self.history: list[dict[str, float]] = []

    def pair_losses(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Gives the mean loss of a batch of pairs and the leak of factors into the residual."""
        first, second, shared = batch
        latents, log_det = self.flow(torch.cat([first, second]))
        a, b = latents.chunk(2)
        loss = self.likelihood(a, b, *log_det.chunk(2), shared).mean()
        residual = self.flow.blocks[RESIDUAL]
        return loss, residual_leak(a[:, residual], b[:, residual], shared)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        loss, leak = self.pair_losses(batch)
        self.log("train_nats_per_dim", nats_per_dim(loss.detach(), self.flow.features), on_step=False, on_epoch=True)
        return loss + self.penalty * leak

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> None:
        loss, leak = self.pair_losses(batch)
        nats = nats_per_dim(loss, self.flow.features)
        objective = nats_per_dim(loss + self.penalty * leak, self.flow.features)
        values = {"val_nats_per_dim": nats, "val_leak": leak, "val_objective": objective}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(batch[0]))

    def on_train_epoch_end(self) -> None:
        values = self.trainer.callback_metrics
        self.history.append({"epoch": self.current_epoch + 1} | {name: float(value) for name, value in values.items()})

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["history"] = list(self.history)

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.history = list(checkpoint["history"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, foreach=True)


def pair_loaders(train: PairBatches, validate: PairBatches) -> tuple[DataLoader, DataLoader]:
    """Wraps ready-made batches for Lightning; they are drawn in this process, no worker is needed."""
    return DataLoader(train, batch_size=None), DataLoader(validate, batch_size=None)
