"""The page of the timbre study: verdict, probes, views, reconstructions and transfers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from audiointerp.report import class_figures, pictures, timbre_figures
from audiointerp.report.canvas import interval_words, number
from audiointerp.studies.timbre_notes import FAMILY, PITCH, SOURCE, VELOCITY, Notes
from audiointerp.studies.timbre_reading import EMBEDDING, LEVELS, LOGMEL, MACHINES, PERMUTED, UNTRAINED
from audiointerp.studies.timbre_transfer import (
    PLAIN,
    PUBLISHED,
    REAL,
    Transfers,
)
from audiointerp.studies.timbre_transfer_page import best_edit, play_transfers, show_transfers
from audiointerp.studies.timbre_views import VIEWS
from audiointerp.study import RunContext
from audiointerp.training.fit_autoencoder import FittedAutoencoder

NAMES = {"svm_tuned": "tuned SVM", "svm": "SVM", "mlp": "MLP", "linear": "linear", "knn": "k-NN"}


def show_timbre(
    context: RunContext,
    notes: Notes,
    views: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    transfers: Transfers | None,
    fitted: FittedAutoencoder,
    codes: np.ndarray,
    examples: int,
    pitch_taught: bool,
) -> None:
    """Writes the page; `pitch_taught` says whether the autoencoder's training asked for the pitch."""
    table = tables["reading"]
    say_verdict(context, table, tables.get("transfers"), pitch_taught)
    show_reading(context, notes, tables)
    show_views(context, notes, views)
    show_reconstruction(context, notes, tables, fitted, codes, examples)
    if transfers is not None:
        show_transfers(context, tables, transfers.judge)
        play_transfers(context, notes, transfers, examples)


def find(table: pd.DataFrame, representation: str, target: str, probe: str, split: str = "groups") -> pd.Series | None:
    """Gives one row of the readings, the first of its widths; None where it was not asked."""
    rows = table[
        (table["representation"] == representation) & (table["target"] == target) & (table["probe"] == probe)
        & (table["split"] == split)
    ]  # fmt: skip
    return rows.iloc[0] if len(rows) else None


def said(row: pd.Series | None) -> str:
    """Writes a row's value with its interval."""
    return "not measured" if row is None else interval_words(row["value"], row["ci_low"], row["ci_high"])


def say_verdict(context: RunContext, table: pd.DataFrame, methods: pd.DataFrame | None, pitch_taught: bool) -> None:
    """Says the result in plain words."""
    probe = table.loc[table["representation"] == EMBEDDING, "probe"].iloc[0]
    family, permuted = (find(table, name, FAMILY, probe) for name in (EMBEDDING, PERMUTED))
    rivals = {name: table.query("representation == @name").iloc[0] for name in (UNTRAINED, LOGMEL, LEVELS)}
    random = find(table, EMBEDDING, FAMILY, probe, "random")
    read = [
        f"{said(row)} by {NAMES[kind]}" for kind in NAMES if (row := find(table, EMBEDDING, FAMILY, kind)) is not None
    ]
    context.page.verdict(
        f"The instrument family is read from the trained embedding with an accuracy of {', '.join(read)} (groups never "
        f"trained on; {said(random)} by {NAMES[probe]} with notes split at random, as published), from permuted labels "
        f"{said(permuted)}; "
        + ", ".join(f"from the {name} {said(row)} by {NAMES[row['probe']]}" for name, row in rivals.items())
        + "."
    )
    parts = [
        f"{name} with an R² of {said(row)}"
        for name in (PITCH, VELOCITY)
        if (row := find(table, EMBEDDING, name, probe)) is not None and pd.notna(row["value"])
    ]
    if parts:
        taught = " Its training asks for the pitch, which YIN reads from the waveform." if pitch_taught else ""
        context.page.verdict(
            f"Beside timbre the embedding tells {' and '.join(parts)}: it is no code of timbre alone.{taught}"
        )
    if methods is not None:
        rows = methods.set_index("method")
        best = best_edit(methods)["method"]
        context.page.verdict(
            f"Of the transfers, {best} is taken for the other instrument most often: "
            f"{interval_words(*rows.loc[best, ['is_target', 'is_target_low', 'is_target_high']])} of the notes, its "
            f"pitch kept in {number(rows.loc[best, 'in_tune'])}; plain reconstruction "
            f"{number(rows.loc[PLAIN, 'is_target'])}, a real note of that instrument through the same autoencoder "
            f"{number(rows.loc[REAL, 'is_target'])}. The published b A^-1: "
            f"{number(rows.loc[PUBLISHED, 'is_target'])}, codes up to {rows.loc[PUBLISHED, 'median_largest_code']:.2g}."
        )


