"""Learnable spectro-temporal receptive fields: five front ends at equal back end, and what the filters become."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch

from audiointerp.backbones.strf_network import FRONTS, PUBLISHED, STRFNetwork
from audiointerp.data.base import Sounds
from audiointerp.data.splits import check_shares
from audiointerp.modulation.harmonicity import harmonicity
from audiointerp.modulation.spectrum import ModulationSpectrum, modulation_spectrum
from audiointerp.studies.strf_page import show
from audiointerp.studies.strf_scores import against, summarised
from audiointerp.studies.strf_task import SPLITS, Task, cut, first_measure, measure, shuffle_labels, split_task
from audiointerp.studies.strf_tasks import compare_tasks
from audiointerp.studies.strf_tuning import (
    AS_THEY_ARE,
    SHUFFLED,
    ablate,
    against_centre,
    against_harmonicity,
    compared,
    displacements,
    read_filters,
)
from audiointerp.study import RunContext, SweepRun, UserError, at_least
from audiointerp.training.strf_classify import STRFTraining, fit_network, predict

GABOR = "learnt Gabor"
HEARD = 256
"""Training segments whose modulations are taken for those of the sounds, test segments that filters are read on."""


@dataclass(frozen=True)
class STRFStudy:
    """Trains networks behind learnt and frozen Gabor filters and their rivals, then reads the filters.

    Each seed is a training with its own initial values, on its own split; front ends are compared seed by seed. With
    `protocol=published` the published front end is trained beside them, and its filters are the ones that are read.

    Args:
        training: How networks are trained.
        factor: The factor whose classes are told, `tags`, or None for speech frame by frame.
        verify: Whether pairs of test clips are also told to be of one class or of two (equal error rate).
        fronts: Front ends to compare, out of `backbones.strf_network.FRONTS`.
        seeds: Networks of each front end.
        shuffled: Networks trained on shuffled labels, 0 for none, at most `seeds`.
        split: `groups`, `folds` (the corpus' own) or `auto`; see `strf_task.split_task`.
        roles: Shares of the groups with the roles train, select and test.
        shots: Most training clips of a class; None for all.
        examples: Sounds in the listening grid.
    Raises:
        UserError: If a number is out of range, a front end or a split is unknown, or the learnt Gabor filters are not
            among the front ends.
    """

    training: STRFTraining = field(default_factory=STRFTraining)
    factor: str | None = None
    verify: bool = False
    fronts: Sequence[str] = tuple(FRONTS)
    seeds: int = 5
    shuffled: int = 3
    split: str = "auto"
    roles: Mapping[str, float] = field(default_factory=lambda: {"train": 0.6, "select": 0.15, "test": 0.25})
    shots: int | None = None
    examples: int = 4

    title: ClassVar[str] = "What spectro-temporal filters learn"
    question: ClassVar[str] = (
        "Do learnt Gabor filters help a network, what modulations are they tuned to after training, and is that more "
        "than what they began with and what the sounds hold?"
    )

    def __post_init__(self) -> None:
        at_least(self, seeds=1, shuffled=0, examples=0, **({} if self.shots is None else {"shots": 1}))
        check_shares(self.roles)
        if self.shuffled > self.seeds or self.split not in SPLITS:
            raise UserError(
                f"expected study.shuffled of at most study.seeds and study.split of {', '.join(SPLITS)}, got "
                f"{self.shuffled}, {self.seeds} and {self.split!r}"
            )
        unknown = [front for front in self.fronts if front not in FRONTS]
        if unknown or GABOR not in self.fronts:
            raise UserError(
                f"expected study.fronts out of {', '.join(FRONTS)}, {GABOR!r} among them, got {list(self.fronts)}"
            )

    def run(
        self,
        context: RunContext,
        *,
        data: Sounds,
        backbone: Callable[..., STRFNetwork],
        trainer: Callable[..., pl.Trainer],
    ) -> None:
        """Trains, measures, reads the filters and reports."""
        published = context.protocol == "published"
        main = PUBLISHED if published else GABOR
        with context.step("sounds"):
            task = cut(data, backbone(output_names=["any"]), self.factor, self.verify)
            cut_up = partial(split_task, task, self.split, self.roles, seed=context.seed, shots=self.shots)
            splits = [cut_up(number) for number in range(self.seeds)]
        fit = partial(self.fit, context, backbone, trainer, {})
        scores, networks = [], {}
        with context.step("networks"):
            fronts = [*self.fronts, *([PUBLISHED] if published else [])]
            jobs = [(front, AS_THEY_ARE, number) for front in fronts for number in range(self.seeds)]
            jobs += [(main, SHUFFLED, number) for number in range(self.shuffled)]
            for front, labels, number in context.progress(jobs, description="training networks", unit="network"):
                network, measured = fit(splits[number], front, labels, context.seed + number)
                name = front if labels == AS_THEY_ARE else f"{front}, labels {labels}"
                scores.append({"front": name, "seed": context.seed + number, **measured, **_counted(network)})
                if front == main:
                    networks[labels, number] = network
        scores = pd.DataFrame(scores)
        ratio = float(np.mean([part.ratio for part in splits]))
        tables = {
            "scores": scores,
            "fronts": summarised(scores, task.measures, ratio),
            "differences": against(scores, main, task.measures, ratio),
        }
        with context.step("modulation"):
            spectrum = self.spectrum(splits[0], networks[AS_THEY_ARE, 0])
            tuning = pd.concat(
                [
                    self.read(splits[number], network, context.seed + number).assign(labels=labels, seed=number)
                    for (labels, number), network in networks.items()
                ],
                ignore_index=True,
            )
            tables |= {
                "tuning": tuning,
                "populations": compared(tuning, spectrum, context.seed),
                "displacement": displacements(tuning),
                "tonotopy": against_centre(tuning),
                "harmonicity": against_harmonicity(tuning),
                "modulation_spectrum": spectrum.frame(),
            }
        with context.step("ablation"):
            rows = []
            for number in range(self.seeds):
                network, own = networks[AS_THEY_ARE, number], tuning.query("labels == @AS_THEY_ARE and seed == @number")
                score = partial(self.score, splits[number], self.features(splits[number], network, "test"))
                found = ablate(network, own, score, context.seed + number)
                rows += [{"seed": number, "silenced": name, **values} for name, values in found.items()]
            shown = ["score", "lost", "lost_beyond_random"]
            tables["ablation"] = summarised(pd.DataFrame(rows), shown, ratio, by="silenced")
        for name, table in tables.items():
            context.table(name, table)
        first = tables["fronts"][tables["fronts"]["measure"] == task.measures[0]]
        context.result(
            sounds={"name": task.sounds.name, "segments": len(task.labels), "note": task.sounds.note},
            task={
                "kind": task.kind,
                "measure": task.measures[0],
                "chance": task.chance,
                "split": splits[0].by,
                "read": main,
                **{role: len(splits[0].rows(role)) for role in ("train", "select", "test")},
            },
            headline=dict(zip(first["front"], first["mean"], strict=True)),
            modulation_share={"below_10_hz_and_1_cycle_per_octave": spectrum.share(10.0, 1.0)},
            **{
                name: tables[name].to_dict("records")
                for name in (
                    *("fronts", "differences", "populations", "displacement", "tonotopy", "harmonicity", "ablation"),
                )
            },
        )
        show(context, splits[0], networks[AS_THEY_ARE, 0], spectrum, tables, main, self.examples)

    @staticmethod
    def compare(context: RunContext, runs: Sequence[SweepRun]) -> None:
        """Says how far the filters of several tasks lie apart; see `strf_tasks`."""
        compare_tasks(context, runs)

    def fit(
        self,
        context: RunContext,
        backbone: Callable[..., STRFNetwork],
        trainer: Callable[..., pl.Trainer],
        heard: dict[str, torch.Tensor],
        task: Task,
        front: str,
        labels: str,
        seed: int,
    ) -> tuple[STRFNetwork, dict[str, Any]]:
        """Trains one network and measures it on test groups; spectrograms are computed once."""
        network = backbone(output_names=task.classes, front=front, per_frame=task.kind == "frames", seed=seed)
        key = front if front in ("learnt bands", PUBLISHED) else "bands"
        if key not in heard:
            heard[key] = self.features(task, network)
        fitted = fit_network(
            network,
            trainer,
            heard[key],
            task.labels if labels == AS_THEY_ARE else shuffle_labels(task, seed),
            task.rows("train"),
            task.rows("select"),
            self.training,
            seed=seed,
            folder=context.folder,
        )
        measured = measure(task, fitted.network, heard[key])
        return fitted.network, {**measured, "epoch": fitted.epoch, "validation_loss": fitted.loss}

    def features(self, task: Task, network: STRFNetwork, role: str | None = None) -> torch.Tensor:
        """What the network's front end gives of all segments, or of those with a role."""
        rows = np.arange(len(task.labels)) if role is None else task.rows(role)
        with torch.no_grad():
            parts = [
                network.front_end(task.segments.batch(part)) for part in np.array_split(rows, max(1, len(rows) // 64))
            ]
        return torch.cat(parts)

    def score(self, task: Task, features: torch.Tensor, network: STRFNetwork) -> float:
        """The first measure alone, of features of the test segments."""
        return first_measure(task, predict(network, features))[task.measures[0]]

    def read(self, task: Task, network: STRFNetwork, seed: int) -> pd.DataFrame:
        """Reads a network's filters, before and after training, on the first of its test segments."""
        waveforms = task.segments.batch(task.rows("test")[:HEARD])
        with torch.no_grad():
            heard = network.spectrogram(network.front_end(waveforms))
        # The same draw, before training.
        return read_filters(network.untrained(seed), network, heard, harmonicity(waveforms, network.sample_rate))

    def spectrum(self, task: Task, network: STRFNetwork) -> ModulationSpectrum:
        """Modulation power of the training sounds, as the filters get them."""
        rows = task.rows("train")[:HEARD]
        with torch.no_grad():
            heard = network.spectrogram(network.front_end(task.segments.batch(rows))).numpy()
        frames = min(heard.shape[1], round(network.frame_rate))
        return modulation_spectrum(heard, network.frame_rate, network.bins_per_octave, frames)


def _counted(network: STRFNetwork) -> dict[str, int]:
    counts = network.learnt_parameters()
    return {"learnt in the front end": counts["front end"], "learnt behind it": counts["behind it"]}
