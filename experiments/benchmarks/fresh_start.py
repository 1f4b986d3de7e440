"""From nothing to the report: a clone of this repository in a temporary folder, and the first command of its README.

    python experiments/benchmarks/fresh_start.py

Nothing of this machine's corpora, weights and caches is seen by it. Writes `fresh_start.json` and the table in this
folder's README: seconds of installation and of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from audiointerp.study import UserError

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
TARGET_S = 480.0


def first_command(readme: str) -> list[str]:
    """Gives the steps of the first command of a README: what stands between `&&` in its first shell block.

    Raises:
        UserError: If there is none.
    """
    found = re.search(r"```sh\n(.*?)\n```", readme, re.DOTALL)
    if found is None:
        raise UserError("expected a shell block in the README, got none")
    return [step.strip() for step in found.group(1).split("&&")]


def clean_environment(home: Path) -> dict[str, str]:
    """Gives the environment without this project's settings and without this Python's packages, caches in `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUDIOINTERP_", "PYTHON"))}
    kept.pop("VIRTUAL_ENV", None)
    return kept | {"XDG_CACHE_HOME": str(home / "cache"), "HOME": str(home), "WANDB_MODE": "offline"}


def measure(python: str) -> dict[str, object]:
    """Clones, installs and runs; gives seconds of each step."""
    with tempfile.TemporaryDirectory() as folder:
        clone, home = Path(folder) / "audiointerp", Path(folder) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
        steps = first_command((clone / "README.md").read_text(encoding="utf-8"))
        script = "set -e\n" + "".join(f"{step}\necho step-took $SECONDS\n" for step in steps)
        script = script.replace("python3", python, 1)
        environment = clean_environment(home)
        begin = time.perf_counter()
        done = subprocess.run(
            ["bash", "-c", script], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        total = time.perf_counter() - begin
        if done.returncode:
            raise UserError(f"expected the first command to end well, got {done.returncode}: {done.stderr[-2000:]}")
        marks = [0, *map(int, re.findall(r"^step-took (\d+)$", done.stdout, re.MULTILINE))]
        (report,) = (clone / "outputs" / "maas_flow").glob("*/report.html")
        record = json.loads((report.parent / "results.json").read_text(encoding="utf-8"))
        return {
            "steps": dict(zip(steps, np.diff(marks).tolist(), strict=True)),
            "total_s": round(total, 1),
            "target_s": TARGET_S,
            "clips": record["results"]["sounds"]["clips"],
            "weights": record["results"]["weights"],
            "seconds": record["seconds"],
            "peak_rss_mb": record["peak_rss_mb"]["total"],
            "report_mb": round(report.stat().st_size / 1e6, 1),
            "cores": os.cpu_count(),
            "load_average": round(os.getloadavg()[0], 2),
        }


def main() -> None:
    """Reads the command line, measures and writes."""
    from results import keep

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="python3", help="interpreter that makes the environment")
    arguments = parser.parse_args()
    record = measure(arguments.python)
    rows = [[f"`{step}`", seconds] for step, seconds in record["steps"].items()]
    met = "met" if record["total_s"] <= TARGET_S else "missed"
    rows.append([f"all (wanted: {TARGET_S:.0f} s, {met})", round(record["total_s"])])
    note = (
        f"{record['clips']} clips, {record['weights']} weights, {record['cores']} cores, load average "
        f"{record['load_average']}, peak RSS {record['peak_rss_mb']:.0f} MB, report {record['report_mb']} MB."
    )
    keep(HERE, "fresh_start", record, ["step", "s"], rows, note)
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
