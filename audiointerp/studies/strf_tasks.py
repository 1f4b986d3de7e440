"""How far the filters of several tasks lie apart, beside seeds of one task, shuffled labels, and the sounds themselves.

Filters of one seed begin with the same draw on every task, so that what lies between two tasks is what training did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from audiointerp.modulation.populations import energy_distance, obliqueness
from audiointerp.modulation.spectrum import ModulationSpectrum
from audiointerp.report import modulation_figures
from audiointerp.statistics.intervals import seed_interval
from audiointerp.statistics.permutation import permutation_p
from audiointerp.studies.strf_tuning import AS_THEY_ARE, MODULATIONS, SHUFFLED
from audiointerp.study import RunContext, SweepRun, UserError, stream

VOICES = ("strf_speech_activity", "strf_speakers")
CALLS = "strf_calls"
DRAWN = 2000
PERMUTATIONS = 999

Populations = Mapping[str, Sequence[np.ndarray]]
"""Tasks to one population of filters per seed, each `(N, 2)`: temporal [Hz], spectral modulation [cycles/octave]."""


def compare_tasks(context: RunContext, runs: Sequence[SweepRun]) -> None:
    """Writes the distances between the tasks of several runs into tables, results and the page.

    Runs on another protocol than the corrected one are left out; of one task the last run counts.

    Raises:
        UserError: If runs differ in frame rate, axis or number of filters, so that their modulations do not compare.
    """
    runs = [run for run in runs if run.record.get("config", {}).get("protocol", "corrected") == "corrected"]
    by_task = {str(run.record["experiment"]): run for run in runs}
    if len(by_task) < 2:
        return
    axes = {
        tuple(run.record["config"]["backbone"][name] for name in ("frame_rate", "axis", "bins_per_octave", "filters"))
        for run in by_task.values()
    }
    if len(axes) > 1:
        raise UserError(
            f"expected tasks with one frame rate, axis and number of filters, got {sorted(map(str, axes))}: their "
            "modulations do not compare"
        )
    tables = {name: pd.read_csv(run.folder / "tables" / "tuning.csv") for name, run in by_task.items()}
    spectra = {
        name: ModulationSpectrum.from_frame(pd.read_csv(run.folder / "tables" / "modulation_spectrum.csv"))
        for name, run in by_task.items()
    }
    found = distances(
        {name: filters_of(table, AS_THEY_ARE) for name, table in tables.items()},
        {name: filters_of(table, SHUFFLED) for name, table in tables.items()},
        spectra,
        context.seed,
    )
    context.table("task_distances", found)
    words = [in_words(found)]
    if set(by_task) >= {*VOICES, CALLS}:
        contrast = voices_beside_calls({name: filters_of(table, AS_THEY_ARE) for name, table in tables.items()})
        context.table("voices_beside_calls", contrast)
        context.result(voices_beside_calls=contrast.to_dict("records"))
        words.append(contrast_in_words(contrast))
    slant = pd.concat([oblique(table).assign(task=short(name)) for name, table in tables.items()], ignore_index=True)
    context.table("obliqueness", slant)
    words.append(oblique_in_words(slant))
    context.result(task_distances=found.to_dict("records"), obliqueness=slant.to_dict("records"))
    for sentence in words:
        context.page.verdict(sentence)
    context.page.section(
        "How far the filters of two tasks lie apart",
        "Energy distance of the modulations measured from the kernels, in units of their pooled spread, seed by seed: "
        "filters of a seed begin alike on every task. Beside it the distance between two seeds of one task, that after "
        "training on shuffled labels, and that of the modulations of the sounds themselves. p: whole networks "
        "exchange their tasks, and those of two tasks must lie further apart than those of one.",
    )
    title = words[0]
    context.figure("task_distances", modulation_figures.task_distances(found, title=title), found, alt=title)
    context.page.figure("task_distances", "Diamonds are means over seeds, bars 95 % intervals (t over seeds).")
    context.page.table("task_distances", "Distances between the filters of two tasks", folded=False)
    context.page.table(
        "obliqueness",
        "Mean obliqueness of filters (0: tuned to time or to frequency alone, 1: as much of both), over seeds",
        folded=False,
    )


def filters_of(table: pd.DataFrame, labels: str) -> list[np.ndarray]:
    """Modulations of the filters of each seed, `(N, 2)`."""
    mine = table[table["labels"] == labels]
    return [part[MODULATIONS].to_numpy() for _, part in mine.groupby("seed")]


def distances(
    learnt: Populations, shuffled: Populations, spectra: Mapping[str, ModulationSpectrum], seed: int = 0
) -> pd.DataFrame:
    """One row per pair of tasks.

    Args:
        learnt: Filters after training.
        shuffled: Filters after training on shuffled labels; may hold none.
        spectra: Modulation power of the tasks' sounds.
        seed: Seed of permutations and of what is drawn from the spectra.
    Returns:
        `distance`, mean over seeds of the distance of filters that began alike, with its interval; `other_seeds`, the
        same of filters that did not; `between_seeds`, the mean distance of two seeds of one task; `p` of the
        difference of the last two; `shuffled`, as `distance`; `sounds`, of modulations drawn from the spectra.
    """
    rows = []
    for one, other in combinations(learnt, 2):
        mine = seed_interval([energy_distance(a, b) for a, b in zip(learnt[one], learnt[other], strict=False)])
        blind = [energy_distance(a, b) for a, b in zip(shuffled[one], shuffled[other], strict=False)]
        across, within, p = exchanged([*learnt[one], *learnt[other]], len(learnt[one]), seed)
        drawn = [
            np.stack(spectra[name].draw(DRAWN, stream(seed, "sounds of a task", name)), axis=1) for name in (one, other)
        ]
        rows.append(
            {
                "pair": f"{short(one)} | {short(other)}",
                "distance": mine.estimate,
                "ci_low": mine.low,
                "ci_high": mine.high,
                "interval": mine.kind,
                "other_seeds": across,
                "between_seeds": within,
                "p": p,
                "shuffled": float(np.mean(blind)) if blind else np.nan,
                "sounds": energy_distance(*drawn),
                "seeds": mine.n_clusters,
            }
        )
    return pd.DataFrame(rows)


def exchanged(networks: Sequence[np.ndarray], first: int, seed: int) -> tuple[float, float, float]:
    """Tests whether networks of two tasks lie further apart than those of one, whole networks changing tasks.

    Only pairs of networks of different seeds count, since those of one seed began alike. That they did makes the test
    conservative: the networks as they are resemble one another across tasks more than exchanged ones do.

    Args:
        networks: Filters `(N, 2)` of the networks of one task, seed by seed, then of the other.
        first: How many are of the first task.
        seed: Seed of the permutations.
    Returns:
        Mean distance between tasks, mean distance within tasks, p; p is NaN where a task has fewer than two networks.
    """
    seeds = np.concatenate([np.arange(first), np.arange(len(networks) - first)])
    side = np.arange(len(networks)) < first
    if min(first, len(networks) - first) < 2:
        return np.nan, np.nan, np.nan
    table = np.array([[energy_distance(a, b) for b in networks] for a in networks])

    def means(side: np.ndarray) -> tuple[float, float]:
        apart = side[:, None] != side[None, :]
        other_seed = seeds[:, None] != seeds[None, :]
        return float(table[apart & other_seed].mean()), float(table[~apart & other_seed].mean())

    across, within = means(side)
    rng = stream(seed, "networks change tasks")
    null = [np.subtract(*means(rng.permutation(side))) for _ in range(PERMUTATIONS)]
    return across, within, float(permutation_p([across - within], np.array(null)[:, None])[0])


def voices_beside_calls(learnt: Populations) -> pd.DataFrame:
    """Whether the two tasks of human voices lie nearer to each other than to calls, seed by seed."""
    rows = []
    for a, b, calls in zip(*(learnt[name] for name in (*VOICES, CALLS)), strict=False):
        rows.append((energy_distance(a, b), 0.5 * (energy_distance(a, calls) + energy_distance(b, calls))))
    voices, apart = np.array(rows).T
    parts = {"between the voices": voices, "from voices to calls": apart, "difference": apart - voices}
    intervals = {name: seed_interval(values) for name, values in parts.items()}
    return pd.DataFrame(
        [
            {"distance": name, "mean": found.estimate, "ci_low": found.low, "ci_high": found.high, "seeds": len(rows)}
            for name, found in intervals.items()
        ]
    )


def oblique(tuning: pd.DataFrame) -> pd.DataFrame:
    """Mean obliqueness of the filters before and after training, and after training on shuffled labels, over seeds.

    The units are the standard deviations of the modulations before training.
    """
    first = [f"first_{name}" for name in MODULATIONS]
    units = tuning[first].std().to_numpy()
    rows = []
    for labels, columns, name in (
        (AS_THEY_ARE, first, "before training"),
        (AS_THEY_ARE, MODULATIONS, "after training"),
        (SHUFFLED, MODULATIONS, "labels shuffled"),
    ):
        parts = tuning[tuning["labels"] == labels].groupby("seed")
        values = [float(obliqueness(part[columns], units).mean()) for _, part in parts]
        if values:
            found = seed_interval(values)
            row = {"filters": name, "obliqueness": found.estimate, "ci_low": found.low, "ci_high": found.high}
            rows.append({**row, "interval": found.kind, "seeds": len(values)})
    return pd.DataFrame(rows)


def oblique_in_words(slant: pd.DataFrame) -> str:
    """Says on which tasks training takes filters to the axes, or away from them, with intervals apart."""
    said = []
    for task, part in slant.groupby("task", sort=False):
        rows = part.set_index("filters")
        before, after = rows.loc["before training"], rows.loc["after training"]
        apart = after["ci_high"] < before["ci_low"] or after["ci_low"] > before["ci_high"]
        words = f"{task} {before['obliqueness']:.2f} before, {after['obliqueness']:.2f} after training"
        said.append(words + (" (intervals apart)" if apart else ""))
    return "Obliqueness of filters (0: tuned to time or to frequency alone): " + "; ".join(said) + "."


def short(name: str) -> str:
    """A task's name in words.

    Example:
        >>> short("strf_speech_activity")
        'speech activity'
    """
    return name.removeprefix("strf_").replace("_", " ")


def in_words(found: pd.DataFrame) -> str:
    """Says which pairs of tasks lie further apart than two seeds of one task."""
    clear = found[found["p"] < 0.05].sort_values("distance", ascending=False)
    if clear.empty:
        return "No two tasks' filters lie further apart than two seeds of one task, by exchanging whole networks"
    return "Further apart than two seeds of one task are the filters of " + ", ".join(
        f"{row['pair'].replace(' | ', ' and ')} (p = {row['p']:.3f})" for _, row in clear.iterrows()
    )


def contrast_in_words(contrast: pd.DataFrame) -> str:
    """Says whether human-voice tasks cluster and calls lie apart."""
    rows = contrast.set_index("distance")
    low, high = rows.loc["difference", ["ci_low", "ci_high"]]
    verdict = "cannot be told here"
    if np.isfinite(low):
        verdict = "holds" if low > 0 else "does not hold" if high < 0 else "cannot be told here"
    return (
        "That tasks of human voices cluster and calls lie apart (the paper's claim) "
        f"{verdict}: {rows.loc['between the voices', 'mean']:.3f} between the voices, "
        f"{rows.loc['from voices to calls', 'mean']:.3f} from them to calls, difference "
        f"{rows.loc['difference', 'mean']:+.3f} [{low:+.3f}, {high:+.3f}]."
    )
