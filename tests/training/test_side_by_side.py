"""Processes that train side by side give their results in order, and end with the one that started them."""

import functools
import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import pytest

from audiointerp.training.side_by_side import side_by_side
from tests.conftest import REPOSITORY


def until(there, most_s=60.0):
    """Waits until something is there; whether it came."""
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        if there():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="a process keeps the number of a parent that is gone")
def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path):
    command = [sys.executable, "-m", "tests.training.beating", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    parent = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    try:
        assert until(lambda: len(list(tmp_path.iterdir())) == 2) and parent.poll() is None
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert str(parent.pid) not in {file.name for file in tmp_path.iterdir()}

    def still():
        before = [file.stat().st_size for file in tmp_path.iterdir()]
        time.sleep(1.0)
        return before == [file.stat().st_size for file in tmp_path.iterdir()]

    assert until(still, most_s=15.0)
    assert all(file.stat().st_size < 500 for file in tmp_path.iterdir())  # of the 600 that they would have written


def test_a_process_that_may_start_none_does_the_work_itself(tmp_path):
    program = (
        "import functools, multiprocessing, operator, sys, time, joblib\n"
        "from audiointerp.training.side_by_side import POLL_S, side_by_side\n"
        "def work():\n"
        "    joblib.cpu_count = lambda: 2\n"
        "    found = list(side_by_side([functools.partial(operator.neg, n) for n in range(3)]))\n"
        "    time.sleep(2 * POLL_S)\n"  # whoever watches for this process's own parent would end it
        "    sys.exit(0 if found == [0, -1, -2] else 3)\n"
        "if __name__ == '__main__':\n"
        "    one = multiprocessing.get_context('fork').Process(target=work, daemon=True)\n"
        "    one.start(); one.join(); sys.exit(one.exitcode)\n"
    )
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_results_come_in_order(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    assert list(side_by_side([functools.partial(operator.neg, n) for n in range(5)])) == [0, -1, -2, -3, -4]


def test_processes_that_are_kept_work_in_the_folder_of_now(tmp_path, monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert list(side_by_side([Path.cwd, Path.cwd])) == [tmp_path / name] * 2
