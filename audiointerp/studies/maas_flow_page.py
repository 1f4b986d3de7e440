"""The second half of the main job's page: disentanglement, transfer, and what was heard before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audiointerp.edit.transfer import OTHER
from audiointerp.report import figures
from audiointerp.statistics.intervals import pair_interval
from audiointerp.studies.maas_decode_page import top_classes
from audiointerp.study import RunContext

if TYPE_CHECKING:
    from audiointerp.studies.maas_decode import Decoded
    from audiointerp.studies.maas_flow import Edits, Stage
    from audiointerp.training.fit_flow import FittedFlow


def show_flow(
    context: RunContext,
    decoded: Decoded,
    stage: Stage,
    flows: Sequence[FittedFlow],
    disentanglement: pd.DataFrame,
    transfer: pd.DataFrame,
    edits: Sequence[Edits],
    examples: int,
) -> None:
    """Writes figures, sounds and the page's second half."""
    page = context.page
    groups = next(iter(decoded.world.questions.values())).groups
    for factor in stage.labels:
        page.verdict(verdict_on(factor, stage, disentanglement, transfer))
    page.section(
        "Can the factors be pulled apart?",
        f"{len(flows)} flows were trained on {stage.layer} (role `train`), stopped by the likelihood of pairs of the role "
        f"`select`, and read on test groups. Round trip error after training: {max(f.round_trip for f in flows):.1g}.",
    )
    name, points = "latent_dimensions", first_dimensions(decoded, stage, flows[0])
    title = "The first dimension of each factor's block, test sounds"
    axes = [column for column in points if column.startswith("first dimension")][:2]
    if len(axes) == 2:
        figure = figures.scatter(points, *axes, list(stage.labels)[:2], title=title)
        context.figure(name, figure, points, alt=title)
        page.figure(name, "Each dot is one test segment; both panels show the same dots (figure 1 of the paper).")
    page.table(
        "disentanglement",
        "Accuracy of each factor from each block; wanted: high from its own block, chance from everything else",
        query="probe == 'knn'",
        folded=False,
    )
    page.section(
        "What follows when one factor is changed?",
        "Atypical test sounds were edited on one factor's block towards a typical sound of their own class (P^) or of "
        "another (Q^), lifted back to the full layer and run through the rest of the network. Positive d_z: the edited "
        "output is nearer to the reference than the unedited one.",
    )
    nearer = transfer[
        (transfer["reference"] == "Q^") & (transfer["moved_to"] == "Q^") & (transfer["seed"] == context.seed)
    ]
    title = "How far each edit moves the output towards the other class"
    context.figure("effects", figures.effect_bars(nearer, title=title), nearer, alt=title)
    page.figure("effects", f"Effect sizes of the first flow seed; bars: {'; '.join(nearer['interval'].unique())}.")
    points = pd.concat([distance_points(item, stage, groups, transfer, context.seed) for item in edits])
    title = "Distance of the edited outputs to a typical sound of the same and of another class"
    context.figure("distances", figures.distances(points, title=title), points, alt=title)
    page.figure("distances", "Both halves of figure 2 of the paper, on test groups, logits, all classes.")
    page.table("transfer", "Every edit, measured against both references", folded=False)
    page.section("Listen to who was edited", "An edit has no sound of its own: what changes is what the network says.")
    for item in edits:
        page.listen(
            f"{item.factor}: edited sound, and the sound it was moved towards",
            cells(context, item, decoded, stage, examples),
        )


def verdict_on(factor: str, stage: Stage, disentanglement: pd.DataFrame, transfer: pd.DataFrame) -> str:
    """Says what the flow did for one factor, and what its rivals and controls did."""
    read = disentanglement[(disentanglement["factor"] == factor) & (disentanglement["probe"] == "knn")]
    by_role = read.groupby("role")["accuracy"].mean()
    moved = transfer[
        (transfer["factor"] == factor) & (transfer["reference"] == "Q^") & (transfer["moved_to"] == "Q^")
    ].groupby("edit")
    effect, target = moved["d_z"].mean(), moved["read_as_target"].mean()
    other = by_role.get("another factor's block")
    return (
        f"In {stage.layer}, {factor} is read at {by_role['own block']:.2f} from its own dimensions"
        + (f", {other:.2f} from the other factor's" if other is not None else "")
        + f", {by_role['residual']:.2f} from the residual (chance {read['chance'].iloc[0]:.2f}). Changing only its own "
        f"dimensions moves the output towards the target with d_z = {effect['flow']:.2f} and makes {target['flow']:.0%} of "
        f"the edited sounds read as the target; the class-mean shift does {effect['class-mean shift']:.2f} and "
        f"{target['class-mean shift']:.0%}, a random direction {effect['random direction']:.2f} and "
        f"{target['random direction']:.0%}."
    )


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
    """Gives the bars of figure 2: mean distance to P^ and Q^, unedited and moved, with intervals over pairs of groups."""
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
                & (transfer["seed"] == seed)
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
                    "p_corrected": float(tested["p_corrected"].iloc[0]) if len(tested) else np.nan,
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
