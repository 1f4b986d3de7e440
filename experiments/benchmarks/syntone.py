"""How fast SynTone is rendered, in both versions, beside a plain loop over clips and partials.

    python experiments/benchmarks/syntone.py [--out FOLDER]

All 32,000 clips are rendered to samples and to pictures; the loop does the first part of it on a sample of the clips,
and both are compared. Writes `syntone.json` and the table in this folder's README.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch

from audiointerp.data import tones
from audiointerp.data.syntone import SynTone
from audiointerp.data.syntone_grid import TIMBRE, VERSIONS
from audiointerp.study import peak_rss_mb, stream

BATCH = 256
SAMPLE = 320
TARGET_S = 15.0


def by_batches(sounds: SynTone, pictures: bool) -> float:
    """Renders all clips, gives seconds of wall clock."""
    begin = time.perf_counter()
    for start in range(0, len(sounds), BATCH):
        samples = sounds.batch(np.arange(start, min(start + BATCH, len(sounds))))
        if pictures:
            sounds.front_end(samples)
    return time.perf_counter() - begin


def by_loop(sounds: SynTone, clips: np.ndarray) -> tuple[float, np.ndarray]:
    """Renders clips one by one, a sine per partial (or the ideal shape, as published); gives seconds and samples."""
    values = sounds.values()
    phases = stream(sounds.seed, "phases").random(int(sounds.index[-1]) + 1)[sounds.index]
    out = np.empty((len(clips), sounds.length), np.float32)
    begin = time.perf_counter()
    for row, i in enumerate(clips):
        name, f0, amplitude = values[TIMBRE][i], values["f0_hz"][i], values["amplitude"][i]
        if sounds.version == "published":
            cycles = f0 * np.linspace(0, sounds.length / sounds.sample_rate, sounds.length)
            out[row] = amplitude * tones.naive(name, torch.from_numpy(cycles)).numpy()
            continue
        cycles = f0 * np.arange(sounds.length) / sounds.sample_rate + phases[i]
        highest = 1 if name == "sine" else max(1, int(np.ceil(sounds.sample_rate / 2 / f0)) - 1)
        total = np.zeros(sounds.length)
        for number, strength in enumerate(tones.partials(name, highest), start=1):
            if strength:
                total += strength * np.sin(2 * np.pi * number * cycles)
        out[row] = amplitude * total
    return time.perf_counter() - begin, out


def measure(version: str) -> dict:
    """Measures one version, the loop between two passes by batches."""
    sounds = SynTone(version=version, progress=lambda items, **_: items)
    sounds.batch(np.arange(BATCH))
    clips = np.sort(stream(0, "benchmark", version).choice(len(sounds), SAMPLE, replace=False))
    before = by_batches(sounds, pictures=False)
    seconds, looped = by_loop(sounds, clips)
    after = by_batches(sounds, pictures=False)
    loop = seconds * len(sounds) / SAMPLE
    return {
        "version": version,
        "clips": len(sounds),
        "samples_s": round((before + after) / 2, 2),
        "loop_s": round(loop, 1),
        "times_faster": round(2 * loop / (before + after), 1),
        "largest_difference": float(np.abs(sounds.waveforms(clips) - looped).max()),
        "samples_and_pictures_s": round(by_batches(sounds, pictures=True), 1),
    }


def main() -> None:
    from results import keep

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder with README.md")
    folder = parser.parse_args().out
    record = {
        "runs": [measure(version) for version in VERSIONS],
        "target_s": TARGET_S,
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "load_average": round(os.getloadavg()[0], 2),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }
    print(json.dumps(record, indent=1))
    header = [
        "version",
        "clips",
        "samples [s]",
        "by a loop [s]",
        "times faster",
        "largest difference",
        "and pictures [s]",
    ]
    rows = [list(run.values()) for run in record["runs"]]
    note = (
        f"Wanted: {TARGET_S:g} s for the 32,000 clips of the default. {record['cores']} cores, load average "
        f"{record['load_average']}, peak RSS {record['peak_rss_mb']} MB. The loop took {SAMPLE} clips, scaled."
    )
    keep(folder, "syntone", record, header, rows, note)


if __name__ == "__main__":
    main()
