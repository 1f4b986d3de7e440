"""Fitting an autoencoder, and a cache of what was fitted before."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn

from audiointerp.backbones.base import state_digest
from audiointerp.backbones.harmonic import HarmonicAutoencoder
from audiointerp.backbones.wavenet import WaveNetAutoencoder
from audiointerp.study import UserError, at_least, write_atomically
from audiointerp.training.addresses import add_rows, trainer_settings
from audiointerp.training.autoencode import (
    AutoencoderTraining,
    CropBatches,
    HarmonicTraining,
    WaveNetTraining,
    WholeNotes,
)
from audiointerp.training.going_on import AT_EACH_EPOCH, alone_at, clear, epochs_done, resumable, save
from audiointerp.training.quiet import quiet

FORMAT = 3
AT_ONCE = 32
ALIGN_NOTES = 200
RESUME = "resume"


@dataclass(frozen=True)
class AutoencoderSettings:
    """How an autoencoder is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Crops per step.
        crop_s: Duration of a crop [s]; rounded down to whole hops.
        learning_rate: Largest step size of AdamW.
        align: Whether the code starts on the principal components of the filterbank's levels, not on random channels.
        sketch_share: Share of the steps, the first ones, in which the encoder learns without the decoder: what it is
            to tell of the spectrum. A WaveNet has no such steps.
        sketch: Weight of the spectrum that is read off the code.
        feedback: Share of the decoder's gradient that reaches the encoder, 0 to 1.
        decorrelation: Weight of the correlation between channels.
        pitch: Weight of the pitch that is read off the code of a harmonic autoencoder.
        validations: How often the loss on `select` is measured.
        validation_notes: Most notes that it is measured on.
    Raises:
        UserError: If a number is too small.
    """

    steps: int = 600
    batch: int = 16
    crop_s: float = 0.512
    learning_rate: float = 2e-3
    align: bool = True
    sketch_share: float = 0.4
    sketch: float = 1.0
    feedback: float = 0.5
    decorrelation: float = 0.0
    pitch: float = 0.05
    validations: int = 10
    validation_notes: int = 64

    def __post_init__(self) -> None:
        at_least(self, steps=1, batch=1, crop_s=0.0, learning_rate=0.0, validations=1, validation_notes=1)
        at_least(self, sketch_share=0.0, sketch=0.0, feedback=0.0, decorrelation=0.0, pitch=0.0)


@dataclass(frozen=True)
class FittedAutoencoder:
    """A trained autoencoder and how it went.

    Attributes:
        network: In evaluation mode, on the CPU.
        history: One dict per validation: step, loss in training and on `select`.
        seconds: Processor seconds that training took.
    """

    network: nn.Module
    history: list[dict[str, float]]
    seconds: float

    def encode(self, waveforms: np.ndarray) -> np.ndarray:
        """Gives the codes of waveforms `(N, L)`, float32 `(N, C, T)`."""
        return encode_all(self.network, waveforms)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Gives the waveforms of codes `(N, C, T)`, float32 `(N, T * hop)`."""
        with torch.no_grad():
            parts = torch.from_numpy(np.ascontiguousarray(codes, dtype=np.float32)).split(self.network.at_once)
            return torch.cat([self.network.decode(part) for part in parts]).numpy()


def encode_all(network: nn.Module, waveforms: np.ndarray) -> np.ndarray:
    """Gives the codes of waveforms `(N, L)`, float32 `(N, C, T)`, a few at a time."""
    with torch.no_grad():
        return torch.cat([network.encode(part) for part in torch.from_numpy(waveforms).split(AT_ONCE)]).numpy()


def training_of(network: nn.Module, settings: AutoencoderSettings) -> AutoencoderTraining:
    """Builds the Lightning module of an autoencoder."""
    if isinstance(network, WaveNetAutoencoder):
        return WaveNetTraining(network, settings.learning_rate, settings.steps)
    first = round(settings.sketch_share * settings.steps)
    weights = (settings.sketch, settings.feedback, settings.decorrelation)
    if isinstance(network, HarmonicAutoencoder):
        return HarmonicTraining(network, settings.learning_rate, settings.steps, first, *weights, pitch=settings.pitch)
    return AutoencoderTraining(network, settings.learning_rate, settings.steps, first, *weights)


