"""Training of a raw-waveform network to name what is heard: one class per clip, or several labels."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiointerp.backbones.blocks import unit_peak
from audiointerp.data.augment import Augmentation, mixup
from audiointerp.data.crops import WholeClips
from audiointerp.study import stream
from audiointerp.training.schedule import Optimisation, batch_number


def scores(logits: Tensor, targets: Tensor) -> dict[str, float]:
    r"""Measures how well whole clips are recognised.

    Average precision and the area under the ROC curve are means over the classes that some clips have and some lack;
    :math:`d' = \sqrt 2\,\Phi^{-1}(\mathrm{mAUC})`. The accuracy is told where each clip has one class.

    Args:
        logits: Shape `(N, K)`.
        targets: Class indices, int64 `(N,)`, or labels, `(N, K)`.
    Returns:
        `mAP`, `mAUC`, `d_prime` (infinite where the area is 1), `scored_classes`, and for one class per clip
        `accuracy` and `balanced_accuracy` (the mean over classes).
    Raises:
        ValueError: If no class is found in some clips and missing in others.
    """
    from torchmetrics.functional.classification import multiclass_accuracy, multilabel_auroc
    from torchmetrics.functional.classification import multilabel_average_precision as average_precision

    labels = targets if targets.ndim == 2 else F.one_hot(targets, logits.shape[1])
    labels = (labels > 0.5).long()
    mixed = (labels.amax(0) > 0) & (labels.amin(0) < 1)
    count = int(mixed.sum())
    if count == 0:
        raise ValueError("expected a class that some clips have and others lack, there is none: evaluate more clips")
    # Ranks do not change under the softmax of a clip with all its classes only, so it is taken before the choice.
    chances = logits.sigmoid() if targets.ndim == 2 else logits.softmax(1)
    chances, labels = chances[:, mixed].double(), labels[:, mixed]
    area = float(multilabel_auroc(chances, labels, count, average=None).mean())
    measured = {
        "mAP": float(average_precision(chances, labels, count, average=None).mean()),
        "mAUC": area,
        "d_prime": d_prime(area),
        "scored_classes": count,
    }
    if targets.ndim == 1:
        each = multiclass_accuracy(logits, targets, logits.shape[1], average="none")
        measured["accuracy"] = float((logits.argmax(1) == targets).float().mean())
        measured["balanced_accuracy"] = float(each[torch.bincount(targets, minlength=logits.shape[1]) > 0].mean())
    return measured


def d_prime(area: float) -> float:
    """Gives the distance of two unit normal distributions whose ROC curve encloses `area`.

    Example:
        >>> d_prime(0.5), round(d_prime(0.954), 2), d_prime(1.0)
        (0.0, 2.38, inf)
    """
    from scipy.special import ndtri

    return float(math.sqrt(2.0) * ndtri(area))


class Recognition(pl.LightningModule):
    """Fits a network by cross entropy (one class per clip) or binary cross entropy (labels), with augmentation.

    Crops are scaled to unit peak, augmented where they lie, and go through `network.features`; a clip is evaluated
    whole, through `network.front_end`. Only parameters that require a gradient learn. A network that gives several
    sets of logits, `(D, B, K)`, has them all trained at once and independently, as no two share a parameter.

    Args:
        network: With `features`, `front_end` and `forward`; changed in place.
        optimisation: How weights are moved.
        augmentation: What is done to crops; None for nothing.
        multilabel: Whether a clip may have several classes.
        seed: Seed of the augmentation.
        heard_before: Clips that `network.standardise` hears before training, where it is; None for none.
    Attributes:
        evaluated: After an evaluation: logits `(N, K)` or `(D, N, K)`, targets and positions `(N,)`, sorted by
            position, of all processes.
    """

    def __init__(
        self,
        network: nn.Module,
        optimisation: Optimisation,
        augmentation: Augmentation | None = None,
        multilabel: bool = False,
        seed: int = 0,
        heard_before: WholeClips | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.heard_before = heard_before
        self.multilabel = multilabel
        self.optimisation = optimisation
        self.augmentation = augmentation
        self.seed = seed
        self.evaluated: tuple[Tensor, Tensor, Tensor] | None = None
        self._heard: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, features: Tensor) -> Tensor:
        return self.network(features)

    def on_fit_start(self) -> None:
        clips = self.heard_before
        if clips is not None:  # all of them in each process: what is standardised is the same everywhere
            self.network.standardise(clips[part, 0, 1][0].to(self.device) for part in range(len(clips)))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        crops, targets = batch
        if self.augmentation is not None:
            rng = stream(self.seed, "augment", batch_number(self, index), self.global_rank)
            crops = self.augmentation(unit_peak(crops), rng)
            if self.augmentation.mixup:
                crops, targets = self.mix(crops, targets, rng)
            logits = self(self.network.features(crops))
        else:
            logits = self(self.network.front_end(crops))
        loss = recognition_loss(logits, targets, self.multilabel)
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(crops), sync_dist=True)
        return loss

    def mix(self, crops: Tensor, targets: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Mixes pairs of crops and their targets; class indices become shares per class."""
        if targets.ndim == 1:
            targets = F.one_hot(targets, len(self.network.output_names)).to(crops.dtype)
        return mixup(crops, targets, rng, self.augmentation.mixup)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> None:
        waveforms, targets, positions = batch
        logits = self(self.network.front_end(waveforms))
        self._heard.append((logits.float().cpu(), targets.cpu(), positions.cpu()))

    def on_validation_epoch_end(self) -> None:
        heard, self._heard = self._heard, []
        if self.trainer.world_size > 1:
            parts: list = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, heard)
            heard = [item for part in parts for item in part]
        positions = torch.cat([item[2] for item in heard])
        order = positions.argsort()
        logits = torch.cat([item[0] for item in heard], dim=-2)[..., order, :]
        self.evaluated = logits, torch.cat([item[1] for item in heard])[order], positions[order]
        if logits.ndim == 2 and not self.trainer.sanity_checking:
            self.log_dict({f"val_{name}": value for name, value in self.measured().items() if math.isfinite(value)})

    def measured(self) -> Mapping[str, float]:
        """Gives the scores of the last evaluation; none where the clips have too few classes."""
        try:
            return scores(*self.evaluated[:2])
        except ValueError:
            return {}

    def configure_optimizers(self) -> dict:
        return self.optimisation.lightning(self.parameters(), self.trainer.estimated_stepping_batches)


def recognition_loss(logits: Tensor, targets: Tensor, multilabel: bool = False) -> Tensor:
    """Gives cross entropy where classes exclude one another, binary cross entropy where they do not.

    Args:
        logits: Shape `(B, K)`, or `(D, B, K)`, of which the losses are summed.
        targets: Class indices int64 `(B,)`, or shares or labels, float `(B, K)`.
        multilabel: Whether a clip may have several classes.
    """
    if logits.ndim == 3:
        return torch.stack([recognition_loss(part, targets, multilabel) for part in logits]).sum()
    if multilabel:
        return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))
    return F.cross_entropy(logits, targets)
