"""The page of a decoding run: verdict, curves, leakage, generalisation, tables, and sounds by factor cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audiointerp.backbones.base import Backbone
from audiointerp.report import decoding_figures
from audiointerp.study import RunContext, stream

if TYPE_CHECKING:
    from audiointerp.studies.maas_decode import Decoded
    from audiointerp.studies.world import World


def show_decoding(context: RunContext, decoded: Decoded, backbone: Backbone, levels: int) -> None:
    """Writes figures, sounds and the page of a decoding run."""
    page, world, curves = context.page, decoded.world, decoded.curves
    warn(context, decoded, backbone)
    for sentence in verdicts(decoded):
        page.verdict(sentence)
    page.section("What was compared", *compared(decoded, backbone))
    page.section(
        "Which layer tells it?",
        "Accuracy is class-balanced: every class counts the same, chance is one over their number. Layers are reduced "
        "to principal components that were fitted on groups that are not tested.",
    )
    for factor in world.questions:
        name = f"layer_curves_{factor}"
        figure = decoding_figures.layer_curves(
            curves, factor=factor, title=curve_title(decoded, factor), probe="knn", best=decoded.best[factor]
        )
        points = curves[(curves["factor"] == factor) & (curves["probe"] == "knn")]
        context.figure(name, figure, points, alt=curve_title(decoded, factor))
        page.figure(name, f"k-NN accuracy for {factor} by layer; bands are 95 % intervals ({kinds(points)}).")
    both = curves[(curves["network"] == decoded.matched) & (curves["probe"] == "knn")]
    title = "How much of the accuracy is leakage between related clips"
    context.figure("leakage", decoding_figures.leakage(both, title=title, network=decoded.matched), both, alt=title)
    page.figure(
        "leakage",
        "Random folds over segments with reductions fitted on everything (published) against folds over groups "
        "(corrected). Where each group is one segment there is nothing to leak but the reduction.",
    )
    page.table("claims", "What becomes of the paper's claims", folded=False)
    page.section("Layers, chosen and tested once")
    page.table(
        "best_layers",
        "Chosen on the role `select`, read once on `test`",
        columns=["factor", "layer", "accuracy", "ci_low", "ci_high", "interval", "chance", "n_groups", "chosen_on"],
        folded=False,
    )
    page.table("layer_decoding", "Accuracy of each factor, layer, probe, protocol and network")
    page.table(
        "layer_tests",
        "Tests: layers against permuted labels, the best layer against the ends, trained against untrained",
    )
    page.table("generalisation", "Trained on all levels of another factor but one, tested on that one")
    page.section("Listen", "What was played, by class, and the classes that the network names.")
    page.listen("Examples by class", listening_cells(context, world, decoded, backbone, levels))
    if len(world.sounds.dropped):
        page.table("dropped", "Files that were left out, and why")


def warn(context: RunContext, decoded: Decoded, backbone: Backbone) -> None:
    """Says at the top what the reader must not overlook."""
    if backbone.weights.kind == "untrained":
        context.page.warn("The network is untrained (backbone.weights=random): this is a control, not a result.")
    for factor, question in decoded.world.questions.items():
        if question.left_out:
            context.page.warn(
                f"{factor}: not decoded: {', '.join(question.left_out)}, which have "
                "fewer than two groups outside the role `fit`, so no held-out group could be tested."
            )
    if decoded.world.sounds.note:
        context.page.warn(decoded.world.sounds.note)


def verdicts(decoded: Decoded) -> list[str]:
    """Says in words, per factor, which layer reads it best and what the controls read."""
    sentences = []
    knn = decoded.curves[(decoded.curves["probe"] == "knn") & (decoded.curves["protocol"] == "corrected")]
    for factor, layer in decoded.best.items():
        mine = knn[knn["factor"] == factor]
        row = mine[(mine["network"] == decoded.network) & (mine["layer"] == layer)].iloc[0]
        chosen = decoded.chosen[decoded.chosen["factor"] == factor].iloc[0]
        untrained = mine[mine["network"].str.startswith("untrained, seed")]
        levels = mine[mine["network"] == "none"]["accuracy"].max()
        if np.isnan(chosen["accuracy"]):
            read, test = row, "in cross-validation, not on test groups of its own"
        else:
            read, test = chosen, "on groups touched once"
        text = f"{factor.capitalize()} is read best from {layer} "
        text += f"({with_interval(read)} {test}; chance {row['chance']:.2f})"
        if len(untrained):
            peak = untrained.groupby("network")["accuracy"].max()
            text += f"; the best layer of an untrained network reads {span(peak)}"
        text += f"; duration and level alone read {levels:.2f}."
        gap = gap_at(decoded, factor, layer)
        text += f" The published protocol adds {gap:+.2f} at that layer." if gap is not None else ""
        sentences.append(text)
    for factor, rows in decoded.claims[decoded.claims["claim"] == "an intermediate layer is read best"].groupby(
        "factor"
    ):
        sentences.append(f"“An intermediate layer is read best” for {factor}: {rows.iloc[0]['verdict']}.")
    return sentences


def compared(decoded: Decoded, backbone: Backbone) -> list[str]:
    """Describes sounds, network and protocols."""
    world = decoded.world
    sounds = world.sounds
    counts = {
        role: len(np.unique(sounds.group[np.unique(world.clips[world.roles == role])]))
        for role in ("fit", "train", "select", "test")
    }
    shares = ", ".join(f"{role} {count}" for role, count in counts.items())
    return [
        f"{sounds.name}: {len(sounds)} clips in {sounds.group.nunique()} groups, {len(world.segments)} segments of "
        f"{backbone.segment_samples / backbone.sample_rate:.3f} s at {backbone.sample_rate} Hz; "
        f"{world.segments.table['padded_share'].mean():.0%} of their samples are padding ({sounds.pad}). "
        f"Groups by role: {shares}. {len(sounds.dropped)} files were left out.",
        f"Network: {backbone.name}, {backbone.weights.kind} weights ({backbone.weights.source}), beside "
        f"{decoded.untrained} untrained networks of the same architecture.",
        "Corrected protocol: reductions fitted on the groups of the role `fit` without their labels, folds over the "
        "other groups. Published protocol: reductions fitted on everything, folds over randomly drawn segments.",
        *control_clips(decoded),
        sounds.attribution,
    ]


def control_clips(decoded: Decoded) -> list[str]:
    """Says which part of the sounds the controls heard, if not all."""
    part, whole = decoded.control.world.sounds, decoded.world.sounds
    if len(part) == len(whole):
        return []
    return [
        "Tests, generalisation, permuted labels, untrained networks and the published protocol use "
        f"{len(part)} of the {len(whole)} clips ({part.group.nunique()} whole groups, the setting control_clips); "
        f"“{decoded.matched}” is the network "
        "in question on these clips, which they are to be compared with."
    ]


def listening_cells(context: RunContext, world: World, decoded: Decoded, backbone: Backbone, levels: int) -> list[dict]:
    """Picks one clip per factor cell, writes it, and names the network's five highest classes."""
    factors = list(world.questions)[:2]
    table = world.sounds.factors[factors].astype(str)
    shown = {
        f: sorted(table[f].unique(), key=lambda v, f=f: (-int((table[f] == v).sum()), v))[:levels] for f in factors
    }
    rng = stream(context.seed, "listen")
    output = decoded.activations.output
    cells = []
    for _, rows in table[np.logical_and.reduce([table[f].isin(shown[f]) for f in factors])].groupby(factors, sort=True):
        clip = int(rng.choice(rows.index))
        name = f"clip_{clip}"
        waveform = world.sounds.waveform(clip)
        context.audio(name, waveform / max(1e-9, float(np.abs(waveform).max())) * 0.9, world.sounds.sample_rate)
        values = [table.at[clip, f] for f in factors]
        cells.append(
            {
                "row": f"{factors[0]} {values[0]}",
                "column": f"{factors[1]} {values[1]}" if len(factors) > 1 else "example",
                "audio": f"audio/{name}.wav",
                "caption": f"{', '.join(values)}: {world.sounds.path[clip]}",
                "lines": top_classes(output[world.clips == clip], backbone),
            }
        )
    return cells


