"""Which of several processes this is: ranks that a launcher started, and parts of a job array."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass

from audiointerp.study import UserError

SHARD = "AUDIOINTERP_SHARD"
# What torchrun, Lightning and Slurm's srun tell the processes that they start: rank, and number of processes.
LAUNCHERS = (("RANK", "WORLD_SIZE"), ("LOCAL_RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))


@dataclass(frozen=True)
class Share:
    """The part of a job that a process does first.

    Attributes:
        index: Its number, from 0 on.
        count: Number of processes.
        alone: Whether the others are not waited for: a part of a job array ends when its own share is done.
    """

    index: int = 0
    count: int = 1
    alone: bool = False


class ShareDone(UserError):
    """The share of a job array's part is done and others are not; nothing is wrong."""


def share() -> Share:
    """Tells the share of this process: from `AUDIOINTERP_SHARD=3/16` (counted from 0), else its rank.

    Raises:
        UserError: If the variable is set to something else.
    """
    given = os.environ.get(SHARD)
    if given:
        found = re.fullmatch(r"(\d+)/(\d+)", given)
        if not found or int(found[1]) >= int(found[2]):
            raise UserError(f"expected {SHARD}=PART/PARTS such as 0/16 to 15/16, got {given!r}")
        return Share(int(found[1]), int(found[2]), alone=True)
    index, count = rank()
    return Share(index, count)


def rank() -> tuple[int, int]:
    """Gives the rank of this process and the number of processes that were started together; (0, 1) if it is alone."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    for own, all_of_them in LAUNCHERS:
        index, count = os.environ.get(own, ""), os.environ.get(all_of_them, "")
        if index.isdigit() and count.isdigit() and int(count) > 1:
            # Of the processes that Lightning starts, all but the first of the first node are something else than 0.
            node = int(os.environ.get("NODE_RANK", "0")) if own == "LOCAL_RANK" else 0
            place = int(index) + node
            return place % int(count) or min(1, place), int(count)
    return 0, 1
