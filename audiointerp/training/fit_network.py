"""Fitting raw-waveform networks, with labels or by contrast, and a cache of what was fitted before."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn

from audiointerp.backbones.base import state_digest
from audiointerp.backbones.depths import Readers
from audiointerp.data.augment import Augmentation
from audiointerp.data.crops import Clips, Crops, WholeClips, clip_loader, crop_loader
from audiointerp.study import UserError, at_least, write_atomically
from audiointerp.training.addresses import trainer_settings
from audiointerp.training.contrast import Contrast
from audiointerp.training.going_on import alone_at, epochs_done, resumable, save
from audiointerp.training.quiet import quiet
from audiointerp.training.recognise import Recognition
from audiointerp.training.schedule import Optimisation
from audiointerp.training.watch import Throughput, WeightsSchedule

VERSION = 1
STANDARDISED_ON = 1024


@dataclass(frozen=True)
class NetworkSettings:
    """How a network is trained; every regime of a comparison takes the same steps on batches of the same size.

    Attributes:
        steps: Optimiser steps; where training can be gone on with, rounded up to whole intervals.
        batch: Clips per step, over all devices.
        crop_s: Duration of a crop [s].
        learning_rate: Largest learning rate.
        weight_decay: Decoupled weight decay.
        warm_up: Share of the steps for which the learning rate rises.
        augmentation: What is done to crops.
        temperature: Of the contrastive loss.
        projection: Hidden and output size of the contrastive projection.
        whole_batch: Most whole clips evaluated at once.
        saved_steps: Steps after which the weights are saved into `checkpoints/` of the run, for following them.
        resume_every: About how many steps are between the points that training can be gone on from.
        num_workers: Processes that cut crops; they change nothing but the speed.
    Raises:
        UserError: If a number is too small.
    """

    steps: int = 200
    batch: int = 32
    crop_s: float = 1.0
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    warm_up: float = 0.1
    augmentation: Augmentation = field(default_factory=Augmentation)
    temperature: float = 0.1
    projection: Sequence[int] = (512, 512)
    whole_batch: int = 16
    saved_steps: Sequence[int] = ()
    resume_every: int = 500
    num_workers: int = 0

    def __post_init__(self) -> None:
        at_least(self, steps=1, batch=2, whole_batch=1, resume_every=1, num_workers=0, weight_decay=0, warm_up=0)
        for name in ("crop_s", "learning_rate", "temperature"):
            if not getattr(self, name) > 0:
                raise UserError(f"expected {name} above 0 in NetworkSettings, got {getattr(self, name)}")

    @property
    def intervals(self) -> int:
        """How many intervals there are between the points that training can be gone on from."""
        return max(1, self.steps // self.resume_every)

    @property
    def interval(self) -> int:
        """Optimiser steps of an interval, Lightning's epoch."""
        return math.ceil(self.steps / self.intervals)

    @property
    def optimisation(self) -> Optimisation:
        return Optimisation(self.learning_rate, self.weight_decay, self.warm_up)


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network and how it went.

    Attributes:
        network: With its last weights, on the CPU, in evaluation mode.
        loss: Mean training loss of the last interval, of a short training all of it.
        facts: Clips per second, processor seconds, peak memory, share of time waiting for data.
        logits: Of the evaluated clips in the order asked for, `(N, K)` or `(D, N, K)`; None where there were none.
    """

    network: nn.Module
    loss: float
    facts: dict[str, float]
    logits: Tensor | None = None


@dataclass(frozen=True)
class Workshop:
    """Where networks are fitted.

    Attributes:
        trainer: Builds the Lightning trainer; what a `functools.partial` holds is part of the cache's key.
        folder: The run's folder.
        cache: Cache of trained models.
        logger: What Lightning logs to.
    """

    trainer: Callable[..., pl.Trainer]
    folder: Path
    cache: Path
    logger: object = False

    def contrast(
        self, network: nn.Module, clips: Clips, rows: np.ndarray, settings: NetworkSettings, *, seed: int, name: str
    ) -> FittedNetwork:
        """Trains an encoder without labels.

        Args:
            network: Its first weights; it is not changed.
            clips: The clips.
            rows: Positions of those that are heard.
            settings: How to train.
            seed: Seed of crops, augmentation and projection.
            name: Name for files and logs.
        """
        network = _copy(network).requires_grad_(True)
        crops = self._crops(network, clips, torch.zeros(len(clips), dtype=torch.long), rows, settings, seed, views=2)
        module = Contrast(
            network,
            settings.optimisation,
            settings.augmentation,
            settings.temperature,
            tuple(settings.projection),
            seed,
        )
        module.augmentation = replace(settings.augmentation, mixup=0.0)
        return self._fitted(module, crops, None, settings, seed, name, ("contrast",))

    def recognition(
        self,
        network: nn.Module,
        clips: Clips,
        targets: Tensor,
        train: np.ndarray,
        test: np.ndarray,
        settings: NetworkSettings,
        *,
        seed: int,
        name: str,
    ) -> FittedNetwork:
        """Trains a network, or linear readers of a frozen one, with labels; scores whole clips with its last weights.

        Args:
            network: Its first weights, or `Readers`; it is not changed.
            clips: The clips.
            targets: Class indices int64 `(N,)`, or labels, float `(N, K)`.
            train: Positions of the clips that are trained on.
            test: Positions of the clips that are scored.
            settings: How to train.
            seed: Seed of crops and augmentation.
            name: Name for files and logs.
        """
        network, before = _copy(network), None
        if isinstance(network, Readers):
            network.heads.requires_grad_(True)
            part = train[:: max(1, len(train) // STANDARDISED_ON)]
            before = WholeClips(clips, targets, part, settings.whole_batch)
        else:
            network.requires_grad_(True)
        crops = self._crops(network, clips, targets, train, settings, seed, views=1)
        module = Recognition(
            network,
            settings.optimisation,
            settings.augmentation,
            multilabel=targets.ndim == 2,
            seed=seed,
            heard_before=before,
        )
        whole = WholeClips(clips, targets, test, settings.whole_batch)
        fitted = self._fitted(module, crops, whole, settings, seed, name, ("recognition", test))
        order = torch.from_numpy(np.argsort(np.argsort(test)))
        return replace(fitted, logits=fitted.logits[..., order, :])

    def _crops(
        self, network: nn.Module, clips: Clips, targets: Tensor, rows: np.ndarray, settings: NetworkSettings, seed: int,
        views: int,
    ) -> Crops:  # fmt: skip
        rate = clips.sounds.sample_rate
        length = round(settings.crop_s * rate)
        if length < network.shortest:
            raise UserError(
                f"expected crop_s of at least {network.shortest / rate:g} s ({network.shortest} samples, the shortest "
                f"that {type(network).__name__} takes), got {settings.crop_s}: raise study.training.crop_s and "
                "study.pretraining.crop_s"
            )
        return Crops(clips, targets, rows, min(settings.batch, len(rows)), length, views=views, seed=seed)

    def _fitted(
        self,
        module: pl.LightningModule,
        crops: Crops,
        whole: WholeClips | None,
        settings: NetworkSettings,
        seed: int,
        name: str,
        key: tuple,
    ) -> FittedNetwork:
        store = self.cache / "models" / self._address(module, crops, settings, seed, key)
        found = _found(store, module.network)
        if found is not None and not settings.saved_steps:
            return found
        with alone_at(store, self.trainer):
            found = None if settings.saved_steps else _found(store, module.network)
            return found or self._train(module, crops, whole, settings, name, store)

    def _train(
        self,
        module: pl.LightningModule,
        crops: Crops,
        whole: WholeClips | None,
        settings: NetworkSettings,
        name: str,
        store: Path,
    ) -> FittedNetwork:
        """Trains, scores and keeps what came out in the cache."""
        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        throughput = Throughput()
        held = getattr(self.trainer, "keywords", {})
        crops.batches = settings.interval * int(held.get("accumulate_grad_batches") or 1)
        last = store / "resume" / f"every-{crops.batches}.ckpt"
        callbacks: list[pl.Callback] = [throughput]
        if settings.intervals > 1:
            callbacks.append(ModelCheckpoint(last.parent, last.stem, enable_version_counter=False))
        if settings.saved_steps:
            folder = Path(self.folder) / "checkpoints" / name
            callbacks.append(WeightsSchedule(module.network, folder, settings.saved_steps))
        trainer = self.trainer(
            max_epochs=held.get("max_epochs") or settings.intervals,
            callbacks=callbacks,
            enable_checkpointing=settings.intervals > 1,
            use_distributed_sampler=False,
            logger=self.logger,
            default_root_dir=os.fspath(self.folder),
        )
        loader, going_on = crop_loader(crops, settings.num_workers), resumable(last)
        if going_on:
            # Lightning draws the first batches before it tells the epoch that it goes on with.
            loader.sampler.set_epoch(epochs_done(last))
        with quiet("number of training batches", "have no `val_dataloader`", "in eval mode at the start of training"):
            trainer.fit(module, loader, **going_on)
            loss = float(trainer.callback_metrics.get("train_loss", math.nan))
            if not all(bool(torch.isfinite(value).all()) for value in module.network.parameters()):
                raise UserError(
                    f"expected finite weights, training of {name} diverged with a learning rate of "
                    f"{settings.learning_rate}: lower study.training.learning_rate"
                )
            logits = None
            if whole is not None:
                trainer.validate(module, clip_loader(whole, settings.num_workers), verbose=False)
                logits = module.evaluated[0]
        network = module.network.cpu().eval().requires_grad_(False)
        fitted = FittedNetwork(network, loss, dict(throughput.measured), logits)
        if trainer.is_global_zero:
            _keep(store, fitted)
            last.unlink(missing_ok=True)
        trainer.strategy.barrier()  # what one process finds in the cache from now on, all of them find
        return fitted

    def _address(
        self, module: pl.LightningModule, crops: Crops, settings: NetworkSettings, seed: int, key: tuple
    ) -> str:
        """Hashes everything that the trained weights depend on."""
        trainer = trainer_settings(self.trainer)
        learning = [name for name, value in module.network.named_parameters() if value.requires_grad]
        steps = settings.intervals * settings.interval
        recipe = replace(settings, steps=steps, saved_steps=(), resume_every=1, num_workers=0)
        versions = [version(name) for name in ("torch", "pytorch-lightning")]
        parts = (VERSION, type(module.network).__name__, str(module.network), state_digest(module), learning, recipe)
        digest = hashlib.sha256("|".join(map(str, (*parts, seed, trainer, versions, key[0]))).encode())
        sounds = crops.clips.sounds
        digest.update(f"{sounds.fingerprint}|{sounds.pad}|{crops.length}|{crops.views}|{crops.clips.shortest}".encode())
        for array in (crops.targets.numpy(), crops.rows, *key[1:]):
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _copy(network: nn.Module) -> nn.Module:
    import copy

    return copy.deepcopy(network)


def _found(store: Path, network: nn.Module) -> FittedNetwork | None:
    if not (store / "manifest.json").is_file():
        return None
    facts = json.loads((store / "manifest.json").read_text(encoding="utf-8"))
    network.load_state_dict(torch.load(store / "network.pt", weights_only=True))
    logits = torch.load(store / "logits.pt", weights_only=True) if (store / "logits.pt").is_file() else None
    loss = math.nan if facts["loss"] is None else facts["loss"]
    return FittedNetwork(network.eval().requires_grad_(False), loss, facts["facts"], logits)


def _keep(store: Path, fitted: FittedNetwork) -> None:
    """Writes weights and logits, the manifest last."""
    contents: dict[str, Any] = {"network": fitted.network.state_dict()}
    if fitted.logits is not None:
        contents["logits"] = fitted.logits
    for name, content in contents.items():
        save(store / f"{name}.pt", content)
    loss = fitted.loss if math.isfinite(fitted.loss) else None
    write_atomically(store / "manifest.json", json.dumps({"loss": loss, "facts": fitted.facts}))
