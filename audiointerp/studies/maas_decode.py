"""How well each factor of the sounds can be read from each layer of the network (Dick et al., first half)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from audiointerp.activations.extract import Activations, extract
from audiointerp.backbones.base import Backbone
from audiointerp.data.base import Sounds
from audiointerp.data.questions import Question, ask
from audiointerp.data.segments import Segments
from audiointerp.data.splits import assign_roles, check_shares, random_folds
from audiointerp.probes.accuracy import balanced_accuracy
from audiointerp.probes.designs import Split, by_fold, by_level, by_role
from audiointerp.probes.layers import PROBES, LayerReader, choose_layer, nested_choice, null_accuracies
from audiointerp.probes.measures import (
    accuracy_interval,
    compare,
    fold_row,
    group_row,
    learnable,
    most_frequent,
    published_test,
    to_segments,
)
from audiointerp.statistics.permutation import Permutations, max_statistic_p, permutation_p, permuted_labels
from audiointerp.statistics.tests import holm
from audiointerp.studies.claims import judge_decoding
from audiointerp.studies.maas_decode_page import show_decoding
from audiointerp.study import RunContext, at_least

LEVELS = "duration and level"
CORRECTED = "corrected"
PUBLISHED = "published"


@dataclass(frozen=True)
class World:
    """Sounds cut into segments, with roles and questions: what all steps share.

    Attributes:
        sounds: The clips.
        segments: Their segments, as long as the network's input.
        clips: Clip of each segment, shape `(N,)`.
        roles: Role of each segment, str `(N,)`.
        questions: Factor names to questions.
    """

    sounds: Sounds
    segments: Segments
    clips: np.ndarray
    roles: np.ndarray
    questions: Mapping[str, Question]

    @property
    def groups(self) -> np.ndarray:
        """Group of each segment, int `(N,)`."""
        return next(iter(self.questions.values())).groups


@dataclass(frozen=True)
class Decoded:
    """What decoding found, for the steps that build on it.

    Attributes:
        world: The sounds and questions.
        network: Name of the network in question: the kind of its weights.
        activations: (network, protocol) to reduced layers.
        readers: Network to its layers' readers, corrected protocol.
        best: Factor to the layer chosen on `select`; without `select` groups the one chosen most often over folds.
        best_joint: The layer with the best mean accuracy over factors by the same rule.
        chosen: The table `best_layers`.
        curves: The table `layer_decoding`.
        tests: The table `layer_tests`.
        claims: The table `claims`.
    """

    world: World
    network: str
    activations: Mapping[tuple[str, str], Activations]
    readers: Mapping[str, Mapping[str, LayerReader]]
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
        listen: Most levels of a factor in the listening grid.
    Raises:
        UserError: If a number is too small, or the shares of the roles cannot be.
    """

    components: int = 64
    neighbours: int = 3
    penalty: float = 1.0
    folds: int = 10
    roles: Mapping[str, float] = field(default_factory=lambda: {"fit": 0.2, "train": 0.4, "select": 0.15, "test": 0.25})
    permutations: int = 499
    untrained: int = 3
    listen: int = 6

    title: ClassVar[str] = "What each layer tells"
    question: ClassVar[str] = "How well can each factor of the sounds be read from each layer of the network?"

    def __post_init__(self) -> None:
        at_least(self, components=1, neighbours=1, penalty=0, folds=2, permutations=1, untrained=0, listen=1)
        check_shares(self.roles)

    def run(self, context: RunContext, *, data: Sounds, backbone: Backbone) -> None:
        """Decodes, tests and reports."""
        decoded = self.decode(context, data, backbone)
        show_decoding(context, decoded, backbone, self.listen)

    def decode(self, context: RunContext, sounds: Sounds, backbone: Backbone) -> Decoded:
        """Runs all steps of the decoding and writes their tables."""
        with context.step("sounds"):
            world = self.ask(context, sounds, backbone)
        first = backbone.weights.kind
        networks = {first: backbone} | {
            f"untrained, seed {seed}": backbone.untrained(seed)
            for seed in range(context.seed + 1, context.seed + 1 + self.untrained)
        }
        with context.step("activations"):
            activations = self.hear(context, world, networks)
        readers = {name: self.read(activations[name, CORRECTED]) for name in networks}
        with context.step("decoding by layer"):
            rows, predicted = self.curves(context, world, activations, readers)
            rows += self.levels_only(context, world)
            curves = pd.DataFrame(rows)
            context.table("layer_decoding", curves)
        with context.step("choice of the layer"):
            best, joint, chosen = self.choose(context, world, readers[first])
            context.table("best_layers", chosen)
        with context.step("tests"):
            tests = pd.concat(
                [
                    self.test_against_chance(context, world, first, readers[first], predicted),
                    self.test_between_layers(context, world, readers, activations),
                ],
                ignore_index=True,
            )
            context.table("layer_tests", tests)
        with context.step("generalisation"):
            generalisation = self.generalise(context, world, readers[first])
            context.table("generalisation", generalisation)
        claims = judge_decoding(curves, tests, first)
        context.table("claims", claims)
        context.result(
            best_layer=dict(best) | {"joint": joint},
            chosen={row.factor: row._asdict() for row in chosen.itertuples(index=False)},
            convergence=dict(activations[first, CORRECTED].convergence),
            explained=dict(activations[first, CORRECTED].explained),
            decoding=brief(curves),
            leakage=leakage(curves),
            claims=claims.to_dict("records"),
            weights=first,
            stored_bytes_per_audio_byte=sum(a.stored_bytes for a in activations.values())
            / (2.0 * float(np.sum(sounds.lengths))),
        )
        return Decoded(world, first, activations, readers, best, joint, chosen, curves, tests, claims)

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
        self, context: RunContext, world: World, networks: Mapping[str, Backbone]
    ) -> dict[tuple[str, str], Activations]:
        """Extracts all layers: reductions fitted on the role `fit` (corrected), or on everything (published)."""
        fit = {
            CORRECTED: np.flatnonzero(world.roles == "fit"),
            PUBLISHED: np.arange(len(world.segments)),
        }
        found = {}
        for index, (name, network) in enumerate(networks.items()):
            for protocol, rows in fit.items():
                if protocol == PUBLISHED and index > 1:
                    continue  # one untrained network shows what the published protocol makes of it
                found[name, protocol] = extract(
                    network,
                    world.segments,
                    rows,
                    context.cache,
                    components=self.components,
                    keep=None if index == 0 and protocol == CORRECTED else [],
                    progress=context.progress,
                )
        return found

    def read(self, activations: Activations) -> dict[str, LayerReader]:
        """Makes one reader per layer."""
        return {name: LayerReader(scores, self.neighbours, self.penalty) for name, scores in activations.scores.items()}

    def curves(
        self,
        context: RunContext,
        world: World,
        activations: Mapping[tuple[str, str], Activations],
        readers: Mapping[str, Mapping[str, LayerReader]],
    ) -> tuple[list[dict], dict[tuple[str, str, str], np.ndarray]]:
        """Measures the accuracy of each factor in each layer of each network under both protocols."""
        rows = []
        predicted: dict[tuple[str, str, str], np.ndarray] = {}
        first = next(iter(readers))
        for (network, protocol), found in context.progress(
            activations.items(), description="reading layers", unit="network"
        ):
            layers = readers[network] if protocol == CORRECTED else self.read(found)
            for factor, question in world.questions.items():
                splits = question_splits(question, protocol, self.folds, context.seed)
                for layer, reader in layers.items():
                    for probe in PROBES:
                        guess = reader.predict(probe, question.labels, splits)
                        if network == first and protocol == CORRECTED:
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

    def test_against_chance(
        self,
        context: RunContext,
        world: World,
        network: str,
        readers: Mapping[str, LayerReader],
        predicted: Mapping[tuple[str, str, str], np.ndarray],
    ) -> pd.DataFrame:
        """Tests every layer of one network against permuted labels, by the maximum over layers and factors."""
        rows = []
        for probe in PROBES:
            observed, nulls, keys = [], [], []
            for factor, question in world.questions.items():
                drawn = permute(world, question, self.permutations, context.seed)
                if not drawn.possible:
                    rows.append(
                        {
                            "factor": factor,
                            "probe": probe,
                            "comparison": "layer against permuted labels",
                            "test": f"none: {drawn.reason}",
                        }
                    )
                    continue
                permuted = to_segments(drawn.labels, question)
                nulls.append(null_accuracies(readers, probe, by_fold(question.folds), permuted, context.progress))
                observed += [
                    float(balanced_accuracy(question.labels, predicted[factor, probe, layer])) for layer in readers
                ]
                keys += [(factor, layer, drawn.scheme) for layer in readers]
            if not nulls:
                continue
            null = np.concatenate(nulls, axis=1)
            corrected = max_statistic_p(np.array(observed), null)
            single = permutation_p(np.array(observed), null)
            for (factor, layer, scheme), value, column, p, p_corrected in zip(
                keys, observed, null.T, single, corrected, strict=True
            ):
                rows.append(
                    {
                        "factor": factor,
                        "protocol": CORRECTED,
                        "probe": probe,
                        "network": network,
                        "comparison": "layer against permuted labels",
                        "layer_a": layer,
                        "layer_b": "permuted labels",
                        "difference": value - column.mean(),
                        "null_95": float(np.quantile(column, 0.95)),
                        "test": f"permutation, {scheme}",
                        "p": p,
                        "p_corrected": p_corrected,
                        "correction": "maximum statistic over layers and factors",
                        "n_groups": len(np.unique(world.questions[factor].groups[world.questions[factor].tested])),
                    }
                )
        return pd.DataFrame(rows)

    def test_between_layers(
        self,
        context: RunContext,
        world: World,
        readers: Mapping[str, Mapping[str, LayerReader]],
        activations: Mapping[tuple[str, str], Activations],
    ) -> pd.DataFrame:
        """Tests the best layer against the first and the last, and the trained network against the untrained ones."""
        rows: list[dict] = []
        names = list(readers)
        asked = [(question, probe) for question in world.questions.values() for probe in PROBES]
        for question, probe in context.progress(asked, description="comparing layers", unit="question"):
            factor = question.factor
            nested = {}
            for network in names:
                guess, chosen = nested_choice(readers[network], probe, question.labels, question.folds)
                nested[network] = guess
                layers = list(readers[network])
                for end in (layers[0], layers[-1]):
                    other = readers[network][end].predict(probe, question.labels, by_fold(question.folds))
                    rows.append(
                        {"factor": factor, "protocol": CORRECTED, "probe": probe, "network": network}
                        | {"comparison": f"best against {'first' if end == layers[0] else 'last'}"}
                        | {"layer_a": most_frequent(chosen.values()), "layer_b": end}
                        | compare(question, guess, other, context.seed)
                    )
            for network in names[1:]:
                rows.append(
                    {"factor": factor, "protocol": CORRECTED, "probe": probe, "network": f"{names[0]} - {network}"}
                    | {"comparison": "trained against untrained, each at its best layer"}
                    | compare(question, nested[names[0]], nested[network], context.seed)
                )
        for question in world.questions.values():
            for (network, protocol), found in activations.items():
                if protocol == PUBLISHED:
                    rows += self.published_tests(question, network, self.read(found), context.seed)
        frame = pd.DataFrame(rows)
        # One family per question asked: the controls' own comparisons must not dilute those of the network in question.
        ends = frame["comparison"].str.startswith("best against")
        for (_, probe, _), family in frame[frame["protocol"] == CORRECTED].groupby(
            [frame["network"].where(ends, "all"), "probe", ends]
        ):
            frame.loc[family.index, "p_corrected"] = holm(family["p"].to_numpy())
            frame.loc[family.index, "correction"] = f"Holm over {len(family)} comparisons ({probe})"
        return frame

    def published_tests(
        self, question: Question, network: str, readers: Mapping[str, LayerReader], seed: int
    ) -> list[dict]:
        """Does what the paper did: random folds, the best mean, independent t tests of fold scores, Bonferroni x 3."""
        splits = question_splits(question, PUBLISHED, self.folds, seed)
        scores = {
            layer: np.array([np.mean(guess[s.test] == question.labels[s.test]) for s in splits])
            for layer, reader in readers.items()
            for guess in [reader.predict("knn", question.labels, splits)]
        }
        best = max(scores, key=lambda layer: scores[layer].mean())
        layers = list(scores)
        rows = []
        for name, end in (("first", layers[0]), ("last", layers[-1])):
            row = {"factor": question.factor, "protocol": PUBLISHED, "probe": "knn", "network": network} | {
                "comparison": f"best against {name}",
                "layer_a": best,
                "layer_b": end,
            }
            test = {"test": f"none: the {name} layer is the best"}
            rows.append(row | (published_test(scores[best], scores[end]) if best != end else test))
        return rows

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


def question_splits(question: Question, protocol: str, folds: int, seed: int) -> list[Split]:
    """Gives the folds of a protocol: over groups outside `fit`, or over randomly drawn segments of all roles."""
    if protocol == CORRECTED:
        return by_fold(question.folds)
    drawn = np.full(len(question.labels), -1)
    drawn[question.rows] = random_folds(len(question.rows), folds, seed)
    return by_fold(drawn)


def permute(world: World, question: Question, count: int, seed: int) -> Permutations:
    """Draws permuted labels of the clips that are decoded, the other factors held fixed where the design allows."""
    rows = question.tested
    clips, first = np.unique(question.clips[rows], return_index=True)
    others = [q.labels[rows][first] for name, q in world.questions.items() if name != question.factor]
    within = np.unique(np.stack(others, axis=1), axis=0, return_inverse=True)[1].reshape(-1) if others else None
    return permuted_labels(
        question.labels[rows][first], question.groups[rows][first], within=within, n=count, seed=seed
    )
