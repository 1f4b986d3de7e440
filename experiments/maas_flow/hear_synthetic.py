"""What the real YAMNet hears in synthetic MaAS: its top classes for each material and action, averaged over clips.

    python experiments/maas_flow/hear_synthetic.py --weights FILE [--clips 960] [--out FOLDER]

Writes `hear_synthetic.json`, `hear_synthetic.csv` (one row per cell and rank) and a table of the README. A cell counts
as heard for what it is if one of the words listed here for its material or its action is among the five classes with
the highest mean scores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from audiointerp.backbones.yamnet import YAMNet
from audiointerp.collect import fill
from audiointerp.data.segments import Segments
from audiointerp.data.synthetic_maas import VERSION, SyntheticMaAS
from audiointerp.report.cells import markdown
from audiointerp.study import write_atomically

# Written down before the first scores were looked at; AudioSet has no class for stone, plastic or cardboard as such.
MATERIAL_WORDS = {
    "metal": "Bell|Ding|Clang|Ping|Coin (dropping)|Cowbell|Tubular bells|Church bell|Bicycle bell|Keys jangling|"
    "Jingle bell|Cutlery, silverware|Dishes, pots, and pans|Singing bowl|Chime|Wind chime|Gong|Cymbal|Tuning fork|"
    "Filing (rasp)|Steelpan|Glockenspiel|Jingle, tinkle|Change ringing (campanology)|Doorbell|Ding-dong|Hammer",
    "glass": "Glass|Chink, clink|Shatter|Dishes, pots, and pans|Ping|Ding|Jingle, tinkle|Wind chime|Breaking|"
    "Cutlery, silverware|Glockenspiel|Chime",
    "stone": "Crushing|Crunch|Scrape|Thump, thud|Crack|Tick|Clatter|Rattle|Rub",
    "wood": "Wood|Wood block|Knock|Chop|Splinter|Crack|Marimba, xylophone|Sanding|Sawing|Creak|Hammer|Clip-clop|"
    "Mallet percussion|Door",
    "plastic": "Crackle|Bouncing|Clicking|Tap|Rattle|Ping|Squeak|Computer keyboard|Typing|Ratchet, pawl|"
    "Crumpling, crinkling|Clatter|Mouse|Basketball bounce|Drum",
    "cardboard": "Thump, thud|Crumpling, crinkling|Tearing|Rub|Knock|Rustle|Thunk|Flap|Drum|Bass drum|Scratch|Writing",
}
ACTION_WORDS = {
    "tap": "Tap|Knock|Tick|Ping|Ding|Chink, clink|Clang|Thump, thud|Bouncing|Thunk|Clicking|Wood block|"
    "Coin (dropping)|Hammer|Bell|Slap, smack|Basketball bounce|Drum|Bass drum|Percussion|Mallet percussion|Cowbell|"
    "Tuning fork|Chop|Whack, thwack|Marimba, xylophone|Tubular bells|Chime",
    "rub": "Rub|Scratch|Scrape|Sanding|Filing (rasp)|Squeak|Sawing|Scratching (performance technique)|Squeal|"
    "Creak|Writing|Whoosh, swoosh, swish|Toothbrush|Electric toothbrush|Zipper (clothing)",
    "destruct": "Breaking|Shatter|Smash, crash|Crack|Splinter|Crushing|Crunch|Crumpling, crinkling|Tearing|Crackle|"
    "Chop|Chopping (food)|Clatter|Rustle|Burst, pop",
    "whirl": "Roll|Rattle|Clatter|Bouncing|Rattle (instrument)|Maraca|Shuffling cards|Shuffle|Jingle, tinkle|"
    "Skateboard|Tambourine|Ratchet, pawl|Cutlery, silverware|Coin (dropping)|Dishes, pots, and pans|"
    "Keys jangling|Gurgling|Sewing machine|Train|Rail transport|Clickety-clack",
}


def hear(sounds: SyntheticMaAS, backbone: YAMNet, batch: int = 64) -> np.ndarray:
    """Scores (sigmoid of the logits) of all clips, means over their segments, shape `(N, 521)`."""
    segments = Segments(sounds, backbone.segment_samples, backbone.hop_samples)
    scores = []
    with torch.inference_mode():
        for start in range(0, len(segments), batch):
            waveforms = segments.batch(np.arange(start, min(start + batch, len(segments))))
            scores.append(torch.sigmoid(backbone(backbone.front_end(waveforms))).numpy())
    return pd.DataFrame(np.concatenate(scores)).groupby(segments.table["clip"].to_numpy()).mean().to_numpy()


def summarise(sounds: SyntheticMaAS, scores: np.ndarray, names: list[str], top: int) -> list[dict]:
    """One record per cell: its top classes with mean scores, and where the expected words stand."""
    cells = []
    for (material, action), rows in sounds.factors.groupby(["material", "action"], sort=False).groups.items():
        mean = scores[rows].mean(0)
        order = np.argsort(-mean)
        ranked = [names[k] for k in order]
        words = {"material": MATERIAL_WORDS[material].split("|"), "action": ACTION_WORDS[action].split("|")}
        first = {kind: next((w for w in ranked if w in words[kind]), None) for kind in words}
        ranks = {kind: ranked.index(word) + 1 if word else None for kind, word in first.items()}
        cells.append(
            {
                "material": material,
                "action": action,
                "clips": len(rows),
                "top": [{"name": names[k], "score": round(float(mean[k]), 4)} for k in order[:top]],
                "expected": {
                    kind: {
                        "name": first[kind],
                        "rank": ranks[kind],
                        "score": round(float(mean[order[ranks[kind] - 1]]), 4),
                    }
                    for kind in words
                    if first[kind]
                },
                "material_heard": bool(ranks["material"] and ranks["material"] <= 5),
                "action_heard": bool(ranks["action"] and ranks["action"] <= 5),
            }
        )
    return cells


def write_page(record: dict, readme: Path) -> None:
    """Writes the table between the markers of the README."""
    rows = [
        [cell["material"], cell["action"], "yes" if cell["material_heard"] else "no"]
        + ["yes" if cell["action_heard"] else "no", ", ".join(f"{t['name']} {t['score']:.2f}" for t in cell["top"][:5])]
        for cell in record["cells"]
    ]
    note = (
        f"Of {len(rows)} cells the material is heard in {record['material_heard']}, the action in "
        f"{record['action_heard']}, either in {record['either_heard']}, both in {record['both_heard']} "
        f"({record['clips']} clips)."
    )
    header = ["material", "action", "material heard", "action heard", "highest classes, mean score"]
    fill(readme, f"{note}\n\n{markdown(header, rows)}", "hear")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--weights", default="auto", help="file with YAMNet's weights; auto looks for it, or fetches it"
    )
    parser.add_argument("--clips", type=int, default=960, help="clips in all, a multiple of 24")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--top", type=int, default=8, help="classes listed per cell")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder with README.md, for the results"
    )
    arguments = parser.parse_args()
    sounds = SyntheticMaAS(clips=arguments.clips, seed=arguments.seed)
    backbone = YAMNet(weights=arguments.weights)
    scores = hear(sounds, backbone)
    cells = summarise(sounds, scores, list(backbone.output_names), arguments.top)
    record = {
        "synthesis": VERSION,
        "seed": arguments.seed,
        "clips": len(sounds),
        "weights": backbone.weights.sha256,
        "cells": cells,
        "material_heard": sum(cell["material_heard"] for cell in cells),
        "action_heard": sum(cell["action_heard"] for cell in cells),
        "either_heard": sum(cell["material_heard"] or cell["action_heard"] for cell in cells),
        "both_heard": sum(cell["material_heard"] and cell["action_heard"] for cell in cells),
    }
    write_atomically(arguments.out / "hear_synthetic.json", json.dumps(record, indent=1) + "\n")
    rows = [
        {"material": c["material"], "action": c["action"], "rank": rank, "class": t["name"], "score": t["score"]}
        for c in cells
        for rank, t in enumerate(c["top"], start=1)
    ]
    write_atomically(arguments.out / "hear_synthetic.csv", pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    write_page(record, arguments.out / "README.md")
    for c in cells:
        shown = ", ".join(f"{t['name']} {t['score']:.2f}" for t in c["top"][:6])
        print(f"{c['material']:>9} {c['action']:<8} {'M' if c['material_heard'] else '-'}"
              f"{'A' if c['action_heard'] else '-'}  {shown}")  # fmt: skip
    print(
        *(f"{key}={record[key]}" for key in ("material_heard", "action_heard", "either_heard", "both_heard")), "of 24"
    )


if __name__ == "__main__":
    main()
