"""What learnt filters are tuned to: beside their first values, the sounds' own modulations and shuffled labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from audiointerp.backbones.strf import OUTPUTS, PARAMETERS, GaborSTRF
from audiointerp.backbones.strf_network import STRFNetwork
from audiointerp.modulation.filters import fold, measured_tuning
from audiointerp.modulation.harmonicity import follows
from audiointerp.modulation.populations import apart, displacement
from audiointerp.modulation.regions import random_region, regions
from audiointerp.modulation.spectrum import ModulationSpectrum
from audiointerp.statistics.intervals import Interval, seed_interval
from audiointerp.study import stream

MODULATIONS = ["omega_hz", "Omega_cycles_per_octave"]
READ = [*MODULATIONS, "sigma_t_s", "sigma_f_octave"]
AS_THEY_ARE, SHUFFLED = "as they are", "shuffled"
RANDOM_DRAWS = 5


def read_filters(
    before: STRFNetwork, after: STRFNetwork, spectrograms: torch.Tensor, harmonic: np.ndarray
) -> pd.DataFrame:
    """One row per filter: `tuning_table`, and how its share of the response follows the sounds' harmonicity.

    Args:
        before: The network as it was drawn.
        after: The same network after training.
        spectrograms: What the filters get of some sounds, shape `(B, T, F)`.
        harmonic: Harmonicity of these sounds, shape `(B,)`.
    """
    table = tuning_table(before.strf, after.strf, used_at(after))
    for when, network in (("", after), ("first_", before)):
        table[f"{when}follows_harmonicity"] = follows(responses(network.strf, spectrograms), harmonic)
    return table


def responses(strf: GaborSTRF, spectrograms: torch.Tensor, batch: int = 64) -> np.ndarray:
    """Root mean square of each filter's response to each spectrogram, shape `(B, N)`."""
    with torch.inference_mode():
        squares = [strf(part).square().mean((2, 3)) for part in spectrograms.split(batch)]
    return torch.cat(squares).reshape(-1, OUTPUTS[strf.output], strf.filters).sum(1).sqrt().numpy()


def tuning_table(before: GaborSTRF, after: GaborSTRF, centre_hz: np.ndarray) -> pd.DataFrame:
    """One row per filter: declared and measured modulation, widths, first values, and how far each parameter moved.

    Args:
        before: The filters as they were drawn.
        after: The same filters after training.
        centre_hz: Where on the frequency axis each filter is used, shape `(N,)` [Hz].
    """
    columns: dict[str, np.ndarray] = {"filter": np.arange(after.filters)}
    values = {}
    for when, strf in (("", after), ("first_", before)):
        with torch.no_grad():
            tuning, kernels = strf.tuning(), strf.kernels().numpy()
        values[when] = {name: getattr(tuning, name).numpy().astype(np.float64) for name in PARAMETERS}
        declared = fold(values[when]["omega"], values[when]["Omega"])
        measured = measured_tuning(kernels, strf.frame_rate, strf.bins_per_octave)
        for name, found in zip(MODULATIONS, declared, strict=True):
            columns[f"{when}declared_{name}"] = found
        for name, found in zip(MODULATIONS, measured, strict=True):
            columns[f"{when}{name}"] = found
        columns[f"{when}sigma_t_s"], columns[f"{when}sigma_f_octave"] = values[when]["sigma_t"], values[when]["sigma_f"]
    for name in PARAMETERS:
        columns[f"moved_{name}"] = displacement(values["first_"][name], values[""][name])
    columns["centre_hz"] = centre_hz
    return pd.DataFrame(columns)


def used_at(network: STRFNetwork) -> np.ndarray:
    """Where on the frequency axis the contraction uses each filter: the weighted mean of the octaves [Hz], `(N,)`."""
    bands = len(network.centres_hz)
    weight = network.contraction.linear.weight.detach().square().sum(0).reshape(-1, bands).numpy()
    weight = weight.reshape(-1, network.strf.filters, bands).sum(0)
    octaves = np.log2(network.centres_hz)
    return 2.0 ** ((weight * octaves).sum(1) / weight.sum(1))


def compared(tuning: pd.DataFrame, spectrum: ModulationSpectrum, seed: int) -> pd.DataFrame:
    """How far the learnt filters, of all seeds together, lie from each null, by the energy distance.

    Args:
        tuning: Filters of all seeds, with `labels` (`as they are`, `shuffled`) and `seed`.
        spectrum: Modulation power of the sounds.
        seed: Seed of the permutations and of what is drawn from the spectrum.
    """
    mine, shuffled = (tuning[tuning["labels"] == labels] for labels in (AS_THEY_ARE, SHUFFLED))
    learnt = mine[MODULATIONS].to_numpy()
    drawn = np.stack(spectrum.draw(len(learnt), stream(seed, "modulations of the sounds")), axis=1)
    others = {
        "the filters before training": mine[[f"first_{name}" for name in MODULATIONS]].to_numpy(),
        "the sounds' own modulations": drawn,
    }
    if len(shuffled):
        others["filters trained on shuffled labels"] = shuffled[MODULATIONS].to_numpy()
    rows = []
    for name, other in others.items():
        found = apart(learnt, other, seed=seed)
        null = float(np.quantile(found.null, 0.95))
        rows.append((name, found.distance, null, found.p, len(learnt)))
    return pd.DataFrame(rows, columns=["against", "energy_distance", "null_95", "p", "filters"])


