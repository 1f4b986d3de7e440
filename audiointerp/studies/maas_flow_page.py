"""The second half of the main job's page: disentanglement, transfer, and what was heard before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audiointerp.edit.transfer import OTHER
from audiointerp.report import class_figures, edit_figures
from audiointerp.statistics.intervals import pair_interval
from audiointerp.studies.maas_decode_page import top_classes
from audiointerp.studies.maas_flow_tables import brief_blocks, brief_effects, to_other
from audiointerp.study import RunContext

if TYPE_CHECKING:
    from audiointerp.studies.latent_transfer import Edits, Stage, Transfer
    from audiointerp.studies.maas_decode import Decoded
    from audiointerp.training.fit_flow import FittedFlow


def show_flow(
    context: RunContext,
    decoded: Decoded,
    stage: Stage,
    flows: Sequence[FittedFlow],
    disentanglement: pd.DataFrame,
    table: pd.DataFrame,
    transfer: Transfer,
    rivals: pd.DataFrame,
    published: pd.DataFrame,
    examples: int,
) -> None:
    """Writes figures, sounds and the page's second half."""
    page, groups = context.page, decoded.world.groups
    overall = to_other(table)
    own = overall[overall["network"] == stage.network]
    for factor in stage.labels:
        page.verdict(verdict_on(factor, stage, disentanglement, own))
    page.verdict(rivalry_in_words(rivals))
    if stage.network != "untrained" and (overall["network"] == "untrained").any():
        page.verdict(untrained_in_words(overall, stage.network))
    page.section(
        "Can the factors be pulled apart?",
        f"{len(flows)} flows were trained on {stage.layer} (role `train`), stopped by the likelihood of pairs of the "
        f"role `select`, and read on test groups. Largest round trip error after training: "
        f"{max(f.round_trip for f in flows):.1g}.",
    )
    points = first_dimensions(decoded, stage, flows[0])
    axes = [column for column in points if column.startswith("first dimension")][:2]
    if len(axes) == 2:
        title = "Each factor's first dimension sorts its own classes"
        context.figure(
            "latent_dimensions",
            class_figures.scatter(points, *axes, list(stage.labels)[:2], title=title),
            points,
            alt=title,
        )
        page.figure("latent_dimensions", "Each dot is one test segment, all classes; both panels show the same dots.")
        clearest = most_separable(points, axes, list(stage.labels)[:2])
        title = "The most separable classes (four and two), as in figure 1 of the paper"
        context.figure(
            "latent_dimensions_4x2",
            class_figures.scatter(clearest, *axes, list(stage.labels)[:2], title=title),
            clearest,
            alt=title,
        )
        page.figure("latent_dimensions_4x2", "The paper shows only these; the choice flatters any method.")
    context.table("blocks", pd.DataFrame(brief_blocks(disentanglement)))
    page.table(
        "blocks",
        "Accuracy of each factor from each block; wanted: high from its own block, chance from everything else "
        "(interval of the first flow, range over flows)",
        query="probe == 'knn'",
        folded=False,
    )
    page.table("disentanglement", "The same, every flow and probe")
    page.table("densities", "How well test sounds are predicted [nats per dimension, lower is better]")
    page.section(
        "What follows when one factor is changed?",
        "Atypical test sounds were edited on one factor's block towards a typical sound of their own class (P^) or of "
        "another (Q^), lifted back to the full layer and run through the rest of the network. Positive d_z: the edited "
        "output is nearer to the reference than the unedited one. Intervals resample groups on both sides of a pair; "
        f"all {len(flows)} flows together.",
    )
    for factor in stage.labels:
        if len(stage.references(factor, stage.test, groups)) > len(stage.test):
            page.warn(
                f"{factor}: some classes have one test group only, so the sounds that edits move towards come from the "
                "training groups as well; the edited sounds are all from test groups."
            )
    title = "How far each edit moves the output towards the other class"
    context.figure("effects", edit_figures.effect_bars(own, title=title), own, alt=title)
    page.figure("effects", f"Effect sizes; lines: {'; '.join(own['interval'].unique())}.")
    points = pd.concat(
        [distance_points(item, stage, decoded.world.groups, table, context.seed) for item in transfer.edits]
    )
    title = "Distance of the edited outputs to a typical sound of the same and of another class"
    context.figure("distances", edit_figures.distances(points, title=title), points, alt=title)
    page.figure("distances", "Both halves of figure 2 of the paper, on test groups, logits, all classes; first flow.")
    title = "More of the edit, more of the effect?"
    context.figure(
        "dose_response",
        edit_figures.dose_response(transfer.doses, title=title, ylabel="nearer to Q^ [distance between logits]"),
        transfer.doses,
        alt=title,
    )
    page.figure("dose_response", "First flow; 1 is the edit of the other figures, 2 goes as far again; 95 % bands.")
    for item in transfer.edits:
        scores = class_changes(item, decoded, stage)
        title = f"What the network says more and less when {item.factor} is changed"
        context.figure(
            f"class_scores_{item.factor}",
            edit_figures.class_scores(scores, title=title, panel="edit"),
            scores,
            alt=title,
        )
        page.figure(
            f"class_scores_{item.factor}", "Mean change of the class scores, the most frequent edits; first flow."
        )
    page.table("transfer_claims", "What becomes of the paper's claims", folded=False)
    context.table("effects", pd.DataFrame(brief_effects(table)))
    page.table("effects", "Every edit, moved to Q^ and measured to Q^, trained beside untrained", folded=False)
    page.table("rivals", "The flow against the class-mean shift, on the same pairs", folded=False)
    if len(published):
        page.table("published", "The published analysis, its mistakes taken back one after the other", folded=False)
    page.table("transfer", "Every edit, measured against both references, every flow")
    page.section("Listen to who was edited", "An edit has no sound of its own: what changes is what the network says.")
    for item in transfer.edits:
        title = f"{item.factor}: edited sound, and the sound it was moved towards"
        page.listen(title, cells(context, item, decoded, stage, examples))


