r"""Terms of variational objectives: each is a number per example, so no loss depends on the size of a batch.

`published` forms repeat what the published SynTone code does, mistakes included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

WEIGHTS = ("stratified", "published")


def gaussian_error(pictures: Tensor, decoded: Tensor, sigma: float) -> Tensor:
    r"""Negative log-likelihood under :math:`N(decoded, \sigma^2)` without its constant, in nats.

    Args:
        pictures: Shape `(B, ...)`.
        decoded: The same shape.
        sigma: Standard deviation of a pixel, in the pictures' unit.
    Returns:
        Shape `(B,)`.
    """
    return (pictures - decoded).square().flatten(1).sum(1) / (2 * sigma**2)


def kl_per_dimension(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the standard normal of each latent, in nats, shape `(B, D)`.

    Example:
        >>> kl_per_dimension(torch.ones(1, 2), torch.zeros(1, 2)).tolist()
        [[0.5, 0.5]]
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


@dataclass(frozen=True)
class Decomposition:
    """The parts of the mean KL divergence of a batch, estimated per example [nats], each `(B,)`.

    Attributes:
        information: Mutual information of example and code.
        total_correlation: KL divergence of the codes' distribution from the product of its marginals.
        dimension_wise: KL divergence of the marginals from the prior, summed.
    """

    information: Tensor
    total_correlation: Tensor
    dimension_wise: Tensor


def log_density(codes: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log-density of a diagonal Gaussian by dimension; the shapes broadcast."""
    return -0.5 * (math.log(2 * math.pi) + log_variance + (codes - mean).square() * torch.exp(-log_variance))


def log_importance_weights(batch: int, dataset: int, form: str = "stratified") -> Tensor:
    r"""Log-weights of the posteriors of a batch in the distribution of all codes, shape `(B, B)`.

    `stratified`: row `i` weighs example `i`'s own posterior by :math:`1 / N`, one other by
    :math:`(N - M) / (N M)`, the rest by :math:`1 / M`, with :math:`M = B - 1`; rows sum to 1. `published`: the strides
    miss the diagonal, so that the two special weights fill the first two columns.

    Raises:
        ValueError: If the form is unknown, or `batch` is not between 2 and `dataset`.
    References:
        Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018), appendix C.
    """
    if form not in WEIGHTS:
        raise ValueError(f"expected weights among {', '.join(WEIGHTS)}, got {form!r}")
    if not 2 <= batch <= dataset:
        raise ValueError(f"expected a batch of 2 to {dataset} (the data set), got {batch}")
    others = batch - 1
    rest = (dataset - others) / (dataset * others)
    weights = torch.full((batch, batch), 1 / others)
    if form == "stratified":
        rows = torch.arange(batch)
        weights[rows, rows] = 1 / dataset
        weights[rows, (rows + 1) % batch] = rest
    else:
        weights[:, 0] = 1 / dataset
        weights[:, 1] = rest
        weights[batch - 2, 0] = rest
    return weights.log()


def decompose(
    codes: Tensor, mean: Tensor, log_variance: Tensor, dataset: int, form: str = "stratified"
) -> Decomposition:
    """Splits the KL divergence into information, total correlation and dimension-wise divergence.

    The distribution of all codes is estimated from the posteriors of the batch. In the `published` form the weights
    enter the joint density once per dimension, so D times in all.

    Args:
        codes: One draw per example, `(B, D)`.
        mean: Means of the posteriors, `(B, D)`.
        log_variance: Log-variances, `(B, D)`.
        dataset: Number of training examples `N`.
        form: `stratified` or `published`.
    Raises:
        ValueError: As in `log_importance_weights`.
    """
    weights = log_importance_weights(len(codes), dataset, form).to(codes)
    by_dimension = log_density(codes[:, None], mean[None], log_variance[None])
    marginals = torch.logsumexp(by_dimension + weights[:, :, None], dim=1).sum(1)
    times = 1 if form == "stratified" else codes.shape[1]
    joint = torch.logsumexp(by_dimension.sum(2) + times * weights, dim=1)
    own = log_density(codes, mean, log_variance).sum(1)
    prior = log_density(codes, torch.zeros_like(codes), torch.zeros_like(codes)).sum(1)
    return Decomposition(own - joint, joint - marginals, marginals - prior)


def dip_penalty(mean: Tensor, log_variance: Tensor, kind: str, off_diagonal: float, diagonal: float) -> Tensor:
    r"""Squared distance of the codes' covariance from the identity, a number.

    Kind `I` takes the covariance of the means; kind `II` that of the codes, which adds the mean variances.

    Args:
        mean: Shape `(B, D)`.
        log_variance: Shape `(B, D)`.
        kind: `I` or `II`.
        off_diagonal: Weight of the squared covariances.
        diagonal: Weight of the squared distances of the variances from 1.
    Raises:
        ValueError: If the kind is unknown.
    References:
        Variational Inference of Disentangled Latent Concepts from Unlabeled Observations (Kumar et al., 2018), eq. 6-7.
    """
    if kind not in ("I", "II"):
        raise ValueError(f"expected DIP-VAE of kind I or II, got {kind!r}")
    centred = mean - mean.mean(0)
    covariance = centred.T @ centred / len(mean)
    if kind == "II":
        covariance = covariance + torch.diag(log_variance.exp().mean(0))
    variances = covariance.diagonal()
    between = covariance.square().sum() - variances.square().sum()
    return off_diagonal * between + diagonal * (variances - 1).square().sum()


def permute_dimensions(codes: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Permutes each dimension of codes `(B, D)` over the batch by itself: a draw from the product of the marginals."""
    order = torch.argsort(torch.rand(codes.shape, generator=generator), dim=0).to(codes.device)
    return torch.gather(codes, 0, order)


def total_correlation_of(logits: Tensor) -> Tensor:
    """Log-ratio of joint to product that a discriminator's logits `(B, 2)` tell, `(B,)`, in nats."""
    return logits[:, 0] - logits[:, 1]


def discriminator_error(joint: Tensor, permuted: Tensor) -> Tensor:
    """Mean cross entropy of a discriminator's logits for codes and for permuted codes, each `(B, 2)`; a number."""
    first = torch.zeros(len(joint), dtype=torch.long, device=joint.device)
    second = torch.ones(len(permuted), dtype=torch.long, device=permuted.device)
    return 0.5 * (F.cross_entropy(joint, first) + F.cross_entropy(permuted, second))
