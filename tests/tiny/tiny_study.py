"""A study small enough to be run through the real command line: it means a few numbers."""

import time
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from audiointerp.study import RunContext, UserError, stream


@dataclass
class Numbers:
    """A few numbers, from nothing or from a folder of text files."""

    count: int = 4
    root: str | None = None
    num_workers: int = 0
    fingerprint: str = field(default="numbers", init=False)

    def __post_init__(self):
        if self.count < 1:
            raise UserError(f"expected at least one number, got {self.count}: raise data.count")
        if self.count == 13:
            raise RuntimeError("a bug of the reader")


class Tiny:
    """Means numbers, and can be told to fail, to wait or to draw."""

    title = "Tiny"
    question = "What is the mean?"

    def __init__(self, scale: float = 1.0, mode: str = "plain", offset: float | None = None):
        self.scale, self.mode, self.offset = scale, mode, offset

    def run(self, context: RunContext, data: Numbers) -> None:
        with context.step("draw"):
            values = self.scale * stream(context.seed, "tiny").normal(size=data.count)
        if self.mode == "fail":
            raise RuntimeError("the tiny study failed")
        if self.mode == "mistake":
            raise UserError("expected another mode, got mistake: choose plain")
        if self.mode == "wait":
            print("waiting", flush=True)
            time.sleep(60)
        if self.mode == "global":
            values = np.random.normal(size=data.count)
        context.table("values", pd.DataFrame({"value": values}))
        context.result(mean=values.mean(), objective=float(values.mean()))
        context.page.verdict(f"The mean is {values.mean():.2f}.")
