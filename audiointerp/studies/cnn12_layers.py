"""How much each further block of a raw-waveform network tells, by how it was trained, and how active its maps are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor

from audiointerp.activations.base import capture
from audiointerp.backbones.cnn12 import CNN12
from audiointerp.backbones.depths import FirstBlocks, Readers
from audiointerp.data.base import Sounds
from audiointerp.statistics.intervals import cluster_interval, seed_interval
from audiointerp.studies.cnn12 import ENCODERS, Cnn12, describe
from audiointerp.studies.cnn12_page import show_layers
from audiointerp.studies.cnn12_scores import chance, right
from audiointerp.studies.cnn12_task import Task
from audiointerp.study import RunContext, UserError, at_least
from audiointerp.training.fit_network import NetworkSettings, Workshop
from audiointerp.training.recognise import scores


@dataclass(frozen=True)
class Cnn12Layers:
    """Layer importance: the first n blocks, pooled and classified, frozen and tuned.

    Args:
        pretrainings: Out of `untrained`, `contrastive`, `contrastive elsewhere`, `supervised elsewhere`, `given`.
        full_depths: Numbers of blocks for which all kept blocks are trained on; none for readers only. Readers of the
            frozen network stand on every block.
        training: How classifiers and cut-off networks are trained.
        pretraining: How encoders are trained before.
        source: The corpus that encoders are trained on elsewhere.
        factor: What is told; None as in `Cnn12`.
        source_factor: The same of `source`.
        split: How clips are held out, as in `Cnn12`.
        seeds: Networks per pretraining.
        activity_clips: Most held-out clips whose feature maps are looked at.
    Raises:
        UserError: If a pretraining is unknown, a number is too small, or a source is missing.
    """

    pretrainings: Sequence[str] = ("untrained", "contrastive elsewhere", "supervised elsewhere")
    full_depths: Sequence[int] = (2, 5, 8, 11)
    training: NetworkSettings = field(default_factory=NetworkSettings)
    pretraining: NetworkSettings = field(default_factory=NetworkSettings)
    source: Sounds | None = None
    factor: str | None = None
    source_factor: str | None = None
    split: str = "auto"
    seeds: int = 3
    activity_clips: int = 200
    title: str = "What each block of a raw-waveform network is good for"
    question: str = "How much does each further block tell, by how the network was trained?"

    def __post_init__(self) -> None:
        at_least(self, seeds=1, activity_clips=1)
        unknown = [name for name in self.pretrainings if name not in ENCODERS]
        if unknown or not self.pretrainings:
            raise UserError(f"expected study.pretrainings out of {'; '.join(ENCODERS)}, got {list(self.pretrainings)}")
        self.regimes()

    def regimes(self) -> Cnn12:
        """Gives the study of regimes that encoders are trained by."""
        return Cnn12(
            [f"{name}, fconly" for name in self.pretrainings], self.training, self.pretraining, self.source,
            self.factor, self.source_factor, self.split, seeds=self.seeds,
        )  # fmt: skip

    def run(self, context: RunContext, *, data: Sounds, backbone: CNN12, trainer: Callable[..., pl.Trainer]) -> None:
        """Reads every depth of every network, trains cut-off ones, measures activity, and reports."""
        regimes = self.regimes()
        if not all(1 <= depth <= len(backbone.blocks) for depth in self.full_depths):
            raise UserError(
                f"expected study.full_depths from 1 to {len(backbone.blocks)}, got {list(self.full_depths)}"
            )
        shop = Workshop(trainer, context.folder, context.cache, context.lightning_logger())
        with context.step("sounds"):
            task = regimes.task(data, backbone, self.factor, context.seed, self.training, self.split)
            describe(context, task, self.pretraining)
        split, (train, test) = next(iter(task.splits.items()))
        heard: dict[tuple[str, str, int, int], Tensor] = {}
        activity = []
        jobs = [(name, context.seed + seed) for seed in range(self.seeds) for name in self.pretrainings]
        for name, seed in context.progress(jobs, description="reading depths", unit="network"):
            with context.step("pretraining"):
                network = regimes.encoder(shop, task, backbone, name, train, seed)
            layers = list(network.layers)
            with context.step("frozen readers"):
                fitted = shop.recognition(
                    Readers(network, layers, task.classes, seed), task.clips, task.targets, train, test, self.training,
                    seed=seed, name=f"readers-{name}-{seed}".replace(" ", "-"),
                )  # fmt: skip
            for depth, logits in enumerate(fitted.logits, start=1):
                heard[name, "fconly", depth, seed] = logits
            with context.step("tuned blocks"):
                for depth in self.full_depths:
                    cut = FirstBlocks(network, depth, task.classes, seed)
                    heard[name, "full", depth, seed] = shop.recognition(
                        cut, task.clips, task.targets, train, test, self.training,
                        seed=seed, name=f"first-{depth}-{name}-{seed}".replace(" ", "-"),
                    ).logits  # fmt: skip
                if self.full_depths:
                    whole = network.with_outputs(task.classes, seed)
                    heard[name, "full", len(layers), seed] = shop.recognition(
                        whole, task.clips, task.targets, train, test, self.training,
                        seed=seed, name=f"whole-{name}-{seed}".replace(" ", "-"),
                    ).logits  # fmt: skip
            with context.step("activity"):
                some = test[:: max(1, len(test) // self.activity_clips)]
                activity.append(map_activity(network, task, some).assign(pretraining=name, seed=seed))
        table = pd.DataFrame([
            {"pretraining": name, "tuning": tuning, "depth": depth, "seed": seed}
            | scores(logits, task.targets[test])
            for (name, tuning, depth, seed), logits in heard.items()
        ])  # fmt: skip
        summary = summarise_depths(task, split, table, heard, len(backbone.blocks), context.seed)
        active = summarise_activity(pd.concat(activity, ignore_index=True))
        for name, frame in {"depth_scores": table, "depth_summary": summary, "activity": active}.items():
            context.table(name, frame)
        verdicts = [
            words(mine, name, len(backbone.blocks)) for name, mine in summary.groupby("pretraining", sort=False)
        ]
        context.result(measure=task.measure, depths=summary.to_dict("records"), activity=active.to_dict("records"))
        show_layers(context, task, summary[summary["depth"] <= len(backbone.blocks)], active, verdicts)


def summarise_depths(task: Task, split: str, table: pd.DataFrame, heard: dict, blocks: int, seed: int) -> pd.DataFrame:
    """Gives one row per pretraining, tuning and depth: mean score, interval, and the whole network's as `reference`.

    Depth `blocks + 1` is the whole network, its embedding included.
    """
    groups = task.sounds.group.to_numpy()[task.splits[split].test]
    rows = []
    for (name, tuning, depth), mine in table.groupby(["pretraining", "tuning", "depth"], sort=False):
        if task.multilabel:
            interval = seed_interval(mine["mAP"].to_numpy())
        else:
            each = [right(task, logits, split) for key, logits in heard.items() if key[:3] == (name, tuning, depth)]
            interval = cluster_interval(np.mean(each, axis=0), groups, seed=seed)
        rows.append(
            {"pretraining": name, "tuning": tuning, "depth": depth, "score": interval.estimate}
            | {"ci_low": interval.low, "ci_high": interval.high, "interval": interval.kind, "chance": chance(task)}
            | {"seeds_low": mine[task.measure].min(), "seeds_high": mine[task.measure].max(), "n_seeds": len(mine)}
        )
    frame = pd.DataFrame(rows)
    whole = frame[frame["depth"] == blocks + 1].set_index(["pretraining", "tuning"])["score"]
    keys = zip(frame["pretraining"], frame["tuning"], strict=True)
    return frame.assign(reference=[whole.get(key, np.nan) for key in keys])


def words(mine: pd.DataFrame, name: str, blocks: int) -> str:
    """Says at which depth a network's frozen blocks tell most, and what its whole does."""
    frozen = mine[(mine["tuning"] == "fconly")].set_index("depth")
    inner = frozen[frozen.index <= blocks]
    best, whole = inner.loc[inner["score"].idxmax()], frozen.loc[blocks + 1]
    return (
        f"{name.capitalize()}: frozen, its first {int(inner['score'].idxmax())} blocks tell most "
        f"({best['score']:.2f}), "
        f"the first alone {inner['score'].iloc[0]:.2f}, the whole network {whole['score']:.2f} "
        f"(chance {whole['chance']:.2f})."
    )


