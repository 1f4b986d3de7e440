"""Kills, fills up and crowds the main job, starts the same command again, and compares what comes out.

    python experiments/scale/crash.py --kills 3
    python experiments/scale/crash.py --only output --only cache   (the other cases stay as they were recorded)
    python experiments/scale/crash.py --small-disk FOLDER   (FOLDER on a file system of a few MB, such as a tmpfs)

Each case has a cache and outputs of its own. A journal (`counted.py`) says which chunks were heard and which epochs
were trained, by whichever process; what stands in it twice was done again. Writes `crash` of results.json and the
table of the README.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
JOB = (
    "experiment=maas_flow", "backbone=cnn12_small", "backbone.width=0.0625", "data.clips=1200", "data.objects=10",
    "logger=none", "device=cpu", "study.decode.components=12", "study.decode.untrained=1",
    "study.decode.permutations=19", "study.decode.listen=2", "study.candidates=null", "study.layer=block8",
    "study.flow_seeds=2", "study.untrained_flows=0", "study.training.epochs=6", "study.training.batch=128",
    "study.most_pairs=100", "study.published=false", "study.dose_pairs=20", "study.examples=1", "paths.weights=null",
)  # fmt: skip
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
# What the rows of a case begin with, by the case's name; an old table says in brackets what was not tried.
CASES = {
    "extraction": "kill -9 in extraction",
    "training": "kill -9 in training",
    "report": "kill -9 in report",
    "full": "no file above",
    "output": "read-only output",
    "cache": "read-only cache",
    "crowded": "two processes on one store",
    "disk": "cache on a full disk",
}


class Case:
    """One cache, one folder of outputs, one journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache, self.journal = folder / "cache", folder / "journal"
        folder.mkdir(parents=True)

    def start(self, run: str = "run", before: Callable[[], None] | None = None, **changed: str) -> subprocess.Popen:
        """Starts the job in a process group of its own; its words go to a file."""
        settings = {"paths.cache": str(self.cache), "hydra.run.dir": str(self.folder / run), **changed}
        command = [sys.executable, str(HERE / "counted.py"), str(self.journal), *JOB]
        command += [f"{key}={value}" for key, value in settings.items()]
        with open(self.folder / "said", "a", encoding="utf-8") as said:
            return subprocess.Popen(
                command, stdout=said, stderr=said, cwd=self.folder, start_new_session=True, preexec_fn=before,
                env={**os.environ, "AUDIOINTERP_NO_REEXEC": "1", "LOKY_MAX_CPU_COUNT": "1"},
            )  # fmt: skip

    def finish(self, run: str = "run") -> bool:
        """Runs the job to its end; whether it got there."""
        return self.start(run).wait() == 0

    def lines(self, kind: str) -> list[str]:
        """Lines of the journal of one kind."""
        if not self.journal.is_file():
            return []
        return [line for line in self.journal.read_text(encoding="utf-8").splitlines() if line.startswith(kind)]

    def again(self, kind: str) -> int:
        """How many things of a kind were done more than once."""
        counts = collections.Counter(self.lines(kind))
        return sum(count - 1 for count in counts.values())

    def tables(self, run: str = "run") -> dict[str, bytes]:
        """The bytes of the run's tables."""
        return {file.name: file.read_bytes() for file in sorted((self.folder / run / "tables").glob("*.csv"))}

    def words(self) -> str:
        """What the last error said."""
        lines = (self.folder / "said").read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if line.startswith("error:")]
        return errors[-1].replace(str(self.folder), "...") if errors else ""


