"""What a study is, and what it is handed: its folder, cache, device, seed, progress and record."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import logging
import math
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from audiointerp.provenance import git_commit

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from matplotlib.figure import Figure

T = TypeVar("T")

_WANDB_HOMES = ("DATA", "CACHE", "CONFIG", "ARTIFACT")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


class UserError(ValueError):
    """A mistake that the user can mend; the command line prints its message without a traceback."""


def exit_code(command: Callable[[], object]) -> int:
    """Runs what a command line asked for; a mistake that the user can mend is told in a line, without a traceback.

    Returns:
        0 where it was done, 2 where there is something to mend.
    Example:
        >>> exit_code(lambda: print("outputs/tiny"))
        outputs/tiny
        0
    """
    try:
        command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def at_least(settings: object, **least: float) -> None:
    """Holds numbers among the settings of a study against the smallest that can be.

    Args:
        settings: An object with the settings as attributes.
        least: Names to the smallest value.
    Raises:
        UserError: If a setting is smaller; names it and its value.
    """
    for name, smallest in least.items():
        value = getattr(settings, name)
        if not value >= smallest:
            raise UserError(f"expected {name} of {smallest} or more in {type(settings).__name__}, got {value}")


def _stream_words(seed: int, names: tuple[str | int, ...]) -> list[int]:
    digest = hashlib.sha256(json.dumps([int(seed), *names]).encode()).digest()
    return [int.from_bytes(digest[start : start + 4], "little") for start in range(0, 32, 4)]


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Draws an independent random stream for one consumer from the root seed.

    Args:
        seed: The root seed of the run.
        names: Who draws, and for which epoch or index; any number of strings and integers.
    Returns:
        A generator that depends on `(seed, *names)` alone, on every machine.
    Example:
        >>> first = stream(0, "split", 3).integers(1000, size=4)
        >>> bool((first == stream(0, "split", 3).integers(1000, size=4)).all())
        True
        >>> bool((first == stream(0, "split", 4).integers(1000, size=4)).all())
        False
    """
    import numpy as np

    return np.random.default_rng(_stream_words(seed, names))


def torch_stream(seed: int, *names: str | int) -> torch.Generator:
    """Draws an independent random stream for one consumer, as a CPU `torch.Generator`.

    Args:
        seed: The root seed of the run.
        names: Who draws, as in `stream`.
    Returns:
        A generator that depends on `(seed, *names)` alone.
    """
    import torch

    low, high, *_ = _stream_words(seed, names)
    return torch.Generator().manual_seed((high << 32 | low) & (2**63 - 1))


def write_atomically(path: str | Path, content: str | bytes) -> Path:
    """Writes a file whole or not at all: into a temporary file beside it, then renamed.

    Args:
        path: Where to write; missing parent folders are made.
        content: Text (UTF-8) or bytes.
    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Named before it is made: an interrupt at any point finds what to take away.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        with temporary.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def to_plain(value: Any) -> Any:
    """Turns a result into what JSON can hold: numpy scalars and arrays, paths, dates, dataclasses, mappings, sequences.

    A number that is not finite becomes None: a result that could not be measured is absent.

    Args:
        value: The result.
    Returns:
        None, bool, int, float, str, list or dict.
    Raises:
        TypeError: If the value is of another kind.
    Example:
        >>> to_plain({"rho": float("nan"), "layers": (1, 2)})
        {'rho': None, 'layers': [1, 2]}
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return str(value)
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if type(value).__module__.split(".")[0] in {"numpy", "torch"} and hasattr(value, "tolist"):
        return to_plain(value.tolist())
    raise TypeError(
        f"expected a number, a string, or a list, dict or dataclass of them, got {type(value).__name__}: "
        "write tables with context.table"
    )


def peak_rss_mb() -> float:
    """Tells the largest resident memory [MB] that this process has had, NaN where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


class _NoPage:
    """Takes every call of a report page and keeps nothing: for studies run without a report."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


