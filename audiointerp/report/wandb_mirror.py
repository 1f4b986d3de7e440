"""Mirrors a finished run to W&B from its own files: the files stay the truth, wherever the folder was moved."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audiointerp import audio
from audiointerp.report.html import read_results
from audiointerp.report.page import Page
from audiointerp.study import UserError

MOST_ROWS = 10_000
"""Rows of a table that W&B shows; the rest stays in the CSV file."""


def mirror(
    folder: str | os.PathLike[str],
    *,
    mode: str = "offline",
    project: str = "audiointerp",
    entity: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    run: Any = None,
) -> Path:
    """Logs the results, tables, figures and sounds of a run's or a sweep's folder as one W&B run, and finishes it.

    Everything that W&B writes lies in `folder/wandb`, its staging area too, so that an offline run can be moved with
    its folder and synchronised later (`wandb sync FOLDER/wandb/offline-run-*`), or mirrored anew.

    Args:
        folder: The folder of a run, or of a sweep that was compared.
        mode: "offline" (nothing leaves the machine) or "online".
        project: W&B project.
        entity: W&B user or team.
        group: W&B group, such as the sweep.
        tags: W&B tags.
        run: A W&B run that is already open (that of the RunContext); otherwise one is started.
    Returns:
        The folder of the W&B run's files.
    Raises:
        UserError: If the folder holds no results.json, the mode is unknown, or the path holds "[" or "]", which W&B
            takes for patterns and then loses media.
    """
    place = Path(folder).resolve()
    results = read_results(place)
    if not results:
        raise UserError(f"expected the folder of a finished run, with results.json in it, got {folder}: finish the run")
    if mode not in ("offline", "online"):
        raise UserError(f"expected mode 'offline' or 'online', got {mode!r}: leave W&B out to log nothing")
    if any(bracket in str(place) for bracket in "[]"):  # W&B takes them for patterns and loses media
        raise UserError(f"expected a folder without '[' and ']' in its path, got {place}: rename it")
    page = Page.load(place) if (place / "report.json").is_file() else None
    with _home(place / "wandb"):
        import wandb

        if run is None:
            run = wandb.init(
                dir=str(place),
                mode=mode,
                project=project,
                entity=entity,
                group=group,
                tags=list(tags),
                name=f"{results.get('experiment') or 'run'}-{place.name}",
                config=_config(results),
                reinit="finish_previous",
                settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
            )
        failed = True
        try:
            run.summary.update(dict(_scalars(results)))
            content = {
                **_tables(place),
                **_figures(place, page.alts if page else {}),
                **_sounds(place, _captions(page)),
            }
            if content:
                run.log(content)
            where = Path(run.dir)
            failed = False
        finally:
            run.finish(exit_code=int(failed))
    return where


@contextlib.contextmanager
def _home(place: Path) -> Iterator[None]:
    """Lets W&B write below `place` only; the environment is left as it was."""
    homes = {
        "WANDB_DIR": place.parent,
        "WANDB_DATA_DIR": place / "data",
        "WANDB_CACHE_DIR": place / "cache",
        "WANDB_CONFIG_DIR": place / "config",
        "WANDB_ARTIFACT_DIR": place / "artifacts",
    }
    before = {name: os.environ.get(name) for name in homes}
    for name, path in homes.items():
        path.mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(path)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _config(results: Mapping[str, Any]) -> dict[str, Any]:
    config = results.get("config")
    return dict(config) if isinstance(config, Mapping) else {}


def _scalars(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Numbers, words and truths of nested results, named by their way down; the configuration is logged apart."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if name or key != "config":
                yield from _scalars(inner, f"{name}/{key}" if name else str(key))
    elif isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        yield name, value


def _tables(folder: Path) -> dict[str, Any]:
    import pandas as pd
    import wandb

    found = {}
    for path in sorted((folder / "tables").glob("*.csv")):
        with contextlib.suppress(pd.errors.EmptyDataError):
            found[f"tables/{path.stem}"] = wandb.Table(dataframe=pd.read_csv(path).head(MOST_ROWS))
    return found


def _figures(folder: Path, alts: Mapping[str, str]) -> dict[str, Any]:
    import wandb

    found = {}
    for path in sorted((folder / "figures").glob("*.png")):
        found[f"figures/{path.stem}"] = wandb.Image(str(path), caption=alts.get(path.stem, path.stem))
    return found


def _sounds(folder: Path, captions: Mapping[str, str]) -> dict[str, Any]:
    import wandb

    found = {}
    for path in sorted((folder / "audio").rglob("*.wav")):
        name = path.relative_to(folder).as_posix()
        try:
            waveform, sample_rate = audio.read(path)
        except audio.AudioError:
            continue
        # W&B clips what lies beyond full scale without a word; all else stays as loud as it was made to be compared.
        waveform = waveform / max(1.0, float(np.abs(waveform).max(initial=0.0)))
        found[name.removesuffix(".wav")] = wandb.Audio(
            waveform[:, None], sample_rate=sample_rate, caption=captions.get(name, path.stem)
        )
    return found


def _captions(page: Page | None) -> dict[str, str]:
    """What the page says of each sound."""
    blocks = page.blocks if page else []
    cells = [cell for block in blocks if block["kind"] == "listen" for cell in block["cells"]]
    return {cell["audio"]: f"{cell['row']}, {cell['column']}: {cell['caption']}" for cell in cells}
