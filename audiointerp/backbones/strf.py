"""GaborSTRF: learnable spectro-temporal receptive fields, each read in Hz and in cycles per octave."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiointerp.backbones.strf_backends import BACKENDS, dense
from audiointerp.study import UserError, torch_stream

OUTPUTS = {"real": 1, "imaginary": 1, "magnitude": 1, "concatenated": 2}
"""What is given of each complex response, and how many channels that is."""

EDGES = {"replicate": "replicate", "zeros": "constant"}
PARAMETERS = ("omega", "Omega", "sigma_t", "sigma_f")
NARROWEST = 0.5
"""Smallest standard deviation of an envelope [samples of the grid]."""
SMALL, LARGE = 500, 1500
"""Taps of a kernel from which another backend than the full convolution, and always the Fourier one, is taken."""
RESIDUE = 1e-5
"""Share of a wave's energy that is added to what is left of it before it is brought to norm 1."""


@dataclass(frozen=True)
class Tuning:
    """What filters are tuned to, as their parameters declare it.

    Attributes:
        omega: Temporal modulation, shape `(N,)` [Hz].
        Omega: Spectral modulation, shape `(N,)` [cycles/octave].
        sigma_t: Standard deviation of the envelope in time, shape `(N,)` [s].
        sigma_f: Standard deviation of the envelope in frequency, shape `(N,)` [octave].
    """

    omega: Tensor
    Omega: Tensor
    sigma_t: Tensor
    sigma_f: Tensor


