"""Audio autoencoders: waveforms to a few channels at a low rate, and back by transposed convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiointerp.study import UserError

SKETCH_BANDS = 80
"""Mel bands of the spectrum that is read off a code in training."""
SKETCH_CENTRE, SKETCH_SCALE = -5.0, 2.0
"""Levels of that spectrum [nepers] are shifted and scaled by these."""


class Residual(nn.Module):
    """`x + conv1(elu(conv3(elu(x))))`, the first convolution dilated.

    Args:
        width: Channels.
        dilation: Of the first convolution [frames].
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ELU(),
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation),
            nn.ELU(),
            nn.Conv1d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Filterbank(nn.Module):
    r"""Learnt pairs of filters on the waveform, their modulus, and its logarithm.

    The pairs start as Gabor filters, cosine and sine under Hann windows, with centres equally spaced in mel from 60 Hz
    to .47 of the sample rate and bandwidths of that spacing. Without the modulus a code would hold each partial's
    phase, which no ear attends to.

    Args:
        filters: Number of pairs F.
        kernel: Their length [samples].
        stride: Samples from one frame to the next.
        sample_rate: [Hz].
    References:
        LEAF: A Learnable Frontend for Audio Classification (Zeghidour et al., 2021), section 3: Gabor pairs, modulus.
    """

    def __init__(self, filters: int, kernel: int, stride: int, sample_rate: int) -> None:
        super().__init__()
        self.pairs = strided(1, 2 * filters, kernel, stride)
        mels = torch.linspace(_mel(60.0), _mel(0.47 * sample_rate), filters + 1)
        hz = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
        samples = torch.arange(self.pairs.kernel_size[0]) - self.pairs.kernel_size[0] / 2
        turns = 2 * math.pi * hz[:-1, None] * samples / sample_rate
        # As wide in frequency as the distance to the next one: a narrower filter would miss what lies between them.
        lengths = (2.0 * sample_rate / hz.diff()).clamp(max=float(len(samples)))[:, None]
        windows = torch.where(samples.abs() < lengths / 2, 0.5 + 0.5 * torch.cos(2 * math.pi * samples / lengths), 0.0)
        windows = torch.cat([windows, windows])
        with torch.no_grad():
            weights = torch.cat([turns.cos(), turns.sin()]) * windows
            self.pairs.weight.copy_((2.0 * weights / windows.sum(1, keepdim=True))[:, None])
            self.pairs.bias.zero_()

    def forward(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, L)`, L a multiple of the stride, into log-magnitudes `(B, F, L / stride)`."""
        real, imaginary = self.pairs(waveforms[:, None]).chunk(2, dim=1)
        power = real.square() + imaginary.square()
        return 0.25 * torch.log(power + 1e-6) + 2.0  # 2 at full scale, -1.5 from -60 dB down: a room is not a timbre


class TemporalEncoder(nn.Module):
    """A learnt filterbank at four frames per hop; down to the hop by means, straight, and by convolutions, added up.

    Args:
        channels: Channels of the code.
        hop: Samples per frame of the code, a multiple of 4.
        filters: Pairs of the filterbank.
        kernel: Their length [samples].
        width: Channels of the convolutions.
        blocks: Residual blocks; their dilations are 1, 3, 9 ...
        sample_rate: [Hz].
    """

    def __init__(
        self, channels: int, hop: int, filters: int, kernel: int, width: int, blocks: int, sample_rate: int
    ) -> None:
        super().__init__()
        self.bank = Filterbank(filters, kernel, hop // 4, sample_rate)
        self.straight = nn.Conv1d(filters, channels, 1)
        self.body = nn.Sequential(
            strided(filters, width, 4, 2),
            nn.ELU(),
            strided(width, width, 4, 2),
            *(Residual(width, 3**k) for k in range(blocks)),
            nn.ELU(),
            nn.Conv1d(width, channels, 1),
        )

    def forward(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, L)`, L a multiple of the hop, into codes `(B, C, L / hop)`."""
        levels = self.bank(waveforms)
        return self.straight(F.avg_pool1d(levels, 4)) + self.body(levels)

    @torch.no_grad()
    def align(self, waveforms: Tensor) -> None:
        """Starts the code on the leading principal components of the filterbank's levels over some sounds.

        Training starts from this linear solution rather than from arbitrary channels, as the factor flow's does.

        Args:
            waveforms: Training sounds, shape `(B, L)`.
        """
        frames = torch.cat(
            [F.avg_pool1d(self.bank(part), 4).transpose(1, 2).flatten(0, 1) for part in waveforms.split(16)]
        )
        mean = frames.mean(0)
        _, _, directions = torch.linalg.svd(((frames - mean).T @ (frames - mean)) / len(frames))
        chosen = directions[: self.straight.out_channels]
        scale = ((frames - mean) @ chosen[0]).std().clamp(min=1e-6)
        self.straight.weight[: len(chosen)] = (chosen / scale)[:, :, None]
        self.straight.bias[: len(chosen)] = -(chosen @ mean) / scale
        last = self.body[-1]
        last.weight.zero_()
        last.bias.zero_()


class TransposedDecoder(nn.Module):
    """Transposed convolutions from a code up to the waveform, dilated blocks before each of them.

    Args:
        channels: Channels of the code.
        strides: Of the transposed convolutions; their product is the hop.
        widths: Channels before each of them.
        kernel: Samples that the last one writes.
        blocks: Residual blocks before each; their dilations are 1, 3, 9 ...
    """

    def __init__(self, channels: int, strides: Sequence[int], widths: Sequence[int], kernel: int, blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv1d(channels, widths[0], 3, padding=1)]
        for place, (stride, width) in enumerate(zip(strides, widths, strict=True)):
            last = place == len(strides) - 1
            layers += [*(Residual(width, 3**k) for k in range(blocks)), nn.ELU()]
            layers += [unstrided(width, 1 if last else widths[place + 1], kernel if last else 2 * stride, stride)]
        self.body = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        """Turns codes `(B, C, T)` into waveforms `(B, T * hop)`."""
        return self.body(codes)[:, 0]


class FrameAutoencoder(nn.Module):
    """What autoencoders of sounds of any length share: the encoder, and a spectrum that is read off the code.

    Sounds are cut to whole hops: 40,000 samples at a hop of 512 give 78 frames of 16 channels. A subclass brings
    `decode`.

    Args:
        channels: Channels of the code.
        hop: Samples per frame of the code, a multiple of 4.
        filters: Pairs of the encoder's filterbank.
        window: Their length [samples], a quarter of the hop or more.
        encoder_width: Channels of the encoder's convolutions.
        blocks: Residual blocks at each rate.
        sample_rate: Of the sounds [Hz].
    Attributes:
        at_once: Codes that are decoded at a time.
    Raises:
        UserError: If the hop is no multiple of 4 or a size is too small.
    """

    at_once = 32

    def __init__(
        self, channels: int, hop: int, filters: int, window: int, encoder_width: int, blocks: int, sample_rate: int
    ) -> None:
        super().__init__()
        if hop < 4 or hop % 4 or window < hop // 4 or min(channels, filters, encoder_width, blocks + 1) < 1:
            raise UserError(
                "expected a hop (the product of model.strides, where it has them) that is a multiple of 4, "
                "model.window of a quarter of it or more, model.channels, filters and encoder_width of 1 or more, and "
                f"model.blocks of 0 or more, got {hop}, {window}, {channels}, {filters}, {encoder_width}, {blocks}"
            )
        self.channels, self.hop, self.sample_rate = int(channels), int(hop), int(sample_rate)
        self.encoder = TemporalEncoder(channels, self.hop, filters, window, encoder_width, blocks, sample_rate)
        self.spectrum = nn.Sequential(
            nn.Conv1d(channels, 256, 3, padding=1), nn.ELU(), nn.Conv1d(256, 256, 1), nn.ELU(),
            nn.Conv1d(256, SKETCH_BANDS, 1),
        )  # fmt: skip
        self.straight_spectrum = nn.Conv1d(channels, SKETCH_BANDS, 1)

    def sketch(self, codes: Tensor) -> Tensor:
        """Gives log-mel levels `(B, bands, T)` that are read off codes `(B, C, T)`, shifted and scaled to about 0 +- 1.

        What a code says of the spectrum is learnt sooner through them than through the decoder's waveform.
        """
        return self.straight_spectrum(codes) + self.spectrum(codes)

    def encode(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, L)` into codes `(B, C, L // hop)`.

        Raises:
            ValueError: If they are shorter than one hop.
        """
        return self.encoder(whole_hops(waveforms, self.hop))

    def decode(self, codes: Tensor) -> Tensor:
        """Turns codes `(B, C, T)` into waveforms `(B, T * hop)`."""
        raise NotImplementedError

    def forward(self, waveforms: Tensor) -> Tensor:
        """Gives the reconstructions `(B, L // hop * hop)` of waveforms `(B, L)`."""
        return self.decode(self.encode(waveforms))


