"""Training of a network behind spectro-temporal filters, clip by clip or frame by frame."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from audiointerp.backbones.strf_network import STRFNetwork
from audiointerp.study import UserError, at_least
from audiointerp.training.classify import Classification, labelled_batches
from audiointerp.training.quiet import quiet


@dataclass(frozen=True)
class STRFTraining:
    """How networks are trained: alike for every front end.

    Attributes:
        epochs: Passes over the training clips; the one with the best validation loss is kept.
        batch: Clips per batch.
        learning_rate: Largest learning rate of the cycle.
        front_end_rate: Factor on it for the few parameters of Gabor filters and learnt bands, which would hardly move.
        weight_decay: Decoupled weight decay of everything with more than one axis.
    Raises:
        UserError: If a number is out of range.
    """

    epochs: int = 10
    batch: int = 32
    learning_rate: float = 5e-3
    front_end_rate: float = 5.0
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        at_least(self, epochs=1, batch=1, learning_rate=1e-9, front_end_rate=0.0, weight_decay=0.0)


class FrontEndClassification(Classification):
    """Classification, or tagging where labels are float, with a learning rate of its own for the front end.

    That is for its parameters with one axis: those of Gabor filters and of learnt bands.

    Args:
        network: The network, changed in place.
        settings: How to train.
    """

    def __init__(self, network: STRFNetwork, settings: STRFTraining) -> None:
        super().__init__(network, settings.learning_rate, settings.weight_decay)
        self.settings = settings

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        loss = self._loss(batch)
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch[1]))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self.log("val_loss", self._loss(batch), on_epoch=True, batch_size=len(batch[1]), prog_bar=True)

    def _loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, labels = batch
        logits = self(inputs)
        tags = labels.is_floating_point()
        return F.binary_cross_entropy_with_logits(logits, labels) if tags else F.cross_entropy(logits, labels)

    def configure_optimizers(self) -> dict:
        front = [*self.network.bands.parameters(), *self.network.strf.parameters()]
        special = {id(value) for value in front if value.requires_grad and value.ndim == 1}
        rest = [value for value in self.parameters() if value.requires_grad and id(value) not in special]
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        groups = [
            ([value for value in rest if value.ndim > 1], rate, decay),
            ([value for value in rest if value.ndim <= 1], rate, 0.0),
            ([value for value in front if id(value) in special], rate * self.settings.front_end_rate, 0.0),
        ]
        groups = [group for group in groups if group[0]]
        optimizer = torch.optim.AdamW(
            [{"params": values, "lr": rate, "weight_decay": decay} for values, rate, decay in groups]
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[rate for _, rate, _ in groups],
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=self.warm_up,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    Attributes:
        network: With the weights of its best epoch, in evaluation mode, on the CPU.
        loss: Its validation loss [nats].
        epoch: The best epoch, from 0.
    """

    network: STRFNetwork
    loss: float
    epoch: int


def fit_network(
    network: STRFNetwork,
    make_trainer: Callable[..., pl.Trainer],
    features: Tensor,
    labels: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    settings: STRFTraining,
    *,
    seed: int,
    folder: str | os.PathLike,
    logger: object = False,
) -> Fitted:
    """Trains a network on the rows `train`, keeps the epoch that is best on the rows `select`.

    Args:
        network: The network, changed in place; its standardisation is measured on `train`.
        make_trainer: Builds the Lightning trainer.
        features: What the network's `front_end` gives, shape `(N, T, P)`.
        labels: Classes, `(N,)`, or `(N, T)` where they are told by frame; several per clip, float `(N, K)`.
        train: Training rows.
        select: Validation rows.
        settings: How to train.
        seed: Seed of the batches.
        folder: Where checkpoints go.
        logger: What Lightning logs to.
    Raises:
        UserError: If training diverges.
    """
    network.fit_standardisation(features[torch.from_numpy(train)])
    targets = torch.from_numpy(labels.astype(np.float32 if labels.dtype.kind == "f" else np.int64))
    best = ModelCheckpoint(dirpath=Path(folder) / "checkpoints", monitor="val_loss", save_top_k=1)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    trainer = make_trainer(
        max_epochs=settings.epochs,
        callbacks=[best],
        enable_checkpointing=True,
        logger=logger,
        default_root_dir=os.fspath(folder),
    )
    module = FrontEndClassification(network, settings)
    with quiet("number of training batches"):
        trainer.fit(
            module,
            labelled_batches(features[torch.from_numpy(train)], targets[train], settings.batch, seed=seed),
            labelled_batches(features[torch.from_numpy(select)], targets[select], settings.batch),
        )
    loss = float(best.best_model_score)
    if not math.isfinite(loss):
        raise UserError(f"expected a finite validation loss, got {loss}: lower study.training.learning_rate")
    state = torch.load(best.best_model_path, weights_only=False)
    module.load_state_dict(state["state_dict"])
    Path(best.best_model_path).unlink()
    return Fitted(network.cpu().eval(), loss, int(state["epoch"]))


def predict(network: STRFNetwork, features: Tensor, batch: int = 64) -> np.ndarray:
    """Logits of features `(N, T, P)`: float32 `(N, K)`, or `(N, K, T)` where classes are told by frame."""
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(part) for part in features.split(batch)]).numpy()
