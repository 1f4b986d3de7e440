"""NSynth's way: a dilated encoder at full rate, pooled, and a WaveNet that predicts mu-law classes sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audiointerp.backbones.autoencoder import whole_hops
from audiointerp.study import UserError

CLASSES = 256


def mu_law_classes(waveforms: Tensor) -> Tensor:
    r"""Turns samples in [-1, 1] into classes 0 to 255, finer near zero.

    :math:`\lfloor (f(x) + 1) / 2 \cdot 255 + 1/2 \rfloor`, :math:`f(x) = \mathrm{sgn}(x) \ln(1 + 255 |x|) / \ln 256`.

    Example:
        >>> mu_law_classes(torch.tensor([-1.0, 0.0, 1.0])).tolist()
        [0, 128, 255]
    """
    x = waveforms.clamp(-1, 1)
    bent = x.sign() * torch.log1p(255.0 * x.abs()) / torch.log(torch.tensor(256.0))
    return ((bent + 1) / 2 * 255 + 0.5).long()


def mu_law_samples(classes: Tensor) -> Tensor:
    """Turns classes 0 to 255 back into samples in [-1, 1]."""
    bent = classes.float() / 255 * 2 - 1
    return bent.sign() * (256.0 ** bent.abs() - 1) / 255


class DilatedEncoder(nn.Module):
    """Dilated convolutions at full rate with residual connections, then averages over hops.

    Args:
        channels: Channels of the code.
        hop: Samples that are averaged.
        width: Channels within.
        layers: Convolutions of a stack; their dilations double.
        stacks: Stacks.
    References:
        Neural Audio Synthesis of Musical Notes with WaveNet Autoencoders (Engel et al., 2017), section 2.1.
    """

    def __init__(self, channels: int, hop: int, width: int, layers: int, stacks: int) -> None:
        super().__init__()
        self.hop = hop
        self.first = nn.Conv1d(1, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.ModuleList([nn.Conv1d(width, width, 3, padding=2**layer, dilation=2**layer), nn.Conv1d(width, width, 1)])
            for _ in range(stacks)
            for layer in range(layers)
        )
        self.last = nn.Conv1d(width, channels, 1)

    def forward(self, waveforms: Tensor) -> Tensor:
        x = self.first(waveforms[:, None])
        for dilated, mixed in self.blocks:
            x = x + mixed(F.relu(dilated(F.relu(x))))
        return F.avg_pool1d(self.last(x), self.hop)


class CausalConv(nn.Conv1d):
    """A dilated convolution of kernel 2 that sees a sample and the one `dilation` before it."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__(inputs, outputs, 2, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (self.dilation[0], 0)))

    def step(self, before: Tensor, now: Tensor) -> Tensor:
        """Computes one output `(B, outputs)` from two inputs `(B, inputs)`."""
        return now @ self.weight[:, :, 1].T + before @ self.weight[:, :, 0].T + self.bias


