"""Training of a network to name classes."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from audiointerp.study import torch_stream


class Classification(pl.LightningModule):
    """Fits a network by cross entropy with AdamW and a one-cycle learning rate.

    Biases and normalisation weights (every parameter with one axis) do not decay.

    Args:
        network: From a batch of inputs to logits `(B, K)`; changed in place.
        learning_rate: Largest learning rate of the cycle.
        weight_decay: Decoupled weight decay.
        label_smoothing: Share of a label's weight that is spread over all classes, in [0, 1).
        warm_up: Share of the steps for which the learning rate rises.
    """

    def __init__(
        self,
        network: nn.Module,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
        label_smoothing: float = 0.0,
        warm_up: float = 0.3,
    ) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.warm_up = warm_up

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        inputs, labels = batch
        loss = F.cross_entropy(self(inputs), labels, label_smoothing=self.label_smoothing)
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(labels))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        inputs, labels = batch
        logits = self(inputs)
        correct = (logits.argmax(1) == labels).float().mean()
        self.log("val_loss", F.cross_entropy(logits, labels), on_epoch=True, batch_size=len(labels))
        self.log("val_accuracy", correct, on_epoch=True, batch_size=len(labels), prog_bar=True)

    def predict_step(self, batch: tuple[Tensor, ...] | list[Tensor], index: int) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> dict:
        parameters = [value for value in self.parameters() if value.requires_grad]
        groups = [
            {"params": [value for value in parameters if value.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [value for value in parameters if value.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=self.warm_up,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def labelled_batches(inputs: Tensor, labels: Tensor, batch: int, *, seed: int | None = None) -> DataLoader:
    """Batches of inputs that fit into memory with their labels.

    Args:
        inputs: Shape `(N, ...)`.
        labels: Class indices, int64 `(N,)`.
        batch: Rows per batch; in training an incomplete last one is left out.
        seed: Rows are shuffled anew each epoch from it; None keeps their order, for validation.
    """
    rows = TensorDataset(inputs, labels)
    # Even in order a loader draws a number, which must not come from the global stream.
    generator = torch_stream(seed or 0, "batches")
    if seed is None:
        return DataLoader(rows, batch_size=batch, generator=generator)
    return DataLoader(rows, batch_size=min(batch, len(rows)), shuffle=True, drop_last=True, generator=generator)