def top_classes(logits: np.ndarray, backbone: Backbone, count: int = 5) -> list[str]:
    """Names the highest classes of a clip, scores averaged over its segments."""
    scores = (1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).mean(0)
    return [f"{backbone.output_names[i]} {scores[i]:.2f}" for i in np.argsort(-scores)[:count]]


def curve_title(decoded: Decoded, factor: str) -> str:
    """Says in a sentence which layer reads a factor best."""
    rows = decoded.curves[
        (decoded.curves["factor"] == factor)
        & (decoded.curves["probe"] == "knn")
        & (decoded.curves["protocol"] == "corrected")
        & (decoded.curves["network"] == decoded.network)
        & (decoded.curves["layer"] == decoded.best[factor])
    ]
    return f"{factor.capitalize()} is read best from {decoded.best[factor]} ({with_interval(rows.iloc[0])})"


def gap_at(decoded: Decoded, factor: str, layer: str) -> float | None:
    """Gives how much the published protocol lies above the corrected one at a layer."""
    rows = decoded.curves[
        (decoded.curves["factor"] == factor)
        & (decoded.curves["layer"] == layer)
        & (decoded.curves["probe"] == "knn")
        & (decoded.curves["network"] == decoded.matched)
    ].set_index("protocol")["accuracy"]
    return float(rows["published"] - rows["corrected"]) if {"published", "corrected"} <= set(rows.index) else None


def with_interval(row: pd.Series) -> str:
    """Writes an accuracy with its interval."""
    if pd.isna(row["ci_low"]):
        return f"{row['accuracy']:.2f}, {row['interval']}"
    return f"{row['accuracy']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"


def span(values: pd.Series) -> str:
    """Writes the range of a few numbers."""
    low, high = values.min(), values.max()
    return f"{low:.2f}" if round(low, 2) == round(high, 2) else f"{low:.2f} to {high:.2f}"


def kinds(rows: pd.DataFrame) -> str:
    """Names the kinds of interval in a table."""
    return "; ".join(dict.fromkeys(rows["interval"]))
