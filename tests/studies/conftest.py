"""One folder of tiny sounds for all studies, and the command line in this process and in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch

from audiointerp import cli
from tests.conftest import REPOSITORY
from tests.studies.small_world import write_sounds, write_weights

COMMON = ("data=folder", "data.root=sounds", "paths.weights=weights", "paths.cache=cache", "logger=none", "device=cpu")


class Place:
    """A working folder in which commands are run, each with the same arguments first."""

    def __init__(self, folder: Path, first: Sequence[str] = COMMON) -> None:
        self.folder, self.first = folder, first

    def subprocess(self, *arguments: str) -> subprocess.CompletedProcess:
        """Runs the real command in a process of its own."""
        given = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": str(torch.get_num_threads())}
        command = [sys.executable, "-m", "audiointerp", *self.first, *arguments]
        return subprocess.run(command, cwd=self.folder, env=given, capture_output=True, text=True, timeout=300)

    def only_run(self, *arguments: str) -> Run:
        """Runs the real command, the first one here, which must go well."""
        done = self.subprocess(*arguments)
        assert done.returncode == 0, done.stderr
        (folder,) = (self.folder / "outputs").glob("*/*")
        return Run(folder, done.stdout)

    def inside(self, *arguments: str) -> int:
        """Runs the command line in this process; gives the exit code."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["audiointerp"])
            patch.setenv("HYDRA_FULL_ERROR", "1")
            return cli.main([*self.first, *arguments])


class Run:
    """What a finished run left in its folder."""

    def __init__(self, folder: Path, said: str = "") -> None:
        self.folder, self.said = folder, said
        self.record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        self.results = self.record["results"]

    def table(self, name: str) -> pd.DataFrame:
        """Reads one of its tables; words such as `none` stay words."""
        return pd.read_csv(self.folder / "tables" / f"{name}.csv", keep_default_na=False, na_values=[""])

    def tables(self) -> dict[str, bytes]:
        """Gives the bytes of all of its tables."""
        return {file.name: file.read_bytes() for file in sorted((self.folder / "tables").glob("*.csv"))}

    def times(self) -> dict[str, int]:
        """Gives when each of its files was written."""
        return {str(file): file.stat().st_mtime_ns for file in self.folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    write_sounds(folder / "sounds")
    write_weights(folder / "weights")
    return Place(folder)
