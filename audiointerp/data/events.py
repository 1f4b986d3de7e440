"""When somebody speaks: events of clips, read from the annotations of corpora, and frames labelled by them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from audiointerp.study import UserError

Spans = np.ndarray
"""Starts and stops of events [s], float64 `(E, 2)`, sorted, without overlap."""


def united(spans: Sequence[Sequence[float]]) -> Spans:
    """Events joined where they overlap or touch, sorted.

    Args:
        spans: Starts and stops [s]; one that does not last is left out.
    Example:
        >>> united([(2.0, 3.0), (0.0, 1.0), (0.5, 1.5)]).tolist()
        [[0.0, 1.5], [2.0, 3.0]]
    """
    joined: list[list[float]] = []
    for start, stop in sorted((float(a), float(b)) for a, b in spans):
        if stop <= start:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], stop)
        else:
            joined.append([start, stop])
    return np.array(joined, dtype=np.float64).reshape(-1, 2)


def within(spans: Spans, start_s: float, stop_s: float) -> Spans:
    """The parts of events inside a window, with the time of its start as 0.

    Example:
        >>> within(united([(0.0, 1.5), (2.0, 3.0)]), 1.0, 2.5).tolist()
        [[0.0, 0.5], [1.0, 1.5]]
    """
    return united(np.clip(spans, start_s, stop_s) - start_s)


def frame_labels(spans: Spans, frames: int, frame_rate: float) -> np.ndarray:
    """Whether something is heard at the centre of each frame, `t / frame_rate` seconds.

    Args:
        spans: Events, shape `(E, 2)` [s].
        frames: Number of frames.
        frame_rate: Frames per second [Hz].
    Returns:
        Int64, shape `(frames,)`, 0 or 1; a span holds its start and not its stop.
    Example:
        >>> frame_labels(united([(0.1, 0.3)]), 5, 10.0).tolist()
        [0, 1, 1, 0, 0]
    """
    # Rounded, so that a start that is a frame's time in decimals is one in binary too.
    times = np.round(np.arange(frames) / frame_rate, 9)
    spans = np.round(spans, 9)
    return ((times[:, None] >= spans[:, 0]) & (times[:, None] < spans[:, 1])).any(axis=1).astype(np.int64)


def read_rttm(file: str | os.PathLike) -> dict[str, Spans]:
    """Speech of each recording in an RTTM file (AMI and others), all speakers together.

    Args:
        file: Lines `SPEAKER <recording> <channel> <start> <duration> ...`; other kinds of lines are passed over.
    Returns:
        Recording names to events.
    Raises:
        UserError: If the file is missing, has no such line, or one cannot be read.
    """
    spans: dict[str, list[tuple[float, float]]] = {}
    for number, words in _lines(file, None):
        if not words or words[0] != "SPEAKER":
            continue
        try:
            start, duration = float(words[3]), float(words[4])
        except (IndexError, ValueError) as error:
            raise UserError(
                f"expected `SPEAKER name channel start duration` in {file}, line {number}, got {' '.join(words)!r}"
            ) from error
        spans.setdefault(words[1], []).append((start, start + duration))
    if not spans:
        raise UserError(f"expected lines that begin with SPEAKER in {file}, found none: give an RTTM file")
    return {name: united(found) for name, found in spans.items()}


def read_ava(file: str | os.PathLike) -> tuple[dict[str, Spans], dict[str, tuple[float, float]]]:
    """Speech of each video in AVA-Speech's CSV file: `video,start,stop,label`, where NO_SPEECH is none.

    Only the quarter of an hour from 15:00 on is labelled: before and after it nothing is known, which is not silence.

    Returns:
        Video names to events, and to the first and last labelled time [s] of the film.
    Raises:
        UserError: If the file is missing or a line cannot be read.
    """
    spans: dict[str, list[tuple[float, float]]] = {}
    labelled: dict[str, tuple[float, float]] = {}
    for number, words in _lines(file, ","):
        if words[0] in ("", "video_id"):
            continue
        try:
            video, start, stop, label = words[0], float(words[1]), float(words[2]), words[3]
        except (IndexError, ValueError) as error:
            raise UserError(f"expected `video,start,stop,label` in {file}, line {number}, got {words}") from error
        first, last = labelled.get(video, (start, stop))
        labelled[video] = min(first, start), max(last, stop)
        spans.setdefault(video, [])
        if label != "NO_SPEECH":
            spans[video].append((start, stop))
    return {name: united(found) for name, found in spans.items()}, labelled


def read_chime5(file: str | os.PathLike, device: str = "original") -> Spans:
    """Speech of a session in CHiME-5's JSON transcription, times `H:MM:SS.ss` as one device's clock tells them.

    Args:
        file: The transcription of a session.
        device: Microphone array or speaker, as `U01` or `P05`: their clocks drift apart by seconds; where the
            transcription does not know it, the original times are taken.
    Raises:
        UserError: If the file is missing or is not such a transcription.
    """
    try:
        entries = json.loads(Path(file).read_text(encoding="utf-8"))
        spans = []
        for entry in entries:
            times = []
            for key in ("start_time", "end_time"):
                value = entry[key]
                hours, minutes, seconds = (
                    value.get(device, value["original"]) if isinstance(value, dict) else value
                ).split(":")
                times.append(3600 * int(hours) + 60 * int(minutes) + float(seconds))
            spans.append(tuple(times))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"expected a CHiME-5 transcription in {file} (a list with start_time and end_time, H:MM:SS.ss), it cannot "
            f"be read: {error}"
        ) from error
    return united(spans)


def _lines(file: str | os.PathLike, separator: str | None) -> list[tuple[int, list[str]]]:
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"expected annotations in {file}, they cannot be read: {error}") from error
    return [(n, [w.strip() for w in line.split(separator)]) for n, line in enumerate(text.splitlines(), 1) if line]
