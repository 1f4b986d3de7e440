"""Measures what must be so whatever is trained: planted ripples, any raw value, time kept, rows kept apart.

    python experiments/strf/planted.py

Writes `planted.json` beside this file and its table into the README.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from audiointerp.backbones.log_spectrogram import Bands, PowerSpectrogram, band_centres
from audiointerp.backbones.strf import PARAMETERS, GaborSTRF
from audiointerp.backbones.strf_network import STRFNetwork
from audiointerp.collect import fill
from audiointerp.modulation.filters import fold, measured_tuning
from audiointerp.modulation.ripples import ripple_spectrogram
from audiointerp.report.cells import cell, markdown
from audiointerp.study import stream, torch_stream, write_atomically

HERE = Path(__file__).resolve().parent
SHAPE = {"frames": 120, "bins": 64, "frame_rate": 80.0, "bins_per_octave": 11.0}
RIPPLES = ((3.0, 0.8), (6.0, 0.5), (6.0, -0.9), (10.0, 0.6), (12.0, -0.5), (16.0, 0.4))
STEPS, NOISE = 80, 0.5


def ripple_errors(seed: int) -> list[float]:
    """Trains one filter for each ripple, in noise as strong, to answer to it; relative errors of what kernels measure.

    Returns:
        The larger error of temporal and spectral modulation, one per ripple.
    """
    strf = GaborSTRF(len(RIPPLES), frame_rate=80.0, bins_per_octave=11.0, frames=41, bins=21, output="magnitude",
                     zero_mean=True, unit_norm=True)  # fmt: skip
    wanted = fold(*np.array(RIPPLES).T)
    begun = strf.tuning()
    rng = stream(seed, "planted ripples")
    # A filter that does not overlap a ripple has no gradient towards it: each begins within a third of its ripple.
    for name, values in zip(("omega", "Omega"), wanted, strict=True):
        away = values * (1.0 + rng.choice([-1.0, 1.0], len(values)) * rng.uniform(0.2, 0.33, len(values)))
        begun = type(begun)(**{**begun.__dict__, name: torch.from_numpy(away)})
    begun = type(begun)(begun.omega, begun.Omega, torch.full((len(RIPPLES),), 0.08), torch.full((len(RIPPLES),), 0.3))
    strf.set_tuning(begun)
    ripples = torch.from_numpy(np.stack([ripple_spectrogram(*values, **SHAPE) for values in RIPPLES]))
    generator = torch_stream(seed, "noise beside ripples")
    optimizer = torch.optim.Adam([strf.raw_omega, strf.raw_Omega], lr=0.02)
    for _ in range(STEPS):
        optimizer.zero_grad()
        heard = ripples + NOISE * torch.randn(ripples.shape, generator=generator)
        (-strf(heard).mean((2, 3)).diagonal().sum()).backward()
        optimizer.step()
    found = measured_tuning(strf.kernels().detach().numpy(), 80.0, 11.0)
    errors = [np.abs(mine - true) / np.abs(true) for mine, true in zip(found, wanted, strict=True)]
    return np.max(errors, axis=0).tolist()


def raw_values(count: int = 1000) -> dict[str, float]:
    """Gives filters raw values of any size; the share whose response and gradients are finite."""
    strf = GaborSTRF(count, frames=15, bins=7, output="magnitude", zero_mean=True, unit_norm=True)
    generator = torch_stream(0, "raw values")
    with torch.no_grad():
        for parameter in strf.parameters():
            size = 10.0 ** (12.0 * torch.rand(count, generator=generator) - 4.0)
            parameter.copy_(size * torch.randn(count, generator=generator))
    response = strf(torch.randn(1, 9, 9, generator=generator))
    response.sum().backward()
    finite = response.isfinite().all((0, 2, 3))
    for parameter in strf.parameters():
        finite &= parameter.grad.isfinite()
    return {"filters": count, "finite": float(finite.float().mean())}


def smallest_move(steps: int = 5) -> dict[str, float]:
    """Trains filters on noise for a few steps; the least that any raw value of each parameter moved."""
    strf = GaborSTRF(32, frames=31, bins=15, zero_mean=True, unit_norm=True, output="magnitude")
    before = {name: value.detach().clone() for name, value in strf.named_parameters()}
    generator = torch_stream(0, "moves")
    target = torch.randn(4, 32, generator=generator)
    optimizer = torch.optim.Adam(strf.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        heard = torch.randn(4, 40, 24, generator=generator)
        (strf(heard).mean((2, 3)) - target).square().mean().backward()
        optimizer.step()
    return {
        name: float((dict(strf.named_parameters())[f"raw_{name}"].detach() - before[f"raw_{name}"]).abs().min())
        for name in PARAMETERS
    }


def impulse_lag(times: int = 20) -> float:
    """Plays clicks at random times; how far from a click the response of filters is centred, at most [hops]."""
    spectrogram = PowerSpectrogram(16000, 80)
    bands = Bands(band_centres(64, 125.0), 16000, spectrogram.points)
    strf = GaborSTRF(8, frame_rate=80.0, frames=21, bins=9, output="magnitude", edges="zeros", seed=1)
    rng, worst = stream(0, "clicks"), 0.0
    for at in rng.uniform(0.3, 0.7, times):
        waveform = 1e-4 * torch.from_numpy(rng.standard_normal((1, 16000))).float()
        waveform[0, round(at * 16000)] = 1.0
        levels = bands(spectrogram(waveform))
        response = strf((levels - levels.mean((1, 2), keepdim=True)).square())[0, :, :, 32].detach() ** 8
        centre = (response * torch.arange(response.shape[1])).sum(1) / response.sum(1)
        worst = max(worst, float((centre - at * 80).abs().max()))
    return worst


def row_difference() -> float:
    """Passes waveforms through a network alone and in a batch of 32; the largest difference of a logit."""
    network = STRFNetwork(["a", "b", "c"], recurrent=True).eval()
    waveforms = 0.1 * torch.randn(32, 16000, generator=torch_stream(0, "rows"))
    with torch.no_grad():
        network.fit_standardisation(network.front_end(waveforms))
        together = network(network.front_end(waveforms))
        alone = torch.cat([network(network.front_end(row[None])) for row in waveforms])
    return float((together - alone).abs().max())


def main() -> None:
    """Measures and writes."""
    errors = [error for seed in range(5) for error in ripple_errors(seed)]
    raw, moves = raw_values(), smallest_move()
    found = {
        "ripples": {"trained": len(errors), "median_error": float(np.median(errors)), "largest_error": max(errors)},
        "raw_values": raw,
        "smallest_move": moves,
        "impulse_lag_hops": impulse_lag(),
        "row_difference": row_difference(),
    }
    rows = [
        [f"ripples in noise recovered by {len(errors)} trained filters, largest error", max(errors), 0.1],
        ["the same, median error", found["ripples"]["median_error"], 0.1],
        [f"share of {raw['filters']:,} filters with random raw values whose response and gradients are not finite",
         1.0 - raw["finite"], 0.0],
        ["clicks at random times: largest distance of the response's centre [hops]", found["impulse_lag_hops"], 0.5],
        ["a batch of one against its row in a batch of 32, largest difference", found["row_difference"], 1e-5],
    ]  # fmt: skip
    said = {True: "met", False: "missed"}
    table = [[what, cell(value), f"<= {bound:g}: {said[value <= bound]}"] for what, value, bound in rows]
    least = min(moves, key=moves.get)
    table.append([f"least move of a raw parameter in five steps ({least})", cell(moves[least]),
                  f"> 0: {said[moves[least] > 0]}"])  # fmt: skip
    write_atomically(HERE / "planted.json", json.dumps(found, indent=1) + "\n")
    fill(HERE / "README.md", markdown(["what", "measured", "wanted"], table), "planted")


if __name__ == "__main__":
    main()
