"""Trains a few steps in as many processes as asked for and writes the losses and last weights; run as a script."""

import functools
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch

from audiointerp.backbones.cnn12 import CNN12
from audiointerp.data.base import Sounds
from audiointerp.data.crops import Clips, Crops, WholeClips, clip_loader, crop_loader
from audiointerp.disentangle.flow import FactorFlow
from audiointerp.disentangle.models import BetaTCVAE
from audiointerp.training.contrast import Contrast
from audiointerp.training.fit_flow import FlowFit, FlowSettings
from audiointerp.training.fit_vae import VAESettings, fit_vae
from audiointerp.training.recognise import Recognition
from audiointerp.training.schedule import Optimisation
from tests.disentangle.planted import linear_world

NETWORK = {"channels": [4, 8], "kernels": [11, 3], "pools": [4, 4], "embedding": 8, "segment_s": 0.05}


class Noises(Sounds):
    """Noise of two levels of roughness."""

    name, pad, sample_rate = "Noises", "zeros", 8000

    def __init__(self, clips=16, length=1200):
        self.lengths = np.full(clips, length)
        self.factors = pd.DataFrame({"kind": [str(i % 2) for i in range(clips)]})
        self.preprocessing, self.clip_keys = {}, [f"noise {i} {length}" for i in range(clips)]

    def waveform(self, i):
        wave = np.random.default_rng(i).standard_normal(int(self.lengths[i])).astype(np.float32)
        return wave if i % 2 else np.convolve(wave, np.ones(9, np.float32) / 9, "same").astype(np.float32)


class Losses(pl.Callback):
    """Keeps the loss of each step, as the processes' mean."""

    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        loss = outputs["loss"].detach().clone()
        if trainer.world_size > 1:
            torch.distributed.all_reduce(loss)
        self.values.append(float(loss) / trainer.world_size)


def train(kind, processes):
    sounds = Noises()
    clips = Clips(sounds, 500)
    targets = torch.arange(len(sounds)) % 2
    rows = np.arange(len(sounds))
    network = CNN12(output_names=["smooth", "rough"], seed=0, **NETWORK).requires_grad_(True)
    optimisation = Optimisation(learning_rate=3e-3)
    if kind == "contrast":
        module = Contrast(network, optimisation, projection=(8, 8), temperature=0.2)
    else:
        module = Recognition(network, optimisation)
    losses = Losses()
    trainer = pl.Trainer(
        accelerator="cpu", devices=processes, strategy="ddp" if processes > 1 else "auto", max_steps=4, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, callbacks=[losses],
        use_distributed_sampler=False,
    )  # fmt: skip
    crops = Crops(clips, targets, rows, 8, 500, views=2 if kind == "contrast" else 1)
    trainer.fit(module, crop_loader(crops))
    found = {"losses": losses.values, "weights": network.blocks[1].conv.weight.flatten().tolist()}
    if kind == "recognition":
        trainer.validate(module, clip_loader(WholeClips(clips, targets, rows, 3)), verbose=False)
        found |= {"logits": module.evaluated[0].tolist(), "positions": module.evaluated[2].tolist()}
    return found, trainer.is_global_zero


def fit(processes, folder):
    """Fits a flow and a VAE as the studies do; gives what came out as plain numbers."""
    scores, labels, _ = linear_world(300)
    make_trainer = functools.partial(
        pl.Trainer, accelerator="cpu", devices=processes, strategy="ddp" if processes > 1 else "auto",
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    places = {"folder": folder / "run", "cache": folder / "cache", "seed": 0}
    settings = FlowSettings(batch=64, pairs_per_sound=4.0, learning_rate=5e-3, epochs=3)
    make_flow = functools.partial(FactorFlow, stages=1, hidden=8, depth=1)
    rows = np.arange(200), np.arange(200, 300)
    blocks = {"kind": 3, "size": 2}
    flow = FlowFit(make_flow, make_trainer, scores, labels, *rows, blocks, settings, **places).fit()
    pictures = np.random.default_rng(0).random((96, 12, 4), dtype=np.float32)
    model, rows = BetaTCVAE(latents=2, channels=(4, 4), hidden=8), (np.arange(64), np.arange(64, 96))
    vae = fit_vae(model, make_trainer, pictures, *rows, VAESettings(batch=32, epochs=2), **places)
    found = {"nats": [flow.nats_per_dim], "epochs": [flow.epochs], "codes": vae.encode(pictures).flatten().tolist()}
    return found | {"latents": flow.flow(torch.from_numpy(scores))[0].flatten().tolist()}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    out, processes = sys.argv[1], int(sys.argv[2])
    results = {"fit": fit(processes, Path(out).parent)}
    for kind in ("contrast", "recognition"):
        results[kind], first = train(kind, processes)
    if first:
        with open(out, "w", encoding="utf-8") as file:
            json.dump(results, file)
