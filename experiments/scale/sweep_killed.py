"""A sweep of 2 x 3 x 2 jobs that is killed half-way and continued, and a report that is drawn again without its data.

    python experiments/scale/sweep_killed.py

Writes `sweep` of results.json and the table of the README; `--keep FOLDER` keeps the sweep's page.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SWEPT = {"study.components": "4,16", "study.neighbours": "1,3,5", "seed": "0,1"}
JOB = (
    "experiment=maas_decode", "data=folder", "data.root=sounds", "backbone.weights=random", "logger=none", "device=cpu",
    "study.untrained=1", "study.permutations=19", "study.folds=4", "study.listen=2", "paths.cache=cache",
    "paths.weights=null",
)  # fmt: skip


def write_sounds(folder: Path, clips: int) -> None:
    """Writes synthetic impacts as a folder of sounds with an index."""
    import pandas as pd

    from audiointerp import audio
    from audiointerp.data.synthetic_maas import SyntheticMaAS

    sounds = SyntheticMaAS(clips=clips, objects=4, sample_rate=16000, materials=["metal", "wood"])
    folder.mkdir()
    names = [f"{number:03d}.wav" for number in range(len(sounds))]
    for number, name in enumerate(names):
        audio.write(folder / name, sounds.waveform(number), 16000)
    table = pd.concat([sounds.factors.reset_index(drop=True), sounds.group.reset_index(drop=True)], axis=1)
    table.insert(0, "path", names)
    table.to_csv(folder / "index.csv", index=False)


def command() -> list[str]:
    """The sweep's command line."""
    swept = [f"{key}={values}" for key, values in SWEPT.items()]
    return [sys.executable, "-m", "audiointerp", "-m", *JOB, *swept]


def finished(place: Path) -> list[Path]:
    """Folders of finished jobs."""
    files = place.glob("outputs/maas_decode/sweep-*/*/results.json")
    return sorted(file.parent for file in files if json.loads(file.read_text(encoding="utf-8"))["status"] == "complete")


def run(place: Path, seed: int) -> dict[str, Any]:
    """Starts the sweep, kills it after half of its jobs, starts it again, and looks at what there is."""
    jobs = 1
    for values in SWEPT.values():
        jobs *= len(values.split(","))
    said = open(place / "said", "a", encoding="utf-8")
    process = subprocess.Popen(command(), cwd=place, stdout=said, stderr=said, start_new_session=True)
    while len(finished(place)) < jobs // 2 and process.poll() is None:
        time.sleep(0.05)
    time.sleep(random.Random(seed).random() * 2.0)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {folder: (folder / "results.json").stat().st_mtime_ns for folder in finished(place)}
    begin = time.monotonic()
    code = subprocess.run(command(), cwd=place, stdout=said, stderr=said, check=False).returncode
    seconds = time.monotonic() - begin
    said.close()
    sweeps = sorted(place.glob("outputs/maas_decode/sweep-*"))
    table = json.loads((sweeps[-1] / "comparison.json").read_text(encoding="utf-8"))
    untouched = all((folder / "results.json").stat().st_mtime_ns == time_ns for folder, time_ns in before.items())
    return {
        "jobs": jobs,
        "finished_when_killed": len(before),
        "run_by_the_second_command": len(finished(place)) - len(before),
        "finished_before_left_alone": untouched,
        "jobs_on_the_page": len(table["jobs"]),
        "exit": code,
        "seconds_of_the_second": round(seconds, 1),
        "sweep": str(sweeps[-1]),
    }


def redrawn(place: Path, job: Path) -> bool:
    """Takes sounds and cache away, moves a run, draws its report again; whether it is the same page."""
    page = (job / "report.html").read_bytes()
    moved = place / "elsewhere"
    shutil.move(job, moved)
    (moved / "report.html").unlink()
    for gone in ("sounds", "cache"):
        shutil.rmtree(place / gone)
    subprocess.run([sys.executable, "-m", "audiointerp.report", str(moved)], cwd=place, check=True, capture_output=True)
    return (moved / "report.html").read_bytes() == page


def main() -> None:
    """Runs everything in a temporary folder and writes what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=192)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the sweep's page")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        place = Path(folder)
        write_sounds(place / "sounds", given.clips)
        facts = run(place, given.seed)
        sweep = Path(facts.pop("sweep"))
        if given.keep is not None:
            shutil.copytree(sweep, given.keep, dirs_exist_ok=True)
        facts["same_page_without_data"] = redrawn(place, finished(place)[-1])
    facts["command"] = " ".join(["python", *command()[1:]])
    from results import keep

    from audiointerp.report.cells import markdown

    rows = [[name.replace("_", " "), str(value)] for name, value in facts.items() if name != "command"]
    keep(given.out, "sweep", facts, markdown(["what", "found"], rows))
    print(facts)


if __name__ == "__main__":
    main()
