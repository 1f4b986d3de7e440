"""Draws the report of finished runs again, from their files alone: `python -m audiointerp.report RUN [--wandb]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from audiointerp.study import exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws each folder's report.html and, where asked, mirrors the run to W&B; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m audiointerp.report", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder: outputs/EXPERIMENT/DATE_TIME-HASH")
    parser.add_argument("--wandb", action="store_true", help="also mirror the run to W&B")
    parser.add_argument("--mode", choices=["offline", "online"], default="offline", help="of W&B (default: offline)")
    parser.add_argument("--project", default="audiointerp", help="of W&B (default: audiointerp)")
    parser.add_argument("--entity", default=None, help="of W&B")
    parser.add_argument("--group", default=None, help="of W&B")
    parser.add_argument("--tags", nargs="*", default=[], help="of W&B")
    chosen = parser.parse_args(arguments)
    return exit_code(lambda: _draw(chosen))


def _draw(chosen: argparse.Namespace) -> None:
    from audiointerp.report.page import render

    settings = {name: getattr(chosen, name) for name in ("mode", "project", "entity", "group", "tags")}
    for run in chosen.runs:
        print(render(run))
        if chosen.wandb:
            from audiointerp.report.wandb_mirror import mirror

            print(mirror(run, **settings))


if __name__ == "__main__":
    sys.exit(main())
