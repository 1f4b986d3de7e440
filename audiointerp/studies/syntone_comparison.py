"""SynTone over models, strengths and seeds: scores with intervals over seeds, linear rivals, choice without labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from audiointerp.disentangle.metrics import udr
from audiointerp.report import pictures as draw
from audiointerp.report.pictures import LINEAR
from audiointerp.statistics.intervals import Interval, seed_interval
from audiointerp.studies.syntone_scores import RIGHT, SWAPPED
from audiointerp.study import RunContext, SweepRun

SCORES = ("mig_by_factor", "sap", "dcimig", "jemmig", "modularity")
"""The paper's five metrics as they are called where factors and codes are in the right order."""

ORACLES = ("mig_by_factor", "dci_disentanglement")
BASIS = ["protocol", "split", "variant"]
"""What scores must share to be comparable: protocol, split, and `variants` of the other settings."""

CONFIGURATION = [*BASIS, "model", "strength"]
OUTSIDE = ("study.split", "study.examples", "study.steps", "data.cache")
"""Settings that have a column of their own, or change pictures and sounds alone."""

EVERY_MODEL = ("latents", "channels", "hidden", "kernel", "sigma")
"""Settings that every objective has."""

PAPER = pd.DataFrame(
    [
        ("vae", 0.280, 0.045, 0.005, 0.300, 0.651),
        ("beta_vae", 0.184, 0.035, 0.004, 0.201, 0.750),
        ("factor_vae", 0.118, 0.035, 0.003, 0.126, 0.762),
        ("beta_tcvae", 0.166, 0.023, 0.005, 0.183, 0.747),
    ],
    columns=["model", "mig", "sap", "dcimig", "jemmig", "modularity"],
).set_index("model")
"""The paper's own table 1, metrics called with factors and codes exchanged."""


def compare_runs(context: RunContext, runs: Sequence[SweepRun]) -> None:
    """Writes tables, figures and the verdict of a sweep; see `audiointerp.sweep`."""
    scores = all_scores(runs)
    table = over_seeds(scores)
    rivals = against_rivals(table)
    choice = choices(runs, table)
    swaps = swapped(runs)
    context.table("comparison", table)
    context.table("against_rivals", rivals)
    context.table("choice", choice)
    context.table("swaps", swaps)
    context.result(
        comparison=table.to_dict("records"),
        against_rivals=rivals.to_dict("records"),
        choice=choice.to_dict("records"),
        swaps=swaps.to_dict("records"),
    )
    page = context.page
    for sentence in verdicts(table, rivals, choice):
        page.verdict(sentence)
    page.section(
        "Scores over seeds",
        "Each point is a training seed; bars are 95 % intervals over seeds (Student's t), grey ticks the scores of "
        "permuted codes. Linear rivals have codes of the same size.",
    )
    for number, (basis, mine) in enumerate(scores.groupby(BASIS, sort=False)):
        about, name = where(basis), f"{basis[0]}_{number}" if number else basis[0]
        right, summed = mine[mine["arguments"] == RIGHT], table[(table[BASIS] == list(basis)).all(axis=1)]
        title = f"How far {right['model'].nunique()} models give factors codes of their own (protocol: {about})"
        figure = draw.seed_points(right, summed, SCORES, title=title)
        context.figure(f"scores_{name}", figure, right, alt=title)
        page.figure(f"scores_{name}", "The paper's five metrics, arguments in the right order.")
        swept = summed[(summed["arguments"] == RIGHT) & summed["metric"].isin([*SCORES, *ORACLES])]
        if swept.groupby("model")["strength"].nunique().max() >= 3:
            title = f"What the weight of the objective does (protocol: {about})"
            context.figure(f"strength_{name}", draw.over_strength(swept, title=title), swept, alt=title)
            page.figure(
                f"strength_{name}", "Chance-adjusted scores by weight (beta, gamma); bands are intervals over seeds."
            )
    page.table(
        "comparison",
        "Every configuration and metric: mean and 95 % interval over seeds, score of permuted codes, adjusted score; "
        "`paper` is the paper's own number, which was computed with the arguments exchanged",
    )
    page.table("against_rivals", "Adjusted scores beside the best linear rival's", folded=False)
    page.table("choice", "The configuration that UDR chooses without labels, and the best by labels", folded=False)
    page.table("swaps", "Codes swapped and decoded: median error towards the factor that was swapped in")


