"""The page of a disentanglement run: verdict, bound, scores beside chance, swaps, pictures and sounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audiointerp.edit.swaps import ALL, NOTHING, ONE, OTHERS, OWN
from audiointerp.report import pictures as draw
from audiointerp.studies.syntone_scores import RIGHT, SWAPPED
from audiointerp.studies.syntone_sounds import Heard, hear
from audiointerp.study import RunContext, stream

if TYPE_CHECKING:
    from audiointerp.probes.readers import FactorReader
    from audiointerp.studies.syntone_vae import Codes, World

SHOWN = ("mig_by_factor", "sap", "dcimig", "jemmig", "modularity", "dci_disentanglement", "explicitness", "z_min_var")
TERMS = {"loss": "loss", "reconstruction": "reconstruction", "regulariser": "regulariser"}
TERMS |= {"total_correlation": "total correlation [nats]"}


def show_run(
    context: RunContext,
    world: World,
    models: Mapping[str, Codes],
    codes: Mapping[str, np.ndarray],
    reader: FactorReader,
    tables: Mapping[str, pd.DataFrame],
    examples: int,
    steps: int,
) -> None:
    """Writes figures, sounds and the page. The first of `models` is the one in question, the others are rivals."""
    page, name = context.page, next(iter(models))
    for sentence in verdict(name, tables):
        page.verdict(sentence)
    sounds = world.sounds
    counts = {role: int((world.roles == role).sum()) for role in ("train", "select", "test")}
    page.section(
        "What was compared",
        f"{len(sounds)} tones, {', '.join(f'{len(v)} {k}' for k, v in sounds.levels_of.items())} levels; pictures of "
        f"{sounds.picture_shape[0]} mel bands x {sounds.picture_shape[1]} frames. {sounds.note} {counts['train']} "
        f"train, {counts['select']} select and {counts['test']} test tuples.",
        f"{name} against {', '.join(list(models)[1:]) or 'no rival'} with codes of the same size. No model saw labels.",
    )
    page.table(
        "upper_bound",
        "What a network with labels reads from the models' exact input: no unsupervised score can mean more than this.",
        folded=False,
    )
    show_scores(context, tables)
    show_swaps(context, tables["factor_swap"])
    if examples:
        show_reconstructions(context, world, models[name], codes[name], reader, examples)
        show_traversals(context, world, models[name], codes[name], reader, steps)
        show_samples(context, world, models[name], reader, examples)
    page.section("Training")
    title = f"How {name} learnt"
    context.figure("losses", draw.loss_curves(tables["training"], TERMS, title=title), tables["training"], alt=title)
    page.figure("losses", "Terms of the loss per example [nats] (as published: sums over batches) after each epoch.")
    page.table("training", "Every term after each epoch.")


def verdict(name: str, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Says in words what came out."""
    metrics = tables["metrics"]
    right = metrics[metrics["arguments"] == RIGHT].set_index(["model", "metric"])
    bound = tables["upper_bound"].set_index("factor")["value"]
    swaps = tables["factor_swap"]
    said = [
        "With labels, the models' input tells " + ", ".join(f"{k} ({v:.3f})" for k, v in bound.items()) + "."
        " What follows was learnt without any."
    ]
    mig = right.loc[(name, "mig_by_factor")]
    rivals = [model for model in dict.fromkeys(right.index.get_level_values(0)) if model != name]
    others = ", ".join(f"{rival} {right.loc[(rival, 'mig_by_factor'), 'value']:.2f}" for rival in rivals)
    said.append(
        f"{name} reaches a mutual information gap of {mig['value']:.2f} ({mig['permuted']:.2f} by chance"
        + (f"; {others}" if others else "")
        + "): 1 would mean one code per factor, 0 that no factor has a code of its own."
    )
    mine = swaps[(swaps["model"] == name) & (swaps["goal"] == "swapped")].set_index(["edit", "swapped"])
    parts = []
    for factor in dict.fromkeys(mine.index.get_level_values(1)):
        own, control = mine.loc[(OWN, factor), "moved"], mine.loc[(OTHERS, factor), "moved"]
        if pd.api.types.is_numeric_dtype(type(own)) and np.isfinite(own):
            parts.append(f"{factor} {own:.0%} (as many other codes: {_percent(control)})")
    said.append(
        "Swapping a factor's own codes for another tone's moves it this far towards that tone, as read from the "
        "decoded picture: " + "; ".join(parts) + "."
    )
    return said


