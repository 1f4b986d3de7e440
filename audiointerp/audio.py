"""Reads, resamples, measures and writes sound files: the only place where audio files are touched."""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import soundfile

from audiointerp.study import UserError, write_atomically

SILENCE_DBFS = -90.0
BLOCK_FRAMES = 1 << 20
MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


class AudioError(UserError):
    """A sound file that cannot be used; the message says which and why."""


def read(path: str | os.PathLike, start: int = 0, stop: int | None = None) -> tuple[np.ndarray, int]:
    """Decodes a sound file to mono, at its own sample rate.

    Args:
        path: Any format that libsndfile reads (WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF ...).
        start: First frame to read.
        stop: One past the last frame, None for the end of the file.
    Returns:
        The mean of the channels, float32, shape `(L,)`, and the sample rate [Hz].
    Raises:
        AudioError: If the file is missing, corrupt, truncated, or has no frame between `start` and `stop`.
    """
    waveform, sample_rate, _ = _decode(path, start, stop)
    return waveform, sample_rate


def _decode(path: str | os.PathLike, start: int = 0, stop: int | None = None) -> tuple[np.ndarray, int, float]:
    """Decodes to mono; also gives the largest absolute sample of any single channel (NaN where one is not finite)."""
    if not os.path.isfile(path):
        raise AudioError(f"{path}: expected a sound file, there is none")
    parts, loudest = [], 0.0
    try:
        with soundfile.SoundFile(os.fspath(path)) as file:
            sample_rate, total = file.samplerate, file.frames
            wanted = (total if stop is None else min(stop, total)) - start
            if start:
                file.seek(min(start, total))
            left = wanted
            while left > 0:
                block = file.read(min(left, BLOCK_FRAMES), dtype="float32", always_2d=True)
                if not len(block):
                    break
                loudest = max(loudest, float(np.abs(block).max()), key=_nan_first)
                parts.append(block[:, 0].copy() if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32))
                left -= len(block)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: corrupt or not a sound file ({error.error_string.strip()})") from error
    if not parts:
        raise AudioError(f"{path}: empty (no frame could be read)")
    if left > 0:
        raise AudioError(f"{path}: truncated ({wanted} frames are announced, {wanted - left} could be read)")
    return np.concatenate(parts) if len(parts) > 1 else parts[0], sample_rate, loudest


def _nan_first(value: float) -> float:
    return math.inf if math.isnan(value) else value


def header(path: str | os.PathLike) -> tuple[int, int]:
    """Reads only the header of a sound file.

    Returns:
        Number of frames and sample rate [Hz].
    Raises:
        AudioError: If there is no such file or its header cannot be read.
    """
    if not os.path.isfile(path):
        raise AudioError(f"{path}: expected a sound file, there is none")
    try:
        info = soundfile.info(os.fspath(path))
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: corrupt or not a sound file ({error.error_string.strip()})") from error
    return info.frames, info.samplerate