def kill(process: subprocess.Popen) -> None:
    """Kills a process and all that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait(process: subprocess.Popen, there: Callable[[], bool], most_s: float = 600.0) -> bool:
    """Waits until something is there; whether it came before the process ended."""
    end = time.monotonic() + most_s
    while time.monotonic() < end and process.poll() is None:
        if there():
            return True
        time.sleep(0.01)
    return there()


def killed(case: Case, phase: str, rng: random.Random, whole: Case, seconds: dict[str, float]) -> dict[str, Any]:
    """Kills the job at a random point of a phase and starts it again."""
    process = case.start()
    if phase == "report":
        point = rng.random()
        wait(process, lambda: (case.folder / "run" / "figures").is_dir())
        time.sleep(point * seconds["report"])
    else:
        kind = {"extraction": "chunk", "training": "epoch"}[phase]
        point = rng.randrange(len(whole.lines(kind)))
        wait(process, lambda: len(case.lines(kind)) > point)
        time.sleep(rng.random() * seconds[phase])
    ended = process.poll() is not None
    if not ended:
        kill(process)
    return {"case": f"kill -9 in {phase}", "point": round(point, 2), "ended_before": ended, "finished": case.finish()}


def full(case: Case, limit: int, folder: Path | None) -> dict[str, Any]:
    """Runs the job on a disk that is full, then on one that is not."""

    def no_space() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    if folder is None:
        code = case.start(before=no_space).wait()
        name = f"no file above {limit // 1024} kB can be written"
    else:
        case.cache = folder / "cache"
        code = case.start().wait()
        free = shutil.disk_usage(folder)
        name = f"cache on a full disk of {free.total / 1e6:.0f} MB"
        kept, case.cache = case.cache, case.folder / "cache"
        shutil.move(kept, case.cache)
    return {"case": name, "exit": code, "said": case.words(), "finished": case.finish()}


def bound_by_modes() -> None:
    """Takes from root the right to write where modes forbid it, for good; other users do not have it."""
    if os.getuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):  # what is run next starts without it
            raise OSError(ctypes.get_errno(), "expected to give up CAP_DAC_OVERRIDE")


def read_only(case: Case, what: str) -> dict[str, Any]:
    """Runs the job with its output or its cache where it may not write, then where it may."""
    locked = case.folder / "locked"
    locked.mkdir(mode=0o555)
    run, kept = "locked/run" if what == "output" else "run", case.cache
    case.cache = locked / "cache" if what == "cache" else kept
    try:
        code = case.start(run, before=bound_by_modes).wait()
        name = f"read-only {what}" + ("" if code else " (was written to)")
    except subprocess.SubprocessError:  # root keeps its rights
        code, name = None, f"read-only {what} (not tried: start this as somebody else than root)"
    case.cache = kept
    return {"case": name, "exit": code, "said": case.words(), "finished": case.finish()}


def crowded(case: Case) -> dict[str, Any]:
    """Starts two jobs at once on one cache."""
    processes = [case.start(run) for run in ("run", "other")]
    codes = [process.wait() for process in processes]
    same = case.tables("run") == case.tables("other")
    return {"case": "two processes on one store", "finished": codes == [0, 0] and same}


def main() -> None:
    """Runs all cases and writes what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=3, help="random points in each phase")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small-disk", type=Path, help="folder on a file system that is too small for the cache")
    parser.add_argument("--only", choices=list(CASES), action="append", help="a case to try; may be given again")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="crash-") as place:
        os.chmod(place, 0o755)
        whole = Case(Path(place) / "whole")
        begin = time.monotonic()
        if not whole.finish():
            raise SystemExit((whole.folder / "said").read_text(encoding="utf-8"))
        took = time.monotonic() - begin
        record = json.loads((whole.folder / "run" / "results.json").read_text(encoding="utf-8"))
        steps = record["seconds"]
        seconds = {
            "extraction": steps["activations"] / len(whole.lines("chunk")),
            "training": steps["flows"] / len(whole.lines("epoch")),
            "report": 4.0,
        }
        wanted, chunks, epochs = whole.tables(), len(whole.lines("chunk")), len(whole.lines("epoch"))
        cases: list[tuple[str, Callable[[Case], dict[str, Any]]]] = [
            (phase, lambda case, phase=phase: killed(case, phase, rng, whole, seconds))
            for phase in ("extraction", "training", "report")
            for _ in range(given.kills)
        ]
        cases += [
            ("full", lambda case: full(case, 200 * 1024, None)),
            ("output", lambda case: read_only(case, "output")),
            ("cache", lambda case: read_only(case, "cache")),
            ("crowded", crowded),
        ]
        if given.small_disk is not None:
            cases.append(("disk", lambda case: full(case, 0, given.small_disk)))
        cases = [(name, run) for name, run in cases if given.only is None or name in given.only]
        rows = []
        for number, (name, run) in enumerate(cases):
            case = Case(Path(place) / f"{name}{number}")
            row = run(case)
            row["same_tables"] = case.tables() == wanted
            row |= {f"{kind}s_again": case.again(kind) for kind in ("chunk", "epoch")}
            rows.append(row)
            print(json.dumps(row), flush=True)
            shutil.rmtree(case.folder, ignore_errors=True)
    facts = {
        "job": " ".join(JOB),
        "seconds": round(took, 1),
        "chunks": chunks,
        "epochs": epochs,
        "tables": len(wanted),
        "seed": given.seed,
        "cases": rows,
    }
    from results import keep

    if given.only is not None:
        facts = with_rest(facts, given.out / "results.json", given.only)
    keep(given.out, "crash", facts, table(facts))


