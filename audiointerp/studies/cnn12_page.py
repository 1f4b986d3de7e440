"""Figures and pages of the raw-waveform networks: regimes side by side, shares of labels, depth, activity."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from audiointerp.report import training_figures
from audiointerp.report.canvas import interval_words
from audiointerp.report.cells import told_apart
from audiointerp.studies.cnn12_task import Task
from audiointerp.study import RunContext

LABELS = {"accuracy": "accuracy [share of held-out clips]", "mAP": "mean average precision"}


def show_regimes(
    context: RunContext,
    task: Task,
    table: pd.DataFrame,
    summary: pd.DataFrame,
    differences: pd.DataFrame,
    fractions: Sequence[float],
) -> None:
    """Writes the verdict, figures and tables of training regimes."""
    page = context.page
    whole = summary[summary["fraction"] == max(fractions)]
    best = whole.loc[whole["score"].idxmax()]
    page.verdict(
        f"{task.factor.capitalize()} of {task.sounds.name}, {task.by} held out: best is {best['regime']} with "
        f"{task.measure} {interval_words(best['score'], best['ci_low'], best['ci_high'])} "
        f"(chance {best['chance']:.2f})."
    )
    for _, row in differences[differences["fraction"] == max(fractions)].iterrows():
        page.verdict(f"{row['regime']} against {row['against']}: {difference_words(row)}.")
    if not len(task.sounds.group.unique()) > 4:
        page.warn("Too few groups of sounds for an interval.")
    page.section(
        "What was compared",
        f"{len(task.sounds)} clips of {task.sounds.name}, {len(task.classes)} classes; held out: {task.by}. "
        f"{int(whole['n_seeds'].max())} seeds per regime. All regimes take the same steps on batches of the same size; "
        "nothing is chosen on the held-out clips, of which the last weights are scored, whole clips at once. "
        "fconly: a linear classifier on the frozen encoder; full: all weights are trained on. The untrained, frozen "
        f"encoder is the control. {few_levels(task)}{task.sounds.note}",
        patches_in_words(context.results["patches"]),
    )
    seeds = table[table["fraction"] == max(fractions)].rename(columns={task.measure: "score"})
    title = f"What each way of training scores on {task.sounds.name}"
    context.figure(
        "regimes", training_figures.regimes(whole, seeds, title=title, label=LABELS[task.measure]), whole, alt=title
    )
    page.figure("regimes", "Held-out clips; the scale starts at zero.")
    if len(fractions) > 1:
        shown = summary[summary["regime"].isin(summary.loc[summary["fraction"] < max(fractions), "regime"])]
        title = "How the score grows with the share of labels"
        figure = training_figures.curves(
            shown, "fraction", "regime", title=title, xlabel="share of the training labels", ylabel=LABELS[task.measure]
        )
        context.figure("label_shares", figure, shown, alt=title)
        page.figure("label_shares", "Smaller shares are parts of larger ones; the same steps for each.")
    page.table("summary", "Means over seeds and splits, with intervals", folded=False)
    page.table("differences", "Differences on the same clips", folded=False)
    if len(task.splits) > 1:
        page.table("splits", f"By what was held out ({task.by}): mean over seeds, least, largest", folded=False)
    page.table("scores", "Every network: its scores, its training's speed, memory and share of time without data")


def few_levels(task: Task) -> str:
    """Says what intervals do not cover where a few levels of a factor are left out in turn."""
    if task.by in ("groups", "the corpus' own folds", "the corpus' own split"):
        return ""
    return f"Intervals are over groups of clips of {', '.join(task.splits)}: of {task.by} unheard they say nothing. "


def show_layers(
    context: RunContext, task: Task, summary: pd.DataFrame, activity: pd.DataFrame, verdicts: Sequence[str]
) -> None:
    """Writes the verdict, figures and tables of layer importance."""
    page = context.page
    for words in verdicts:
        page.verdict(words)
    page.section(
        "What was compared",
        "The first n blocks of each network were kept, pooled over time and classified: "
        f"{len(task.classes)} classes of {task.sounds.name}, held out: {task.by}. Means are standardised by the "
        "training clips before a frozen reader.",
        patches_in_words(context.results["patches"]),
    )
    for tuning, mine in summary.groupby("tuning", sort=False):
        title = f"How much the first n blocks tell ({'frozen' if tuning == 'fconly' else 'all of them trained on'})"
        figure = training_figures.curves(
            mine, "depth", "pretraining", title=title, xlabel="blocks kept", ylabel=LABELS[task.measure]
        )
        context.figure(f"depth_{tuning}", figure, mine, alt=title)
        page.figure(f"depth_{tuning}", "Dashed lines: the whole network of the same colour, its embedding included.")
    for measure, words in {
        "active_share": "share of feature maps that are active in a clip",
        "sparsity": "share of a map's values that are zero",
    }.items():
        shown = activity.rename(columns={measure: "score"}).assign(chance=0.0)
        title = f"Activity by layer: {words}"
        figure = training_figures.curves(shown, "depth", "pretraining", title=title, xlabel="block", ylabel=words)
        context.figure(f"activity_{measure}", figure, shown, alt=title)
        page.figure(f"activity_{measure}", "Held-out clips; means over seeds.")
    page.table("depth_summary", "Scores by depth, with intervals", folded=False)
    page.table("depth_scores", "Every network")
    page.table("activity", "Activity of feature maps by block")


def patches_in_words(patches: dict) -> str:
    """Says how long the patches of a clip are, and for how many clips two of them do not overlap."""
    share = patches["clips_long_enough_for_two"]
    return (
        f"Crops are {patches['patch_s']:g} s long. {share:.0%} of the clips are long enough for two crops that do not "
        "overlap, as in the paper; of the others a contrastive pair is two crops that may overlap, each augmented by "
        "itself."
    )


def difference_words(row: pd.Series) -> str:
    """Writes a difference with its interval, and whether it is told apart from none, by clips and by seeds.

    Example:
        >>> found = {"difference": 0.1, "ci_low": 0.02, "ci_high": 0.18, "seeds_low": 0.05, "seeds_high": 0.15}
        >>> difference_words(pd.Series(found))
        '+0.10 [+0.02, +0.18], better'
        >>> difference_words(pd.Series(found | {"seeds_low": -0.01}))
        '+0.10 [+0.02, +0.18], seeds disagree'
    """
    if pd.isna(row["ci_low"]):
        return f"{row['difference']:+.2f}, no interval"
    return f"{row['difference']:+.2f} [{row['ci_low']:+.2f}, {row['ci_high']:+.2f}], {told_apart(row)}"
