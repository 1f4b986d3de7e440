"""Corpora of speech: windows of meetings with the times of speech (AMI and others), LibriSpeech and VoxCeleb."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from audiointerp import audio
from audiointerp.data.base import AudioFiles, data_folder
from audiointerp.data.events import Spans, read_ava, read_chime5, read_rttm, within
from audiointerp.study import UserError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a")
ANNOTATIONS = ("rttm", "ava", "chime5")


class SpeechTimes(AudioFiles):
    """Windows of long recordings in which it is known when somebody speaks.

    A group is a recording. Its annotation is found by name: `<recording>.rttm` or one RTTM file for all (`rttm`, AMI),
    `<session>.json` of which the recordings' names begin with the session (`chime5`), or one CSV file (`ava`).

    Args:
        root: Folder that holds `audio/` and the annotations; both are looked for in all folders below it.
        annotation: `rttm`, `ava` or `chime5`.
        window_s: Length of a window [s].
        hop_s: Step between windows [s]; None for their length.
        sample_rate: Rate of the waveforms given [Hz].
        clips: Size of a subsample, None for all.
        strict: Whether an unusable file is an error instead of a warning.
        cache: Folder for the measurements of the files, None for none.
        seed: Seed of the subsample.
        keep_mb: Decoded sounds stay in memory if all of them take less [MB].
        progress: As `RunContext.progress`; None for a bar that appears after two seconds.
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
        sample_rate: int = 16000,
        clips: int | None = None,
        strict: bool = False,
        cache: str | os.PathLike | None = None,
        seed: int = 0,
        keep_mb: float = 512,
        progress: Callable | None = None,
    ) -> None:
        if annotation not in ANNOTATIONS or not window_s > 0 or (hop_s is not None and not hop_s > 0):
            raise UserError(
                f"expected data.annotation of {', '.join(ANNOTATIONS)}, and window_s and hop_s above 0, got "
                f"{annotation!r}, {window_s} and {hop_s}"
            )
        folder = data_folder(root, "recordings with times of speech")
        files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES]
        spans = _annotations(folder, annotation)
        rows, events = [], {}
        for file in files:
            found = _of_recording(file.stem, spans, annotation)
            if found is None:
                continue
            path = file.relative_to(folder).as_posix()
            frames, rate = audio.header(file)
            for start in np.arange(0.0, frames / rate - window_s + 1e-9, hop_s or window_s).round(3):
                inside = within(found, start, start + window_s)
                rows.append((path, file.stem, start, start + window_s, float((inside[:, 1] - inside[:, 0]).sum())))
                events[path, float(start)] = inside
        if not rows:
            raise UserError(
                f"expected recordings of at least {window_s:g} s with {annotation} annotations below {folder}, got "
                f"{len(files)} recordings and annotations of {len(spans)}: names must agree, as in "
                f"{next(iter(spans), 'EN2001a')}.wav"
            )
        super().__init__(
            folder,
            pd.DataFrame(rows, columns=["path", "group", "start_s", "stop_s", "speech_s"]),
            factors=["speech_s"],
            sample_rate=sample_rate,
            clips=clips,
            strict=strict,
            cache=cache,
            seed=seed,
            keep_mb=keep_mb,
            progress=progress,
            name=f"Speech times ({annotation})",
            note="A group is a recording; speakers may be in several.",
        )
        rates = {path: audio.header(folder / path)[1] for path in self.path.unique()}
        starts = [round(start / rates[path], 3) for (start, _), path in zip(self._frames, self.path, strict=True)]
        self.events: list[Spans] = [events[path, start] for path, start in zip(self.path, starts, strict=True)]


def _annotations(folder: Path, annotation: str) -> Mapping[str, Spans]:
    suffix = {"rttm": ".rttm", "ava": ".csv", "chime5": ".json"}[annotation]
    files = sorted(folder.rglob(f"*{suffix}"))
    if not files:
        raise UserError(f"expected {annotation} annotations (*{suffix}) below {folder}, found none")
    spans: dict[str, Spans] = {}
    for file in files:
        read = {"rttm": read_rttm, "ava": read_ava}.get(annotation, lambda path: {Path(path).stem: read_chime5(path)})
        spans.update(read(file))
    return spans


def _of_recording(stem: str, spans: Mapping[str, Spans], annotation: str) -> Spans | None:
    """Annotations of a recording; AMI's files carry the microphone after a dot, CHiME-5's after an underscore."""
    names = (stem, stem.split(".")[0], *([stem.split("_")[0]] if annotation == "chime5" else []))
    return next((spans[name] for name in names if name in spans), None)


class SpeakerFolders(AudioFiles):
    """Speakers in folders: `<speaker>/<session>/<utterance>`, as in LibriSpeech (chapters) and VoxCeleb (videos).

    A group is a session, which is a chapter or a video: a speaker is told in sessions that were not trained on.

    Args:
        root: A folder anywhere above the speakers' folders, such as `LibriSpeech/`, `LibriSpeech/dev-clean`, `wav/`.
        speakers: Number of speakers, those with the most sessions; None for all.
        most_s: Only the first so many seconds of each utterance [s]; shorter ones are left out.
        sample_rate: Rate of the waveforms given [Hz].
        clips: Size of a subsample balanced over speakers, None for all.
        strict: Whether an unusable file is an error instead of a warning.
        cache: Folder for the measurements of the files, None for none.
        seed: Seed of the subsample.
        keep_mb: Decoded sounds stay in memory if all of them take less [MB].
        progress: As `RunContext.progress`; None for a bar that appears after two seconds.
    Raises:
        UserError: If no file lies in such folders, or as in `AudioFiles`.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        speakers: int | None = None,
        most_s: float = 3.0,
        sample_rate: int = 16000,
        clips: int | None = None,
        strict: bool = False,
        cache: str | os.PathLike | None = None,
        seed: int = 0,
        keep_mb: float = 512,
        progress: Callable | None = None,
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
            sample_rate=sample_rate,
            clips=clips,
            strict=strict,
            cache=cache,
            seed=seed,
            keep_mb=keep_mb,
            progress=progress,
            name="Speakers",
            note="A group is a session (LibriSpeech's chapter, VoxCeleb's video).",
        )
