"""The page of a study of spectro-temporal filters: verdict, front ends, filters drawn, what they are tuned to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from audiointerp.modulation.spectrum import ModulationSpectrum
from audiointerp.report import modulation_figures
from audiointerp.studies.strf_tuning import AS_THEY_ARE, MODULATIONS
from audiointerp.study import RunContext

if TYPE_CHECKING:
    from audiointerp.backbones.strf_network import STRFNetwork
    from audiointerp.studies.strf_task import Task

FROZEN = "frozen Gabor"
SHOWN = 16
CLASSES = 10
"""Classes in the listening grid."""
SEEDS = "Diamonds are means and bars 95 % intervals over seeds, each with its own training and split (corrected "
SEEDS += "resampled t), dots the seeds."


def show(
    context: RunContext,
    task: Task,
    network: STRFNetwork,
    spectrum: ModulationSpectrum,
    tables: dict[str, pd.DataFrame],
    main: str,
    examples: int,
) -> None:
    """Writes verdicts, figures, sounds and sections.

    Args:
        context: The run.
        task: The first of its splits.
        network: The network of the first seed whose filters are read.
        spectrum: Modulation power of the training sounds.
        tables: All tables of the run.
        main: The front end whose filters are read.
        examples: Sounds of each class in the listening grid.
    """
    page, measure, summary = context.page, task.measures[0], tables["fronts"]
    learnt = tables["tuning"].query("labels == @AS_THEY_ARE")
    page.verdict(fronts_in_words(summary, tables["differences"], measure, task.chance, main))
    page.verdict(tuning_in_words(learnt, tables["populations"], tables["displacement"]))
    page.verdict(ablation_in_words(tables["ablation"]))
    page.verdict(organisation_in_words(tables["tonotopy"], tables["harmonicity"]))
    _what_was_compared(context, task, main)
    ranked = summary[summary["measure"] == measure].sort_values("mean", ascending=False)
    title = f"Of all front ends at the same back end, {ranked['front'].iloc[0]} does best by its mean"
    figure = modulation_figures.fronts(summary, tables["scores"], measure=measure, chance=task.chance, title=title)
    context.figure("fronts", figure, summary, alt=title)
    page.figure("fronts", SEEDS)
    page.table("fronts", "Every measure, with the numbers that are learnt in the front end and behind it", folded=False)
    page.table("differences", f"{main} less each other front end, seed by seed on the same split", folded=False)
    page.section(
        "What the filters look like", "Real parts of the first network's filters before and after training, slow first."
    )
    draw(context, network, context.seed, learnt)
    page.section(
        "What they are tuned to",
        "Modulations are measured from the kernels; of each pair of mirrored modulations the one with a positive "
        "temporal modulation is shown. The contours hold half and nine tenths of the modulation power of the training "
        "sounds: filters that only mirror the sounds lie inside.",
    )
    _tuned_to(context, learnt, spectrum)
    page.table("populations", "Energy distance of the learnt filters to three nulls, and to filters that change sides")
    page.table("displacement", "How far parameters moved, in units of their spread before training", folded=False)
    page.table(
        "tonotopy",
        "Does tuning change with centre frequency? Rank correlation over filters with where the contraction uses a "
        "filter; trainings on shuffled labels are the control",
    )
    page.table(
        "harmonicity",
        "Are filters that answer to harmonic sounds tuned otherwise? Rank correlation over filters of tuning with how "
        "a filter's share of the response follows harmonicity over test sounds; untrained filters are the control",
    )
    page.table("tuning", "Every filter of every seed")
    page.section(
        "What falls when filters are silenced",
        "Half of the filters at a time are held at their mean response: the slow, the fast, the coarse, the fine, and "
        "as many drawn at random.",
    )
    _silenced(context, tables["ablation"], measure, task.chance)
    listen(context, task, examples)


def _what_was_compared(context: RunContext, task: Task, main: str) -> None:
    parts = (f"{len(set(task.groups[task.rows(role)]))} {role}" for role in ("train", "select", "test"))
    words = (
        f"{task.sounds.name}: {len(task.sounds)} clips in {len(task.segments)} segments, {len(task.classes)} "
        f"classes ({', '.join(task.classes[:12])}{' ...' if len(task.classes) > 12 else ''}). {task.sounds.note} "
        f"Splits are by {task.by}; groups are kept whole, in the first split: {', '.join(parts)}; "
        f"{len(task.rows('train'))} segments are trained on. All networks have the same layers behind the front end "
        "and the same training; the best epoch is chosen on `select`, the test groups are read once per network."
    )
    published = (
        "The published front end is trained beside the others, and its filters are those read below. Its mistakes: "
        "the taps of a kernel are stretched and off their centre, envelopes are cut off by the support and may "
        "shrink, power is floored below the loudest of the batch, frames lie 54 ms after their label, and frames and "
        "features are scrambled before what follows the contraction."
    )
    context.page.section("What was compared", words, *([published] if main.startswith("published") else []))


def _tuned_to(context: RunContext, learnt: pd.DataFrame, spectrum: ModulationSpectrum) -> None:
    populations = {
        "after training": tuple(learnt[name].to_numpy() for name in MODULATIONS),
        "before training": tuple(learnt[f"first_{name}"].to_numpy() for name in MODULATIONS),
    }
    medians = [float(learnt[f"{when}{MODULATIONS[0]}"].median()) for when in ("", "first_")]
    title = f"Half of the filters lie below {medians[0]:.1f} Hz after training, below {medians[1]:.1f} Hz before"
    figure = modulation_figures.modulation_plane(
        populations, (spectrum.omega, spectrum.Omega, spectrum.power), title=title
    )
    context.figure("modulation", figure, learnt, alt=title)
    context.page.figure(
        "modulation", "Each mark is a filter of one of the seeds; the histograms at the sides are scaled to 1."
    )


def _silenced(context: RunContext, ablation: pd.DataFrame, measure: str, chance: float | None) -> None:
    title = f"Most is lost without the {most_needed(ablation)} filters"
    drawn = ablation.replace({"measure": {"score": measure}})
    figure = modulation_figures.fronts(
        drawn, pd.DataFrame(), measure=measure, chance=chance, title=title, by="silenced"
    )
    context.figure("ablation", figure, drawn, alt=title)
    context.page.figure("ablation", "Diamonds are means and bars 95 % intervals over seeds (corrected resampled t).")
    context.page.table("ablation", "Score, what is lost, and what is lost beyond as many filters drawn at random")


def draw(context: RunContext, network: STRFNetwork, seed: int, learnt: pd.DataFrame) -> None:
    """Draws the filters of the first seed before and after training."""
    own = learnt[learnt["seed"] == 0].sort_values(MODULATIONS[0])
    chosen = own["filter"].to_numpy()[np.linspace(0, len(own) - 1, min(SHOWN, len(own))).round().astype(int)]
    own = own.set_index("filter", drop=False).loc[chosen]
    with torch.no_grad():
        before, after = (each.strf.kernels().numpy()[chosen] for each in (network.untrained(seed), network))
    names = [f"{row[MODULATIONS[0]]:.1f} Hz, {row[MODULATIONS[1]]:+.2f} c/o" for _, row in own.iterrows()]
    title = "The filters before and after training, slow ones first"
    figure = modulation_figures.drawn_filters(
        before, after, names, frame_rate=network.frame_rate, bins_per_octave=network.bins_per_octave, title=title
    )
    context.figure("filters", figure, own, alt=title)
    context.page.figure("filters", "Red adds, blue takes off; above each its measured modulation (c/o: cycles/octave).")


def with_ends(value: float, low: float, high: float, form: str = ".3f") -> str:
    """A number with its interval, where there is one."""
    return f"{value:{form}}" + (f" [{low:{form}}, {high:{form}}]" if np.isfinite(low) else "")


def fronts_in_words(
    summary: pd.DataFrame, differences: pd.DataFrame, measure: str, chance: float | None, main: str
) -> str:
    """Says what each front end reached, and whether learning the filters helped."""
    rows = summary[summary["measure"] == measure]
    words = measure.replace("_", " ")
    words = words[0].upper() + words[1:] + (f" (chance {chance:.2f}): " if chance is not None else ": ")
    words += "; ".join(
        f"{row['front']} {with_ends(row['mean'], row['ci_low'], row['ci_high'])}" for _, row in rows.iterrows()
    )
    words += "."
    found = differences[(differences["against"] == FROZEN) & (differences["measure"] == measure)]
    if len(found) and np.isfinite(found["ci_low"].iloc[0]):
        row = found.iloc[0]
        said = with_ends(row["difference"], row["ci_low"], row["ci_high"], "+.3f")
        if row["ci_low"] > 0:
            words += f" Learning the filters helped: {main} less {FROZEN} is {said}."
        elif row["ci_high"] < 0:
            words += f" Learning the filters did harm: {main} less {FROZEN} is {said}."
        else:
            words += (
                f" That learning the filters helps cannot be shown with these seeds: {main} less {FROZEN} is {said}."
            )
    return words


def tuning_in_words(learnt: pd.DataFrame, populations: pd.DataFrame, displacement: pd.DataFrame) -> str:
    """Says where the filters lie, how far they moved and what they differ from."""
    omega, density = (learnt[name] for name in MODULATIONS)
    words = (
        f"Half of the learnt filters lie below {omega.median():.1f} Hz and {density.abs().median():.2f} cycles/octave "
        f"({learnt['first_' + MODULATIONS[0]].median():.1f} Hz and "
        f"{learnt['first_' + MODULATIONS[1]].abs().median():.2f} before training). "
    )
    moved = displacement.pivot(index="parameter", columns="labels", values="moved")
    words += "Median displacement in units of the initial spread (in brackets on shuffled labels): "
    words += ", ".join(
        f"{name} {row[AS_THEY_ARE]:.2f}" + (f" ({row['shuffled']:.2f})" if "shuffled" in row else "")
        for name, row in moved.iterrows()
    )
    parts = [
        f"{'differ from' if row['p'] < 0.05 else 'cannot be told from'} {row['against']} (p = {row['p']:.3f})"
        for _, row in populations.iterrows()
    ]
    return words + ". The learnt filters " + ", ".join(parts) + "."


def organisation_in_words(tonotopy: pd.DataFrame, harmonicity: pd.DataFrame) -> str:
    """Says whether tuning goes with centre frequency or harmonicity, where the interval leaves out zero."""
    found = []
    for table, by, shown, column, name in (
        (tonotopy, "labels", AS_THEY_ARE, "rank_correlation_with_centre", "centre frequency"),
        (harmonicity, "filters", "after training", "rank_correlation_with_harmonicity", "answering to harmonic sounds"),
    ):
        control = table[table[by] != shown].set_index("tuning")[column]
        clear = table[(table[by] == shown) & ((table["ci_low"] > 0) | (table["ci_high"] < 0))]
        said = [
            f"{row['tuning']} {with_ends(row[column], row['ci_low'], row['ci_high'], '+.2f')}"
            + (f" (control {control[row['tuning']]:+.2f})" if row["tuning"] in control else "")
            for _, row in clear.iterrows()
        ]
        found.append(f"with {name} {', '.join(said) or 'none'}")
    return "Rank correlations over filters whose interval leaves out zero: " + "; ".join(found) + "."


def most_needed(ablation: pd.DataFrame) -> str:
    """Names the half of the filters without which the mean score is lowest."""
    rows = ablation[(ablation["measure"] == "score") & (ablation["silenced"] != "none")]
    return str(rows.sort_values("mean")["silenced"].iloc[0])


def ablation_in_words(ablation: pd.DataFrame) -> str:
    """Says what falls, and what falls beyond silencing as many filters at random."""
    lost = ablation[ablation["measure"] == "lost"].sort_values("mean", ascending=False)
    words = "Lost with half of the filters silenced: "
    words += "; ".join(f"{row['silenced']} {row['mean']:+.3f}" for _, row in lost.iterrows()) + "."
    beyond = ablation[(ablation["measure"] == "lost_beyond_random") & (ablation["ci_low"] > 0)]
    if len(beyond):
        return words + f" More than at random: {', '.join(beyond['silenced'])}."
    return words + " No half costs more than as many filters at random, with an interval above zero."


def listen(context: RunContext, task: Task, examples: int) -> None:
    """Puts test sounds of each class into the page, up to a few classes."""
    cells: list[dict[str, str]] = []
    heard: dict[str, int] = {}
    for row in task.rows("test"):
        clip, label = int(task.clips[row]), _heard_as(task, row)
        if heard.get(label, 0) >= examples or (label not in heard and len(heard) == CLASSES):
            continue
        caption = str(task.sounds.path[clip])
        if any(cell["caption"] == caption for cell in cells):
            continue
        heard[label] = heard.get(label, 0) + 1
        waveform = task.sounds.waveform(clip)
        loudest = max(1e-9, float(np.abs(waveform).max()))
        context.audio(f"clip_{clip}", 0.9 * waveform / loudest, task.sounds.sample_rate)
        place = f"example {heard[label]}"
        cells.append({"row": place, "column": label, "audio": f"audio/clip_{clip}.wav", "caption": caption})
    if cells:
        context.page.listen("Listen to test sounds", cells)


def _heard_as(task: Task, row: int) -> str:
    if task.kind == "frames":
        return "voices in noise"
    if task.kind == "tags":
        return ", ".join(name for name, there in zip(task.classes, task.labels[row], strict=True) if there) or "no tag"
    return task.classes[int(task.labels[row])]
