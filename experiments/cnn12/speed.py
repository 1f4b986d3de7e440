"""Clips per second of training and evaluation of CNN12, on a CPU and, where there is one, on a GPU in bf16.

    python experiments/cnn12/speed.py [--threads 1 2]

Trains through Lightning as the studies do: crops, augmentation, mixup, the optimiser's step; then evaluates whole
clips. The sounds are one second of synthetic sounds at 8 kHz. Writes the table between the markers in README.md and
speed.json; what was measured on another device before stays.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.collect import fill
from audiointerp.data.augment import Augmentation
from audiointerp.data.crops import Clips, Crops, WholeClips, clip_loader, crop_loader
from audiointerp.data.sound_families import SoundFamilies
from audiointerp.report.cells import markdown
from audiointerp.study import write_atomically
from audiointerp.training.contrast import Contrast
from audiointerp.training.recognise import Recognition
from audiointerp.training.schedule import Optimisation
from audiointerp.training.watch import Throughput

HERE = Path(__file__).parent
SMALL = {"pools": (4, 1, 4, 1, 4, 1, 4, 1, 4, 1, 1), "width": 0.125, "embedding": 128}
NETWORKS = {"cnn12_small": SMALL, "cnn12": {}, "cnn12, width 2": {"width": 2.0}}
CPU_SIZES = {"cnn12_small": (32, 8), "cnn12": (8, 2)}  # clips per step, steps


def measure(name: str, batch: int, steps: int, precision: str, gpu: bool) -> dict:
    """Measures one network: training with labels, by contrast, and evaluation."""
    sounds = SoundFamilies(clips=max(64, batch), length=8000, sample_rate=8000)
    clips, targets = Clips(sounds, 8000), torch.arange(len(sounds)) % 10
    rows = np.arange(len(sounds))
    outputs = [str(k) for k in range(10)]
    found = {"network": name, "batch": batch, "precision": precision}
    for kind, views, length in (("labels", 1, 8000), ("contrast", 2, 4000)):
        crops = Crops(clips, targets, rows, batch, length, batches=steps, views=views)
        for _ in range(2):  # the first round warms up
            network = CNN12(output_names=outputs, **NETWORKS[name]).requires_grad_(True)
            augmentation = Augmentation(mixup=0.2 if views == 1 else 0.0)
            module = (Recognition if views == 1 else Contrast)(network, Optimisation(), augmentation)
            throughput = Throughput()
            trainer = pl.Trainer(
                accelerator="gpu" if gpu else "cpu", devices=1, precision=precision, max_epochs=1,
                callbacks=[throughput], logger=False, enable_checkpointing=False, enable_progress_bar=False,
                enable_model_summary=False, use_distributed_sampler=False,
            )  # fmt: skip
            trainer.fit(module, crop_loader(crops))
        found[kind] = throughput.measured["clips_per_s"]
        found[f"{kind}_processor"] = batch * steps / throughput.measured["processor_s"]
        if views == 1:
            found |= {"waiting": throughput.measured["waiting_share"], "memory": throughput.measured["peak_memory_mb"]}
            whole = clip_loader(WholeClips(clips, targets, rows, batch))
            for _ in range(2):
                begin, processor = time.perf_counter(), time.process_time()
                trainer.validate(module, whole, verbose=False)
            found["evaluation"] = len(sounds) / (time.perf_counter() - begin)
            found["evaluation_processor"] = len(sounds) / (time.process_time() - processor)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    target = HERE / "speed.json"
    rows = json.loads(target.read_text(encoding="utf-8")) if target.is_file() else []
    places = [("GPU: " + torch.cuda.get_device_name(), None)] if torch.cuda.is_available() else []
    places += [(f"CPU, {threads} threads" if threads > 1 else "CPU, 1 thread", threads) for threads in given.threads]
    for place, threads in places:
        gpu = threads is None
        if not gpu:
            torch.set_num_threads(threads)
        for name in NETWORKS if gpu else CPU_SIZES:
            for precision in ("bf16-mixed", "32-true") if gpu else ("32-true",):
                batch, steps = (512, 40) if gpu else CPU_SIZES[name]
                row = {"device": place, **measure(name, batch, steps, precision, gpu), "torch": torch.__version__}
                same = ("device", "network", "precision")
                rows = [old for old in rows if any(old[key] != row[key] for key in same)] + [row]
                print(row, flush=True)
    rows.sort(key=lambda row: (row["network"], row["device"], row["precision"]))
    write_atomically(target, json.dumps(rows, indent=1) + "\n")
    heads = ["network", "device", "precision", "batch", "trained with labels", "by contrast, 2 x 0.5 s", "evaluated"]
    cells = [
        [row[column] for column in ("network", "device", "precision", "batch")]
        + [f"{row[kind]:.3g} ({row[kind + '_processor']:.3g})" for kind in ("labels", "contrast", "evaluation")]
        + [f"{row['waiting']:.2f}", f"{row['memory']:.0f}"]
        for row in rows
    ]
    words = (
        "Clips of 1 s per second (per processor second: what a machine that does nothing else would give to one core); "
        "peak memory is the process' on a CPU, the device's on a GPU. Load average: "
        f"{max(os.getloadavg()):.1f}."
    )
    if not any(row["device"].startswith("GPU") for row in rows):
        words += " No GPU was to be had: run the script where there is one, and its rows are added."
    table = markdown([*heads, "share of time without data", "peak memory [MB]"], cells)
    fill(HERE / "README.md", f"{table}\n\n{words} torch {torch.__version__}.", "speed")


if __name__ == "__main__":
    main()
