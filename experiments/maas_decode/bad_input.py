"""What the command line says to bad input: each case is run in a process of its own, in a folder of its own.

    python experiments/maas_decode/bad_input.py [--only WORDS]

Writes `bad_input.md` beside this file: what was given, the exit code, seconds, the message, and what is left behind.
Ends with an error if a case does not go as it should: another exit code or message, a traceback, half-written files.
With `--only` the cases whose title holds the words are run and printed, and nothing is written.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from audiointerp import audio
from audiointerp.data.modal import modal_response
from audiointerp.report.cells import markdown
from audiointerp.study import write_atomically

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
RATE = 16000
MATERIALS = {"metal": (900.0, 4.0), "wood": (250.0, 45.0)}  # lowest mode [Hz], decay [1/s]
ACTIONS = {"tap": 1, "rub": 60}  # strikes

BASE = ("experiment=maas_decode", "data=folder", "data.root=sounds", "paths.weights=weights")
QUICK = (
    *("logger=none", "device=cpu", "study.components=8", "study.untrained=0", "study.permutations=19"),
    *("study.folds=4", "study.listen=1", "data.factors=[material,action]"),
)
QUICK_FLOW = tuple(word.replace("study.", "study.decode.") for word in QUICK)


@dataclass(frozen=True)
class Stop:
    """When a running command gets a signal.

    Attributes:
        number: The signal.
        when: Told the case's folder and what was said so far, says whether it is time.
    """

    number: int
    when: Callable[[Path, str], bool]


@dataclass(frozen=True)
class Case:
    """One command and what it should come to.

    Attributes:
        title: What was given, in words.
        arguments: The arguments in question; `BASE` and `QUICK` come before them.
        code: The exit code wanted; negative for a signal.
        says: Pattern that the message must hold.
        prepare: What is done to the case's folder before.
        base: What comes before the arguments.
        environment: Changed environment variables; None takes one away.
        stop: The signal that it gets, if it gets one.
        after: Checks the case's folder; gives what is wrong, or nothing.
        again: Whether the same command is run once more, in the same folder.
        not_root: Whether it means nothing to the user root, who may write anywhere.
        at_once: Whether it must answer within two seconds.
    """

    title: str
    arguments: Sequence[str]
    code: int
    says: str
    prepare: Callable[[Path], object] = lambda folder: None
    base: Sequence[str] = (*BASE, *QUICK)
    environment: Mapping[str, str | None] = field(default_factory=dict)
    stop: Stop | None = None
    after: Callable[[Path], str] = lambda folder: ""
    again: Case | None = None
    not_root: bool = False
    at_once: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a command came to.

    Attributes:
        code: Exit code.
        seconds: Wall time [s].
        cpu_s: Processor time [s].
        said: Its stdout and stderr.
        wrong: What did not go as it should, or nothing.
        outputs: What lies in the outputs.
        cache: What lies in the cache.
    """

    code: int
    seconds: float
    cpu_s: float
    said: str
    wrong: str
    outputs: str
    cache: str


# --- sounds, weights, and what is wrong with them --------------------------------------------------------------------


def write_sounds(root: Path, duration_s: float = 0.6, objects: int = 6) -> None:
    """Writes struck and rubbed metal and wood with `index.csv`; a group is an object under an action."""
    rng = np.random.default_rng(0)
    rows = []
    for material, (lowest, decay) in MATERIALS.items():
        for action, strikes in ACTIONS.items():
            for thing in range(objects):
                modes = lowest * rng.uniform(0.9, 1.1) * np.array([1.0, 2.7, 5.4])
                wave = 1e-3 * rng.standard_normal(round(RATE * duration_s))
                for start in rng.integers(0, len(wave), strikes) if strikes > 1 else [0]:
                    ring = modal_response(modes, np.full(3, decay), np.array([1, 0.5, 0.2]), len(wave) - start, RATE)
                    wave[start:] += ring
                name = f"{material}_{action}_{thing}.wav"
                audio.write(root / name, 0.5 * wave / np.abs(wave).max(), RATE)
                rows.append((name, f"{material} {action} {thing}", material, action, round(rng.uniform(0.1, 2.0), 3)))
    columns = ["path", "group", "material", "action", "weight_kg"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "index.csv", index=False)


