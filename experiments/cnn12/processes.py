"""Whether two processes train as one does on the same batches: the command line, once with each.

    python experiments/cnn12/processes.py

Augmentation is off: each process draws its own. Writes the table between the markers in README.md and processes.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch

from audiointerp.collect import fill
from audiointerp.report.cells import markdown
from audiointerp.study import write_atomically

HERE = Path(__file__).parent
REGIMES = ("scratch", "contrastive, fconly", "contrastive, full")
SIZES = (
    "experiment=cnn12_contrastive", "device=cpu", "logger=none", "data.clips=96", "data.objects=8", "study.seeds=1",
    "study.fractions=[1.0]", f"study.regimes={list(REGIMES)}",
    *(f"study.{part}.{setting}" for part in ("training", "pretraining")
      for setting in ("steps=20", "batch=16", "augmentation.probability=0", "augmentation.mixup=0")),
)  # fmt: skip


def run(processes: int, place: Path) -> tuple[pd.DataFrame, dict[str, dict]]:
    """Runs the study in so many processes; gives its scores and the weights that it leaves."""
    outputs = place / str(processes)
    strategy = "auto" if processes == 1 else "ddp"
    command = [sys.executable, "-m", "audiointerp", *SIZES, f"trainer.devices={processes}"]
    command += [f"trainer.strategy={strategy}", f"paths.outputs={outputs}", f"paths.cache={outputs}/cache"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (folder,) = outputs.glob("cnn12_contrastive/*")
    weights = {file.stem: torch.load(file, weights_only=True) for file in (folder / "checkpoints").glob("*.pt")}
    return pd.read_csv(folder / "tables" / "scores.csv").set_index("regime"), weights


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        (one, one_weights), (two, two_weights) = (run(processes, Path(place)) for processes in (1, 2))
    rows = []
    for name in REGIMES:
        stem = name.replace(", ", "-").replace(" ", "-")
        apart = [
            float((one_weights[stem][key] - two_weights[stem][key]).abs().max()) for key in one_weights.get(stem, {})
        ]
        losses = [float(table.loc[name, "train_loss"]) for table in (one, two)]
        accuracies = [float(table.loc[name, "accuracy"]) for table in (one, two)]
        rows.append({"regime": name, "losses": losses, "accuracies": accuracies, "weights": max(apart, default=None)})
    write_atomically(HERE / "processes.json", json.dumps(rows, indent=1) + "\n")
    cells = [
        [row["regime"], *[f"{loss:.6f}" for loss in row["losses"]], f"{abs(row['losses'][0] - row['losses'][1]):.1e}"]
        + ["-" if row["weights"] is None else f"{row['weights']:.1e}", *[f"{value:.4f}" for value in row["accuracies"]]]
        for row in rows
    ]
    columns = ["regime", "mean loss, one process", "two processes", "difference", "largest difference of a weight"]
    table = markdown([*columns, "accuracy, one process", "accuracy, two processes"], cells)
    fill(HERE / "README.md", f"{table}\n\n20 steps on batches of 16 in all, float32, gloo.", "processes")


if __name__ == "__main__":
    main()