def all_scores(runs: Sequence[SweepRun]) -> pd.DataFrame:
    """Reads the metrics of all runs; a linear rival is kept once per protocol, split, variant and seed."""
    frames = [
        pd.read_csv(run.folder / "tables" / "metrics.csv").assign(variant=variant)
        for run, variant in zip(runs, variants(runs), strict=True)
    ]
    scores = pd.concat(frames, ignore_index=True)
    scores["strength"] = scores["strength"].fillna(0.0)
    return scores.drop_duplicates([*CONFIGURATION, "metric", "arguments", "seed"]).reset_index(drop=True)


def variants(runs: Sequence[SweepRun]) -> list[str]:
    """Names, run by run, what differs between runs of a protocol besides model, weight and seed; mostly nothing.

    Example:
        >>> from types import SimpleNamespace
        >>> short, long = ({"protocol": "p", "study": {"training": {"epochs": n}}} for n in (15, 40))
        >>> variants([SimpleNamespace(record={"config": config}) for config in (short, long)])
        ['epochs=15', 'epochs=40']
    """
    given = [dict(_settings(run)) for run in runs]
    values: dict[tuple, set[str]] = {}
    for settings in given:
        for among, value in settings.items():
            values.setdefault(among, set()).add(value)
    return [
        ", ".join(
            f"{among[0].removeprefix('study.').removeprefix('training.')}={value}"
            for among, value in sorted(settings.items(), key=lambda item: item[0][0])
            if len(values[among]) > 1
        )
        for settings in given
    ]


