"""One job: from a composed configuration to a finished run folder, or to a folder that says why it is not."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override

from audiointerp import provenance, schema, sweep
from audiointerp.processes import ShareDone, rank
from audiointerp.signatures import run_parts
from audiointerp.study import RunContext, UserError, now, to_plain, write_atomically

logger = logging.getLogger("audiointerp")

WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt")
PATH_KEYS = ("root", "path", "file", "folder", "index", "table", "csv")
UNWRITABLE = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS)


def cache_dir() -> str:
    """Tells where the cache lies: `$AUDIOINTERP_CACHE`, else the user's cache folder."""
    given = os.environ.get("AUDIOINTERP_CACHE")
    if given:
        return given
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return str(base / "audiointerp")


def register() -> None:
    """Makes the schema and the resolvers of `conf/` known to Hydra; may be called again."""

    def hash8(*, _root_: DictConfig) -> str:
        return provenance.config_hash(_root_)[:8]

    def folder(*, _root_: DictConfig) -> str:
        # In the frame of a sweep over experiments no one of them is chosen.
        return OmegaConf.select(_root_, "hydra.runtime.choices.experiment") or "sweeps"

    ConfigStore.instance().store(name="schema", node=schema.RootConfig)
    OmegaConf.register_new_resolver("audiointerp.cache", cache_dir, replace=True)
    OmegaConf.register_new_resolver("audiointerp.hash8", hash8, replace=True)
    OmegaConf.register_new_resolver("audiointerp.folder", folder, replace=True)


# A launcher that starts a job in another process imports this module there, and nothing else of the project.
register()


def user_error_in(error: BaseException | None) -> UserError | None:
    """Finds the user's mistake that an exception was raised from, if there is one.

    A disk that is full and a folder that cannot be written to are such.
    """
    while error is not None:
        if isinstance(error, UserError):
            return error
        if isinstance(error, OSError) and (error.errno in UNWRITABLE or _forbidden(error)):
            return UserError(
                f"expected to write {error.filename or 'a file'}, got {error.strerror}: free some space, or write "
                "elsewhere (paths.outputs, AUDIOINTERP_CACHE); what was stored whole is kept, the same command goes on"
            )
        error = error.__cause__
    return None


def _forbidden(error: OSError) -> bool:
    """Whether something new was to be written where its folder can be read, but not written to."""
    if not isinstance(error, PermissionError) or not isinstance(error.filename, str) or os.path.exists(error.filename):
        return False
    folder = next(place for place in Path(error.filename).absolute().parents if os.path.exists(place))
    return os.access(folder, os.R_OK | os.X_OK) and not os.access(folder, os.W_OK)


