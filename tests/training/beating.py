"""Starts two jobs side by side that write a byte every 50 ms for half a minute; run as a script with a folder."""

import functools
import os
import sys
import time
from pathlib import Path

import joblib

from audiointerp.training.side_by_side import side_by_side


def beat(folder):
    file = folder / str(os.getpid())
    for _ in range(600):
        with open(file, "ab") as out:
            out.write(b".")
        time.sleep(0.05)


if __name__ == "__main__":
    joblib.cpu_count = lambda: 2  # also where there is one core
    list(side_by_side([functools.partial(beat, Path(sys.argv[1]))] * 2))