def with_rest(facts: dict[str, Any], recorded: Path, tried: list[str]) -> dict[str, Any]:
    """Puts some cases in the place of those that are recorded, and keeps the others with the facts of their run.

    Args:
        facts: What came out of the cases that were tried.
        recorded: results.json of all of them.
        tried: Names of those that were tried.
    Raises:
        SystemExit: If another job was recorded, or none.
    """
    before = json.loads(recorded.read_text(encoding="utf-8")).get("crash", {}) if recorded.is_file() else {}
    for fact in ("job", "tables"):
        if before.get(fact) != facts[fact]:
            raise SystemExit(f"expected cases of the same job ({fact}) in {recorded}: run all of them, without --only")
    begins = list(CASES.values())
    again = tuple(CASES[name] for name in tried)
    rows = [row for row in before["cases"] if not row["case"].startswith(again)] + facts["cases"]
    rows.sort(key=lambda row: next(place for place, begin in enumerate(begins) if row["case"].startswith(begin)))
    earlier = {name: fact for name, fact in before.items() if name != "provenance"}
    later = [*before.get("later", ()), {"cases": tried, "provenance_of_the_others": before["provenance"]["git"]}]
    return {**earlier, "cases": rows, "later": later}


def table(facts: dict[str, Any]) -> str:
    """Draws the cases, kills of one phase together, as Markdown."""
    from audiointerp.report.cells import markdown

    named: dict[str, list[dict[str, Any]]] = {}
    for row in facts["cases"]:
        named.setdefault(row["case"], []).append(row)
    lines = []
    for name, rows in named.items():
        said = next((row["said"] for row in rows if row.get("said")), "")
        lines.append(
            [
                name,
                str(len(rows)),
                f"{sum(row['finished'] for row in rows)} of {len(rows)}",
                f"{sum(row['same_tables'] for row in rows)} of {len(rows)}",
                str(max(row["chunks_again"] for row in rows)),
                str(max(row["epochs_again"] for row in rows)),
                said or "-",
            ]
        )
    heads = ["what happened", "times", "same command finishes", "same tables", "chunks again", "epochs again", "said"]
    whole = f", hears {facts['chunks']} chunks and trains {facts['epochs']} epochs" if "chunks" in facts else ""
    later = [CASES[name] for name in dict.fromkeys(name for run in facts.get("later", ()) for name in run["cases"])]
    note = (
        f"{facts['tables']} tables compared byte by byte; an undisturbed run takes {facts['seconds']:.0f} s{whole}. "
        "*Again*: the most in one case." + (f" Tried by themselves, later: {', '.join(later)}." if later else "")
    )
    return f"{markdown(heads, lines)}\n\n{note}"


if __name__ == "__main__":
    main()
