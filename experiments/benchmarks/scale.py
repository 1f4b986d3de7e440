"""What each step of a finished run of the main job cost, beside the floor: the bare forward pass and the bare search.

    python experiments/benchmarks/scale.py outputs/maas_flow/RUN

The floor is measured here and now, on part of the clips, for as many clips as the run had; the run's own seconds are
those of its `results.json`. Writes `scale.json` and the table in this folder's README.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

from audiointerp.__main__ import heap_settings

HERE = Path(__file__).resolve().parent
FORWARD_CLIPS = 2048
COMPONENTS = 64
TARGET_S, TARGET_MB = 900.0, 6000.0


def floor(segments: int, seed: int = 0) -> dict[str, float]:
    """Measures seconds of the bare forward pass (without the front end and with it) and of one layer's search.

    Args:
        segments: Segments of the run.
        seed: Of noise and weights.
    """
    import numpy as np
    import torch
    from sklearn.neighbors import NearestNeighbors

    from audiointerp.activations.extract import BATCH
    from audiointerp.backbones.yamnet import PATCH_SAMPLES, YAMNet

    backbone = YAMNet(weights="random", seed=seed)
    noise = 0.1 * torch.randn(BATCH, PATCH_SAMPLES, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        features = backbone.front_end(noise)
        timed = {}
        for name, step in (
            ("forward pass", lambda: backbone(features)),
            ("front end and forward pass", lambda: backbone(backbone.front_end(noise))),
        ):
            step()
            begin = time.perf_counter()
            for _ in range(FORWARD_CLIPS // BATCH):
                step()
            timed[name] = (time.perf_counter() - begin) * segments / FORWARD_CLIPS
    scores = np.random.default_rng(seed).standard_normal((segments, COMPONENTS), dtype=np.float32)
    begin = time.perf_counter()
    NearestNeighbors(n_neighbors=48, algorithm="brute").fit(scores).kneighbors(return_distance=False)
    return timed | {"search, one layer": time.perf_counter() - begin}


def main() -> None:
    """Reads the command line, starts the process again with a retained heap, measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run of maas_flow")
    parser.add_argument("--out", type=Path, default=HERE, help="folder with README.md, for the numbers")
    arguments = parser.parse_args()
    environment = heap_settings(dict(os.environ), platform.system(), platform.libc_ver()[0])
    if environment is not None:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)

    from audiointerp.collect import read_records

    (run,) = read_records([arguments.run])
    segments = run["results"]["sounds"]["segments"]
    record = {
        "clips": run["results"]["sounds"]["clips"],
        "segments": segments,
        "control_clips": run["results"]["control_clips"],
        "weights": run["results"]["weights"],
        "seconds": run["seconds"],
        "total_s": sum(run["seconds"].values()),
        "peak_rss_mb": run["peak_rss_mb"],
        "floor_s": floor(segments),
        "layers": len(run["results"]["convergence"]),
        "cores": os.cpu_count(),
    }
    write(record, arguments.out)
    print(json.dumps(record, indent=1))


def write(record: dict, folder: Path) -> None:
    """Writes the numbers, and the table between the markers of the README."""
    from results import keep

    peaks = record["peak_rss_mb"]
    rows = [[step, f"{value:.0f}", f"{peaks.get(step, float('nan')):.0f}"] for step, value in record["seconds"].items()]
    wanted = {
        f"{TARGET_S:.0f} s": record["total_s"] <= TARGET_S,
        f"{TARGET_MB:.0f} MB": peaks["total"] <= TARGET_MB,
    }
    said = "; ".join(f"{target}, {'met' if met else 'missed'}" for target, met in wanted.items())
    rows.append([f"all steps (wanted: {said})", f"{record['total_s']:.0f}", f"{peaks['total']:.0f}"])
    rows += [[f"floor: {name}", f"{value:.0f}", "-"] for name, value in record["floor_s"].items()]
    every = record["layers"] * record["floor_s"]["search, one layer"]
    rows.append([f"floor: search, {record['layers']} layers", f"{every:.0f}", "-"])
    note = (
        f"{record['clips']} clips, {record['layers']} layers, {record['weights']} weights, {record['cores']} cores. "
        f"Permuted labels, tests, untrained networks and the published protocol use {record['control_clips']} clips "
        "(whole groups). Rendering is part of *sounds*; the peaks are those reached by the end of each step."
    )
    keep(folder, "scale", record, ["step", "s", "peak RSS [MB]"], rows, note)


if __name__ == "__main__":
    main()
