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

from audiointerp.backbones.strf_network import FRONTS, STRFNetwork
from audiointerp.data.base import Sounds
from audiointerp.data.splits import check_shares
from audiointerp.modulation.spectrum import ModulationSpectrum, modulation_spectrum
from audiointerp.statistics.detection import detection_error_rate, frame_f1, roc
from audiointerp.statistics.intervals import seed_interval
from audiointerp.studies.strf_page import show
from audiointerp.studies.strf_task import Task, balanced_accuracy, cut, embedded, verified
from audiointerp.studies.strf_tuning import ablate, against_centre, compared, displacements, tuning_table, used_at
from audiointerp.study import RunContext, UserError, at_least, stream
from audiointerp.training.strf_classify import STRFTraining, fit_network, predict

GABOR = "learnt Gabor"
SHUFFLED = "learnt Gabor, labels shuffled"
FRAMES = "speech frame by frame"


@dataclass(frozen=True)
class STRFStudy:
    """Trains networks behind learnt and frozen Gabor filters and their rivals, then reads the filters.

    Args:
        training: How networks are trained.
        factor: The factor whose classes are told, or None for speech frame by frame.
        verify: Whether pairs of test clips are also told to be of one class or of two (equal error rate).
        fronts: Front ends to compare, out of `backbones.strf_network.FRONTS`.
        seeds: Networks of each front end.
        shuffled: Networks trained on shuffled labels, 0 for none.
        roles: Shares of the groups with the roles train, select and test.
        examples: Sounds in the listening grid.
    Raises:
        UserError: If a number is too small, a front end is unknown, or the learnt Gabor filters are not among them.
    """

    training: STRFTraining = field(default_factory=STRFTraining)
    factor: str | None = None
    verify: bool = False
    fronts: Sequence[str] = tuple(FRONTS)
    seeds: int = 5
    shuffled: int = 3
    roles: Mapping[str, float] = field(default_factory=lambda: {"train": 0.6, "select": 0.15, "test": 0.25})
    examples: int = 4

    title: ClassVar[str] = "What spectro-temporal filters learn"
    question: ClassVar[str] = (
        "Do learnt Gabor filters help a network, what modulations are they tuned to after training, and is that more "
        "than what they began with and what the sounds hold?"
    )

    def __post_init__(self) -> None:
        at_least(self, seeds=1, shuffled=0, examples=0)
        check_shares(self.roles)
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
        with context.step("sounds"):
            task = cut(data, backbone(output_names=["any"]), self.factor, self.roles, context.seed)
        fit = partial(self.fit, context, task, backbone, trainer, {})
        scores, networks = [], {}
        with context.step("networks"):
            jobs = [(front, seed) for front in self.fronts for seed in range(self.seeds)]
            jobs += [(SHUFFLED, seed) for seed in range(self.shuffled)]
            for front, seed in context.progress(jobs, description="training networks", unit="network"):
                network, measured = fit(front, context.seed + seed)
                scores.append({"front": front, "seed": context.seed + seed, **measured, **_counted(network)})
                if front in (GABOR, SHUFFLED):
                    networks[front, seed] = network
        scores = pd.DataFrame(scores)
        context.table("scores", scores)
        summary = summarised(scores, list(self.measures))
        context.table("fronts", summary)
        with context.step("modulation"):
            spectrum = self.spectrum(task, networks[GABOR, 0])
            tunings: dict[str, list[pd.DataFrame]] = {GABOR: [], SHUFFLED: []}
            for (front, seed), network in networks.items():
                before = network.untrained(context.seed + seed)  # the same draw, before training
                tunings[front].append(tuning_table(before.strf, network.strf, used_at(network)))
            named = {"as they are": tunings[GABOR], "shuffled": tunings[SHUFFLED]}
            tables = {
                "tuning": pd.concat(tunings[GABOR], keys=range(self.seeds), names=["seed", ""])
                .droplevel(1)
                .reset_index(),
                "populations": compared(tunings[GABOR], tunings[SHUFFLED], spectrum, context.seed),
                "displacement": displacements(named),
                "tonotopy": against_centre(tunings[GABOR]),
            }
        with context.step("ablation"):
            rows = []
            for seed in range(self.seeds):
                score = partial(self.score, task, self.features(task, networks[GABOR, seed], "test"))
                found = ablate(networks[GABOR, seed], tunings[GABOR][seed], score, context.seed)
                rows += [{"seed": seed, "silenced": name, self.measures[0]: value} for name, value in found.items()]
            tables["ablation"] = summarised(pd.DataFrame(rows), [self.measures[0]], by="silenced")
        for name, table in tables.items():
            context.table(name, table)
        context.result(
            sounds={"name": task.sounds.name, "segments": len(task.labels), "note": task.sounds.note},
            headline={
                row["front"]: row["mean"] for _, row in summary[summary["measure"] == self.measures[0]].iterrows()
            },
            fronts=summary.to_dict("records"),
            populations=tables["populations"].to_dict("records"),
            displacement=tables["displacement"].to_dict("records"),
            ablation=tables["ablation"].to_dict("records"),
            modulation_share={"below_10_hz_and_1_cycle_per_octave": spectrum.share(10.0, 1.0)},
        )
        show(context, task, networks[GABOR, 0], summary, spectrum, tables, self.measures[0], self.examples)

    @property
    def measures(self) -> tuple[str, ...]:
        """What is measured on test groups, the most important first."""
        if self.factor is None:
            return ("roc_area", "detection_error_rate", "frame_f1")
        return ("accuracy", "equal_error_rate") if self.verify else ("accuracy",)

    def fit(
        self,
        context: RunContext,
        task: Task,
        backbone: Callable[..., STRFNetwork],
        trainer: Callable[..., pl.Trainer],
        heard: dict[bool, torch.Tensor],
        front: str,
        seed: int,
    ) -> tuple[STRFNetwork, dict[str, Any]]:
        """Trains one network and measures it on test groups; spectrograms are computed once."""
        labels = task.labels
        kind = GABOR if front == SHUFFLED else front
        if front == SHUFFLED:
            labels = labels.copy()
            known = np.flatnonzero(task.roles != "test")
            labels[known] = labels[stream(seed, "shuffled labels").permutation(known)]
        network = backbone(output_names=task.classes, front=kind, per_frame=self.factor is None, seed=seed)
        key = kind == "learnt bands"
        if key not in heard:
            heard[key] = self.features(task, network)
        features = heard[key]
        fitted = fit_network(
            network,
            trainer,
            features,
            labels,
            task.rows("train"),
            task.rows("select"),
            self.training,
            seed=seed,
            folder=context.folder,
        )
        measured = self.measure(task, fitted.network, features)
        return fitted.network, {**measured, "epoch": fitted.epoch, "validation_loss": fitted.loss}

    def features(self, task: Task, network: STRFNetwork, role: str | None = None) -> torch.Tensor:
        """What the network's front end gives of all segments, or of those with a role."""
        rows = np.arange(len(task.labels)) if role is None else task.rows(role)
        with torch.no_grad():
            parts = [
                network.front_end(task.segments.batch(part)) for part in np.array_split(rows, max(1, len(rows) // 64))
            ]
        return torch.cat(parts)

    def measure(self, task: Task, network: STRFNetwork, features: torch.Tensor) -> dict[str, float]:
        """Measures of a network on the test groups; a threshold is chosen on `select`."""
        rows = {role: task.rows(role) for role in ("select", "test")}
        logits = {role: predict(network, features[torch.from_numpy(part)]) for role, part in rows.items()}
        labels = task.labels[rows["test"]]
        if self.factor is not None:
            measured = {"accuracy": balanced_accuracy(labels, logits["test"], task.clips[rows["test"]])}
            if self.verify:
                codes = embedded(network, features[torch.from_numpy(rows["test"])])
                measured["equal_error_rate"] = verified(codes, labels, task.groups[rows["test"]])
            return measured
        margins = {role: (value[:, 1] - value[:, 0]).ravel() for role, value in logits.items()}
        grid = np.quantile(margins["select"], np.linspace(0.02, 0.98, 97))
        truth = task.labels[rows["select"]].ravel()
        threshold = min(grid, key=lambda value: detection_error_rate(truth, (margins["select"] >= value).astype(int)))
        said = (margins["test"] >= threshold).astype(int)
        return {
            "roc_area": roc(labels.ravel(), margins["test"]).area,
            "detection_error_rate": detection_error_rate(labels.ravel(), said),
            "frame_f1": frame_f1(labels.ravel(), said),
        }

    def score(self, task: Task, features: torch.Tensor, network: STRFNetwork) -> float:
        """The first measure alone, of features of the test segments."""
        rows, logits = task.rows("test"), predict(network, features)
        if self.factor is not None:
            return balanced_accuracy(task.labels[rows], logits, task.clips[rows])
        return roc(task.labels[rows].ravel(), (logits[:, 1] - logits[:, 0]).ravel()).area

    def spectrum(self, task: Task, network: STRFNetwork) -> ModulationSpectrum:
        """Modulation power of the training sounds, as the filters get them."""
        rows = task.rows("train")[:256]
        with torch.no_grad():
            heard = network.spectrogram(network.front_end(task.segments.batch(rows))).numpy()
        frames = min(heard.shape[1], round(network.frame_rate))
        return modulation_spectrum(heard, network.frame_rate, network.bins_per_octave, frames)


def summarised(scores: pd.DataFrame, measures: Sequence[str], by: str = "front") -> pd.DataFrame:
    """Mean over seeds with its interval, one row per front end and measure."""
    rows = []
    for name, mine in scores.groupby(by, sort=False):
        for measure in measures:
            values = mine[measure].dropna().to_numpy()
            if not len(values):
                continue
            interval = seed_interval(values)
            row = {by: name, "measure": measure, "mean": interval.estimate}
            row |= {"ci_low": interval.low, "ci_high": interval.high, "interval": interval.kind, "seeds": len(values)}
            if "learnt in the front end" in mine:
                row["learnt in the front end"] = int(mine["learnt in the front end"].iloc[0])
                row["learnt behind it"] = int(mine["learnt behind it"].iloc[0])
            rows.append(row)
    return pd.DataFrame(rows)


def _counted(network: STRFNetwork) -> dict[str, int]:
    counts = network.learnt_parameters()
    return {"learnt in the front end": counts["front end"], "learnt behind it": counts["behind it"]}
