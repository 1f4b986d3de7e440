"""Corpora of speech: windows of meetings with the times of speech (AMI and others), LibriSpeech and VoxCeleb."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from typing_extensions import Unpack

from audiointerp import audio
from audiointerp.data.audio_files import AudioFiles, Reading, data_folder
from audiointerp.data.events import Spans, read_ava, read_chime5, read_rttm, within
from audiointerp.study import UserError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a")
ANNOTATIONS = ("rttm", "ava", "chime5")


class SpeechTimes(AudioFiles):
    """Windows of long recordings in which it is known when somebody speaks.

    A group is a recording. Its annotation is found by name: `<recording>.rttm` or one RTTM file for all (`rttm`, AMI),
    `<session>.json` of which the recordings' names begin with the session and go on with the device, whose clock counts
    (`chime5`, as `S02_U01.CH1.wav`), or one CSV file (`ava`), outside of whose labelled times no window is taken.

    Args:
        root: Folder that holds `audio/` and the annotations; both are looked for in all folders below it.
        annotation: `rttm`, `ava` or `chime5`.
        window_s: Length of a window [s].
        hop_s: Step between windows [s]; None for their length.
        offset_s: Time of the annotation at which the recordings begin [s]: 0 for whole AVA films, 900 where they were
            cut to the labelled quarter of an hour.
        **reading: As in `Reading`.
    Attributes:
        events: When somebody speaks in each clip, a list of `(E, 2)` arrays [s].
    Raises:
        UserError: If there is no annotation, no recording that has one, or none as long as a window; or as in
            `AudioFiles`.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        annotation: str = "rttm",
        window_s: float = 2.0,
        hop_s: float | None = None,
        offset_s: float = 0.0,
        **reading: Unpack[Reading],
    ) -> None:
        if annotation not in ANNOTATIONS or not window_s > 0 or (hop_s is not None and not hop_s > 0):
            raise UserError(
                f"expected data.annotation of {', '.join(ANNOTATIONS)}, and window_s and hop_s above 0, got "
                f"{annotation!r}, {window_s} and {hop_s}"
            )
        folder = data_folder(root, "recordings with times of speech")
        if not offset_s >= 0:
            raise UserError(f"expected a data.offset_s of 0 or more, got {offset_s}")
        files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES]
        known = _annotations(folder, annotation)
        rows, events, longest = [], {}, 0.0
        for file in files:
            found = _of_recording(file.stem, known, annotation)
            if found is None:
                continue
            path = file.relative_to(folder).as_posix()
            frames, rate = audio.header(file)
            first, last = max(0.0, found.first - offset_s), min(frames / rate, found.last - offset_s)
            longest = max(longest, last - first)
            for start in np.arange(first, last - window_s + 1e-9, hop_s or window_s).round(3):
                inside = within(found.spans, start + offset_s, start + offset_s + window_s)
                rows.append((path, file.stem, start, start + window_s, float((inside[:, 1] - inside[:, 0]).sum())))
                events[path, float(start)] = inside
        if not rows:
            raise UserError(
                f"expected recordings of at least {window_s:g} s with {annotation} annotations below {folder}, got "
                f"{len(files)} recordings, annotations of {len(known)} and at most {longest:g} s annotated at a time: "
                f"names must agree, as in {next(iter(known), 'EN2001a')}.wav, and data.offset_s say when in the "
                "annotation recordings begin (900 for AVA-Speech cut to what is labelled)"
            )
        super().__init__(
            folder,
            pd.DataFrame(rows, columns=["path", "group", "start_s", "stop_s", "speech_s"]),
            factors=["speech_s"],
            name=f"Speech times ({annotation})",
            note="A group is a recording; speakers may be in several.",
            **reading,
        )
        rates = {path: audio.header(folder / path)[1] for path in self.path.unique()}
        starts = [round(start / rates[path], 3) for (start, _), path in zip(self._frames, self.path, strict=True)]
        self.events: list[Spans] = [events[path, start] for path, start in zip(self.path, starts, strict=True)]


@dataclass(frozen=True)
class Annotation:
    """What is known of a recording.

    Attributes:
        spans: When somebody speaks [s].
        first: From when on it is known [s].
        last: Until when [s].
        file: Where it was read.
    """

    spans: Spans
    first: float = 0.0
    last: float = np.inf
    file: Path | None = None


def _annotations(folder: Path, annotation: str) -> dict[str, Annotation]:
    suffix = {"rttm": ".rttm", "ava": ".csv", "chime5": ".json"}[annotation]
    files = sorted(folder.rglob(f"*{suffix}"))
    if not files:
        raise UserError(f"expected {annotation} annotations (*{suffix}) below {folder}, found none")
    known: dict[str, Annotation] = {}
    for file in files:
        if annotation == "rttm":
            known |= {name: Annotation(spans, file=file) for name, spans in read_rttm(file).items()}
        elif annotation == "ava":
            spans, labelled = read_ava(file)
            known |= {name: Annotation(found, *labelled[name], file) for name, found in spans.items()}
        else:
            known[file.stem] = Annotation(read_chime5(file), file=file)
    return known


def _of_recording(stem: str, known: Mapping[str, Annotation], annotation: str) -> Annotation | None:
    """Annotation of a recording; AMI's files carry the microphone after a dot, CHiME-5's after an underscore."""
    name = next((name for name in (stem, stem.split(".")[0]) if name in known), None)
    if name is not None or annotation != "chime5":
        return None if name is None else known[name]
    session, _, device = stem.split(".")[0].partition("_")
    found = known.get(session)
    return None if found is None else Annotation(read_chime5(found.file, device), file=found.file)


class SpeakerFolders(AudioFiles):
    """Speakers in folders: `<speaker>/<session>/<utterance>`, as in LibriSpeech (chapters) and VoxCeleb (videos).

    A group is a session, which is a chapter or a video: a speaker is told in sessions that were not trained on.

    Args:
        root: A folder anywhere above the speakers' folders, such as `LibriSpeech/`, `LibriSpeech/dev-clean`, `wav/`.
        speakers: Number of speakers, those with the most sessions; None for all.
        most_s: Only the first so many seconds of each utterance [s]; shorter ones are left out.
        **reading: As in `Reading`.
    Raises:
        UserError: If no file lies in such folders, or as in `AudioFiles`.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        speakers: int | None = None,
        most_s: float = 3.0,
        **reading: Unpack[Reading],
    ) -> None:
        folder = data_folder(root, "speakers' folders")
        rows = []
        for file in sorted(folder.rglob("*")):
            parts = file.relative_to(folder).parts
            if file.suffix.lower() not in SUFFIXES or len(parts) < 3:
                continue
            frames, rate = audio.header(file)
            if frames >= most_s * rate:
                rows.append((file.relative_to(folder).as_posix(), parts[-3], f"{parts[-3]}/{parts[-2]}", 0.0, most_s))
        if not rows:
            raise UserError(
                f"expected files <speaker>/<session>/<utterance> of at least {most_s:g} s below {folder}, found none: "
                "give the folder of LibriSpeech or of VoxCeleb's wav files"
            )
        table = pd.DataFrame(rows, columns=["path", "speaker", "group", "start_s", "stop_s"])
        if speakers is not None:
            sessions = table.groupby("speaker")["group"].nunique()
            order = sessions.sort_values(ascending=False, kind="stable").index[:speakers]
            table = table[table["speaker"].isin(order)].reset_index(drop=True)
        super().__init__(
            folder,
            table,
            factors=["speaker"],
            name="Speakers",
            note="A group is a session (LibriSpeech's chapter, VoxCeleb's video).",
            **reading,
        )
