"""One of several processes that extract together under torch.distributed: `gloo_worker.py CACHE OUT PORT`."""

import json
import os
import sys

import torch
from extraction_workers import FIT, SETTINGS, digest
from small_network import Noise, SmallNetwork

from audiointerp.activations.extract import extract

if __name__ == "__main__":
    cache, out, segments = sys.argv[1], sys.argv[2], int(sys.argv[3])
    torch.distributed.init_process_group("gloo")
    sounds = Noise(segments)
    torch.distributed.barrier()
    found = extract(SmallNetwork(), sounds, FIT, cache, **SETTINGS)
    rank = torch.distributed.get_rank()
    with open(f"{out}.{rank}", "w", encoding="utf-8") as file:
        json.dump({"digest": digest(found), "heard": sounds.heard, "pid": os.getpid()}, file)
    torch.distributed.destroy_process_group()
