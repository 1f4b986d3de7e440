"""Fitting a factor flow: aligned start, pair likelihood, early stopping, and a cache of what was fitted before."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from audiointerp.backbones.base import state_digest
from audiointerp.disentangle.flow import RESIDUAL, FactorFlow
from audiointerp.disentangle.pairs import PairLikelihood, label_matrix, nats_per_dim
from audiointerp.study import UserError, write_atomically
from audiointerp.training.addresses import trainer_settings
from audiointerp.training.flow import FlowTraining, PairBatches, pair_loaders
from audiointerp.training.going_on import (
    AT_EACH_EPOCH,
    alone_at,
    clear,
    epochs_done,
    resumable,
    save,
    stopped_after,
)
from audiointerp.training.quiet import quiet
from audiointerp.training.side_by_side import one_thread, side_by_side

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
        history: One dict per epoch: losses in training and validation, in nats per dimension.
    """

    flow: FactorFlow
    nats_per_dim: float
    epochs: int
    round_trip: float
    history: list[dict[str, float]]


@dataclass(frozen=True)
class FlowFit:
    """One flow to be trained on the rows `train`, stopped by the likelihood of pairs of the rows `select`.

    Attributes:
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
    """

    make_flow: Callable[..., FactorFlow]
    make_trainer: Callable[..., pl.Trainer]
    scores: np.ndarray
    labels: Mapping[str, np.ndarray]
    train: np.ndarray
    select: np.ndarray
    blocks: Mapping[str, int]
    settings: FlowSettings
    seed: int
    folder: str | os.PathLike
    cache: str | os.PathLike

    def fit(self) -> FittedFlow:
        """Gives the flow from the cache, or trains it.

        Raises:
            UserError: If training diverges before it got anywhere.
        """
        return self.stored() or self.run()

    def stored(self) -> FittedFlow | None:
        """Gives the flow if it was trained before."""
        store = self._store
        if not (store / "manifest.json").is_file():
            return None
        flow = self._start()
        facts = json.loads((store / "manifest.json").read_text(encoding="utf-8"))
        flow.load_state_dict(torch.load(store / "flow.pt", weights_only=True))
        return FittedFlow(flow.eval(), **facts)

    def run(self) -> FittedFlow:
        """Trains the flow on one thread (a second one gains nothing) and keeps it.

        A training that was cut off goes on after its last whole epoch, with the same bits; where another process
        trains the same flow, it is waited for.

        Raises:
            UserError: If training diverges before it got anywhere.
        """
        with alone_at(self._store, self.make_trainer):
            return self.stored() or self._train()

    def _train(self) -> FittedFlow:
        with one_thread():
            flow, settings = self._start(), self.settings
            if settings.align:
                labels = {name: torch.from_numpy(self.labels[name][self.train]) for name in self.blocks}
                flow.align(torch.from_numpy(self.scores[self.train]), labels)
            factors = {name: part for name, part in flow.blocks.items() if name != RESIDUAL}
            likelihood = PairLikelihood(factors, settings.sigma, settings.form)
            module = FlowTraining(flow, likelihood, settings.learning_rate, settings.weight_decay, settings.penalty)
            rows = label_matrix(self.labels, list(self.blocks))
            batches, done = settings.batches(len(self.train)), epochs_done(self._last)
            loaders = pair_loaders(
                PairBatches(
                    *(self.scores[self.train], rows[self.train], settings.batch, batches, self.seed, "pairs"),
                    epoch=lambda: max(done, module.current_epoch),
                ),
                PairBatches(
                    *(self.scores[self.select], rows[self.select], VALIDATION_PAIRS, 1, self.seed, "validation pairs")
                ),
            )
            epochs = self._descend(module, loaders)
            flow = module.flow.cpu().eval()
            error = round_trip(flow, self.scores[self.train])
            fitted = FittedFlow(flow, validation_nats(module, loaders[1]), epochs, error, module.history)
        self._keep(fitted)
        return fitted

    def quietly(self) -> FlowFit:
        """Gives the same without a progress bar."""
        return replace(self, make_trainer=partial(self.make_trainer, enable_progress_bar=False))

    def _descend(self, module: FlowTraining, loaders: Sequence[Iterable]) -> int:
        """Trains the module, leaves it with the weights of its best epoch, and gives the epochs run."""
        best = ModelCheckpoint(self._last.parent, "best", monitor="val_objective", **AT_EACH_EPOCH)
        latest = ModelCheckpoint(self._last.parent, self._last.stem, **AT_EACH_EPOCH)  # holds the state of `best`
        stop = EarlyStopping("val_objective", patience=self.settings.patience)
        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        trainer = self.make_trainer(
            max_epochs=stopped_after(self._last, self.settings.patience) or self.settings.epochs,
            callbacks=[stop, best, latest],
            enable_checkpointing=True,
            logger=False,
            default_root_dir=os.fspath(self.folder),
        )
        with quiet():
            trainer.fit(module, *loaders, **resumable(self._last))
        if not math.isfinite(float(best.best_model_score)):
            raise UserError(
                f"expected a finite validation loss, got {float(best.best_model_score)} with a learning rate of "
                f"{self.settings.learning_rate}: lower study.training.learning_rate"
            )
        module.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
        if trainer.is_global_zero:
            kept = Path(self.folder) / "checkpoints" / f"flow-seed{self.seed}-{self._store.name[:8]}.ckpt"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(best.best_model_path, kept)
        return trainer.current_epoch

    def _keep(self, fitted: FittedFlow) -> None:
        save(self._store / "flow.pt", fitted.flow.state_dict())
        facts = {name: value for name, value in vars(fitted).items() if name != "flow"}
        write_atomically(self._store / "manifest.json", json.dumps(facts))
        clear(self._last.parent)

    def _start(self) -> FactorFlow:
        return self.make_flow(features=self.scores.shape[1], blocks=self.blocks, seed=self.seed)

    @property
    def _last(self) -> Path:
        """Where training is kept after each epoch."""
        return self._store / "resume" / "last.ckpt"

    @cached_property
    def _store(self) -> Path:
        """The folder in the cache: everything that the trained weights depend on, hashed."""
        flow = self._start()
        trainer = trainer_settings(self.make_trainer)
        versions = [version(name) for name in ("torch", "nflows", "pytorch-lightning")]
        recipe = (flow, state_digest(flow), flow.blocks, trainer, self.settings, self.seed, versions, 6)
        digest = hashlib.sha256("|".join(map(str, recipe)).encode())
        for array in (self.scores, label_matrix(self.labels, list(self.blocks)), self.train, self.select):
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return Path(self.cache) / "models" / digest.hexdigest()


def fit_flows(
    fits: Sequence[FlowFit], progress: Callable[..., Iterable] = lambda items, **_: items, **labels: str
) -> list[FittedFlow]:
    """Gives many flows: from the cache, or trained side by side, one core each.

    On an accelerator, or by several devices, they are trained one after the other, in this process. The weights are
    the same bits either way.

    Args:
        fits: What to train.
        progress: Wraps an iterable with keywords; a progress bar.
        labels: Its keywords.
    Raises:
        UserError: If training diverges before it got anywhere.
    """
    found = [fit.stored() for fit in fits]
    todo = [fit for fit, done in zip(fits, found, strict=True) if done is None]
    if all(_on_one_core(fit.make_trainer) for fit in todo):
        trained = side_by_side([fit.quietly().run for fit in todo])
    else:
        trained = (fit.run() for fit in todo)
    return [done or next(trained) for done in progress(found, **labels)]


def _on_one_core(make_trainer: Callable[..., pl.Trainer]) -> bool:
    held = getattr(make_trainer, "keywords", {})
    return held.get("accelerator") == "cpu" and held.get("devices", 1) == 1 and held.get("num_nodes", 1) == 1


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
