"""The stand-in: YAMNet's architecture trained on synthetic sound families, for where the real weights cannot be had."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from audiointerp.backbones.base import Backbone
from audiointerp.backbones.weights import NoWeights
from audiointerp.backbones.yamnet import YAMNet
from audiointerp.data.sound_families import FAMILIES, SoundFamilies
from audiointerp.study import RunContext, UserError, write_atomically
from audiointerp.training.classify import Classification, labelled_batches
from audiointerp.training.quiet import quiet

VERSION = 1
BATCH = 64
logger = logging.getLogger("audiointerp")


@dataclass(frozen=True)
class StandInSettings:
    """How the stand-in is trained.

    Attributes:
        clips: Training clips, over all families.
        held_out: Clips that its accuracy is measured on.
        epochs: Passes over the training clips.
        learning_rate: Largest learning rate of the cycle.
        weight_decay: Decoupled weight decay.
        seed: Seed of sounds, first weights and batches.
    """

    clips: int = 3072
    held_out: int = 512
    epochs: int = 4
    learning_rate: float = 4e-3
    weight_decay: float = 1e-2
    seed: int = 20_001


@dataclass(frozen=True)
class StandIn:
    """A trained stand-in.

    Attributes:
        path: File with its weights.
        output_names: The sound families that its outputs stand for.
        accuracy: Share of held-out synthetic clips whose family it names.
        seconds: What making it took [s].
    """

    path: Path
    output_names: tuple[str, ...]
    accuracy: float
    seconds: float

    @property
    def words(self) -> str:
        """What has to be known before anything is read that this network says."""
        return (
            "STAND-IN NETWORK. No AudioSet weights were used: this is YAMNet's architecture, trained for a minute or "
            f"two on synthetic sounds of {len(self.output_names)} families ({', '.join(self.output_names)}), of which "
            f"it names {self.accuracy:.0%} of unheard ones. What follows shows how the method works and says nothing "
            "about AudioSet YAMNet. For the real network set paths.weights=FOLDER (or AUDIOINTERP_WEIGHTS) to a "
            "folder that holds yamnet.pth."
        )


def with_weights(
    make: Callable[..., Backbone], weights: str, *, of: str, cache: str | os.PathLike, device: str = "cpu"
) -> tuple[Backbone, StandIn | None]:
    """Builds a backbone; with `standin`, or `auto` where no weights can be had, from the stand-in's weights.

    Args:
        make: Builds it; what it is given by name replaces its settings.
        weights: What was asked for.
        of: Name of the class that is built.
        cache: Cache of trained models.
        device: "cpu" or "cuda", for making the stand-in.
    Returns:
        The backbone, and the stand-in if it is one.
    Raises:
        UserError: If a stand-in is asked for of another network than YAMNet, or as `make` does.
    """
    if weights == "standin" and of != YAMNet.__name__:
        raise UserError(
            f"expected backbone=yamnet for backbone.weights=standin, got {of}: the stand-in is trained in YAMNet's "
            "architecture; set backbone.weights=random, or a file of weights"
        )
    if weights != "standin":
        try:
            return make(), None
        except NoWeights as error:
            if weights != "auto":
                raise
            logger.warning("%s", error)
    stand_in = make_stand_in(cache, device=device)
    names = list(stand_in.output_names)
    return make(weights=os.fspath(stand_in.path), kind="standin", output_names=names), stand_in


def announce(context: RunContext, stand_in: StandIn) -> None:
    """Says that a run's network is a stand-in: in the log, in its results, and at the top of its report."""
    context.logger.warning("*** %s ***", stand_in.words)
    context.page.warn(stand_in.words)
    context.result(
        stand_in={
            "warning": stand_in.words,
            "held_out_accuracy": stand_in.accuracy,
            "output_names": list(stand_in.output_names),
        }
    )


