"""The page of sonification: verdicts, sounds beside spectrograms, curves with controls, tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from audiointerp.report.canvas import number
from audiointerp.report.sonification_figures import over_layers
from audiointerp.studies.cnn12_page import LABELS, patches_in_words
from audiointerp.studies.cnn12_task import Task
from audiointerp.studies.sonification_evidence import LEAST_SQUARES, NOTHING
from audiointerp.studies.sonification_networks import CONTROL
from audiointerp.studies.sonification_sounds import Cells
from audiointerp.study import RunContext

if TYPE_CHECKING:
    from audiointerp.studies.sonification import Sonification

ABOUT = (
    "A sonification leads the most active map of a layer back to the waveform: to the switches of each pooling, "
    "rectified, through the transposed filters, without bias. Everything is measured on held-out clips; the untrained "
    "network, frozen, is the control."
)


def show(
    context: RunContext, task: Task, tables: dict[str, pd.DataFrame], cells: Cells, strips: list[dict[str, Any]],
    study: Sonification,
) -> None:  # fmt: skip
    """Writes the page from the tables and sounds of a run."""
    page = context.page
    for _, row in tables["claims"].iterrows():
        page.verdict(
            f"{row['network'].capitalize()}: {row['claim']}: {row['verdict']} (published {row['published']}; against "
            f"its controls {row['corrected']}; the untrained network {row['control']})."
        )
    for words in coherence_words(tables["coherence_summary"]):
        page.verdict(words)
    if CONTROL not in set(tables["coherence_summary"]["network"]):
        page.warn("No untrained network was run: nothing below shows what training does.")
    page.section(
        "What was compared", ABOUT, described(task, context, study), patches_in_words(context.results["patches"])
    )
    show_sounds(page, cells, strips)
    show_coherence(context, tables, context.results["noise_floor"])
    if "removal_summary" in tables:
        show_removal(context, tables["removal_summary"], task)
    show_maps(context, tables)
    page.section("Tables")
    page.table("claims", "The paper's claims, all layers together", folded=False)
    for name, caption in {
        "coherence_summary": "Coherence and band selectivity by network and layer",
        "removal_summary": "Removal by network, layer and what is taken out",
        "map_summary": "Single maps: round trip and band",
        "scene_summary": "Energy and times of speech in synthetic scenes",
        "variety_summary": "Active maps, and how varied the classes of their top inputs are [bits]",
        "random_summary": "Likeness with the first sonification as blocks are drawn anew",
        "way_summary": "Other ways of unpooling and other seeds",
        "evolution": "One map of each layer through training",
    }.items():
        if name in tables or (name == "evolution" and strips):
            page.table(name, caption)


def described(task: Task, context: RunContext, study: Sonification) -> str:
    """Says what was heard."""
    return (
        f"{context.results['clips']} held-out clips of {task.sounds.name} ({task.by} held out), {study.seeds} "
        f"seed{'s' * (study.seeds > 1)} of each network; a map is active by its {study.score}. {task.sounds.note}"
    )


def coherence_words(summary: pd.DataFrame) -> list[str]:
    """Says for each network what share of the clip's power its first and last sonifications share."""
    words = []
    for name, mine in summary[summary["measure"] == "shared_power"].groupby("network", sort=False):
        mine = mine.dropna(subset=["score"]).sort_values("depth")
        if len(mine):
            first, last = mine.iloc[0], mine.iloc[-1]
            words.append(
                f"{name.capitalize()}: sonifications of block {first['depth']} share {number(first['score'])} of the "
                f"power of their clips, those of block {last['depth']} {number(last['score'])}."
            )
    return words


def show_sounds(page: Any, cells: Cells, strips: list[dict[str, Any]]) -> None:
    """Writes the grids of players, layer by layer."""
    page.section(
        "Listen",
        "The maps shown are those that answer their best clip most, against their mean over clips. All sounds are "
        "turned to one loudness; each network is shown with its own maps and its own best inputs.",
    )
    for layer, mine in cells.items():
        if mine:
            page.figure(
                f"sounds_{layer}", f"{layer}: top inputs and their sonifications, each relative to its loudest bin."
            )
            page.listen(f"{layer}: top inputs and their sonifications", mine)
    if strips:
        page.section(
            "Through training", "Map and clip are fixed by the last weights; the weights before sonify the same."
        )
        page.figure("evolution", "Columns: steps of training; a map that is dead has no picture.")
        page.listen("One map of each layer through training", strips)


