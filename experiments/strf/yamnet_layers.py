"""Reads the first layers of YAMNet by the ripples that they follow, beside networks with random weights.

    python experiments/strf/yamnet_layers.py --weights FOLDER

Writes `yamnet_layers.json` and `tables/yamnet_layers.csv` beside this file, and a table into the README.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from audiointerp.backbones.yamnet import YAMNet
from audiointerp.collect import fill
from audiointerp.modulation.layers import RippleResponses, ripple_responses
from audiointerp.report.cells import markdown
from audiointerp.statistics.intervals import seed_interval
from audiointerp.study import write_atomically

HERE = Path(__file__).resolve().parent
LAYERS = ("layer1", "layer2", "layer3", "layer4", "layer6", "layer8")
OMEGA = (1.5, 3.0, 6.0, 12.0, 24.0, 40.0)
DENSITIES = (0.25, 0.5, 1.0, 2.0, 4.0)
OCTAVE = 14.5
"""Mel bands of YAMNet to the octave above 1 kHz; below it there are fewer, and densities in cycles/octave are less."""
LEVEL = -4.0
"""Log-mel level of the flat spectrogram that ripples are laid on, that of sounds of medium level."""


def described(found: RippleResponses) -> dict[str, float]:
    """Medians over channels that answer: best modulations, and how much rising and falling ripples differ."""
    answering = found.response.reshape(len(found.response), -1).max(axis=1) > 1e-6
    omega, density = found.best()
    down = found.response[answering][:, :, found.Omega > 0]
    up = found.response[answering][:, :, found.Omega < 0][:, :, ::-1]
    strongest = np.maximum(down, up).reshape(len(down), -1)
    place = strongest.argmax(axis=1)
    down, up = (part.reshape(len(part), -1)[np.arange(len(part)), place] for part in (down, up))
    return {
        "channels": int(answering.sum()),
        "temporal_hz": float(np.median(omega[answering])),
        "cycles_per_octave": float(np.median(np.abs(density[answering]))),
        "direction": float(np.median(np.abs(down - up) / (down + up))),
        "slow_share": float(np.mean(omega[answering] <= 6.0)),
    }


def read(network: YAMNet) -> dict[str, dict[str, float]]:
    """Plays all ripples to a network."""
    grid = {"omega": OMEGA, "Omega": (*(-value for value in reversed(DENSITIES)), *DENSITIES), "level": LEVEL}
    shape = {"frames": 96, "bins": 64, "frame_rate": 100.0, "bins_per_octave": OCTAVE}
    layers = {name: network.layers[name] for name in LAYERS}
    found = ripple_responses(network.eval(), layers, **grid, **shape)
    return {name: described(found[name]) for name in LAYERS}


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True, help="folder of YAMNet's weights")
    parser.add_argument("--seeds", type=int, default=5, help="networks with random weights")
    given = parser.parse_args()
    trained = read(YAMNet(weights="auto", folder=given.weights))
    random = [read(YAMNet(weights="random", seed=seed)) for seed in range(given.seeds)]
    rows = []
    for layer in LAYERS:
        for what in ("temporal_hz", "cycles_per_octave", "direction", "slow_share"):
            null = seed_interval([network[layer][what] for network in random])
            rows.append(
                {"layer": layer, "what": what, "trained": trained[layer][what], "random": null.estimate}
                | {"ci_low": null.low, "ci_high": null.high, "channels": trained[layer]["channels"]}
            )
    table = pd.DataFrame(rows)
    (HERE / "tables").mkdir(exist_ok=True)
    table.to_csv(HERE / "tables" / "yamnet_layers.csv", index=False, lineterminator="\n", float_format="%.5g")
    write_atomically(HERE / "yamnet_layers.json", json.dumps({"trained": trained, "random": random}, indent=1) + "\n")
    shown = []
    for layer, part in table.groupby("layer", sort=False):
        by = part.set_index("what")
        words = [
            f"{row['trained']:.2f} / {row['random']:.2f}"
            + (f" [{row['ci_low']:.2f}, {row['ci_high']:.2f}]" if np.isfinite(row["ci_low"]) else "")
            for _, row in by.iterrows()
        ]
        shown.append([layer, int(by["channels"].iloc[0]), *words])
    columns = ["layer", "channels that answer", "temporal [Hz]", "spectral [cycles/octave]", "direction"]
    fill(HERE / "README.md", markdown([*columns, "share at most 6 Hz"], shown), "yamnet")


if __name__ == "__main__":
    main()
