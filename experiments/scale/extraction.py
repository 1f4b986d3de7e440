"""Extraction of 60,000 clips and all 14 layers of YAMNet: one process, two processes, and the bare forward pass.

    python experiments/scale/extraction.py                      (paper's size; an hour where clips take 30 ms)
    python experiments/scale/extraction.py --clips 3072

Every process computes on `--threads` threads with a retained heap. The bare pass hears the same batches, keeps nothing,
and is measured on part of them, before and after. Writes `extraction` of results.json and the table of the README.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from audiointerp.__main__ import heap_settings

HERE = Path(__file__).resolve().parent
BANK, BARE = 512, 2048


class Noises:
    """As many segments as asked for out of a bank of noise, so that hearing them is all that takes time."""

    def __init__(self, clips: int, samples: int) -> None:
        import torch

        generator = torch.Generator().manual_seed(0)
        self.bank = 0.1 * torch.randn(BANK, samples, generator=generator)
        self.clips = clips
        self.fingerprint = hashlib.sha256(f"noises {clips} {samples}".encode()).hexdigest()

    def __len__(self) -> int:
        return self.clips

    def batch(self, indices: Sequence[int]):
        import torch

        rows = torch.as_tensor(indices)
        return self.bank[rows % BANK] * (0.2 + (rows % 97)[:, None] / 97)


def worker(clips: int, cache: str) -> None:
    """Extracts everything into a cache, alone or beside others, and says what the values are."""
    from audiointerp.activations.extract import extract
    from audiointerp.backbones.yamnet import PATCH_SAMPLES, YAMNet

    backbone, sounds = YAMNet(weights="random"), Noises(clips, PATCH_SAMPLES)
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.perf_counter()
    found = extract(backbone, sounds, range(0, clips, 5), cache, keep=[])
    seconds = time.perf_counter() - begin
    digest = hashlib.sha256(b"".join([found.output.tobytes(), *(found.scores[n].tobytes() for n in found.scores)]))
    print(f"{seconds} {digest.hexdigest()} {len(found.scores)}", flush=True)


def bare(clips: int) -> float:
    """Measures the seconds of the forward pass of that many clips, nothing kept."""
    import torch

    from audiointerp.activations.extract import BATCH
    from audiointerp.backbones.yamnet import PATCH_SAMPLES, YAMNet

    backbone, sounds = YAMNet(weights="random"), Noises(clips, PATCH_SAMPLES)
    part = min(BARE, clips) // BATCH
    with torch.inference_mode():
        for number in range(-1, part):  # the first is not counted
            if number == 0:
                begin = time.perf_counter()
            backbone(backbone.front_end(sounds.batch(range(BATCH))))
    return (time.perf_counter() - begin) * clips / (part * BATCH)


def extracted(clips: int, processes: int, threads: int) -> tuple[float, str, int]:
    """Lets some processes share out the extraction; gives seconds, digest of the values, and number of layers."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--clips", str(clips), "--worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with tempfile.TemporaryDirectory(prefix="extraction-") as cache:
        started = [
            subprocess.Popen(
                [*command, cache], env=environment | {"RANK": str(rank), "WORLD_SIZE": str(processes)}, **pipes
            )
            for rank in range(processes)
        ]
        for process in started:
            process.stdout.readline()
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.stdout.readline().split() for process in started]
        for process in started:
            process.wait()
    if len({words[1] for words in said}) > 1:
        raise SystemExit("the processes read different values")
    return max(float(words[0]) for words in said), said[0][1], int(said[0][2])


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=60_000)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--worker", metavar="CACHE", help=argparse.SUPPRESS)
    given = parser.parse_args()
    environment = heap_settings(dict(os.environ), platform.system(), platform.libc_ver()[0])
    if environment is not None:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    if given.worker:
        worker(given.clips, given.worker)
        return
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(given.threads)
    import torch

    torch.set_num_threads(given.threads)
    before = bare(given.clips)
    one, digest, layers = extracted(given.clips, 1, given.threads)
    two, other, _ = extracted(given.clips, 2, given.threads)
    facts = {
        "clips": given.clips,
        "layers": layers,
        "threads": given.threads,
        "bare_s": [before, bare(given.clips)],
        "one_s": one,
        "two_s": two,
        "same_bits": digest == other,
    }
    from results import keep

    from audiointerp.report.cells import markdown

    floor = sum(facts["bare_s"]) / 2
    rows = [["bare forward pass", f"{floor:.0f}", f"{given.clips / floor:.0f}", "1.00"]]
    for name, seconds in (("one process", one), ("two processes", two)):
        rows.append([name, f"{seconds:.0f}", f"{given.clips / seconds:.0f}", f"{seconds / floor:.2f}"])
    note = (
        f"{given.clips} clips, {layers} layers reduced to 64 components, random weights, {given.threads} thread(s) a "
        f"process on {os.cpu_count()} cores; fitting the reductions is part of it. Values of one and of two processes "
        f"are {'the same to the bit' if facts['same_bits'] else 'NOT the same'}."
    )
    keep(given.out, "extraction", facts, markdown(["pass", "s", "clips / s", "time beside bare"], rows) + f"\n\n{note}")
    print(facts)


if __name__ == "__main__":
    main()