def show_coherence(context: RunContext, tables: dict[str, pd.DataFrame], floor: float) -> None:
    """Draws coherence as published and corrected, and the share of power."""
    page, summary = context.page, tables["coherence_summary"]
    page.section(
        "How much of the clip is in its sonification",
        "Published: the mean of the five most coherent frequencies. Unrelated noise of the same length has the floor "
        "that is drawn; corrected: what lies above a sonification with random phases. The share of power counts all "
        "frequencies by how loud they are.",
    )
    for measure, title, ylabel, references in (
        ("coherence", "Top-5 coherence by layer, as published", "top-5 coherence", {"unrelated noise": floor}),
        ("coherence_corrected", "Coherence above random phases", "coherence above random phases", None),
        ("shared_power", "Share of the clip's power that its sonification shares", "share of power", None),
        ("selectivity", "How narrow the band is that a sonification leaves", "1 - entropy / log bins", None),
    ):
        mine = summary[summary["measure"] == measure]
        if mine["score"].notna().any():
            figure = over_layers(mine, title=title, ylabel=ylabel, references=references)
            context.figure(measure, figure, mine, alt=title)
            page.figure(measure, "Held-out clips, means over seeds; grey: the untrained network.")


def show_removal(context: RunContext, summary: pd.DataFrame, task: Task) -> None:
    """Draws recognition and the fall of the map after removal."""
    page = context.page
    page.section(
        "What happens without the sonification",
        "The sonification of the most active map is taken out by least squares, so that no energy is added; the "
        "published way subtracts it at the clip's peak. Controls have the energy of what least squares takes out.",
    )
    base = summary[summary["variant"] == NOTHING].groupby("network")["score"].mean()
    measured = summary[summary["score"].notna()]
    if len(measured):
        title = f"Recognition after removal ({task.measure})"
        figure = over_layers(measured, title=title, ylabel=LABELS[task.measure], line="variant", panel="network")
        context.figure("removal", figure, measured, alt=title)
        whole = ", ".join(f"{name} {number(value)}" for name, value in base.items())
        page.figure("removal", f"With nothing taken out: {whole}.")
    falls = summary[summary["variant"] != NOTHING].assign(
        score=lambda frame: frame["target_fall"], ci_low=lambda frame: frame["target_low"],
        ci_high=lambda frame: frame["target_high"],
    )  # fmt: skip
    if falls["score"].notna().any():
        title = "How far the map falls whose sonification, or control, is taken out"
        figure = over_layers(falls, title=title, ylabel="share of the response that is gone", line="variant",
                             panel="network")  # fmt: skip
        context.figure("falls", figure, falls, alt=title)
        own = summary[summary["variant"] == LEAST_SQUARES]
        others = ", ".join(
            f"{name} {number(value)}" for name, value in own.groupby("network")["others_fall"].mean().items()
        )
        page.figure(
            "falls", f"Below 0: the map answers more. The layer's other maps fall meanwhile by (median): {others}."
        )


def show_maps(context: RunContext, tables: dict[str, pd.DataFrame]) -> None:
    """Draws the round trip, localisation and randomisation."""
    page = context.page
    page.section(
        "Single maps, known times, random weights",
        "Round trip: a sonification is played back; the rank is the share of the layer's maps that answer more than "
        "its own (chance one half). Scenes: speech at known times in noise. Random weights: a sonification that hardly "
        "changes when blocks are drawn anew says little about what was learned.",
    )
    drawn = [("map_summary", "rank", "Does a sonification drive its own map most?", "share of maps that answer more",
              {"chance": 0.5})]  # fmt: skip
    if "scene_summary" in tables:
        drawn.append(("scene_summary", "auc", "Do sonifications sound when somebody speaks?",
                      "frames told apart by energy [AUC]", {"chance": 0.5}))  # fmt: skip
    for name, value, title, ylabel, references in drawn:
        mine = tables[name].rename(columns={value: "score", f"{value}_low": "ci_low", f"{value}_high": "ci_high"})
        if name == "scene_summary":
            itself = mine[mine["layer"] == "the scene itself"]["score"].mean()
            mine, references = mine[mine["layer"] != "the scene itself"], {**references, "the scene itself": itself}
        if mine["score"].notna().any():
            context.figure(value, over_layers(mine, title=title, ylabel=ylabel, references=references), mine, alt=title)
            page.figure(value, "Means over clips and seeds.")
    if "random_summary" in tables:
        whole = tables["random_summary"]
        last = whole[whole["random"] == whole.groupby(["network", "layer"])["random"].transform("max")]
        mine = last.rename(columns={"spectrogram": "score", "spectrogram_low": "ci_low", "spectrogram_high": "ci_high"})
        if mine["score"].notna().any():
            title = "How alike sonifications stay when all blocks up to the layer are random"
            figure = over_layers(mine, title=title, ylabel="correlation of log spectrograms")
            context.figure("random", figure, mine, alt=title)
            page.figure("random", "1: the weights do not matter.")
