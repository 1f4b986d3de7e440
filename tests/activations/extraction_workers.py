"""Extractions in processes of their own, which stop where they are told to, to be killed there.

`python extraction_workers.py` reads lines `CACHE WHERE` and gives each a process (all imports are done once). A process
says its number and the place once it has come to WHERE, and stays there; one that is not to stop says what it got.
"""

import hashlib
import os
import signal
import sys
import time
from pathlib import Path

import small_network

from audiointerp.activations import extract as extraction
from audiointerp.activations import store

SEGMENTS = 1100  # two whole chunks and one that is not
FIT = range(0, SEGMENTS, 5)
SETTINGS = {"components": 8, "group_bytes": 1.0}  # a pass for each layer


def say(*words):
    os.write(1, f"{' '.join(map(str, (os.getpid(), *words)))}\n".encode())


def stay(where):
    say(where)
    time.sleep(60)


def work(cache, where):
    sounds = small_network.Noise(SEGMENTS)
    write = store.write_atomically
    manifests = []

    def progress(items, *, description, **_):
        if where == "fitting" and description.startswith("fitting block3"):
            stay(where)
        return items

    def stopping(path, content):
        if where == "writing" and Path(path).parts[-2:] == ("done", "1"):
            stay(where)  # the values of the chunk are there, its mark is not
        if Path(path).name == "manifest.json":
            manifests.append(path)
            if where == "finishing" and len(manifests) == 3:
                stay(where)
        return write(path, content)

    def batch(indices):
        if where == "hearing" and list(indices[:2]) == [640, 641]:
            stay(where)
        return small_network.Noise.batch(sounds, indices)

    store.write_atomically = stopping
    sounds.batch = batch
    found = extraction.extract(small_network.SmallNetwork(), sounds, FIT, cache, progress=progress, **SETTINGS)
    say("found", digest(found), len(sounds.heard))


def digest(found):
    """Gives the sha256 of all values and reductions."""
    parts = [found.output.tobytes()]
    parts += [found.scores[name].tobytes() for name in found.scores]
    parts += [reduction.components.numpy().tobytes() for reduction in found.reductions.values()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who is killed is gone at once
    for line in sys.stdin:
        if os.fork() == 0:
            try:
                work(*line.split())
            except Exception as error:
                say("failed", type(error).__name__)
            os._exit(0)
