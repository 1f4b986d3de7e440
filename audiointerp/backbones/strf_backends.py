"""Three ways to correlate spectrograms with many sums of separable kernels; equal results, unequal costs."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

Correlate = Callable[[Tensor, Tensor, Tensor], Tensor]


def dense(temporal: Tensor, spectral: Tensor) -> Tensor:
    """Kernels from their factors.

    Args:
        temporal: Complex, shape `(R, N, K_t)`, `R` terms of `N` kernels.
        spectral: Complex, shape `(R, N, K_f)`.
    Returns:
        Sum over the terms of the outer products, complex `(N, K_t, K_f)`.
    """
    return torch.einsum("rnt,rnf->ntf", temporal, spectral)


def full(padded: Tensor, temporal: Tensor, spectral: Tensor) -> Tensor:
    """Correlates with the dense kernels in one two-dimensional convolution.

    Args:
        padded: Spectrograms, real, shape `(B, T + K_t - 1, F + K_f - 1)`.
        temporal: Complex, shape `(R, N, K_t)`.
        spectral: Complex, shape `(R, N, K_f)`.
    Returns:
        Real and imaginary part, shape `(B, N, 2, T, F)`.
    """
    weight = torch.view_as_real(dense(temporal, spectral)).permute(0, 3, 1, 2)
    out = F.conv2d(padded[:, None], weight.flatten(0, 1)[:, None])
    return out.unflatten(1, (-1, 2))


def separable(padded: Tensor, temporal: Tensor, spectral: Tensor) -> Tensor:
    """Correlates along time first, which has one input channel, then along frequency; arguments as in `full`."""
    terms, filters, bins = spectral.shape
    first = torch.view_as_real(temporal).permute(1, 0, 3, 2)  # (N, R, 2, K_t)
    along_time = F.conv2d(padded[:, None], first.flatten(0, 2)[:, None, :, None])
    real, imaginary = spectral.real.transpose(0, 1), spectral.imag.transpose(0, 1)
    # Complex multiplication as a 2 x 2 real one, from (real, imaginary) of each term to (real, imaginary) of the sum.
    to_real = torch.stack([real, -imaginary], dim=2)
    to_imaginary = torch.stack([imaginary, real], dim=2)
    second = torch.stack([to_real, to_imaginary], dim=1).reshape(2 * filters, 2 * terms, 1, bins)
    return F.conv2d(along_time, second, groups=filters).unflatten(1, (filters, 2))


def fourier(padded: Tensor, temporal: Tensor, spectral: Tensor) -> Tensor:
    """Multiplies two-dimensional spectra; arguments as in `full`."""
    frames, bins = temporal.shape[-1], spectral.shape[-1]
    height, width = padded.shape[1] - frames + 1, padded.shape[2] - bins + 1
    # What wraps round falls on frames that a valid correlation does not have.
    points = (next_fast_len(padded.shape[1]), next_fast_len(padded.shape[2]))
    spectra = torch.fft.fft2(padded, s=points)
    kernels = dense(torch.fft.fft(temporal.flip(-1), n=points[0]), torch.fft.fft(spectral.flip(-1), n=points[1]))
    product = torch.fft.ifft2(spectra[:, None] * kernels)
    valid = product[:, :, frames - 1 : frames - 1 + height, bins - 1 : bins - 1 + width]
    return torch.view_as_real(valid).permute(0, 1, 4, 2, 3)


BACKENDS: dict[str, Correlate] = {"full": full, "separable": separable, "fourier": fourier}
