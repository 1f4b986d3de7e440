"""How far two sounds are apart: spectra at several resolutions, and log-mel levels."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from audiointerp.mel import mel_filters

FFTS = (2048, 1024, 512, 256)
FLOOR = 1e-4
"""What is added to magnitudes, which are relative to that of a full-scale sine (-80 dB)."""
SILENCE = 1e-3
"""Root mean square magnitude of a sound that is hardly worth meeting (-60 dB)."""


@functools.cache
def _window(n_fft: int) -> Tensor:
    return torch.hann_window(n_fft)


def magnitudes(waveforms: Tensor, n_fft: int) -> Tensor:
    """Gives magnitude spectra `(B, n_fft // 2 + 1, T)`, hop `n_fft / 4`, 1 for a full-scale sine.

    Args:
        waveforms: Samples, shape `(B, L)`.
        n_fft: Window and transform [samples].
    """
    window = _window(n_fft).to(waveforms)
    settings = {"window": window, "center": True, "pad_mode": "constant", "return_complex": True}
    spectrum = torch.stft(waveforms, n_fft, n_fft // 4, **settings)
    power = torch.view_as_real(spectrum).square().sum(-1)
    return (power + 1e-14).sqrt() * (2.0 / window.sum())


def spectral_distance(waveforms: Tensor, others: Tensor, ffts: Sequence[int] = FFTS, per_sound: bool = False) -> Tensor:
    r"""Gives the multi-resolution STFT distance: spectral convergence and log-magnitude difference, averaged.

    At each resolution :math:`\frac{\|S - \hat S\|_F}{\|S\|_F + \delta \sqrt{FT}} + \frac1{FT}\|\log(S + \epsilon) -
    \log(\hat S + \epsilon)\|_1`, S the magnitudes, :math:`\delta` -60 dB and :math:`\epsilon` -80 dB. Without
    :math:`\delta` silence would outweigh every sound; a clamp at :math:`\epsilon` would leave what is too soft without
    a gradient.

    Args:
        waveforms: The sounds that are to be met, shape `(B, L)`.
        others: What came out, shape `(B, L)`.
        ffts: Lengths of the transforms [samples].
        per_sound: Whether to give a distance per sound, `(B,)`, rather than their mean.
    Raises:
        ValueError: If the shapes differ.
    References:
        Parallel WaveGAN (Yamamoto, Song and Kim, 2020), section 2.2.
    Example:
        >>> x = torch.sin(torch.arange(4096) * 0.1)[None]
        >>> float(spectral_distance(x, x))
        0.0
    """
    if waveforms.shape != others.shape:
        raise ValueError(f"expected sounds of one shape, got {tuple(waveforms.shape)} and {tuple(others.shape)}")
    total = waveforms.new_zeros(len(waveforms))
    for n_fft in ffts:
        true, found = magnitudes(waveforms, n_fft), magnitudes(others, n_fft)
        apart = torch.linalg.vector_norm((true - found).flatten(1), dim=1)
        size = torch.linalg.vector_norm(true.flatten(1), dim=1)
        logs = ((true + FLOOR).log() - (found + FLOOR).log()).abs().flatten(1).mean(1)
        total = total + apart / (size + SILENCE * true[0].numel() ** 0.5) + logs
    total = total / len(ffts)
    return total if per_sound else total.mean()


def frame_spectra(waveforms: Tensor, sample_rate: int, hop: int, bands: int, n_fft: int = 1024) -> Tensor:
    """Gives log-mel levels `(B, bands, L // hop)`, 0 for a full-scale sine, not below -60 dB, in nepers.

    Frame t is centred on the middle of hop t, as a code's frame is.

    Args:
        waveforms: Samples, shape `(B, L)`, L a multiple of the hop.
        sample_rate: [Hz].
        hop: Samples between frames.
        bands: Mel bands.
        n_fft: Window and transform [samples].
    """
    window = _window(n_fft).to(waveforms)
    around = torch.nn.functional.pad(waveforms, ((n_fft - hop) // 2, n_fft - hop - (n_fft - hop) // 2))
    spectrum = torch.stft(around, n_fft, hop, window=window, center=False, return_complex=True)
    power = torch.view_as_real(spectrum).square().sum(-1)
    filters = torch.from_numpy(mel_filters(sample_rate, n_fft, bands, area=False)).to(power)
    return 0.5 * torch.log((filters.T @ power * (2.0 / window.sum()) ** 2).clamp(min=1e-6))


def log_mel(waveforms: Tensor, sample_rate: int, n_fft: int = 1024, hop: int = 512, bands: int = 64) -> Tensor:
    """Gives log-mel levels `(B, bands, T)` in dB re a full-scale sine, not below -80 dB; frame t starts at `t * hop`.

    Args:
        waveforms: Samples, shape `(B, L)`, at least one window long.
        sample_rate: [Hz].
        n_fft: Window and transform [samples].
        hop: Samples between frames.
        bands: Mel bands.
    """
    window = torch.hann_window(n_fft).to(waveforms)
    spectrum = torch.stft(waveforms, n_fft, hop, window=window, center=False, return_complex=True)
    power = torch.view_as_real(spectrum).square().sum(-1) * (2.0 / float(window.sum())) ** 2
    filters = torch.from_numpy(mel_filters(sample_rate, n_fft, bands, area=False)).to(power)
    return 10.0 * torch.log10((filters.T @ power).clamp(min=1e-8))


def log_mel_distance(waveforms: Tensor, others: Tensor, sample_rate: int) -> Tensor:
    """Gives the root mean square difference of log-mel levels [dB] of each pair of sounds, `(B,)`.

    Raises:
        ValueError: If the shapes differ.
    """
    if waveforms.shape != others.shape:
        raise ValueError(f"expected sounds of one shape, got {tuple(waveforms.shape)} and {tuple(others.shape)}")
    apart = log_mel(waveforms, sample_rate) - log_mel(others, sample_rate)
    return apart.square().flatten(1).mean(1).sqrt()
