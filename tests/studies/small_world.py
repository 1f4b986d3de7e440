"""A folder of tiny synthetic sounds with obvious factors, and weights of an untrained YAMNet, enough for a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch

from audiointerp.backbones.yamnet import YAMNet
from audiointerp.data.modal import modal_response

MATERIALS = {"metal": (900.0, 4.0), "wood": (250.0, 45.0)}  # lowest mode [Hz], decay [1/s]
ACTIONS = {"tap": 1, "rub": 60}  # strikes
RATES = (16000, 22050, 44100)


def write_sounds(root: Path, objects: int = 6, takes: int = 2, seed: int = 0) -> Path:
    """Writes clips of 0.3 to 1.2 s at mixed rates and channels with `index.csv`; a group is an object under an action.

    The column `coin` is a label drawn by object: it means nothing and must not be read.
    """
    root.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = []
    for material, (lowest, decay) in MATERIALS.items():
        for action, strikes in ACTIONS.items():
            coins = rng.permutation(np.arange(objects) % 2)
            for thing in range(objects):
                modes = lowest * rng.uniform(0.9, 1.1) * np.array([1.0, 2.7, 5.4])
                for take in range(takes):
                    rate = RATES[len(rows) % len(RATES)]
                    length = round(rate * rng.uniform(0.3, 1.2))
                    wave = np.zeros(length)
                    for start in rng.integers(0, length, strikes) if strikes > 1 else [0]:
                        rest = length - start
                        wave[start:] += modal_response(modes, np.full(3, decay), np.array([1.0, 0.5, 0.2]), rest, rate)
                    wave = 0.5 * wave / np.abs(wave).max() + 1e-3 * rng.standard_normal(length)
                    stereo = len(rows) % 2
                    name = f"{material}_{action}_{thing}_{take}.wav"
                    soundfile.write(root / name, np.stack([wave, 0.8 * wave], axis=1) if stereo else wave, rate)
                    group = f"{material} {action} {thing}"
                    rows.append((name, group, material, action, "heads" if coins[thing] else "tails"))
    columns = ["path", "group", "material", "action", "coin"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "index.csv", index=False)
    return root


def write_weights(folder: Path, seed: int = 0) -> Path:
    """Writes the weights of an untrained YAMNet as `yamnet.pth`."""
    folder.mkdir(parents=True)
    torch.save(YAMNet(weights="random", seed=seed).network.state_dict(), folder / "yamnet.pth")
    return folder
