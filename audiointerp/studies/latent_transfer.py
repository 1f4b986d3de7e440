"""Latent transfer: one layer of a network set up for editing, its rivals and controls, and what the edits do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from audiointerp.activations.extract import Activations
from audiointerp.activations.reduction import LinearReduction
from audiointerp.backbones.base import Backbone
from audiointerp.disentangle.flow import FactorFlow
from audiointerp.edit.directions import class_moments, lda_shift, mean_shift, random_like
from audiointerp.edit.outcomes import (
    OutputReaders,
    distance_percentile,
    fit_readers,
    nearer,
    negative_share,
    outcomes,
    summarise,
)
from audiointerp.edit.transfer import OTHER, OWN, choose_pairs, push, typicality
from audiointerp.statistics.effects import d_z
from audiointerp.statistics.intervals import pair_interval
from audiointerp.studies.world import World
from audiointerp.study import RunContext, UserError, stream
from audiointerp.training.fit_flow import FittedFlow


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
        precision: What the network runs in.
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
    precision: str = "float32"

    def random_direction(self, change: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Gives random changes of the reduced layer `(n, k)` that are as large as `change` once both are lifted.

        Components differ in variance: equal norms of the scores are very different norms of the layer.
        """
        drawn = random_like(change, rng)
        return drawn * (self.lifted_norm(change) / np.maximum(self.lifted_norm(drawn), 1e-12))[:, None]

    def lifted_norm(self, change: np.ndarray) -> np.ndarray:
        """Gives the norms `(n,)` that changes of the reduced layer `(n, k)` have in the layer itself."""
        return self.reduction.lifted_norm(torch.as_tensor(change, dtype=torch.float32)).numpy()

    def references(self, factor: str, rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Gives the segments that references may be drawn from: `rows`, if each class has two groups there.

        A small corpus has classes with one test group: an edited sound and the sound of its own class that it is
        compared with would be of one group. References then come from the training groups as well.
        """
        labels = self.labels[factor]
        held = [len(np.unique(groups[rows[labels[rows] == label]])) for label in np.unique(labels[self.train])]
        return rows if min(held) >= 2 else np.concatenate([self.train, self.select, self.test])

    def part(self, rows: np.ndarray) -> Stage:
        """Gives the stage of some segments, ascending; roles stay what they are."""
        place = np.full(len(self.scores), -1)
        place[rows] = np.arange(len(rows))
        train, select, test = (place[members][place[members] >= 0] for members in (self.train, self.select, self.test))
        labels = {factor: values[rows] for factor, values in self.labels.items()}
        return replace(
            self,
            scores=self.scores[rows],
            output=self.output[rows],
            labels=labels,
            train=train,
            select=select,
            test=test,
        )

    @property
    def network(self) -> str:
        """What the network is to the tables: trained, standin or untrained."""
        return self.backbone.weights.kind


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
class Editing:
    """How edits are made.

    Attributes:
        pairs_per_sound: References of each kind for each atypical sound.
        most_pairs: Most pairs per factor and flow; of more, some are drawn.
        doses_at: Strengths of the dose-response curve.
        dose_pairs: Most pairs per factor in it.
    """

    pairs_per_sound: int
    most_pairs: int
    doses_at: Sequence[float]
    dose_pairs: int

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
                    edit_norm=np.concatenate([stage.lifted_norm(changes[key]) for key in edited]),
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
        labels = stage.labels[factor]
        ranked = typicality(block, labels, stage.train, rows)
        pool = stage.references(factor, rows, groups)
        typical = replace(ranked, typical=typicality(block, labels, stage.train, pool).typical)
        pairs = choose_pairs(labels, groups, typical, self.pairs_per_sound, rng)
        if pairs.empty:
            raise UserError(
                f"expected sounds of two groups in each of two classes of {factor!r} to edit, got none: more groups "
                "are needed (maas_decode runs without them)"
            )
        if len(pairs) > self.most_pairs:
            pairs = pairs.iloc[np.sort(rng.permutation(len(pairs))[: self.most_pairs])].reset_index(drop=True)
        return pairs

    def push(
        self, stage: Stage, world: World, pairs: pd.DataFrame, changes: Mapping[tuple[str, str], np.ndarray]
    ) -> tuple[dict[tuple[str, str], np.ndarray], dict[tuple[str, str], np.ndarray]]:
        """Gives the edited logits and the share of negative activations of each edit."""
        # One array may stand under two keys (moving to P^ is also the within-class control): it is pushed once.
        names = {f"edit {id(change)}": change for change in changes.values()}
        negative: dict[str, list[np.ndarray]] = {name: [] for name in names}

        def inspect(name: str, before: torch.Tensor, after: torch.Tensor) -> None:
            negative[name].append(negative_share(after.float().cpu().numpy()))

        logits = push(
            stage.backbone,
            world.segments,
            stage.layer,
            stage.reduction,
            pairs["source"].to_numpy(),
            names,
            inspect=inspect,
            precision=stage.precision,
        )
        shares = {name: np.concatenate(parts) for name, parts in negative.items()}
        keys = {key: f"edit {id(change)}" for key, change in changes.items()}
        return {key: logits[name] for key, name in keys.items()}, {key: shares[name] for key, name in keys.items()}

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
            ("random direction", OTHER): stage.random_direction(to_other, rng),
            ("no-op", OTHER): nothing,
        }


def stage_of(world: World, backbone: Backbone, layer: str, activations: Activations) -> Stage:
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
                    f"got {held}: more groups per class are needed (maas_decode runs without them), or other "
                    "shares in study.decode.roles"
                )
    return Stage(
        backbone,
        layer,
        activations.scores[layer],
        activations.output,
        activations.reductions[layer],
        labels,
        **rows,
        precision=activations.precision,
    )


def to_latents(flow: FactorFlow, scores: np.ndarray) -> np.ndarray:
    """Gives the latents `(N, D)` of reduced activations `(N, D)`."""
    with torch.no_grad():
        return flow(torch.from_numpy(scores))[0].numpy()
