"""The command line with a journal: a line for each chunk that is heard and each epoch that is trained.

python experiments/scale/counted.py JOURNAL experiment=NAME ...
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def note(journal: Path, *words: object) -> None:
    """Appends a line, whole."""
    with open(journal, "a", encoding="utf-8") as file:
        file.write(" ".join(map(str, words)) + "\n")


def main() -> int:
    """Runs `python -m audiointerp` on the arguments after the first, noting what is computed."""
    journal, arguments = Path(sys.argv[1]).resolve(), sys.argv[2:]
    sys.argv = ["audiointerp", *arguments]
    from audiointerp import cli
    from audiointerp.activations import extract
    from audiointerp.training import fit_flow

    hear, descend = extract._hear, fit_flow.FlowFit._descend
    ended = fit_flow.FlowTraining.on_train_epoch_end

    def heard(backbone, segments, arrays, layers, transform, chunk, *others):
        hear(backbone, segments, arrays, layers, transform, chunk, *others)
        note(journal, "chunk", next(iter(arrays.values())).folder.name[:12], chunk)

    def named(fit, module, loaders):
        module.flow_name = fit._store.name[:12]
        return descend(fit, module, loaders)

    def trained(module):
        ended(module)
        note(journal, "epoch", module.flow_name, module.current_epoch)

    extract._hear, fit_flow.FlowFit._descend = heard, named
    fit_flow.FlowTraining.on_train_epoch_end = trained
    note(journal, "start", os.getpid())
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
