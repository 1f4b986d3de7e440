"""Raw-waveform networks trained with labels, by contrast, and transferred: regimes side by side (CNN12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.backbones.depths import Readers
from audiointerp.backbones.logmel_cnn import LogMelCNN
from audiointerp.data.augment import Augmentation
from audiointerp.data.base import Sounds
from audiointerp.studies.cnn12_page import show_regimes
from audiointerp.studies.cnn12_scores import by_split, compare, score_rows, summarise
from audiointerp.studies.cnn12_task import Task, task_of
from audiointerp.study import RunContext, UserError, at_least
from audiointerp.training.fit_network import FittedNetwork, NetworkSettings, Workshop

SCRATCH, LONGER, LOGMEL, WIDE = "scratch", "scratch, longer", "log-mel, scratch", "twice as wide, scratch"
PLAIN = (SCRATCH, LONGER, LOGMEL, WIDE)
ENCODERS = ("untrained", "contrastive", "contrastive elsewhere", "supervised elsewhere", "given")
TUNINGS = ("fconly", "full")
REGIMES = (*PLAIN, *(f"{encoder}, {tuning}" for encoder in ENCODERS for tuning in TUNINGS))
CONTROL = "untrained, fconly"


@dataclass(frozen=True)
class Cnn12:
    """Training regimes of one network on one corpus, with the same steps, batches and data.

    Args:
        regimes: Out of `scratch`, `scratch, longer` (as many steps as pretraining and training together), `log-mel,
            scratch` (a rival of equal size), `twice as wide, scratch`, and encoder and tuning, as `contrastive,
            fconly`: the encoder `untrained`, `contrastive` (on this corpus' training clips), `contrastive elsewhere`
            or `supervised elsewhere` (on `source`), or `given` (the backbone's own weights); `fconly` trains a linear
            classifier on the frozen encoder, `full` all of it.
        training: How classifiers and whole networks are trained.
        pretraining: How encoders are trained before.
        source: Another corpus, for what is trained elsewhere.
        factor: What is told; None for the tags of a corpus that has some, else its first factor.
        source_factor: The same of `source`.
        split: How clips are held out: `auto`, `folds`, `groups`, or a factor whose levels are left out.
        folds: Splits of a cross-validation.
        fractions: Shares of the training clips whose labels are used.
        seeds: Networks per regime.
        variants: Names to changed settings of pretraining and its augmentation; each is a `contrastive, fconly` more.
        title: Heading of the report.
        question: What it answers.
    Raises:
        UserError: If a regime, a share or a setting of a variant cannot be, or a source is missing.
    """

    regimes: Sequence[str] = (SCRATCH, LOGMEL, CONTROL)
    training: NetworkSettings = field(default_factory=NetworkSettings)
    pretraining: NetworkSettings = field(default_factory=NetworkSettings)
    source: Sounds | None = None
    factor: str | None = None
    source_factor: str | None = None
    split: str = "auto"
    folds: int = 1
    fractions: Sequence[float] = (1.0,)
    seeds: int = 3
    variants: Mapping[str, Mapping[str, Any]] | None = None
    title: str = "Raw-waveform networks and how they are trained"
    question: str = "How well does a network on raw waveforms tell the classes, by how it was trained?"

    def __post_init__(self) -> None:
        at_least(self, seeds=1, folds=1)
        for name in self.regimes:
            if name not in REGIMES:
                raise UserError(f"study.regimes: there is no {name!r}: known are {'; '.join(REGIMES)}")
        if not self.regimes or not self.fractions or not all(0 < share <= 1 for share in self.fractions):
            raise UserError(
                f"expected regimes, and fractions in (0, 1], got {list(self.regimes)} and {list(self.fractions)}"
            )
        if self.source is None and any("elsewhere" in name for name in self.regimes):
            raise UserError("expected a corpus to train elsewhere, got none: set +data@study.source=NAME")
        for name, changed in (self.variants or {}).items():
            unknown = set(changed) - {entry.name for entry in (*fields(NetworkSettings), *fields(Augmentation))}
            if unknown:
                raise UserError(f"study.variants.{name} has no setting {sorted(unknown)[0]!r}")

    def run(self, context: RunContext, *, data: Sounds, backbone: CNN12, trainer: Callable[..., pl.Trainer]) -> None:
        """Trains every regime on every split with every seed, scores whole clips, compares and reports."""
        if backbone.weights.kind == "untrained" and any(name.startswith("given") for name in self.regimes):
            raise UserError(
                "expected trained weights for the regimes 'given', got random ones: set backbone.weights=FILE"
            )
        shop = Workshop(trainer, context.folder, context.cache, context.lightning_logger())
        with context.step("sounds"):
            task = self.task(data, backbone, self.factor, context.seed, self.training, self.split)
            describe(context, task, self.pretraining if self.pretrains else self.training)
        jobs = [
            (name, fraction, split, context.seed + seed)
            for seed in range(self.seeds)
            for split in task.splits
            for name in (*self.regimes, *(self.variants or {}))
            for fraction in (self.fractions if name in REGIMES else (1.0,))
        ]
        rows, heard = [], {}
        with context.step("training"):
            for name, fraction, split, seed in context.progress(jobs, description="training networks", unit="network"):
                fitted = self.fit(shop, task, backbone, name, fraction, split, seed)
                key = (name, fraction, split, seed)
                heard[key] = fitted.logits
                rows.append(score_rows(task, key, fitted))
                if seed == context.seed and split == next(iter(task.splits)) and fraction == 1.0:
                    save_weights(context, name, fitted)
        table = pd.DataFrame(rows)
        summary = summarise(task, table, heard, context.seed)
        differences = compare(task, heard, summary, CONTROL, SCRATCH, context.seed)
        splits = by_split(task, table)
        tables = {"scores": table, "summary": summary, "splits": splits, "differences": differences}
        for name, frame in tables.items():
            context.table(name, frame)
        context.result(
            measure=task.measure,
            regimes=summary.to_dict("records"),
            splits=splits.to_dict("records"),
            differences=differences.to_dict("records"),
            parameters={"network": count(backbone), "log-mel": count(self.rival(backbone, task.classes, 0))},
            objective=float(summary.loc[summary["fraction"] == 1.0, "score"].max()),
        )
        show_regimes(context, task, table, summary, differences, self.fractions)

    @property
    def pretrains(self) -> bool:
        """Whether a regime needs an encoder that is trained before."""
        return bool(self.variants) or any(name.startswith(("contrastive", "supervised")) for name in self.regimes)

    def task(
        self, sounds: Sounds, backbone: CNN12, factor: str | None, seed: int, settings: NetworkSettings, split: str
    ) -> Task:
        """Sets up a corpus so that crops of training and of pretraining, and the network itself, fit into each clip."""
        rate = backbone.sample_rate
        if sounds.sample_rate != rate:
            raise UserError(f"expected sounds at {rate} Hz (the network's), got {sounds.sample_rate}: set sample_rate")
        longest = max(settings.crop_s, self.pretraining.crop_s if self.pretrains else 0.0)
        shortest = max(backbone.shortest, round(longest * rate))
        return task_of(sounds, shortest, factor=factor, split=split, folds=self.folds, seed=seed)

    def fit(
        self, shop: Workshop, task: Task, backbone: CNN12, name: str, fraction: float, split: str, seed: int
    ) -> FittedNetwork:
        """Trains one network as a regime says."""
        train, test = task.splits[split]
        part = task.share(train, fraction, seed)
        settings = self.training
        if name == LONGER:
            settings = replace(settings, steps=settings.steps + self.pretraining.steps)
        if name in PLAIN:
            network = self.fresh(backbone, task, name, seed)
        else:
            encoder, tuning = (name, "fconly") if name not in REGIMES else name.rsplit(", ", 1)
            network = self.encoder(shop, task, backbone, encoder, train, seed)
            if tuning == "full":
                network = network.with_outputs(task.classes, seed)
            else:
                network = Readers(network, ["embedding"], task.classes, seed)
        label = f"{name}-{fraction:g}-{split}-{seed}".replace(", ", "-").replace(" ", "-")
        fitted = shop.recognition(network, task.clips, task.targets, part, test, settings, seed=seed, name=label)
        return replace(fitted, logits=fitted.logits[0]) if fitted.logits.ndim == 3 else fitted

    def fresh(self, backbone: CNN12, task: Task, name: str, seed: int) -> torch.nn.Module:
        """Gives the first weights of a network that is trained from scratch."""
        if name == LOGMEL:
            return self.rival(backbone, task.classes, seed)
        if name == WIDE:
            wider = {**backbone.settings, "width": 2 * backbone.settings["width"]}
            return CNN12(seed=seed, output_names=task.classes, **wider)
        return backbone.untrained(seed).with_outputs(task.classes, seed)

    def rival(self, backbone: CNN12, classes: Sequence[str], seed: int) -> LogMelCNN:
        """Gives a log-mel network of the backbone's size."""
        shared = {name: backbone.settings[name] for name in ("embedding", "sample_rate", "segment_s", "hop_s")}
        return LogMelCNN(parameters=count(backbone), output_names=classes, seed=seed, **shared)

    def encoder(self, shop: Workshop, task: Task, backbone: CNN12, name: str, train: np.ndarray, seed: int) -> CNN12:
        """Gives an encoder as its name says; one that was trained before comes from the cache."""
        if name == "given":
            return backbone
        first = backbone.untrained(seed).with_outputs(["none"], seed)  # encoders are cached whatever the classes are
        if name == "untrained":
            return first
        settings = self.pretraining
        if name in (self.variants or {}):
            settings = changed_settings(settings, self.variants[name])
        label = f"{name}-{seed}".replace(" ", "-")
        if name.endswith("elsewhere"):
            source = self.task(self.source, backbone, self.source_factor, 0, self.pretraining, "groups")
            everything = np.arange(len(self.source))
            if name.startswith("supervised"):
                first = first.with_outputs(source.classes, seed)
                held = next(iter(source.splits.values())).test  # scored, not held out: all of it is trained on
                return shop.recognition(
                    first, source.clips, source.targets, everything, held, settings, seed=seed, name=label
                ).network
            return shop.contrast(first, source.clips, everything, settings, seed=seed, name=label).network
        return shop.contrast(first, task.clips, train, settings, seed=seed, name=label).network


def changed_settings(settings: NetworkSettings, changed: Mapping[str, Any]) -> NetworkSettings:
    """Gives settings of training with some of them, or of their augmentation, changed."""
    of_training = {entry.name for entry in fields(NetworkSettings)}
    augmentation = {name: value for name, value in changed.items() if name not in of_training}
    rest = {name: value for name, value in changed.items() if name in of_training}
    return replace(settings, augmentation=replace(settings.augmentation, **augmentation), **rest)


def describe(context: RunContext, task: Task, settings: NetworkSettings) -> None:
    """Writes down what is played, and how long the patches are and whether they overlap."""
    lengths = task.clips.lengths / task.sounds.sample_rate
    context.table("dropped", task.sounds.dropped)
    context.result(
        sounds={
            "name": task.sounds.name,
            "clips": len(task.sounds),
            "groups": int(task.sounds.group.nunique()),
            "dropped": len(task.sounds.dropped),
            "classes": len(task.classes),
            "factor": task.factor,
            "split_by": task.by,
            "splits": {name: {"train": len(part.train), "test": len(part.test)} for name, part in task.splits.items()},
        },
        patches={
            "patch_s": settings.crop_s,
            "clips_long_enough_for_two": float((lengths >= 2 * settings.crop_s).mean()),
        },
    )


def count(network: torch.nn.Module) -> int:
    """Gives the number of parameters of an encoder; the classifier is left out."""
    return sum(value.numel() for name, value in network.named_parameters() if not name.startswith("classifier."))


def save_weights(context: RunContext, name: str, fitted: FittedNetwork) -> None:
    """Saves a network's weights so that `backbone.weights=FILE` takes them."""
    if isinstance(fitted.network, Readers):
        return
    folder = context.folder / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(fitted.network.state_dict(), folder / f"{name.replace(', ', '-').replace(' ', '-')}.pt")