class GaborSTRF(nn.Module):
    r"""Correlates a spectrogram with Gabor functions of time and log-frequency, whose four parameters are learnt.

    .. math:: g(t, f) = e^{-t^2 / 2 \sigma_t^2 - f^2 / 2 \sigma_f^2} \, e^{i 2 \pi (\omega t + \Omega f)}

    Each parameter is a bounded function of a raw value, so that no step of an optimiser gives a kernel that is not
    finite: :math:`\omega = \omega_{max} \tanh(r)` up to half the frame rate, :math:`\Omega` alike up to half the bins
    per octave, and each :math:`\sigma` runs geometrically between half a sample and what the support holds `reach`
    times on each side. The kernels are correlated, not convolved, with the spectrogram: a filter drawn looks like the
    sound that it answers to most, and :math:`\omega \Omega > 0` is a falling sound. Of :math:`(\omega, \Omega)` and
    :math:`(-\omega, -\Omega)` the real parts are the same filter (`modulation.filters.fold`).

    The axis must be logarithmic for one label in cycles per octave to hold everywhere. On a mel axis give the bins per
    octave above 1 kHz; :math:`\Omega` then holds there alone.

    Args:
        filters: Number of filters `N`.
        frame_rate: Frames per second [Hz].
        bins_per_octave: Bins of the frequency axis per octave.
        frames: Support in time [frames], odd.
        bins: Support in frequency [bins], odd.
        output: `real`, `imaginary`, `magnitude`, or `concatenated` (real, then imaginary parts: `2N` channels).
        reach: Standard deviations of the widest envelope on each side of the support; 3 keeps 99.5 % of its mass.
        zero_mean: Whether each kernel has a multiple of its envelope taken off so that it sums to zero.
        unit_norm: Whether each complex kernel has norm 1 (less where `zero_mean` leaves nearly nothing of it);
            otherwise its envelope sums to 1 in the continuous plane.
        edges: What lies beyond the spectrogram: `replicate`d frames and bins, or `zeros`.
        backend: `full`, `separable`, `fourier`, or `auto` for what was measured to be quickest.
        published: Whether the grid and the initial values are those of the published code. Its grid is stretched and
            off its centre, and cuts envelopes off: 9 bins are 1.125 apart, so that the kernel's real Omega is 12.5 %
            above the declared one.
        eps: Under the square root of the magnitude, whose gradient stays finite at zero.
        seed: Seed of the initial values.
    Raises:
        UserError: If a number is out of range, a support is even, or a name is unknown.
    References:
        Learning spectro-temporal representations of complex sounds with parameterized neural networks (Riad, Karadayi,
        Bachoud-Levi and Dupoux, 2021), section II.
    Example:
        >>> strf = GaborSTRF(filters=8, frames=31, bins=9, output="magnitude")
        >>> strf(torch.zeros(2, 50, 64)).shape
        torch.Size([2, 8, 50, 64])
    """

    def __init__(
        self,
        filters: int = 64,
        *,
        frame_rate: float = 100.0,
        bins_per_octave: float = 10.0,
        frames: int = 111,
        bins: int = 25,
        output: str = "concatenated",
        reach: float = 3.0,
        zero_mean: bool = False,
        unit_norm: bool = False,
        edges: str = "replicate",
        backend: str = "auto",
        published: bool = False,
        eps: float = 1e-6,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, known in (("output", output, OUTPUTS), ("edges", edges, EDGES)):
            if value not in known:
                raise UserError(f"expected {name} to be one of {', '.join(known)}, got {value!r}")
        if backend not in {*BACKENDS, "auto"}:
            raise UserError(f"expected backend to be auto, {', '.join(BACKENDS)}, got {backend!r}")
        if frames < 3 or bins < 3 or frames % 2 == 0 or bins % 2 == 0:
            raise UserError(f"expected odd supports of at least 3 frames and bins, got {frames} and {bins}")
        if filters < 1 or not frame_rate > 0 or not bins_per_octave > 0 or not eps > 0:
            raise UserError(
                "expected at least one filter, and frame_rate, bins_per_octave and eps above 0, got "
                f"{filters}, {frame_rate}, {bins_per_octave} and {eps}"
            )
        if not 1.0 <= reach <= 6.0:
            raise UserError(f"expected a reach of 1 to 6 standard deviations, got {reach}")
        self.filters, self.frames, self.bins = int(filters), int(frames), int(bins)
        self.frame_rate, self.bins_per_octave = float(frame_rate), float(bins_per_octave)
        self.output, self.edges, self.backend, self.eps = output, edges, backend, float(eps)
        self.zero_mean, self.unit_norm, self.published = bool(zero_mean), bool(unit_norm), bool(published)
        self.widest = (32.0, 32.0) if published else tuple(max(0.6, size / 2 / reach) for size in (frames, bins))
        self.register_buffer("_t", _grid(self.frames, self.published), persistent=False)
        self.register_buffer("_f", _grid(self.bins, self.published), persistent=False)
        for name in PARAMETERS:
            self.register_parameter(f"raw_{name}", nn.Parameter(torch.zeros(self.filters)))
        self.set_tuning(self._drawn(seed))

    @property
    def channels(self) -> int:
        """Channels of the output."""
        return OUTPUTS[self.output] * self.filters

    def _drawn(self, seed: int) -> Tuning:
        """Modulations all round, rates over 2.5 octaves below a quarter of the sampling, widths over what is allowed.

        As in the published code, F = 1.41^-U(0, 5) pi/2 [rad/sample] at an angle U(-pi, pi), sigma = 2 * 1.41^U(0, 6)
        [samples]; without `published` the widths are geometric between one sample and nine tenths of the widest.
        """
        uniform = torch.rand(4, self.filters, generator=torch_stream(seed, "gabor"), dtype=torch.float64)
        rate = 0.25 * 1.41 ** (-5.0 * uniform[0])
        angle = math.pi * (2.0 * uniform[1] - 1.0)
        if self.published:
            sigma_t, sigma_f = 2.0 * 1.41 ** (6.0 * uniform[2:])
        else:
            sigma_t, sigma_f = (
                low * (0.9 * high / low) ** part
                for part, high in zip(uniform[2:], self.widest, strict=True)
                for low in [min(1.0, 0.8 * high)]
            )
        return Tuning(
            self.frame_rate * rate * torch.cos(angle),
            self.bins_per_octave * rate * torch.sin(angle),
            sigma_t / self.frame_rate,
            sigma_f / self.bins_per_octave,
        )

    def set_tuning(self, tuning: Tuning) -> None:
        """Gives the filters these parameters, each of shape `(N,)`.

        Raises:
            ValueError: If a value lies at or beyond its bounds.
        """
        units = dict(zip(PARAMETERS, self._units(), strict=True))
        ranges = {"omega": 0.5, "Omega": 0.5, "sigma_t": self.widest[0], "sigma_f": self.widest[1]}
        with torch.no_grad():
            for name in PARAMETERS:
                value = torch.as_tensor(getattr(tuning, name), dtype=torch.float64) * units[name]
                low, high = (NARROWEST if name.startswith("sigma") else -0.5), ranges[name]
                if value.shape != (self.filters,) or not bool(((value > low) & (value < high)).all()):
                    raise ValueError(
                        f"expected {self.filters} values of {name} between {low / units[name]:.4g} and "
                        f"{high / units[name]:.4g}, got {(value / units[name]).tolist()}"
                    )
                if name.startswith("sigma"):
                    raw = torch.logit(torch.log(value / low) / math.log(high / low))
                else:
                    raw = torch.atanh(value / high)
                getattr(self, f"raw_{name}").copy_(raw)

    def _units(self) -> tuple[float, float, float, float]:
        """Factors from Hz, cycles/octave, s and octave to cycles and samples of the grid."""
        rate, density = self.frame_rate, self.bins_per_octave
        return 1.0 / rate, 1.0 / density, rate, density

    def _in_samples(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Modulations [cycles/sample] and standard deviations [samples], each `(N,)`."""
        sigmas = (
            NARROWEST * torch.exp(math.log(widest / NARROWEST) * torch.sigmoid(raw))
            for raw, widest in zip((self.raw_sigma_t, self.raw_sigma_f), self.widest, strict=True)
        )
        return (0.5 * torch.tanh(self.raw_omega), 0.5 * torch.tanh(self.raw_Omega), *sigmas)

    def tuning(self) -> Tuning:
        """What the parameters declare, with gradients; `modulation.filters` measures it from the kernels."""
        return Tuning(*(value / unit for value, unit in zip(self._in_samples(), self._units(), strict=True)))

    def factors(self) -> tuple[Tensor, Tensor]:
        """Temporal `(R, N, frames)` and spectral factors `(R, N, bins)`, complex; one term, two with `zero_mean`."""
        omega, big_omega, sigma_t, sigma_f = self._in_samples()
        envelope_t = torch.exp(-0.5 * (self._t / sigma_t[:, None]) ** 2)
        envelope_f = torch.exp(-0.5 * (self._f / sigma_f[:, None]) ** 2)
        wave_t = _wave(envelope_t, 2.0 * math.pi * omega[:, None] * self._t)
        wave_f = _wave(envelope_f, 2.0 * math.pi * big_omega[:, None] * self._f)
        mean = wave_t.sum(1) * wave_f.sum(1) / (envelope_t.sum(1) * envelope_f.sum(1))
        if not self.zero_mean:
            mean = torch.zeros_like(mean)
        if self.unit_norm:
            square = _square(wave_t) * _square(wave_f)
            # <envelope, wave>: what the taken-off part and the rest have in common.
            shared = (envelope_t * wave_t).sum(1) * (envelope_f * wave_f).sum(1)
            square = square - 2.0 * (mean.conj() * shared).real
            square = square + (mean.real**2 + mean.imag**2) * _square(envelope_t) * _square(envelope_f)
            # What is left of a wave that is almost its own envelope is rounding: it is not blown up to norm 1.
            scale = torch.rsqrt(square.clamp_min(0.0) + RESIDUE * _square(wave_t) * _square(wave_f))
        else:
            scale = 1.0 / (2.0 * math.pi * sigma_t * sigma_f)
        temporal, spectral = (scale[:, None] * wave_t)[None], wave_f[None]
        if self.zero_mean:
            temporal = torch.cat([temporal, (-mean * scale)[None, :, None] * envelope_t])
            spectral = torch.cat([spectral, envelope_f.to(spectral.dtype)[None]])
        return temporal, spectral

    def kernels(self) -> Tensor:
        """The kernels, complex, shape `(N, frames, bins)`: what is exported, drawn and measured."""
        return dense(*self.factors())

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Turns spectrograms `(B, T, F)` into responses `(B, C, T, F)`; a row does not depend on its neighbours.

        Raises:
            ValueError: If the input has not three axes.
        """
        if spectrogram.ndim != 3:
            raise ValueError(f"expected spectrograms of shape (B, T, F), got {tuple(spectrogram.shape)}")
        t, f = self.frames // 2, self.bins // 2
        padded = F.pad(spectrogram[:, None], (f, f, t, t), mode=EDGES[self.edges])[:, 0]
        name = self.backend
        if name == "auto":
            name = quickest(self.frames, self.bins, spectrogram.device.type, torch.is_grad_enabled())
        return given(BACKENDS[name](padded, *self.factors()), self.output, self.eps)

    def extra_repr(self) -> str:
        """What `repr` shows."""
        return (
            f"{self.filters} filters of {self.frames / self.frame_rate:g} s x {self.bins / self.bins_per_octave:g} "
            f"octaves, {self.output}, {self.backend}"
        )


def given(response: Tensor, output: str, eps: float) -> Tensor:
    """What is given of complex responses.

    Args:
        response: Real and imaginary parts, shape `(B, N, 2, T, F)`.
        output: One of `OUTPUTS`.
        eps: Under the square root of the magnitude.
    Returns:
        Shape `(B, C, T, F)`.
    """
    if output == "magnitude":
        return torch.sqrt(response.square().sum(2) + eps)
    if output == "concatenated":
        return response.transpose(1, 2).flatten(1, 2)
    return response[:, :, 0 if output == "real" else 1]


def quickest(frames: int, bins: int, device: str = "cpu", training: bool = True) -> str:
    """Names the backend to take for a support, by what was measured (experiments/benchmarks/strf_backends.py).

    On a CPU small kernels cost least in one full convolution, large ones by Fourier transforms, and between them the
    forward pass alone is cheapest separably. On other devices nothing was measured and the full convolution is taken.

    Example:
        >>> quickest(31, 9), quickest(111, 9), quickest(111, 9, training=False), quickest(111, 25)
        ('full', 'fourier', 'separable', 'fourier')
    """
    taps = frames * bins
    if device != "cpu" or taps < SMALL:
        return "full"
    return "fourier" if training or taps >= LARGE else "separable"


def _square(values: Tensor) -> Tensor:
    """Squared norms; no `abs` of a complex number, whose gradient is not finite where that is tiny."""
    return (values.real**2 + values.imag**2 if values.is_complex() else values**2).sum(1)


def _wave(envelope: Tensor, phase: Tensor) -> Tensor:
    """A complex wave; `torch.polar` divides by the envelope in its gradient, which is not finite where that is tiny."""
    return torch.complex(envelope * torch.cos(phase), envelope * torch.sin(phase))


def _grid(size: int, published: bool) -> Tensor:
    """Positions of the taps [samples]: whole numbers round zero, or as in the published code."""
    if published:
        return torch.linspace(-math.ceil(size / 2) + 1, math.ceil(size / 2), size)
    return torch.arange(size, dtype=torch.get_default_dtype()) - size // 2
