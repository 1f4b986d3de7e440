"""Factors pulled apart in one layer, one of them changed, and what follows in the output (Dick et al.)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch

from audiointerp.activations.extract import Activations
from audiointerp.activations.reduction import LinearReduction
from audiointerp.backbones.base import Backbone
from audiointerp.data.base import Sounds
from audiointerp.disentangle.flow import RESIDUAL, FactorFlow
from audiointerp.edit.directions import class_moments, lda_shift, mean_shift, random_like
from audiointerp.edit.outcomes import METHOD, effect_rows, fit_readers
from audiointerp.edit.transfer import OTHER, OWN, choose_pairs, push, typicality
from audiointerp.probes.designs import Split
from audiointerp.probes.layers import LayerReader
from audiointerp.probes.measures import group_row
from audiointerp.statistics.tests import holm
from audiointerp.studies.maas_decode import Decoded, MaasDecode, World
from audiointerp.studies.maas_decode_page import show_decoding
from audiointerp.studies.maas_flow_page import show_flow
from audiointerp.study import RunContext, UserError, stream
from audiointerp.training.fit_flow import FittedFlow, FlowSettings, fit_flow

ALL = "all components"


@dataclass(frozen=True)
class Stage:
    """The layer that is edited, and who is used for what.

    Attributes:
        backbone: The network.
        layer: The edited layer.
        scores: Its reduced activations, shape `(N, D)`.
        output: Unedited logits, shape `(N, K)`.
        reduction: Its reduction.
        labels: Factor to integer labels, each `(N,)`, -1 for segments without a class.
        train: Segments of the role `train` that have a class of every factor.
        select: The same of `select`.
        test: The same of `test`.
    """

    backbone: Backbone
    layer: str
    scores: np.ndarray
    output: np.ndarray
    reduction: LinearReduction
    labels: Mapping[str, np.ndarray]
    train: np.ndarray
    select: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Edits:
    """The edited outputs of one factor and seed, for the report.

    Attributes:
        factor: The edited factor.
        pairs: Who was edited towards whom.
        logits: (edit, `own class` or `other class`) to edited logits, each `(n, K)`.
    """

    factor: str
    pairs: pd.DataFrame
    logits: Mapping[tuple[str, str], np.ndarray]


@dataclass(frozen=True)
class MaasFlow:
    """Decoding, factor flow and latent transfer.

    Args:
        decode: The first half.
        training: How flows are trained.
        layer: The edited layer, None for the one that was chosen on `select`.
        block: Dimensions per factor: `classes-1`, or `1` as published.
        flow_seeds: Number of flows.
        pairs_per_sound: References of each kind for each atypical sound.
        examples: Edited sounds per factor in the listening table.
    """

    decode: MaasDecode
    training: FlowSettings = field(default_factory=FlowSettings)
    layer: str | None = None
    block: str | int = "classes-1"
    flow_seeds: int = 5
    pairs_per_sound: int = 4
    examples: int = 3

    title: ClassVar[str] = "What each layer tells, and what follows when it is changed"
    question: ClassVar[str] = (
        "Which layer encodes which factor, can the factors be pulled apart there, and does the network's answer follow "
        "when one of them is changed?"
    )

    def run(
        self,
        context: RunContext,
        *,
        data: Sounds,
        backbone: Backbone,
        model: Callable[..., FactorFlow],
        trainer: Callable[..., pl.Trainer],
    ) -> None:
        """Decodes, trains flows, edits, measures and reports."""
        if str(self.block) not in ("classes-1", "1"):
            raise UserError(f"expected study.block=classes-1 or 1, got {self.block!r}")
        if self.layer is not None and self.layer not in backbone.layers:
            raise UserError(f"expected study.layer among {', '.join(backbone.layers)}, got {self.layer!r}")
        decoded = self.decode.decode(context, data, backbone)
        layer = self.layer or decoded.best_joint
        stage = self.set(decoded.world, backbone, layer, decoded.activations[decoded.network, "corrected"])
        with context.step("flow"):
            flows = self.train(context, stage, model, trainer)
        with context.step("disentanglement"):
            disentanglement = self.disentangle(context, decoded, stage, flows)
            context.table("disentanglement", disentanglement)
        with context.step("transfer"):
            transfer, edits = self.transfer(context, decoded.world, stage, flows)
            context.table("transfer", transfer)
        context.result(headline=headline(transfer, disentanglement), edited_layer=layer)
        show_decoding(context, decoded, backbone, self.decode.listen)
        show_flow(context, decoded, stage, flows, disentanglement, transfer, edits, self.examples)

    def set(self, world: World, backbone: Backbone, layer: str, activations: Activations) -> Stage:
        """Collects what editing one layer needs.

        Raises:
            UserError: If a role has too few sounds of some class.
        """
        labels = {factor: question.labels for factor, question in world.questions.items()}
        classed = np.logical_and.reduce([values >= 0 for values in labels.values()])
        rows = {role: np.flatnonzero(classed & (world.roles == role)) for role in ("train", "select", "test")}
        for role, members in rows.items():
            for factor, question in world.questions.items():
                held = len(np.unique(labels[factor][members]))
                if role != "select" and held < len(question.classes) or held == 0:
                    raise UserError(
                        f"expected sounds of all {len(question.classes)} classes of {factor!r} in the role {role!r}, got "
                        f"{held}: more groups per class are needed (maas_decode runs without them), or other shares in "
                        "study.decode.roles"
                    )
        return Stage(
            backbone,
            layer,
            activations.scores[layer],
            activations.output,
            activations.reductions[layer],
            labels,
            **rows,
        )

    def train(
        self,
        context: RunContext,
        stage: Stage,
        model: Callable[..., FactorFlow],
        trainer: Callable[..., pl.Trainer],
    ) -> list[FittedFlow]:
        """Trains one flow per seed on the role `train`; `select` says when to stop."""
        blocks = {factor: 1 if str(self.block) == "1" else int(values.max()) for factor, values in stage.labels.items()}
        flows = [
            fit_flow(
                model,
                trainer,
                stage.scores,
                stage.labels,
                stage.train,
                stage.select,
                blocks,
                self.training,
                seed=context.seed + index,
                folder=context.folder,
                cache=context.cache,
                logger=context.lightning_logger() if index == 0 else False,
            )
            for index in context.progress(range(self.flow_seeds), description="training flows", unit="flow")
        ]
        context.result(
            flow={
                "nats_per_dim": [fitted.nats_per_dim for fitted in flows],
                "epochs": [fitted.epochs for fitted in flows],
                "round_trip": [fitted.round_trip for fitted in flows],
                "blocks": blocks,
            }
        )
        return flows

    def disentangle(self, context: RunContext, decoded: Decoded, stage: Stage, flows: list[FittedFlow]) -> pd.DataFrame:
        """Reads each factor from its own block, the others', the residual, and all components; test groups only."""
        rows = []
        split = Split(np.concatenate([stage.train, stage.select]), stage.test)
        for index, fitted in enumerate(flows):
            latents = to_latents(fitted.flow, stage.scores)
            parts = {name: latents[:, part] for name, part in fitted.flow.blocks.items() if part.stop > part.start}
            parts |= {ALL: stage.scores} if index == 0 else {}
            for name, values in parts.items():
                reader = LayerReader(values, self.decode.neighbours, self.decode.penalty)
                for factor, question in decoded.world.questions.items():
                    for probe in ("knn", "ridge"):
                        guess = reader.predict(probe, question.labels, [split])
                        rows.append(
                            {"factor": factor, "block": name, "role": role_of(name, factor), "probe": probe}
                            | group_row(question, guess, context.seed)
                            | {"layer": stage.layer, "network": decoded.network, "seed": context.seed + index}
                        )
        return pd.DataFrame(rows)

    def transfer(
        self, context: RunContext, world: World, stage: Stage, flows: list[FittedFlow]
    ) -> tuple[pd.DataFrame, list[Edits]]:
        """Edits atypical test sounds towards typical ones of their own and of other classes, beside all rivals."""
        readers = fit_readers(stage.output, stage.labels, np.concatenate([stage.train, stage.select]))
        groups = next(iter(world.questions.values())).groups
        rows: list[dict] = []
        kept: list[Edits] = []
        for index, fitted in enumerate(flows):
            latents = to_latents(fitted.flow, stage.scores)
            for factor, labels in stage.labels.items():
                rng = stream(context.seed, "transfer", factor, index)
                block = latents[:, fitted.flow.blocks[factor]]
                typical = typicality(block, labels, stage.train, stage.test)
                pairs = choose_pairs(labels, groups, typical, self.pairs_per_sound, rng)
                if pairs.empty:
                    raise UserError(
                        f"expected typical sounds of two classes of {factor!r} in `test`, got none: more groups"
                    )
                changes = self.changes(fitted.flow, factor, stage, pairs, rng)
                logits = push(
                    stage.backbone,
                    world.segments,
                    stage.layer,
                    stage.reduction,
                    pairs["source"].to_numpy(),
                    {f"{edit}|{moved_to}": change for (edit, moved_to), change in changes.items()},
                    context.progress,
                )
                edited = {tuple(name.split("|")): values for name, values in logits.items()}
                rows += [
                    row | {"layer": stage.layer, "network": stage.backbone.weights.kind, "seed": context.seed + index}
                    for row in effect_rows(
                        factor, pairs, edited, changes, stage.output, groups, stage.labels, readers, context.seed
                    )
                ]
                if index == 0:
                    kept.append(Edits(factor, pairs, edited))
        frame = pd.DataFrame(rows).assign(protocol="corrected")
        tested = (frame["role"] == METHOD).to_numpy()
        frame.loc[tested, "p_corrected"] = holm(frame.loc[tested, "p"].to_numpy())
        return frame, kept

    def changes(
        self, flow: FactorFlow, factor: str, stage: Stage, pairs: pd.DataFrame, rng: np.random.Generator
    ) -> dict[tuple[str, str], np.ndarray]:
        """Gives the change of the reduced layer that each edit makes, towards P^ and towards Q^."""
        labels = stage.labels[factor]
        moments = class_moments(stage.scores[stage.train], labels[stage.train], int(labels.max()) + 1)
        source = torch.from_numpy(stage.scores[pairs["source"]])
        own, other = (torch.from_numpy(stage.scores[pairs[column]]) for column in ("own", "other"))
        own_class, target = pairs["label"].to_numpy(), pairs["target"].to_numpy()
        with torch.no_grad():
            to_own = flow.change(source, own, factor).numpy()
            to_other = flow.change(source, other, factor).numpy()
            nothing = flow.change(source, source, factor).numpy()
        return {
            ("flow", OTHER): to_other,
            ("flow", OWN): to_own,
            ("class-mean shift", OTHER): mean_shift(moments, own_class, target),
            ("LDA shift", OTHER): lda_shift(moments, own_class, target),
            ("within-class swap", OTHER): to_own,
            ("random direction", OTHER): random_like(to_other, rng),
            ("no-op", OTHER): nothing,
        }