def verdict_on(factor: str, stage: Stage, disentanglement: pd.DataFrame, overall: pd.DataFrame) -> str:
    """Says what the flow did for one factor, and what its rivals and controls did."""
    read = disentanglement[
        (disentanglement["factor"] == factor)
        & (disentanglement["probe"] == "knn")
        & (disentanglement["network"] == stage.network)
    ]
    by_role = read.groupby("role")["accuracy"].mean()
    moved = overall[overall["factor"] == factor].set_index("edit")
    other = by_role.get("another factor's block")

    def did(edit: str) -> str:
        row = moved.loc[edit]
        interval = "" if pd.isna(row["ci_low"]) else f" [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
        return f"d_z = {row['d_z']:.2f}{interval}, {row['read_as_target']:.0%} read as the target"

    return (
        f"In {stage.layer}, {factor} is read at {by_role['own block']:.2f} from its own dimensions"
        + (f", {other:.2f} from the other factor's" if other is not None else "")
        + f", {by_role['residual']:.2f} from the residual (chance {read['chance'].iloc[0]:.2f}). Changing its own "
        f"dimensions only moves the network's output towards the other class: {did('flow')}. "
        f"Class-mean shift: {did('class-mean shift')}. Random direction: {did('random direction')}."
    )


def rivalry_in_words(rivals: pd.DataFrame) -> str:
    """Says whether the flow earned its place."""
    parts = [
        f"{row['factor']}, {row['measure']}: {row['difference']:+.2f}"
        + ("" if pd.isna(row["ci_low"]) else f" [{row['ci_low']:+.2f}, {row['ci_high']:+.2f}]")
        + f" ({row['outcome'].replace('method', 'flow').replace('rival', 'shift')})"
        for _, row in rivals.iterrows()
    ]
    return "Flow against class-mean shift: " + "; ".join(parts) + "."


def untrained_in_words(overall: pd.DataFrame, network: str) -> str:
    """Says whether the edits work in the untrained network as well."""
    parts = []
    for factor, mine in overall[overall["edit"] == "flow"].groupby("factor", sort=False):
        row = mine[mine["network"] == "untrained"].iloc[0]
        interval = "" if pd.isna(row["ci_low"]) else f" [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
        parts.append(f"{factor} d_z = {row['d_z']:.2f}{interval}, {row['read_as_target']:.0%} read as the target")
    return f"The same edits in an untrained network: {'; '.join(parts)}. What works there is no effect of training."


def most_separable(points: pd.DataFrame, axes: Sequence[str], factors: Sequence[str]) -> pd.DataFrame:
    """Keeps the four and two classes whose means lie farthest apart on their factor's dimension, greedily."""
    kept = points
    for axis, factor, count in zip(axes, factors, (4, 2), strict=True):
        means = points.groupby(factor)[axis].mean().sort_values()
        chosen = [means.index[0], means.index[-1]]
        while len(chosen) < min(count, len(means)):
            apart = {c: min(abs(means[c] - means[d]) for d in chosen) for c in means.index if c not in chosen}
            chosen.append(max(apart, key=lambda c: apart[c]))
        kept = kept[kept[factor].isin(chosen)]
    return kept


