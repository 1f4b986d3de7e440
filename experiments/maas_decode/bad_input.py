"""What the command line says to bad input: each case is run in a process of its own, in a folder of its own.

    python experiments/maas_decode/bad_input.py [--only WORDS]

Writes `bad_input.md` beside this file: what was given, the exit code, seconds, the message, and what is left behind.
Ends with an error if a case does not go as it should: another exit code or message, a traceback, half-written files.
With `--only` the cases whose title holds the words are run and printed, and nothing is written.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parent.parent))

from cases import (  # noqa: E402
    ALL_EMPTY,
    STRICT,
    Case,
    Page,
    Stop,
    not_executed,
    some_spoilt,
    table,
    write_false_weights,
    write_page,
    write_sounds,
)

BASE = ("experiment=maas_decode", "data=folder", "data.root=sounds", "paths.weights=weights")
QUICK = (
    *("logger=none", "device=cpu", "study.components=8", "study.untrained=0", "study.permutations=19"),
    *("study.folds=4", "study.listen=1", "data.factors=[material,action]"),
)
QUICK_FLOW = tuple(word.replace("study.", "study.decode.") for word in QUICK)


def write_world(root: Path) -> None:
    """Writes what all cases start from: sounds, longer sounds, weights, and files that are no weights."""
    import torch

    from audiointerp.backbones.yamnet import YAMNet

    write_sounds(root / "sounds")
    write_sounds(root / "long", duration_s=4.0)
    (root / "weights").mkdir()
    state = YAMNet(weights="random").network.state_dict()
    torch.save(state, root / "weights" / "yamnet.pth")
    write_false_weights(root, root / "weights" / "yamnet.pth", cut=1_000_000)


def own_experiment(folder: Path) -> None:
    """Writes an experiment of the user's own with a misspelt key."""
    (folder / "own" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - maas_decode\n\nstudy:\n  componets: 8\n"
    (folder / "own" / "experiment" / "mine.yaml").write_text(text)


def chunk_is_stored(folder: Path, said: str) -> bool:
    """Whether a first part of the activations was stored, and a last one was not yet."""
    return any(folder.glob("cache/activations/*/done/*"))


def same_tables(folder: Path) -> str:
    """Checks that what was gone on with gives the tables of a run that nothing interrupted, to the bit."""
    (mine,) = (file.parent for file in folder.glob("outputs/*/*/results.json"))
    (other,) = (file.parent for file in (folder.parent / "uninterrupted").glob("outputs/*/*/results.json"))
    names = sorted(file.name for file in (other / "tables").glob("*.csv"))
    return "; ".join(
        f"{name} differs" for name in names
        if (mine / "tables" / name).read_bytes() != (other / "tables" / name).read_bytes()
    )  # fmt: skip


def read_only(folder: Path) -> None:
    """Makes outputs that cannot be written to."""
    (folder / "outputs").mkdir()
    (folder / "outputs").chmod(0o555)


# --- the cases -------------------------------------------------------------------------------------------------------

OFFLINE = {
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
    "TORCH_HOME": "empty",
}
INTERRUPTED = ("data.root=long", "backbone.hop_s=0.05")

CASES = [
    Case("`--help`", ("--help",), 0, "usage: python -m audiointerp", base=(), at_once=True),
    Case("a misspelt key at the root", ("sede=1",), 2, "did you mean 'seed'", at_once=True),
    Case("a misspelt setting of the study", ("study.componets=8",), 2, "did you mean 'components'", at_once=True),
    Case("a misspelt setting of the data", ("+data.factor=[material]",), 2, "did you mean 'factors'", at_once=True),
    Case("a misspelt experiment", ("experiment=maas_decod",), 2, "did you mean 'maas_decode'", at_once=True),
    Case("a misspelt corpus", ("data=foldr",), 2, "did you mean 'folder'", at_once=True),
    Case(
        "a forgotten `experiment=`", ("maas_decode",), 2, "did you mean experiment=maas_decode", base=(), at_once=True
    ),
    Case(
        "a misspelt key in a file of one's own",
        ("--config-dir", "own", "experiment=mine"),
        2,
        "no key 'componets' .*mine.yaml.*did you mean 'components'",
        own_experiment,
        at_once=True,
    ),
    Case("one misspelt key in a sweep", ("-m", "study.neigbours=1,3"), 2, "did you mean 'neighbours'", at_once=True),
    Case("a word for a number", ("study.folds=ten",), 2, "expected study.folds to be a whole number", at_once=True),
    Case(
        "a word for a number in the main job",
        ("study.decode.folds=ten",),
        2,
        "expected study.decode.folds to be a whole number, got 'ten'",
        base=("experiment=maas_flow", *BASE[1:], *QUICK_FLOW),
        at_once=True,
    ),
    Case("a word for a number of the data", ("data.clips=many",), 2, "data.clips to be a whole number", at_once=True),
    Case("no components", ("study.components=0",), 2, "components of 1 or more"),
    Case("roles that do not sum to 1", ("study.roles.fit=0.5",), 2, "which sum to 1.3"),
    Case(
        "an unknown layer",
        ("study.layer=layer99",),
        2,
        "study.layer among layer1, .*layer14.*layer99",
        base=("experiment=maas_flow", *BASE[1:], *QUICK_FLOW),
    ),
    Case(
        "an unknown setting of a candidate",
        ("+study.candidates.mine={sigmma: 0.5}",),
        2,
        "study.candidates.mine has no setting sigmma",
        base=("experiment=maas_flow", *BASE[1:], *QUICK_FLOW),
    ),
    Case("a GPU where there is none", ("device=cuda",), 2, "use device=cpu", environment={"CUDA_VISIBLE_DEVICES": ""}),
    Case(
        "no weights and no network (Ctrl-C once it has said so; else it would make a stand-in)",
        ("paths.weights=null",),
        130,
        "no weights found.*Set paths.weights=FOLDER",
        environment=OFFLINE,
        stop=Stop(signal.SIGINT, lambda folder, said: "no weights found" in said),
    ),
    Case("a file of weights that is not there", ("backbone.weights=absent.pth",), 2, "absent.pth.*does not exist"),
    Case("weights of another architecture", ("backbone.weights=another.pth",), 2, "expected YAMNet's .* tensors"),
    Case(
        "an untrusted pickle for weights",
        ("backbone.weights=untrusted.pth",),
        2,
        "expected a file with weights only",
        after=not_executed,
    ),
    Case("half a file of weights", ("backbone.weights=truncated.pth",), 2, "expected a file with weights only"),
    Case("a data folder that is not there", ("data.root=absent",), 2, "expected the folder of .* at absent"),
    Case(
        "no data folder",
        (),
        2,
        "none was given: set data.root=FOLDER",
        base=(BASE[0], BASE[1], BASE[3], *QUICK),
        environment={"AUDIOINTERP_DATA": None},
    ),
    Case("a corpus without its folder", ("data=fsdd", "paths.data=absent"), 2, "absent.fsdd", base=(BASE[0], *QUICK)),
    Case(
        "a folder without a table",
        (),
        2,
        "expected a table of the sounds at .*index.csv",
        lambda folder: (folder / "sounds" / "index.csv").unlink(),
    ),
    Case("a table without a column of paths", (), 2, "column 'path'", lambda folder: table(folder, path=None)),
    Case(
        "a file listed twice",
        (),
        2,
        "listed more than once",
        lambda folder: table(folder, path=["metal_tap_0.wav", *["metal_tap_1.wav"] * 23]),
    ),
    Case("an unknown factor", ("data.factors=[materail]",), 2, "no factor 'materail': did you mean 'material'"),
    Case("a selection that is empty", ("data.where={material: [gold]}",), 2, "no material is 'gold'"),
    Case(
        "a factor with a single class",
        ("data.factors=[material]", "data.where={material: [metal]}"),
        2,
        "at least two classes of 'material'",
    ),
    Case("a factor of decimal numbers", ("data.factors=[weight_kg]",), 2, "bin it into classes"),
    Case("fewer groups than folds", ("study.folds=50",), 2, "for 50 folds, got .*take fewer folds"),
    Case(
        "one group per class",
        ("data.factors=[material]",),
        2,
        "two classes of 'material' with at least two groups each",
        lambda folder: table(folder, group=["a"] * 12 + ["b"] * 12),
    ),
    some_spoilt(),
    STRICT,
    ALL_EMPTY,
    Case(
        "outputs that are a file",
        ("paths.outputs=notes.txt",),
        2,
        "notes.txt, which is a file: set paths.outputs",
        lambda folder: (folder / "notes.txt").write_text("notes"),
    ),
    Case("outputs that cannot be written to", (), 2, "read-only: set paths.outputs", read_only, not_root=True),
    Case(
        "a cache that is a file",
        ("paths.cache=notes.txt",),
        2,
        "expected to write",
        lambda folder: (folder / "notes.txt").write_text("notes"),
    ),
    Case(
        "Ctrl-C in the middle of the extraction",
        INTERRUPTED,
        130,
        "the same command goes on from the caches",
        stop=Stop(signal.SIGINT, chunk_is_stored),
        again=Case("the same command again", INTERRUPTED, 0, "finished: ", after=same_tables),
    ),
    Case(
        "kill -9 in the middle of the extraction",
        INTERRUPTED,
        -signal.SIGKILL,
        "",
        stop=Stop(signal.SIGKILL, chunk_is_stored),
        again=Case("the same command again", INTERRUPTED, 0, "finished: ", after=same_tables),
    ),
    Case("nothing wrong", (), 0, "finished: ", again=Case("the same command again", (), 0, "finished already")),
]

PAGE = Page(
    HERE, CASES, write_world, BASE, QUICK, first={"uninterrupted": Case("uninterrupted", INTERRUPTED, 0, "finished: ")}
)

if __name__ == "__main__":
    sys.exit(write_page(PAGE))
