"""An audio autoencoder whose decoder is a harmonic oscillator and filtered noise: a decoded note has a pitch."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiointerp.backbones.autoencoder import (
    SKETCH_BANDS,
    SKETCH_CENTRE,
    SKETCH_SCALE,
    FrameAutoencoder,
    Residual,
    unstrided,
)
from audiointerp.mel import hz_to_mel, mel_to_hz
from audiointerp.study import UserError

PITCH_RANGE = (30.0, 3000.0)
"""Pitches that are read off a code [Hz]."""
PER_OCTAVE = 24
PITCHES = math.ceil(PER_OCTAVE * math.log2(PITCH_RANGE[1] / PITCH_RANGE[0])) + 1
LEVELS = (-14.0, 0.7)
"""Levels of partials and of noise are kept within these [nepers]."""


def pitch_targets(hz: Tensor) -> Tensor:
    """Gives the shares `(B, PITCHES, T)` of the two quarter-tones around pitches `(B, T)`, which sum to one.

    Example:
        >>> shares = pitch_targets(torch.tensor([[30.0 * 2 ** (1.25 / 24)]]))[0, :, 0]
        >>> [round(float(share), 2) for share in shares[:4]]
        [0.0, 0.75, 0.25, 0.0]
    """
    place = (PER_OCTAVE * torch.log2(hz / PITCH_RANGE[0])).clamp(0, PITCHES - 1.001)
    below = place.floor().long()
    return _shared(below, place - below, PITCHES).transpose(1, 2)


class HarmonicAutoencoder(FrameAutoencoder):
    """Encoder and decoder of sounds; the decoder writes a harmonic tone and filtered noise.

    The pitch of each frame is read off the code by a classifier over quarter-tones, as the mean of the likeliest and
    its neighbours. Partial k sounds at k times the pitch, with the level that the spectrum read off the code has there
    and a correction by transposed convolutions; so does noise in each mel band. Phases start at zero and the noise is
    always the same: a code has one sound.

    Args:
        channels: Channels of the code.
        hop: Samples per frame of the code, a multiple of 4.
        control: Samples per frame of the levels, a divisor of the hop.
        harmonics: Partials; those above .47 of the sample rate are left out.
        width: Channels of the decoder's convolutions.
        filters: Pairs of the encoder's filterbank.
        window: Their length [samples].
        encoder_width: Channels of the encoder's convolutions.
        blocks: Residual blocks at each rate.
        sample_rate: Of the sounds [Hz].
        seed: Of the weights.
    Raises:
        UserError: If the hop is no multiple of 4 and of `control`, or a size is too small.
    References:
        DDSP: Differentiable Digital Signal Processing (Engel et al., 2020), section 3.2: harmonic oscillator, noise.
    Example:
        >>> model = HarmonicAutoencoder(channels=4, hop=64, control=32, harmonics=8, width=8, window=128)
        >>> codes = model.encode(torch.zeros(2, 1000))
        >>> codes.shape, model.decode(codes).shape, model.pitch(codes).shape
        (torch.Size([2, 4, 15]), torch.Size([2, 960]), torch.Size([2, 15]))
    """

    name = "harmonic_autoencoder"

    def __init__(
        self,
        *,
        channels: int = 16,
        hop: int = 512,
        control: int = 128,
        harmonics: int = 48,
        width: int = 192,
        filters: int = 96,
        window: int = 1024,
        encoder_width: int = 192,
        blocks: int = 2,
        sample_rate: int = 16000,
        seed: int = 0,
    ) -> None:
        if control < 2 or hop % control or min(harmonics, width) < 1:
            raise UserError(
                "expected model.control of 2 samples or more that divides model.hop, model.harmonics and width of 1 or "
                f"more, got {control} and {hop}, {harmonics} and {width}"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(channels, hop, filters, window, encoder_width, blocks, sample_rate)
            self.control, up = int(control), hop // control
            self.quarter_tones = nn.Sequential(
                nn.Conv1d(channels, 256, 5, padding=2), nn.ELU(), nn.Conv1d(256, 256, 1), nn.ELU(),
                nn.Conv1d(256, PITCHES, 1),
            )  # fmt: skip
            self.corrections = nn.Sequential(
                nn.Conv1d(channels, width, 3, padding=1), *(Residual(width, 3**k) for k in range(blocks)), nn.ELU(),
                unstrided(width, width, 2 * up, up), Residual(width, 1), nn.ELU(),
                nn.Conv1d(width, harmonics + SKETCH_BANDS, 1),
            )  # fmt: skip
        last = self.corrections[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias[:harmonics])
        nn.init.constant_(last.bias[harmonics:], -3.0)
        self.register_buffer("numbers", torch.arange(1.0, harmonics + 1.0), persistent=False)
        self.register_buffer("window", torch.sin(math.pi * (torch.arange(2 * control) + 0.5) / (2 * control)), False)
        centres = mel_to_hz(np.linspace(0.0, hz_to_mel(sample_rate / 2), SKETCH_BANDS + 2))[1:-1]
        self.register_buffer("centres", torch.from_numpy(centres).float(), persistent=False)
        bins = torch.linspace(0.0, sample_rate / 2, control + 1)
        self.register_buffer("spread", _shared(*self._around(bins), SKETCH_BANDS), persistent=False)

    def pitch_logits(self, codes: Tensor) -> Tensor:
        """Reads logits of quarter-tones `(B, PITCHES, T)` off codes `(B, C, T)`."""
        return self.quarter_tones(codes)

    def pitch(self, codes: Tensor) -> Tensor:
        """Reads pitches [Hz] `(B, T)` off codes `(B, C, T)`."""
        logits = self.pitch_logits(codes)
        best = logits.argmax(1, keepdim=True).clamp(2, PITCHES - 3)
        around = best + torch.arange(-2, 3, device=codes.device)[:, None]
        place = (logits.gather(1, around).softmax(1) * around).sum(1)
        return PITCH_RANGE[0] * 2.0 ** (place / PER_OCTAVE)

    def decode(self, codes: Tensor) -> Tensor:
        """Turns codes `(B, C, T)` into waveforms `(B, T * hop)`."""
        return self.sound(codes, self.pitch(codes))

    def sound(self, codes: Tensor, hz: Tensor) -> Tensor:
        """Turns codes `(B, C, T)` into waveforms `(B, T * hop)` of given pitches [Hz] `(B, T)`."""
        spectrum = SKETCH_CENTRE + SKETCH_SCALE * self.sketch(codes)
        partials, noise = self.corrections(codes).split([len(self.numbers), SKETCH_BANDS], 1)
        with torch.autocast(codes.device.type, enabled=False):  # a phase needs all its digits
            return self._play(spectrum.float(), partials.float(), noise.float(), hz.float())

    def _play(self, spectrum: Tensor, partials: Tensor, noise: Tensor, hz: Tensor) -> Tensor:
        """Adds tone and noise: levels `(B, bands, T)`, corrections `(B, K, T')` and `(B, bands, T')`, `(B, T)` [Hz]."""
        frames = partials.shape[2]
        levels = _refined(self._levels_at(spectrum, self.numbers[:, None] * hz[:, None]), frames) + partials
        bands = (_refined(spectrum, frames) + noise).clamp(*LEVELS)
        amplitudes = levels.clamp(*LEVELS).exp() * self._below(hz, frames)
        return self._tone(amplitudes, hz) + self._noise((self.spread @ bands).exp())

    def _below(self, hz: Tensor, frames: int) -> Tensor:
        """Tells which partials stay below .47 of the sample rate in and around each of the levels' frames."""
        highest = F.max_pool1d(_refined(hz[:, None].log2(), frames).exp2(), 3, 1, padding=1)
        return (self.numbers[:, None] * highest < 0.47 * self.sample_rate).float()

    def _around(self, hz: Tensor) -> tuple[Tensor, Tensor]:
        """Gives the mel band below each frequency and how far the frequency is on the way to the next."""
        above = torch.bucketize(hz, self.centres).clamp(1, SKETCH_BANDS - 1)
        low, high = self.centres[above - 1], self.centres[above]
        return above - 1, ((hz - low) / (high - low)).clamp(0, 1)

    def _levels_at(self, spectrum: Tensor, hz: Tensor) -> Tensor:
        """Reads levels `(B, bands, T)` at frequencies `(B, K, T)`."""
        below, share = self._around(hz)
        return torch.lerp(spectrum.gather(1, below), spectrum.gather(1, below + 1), share)

    def _tone(self, amplitudes: Tensor, hz: Tensor) -> Tensor:
        """Adds up partials of amplitudes `(B, K, T')` at multiples of the pitches `(B, T)`, phases running on."""
        batch, harmonics, frames = amplitudes.shape
        with torch.no_grad():
            steps = _refined(hz[:, None].log2(), frames * self.control)[:, 0].exp2() / self.sample_rate
            turns = torch.cumsum(steps.double(), 1).remainder_(1.0).float()
            sines = (turns.view(-1, 1, self.control) * (2 * math.pi * self.numbers[:, None])).sin_()
            place = (torch.arange(self.control, device=hz.device) + 0.5) / self.control - 0.5  # from a frame's centre
            weights = torch.stack([(-place).clamp(min=0), 1 - place.abs(), place.clamp(min=0)])
        padded = F.pad(amplitudes, (1, 1), mode="replicate")
        around = padded.unfold(2, 3, 1).permute(0, 2, 3, 1).reshape(-1, 3, harmonics)
        return ((around @ sines) * weights).sum(1).view(batch, -1)

    def _noise(self, gains: Tensor) -> Tensor:
        """Filters white noise by gains `(B, bins, T')`, frame by frame with overlap."""
        batch, _, frames = gains.shape
        size, length = 2 * self.control, (frames + 1) * self.control
        white = torch.randn(length, generator=torch.Generator().manual_seed(0)).to(gains)
        spectra = torch.fft.rfft(white.unfold(0, size, self.control) * self.window).T
        parts = torch.fft.irfft(spectra * gains, size, dim=1) * self.window[:, None]
        whole = F.fold(parts, (1, length), (1, size), stride=(1, self.control))[:, 0, 0]
        start = self.control // 2
        return whole[:, start : start + frames * self.control]


def _shared(below: Tensor, share: Tensor, count: int) -> Tensor:
    """Puts `1 - share` on place `below` of `count` and `share` on the next, shape `(..., count)`."""
    share = share[..., None]
    return F.one_hot(below, count) * (1 - share) + F.one_hot(below + 1, count) * share


def _refined(values: Tensor, frames: int) -> Tensor:
    """Interpolates values `(B, K, T)` to a number of frames."""
    return F.interpolate(values, size=frames, mode="linear", align_corners=False)
