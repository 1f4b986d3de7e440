"""Flows of the main job: their settings, and how one is trained on a stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytorch_lightning as pl

from audiointerp.disentangle.flow import FactorFlow
from audiointerp.studies.latent_transfer import Stage
from audiointerp.study import RunContext
from audiointerp.training.fit_flow import FittedFlow, FlowSettings, fit_flow


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

    def train(self, stage: Stage, settings: Settings, block: str | int, seed: int) -> FittedFlow:
        """Trains one flow on the role `train`; `select` says when to stop."""
        return fit_flow(
            partial(self.model, **settings.model),
            self.trainer,
            stage.scores,
            stage.labels,
            stage.train,
            stage.select,
            blocks_of(stage, block),
            settings.training,
            seed=seed,
            folder=self.context.folder,
            cache=self.context.cache,
            logger=self.context.lightning_logger() if seed == self.context.seed else False,
        )


def blocks_of(stage: Stage, block: str | int) -> dict[str, int]:
    """Gives the number of dimensions of each factor's block."""
    return {factor: 1 if str(block) == "1" else int(values.max()) for factor, values in stage.labels.items()}
