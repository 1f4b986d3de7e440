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
    import pytorch_lightning as pl

    from audiointerp import cli
    from audiointerp.activations import extract
    from audiointerp.training import fit_flow

    hear, train = extract._hear, fit_flow._train

    def heard(backbone, segments, arrays, layers, transform, chunk):
        hear(backbone, segments, arrays, layers, transform, chunk)
        note(journal, "chunk", next(iter(arrays.values())).folder.name[:12], chunk)

    class Epochs(pl.Callback):
        def __init__(self, name):
            self.name = name

        def on_train_epoch_end(self, trainer, module):
            note(journal, "epoch", self.name, trainer.current_epoch)

    def trained(flow, make_trainer, *rest):
        store = rest[8]

        def watched(*given, callbacks, **named):
            return make_trainer(*given, callbacks=[*callbacks, Epochs(store.name[:12])], **named)

        return train(flow, watched, *rest)

    extract._hear, fit_flow._train = heard, trained
    note(journal, "start", os.getpid())
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
