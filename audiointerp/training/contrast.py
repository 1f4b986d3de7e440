"""Contrastive training without labels: SimCLR on two crops of a clip, its negatives from all devices."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiointerp.backbones.blocks import unit_peak
from audiointerp.backbones.yamnet import initialise
from audiointerp.data.augment import Augmentation
from audiointerp.study import stream
from audiointerp.training.schedule import Optimisation, batch_number


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.1) -> Tensor:
    r"""Gives the normalised temperature-scaled cross entropy of pairs.

    For each of the :math:`2N` projections :math:`z_i` with partner :math:`z_j`,

    .. math:: \ell_i = -\log \frac{e^{\cos(z_i, z_j)/\tau}}{\sum_{k \ne i} e^{\cos(z_i, z_k)/\tau}},

    so that each has :math:`2N - 2` negatives; the mean over all :math:`2N`. Run in several processes, the rows of all
    of them are the negatives of each, in the order of the processes, and gradients go back to where the rows came
    from: the mean of the processes' losses, and its gradient, is that of one process with the whole batch.

    Args:
        first: Projections of the first crops, shape `(N, D)`, at least two pairs over all processes.
        second: Those of the second crops, shape `(N, D)`.
        temperature: :math:`\tau`.
    Raises:
        ValueError: If shapes differ, there is a single pair, or the temperature is not positive.
    References:
        A simple framework for contrastive learning of visual representations (Chen et al., 2020), equation 1.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"expected two (N, D) of one shape, got {tuple(first.shape)} and {tuple(second.shape)}")
    if not temperature > 0:
        raise ValueError(f"expected a temperature above 0, got {temperature}")
    with torch.autocast(first.device.type, enabled=False):  # half precision would round similarities over temperature
        precise = torch.promote_types(first.dtype, torch.float32)
        mine = F.normalize(torch.stack([first, second], dim=1).to(precise), dim=-1)
        rank, everyone = gather(mine)
        if len(everyone) < 2:
            raise ValueError("expected at least two pairs, a single one has no negatives: take a larger batch")
        own = torch.arange(2 * len(mine), device=mine.device) + 2 * rank * len(mine)
        similarity = mine.flatten(0, 1) @ everyone.flatten(0, 1).T / temperature
        similarity = similarity.scatter(1, own[:, None], -torch.inf)
        return F.cross_entropy(similarity, own ^ 1)  # the partner of row 2k is 2k + 1


def gather(rows: Tensor) -> tuple[int, Tensor]:
    """Gathers the rows of all processes, in their order; differentiable.

    Args:
        rows: Shape `(N, ...)`, the same in all processes.
    Returns:
        This process's rank, and the rows of all, shape `(processes * N, ...)`.
    """
    parallel = torch.distributed
    if not (parallel.is_available() and parallel.is_initialized()) or parallel.get_world_size() == 1:
        return 0, rows
    return parallel.get_rank(), _Gather.apply(rows)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        torch.distributed.all_reduce(gradient)  # what the losses of all processes ask of each row
        return gradient.chunk(torch.distributed.get_world_size())[torch.distributed.get_rank()]


class Projection(nn.Sequential):
    """The multi-layer perceptron between embedding and loss, thrown away after training.

    Args:
        inputs: Size of the embedding.
        hidden: Size of the hidden layer.
        outputs: Size of the projection.
        seed: Seed of the first weights.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):  # layers draw weights of their own first
            super().__init__(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
        initialise(self, seed)


class Contrast(pl.LightningModule):
    """Fits a network's encoder so that two crops of a clip lie nearer to each other than to all other crops.

    Args:
        network: With `features` and `encode`; changed in place, its classifier stays as it is.
        optimisation: How weights are moved.
        augmentation: What is done to each crop by itself; None for nothing.
        temperature: Of the loss.
        projection: Sizes of the hidden layer and of the projection.
        seed: Seed of projection and augmentation.
    """

    def __init__(
        self,
        network: nn.Module,
        optimisation: Optimisation,
        augmentation: Augmentation | None = None,
        temperature: float = 0.1,
        projection: tuple[int, int] = (512, 512),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.network.classifier.requires_grad_(False)
        self.projection = Projection(network.embed.out_features, *projection, seed)
        self.optimisation = optimisation
        self.augmentation = augmentation
        self.temperature = temperature
        self.seed = seed

    def forward(self, features: Tensor) -> Tensor:
        return self.projection(self.network.encode(features))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        crops = unit_peak(batch[0])
        views = []
        for view in range(2):
            waveforms = crops[:, view]
            if self.augmentation is not None:
                rng = stream(self.seed, "augment", batch_number(self, index), self.global_rank, view)
                waveforms = self.augmentation(waveforms, rng)
            views.append(waveforms)
        projections = self(self.network.features(torch.cat(views)))
        loss = nt_xent(*projections.chunk(2), self.temperature)
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(crops), sync_dist=True)
        return loss

    def configure_optimizers(self) -> dict:
        return self.optimisation.lightning(self.parameters(), self.trainer.estimated_stepping_batches)
