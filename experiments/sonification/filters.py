"""Whether wider filters mend the sonifications of networks that stride: untrained networks, ESC-10.

    AUDIOINTERP_DATA=FOLDER python experiments/sonification/filters.py

A filter of 3 samples that strides by 4 passes over a quarter of its input, on the way there and on the way back; one of
5 or 9 samples does not. Writes the table between the markers in README.md and filters.json.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import torch

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.collect import fill
from audiointerp.data.esc50 import ESC50
from audiointerp.report.cells import markdown, number
from audiointerp.sonify.coherence import shared_power, top_coherence
from audiointerp.sonify.deconvnet import DeconvNet, features_of
from audiointerp.sonify.top_inputs import score_of
from audiointerp.study import write_atomically

HERE = Path(__file__).parent
POOLS = (4, 1, 4, 1, 4, 1, 4, 1, 4, 1, 1)
KERNELS = (3, 5, 9)
BLOCKS = (4, 8, 11)
SEEDS, EVERY = 3, 20  # networks; every so many-th clip is heard


def measure(sounds: ESC50, strided: bool, kernel: int) -> list[dict]:
    """Sonifies the most active map of each block on each clip; gives means by block."""
    kernels = [11] + [kernel if pool > 1 else 3 for pool in POOLS[1:]]
    found: dict[int, list] = {block: [] for block in BLOCKS}
    for seed in range(SEEDS):
        network = CNN12(pools=POOLS, kernels=kernels, width=0.125, embedding=128, strided=strided, seed=seed)
        net = DeconvNet(network)
        for clip in range(0, len(sounds), EVERY):
            x = torch.from_numpy(sounds.waveform(clip))
            heard = net.hear(features_of(network, x[None]))
            for block in BLOCKS:
                best = int(score_of(heard.maps[block - 1], "peak")[0].argmax())
                s = net.sonify(heard, block, [best]).sounds[0].numpy()
                found[block].append((top_coherence(x.numpy(), s, 5), shared_power(x.numpy(), s)))
    return [
        {"downsampling": "strided" if strided else "max-pooling", "filter": kernel, "block": block}
        | dict(zip(("coherence", "power"), np.nanmean(values, axis=0).tolist(), strict=True))
        for block, values in found.items()
    ]


def main() -> None:
    sounds = ESC50(Path(os.environ["AUDIOINTERP_DATA"]) / "esc10", sample_rate=8000, esc10_only=True)
    rows = [row for strided in (False, True) for kernel in KERNELS for row in measure(sounds, strided, kernel)]
    clips = len(range(0, len(sounds), EVERY))
    write_atomically(HERE / "filters.json", json.dumps({"clips": clips, "seeds": SEEDS, "rows": rows}, indent=1) + "\n")
    cells = [[*list(row.values())[:3], number(row["coherence"]), number(row["power"])] for row in rows]
    words = (
        f"**Wider filters where a network downsamples**: untrained networks, {clips} clips of ESC-10, {SEEDS} seeds; "
        "top-5 coherence and share of the clip's power."
    )
    table = markdown(["downsampling", "filter [samples]", "block", "coherence", "power"], cells)
    fill(HERE / "README.md", f"{words}\n\n{table}", "filters")


if __name__ == "__main__":
    main()
