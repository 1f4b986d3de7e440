"""Small models trained side by side: a process and a thread each, where one model gains nothing from a second core."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import joblib
import torch

T = TypeVar("T")


def side_by_side(jobs: Sequence[Callable[[], T]]) -> Iterator[T]:
    """Runs jobs in as many processes as there are cores, and gives their results in order.

    Nothing starts before the first result is asked for. With one core, or one job, no process is started.

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
        yield from run(joblib.delayed(job)() for job in jobs)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps torch to one thread in this process for a while: sums then come out the same on any number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