def load(path: str | os.PathLike, sample_rate: int, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Decodes a file, or a window of it, and resamples it.

    A window is resampled together with its surroundings, so that its edges carry no trace of the cut.

    Args:
        path: The file.
        sample_rate: Rate of the result [Hz].
        start: First frame of the window, counted at the file's own rate.
        stop: One past its last frame, None for the end of the file.
    Returns:
        Float32, shape `(L,)`, with `L` the number of frames times the ratio of the rates, rounded up.
    Raises:
        AudioError: As in `read`, or if `start` lies outside the file.
    """
    total, file_rate = header(path)
    stop = total if stop is None else min(stop, total)
    if not total or not 0 <= start < stop:
        raise AudioError(f"{path}: empty (no frame between {start} and {stop}; the file has {total})")
    if file_rate == sample_rate:
        return read(path, start, stop)[0]
    ratio = _ratio(file_rate, sample_rate)
    context = math.ceil(0.01 * file_rate / ratio.denominator)
    before = min(context, start // ratio.denominator)
    after = context * ratio.denominator
    wide, _ = read(path, start - before * ratio.denominator, stop + after)
    skip = before * ratio.numerator
    return resample(wide, file_rate, sample_rate)[skip : skip + resampled_length(stop - start, file_rate, sample_rate)]


def import_torchaudio() -> ModuleType:
    """Imports torchaudio.

    Raises:
        UserError: If it is missing or was built for another torch; the message says what to install.
    """
    try:
        import torchaudio
    except (ImportError, OSError) as error:
        raise UserError(
            f"expected a torchaudio that fits the installed torch, importing it failed ({error}): "
            "install both from one index, `pip install --force-reinstall torch torchaudio` (this build also runs "
            "without a GPU), or both from https://download.pytorch.org/whl/cpu"
        ) from error
    return torchaudio


def _ratio(from_hz: int, to_hz: int) -> Fraction:
    """Ratio of two rates; odd ones (44101 to 16000) are rounded by < 1e-6, as their exact kernels fill gigabytes."""
    return Fraction(int(to_hz), int(from_hz)).limit_denominator(1000)


def resampled_length(frames: int, from_hz: int, to_hz: int) -> int:
    """Number of samples that `resample` gives for `frames` frames.

    Example:
        >>> resampled_length(44101, 44100, 16000)
        16001
    """
    ratio = _ratio(from_hz, to_hz)
    return -(-int(frames) * ratio.numerator // ratio.denominator)


@lru_cache(maxsize=16)
def _resampler(numerator: int, denominator: int) -> Any:
    return import_torchaudio().transforms.Resample(denominator, numerator)


def resample(waveform: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Changes the sample rate by windowed-sinc interpolation (torchaudio's; kernels are kept between calls).

    Args:
        waveform: Samples, shape `(..., L)`.
        from_hz: Their rate [Hz].
        to_hz: The rate wanted [Hz].
    Returns:
        Float32, shape `(..., ceil(L * to_hz / from_hz))`; the input itself where the rates are equal.
    Raises:
        ValueError: If a rate is not positive.
        UserError: If torchaudio cannot be imported.
    Example:
        >>> resample(np.zeros(441, dtype=np.float32), 44100, 16000).shape
        (160,)
    """
    if from_hz <= 0 or to_hz <= 0:
        raise ValueError(f"expected positive sample rates, got {from_hz} and {to_hz} Hz")
    waveform = np.ascontiguousarray(waveform, dtype=np.float32)
    if from_hz == to_hz or not waveform.shape[-1]:
        return waveform
    import torch

    ratio = _ratio(from_hz, to_hz)
    with torch.inference_mode():
        out = _resampler(ratio.numerator, ratio.denominator)(torch.from_numpy(waveform.copy())).numpy()
    length = resampled_length(waveform.shape[-1], from_hz, to_hz)
    missing = max(0, length - out.shape[-1])  # torchaudio rounds lengths in float32: one short in very long files
    return np.pad(out, [(0, 0)] * (out.ndim - 1) + [(0, missing)])[..., :length] if missing else out[..., :length]


def sha256_of(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes, as hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def measure(
    path: str | os.PathLike, windows: Sequence[tuple[float, float | None]] = ((0.0, None),)
) -> list[dict[str, Any]]:
    """Decodes a file once and measures it, or windows of it; what is wrong is told, not raised.

    Args:
        path: The file.
        windows: Start and stop [s]; a stop of None is the end of the file.
    Returns:
        One dict per window: `sample_rate` [Hz] and `frames` of the file, `rms` and `peak` of the window's mono mix
        and `file_peak` of the file's (1 = full scale), and `problem`, empty or why the window cannot be used: missing,
        corrupt, empty, truncated, not finite, silent (peak under -90 dBFS, or constant), or outside the file.
    """
    nothing = {"sample_rate": 0, "frames": 0, "rms": 0.0, "peak": 0.0, "file_peak": 0.0}
    try:
        mono, sample_rate, loudest = _decode(path)
    except AudioError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return [{**nothing, "problem": "missing" if not os.path.isfile(path) else reason} for _ in windows]
    rows = []
    file_peak = _peak(mono)
    for start_s, stop_s in windows:
        row = {**nothing, "sample_rate": sample_rate, "frames": len(mono), "problem": ""}
        start, stop = frame_range(start_s, stop_s, sample_rate, len(mono))
        part = mono[max(start, 0) : stop]
        if start < 0 or stop <= start or stop > len(mono) + 1 or not len(part):  # one frame for rounding
            row["problem"] = f"window {start_s:g}-{stop_s or math.inf:g} s not inside {len(mono) / sample_rate:g} s"
        elif not math.isfinite(loudest) and not np.isfinite(part).all():
            row["problem"] = "not finite (NaN or infinite samples)"
        else:
            blocks = (part[i : i + 65536] for i in range(0, len(part), 65536))
            row["rms"] = math.sqrt(sum(float(np.dot(b, b)) for b in blocks) / len(part))
            row["peak"] = _peak(part)
            row["file_peak"] = file_peak if math.isfinite(file_peak) else row["peak"]
            if row["peak"] < 10 ** (SILENCE_DBFS / 20) or float(np.ptp(part)) == 0.0:
                mixed = len(part) == len(mono) and loudest > 10 * file_peak
                row["problem"] = "silent once its channels are averaged (opposite phase)" if mixed else "silent"
        rows.append(row)
    return rows


def _peak(samples: np.ndarray) -> float:
    """Largest absolute sample, NaN where there is one, without a copy of a long file."""
    return float(np.maximum(samples.max(), -samples.min()))


def frame_range(start_s: float, stop_s: float | None, sample_rate: int, frames: int) -> tuple[int, int]:
    """First frame of a window and one past its last, at the file's own rate.

    Example:
        >>> frame_range(0.48, 1.44, 48000, 96000)
        (23040, 69120)
    """
    start = round(start_s * sample_rate)
    return start, frames if stop_s is None else start + round((stop_s - start_s) * sample_rate)


def write(path: str | os.PathLike, waveform: np.ndarray, sample_rate: int) -> Path:
    """Writes a WAV file, whole or not at all.

    16-bit; 32-bit float where a sample lies beyond full scale, so that nothing is clipped.

    Args:
        path: Where to; its folder is made.
        waveform: Samples, shape `(L,)` or `(L, C)`.
        sample_rate: Their rate [Hz].
    Returns:
        The path written.
    Raises:
        AudioError: If the waveform is empty or not finite; nothing is written.
    """
    waveform = _checked(waveform)
    buffer = io.BytesIO()
    subtype = "FLOAT" if np.abs(waveform).max() > 1 else "PCM_16"
    soundfile.write(buffer, waveform, int(sample_rate), format="WAV", subtype=subtype)
    return write_atomically(path, buffer.getvalue())


def mp3_bytes(waveform: np.ndarray, sample_rate: int) -> bytes:
    """Encodes a sound as MP3, for a page that carries its sounds with it.

    Where a sample lies beyond full scale the whole is turned down to it; a rate that MP3 lacks is raised to the next.

    Args:
        waveform: Samples, shape `(L,)`.
        sample_rate: Their rate [Hz].
    Returns:
        The bytes of an MP3 file.
    Raises:
        AudioError: If the waveform is empty or not finite.
    """
    waveform = _checked(waveform)
    rate = next((r for r in MP3_RATES_HZ if r >= sample_rate), MP3_RATES_HZ[-1])
    waveform = resample(waveform, sample_rate, rate)
    waveform = waveform / max(1.0, float(np.abs(waveform).max()))
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, rate, format="MP3")
    return buffer.getvalue()


def _checked(waveform: np.ndarray) -> np.ndarray:
    waveform = np.asarray(waveform, dtype=np.float32)
    if not waveform.size:
        raise AudioError("expected a waveform with samples, got an empty one")
    if not np.isfinite(waveform).all():
        raise AudioError("expected finite samples, got NaN or infinity")
    return waveform


def griffin_lim(power: np.ndarray, n_fft: int, hop: int, iterations: int = 60, seed: int = 0) -> np.ndarray:
    """Finds a waveform whose power spectrogram comes near to a given one; its phases are made up.

    Args:
        power: Power at each frequency and frame, shape `(n_fft // 2 + 1, T)`, of Hann windows.
        n_fft: Window and transform in samples.
        hop: Samples between frames.
        iterations: Rounds of the search.
        seed: Seed of the first phases.
    Returns:
        Float32, shape `((T - 1) * hop,)`: from the middle of the first frame to that of the last.
    Raises:
        UserError: If torchaudio cannot be imported.
        ValueError: If the shape does not fit `n_fft`.
    References:
        Signal Estimation from Modified Short-Time Fourier Transform (Griffin and Lim, 1984).
    """
    import torch

    if power.ndim != 2 or power.shape[0] != n_fft // 2 + 1:
        raise ValueError(f"expected power of shape ({n_fft // 2 + 1}, T), got {power.shape}: give linear frequencies")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        waveform = import_torchaudio().functional.griffinlim(
            torch.from_numpy(np.ascontiguousarray(power, dtype=np.float32)),
            window=torch.hann_window(n_fft),
            n_fft=n_fft,
            hop_length=hop,
            win_length=n_fft,
            power=2.0,
            n_iter=iterations,
            momentum=0.9,
            length=None,
            rand_init=True,
        )
    return waveform.numpy()
