"""`python -m audiointerp.collect RUN...`: gathers the records of finished runs into a folder of experiments/."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from audiointerp.provenance import folders_of, without_paths
from audiointerp.study import UserError, exit_code, write_atomically

Record = Mapping[str, Any]


def read_records(runs: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Reads the records of finished runs, paths cut out.

    Args:
        runs: Folders of runs or of sweeps.
    Raises:
        UserError: If a folder holds no finished run.
    """
    records = []
    for run in map(Path, runs):
        folders = [run] if (run / "results.json").is_file() else folders_of(run)
        files = [folder / "results.json" for folder in folders]
        if not files:
            raise UserError(f"expected the folder of a run or a sweep, got {run}, which holds no results.json: "
                            "give folders such as outputs/EXPERIMENT/DATE_TIME-HASH")  # fmt: skip
        for file in files:
            try:
                record = json.loads(file.read_text(encoding="utf-8"))
            except json.JSONDecodeError as error:
                raise UserError(f"expected JSON in {file}, got something else ({error}): run it again") from error
            if not isinstance(record, dict) or record.get("status") != "complete":
                raise UserError(f"expected a finished run in {file.parent}, its results.json is not complete: "
                                "run it again, or leave it out")  # fmt: skip
            records.append(without_paths(record))
    return records


def merged(before: Sequence[Record], new: Sequence[Record]) -> list[Record]:
    """Puts records together: of one experiment, configuration and device, the last stays.

    Args:
        before: Records collected earlier.
        new: Records of this time.
    Returns:
        All of them, sorted by experiment, seed and hash.
    """
    kept = {(record["experiment"], record["config_hash"], record.get("device")): record for record in [*before, *new]}

    def order(record: Record) -> tuple[str, int, str]:
        return record["experiment"], record.get("config", {}).get("seed", 0), record["config_hash"]

    return sorted(kept.values(), key=order)


def headline_table(records: Sequence[Record]) -> str:
    """Draws the headline numbers of records as a Markdown table, one row per run.

    Args:
        records: Records of one experiment; the numbers are those under `headline` in their results, else all that
            are plain.
    Example:
        >>> record = {"config_hash": "0123456789", "config": {"seed": 3}, "results": {"mean": 0.12345}}
        >>> print(headline_table([record]))
        | run | seed | protocol | mean |
        | --- | --- | --- | --- |
        | 01234567 | 3 |  | 0.123 |
    """
    rows = []
    for record in records:
        results = record.get("results", {})
        config = record.get("config", {})
        row = {
            "run": record["config_hash"][:8],
            "seed": str(config.get("seed", "")),
            "protocol": str(config.get("protocol", "")),
        }
        headline = results.get("headline", results)
        row.update({name: _shown(value) for name, value in headline.items() if _shown(value)})
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([row.get(name, "") for name in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: Any) -> str:
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, str):
        return value.replace("|", "/").replace("\n", " ") if len(value) <= 80 else ""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict) and isinstance(value.get("low"), float) and isinstance(value.get("high"), float):
        number = value.get("value", value.get("mean"))
        if isinstance(number, float):
            return f"{number:.3g} [{value['low']:.3g}, {value['high']:.3g}]"
    return ""


def tables_of(experiment: str) -> Callable[[Sequence[Record]], str]:
    """Chooses how an experiment's records are drawn: by `audiointerp.report.summaries.TABLES`, else as headlines."""
    if importlib.util.find_spec("audiointerp.report.summaries") is None:
        return headline_table
    return importlib.import_module("audiointerp.report.summaries").TABLES.get(experiment, headline_table)


def rewrite(text: str, tables: str, name: str = "results") -> str:
    """Replaces what stands between two markers of a README, `<!-- NAME:begin -->` and `<!-- NAME:end -->`.

    Args:
        text: The README.
        tables: Markdown.
        name: Name of the markers.
    Raises:
        UserError: If the markers are not there, once and in order.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise UserError(f"expected {begin} and {end} in the README, once each and in this order: add them")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n{tables}\n{end}", text)


def fill(readme: str | Path, tables: str, name: str = "results") -> None:
    """Rewrites what stands between two markers of a README on disk; see `rewrite`."""
    readme = Path(readme)
    write_atomically(readme, rewrite(readme.read_text(encoding="utf-8"), tables, name))


def collect(runs: Sequence[str | Path], into: str | Path | None = None, fresh: bool = False) -> Path:
    """Gathers runs into `results.json` of a folder and redraws the tables of its README, where it has one.

    Args:
        runs: Folders of runs or of sweeps.
        into: The folder; by default `experiments/<experiment>`.
        fresh: Whether to forget what was collected before.
    Returns:
        The path of results.json.
    Raises:
        UserError: If a run is not finished, runs of several experiments come without `into`, or the README has no
            markers; nothing is written then.
    """
    new = read_records(runs)
    names = sorted({record["experiment"] for record in new})
    if into is None and len(names) > 1:
        raise UserError(f"expected runs of one experiment, got {', '.join(names)}: give --into FOLDER")
    folder = Path(into) if into is not None else Path("experiments") / names[0]
    target = folder / "results.json"
    before = json.loads(target.read_text(encoding="utf-8")) if target.is_file() and not fresh else []
    records = merged(before, new)
    tables = []
    experiments = list(dict.fromkeys(record["experiment"] for record in records))
    for name in experiments:
        own = [record for record in records if record["experiment"] == name]
        title = f"**{name}**\n\n" if len(experiments) > 1 else ""
        tables.append(title + tables_of(name)(own))
    readme = folder / "README.md"
    redrawn = rewrite(readme.read_text(encoding="utf-8"), "\n\n".join(tables)) if readme.is_file() else None
    write_atomically(target, json.dumps(records, indent=1, ensure_ascii=False) + "\n")
    if redrawn is not None:
        write_atomically(readme, redrawn)
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m audiointerp.collect", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run or of a sweep")
    parser.add_argument("--into", metavar="FOLDER", help="by default experiments/<experiment>")
    parser.add_argument("--fresh", action="store_true", help="forget what was collected before")
    given = parser.parse_args(arguments)
    return exit_code(lambda: print(collect(given.runs, given.into, given.fresh)))


if __name__ == "__main__":
    sys.exit(main())
