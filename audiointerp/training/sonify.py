"""Sonification of a corpus, on as many devices as the trainer has: nothing is trained, every clip is heard once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from audiointerp.data.crops import Clips, WholeClips, clip_loader
from audiointerp.sonify.deconvnet import SILENCE, DeconvNet, Heard, Sonifications, features_of
from audiointerp.sonify.top_inputs import TopInputs, score_of
from audiointerp.training.quiet import quiet


@dataclass(frozen=True)
class Listened:
    """One clip as a network heard it.

    Attributes:
        clip: Its number.
        waveform: Shape `(L,)`.
        heard: The forward pass, of this clip alone.
        found: Layers to the sonification of their most active map.
    """

    clip: int
    waveform: Tensor
    heard: Heard
    found: Mapping[str, Sonifications]


class CorpusSonifier(pl.LightningModule):
    """Finds the maximally activating inputs of every map, and sonifies each clip's most active map of each layer.

    For `Trainer.predict` on `clip_loader(WholeClips(...))`. What `measure` makes of a clip is kept, the sounds are not,
    so that memory does not grow with the corpus; processes put together what they found.

    Args:
        network: A chain (see `sonify.chain.chain_of`).
        layers: Layers whose maps are sonified; top inputs are kept for all.
        k: Clips kept per map.
        score: What makes a map active, as in `score_of`.
        measure: Turns a clip into rows; None for top inputs only.
        unpool: The way back through poolings.
        chunk: Maps led back at once.
    Attributes:
        top: The top inputs, after a prediction.
        rows: What `measure` gave, sorted by clip.
        silent: Numbers of the clips that were silent, which are left out.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[str | int],
        *,
        k: int = 3,
        score: str = "peak",
        measure: Callable[[Listened], list[dict[str, Any]]] | None = None,
        unpool: str = "switch",
        chunk: int = 1,
    ) -> None:
        super().__init__()
        self.network, self.measure, self.unpool = network, measure, unpool
        deconvnet = DeconvNet(network, chunk)
        self.layers = [deconvnet.layers[deconvnet.position(layer)] for layer in layers]
        self.counts = {name: stage.conv.out_channels for name, stage in deconvnet.stages.items()}
        self.k, self.score, self.chunk = k, score, chunk
        self.top = TopInputs(self.counts, k, score)
        self.rows: list[dict[str, Any]] = []
        self.silent: list[int] = []

    def on_predict_start(self) -> None:
        self.deconvnet = DeconvNet(self.network, self.chunk)  # its filters lie where the weights now are
        self.top = TopInputs(self.counts, self.k, self.score)
        self.rows, self.silent = [], []

    def predict_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> list[int]:
        """Hears some clips; gives their numbers."""
        waveforms, _, positions = batch
        for waveform, clip in zip(waveforms, positions.tolist(), strict=True):
            if float(waveform.abs().max()) < SILENCE:
                self.silent.append(clip)
                continue
            heard = self.deconvnet.hear(features_of(self.network, waveform[None]), keep_before=self.unpool == "soft")
            self.top.update(dict(zip(self.deconvnet.layers, heard.maps, strict=True)), [clip])
            if self.measure is not None:
                found = {layer: self.most_active(heard, layer, waveform) for layer in self.layers}
                self.rows += self.measure(Listened(clip, waveform, heard, found))
        return positions.tolist()

    def most_active(self, heard: Heard, layer: str, waveform: Tensor) -> Sonifications:
        """Sonifies the map of a layer that scores highest."""
        best = int(score_of(heard.maps[self.deconvnet.position(layer)], self.score)[0].argmax())
        return self.deconvnet.sonify(heard, layer, [best], peak=float(waveform.abs().max()), unpool=self.unpool)

    def on_predict_epoch_end(self) -> None:
        if self.trainer.world_size > 1:
            parts: list = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, (self.top, self.rows, self.silent))
            self.top, self.rows, self.silent = parts[0]
            for top, rows, silent in parts[1:]:
                self.top.merge(top)
                self.rows, self.silent = self.rows + rows, self.silent + silent
        self.rows.sort(key=lambda row: row["clip"])


def sonify_corpus(
    trainer: Callable[..., pl.Trainer], module: CorpusSonifier, clips: Clips, rows: Sequence[int], **settings: Any
) -> CorpusSonifier:
    """Runs a sonifier over some clips of a corpus.

    Args:
        trainer: Builds the Lightning trainer.
        module: The sonifier; holds what it found afterwards.
        clips: The clips.
        rows: Positions of those that are heard.
        settings: Further arguments of the trainer.
    Returns:
        The module, on the CPU.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    targets = torch.zeros(len(clips), dtype=torch.long)
    built = trainer(logger=False, enable_checkpointing=False, use_distributed_sampler=False, **settings)
    with quiet():
        built.predict(module, clip_loader(WholeClips(clips, targets, rows, batch=1)), return_predictions=False)
    return module.cpu()
