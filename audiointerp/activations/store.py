"""The on-disk store of activations: content-addressed, written chunk by chunk, resumable with the same bits."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import zarr
from filelock import FileLock, Timeout

from audiointerp.activations.reduction import LinearReduction
from audiointerp.study import UserError, write_atomically

CHUNK = 512
SETTLING = 3  # tenths of a second
REDUCTION_PARTS = ("mean", "scale", "components", "score_scale", "explained")


def address(key: Mapping[str, object]) -> str:
    """Gives the sha256 that a key is stored under, the same in whichever order its entries stand."""
    return hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()


@contextmanager
def exclusive(root: str | os.PathLike, key: Mapping[str, object]) -> Iterator[None]:
    """Lets one process at a time write what `key` names; a second one waits, and then finds it done.

    The lock goes with the process that holds it, also when that is killed.

    Raises:
        UserError: If the store cannot be written to.
    """
    path = Path(root) / f"{address(key)}.lock"
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, mode=0o666)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logging.getLogger("audiointerp").info("waiting for another process that hears the same sounds ...")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def claimed(folder: Path, chunk: int) -> Iterator[bool]:
    """Tries to have a chunk to oneself among all processes that fill a store; says whether it was free.

    The claim goes with the process that holds it, also when that is killed.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / str(chunk), mode=0o666)
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
    try:
        yield lock.is_locked
    finally:
        lock.release()


class StoredArray:
    """One array `(N, D)` float32 under a content address, whole or known to be unfinished.

    Args:
        root: Folder of all stored arrays.
        key: What the content depends on; everything that could change a bit of it has to be in here.
        rows: Number of rows N.
    """

    def __init__(self, root: str | os.PathLike, key: Mapping[str, object], rows: int) -> None:
        self.key = dict(key)
        self.rows = rows
        self.folder = Path(root) / address(self.key)

    @property
    def chunks(self) -> int:
        """Number of chunks of 512 rows."""
        return -(-self.rows // CHUNK)

    @property
    def complete(self) -> bool:
        """Whether all rows are there; the manifest is written last."""
        return (self.folder / "manifest.json").is_file()

    def has(self, chunk: int) -> bool:
        """Whether a chunk was written whole."""
        return self.complete or (self.folder / "done" / str(chunk)).is_file()

    def write(self, chunk: int, values: np.ndarray) -> None:
        """Writes one chunk, marked as done when it is there whole; other processes may write others meanwhile.

        Raises:
            UserError: If the disk is full or cannot be written to; what was written before stays.
        """
        path = self.folder / "values.zarr"
        with _writing(self.folder):
            if not path.is_dir():
                with exclusive(self.folder, {"create": path.name}):
                    if not path.is_dir():
                        _create(path, (self.rows, values.shape[1]))
            array = zarr.open_array(str(path), mode="r+")
            array[chunk * CHUNK : chunk * CHUNK + len(values)] = values
            write_atomically(self.folder / "done" / str(chunk), "")

    def finish(self, **facts: float) -> None:
        """Marks the array complete; `facts` are kept in its manifest.

        Raises:
            UserError: If the disk is full or cannot be written to.
        """
        content = {"key": self.key, "rows": self.rows, "chunks": self.chunks, "facts": facts}
        with _writing(self.folder):
            write_atomically(self.folder / "manifest.json", json.dumps(content, indent=1, sort_keys=True))
        shutil.rmtree(self.folder / "done", ignore_errors=True)
        for lock in self.folder.glob("*.lock"):
            lock.unlink(missing_ok=True)

    def facts(self) -> dict[str, float]:
        """Gives what was kept in the manifest of a complete array."""
        return json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))["facts"]

    def discard(self) -> None:
        """Removes everything under this address."""
        (self.folder / "manifest.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def read(self) -> np.ndarray:
        """Reads all rows `(N, D)`.

        Raises:
            FileNotFoundError: If the array is not complete.
        """
        if not self.complete:
            raise FileNotFoundError(
                f"expected a complete array in {self.folder}, its manifest is missing: extract first"
            )
        return zarr.open_array(str(self.folder / "values.zarr"), mode="r")[:]

    def save_reduction(self, reduction: LinearReduction) -> None:
        """Keeps the reduction beside the values, so that a resumed extraction goes on with the same one.

        Raises:
            UserError: If the disk is full or cannot be written to.
        """
        target = self.folder / "reduction.zarr"
        with _writing(self.folder), _whole(target) as partial:
            for name in REDUCTION_PARTS:
                values = getattr(reduction, name).numpy()
                array = zarr.open_array(
                    str(partial / name), mode="w", shape=values.shape, chunks=values.shape, dtype="float32"
                )
                array[...] = values
            facts = {"convergence": reduction.convergence, "shape": list(reduction.shape)}
            (partial / "facts.json").write_text(json.dumps(facts), encoding="utf-8")

    def load_reduction(self) -> LinearReduction | None:
        """Reads the reduction, None if it was not kept."""
        import torch

        path = self.folder / "reduction.zarr"
        if not path.is_dir():
            return None
        parts = {name: torch.from_numpy(zarr.open_array(str(path / name), mode="r")[...]) for name in REDUCTION_PARTS}
        facts = json.loads((path / "facts.json").read_text(encoding="utf-8"))
        return LinearReduction(**parts, convergence=facts["convergence"], shape=tuple(facts["shape"]))

    def drop_reduction(self) -> None:
        """Frees the space of the reduction; the values stay."""
        kept = self.folder / "reduction.zarr"
        if kept.is_dir():
            gone = kept.with_suffix(".part")  # half a reduction is never found under its name
            shutil.rmtree(gone, ignore_errors=True)
            os.rename(kept, gone)
            shutil.rmtree(gone, ignore_errors=True)

    def bytes(self) -> int:
        """Size on disk [bytes]."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def _create(path: Path, shape: tuple[int, int]) -> None:
    with _whole(path) as partial:
        # The calls that zarr 2 and 3 share: zarr 3 needs Python 3.11.
        zarr.open_array(str(partial), mode="w", shape=shape, chunks=(CHUNK, shape[1]), dtype="float32")


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """Gives a folder to fill that takes the place of `target` once it is filled; what a killed process left goes."""
    partial = target.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        os.rename(partial, target)
    except BaseException:
        _remove(partial)
        raise


def _remove(folder: Path) -> None:
    """Removes a folder that zarr's own thread may go on filling for a moment after Ctrl-C has stopped the call."""
    for _ in range(SETTLING):
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"expected to write activations to {folder}, got {error.strerror or error}: free some space or set "
            "AUDIOINTERP_CACHE to a folder that can be written to; what is stored already is kept, run again to go on"
        ) from error
