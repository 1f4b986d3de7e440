"""What comes after a sweep: one page over all of its jobs. `python -m audiointerp.sweep SWEEP` draws it again.

`python -m audiointerp.sweep RUN RUN... --into FOLDER` draws the same page over any finished runs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from audiointerp.provenance import ELSEWHERE, folders_of
from audiointerp.study import RunContext, SweepRun, UserError, exit_code, to_plain, write_atomically

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("audiointerp")

MOST_NUMBERS, MOST_SETTINGS = 5, 4


class Comparison(Callback):
    """Draws the page of a sweep when its last job has ended."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Compares what is finished; a mistake in the page does not undo the jobs."""
        folder = Path(config.hydra.sweep.dir)
        if not config.get("report", True) or not folder.is_dir():
            return
        try:
            logger.info("sweep: %s", compare(folder))
            if config.logger.mode != "disabled":
                from audiointerp.report import mirror

                mirror(folder, mode=config.logger.mode, group=group_of(config), **owner_of(config))
        except Exception as error:
            logger.warning(
                "the page of the sweep could not be drawn (%s: %s): the jobs are finished, python -m "
                "audiointerp.sweep %s tries again",
                type(error).__name__,
                error,
                folder,
            )


def group_of(config: DictConfig) -> str:
    """Names the W&B group that a sweep's jobs and their comparison share: the one given, else the sweep's folder."""
    return config.logger.group or Path(config.hydra.sweep.dir).name


def owner_of(config: DictConfig) -> dict[str, Any]:
    """Gives whose W&B project a run goes to."""
    return {"project": config.logger.project, "entity": config.logger.entity, "tags": list(config.logger.tags or [])}


