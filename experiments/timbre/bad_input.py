"""What the study of timbre says to bad input; see `experiments/cases.py`.

python experiments/timbre/bad_input.py [--only WORDS]
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from audiointerp import audio

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parent.parent))

from cases import RATE, Case, Page, names_dropped, played, some_spoilt, spoil_files, write_page  # noqa: E402

FAMILIES = {"flute": (1.0, 0.1, 0.05), "organ": (1.0, 0.8, 0.6), "reed": (0.2, 1.0, 0.1)}  # partials
INSTRUMENTS, PITCHES = 6, (60, 64, 67)
FIVE = [f"audio/flute_synthetic_{n:03d}-060.wav" for n in range(5)]

BASE = ("experiment=timbre", "data=nsynth", "data.root=notes", "data.group_by=instrument", "paths.weights=weights")
QUICK = (
    *("logger=none", "device=cpu", "model.width=16", "model.harmonics=8", "model.filters=24", "study.layers=false"),
    *("model.encoder_width=16", "model.window=512", "model.blocks=1"),
    *("study.duration_s=1.0", "study.training.steps=4", "study.training.batch=2", "study.training.validations=1"),
    *("study.probes=[knn]", "study.widths=[8]", "study.permutations=3", "study.perplexity=3", "study.components=8"),
    *("study.examples=1", "study.flow_training.epochs=1", "study.notes_per_pair=0"),
)
NOTES = "notes/audio/*.wav"
ONE_VELOCITY = ("data.factors=[instrument_family,pitch]",)


def write_notes(root: Path, name: str = "") -> None:
    """Writes notes of three families in NSynth's layout, each with a harmonic spectrum of its own."""
    folder = root / name
    rng = np.random.default_rng(0)
    time_s = np.arange(RATE) / RATE
    examples = {}
    for family, partials in FAMILIES.items():
        for instrument in range(INSTRUMENTS):
            for pitch in PITCHES:
                phases = 2 * np.pi * np.outer(np.arange(1, 4), 440 * 2 ** ((pitch - 69) / 12) * time_s)
                weights = np.array(partials) * rng.uniform(0.7, 1.3, 3)
                note = f"{family}_synthetic_{instrument:03d}-{pitch:03d}"
                audio.write(folder / "audio" / f"{note}.wav", 0.2 * weights @ np.sin(phases), RATE)
                examples[note] = {
                    "instrument_str": f"{family}_synthetic_{instrument:03d}", "instrument_family_str": family,
                    "instrument_source_str": "synthetic", "pitch": pitch, "velocity": 60 + 20 * (instrument % 3),
                }  # fmt: skip
    (folder / "examples.json").write_text(json.dumps(examples), encoding="utf-8")


def write_world(root: Path) -> None:
    """Writes what all cases start from: notes, and weights of a network of sounds."""
    import torch

    from audiointerp.backbones.yamnet import YAMNet

    write_notes(root / "notes")
    (root / "weights").mkdir()
    torch.save(YAMNet(weights="random").network.state_dict(), root / "weights" / "yamnet.pth")


def examples(change: Callable[[dict[str, dict]], dict]) -> Callable[[Path], None]:
    """Gives what changes the table of the notes."""

    def write(folder: Path) -> None:
        file = folder / "notes" / "examples.json"
        file.write_text(json.dumps(change(json.loads(file.read_text(encoding="utf-8")))), encoding="utf-8")

    return write


def first(**values: object) -> Callable[[Path], None]:
    """Gives what sets values of the first note; None takes one away."""

    def change(notes: dict[str, dict]) -> dict:
        first = next(iter(notes))
        entry = {key: value for key, value in {**notes[first], **values}.items() if value is not None}
        return {**notes, first: entry}

    return examples(change)


def kept(**wanted: object) -> Callable[[Path], None]:
    """Gives what keeps the notes whose values these are."""
    return examples(
        lambda notes: {name: entry for name, entry in notes.items() if all(entry[key] == wanted[key] for key in wanted)}
    )


def one_each(folder: Path) -> None:
    """Keeps the first instrument of each family."""
    examples(lambda notes: {name: entry for name, entry in notes.items() if "_000-" in name})(folder)


def one_velocity(folder: Path) -> None:
    """Gives all notes one velocity."""
    examples(lambda notes: {name: {**entry, "velocity": 100} for name, entry in notes.items()})(folder)


def audio_of(folder: Path, names: Sequence[str] | None = None) -> list[Path]:
    """Gives the files of notes; None for all."""
    return [folder / "notes" / name for name in names] if names else sorted((folder / "notes" / "audio").iterdir())


def take_away(folder: Path, names: Sequence[str] | None = None) -> None:
    """Takes away the audio of notes; None for all."""
    for file in audio_of(folder, names):
        file.unlink()


def splits(*empty: str) -> Callable[[Path], None]:
    """Gives what puts the notes where NSynth has them, with an empty table in some of its splits."""

    def write(folder: Path) -> None:
        notes = folder / "notes"
        for split in ("nsynth-train", "nsynth-test"):
            (notes / split).mkdir()
            for part in ("audio", "examples.json"):
                (shutil.copytree if part == "audio" else shutil.copy)(notes / part, notes / split / part)
            if split in empty:
                (notes / split / "examples.json").write_text("{}", encoding="utf-8")
        (notes / "examples.json").unlink()

    return write