def fit_autoencoder(
    network: nn.Module,
    make_trainer: Callable[..., pl.Trainer],
    waveforms: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    settings: AutoencoderSettings,
    *,
    seed: int,
    folder: str | os.PathLike,
    cache: str | os.PathLike,
    logger: object = False,
    advance: Callable[[int], object] | None = None,
) -> FittedAutoencoder:
    """Trains an autoencoder on crops of the rows `train`; the loss of the rows `select` is recorded.

    A training that was cut off goes on after its last validation, with the same bits; where another process trains the
    same autoencoder, it is waited for.

    Args:
        network: The autoencoder with its first weights; it is trained in place.
        make_trainer: Builds the Lightning trainer; what a `functools.partial` holds is part of the cache's key.
        waveforms: Float32 `(N, L)`.
        train: Training rows.
        select: Validation rows.
        settings: How to train.
        seed: Seed of the crops.
        folder: Where Lightning works.
        cache: Cache of trained models.
        logger: What Lightning logs to.
        advance: Called with the number of steps done since the last call.
    Raises:
        UserError: If a role is empty, notes are shorter than a hop, or training diverges.
    """
    for role, rows in (("train", train), ("select", select)):
        if not len(rows):
            raise UserError(f"expected notes in the role {role!r}, got none: more groups are needed, or other roles")
    crop = round(settings.crop_s * network.sample_rate) // network.hop * network.hop
    if min(crop, waveforms.shape[1]) < network.hop:
        raise UserError(
            f"expected crops and notes of at least one hop ({network.hop} samples), got {settings.crop_s} s and "
            f"{waveforms.shape[1]} samples: set study.training.crop_s, or a smaller hop (model.hop, model.strides)"
        )
    module = training_of(network, settings)
    held = np.asarray(select)[:: max(1, len(select) // settings.validation_notes)][: settings.validation_notes]
    address = _address(module, make_trainer, waveforms, train, held, settings, seed)
    store = Path(cache) / "models" / address
    fitted = _stored(store, network)
    if fitted is not None:
        return fitted
    with alone_at(store, make_trainer):
        fitted = _stored(store, network)
        if fitted is None:
            logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
            _descend(module, make_trainer, waveforms, train, held, settings, crop, seed, folder, store, logger, advance)
            fitted = FittedAutoencoder(network.cpu().eval(), module.history, round(module.seconds(), 2))
            _keep(store, fitted)
    return fitted


def _stored(store: Path, network: nn.Module) -> FittedAutoencoder | None:
    """Gives the autoencoder if it was trained before."""
    if not (store / "manifest.json").is_file():
        return None
    facts = json.loads((store / "manifest.json").read_text(encoding="utf-8"))
    network.load_state_dict(torch.load(store / "autoencoder.pt", weights_only=True))
    return FittedAutoencoder(network.eval(), facts["history"], facts["seconds"])


def _descend(
    module: AutoencoderTraining,
    make_trainer: Callable[..., pl.Trainer],
    waveforms: np.ndarray,
    train: np.ndarray,
    held: np.ndarray,
    settings: AutoencoderSettings,
    crop: int,
    seed: int,
    folder: str | os.PathLike,
    store: Path,
    logger: object,
    advance: Callable[[int], object] | None,
) -> None:
    """Trains the module, from the validation on after which it was cut off; an epoch ends with a validation.

    Raises:
        UserError: If training diverges.
    """
    network, last = module.network, store / RESUME / "last.ckpt"
    done = epochs_done(last)
    if settings.align and not done and not isinstance(network, WaveNetAutoencoder):
        some = train[:: max(1, len(train) // ALIGN_NOTES)][:ALIGN_NOTES]
        network.encoder.align(torch.from_numpy(waveforms[some][:, : waveforms.shape[1] // network.hop * network.hop]))
    epochs = min(settings.validations, settings.steps)
    ends = np.linspace(0, settings.steps, epochs + 1).round().astype(int)
    batches = CropBatches(
        *(waveforms, train, settings.batch, crop, np.diff(ends).tolist(), seed),
        epoch=lambda: min(max(done, module.current_epoch), epochs - 1),  # where all are done, one batch is still drawn
    )
    if advance:
        advance(int(ends[done]))
    trainer = make_trainer(
        max_epochs=epochs,
        gradient_clip_val=1.0,
        logger=logger,
        default_root_dir=os.fspath(folder),
        enable_checkpointing=True,
        callbacks=[ModelCheckpoint(last.parent, last.stem, **AT_EACH_EPOCH), *([Advance(advance)] if advance else [])],
    )
    with quiet():
        trainer.fit(module, batches.loader(), WholeNotes(waveforms, held, AT_ONCE // 2).loader(), **resumable(last))
    loss = module.history[-1]["val_loss"] if module.history else math.nan
    if not (math.isfinite(loss) and all(bool(torch.isfinite(value).all()) for value in network.parameters())):
        clear(last.parent)
        raise UserError(
            f"expected a finite validation loss, got {loss} with a learning rate of {settings.learning_rate}: lower "
            "study.training.learning_rate"
        )


def _keep(store: Path, fitted: FittedAutoencoder) -> None:
    save(store / "autoencoder.pt", fitted.network.state_dict())
    write_atomically(store / "manifest.json", json.dumps({"history": fitted.history, "seconds": fitted.seconds}))
    clear(store / RESUME)


class Advance(pl.Callback):
    """Moves a progress bar by one step per batch.

    Args:
        advance: Called with 1 after each batch.
    """

    def __init__(self, advance: Callable[[int], object]) -> None:
        self.advance = advance

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *batch: Tensor) -> None:
        self.advance(1)


def _address(
    module: AutoencoderTraining,
    make_trainer: Callable[..., pl.Trainer],
    waveforms: np.ndarray,
    train: np.ndarray,
    held: np.ndarray,
    settings: AutoencoderSettings,
    seed: int,
) -> str:
    """Hashes everything that the trained weights depend on."""
    trainer = trainer_settings(make_trainer)
    versions = [version(name) for name in ("torch", "pytorch-lightning")]
    recipe = (module.network, state_digest(module), trainer, settings, seed, versions, FORMAT)
    digest = hashlib.sha256("|".join(map(str, recipe)).encode())
    for rows in (train, held):
        add_rows(digest, waveforms, rows)
    return digest.hexdigest()
