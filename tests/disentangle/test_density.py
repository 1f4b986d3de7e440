import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.covariance import ledoit_wolf

from audiointerp.disentangle.density import flow_nats, gaussian_nats, lda_nats
from audiointerp.disentangle.flow import FactorFlow


def drawn(rows, seed, shift=3.0):
    rng = np.random.default_rng(seed)
    cells = rng.choice(3, rows, p=[0.5, 0.3, 0.2])
    mixing = np.random.default_rng(9).standard_normal((4, 4))
    return (rng.standard_normal((rows, 4)) + shift * np.eye(4)[cells]) @ mixing, cells


def test_densities_are_those_of_scipy():
    (train, cells), (unseen, _) = drawn(300, 0), drawn(200, 1)
    covariance, _ = ledoit_wolf(train)
    expected = -stats.multivariate_normal(train.mean(0), covariance).logpdf(unseen).mean() / 4
    assert gaussian_nats(train, unseen) == pytest.approx(expected)
    means = np.stack([train[cells == cell].mean(0) for cell in range(3)])
    covariance, _ = ledoit_wolf(train - means[cells], assume_centered=True)
    mixture = sum(
        np.mean(cells == cell) * stats.multivariate_normal(means[cell], covariance).pdf(unseen) for cell in range(3)
    )
    assert lda_nats(train, cells, unseen) == pytest.approx(-np.log(mixture).mean() / 4)
    # Cells that are there are worth telling of; cells that mean nothing are not.
    assert lda_nats(train, cells, unseen) < gaussian_nats(train, unseen) - 0.05
    shuffled = np.random.default_rng(0).permutation(cells)
    assert lda_nats(train, shuffled, unseen) == pytest.approx(gaussian_nats(train, unseen), abs=0.02)


def test_a_flow_that_does_nothing_is_a_standard_normal_and_its_volume_counts():
    scores = np.random.default_rng(0).standard_normal((500, 6)).astype(np.float32)
    flow = FactorFlow(6, {"kind": 2}, stages=1, coupling="additive").eval()
    expected = -stats.norm.logpdf(scores).sum(1).mean() / 6
    assert flow_nats(flow, scores) == pytest.approx(expected, abs=1e-5)
    next(part for part in flow.modules() if hasattr(part, "log_scale")).log_scale.data.fill_(math.log(0.5))
    # Twice the spread, half the scale: the same latents, log 2 more volume per dimension.
    assert flow_nats(flow, 2 * scores) == pytest.approx(expected + math.log(2), abs=1e-5)
    assert torch.is_grad_enabled()
