"""Where weights come from: a file the user has, the torch hub cache, a download, or nothing."""

from __future__ import annotations

import http.client
import os
import pickle
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from audiointerp.study import UserError


class NoWeights(UserError):
    """Weights that were left to be found are nowhere."""


def load_state(path: Path) -> dict[str, Tensor]:
    """Reads a state dict from a `.pth`/`.pt` file (weights only: nothing in it is executed) or a `.safetensors` file.

    Raises:
        UserError: If the file is not there, cannot be read, or holds something else than tensors by name.
    """
    if not path.is_file():
        raise UserError(f"expected a file with weights, got {path}, which does not exist: check backbone.weights")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise UserError(f"{path.name} is a safetensors file: pip install safetensors, or give a .pth file") from error
    except Exception as error:  # torch raises pickle, zip, runtime and OS errors alike for a bad file
        if isinstance(error, pickle.UnpicklingError):  # torch would advise to run whatever it holds
            why = "it is damaged, or holds other Python objects, none of which was run"
        else:
            why = f"{type(error).__name__}: {re.split(r'[.] |[.]?' + chr(10), str(error))[0]}"
        raise UserError(
            f"expected a file with weights only (tensors by name), {path.name} could not be read as one ({why}): "
            "save it with torch.save(model.state_dict(), path)"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"expected tensors by name in {path.name}, got {type(state).__name__}: save model.state_dict()")
    return state


def find_file(names: Sequence[str], folder: str | os.PathLike | None) -> Path | None:
    """Looks for the first of `names` under `folder`, then in the torch hub cache; None if there is none."""
    places = [Path(folder)] if folder else []
    places.append(Path(torch.hub.get_dir()) / "checkpoints")
    return next((place / name for place in places for name in names if (place / name).is_file()), None)


def download(url: str, timeout_s: float = 5.0) -> Path:
    """Fetches `url` into the torch hub cache, whole or not at all.

    Raises:
        OSError: If the server cannot be reached within `timeout_s` seconds or breaks off.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / url.rsplit("/", 1)[-1]
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer, open(partial, "wb") as out:
            expected = answer.headers.get("Content-Length")
            while block := answer.read(1 << 20):
                out.write(block)
            # A connection that breaks off looks like the end of the file.
            if expected is not None and out.tell() != int(expected):
                raise OSError(f"{url} broke off after {out.tell()} of {expected} bytes")
        os.replace(partial, target)
    except (TimeoutError, urllib.error.URLError, http.client.HTTPException) as error:
        raise OSError(f"{url} cannot be reached: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def resolve(
    weights: str,
    *,
    names: Sequence[str],
    folder: str | os.PathLike | None,
    url: str,
    timeout_s: float = 5.0,
) -> Path:
    """Finds the file that `weights` means.

    Args:
        weights: `auto` (a known file name under `folder`, the torch hub cache, then a download), or a path.
        names: File names that `auto` looks for, best first.
        folder: Where the user keeps weights (`paths.weights`), or None.
        url: Download address for `auto`.
        timeout_s: How long the download may hang [s].
    Raises:
        NoWeights: If `auto` finds no file; says where it was looked for and what to do.
        UserError: If the stand-in is asked for, which only the command line knows how to make.
    """
    if weights == "standin":
        raise UserError(
            "expected a file, auto or random, got standin, which `python -m audiointerp` makes: from Python, give "
            "the file that studies.standin.make_stand_in leaves, with its output_names and kind='standin'"
        )
    if weights != "auto":
        return Path(weights).expanduser()
    found = find_file(names, folder)
    if found is not None:
        return found
    try:
        return download(url, timeout_s)
    except OSError as error:
        where = f"paths.weights={folder}" if folder else "paths.weights (not set)"
        raise NoWeights(
            f"no weights found: looked for {' or '.join(names)} in {where} and the torch hub cache, and {error}. "
            "Set paths.weights=FOLDER (or AUDIOINTERP_WEIGHTS) to a folder that holds the file, "
            "backbone.weights=FILE to name it, or go on without: backbone.weights=standin or backbone.weights=random"
        ) from error