def show_reading(context: RunContext, notes: Notes, tables: Mapping[str, pd.DataFrame]) -> None:
    """Shows what probes read."""
    page, table = context.page, tables["reading"]
    page.section(
        "What can be read",
        f"{len(notes.labels)} notes of {len(notes.classes)} families. Probes learn from training notes and read "
        "test notes, whose groups neither they nor the autoencoder met. The random split draws notes without regard to "
        "groups, as the paper did.",
        notes.sounds.note,
    )
    for target in (FAMILY, PITCH, VELOCITY, SOURCE):
        mine = table[(table["target"] == target) & (table["split"] == "groups")]
        mine = mine.dropna(subset=["value"])  # R^2 of test notes that are all alike
        if mine.empty:
            continue
        first = mine.drop_duplicates(["representation", "probe"])
        shown = first[first["representation"].isin([EMBEDDING, PERMUTED]) | ~first.duplicated("representation")]
        shown = shown.assign(
            control=shown["representation"].isin([PERMUTED, UNTRAINED, LEVELS]),
            representation=shown["representation"] + ", " + shown["probe"].map(NAMES),
        )
        measure = mine["measure"].iloc[0]
        own = find(table, EMBEDDING, target, shown["probe"].iloc[0])
        name = target.replace("_", " ")
        figure = timbre_figures.readings(
            shown,
            title=f"The embedding tells the {name} with {measure} {number(own['value'])}",
            label=f"{measure} for the {name}, groups held out",
            chance=float(mine["chance"].iloc[0]),
        )
        context.figure(f"reading_{target}", figure, shown, alt=f"{measure} for the {name} by representation")
        page.figure(f"reading_{target}", f"{measure} on test groups; lines are 95 % intervals over groups.")
    probe = tables["confusions"]["probe"].iloc[0]
    for kind in tables["confusions"]["probe"].unique():
        if kind not in (*MACHINES, "mlp", probe):
            continue
        for split in ("groups", "random"):
            counts = tables["confusions"].query("probe == @kind and split == @split")
            row = find(table, EMBEDDING, FAMILY, kind, split)
            words = "groups held out" if split == "groups" else "random split, as published"
            name = f"confusion_{kind}_{split}"
            title = f"{NAMES[kind]}, {words}: {number(row['value'])} of the notes are told right"
            context.figure(name, class_figures.confusion(counts, title=title), counts, alt=title)
            page.figure(name, "Shares of each true family.")
    page.table("reading", "Every probe of every representation", query=None)
    page.table("classes", "Precision, recall and F1 by class; precision_published is the paper's word for specificity")
    page.table("seeds", "The family read from autoencoders that differ in their seed")


def show_views(context: RunContext, notes: Notes, views: pd.DataFrame) -> None:
    """Shows the notes in two and three dimensions; a click plays one."""
    page = context.page
    sounds = []
    for row in views["note"]:
        context.audio(f"note_{row:05d}", notes.waveforms[row], notes.sounds.sample_rate)
        sounds.append(f"audio/note_{row:05d}.wav")
    views = views.assign(audio=sounds)
    context.table("views", views)
    explained = views.attrs.get("explained") or [np.nan, np.nan]
    page.section("Where the notes lie", "Test notes only; components are fitted on training notes.")
    words = f"the first two components hold {explained[0]:.0%} and {explained[1]:.0%} of the variance"
    shown = views.rename(columns={"pca_1": "PC 1", "pca_2": "PC 2"})
    figure = class_figures.scatter(shown, "PC 1", "PC 2", [FAMILY, PITCH], title=f"In the embedding {words}")
    context.figure("pca", figure, shown[["PC 1", "PC 2", FAMILY, PITCH]], alt="Principal components of the embedding")
    page.figure("pca", "Each dot is a test note, once coloured by family, once by pitch.")
    colours = [name for name in (FAMILY, PITCH, VELOCITY, SOURCE) if name in views]
    page.cloud(
        "The embedding, to turn and to hear",
        "views",
        VIEWS,
        colours,
        says=colours,
        caption="t-SNE keeps neighbours and says nothing of distances or of the sizes of clusters. Click a dot to hear "
        "its note.",
    )


def show_reconstruction(
    context: RunContext,
    notes: Notes,
    tables: Mapping[str, pd.DataFrame],
    fitted: FittedAutoencoder,
    codes: np.ndarray,
    examples: int,
) -> None:
    """Shows how well notes come back."""
    page = context.page
    page.section(
        "What the autoencoder gives back",
        "Measured on test notes; the note itself says how well the pitch of real notes is found, another note how "
        "far apart notes are.",
    )
    page.table("reconstruction", "Distance of reconstructions to their notes", folded=False)
    history = tables["training"]
    if {"train_loss", "val_loss"} <= set(history) and len(history) > 1:
        figure = pictures.loss_curves(history, {"loss": "loss"}, title="Loss over training")
        context.figure("training", figure, history, alt="Loss of the autoencoder over parts of the training")
        page.figure("training", "The loss of the first steps is that of the spectrum read off the code alone.")
    test = notes.rows("test")
    chosen = [test[notes.labels[test] == label][0] for label in np.unique(notes.labels[test])][: max(examples, 1)]
    cells = []
    decoded = np.clip(fitted.decode(codes[chosen]), -1.0, 1.0)
    for row, sound in zip(chosen, decoded, strict=True):
        context.audio(f"decoded_{row:05d}", sound, notes.sounds.sample_rate)
        for column, file in (("note", f"note_{row:05d}"), ("reconstruction", f"decoded_{row:05d}")):
            cells.append({"row": notes.says(row), "column": column, "audio": f"audio/{file}.wav",
                          "caption": f"{notes.says(row)}: {column}"})  # fmt: skip
    page.listen("Notes and their reconstructions", cells)
