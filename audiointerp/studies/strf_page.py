"""The page of a study of spectro-temporal filters: verdict, front ends, filters drawn, what they are tuned to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from audiointerp.modulation.spectrum import ModulationSpectrum
from audiointerp.report import modulation_figures
from audiointerp.studies.strf_tuning import MODULATIONS
from audiointerp.study import RunContext

if TYPE_CHECKING:
    from audiointerp.backbones.strf_network import STRFNetwork
    from audiointerp.studies.strf_task import Task

GABOR, FROZEN = "learnt Gabor", "frozen Gabor"
SHOWN = 24


def show(
    context: RunContext,
    task: Task,
    network: STRFNetwork,
    summary: pd.DataFrame,
    spectrum: ModulationSpectrum,
    tables: dict[str, pd.DataFrame],
    measure: str,
    examples: int,
) -> None:
    """Writes verdicts, figures, sounds and sections."""
    page = context.page
    chance = 1.0 / len(task.classes) if measure == "accuracy" else 0.5
    page.verdict(fronts_in_words(summary, measure, chance))
    page.verdict(tuning_in_words(tables["tuning"], tables["populations"], tables["displacement"]))
    page.verdict(ablation_in_words(tables["ablation"]))
    parts = (f"{len(set(task.groups[task.rows(role)]))} {role}" for role in ("train", "select", "test"))
    page.section(
        "What was compared",
        f"{task.sounds.name}: {len(task.sounds)} clips in {len(task.segments)} segments, {len(task.classes)} "
        f"classes ({', '.join(task.classes[:12])}{' ...' if len(task.classes) > 12 else ''}). {task.sounds.note} "
        f"Groups are kept whole: {', '.join(parts)}. "
        "All networks have the same layers behind the front end and the same training; the best epoch is chosen on "
        "`select`, the test groups are read once per network.",
    )
    ranked = summary[summary["measure"] == measure].sort_values("mean", ascending=False)
    title = f"Of all front ends at the same back end, {ranked['front'].iloc[0]} does best by its mean"
    seeds = pd.read_csv(context.folder / "tables" / "scores.csv")
    context.figure(
        "fronts",
        modulation_figures.fronts(summary, seeds, measure=measure, chance=chance, title=title),
        summary,
        alt=title,
    )
    page.figure("fronts", "Diamonds are means and bars 95 % intervals (t) over training seeds, dots the seeds.")
    page.table("fronts", "Every measure, with the numbers that are learnt in the front end and behind it", folded=False)
    page.section("What the filters look like", "Real parts of the first network's filters, slow ones first.")
    draw(context, network, tables["tuning"])
    page.section(
        "What they are tuned to",
        "Modulations are measured from the kernels; of each pair of mirrored modulations the one with a positive "
        "temporal modulation is shown. The contours hold half and nine tenths of the modulation power of the training "
        "sounds: filters that only mirror the sounds lie inside.",
    )
    tuning = tables["tuning"]
    populations = {
        "after training": tuple(tuning[name].to_numpy() for name in MODULATIONS),
        "before training": tuple(tuning[f"first_{name}"].to_numpy() for name in MODULATIONS),
    }
    medians = [float(tuning[f"{when}{MODULATIONS[0]}"].median()) for when in ("", "first_")]
    title = f"Half of the filters lie below {medians[0]:.1f} Hz after training, below {medians[1]:.1f} Hz before"
    figure = modulation_figures.modulation_plane(
        populations, (spectrum.omega, spectrum.Omega, spectrum.power), title=title
    )
    context.figure("modulation", figure, tuning, alt=title)
    page.figure("modulation", "Each mark is a filter of one of the seeds; the histograms at the sides are scaled to 1.")
    page.table("populations", "Energy distance of the learnt filters to three nulls, and to filters that change sides")
    page.table("displacement", "How far parameters moved, in units of their spread before training", folded=False)
    page.table(
        "tonotopy",
        "Does tuning change with centre frequency? Rank correlation with where the contraction uses a filter, over "
        "filters",
    )
    page.table("tuning", "Every filter of every seed")
    page.section(
        "What falls when filters are silenced",
        "Half of the filters at a time are held at their mean response: the slow, the fast, the coarse, the fine, and "
        "as many drawn at random.",
    )
    title = f"Most is lost without the {most_needed(tables['ablation'])} filters"
    figure = modulation_figures.fronts(
        tables["ablation"], pd.DataFrame(), measure=measure, chance=chance, title=title, by="silenced"
    )
    context.figure("ablation", figure, tables["ablation"], alt=title)
    page.figure("ablation", "Diamonds are means and bars 95 % intervals (t) over training seeds.")
    listen(context, task, examples)


def draw(context: RunContext, network: STRFNetwork, tuning: pd.DataFrame) -> None:
    """Draws the filters of the first seed."""
    own = tuning[tuning["seed"] == 0].sort_values(MODULATIONS[0])
    chosen = own["filter"].to_numpy()[:SHOWN]
    with torch.no_grad():
        kernels = network.strf.kernels().numpy()[chosen]
    names = [f"{row[MODULATIONS[0]]:.1f} Hz, {row[MODULATIONS[1]]:+.2f} c/o" for _, row in own.iloc[:SHOWN].iterrows()]
    title = "The filters after training, slow ones first"
    figure = modulation_figures.drawn_filters(
        kernels,
        names,
        frame_rate=network.frame_rate,
        bins_per_octave=network.bins_per_octave,
        title=title,
    )
    context.figure("filters", figure, own, alt=title)
    context.page.figure("filters", "Red adds, blue takes off; above each its measured modulation (c/o: cycles/octave).")


def fronts_in_words(summary: pd.DataFrame, measure: str, chance: float) -> str:
    """Says what each front end reached, and whether learning the filters helped."""
    rows = summary[summary["measure"] == measure].set_index("front")

    def said(name: str) -> str:
        row = rows.loc[name]
        interval = f" [{row['ci_low']:.3f}, {row['ci_high']:.3f}]" if np.isfinite(row["ci_low"]) else ""
        return f"{row['mean']:.3f}{interval}"

    words = f"{measure.replace('_', ' ').capitalize()} (chance {chance:.2f}): "
    words += "; ".join(f"{name} {said(name)}" for name in rows.index) + "."
    if FROZEN in rows.index and np.isfinite(rows.loc[[GABOR, FROZEN], "ci_low"]).all():
        learnt, frozen = rows.loc[GABOR], rows.loc[FROZEN]
        if learnt["ci_low"] > frozen["ci_high"]:
            words += " Learning the filters helped: the intervals do not overlap."
        elif learnt["ci_high"] < frozen["ci_low"]:
            words += " Learning the filters did harm: the frozen ones do better."
        else:
            words += " Learning the filters made no difference that these seeds can show: the intervals overlap."
    return words


def tuning_in_words(tuning: pd.DataFrame, populations: pd.DataFrame, displacement: pd.DataFrame) -> str:
    """Says where the filters lie, how far they moved and what they differ from."""
    omega, density = (tuning[name] for name in MODULATIONS)
    words = (
        f"Half of the learnt filters lie below {omega.median():.1f} Hz and {density.abs().median():.2f} cycles/octave "
        f"({tuning['first_' + MODULATIONS[0]].median():.1f} Hz and "
        f"{tuning['first_' + MODULATIONS[1]].abs().median():.2f} before training). "
    )
    moved = displacement[displacement["labels"] == "as they are"]
    words += "Median displacement in units of the initial spread: "
    words += ", ".join(f"{row['parameter']} {row['moved']:.2f}" for _, row in moved.iterrows()) + ". "
    parts = [
        f"{'differ from' if row['p'] < 0.05 else 'cannot be told from'} {row['against']} (p = {row['p']:.3f})"
        for _, row in populations.iterrows()
    ]
    return words + "The learnt filters " + ", ".join(parts) + "."


def most_needed(ablation: pd.DataFrame) -> str:
    """Names the half of the filters without which the mean score is lowest."""
    return str(ablation[ablation["silenced"] != "none"].sort_values("mean")["silenced"].iloc[0])


def ablation_in_words(ablation: pd.DataFrame) -> str:
    """Says what falls most."""
    rows = ablation.set_index("silenced")["mean"]
    lost = (rows["none"] - rows.drop("none")).sort_values(ascending=False)
    return "Lost with half of the filters silenced: " + "; ".join(f"{k} {v:+.3f}" for k, v in lost.items()) + "."


def listen(context: RunContext, task: Task, examples: int) -> None:
    """Puts test sounds of the first classes into the page."""
    rows = task.rows("test")
    by_frame = task.labels.ndim > 1
    cells = []
    for row in rows[: max(0, examples) * (1 if by_frame else len(task.classes))]:
        clip = int(task.clips[row])
        label = "voices in noise" if by_frame else task.classes[int(task.labels[row])]
        if sum(cell["column"] == label for cell in cells) >= examples:
            continue
        waveform = task.sounds.waveform(clip)
        context.audio(
            f"clip_{clip}", 0.9 * waveform / max(1e-9, float(np.abs(waveform).max())), task.sounds.sample_rate
        )
        place = f"example {1 + sum(cell['column'] == label for cell in cells)}"
        cells.append(
            {"row": place, "column": label, "audio": f"audio/clip_{clip}.wav", "caption": str(task.sounds.path[clip])}
        )
    if cells:
        context.page.listen("Listen to test sounds", cells)
