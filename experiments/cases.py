"""What is given to a command on purpose, and what it comes to: the pages `bad_input.md` of the experiments.

A page is a list of cases. Each is run in a process of its own, in a folder of its own; its exit code, message and what
it leaves behind are held against what they should be.
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

REPOSITORY = Path(__file__).resolve().parent.parent
RATE = 16000
MATERIALS = {"metal": (900.0, 4.0), "wood": (250.0, 45.0)}  # lowest mode [Hz], decay [1/s]
ACTIONS = {"tap": 1, "rub": 60}  # strikes
FIVE = ("metal_tap_0.wav", "metal_tap_1.wav", "wood_tap_0.wav", "wood_tap_1.wav", "wood_rub_0.wav")
REASONS = ("corrupt", "empty|corrupt", "silent", "not finite", "missing")
"""What is wrong with five files that are spoilt, in the words of the table `dropped`."""

CAUGHT = """
import sys

from audiointerp.study import UserError

try:
{code}
except UserError as error:
    sys.exit(f"UserError: {{error}}")
"""
"""What a case with code runs: the library's own errors are told, all others are tracebacks."""


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
    """One command, or a few lines of Python, and what it should come to.

    Attributes:
        title: What was given, in words.
        arguments: The arguments in question; those of the page, or `base`, come before them.
        code: The exit code wanted; negative for a signal.
        says: Pattern that the message must hold.
        prepare: What is done to the case's folder before.
        base: What comes before the arguments; None for what the page has.
        python: Lines of Python that are run instead of the command line, after those of the page.
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
    base: Sequence[str] | None = None
    python: str = ""
    environment: Mapping[str, str | None] = field(default_factory=dict)
    stop: Stop | None = None
    after: Callable[[Path], str] = lambda folder: ""
    again: Case | None = None
    not_root: bool = False
    at_once: bool = False


@dataclass(frozen=True)
class Page:
    """The cases of an experiment.

    Attributes:
        file: The script that holds them; `bad_input.md` lies beside it.
        cases: The cases.
        build: Writes what all cases start from into a folder.
        base: What the arguments come after, told on the page.
        quick: Settings that make runs small, between both.
        copied: What of it each case gets as a copy of its own; the rest is linked.
        first: Cases that are run before, by the name of their folder.
        prelude: Lines of Python before those of a case, told on the page.
    """

    file: Path
    cases: Sequence[Case]
    build: Callable[[Path], None]
    base: Sequence[str]
    quick: Sequence[str] = ()
    copied: Sequence[str] = ("sounds",)
    first: Mapping[str, Case] = field(default_factory=dict)
    prelude: str = ""

    def command(self, case: Case) -> list[str]:
        """Gives what a case runs."""
        if case.python:
            lines = "\n".join(f"    {line}" for line in f"{self.prelude}\n{case.python}".strip().splitlines())
            return [sys.executable, "-c", CAUGHT.format(code=lines)]
        base = (*self.base, *self.quick) if case.base is None else case.base
        return [sys.executable, "-m", "audiointerp", *merged(base, case.arguments)]


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


# --- sounds, and what is wrong with them -----------------------------------------------------------------------------


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


class Malicious:
    """Runs a command when it is unpickled without care."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch executed",)


def write_false_weights(root: Path, weights: Path, cut: int) -> None:
    """Writes files that are no weights: of `another` architecture, `untrusted`, and the first bytes of right ones."""
    import torch

    torch.save({"fc.weight": torch.zeros(3, 4)}, root / "another.pth")
    torch.save(Malicious(), root / "untrusted.pth")
    (root / "truncated.pth").write_bytes(weights.read_bytes()[:cut])


def played(
    samples: Sequence[int],
    sample_rate: int = RATE,
    channels: int = 1,
    level: float = 0.1,
    among: str = "sounds/*.wav",
) -> Callable[[Path], None]:
    """Gives what writes every sound of a case anew: noise of these lengths in turn, of another rate or level."""

    def write(folder: Path) -> None:
        rng = np.random.default_rng(0)
        for n, file in enumerate(sorted(folder.glob(among))):
            audio.write(file, level * rng.uniform(-1, 1, (samples[n % len(samples)], channels)), sample_rate)

    return write


def table(folder: Path, **changed: object) -> None:
    """Changes columns of the case's `index.csv`; None takes one away."""
    file = folder / "sounds" / "index.csv"
    frame = pd.read_csv(file)
    for column, values in changed.items():
        frame = frame.drop(columns=column) if values is None else frame.assign(**{column: values})
    frame.to_csv(file, index=False)


def spoil(folder: Path) -> None:
    """Makes one sound each corrupt, empty, silent and full of NaN, and takes one away."""
    spoil_files([folder / "sounds" / name for name in FIVE])


