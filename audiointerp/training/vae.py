"""Training of variational autoencoders, the one with a discriminator included."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from audiointerp.disentangle.models import VAE, FactorVAE
from audiointerp.disentangle.objectives import (
    discriminator_error,
    kl_per_dimension,
    permute_dimensions,
    total_correlation_of,
)
from audiointerp.disentangle.vae import Posterior
from audiointerp.study import stream, torch_stream


class PictureBatches(IterableDataset):
    """Batches of pictures in an order drawn anew each epoch from (seed, epoch), an incomplete last one left out.

    Args:
        pictures: Float32 `(N, F, T)`; they are not copied.
        rows: Which of them.
        batch: Pictures per batch; with fewer rows, all of them.
        seed: Root seed.
        other: Whether each batch comes with a second one of the same size, drawn apart from it.
        shuffled: Whether to shuffle at all; if not, every picture is given, in order.
        epoch: Tells the epoch when an iteration starts; Lightning starts a resumed one before any hook is called.
    """

    def __init__(
        self,
        pictures: np.ndarray,
        rows: np.ndarray,
        batch: int,
        seed: int,
        *,
        other: bool = False,
        shuffled: bool = True,
        epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        self.pictures = torch.as_tensor(np.ascontiguousarray(pictures, dtype=np.float32))
        self.rows = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        self.batch, self.seed, self.other, self.shuffled = min(batch, len(self.rows)), seed, other, shuffled
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        if not self.shuffled:
            yield from ((self.pictures[part],) for part in self.rows.split(self.batch))
            return
        names = ["pictures", "other pictures"][: 1 + self.other]
        orders = [
            self.rows[torch.from_numpy(stream(self.seed, name, self.epoch()).permutation(len(self.rows)))]
            for name in names
        ]
        for start in range(0, len(self.rows) - self.batch + 1, self.batch):
            yield tuple(self.pictures[order[start : start + self.batch]] for order in orders)

    def loader(self) -> DataLoader:
        """Wraps the batches for Lightning; they come from memory, no worker is needed."""
        return DataLoader(self, batch_size=None)


class VAETraining(pl.LightningModule):
    """Fits a VAE with Adam.

    The noise of an epoch comes from (seed, epoch), so that training resumes with the same bits.

    Args:
        model: Objective and sizes.
        shape: Mel bands and frames of a picture.
        dataset: Number of training pictures.
        learning_rate: Adam's step size in the first half, then falling linearly by epoch (`published`: constant).
        epochs: Number of epochs.
        protocol: `corrected` or `published`.
        seed: Seed of weights and noise.
    """

    def __init__(
        self,
        model: VAE,
        shape: tuple[int, int],
        dataset: int,
        learning_rate: float = 3e-3,
        epochs: int = 15,
        protocol: str = "corrected",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model, self.dataset, self.learning_rate, self.epochs = model, dataset, learning_rate, epochs
        self.protocol, self.seed = protocol, seed
        self.network = model.network(shape, seed)
        self.history: list[dict[str, float]] = []
        self._noise = torch_stream(seed, "codes", 0)

    def losses(self, pictures: Tensor) -> tuple[dict[str, Tensor], Posterior, Tensor]:
        """Gives the terms of the loss of a batch (`loss` is their sum), its posterior and one draw of codes."""
        posterior = self.network.encode(pictures)
        codes = posterior.sample(self._noise)
        terms = {
            "reconstruction": self.model.reconstruction(pictures, self.network.decode(codes), self.protocol),
            "regulariser": self.model.regulariser(posterior, codes, self.dataset, self.protocol),
        }
        return {"loss": terms["reconstruction"] + terms["regulariser"], **terms}, posterior, codes

    def on_train_epoch_start(self) -> None:
        self._noise = torch_stream(self.seed, "codes", self.current_epoch)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.rate(self.current_epoch)

    def rate(self, epoch: int) -> float:
        """Gives the learning rate of an epoch, counted from 0."""
        if self.protocol == "published":
            return self.learning_rate
        return self.learning_rate * min(1.0, 2 * (self.epochs - epoch) / (self.epochs + 1))

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:
        terms, _, _ = self.losses(batch[0])
        self._tell("train", terms, len(batch[0]))
        return terms["loss"]

    def on_validation_epoch_start(self) -> None:
        self._noise = torch_stream(self.seed, "validation codes")

    def validation_step(self, batch: tuple[Tensor, ...], index: int) -> None:
        terms, posterior, _ = self.losses(batch[0])
        kl = kl_per_dimension(posterior.mean, posterior.log_variance).sum(1).mean()
        error = (self.network.decode(posterior.mean) - batch[0]).square().mean()
        self._tell("val", {**terms, "kl": kl, "squared_error": error}, len(batch[0]))

    def on_train_epoch_end(self) -> None:
        values = self.trainer.callback_metrics
        self.history.append({"epoch": self.current_epoch + 1} | {name: float(value) for name, value in values.items()})

    def configure_optimizers(self) -> torch.optim.Optimizer | list[torch.optim.Optimizer]:
        return torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, foreach=True)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["history"] = list(self.history)

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.history = list(checkpoint["history"])

    def _tell(self, stage: str, terms: dict[str, Tensor], size: int) -> None:
        values = {f"{stage}_{name}": value.detach() for name, value in terms.items()}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=size)


class FactorVAETraining(VAETraining):
    """Fits a Factor-VAE: the network and its discriminator take turns, each with an optimiser of its own.

    The discriminator learns from the codes of one batch and the permuted codes of another, cut off from the encoder.
    `published`: it learns from codes drawn anew from the same batch, not cut off, so that its loss also moves the
    encoder. Arguments as in `VAETraining`; the model is a Factor-VAE.
    """

    def __init__(
        self,
        model: FactorVAE,
        shape: tuple[int, int],
        dataset: int,
        learning_rate: float = 3e-3,
        epochs: int = 15,
        protocol: str = "corrected",
        seed: int = 0,
    ) -> None:
        super().__init__(model, shape, dataset, learning_rate, epochs, protocol, seed)
        self.automatic_optimization = False
        self.discriminator = model.discriminator(seed)

    def losses(self, pictures: Tensor) -> tuple[dict[str, Tensor], Posterior, Tensor]:
        terms, posterior, codes = super().losses(pictures)
        drawn = posterior.sample(self._noise) if self.protocol == "published" else codes
        correlation = total_correlation_of(self.discriminator(drawn)).mean()
        terms = {**terms, "total_correlation": correlation, "loss": terms["loss"] + self.model.gamma * correlation}
        return terms, posterior, codes

    def discriminator_loss(self, codes: Tensor, other: Tensor) -> Tensor:
        """Gives the discriminator's loss.

        Args:
            codes: Codes of a batch, `(B, D)`.
            other: Codes whose dimensions are permuted, `(B, D)`.
        """
        if self.protocol != "published":
            codes, other = codes.detach(), other.detach()
        return discriminator_error(
            self.discriminator(codes), self.discriminator(permute_dimensions(other, self._noise))
        )

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> None:
        pictures, others = batch
        first, second = self.optimizers()
        published = self.protocol == "published"
        self.discriminator.requires_grad_(False)
        terms, posterior, codes = self.losses(pictures)
        first.zero_grad()
        self.manual_backward(terms["loss"], retain_graph=published)
        self.discriminator.requires_grad_(True)
        if published:
            error = self.discriminator_loss(posterior.sample(self._noise), posterior.sample(self._noise))
        else:
            with torch.no_grad():
                other = self.network.encode(others).sample(self._noise)
            error = self.discriminator_loss(codes, other)
        second.zero_grad()
        self.manual_backward(error)
        first.step()
        second.step()
        self._tell("train", {**terms, "discriminator": error}, len(pictures))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        rate = self.model.discriminator_rate
        return [
            torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, foreach=True),
            torch.optim.Adam(self.discriminator.parameters(), lr=rate, betas=(0.5, 0.9), foreach=True),
        ]