class Autoencoder(FrameAutoencoder):
    """Encoder and decoder of sounds; transposed convolutions write the waveform.

    Args:
        channels: Channels of the code.
        strides: Of the decoder's transposed convolutions; their product is the hop [samples].
        widths: Channels before each of them.
        kernel: Samples that the last of them writes.
        filters: Pairs of the encoder's filterbank.
        window: Their length [samples].
        encoder_width: Channels of the encoder's convolutions.
        blocks: Residual blocks at each rate.
        sample_rate: Of the sounds [Hz].
        seed: Of the weights.
    Raises:
        UserError: If there is not one width per stride, the hop is no multiple of 4, or a size is too small.
    Example:
        >>> model = Autoencoder(channels=4, strides=[8, 8], widths=[8, 8], kernel=16, window=128)
        >>> codes = model.encode(torch.zeros(2, 1000))
        >>> codes.shape, model.decode(codes).shape
        (torch.Size([2, 4, 15]), torch.Size([2, 960]))
    """

    name = "autoencoder"

    def __init__(
        self,
        *,
        channels: int = 16,
        strides: Sequence[int] = (4, 4, 4, 8),
        widths: Sequence[int] = (192, 128, 64, 32),
        kernel: int = 64,
        filters: int = 96,
        window: int = 1024,
        encoder_width: int = 192,
        blocks: int = 2,
        sample_rate: int = 16000,
        seed: int = 0,
    ) -> None:
        if len(strides) < 1 or len(strides) != len(widths) or min(*strides, *widths) < 1 or kernel < strides[-1]:
            raise UserError(
                "expected model.strides with one of model.widths each, and model.kernel of the last stride or more, "
                f"got {list(strides)}, {list(widths)} and {kernel}"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(channels, math.prod(strides), filters, window, encoder_width, blocks, sample_rate)
            self.decoder = TransposedDecoder(channels, strides, widths, kernel, blocks)

    def decode(self, codes: Tensor) -> Tensor:
        """Turns codes `(B, C, T)` into waveforms `(B, T * hop)`."""
        return self.decoder(codes)


def whole_hops(waveforms: Tensor, hop: int) -> Tensor:
    """Cuts waveforms `(B, L)` to a whole number of hops.

    Raises:
        ValueError: If they are shorter than one hop.
    """
    if waveforms.ndim != 2 or waveforms.shape[1] < hop:
        raise ValueError(f"expected waveforms of shape (B, L) with L >= {hop}, got {tuple(waveforms.shape)}: pad them")
    return waveforms[:, : waveforms.shape[1] // hop * hop]


def strided(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    """A convolution that turns `L` frames, a multiple of the stride, into exactly `L / stride`."""
    kernel += (kernel - stride) % 2
    return nn.Conv1d(inputs, outputs, kernel, stride, padding=(kernel - stride) // 2)


def unstrided(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    """A transposed convolution that turns `T` frames into exactly `T * stride`."""
    kernel += (kernel - stride) % 2
    return nn.ConvTranspose1d(inputs, outputs, kernel, stride, padding=(kernel - stride) // 2)


def _mel(hz: float) -> float:
    return 2595.0 * math.log10(1.0 + hz / 700.0)