def spoil_files(files: Sequence[Path]) -> None:
    """Makes one of five files each corrupt, empty, silent and full of NaN, and takes the last away."""
    corrupt, empty, silent, broken, missing = files
    corrupt.write_bytes(b"RIFF, or so it says")
    empty.write_bytes(b"")
    audio.write(silent, np.zeros(RATE), RATE)
    samples = np.full(RATE, np.nan, dtype="<f4").tobytes()
    header = b"RIFF" + (36 + len(samples)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    header += (3).to_bytes(2, "little") + (1).to_bytes(2, "little") + RATE.to_bytes(4, "little")
    header += (4 * RATE).to_bytes(4, "little") + (4).to_bytes(2, "little") + (32).to_bytes(2, "little")
    broken.write_bytes(header + b"data" + len(samples).to_bytes(4, "little") + samples)
    missing.unlink()


def spoil_all(folder: Path) -> None:
    """Makes every file empty."""
    for file in (folder / "sounds").glob("*.wav"):
        file.write_bytes(b"")


def dropped(folder: Path) -> str:
    """Checks that the table `dropped` of the run names every spoilt sound with its reason."""
    return names_dropped(folder, FIVE)


def names_dropped(folder: Path, names: Sequence[str], reasons: Sequence[str] = REASONS) -> str:
    """Checks that the table `dropped` of the run names these files with their reasons, and no others."""
    (file,) = folder.glob("outputs/*/*/tables/dropped.csv")
    told = dict(pd.read_csv(file).itertuples(index=False, name=None))
    wrong = [name for name, why in zip(names, reasons, strict=True) if not re.search(why, told.get(name, ""))]
    return f"not named, or not with their reason: {wrong}; {told}" if wrong or len(told) != len(names) else ""


def not_executed(folder: Path) -> str:
    """Checks that the pickle was not run."""
    return "the pickle was executed" if (folder / "executed").exists() else ""


def some_spoilt(
    clips: int = 24, prepare: Callable[[Path], object] = spoil, after: Callable[[Path], str] = dropped
) -> Case:
    """Gives the case of five spoilt files among good ones, which go on without them."""
    title = "a corrupt, an empty, a silent, a NaN and a missing file among good ones"
    return Case(title, (), 0, f"5 of {clips} clips cannot be used: .*they are left out", prepare, after=after)


STRICT = Case("the same files, and `data.strict=true`", ("data.strict=true",), 2, "set data.strict=false", spoil)
ALL_EMPTY = Case("nothing but empty files", (), 2, "expected at least one usable clip", spoil_all)


# --- running them ----------------------------------------------------------------------------------------------------


def run(page: Page, case: Case, folder: Path, world: Path, *, fresh: bool = True) -> Outcome:
    """Runs one case in its folder, made from the world unless it is run again."""
    if fresh:
        folder.mkdir()
        for path in sorted(world.iterdir()):
            if path.name in page.copied:
                shutil.copytree(path, folder / path.name)
            else:
                (folder / path.name).symlink_to(path)
        case.prepare(folder)
    given = {key: value for key, value in os.environ.items() if not key.startswith(("AUDIOINTERP", "MALLOC_"))}
    given |= {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    given["AUDIOINTERP_CACHE"] = str(folder / "cache")
    for key, value in case.environment.items():
        given.pop(key, None)
        given |= {} if value is None else {key: value}
    began = time.perf_counter()
    with open(folder / "said.txt", "w+", encoding="utf-8") as said:
        process = subprocess.Popen(page.command(case), cwd=folder, env=given, stdout=said, stderr=said)
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
        wanted = r"error: |UserError: |interrupted|warning: |no weights found|finished|\*\*\*"
        chosen = [line for line in lines if re.search(wanted, line)]
        chosen = lines[:1] if not chosen or lines[0].startswith("usage") else chosen
        chosen = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in chosen]
    text = " / ".join(dict.fromkeys(chosen))
    for path, name in ((folder, "FOLDER"), (folder.parent, "FOLDER"), (REPOSITORY, "REPOSITORY"), (Path.home(), "~")):
        text = text.replace(str(path), name)
    text = re.sub(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-[0-9a-f]{8}", "DATE_TIME-HASH", text)
    return text if len(text) <= 600 else f"{text[:600]} ..."


def shown(case: Case) -> str:
    """Writes the arguments, or the code, that make the case."""
    given = "; ".join(case.python.strip().splitlines()) or " ".join(case.arguments)
    return f"{case.title}: `{given}`" if given and "`" not in case.title else case.title


def write_page(page: Page) -> int:
    """Runs all cases of a page and writes it; gives 1 if one did not go as it should."""
    parser = argparse.ArgumentParser(
        description="Runs the cases and writes bad_input.md.", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="WORDS", help="run the cases whose title holds these words")
    only = parser.parse_args().only
    cases = [case for case in page.cases if only is None or only in case.title]
    rows, failures = [], []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        root.chmod(0o755)
        world = root / "world"
        world.mkdir()
        page.build(world)
        if any(case.again for case in cases):
            for name, case in page.first.items():
                run(page, case, root / name, world)
        for index, case in enumerate(cases):
            folder = root / f"case{index}"
            if case.not_root and os.getuid() == 0:
                rows.append([shown(case), "", "", "not run: root may write anywhere", "", ""])
                continue
            turns = [case] + ([case.again] if case.again else [])
            for turn, now in enumerate(turns):
                outcome = run(page, now, folder, world, fresh=turn == 0)
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
        write_atomically(page.file.with_suffix(".md"), written(page, rows, failures))
    return 1 if failures else 0


def written(page: Page, rows: Sequence[Sequence], failures: Sequence[str]) -> str:
    """Gives the page in Markdown."""
    columns = ["given", "exit", "seconds (CPU)", "what it says", "left in outputs", "left in the cache"]
    own = page.file.resolve().relative_to(REPOSITORY)
    lines = "; ".join(page.prelude.strip().splitlines())
    return (
        "# What bad input gives\n\n"
        f"Written by `python {own}`, which runs each command in a process of its own "
        f"and an empty folder (Python {platform.python_version()}, {os.cpu_count()} cores shared with other work, "
        "one thread). Before each stand `" + " ".join(page.base) + "` and settings that make runs small. Exit codes: 0 "
        "done, 2 a mistake that the user can mend, 130 interrupted. FOLDER is where the command was given."
        + (f" Before lines of Python stand `{lines}`; 1 is an error that the library raises." if lines else "")
        + "\n\n"
        + markdown(columns, rows)
        + "\n\n"
        + (f"Not as it should be: {'; '.join(failures)}\n" if failures else "All as it should be.\n")
    )
