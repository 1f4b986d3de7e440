"""What learnt filters are tuned to: beside their first values, the sounds' own modulations and shuffled labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from audiointerp.backbones.strf import PARAMETERS, GaborSTRF
from audiointerp.backbones.strf_network import STRFNetwork
from audiointerp.modulation.filters import fold, measured_tuning
from audiointerp.modulation.populations import apart, displacement
from audiointerp.modulation.regions import random_region, regions
from audiointerp.modulation.spectrum import ModulationSpectrum
from audiointerp.statistics.intervals import seed_interval
from audiointerp.study import stream

MODULATIONS = ["omega_hz", "Omega_cycles_per_octave"]


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


def compared(
    tunings: Sequence[pd.DataFrame], shuffled: Sequence[pd.DataFrame], spectrum: ModulationSpectrum, seed: int
) -> pd.DataFrame:
    """How far the learnt filters, of all seeds together, lie from each null, by the energy distance.

    Args:
        tunings: One table per seed, labels as they are.
        shuffled: One table per seed, labels shuffled; may be empty.
        spectrum: Modulation power of the sounds.
        seed: Seed of the permutations and of what is drawn from the spectrum.
    """
    learnt = pd.concat(tunings)[MODULATIONS].to_numpy()
    first = pd.concat(tunings)[[f"first_{name}" for name in MODULATIONS]].to_numpy()
    drawn = np.stack(spectrum.draw(len(learnt), stream(seed, "modulations of the sounds")), axis=1)
    others = {"the filters before training": first, "the sounds' own modulations": drawn}
    if shuffled:
        others["filters trained on shuffled labels"] = pd.concat(shuffled)[MODULATIONS].to_numpy()
    rows = []
    for name, other in others.items():
        found = apart(learnt, other, seed=seed)
        rows.append(
            {
                "against": name,
                "energy_distance": found.distance,
                "null_95": float(np.quantile(found.null, 0.95)),
                "p": found.p,
                "filters": len(learnt),
            }
        )
    return pd.DataFrame(rows)


def displacements(tunings: Mapping[str, Sequence[pd.DataFrame]]) -> pd.DataFrame:
    """Median displacement of each parameter in units of the initial spread, with intervals over seeds.

    Args:
        tunings: Labels ("as they are", "shuffled") to one table per seed.
    """
    rows = []
    for labels, tables in tunings.items():
        for name in PARAMETERS if tables else ():
            interval = seed_interval([float(table[f"moved_{name}"].median()) for table in tables])
            rows.append(
                {
                    "labels": labels,
                    "parameter": name,
                    "moved": interval.estimate,
                    "ci_low": interval.low,
                    "ci_high": interval.high,
                    "interval": interval.kind,
                }
            )
    return pd.DataFrame(rows)


def against_centre(tunings: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Whether tuning changes with where on the frequency axis filters are used: rank correlations, over seeds.

    Args:
        tunings: One table per seed.
    """
    rows = []
    for name in (*MODULATIONS, "sigma_t_s", "sigma_f_octave"):
        values = [float(spearmanr(table["centre_hz"], table[name].abs()).statistic) for table in tunings]
        interval = seed_interval([value for value in values if np.isfinite(value)] or [0.0])
        rows.append(
            {
                "tuning": name,
                "rank_correlation_with_centre": interval.estimate,
                "ci_low": interval.low,
                "ci_high": interval.high,
                "interval": interval.kind,
            }
        )
    return pd.DataFrame(rows)


def ablate(
    network: STRFNetwork, tuning: pd.DataFrame, score: Callable[[STRFNetwork], float], seed: int
) -> dict[str, float]:
    """Score of a trained network with the filters of one region of modulation silenced, and with as many at random.

    A silenced filter gives its mean response, so that nothing but its course is lost.

    Args:
        network: A network with Gabor filters, left as it was.
        tuning: Its tuning table.
        score: Measures a network.
        seed: Of the random regions.
    Returns:
        Names of regions, `none` and `random` (mean of three draws) to scores.
    """
    masks = regions(*(tuning[name].to_numpy() for name in MODULATIONS))
    rng = stream(seed, "random regions")
    scores = {"none": score(network)}
    for name, mask in masks.items():
        scores[name] = _silenced(network, mask, score)
    scores["random"] = float(np.mean([_silenced(network, random_region(masks, rng), score) for _ in range(3)]))
    return scores


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