def write_world(root: Path) -> None:
    """Writes what all cases start from: sounds, longer sounds, weights, and files that are no weights."""
    import torch

    from audiointerp.backbones.yamnet import YAMNet

    write_sounds(root / "sounds")
    write_sounds(root / "long", duration_s=4.0)
    (root / "weights").mkdir()
    state = YAMNet(weights="random").network.state_dict()
    torch.save(state, root / "weights" / "yamnet.pth")
    torch.save({"fc.weight": torch.zeros(3, 4)}, root / "another.pth")
    torch.save(Malicious(), root / "untrusted.pth")
    (root / "truncated.pth").write_bytes((root / "weights" / "yamnet.pth").read_bytes()[:1_000_000])


class Malicious:
    """Runs a command when it is unpickled without care."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch executed",)


def table(folder: Path, **changed: object) -> None:
    """Changes columns of the case's `index.csv`; None takes one away."""
    file = folder / "sounds" / "index.csv"
    frame = pd.read_csv(file)
    for column, values in changed.items():
        frame = frame.drop(columns=column) if values is None else frame.assign(**{column: values})
    frame.to_csv(file, index=False)


def spoil(folder: Path) -> None:
    """Makes one file each corrupt, empty, silent and full of NaN, and takes one away."""
    sounds = folder / "sounds"
    (sounds / "metal_tap_0.wav").write_bytes(b"RIFF, or so it says")
    (sounds / "metal_tap_1.wav").write_bytes(b"")
    audio.write(sounds / "wood_tap_0.wav", np.zeros(RATE), RATE)
    samples = np.full(RATE, np.nan, dtype="<f4").tobytes()
    header = b"RIFF" + (36 + len(samples)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    header += (3).to_bytes(2, "little") + (1).to_bytes(2, "little") + RATE.to_bytes(4, "little")
    header += (4 * RATE).to_bytes(4, "little") + (4).to_bytes(2, "little") + (32).to_bytes(2, "little")
    (sounds / "wood_tap_1.wav").write_bytes(header + b"data" + len(samples).to_bytes(4, "little") + samples)
    (sounds / "wood_rub_0.wav").unlink()


def spoil_all(folder: Path) -> None:
    """Makes every file empty."""
    for file in (folder / "sounds").glob("*.wav"):
        file.write_bytes(b"")


def own_experiment(folder: Path) -> None:
    """Writes an experiment of the user's own with a misspelt key."""
    (folder / "own" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - maas_decode\n\nstudy:\n  componets: 8\n"
    (folder / "own" / "experiment" / "mine.yaml").write_text(text)


def dropped(folder: Path) -> str:
    """Checks that the table `dropped` of the run names every spoilt file with its reason."""
    (file,) = folder.glob("outputs/*/*/tables/dropped.csv")
    told = dict(pd.read_csv(file).itertuples(index=False, name=None))
    wanted = {"metal_tap_0": "corrupt", "metal_tap_1": "empty|corrupt", "wood_tap_0": "silent",
              "wood_tap_1": "not finite", "wood_rub_0": "missing"}  # fmt: skip
    wrong = [name for name, why in wanted.items() if not re.search(why, told.get(f"{name}.wav", ""))]
    return f"not named, or not with their reason: {wrong}; {told}" if wrong or len(told) != len(wanted) else ""


def not_executed(folder: Path) -> str:
    """Checks that the pickle was not run."""
    return "the pickle was executed" if (folder / "executed").exists() else ""


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
    Case(
        "a corrupt, an empty, a silent, a NaN and a missing file among good ones",
        (),
        0,
        "5 of 24 clips cannot be used: .*they are left out",
        spoil,
        after=dropped,
    ),
    Case("the same files, and `data.strict=true`", ("data.strict=true",), 2, "set data.strict=false", spoil),
    Case("nothing but empty files", (), 2, "expected at least one usable clip", spoil_all),
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


# --- running them ----------------------------------------------------------------------------------------------------


def run(case: Case, folder: Path, world: Path, *, fresh: bool = True) -> Outcome:
    """Runs one case in its folder, made from the world unless it is run again."""
    if fresh:
        folder.mkdir()
        shutil.copytree(world / "sounds", folder / "sounds")
        for name in ("long", "weights", "another.pth", "untrusted.pth", "truncated.pth"):
            (folder / name).symlink_to(world / name)
        case.prepare(folder)
    given = {key: value for key, value in os.environ.items() if not key.startswith(("AUDIOINTERP", "MALLOC_"))}
    given |= {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    given["AUDIOINTERP_CACHE"] = str(folder / "cache")
    for key, value in case.environment.items():
        given.pop(key, None)
        given |= {} if value is None else {key: value}
    command = [sys.executable, "-m", "audiointerp", *merged(case.base, case.arguments)]
    began = time.perf_counter()
    with open(folder / "said.txt", "w+", encoding="utf-8") as said:
        process = subprocess.Popen(command, cwd=folder, env=given, stdout=said, stderr=said)
        sent = False
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if case.stop and not sent and case.stop.when(folder, Path(said.name).read_text(encoding="utf-8")):
                process.send_signal(case.stop.number)
                sent = True
            if time.perf_counter() - began > 600:
                process.kill()
            time.sleep(0.01)
    seconds = time.perf_counter() - began
    process.returncode = code = os.waitstatus_to_exitcode(status)
    text = (folder / "said.txt").read_text(encoding="utf-8")
    (folder / "said.txt").unlink()
    outputs, cache = left_in_outputs(folder), left_in_cache(folder)
    cpu = used.ru_utime + used.ru_stime
    wrong = [case.after(folder)] if code == case.code else [f"exit code {code} instead of {case.code}"]
    if not re.search(case.says, text, re.DOTALL):
        wrong.append(f"does not say {case.says!r}")
    if "Traceback" in text:
        wrong.append("a traceback")
    if case.at_once and min(seconds, cpu) > 2:
        wrong.append(f"{seconds:.1f} s")
    if half_written(folder) and code != -signal.SIGKILL:
        wrong.append(f"half-written: {', '.join(half_written(folder))}")
    return Outcome(code, seconds, cpu, text, "; ".join(filter(None, wrong)), outputs, cache)


def merged(base: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Puts arguments after the base, whose entries of the same key they replace."""
    keys = {argument.split("=", 1)[0] for argument in arguments if "=" in argument}
    return [*(word for word in base if word.split("=", 1)[0] not in keys), *arguments]


def half_written(folder: Path) -> list[str]:
    """Names temporary files that no one will finish."""
    return [path.name for path in folder.rglob("*") if re.search(r"\.part$|\.tmp$|\.temp$", path.name)]


def left_in_outputs(folder: Path) -> str:
    """Says in words what lies in the outputs."""
    if not any(folder.glob("outputs/**/*")):
        return "nothing"
    parts = []
    for file in folder.glob("outputs/**/state.json"):
        status = re.search(r'"status": "(\w+)"', file.read_text(encoding="utf-8")).group(1)
        complete = (file.parent / "results.json").is_file()
        tables = len(list(file.parent.glob("tables/*.csv")))
        record = "results.json" if complete else "no results.json"
        parts.append(f"a run folder, state {status}, {record}, {tables} tables")
    return "; ".join(parts) or ", ".join(sorted(path.name for path in folder.glob("outputs/*")))


def left_in_cache(folder: Path) -> str:
    """Says in words what lies in the cache."""
    found = []
    if any(folder.glob("cache/sounds/*/*")):
        found.append("measurements of the sounds")
    arrays = [path for path in folder.glob("cache/activations/*") if path.is_dir()]
    complete = sum((path / "manifest.json").is_file() for path in arrays)
    if arrays:
        begun = len(arrays) - complete
        found.append(f"{complete} arrays of activations" + (f", {begun} begun" if begun else ""))
    found += [f"{path.name}/" for path in folder.glob("cache/*") if path.name not in {"sounds", "activations"}]
    return "; ".join(found) or "nothing"


def message(outcome: Outcome, folder: Path) -> str:
    """Picks the message out of what was said, without the paths of this machine."""
    lines = [line.split("\r")[-1].strip() for line in outcome.said.splitlines()]
    if "Traceback" in outcome.said:
        chosen = ["traceback ending in: " + lines[-1]]
    else:
        wanted = r"error: |interrupted|warning: |no weights found|finished|\*\*\*"
        chosen = [line for line in lines if re.search(wanted, line)]
        chosen = lines[:1] if not chosen or lines[0].startswith("usage") else chosen
        chosen = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in chosen]
    text = " / ".join(dict.fromkeys(chosen))
    for path, name in ((folder, "FOLDER"), (folder.parent, "FOLDER"), (REPOSITORY, "REPOSITORY"), (Path.home(), "~")):
        text = text.replace(str(path), name)
    text = re.sub(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-[0-9a-f]{8}", "DATE_TIME-HASH", text)
    return text if len(text) <= 600 else f"{text[:600]} ..."


def shown(case: Case) -> str:
    """Writes the arguments that make the case."""
    return f"{case.title}: `{' '.join(case.arguments)}`" if case.arguments and "`" not in case.title else case.title


def main() -> int:
    """Runs all cases and writes the table; gives 1 if one did not go as it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="WORDS", help="run the cases whose title holds these words")
    only = parser.parse_args().only
    cases = [case for case in CASES if only is None or only in case.title]
    rows, failures = [], []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        root.chmod(0o755)
        world = root / "world"
        write_world(world)
        if any(case.again for case in cases):
            run(Case("uninterrupted", INTERRUPTED, 0, "finished: "), root / "uninterrupted", world)
        for index, case in enumerate(cases):
            folder = root / f"case{index}"
            if case.not_root and os.getuid() == 0:
                rows.append([shown(case), "", "", "not run: root may write anywhere", "", ""])
                continue
            turns = [case] + ([case.again] if case.again else [])
            for turn, now in enumerate(turns):
                outcome = run(now, folder, world, fresh=turn == 0)
                said = message(outcome, folder)
                title = f"... {now.title}" if turn else shown(now)
                rows.append(
                    [title, outcome.code, f"{outcome.seconds:.1f} ({outcome.cpu_s:.1f})", said]
                    + [outcome.outputs, outcome.cache]
                )
                print(*rows[-1], sep=" | ", flush=True)
                if outcome.wrong:
                    failures.append(f"{title}: {outcome.wrong}")
                    print(f"NOT AS IT SHOULD BE: {outcome.wrong}\n{outcome.said[-3000:]}", flush=True)
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)
    print("\n".join(failures) or f"all {len(rows)} as they should be")
    if only is None:
        columns = ["given", "exit", "seconds (CPU)", "what it says", "left in outputs", "left in the cache"]
        text = (
            "# What bad input gives\n\n"
            "Written by `python experiments/maas_decode/bad_input.py`, which runs each command in a process of its own "
            f"and an empty folder (Python {platform.python_version()}, {os.cpu_count()} cores shared with other work, "
            "one thread). Before each stand `" + " ".join(BASE) + "` and settings that make runs small. Exit codes: 0 "
            "done, 2 a mistake that the user can mend, 130 interrupted. FOLDER is where the command was given.\n\n"
            + markdown(columns, rows)
            + "\n\n"
            + (f"Not as it should be: {'; '.join(failures)}\n" if failures else "All as it should be.\n")
        )
        write_atomically(HERE / "bad_input.md", text)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
