"""What came out: figures, tables, sounds, one offline page rebuilt from a run's files, and its W&B mirror."""

from importlib import import_module
from typing import Any

__all__ = ["Page", "mirror", "render"]

_HOMES = {"Page": "page", "render": "page", "mirror": "wandb_mirror"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
