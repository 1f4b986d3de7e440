"""Is timbre in an autoencoder's embedding? Notes are read, drawn, turned into other instruments, and listened to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from torch import nn

from audiointerp.backbones.base import Backbone
from audiointerp.backbones.harmonic import HarmonicAutoencoder
from audiointerp.data.base import Sounds
from audiointerp.disentangle.flow import FactorFlow
from audiointerp.probes.classifiers import KINDS
from audiointerp.studies.timbre_judge import clearest_layer, train_judge
from audiointerp.studies.timbre_notes import Listener, Notes, log_mel_features, notes_of
from audiointerp.studies.timbre_outcomes import transfer_tables
from audiointerp.studies.timbre_page import show_timbre
from audiointerp.studies.timbre_reading import (
    EMBEDDING,
    LEVELS,
    LOGMEL,
    LOGMEL_SMALL,
    PAPER,
    UNTRAINED,
    level_features,
    read_everything,
    read_seeds,
)
from audiointerp.studies.timbre_reconstruction import reconstruct
from audiointerp.studies.timbre_transfer import fit_maps, transfer_all
from audiointerp.studies.timbre_views import view_table
from audiointerp.study import RunContext, UserError, at_least
from audiointerp.training.fit_autoencoder import (
    AutoencoderSettings,
    FittedAutoencoder,
    encode_all,
    fit_autoencoder,
)
from audiointerp.training.fit_flow import FlowFit, FlowSettings

SHARES = {"train": 0.6, "select": 0.15, "test": 0.25}


@dataclass(frozen=True)
class Timbre:
    """Probes, views and transfers of the code of an autoencoder.

    Args:
        training: How autoencoders are trained.
        flow: Builds the factor flow of the transfers; None for no flow.
        flow_training: How it is trained.
        duration_s: Notes are cut or padded to it [s]; 2.5 s is the paper's 40,000 samples.
        roles: Share of the groups per role; None for .6 train, .15 select, .25 test.
        seeds: Autoencoders; the first is used throughout, the others say how much training varies.
        probes: Out of svm_tuned, svm, mlp, linear, knn.
        widths: Units of the MLP's hidden layers; the first is used throughout, the paper's is 250.
        permutations: Draws of permuted labels.
        layers: Whether the layers of the backbone are probed as rivals.
        perplexity: Of t-SNE.
        components: Most components of the code in which maps are fitted.
        notes_per_pair: Test notes per ordered pair of families; 0 for no transfers.
        examples: Best and worst transfers to listen to, each.
    Raises:
        UserError: If a number is too small or a probe is unknown.
    """

    training: AutoencoderSettings = field(default_factory=AutoencoderSettings)
    flow: Callable[..., FactorFlow] | None = None
    flow_training: FlowSettings = field(default_factory=FlowSettings)
    duration_s: float = 2.5
    roles: Mapping[str, float] | None = None
    seeds: int = 1
    probes: Sequence[str] = KINDS
    widths: Sequence[int] = (250,)
    permutations: int = 5
    layers: bool = True
    perplexity: float = 30.0
    components: int = 64
    notes_per_pair: int = 2
    examples: int = 4

    title: ClassVar[str] = "Timbre in an autoencoder's embedding"
    question: ClassVar[str] = (
        "Can instrument, pitch and loudness be read from an audio autoencoder's embedding, and can one instrument be "
        "turned into another there?"
    )

    def __post_init__(self) -> None:
        at_least(self, duration_s=0.1, seeds=1, permutations=3, perplexity=1.0, components=4, notes_per_pair=0)
        at_least(self, examples=1)
        unknown = [name for name in self.probes if name not in KINDS]
        if unknown or not self.probes:
            raise UserError(f"expected study.probes among {', '.join(KINDS)}, got {list(self.probes)}")
        if not self.widths or min(self.widths) < 1:
            raise UserError(f"expected study.widths of 1 or more, got {list(self.widths)}")

    def run(
        self,
        context: RunContext,
        *,
        data: Sounds,
        backbone: Backbone,
        model: Callable[..., nn.Module],
        trainer: Callable[..., pl.Trainer],
    ) -> None:
        """Reads notes, trains, probes, draws, transfers and reports."""
        first = model(seed=context.seed)
        with context.step("notes"):
            shares = SHARES if self.roles is None else self.roles
            notes = notes_of(data, first.sample_rate, self.duration_s, shares, 0, context.progress)
            describe(context, notes)
        with context.step("training"):
            fitted = [self.train(context, notes, model, trainer, context.seed + n) for n in range(self.seeds)]
        codes = fitted[0].encode(notes.waveforms)
        untrained = model(seed=context.seed).eval()
        with context.step("reconstruction"):
            reconstruction = reconstruct(context, notes, {"trained": fitted[0].network, "untrained": untrained})
        listener = Listener(backbone.to(context.device), notes.sounds.sample_rate)
        with context.step("probes"):
            representations = {
                EMBEDDING: codes.reshape(len(codes), -1),
                UNTRAINED: encode_all(untrained, notes.waveforms).reshape(len(codes), -1),
                LOGMEL: log_mel_features(notes.waveforms, first.sample_rate, 64),
                LOGMEL_SMALL: log_mel_features(notes.waveforms, first.sample_rate, codes.shape[1]),
                LEVELS: level_features(notes),
            }
            heard = listener.hear(notes.waveforms)
            network = f"{backbone.name} ({backbone.weights.kind})"
            layers = {f"{network} {name}": features for name, features in heard.items()} if self.layers else {}
            reading = read_everything(
                context, notes, representations, layers, self.probes, self.widths, self.permutations
            )
            seeds = read_seeds(notes, fitted, self.probes, self.widths[0], context.seed)
        with context.step("views"):
            views = view_table(notes, representations[EMBEDDING], self.perplexity, context.seed)
        tables = {
            "reading": reading.table,
            "classes": reading.classes,
            "confusions": reading.confusions,
            "seeds": seeds,
            "reconstruction": reconstruction,
            "training": pd.DataFrame(fitted[0].history),
        }
        transfers = None
        if self.notes_per_pair:
            with context.step("transfers"):
                judge = train_judge(notes, listener, clearest_layer(notes, heard), fitted[0], codes)
                maps = fit_maps(notes, codes, self.components, context.seed, self.flow_fitter(context, trainer, notes))
                transfers = transfer_all(context, notes, maps, fitted[0], judge, self.notes_per_pair)
                tables |= transfer_tables(notes, maps, transfers.records, context.seed)
            context.result(judge={"network": network, "layer": judge.layer, "accuracy": judge.accuracy})
        for name, frame in tables.items():
            context.table(name, frame)
        context.result(
            code={"channels": codes.shape[1], "frames": codes.shape[2], "hop": first.hop, "model": first.name},
            explained_variance_2d=views.attrs["explained"],
            paper=PAPER,
            reading=to_records(tables["reading"]),
            macro=to_records(reading.classes[reading.classes["class"] == "macro average"]),
            seeds=to_records(seeds),
            reconstruction=to_records(reconstruction),
            training={"steps": self.training.steps, "seconds": [one.seconds for one in fitted],
                      "validation": [one.history[-1]["val_loss"] for one in fitted]},
            transfers=to_records(tables.get("transfers", pd.DataFrame())),
            distance=to_records(tables.get("distance_predicts", pd.DataFrame())),
            inverse=to_records(tables.get("inverse", pd.DataFrame())),
        )  # fmt: skip
        with context.step("page"):
            taught = isinstance(first, HarmonicAutoencoder) and self.training.pitch > 0
            show_timbre(context, notes, views, tables, transfers, fitted[0], codes, self.examples, taught)

    def train(
        self, context: RunContext, notes: Notes, model: Callable[..., nn.Module], trainer: Callable, seed: int
    ) -> FittedAutoencoder:
        """Trains one autoencoder on the role `train`."""
        steps = self.training.steps
        with context.progress(None, description=f"training, seed {seed}", total=steps, unit="step") as bar:
            return fit_autoencoder(
                model(seed=seed),
                trainer,
                notes.waveforms,
                notes.rows("train"),
                notes.rows("select"),
                self.training,
                seed=seed,
                folder=context.folder,
                cache=context.cache,
                logger=context.lightning_logger() if seed == context.seed else False,
                advance=bar.update,
            )

    def flow_fitter(self, context: RunContext, trainer: Callable, notes: Notes) -> Callable | None:
        """Gives what trains the factor flow on reduced codes; None where there is to be none."""
        if self.flow is None:
            return None

        def fit(scores: np.ndarray, labels: Mapping[str, np.ndarray]) -> FactorFlow:
            varying = {name: values for name, values in labels.items() if values.max() > 0}
            return (
                FlowFit(
                    self.flow,
                    trainer,
                    scores,
                    varying,
                    notes.rows("train"),
                    notes.rows("select"),
                    {name: int(values.max()) for name, values in varying.items()},
                    self.flow_training,
                    context.seed,
                    context.folder,
                    context.cache,
                )
                .fit()
                .flow
            )

        return fit


def describe(context: RunContext, notes: Notes) -> None:
    """Writes down what is played and how it is split."""
    context.table("dropped", notes.sounds.dropped)
    counts = {role: int((notes.roles == role).sum()) for role in ("train", "select", "test")}
    context.result(
        sounds={
            "name": notes.sounds.name,
            "clips": len(notes.labels),
            "segments": len(notes.labels),
            "groups": int(notes.groups.max()) + 1,
            "families": list(notes.classes),
            "dropped": len(notes.sounds.dropped),
            "padded_share": notes.padded,
            "roles": counts,
            "note": notes.sounds.note,
        }
    )
    if notes.padded:
        context.page.warn(
            f"{notes.padded:.0%} of the notes are shorter than the length that is read and were padded: duration may "
            "carry a label."
        )


def to_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Gives the rows of a table as plain mappings, empty cells as None."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")
