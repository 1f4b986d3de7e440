"""Going on with a training that was cut off, from the checkpoint of its last whole epoch."""

from __future__ import annotations

import inspect
import io
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout

from audiointerp.processes import rank
from audiointerp.study import write_atomically

AT_EACH_EPOCH: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
"""How `ModelCheckpoint` keeps what a training can go on from."""


def resumable(checkpoint: Path) -> dict[str, Any]:
    """Gives what `Trainer.fit` takes to go on from a checkpoint; nothing where there is none."""
    if not checkpoint.is_file():
        return {}
    given: dict[str, Any] = {"ckpt_path": os.fspath(checkpoint)}
    if "weights_only" in inspect.signature(pl.Trainer.fit).parameters:
        given["weights_only"] = True
    return given


def epochs_done(checkpoint: Path) -> int:
    """Gives how many epochs a checkpoint was made after; 0 where there is none.

    Lightning draws the first batches of a resumed training before it tells the epoch that it goes on with.
    """
    return torch.load(checkpoint, weights_only=True, mmap=True)["epoch"] + 1 if checkpoint.is_file() else 0


def stopped_after(checkpoint: Path, patience: int) -> int | None:
    """Gives the epochs after which `EarlyStopping` had ended a training that was cut off before it was kept.

    Lightning keeps how long nothing has become better, but not that this was the end, and would train on.
    """
    if not checkpoint.is_file():
        return None
    states = torch.load(checkpoint, weights_only=True, mmap=True)["callbacks"]
    waited = [state["wait_count"] for name, state in states.items() if name.startswith("EarlyStopping")]
    return epochs_done(checkpoint) if waited and max(waited) >= patience else None


@contextmanager
def alone_at(store: Path, make_trainer: Callable[..., pl.Trainer]) -> Iterator[None]:
    """Lets one process at a time train what goes into `store`; a second one waits, and then finds it there.

    Processes that train together go in together: only their first one asks. The lock goes with the process that holds
    it, also when that is killed.

    Args:
        store: Folder in the cache.
        make_trainer: What the trainer is built with; its `devices` and `num_nodes` say who trains together.
    """
    held = getattr(make_trainer, "keywords", {})
    together = held.get("devices", 1) not in (1, "1") or held.get("num_nodes", 1) != 1
    if together and rank()[0]:
        yield
        return
    store.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(store.with_suffix(".lock"), mode=0o666)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logging.getLogger("audiointerp").info("waiting for another process that trains the same ...")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def save(path: Path, content: Any) -> None:
    """Writes what `torch.save` takes, whole or not at all; on a full disk the error is that of the system."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def clear(folder: Path) -> None:
    """Removes what was kept to go on from, once all processes that train together are done with it."""
    parallel = torch.distributed
    together = parallel.is_available() and parallel.is_initialized()
    if together:
        parallel.barrier()
    if not (together and parallel.get_rank()):
        shutil.rmtree(folder, ignore_errors=True)
