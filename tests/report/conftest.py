"""A small finished run, with names that try to break out of the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from audiointerp import audio
from audiointerp.report import decoding_figures
from audiointerp.report.page import Page

HOSTILE = """<script>window.broken = true</script> & "double" 'single' </style> 🎧 {{ 7 * 7 }} $x$"""


def decoding(n_layers: int = 5) -> pd.DataFrame:
    """Accuracies of a stand-in under both protocols, of three untrained networks and of duration and level alone."""
    rows = []
    shape = np.sin(np.linspace(0.4, 2.6, n_layers))
    for factor, chance in (("material", 1 / 6), ("action", 1 / 4)):
        for network, protocol, seed, gain in (
            ("standin", "corrected", np.nan, 0.6),
            ("standin", "published", np.nan, 0.7),
            ("untrained", "corrected", 0, 0.18),
            ("untrained", "corrected", 1, 0.2),
            ("untrained", "corrected", 2, 0.22),
        ):
            bounded = network == "standin" and protocol == "corrected"
            kind = "cluster bootstrap" if bounded else "none"
            for layer, height in enumerate(shape, start=1):
                value = chance + gain * height
                rows.append({
                    "layer": f"layer{layer}", "factor": factor, "protocol": protocol, "probe": "knn",
                    "accuracy": value, "ci_low": value - 0.04 if bounded else np.nan,
                    "ci_high": value + 0.04 if bounded else np.nan, "interval": kind,
                    "chance": chance, "n_clips": 400, "n_groups": 40, "network": network, "seed": seed,
                })  # fmt: skip
        level = {**rows[-1], "layer": "duration and level", "network": "none", "seed": np.nan, "protocol": "corrected"}
        rows.append({**level, "accuracy": chance + 0.1})
    return pd.DataFrame(rows)


def fill(folder: Path, *, n_sounds: int = 3, seconds: float = 0.4) -> Page:
    """Writes a run: its page, results, two tables, a figure and sounds."""
    table = decoding()
    for part in ("tables", "figures", "audio"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "tables" / "decoding.csv", index=False)
    odd = pd.DataFrame(
        {"class": [HOSTILE, "wood", "metal"], "p_value": [np.nan, 2.5e-6, 0.123456], "n_clips": [10, 9, 1]}
    )
    odd.to_csv(folder / "tables" / "odd.csv", index=False)
    drawn = decoding_figures.layer_curves(
        table, factor="material", title=f"A title {HOSTILE}".replace("🎧", ""), probe="knn", best="layer3"
    )
    for ending in ("svg", "png"):
        drawn.savefig(folder / "figures" / f"decoding.{ending}", dpi=60)
    page = Page(f"A study {HOSTILE}", f"What is read? {HOSTILE}")
    page.warn(f"Stand-in network {HOSTILE}")
    page.verdict("Material is read best from layer 3 (.77 [.73, .81]).")
    page.section("What was compared", "Forty objects.")
    page.describe("decoding", f"Accuracy by layer {HOSTILE}")
    page.figure("decoding", f"Accuracy {HOSTILE}")
    cells = []
    for i in range(n_sounds):
        wave = 0.5 * np.sin(2 * np.pi * 440 * (i + 1) * np.arange(int(16000 * seconds)) / 16000)
        audio.write(folder / "audio" / f"{i}.wav", wave.astype(np.float32), 16000)
        lines = ["Speech 0.93", f"{HOSTILE} 0.21", "one take, 3 s"]
        caption = f"tone {i} {HOSTILE}"
        cells.append({"row": "tone", "column": f"c{i}", "audio": f"audio/{i}.wav", "caption": caption, "lines": lines})
    page.listen("Tones", cells)
    page.table("decoding", "Accuracy by layer", columns={"layer": "layer", "accuracy": "accuracy"}, folded=False)
    page.table("odd", "Odd names", folded=False)
    page.save(folder)
    results = {
        "experiment": "tiny", "status": "complete", "config": {"seed": 3, "study": {"name": HOSTILE}},
        "versions": {"numpy": "2.0"}, "dropped": [{"path": "a.wav", "reason": "silent"}],
        "results": {"best": {"layer": 3, "accuracy": 0.77}}, "seconds": {"decode": 75.0},
        "peak_rss_mb": {"decode": 210.5, "total": 210.5}, "ended": "2026-01-02T03:04:05+00:00",
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return page


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    fill(folder)
    return folder


@pytest.fixture
def make_run():
    return fill


@pytest.fixture
def decoding_table() -> pd.DataFrame:
    return decoding()


@pytest.fixture
def hostile() -> str:
    return HOSTILE
