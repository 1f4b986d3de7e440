"""The on-disk store of activations: content-addressed, written chunk by chunk, resumable with the same bits."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import zarr

from audiointerp.activations.reduction import LinearReduction

CHUNK = 512
REDUCTION_PARTS = ("mean", "scale", "components", "score_scale", "explained")


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
        text = json.dumps(self.key, sort_keys=True)
        self.folder = Path(root) / hashlib.sha256(text.encode()).hexdigest()

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
        """Writes one chunk; two processes that write the same chunk write the same bits."""
        (self.folder / "done").mkdir(parents=True, exist_ok=True)
        path = self.folder / "values.zarr"
        if not (path / "zarr.json").is_file():
            _create(path, (self.rows, values.shape[1]))
        array = zarr.open_array(path, mode="r+")
        array[chunk * CHUNK : chunk * CHUNK + len(values)] = values
        (self.folder / "done" / str(chunk)).touch()

    def finish(self, **facts: float) -> None:
        """Marks the array complete; `facts` are kept in its manifest."""
        content = {"key": self.key, "rows": self.rows, "chunks": self.chunks, "facts": facts}
        _write_json(self.folder / "manifest.json", content)
        shutil.rmtree(self.folder / "done", ignore_errors=True)

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
        return zarr.open_array(self.folder / "values.zarr", mode="r")[:]

    def save_reduction(self, reduction: LinearReduction) -> None:
        """Keeps the reduction beside the values, so that a resumed extraction goes on with the same one."""
        target = self.folder / "reduction.zarr"
        partial = target.with_name(f"reduction.{os.getpid()}.part")
        shutil.rmtree(partial, ignore_errors=True)
        group = zarr.open_group(partial, mode="w")
        for name in REDUCTION_PARTS:
            values = getattr(reduction, name).numpy()
            group.create_array(name, data=values, chunks=values.shape, compressors=None)
        group.attrs.update(convergence=reduction.convergence, shape=list(reduction.shape))
        _move(partial, target)

    def load_reduction(self) -> LinearReduction | None:
        """Reads the reduction, None if it was not kept."""
        import torch

        path = self.folder / "reduction.zarr"
        if not path.is_dir():
            return None
        group = zarr.open_group(path, mode="r")
        parts = {name: torch.from_numpy(np.array(group[name][:])) for name in REDUCTION_PARTS}
        return LinearReduction(
            **parts, convergence=float(group.attrs["convergence"]), shape=tuple(group.attrs["shape"])
        )

    def drop_reduction(self) -> None:
        """Frees the space of the reduction; the values stay."""
        shutil.rmtree(self.folder / "reduction.zarr", ignore_errors=True)

    def bytes(self) -> int:
        """Size on disk [bytes]."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def _create(path: Path, shape: tuple[int, int]) -> None:
    partial = path.with_name(f"values.{os.getpid()}.part")
    shutil.rmtree(partial, ignore_errors=True)
    zarr.create_array(partial, shape=shape, chunks=(CHUNK, shape[1]), dtype="float32", compressors=None)
    _move(partial, path)


def _move(partial: Path, target: Path) -> None:
    """Renames a finished folder into place; another process may have been quicker with the same content."""
    try:
        os.rename(partial, target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(partial, ignore_errors=True)


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
    os.replace(partial, path)
