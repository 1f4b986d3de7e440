"""Fitting a VAE, and a cache of what was fitted before."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from audiointerp.backbones.base import state_digest
from audiointerp.disentangle.models import VAE, FactorVAE
from audiointerp.disentangle.vae import ConvVAE
from audiointerp.study import UserError, at_least, write_atomically
from audiointerp.training.addresses import add_rows, trainer_settings
from audiointerp.training.going_on import AT_EACH_EPOCH, alone_at, clear, epochs_done, resumable, save
from audiointerp.training.quiet import quiet
from audiointerp.training.vae import FactorVAETraining, PictureBatches, VAETraining

FORMAT = 1
AT_ONCE = 1024


@dataclass(frozen=True)
class VAESettings:
    """How a VAE is trained; every objective gets the same number of steps.

    Attributes:
        learning_rate: Adam's step size; it falls over the second half of the epochs, unless as published.
        batch: Pictures per batch.
        epochs: Passes over the training pictures.
    Raises:
        UserError: If a number is too small.
    """

    learning_rate: float = 3e-3
    batch: int = 128
    epochs: int = 15

    def __post_init__(self) -> None:
        at_least(self, learning_rate=0, batch=2, epochs=1)


@dataclass(frozen=True)
class FittedVAE:
    """A trained VAE and how it went; `encode` and `decode` as every model's.

    Attributes:
        name: Name of the objective.
        network: Encoder and decoder in evaluation mode, on the CPU.
        history: One dict per epoch: terms of the loss in training and validation.
        seconds: Processor seconds that training took.
    """

    name: str
    network: ConvVAE
    history: list[dict[str, float]]
    seconds: float

    def posterior(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gives means and log-variances of the codes of pictures `(N, F, T)`, each float32 `(N, D)`."""
        means, log_variances = [], []
        with torch.no_grad():
            for part in torch.from_numpy(np.ascontiguousarray(pictures, dtype=np.float32)).split(AT_ONCE):
                posterior = self.network.encode(part)
                means.append(posterior.mean)
                log_variances.append(posterior.log_variance)
        return torch.cat(means).numpy(), torch.cat(log_variances).numpy()

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """Gives the posterior means of pictures `(N, F, T)`, float32 `(N, D)`."""
        return self.posterior(pictures)[0]

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Gives the pictures of codes `(N, D)`, float32 `(N, F, T)`."""
        with torch.no_grad():
            parts = torch.from_numpy(np.ascontiguousarray(codes, dtype=np.float32)).split(AT_ONCE)
            return torch.cat([self.network.decode(part) for part in parts]).numpy()


def training_of(
    model: VAE, shape: tuple[int, int], dataset: int, settings: VAESettings, protocol: str, seed: int
) -> VAETraining:
    """Builds the Lightning module of a model."""
    kind = FactorVAETraining if isinstance(model, FactorVAE) else VAETraining
    return kind(model, shape, dataset, settings.learning_rate, settings.epochs, protocol, seed)


def fit_vae(
    model: VAE,
    make_trainer: Callable[..., pl.Trainer],
    pictures: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    settings: VAESettings,
    *,
    protocol: str = "corrected",
    seed: int,
    folder: str | os.PathLike,
    cache: str | os.PathLike,
    logger: object = False,
    callbacks: list | None = None,
) -> FittedVAE:
    """Trains a VAE on the rows `train`; the losses of the rows `select` are recorded.

    A training that was cut off goes on after its last whole epoch, from the cache, with the same bits.

    Args:
        model: Objective and sizes.
        make_trainer: Builds the Lightning trainer; what a `functools.partial` holds is part of the cache's key.
        pictures: Float32 `(N, F, T)`.
        train: Training rows.
        select: Validation rows.
        settings: How to train.
        protocol: `corrected` or `published`.
        seed: Seed of weights, order and noise.
        folder: Where Lightning works.
        cache: Cache of trained models.
        logger: What Lightning logs to.
        callbacks: Further Lightning callbacks.
    Raises:
        UserError: If training diverges.
    """
    module = training_of(model, pictures.shape[1:], len(train), settings, protocol, seed)
    address = _address(module, make_trainer, pictures, train, select, settings)
    store = Path(cache) / "models" / address
    found = _found(store, module)
    if found is not None:
        return found
    with alone_at(store, make_trainer):
        return _found(store, module) or _train(
            module, make_trainer, pictures, train, select, settings, Path(folder), store, logger, callbacks or []
        )


def _found(store: Path, module: VAETraining) -> FittedVAE | None:
    if not (store / "manifest.json").is_file():
        return None
    facts = json.loads((store / "manifest.json").read_text(encoding="utf-8"))
    module.network.load_state_dict(torch.load(store / "vae.pt", weights_only=True))
    return FittedVAE(module.model.name, module.network.eval(), facts["history"], facts["seconds"])


def _train(
    module: VAETraining,
    make_trainer: Callable[..., pl.Trainer],
    pictures: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    settings: VAESettings,
    folder: Path,
    store: Path,
    logger: object,
    callbacks: list,
) -> FittedVAE:
    """Trains a VAE and keeps it in the cache."""
    began = time.process_time()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    last = store / "resume" / "last.ckpt"
    keeping = ModelCheckpoint(last.parent, last.stem, **AT_EACH_EPOCH)
    trainer = make_trainer(
        max_epochs=settings.epochs,
        logger=logger,
        default_root_dir=os.fspath(folder),
        callbacks=[*callbacks, keeping],
        enable_checkpointing=True,
    )
    other, done = isinstance(module.model, FactorVAE), epochs_done(last)
    batches = PictureBatches(
        *(pictures, train, settings.batch, module.seed),
        other=other,
        epoch=lambda: max(done, module.current_epoch),
    )
    loaders = batches.loader(), PictureBatches(pictures, select, AT_ONCE, module.seed, shuffled=False).loader()
    with quiet():
        trainer.fit(module, *loaders, **resumable(last))
    final = module.history[-1]["val_loss"] if module.history else math.nan
    finite = all(bool(torch.isfinite(value).all()) for value in module.network.parameters())
    if not (math.isfinite(final) and finite):
        raise UserError(
            f"expected a finite validation loss, got {final} with a learning rate of {settings.learning_rate}: lower "
            "study.training.learning_rate"
        )
    network = module.network.cpu().eval()
    fitted = FittedVAE(module.model.name, network, module.history, round(time.process_time() - began, 2))
    save(store / "vae.pt", network.state_dict())
    write_atomically(store / "manifest.json", json.dumps({"history": fitted.history, "seconds": fitted.seconds}))
    clear(last.parent)
    return fitted


def _address(
    module: VAETraining,
    make_trainer: Callable[..., pl.Trainer],
    pictures: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    settings: VAESettings,
) -> str:
    """Hashes everything that the trained weights depend on."""
    trainer = trainer_settings(make_trainer)
    versions = [version(name) for name in ("torch", "pytorch-lightning")]
    recipe = (module.model, module.network, state_digest(module), trainer, settings, module.protocol, module.seed)
    digest = hashlib.sha256("|".join(map(str, (*recipe, versions, FORMAT))).encode())
    for rows in (train, select):
        add_rows(digest, pictures, rows)
    return digest.hexdigest()
