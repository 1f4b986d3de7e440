"""The part of the timbre page on transfers: how well each method does, between which families, and how it sounds."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from audiointerp.report import timbre_figures
from audiointerp.report.canvas import number
from audiointerp.studies.timbre_judge import Judge
from audiointerp.studies.timbre_notes import Notes
from audiointerp.studies.timbre_transfer import (
    EDITS,
    FLOW,
    NETWORK,
    PLAIN,
    PUBLISHED,
    RIDGE,
    SHIFT,
    TRANSPORT,
    Transfers,
)
from audiointerp.study import RunContext


def best_edit(methods: pd.DataFrame) -> pd.Series:
    """Gives the edit that is taken for its target most often, among equals the one that comes nearest to real notes."""
    return methods[methods["role"] == "edit"].sort_values(["is_target", "nearer_db"]).iloc[-1]


def show_transfers(context: RunContext, tables: Mapping[str, pd.DataFrame], judge: Judge) -> None:
    """Shows what transfers between families do."""
    page, methods, pairs = context.page, tables["transfers"], tables["transfer_pairs"]
    page.section(
        "One instrument into another",
        "Test notes of every family are moved to every other one in the code and decoded. A judge that hears waveforms "
        "alone, trained on real and reconstructed training notes, says what it takes them for; pitch is measured in "
        "the sound; the distance is that to a real test note of the target family, the nearest in pitch and velocity.",
        f"The judge hears through {judge.layer}, which tells the notes of the role select best; it is right in "
        f"{number(judge.accuracy['real'])} of the real test notes and {number(judge.accuracy['reconstructed'])} of "
        "their reconstructions.",
    )
    best = best_edit(methods)
    figure = timbre_figures.methods(
        methods,
        {"is_target": "taken for B [share]", "in_tune": "pitch kept within 50 cents [share]",
         "nearer_db": "nearer to a real B than the reconstruction [dB]"},
        title=f"{best['method']} is taken for the target in {number(best['is_target'])} of the notes",
    )  # fmt: skip
    context.figure("transfers", figure, methods, alt="Success of each method of transfer by three measures")
    page.figure("transfers", "For the real note of B its own pitch is the one to be kept.")
    shown = {"method": "method", "is_target": "taken for B", "is_source": "taken for A", "in_tune": "pitch kept"}
    shown |= {"nearer_db": "nearer to B [dB]", "pitch_error_cents": "pitch error [cents]"}
    shown |= {"median_largest_code": "largest code", "clipped_share": "clipped", "n": "notes"}
    page.table("transfers", "Every method of transfer", shown, folded=False)
    mine = pairs[pairs["method"] == best["method"]]
    figure = timbre_figures.pair_matrix(
        mine, "is_target", title=f"{best['method']}: share of notes taken for the target", label="share", bound=1.0
    )
    context.figure("transfer_matrix", figure, mine, alt="Share of notes taken for the target, by pair of families")
    page.figure("transfer_matrix", "Rows: the instrument that was played. Columns: what it was turned into.")
    figure = timbre_figures.pair_matrix(
        mine, "nearer_db", title=f"{best['method']}: how much nearer to real notes of the target", label="dB"
    )
    context.figure("transfer_matrix_db", figure, mine, alt="Change of distance to real notes, by pair of families")
    page.figure("transfer_matrix_db", "Positive: nearer than the plain reconstruction.")
    page.table("transfer_pairs", "Every method and ordered pair of families")
    distance = tables["distance_predicts"]
    row = distance[(distance["method"] == best["method"]) & (distance["measure"] == "nearer_db")].iloc[0]
    drawn = pairs[pairs["method"].isin([name for name in EDITS if name != PUBLISHED])]
    figure = timbre_figures.against_distance(
        drawn, value="nearer_db", label="nearer to a real B [dB]",
        title=f"Distance against success: {best['method']}, Spearman {number(row['rho'])}, p = {number(row['p'])}",
    )  # fmt: skip
    context.figure("distance", figure, drawn, alt="Success of transfers against the distance of the two families")
    page.figure("distance", "The paper asks whether nearby instruments are turned into one another more easily.")
    page.table("distance_predicts", "Rank correlation of distance and success; p by permuting families (Mantel)")
    spikes = tables["inverse"]
    page.section(
        "Why the published inverse spikes",
        f"An average code has {spikes['frames'].iloc[0]} frames and {spikes['channels'].iloc[0]} channels: A A^T has a "
        f"rank of at most {spikes['rank'].max()}, and a condition number of {spikes['condition'].median():.1g} in the "
        "median. Its inverse consists of divided rounding errors, and the edited codes are far from any note's.",
    )
    page.table("inverse", "Average codes, their rank, and the largest entries of A A^-1 (1 if there were an inverse)")


def play_transfers(context: RunContext, notes: Notes, transfers: Transfers, examples: int) -> None:
    """Plays the best and the worst transfers beside note, reconstruction and a real note of the target."""
    records = transfers.records
    shown = [name for name in (SHIFT, RIDGE, TRANSPORT, NETWORK, FLOW, PUBLISHED) if name in set(records["method"])]
    edits = records[records["method"].isin([name for name in shown if name != PUBLISHED])]
    score = edits.groupby(["note", "target"]).agg({"nearer_db": "mean", "is_target": "mean", "in_tune": "mean"})
    rank = (score["is_target"] + 0.5 * score["in_tune"] + 0.1 * score["nearer_db"]).sort_values(ascending=False)
    rate = notes.sounds.sample_rate
    for title, keys in (("best", rank.index[:examples]), ("worst", rank.index[::-1][:examples])):
        cells = []
        for note, target in keys:
            label = notes.classes.index(target)
            row = f"{notes.says(note)} to {target}"
            mine = records[(records["note"] == note) & (records["target"] == target)]
            real = mine["real"].iloc[0]
            context.audio(f"note_{note:05d}", notes.waveforms[note], rate)
            context.audio(f"note_{real:05d}", notes.waveforms[real], rate)
            cells.append(_cell(row, "the note", f"note_{note:05d}", notes.says(note)))
            for method in (PLAIN, *shown):
                name = f"transfer_{note:05d}_{target}_{method}".replace(" ", "-").replace("^", "")
                context.audio(name, transfers.examples[method, note, label], rate)
                read = mine[mine["method"] == method].iloc[0]
                line = f"taken for {read['read_as']}, {number(read['nearer_db'])} dB nearer"
                cells.append(_cell(row, method, name, f"{row}: {method}") | {"lines": [line]})
            cells.append(_cell(row, "a real note of B", f"note_{real:05d}", notes.says(real)))
        page_title = f"The {title} transfers, by judge, pitch and distance, averaged over methods"
        context.page.listen(page_title, cells)


def _cell(row: str, column: str, file: str, caption: str) -> dict:
    return {"row": row, "column": column, "audio": f"audio/{file}.wav", "caption": caption}
