"""Small models trained side by side: a process and a thread each, where one model gains nothing from a second core."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import joblib
import torch

T = TypeVar("T")
POLL_S = 0.5


def side_by_side(jobs: Sequence[Callable[[], T]]) -> Iterator[T]:
    """Runs jobs in as many processes as there are cores, and gives their results in order.

    Nothing starts before the first result is asked for. With one core, or one job, no process is started. Processes
    work in the folder that is current here, whatever it was when they were started (joblib keeps them for the next
    call), and end soon after the one that started them, also where that was killed.

    Args:
        jobs: Functions that can be pickled; each should keep to one thread (`one_thread`).

    Example:
        >>> list(side_by_side([int, float]))
        [0, 0.0]
    """
    workers = min(len(jobs), joblib.cpu_count())
    if workers < 2:
        for job in jobs:
            yield job()
        return
    # inner_max_num_threads is what a worker's libraries see as they are imported, before `one_thread` is reached.
    with joblib.parallel_config("loky", n_jobs=workers, inner_max_num_threads=1):
        run = joblib.Parallel(return_as="generator", pre_dispatch="all", max_nbytes=None)
        yield from run(joblib.delayed(_run)(job, os.getpid(), os.getcwd()) for job in jobs)


def _run(job: Callable[[], T], parent: int, folder: str) -> T:
    """Runs a job in a process that ends with its parent; where joblib starts none, in the parent itself."""
    if os.getpid() != parent:
        _end_with(parent)
        os.chdir(folder)
    return job()


@cache
def _end_with(parent: int) -> None:
    """Watches from a thread, one per process, whether the parent is there; without it, this process ends at once.

    A parent that is killed tells nobody, and a worker asks for its next job when the present one is done.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps torch to one thread in this process for a while: sums then come out the same on any number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
