"""Log spectrogram, spectro-temporal filters, contraction, recurrence, head; and the rivals of the filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiointerp.backbones.base import Backbone, WeightsInfo, state_digest
from audiointerp.backbones.log_spectrogram import Bands, PowerSpectrogram, Standardise, band_centres
from audiointerp.backbones.strf import EDGES, OUTPUTS, GaborSTRF, given
from audiointerp.backbones.strf_published import BatchFloor, Scrambled
from audiointerp.study import UserError, torch_stream

FRONTS = {
    "learnt Gabor": "Gabor filters, their four parameters learnt",
    "frozen Gabor": "Gabor filters of the same family, as they were drawn",
    "free convolution": "complex kernels of the same size, every tap learnt",
    "bands only": "no filters: as many delayed copies of the log spectrogram, over the filters' support",
    "learnt bands": "the same, with centres, widths and offsets of the bands learnt (LEAF-style)",
}
PUBLISHED = "published Gabor"
"""Front of the published code, mistakes included: mel bands, the batch's floor, late frames, grid, scrambled frames."""


class FreeKernels(nn.Module):
    """Complex kernels without a shape: what `GaborSTRF` is when every tap is learnt; arguments as there."""

    def __init__(
        self,
        filters: int,
        frames: int,
        bins: int,
        output: str,
        edges: str = "replicate",
        eps: float = 1e-6,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.output, self.edges, self.eps, self.filters = output, edges, eps, filters
        drawn = torch.randn(filters, 2, frames, bins, generator=torch_stream(seed, "free kernels"))
        self.weight = nn.Parameter(drawn / drawn.flatten(1).norm(dim=1)[:, None, None, None])

    @property
    def channels(self) -> int:
        """Channels of the output."""
        return OUTPUTS[self.output] * self.filters

    def kernels(self) -> Tensor:
        """The kernels, complex, shape `(N, frames, bins)`."""
        return torch.complex(self.weight[:, 0], self.weight[:, 1])

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Turns spectrograms `(B, T, F)` into responses `(B, C, T, F)`."""
        t, f = self.weight.shape[2] // 2, self.weight.shape[3] // 2
        padded = F.pad(spectrogram[:, None], (f, f, t, t), mode=EDGES[self.edges])
        response = F.conv2d(padded, self.weight.flatten(0, 1)[:, None])
        return given(response.unflatten(1, (-1, 2)), self.output, self.eps)


class Delays(nn.Module):
    """Gives delayed copies of the spectrogram in place of filters, so that what follows is of the same size.

    Args:
        count: Number of copies.
        frames: Frames that they are spread over, evenly, the middle one undelayed.
        edges: As in `GaborSTRF`.
    """

    def __init__(self, count: int, frames: int, edges: str = "replicate") -> None:
        super().__init__()
        self.channels, self.frames, self.edges = int(count), int(frames), edges
        self.delays = np.linspace(0, frames - 1, count).round().astype(int).tolist() if count > 1 else [frames // 2]

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Turns spectrograms `(B, T, F)` into `(B, C, T, F)`."""
        t = self.frames // 2
        padded = F.pad(spectrogram[:, None], (0, 0, t, t), mode=EDGES[self.edges])[:, 0]
        return torch.stack([padded[:, delay : delay + spectrogram.shape[1]] for delay in self.delays], dim=1)


class Contraction(nn.Module):
    """All channels and bins of a frame to a few features, rectified."""

    def __init__(self, channels: int, bins: int, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels * bins, features)

    def forward(self, responses: Tensor) -> Tensor:
        """Turns responses `(B, C, T, F)` into features `(B, T, D)`."""
        return torch.relu(self.linear(responses.transpose(1, 2).flatten(2)))


class Recurrence(nn.Module):
    """A bidirectional LSTM that gives one tensor."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, batch_first=True, bidirectional=True)

    def forward(self, features: Tensor) -> Tensor:
        """Turns features `(B, T, D)` into `(B, T, 2 hidden)`."""
        return self.lstm(features)[0]


class STRFNetwork(Backbone):
    """A network behind spectro-temporal filters, or behind one of their rivals with everything else equal.

    Args:
        output_names: One name per class.
        front: What is between the log spectrogram and the contraction, a key of `FRONTS`, or `PUBLISHED`, which sets
            `axis`, `zero_mean`, `unit_norm` and `published` itself.
        per_frame: Whether classes are told frame by frame instead of once per clip.
        recurrent: Whether a BiLSTM follows the contraction.
        filters: Number of filters.
        frames: Support of a filter in time [frames], odd.
        bins: Support in frequency [bands], odd.
        output: As in `GaborSTRF`.
        zero_mean: As in `GaborSTRF`.
        unit_norm: As in `GaborSTRF`.
        backend: As in `GaborSTRF`.
        published: As in `GaborSTRF`.
        features: Outputs of the contraction.
        hidden: Units of the LSTM in each direction.
        sample_rate: [Hz].
        frame_rate: Frames per second.
        bands: Bands of the spectrogram.
        bins_per_octave: Bands per octave (logarithmic axis).
        low_hz: Centre of the lowest band [Hz].
        axis: `log` or `mel`.
        segment_s: Length of an input [s].
        hop_s: Step between two inputs of a longer clip [s]; None for their length.
        seed: Seed of all initial values.
    Raises:
        UserError: If the front is unknown, there is no class, or a band lies above half the sample rate.
    """

    name = "strf"

    def __init__(
        self,
        output_names: Sequence[str],
        *,
        front: str = "learnt Gabor",
        per_frame: bool = False,
        recurrent: bool = False,
        filters: int = 16,
        frames: int = 41,
        bins: int = 15,
        output: str = "magnitude",
        zero_mean: bool = True,
        unit_norm: bool = True,
        backend: str = "auto",
        published: bool = False,
        features: int = 32,
        hidden: int = 32,
        sample_rate: int = 16000,
        frame_rate: int = 80,
        bands: int = 64,
        bins_per_octave: float = 11.0,
        low_hz: float = 125.0,
        axis: str = "log",
        segment_s: float = 1.0,
        hop_s: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._settings = {name: value for name, value in locals().items() if name not in ("self", "__class__", "seed")}
        self.output_names = [str(name) for name in output_names]
        if front not in (*FRONTS, PUBLISHED):
            raise UserError(f"expected a front end of {', '.join([*FRONTS, PUBLISHED])}, got {front!r}")
        if front == PUBLISHED:
            axis, zero_mean, unit_norm, published = "mel", False, False, True
        if not self.output_names:
            raise UserError("expected at least one class, got none")
        centres = band_centres(bands, low_hz, axis=axis, bins_per_octave=bins_per_octave, high_hz=0.47 * sample_rate)
        if centres[-1] >= sample_rate / 2:
            raise UserError(
                f"expected bands below {sample_rate / 2:g} Hz, got one at {centres[-1]:.0f} Hz: take fewer bands, more "
                "bins_per_octave or a lower low_hz"
            )
        self.centres_hz, self.front, self.per_frame = centres, front, per_frame
        self.frame_rate = float(frame_rate)
        # Of a mel axis the density above 1 kHz, where it is nearly even.
        above = centres[centres >= min(1000.0, centres[-2])]
        self.bins_per_octave = bins_per_octave if axis == "log" else float(1.0 / np.diff(np.log2(above)).mean())
        self.sample_rate = sample_rate
        self.segment_samples = round(segment_s * sample_rate)
        self.hop_samples = self.segment_samples if hop_s is None else round(hop_s * sample_rate)
        self.preprocessing = f"strf-1:{sample_rate}:{frame_rate}:{bands}:{bins_per_octave}:{low_hz}:{axis}"
        self.power = PowerSpectrogram(sample_rate, frame_rate)
        self.bands = Bands(centres, sample_rate, self.power.points, learnable=front == "learnt bands")
        self.standardise = Standardise(bands)
        self.levels: nn.Module = BatchFloor(frame_rate) if front == PUBLISHED else nn.Identity()
        shape = {"frames": frames, "bins": bins, "output": output, "seed": seed}
        if front.endswith("Gabor"):
            self.strf: nn.Module = GaborSTRF(
                filters,
                frame_rate=frame_rate,
                bins_per_octave=self.bins_per_octave,
                zero_mean=zero_mean,
                unit_norm=unit_norm,
                backend=backend,
                published=published,
                **shape,
                edges="zeros" if front == PUBLISHED else "replicate",
            ).requires_grad_(front != "frozen Gabor")
        elif front == "free convolution":
            self.strf = FreeKernels(filters, **shape)
        else:
            self.strf = Delays(OUTPUTS[output] * filters, frames)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (1,), generator=torch_stream(seed, "network"))))
            self.contraction = Contraction(self.strf.channels, bands, features)
            following = [Scrambled()] if front == PUBLISHED else []
            following += [Recurrence(features, hidden)] if recurrent else []
            self.recurrence = following[0] if len(following) == 1 else nn.Sequential(*following)
            self.head = nn.Linear(2 * hidden if recurrent else features, len(self.output_names))
        self.weights = WeightsInfo("untrained", f"random, seed {seed}", state_digest(self))

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        return {"strf": self.strf, "contraction": self.contraction, "recurrence": self.recurrence}

    def front_end(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, L)` into log bands `(B, T, F)`, or into power spectra where the bands are learnt."""
        power = self.power(waveforms)
        return power if self.front == "learnt bands" else self.bands(power)

    def fit_standardisation(self, features: Tensor) -> None:
        """Measures means and scale of the bands on training sounds, as `front_end` gives them."""
        with torch.no_grad():
            self.standardise.fit(self._levels(features))

    def spectrogram(self, features: Tensor) -> Tensor:
        """What the filters get, `(B, T, F)`."""
        return self.standardise(self._levels(features))

    def _levels(self, features: Tensor) -> Tensor:
        return self.levels(self.bands(features) if self.front == "learnt bands" else features)

    def forward(self, features: Tensor) -> Tensor:
        """Turns what `front_end` gives into logits, `(B, K)`, or `(B, K, T)` where classes are told by frame."""
        return self.resume("strf", self.strf(self.spectrogram(features)))

    def resume(self, layer: str, activation: Tensor) -> Tensor:
        names = list(self.layers)
        if layer not in names:
            raise UserError(f"expected a layer of {', '.join(names)}, got {layer!r}")
        for name in names[names.index(layer) + 1 :]:
            activation = self.layers[name](activation)
        logits = self.head(activation if self.per_frame else activation.mean(1))
        return logits.transpose(1, 2) if self.per_frame else logits

    def untrained(self, seed: int) -> STRFNetwork:
        return STRFNetwork(**self._settings, seed=seed).to(next(self.parameters()).device)

    def learnt_parameters(self) -> dict[str, int]:
        """How many numbers are learnt in the front end and behind it."""
        front = [*self.bands.parameters(), *self.strf.parameters()]
        rest = [*self.contraction.parameters(), *self.recurrence.parameters(), *self.head.parameters()]
        return {
            name: sum(value.numel() for value in values if value.requires_grad)
            for name, values in (("front end", front), ("behind it", rest))
        }