def show_scores(context: RunContext, tables: Mapping[str, pd.DataFrame]) -> None:
    """Shows metrics beside their chance levels, their variances, and what few labels teach."""
    page, metrics = context.page, tables["metrics"]
    right = metrics[(metrics["arguments"] == RIGHT) & metrics["metric"].isin(SHOWN)]
    page.section(
        "Has each factor a code of its own?",
        "Scores are better when higher. By chance (codes permuted over clips) several of them lie far from 0: read the "
        "distance from the grey tick.",
    )
    title = "Scores of each model beside what they are by chance"
    context.figure("scores", draw.scores_beside_chance(right, title=title), right, alt=title)
    page.figure("scores", "Dots: scores on test tuples. Grey ticks: the same codes, permuted over tuples.")
    columns = ["model", "metric", "value", "noise", "permuted", "adjusted", "n"]
    page.table(
        "metrics",
        "`noise`: mean score of normal noise; `permuted`: of permuted codes; `adjusted`: 0 at chance, 1 at best.",
        columns,
        f"arguments == '{RIGHT}'",
    )
    page.table(
        "metrics",
        "The same with factors and codes exchanged and divided by the entropy of codes, as the paper's evaluator calls "
        "its metrics: this is what its table 1 shows.",
        columns,
        f"arguments == '{SWAPPED}'",
    )
    page.table("variances", "How far scores vary with the codes' noise and with the tuples; training seeds need runs.")
    page.table("sample_efficiency", "Factors read from codes with few labels (R^2, class-balanced accuracy).")


def show_swaps(context: RunContext, swaps: pd.DataFrame) -> None:
    """Shows what became of each factor when codes were swapped."""
    context.page.section(
        "Does swapping a code swap what is heard?",
        f"Codes of one test tone are replaced by another's and decoded; a network trained on real pictures reads the "
        f"result. `{ONE}`: the code that tells most of the factor; `{OWN}`: all codes that belong to it; `{OTHERS}`: "
        f"the control; `{NOTHING}` and `{ALL}`: what reconstruction alone costs.",
    )
    context.page.table(
        "factor_swap",
        "Error: median distance from where the factor should be. Moved: share of the way to the giving tone.",
        ["model", "swapped", "edit", "latents", "read", "goal", "error", "unit", "moved", "n"],
    )


def show_reconstructions(
    context: RunContext, world: World, model: Codes, codes: np.ndarray, reader: FactorReader, examples: int
) -> None:
    """Shows and plays a few test tones beside what the model makes of them."""
    test = world.rows("test")
    chosen = np.sort(stream(context.seed, "examples").permutation(test)[:examples])
    decoded = model.decode(codes[chosen])
    again = hear(world.sounds, decoded, reader)
    rows, cells = [], []
    for clip, picture, heard in zip(chosen, decoded, again, strict=True):
        original = world.sounds.waveform(int(clip))
        name = describe(world, int(clip))
        rows += [(name, original, world.pictures[clip]), (f"{model.name}", heard.waveform, picture)]
        place = f"clip {clip}: {name}"
        cells += [
            play(context, f"clip_{clip}", place, "original", Heard(original, "as rendered", name), world),
            play(context, f"clip_{clip}_decoded", place, "reconstruction", heard, world),
        ]
    seconds = world.sounds.length / world.sounds.sample_rate
    title = f"Test tones and what {model.name} makes of them"
    figure = draw.beside(rows, sample_rate=world.sounds.sample_rate, window_s=seconds, title=title)
    context.page.section("What does it sound like?")
    context.figure("reconstructions", figure, alt=title)
    context.page.figure(
        "reconstructions",
        "Waveform (20 ms), spectrum and the model's picture; below each tone its reconstruction. The picture is the "
        "model's own; waveform and spectrum are those of the sound made from it.",
    )
    context.page.listen("Originals and reconstructions", cells, caption=HOW)


