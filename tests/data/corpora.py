"""Tiny folders in the layouts of the real corpora."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile


def tone(seed: int, duration_s: float = 0.3, rate: int = 16000, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(round(duration_s * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * (200 + 37 * (seed % 40)) * t) + 0.01 * rng.standard_normal(len(t))
    return wave if channels == 1 else np.stack([wave] * channels, axis=1)


def save(path: Path, wave: np.ndarray, rate: int = 16000, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, **options)
    return path


def fsdd(root: Path, digits=(0, 1, 2), speakers=("ann", "bob"), takes: int = 4) -> Path:
    for seed, (d, s, t) in enumerate((d, s, t) for d in digits for s in speakers for t in range(takes)):
        save(root / "recordings" / f"{d}_{s}_{t}.wav", tone(seed, 0.2, 8000), 8000)
    return root


def esc(root: Path) -> Path:
    rows = []
    for target, category, esc10 in [(0, "dog", True), (10, "rain", True), (36, "vacuum_cleaner", False)]:
        for n in range(6):
            name = f"{n % 3 + 1}-{target}{n // 2}-{'AB'[n % 2]}-{target}.ogg"
            save(root / "audio" / name, tone(target + n, 0.5, 44100, 2), 44100, format="OGG", subtype="VORBIS")
            rows.append((name, n // 2 + 1, target, category, esc10, f"00{target}{n // 2}", "AB"[n % 2]))
    columns = ["filename", "fold", "target", "category", "esc10", "src_file", "take"]
    (root / "meta").mkdir(parents=True)
    pd.DataFrame(rows, columns=columns).to_csv(root / "meta" / "esc50.csv", index=False)
    return root


def nsynth(root: Path) -> Path:
    examples = {}
    for family, pitches in {"flute": range(60, 72), "cello": range(48, 66)}.items():
        for pitch in pitches:
            for velocity in (50, 100):
                note = f"{family}_acoustic_000-{pitch:03d}-{velocity:03d}"
                save(
                    root / "audio" / f"{note}.{'flac' if velocity == 50 else 'wav'}",
                    tone(pitch + 10 * velocity + 5000 * (family == "cello")),
                )
                examples[note] = {
                    "pitch": pitch,
                    "velocity": velocity,
                    "instrument_str": f"{family}_acoustic_000",
                    "instrument_family_str": family,
                    "instrument_source_str": "acoustic",
                }
    (root / "examples.json").write_text(json.dumps(examples))
    return root


def maas(root: Path, duration_s: float = 12.0, rate: int = 48000) -> Path:
    for seed, name in enumerate(["WW", "WT", "MT", "MW"]):
        wave = tone(seed, duration_s, rate) * (0.2 + 0.1 * seed)
        save(root / f"{name}.wav", wave, rate, subtype="PCM_16")
        save(root / "reverb" / f"{name}.wav", wave[::-1] * 0.5, rate, subtype="PCM_16")
    return root


def table(root: Path, rows: int = 8, **columns) -> Path:
    """A folder with a CSV file, two materials by two actions, two files per group."""
    frame = pd.DataFrame(
        {
            "path": [f"s/{i}.wav" for i in range(rows)],
            "material": ["wood", "metal"] * (rows // 2),
            "action": ["walk"] * (rows // 2) + ["run"] * (rows // 2),
            "weight": np.arange(rows) / 2,
            "group": [f"g{i // 2}" for i in range(rows)],
        }
    ).assign(**columns)
    for i in range(rows):
        save(root / "s" / f"{i}.wav", tone(i))
    frame.to_csv(root / "index.csv", index=False)
    return root
