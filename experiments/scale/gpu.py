"""Extraction, and training of a flow, a VAE and CNN12, on a GPU beside the CPU, with and without bfloat16.

    python experiments/scale/gpu.py                    (every device there is)
    python experiments/scale/gpu.py --devices cpu --steps 5

The same code as the studies', a Lightning trainer with `precision`; throughput is measured behind a few steps of
warm-up, with the device synchronised. Writes `gpu` of results.json and the table of the README.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from extraction import Noises

HERE = Path(__file__).resolve().parent
WARM_UP = 3


class Clock(pl.Callback):
    """Measures seconds per step behind the warm-up, and the loss of the last one."""

    def __init__(self) -> None:
        self.begin, self.steps, self.seconds, self.loss = 0.0, 0, 0.0, float("nan")

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.steps += 1
        if self.steps == WARM_UP:
            self.begin = now
        self.seconds = now - self.begin
        if outputs is not None:
            self.loss = float(outputs["loss"])

    @property
    def rate(self) -> float:
        """Steps per second."""
        return (self.steps - WARM_UP) / self.seconds


def trained(module: pl.LightningModule, loader: Any, device: str, precision: str, steps: int) -> Clock:
    """Trains a few steps under a clock."""
    clock = Clock()
    trainer = pl.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu", devices=1, precision=precision, max_steps=steps + WARM_UP,
        max_epochs=-1, callbacks=[clock], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0, use_distributed_sampler=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, loader)
    return clock


def extraction(device: str, precision: str, steps: int) -> dict[str, Any]:
    """All 14 layers of YAMNet, as the studies extract them; clips per second, the fit of the reductions included."""
    from audiointerp.activations.extract import extract
    from audiointerp.backbones.yamnet import PATCH_SAMPLES, YAMNet

    clips = 512 * max(2, steps // 4)
    backbone, sounds = YAMNet(weights="random").to(device), Noises(clips, PATCH_SAMPLES)
    bits = "bf16" if precision == "bf16-mixed" else "float32"
    with tempfile.TemporaryDirectory() as cache:
        extract(backbone, Noises(512, PATCH_SAMPLES), range(0, 512, 8), cache, keep=[], precision=bits)
        begin = time.perf_counter()
        found = extract(backbone, sounds, range(0, clips, 5), cache, keep=[], precision=bits)
        seconds = time.perf_counter() - begin
    return {"per_second": clips / seconds, "unit": "clips", "check": float(np.abs(found.output).mean())}


def flow(device: str, precision: str, steps: int) -> dict[str, Any]:
    """The factor flow of the main job on 64 components; pairs per second."""
    from audiointerp.disentangle.flow import RESIDUAL, FactorFlow
    from audiointerp.disentangle.pairs import PairLikelihood
    from audiointerp.training.flow import FlowTraining, PairBatches

    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((20_000, 64), dtype=np.float32), rng.integers(0, 4, (20_000, 2))
    network = FactorFlow(features=64, blocks={"first": 3, "second": 3}, seed=0)
    parts = {name: part for name, part in network.blocks.items() if name != RESIDUAL}
    module = FlowTraining(network, PairLikelihood(parts, 0.9, "normalised"))
    batches = PairBatches(scores, labels, 512, 200, 0, "pairs")
    clock = trained(module, torch.utils.data.DataLoader(batches, batch_size=None), device, precision, 4 * steps)
    return {"per_second": 512 * clock.rate, "unit": "pairs", "check": clock.loss}


def vae(device: str, precision: str, steps: int) -> dict[str, Any]:
    """A beta-VAE on mel pictures; pictures per second."""
    from audiointerp.disentangle.models import BetaVAE
    from audiointerp.training.fit_vae import VAESettings, training_of
    from audiointerp.training.vae import PictureBatches

    pictures = np.random.default_rng(0).random((4096, 64, 32), dtype=np.float32)
    module = training_of(BetaVAE(), (64, 32), 4096, VAESettings(), "corrected", 0)
    loader = PictureBatches(pictures, np.arange(4096), 128, 0).loader()
    clock = trained(module, loader, device, precision, steps)
    return {"per_second": 128 * clock.rate, "unit": "pictures", "check": clock.loss}


def cnn12(device: str, precision: str, steps: int, width: float = 1.0) -> dict[str, Any]:
    """CNN12 with 13.9 M parameters on crops of 1 s at 8 kHz; crops per second."""
    from audiointerp.backbones.cnn12 import CNN12
    from audiointerp.training.recognise import Recognition
    from audiointerp.training.schedule import Optimisation

    network = CNN12(width=width, output_names=[str(k) for k in range(10)]).requires_grad_(True)
    batch = 32
    crops = 0.1 * torch.randn(8 * batch, 8000, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(len(crops)) % 10
    batches = [(crops[k : k + batch], targets[k : k + batch]) for k in range(0, len(crops), batch)]
    loader = torch.utils.data.DataLoader(batches, batch_size=None)
    module = Recognition(network, Optimisation(learning_rate=1e-4))
    clock = trained(module, loader, device, precision, max(2, steps // 4))
    return {"per_second": batch * clock.rate, "unit": "crops", "check": clock.loss}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "extraction, 14 layers of YAMNet": extraction,
    "training a flow": flow,
    "training a VAE": vae,
    "training CNN12": cnn12,
}


def measured(devices: list[str], steps: int, width: float) -> list[dict[str, Any]]:
    """Measures every task on every device, in float32 and with bfloat16."""
    rows = []
    for name, task in TASKS.items():
        given = partial(task, width=width) if task is cnn12 else task
        for device in devices:
            for precision in ("32-true", "bf16-mixed"):
                row = {"task": name, "device": device, "precision": precision, **given(device, precision, steps)}
                if device == "cuda":
                    row["peak_mb"] = round(torch.cuda.max_memory_allocated() / 1e6)
                    torch.cuda.reset_peak_memory_stats()
                rows.append(row)
                print(row, flush=True)
    return rows


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", nargs="+", choices=["cpu", "cuda"], help="by default those there are")
    parser.add_argument("--steps", type=int, default=40, help="measured steps of a training; more for the quick ones")
    parser.add_argument("--width", type=float, default=1.0, help="factor on CNN12's filters")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    devices = given.devices or ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    if "cuda" in devices and not torch.cuda.is_available():
        raise SystemExit("expected a CUDA device, torch finds none: --devices cpu")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    rows = measured(devices, given.steps, given.width)
    facts = {
        "rows": rows,
        "steps": given.steps,
        "width": given.width,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if "cuda" in devices else None,
    }
    from results import keep

    from audiointerp.report.cells import markdown

    slowest = {row["task"]: row["per_second"] for row in rows[::-1] if row["precision"] == "32-true"}
    lines = [
        [
            row["task"],
            row["device"],
            {"32-true": "float32", "bf16-mixed": "bf16"}[row["precision"]],
            f"{row['per_second']:,.0f} {row['unit']}",
            f"{row['per_second'] / slowest[row['task']]:.1f}",
            f"{row['check']:.4g}",
        ]
        for row in rows
    ]
    heads = ["what", "device", "precision", "per second", f"times {devices[0]} float32", "last loss, or mean |logit|"]
    note = f"GPU: {facts['gpu'] or 'none on this machine'}. CPU: {facts['threads']} threads on {os.cpu_count()} cores."
    if given.width != 1.0:
        note += f" CNN12 has {given.width:g} of its filters."
    keep(given.out, "gpu", facts, f"{markdown(heads, lines)}\n\n{note}")


if __name__ == "__main__":
    main()
