"""How well models of the reduced activations predict unseen ones: a flow beside a Gaussian and an LDA model."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf

from audiointerp.disentangle.flow import FactorFlow


def flow_nats(flow: FactorFlow, scores: np.ndarray) -> float:
    """Gives the flow's negative log-density in nats per dimension, its latents being standard normal.

    Args:
        flow: The flow, in evaluation mode.
        scores: Unseen rows, shape `(N, D)`.
    """
    with torch.no_grad():
        latents, log_det = flow(torch.from_numpy(np.ascontiguousarray(scores)))
        nats = 0.5 * latents.square().sum(1) - log_det
    return float(nats.mean()) / scores.shape[1] + 0.5 * math.log(2 * math.pi)


def gaussian_nats(train: np.ndarray, scores: np.ndarray) -> float:
    """Gives the negative log-density of one Gaussian (Ledoit-Wolf covariance) in nats per dimension.

    Args:
        train: Rows that it is fitted on, shape `(M, D)`.
        scores: Unseen rows, shape `(N, D)`.
    """
    return lda_nats(train, np.zeros(len(train), dtype=int), scores)


def lda_nats(train: np.ndarray, cells: np.ndarray, scores: np.ndarray) -> float:
    """Gives the negative log-density of a mixture of Gaussians, one per factor cell with one covariance, per dimension.

    Args:
        train: Rows that it is fitted on, shape `(M, D)`.
        cells: Cell of each of them, int `(M,)`.
        scores: Unseen rows, shape `(N, D)`; their cells are not told to the model.
    """
    names, index, counts = np.unique(cells, return_inverse=True, return_counts=True)
    means = np.stack([train[index == i].mean(0) for i in range(len(names))])
    covariance, _ = ledoit_wolf(train - means[index], assume_centered=True)
    factor = np.linalg.cholesky(covariance)
    white = np.linalg.solve(factor, scores.T).T
    centres = np.linalg.solve(factor, means.T).T
    distance = ((white[:, None] - centres[None]) ** 2).sum(-1)
    log_density = logsumexp(np.log(counts / counts.sum()) - 0.5 * distance, axis=1) - np.log(np.diag(factor)).sum()
    return float(-log_density.mean()) / scores.shape[1] + 0.5 * math.log(2 * math.pi)
