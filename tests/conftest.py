"""What all tests share: folders of real sounds, the tiny study, and the command line in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
TINY = Path(__file__).resolve().parent / "tiny"

sys.path.insert(0, str(TINY))


def pytest_configure(config):
    # Tests neither touch the user's cache nor reach for a network.
    os.environ["WANDB_MODE"] = "offline"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Gives every test a cache of its own."""
    monkeypatch.setenv("AUDIOINTERP_CACHE", str(tmp_path_factory.mktemp("cache")))


def _given_folder(variable: str) -> Path:
    folder = os.environ.get(variable)
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"{variable} names no folder")
    return Path(folder)


@pytest.fixture
def real_data() -> Path:
    """The folder of real corpora."""
    return _given_folder("AUDIOINTERP_DATA")


@pytest.fixture
def real_weights() -> Path:
    """The folder of real weights."""
    return _given_folder("AUDIOINTERP_WEIGHTS")


@pytest.fixture
def reference() -> Path:
    """The folder of values computed by published implementations."""
    return _given_folder("AUDIOINTERP_REFERENCE")


@pytest.fixture
def start(tmp_path):
    """Starts `python -m audiointerp` with the tiny study in an empty folder; gives the `Popen`."""

    def begin(*arguments: str, **environment: str) -> subprocess.Popen:
        given = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(TINY)]),
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        command = [sys.executable, "-m", "audiointerp", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=tmp_path, env=given, **pipes)

    return begin


@pytest.fixture
def audiointerp(start):
    """Runs `python -m audiointerp` to its end; gives the `CompletedProcess`."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        process = start(*arguments, **environment)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run