def to_latents(flow: FactorFlow, scores: np.ndarray) -> np.ndarray:
    """Gives the latents `(N, D)` of reduced activations `(N, D)`."""
    with torch.no_grad():
        return flow(torch.from_numpy(scores))[0].numpy()


def role_of(block: str, factor: str) -> str:
    """Says what a block is to a factor."""
    return {factor: "own block", RESIDUAL: "residual", ALL: ALL}.get(block, "another factor's block")


def headline(transfer: pd.DataFrame, disentanglement: pd.DataFrame) -> dict:
    """Gives the numbers that a run is known by: means over flow seeds, by factor."""
    moved = transfer[(transfer["reference"] == "Q^") & (transfer["moved_to"] == "Q^")]
    read = disentanglement[disentanglement["probe"] == "knn"]
    return {
        factor: {
            "d_z": {edit: float(rows["d_z"].mean()) for edit, rows in mine.groupby("edit", sort=False)},
            "read_as_target": {
                edit: float(rows["read_as_target"].mean()) for edit, rows in mine.groupby("edit", sort=False)
            },
            "read_from": {
                role: float(rows["accuracy"].mean())
                for role, rows in read[read["factor"] == factor].groupby("role", sort=False)
            },
        }
        for factor, mine in moved.groupby("factor", sort=False)
    }
