"""Fitting a factor flow: aligned start, pair likelihood, early stopping, and a cache of what was fitted before."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from audiointerp.backbones.base import state_digest
from audiointerp.disentangle.flow import RESIDUAL, FactorFlow
from audiointerp.disentangle.pairs import PairLikelihood, label_matrix, nats_per_dim
from audiointerp.provenance import UNHASHED_TRAINER
from audiointerp.study import UserError, write_atomically
from audiointerp.training.flow import FlowTraining, PairBatches, pair_loaders
from audiointerp.training.going_on import AT_EACH_EPOCH, alone_at, epochs_done, resumable, save, stopped_after

VALIDATION_PAIRS = 4096


@dataclass(frozen=True)
class FlowSettings:
    """How a flow is trained.

    Attributes:
        sigma: Correlation of two sounds that share a class, on the factor's dimensions.
        learning_rate: Adam's step size.
        weight_decay: Decoupled weight decay.
        batch: Pairs per batch.
        pairs_per_sound: Pairs drawn per training sound in an epoch.
        most_batches: Most batches of an epoch: with many sounds, training is validated before all have had their turn.
        form: Pair loss: `normalised`, or a published one (`no-log`, `gyoza`, `iin`).
        penalty: Weight of the residual's leak of factors.
        align: Whether blocks start on the directions that separate the class means.
        epochs: Most epochs.
        patience: Epochs without a better validation likelihood before training stops.
    """

    sigma: float = 0.9
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    batch: int = 512
    pairs_per_sound: float = 8.0
    most_batches: int = 200
    form: str = "normalised"
    penalty: float = 0.0
    align: bool = True
    epochs: int = 60
    patience: int = 8

    def batches(self, sounds: int) -> int:
        """Gives the batches of an epoch, at least one.

        Example:
            >>> FlowSettings(batch=512, pairs_per_sound=8.0).batches(6400)
            100
            >>> FlowSettings(batch=512, pairs_per_sound=8.0, most_batches=200).batches(64000)
            200
        """
        return max(1, min(self.most_batches, round(sounds * self.pairs_per_sound / self.batch)))


@dataclass(frozen=True)
class FittedFlow:
    """A trained flow and how it went.

    Attributes:
        flow: The flow with the weights of its best epoch, in evaluation mode.
        nats_per_dim: Validation loss of the best epoch, of the normalised form a likelihood.
        epochs: Epochs run.
        round_trip: Largest error of inverse(forward) on the training rows.
    """

    flow: FactorFlow
    nats_per_dim: float
    epochs: int
    round_trip: float


def fit_flow(
    make_flow: Callable[..., FactorFlow],
    make_trainer: Callable[..., pl.Trainer],
    scores: np.ndarray,
    labels: Mapping[str, np.ndarray],
    train: np.ndarray,
    select: np.ndarray,
    blocks: Mapping[str, int],
    settings: FlowSettings,
    *,
    seed: int,
    folder: str | os.PathLike,
    cache: str | os.PathLike,
    logger: object = False,
) -> FittedFlow:
    """Trains a flow on the rows `train`, stops by the likelihood of pairs of the rows `select`.

    A training that was cut off goes on after its last whole epoch, from the cache, with the same bits.

    Args:
        make_flow: Builds the flow from features, blocks and seed.
        make_trainer: Builds the Lightning trainer; what a `functools.partial` holds is part of the cache's key.
        scores: Reduced activations, shape `(N, D)`.
        labels: Factor names to integer labels, each `(N,)`.
        train: Training rows.
        select: Validation rows.
        blocks: Factor names to block sizes.
        settings: How to train.
        seed: Seed of the initial values and of the pairs.
        folder: Where checkpoints go.
        cache: Cache of trained models.
        logger: What Lightning logs to.
    Raises:
        UserError: If training diverges before it got anywhere.
    """
    flow = make_flow(features=scores.shape[1], blocks=blocks, seed=seed)
    rows = label_matrix(labels, list(blocks))
    address = _address(flow, make_trainer, scores, rows, train, select, settings, seed)
    store = Path(cache) / "models" / address
    found = _found(store, flow)
    if found is not None:
        return found
    with alone_at(store):
        return _found(store, flow) or _train(
            flow, make_trainer, scores, labels, rows, train, select, settings, seed, Path(folder), store, logger
        )


def _found(store: Path, flow: FactorFlow) -> FittedFlow | None:
    if not (store / "manifest.json").is_file():
        return None
    facts = json.loads((store / "manifest.json").read_text(encoding="utf-8"))
    flow.load_state_dict(torch.load(store / "flow.pt", weights_only=True))
    return FittedFlow(flow.eval(), facts["nats_per_dim"], facts["epochs"], facts["round_trip"])


def _train(
    flow: FactorFlow,
    make_trainer: Callable[..., pl.Trainer],
    scores: np.ndarray,
    labels: Mapping[str, np.ndarray],
    rows: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    settings: FlowSettings,
    seed: int,
    folder: Path,
    store: Path,
    logger: object,
) -> FittedFlow:
    """Trains a flow and keeps it in the cache."""
    factors = {name: part for name, part in flow.blocks.items() if name != RESIDUAL}
    if settings.align:
        flow.align(torch.from_numpy(scores[train]), {name: torch.from_numpy(labels[name][train]) for name in factors})
    likelihood = PairLikelihood(factors, settings.sigma, settings.form)
    module = FlowTraining(flow, likelihood, settings.learning_rate, settings.weight_decay, settings.penalty)
    last = store / "resume" / "last.ckpt"
    going_on, done = resumable(last), epochs_done(last)
    loaders = pair_loaders(
        PairBatches(
            *(scores[train], rows[train], settings.batch, settings.batches(len(train)), seed, "pairs"),
            epoch=lambda: max(done, module.current_epoch),
        ),
        PairBatches(scores[select], rows[select], VALIDATION_PAIRS, 1, seed, "validation pairs"),
    )
    best = ModelCheckpoint(last.parent, "best", monitor="val_objective", **AT_EACH_EPOCH)
    latest = ModelCheckpoint(last.parent, last.stem, **AT_EACH_EPOCH)  # after `best`, whose state is part of it
    stop = EarlyStopping("val_objective", patience=settings.patience)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    trainer = make_trainer(
        max_epochs=stopped_after(last, settings.patience) or settings.epochs,
        callbacks=[stop, best, latest],
        enable_checkpointing=True,
        logger=logger,
        default_root_dir=os.fspath(folder),
    )
    with warnings.catch_warnings():
        # Batches come ready-made from memory: workers would only copy them.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*deprecated.*")
        trainer.fit(module, *loaders, **going_on)
    if not math.isfinite(float(best.best_model_score)):
        raise UserError(
            f"expected a finite validation loss, got {float(best.best_model_score)} with a learning rate of "
            f"{settings.learning_rate}: lower study.training.learning_rate"
        )
    state = torch.load(best.best_model_path, weights_only=True)["state_dict"]
    module.load_state_dict(state)
    flow = module.flow.cpu().eval()
    fitted = FittedFlow(
        flow, validation_nats(module, loaders[1]), trainer.current_epoch, round_trip(flow, scores[train])
    )
    save(store / "flow.pt", flow.state_dict())
    facts = {"nats_per_dim": fitted.nats_per_dim, "epochs": fitted.epochs, "round_trip": fitted.round_trip}
    if trainer.is_global_zero:
        kept = folder / "checkpoints" / f"flow-seed{seed}.ckpt"
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(best.best_model_path, kept)
    write_atomically(store / "manifest.json", json.dumps(facts))
    trainer.strategy.barrier()
    if trainer.is_global_zero:
        shutil.rmtree(last.parent, ignore_errors=True)
    return fitted


def validation_nats(module: FlowTraining, batches: Iterable[tuple[torch.Tensor, ...]]) -> float:
    """Gives the validation loss in nats per dimension."""
    module = module.cpu().eval()
    with torch.no_grad():
        losses = [float(module.pair_losses(batch)[0]) for batch in batches]
    return nats_per_dim(float(np.mean(losses)), module.flow.features)


def round_trip(flow: FactorFlow, scores: np.ndarray) -> float:
    """Gives the largest error of inverse(forward) over rows `(N, D)`."""
    rows = torch.from_numpy(np.ascontiguousarray(scores))
    with torch.no_grad():
        return float((flow.inverse(flow(rows)[0]) - rows).abs().max())


def _address(
    flow: FactorFlow,
    make_trainer: Callable[..., pl.Trainer],
    scores: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    settings: FlowSettings,
    seed: int,
) -> str:
    """Hashes everything that the trained weights depend on."""
    held = getattr(make_trainer, "keywords", {})
    trainer = {name: held[name] for name in sorted(held) if name not in UNHASHED_TRAINER}
    versions = [version(name) for name in ("torch", "nflows", "pytorch-lightning")]
    recipe = (flow, state_digest(flow), flow.blocks, trainer, settings, seed, versions, 5)
    digest = hashlib.sha256("|".join(map(str, recipe)).encode())
    for array in (scores, labels, train, select):
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