class WaveNetDecoder(nn.Module):
    """A WaveNet that is told a code: gated causal convolutions with residual and skip connections.

    Args:
        channels: Channels of the code.
        width: Residual channels.
        skip: Skip channels.
        layers: Convolutions of a stack; their dilations double.
        stacks: Stacks.
    References:
        WaveNet: A Generative Model for Raw Audio (van den Oord et al., 2016), section 2.
        Fast WaveNet Generation Algorithm (Le Paine et al., 2016): queues of earlier activations.
    """

    def __init__(self, channels: int, width: int, skip: int, layers: int, stacks: int) -> None:
        super().__init__()
        self.width, self.dilations = width, [2**layer for _ in range(stacks) for layer in range(layers)]
        self.first = CausalConv(1, width, 1)
        self.gates = nn.ModuleList(CausalConv(width, 2 * width, dilation) for dilation in self.dilations)
        self.conditions = nn.ModuleList(nn.Conv1d(channels, 2 * width, 1) for _ in self.dilations)
        self.residuals = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in self.dilations)
        self.skips = nn.ModuleList(nn.Conv1d(width, skip, 1) for _ in self.dilations)
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(skip, skip, 1), nn.ReLU(), nn.Conv1d(skip, CLASSES, 1))

    def forward(self, samples: Tensor, codes: Tensor) -> Tensor:
        """Gives the logits `(B, 256, L)` of each sample from those before it.

        Args:
            samples: Samples `(B, L)` as the decoder hears them, decoded from their classes.
            codes: Codes `(B, C, T)`; each is held for `L / T` samples.
        """
        hold = samples.shape[1] // codes.shape[2]
        x = self.first(F.pad(samples, (1, 0))[:, None, :-1])  # the sample itself is not seen
        total = 0
        for gate, condition, residual, skip in self._layers():
            gated = gate(x) + condition(codes).repeat_interleave(hold, dim=2)
            opened, value = gated.chunk(2, dim=1)
            out = torch.sigmoid(opened) * torch.tanh(value)
            total = total + skip(out)
            x = x + residual(out)
        return self.head(total)

    def _layers(self) -> Iterable[tuple[nn.Module, ...]]:
        return zip(self.gates, self.conditions, self.residuals, self.skips, strict=True)

    @torch.no_grad()
    def generate(
        self,
        codes: Tensor,
        hold: int,
        choose: Callable[[Tensor], Tensor],
        progress: Callable = lambda items, **_: items,
    ) -> Tensor:
        """Writes samples one after another; each layer keeps the inputs that its later steps will look back at.

        Args:
            codes: `(B, C, T)`.
            hold: Samples per code.
            choose: Turns logits `(B, 256)` into classes `(B,)`.
            progress: Wraps an iterable; a progress bar.
        Returns:
            Samples `(B, T * hold)`.
        """
        batch, first, (before_last, last) = len(codes), self.first, (self.head[1], self.head[3])
        layers = [
            # What a layer is told, two inputs to its gates, and its two outputs, each as one product.
            (
                condition(codes).add_(gate.bias[:, None]).permute(2, 0, 1).contiguous(),
                torch.cat([gate.weight[:, :, 0], gate.weight[:, :, 1]], 1).T.contiguous(),
                torch.cat([residual.weight, skip.weight])[:, :, 0].T.contiguous(),
                torch.cat([residual.bias, skip.bias]),
            )
            for gate, condition, residual, skip in self._layers()
        ]
        queues = [codes.new_zeros(dilation, batch, self.width) for dilation in self.dilations]
        before = now = codes.new_zeros(batch, 1)
        out = codes.new_empty(batch, codes.shape[2] * hold)
        for i in progress(range(out.shape[1]), description="generating samples", unit="sample"):
            x, total = first.step(before, now), 0
            for (told, gates, outputs, bias), queue in zip(layers, queues, strict=True):
                place = i % len(queue)
                both = torch.cat([queue[place], x], 1)
                queue[place] = x
                opened, value = torch.addmm(told[i // hold], both, gates).chunk(2, dim=1)
                left = torch.addmm(bias, torch.sigmoid(opened) * torch.tanh(value), outputs)
                x, total = x + left[:, : self.width], total + left[:, self.width :]
            hidden = F.linear(F.relu(total), before_last.weight[:, :, 0], before_last.bias)
            logits = F.linear(F.relu(hidden), last.weight[:, :, 0], last.bias)
            out[:, i] = mu_law_samples(choose(logits))
            before, now = now, out[:, i : i + 1]
        return out


class WaveNetAutoencoder(nn.Module):
    """NSynth's autoencoder at any size; the published one has 128 channels in 30 encoder and 30 decoder layers.

    Args:
        channels: Channels of the code.
        hop: Samples per code.
        width: Channels of the encoder and residual channels of the decoder.
        skip: Skip channels of the decoder.
        layers: Convolutions of a stack.
        stacks: Stacks of encoder and decoder.
        sample_rate: Of the sounds [Hz].
        seed: Of the weights, and of the samples that are drawn.
        draws: Whether decoding draws each sample's class, as published; else it takes the likeliest.
    Raises:
        UserError: If a size is too small.
    References:
        Neural Audio Synthesis of Musical Notes with WaveNet Autoencoders (Engel et al., 2017).
    """

    name = "wavenet_autoencoder"
    at_once = 512  # codes that are decoded at a time: a step costs little more for many notes than for one

    def __init__(
        self,
        *,
        channels: int = 16,
        hop: int = 512,
        width: int = 32,
        skip: int = 64,
        layers: int = 9,
        stacks: int = 1,
        sample_rate: int = 16000,
        seed: int = 0,
        draws: bool = True,
    ) -> None:
        super().__init__()
        if min(channels, hop, width, skip, layers, stacks) < 1:
            raise UserError(
                "expected model.channels, hop, width, skip, layers and stacks of 1 or more, got "
                f"{(channels, hop, width, skip, layers, stacks)}"
            )
        self.channels, self.hop, self.sample_rate = int(channels), int(hop), int(sample_rate)
        self.seed, self.draws = int(seed), bool(draws)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = DilatedEncoder(channels, hop, width, layers, stacks)
            self.decoder = WaveNetDecoder(channels, width, skip, layers, stacks)

    def encode(self, waveforms: Tensor) -> Tensor:
        """Turns waveforms `(B, L)` into codes `(B, C, L // hop)`."""
        return self.encoder(whole_hops(waveforms, self.hop))

    def forward(self, waveforms: Tensor) -> Tensor:
        """Gives the logits `(B, 256, L // hop * hop)` of each sample of waveforms `(B, L)`."""
        waveforms = whole_hops(waveforms, self.hop)
        heard = mu_law_samples(mu_law_classes(waveforms))
        return self.decoder(heard, self.encoder(waveforms))

    def decode(self, codes: Tensor, progress: Callable = lambda items, **_: items) -> Tensor:
        """Turns codes `(B, C, T)` into waveforms `(B, T * hop)`, sample by sample."""
        generator = torch.Generator(codes.device).manual_seed(self.seed)

        def choose(logits: Tensor) -> Tensor:
            if not self.draws:
                return logits.argmax(1)
            return torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]

        return self.decoder.generate(codes, self.hop, choose, progress)
