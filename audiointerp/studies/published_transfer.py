"""The published analysis of latent transfer, and its mistakes taken back one after the other (Dick et al.)."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from audiointerp.activations.extract import extract
from audiointerp.edit.outcomes import ALL_SEEDS
from audiointerp.edit.published import Mistakes, choose_by_windows
from audiointerp.edit.transfer import OTHER
from audiointerp.statistics.effects import d_z, d_z_interval
from audiointerp.statistics.tests import paired_t
from audiointerp.studies.flow_fitting import Fit, Settings, blocks_of
from audiointerp.studies.latent_transfer import Editing, Stage, to_latents
from audiointerp.studies.maas_decode import Decoded
from audiointerp.study import stream
from audiointerp.training.fit_flow import FlowSettings

PUBLISHED_TRAINING = FlowSettings(learning_rate=5e-3, form="no-log", align=False, epochs=10, patience=10)
PUBLISHED_MODEL = {"stages": 5, "coupling": "additive", "mixing": "householder", "hidden": 64, "depth": 3}


def as_published(
    fit: Fit,
    editing: Editing,
    components: int,
    count: int,
    block: str | int,
    decoded: Decoded,
    stage: Stage,
    corrected: pd.DataFrame,
) -> pd.DataFrame:
    """Runs the published analysis on the sounds of the controls and takes its mistakes back one after the other."""
    context, world = fit.context, decoded.control.world
    stage = stage.part(decoded.control.rows)
    everyone = np.flatnonzero(np.logical_and.reduce([values >= 0 for values in stage.labels.values()]))
    found = extract(
        stage.backbone,
        world.segments,
        np.arange(len(world.segments)),
        context.cache,
        layers=[stage.layer],
        components=components,
        precision=stage.precision,
        progress=context.progress,
    )
    drawn = stream(context.seed, "published split").permutation(everyone)
    held = len(drawn) // 5
    leaky = Stage(
        stage.backbone, stage.layer, found.scores[stage.layer], found.output, found.reductions[stage.layer],
        stage.labels, np.sort(drawn[held:]), np.sort(drawn[:held]), everyone, stage.precision,
    )  # fmt: skip
    settings = Settings("published", PUBLISHED_TRAINING, PUBLISHED_MODEL)
    variants = [
        ("as published", leaky, Mistakes()),
        ("and atypical sounds of the right class", leaky, Mistakes(any_class=False)),
        ("and distances between logits", leaky, Mistakes(any_class=False, log_sigmoid=False)),
        ("and held-out groups", stage, Mistakes(any_class=False, log_sigmoid=False)),
    ]
    trained = fit.train_each([(s, settings, context.seed) for s in (leaky, stage)], "1")
    fitted = {id(s): flow for s, flow in zip((leaky, stage), trained, strict=True)}
    rows = []
    for (name, s, mistakes), factor in itertools.product(variants, stage.labels):
        flow = fitted[id(s)].flow
        rng = stream(context.seed, "published", factor)
        values = to_latents(flow, s.scores)[:, flow.blocks[factor]][:, 0]
        ordered = len(world.questions[factor].classes) * (len(world.questions[factor].classes) - 1)
        each = max(1, count // ordered)
        pairs = choose_by_windows(values, s.labels[factor], s.test, each, mistakes, rng)
        row = {"factor": factor, "analysis": name, "dimensions": 1, "n": len(pairs)}
        if len(pairs) < 2:
            rows.append(row | {"test": "none: no sound lies in the windows"})
            continue
        changes = {
            key: change
            for key, change in editing.changes(flow, factor, s, pairs, rng).items()
            if key in {("flow", OTHER), ("random direction", OTHER)}
        }
        edited, _ = editing.push(s, world, pairs, changes)
        unedited = mistakes.outputs(s.output[pairs["source"]])
        goal = mistakes.outputs(s.output[pairs["other"]])
        before = np.linalg.norm(unedited - goal, axis=1)
        gain = {
            edit: before - np.linalg.norm(mistakes.outputs(values) - goal, axis=1)
            for (edit, _), values in edited.items()
        }
        result = paired_t(gain["flow"], np.zeros(len(pairs)))
        by_group = d_z_interval(
            gain["flow"], world.groups[pairs["source"]], world.groups[pairs["other"]], seed=context.seed
        )
        rows.append(
            row
            | {
                "d_z flow": d_z(gain["flow"]),
                "d_z random direction": d_z(gain["random direction"]),
                "p as published": min(1.0, 4 * result.p),
                "95 % by groups": str(by_group).split(" ", 1)[1],
                "n_groups": by_group.n_clusters,
                "right class among atypical": float(np.mean(s.labels[factor][pairs["source"]] == pairs["label"])),
            }
        )
    for factor in stage.labels:
        mine = corrected[
            (corrected["factor"] == factor)
            & (corrected["network"] == decoded.network)
            & (corrected["reference"] == "Q^")
            & (corrected["moved_to"] == "Q^")
            & (corrected["flow_seed"] == ALL_SEEDS)
        ].set_index("edit")
        row = mine.loc["flow"]
        rows.append(
            {
                "factor": factor,
                "analysis": "corrected",
                "dimensions": blocks_of(stage, block)[factor],
                "n": int(row["n"]),
                "d_z flow": row["d_z"],
                "d_z random direction": mine.loc["random direction", "d_z"],
                "95 % by groups": f"[{row['ci_low']:.3g}, {row['ci_high']:.3g}]",
                "n_groups": int(row["n_groups"]),
                "right class among atypical": 1.0,
            }
        )
    return pd.DataFrame(rows)
