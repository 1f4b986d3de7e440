"""What can be trained to pull factors apart: the objectives with their weights and the size of their networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from audiointerp.disentangle.objectives import decompose, dip_penalty, gaussian_error, kl_per_dimension
from audiointerp.disentangle.vae import ConvVAE, Discriminator, Posterior
from audiointerp.study import UserError, at_least


@dataclass(frozen=True)
class VAE:
    r"""A plain VAE: Gaussian likelihood of each pixel, standard normal prior, beta = 1.

    The loss is :math:`-\log p(x|z) + KL(q(z|x) || p(z))` per example in nats, its mean over the batch. In the
    `published` protocol the squared errors are summed over the batch while the rest is averaged, so that every weight
    acts as if it were divided by the batch size.

    Args:
        latents: Size of the code.
        channels: Channels of the convolutions.
        hidden: Width between convolutions and code.
        kernel: Size of the kernels, odd.
        sigma: Standard deviation of a pixel under the decoder, in the pictures' unit.
    Raises:
        UserError: If a number is too small.
    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2013).
    """

    latents: int = 8
    channels: Sequence[int] = (16, 16, 32, 64)
    hidden: int = 128
    kernel: int = 3
    sigma: float = 0.2

    name: ClassVar[str] = "vae"

    def __post_init__(self) -> None:
        at_least(self, latents=1, hidden=1, kernel=1, sigma=1e-6)
        if self.kernel % 2 == 0 or not list(self.channels) or min(self.channels) < 1:
            raise UserError(f"expected an odd model.kernel and model.channels of at least 1, got {self}")

    @property
    def strength(self) -> float:
        """The weight that the objective is named after: beta of a beta-VAE, gamma of a Factor-VAE."""
        return 1.0

    def network(self, shape: Sequence[int], seed: int) -> ConvVAE:
        """Builds encoder and decoder for pictures of a shape."""
        return ConvVAE(shape, self.latents, tuple(self.channels), self.hidden, self.kernel, seed)

    def discriminator(self, seed: int) -> Discriminator | None:
        """Builds what tells codes from permuted ones, where the objective needs it."""
        return None

    def reconstruction(self, pictures: Tensor, decoded: Tensor, protocol: str = "corrected") -> Tensor:
        """Gives the first term of the loss of a batch, a number."""
        if protocol == "published":
            return (pictures - decoded).square().sum()
        return gaussian_error(pictures, decoded, self.sigma).mean()

    def regulariser(self, posterior: Posterior, codes: Tensor, dataset: int, protocol: str = "corrected") -> Tensor:
        """Gives the second term, weights included, a number.

        Args:
            posterior: Posterior of the batch.
            codes: One draw per example, `(B, D)`.
            dataset: Number of training examples.
            protocol: `corrected` or `published`.
        """
        return self.strength * kl_per_dimension(posterior.mean, posterior.log_variance).sum(1).mean()


@dataclass(frozen=True)
class BetaVAE(VAE):
    """A VAE whose KL divergence weighs `beta` times.

    Sizes and likelihood are given as to `VAE`.

    Args:
        beta: Weight of the KL divergence.
    Raises:
        UserError: If a number is too small.
    References:
        beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework (Higgins et al., 2017).
    """

    beta: float = 4.0

    name: ClassVar[str] = "beta_vae"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, beta=0)

    @property
    def strength(self) -> float:
        return self.beta


@dataclass(frozen=True)
class FactorVAE(VAE):
    """A VAE with the total correlation of its codes, told by a discriminator, as a further term.

    Sizes and likelihood are given as to `VAE`.

    Args:
        gamma: Weight of the total correlation.
        width: Units of each of the discriminator's layers.
        depth: Its hidden layers.
        discriminator_rate: Its learning rate (Adam, betas .5 and .9).
    Raises:
        UserError: If a number is too small.
    References:
        Disentangling by Factorising (Kim and Mnih, 2018).
    """

    gamma: float = 6.0
    width: int = 1000
    depth: int = 5
    discriminator_rate: float = 5e-5

    name: ClassVar[str] = "factor_vae"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, gamma=0, width=1, depth=1, discriminator_rate=0)

    @property
    def strength(self) -> float:
        return self.gamma

    def discriminator(self, seed: int) -> Discriminator:
        return Discriminator(self.latents, self.width, self.depth, seed)

    def regulariser(self, posterior: Posterior, codes: Tensor, dataset: int, protocol: str = "corrected") -> Tensor:
        """Gives the KL divergence; the total correlation is added in training."""
        return kl_per_dimension(posterior.mean, posterior.log_variance).sum(1).mean()


@dataclass(frozen=True)
class BetaTCVAE(VAE):
    """A VAE whose KL divergence is split, each part with a weight of its own.

    The `published` protocol has wrong importance weights (see `objectives.decompose`).

    Sizes and likelihood are given as to `VAE`.

    Args:
        alpha: Weight of the mutual information of example and code.
        beta: Weight of the total correlation.
        gamma: Weight of the dimension-wise divergence.
    Raises:
        UserError: If a number is too small.
    References:
        Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018), eq. 4.
    """

    alpha: float = 1.0
    beta: float = 4.0
    gamma: float = 1.0

    name: ClassVar[str] = "beta_tcvae"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, alpha=0, beta=0, gamma=0)

    @property
    def strength(self) -> float:
        return self.beta

    def regulariser(self, posterior: Posterior, codes: Tensor, dataset: int, protocol: str = "corrected") -> Tensor:
        form = "published" if protocol == "published" else "stratified"
        parts = decompose(codes, posterior.mean, posterior.log_variance, dataset, form)
        return (
            self.alpha * parts.information + self.beta * parts.total_correlation + self.gamma * parts.dimension_wise
        ).mean()


@dataclass(frozen=True)
class DIPVAE(VAE):
    """A VAE whose codes are drawn towards uncorrelated dimensions of variance 1.

    Sizes and likelihood are given as to `VAE`.

    Args:
        kind: `I`: covariance of the means; `II`: covariance of the codes.
        off_diagonal: Weight of the squared covariances.
        diagonal: Weight of the squared distances of the variances from 1.
    Raises:
        UserError: If the kind is unknown or a number is too small.
    References:
        Variational Inference of Disentangled Latent Concepts from Unlabeled Observations (Kumar et al., 2018).
    """

    kind: str = "I"
    off_diagonal: float = 10.0
    diagonal: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, off_diagonal=0, diagonal=0)
        if self.kind not in ("I", "II"):
            raise UserError(f"expected model.kind of I or II, got {self.kind!r}")

    @property
    def name(self) -> str:  # type: ignore[override]
        """`dip_vae_i` or `dip_vae_ii`."""
        return f"dip_vae_{self.kind.lower()}"

    @property
    def strength(self) -> float:
        return self.off_diagonal

    def regulariser(self, posterior: Posterior, codes: Tensor, dataset: int, protocol: str = "corrected") -> Tensor:
        kl = kl_per_dimension(posterior.mean, posterior.log_variance).sum(1).mean()
        return kl + dip_penalty(posterior.mean, posterior.log_variance, self.kind, self.off_diagonal, self.diagonal)
