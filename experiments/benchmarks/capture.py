"""What capture costs: YAMNet's bare pass beside the pass with all 14 layers pooled, and with all 14 projected to 64.

The three are timed in turn, batch after batch of the same noise, so that whatever else the machine does falls on all
of them; a ratio is taken within each repetition, and the median over repetitions is reported.

    python experiments/benchmarks/capture.py --clips 256 --weights random

Writes `capture.json` and the table in this folder's README.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from audiointerp.__main__ import heap_settings

if TYPE_CHECKING:
    from torch import Tensor

    from audiointerp.activations.reduction import LinearReduction
    from audiointerp.backbones.base import Backbone

HERE = Path(__file__).resolve().parent
POOLED_TARGET = 1.3
REDUCED_TARGET = 2.0
PASSES = ("bare", "pooled", "reduced")
COMPONENTS = 64
FIT_CLIPS = 128


def measure(clips: int, weights: str, repeats: int, seed: int) -> dict[str, object]:
    """Times the three passes.

    Args:
        clips: Clips of 0.975 s in each timed pass.
        weights: `random`, or a path.
        repeats: How often each pass is timed.
        seed: Of the noise and of random weights.
    Returns:
        Clips per second, ratios to the bare pass (median, lowest, highest) and peak memory, ready for JSON.
    """
    import torch

    from audiointerp.activations.base import capture
    from audiointerp.activations.extract import BATCH, projections
    from audiointerp.backbones.yamnet import PATCH_SAMPLES, YAMNet
    from audiointerp.study import peak_rss_mb

    backbone = YAMNet(weights=weights, seed=seed)
    layers = backbone.layers
    noise = torch.Generator().manual_seed(seed)
    sounds = 0.1 * torch.randn(max(clips, FIT_CLIPS), PATCH_SAMPLES, generator=noise)

    transforms = {"pooled": {name: lambda value: value.mean((2, 3)) for name in layers}}

    def hear(name: str, batch: torch.Tensor) -> float:
        context = capture(backbone, layers, transforms[name]) if name in transforms else nullcontext()
        begin = time.perf_counter()
        with torch.inference_mode(), context:
            backbone(backbone.front_end(batch))
        return time.perf_counter() - begin

    batches = sounds[:clips].split(BATCH)
    peaks: dict[str, float] = {}
    for name in PASSES:
        if name == "reduced":
            transforms[name] = projections({layer: _reduction(backbone, layer, sounds) for layer in layers}, "cpu")
        for batch in batches:  # the first pass of a process is slower: memory is faulted in, kernels are chosen
            hear(name, batch)
        peaks[name] = round(peak_rss_mb(), 1)
    times: dict[str, list[float]] = {name: [0.0] * repeats for name in PASSES}
    for repeat in range(repeats):
        for index, batch in enumerate(batches):
            first = (repeat + index) % len(PASSES)
            for name in PASSES[first:] + PASSES[:first]:
                times[name][repeat] += hear(name, batch)

    ratios = {
        name: [value / bare for value, bare in zip(times[name], times["bare"], strict=True)]
        for name in ("pooled", "reduced")
    }
    return {
        "clips": clips,
        "repeats": repeats,
        "weights": weights if weights == "random" else os.path.basename(weights),
        "threads": torch.get_num_threads(),
        "retained_heap": "MALLOC_TOP_PAD_" in os.environ,
        "torch": torch.__version__,
        "clips_per_second": {name: round(clips / statistics.median(values), 1) for name, values in times.items()},
        "ratio_to_bare": {
            name: {
                "median": round(statistics.median(values), 3),
                "lowest": round(min(values), 3),
                "highest": round(max(values), 3),
                "target": target,
                "met": statistics.median(values) <= target,
            }
            for (name, values), target in zip(ratios.items(), (POOLED_TARGET, REDUCED_TARGET), strict=True)
        },
        "peak_rss_mb": peaks,
    }


def _reduction(backbone: Backbone, layer: str, sounds: Tensor) -> LinearReduction:
    import torch

    from audiointerp.activations.base import capture
    from audiointerp.activations.reduction import fit_reduction

    with torch.no_grad(), capture(backbone, {layer: backbone.layers[layer]}) as values:
        backbone(backbone.front_end(sounds[:FIT_CLIPS]))
    return fit_reduction(values[layer].flatten(1), COMPONENTS)


def main() -> None:
    """Reads the command line, starts the process again with a retained heap, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=256, help="clips in each timed pass (default: 256)")
    parser.add_argument("--weights", default="random", help="random, or a file with YAMNet's weights")
    parser.add_argument("--repeats", type=int, default=15, help="how often each pass is timed (default: 15)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise and of random weights")
    parser.add_argument("--out", type=Path, default=HERE, help="folder with README.md, for the numbers")
    arguments = parser.parse_args()
    if arguments.clips < 1 or arguments.repeats < 1:
        parser.error("expected --clips and --repeats of at least 1")
    environment = heap_settings(dict(os.environ), platform.system(), platform.libc_ver()[0])
    if environment is not None:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    record = measure(arguments.clips, arguments.weights, arguments.repeats, arguments.seed)
    print(json.dumps(record, indent=1))
    write(record, arguments.out)


def write(record: dict, folder: Path) -> None:
    """Writes the numbers, and the table between the markers of the README."""
    from results import keep

    rows = []
    for name in PASSES:
        ratio = record["ratio_to_bare"].get(name)
        span = f"{ratio['median']} [{ratio['lowest']}, {ratio['highest']}]" if ratio else "1"
        wanted = f"<= {ratio['target']}: {'met' if ratio['met'] else 'missed'}" if ratio else "-"
        rows.append([name, record["clips_per_second"][name], span, wanted, record["peak_rss_mb"][name]])
    note = (
        f"{record['clips']} clips, {record['repeats']} repetitions (median [lowest, highest]), {record['threads']} "
        f"threads, torch {record['torch']}, {record['weights']} weights, "
        f"{'retained' if record['retained_heap'] else 'ordinary'} heap."
    )
    header = ["pass", "clips / s", "time beside the bare pass", "wanted", "peak RSS [MB]"]
    keep(folder, "capture", record, header, rows, note)


if __name__ == "__main__":
    main()
