"""How well each factor of the sounds can be read from each layer of the network (Dick et al., first half)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from audiointerp.activations.extract import PRECISIONS, Activations, extract
from audiointerp.backbones.base import Backbone
from audiointerp.data.base import Sounds
from audiointerp.data.questions import ask
from audiointerp.data.segments import Segments
from audiointerp.data.splits import assign_roles, check_shares, draw_groups
from audiointerp.probes.accuracy import balanced_accuracy
from audiointerp.probes.designs import by_fold, by_level, by_role
from audiointerp.probes.layers import PROBES, LayerReader, choose_layer, nested_choice
from audiointerp.probes.measures import accuracy_interval, fold_row, group_row, learnable
from audiointerp.studies.claims import judge_decoding
from audiointerp.studies.layer_tests import CORRECTED, PUBLISHED, against_chance, between_layers, question_splits
from audiointerp.studies.maas_decode_page import show_decoding
from audiointerp.studies.world import Part, World
from audiointerp.study import RunContext, UserError, at_least

LEVELS = "duration and level"


@dataclass(frozen=True)
class Decoded:
    """What decoding found, for the steps that build on it.

    Attributes:
        world: The sounds and questions.
        control: The part of them that controls and tests are run on; of few sounds, all.
        network: Name of the network in question: the kind of its weights.
        matched: Its name where it was heard on `control` only; `network` where that is all sounds.
        activations: Reduced layers of the network in question, all sounds.
        untrained: Number of untrained networks.
        best: Factor to the layer chosen on `select`; without `select` groups the one chosen most often over folds.
        best_joint: The layer with the best mean accuracy over factors by the same rule.
        chosen: The table `best_layers`.
        curves: The table `layer_decoding`.
        tests: The table `layer_tests`.
        claims: The table `claims`.
    """

    world: World
    control: Part
    network: str
    matched: str
    activations: Activations
    untrained: int
    best: Mapping[str, str]
    best_joint: str
    chosen: pd.DataFrame
    curves: pd.DataFrame
    tests: pd.DataFrame
    claims: pd.DataFrame


@dataclass(frozen=True)
class MaasDecode:
    """Decoding of factors by layer, with its controls.

    Args:
        components: Components of each layer's reduction.
        neighbours: k of the nearest-neighbour probe.
        penalty: Ridge penalty in units of the number of components.
        folds: Folds drawn over groups where the corpus has none of its own.
        roles: Shares of the groups with the roles fit, train, select, test.
        permutations: Permuted labellings of the null.
        untrained: Number of untrained networks.
        control_clips: Most clips that tests, generalisation, permuted labels, untrained networks and the published
            protocol are run on; of more, whole groups are drawn. Curves and the choice of the layer use all clips.
        listen: Most levels of a factor in the listening grid.
        precision: What networks run in while they are heard: `float32`, or `bf16`.
    Raises:
        UserError: If a number is too small, the shares of the roles cannot be, or the precision is unknown.
    """

    components: int = 64
    neighbours: int = 3
    penalty: float = 1.0
    folds: int = 10
    roles: Mapping[str, float] = field(default_factory=lambda: {"fit": 0.2, "train": 0.4, "select": 0.15, "test": 0.25})
    permutations: int = 499
    untrained: int = 3
    control_clips: int = 6_000
    listen: int = 6
    precision: str = "float32"

    title: ClassVar[str] = "What each layer tells"
    question: ClassVar[str] = "How well can each factor of the sounds be read from each layer of the network?"

    def __post_init__(self) -> None:
        at_least(
            self,
            **{"components": 1, "neighbours": 1, "penalty": 0, "folds": 2},
            **{"permutations": 1, "untrained": 0, "control_clips": 1, "listen": 1},
        )
        check_shares(self.roles)
        if self.precision not in PRECISIONS:
            raise UserError(f"expected a precision of {' or '.join(PRECISIONS)}, got {self.precision!r}")

    def run(self, context: RunContext, *, data: Sounds, backbone: Backbone) -> None:
        """Decodes, tests and reports."""
        decoded = self.decode(context, data, backbone)
        show_decoding(context, decoded, backbone, self.listen)

    def decode(
        self, context: RunContext, sounds: Sounds, backbone: Backbone, *, lift_controls: bool = False
    ) -> Decoded:
        """Runs all steps of the decoding and writes their tables.

        Args:
            context: The run.
            sounds: What is heard.
            backbone: The network.
            lift_controls: Whether the cache keeps the reductions of the published protocol and of the first untrained
                network too, for who edits them later: they would be fitted a second time.
        """
        backbone = backbone.to(context.device)
        with context.step("sounds"):
            world = self.ask(context, sounds, backbone)
        control, network = self.control(context, world), backbone.weights.kind
        whole = len(control.rows) == len(world.segments)
        matched = network if whole else f"{network}, {len(control.world.sounds)} clips"
        with context.step("activations"):
            heard = self.hear(context, world, backbone, CORRECTED, keep=None)
            heard_as = {(matched, CORRECTED): heard if whole else heard.part(control.rows)}
            heard_as |= self.hear_controls(context, control.world, backbone, matched, None if lift_controls else [])
        layers = {key: self.read(found) for key, found in heard_as.items()}
        readers = layers[network, CORRECTED] if whole else self.read(heard)
        with context.step("decoding by layer"):
            rows, predicted = self.curves(context, control.world, layers)
            if not whole:
                rows = self.curves(context, world, {(network, CORRECTED): readers})[0] + rows
            rows += self.levels_only(context, world)
            curves = pd.DataFrame(rows)
            context.table("layer_decoding", curves)
        with context.step("choice of the layer"):
            best, joint, chosen = self.choose(context, world, readers)
            context.table("best_layers", chosen)
        with context.step("tests"):
            corrected, published = (
                {name: found for (name, protocol), found in layers.items() if protocol == wanted}
                for wanted in (CORRECTED, PUBLISHED)
            )
            tests = pd.concat(
                [
                    against_chance(context, control.world, matched, corrected[matched], predicted, self.permutations),
                    between_layers(context, control.world, corrected, published, self.folds),
                ],
                ignore_index=True,
            )
            context.table("layer_tests", tests)
        with context.step("generalisation"):
            generalisation = self.generalise(context, control.world, corrected[matched])
            context.table("generalisation", generalisation)
        claims = judge_decoding(curves, tests, matched)
        context.table("claims", claims)
        context.result(
            best_layer=dict(best) | {"joint": joint},
            chosen={row.factor: row._asdict() for row in chosen.itertuples(index=False)},
            convergence=dict(heard.convergence),
            explained=dict(heard.explained),
            decoding=brief(curves),
            leakage=leakage(curves),
            claims=claims.to_dict("records"),
            weights=network,
            control_clips=len(control.world.sounds),
            stored_bytes_per_audio_byte=sum(
                part.stored_bytes for part in [*heard_as.values(), *([] if whole else [heard])]
            )
            / (2.0 * float(np.sum(sounds.lengths))),
        )
        return Decoded(
            world, control, network, matched, heard, self.untrained, best, joint, chosen, curves, tests, claims
        )

    def control(self, context: RunContext, world: World) -> Part:
        """Draws whole groups for controls and tests, or takes all clips where they are few."""
        sounds = world.sounds
        if len(sounds) <= self.control_clips:
            return Part(world, np.arange(len(world.segments)))
        kept = draw_groups(sounds.group, sounds.factors, self.control_clips, context.seed)
        return world.part(np.flatnonzero(kept))

    def ask(self, context: RunContext, sounds: Sounds, backbone: Backbone) -> World:
        """Cuts sounds into segments, gives groups their roles, and sets up one question per factor."""
        segments = Segments(sounds, backbone.segment_samples, backbone.hop_samples)
        clips = segments.table["clip"].to_numpy()
        roles = assign_roles(sounds.group, sounds.factors, self.roles, context.seed)
        questions = {
            factor: ask(
                factor,
                sounds.factors[factor],
                sounds.group,
                sounds.fold,
                roles,
                clips,
                folds=self.folds,
                seed=context.seed,
            )
            for factor in sounds.factors
        }
        context.table("dropped", sounds.dropped)
        context.table(
            "clips",
            pd.concat(
                [sounds.path.rename("path"), sounds.factors, sounds.group.rename("group"), sounds.levels], axis=1
            ).assign(role=roles),
        )
        context.result(
            sounds={
                "name": sounds.name,
                "clips": len(sounds),
                "segments": len(segments),
                "groups": int(sounds.group.nunique()),
                "dropped": len(sounds.dropped),
                "padded_share": float(segments.table["padded_share"].mean()),
                "left_out": {name: list(question.left_out) for name, question in questions.items()},
                "groups_by_role": {
                    role: int(sounds.group[roles == role].nunique()) for role in ("fit", "train", "select", "test")
                },
            }
        )
        return World(sounds, segments, clips, roles[clips], questions)

    def hear(
        self, context: RunContext, world: World, network: Backbone, protocol: str, keep: list[str] | None
    ) -> Activations:
        """Extracts all layers: reductions fitted on the role `fit` (corrected), or on everything (published)."""
        fit = np.flatnonzero(world.roles == "fit") if protocol == CORRECTED else np.arange(len(world.segments))
        return extract(
            network,
            world.segments,
            fit,
            context.cache,
            components=self.components,
            keep=keep,
            precision=self.precision,
            progress=context.progress,
        )

    def hear_controls(
        self, context: RunContext, world: World, backbone: Backbone, matched: str, keep: list[str] | None
    ) -> dict[tuple[str, str], Activations]:
        """Extracts what results are compared with: the published protocol, and untrained networks."""
        found = {(matched, PUBLISHED): self.hear(context, world, backbone, PUBLISHED, keep)}
        for index in range(self.untrained):
            seed = context.seed + 1 + index
            network, name = backbone.untrained(seed), f"untrained, seed {seed}"
            # One untrained network shows what the published protocol makes of it.
            for protocol in (CORRECTED, PUBLISHED)[: 2 if index == 0 else 1]:
                edited = index == 0 and protocol == CORRECTED
                found[name, protocol] = self.hear(context, world, network, protocol, keep if edited else [])
        return found

    def read(self, activations: Activations) -> dict[str, LayerReader]:
        """Makes one reader per layer."""
        return {name: LayerReader(scores, self.neighbours, self.penalty) for name, scores in activations.scores.items()}

    def curves(
        self, context: RunContext, world: World, layers: Mapping[tuple[str, str], Mapping[str, LayerReader]]
    ) -> tuple[list[dict], dict[tuple[str, str, str], np.ndarray]]:
        """Measures the accuracy of each factor in each layer of each (network, protocol).

        Returns:
            Rows of the table, and the predictions of the first (network, protocol) by factor, probe and layer.
        """
        rows = []
        predicted: dict[tuple[str, str, str], np.ndarray] = {}
        for index, ((network, protocol), readers) in enumerate(
            context.progress(layers.items(), description="reading layers", unit="network")
        ):
            for factor, question in world.questions.items():
                splits = question_splits(question, protocol, self.folds, context.seed)
                for layer, reader in readers.items():
                    for probe in PROBES:
                        guess = reader.predict(probe, question.labels, splits)
                        if index == 0:
                            predicted[factor, probe, layer] = guess
                        rows.append(
                            {"layer": layer, "factor": factor, "protocol": protocol, "probe": probe}
                            | (
                                group_row(question, guess, context.seed)
                                if protocol == CORRECTED
                                else fold_row(question, guess, splits)
                            )
                            | {"network": network}
                        )
        return rows, predicted

    def levels_only(self, context: RunContext, world: World) -> list[dict]:
        """Decodes from duration and level alone: what the sounds tell without being heard."""
        levels = world.sounds.levels
        columns = np.stack([np.log(levels["duration_s"]), levels["rms_db"], levels["peak_db"]], axis=1)[world.clips]
        fit = columns[world.roles == "fit"]
        spread = fit.std(0)
        reader = LayerReader((columns - fit.mean(0)) / np.where(spread > 0, spread, 1.0), self.neighbours, self.penalty)
        return [
            {"layer": LEVELS, "factor": factor, "protocol": CORRECTED, "probe": probe}
            | group_row(question, reader.predict(probe, question.labels, by_fold(question.folds)), context.seed)
            | {"network": "none"}
            for factor, question in world.questions.items()
            for probe in PROBES
        ]

    def choose(
        self, context: RunContext, world: World, readers: Mapping[str, LayerReader]
    ) -> tuple[dict[str, str], str, pd.DataFrame]:
        """Chooses a layer for each factor on `select` and reads it once on `test`."""
        best: dict[str, str] = {}
        total = dict.fromkeys(readers, 0.0)
        rows = []
        for factor, question in world.questions.items():
            select = by_role(world.roles, ["train"], "select", question.rows)
            test = by_role(world.roles, ["train", "select"], "test", question.rows)
            wanted = np.unique(question.labels[question.rows])
            if not set(wanted) <= set(question.labels[select.test]) & set(question.labels[select.train]):
                _, chosen = nested_choice(readers, "knn", question.labels, question.folds)
                names, counts = np.unique(list(chosen.values()), return_counts=True)
                best[factor] = str(names[counts.argmax()])
                for layer, reader in readers.items():
                    guess = reader.predict("knn", question.labels, by_fold(question.folds))
                    total[layer] += float(balanced_accuracy(question.labels, guess))
                rows.append(
                    {
                        "factor": factor,
                        "layer": best[factor],
                        "chosen_on": "the other folds (too few groups for a role of its own)",
                        "accuracy": np.nan,
                        "ci_low": np.nan,
                        "ci_high": np.nan,
                        "interval": "none: no test groups of every class",
                        "chance": question.chance,
                        "n_groups": 0,
                    }
                )
                continue
            best[factor], scores = choose_layer(readers, "knn", question.labels, [select])
            for layer, score in scores.items():
                total[layer] += score
            guess = readers[best[factor]].predict("knn", question.labels, [test])
            interval = accuracy_interval(question, guess, context.seed)
            rows.append(
                {
                    "factor": factor,
                    "layer": best[factor],
                    "chosen_on": "select",
                    "accuracy": interval.estimate,
                    "ci_low": interval.low,
                    "ci_high": interval.high,
                    "interval": interval.kind,
                    "chance": question.chance,
                    "n_groups": interval.n_clusters,
                }
            )
        return best, max(total, key=lambda layer: total[layer]), pd.DataFrame(rows)

    def generalise(self, context: RunContext, world: World, readers: Mapping[str, LayerReader]) -> pd.DataFrame:
        """Trains a factor on all levels of another factor but one and tests it on that one."""
        rows = []
        for factor, question in world.questions.items():
            for other, condition in world.questions.items():
                if other == factor:
                    continue
                design = list(by_level(condition.labels, question.folds, np.flatnonzero(condition.labels >= 0)))
                for layer, reader in readers.items():
                    predicted = np.full(len(question.labels), -1)
                    for _, splits in design:
                        guess = reader.predict("knn", question.labels, learnable(question, splits))
                        predicted = np.where(guess >= 0, guess, predicted)
                    if (predicted < 0).all():
                        continue
                    levels = condition.labels[predicted >= 0]
                    interval = accuracy_interval(question, predicted, context.seed, clusters=condition.labels)
                    within = reader.predict("knn", question.labels, by_fold(question.folds))
                    within[predicted < 0] = -1
                    rows.append(
                        {
                            "factor": factor,
                            "across": other,
                            "layer": layer,
                            "probe": "knn",
                            "accuracy": interval.estimate,
                            "ci_low": interval.low,
                            "ci_high": interval.high,
                            "interval": f"{interval.kind} (clusters are the held-out levels)",
                            "chance": question.chance,
                            "accuracy_all_levels": float(balanced_accuracy(question.labels, within)),
                            "lowest_level": min(
                                float(
                                    balanced_accuracy(
                                        question.labels, np.where(condition.labels == level, predicted, -1)
                                    )
                                )
                                for level in np.unique(levels)
                            ),
                            "n_levels": len(np.unique(levels)),
                            "n_clips": len(np.unique(world.clips[predicted >= 0])),
                        }
                    )
        columns = ["factor", "across", "layer", "probe", "accuracy"]
        return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def brief(curves: pd.DataFrame, probe: str = "knn") -> list[dict]:
    """Gives the ends and the maximum of each curve, for tables that compare runs."""
    rows = []
    knn = curves[curves["probe"] == probe]
    levels = knn[knn["layer"] == LEVELS].set_index("factor")
    for (factor, network, protocol), mine in knn[knn["layer"] != LEVELS].groupby(
        ["factor", "network", "protocol"], sort=False
    ):
        best = mine.loc[mine["accuracy"].idxmax()]
        rows.append(
            {"factor": factor, "network": network, "protocol": protocol, "best_layer": best["layer"]}
            | {name: in_words(row) for name, row in (("first", mine.iloc[0]), ("best", best), ("last", mine.iloc[-1]))}
            | {"levels": in_words(levels.loc[factor]), "chance": best["chance"], "n_groups": int(best["n_groups"])}
        )
    return rows


def leakage(curves: pd.DataFrame, probe: str = "knn") -> list[dict]:
    """Gives how much the published protocol lies above the corrected one, over the layers of each network."""
    rows = []
    table = curves[curves["probe"] == probe].pivot_table(
        index=["factor", "network", "layer"], columns="protocol", values="accuracy", sort=False
    )
    gaps = (table[PUBLISHED] - table[CORRECTED]).dropna()
    for (factor, network), gap in gaps.groupby(level=["factor", "network"], sort=False):
        rows.append(
            {"factor": factor, "network": network, "mean": gap.mean(), "largest": gap.max(), "layer": gap.idxmax()[-1]}
        )
    return rows


def in_words(row: pd.Series) -> str:
    """Writes an accuracy with its interval."""
    return f"{row['accuracy']:.3f}" + (
        "" if pd.isna(row["ci_low"]) else f" [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
    )
