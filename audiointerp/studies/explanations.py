"""Explanations that can be heard, method beside method: does the network say of them what it says of the clip?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from audiointerp.backbones.base import Backbone
from audiointerp.backbones.cnn12 import CNN12
from audiointerp.backbones.yamnet import FFT, HOP, LOG_OFFSET, PATCH_FRAMES, YAMNet
from audiointerp.data.base import Sounds
from audiointerp.report.canvas import interval_words
from audiointerp.report.edit_figures import effect_bars
from audiointerp.sonify.explanations import REFERENCES, Explanation, MelExplainer, WaveformExplainer
from audiointerp.sonify.faithfulness import MEASURES, complexity, faithfulness, sparseness
from audiointerp.sonify.listening import match_loudness
from audiointerp.sonify.mel_masks import MelFrames
from audiointerp.studies.cnn12 import Cnn12
from audiointerp.studies.cnn12_task import Task, task_of
from audiointerp.studies.sonification_networks import REGIMES, make
from audiointerp.studies.sonification_tables import summarise
from audiointerp.study import RunContext, UserError, at_least, stream
from audiointerp.training.fit_network import NetworkSettings, Workshop

ALL_MEASURES = (*MEASURES, "SPS", "COMP")
LISTED = "supervised"
TRAINED_HERE = "trained here"


class Logits(nn.Module):
    """YAMNet's network from patches to logits, its mean over the picture a module, as a rule of relevance needs it.

    Args:
        yamnet: The network; its layers are shared.
    """

    def __init__(self, yamnet: YAMNet) -> None:
        super().__init__()
        self.layers = nn.Sequential(*yamnet.layers.values(), nn.AdaptiveAvgPool2d(1))
        self.classifier = yamnet.network.classifier

    def forward(self, patches: Tensor) -> Tensor:
        """Turns patches `(P, 1, T, F)` into logits `(P, K)`."""
        return self.classifier(self.layers(patches).flatten(1))


@dataclass(frozen=True)
class Explanations:
    """Explanations of the class that a network names, by many methods, measured and heard.

    Args:
        layers: Blocks of CNN12 whose maps a DeconvNet leads back, weighted by how much they raise the class.
        clips: Most held-out clips; None for all.
        shown: Clips in the report.
        training: How CNN12 is trained with labels where its weights are random.
        factor: What is told; None as in `Cnn12`.
        split: How clips are held out, as in `Cnn12`.
    Raises:
        UserError: If a number is too small.
    """

    layers: Sequence[int] = (2, 5, 8, 11)
    clips: int | None = 24
    shown: int = 3
    training: NetworkSettings = field(default_factory=NetworkSettings)
    factor: str | None = None
    split: str = "auto"
    title: str = "What a network's answer rests on, as a sound"
    question: str = "Which explanation keeps what the network names a clip by?"

    def __post_init__(self) -> None:
        at_least(self, shown=0)
        if self.clips is not None:
            at_least(self, clips=1)

    def run(self, context: RunContext, *, data: Sounds, backbone: Backbone, trainer: Callable[..., pl.Trainer]) -> None:
        """Explains every clip by every method, measures, and reports."""
        with context.step("sounds"):
            task = self.task(data, backbone, context.seed)
        with context.step("network"):
            explain, probabilities, weights = self.listener(context, task, backbone, trainer)
        test = next(iter(task.splits.values())).test
        rows = test if self.clips is None else np.sort(stream(0, "clips").permutation(test)[: self.clips])
        measured, cells, silent = [], [], []
        for place, row in enumerate(context.progress(rows.tolist(), description="explaining", unit="clip")):
            waveform = torch.from_numpy(task.clips[row])
            if float(waveform.abs().max()) == 0:
                silent.append(row)
                continue
            p = probabilities(waveform)
            found = {method: explain(waveform, int(p.argmax()), method, row) for method in explain.methods}
            for method, item in found.items():
                measured.append({"clip": row, "group": str(task.sounds.group.iloc[row]), "method": method}
                                | measure(p, item, probabilities))  # fmt: skip
            if place < self.shown:
                names = task.classes if weights == TRAINED_HERE else backbone.output_names
                cells += self.sounds(context, waveform, found, row, names[int(p.argmax())], task)
        table = pd.DataFrame(measured)
        summary = summarise(table, ["method"], ALL_MEASURES, context.seed)
        context.table("explanations", table)
        context.table("methods", summary)
        context.result(
            sounds={"name": data.name, "clips": len(rows), "silent": len(silent)},
            network=type(backbone).__name__,
            weights=weights,
            methods=summary.to_dict("records"),
        )
        self.show(context, task, summary, cells, weights)

    def task(self, sounds: Sounds, backbone: Backbone, seed: int) -> Task:
        """Sets up the sounds for a network."""
        if isinstance(backbone, CNN12):
            return Cnn12(training=self.training).task(sounds, backbone, self.factor, seed, self.training, self.split)
        if not isinstance(backbone, YAMNet):
            raise UserError(f"expected backbone=cnn12, cnn12_small or yamnet, got {type(backbone).__name__}")
        if sounds.sample_rate != backbone.sample_rate:
            raise UserError(
                f"expected sounds at {backbone.sample_rate} Hz (the network's), got {sounds.sample_rate}: set "
                "data.sample_rate"
            )
        return task_of(sounds, backbone.segment_samples, factor=self.factor, split=self.split, seed=seed)

    def listener(
        self, context: RunContext, task: Task, backbone: Backbone, trainer: Callable[..., pl.Trainer]
    ) -> tuple[WaveformExplainer | MelExplainer, Callable[[Tensor], np.ndarray], str]:
        """Gives what explains, what turns a sound `(L,)` into probabilities `(K,)`, and what the weights are."""
        if isinstance(backbone, YAMNet):
            frames = MelFrames(backbone.log_mel.window, HOP, FFT, backbone.log_mel.mel)
            explainer = MelExplainer(
                Logits(backbone).eval(), backbone.log_mel, frames, PATCH_FRAMES, backbone.hop_samples // HOP,
                math.log(LOG_OFFSET), context.seed,
            )  # fmt: skip

            @torch.no_grad()
            def heard(waveform: Tensor) -> np.ndarray:
                return explainer.network(explainer.patches(waveform)).sigmoid().mean(0).numpy()

            return explainer, heard, backbone.weights.kind
        network, kind = backbone, backbone.weights.kind
        if kind == "untrained":
            shop = Workshop(trainer, context.folder, context.cache, context.lightning_logger())
            regimes = Cnn12([REGIMES[LISTED]], self.training, factor=self.factor, split=self.split)
            network = make(shop, regimes, task, backbone, None, LISTED, context.seed).encoder
            kind = TRAINED_HERE
        blocks = list(network.layers)

        @torch.no_grad()
        def answer(waveform: Tensor) -> np.ndarray:
            logits = network(network.front_end(waveform[None]))[0]
            return (logits.sigmoid() if task.multilabel else logits.softmax(0)).numpy()

        wrong = [layer for layer in self.layers if not 1 <= layer < len(blocks)]
        if wrong:
            raise UserError(f"expected study.layers from 1 to {len(blocks) - 1}, got {wrong[0]}")
        return WaveformExplainer(network, [blocks[layer - 1] for layer in self.layers], context.seed), answer, kind

    def sounds(
        self, context: RunContext, waveform: Tensor, found: dict[str, Explanation], row: int, named: str, task: Task
    ) -> list[dict]:
        """Writes a clip and its explanations as sounds of one loudness."""
        rate = task.sounds.sample_rate
        told = {"the clip": waveform} | {
            method: item.sound for method, item in found.items() if method not in REFERENCES
        }
        cells = []
        for name, sound in zip(told, match_loudness([sound.numpy() for sound in told.values()], rate), strict=True):
            file = context.audio(f"clip-{row}-{name.replace(', ', '-').replace(' ', '-')}", sound, rate)
            caption = f"clip {row}, named {named}" if name == "the clip" else f"{name}: {named}"
            cells.append({"row": f"clip {row}", "column": name, "audio": f"audio/{file.name}", "caption": caption})
        return cells

    def show(self, context: RunContext, task: Task, summary: pd.DataFrame, cells: list[dict], weights: str) -> None:
        """Writes the page."""
        page = context.page
        own = summary[~summary["method"].isin(REFERENCES)]
        best = own.loc[own["Fid-In"].idxmax()]
        floor = summary.set_index("method").loc[REFERENCES[0]]
        page.verdict(
            f"The class stays the same most often in explanations by {best['method']}: "
            f"{interval_words(best['Fid-In'], best['Fid-In_low'], best['Fid-In_high'])}; in explanations by noise "
            f"{interval_words(floor['Fid-In'], floor['Fid-In_low'], floor['Fid-In_high'])}."
        )
        if weights == "untrained":
            page.warn("The network is untrained: what stands below is the control.")
        page.section(
            "What was compared",
            f"The class that a network ({weights}) names for each clip of {task.sounds.name} is explained by each "
            "method as a sound; the network is then asked about this sound and about the rest of the clip. "
            "`noise` is an attribution drawn at random (control), `whole clip` the clip itself (ceiling).",
            task.sounds.note,
        )
        shown = pd.concat([
            summary.assign(factor=name, edit=summary["method"], value=summary[measure], interval="over groups of clips",
                           ci_low=summary[f"{measure}_low"], ci_high=summary[f"{measure}_high"])
            for measure, name in (("Fid-In", "class stays the same [share]"), ("FF", "probability lost without it"))
        ])  # fmt: skip
        title = "What explanations keep of the network's answer, and what is lost without them"
        figure = effect_bars(shown, title=title, value="value", label="share or probability")
        context.figure("faithfulness", figure, shown, alt=title)
        page.figure("faithfulness", "Means over clips with intervals over groups of clips.")
        if cells:
            page.listen("Clips and their explanations", cells, caption="All sounds are turned to one loudness.")
        page.table("methods", "Measures by method: AI, AD, AG [%], FF, Fid-In, sparseness, complexity", folded=False)
        page.table("explanations", "Every clip and method")


def measure(p: np.ndarray, item: Explanation, probabilities: Callable[[Tensor], np.ndarray]) -> dict[str, float]:
    """Measures one explanation; a silent sound is asked about as any other."""
    answers = [np.clip(probabilities(sound.float()), 0, 1)[None] for sound in (item.sound, item.rest)]
    found = faithfulness(np.clip(p, 0, 1)[None], *answers).iloc[0]
    attribution = item.attribution.numpy()
    return {name: float(found[name]) for name in MEASURES} | {
        "SPS": sparseness(attribution), "COMP": complexity(attribution)
    }  # fmt: skip