class RunContext:
    """What one run has: its folder, cache, device, seed, progress bar, report page and record of results.

    Args:
        folder: The run's folder; made if missing.
        cache: The cache shared by all runs.
        device: "cpu" or "cuda".
        seed: The root seed; draw from it with `stream` and `torch_stream`.
        protocol: "corrected" or "published".
        config: The resolved configuration as a plain dict.
        page: The report page (`audiointerp.report.Page`); without one, what is written to it is dropped.
        logger: A Python logger; by default that of the package.
        record: What `finish` writes beside the results: experiment, config hash, overrides, provenance ...
    """

    def __init__(
        self,
        folder: str | Path,
        cache: str | Path,
        device: str = "cpu",
        seed: int = 0,
        protocol: str = "corrected",
        config: Mapping[str, Any] | None = None,
        page: Any = None,
        logger: logging.Logger | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.cache = Path(cache)
        self.device = device
        self.seed = int(seed)
        self.protocol = protocol
        self.config = dict(config or {})
        self.page = _NoPage() if page is None else page
        self.logger = logger or logging.getLogger("audiointerp")
        self.record = dict(record or {})
        self.results: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}
        self.peak_rss_mb: dict[str, float | None] = {}
        self.started = now()
        self._wandb_run: Any = None
        self._environment: dict[str, str | None] = {}
        self.folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Names a step of the study: says when it starts and ends, and keeps its seconds and the peak memory so far.

        Args:
            name: What is done, in a few words; the seconds of a repeated name add up.
        """
        self.logger.info("%s ...", name)
        begin = time.perf_counter()
        try:
            yield
        except BaseException:
            self.logger.info("%s: stopped after %.1f s", name, time.perf_counter() - begin)
            raise
        finally:
            seconds = time.perf_counter() - begin
            self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 3)
            self.peak_rss_mb[name] = to_plain(round(peak_rss_mb(), 1))
        self.logger.info("%s: done in %.1f s", name, seconds)

    def progress(
        self, iterable: Iterable[T] | None, *, description: str, total: int | None = None, unit: str = "it"
    ) -> Any:
        """Wraps an iterable with a progress bar on stderr that tells the time left.

        Args:
            iterable: What to go through; None gives a bar to be moved by its `update(n)`.
            description: What is done, in a few words.
            total: The number of items where `len` does not tell it.
            unit: What an item is, such as "clip".
        Returns:
            A `tqdm` bar; where stderr is not a terminal it prints at most one line in ten seconds.
        """
        from tqdm import tqdm

        shown = sys.stderr.isatty()
        return tqdm(
            iterable,
            desc=description,
            total=total,
            unit=unit,
            file=sys.stderr,
            mininterval=0.1 if shown else 10.0,
            dynamic_ncols=shown,
            leave=False if shown else None,
        )

    def table(self, name: str, frame: pd.DataFrame) -> Path:
        """Writes `tables/<name>.csv`, whole or not at all.

        Args:
            name: File name without suffix.
            frame: The table; an index that is not a plain count becomes its first columns.
        Returns:
            The file's path.
        """
        counted = type(frame.index).__name__ == "RangeIndex" and frame.index.name is None
        text = frame.to_csv(index=not counted, lineterminator="\n")
        return write_atomically(self._path("tables", name, ".csv"), text)

    def figure(self, name: str, figure: Figure, points: pd.DataFrame | None = None, *, alt: str) -> Path:
        """Writes `figures/<name>.png`, `.svg` and its points as `.csv`, tells the page its description, and closes it.

        Args:
            name: File name without suffix.
            figure: The figure.
            points: What is drawn, one row per point; None where the figure shows an image or a table of its own.
            alt: What the figure shows, in a sentence, for who cannot see it.
        Returns:
            The path of the PNG.
        """
        import io

        import matplotlib
        import matplotlib.pyplot as plt

        try:
            for suffix, metadata in (("svg", {"Date": None, "Description": alt}), ("png", {"Description": alt})):
                drawn = io.BytesIO()
                with matplotlib.rc_context({"svg.hashsalt": name}):
                    figure.savefig(drawn, format=suffix, metadata=metadata, bbox_inches="tight", dpi=150)
                write_atomically(self._path("figures", name, f".{suffix}"), drawn.getvalue())
            if points is not None:
                write_atomically(self._path("figures", name, ".csv"), points.to_csv(index=False, lineterminator="\n"))
            self.page.describe(name, alt)
        finally:
            plt.close(figure)
        return self._path("figures", name, ".png")

    def audio(self, name: str, waveform: Any, sample_rate: int) -> Path:
        """Writes `audio/<name>.wav`.

        Args:
            name: File name without suffix.
            waveform: Samples in [-1, 1], shape `(L,)`.
            sample_rate: [Hz].
        Returns:
            The file's path.
        """
        from audiointerp import audio

        path = self._path("audio", name, ".wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, waveform, sample_rate)
        return path

    def result(self, **values: Any) -> None:
        """Merges values into the results; nested dicts are merged, everything else is replaced.

        Args:
            values: Whatever `to_plain` takes.
        """
        _merge(self.results, to_plain(values))

    def log_metrics(self, metrics: Mapping[str, Any], step: int) -> None:
        """Appends one line to `metrics.jsonl`, and tells W&B where that is on.

        Args:
            metrics: Names to numbers.
            step: What they were measured after: an epoch, a batch.
        """
        values = to_plain(dict(metrics))
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": int(step), **values}) + "\n")
        run = self.wandb_run
        if run is not None:
            run.log({**values, "step": int(step)})

    @property
    def wandb_run(self) -> Any:
        """The W&B run of this job, started at the first use; None where `logger.mode` is disabled or not given."""
        settings = self.config.get("logger") or {}
        mode = settings.get("mode", "disabled")
        if self._wandb_run is None and mode != "disabled":
            # Offline, tables with audio are staged under WANDB_DATA_DIR by absolute path: keep all with the run.
            homes = {
                "DIR": self.folder,
                **{f"{name}_DIR": self.folder / "wandb" / name.lower() for name in _WANDB_HOMES},
            }
            for name, home in homes.items():
                home.mkdir(parents=True, exist_ok=True)
                self._environment.setdefault(f"WANDB_{name}", os.environ.get(f"WANDB_{name}"))
                os.environ[f"WANDB_{name}"] = str(home.resolve())
            import wandb

            self._wandb_run = wandb.init(
                dir=str(self.folder),
                mode=mode,
                project=settings.get("project"),
                entity=settings.get("entity"),
                group=settings.get("group"),
                tags=list(settings.get("tags") or []),
                name=f"{self.record.get('experiment', 'run')}-{self.folder.name}",
                config={**to_plain(self.record.get("config", self.config)), "code": git_commit()},
                reinit="finish_previous",
                settings=wandb.Settings(silent=True, console="off"),
            )
        return self._wandb_run

    def lightning_logger(self) -> Any:
        """Gives what `Trainer(logger=...)` takes: Lightning's W&B logger on this job's run, or False."""
        run = self.wandb_run
        if run is None:
            return False
        from pytorch_lightning.loggers import WandbLogger

        return WandbLogger(experiment=run)

    def finish(self, status: str = "complete") -> Path:
        """Saves the page, then writes `results.json` last: a folder that has it complete is a finished run.

        Args:
            status: "complete", or why it is not, in a word.
        Returns:
            The path of results.json.
        """
        self.page.save(self.folder)
        record = {
            "experiment": None,
            **self.record,
            "status": status,
            "results": self.results,
            "seconds": self.seconds,
            "peak_rss_mb": {**self.peak_rss_mb, "total": round(peak_rss_mb(), 1)},
            "started": self.started,
            "ended": now(),
        }
        text = json.dumps(to_plain(record), indent=2, ensure_ascii=False)
        return write_atomically(self.folder / "results.json", text + "\n")

    def close(self, failed: bool = False) -> None:
        """Ends the W&B run, if one was started; safe to call twice.

        Args:
            failed: Whether the job did not come to its end.
        """
        if self._wandb_run is not None:
            self._wandb_run.finish(exit_code=int(failed))
            self._wandb_run = None
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._environment.clear()

    def _path(self, kind: str, name: str, suffix: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"expected a file name of letters, digits, '_', '-', '+' and '.', got {name!r}: "
                f"name what goes into {kind}/ without folders and spaces"
            )
        return self.folder / kind / f"{name}{suffix}"


def now() -> str:
    """Tells the local time with its offset, to the second, in ISO 8601."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


@dataclasses.dataclass(frozen=True)
class SweepRun:
    """One finished job of a sweep.

    Attributes:
        folder: Its run folder.
        record: What its `results.json` holds.
        settings: Overrides that differ between the jobs of the sweep, key to value as given.
    """

    folder: Path
    record: Mapping[str, Any]
    settings: Mapping[str, str]


@runtime_checkable
class Study(Protocol):
    """One experiment: it knows the order of its steps, and nothing else does.

    A study may have a static method `compare(context, runs)`, which is given the finished jobs of a sweep (`SweepRun`).
    The parameters of `run` after `context` name the groups of the configuration that it needs (`data`, `backbone`,
    `model`, `trainer`); each arrives built, or as a partial where the group says `_partial_`.
    """

    def run(self, context: RunContext, **parts: Any) -> None:
        """Runs the study; leaves tables, figures, sounds, page and results in the context."""
        ...