HOW = (
    "A decoded picture has no phases. Where the reader is sure of the waveform, the tone is re-synthesised from the "
    "pitch, level and waveform that it reads; elsewhere phases are found by Griffin-Lim. Each player says which."
)


def show_traversals(
    context: RunContext, world: World, model: Codes, codes: np.ndarray, reader: FactorReader, steps: int
) -> None:
    """Moves one latent at a time from its 5th to its 95th percentile, from the median test tone on."""
    test = world.rows("test")
    centre = codes[test[np.argmin(((codes[test] - np.median(codes[test], 0)) ** 2).sum(1))]]
    shares = np.linspace(0.05, 0.95, steps)
    values = np.quantile(codes[test], shares, axis=0)
    order = np.argsort(-codes[test].std(0))
    moved = np.repeat(centre[None, None], len(order), 0).repeat(steps, 1)
    for row, latent in enumerate(order):
        moved[row, :, latent] = values[:, latent]
    decoded = model.decode(moved.reshape(-1, len(centre)))
    grid = decoded.reshape(len(order), steps, *decoded.shape[1:])
    names = [f"latent {latent + 1}" for latent in order]
    columns = [f"{share:.0%}" for share in shares]
    title = f"One latent of {model.name} moved at a time, from its 5th to its 95th percentile"
    context.figure("traversals", draw.grid(grid, names, columns, title=title), alt=title)
    context.page.figure("traversals", "Rows: latents, the most spread first. All others stay at a median test tone.")
    sounds = hear(world.sounds, decoded, reader)
    cells = [
        play(
            context,
            f"traversal_{latent + 1}_{column}",
            names[row],
            columns[column],
            sounds[row * steps + column],
            world,
        )
        for row, latent in enumerate(order)
        for column in range(steps)
    ]
    context.page.listen("Traversals", cells, caption=HOW)


def show_samples(context: RunContext, world: World, model: Codes, reader: FactorReader, examples: int) -> None:
    """Decodes codes drawn from the prior."""
    drawn = stream(context.seed, "prior").standard_normal((max(examples, 4), codes_of(model)))
    decoded = model.decode(drawn.astype(np.float32))
    title = f"Codes drawn from the prior of {model.name}, decoded"
    names = [f"draw {number + 1}" for number in range(len(decoded))]
    context.figure("samples", draw.grid(decoded[None], ["prior"], names, title=title), alt=title)
    context.page.figure("samples", "Pictures of codes that belong to no tone.")
    heard = hear(world.sounds, decoded, reader)
    cells = [
        play(context, f"sample_{i}", "prior", name, sound, world)
        for i, (name, sound) in enumerate(zip(names, heard, strict=True))
    ]
    context.page.listen("Samples from the prior", cells, caption=HOW)


def codes_of(model: Codes) -> int:
    """Gives the size of a model's code."""
    return int(model.network.latents if hasattr(model, "network") else model.latents)  # type: ignore[attr-defined]


def describe(world: World, clip: int) -> str:
    """Names a tone by its factors."""
    row = world.sounds.factors.iloc[clip]
    return ", ".join(
        f"{row[name]:.0f} Hz"
        if name == "f0_hz"
        else str(row[name])
        if isinstance(row[name], str)
        else f"{name} {row[name]:.2g}"
        for name in row.index
    )


def play(context: RunContext, name: str, row: str, column: str, heard: Heard, world: World) -> dict:
    """Saves a sound and gives its cell."""
    context.audio(name, np.clip(heard.waveform, -1, 1).astype(np.float32), world.sounds.sample_rate)
    return {
        "row": row,
        "column": column,
        "audio": f"audio/{name}.wav",
        "caption": f"{column}: {heard.how}",
        "lines": [heard.words],
    }


def _percent(value: float) -> str:
    return f"{value:.0%}" if np.isfinite(value) else "unknown"