def _settings(run: SweepRun) -> Iterator[tuple[tuple, str]]:
    """Gives the settings that scores depend on: dotted key and the runs among which it is compared; value."""

    def walk(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
        for key, value in node.items():
            if isinstance(value, Mapping):
                yield from walk(value, f"{path}{key}.")
            elif f"{path}{key}" not in OUTSIDE:
                number = isinstance(value, (int, float)) and not isinstance(value, bool)
                yield (
                    f"{path}{key}",
                    f"{value:.10g}" if number else value if isinstance(value, str) else json.dumps(value),
                )

    config = run.record["config"]
    among = (config["protocol"],)
    for key, value in walk({name: config.get(name) or {} for name in ("data", "study")}, ""):
        yield (key, *among), value
    for key, value in walk(config.get("model") or {}, "model."):
        if key.removeprefix("model.") in EVERY_MODEL:
            yield (key, *among), value
        elif key != "model._target_":  # its weight has a column of its own, what is left differs at equal weights
            headline = run.record["results"]["headline"]
            yield (key, *among, headline["model"], headline["strength"]), value


def where(basis: Sequence[str]) -> str:
    """Writes protocol, split (the usual one, by tuple, goes without saying) and variant.

    Example:
        >>> where(("corrected", "tuple", "")), where(("corrected", "octave", "epochs=40"))
        ('corrected', 'corrected, split by octave, epochs=40')
    """
    protocol, split, variant = basis
    return ", ".join([protocol, *([f"split by {split}"] if split != "tuple" else []), *([variant] if variant else [])])


def over_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """Gives mean and interval over seeds of each configuration's scores."""
    rows = []
    for key, mine in scores.groupby([*CONFIGURATION, "metric", "arguments"], sort=False):
        mine = mine.sort_values("seed")
        row = dict(zip([*CONFIGURATION, "metric", "arguments"], key, strict=True))
        for name in ("value", "adjusted"):
            interval = measured(mine[name].to_numpy(float))
            row |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
        row |= {"permuted": mine["permuted"].mean(), "interval": interval.kind, "n_seeds": len(mine)}
        paper = row["arguments"] == SWAPPED and row["model"] in PAPER.index and row["metric"] in PAPER.columns
        rows.append(row | {"paper": PAPER.loc[row["model"], row["metric"]] if paper else np.nan})
    return pd.DataFrame(rows)


def measured(values: np.ndarray) -> Interval:
    """Gives the interval over seeds of what could be measured."""
    values = values[np.isfinite(values)]
    return seed_interval(values) if len(values) else Interval(np.nan, np.nan, np.nan, "none: not measured", 0)


def against_rivals(table: pd.DataFrame) -> pd.DataFrame:
    """Holds each configuration's adjusted score against the best linear rival's, metric by metric."""
    rows = []
    right = table[(table["arguments"] == RIGHT) & table["metric"].isin([*SCORES, *ORACLES])]
    for key, mine in right.groupby([*BASIS, "metric"], sort=False):
        linear = mine[mine["model"].isin(LINEAR)]
        if linear["adjusted"].isna().all():
            continue
        best = linear.loc[linear["adjusted"].idxmax()]
        ceiling = best["adjusted"] if np.isnan(best["adjusted_high"]) else best["adjusted_high"]
        for _, row in mine[~mine["model"].isin(LINEAR)].iterrows():
            floor = best["adjusted"] if np.isnan(best["adjusted_low"]) else best["adjusted_low"]
            told = "cannot be told: no interval"
            if np.isfinite(row["adjusted_low"]):
                told = "no difference shown"
                told = "above, intervals apart" if row["adjusted_low"] > ceiling else told
                told = "below, intervals apart" if row["adjusted_high"] < floor else told
            rows.append(
                dict(zip([*BASIS, "metric"], key, strict=True))
                | {name: row[name] for name in ("model", "strength", "adjusted", "adjusted_low", "adjusted_high")}
                | {"rival": best["model"], "rival_adjusted": best["adjusted"], "outcome": told}
            )
    columns = [*BASIS, *("metric", "model", "strength", "adjusted", "adjusted_low", "adjusted_high")]
    return pd.DataFrame(rows, columns=[*columns, "rival", "rival_adjusted", "outcome"])


def choices(runs: Sequence[SweepRun], table: pd.DataFrame) -> pd.DataFrame:
    """Ranks configurations by UDR, which needs no label, beside what labels would choose.

    UDR is computed among the seeds of one configuration, on the same clips; it is the mean over them. Where it is 0
    throughout, most models have no active latent, and it chooses none.

    References:
        Unsupervised Model Selection for Variational Disentangled Representation Learning (Duan et al., 2020).
    """
    held: dict[tuple, list[tuple[np.ndarray, np.ndarray]]] = {}
    for run, variant in zip(runs, variants(runs), strict=True):
        headline, config = run.record["results"]["headline"], run.record["config"]
        with np.load(run.folder / "codes.npz", allow_pickle=False) as kept:
            name = headline["model"]
            key = (config["protocol"], run.record["results"]["split"], variant, name, float(headline["strength"]))
            held.setdefault(key, []).append((kept[name], kept[f"{name}_kl"]))
    scored = table[table["arguments"] == RIGHT].set_index([*CONFIGURATION, "metric"])["adjusted"]
    rows = []
    for key, codes in held.items():
        if len(codes) < 2:
            continue
        ranks = udr([means for means, _ in codes], kl_of_models=[kl for _, kl in codes])
        row = dict(zip(CONFIGURATION, key, strict=True)) | {"udr": float(np.mean(ranks)), "n_seeds": len(codes)}
        rows.append(row | {metric: scored.get((*key, metric), np.nan) for metric in ORACLES})
    frame = pd.DataFrame(rows, columns=[*CONFIGURATION, "udr", "n_seeds", *ORACLES])
    for name in ("udr", *ORACLES):
        best = frame.groupby(BASIS)[name].transform("max")
        several = frame.groupby(BASIS)["model"].transform("size") > 1
        frame[f"best by {name}"] = several & (frame[name] == best) & ((name != "udr") | (best > 0))
    return frame


def swapped(runs: Sequence[SweepRun]) -> pd.DataFrame:
    """Gives, over seeds, how well swapping a factor's codes moves that factor."""
    rows = [
        {"protocol": run.record["config"]["protocol"], "split": run.record["results"]["split"], "variant": variant}
        | {"model": name, "strength": run.record["results"]["headline"]["strength"] if name not in LINEAR else 0.0}
        | {"seed": run.record["results"]["headline"]["seed"], "factor": factor, **found}
        for run, variant in zip(runs, variants(runs), strict=True)
        for name, factors in run.record["results"]["headline"]["swapped_factor"].items()
        for factor, found in factors.items()
    ]
    frame = pd.DataFrame(rows).drop_duplicates([*CONFIGURATION, "seed", "factor"])
    out = []
    for key, mine in frame.groupby([*CONFIGURATION, "factor", "unit"], sort=False):
        row = dict(zip([*CONFIGURATION, "factor", "unit"], key, strict=True))
        for name in ("error", "moved"):
            interval = measured(mine[name].to_numpy(float))
            row |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
        out.append(row | {"n_seeds": len(mine)})
    return pd.DataFrame(out)


def verdicts(table: pd.DataFrame, rivals: pd.DataFrame, choice: pd.DataFrame) -> list[str]:
    """Says in words what came out."""
    sentences = []
    for basis, mine in rivals.groupby(BASIS, sort=False):
        for metric in ORACLES:
            rows = mine[mine["metric"] == metric]
            above = rows[rows["outcome"] == "above, intervals apart"]
            if rows["adjusted"].isna().all():
                continue
            best = rows.loc[rows["adjusted"].idxmax()]
            sentences.append(
                f"{where(basis)}: {len(above)} of {len(rows)} configurations lie above the linear rivals in "
                f"{metric} with intervals apart; the best is {best['model']} ({best['strength']:g}) with "
                f"{best['adjusted']:.2f} [{best['adjusted_low']:.2f}, {best['adjusted_high']:.2f}] beside "
                f"{best['rival_adjusted']:.2f} ({best['rival']}), all chance-adjusted."
            )
    for basis, mine in choice.groupby(BASIS, sort=False):
        if len(mine) < 2 or mine["mig_by_factor"].isna().all():
            continue
        chosen = mine.loc[mine["udr"].idxmax()]
        best = mine.loc[mine["mig_by_factor"].idxmax()]
        blind = (
            f"UDR chooses {chosen['model']} ({chosen['strength']:g}), MIG {chosen['mig_by_factor']:.2f}"
            if chosen["udr"] > 0
            else "UDR chooses none: it is 0 where most seeds have no active latent"
        )
        sentences.append(
            f"{where(basis)}: without labels {blind}; with labels the best is {best['model']} "
            f"({best['strength']:g}), MIG {best['mig_by_factor']:.2f}."
        )
    signature = table[(table["arguments"] == SWAPPED) & (table["protocol"] == "published")]
    if len(signature):
        wide = signature[~signature["model"].isin(LINEAR)].pivot_table(index="model", columns="metric", values="value")
        gap = (wide["jemmig"] - wide["mig"]).mean()
        sentences.append(
            f"With the arguments exchanged, as the paper's evaluator has them, JEMMIG lies {gap:+.3f} from MIG and "
            f"DCIMIG at {wide['dcimig'].mean():.3f} on average (paper: +0.016 and 0.004)."
        )
    return sentences
