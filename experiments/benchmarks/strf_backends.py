"""What the backends of GaborSTRF cost, beside a vectorised full convolution and loops over the filters.

    python experiments/benchmarks/strf_backends.py [--batch 8] [--repeats 7]

Every backend gets the same 64 filters and spectrograms of 100 frames x 64 bins, for three kernel sizes, forward alone
and with the backward pass to all four parameters. Processor seconds, in turn, so that whatever else the machine does
falls on all of them; a ratio is taken within each repetition and the median is reported. Memory is what a pass
adds to the process at its highest. Writes strf_backends.json and the table in README.md.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from audiointerp.backbones.strf import GaborSTRF
from audiointerp.backbones.strf_backends import BACKENDS

HERE = Path(__file__).parent
SIZES = ((31, 9), (111, 9), (111, 25))
FILTERS, FRAMES, BINS = 64, 100, 64
KERNEL_LOOP, FILTER_LOOP = "loop over kernels", "filter by filter"
WAYS = (*BACKENDS, KERNEL_LOOP, FILTER_LOOP)


def one_kernel(strf: GaborSTRF, index: int) -> Tensor:
    """Real and imaginary part of one kernel written out tap by tap, shape `(2, K_t, K_f)`."""
    tuning = strf.tuning()
    t = torch.arange(strf.frames) - strf.frames // 2
    f = torch.arange(strf.bins) - strf.bins // 2
    t, f = torch.meshgrid(t / strf.frame_rate, f / strf.bins_per_octave, indexing="ij")
    sigma_t, sigma_f = tuning.sigma_t[index], tuning.sigma_f[index]
    envelope = torch.exp(-0.5 * ((t / sigma_t) ** 2 + (f / sigma_f) ** 2))
    envelope = envelope / (2.0 * math.pi * sigma_t * strf.frame_rate * sigma_f * strf.bins_per_octave)
    phase = 2.0 * math.pi * (tuning.omega[index] * t + tuning.Omega[index] * f)
    return torch.stack([envelope * torch.cos(phase), envelope * torch.sin(phase)])


def way(strf: GaborSTRF, name: str) -> Callable[[Tensor], Tensor]:
    """The layer with one backend, or a loop that gives the same."""
    if name in BACKENDS:
        strf.backend = name
        return strf

    def looped(spectrogram: Tensor) -> Tensor:
        t, f = strf.frames // 2, strf.bins // 2
        padded = F.pad(spectrogram[:, None], (f, f, t, t), mode="replicate")
        kernels = (one_kernel(strf, index) for index in range(strf.filters))
        if name == KERNEL_LOOP:
            weight = torch.stack(list(kernels), dim=1)
            return F.conv2d(padded, weight.flatten(0, 1)[:, None])
        responses = [F.conv2d(padded, kernel[:, None]) for kernel in kernels]
        return torch.stack(responses, dim=2).flatten(1, 2)

    return looped


def run_once(strf: GaborSTRF, name: str, spectrograms: Tensor, backward: bool) -> float:
    """Processor seconds of one pass."""
    strf.zero_grad()
    correlate = way(strf, name)
    begin = time.process_time()
    with torch.set_grad_enabled(backward):
        out = correlate(spectrograms)
        if backward:
            out.square().mean().backward()
    return time.process_time() - begin


def build(size: tuple[int, int], batch: int) -> tuple[GaborSTRF, Tensor]:
    """The layer and its input."""
    generator = torch.Generator().manual_seed(0)
    strf = GaborSTRF(FILTERS, frames=size[0], bins=size[1], backend="full")
    return strf, torch.randn(batch, FRAMES, BINS, generator=generator)


def measure(size: tuple[int, int], batch: int, repeats: int) -> list[dict]:
    """Times all ways on one kernel size and compares what they give."""
    strf, spectrograms = build(size, batch)
    with torch.no_grad():
        outputs = {name: way(strf, name)(spectrograms) for name in WAYS}
    rows = []
    for backward in (False, True):
        seconds: dict[str, list[float]] = {name: [] for name in WAYS}
        for repeat in range(repeats + 1):
            shift = repeat % len(WAYS)
            for name in WAYS[shift:] + WAYS[:shift]:
                spent = run_once(strf, name, spectrograms, backward)
                if repeat:  # the first pass of a process is slower
                    seconds[name].append(spent)
        for name in WAYS:
            ratios = [own / full for own, full in zip(seconds[name], seconds["full"], strict=True)]
            difference = (outputs[name] - outputs["full"]).abs().max() / outputs["full"].abs().max()
            rows.append(
                {
                    "frames": size[0],
                    "bins": size[1],
                    "pass": "forward + backward" if backward else "forward",
                    "way": name,
                    "processor_ms_per_clip": round(1e3 * statistics.median(seconds[name]) / batch, 3),
                    "ratio_to_full": round(statistics.median(ratios), 3),
                    "lowest": round(min(ratios), 3),
                    "highest": round(max(ratios), 3),
                    "relative_difference": float(difference),
                }
            )
    return rows


def memory(size: tuple[int, int], batch: int, name: str, backward: bool) -> float:
    """Resident memory [MB] that one pass adds at its highest, NaN where the system does not tell."""
    strf, spectrograms = build(size, batch)
    run_once(strf, name, spectrograms, backward)  # what libraries keep for themselves is kept by now
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status_mb("VmRSS")
        run_once(strf, name, spectrograms, backward)
        return round(_status_mb("VmHWM") - before, 1)
    except (OSError, AttributeError):
        return math.nan


def _status_mb(name: str) -> float:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) / 1e3


def main() -> None:
    """Reads the command line, measures, writes the table."""
    from results import keep

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8, help="spectrograms of 1 s at once (default: 8)")
    parser.add_argument("--repeats", type=int, default=7, help="how often each pass is timed (default: 7)")
    parser.add_argument("--memory-only", action="store_true", help="measure memory anew, keep what was timed before")
    given = parser.parse_args()
    file = HERE / "strf_backends.json"
    if given.memory_only:
        record = json.loads(file.read_text(encoding="utf-8"))
        rows = record["rows"]
    else:
        rows = [row for size in SIZES for row in measure(size, given.batch, given.repeats)]
        record = {
            "batch": given.batch,
            "repeats": given.repeats,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "load_average": round(os.getloadavg()[0], 2),
            "rows": rows,
        }
    for row in rows:
        backward = row["pass"] == "forward + backward"
        row["peak_mb"] = memory((row["frames"], row["bins"]), record["batch"], row["way"], backward)
    columns = ["kernel", "pass", "way", "processor ms / clip", "ratio to full", "range", "peak MB"]
    cells = [
        [
            f"{row['frames']} x {row['bins']}",
            row["pass"],
            row["way"],
            row["processor_ms_per_clip"],
            f"{row['ratio_to_full']:.2f}",
            f"{row['lowest']:.2f}-{row['highest']:.2f}",
            f"{row['peak_mb']:.0f}",
        ]
        for row in rows
    ]
    largest = max(row["relative_difference"] for row in rows)
    note = (
        f"{FILTERS} filters, batches of {record['batch']} spectrograms of {FRAMES} frames x {BINS} bins, float32, "
        f"{record['threads']} thread, torch {record['torch']}, {record['repeats']} repetitions, load "
        f"{record['load_average']}. Largest relative difference to the full convolution: {largest:.0e}."
    )
    keep(HERE, "strf_backends", record, columns, cells, note)


if __name__ == "__main__":
    main()