def make_stand_in(cache: str | os.PathLike, settings: StandInSettings | None = None, *, device: str = "cpu") -> StandIn:
    """Trains the stand-in, or finds it in the cache.

    Args:
        cache: Folder in which `models/<key>/standin.pth` and `manifest.json` are kept; the manifest is written last.
        settings: How to train; None for the default, at most two minutes on two cores.
        device: "cpu" or "cuda".
    """
    settings = settings or StandInSettings()
    begin = time.perf_counter()
    heard = SoundFamilies(clips=settings.clips, seed=settings.seed, keep_mb=0)
    unheard = SoundFamilies(clips=settings.held_out, seed=settings.seed + 1, keep_mb=0)
    network = YAMNet(weights="random", seed=settings.seed, output_names=list(FAMILIES))
    folder = Path(cache).expanduser() / "models" / _address(settings, heard, unheard, network)
    found = _found(folder)
    if found is not None:
        return found
    logger.warning(
        "making a stand-in network, once, for %s: %d synthetic sounds, %d epochs, about a minute or two",
        folder.parent,
        settings.clips,
        settings.epochs,
    )
    inputs, labels = _patches(network, heard)
    new_inputs, new_labels = _patches(network, unheard)
    _train(network, inputs, labels, new_inputs, new_labels, settings, device)
    guess = _predict(network, new_inputs)
    right = (guess == new_labels).numpy()
    families = np.array(list(FAMILIES))
    recall = {name: float(right[new_labels.numpy() == k].mean()) for k, name in enumerate(families)}
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"standin.{os.getpid()}.part"
    torch.save({name: value.contiguous() for name, value in network.network.state_dict().items()}, partial)
    os.replace(partial, folder / "standin.pth")
    facts = {
        "kind": "standin",
        "output_names": families.tolist(),
        "held_out_accuracy": float(right.mean()),
        "held_out_recall": recall,
        "chance": 1.0 / len(families),
        "settings": asdict(settings),
        "seconds": round(time.perf_counter() - begin, 1),
        "torch": torch.__version__,
    }
    write_atomically(folder / "manifest.json", json.dumps(facts, indent=1) + "\n")
    logger.info("stand-in: %.0f %% of unheard clips named in %.0f s", 100 * right.mean(), facts["seconds"])
    return StandIn(folder / "standin.pth", tuple(families.tolist()), float(right.mean()), facts["seconds"])


def _found(folder: Path) -> StandIn | None:
    if not (folder / "manifest.json").is_file() or not (folder / "standin.pth").is_file():
        return None
    facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return StandIn(folder / "standin.pth", tuple(facts["output_names"]), facts["held_out_accuracy"], facts["seconds"])


def _address(settings: StandInSettings, heard: SoundFamilies, unheard: SoundFamilies, network: YAMNet) -> str:
    """Hashes everything that the trained weights depend on."""
    parts = (VERSION, settings, heard.fingerprint, unheard.fingerprint, network.weights.sha256, network.preprocessing)
    return hashlib.sha256(f"standin|{parts}|{torch.__version__}".encode()).hexdigest()


def _patches(network: YAMNet, sounds: SoundFamilies) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's inputs for all clips, and their families."""
    parts = []
    for start in range(0, len(sounds), 256):
        waveforms = sounds.waveforms(np.arange(start, min(start + 256, len(sounds))))
        with torch.inference_mode():
            parts.append(network.front_end(torch.from_numpy(waveforms)))
    # A clone outside inference mode, as training may not take inference tensors.
    return torch.cat(parts).clone(), torch.from_numpy(sounds.labels.astype(np.int64))


def _train(
    network: YAMNet,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    new_inputs: torch.Tensor,
    new_labels: torch.Tensor,
    settings: StandInSettings,
    device: str,
) -> None:
    network.requires_grad_(True).train()
    network.to(memory_format=torch.channels_last)  # backward through depthwise convolutions is twice as quick
    module = Classification(network, settings.learning_rate, settings.weight_decay)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        max_epochs=settings.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        num_sanity_val_steps=0,
    )
    with quiet("number of training batches"):
        trainer.fit(
            module,
            labelled_batches(inputs, labels, BATCH, seed=settings.seed),
            labelled_batches(new_inputs, new_labels, BATCH),
        )
    network.cpu().eval().requires_grad_(False)


def _predict(network: YAMNet, inputs: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([network(part).argmax(1) for part in inputs.split(BATCH)])