def origin_of(hydra: DictConfig) -> schema.Origin:
    """Says which command line and which files a job was composed from.

    Args:
        hydra: The `hydra` node of its configuration.
    """
    folders = [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    files = [(folder / "config.yaml", "") for folder in folders]
    for choice, name in hydra.runtime.choices.items():
        if isinstance(name, str) and not choice.startswith("hydra/"):
            group, _, under = choice.partition("@")
            under = "" if group == "experiment" else under or group.replace("/", ".")
            files += [part for folder in folders for part in _merged(folder / group / f"{name}.yaml", under)]
    files.sort(key=lambda file: file[0].parent.name == "experiment")
    return schema.Origin(tuple(hydra.overrides.task), tuple(files))


def _merged(file: Path, under: str) -> Iterator[tuple[Path, str]]:
    """Gives a file and, before it, those of its own group that it builds on, each with the key that it stands under."""
    if not file.is_file():
        return
    for default in OmegaConf.load(file).get("defaults") or ():
        if isinstance(default, str) and default != "_self_":
            name, _, place = default.partition("@")
            yield from _merged(file.parent / f"{name}.yaml", f"{under}.{place}".rstrip("."))
    yield file, under


class Refused(BaseException):
    """Carries a user's mistake out of a single job past Hydra, which would announce any `Exception` at length."""

    def __init__(self, mistake: UserError) -> None:
        super().__init__(str(mistake))
        self.mistake = mistake


def run(config: DictConfig) -> Any:
    """Runs one job in the folder that Hydra made for it.

    Args:
        config: The composed configuration, without `hydra`.
    Returns:
        `results["objective"]` where the study leaves one (a sweeper may maximise it), else None.
    Raises:
        UserError: If something that the user can mend is wrong and other jobs of a sweep may follow.
        Refused: If it is wrong in a single job; it carries the `UserError`.
        KeyboardInterrupt: If the job was interrupted; its message says how to go on.
    """
    try:
        return _run(config)
    except UserError as error:
        if HydraConfig.get().mode == RunMode.RUN:
            raise Refused(error) from error
        raise


def _run(config: DictConfig) -> Any:
    hydra = HydraConfig.get()
    if not rank()[0]:
        return _run_in(Path(hydra.runtime.output_dir), config)
    # Of processes that compute together the first one writes; the others keep to themselves what they would.
    with tempfile.TemporaryDirectory(prefix="audiointerp-") as aside:
        with flag_override(config, ["struct", "readonly"], [False, False]):
            config.report, config.logger.mode = False, "disabled"
        return _run_in(Path(aside), config)


def _run_in(folder: Path, config: DictConfig) -> Any:
    hydra = HydraConfig.get()
    outputs = Path(config.paths.outputs)
    with _Signals() as signals:
        try:
            schema.check(config, origin_of(hydra))
            identity = provenance.config_hash(config)
            earlier = finished_run(config, identity, folder)
            if earlier is None:
                _refuse_folder(folder, config)
                context, study, parts = _prepare(config, folder, identity, list(hydra.overrides.task))
        except BaseException as error:
            mistake = user_error_in(error)
            if mistake is not None or signals.received:
                _discard(folder, outputs)
            if mistake is not None:
                raise mistake from error
            raise
        if earlier is not None:
            logger.info("finished already: %s (rerun=true runs it again)", earlier)
            if config.report and not (earlier / "report.html").is_file():  # it was killed while that was drawn
                from audiointerp.report import render

                logger.info("report: %s", render(earlier))
            if hydra.mode == RunMode.MULTIRUN:
                sweep.point_to(folder, earlier)
            if earlier != folder.resolve():
                _discard(folder, outputs)
            return json.loads((earlier / "results.json").read_text(encoding="utf-8"))["results"].get("objective")
        with _state(context, signals):
            study.run(context, **parts)
            _record_sources(context, parts)
            context.finish()
        with contextlib.ExitStack() as last:
            last.callback(context.close)
            try:
                _report(context, config)
            except OSError as error:
                raise user_error_in(error) or error from error
    logger.info("finished: %s", folder)
    return context.results.get("objective")


# --- before ---------------------------------------------------------------------------------------------------------


def finished_run(config: DictConfig, identity: str, folder: Path) -> Path | None:
    """Looks for a finished run of the same experiment, configuration and inputs.

    Args:
        config: The composed configuration.
        identity: Its `config_hash`.
        folder: The folder of the present job, which may be a finished one given by `hydra.run.dir`.
    Returns:
        The folder of the earlier run; None where there is none or where `rerun` is set.
    """
    if config.rerun:
        return None
    base = Path(config.paths.outputs) / str(config.experiment)
    candidates = [folder, *base.glob(f"*-{identity[:8]}"), *base.glob(f"sweep-*/*-{identity[:8]}")]
    inputs = None
    for candidate in candidates:
        record = _read_record(candidate)
        if record is None or record.get("status") != "complete" or record.get("config_hash") != identity:
            continue
        inputs = inputs or inputs_digest(config)
        if record.get("inputs") == inputs:
            return candidate.resolve()
    return None


def _read_record(folder: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    return record if isinstance(record, dict) else None


def inputs_digest(config: DictConfig) -> dict[str, str]:
    """Hashes names, sizes and times of the files that a job would read, without reading them.

    Args:
        config: The composed configuration.
    Returns:
        `data` (files and folders named under the `data` group) and `weights` (named under `backbone`; for
        `backbone.weights=auto` all weights where they are looked for).
    """
    data = _paths_in(OmegaConf.select(config, "data"))
    weights = [path for path in _paths_in(OmegaConf.select(config, "backbone")) if path.is_file()]
    if OmegaConf.select(config, "backbone.weights") == "auto":
        hub = Path(os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
        for place in (config.paths.weights, hub.expanduser() / "hub" / "checkpoints"):
            if place and Path(place).is_dir():
                found = [file for file in Path(place).iterdir() if file.suffix in WEIGHT_SUFFIXES]
                weights += sorted(found)
                if found:
                    break
    return {"data": provenance.listing_digest(data), "weights": provenance.listing_digest(weights)}


def _paths_in(node: Any) -> list[Path]:
    if not OmegaConf.is_config(node):
        return []
    found: list[Path] = []

    def walk(value: Any, key: str) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                walk(item, str(name))
        elif isinstance(value, list):
            for item in value:
                walk(item, key)
        elif isinstance(value, str) and not key.startswith("cache"):
            if (os.sep in value or key.endswith(PATH_KEYS)) and Path(value).expanduser().exists():
                found.append(Path(value).expanduser())

    walk(OmegaConf.to_container(node, resolve=True), "")
    return found


def _refuse_folder(folder: Path, config: DictConfig) -> None:
    if config.logger.mode != "disabled" and any(bracket in str(folder) for bracket in "[]"):
        raise UserError(f"expected a run folder without '[' and ']' (W&B loses its sounds there), got {folder}: "
                        "choose another with hydra.run.dir=FOLDER, or logger=none")  # fmt: skip
    record = _read_record(folder)
    if record is None:
        return
    if not config.rerun:
        raise UserError(f"expected a folder without a finished run, got {folder}, which holds one with other settings "
                        "or inputs: choose another hydra.run.dir, or rerun=true to write over it")  # fmt: skip
    (folder / "results.json").unlink()


def _discard(folder: Path, outputs: Path) -> None:
    """Removes a folder in which nothing but Hydra's own files was written, and what is empty between it and outputs."""
    if not folder.is_dir():
        return
    own = {".hydra", "audiointerp.log"}
    if {path.name for path in folder.iterdir()} <= own:
        shutil.rmtree(folder)
        for parent in folder.resolve().parents:
            if outputs.resolve() not in parent.parents or any(parent.iterdir()):
                break
            parent.rmdir()


def resolve_device(asked: str) -> str:
    """Chooses what to compute on.

    Args:
        asked: "auto", "cpu" or "cuda".
    Returns:
        "cpu" or "cuda".
    Raises:
        UserError: If a GPU is asked for and there is none.
    """
    if asked == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise UserError("expected a CUDA device (device=cuda), torch finds none: use device=cpu, or device=auto")
    return "cpu"


def _seed_everything(seed: int) -> None:
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _prepare(config: DictConfig, folder: Path, identity: str, overrides: list[str]) -> tuple[RunContext, Any, dict]:
    from hydra.utils import instantiate

    device = resolve_device(config.device)
    record = {
        "experiment": config.experiment,
        "config_hash": identity,
        "overrides": provenance.without_paths(overrides),
        "config": provenance.without_paths(provenance.plain_config(config)),
        "device": device,
    }
    _seed_everything(config.seed)
    if config.trainer is not None:
        with flag_override(config, ["struct", "readonly"], [False, False]):
            if config.trainer.get("accelerator") in (None, "auto"):
                config.trainer.accelerator = "gpu" if device == "cuda" else "cpu"
            if config.trainer.get("default_root_dir") is None:
                config.trainer.default_root_dir = str(folder)
    wanted = run_parts(config.study["_target_"])
    study = instantiate(config.study, _convert_="all")
    if wanted is None:
        import inspect

        wanted = dict.fromkeys(list(inspect.signature(study.run).parameters)[1:])
    chosen = [name for name in wanted if name in schema.BUILT_GROUPS and config[name] is not None]
    parts = {name: instantiate(config[name], _convert_="all") for name in chosen if name != "backbone"}
    stand_in = None
    if "backbone" in chosen:
        parts["backbone"], stand_in = _backbone(config, device)
    from audiointerp.report import Page

    settings = OmegaConf.to_container(config, resolve=True)
    if HydraConfig.get().mode == RunMode.MULTIRUN and settings["logger"]["group"] is None:
        settings["logger"]["group"] = Path(HydraConfig.get().sweep.dir).name  # as the sweep's comparison
    (folder / "metrics.jsonl").unlink(missing_ok=True)  # of a job that was killed here
    context = RunContext(
        folder=folder,
        cache=Path(config.paths.cache).expanduser(),
        device=device,
        seed=config.seed,
        protocol=config.protocol,
        config=settings,
        page=Page(getattr(study, "title", config.experiment), getattr(study, "question", "")),
        # The inputs are listed after the parts were built: a download of weights may have been part of it.
        record={**record, "inputs": inputs_digest(config)},
    )
    if stand_in is not None:
        from audiointerp.studies import standin

        standin.announce(context, stand_in)
    return context, study, parts


def _backbone(config: DictConfig, device: str) -> tuple[Any, Any]:
    """Builds the backbone; where its weights are left to be found, or are the stand-in's, `studies.standin` does."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    def make(**given: Any) -> Any:
        try:
            return instantiate(config.backbone, _convert_="all", **given)
        except InstantiationException as error:
            mistake = user_error_in(error)
            if mistake is not None:
                raise mistake from error
            raise

    weights = OmegaConf.select(config, "backbone.weights")
    if weights not in ("auto", "standin"):
        return make(), None
    from audiointerp.studies import standin

    of = str(config.backbone._target_).rsplit(".", 1)[-1]
    return standin.with_weights(make, weights, of=of, cache=config.paths.cache, device=device)


# --- while it runs, and after ----------------------------------------------------------------------------------------


class _Signals:
    """Turns SIGINT and SIGTERM into KeyboardInterrupt and remembers that one came.

    Lightning answers an interrupt by SystemExit(1); what was received tells it from a failure.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        raise KeyboardInterrupt


def _write_state(folder: Path, status: str, message: str = "") -> None:
    state = {"status": status, "message": message, "at": now()}
    write_atomically(folder / "state.json", json.dumps(state, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def _state(context: RunContext, signals: _Signals) -> Iterator[None]:
    """Keeps `state.json`: running, complete, interrupted, part done (of a job array), or failed with its message."""
    logger.info("run folder: %s", context.folder)
    _write_state(context.folder, "running")
    try:
        yield
    except BaseException as error:
        if signals.received or isinstance(error, KeyboardInterrupt):
            _write_state(context.folder, "interrupted")
            context.close(failed=True)
            raise KeyboardInterrupt(
                f"interrupted: {context.folder} holds what was written so far; the same command goes on from the caches"
            ) from error
        mistake = user_error_in(error)
        status = "part done" if isinstance(mistake, ShareDone) else "failed"
        with contextlib.suppress(OSError):  # a disk may be too full for that as well
            _write_state(context.folder, status, str(mistake or f"{type(error).__name__}: {error}"))
        context.close(failed=True)
        if mistake is not None:
            raise mistake from error
        raise
    _write_state(context.folder, "complete")


def _record_sources(context: RunContext, parts: dict[str, Any]) -> None:
    made = provenance.collect()
    weights = getattr(parts.get("backbone"), "weights", None)
    if weights is not None:
        made["weights"] = to_plain(weights) if dataclasses.is_dataclass(weights) else str(weights)
    data = getattr(parts.get("data"), "fingerprint", None)
    if data is not None:
        made["data_fingerprint"] = str(data)
    context.record["provenance"] = provenance.without_paths(made)


def _report(context: RunContext, config: DictConfig) -> None:
    if config.report:
        from audiointerp.report import render

        page = render(context.folder)
        logger.info("report: %s", page)
    if config.logger.mode != "disabled":
        from audiointerp.report import mirror

        mirror(context.folder, mode=config.logger.mode, run=context.wandb_run)
