"""The networks whose maps are listened to: trained with labels and by contrast, frozen and tuned, untrained, given."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.backbones.depths import Readers
from audiointerp.backbones.weights import load_state
from audiointerp.studies.cnn12 import Cnn12
from audiointerp.studies.cnn12_task import Task
from audiointerp.study import RunContext, UserError
from audiointerp.training.fit_network import NetworkSettings, Workshop

REGIMES = {
    "supervised": "scratch",
    "supervised, strided": "scratch",
    "contrastive, fconly": "contrastive, fconly",
    "contrastive, full": "contrastive, full",
    "untrained, fconly": "untrained, fconly",
    "untrained, strided": "untrained, fconly",
    "given, fconly": "given, fconly",
    "given, full": "given, full",
}
"""Names of networks to the regimes of `studies.cnn12` that make them."""

CONTROL = "untrained, fconly"
STRIDED = {"supervised": "supervised, strided", CONTROL: "untrained, strided"}
"""Networks with max-pooling to those whose convolutions stride instead."""


def control_of(name: str, networks: Collection[str]) -> str:
    """Gives the untrained network that a network is held against: of its own architecture where that was run.

    Example:
        >>> control_of("supervised, strided", ["untrained, fconly", "untrained, strided"])
        'untrained, strided'
    """
    strided = STRIDED[CONTROL]
    return strided if name in STRIDED.values() and strided in networks else CONTROL


@dataclass(frozen=True)
class Subject:
    """A network that is listened to.

    Attributes:
        name: One of `REGIMES`.
        seed: Seed of its weights and training.
        encoder: The network whose maps are sonified.
        whole: Encoder and classifier.
        untrained: The same architecture with random weights, the source of a control.
    """

    name: str
    seed: int
    encoder: CNN12
    whole: nn.Module
    untrained: CNN12

    @torch.no_grad()
    def classify(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, L)` into logits `(B, K)`, each scaled to unit peak as always."""
        logits = self.whole(self.whole.front_end(waveforms))
        return logits[0] if logits.ndim == 3 else logits

    def to(self, device: torch.device | str) -> Subject:
        """Moves all of its networks."""
        for network in (self.encoder, self.whole, self.untrained):
            network.to(device)
        return self


def given_network(checkpoint: str, backbone: CNN12) -> CNN12:
    """Reads the weights of `study.checkpoint` into the backbone's architecture.

    Raises:
        UserError: If the file is not there, holds no weights, or those of another architecture.
    """
    if not Path(checkpoint).expanduser().is_file():
        raise UserError(f"expected a file with weights, got {checkpoint}, which does not exist: check study.checkpoint")
    return CNN12(weights=checkpoint, **backbone.settings)


def make(
    shop: Workshop, regimes: Cnn12, task: Task, backbone: CNN12, given: CNN12 | None, name: str, seed: int
) -> Subject:
    """Trains one network, or takes it from the cache.

    Args:
        shop: Where networks are fitted.
        regimes: The study of regimes, with the settings of training.
        task: The sounds.
        backbone: The architecture.
        given: The network of a checkpoint, for names that begin with `given`.
        name: One of `REGIMES`.
        seed: Seed.
    """
    start = given if name.startswith("given") else backbone
    if name in STRIDED.values():
        start = CNN12(seed=seed, output_names=task.classes, **{**backbone.settings, "strided": True})
    split = next(iter(task.splits))
    network = regimes.fit(shop, task, start, REGIMES[name], 1.0, split, seed).network
    encoder = network.network if isinstance(network, Readers) else network
    return Subject(name, seed, encoder, network, encoder.untrained(seed + 1000))


def followed(
    context: RunContext, shop: Workshop, regimes: Cnn12, task: Task, backbone: CNN12, steps: tuple[int, ...], seed: int
) -> dict[int, CNN12]:
    """Trains an encoder by contrast once more, keeping its weights on the way.

    Args:
        context: The run.
        shop: Where networks are fitted.
        regimes: With the settings of pretraining.
        task: The sounds.
        backbone: The architecture.
        steps: Optimiser steps after which weights are kept.
        seed: Seed.
    Returns:
        Steps to networks.
    """
    train = next(iter(task.splits.values())).train
    settings: NetworkSettings = replace(regimes.pretraining, saved_steps=tuple(steps))
    first = backbone.untrained(seed).with_outputs(["none"], seed)
    shop.contrast(first, task.clips, train, settings, seed=seed, name="followed")
    folder = Path(context.folder) / "checkpoints" / "followed"
    found = {}
    for file in sorted(folder.glob("step-*.pt")):
        network = first.untrained(seed)
        network.load_state_dict(load_state(file))
        found[int(file.stem.removeprefix("step-"))] = network
    return found