def point_to(folder: Path, earlier: Path) -> None:
    """Leaves word in a sweep that the job whose folder would be `folder` was finished by an earlier command."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    way = os.path.relpath(earlier.resolve(), folder.parent.resolve())
    write_atomically(folder.parent / f"{folder.name}{ELSEWHERE}", way + "\n")


def runs_of(sweep: Path) -> list[SweepRun]:
    """Gives the finished jobs of a sweep, by their number.

    Args:
        sweep: The sweep's folder.
    Raises:
        UserError: If no job of it is finished.
    """
    return finished(folders_of(sweep), sweep)


def finished(folders: Sequence[Path], named: str | Path) -> list[SweepRun]:
    """Gives the finished runs among some folders, each with the settings in which they differ.

    Args:
        folders: Folders of runs.
        named: What the message calls them.
    Raises:
        UserError: If none is finished.
    """
    found = []
    for folder in folders:
        try:
            record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            continue
        if isinstance(record, dict) and record.get("status") == "complete":
            found.append((folder, record))
    if not found:
        raise UserError(f"expected the folder of a sweep with finished jobs, got {named}, which holds none")
    given = [dict(line.split("=", 1) for line in record.get("overrides", []) if "=" in line) for _, record in found]
    keys = dict.fromkeys(key for overrides in given for key in overrides)
    swept = [key for key in keys if len({overrides.get(key) for overrides in given}) > 1]
    return [
        SweepRun(folder, record, {key: overrides.get(key, "") for key in swept})
        for (folder, record), overrides in zip(found, given, strict=True)
    ]


def compare(sweep: Path, among: Sequence[Path] = ()) -> Path:
    """Draws the page of a sweep from its jobs' files, with the study's own comparison where it has one.

    Args:
        sweep: The sweep's folder, into which the page goes.
        among: Folders of the runs to compare instead of the jobs of the sweep.
    Returns:
        The path of report.html.
    Raises:
        UserError: If no job of it is finished.
    """
    import pandas as pd

    from audiointerp.report import Page, render

    runs = finished(among, ", ".join(map(str, among))) if among else runs_of(sweep)
    names = sorted({str(run.record.get("experiment")) for run in runs})
    page = Page(f"{', '.join(names)}: {len(runs)} runs compared", "What do the settings that were swept change?")
    context = RunContext(sweep, sweep, page=page, logger=logger)
    own = comparison_of(runs)
    if own is not None:
        own(context, runs)
    table = pd.DataFrame([_row(sweep, run) for run in runs])
    draw_swept(context, table, list(runs[0].settings))
    page.section("The jobs", f"{len(runs)} are finished. A row leads to its own report.")
    context.table("jobs", table)
    page.table("jobs", "Settings that differ, headline numbers, and the job's report", folded=False)
    page.save(sweep)
    summary = {
        "experiment": ", ".join(names),
        "status": "complete",
        "results": context.results,
        "jobs": [run.record["config_hash"] for run in runs],
    }
    write_atomically(sweep / "comparison.json", json.dumps(to_plain(summary), indent=1, ensure_ascii=False) + "\n")
    return render(sweep)


def draw_swept(context: RunContext, table: pd.DataFrame, settings: list[str]) -> None:
    """Draws the headline numbers over the swept settings, at most the first few of each."""
    from pandas.api.types import is_numeric_dtype

    from audiointerp.report.sweep_figures import swept

    given = set(settings) | {"total_s", "report"}
    numbers = [name for name in table if name not in given and is_numeric_dtype(table[name])]
    numbers = [name for name in numbers if table[name].nunique() > 1][:MOST_NUMBERS]
    settings = [name for name in settings if table[name].nunique() > 1][:MOST_SETTINGS]
    if not numbers or not settings:
        return
    figure = swept(table, settings, numbers, title="What the swept settings change")
    points = table[[*settings, *numbers]]
    alt = f"{', '.join(numbers)} over {', '.join(settings)}: a dot per job, a line of means."
    context.page.section("Over the settings")
    context.figure("swept", figure, points, alt=alt)
    context.page.figure(
        "swept", "Headline numbers of all jobs over each setting; the line is the mean over the others."
    )


def comparison_of(runs: Sequence[SweepRun]) -> Callable[[RunContext, Sequence[SweepRun]], None] | None:
    """Gives the `compare` of the study that all runs are of; None where there are several, or it has none."""
    from hydra.utils import get_class

    targets = {run.record.get("config", {}).get("study", {}).get("_target_") for run in runs}
    target = targets.pop()
    if targets or not isinstance(target, str) or not target.startswith("audiointerp.studies."):
        return None
    return getattr(get_class(target), "compare", None)


def _row(sweep: Path, run: SweepRun) -> dict[str, Any]:
    results = run.record.get("results", {})
    plain = {key: value for key, value in _flat(results.get("headline", {})) if isinstance(value, int | float)}
    report = run.folder / "report.html"
    return {
        **run.settings,
        **plain,
        "total_s": round(sum(run.record.get("seconds", {}).values()), 1),
        "report": os.path.relpath(report.resolve(), sweep.resolve()) if report.is_file() else "",
    }


def _flat(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Gives the plain values of a mapping and of the mappings in it; what lies deeper is for the jobs' own reports."""
    pairs = []
    for key, value in values.items():
        within = value.items() if isinstance(value, Mapping) else [("", value)]
        pairs += [(f"{key} {name}".strip(), item) for name, item in within]
    return pairs


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m audiointerp.sweep", description=__doc__)
    parser.add_argument(
        "sweep", type=Path, nargs="+", help="folder of a sweep, such as outputs/EXPERIMENT/sweep-DATE_TIME, or of runs"
    )
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="compare runs, and put the page there")
    given = parser.parse_args(arguments)
    return exit_code(lambda: print(_compared(given.sweep, given.into)))


def _compared(sweeps: Sequence[Path], into: Path | None) -> Path:
    if into is not None:
        return compare(into, sweeps)
    if len(sweeps) > 1:
        raise UserError("expected the folder of one sweep, got several: to compare runs give --into FOLDER")
    return compare(sweeps[0])


if __name__ == "__main__":
    sys.exit(main())
