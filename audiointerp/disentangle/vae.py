"""Networks of a variational autoencoder for pictures, and the discriminator of Factor-VAE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SLOPE = 0.01


@dataclass(frozen=True)
class Posterior:
    """A diagonal Gaussian over the latents of each example.

    Attributes:
        mean: Shape `(B, D)`.
        log_variance: Shape `(B, D)`.
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draws one code per example, `(B, D)`, differentiable in mean and variance."""
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)
        return self.mean + torch.exp(0.5 * self.log_variance) * noise.to(self.mean.device)


class ConvVAE(nn.Module):
    """Convolutions to a Gaussian code, transposed convolutions back; no batch normalisation.

    An axis is halved by each convolution until it has length one; transposed convolutions undo each of them, so
    that every input size comes back as it was.

    Args:
        shape: Mel bands and frames of a picture.
        latents: Size `D` of the code.
        channels: Channels of the convolutions.
        hidden: Width of the layer between convolutions and code.
        kernel: Size of the kernels, odd.
        seed: Seed of the initial weights.
    Raises:
        ValueError: If a size is below 1, or the kernel is even.
    References:
        Learning Disentangled Audio Representations through Controlled Synthesis (Brima et al., 2024), appendix A.2.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latents: int = 8,
        channels: Sequence[int] = (16, 16, 32, 64),
        hidden: int = 128,
        kernel: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(*shape, latents, hidden, kernel, *channels) < 1 or kernel % 2 == 0 or len(shape) != 2:
            raise ValueError(
                f"expected sizes of at least 1 and an odd kernel, got shape {tuple(shape)}, {latents} latents, "
                f"channels {tuple(channels)}, {hidden} hidden and kernel {kernel}"
            )
        self.shape, self.latents = tuple(shape), latents
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            convolutions, sizes, strides = _convolutions((1, *channels), tuple(shape), kernel)
            flat = channels[-1] * sizes[-1][0] * sizes[-1][1]
            self.encoder = nn.Sequential(
                *convolutions,
                nn.Flatten(),
                nn.Linear(flat, hidden),
                nn.LeakyReLU(SLOPE),
                nn.Linear(hidden, 2 * latents),
            )
            self.decoder = nn.Sequential(
                nn.Linear(latents, hidden),
                nn.LeakyReLU(SLOPE),
                nn.Linear(hidden, flat),
                nn.LeakyReLU(SLOPE),
                nn.Unflatten(1, (channels[-1], *sizes[-1])),
                *_transposed((1, *channels), sizes, strides, kernel),
            )
        self.to(memory_format=torch.channels_last)

    def encode(self, pictures: Tensor) -> Posterior:
        """Gives the posterior of pictures `(B, F, T)`.

        Raises:
            ValueError: If the pictures have another size.
        """
        if tuple(pictures.shape[1:]) != self.shape:
            raise ValueError(f"expected pictures (B, {self.shape[0]}, {self.shape[1]}), got {tuple(pictures.shape)}")
        mean, log_variance = self.encoder(pictures[:, None]).chunk(2, dim=1)
        return Posterior(mean, log_variance)

    def decode(self, codes: Tensor) -> Tensor:
        """Gives the pictures `(B, F, T)` of codes `(B, D)`."""
        return self.decoder(codes)[:, 0]

    def forward(self, pictures: Tensor) -> Tensor:
        """Gives the pictures back through the means of their codes, `(B, F, T)`."""
        return self.decode(self.encode(pictures).mean)


def _convolutions(
    channels: tuple[int, ...], shape: tuple[int, int], kernel: int
) -> tuple[list[nn.Module], list[tuple[int, int]], list[tuple[int, int]]]:
    """The encoder's convolutions, the size of the picture before each and after the last, and their strides."""
    layers: list[nn.Module] = []
    sizes, strides = [shape], []
    for before, after in zip(channels[:-1], channels[1:], strict=True):
        height, width = sizes[-1]
        stride = (2 if height > 1 else 1, 2 if width > 1 else 1)
        layers += [nn.Conv2d(before, after, kernel, stride, kernel // 2), nn.LeakyReLU(SLOPE)]
        strides.append(stride)
        sizes.append(((height - 1) // stride[0] + 1, (width - 1) // stride[1] + 1))
    return layers, sizes, strides


def _transposed(
    channels: tuple[int, ...], sizes: list[tuple[int, int]], strides: list[tuple[int, int]], kernel: int
) -> list[nn.Module]:
    """The decoder's transposed convolutions; none is linear but the last."""
    layers: list[nn.Module] = []
    for index in reversed(range(len(strides))):
        small, large, stride = sizes[index + 1], sizes[index], strides[index]
        missing = tuple(n - ((m - 1) * s + 1) for n, m, s in zip(large, small, stride, strict=True))
        layers.append(
            nn.ConvTranspose2d(
                channels[index + 1], channels[index], kernel, stride, kernel // 2, output_padding=missing
            )
        )
        layers += [nn.LeakyReLU(SLOPE)] if index else []
    return layers


class Discriminator(nn.Module):
    """Tells codes from codes whose dimensions were permuted over the batch; logits `(B, 2)`, joint first.

    Args:
        latents: Size of the code.
        width: Units of each hidden layer.
        depth: Hidden layers.
        seed: Seed of the initial weights.
    References:
        Disentangling by Factorising (Kim and Mnih, 2018), appendix A.
    """

    def __init__(self, latents: int, width: int = 1000, depth: int = 5, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers: list[nn.Module] = []
            for before in [latents, *[width] * (depth - 1)]:
                layers += [nn.Linear(before, width), nn.LeakyReLU(0.2)]
            self.layers = nn.Sequential(*layers, nn.Linear(width, 2))

    def forward(self, codes: Tensor) -> Tensor:
        return self.layers(codes)
