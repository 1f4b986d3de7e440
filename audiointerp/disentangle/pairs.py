"""Pairs of sounds that share some factors: how they are drawn, and the likelihood that a factor flow is trained by."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audiointerp.study import UserError


class PairSampler:
    """Draws pairs such that every pattern of shared factors is equally frequent among the pairs asked for.

    A sound is never paired with itself: where nothing else shares the pattern asked for, it gets any other sound.

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

    def _index(self, pattern: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Sorts rows by their classes in the shared factors; gives the order, each row's run and its place therein."""
        shared = self.labels[:, pattern]
        inverse = (
            np.unique(shared, axis=0, return_inverse=True)[1].reshape(-1)
            if pattern.any()
            else np.zeros(len(shared), int)
        )
        order = np.argsort(inverse, kind="stable")
        counts = np.bincount(inverse)
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return order, first[inverse], counts[inverse], place - first[inverse]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gives rows a `(count,)`, rows b `(count,)` and which factors they share, bool `(count, F)`.

        What is shared is read off the labels, so that a class shared by accident counts as shared.
        """
        first = rng.integers(len(self.labels), size=count)
        second = np.empty(count, dtype=np.int64)
        chosen = rng.integers(len(self.patterns), size=count)
        chosen[np.stack([size == 1 for _, _, size, _ in self._members])[chosen, first]] = 0  # nobody to share it with
        for index, (order, start, size, place) in enumerate(self._members):
            rows = np.flatnonzero(chosen == index)
            a = first[rows]
            step = 1 + (rng.random(len(rows)) * (size[a] - 1)).astype(np.int64)
            second[rows] = order[start[a] + (place[a] + step) % size[a]]
        return first, second, self.labels[first] == self.labels[second]


FORMS = ("normalised", "no-log", "gyoza", "iin")


@dataclass(frozen=True)
class PairLikelihood:
    r"""The loss of a pair of latents: standard normal, correlated by :math:`\sigma` where a factor is shared.

    .. math::
        L = \tfrac12 |a|^2 + \tfrac12 \sum_d \Big[\frac{(b_d - \rho_d a_d)^2}{1 - \rho_d^2} + \log(1 - \rho_d^2)\Big]
            - \log|\det J(a)| - \log|\det J(b)|

    with :math:`\rho_d = \sigma` on the dimensions of shared factors and 0 elsewhere: the negative log-likelihood of the
    pair up to :math:`D \log 2\pi`, so that values of different models can be compared. The other forms are published
    ones, which are no likelihoods: `no-log` leaves the log term out; `gyoza` leaves it out and has no prior on the
    second sound's dimensions of factors that are not shared; `iin` is `no-log` with the prior weighted by
    :math:`1 / (1 - m \rho^2)`, where m is 1 for a shared factor and the published :math:`\rho` is 0.975.

    Attributes:
        blocks: Factor names to their dimensions, in the order of the sharing columns.
        sigma: Correlation of two sounds that share a class; within a class the standard deviation is
            :math:`\sqrt{1 - \sigma}`.
        form: `normalised`, `no-log`, `gyoza` or `iin`.
    Raises:
        UserError: If the form is unknown or sigma lies outside (0, 1).
    """

    blocks: Mapping[str, slice]
    sigma: float = 0.9
    form: str = "normalised"

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UserError(
                f"expected a pair loss among {', '.join(FORMS)}, got {self.form!r}: set study.training.form"
            )
        if not 0 < self.sigma < 1:
            raise UserError(f"expected sigma between 0 and 1, got {self.sigma}: set study.training.sigma")

    def __call__(self, a: Tensor, b: Tensor, log_det_a: Tensor, log_det_b: Tensor, shared: Tensor) -> Tensor:
        """Gives the loss of each pair `(B,)`; for `normalised` in nats, without the constant.

        Args:
            a: Latents of the first sounds, shape `(B, D)`.
            b: Latents of the second sounds, shape `(B, D)`.
            log_det_a: Log |det J| of the first sounds, shape `(B,)`.
            log_det_b: Log |det J| of the second sounds, shape `(B,)`.
            shared: Which factors a pair shares, shape `(B, F)`.
        """
        rho = correlation(a, self.blocks, shared, self.sigma)
        rest = 1.0 - rho.square()
        conditional = (b - rho * a).square() / rest
        if self.form == "normalised":
            conditional = conditional + rest.log()
        elif self.form == "gyoza":
            residual = torch.ones_like(a, dtype=torch.bool)
            for block in self.blocks.values():
                residual[:, block] = False
            conditional = conditional * (residual | (rho > 0))
        return 0.5 * (a.square().sum(1) + conditional.sum(1)) - log_det_a - log_det_b


def residual_leak(a: Tensor, b: Tensor, shared: Tensor) -> Tensor:
    r"""Measures how much nearer two sounds lie in the residual when they share a factor than when they do not.

    The difference of the mean Gaussian similarities :math:`\exp(-|a - b|^2 / 4 s^2 R)`, summed over factors and three
    widths s; 0 if the residual tells nothing about which factors a pair shares. The pair loss itself does not ask for
    that: it puts each factor into its block, and leaves copies of it elsewhere unpunished.

    Args:
        a: Residual dimensions of the first sounds, shape `(B, R)`.
        b: Residual dimensions of the second sounds, shape `(B, R)`.
        shared: Which factors a pair shares, shape `(B, F)`.
    """
    if not a.shape[1]:
        return a.new_zeros(())
    distance = (a - b).square().mean(1)
    similar = torch.stack([torch.exp(-distance / (4 * width**2)) for width in (0.35, 0.7, 1.4)], dim=1)
    leak = a.new_zeros(())
    for column in shared.T:
        if column.any() and not column.all():
            leak = leak + (similar[column].mean(0) - similar[~column].mean(0)).abs().sum()
    return leak


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