@torch.no_grad()
def map_activity(network: CNN12, task: Task, rows: np.ndarray) -> pd.DataFrame:
    """Measures each block on some clips: the share of maps that are active, and how sparse their values are.

    A map is active in a clip where any of its values is above zero; sparsity is the share of zeros among all values.

    Args:
        network: The network.
        task: What its clips come from.
        rows: Positions of the clips.
    Returns:
        Columns `depth`, `active_share`, `sparsity`: means over clips.
    """
    blocks = {name: block for name, block in network.layers.items() if name.startswith("block")}
    active, zeros = np.zeros(len(blocks)), np.zeros(len(blocks))
    for row in rows.tolist():
        with capture(network, blocks) as seen:
            network(network.front_end(torch.from_numpy(task.clips[row])[None]))
        active += [float((seen[name] > 0).any(-1).float().mean()) for name in blocks]
        zeros += [float((seen[name] == 0).float().mean()) for name in blocks]
    return pd.DataFrame(
        {"depth": range(1, len(blocks) + 1), "active_share": active / len(rows), "sparsity": zeros / len(rows)}
    )


def summarise_activity(frame: pd.DataFrame) -> pd.DataFrame:
    """Gives means over seeds; the range over seeds, no interval, is drawn as the band."""
    rows = []
    for (name, depth), mine in frame.groupby(["pretraining", "depth"], sort=False):
        rows.append(
            {"pretraining": name, "depth": depth, "active_share": mine["active_share"].mean()}
            | {"sparsity": mine["sparsity"].mean(), "n_seeds": len(mine), "ci_low": np.nan, "ci_high": np.nan}
        )
    return pd.DataFrame(rows)