CASES = [
    Case("a misspelt setting of the study", ("study.widhts=[8]",), 2, "did you mean 'widths'", at_once=True),
    Case("an unknown probe", ("study.probes=[forest]",), 2, "study.probes among svm_tuned, svm, mlp, linear, knn"),
    Case("notes of a tenth of the shortest duration", ("study.duration_s=0.01",), 2, "duration_s of 0.1 or more"),
    Case("a folder of notes that is not there", ("data.root=absent",), 2, "expected the folder of NSynth at absent"),
    Case(
        "a folder without `examples.json`",
        (),
        2,
        "expected NSynth's table of notes at .*examples.json, there is none",
        lambda folder: (folder / "notes" / "examples.json").unlink(),
    ),
    Case(
        "half of `examples.json`",
        (),
        2,
        "expected JSON in .*examples.json.*fetch it again",
        lambda folder: (folder / "notes" / "examples.json").write_text('{"flute_'),
    ),
    Case("`examples.json` without notes", (), 2, "expected one entry per note", examples(lambda notes: {})),
    Case("a note without a pitch", (), 2, "expected 'pitch' for each note .* has none", first(pitch=None)),
    Case("a pitch in letters", (), 2, "expected .*pitch.* whole number.* has 'C4'", first(pitch="C4")),
    Case("a velocity that is a list", (), 2, "expected .*velocity.* whole number.* has", first(velocity=[])),
    Case(
        "`examples.json` names five notes whose audio is not there",
        (),
        0,
        "5 of 54 clips cannot be used: .*missing.*they are left out",
        lambda folder: take_away(folder, FIVE),
        after=lambda folder: names_dropped(folder, FIVE, ["missing"] * 5),
    ),
    Case(
        "the same, and `data.strict=true`",
        ("data.strict=true",),
        2,
        "set data.strict=false",
        lambda folder: take_away(folder, FIVE),
    ),
    Case("none of the audio is there", (), 2, "expected at least one usable clip", take_away),
    some_spoilt(54, lambda folder: spoil_files(audio_of(folder, FIVE)), lambda folder: names_dropped(folder, FIVE)),
    Case("notes of 0.01 to 4 s: cut or padded", (), 0, "finished: ", played([160, 8000, 16000, 64000], among=NOTES)),
    Case("notes of one sample: nothing that varies", (), 2, "none is left of 54: .*silent", played([1], among=NOTES)),
    Case("notes at 44100 Hz: resampled", (), 0, "finished: ", played([44100], 44100, among=NOTES)),
    Case("stereo notes: averaged", (), 0, "finished: ", played([16000], channels=2, among=NOTES)),
    Case("notes at another rate than the autoencoder's", ("data.sample_rate=8000",), 2, "at 16000 Hz .*got 8000"),
    Case(
        "one family only",
        (),
        2,
        "two classes of 'instrument_family', all 18 .* 'reed'",
        kept(instrument_family_str="reed"),
    ),
    Case(
        "one instrument only",
        (),
        2,
        "two classes of 'instrument_family', all 3 .* 'organ'",
        kept(instrument_str="organ_synthetic_000"),
    ),
    Case("one note", (), 2, "two classes of 'instrument_family'", kept(instrument_str="organ_synthetic_000", pitch=60)),
    Case("one instrument of each family", ONE_VELOCITY, 2, "expected .* more groups", one_each),
    Case(
        "one instrument of each family, a group being an instrument and a pitch",
        (*ONE_VELOCITY, "data.group_by=instrument_pitch"),
        0,
        "finished: ",
        one_each,
    ),
    Case(
        "the same, read by support vectors that choose on held-out groups",
        (*ONE_VELOCITY, "data.group_by=instrument_pitch", "study.probes=[svm_tuned]"),
        0,
        "finished: ",
        one_each,
    ),
    Case("one pitch", (), 2, "two classes of 'pitch', all 18 .*leave it out of data.factors", kept(pitch=60)),
    Case("one pitch, left out", ("data.factors=[instrument_family,velocity]",), 0, "finished: ", kept(pitch=60)),
    Case("one velocity, left out", ONE_VELOCITY, 0, "finished: ", one_velocity),
    Case(
        "a family that is not there", ("data.where={instrument_family: [vocal]}",), 2, "no instrument_family is 'vocal'"
    ),
    Case("a role without a share", ("study.roles={train: 1.0, select: 0.0, test: 0.0}",), 2, "role 'select', got none"),
    Case("roles that do not sum to 1", ("study.roles={train: 0.5, select: 0.1, test: 0.1}",), 2, "sum to 0.7"),
    Case("NSynth's own splits, one of them empty", (), 2, "one entry per note in .*nsynth-test", splits("nsynth-test")),
    Case("no factor of the family", ("data.factors=[pitch]",), 2, r"set data.factors=\[instrument_family,pitch"),
    Case("an unknown way to group", ("data.group_by=family",), 2, "data.group_by of instrument_pitch or instrument"),
    Case("nothing wrong", (), 0, "finished: "),
]

PAGE = Page(HERE, CASES, write_world, BASE, QUICK, copied=("notes",))

if __name__ == "__main__":
    sys.exit(write_page(PAGE))
