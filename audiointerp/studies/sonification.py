"""Sonification of a raw-waveform network: hear what its feature maps respond to, and test whether that is true."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
import pytorch_lightning as pl

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.data.base import Sounds
from audiointerp.data.spoken import VoicesInNoise
from audiointerp.sonify.deconvnet import DeconvNet
from audiointerp.sonify.top_inputs import SCORES, TopInputs, class_entropy
from audiointerp.sonify.unpooling import UNPOOLINGS
from audiointerp.studies.cnn12 import Cnn12, describe
from audiointerp.studies.cnn12_task import Task
from audiointerp.studies.sonification_evidence import ClipEvidence
from audiointerp.studies.sonification_maps import (
    measure_maps,
    measure_randomisation,
    measure_scenes,
    measure_ways,
)
from audiointerp.studies.sonification_networks import CONTROL, REGIMES, Subject, followed, given_network, make
from audiointerp.studies.sonification_page import show
from audiointerp.studies.sonification_sounds import evolution, grid
from audiointerp.studies.sonification_tables import (
    floor_of,
    judge,
    summarise,
    summarise_coherence,
    summarise_removal,
    unfold,
)
from audiointerp.study import RunContext, UserError, at_least, stream
from audiointerp.training.fit_network import NetworkSettings, Workshop
from audiointerp.training.sonify import CorpusSonifier, sonify_corpus

TRAINED = ("supervised", "contrastive, fconly", "contrastive, full", CONTROL)
GIVEN = ("given, fconly", CONTROL)


@dataclass(frozen=True)
class Sonification:
    """Sonifications of networks side by side, and the evidence on whether these sounds matter to the networks.

    Args:
        networks: Out of `supervised`, `contrastive, fconly`, `contrastive, full`, `untrained, fconly` (the control),
            `supervised, strided` and its control `untrained, strided` (convolutions stride, nothing is pooled),
            `given, fconly`, `given, full`; None for the four with max-pooling that are trained here, or for `given,
            fconly` beside the control where there is a checkpoint.
        checkpoint: Weights of CNN12 with the backbone's settings, for the networks `given`.
        layers: Blocks whose maps are sonified, by number from 1 on.
        seeds: Networks of each kind.
        clips: Most held-out clips that are measured, 2 or more as the next one is a control; None for all.
        score: What makes a map active: `peak`, `mean` or `l2`.
        unpool: The way back through poolings: `switch`, `nearest`, `linear` or `soft`.
        top_frequencies: Coherent frequencies that are averaged.
        removal: Whether sonifications are taken out of clips.
        maps: Maps per layer that are measured one by one; None for all.
        scenes: Synthetic scenes with known times of speech; 0 for none.
        randomised: Clips that are sonified with more and more random weights, and by other ways back; 0 for none.
        evolution: Steps of contrastive training after which maps are sonified; none for no second training. None after
            the last of `pretraining`.
        shown: Maps per layer in the report.
        chunk: Maps led back at once; 1 on a CPU.
        training: How classifiers and whole networks are trained.
        pretraining: How encoders are trained before.
        factor: What is told; None as in `Cnn12`.
        split: How clips are held out, as in `Cnn12`.
    Raises:
        UserError: If a name is unknown, a number too small or too large, or a network `given` lacks a checkpoint.
    """

    networks: Sequence[str] | None = None
    checkpoint: str | None = None
    layers: Sequence[int] = (1, 4, 8, 11)
    seeds: int = 1
    clips: int | None = 24
    score: str = "peak"
    unpool: str = "switch"
    top_frequencies: int = 5
    removal: bool = True
    maps: int | None = 8
    scenes: int = 12
    randomised: int = 2
    evolution: Sequence[int] = ()
    shown: int = 2
    chunk: int = 1
    training: NetworkSettings = field(default_factory=NetworkSettings)
    pretraining: NetworkSettings = field(default_factory=NetworkSettings)
    factor: str | None = None
    split: str = "auto"
    title: str = "What the feature maps of a raw-waveform network sound like"
    question: str = "Which sounds do the maps of a network respond to, and do these sounds matter to it?"

    def __post_init__(self) -> None:
        at_least(self, seeds=1, top_frequencies=1, scenes=0, randomised=0, shown=1, chunk=1)
        for name, least in ("clips", 2), ("maps", 1):
            if getattr(self, name) is not None:
                at_least(self, **{name: least})
        wrong = [step for step in self.evolution if not 0 <= step <= self.pretraining.steps]
        if wrong:
            raise UserError(
                f"expected study.evolution from 0 to study.pretraining.steps={self.pretraining.steps}, got {wrong[0]}: "
                "leave it out, or train for more steps"
            )
        if self.score not in SCORES or self.unpool not in UNPOOLINGS:
            raise UserError(
                f"expected study.score out of {', '.join(SCORES)} and study.unpool out of {', '.join(UNPOOLINGS)}, got "
                f"{self.score!r} and {self.unpool!r}"
            )
        for name in self.names:
            if name not in REGIMES:
                raise UserError(f"study.networks: there is no {name!r}: known are {'; '.join(REGIMES)}")
            if name.startswith("given") and self.checkpoint is None:
                raise UserError(f"expected study.checkpoint=FILE for the network {name!r}, got none")
        if not self.layers or not self.names:
            raise UserError("expected at least one of study.layers and of study.networks, got none")

    @property
    def names(self) -> tuple[str, ...]:
        """The networks that are compared."""
        if self.networks is not None:
            return tuple(dict.fromkeys(self.networks))
        return TRAINED if self.checkpoint is None else GIVEN

    def run(self, context: RunContext, *, data: Sounds, backbone: CNN12, trainer: Callable[..., pl.Trainer]) -> None:
        """Trains or loads the networks, sonifies, measures, compares and reports."""
        regimes = Cnn12([REGIMES[name] for name in self.names], self.training, self.pretraining, factor=self.factor,
                        split=self.split, seeds=self.seeds)  # fmt: skip
        given = None if self.checkpoint is None else given_network(self.checkpoint, backbone)
        net = DeconvNet(backbone)
        layers = list(dict.fromkeys(net.layers[net.position(layer)] for layer in self.layers))
        shop = Workshop(trainer, context.folder, context.cache, context.lightning_logger())
        with context.step("sounds"):
            task = regimes.task(data, backbone, self.factor, context.seed, self.training, self.split)
            describe(context, task, self.pretraining if regimes.pretrains else self.training)
            rows = self.heard(task)
        scenes = self.synthetic_scenes(backbone, context.seed)
        subjects: dict[tuple[str, int], tuple[Subject, TopInputs]] = {}
        found: dict = {name: [] for name in ("clips", "maps", "scenes", "random", "ways", "variety")} | {
            "silent": set()
        }
        jobs = [(name, context.seed + seed) for seed in range(self.seeds) for name in self.names]
        for name, seed in context.progress(jobs, description="networks", unit="network"):
            with context.step("training"):
                subject = make(shop, regimes, task, backbone, given, name, seed)
            with context.step("sonification"):
                heard = self.sonified(trainer, subject, task, rows, layers)
            subjects[name, seed] = subject.to("cpu"), heard.top
            own = {"network": name, "seed": seed}
            found["clips"] += [{**own, **row} for row in heard.rows]
            found["silent"] |= set(heard.silent)
            found["variety"].append(self.variety(heard.top, task).assign(**own))
            with context.step("maps"):
                measured = measure_maps(subject, heard.top, task.clips, layers, self.maps, self.unpool)
                found["maps"].append(measured.assign(**own, group=groups_of(task, measured)))
            if scenes is not None:
                with context.step("scenes"):
                    measured = measure_scenes(subject, scenes, layers, self.score, self.unpool)
                    found["scenes"].append(measured.assign(**own))
            if self.randomised:
                with context.step("randomisation"):
                    randomisation = partial(measure_randomisation, unpool=self.unpool)
                    for key, measure in (("random", randomisation), ("ways", measure_ways)):
                        measured = measure(subject, task.clips, rows[: self.randomised], layers, self.score)
                        found[key].append(measured.assign(**own, group=groups_of(task, measured)))
        coherence, removal = unfold(found["clips"], task)
        floor = floor_of(task, rows, self.top_frequencies)
        tables = self.tables(coherence, removal, found, task, floor, context.seed)
        for name, frame in tables.items():
            context.table(name, frame)
        context.result(
            measure=task.measure,
            weights=", ".join(self.names),
            clips=len(rows),
            seeds=self.seeds,
            noise_floor=floor,
            silent_clips=len(found["silent"]),
            **{name: tables[name].to_dict("records") for name in
               ("claims", "coherence_summary", "removal_summary", "map_summary", "scene_summary", "variety_summary",
                "random_summary", "way_summary") if name in tables},
        )  # fmt: skip
        with context.step("sounds of the report"):
            cells = grid(context, subjects, task, layers, self.shown, self.unpool, context.seed)
            strips = []
            if self.evolution:
                networks = followed(context, shop, regimes, task, backbone, tuple(self.evolution), context.seed)
                strips = evolution(context, networks, task, rows, layers, self.score, self.unpool)
        show(context, task, tables, cells, strips, self)

    def heard(self, task: Task) -> np.ndarray:
        """Chooses the held-out clips that are measured.

        Raises:
            UserError: If fewer than 2 are held out: there is no other clip for the control.
        """
        test = next(iter(task.splits.values())).test
        if len(test) < 2:
            raise UserError(f"expected at least 2 held-out clips, got {len(test)}: set data or study.split to more")
        if self.clips is None or self.clips >= len(test):
            return test
        return np.sort(stream(0, "clips that are heard").choice(test, self.clips, replace=False))

    def synthetic_scenes(self, backbone: CNN12, seed: int) -> VoicesInNoise | None:
        """Gives scenes in which somebody speaks at known times."""
        if not self.scenes:
            return None
        pools = max(2, min(24, self.scenes))
        return VoicesInNoise(
            max(pools, self.scenes), snr_db=(0.0, 15.0), pools=pools, quiet_share=0.0,
            sample_rate=backbone.sample_rate, seed=seed,
        )  # fmt: skip

    def sonified(
        self, trainer: Callable[..., pl.Trainer], subject: Subject, task: Task, rows: np.ndarray, layers: Sequence[str]
    ) -> CorpusSonifier:
        """Hears the clips once: top inputs of all maps, evidence on the most active map of each layer."""
        evidence = ClipEvidence(subject, task.clips, rows, self.score, self.top_frequencies, self.removal,
                                self.unpool)  # fmt: skip
        module = CorpusSonifier(
            copy.deepcopy(subject.encoder), layers, score=self.score, measure=evidence, unpool=self.unpool,
            chunk=self.chunk,
        )  # fmt: skip
        return sonify_corpus(trainer, module, task.clips, rows)

    def variety(self, top: TopInputs, task: Task) -> pd.DataFrame:
        """Measures by layer how varied the top inputs' classes are, and how many maps are active."""
        table = top.table()
        active = pd.DataFrame(
            [{"layer": name, "active_share": float(share.mean()), "dead_maps": float((share == 0).double().mean())}
             for name, share in top.active.items()]
        )  # fmt: skip
        if task.multilabel:
            return active.assign(entropy=np.nan)
        labels = [task.classes[code] for code in task.targets.tolist()]
        entropy = class_entropy(table, labels).groupby("layer", sort=False)["entropy"].mean().reset_index()
        return active.merge(entropy, on="layer", how="left")

    def tables(
        self, coherence: pd.DataFrame, removal: pd.DataFrame, found: dict, task: Task, floor: float, seed: int
    ) -> dict[str, pd.DataFrame]:
        """Gives all tables: what was measured clip by clip, and its means."""
        kinds = [name for name in ("maps", "scenes", "random", "ways", "variety") if found[name]]
        joined = {name: pd.concat(found[name], ignore_index=True) for name in kinds}
        tables = {
            "claims": judge(coherence, removal, seed),
            "coherence": coherence,
            "coherence_summary": summarise_coherence(coherence, floor, seed),
            "maps": joined["maps"],
            "map_summary": summarise(
                joined["maps"], ["network", "layer", "depth"],
                ["rank", "rank_clip", "rank_other", "kept", "selectivity", "centre_hz"], seed,
            ),
            "variety": joined["variety"],
            "variety_summary": joined["variety"].groupby(["network", "layer"], sort=False)[
                ["entropy", "active_share", "dead_maps"]].mean().reset_index(),
        }  # fmt: skip
        if len(removal):
            tables["removal"] = removal.drop(columns="logits")
            tables["removal_summary"] = summarise_removal(removal, task, seed)
        if "scenes" in joined:
            tables["scenes"] = joined["scenes"]
            tables["scene_summary"] = summarise(
                joined["scenes"], ["network", "layer", "depth"], ["inside", "auc", "hit", "spoken"], seed
            )
        if "random" in joined:
            tables["random"], tables["ways"] = joined["random"], joined["ways"]
            tables["random_summary"] = summarise(
                joined["random"], ["network", "layer", "depth", "random"], ["waveform", "spectrogram"], seed
            )
            tables["way_summary"] = summarise(
                joined["ways"], ["network", "layer", "depth", "unpool", "led_back"], ["shared_power", "kept"], seed
            )
        return tables


def groups_of(task: Task, measured: pd.DataFrame) -> list[str]:
    """Gives the group of the clip of each row."""
    return [str(task.sounds.group.iloc[clip]) for clip in measured["clip"]] if len(measured) else []
