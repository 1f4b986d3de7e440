"""Flows of the main job: their settings, and how one is trained on a stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytorch_lightning as pl

from audiointerp.disentangle.flow import FactorFlow
from audiointerp.studies.latent_transfer import Stage
from audiointerp.study import RunContext
from audiointerp.training.fit_flow import FittedFlow, FlowFit, FlowSettings, fit_flows


@dataclass(frozen=True)
class Settings:
    """A named setting of flow and training.

    Attributes:
        name: Its name.
        training: How it is trained.
        model: What is changed in the configured model.
    """

    name: str
    training: FlowSettings
    model: Mapping[str, Any]


@dataclass(frozen=True)
class Fit:
    """What training needs from the run.

    Attributes:
        context: The run.
        model: Builds a flow.
        trainer: Builds a Lightning trainer.
    """

    context: RunContext
    model: Callable[..., FactorFlow]
    trainer: Callable[..., pl.Trainer]

    def train(self, stage: Stage, wanted: Sequence[tuple[Settings, int]], block: str | int) -> list[FittedFlow]:
        """Trains flows on the role `train`, one per (settings, seed); `select` says when to stop."""
        return self.train_each([(stage, settings, seed) for settings, seed in wanted], block)

    def train_each(self, wanted: Sequence[tuple[Stage, Settings, int]], block: str | int) -> list[FittedFlow]:
        """Trains flows, each on a stage of its own."""
        fits = [
            FlowFit(
                partial(self.model, **settings.model),
                self.trainer,
                stage.scores,
                stage.labels,
                stage.train,
                stage.select,
                blocks_of(stage, block),
                settings.training,
                seed,
                self.context.folder,
                self.context.cache,
            )
            for stage, settings, seed in wanted
        ]
        return fit_flows(fits, self.context.progress, description="training flows", unit="flow")


def blocks_of(stage: Stage, block: str | int) -> dict[str, int]:
    """Gives the number of dimensions of each factor's block."""
    return {factor: 1 if str(block) == "1" else int(values.max()) for factor, values in stage.labels.items()}
