"""Where a result comes from: configuration hash, versions, checksums, and the listing of its inputs."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# What does not change a result: where it is written, on what it is computed, how it is shown.
UNHASHED_ROOT = frozenset({"paths", "logger", "launcher", "device", "report", "rerun", "hydra"})
UNHASHED_ANYWHERE = frozenset({"num_workers"})
UNHASHED_TRAINER = frozenset(
    {
        "accelerator",
        "devices",
        "num_nodes",
        "default_root_dir",
        "logger",
        "enable_progress_bar",
        "enable_model_summary",
        "log_every_n_steps",
    }
)
ELSEWHERE = ".finished"
"""Ending of the file that stands for a job that was finished by an earlier command; it holds the way to its folder."""
PACKAGES = (
    "audiointerp",
    "torch",
    "torchaudio",
    "pytorch-lightning",
    "torch-vggish-yamnet",
    "nflows",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "zarr",
    "hydra-core",
    "wandb",
    "soundfile",
    "matplotlib",
)


def hashed_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out of a resolved configuration what cannot change a result.

    Args:
        config: The configuration as plain dicts and lists, paths already replaced by placeholders.
    Returns:
        A new dict without `paths`, `logger`, `launcher`, `device`, `report`, `rerun`, without `num_workers` at any
        depth, and without what the trainer runs on and shows.
    Example:
        >>> hashed_part({"seed": 1, "device": "cpu", "data": {"n": 2, "num_workers": 4}, "trainer": {"devices": 2}})
        {'seed': 1, 'data': {'n': 2}, 'trainer': {}}
    """

    def strip(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: strip(item) for key, item in value.items() if key not in UNHASHED_ANYWHERE}
        if isinstance(value, list | tuple):
            return [strip(item) for item in value]
        return value

    kept = {key: strip(value) for key, value in config.items() if key not in UNHASHED_ROOT}
    if isinstance(kept.get("trainer"), dict):
        kept["trainer"] = {key: value for key, value in kept["trainer"].items() if key not in UNHASHED_TRAINER}
    return kept


def digest(value: Any) -> str:
    """Hashes plain data: sha256 of its JSON with sorted keys.

    Args:
        value: Dicts, lists, strings, numbers, None.
    Returns:
        64 hexadecimal digits.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def config_hash(config: Any) -> str:
    """Tells one configuration from another by what can change a result, the same on every machine.

    Args:
        config: The composed configuration, an OmegaConf `DictConfig`; it is not changed.
    Returns:
        64 hexadecimal digits; a run's folder is named by the first eight.
    """
    return digest(hashed_part(plain_config(config)))


def plain_config(config: Any) -> dict[str, Any]:
    """Resolves a composed configuration with every path of this machine replaced by `<data>`, `<weights>` and so on.

    Args:
        config: The composed configuration, an OmegaConf `DictConfig`; it is not changed.
    Returns:
        Plain dicts and lists, without `hydra`.
    """
    import copy

    from omegaconf import OmegaConf, flag_override

    masked = copy.deepcopy(config)
    with flag_override(masked, ["struct", "readonly"], [False, False]):
        if "hydra" in masked:
            del masked["hydra"]
        if masked.get("paths") is not None:
            for name in list(masked.paths):
                masked.paths[name] = f"<{name}>"
    return OmegaConf.to_container(masked, resolve=True, throw_on_missing=False)


def file_sha256(path: str | Path) -> str:
    """Hashes a file's bytes.

    Args:
        path: The file.
    Returns:
        64 hexadecimal digits.
    """
    state = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def listing_digest(roots: Iterable[str | Path]) -> str:
    """Hashes the names, sizes and times of files, without reading them: a cheap guard against inputs that changed.

    Args:
        roots: Files and folders; where they lie does not enter, only what is in them. Missing ones count as missing.
    Returns:
        64 hexadecimal digits.
    """
    entries: list[tuple[str, int, int]] = []
    for root in roots:
        root = Path(root)
        if root.is_dir():
            for folder, folders, files in os.walk(root):
                folders.sort()
                for name in sorted(files):
                    status = os.stat(os.path.join(folder, name))
                    relative = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
                    entries.append((relative, status.st_size, status.st_mtime_ns))
        elif root.is_file():
            status = root.stat()
            entries.append((root.name, status.st_size, status.st_mtime_ns))
        else:
            entries.append((root.name, -1, -1))
    return digest(entries)


def package_versions() -> dict[str, str]:
    """Lists the installed versions of what the numbers depend on, and of Python."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def git_commit() -> dict[str, Any] | None:
    """Tells the commit that this package's source is at, and whether it was changed since.

    Returns:
        `commit` and `dirty`, or None where the package does not lie in a git checkout of its own.
    """
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(here), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed package may lie in somebody else's repository, ignored by it.
    if not git("ls-files", "--", "provenance.py"):
        return None
    commit = git("rev-parse", "HEAD")
    if not commit:
        return None
    return {"commit": commit, "dirty": bool(git("status", "--porcelain", "--", ":/"))}


def machine() -> dict[str, Any]:
    """Describes what the run computes on, without the machine's name.

    Returns:
        `platform`, `processor`, `cpu_count`, and `torch_threads` and `gpu` where torch is already imported.
    """
    described: dict[str, Any] = {
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu_count": os.cpu_count(),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        described["torch_threads"] = torch.get_num_threads()
        described["gpu"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return described


def collect() -> dict[str, Any]:
    """Gathers what a record says of its making: packages, machine and, where there is one, the commit."""
    return {"packages": package_versions(), "machine": machine(), "git": git_commit()}


_ABSOLUTE = re.compile(r"(?<![\w.>~])(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\",=\[\]{}]+[/\\])*[^/\\\s'\",=\[\]{}]+")


def without_paths(value: Any) -> Any:
    """Cuts the paths of this machine out of plain data: of a path that exists here, only its last name stays.

    Args:
        value: Dicts, lists, strings, numbers, None.
    Returns:
        The same with `.../name` for every absolute path whose file or parent folder exists.
    """
    if isinstance(value, Mapping):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    if not isinstance(value, str):
        return value

    def cut(match: re.Match[str]) -> str:
        path = Path(match.group())
        known = path.exists() or (len(path.parts) > 2 and path.parent.is_dir())
        return f".../{path.name}" if known else match.group()

    return _ABSOLUTE.sub(cut, value)


def folders_of(sweep: Path) -> list[Path]:
    """Gives the folders of a sweep's jobs by their number, also of those that an earlier command had finished."""
    folders = [file.parent for file in sweep.glob("*/results.json")]
    folders += [sweep / pointer.read_text(encoding="utf-8").strip() for pointer in sweep.glob(f"*{ELSEWHERE}")]
    return sorted(folders, key=_number)


def _number(folder: Path) -> tuple[int, str]:
    head = folder.name.split("-")[0]
    return (int(head) if head.isdigit() else sys.maxsize, folder.name)
