"""The pitch of a note, by YIN's difference function, for many notes at once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

AT_ONCE = 64
CLEAR = 0.15
"""The first dip below this aperiodicity is taken for the period (YIN's absolute threshold)."""
STEPS = 2
"""Lags per sample: a period of five samples has harmonics that lags of whole samples would miss."""


def estimate_pitch(
    waveforms: np.ndarray,
    sample_rate: int,
    lowest_hz: float = 30.0,
    highest_hz: float = 3000.0,
    frame_s: float = 0.1,
    frames: int = 8,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Estimates one pitch per note: the median over its loudest frames of YIN's estimates.

    YIN's cumulative mean normalised difference :math:`d'(\tau)` is least where a frame repeats after :math:`\tau`; the
    first dip below .15 is taken, or the deepest one, and refined by a parabola. A frame holds at least two periods of
    the lowest pitch.

    Args:
        waveforms: Float32 `(N, L)`.
        sample_rate: [Hz].
        lowest_hz: Lowest pitch looked for.
        highest_hz: Highest pitch looked for.
        frame_s: Duration of a frame, or two periods of the lowest pitch, whichever is longer.
        frames: Loudest frames that count.
    Returns:
        Pitch [Hz] and aperiodicity of each note (0: it repeats exactly, 1: it does not at all), each `(N,)`.
    Raises:
        ValueError: If notes are shorter than a frame, or the range is none.
    References:
        YIN, a fundamental frequency estimator for speech and music (de Cheveigne and Kawahara, 2002).
    Example:
        >>> tone = np.sin(2 * np.pi * 220 * np.arange(16000) / 16000).astype(np.float32)
        >>> hz, aperiodicity = estimate_pitch(tone[None], 16000)
        >>> round(float(hz[0])), bool(aperiodicity[0] < 0.01)
        (220, True)
    """
    if not 0 < lowest_hz < highest_hz <= sample_rate / 2:
        raise ValueError(f"expected a range of pitches below {sample_rate / 2:g} Hz, got {lowest_hz} to {highest_hz}")
    longest = int(np.ceil(sample_rate / lowest_hz))
    half = max(longest + 2, round(frame_s * sample_rate / 2))
    if waveforms.shape[1] < 2 * half:
        raise ValueError(f"expected notes of at least {2 * half} samples, got {waveforms.shape[1]}: raise lowest_hz")
    found, doubt = [], []
    for part in torch.from_numpy(np.ascontiguousarray(waveforms, dtype=np.float32)).split(AT_ONCE):
        cut = part.unfold(1, 2 * half, half)
        loudest = cut.square().sum(2).topk(min(frames, cut.shape[1]), dim=1).indices
        chosen = torch.gather(cut, 1, loudest[:, :, None].expand(-1, -1, 2 * half))
        periods, dips = _periods(_normalised_difference(chosen, half, longest + 1), sample_rate / highest_hz)
        best = dips.median(1).values
        found.append(sample_rate / periods.median(1).values)
        doubt.append(best)
    return torch.cat(found).numpy().astype(np.float64), torch.cat(doubt).numpy().astype(np.float64)


def track_pitch(
    waveforms: Tensor, sample_rate: int, hop: int, lowest_hz: float = 30.0, highest_hz: float = 3000.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Estimates the pitch of every frame by YIN; frame t is centred on the middle of hop t.

    Args:
        waveforms: Samples, shape `(B, L)`, L a multiple of the hop.
        sample_rate: [Hz].
        hop: Samples between frames.
        lowest_hz: Lowest pitch looked for; a frame holds two periods of it.
        highest_hz: Highest pitch looked for.
    Returns:
        Pitch [Hz], aperiodicity and mean power of each frame, each float32 `(B, L / hop)`.
    """
    longest = int(np.ceil(sample_rate / lowest_hz))
    half = longest + 2
    before = half - hop // 2
    frames = torch.nn.functional.pad(waveforms, (before, 2 * half)).unfold(1, 2 * half, hop)
    frames = frames[:, : waveforms.shape[1] // hop]
    periods, dips = _periods(_normalised_difference(frames, half, longest + 1), sample_rate / highest_hz)
    return (sample_rate / periods).float(), dips.float(), frames.var(2, correction=0)


def _normalised_difference(frames: Tensor, half: int, longest: int) -> Tensor:
    """Gives d' of frames `(..., 2 half)` for lags from 0 to `longest` by `1 / STEPS` of a sample, by the FFT."""
    frames = frames.double()
    frames = frames - frames.mean(-1, keepdim=True)
    size = 4 * half
    head = torch.fft.rfft(frames[..., :half], size)
    whole = torch.fft.rfft(frames, size)
    product = STEPS * torch.fft.irfft(head.conj() * whole, STEPS * size)[..., : STEPS * longest + 1]
    energy = torch.cumsum(torch.nn.functional.pad(frames.square(), (1, 0)), -1)
    moving = energy[..., half : half + longest + 1] - energy[..., : longest + 1]
    finer = {"size": STEPS * longest + 1, "mode": "linear", "align_corners": True}
    moving = torch.nn.functional.interpolate(moving.reshape(1, -1, longest + 1), **finer).view_as(product)
    difference = (moving[..., :1] + moving - 2 * product).clamp(min=0.0)
    lags = torch.arange(1, STEPS * longest + 1, device=frames.device)
    mean = torch.cumsum(difference[..., 1:], -1) / lags
    normalised = torch.where(mean > 1e-12, difference[..., 1:] / mean.clamp(min=1e-12), 1.0)  # silence has no period
    return torch.cat([torch.ones_like(difference[..., :1]), normalised], -1)


def _periods(difference: Tensor, shortest: float) -> tuple[Tensor, Tensor]:
    """Gives the period [samples], not below `shortest`, and d' there of each frame, from d' `(..., lags)`.

    Each dip is a parabola's: of short periods no lag comes near enough to the bottom.
    """
    before, at, after = difference[..., :-2], difference[..., 1:-1], difference[..., 2:]
    dips = (at <= before) & (at < after)
    dips[..., : max(1, int(STEPS * shortest)) - 1] = False
    bend = (before - 2 * at + after).clamp(min=1e-12)
    bottom = (at - (before - after).square() / (8 * bend)).clamp(min=0.0)
    depth = torch.where(dips, bottom, torch.full_like(at, 2.0))
    clear = depth < CLEAR
    lag = torch.where(clear.any(-1), clear.double().argmax(-1), depth.argmin(-1))[..., None]
    shift = (0.5 * (before - after) / bend).gather(-1, lag)[..., 0].clamp(-0.5, 0.5)
    periods = ((lag[..., 0] + 1 + shift) / STEPS).clamp(min=shortest)
    return periods, torch.minimum(depth, at).gather(-1, lag)[..., 0].clamp(max=1.0)


def cents(hz: np.ndarray, reference_hz: np.ndarray) -> np.ndarray:
    """Gives how far pitches lie above reference pitches [cents].

    Example:
        >>> cents(np.array([440.0]), np.array([220.0])).tolist()
        [1200.0]
    """
    return 1200.0 * np.log2(np.asarray(hz) / np.asarray(reference_hz))
