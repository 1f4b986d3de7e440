"""Segments: clips cut or padded to the length that a network takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from audiointerp.data.base import PADS, Sounds, hash_of
from audiointerp.study import UserError

if TYPE_CHECKING:
    import torch

FRAME_S, HOP_S, QUIETEST = 0.025, 0.010, 0.2


class Segments:
    """All segments of a collection of sounds.

    A clip of `L >= length` samples gives `floor((L - length) / hop) + 1` segments, the incomplete tail is dropped; a
    shorter clip gives one, padded at its end.

    Args:
        sounds: The clips.
        length: Samples of a segment, at the sounds' rate.
        hop: Samples from one start to the next; None for `length`.
        pad: `floor` (noise shaped like the clip's own quietest frames), `zeros` or `repeat`; None for `sounds.pad`.
    Attributes:
        table: One row per segment: `clip` (position in `sounds`), `start_s`, `padded_share` in [0, 1).
    Raises:
        UserError: If `length` or `hop` is not positive, or `pad` is unknown.
    """

    def __init__(self, sounds: Sounds, length: int, hop: int | None = None, pad: str | None = None) -> None:
        hop = length if hop is None else hop
        pad = sounds.pad if pad is None else pad
        if length < 1 or hop < 1:
            raise UserError(f"expected a positive length and hop in samples, got {length} and {hop}")
        if pad not in PADS:
            raise UserError(f"expected pad to be one of {', '.join(PADS)}, got {pad!r}")
        self.sounds, self.length, self.hop, self.pad = sounds, int(length), int(hop), pad
        samples = np.asarray(sounds.lengths, dtype=np.int64)
        counts = np.maximum(0, samples - self.length) // self.hop + 1
        clip = np.repeat(np.arange(len(sounds)), counts)
        within = np.arange(len(clip)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._starts = within * self.hop
        self.table = pd.DataFrame(
            {
                "clip": clip,
                "start_s": self._starts / sounds.sample_rate,
                "padded_share": np.maximum(0, self.length - samples[clip]) / self.length,
            }
        )

    def __len__(self) -> int:
        return len(self.table)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sounds' fingerprint, length, hop and padding."""
        return hash_of("segments", self.sounds.fingerprint, self.length, self.hop, self.pad)

    def batch(self, indices: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Waveforms of the segments at `indices`, float32, shape `(B, length)`; each clip is decoded once.

        Raises:
            IndexError: If a position lies outside.
        """
        import torch

        indices = np.asarray(indices, dtype=np.int64)
        if indices.size and not (0 <= indices.min() and indices.max() < len(self)):
            raise IndexError(f"expected segments in [0, {len(self)}), got {indices.min()} to {indices.max()}")
        clips = self.table["clip"].to_numpy()[indices]
        starts = self._starts[indices]
        out = np.empty((len(indices), self.length), dtype=np.float32)
        for clip, waveform in self._decoded(np.unique(clips)):
            waveform = pad_to(waveform, self.length, self.sounds.sample_rate, self.pad)
            for row in np.flatnonzero(clips == clip):
                out[row] = waveform[starts[row] : starts[row] + self.length]
        return torch.from_numpy(out)

    def _decoded(self, clips: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Each clip with its waveform, together where the sounds are made in batches."""
        one_by_one = (self.sounds.waveform(clip) for clip in clips.tolist())
        yield from zip(clips.tolist(), self.sounds.waveforms(clips) if self.sounds.batched else one_by_one, strict=True)


def pad_to(waveform: np.ndarray, length: int, sample_rate: int, pad: str) -> np.ndarray:
    """A waveform padded at its end to `length` samples; a longer one is given back as it is.

    Args:
        waveform: Samples, float32, shape `(L,)`.
        length: Samples wanted.
        sample_rate: Rate [Hz].
        pad: `floor`, `zeros` or `repeat`.
    Returns:
        Float32, shape `(max(L, length),)`.
    """
    missing = length - len(waveform)
    if missing <= 0:
        return waveform
    if pad == "zeros":
        return np.pad(waveform, (0, missing))
    if pad == "repeat":
        return np.resize(waveform, length)
    return np.concatenate([waveform, noise_floor(waveform, missing, sample_rate)])


def noise_floor(waveform: np.ndarray, length: int, sample_rate: int) -> np.ndarray:
    r"""Gaussian noise with the spectrum of a clip's quietest frames.

    Zeros after a clip are a sound that no microphone gives, and tell a network how long the clip was. With
    :math:`P(f)` the mean power spectrum of the quietest fifth of the 25 ms Hann frames and :math:`w` the window, white
    noise is filtered by :math:`\sqrt{P(f) / \sum w^2}`. The noise is drawn from the clip's own samples, so that it is
    the same wherever the clip stands in a collection.

    Args:
        waveform: The clip, float32, shape `(L,)`.
        length: Samples of noise.
        sample_rate: Rate [Hz].
    Returns:
        Noise, float32, shape `(length,)`; zeros where the quietest frames are digital silence.
    """
    frame = max(2, round(FRAME_S * sample_rate))
    hop = max(1, round(HOP_S * sample_rate))
    samples = np.pad(np.asarray(waveform, dtype=np.float64), (0, max(0, frame - len(waveform))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[::hop]
    energy = np.einsum("tn,tn->t", frames, frames)
    quietest = frames[np.argsort(energy, kind="stable")[: max(1, round(QUIETEST * len(frames)))]]
    window = np.hanning(frame + 1)[:-1]
    power = np.mean(np.abs(np.fft.rfft(quietest * window, axis=1)) ** 2, axis=0) / np.sum(window**2)
    seed = hashlib.sha256(np.ascontiguousarray(waveform, dtype=np.float32).tobytes()).digest()
    white = np.random.default_rng(int.from_bytes(seed[:16], "little")).standard_normal(max(length, frame))
    spectrum = np.fft.rfft(white)
    gain = np.interp(np.linspace(0, 1, len(spectrum)), np.linspace(0, 1, len(power)), np.sqrt(power))
    return np.fft.irfft(spectrum * gain, len(white))[:length].astype(np.float32)
