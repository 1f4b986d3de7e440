"""What sonifying all maps of a layer costs: the full-size CNN12 on a 5 s clip, against the paper's pseudo-code.

The pseudo-code (figure B.2) runs the encoder anew for every map and leads the whole layer back with one map left in it.
Both are timed map by map in turn, on the same evenly chosen maps of each layer, so that whatever else the machine does
falls on both; times for all maps follow from these and the one forward pass that is needed here.

    python experiments/benchmarks/sonification.py --maps 16

Writes `sonification.json` and the table in this folder's README.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from audiointerp.__main__ import heap_settings

HERE = Path(__file__).resolve().parent
TARGET = 2.5
SECONDS = 5.0


def published(network, features, layer: int, number: int):
    """Sonifies one map as figure B.2 does, before scaling.

    Args:
        network: CNN12.
        features: Shape `(1, 1, L)`.
        layer: The block, from 1 on.
        number: The map.
    """
    import torch
    import torch.nn.functional as F

    maps, switches, sizes = [], [], []
    for block in network.blocks:
        features = F.relu(block.conv(features))
        places, size = None, features.shape[2]
        if isinstance(block.pool, torch.nn.MaxPool1d):
            features, places = F.max_pool1d(features, block.pool.kernel_size, return_indices=True)
        maps.append(features)
        switches.append(places)
        sizes.append(size)
    current = torch.zeros_like(maps[layer - 1])
    current[:, number] = maps[layer - 1][:, number]
    for n in range(layer - 1, -1, -1):
        block = network.blocks[n]
        if switches[n] is not None:
            current = F.max_unpool1d(current, switches[n], block.pool.kernel_size, output_size=[sizes[n]])
        current = F.conv_transpose1d(F.relu(current), block.conv.weight, padding=block.conv.padding)
    return current[0, 0]


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of a call."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def measure(maps: int, layers: list[int], seed: int) -> dict[str, object]:
    """Times both ways.

    Args:
        maps: Maps of each layer that are timed.
        layers: Blocks.
        seed: Of the noise and of random weights.
    """
    import torch

    from audiointerp.backbones.cnn12 import CNN12
    from audiointerp.sonify.deconvnet import DeconvNet
    from audiointerp.study import peak_rss_mb

    torch.set_num_threads(1)
    network = CNN12(seed=seed)
    noise = torch.randn(1, round(SECONDS * network.sample_rate), generator=torch.Generator().manual_seed(seed))
    features, rows = network.front_end(noise), []
    with torch.inference_mode():
        net = DeconvNet(network)
        for _ in range(2):  # the first pass of a process is slower
            heard = net.hear(features)
        for layer in layers:
            activity = heard.maps[layer - 1][0].amax(1)
            alive = activity.nonzero()[:, 0]
            chosen = alive[torch.linspace(0, len(alive) - 1, min(maps, len(alive))).long()].tolist()
            forward, ours, theirs, errors = [], [], [], []
            for place, number in enumerate([chosen[0], *chosen]):
                own, other = None, None

                def sonify(number: int = number, layer: int = layer) -> None:
                    nonlocal own
                    own = net.sonify(heard, layer, [number])

                def pseudo_code(number: int = number, layer: int = layer) -> None:
                    nonlocal other
                    other = published(network, features, layer, number)

                turn = [(ours, sonify), (theirs, pseudo_code)]
                for times, work in turn if place % 2 else turn[::-1]:
                    spent = seconds(work)
                    if place:  # the first map of a layer is heard twice, the first time unmeasured
                        times.append(spent)
                if place:
                    forward.append(seconds(lambda layer=layer: net.hear(features, depth=layer)))
                    errors.append(float((other / other.abs().max() - own.sounds[0]).abs().max()))
            count = len(activity)
            mine = statistics.median(forward) + count * statistics.mean(ours)
            rows.append(
                {
                    "layer": layer,
                    "maps": count,
                    "timed_maps": len(chosen),
                    "published_s_per_map": statistics.mean(theirs),
                    "ours_s_per_map": statistics.mean(ours),
                    "forward_s": statistics.median(forward),
                    "published_s": count * statistics.mean(theirs),
                    "ours_s": mine,
                    "speed_up": count * statistics.mean(theirs) / mine,
                    "largest_difference": max(errors),
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    total = sum(row["published_s"] for row in rows) / sum(row["ours_s"] for row in rows)
    return {
        "seconds_of_sound": SECONDS,
        "target": TARGET,
        "met": min(row["speed_up"] for row in rows) >= TARGET,
        "speed_up_over_all_layers": total,
        "threads": torch.get_num_threads(),
        "retained_heap": "MALLOC_TOP_PAD_" in os.environ,
        "torch": torch.__version__,
        "load_average": round(os.getloadavg()[0], 2),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "rows": rows,
    }


def main() -> None:
    """Reads the command line, starts the process again with a retained heap, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=16, help="maps of each layer that are timed (default: 16)")
    parser.add_argument("--layers", type=int, nargs="+", default=list(range(1, 12)), help="blocks (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise and of random weights")
    parser.add_argument("--out", type=Path, default=HERE, help="folder with README.md, for the numbers")
    arguments = parser.parse_args()
    if arguments.maps < 1:
        parser.error("expected --maps of at least 1")
    environment = heap_settings(dict(os.environ), platform.system(), platform.libc_ver()[0])
    if environment is not None:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    write(measure(arguments.maps, arguments.layers, arguments.seed), arguments.out)


def write(record: dict, folder: Path) -> None:
    """Writes the numbers, and the table between the markers of the README."""
    from results import keep

    rows = [
        [row["layer"], row["maps"], f"{1e3 * row['published_s_per_map']:.0f}", f"{1e3 * row['ours_s_per_map']:.0f}",
         f"{row['published_s']:.0f}", f"{row['ours_s']:.0f}", f"{row['speed_up']:.2f}",
         f"{row['largest_difference']:.0e}"]
        for row in record["rows"]
    ]  # fmt: skip
    columns = ["block", "maps", "pseudo-code [ms / map]", "here [ms / map]", "pseudo-code, all maps [s]",
               "here, all maps [s]", "times faster", "largest difference"]  # fmt: skip
    note = (
        f"{record['seconds_of_sound']:g} s of noise at 8 kHz, random weights, {record['rows'][0]['timed_maps']} maps "
        f"of each block timed in turn (processor seconds), {record['threads']} thread, torch {record['torch']}, "
        f"{'retained' if record['retained_heap'] else 'ordinary'} heap, load {record['load_average']}. All maps of all "
        f"blocks: {record['speed_up_over_all_layers']:.2f} times faster; wanted {record['target']} for each block: "
        f"{'met' if record['met'] else 'missed'}. Peak memory {record['peak_rss_mb']:.0f} MB."
    )
    keep(folder, "sonification", record, columns, rows, note)


if __name__ == "__main__":
    main()
