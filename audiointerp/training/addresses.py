"""What the address of a trained model in the cache is made of, beside its own settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from audiointerp.provenance import UNHASHED_TRAINER

if TYPE_CHECKING:
    from hashlib import _Hash

AT_ONCE = 256


def trainer_settings(make_trainer: Callable) -> dict[str, Any]:
    """Gives what a trainer is built with, by name in order, without what it runs on and shows.

    Args:
        make_trainer: Builds the Lightning trainer; what a `functools.partial` holds counts.
    Example:
        >>> from functools import partial
        >>> trainer_settings(partial(dict, precision="32", devices=2, max_steps=5))
        {'max_steps': 5, 'precision': '32'}
    """
    held = getattr(make_trainer, "keywords", {})
    return {name: held[name] for name in sorted(held) if name not in UNHASHED_TRAINER}


def add_rows(digest: _Hash, values: np.ndarray, rows: np.ndarray) -> None:
    """Adds rows of an array to a hash: how many, their shape and type, and their bytes.

    Args:
        digest: The hash.
        values: Shape `(N, ...)`; a few rows at a time are copied, so that memory stays bounded.
        rows: Positions of those that count.
    """
    digest.update(f"{len(rows)}{values.shape[1:]}{values.dtype}".encode())
    for part in np.array_split(rows, max(1, len(rows) // AT_ONCE)):
        digest.update(values[part].tobytes())
