"""Pairs of sounds that share some factors: how they are drawn, and the likelihood that a factor flow is trained by."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


class PairSampler:
    """Draws pairs such that every pattern of shared factors is equally frequent among the pairs asked for.

    Args:
        labels: Integer class of each row in each factor, shape `(N, F)`.
    Raises:
        ValueError: If there are fewer than two rows.
    """

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = np.asarray(labels)
        if len(self.labels) < 2:
            raise ValueError(f"expected at least two sounds to make pairs of, got {len(self.labels)}")
        self.patterns = [np.array(pattern) for pattern in itertools.product((False, True), repeat=self.labels.shape[1])]
        self._members = [self._index(pattern) for pattern in self.patterns]

    def _index(self, pattern: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sorts rows by their classes in the shared factors; gives the order and each row's run in it."""
        shared = self.labels[:, pattern]
        inverse = (
            np.unique(shared, axis=0, return_inverse=True)[1].reshape(-1)
            if pattern.any()
            else np.zeros(len(shared), int)
        )
        order = np.argsort(inverse, kind="stable")
        counts = np.bincount(inverse)
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        return order, first[inverse], counts[inverse]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gives rows a `(count,)`, rows b `(count,)` and which factors they share, bool `(count, F)`.

        What is shared is read off the labels, so that a class shared by accident counts as shared.
        """
        first = rng.integers(len(self.labels), size=count)
        second = np.empty(count, dtype=np.int64)
        chosen = rng.integers(len(self.patterns), size=count)
        for index, (order, start, size) in enumerate(self._members):
            rows = np.flatnonzero(chosen == index)
            a = first[rows]
            second[rows] = order[start[a] + (rng.random(len(rows)) * size[a]).astype(np.int64)]
        return first, second, self.labels[first] == self.labels[second]


@dataclass(frozen=True)
class PairLikelihood:
    r"""The likelihood of a pair of latents: standard normal, correlated by :math:`\sigma` where a factor is shared.

    .. math::
        L = \tfrac12 |a|^2 + \tfrac12 \sum_d \Big[\frac{(b_d - \rho_d a_d)^2}{1 - \rho_d^2} + \log(1 - \rho_d^2)\Big]
            - \log|\det J(a)| - \log|\det J(b)|

    with :math:`\rho_d = \sigma` on the dimensions of shared factors and 0 elsewhere: the negative log-likelihood of the
    pair up to :math:`D \log 2\pi`, so that values of different models can be compared.

    Attributes:
        blocks: Factor names to their dimensions, in the order of the sharing columns.
        sigma: Correlation of two sounds that share a class; within a class the standard deviation is
            :math:`\sqrt{1 - \sigma}`.
    """

    blocks: Mapping[str, slice]
    sigma: float = 0.9

    def __call__(self, a: Tensor, b: Tensor, log_det_a: Tensor, log_det_b: Tensor, shared: Tensor) -> Tensor:
        """Gives the negative log-likelihood of each pair `(B,)` in nats, without the constant.

        Args:
            a: Latents of the first sounds, shape `(B, D)`.
            b: Latents of the second sounds, shape `(B, D)`.
            log_det_a: Log |det J| of the first sounds, shape `(B,)`.
            log_det_b: Log |det J| of the second sounds, shape `(B,)`.
            shared: Which factors a pair shares, shape `(B, F)`.
        """
        rho = correlation(a, self.blocks, shared, self.sigma)
        rest = 1.0 - rho.square()
        conditional = (b - rho * a).square() / rest + rest.log()
        return 0.5 * (a.square().sum(1) + conditional.sum(1)) - log_det_a - log_det_b


def correlation(like: Tensor, blocks: Mapping[str, slice], shared: Tensor, sigma: float) -> Tensor:
    """Gives the correlation of each dimension of each pair, `sigma` where its factor is shared, shape as `like`."""
    rho = torch.zeros_like(like)
    for column, block in enumerate(blocks.values()):
        rho[:, block] = sigma * shared[:, column : column + 1].to(like.dtype)
    return rho


def nats_per_dim(loss: Tensor | float, features: int) -> float:
    """Turns the mean pair loss into nats per dimension and sound, the constant included."""
    return float(loss) / (2 * features) + 0.5 * math.log(2 * math.pi)


def label_matrix(labels: Mapping[str, np.ndarray], factors: Sequence[str]) -> np.ndarray:
    """Stacks integer labels into `(N, F)` in the order of `factors`."""
    return np.stack([labels[factor] for factor in factors], axis=1)
