"""Sounds and pictures of a run as they stand in the page: MP3, SVG and PNG as data URIs, within a budget of bytes."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiointerp import audio

LARGEST_SVG = 600_000
"""A drawing above this size [bytes], such as a scatter of many dots, is shown as PNG."""

BARS = 64
"""Bars of a player's little waveform."""


class Budget:
    """Bytes that are left for the page.

    Args:
        limit: All bytes that may be taken.
    Example:
        >>> budget = Budget(10)
        >>> budget.take(8), budget.take(8), budget.take(2)
        (True, False, True)
    """

    def __init__(self, limit: int) -> None:
        self.left = int(limit)

    def take(self, size: int) -> bool:
        """Takes `size` bytes and says whether they were there; otherwise takes none."""
        if size > self.left:
            return False
        self.left -= size
        return True


@dataclass(frozen=True)
class Sound:
    """A sound as the page plays it.

    Args:
        uri: The MP3 as a data URI.
        seconds: Its duration [s].
        waveform: Path data of its envelope, `BARS` units wide and 2 units high.
    """

    uri: str
    seconds: float
    waveform: str


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as a data URI.

    Example:
        >>> data_uri(b"<svg/>", "image/svg+xml")
        'data:image/svg+xml;base64,PHN2Zy8+'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def picture(folder: Path, name: str) -> str | None:
    """A figure of a run as a data URI: SVG where that is small, PNG otherwise.

    The drawing stands in an `<img>`, so that the names inside one figure cannot clash with those of another and
    nothing inside it is executed.

    Args:
        folder: The run's folder.
        name: The figure's file name without its ending.
    Returns:
        The data URI; None where the run has no such figure.
    """
    svg, png = (folder / "figures" / f"{name}{ending}" for ending in (".svg", ".png"))
    if svg.is_file() and (svg.stat().st_size <= LARGEST_SVG or not png.is_file()):
        return data_uri(svg.read_bytes(), "image/svg+xml")
    return data_uri(png.read_bytes(), "image/png") if png.is_file() else None


def sound(path: Path) -> Sound:
    """Reads a WAV file and encodes it for the page.

    Args:
        path: The file.
    Raises:
        AudioError: If the file is missing, empty or corrupt.
    """
    waveform, sample_rate = audio.read(path)
    encoded = audio.mp3_bytes(waveform, sample_rate)
    return Sound(data_uri(encoded, "audio/mpeg"), len(waveform) / sample_rate, envelope(waveform))


def envelope(waveform: np.ndarray, bars: int = BARS) -> str:
    """Path data of a waveform's peaks, `bars` units wide, centred on 1 in a height of 2; the loudest bar fills it.

    Args:
        waveform: Samples, shape `(L,)`.
        bars: How many bars.
    Example:
        >>> envelope(np.array([1.0, -0.5]), bars=2)
        'M0.5 0V2M1.5 .5V1.5'
    """
    edges = np.linspace(0, len(waveform), bars + 1).astype(int)
    peaks = [float(np.abs(waveform[a : max(b, a + 1)]).max(initial=0)) for a, b in zip(edges, edges[1:], strict=False)]
    loudest = max(peaks) or 1.0
    heights = [max(0.03, peak / loudest) for peak in peaks]
    return "".join(f"M{i + 0.5:g} {_short(1 - h)}V{_short(1 + h)}" for i, h in enumerate(heights))


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".").removeprefix("0") or "0"
