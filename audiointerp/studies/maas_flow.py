"""Factors pulled apart in one layer, one of them changed, and what follows in the output (Dick et al.)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytorch_lightning as pl

from audiointerp.activations.extract import extract
from audiointerp.backbones.base import Backbone
from audiointerp.data.base import Sounds
from audiointerp.disentangle.density import flow_nats, gaussian_nats, lda_nats
from audiointerp.disentangle.flow import RESIDUAL, FactorFlow
from audiointerp.edit.outcomes import fit_readers, nearer, outcomes, rivalry
from audiointerp.edit.transfer import OTHER
from audiointerp.probes.designs import Split
from audiointerp.probes.layers import LayerReader
from audiointerp.probes.measures import group_row
from audiointerp.statistics.effects import d_z
from audiointerp.studies.claims import judge_transfer
from audiointerp.studies.flow_fitting import Fit, Settings, blocks_of
from audiointerp.studies.latent_transfer import Editing, Stage, stage_of, to_latents
from audiointerp.studies.maas_decode import MaasDecode
from audiointerp.studies.maas_decode_page import show_decoding
from audiointerp.studies.maas_flow_page import show_flow
from audiointerp.studies.maas_flow_tables import brief_blocks, brief_effects, corrected_p, headline
from audiointerp.studies.published_transfer import as_published
from audiointerp.studies.world import World
from audiointerp.study import RunContext, UserError, at_least, stream
from audiointerp.training.fit_flow import FittedFlow, FlowSettings

ALL = "all components"
MODEL_SETTINGS = {"stages", "coupling", "mixing", "hidden", "depth", "reflections", "clamp"}


@dataclass(frozen=True)
class MaasFlow:
    """Decoding, factor flow and latent transfer.

    Args:
        decode: The first half.
        training: How flows are trained.
        candidates: Names to changed settings of model and training; the best on `select` is taken. None: as set.
        layer: The edited layer, None for the one that was chosen on `select`.
        block: Dimensions per factor: `classes-1`, or `1` as published.
        flow_seeds: Number of flows.
        untrained_flows: Number of flows on the untrained network, 0 for no such control; there is none either where
            the network in question is untrained itself.
        pairs_per_sound: References of each kind for each atypical sound.
        most_pairs: Most pairs per factor and flow; of more, some are drawn.
        doses_at: Strengths of the dose-response curve.
        dose_pairs: Most pairs per factor in it.
        published: Whether the published analysis is run beside the corrected one.
        published_pairs: Pairs per factor in it, spread over the ordered pairs of classes.
        examples: Edited sounds per factor in the listening table.
    Raises:
        UserError: If a number is too small, or a setting is not known.
    """

    decode: MaasDecode
    training: FlowSettings = field(default_factory=FlowSettings)
    candidates: Mapping[str, Mapping[str, Any]] | None = None
    layer: str | None = None
    block: str | int = "classes-1"
    flow_seeds: int = 5
    untrained_flows: int = 3
    pairs_per_sound: int = 4
    most_pairs: int = 2000
    doses_at: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
    dose_pairs: int = 200
    published: bool = True
    published_pairs: int = 400
    examples: int = 3

    title: ClassVar[str] = "What each layer tells, and what follows when it is changed"
    question: ClassVar[str] = (
        "Which layer encodes which factor, can the factors be pulled apart there, and does the network's answer follow "
        "when one of them is changed?"
    )

    def __post_init__(self) -> None:
        at_least(
            self,
            **{"flow_seeds": 1, "untrained_flows": 0, "pairs_per_sound": 1, "most_pairs": 2},
            **{"dose_pairs": 1, "published_pairs": 1, "examples": 0},
        )
        if str(self.block) not in ("classes-1", "1"):
            raise UserError(f"expected study.block=classes-1 or 1, got {self.block!r}")
        known = {entry.name for entry in fields(FlowSettings)} | MODEL_SETTINGS
        for name, changed in (self.candidates or {}).items():
            unknown = set(changed) - known
            if unknown:
                raise UserError(
                    f"study.candidates.{name} has no setting {', '.join(sorted(unknown))}: known are "
                    f"{', '.join(sorted(known))}"
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
        if self.layer is not None and self.layer not in backbone.layers:
            raise UserError(f"expected study.layer among {', '.join(backbone.layers)}, got {self.layer!r}")
        decoded = self.decode.decode(context, data, backbone, lift_controls=True)
        world = decoded.world
        layer = self.layer or decoded.best_joint
        stage = stage_of(world, backbone, layer, decoded.activations)
        fit = Fit(context, model, trainer)
        editing = Editing(self.pairs_per_sound, self.most_pairs, self.doses_at, self.dose_pairs)
        with context.step("choice of the flow"):
            settings, candidates = self.choose_flow(fit, editing, world, stage)
        with context.step("flows"):
            seeds = range(context.seed, context.seed + self.flow_seeds)
            flows = fit.train(stage, [(settings, seed) for seed in seeds], self.block)
            self.tell(context, seeds, flows)
        with context.step("disentanglement"):
            disentanglement = self.disentangle(context, world, stage, flows)
            densities = self.densities(stage, flows)
        with context.step("transfer"):
            transfer = editing.transfer(context, world, stage, flows)
            rivals = pd.DataFrame(rivalry(transfer.records, "flow", "class-mean shift", world.groups, context.seed))
        tables = {"disentanglement": [disentanglement], "transfer": [transfer.table]}
        if self.untrained_flows and backbone.weights.kind != "untrained":
            with context.step("untrained network"):
                heard = decoded.control.world
                control, control_flows = self.untrained(fit, heard, backbone, layer, settings)
                tables["disentanglement"].append(self.disentangle(context, heard, control, control_flows))
                tables["transfer"].append(editing.transfer(context, heard, control, control_flows).table)
                networks = [decoded.network, control.network]
        else:
            networks = [decoded.network]
        both = {
            name: pd.concat(
                [part.assign(network=network, layer=layer) for part, network in zip(parts, networks, strict=True)]
            )
            for name, parts in tables.items()
        }
        table = corrected_p(both["transfer"], decoded.network)
        published = pd.DataFrame()
        if self.published:
            with context.step("published analysis"):
                published = as_published(
                    fit, editing, self.decode.components, self.published_pairs, self.block, decoded, stage, table
                )
        claims = judge_transfer(table, both["disentanglement"], decoded.network)
        for name, frame in {
            "disentanglement": both["disentanglement"],
            "transfer": table,
            "densities": densities,
            "rivals": rivals,
            "candidates": candidates,
            "dose_response": transfer.doses,
            "published": published,
            "transfer_claims": claims,
        }.items():
            context.table(name, frame)
        context.result(
            edited_layer=layer,
            references_from={
                factor: "test"
                if len(stage.references(factor, stage.test, world.groups)) == len(stage.test)
                else "train, select and test (too few test groups)"
                for factor in stage.labels
            },
            headline=headline(table, both["disentanglement"], decoded.network),
            flow={
                "settings": settings.name,
                "blocks": blocks_of(stage, self.block),
                "nats_per_dim_of_pairs": [fitted.nats_per_dim for fitted in flows],
                "epochs": [fitted.epochs for fitted in flows],
                "round_trip": [fitted.round_trip for fitted in flows],
                "densities": densities.to_dict("records"),
            },
            disentanglement=brief_blocks(both["disentanglement"]),
            transfer=brief_effects(table),
            rivals=rivals.drop(columns=["interval"]).to_dict("records"),
            published=published.to_dict("records"),
            transfer_claims=claims.to_dict("records"),
        )
        show_decoding(context, decoded, backbone, self.decode.listen)
        show_flow(
            context, decoded, stage, flows, both["disentanglement"], table, transfer, rivals, published, self.examples
        )

    def choose_flow(self, fit: Fit, editing: Editing, world: World, stage: Stage) -> tuple[Settings, pd.DataFrame]:
        """Trains one flow per candidate and takes the one whose edits do best on the role `select`.

        The score is the mean over factors of d_z towards the other class and of the share that is read as it.
        """
        named = {
            name: Settings(name, *split_settings(self.training, dict(changed)))
            for name, changed in (self.candidates or {}).items()
        }
        given = Settings("as set", self.training, {})
        if len(named) < 2:
            return next(iter(named.values()), given), pd.DataFrame(columns=["candidate", "score", "chosen"])
        readers = fit_readers(stage.output, stage.labels, stage.train)
        rows = []
        trained = fit.train(stage, [(settings, fit.context.seed) for settings in named.values()], self.block)
        for name, fitted in zip(named, trained, strict=True):
            row = {"candidate": name, "nats_per_dim": fitted.nats_per_dim, "epochs": fitted.epochs}
            scores = []
            for factor in stage.labels:
                rng = stream(fit.context.seed, "select", factor)
                pairs = editing.pair(fitted.flow, factor, stage, stage.select, world.groups, rng)
                changes = {("flow", OTHER): editing.changes(fitted.flow, factor, stage, pairs, rng)["flow", OTHER]}
                edited, _ = editing.push(stage, world, pairs, changes)
                records = outcomes(factor, pairs, edited, stage.output, stage.labels, readers)
                effect, read = d_z(nearer(records, "Q^")), records["read_as_target"].mean()
                row |= {f"d_z {factor}": effect, f"read as target {factor}": read}
                scores.append(0.5 * (effect + read))
            rows.append(row | {"score": float(np.mean(scores))})
        frame = pd.DataFrame(rows)
        best = frame.loc[frame["score"].idxmax(), "candidate"]
        return named[best], frame.assign(chosen=frame["candidate"] == best)

    def untrained(
        self, fit: Fit, world: World, backbone: Backbone, layer: str, settings: Settings
    ) -> tuple[Stage, list[FittedFlow]]:
        """Sets up the control: the same layer, flows and edits in a network with random weights."""
        network = backbone.untrained(fit.context.seed + 1)
        activations = extract(
            network,
            world.segments,
            np.flatnonzero(world.roles == "fit"),
            fit.context.cache,
            layers=[layer],
            components=self.decode.components,
            precision=self.decode.precision,
            progress=fit.context.progress,
        )
        stage = stage_of(world, network, layer, activations)
        seeds = range(fit.context.seed, fit.context.seed + self.untrained_flows)
        return stage, fit.train(stage, [(settings, seed) for seed in seeds], self.block)

    def tell(self, context: RunContext, seeds: Sequence[int], flows: Sequence[FittedFlow]) -> None:
        """Writes how the flows' training went, the first one's epochs as metrics of the run."""
        rows = [{"flow_seed": seed} | row for seed, fitted in zip(seeds, flows, strict=True) for row in fitted.history]
        context.table("flow_training", pd.DataFrame(rows))
        for epoch in flows[0].history:
            context.log_metrics({name: value for name, value in epoch.items() if name != "epoch"}, epoch["epoch"])

    def densities(self, stage: Stage, flows: Sequence[FittedFlow]) -> pd.DataFrame:
        """Compares how well flows, one Gaussian and an LDA mixture predict test sounds, in nats per dimension."""
        train, test = stage.scores[stage.train], stage.scores[stage.test]
        cells = np.stack([values[stage.train] for values in stage.labels.values()], axis=1)
        cells = np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)
        rows = [{"model": f"flow, seed {i}", "nats_per_dim": flow_nats(f.flow, test)} for i, f in enumerate(flows)]
        rows.append({"model": "Gaussian", "nats_per_dim": gaussian_nats(train, test)})
        rows.append({"model": "LDA, one Gaussian per cell", "nats_per_dim": lda_nats(train, cells, test)})
        return pd.DataFrame(rows)

    def disentangle(self, context: RunContext, world: World, stage: Stage, flows: list[FittedFlow]) -> pd.DataFrame:
        """Reads each factor from its own block, the others', the residual, and all components; test groups only."""
        rows = []
        split = Split(np.concatenate([stage.train, stage.select]), stage.test)
        for index, fitted in enumerate(flows):
            latents = to_latents(fitted.flow, stage.scores)
            parts = {name: latents[:, part] for name, part in fitted.flow.blocks.items() if part.stop > part.start}
            parts |= {ALL: stage.scores} if index == 0 else {}
            for name, values in parts.items():
                reader = LayerReader(values, self.decode.neighbours, self.decode.penalty, search_all=False)
                for factor, question in world.questions.items():
                    for probe in ("knn", "ridge"):
                        guess = reader.predict(probe, question.labels, [split])
                        rows.append(
                            {"factor": factor, "block": name, "role": role_of(name, factor), "probe": probe}
                            | group_row(question, guess, context.seed)
                            | {"flow_seed": str(context.seed + index)}
                        )
        return pd.DataFrame(rows)


def role_of(block: str, factor: str) -> str:
    """Says what a block is to a factor."""
    return {factor: "own block", RESIDUAL: "residual", ALL: ALL}.get(block, "another factor's block")


def split_settings(training: FlowSettings, changed: dict[str, Any]) -> tuple[FlowSettings, dict[str, Any]]:
    """Splits changed settings into those of training and those of the model."""
    model = {name: changed.pop(name) for name in list(changed) if name in MODEL_SETTINGS}
    return replace(training, **changed), model
