"""Lightning without the remarks that do not apply to what is trained here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

REMARKS = (
    "does not have many workers",  # batches come ready-made from memory: workers would only copy them
    "exists and is not empty",  # a training that goes on finds what it left
    "LeafSpec.*deprecated",  # Lightning's own use of torch
)


@contextmanager
def quiet(*further: str) -> Iterator[None]:
    """Keeps back some of Lightning's remarks while the context is open; all other warnings come through.

    Args:
        further: Patterns of remarks that do not apply here either.
    """
    with warnings.catch_warnings():
        for remark in (*REMARKS, *further):
            warnings.filterwarnings("ignore", message=f".*{remark}.*")
        yield
