"""Are the factors of tones pulled apart without labels? VAEs on SynTone, their scores, swaps and sounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd
import pytorch_lightning as pl

from audiointerp.data.syntone import SynTone
from audiointerp.data.syntone_grid import TIMBRE
from audiointerp.data.syntone_splits import SPLITS, count_distinct, tone_roles
from audiointerp.disentangle.linear import KINDS, LinearCodes
from audiointerp.disentangle.metrics import information_table
from audiointerp.disentangle.models import VAE
from audiointerp.edit.swaps import OWN, swap_table
from audiointerp.probes.readers import FactorReader
from audiointerp.studies.syntone_comparison import compare_runs
from audiointerp.studies.syntone_scores import RIGHT, Scored, efficiency_table, score_table, variance_table
from audiointerp.studies.syntone_vae_page import show_run
from audiointerp.study import RunContext, SweepRun, UserError, at_least, stream, write_atomically
from audiointerp.training.fit_vae import FittedVAE, VAESettings, fit_vae

SHARES = {"train": 0.65, "select": 0.1, "test": 0.25}
NEEDED = 0.99
LEAST_KL = 0.01
"""A latent with less divergence from the prior [nats] is collapsed (Duan et al., 2020)."""
UNITS = {"pitch": ("cents", 1200.0), "level": ("dB", 1.0)}


class Codes(Protocol):
    """Anything with a name that encodes pictures and decodes codes."""

    name: str

    def encode(self, pictures: np.ndarray) -> np.ndarray: ...

    def decode(self, codes: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class World:
    """The tones, their pictures and roles.

    Attributes:
        sounds: The tones.
        pictures: The models' inputs, float32 `(N, mels, T)`.
        heard: Factors on the scales of hearing.
        levels: Level of each factor, int `(N, F)`.
        kinds: `categorical` or `ordered`, per factor.
        roles: Role of each clip, str `(N,)`.
    """

    sounds: SynTone
    pictures: np.ndarray
    heard: pd.DataFrame
    levels: np.ndarray
    kinds: tuple[str, ...]
    roles: np.ndarray

    def rows(self, role: str) -> np.ndarray:
        """Gives the clips of a role."""
        return np.flatnonzero(self.roles == role)


@dataclass(frozen=True)
class SyntoneVAE:
    """One model on one version of SynTone, beside linear rivals.

    Args:
        training: How the model is trained.
        split: `tuple`, `combination` or `octave`.
        roles: Share of the tuples per role; None for .65 train, .1 select, .25 test.
        rivals: Linear models of the same size, out of `pca` and `ica`.
        bins: Bins per code in the metrics.
        metric_rows: Test clips for the metrics that take long, at most.
        chance_repeats: Draws of noise and of permutations behind each chance level.
        labels: Numbers of labels of the sample efficiency.
        swaps: Pairs of clips per swapped factor.
        variance_draws: Draws of codes and of test clips behind each variance.
        reader_epochs: Epochs of the networks that read factors from pictures.
        common: Clips of the evaluation set that is the same for every model and seed of a corpus.
        examples: Clips that are shown and played.
        steps: Steps of a latent traversal.
    Raises:
        UserError: If a number is too small or a name is unknown.
    """

    training: VAESettings = field(default_factory=VAESettings)
    split: str = "tuple"
    roles: Mapping[str, float] | None = None
    rivals: Sequence[str] = ("pca", "ica")
    bins: int = 10
    metric_rows: int = 2000
    chance_repeats: int = 3
    labels: Sequence[int] = (100, 1000)
    swaps: int = 500
    variance_draws: int = 10
    reader_epochs: int = 40
    common: int = 1000
    examples: int = 4
    steps: int = 5

    title: ClassVar[str] = "Are the factors of tones pulled apart without labels?"
    question: ClassVar[str] = (
        "Does a model that never sees a label give timbre, pitch and level codes of their own, and does swapping a "
        "code swap what is heard?"
    )

    def __post_init__(self) -> None:
        at_least(self, bins=2, metric_rows=20, chance_repeats=1, swaps=1, variance_draws=2, reader_epochs=1, common=1)
        at_least(self, examples=0, steps=2)
        for rival in self.rivals:
            if rival not in KINDS:
                raise UserError(f"expected study.rivals among {', '.join(KINDS)}, got {rival!r}")
        if self.split not in SPLITS:
            raise UserError(f"expected study.split among {', '.join(SPLITS)}, got {self.split!r}")
        if len(self.labels) < 2 or min(self.labels) < 2:
            raise UserError(f"expected two or more numbers of labels in study.labels, got {list(self.labels)}")

    @staticmethod
    def compare(context: RunContext, runs: Sequence[SweepRun]) -> None:
        """Compares the runs of a sweep."""
        compare_runs(context, runs)

    def run(self, context: RunContext, *, data: SynTone, model: VAE, trainer: Callable[..., pl.Trainer]) -> None:
        """Renders, checks that factors can be known, trains, measures, swaps and reports."""
        with context.step("rendering"):
            world = self.world(context, data)
        with context.step("upper bound"):
            reader, bound = self.upper_bound(context, world)
        with context.step("training"):
            fitted = self.train(context, world, model, trainer)
            rivals = [
                LinearCodes(kind, model.latents, context.seed).fit(world.pictures[world.rows("train")])
                for kind in self.rivals
            ]
        models: dict[str, Codes] = {fitted.name: fitted, **{rival.name: rival for rival in rivals}}
        codes = {name: found.encode(world.pictures) for name, found in models.items()}
        given = Scored(
            world.levels[world.rows("test")],
            world.kinds,
            self.bins,
            self.metric_rows,
            self.chance_repeats,
            context.seed,
        )
        with context.step("metrics"):
            metrics = self.score(context, world, codes, given, model, fitted)
        with context.step("factor swaps"):
            swaps = self.swap(context, world, models, codes, reader)
        with context.step("few labels"):
            efficiency = self.few_labels(context, world, codes)
        with context.step("variances"):
            variances = self.vary(world, fitted, codes, given)
        training = pd.DataFrame(fitted.history).assign(model=fitted.name, seed=context.seed)
        tables = {"metrics": metrics, "upper_bound": bound, "training": training, "factor_swap": swaps}
        tables |= {"sample_efficiency": efficiency, "variances": variances}
        for name, frame in tables.items():
            context.table(name, frame)
        context.result(headline=self.headline(context, world, model, fitted, tables))
        self.keep_common(context, world, models)
        with context.step("page"):
            show_run(context, world, models, codes, reader, tables, self.examples, self.steps)

    def world(self, context: RunContext, sounds: SynTone) -> World:
        """Renders every clip's picture, once as it is and once with phase and noise frozen, and counts inputs.

        Raises:
            UserError: If tuples of the corrected version share an input, or there is a single factor.
        """
        if len(sounds.factors.columns) < 2:
            raise UserError("expected two factors or more: give data.waveforms, data.f0_hz and data.amplitude levels")
        frozen = sounds.picture_parts(device=context.device, frozen=True, progress=context.progress)
        distinct = count_distinct(frozen)
        if distinct < len(sounds):
            text = (
                f"{len(sounds)} factor tuples give {distinct} different inputs with phase and noise frozen: what "
                "differs between tuples that share an input cannot be learnt"
            )
            if sounds.version == "corrected":
                raise UserError(f"{text}: take fewer levels, or longer clips and more mel bands")
            context.page.warn(text)
        pictures = sounds.pictures(device=context.device, progress=context.progress)
        roles = tone_roles(sounds, self.split, SHARES if self.roles is None else self.roles, sounds.seed)
        if not {"train", "select", "test"} <= set(roles):
            raise UserError(f"expected clips for train, select and test, got {sorted(set(roles))}: set study.roles")
        kinds = tuple("categorical" if name == TIMBRE else "ordered" for name in sounds.factors)
        context.result(tuples=len(sounds), distinct_inputs=distinct, split=self.split, version=sounds.version)
        return World(sounds, pictures, sounds.heard(), sounds.level_index.to_numpy(), kinds, roles)

    def upper_bound(self, context: RunContext, world: World) -> tuple[FactorReader, pd.DataFrame]:
        """Reads every factor from the model's input with labels: what an unsupervised model could know at best.

        Whatever the run's split, this one is by tuple: it asks whether inputs show the factors, and the reader serves
        as the instrument by which decoded pictures are read.
        """
        roles = tone_roles(world.sounds, "tuple", SHARES, world.sounds.seed)
        train, test = np.flatnonzero(roles == "train"), np.flatnonzero(roles == "test")
        reader = FactorReader(epochs=self.reader_epochs, seed=world.sounds.seed)
        reader.fit(world.pictures[train], world.heard.iloc[train])
        true = world.heard.iloc[test].reset_index(drop=True)
        found = reader.read(world.pictures[test]).values
        scores = reader.scores(world.pictures[test], true)
        rows = []
        for name in true:
            numeric = pd.api.types.is_numeric_dtype(true[name])
            unit, scale = UNITS.get(name, ("", 1.0)) if numeric else ("share misread", 1.0)
            error = float(np.median(np.abs(found[name] - true[name])) * scale) if numeric else 1 - scores[name]
            rows.append(
                {"factor": name, "measure": "R^2" if numeric else "accuracy", "value": scores[name], "needed": NEEDED}
                | {"reached": scores[name] >= NEEDED, "error": error, "unit": unit, "n": len(test)}
            )
        bound = pd.DataFrame(rows)
        missed = bound.loc[~bound["reached"], "factor"].tolist()
        if missed:
            context.page.warn(
                f"Even with labels {' and '.join(missed)} cannot be read from the models' input as well as needed "
                f"({NEEDED:.2f}): scores of unsupervised models say little about that."
            )
        return reader, bound

    def train(self, context: RunContext, world: World, model: VAE, trainer: Callable[..., pl.Trainer]) -> FittedVAE:
        """Trains the model on the role `train`."""
        return fit_vae(
            model,
            trainer,
            world.pictures,
            world.rows("train"),
            world.rows("select"),
            self.training,
            protocol=context.protocol,
            seed=context.seed,
            folder=context.folder,
            cache=context.cache,
            logger=context.lightning_logger(),
        )

    def score(
        self,
        context: RunContext,
        world: World,
        codes: Mapping[str, np.ndarray],
        given: Scored,
        model: VAE,
        fitted: FittedVAE,
    ) -> pd.DataFrame:
        """Scores each model's codes of the test tuples, in both orders of arguments.

        A collapsed latent tells nothing, but never stands quite still, and metrics scale every code to its own range:
        unless as published, codes whose divergence from the prior is next to nothing on `select` are held constant.
        """
        test = world.rows("test")
        kept = {name: found[test] for name, found in codes.items()}
        if context.protocol != "published":
            active = kl_of(fitted, world.pictures[world.rows("select")]) >= LEAST_KL
            kept[fitted.name] = np.where(active, kept[fitted.name], 0.0)
            context.result(active_latents=int(active.sum()))
        parts = [
            score_table(name, found, given)
            for name, found in context.progress(kept.items(), description="metrics", unit="model")
        ]
        strength = {model.name: model.strength}
        table = pd.concat(parts, ignore_index=True)
        return table.assign(strength=table["model"].map(strength), protocol=context.protocol, split=self.split)

    def swap(
        self,
        context: RunContext,
        world: World,
        models: Mapping[str, Codes],
        codes: Mapping[str, np.ndarray],
        reader: FactorReader,
    ) -> pd.DataFrame:
        """Swaps each factor's codes between test clips, decodes them, and reads the pictures."""
        select, test = world.rows("select"), world.rows("test")
        heard = world.heard.iloc[test].reset_index(drop=True)
        parts = []
        for name, found in models.items():
            importance = information_table(
                factors=world.levels[select], codes=codes[name][select], bins=self.bins, kinds=world.kinds
            ).information
            table = swap_table(
                codes[name][test],
                heard,
                world.levels[test],
                importance,
                found.decode,
                lambda pictures: reader.read(pictures).values,
                UNITS,
                pairs=self.swaps,
                rng=stream(context.seed, "swaps"),
            )
            parts.append(table.assign(model=name, seed=context.seed))
        return pd.concat(parts, ignore_index=True)

    def few_labels(self, context: RunContext, world: World, codes: Mapping[str, np.ndarray]) -> pd.DataFrame:
        """Reads each factor from codes with few labels."""
        train, test = world.rows("train"), world.rows("test")
        return efficiency_table(
            codes, world.levels, list(world.heard), world.kinds, train, test, self.labels, context.seed
        )

    def vary(self, world: World, fitted: FittedVAE, codes: Mapping[str, np.ndarray], given: Scored) -> pd.DataFrame:
        """Tells the sampling and the metric variance apart; that of training needs runs with other seeds."""
        test = world.rows("test")
        log_variances = fitted.posterior(world.pictures[test])[1]
        return pd.concat(
            [
                variance_table(
                    name, found[test], log_variances if name == fitted.name else None, given, self.variance_draws
                )
                for name, found in codes.items()
            ],
            ignore_index=True,
        )

    def keep_common(self, context: RunContext, world: World, models: Mapping[str, Codes]) -> None:
        """Saves the codes of clips that are the same in every run on this corpus, to rank models without labels."""
        import io

        rows = np.sort(stream(0, "common clips").permutation(len(world.sounds))[: self.common])
        kept: dict[str, Any] = {name: found.encode(world.pictures[rows]) for name, found in models.items()}
        for name, found in models.items():
            if isinstance(found, FittedVAE):
                kept[f"{name}_kl"] = kl_of(found, world.pictures[rows])
        content = io.BytesIO()
        np.savez(content, clips=world.sounds.index[rows], **kept)
        write_atomically(context.folder / "codes.npz", content.getvalue())

    def headline(
        self, context: RunContext, world: World, model: VAE, fitted: FittedVAE, tables: Mapping[str, pd.DataFrame]
    ) -> dict[str, Any]:
        """Gives what tables over several runs are made of."""
        metrics = tables["metrics"]
        right = metrics[metrics["arguments"] == RIGHT]
        swaps = tables["factor_swap"]
        own = swaps[(swaps["edit"] == OWN) & (swaps["goal"] == "swapped")]
        last = fitted.history[-1]
        return {
            "model": model.name,
            "strength": model.strength,
            "seed": context.seed,
            "latents": model.latents,
            "upper_bound": dict(tables["upper_bound"][["factor", "value"]].itertuples(index=False, name=None)),
            "metrics": {
                name: {
                    row.metric: {"value": row.value, "permuted": row.permuted, "adjusted": row.adjusted}
                    for row in rows.itertuples()
                }
                for name, rows in right.groupby("model", sort=False)
            },
            "kl_per_dimension": kl_of(fitted, world.pictures[world.rows("test")]),
            "validation": {name.removeprefix("val_"): last[name] for name in last if name.startswith("val_")},
            "training_seconds": fitted.seconds,
            "swapped_factor": {
                name: {
                    row.swapped: {"error": row.error, "unit": row.unit, "moved": row.moved} for row in rows.itertuples()
                }
                for name, rows in own.groupby("model", sort=False)
            },
        }


def kl_of(fitted: FittedVAE, pictures: np.ndarray) -> np.ndarray:
    """Gives the mean KL divergence of each latent from the prior over pictures [nats], shape `(D,)`."""
    mean, log_variance = fitted.posterior(pictures)
    return (0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance)).mean(0, dtype=np.float64).round(4)
