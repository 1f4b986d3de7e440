"""A file of rendered clips: written once, whole or not at all, read clip by clip without taking memory."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

ABANDONED_S = 600
"""A half-written file that did not grow for so long was left by a process that was killed [s]."""


class ClipStore:
    """Clips of one length in one file, little-endian float32.

    Args:
        file: Where they are, or will be.
        clips: Number of clips.
        length: Samples of a clip.
    """

    def __init__(self, file: Path, clips: int, length: int) -> None:
        self.file, self.clips, self.length = file, clips, length

    def read(self, indices: np.ndarray) -> np.ndarray | None:
        """Gives clips, float32, shape `(B, length)`; None if there is no whole file."""
        size = 4 * self.length
        try:
            with self.file.open("rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != size * self.clips:
                    return None
                data = b"".join(os.pread(file.fileno(), size, size * int(i)) for i in indices)
        except OSError:
            return None
        return np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(len(indices), self.length)

    @contextmanager
    def writing(self) -> Iterator[Callable[[np.ndarray], None]]:
        """Yields a function that takes all clips in their order, shape `(B, length)` at a time.

        A disk that is full or cannot be written to is warned of once, and nothing is left behind. Nothing is written
        where the file is there already, or would take more than half of the free space.
        """
        part = self.file.with_name(f"{self.file.name}.{os.getpid()}.part")
        target = self._open(part)

        def keep(clips: np.ndarray) -> None:
            nonlocal target
            if target is not None:
                try:
                    target.write(clips.astype("<f4", copy=False).tobytes())
                except OSError as error:
                    target = None
                    _warn(error)

        try:
            yield keep
            if target is not None:
                target.close()
                part.replace(self.file)
        except OSError as error:
            _warn(error)
        finally:
            with suppress(OSError):
                part.unlink()

    def _open(self, part: Path) -> BinaryIO | None:
        try:
            if self.file.is_file() and self.file.stat().st_size == 4 * self.clips * self.length:
                return None
            part.parent.mkdir(parents=True, exist_ok=True)
            for left in part.parent.glob(f"{self.file.name}.*.part"):
                if time.time() - left.stat().st_mtime > ABANDONED_S:
                    left.unlink(missing_ok=True)
            free = shutil.disk_usage(part.parent).free
            return part.open("wb", buffering=0) if free > 8 * self.clips * self.length else None
        except OSError as error:
            _warn(error)
            return None


def _warn(error: OSError) -> None:
    warnings.warn(
        f"the rendered sounds could not be kept ({error}) and are rendered again: set paths.cache to a folder with "
        "more room",
        stacklevel=4,
    )
