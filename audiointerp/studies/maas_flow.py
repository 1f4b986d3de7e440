"""Factors pulled apart in one layer, one of them changed, and what follows in the output (Dick et al.)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch

from audiointerp.activations.extract import Activations, extract
from audiointerp.activations.reduction import LinearReduction
from audiointerp.backbones.base import Backbone
from audiointerp.data.base import Sounds
from audiointerp.disentangle.density import flow_nats, gaussian_nats, lda_nats
from audiointerp.disentangle.flow import RESIDUAL, FactorFlow
from audiointerp.edit.directions import class_moments, lda_shift, mean_shift, random_like
from audiointerp.edit.outcomes import (
    ALL_SEEDS,
    OutputReaders,
    distance_percentile,
    fit_readers,
    nearer,
    negative_share,
    outcomes,
    rivalry,
    summarise,
)
from audiointerp.edit.published import Mistakes, choose_by_windows
from audiointerp.edit.transfer import OTHER, OWN, choose_pairs, push, typicality
from audiointerp.probes.designs import Split
from audiointerp.probes.layers import LayerReader
from audiointerp.probes.measures import group_row
from audiointerp.statistics.effects import d_z, d_z_interval
from audiointerp.statistics.intervals import pair_interval
from audiointerp.statistics.tests import paired_t
from audiointerp.studies.claims import judge_transfer
from audiointerp.studies.maas_decode import Decoded, MaasDecode, World
from audiointerp.studies.maas_decode_page import show_decoding
from audiointerp.studies.maas_flow_page import show_flow
from audiointerp.studies.maas_flow_tables import brief_blocks, brief_effects, corrected_p, headline
from audiointerp.study import RunContext, UserError, stream
from audiointerp.training.fit_flow import FittedFlow, FlowSettings, fit_flow

ALL = "all components"
MODEL_SETTINGS = {"stages", "coupling", "mixing", "hidden", "depth", "reflections", "clamp"}
PUBLISHED_TRAINING = FlowSettings(learning_rate=5e-3, form="no-log", align=False, epochs=10, patience=10)
PUBLISHED_MODEL = {"stages": 5, "coupling": "additive", "mixing": "householder", "hidden": 64, "depth": 3}


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

    @property
    def network(self) -> str:
        """What the network is to the tables: trained, standin or untrained."""
        return self.backbone.weights.kind


@dataclass(frozen=True)
class Settings:
    """A named setting of flow and training.

    Attributes:
        name: Its name.
        training: How it is trained.
        model: What is changed in the configured model.
    """

    name: str
    training: FlowSettings
    model: Mapping[str, Any]


@dataclass(frozen=True)
class Fit:
    """What training needs from the run.

    Attributes:
        context: The run.
        model: Builds a flow.
        trainer: Builds a Lightning trainer.
    """

    context: RunContext
    model: Callable[..., FactorFlow]
    trainer: Callable[..., pl.Trainer]


@dataclass(frozen=True)
class Edits:
    """The edited outputs of one factor and the first flow, for the report.

    Attributes:
        factor: The edited factor.
        pairs: Who was edited towards whom.
        logits: (edit, `own class` or `other class`) to edited logits, each `(n, K)`.
    """

    factor: str
    pairs: pd.DataFrame
    logits: Mapping[tuple[str, str], np.ndarray]


@dataclass(frozen=True)
class Transfer:
    """What editing one network did.

    Attributes:
        records: Outcomes of every pair, edit and flow.
        table: The table `transfer`.
        doses: The table `dose_response`.
        edits: The first flow's edits, one per factor.
    """

    records: pd.DataFrame
    table: pd.DataFrame
    doses: pd.DataFrame
    edits: tuple[Edits, ...]


@dataclass(frozen=True)
class MaasFlow:
    """Decoding, factor flow and latent transfer.

    Args:
        decode: The first half.
        training: How flows are trained.
        candidates: Names to changed settings of model and training; the best on `select` is taken. Empty: as set.
        layer: The edited layer, None for the one that was chosen on `select`.
        block: Dimensions per factor: `classes-1`, or `1` as published.
        flow_seeds: Number of flows.
        untrained_flows: Number of flows on the untrained network, 0 for no such control.
        pairs_per_sound: References of each kind for each atypical sound.
        doses_at: Strengths of the dose-response curve.
        dose_pairs: Most pairs per factor in it.
        published: Whether the published analysis is run beside the corrected one.
        published_pairs: Pairs per ordered pair of classes in it.
        examples: Edited sounds per factor in the listening table.
    """

    decode: MaasDecode
    training: FlowSettings = field(default_factory=FlowSettings)
    candidates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    layer: str | None = None
    block: str | int = "classes-1"
    flow_seeds: int = 5
    untrained_flows: int = 3
    pairs_per_sound: int = 4
    doses_at: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
    dose_pairs: int = 200
    published: bool = True
    published_pairs: int = 20
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
        self.check(backbone)
        decoded = self.decode.decode(context, data, backbone)
        world = decoded.world
        layer = self.layer or decoded.best_joint
        stage = self.set(world, backbone, layer, decoded.activations[decoded.network, "corrected"])
        fit = Fit(context, model, trainer)
        with context.step("choice of the flow"):
            settings, candidates = self.choose_flow(fit, world, stage)
        with context.step("flows"):
            flows = [
                self.train(fit, stage, settings, context.seed + index)
                for index in context.progress(range(self.flow_seeds), description="training flows", unit="flow")
            ]
        with context.step("disentanglement"):
            disentanglement = self.disentangle(context, decoded, stage, flows)
            densities = self.densities(stage, flows)
        with context.step("transfer"):
            transfer = self.transfer(context, world, stage, flows)
            rivals = pd.DataFrame(rivalry(transfer.records, "flow", "class-mean shift", world.groups, context.seed))
        tables = {"disentanglement": [disentanglement], "transfer": [transfer.table]}
        if self.untrained_flows:
            with context.step("untrained network"):
                control, control_flows = self.untrained(fit, world, backbone, layer, settings)
                tables["disentanglement"].append(self.disentangle(context, decoded, control, control_flows))
                tables["transfer"].append(self.transfer(context, world, control, control_flows).table)
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
                published = self.as_published(fit, world, decoded, stage, flows, table)
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

    def check(self, backbone: Backbone) -> None:
        """Raises `UserError` for settings that cannot work, before anything is computed."""
        if str(self.block) not in ("classes-1", "1"):
            raise UserError(f"expected study.block=classes-1 or 1, got {self.block!r}")
        if self.layer is not None and self.layer not in backbone.layers:
            raise UserError(f"expected study.layer among {', '.join(backbone.layers)}, got {self.layer!r}")
        if self.flow_seeds < 1:
            raise UserError(f"expected study.flow_seeds of 1 or more, got {self.flow_seeds}")
        known = {entry.name for entry in fields(FlowSettings)} | MODEL_SETTINGS
        for name, changed in self.candidates.items():
            unknown = set(changed) - known
            if unknown:
                raise UserError(
                    f"expected settings among {', '.join(sorted(known))} in study.candidates.{name}, got "
                    f"{', '.join(sorted(unknown))}"
                )

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
                        f"expected sounds of all {len(question.classes)} classes of {factor!r} in the role {role!r}, "
                        f"got {held}: more groups per class are needed (maas_decode runs without them), or other shares in "
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

    def choose_flow(self, fit: Fit, world: World, stage: Stage) -> tuple[Settings, pd.DataFrame]:
        """Trains one flow per candidate and takes the one whose edits do best on the role `select`.

        The score is the mean over factors of d_z towards the other class and of the share that is read as it.
        """
        named = {
            name: Settings(name, *split_settings(self.training, dict(changed)))
            for name, changed in self.candidates.items()
        }
        given = Settings("as set", self.training, {})
        if len(named) < 2:
            return next(iter(named.values()), given), pd.DataFrame(columns=["candidate", "score", "chosen"])
        readers = fit_readers(stage.output, stage.labels, stage.train)
        rows = []
        for name, settings in fit.context.progress(named.items(), description="choosing the flow", unit="candidate"):
            fitted = self.train(fit, stage, settings, fit.context.seed)
            row = {"candidate": name, "nats_per_dim": fitted.nats_per_dim, "epochs": fitted.epochs}
            scores = []
            for factor in stage.labels:
                rng = stream(fit.context.seed, "select", factor)
                pairs = self.pair(fitted.flow, factor, stage, stage.select, world.groups, rng)
                changes = {("flow", OTHER): self.changes(fitted.flow, factor, stage, pairs, rng)["flow", OTHER]}
                edited, _ = self.push(stage, world, pairs, changes)
                records = outcomes(factor, pairs, edited, stage.output, stage.labels, readers)
                effect, read = d_z(nearer(records, "Q^")), records["read_as_target"].mean()
                row |= {f"d_z {factor}": effect, f"read as target {factor}": read}
                scores.append(0.5 * (effect + read))
            rows.append(row | {"score": float(np.mean(scores))})
        frame = pd.DataFrame(rows)
        best = frame.loc[frame["score"].idxmax(), "candidate"]
        return named[best], frame.assign(chosen=frame["candidate"] == best)

    def train(self, fit: Fit, stage: Stage, settings: Settings, seed: int) -> FittedFlow:
        """Trains one flow on the role `train`; `select` says when to stop."""
        return fit_flow(
            partial(fit.model, **settings.model),
            fit.trainer,
            stage.scores,
            stage.labels,
            stage.train,
            stage.select,
            blocks_of(stage, self.block),
            settings.training,
            seed=seed,
            folder=fit.context.folder,
            cache=fit.context.cache,
            logger=fit.context.lightning_logger() if seed == fit.context.seed else False,
        )

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
            progress=fit.context.progress,
        )
        stage = self.set(world, network, layer, activations)
        seeds = range(fit.context.seed, fit.context.seed + self.untrained_flows)
        return stage, [self.train(fit, stage, settings, seed) for seed in seeds]

    def densities(self, stage: Stage, flows: Sequence[FittedFlow]) -> pd.DataFrame:
        """Compares how well flows, one Gaussian and an LDA mixture predict test sounds, in nats per dimension."""
        train, test = stage.scores[stage.train], stage.scores[stage.test]
        cells = np.stack([values[stage.train] for values in stage.labels.values()], axis=1)
        cells = np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)
        rows = [{"model": f"flow, seed {i}", "nats_per_dim": flow_nats(f.flow, test)} for i, f in enumerate(flows)]
        rows.append({"model": "Gaussian", "nats_per_dim": gaussian_nats(train, test)})
        rows.append({"model": "LDA, one Gaussian per cell", "nats_per_dim": lda_nats(train, cells, test)})
        return pd.DataFrame(rows)

    def as_published(
        self,
        fit: Fit,
        world: World,
        decoded: Decoded,
        stage: Stage,
        flows: Sequence[FittedFlow],
        corrected: pd.DataFrame,
    ) -> pd.DataFrame:
        """Runs the published analysis and takes its mistakes back one after the other."""
        context = fit.context
        everyone = np.flatnonzero(np.logical_and.reduce([values >= 0 for values in stage.labels.values()]))
        found = extract(
            stage.backbone,
            world.segments,
            np.arange(len(world.segments)),
            context.cache,
            layers=[stage.layer],
            components=self.decode.components,
            progress=context.progress,
        )
        drawn = stream(context.seed, "published split").permutation(everyone)
        held = len(drawn) // 5
        leaky = Stage(
            stage.backbone, stage.layer, found.scores[stage.layer], found.output, found.reductions[stage.layer],
            stage.labels, np.sort(drawn[held:]), np.sort(drawn[:held]), everyone,
        )  # fmt: skip
        settings = Settings("published", PUBLISHED_TRAINING, PUBLISHED_MODEL)
        variants = [
            ("as published", leaky, Mistakes()),
            ("and atypical sounds of the right class", leaky, Mistakes(any_class=False)),
            ("and distances between logits", leaky, Mistakes(any_class=False, log_sigmoid=False)),
            ("and held-out groups", stage, Mistakes(any_class=False, log_sigmoid=False)),
        ]
        study = replace(self, block="1")
        fitted = {id(s): study.train(fit, s, settings, context.seed) for s in (leaky, stage)}
        rows = []
        for (name, s, mistakes), factor in itertools.product(variants, stage.labels):
            flow = fitted[id(s)].flow
            rng = stream(context.seed, "published", factor)
            values = to_latents(flow, s.scores)[:, flow.blocks[factor]][:, 0]
            pairs = choose_by_windows(values, s.labels[factor], s.test, self.published_pairs, mistakes, rng)
            row = {"factor": factor, "analysis": name, "dimensions": 1, "n": len(pairs)}
            if len(pairs) < 2:
                rows.append(row | {"test": "none: no sound lies in the windows"})
                continue
            changes = {
                key: change
                for key, change in study.changes(flow, factor, s, pairs, rng).items()
                if key in {("flow", OTHER), ("random direction", OTHER)}
            }
            edited, _ = self.push(s, world, pairs, changes)
            unedited = mistakes.outputs(s.output[pairs["source"]])
            goal = mistakes.outputs(s.output[pairs["other"]])
            before = np.linalg.norm(unedited - goal, axis=1)
            gain = {
                edit: before - np.linalg.norm(mistakes.outputs(values) - goal, axis=1)
                for (edit, _), values in edited.items()
            }
            result = paired_t(gain["flow"], np.zeros(len(pairs)))
            by_group = d_z_interval(
                gain["flow"], world.groups[pairs["source"]], world.groups[pairs["other"]], seed=context.seed
            )
            rows.append(
                row
                | {
                    "d_z flow": d_z(gain["flow"]),
                    "d_z random direction": d_z(gain["random direction"]),
                    "p as published": min(1.0, 4 * result.p),
                    "95 % by groups": str(by_group).split(" ", 1)[1],
                    "n_groups": by_group.n_clusters,
                    "right class among atypical": float(np.mean(s.labels[factor][pairs["source"]] == pairs["label"])),
                }
            )
        for factor in stage.labels:
            mine = corrected[
                (corrected["factor"] == factor)
                & (corrected["network"] == decoded.network)
                & (corrected["reference"] == "Q^")
                & (corrected["moved_to"] == "Q^")
                & (corrected["flow_seed"] == ALL_SEEDS)
            ].set_index("edit")
            row = mine.loc["flow"]
            rows.append(
                {
                    "factor": factor,
                    "analysis": "corrected",
                    "dimensions": blocks_of(stage, self.block)[factor],
                    "n": int(row["n"]),
                    "d_z flow": row["d_z"],
                    "d_z random direction": mine.loc["random direction", "d_z"],
                    "95 % by groups": f"[{row['ci_low']:.3g}, {row['ci_high']:.3g}]",
                    "n_groups": int(row["n_groups"]),
                    "right class among atypical": 1.0,
                }
            )
        return pd.DataFrame(rows)

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
                            | {"flow_seed": str(context.seed + index)}
                        )
        return pd.DataFrame(rows)

    def transfer(
        self,
        context: RunContext,
        world: World,
        stage: Stage,
        flows: Sequence[FittedFlow],
    ) -> Transfer:
        """Edits atypical test sounds towards typical ones of their own and of other classes, beside all rivals."""
        readers = fit_readers(stage.output, stage.labels, np.concatenate([stage.train, stage.select]))
        groups = world.groups
        parts, examples, doses = [], [], []
        asked = [(index, factor) for index in range(len(flows)) for factor in stage.labels]
        for index, factor in context.progress(asked, description=f"editing {stage.layer}", unit="flow x factor"):
            flow = flows[index].flow
            rng = stream(context.seed, "transfer", factor, index)
            pairs = self.pair(flow, factor, stage, stage.test, groups, rng)
            changes = self.changes(flow, factor, stage, pairs, rng)
            edited, negative = self.push(stage, world, pairs, changes)
            records = outcomes(factor, pairs, edited, stage.output, stage.labels, readers)
            parts.append(
                records.assign(
                    flow_seed=context.seed + index,
                    edit_norm=np.concatenate([np.linalg.norm(changes[key], axis=1) for key in edited]),
                    negative_share=np.concatenate([negative[key] for key in edited]),
                    mahalanobis_percentile=np.concatenate(
                        [self.percentile(factor, stage, pairs, changes[key], key[1]) for key in edited]
                    ),
                )
            )
            if index == 0:
                examples.append(Edits(factor, pairs, edited))
                doses.append(self.doses(context, world, factor, flow, stage, pairs, readers))
        records = pd.concat(parts, ignore_index=True)
        return Transfer(records, summarise(records, groups, context.seed), pd.concat(doses), tuple(examples))

    def pair(
        self,
        flow: FactorFlow,
        factor: str,
        stage: Stage,
        rows: np.ndarray,
        groups: np.ndarray,
        rng: np.random.Generator,
    ) -> pd.DataFrame:
        """Pairs atypical with typical sounds among `rows`; centres and spread of the block come from `train`.

        Raises:
            UserError: If no pair can be made.
        """
        block = to_latents(flow, stage.scores)[:, flow.blocks[factor]]
        typical = typicality(block, stage.labels[factor], stage.train, rows)
        pairs = choose_pairs(stage.labels[factor], groups, typical, self.pairs_per_sound, rng)
        if pairs.empty:
            raise UserError(
                f"expected sounds of two groups in each of two classes of {factor!r} to edit, got none: more groups are "
                "needed (maas_decode runs without them)"
            )
        return pairs

    def push(
        self, stage: Stage, world: World, pairs: pd.DataFrame, changes: Mapping[tuple[str, str], np.ndarray]
    ) -> tuple[dict[tuple[str, str], np.ndarray], dict[tuple[str, str], np.ndarray]]:
        """Gives the edited logits and the share of negative activations of each edit."""
        names = {"|".join(key): key for key in changes}
        negative: dict[tuple[str, str], list[np.ndarray]] = {key: [] for key in changes}

        def inspect(name: str, before: torch.Tensor, after: torch.Tensor) -> None:
            negative[names[name]].append(negative_share(after.cpu().numpy()))

        logits = push(
            stage.backbone,
            world.segments,
            stage.layer,
            stage.reduction,
            pairs["source"].to_numpy(),
            {name: changes[key] for name, key in names.items()},
            inspect=inspect,
        )
        edited = {names[name]: values for name, values in logits.items()}
        return edited, {key: np.concatenate(parts) for key, parts in negative.items()}

    def percentile(
        self, factor: str, stage: Stage, pairs: pd.DataFrame, change: np.ndarray, moved_to: str
    ) -> np.ndarray:
        """Says how far out the edited layer lies among the real sounds of the class it was moved to."""
        labels = stage.labels[factor]
        moments = class_moments(stage.scores[stage.train], labels[stage.train], int(labels.max()) + 1)
        goal = pairs["target" if moved_to == OTHER else "label"].to_numpy()
        edited = stage.scores[pairs["source"]] + change
        return distance_percentile(
            edited, goal, moments.means, moments.precision, stage.scores[stage.test], labels[stage.test]
        )

    def doses(
        self,
        context: RunContext,
        world: World,
        factor: str,
        flow: FactorFlow,
        stage: Stage,
        pairs: pd.DataFrame,
        readers: OutputReaders,
    ) -> pd.DataFrame:
        """Repeats edits at several strengths: 0 is none, 1 reaches the target, 2 goes as far again."""
        rng = stream(context.seed, "doses", factor)
        part = pairs.iloc[np.sort(rng.permutation(len(pairs))[: self.dose_pairs])].reset_index(drop=True)
        full = self.changes(flow, factor, stage, part, rng)
        source, other = (torch.from_numpy(stage.scores[part[column]]) for column in ("source", "other"))
        changes = {}
        for strength in self.doses_at:
            with torch.no_grad():
                changes[f"flow {strength}", OTHER] = flow.change(source, other, factor, strength).numpy()
            for edit in ("class-mean shift", "random direction"):
                changes[f"{edit} {strength}", OTHER] = strength * full[edit, OTHER]
        edited, _ = self.push(stage, world, part, changes)
        records = outcomes(factor, part, edited, stage.output, stage.labels, readers)
        rows = []
        for name, mine in records.groupby("edit", sort=False):
            edit, strength = name.rsplit(" ", 1)
            gain = nearer(mine, "Q^")
            interval = pair_interval(gain, world.groups[mine["source"]], world.groups[mine["other"]], seed=context.seed)
            rows.append(
                {
                    "factor": factor,
                    "edit": edit,
                    "strength": float(strength),
                    "effect": interval.estimate,
                    "ci_low": interval.low,
                    "ci_high": interval.high,
                    "interval": interval.kind,
                    "d_z": d_z(gain),
                    "read_as_target": mine["read_as_target"].mean(),
                    "n": len(mine),
                    "n_groups": interval.n_clusters,
                }
            )
        return pd.DataFrame(rows)

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


def blocks_of(stage: Stage, block: str | int) -> dict[str, int]:
    """Gives the number of dimensions of each factor's block."""
    return {factor: 1 if str(block) == "1" else int(values.max()) for factor, values in stage.labels.items()}


def split_settings(training: FlowSettings, changed: dict[str, Any]) -> tuple[FlowSettings, dict[str, Any]]:
    """Splits changed settings into those of training and those of the model."""
    model = {name: changed.pop(name) for name in list(changed) if name in MODEL_SETTINGS}
    return replace(training, **changed), model