def class_changes(edits: Edits, decoded: Decoded, stage: Stage, panels: int = 3) -> pd.DataFrame:
    """Gives the mean change of each class score for the most frequent edits of one factor."""
    names = decoded.world.questions[edits.factor].classes
    logits = edits.logits["flow", OTHER]
    pairs = edits.pairs.reset_index(drop=True)
    rows = []
    frequent = pairs.groupby(["label", "target"]).size().sort_values(ascending=False, kind="stable").index[:panels]
    for label, target in frequent:
        mine = pairs.index[(pairs["label"] == label) & (pairs["target"] == target)]
        before = 1.0 / (1.0 + np.exp(-stage.output[pairs["source"][mine]]))
        after = 1.0 / (1.0 + np.exp(-logits[mine]))
        rows.append(
            pd.DataFrame(
                {
                    "edit": f"{names[int(label)]} to {names[int(target)]}",
                    "class": list(stage.backbone.output_names),
                    "change": (after - before).mean(0),
                    "n": len(mine),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def first_dimensions(decoded: Decoded, stage: Stage, fitted: FittedFlow) -> pd.DataFrame:
    """Gives the first dimension of each factor's block for the test segments, with their classes."""
    import torch

    with torch.no_grad():
        latents = fitted.flow(torch.from_numpy(stage.scores[stage.test]))[0].numpy()
    columns = {
        f"first dimension of {factor} [SD]": latents[:, fitted.flow.blocks[factor].start] for factor in stage.labels
    }
    classes = {
        factor: np.array(question.classes)[question.labels[stage.test]]
        for factor, question in decoded.world.questions.items()
    }
    return pd.DataFrame(columns | classes)


def distance_points(edits: Edits, stage: Stage, groups: np.ndarray, transfer: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Gives the bars of figure 2: mean distances with intervals over pairs of groups, Bonferroni over the figure."""
    rows = []
    pairs = edits.pairs
    source = pairs["source"].to_numpy()
    for reference, column in (("P^", "own"), ("Q^", "other")):
        goal = pairs[column].to_numpy()
        shown = {"unedited": stage.output[source]} | {
            f"moved to {'Q^' if moved_to == OTHER else 'P^'}": logits
            for (edit, moved_to), logits in edits.logits.items()
            if edit == "flow"
        }
        for edit in ("unedited", "moved to P^", "moved to Q^"):
            distance = np.linalg.norm(shown[edit] - stage.output[goal], axis=1)
            interval = pair_interval(distance, groups[source], groups[goal], seed=seed)
            tested = transfer[
                (transfer["factor"] == edits.factor)
                & (transfer["edit"] == "flow")
                & (transfer["reference"] == reference)
                & ("moved to " + transfer["moved_to"] == edit)
                & (transfer["flow_seed"] == str(seed))
                & (transfer["network"] == stage.network)
            ]
            rows.append(
                {
                    "factor": edits.factor,
                    "reference": reference,
                    "edit": edit,
                    "distance": interval.estimate,
                    "ci_low": interval.low,
                    "ci_high": interval.high,
                    "interval": interval.kind,
                    "p_corrected": float(tested["p"].iloc[0]) * 4 * len(stage.labels) if len(tested) else np.nan,
                }
            )
    return pd.DataFrame(rows)


def cells(context: RunContext, edits: Edits, decoded: Decoded, stage: Stage, count: int) -> list[dict]:
    """Shows a few edited sounds, the sounds they were moved towards, and the top classes before and after each edit."""
    world = decoded.world
    classes = decoded.world.questions[edits.factor].classes
    shown = []
    for row, (index, pair) in enumerate(edits.pairs.drop_duplicates("source").head(count).iterrows()):
        place = f"example {row + 1}: {classes[int(pair['label'])]} to {classes[int(pair['target'])]}"
        for segment, role, lines in (
            (
                pair["source"],
                "edited sound",
                ["before:", *top_classes(stage.output[[pair["source"]]], stage.backbone, 3)],
            ),
            (pair["other"], "moved towards", top_classes(stage.output[[pair["other"]]], stage.backbone, 3)),
        ):
            clip = int(world.clips[int(segment)])
            waveform = world.sounds.waveform(clip)
            name = f"clip_{clip}"
            context.audio(name, waveform / max(1e-9, float(np.abs(waveform).max())) * 0.9, world.sounds.sample_rate)
            if role == "edited sound":
                for (edit, moved_to), logits in edits.logits.items():
                    if moved_to == OTHER and edit in ("flow", "class-mean shift", "random direction"):
                        lines = [*lines, f"{edit}:", *top_classes(logits[[index]], stage.backbone, 3)]
            shown.append(
                {
                    "row": place,
                    "column": role,
                    "audio": f"audio/{name}.wav",
                    "caption": f"{role}: {world.sounds.path[clip]}",
                    "lines": lines,
                }
            )
    return shown