def displacements(tuning: pd.DataFrame) -> pd.DataFrame:
    """Median displacement of each parameter in units of the initial spread, with intervals over seeds.

    Args:
        tuning: Filters of all seeds, with `labels` and `seed`.
    """
    rows = []
    for labels, table in tuning.groupby("labels", sort=False):
        for name in PARAMETERS:
            moved = table.groupby("seed")[f"moved_{name}"].median()
            rows.append({"labels": labels, "parameter": name, "moved": moved.mean(), **_ends(seed_interval(moved))})
    return pd.DataFrame(rows)


def against_centre(tuning: pd.DataFrame) -> pd.DataFrame:
    """Whether tuning changes with where on the frequency axis filters are used: rank correlations, over seeds.

    The contraction, by whose weights a filter's place is told, is trained on shuffled labels as well: the control.

    Args:
        tuning: Filters of all seeds, with `labels` and `seed`.
    """
    rows = []
    for labels, table in tuning.groupby("labels", sort=False):
        for name in READ:
            interval = _correlated(table, "centre_hz", name)
            row = {"labels": labels, "tuning": name, "rank_correlation_with_centre": interval.estimate}
            rows.append(row | _ends(interval))
    return pd.DataFrame(rows)


def against_harmonicity(tuning: pd.DataFrame) -> pd.DataFrame:
    """Whether filters that answer to harmonic sounds are tuned otherwise: rank correlations over filters, over seeds.

    Any population of filters answers to harmonic sounds by its tuning; the filters before training, on the same sounds,
    are the control.

    Args:
        tuning: Filters of all seeds, with `labels` and `seed`.
    """
    rows = []
    learnt = tuning[tuning["labels"] == AS_THEY_ARE]
    for when, filters in (("", "after training"), ("first_", "before training")):
        for name in READ:
            interval = _correlated(learnt, f"{when}follows_harmonicity", f"{when}{name}")
            row = {"filters": filters, "tuning": name, "rank_correlation_with_harmonicity": interval.estimate}
            rows.append(row | _ends(interval))
    return pd.DataFrame(rows)


def ablate(
    network: STRFNetwork, tuning: pd.DataFrame, score: Callable[[STRFNetwork], float], seed: int
) -> dict[str, dict[str, float]]:
    """Score of a trained network with the filters of one region of modulation silenced, and with as many at random.

    A silenced filter gives its mean response, so that nothing but its course is lost.

    Args:
        network: A network with Gabor filters, left as it was.
        tuning: Its tuning table.
        score: Measures a network.
        seed: Of the random regions.
    Returns:
        Names of regions, `none` and `random` (mean of five draws), each to its `score`, what is `lost`, and what is
        `lost_beyond_random`.
    """
    masks = regions(*(tuning[name].to_numpy() for name in MODULATIONS))
    rng = stream(seed, "random regions")
    scores = {"none": score(network)}
    for name, mask in masks.items():
        scores[name] = _silenced(network, mask, score)
    drawn = [_silenced(network, random_region(masks, rng), score) for _ in range(RANDOM_DRAWS)]
    scores["random"] = float(np.mean(drawn))
    return {
        name: {"score": value}
        | ({} if name == "none" else {"lost": scores["none"] - value})
        | ({"lost_beyond_random": scores["random"] - value} if name in masks else {})
        for name, value in scores.items()
    }


def _correlated(table: pd.DataFrame, one: str, other: str) -> Interval:
    """Rank correlation of two columns over the filters of each seed, with its interval over seeds."""
    values = [spearmanr(mine[one], mine[other].abs()).statistic for _, mine in table.groupby("seed")]
    return seed_interval([value for value in values if np.isfinite(value)] or [0.0])


def _ends(interval: Interval) -> dict[str, float | str]:
    return {"ci_low": interval.low, "ci_high": interval.high, "interval": interval.kind}


def _silenced(network: STRFNetwork, mask: np.ndarray, score: Callable[[STRFNetwork], float]) -> float:
    channels = torch.from_numpy(np.tile(mask, network.strf.channels // len(mask)))

    def silence(module: torch.nn.Module, inputs: object, response: torch.Tensor) -> torch.Tensor:
        level = response.mean((2, 3), keepdim=True)
        return torch.where(channels[None, :, None, None], level, response)

    handle = network.strf.register_forward_hook(silence)
    try:
        return score(network)
    finally:
        handle.remove()
