import math

import numpy as np
import pytest
import torch
from scipy import stats

from audiointerp.disentangle.pairs import (
    PairLikelihood,
    PairSampler,
    correlation,
    label_matrix,
    nats_per_dim,
    residual_leak,
)
from audiointerp.study import UserError

BLOCKS = {"kind": slice(1, 3), "size": slice(3, 6)}


def unbalanced(rows=23, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.choice(3, rows, p=[0.6, 0.3, 0.1]), rng.choice(2, rows, p=[0.7, 0.3])], axis=1)


def chances(labels):
    """The chance of each ordered pair, worked out pair by pair."""
    rows, factors = labels.shape
    chance = np.zeros((rows, rows))
    for a in range(rows):
        for pattern in range(2**factors):
            asked = [f for f in range(factors) if pattern >> f & 1]
            partners = [b for b in range(rows) if b != a and (labels[a, asked] == labels[b, asked]).all()]
            partners = partners or [b for b in range(rows) if b != a]
            for b in partners:
                chance[a, b] += 1 / rows / 2**factors / len(partners)
    return chance


@pytest.mark.parametrize("factors", [1, 2])
def test_every_pair_comes_as_often_as_it_should(factors):
    labels = unbalanced()[:, :factors]
    labels[:, 0][4] = 7  # a class that one row has alone
    first, second, shared = PairSampler(labels).draw(200_000, np.random.default_rng(1))
    assert (shared == (labels[first] == labels[second])).all() and shared.shape == (200_000, factors)
    counts = np.zeros((23, 23))
    np.add.at(counts, (first, second), 1)
    assert (np.diag(counts) == 0).all()  # no sound is its own partner
    expected = 200_000 * chances(labels)
    possible = expected > 0
    assert (counts[~possible] == 0).all()
    assert stats.chisquare(counts[possible], expected[possible]).pvalue > 1e-3


def test_patterns_of_a_balanced_design_are_equally_frequent_where_classes_are_many():
    # 40 x 40 cells of three: two rows share a class by accident once in forty times.
    labels = np.stack([np.repeat(np.arange(40), 120), np.tile(np.repeat(np.arange(40), 3), 40)], axis=1)
    _, _, shared = PairSampler(labels).draw(20_000, np.random.default_rng(0))
    share = np.bincount(shared @ [1, 2], minlength=4) / len(shared)
    accident = 1 / 40
    expected = np.array([(1 - accident) ** 2, (1 - accident**2), (1 - accident**2), (1 + accident) ** 2]) / 4
    assert np.abs(share - expected).max() < 4 * np.sqrt(0.19 / 20_000) + 0.001


def test_one_sound_makes_no_pair():
    with pytest.raises(ValueError, match="at least two sounds to make pairs of, got 1"):
        PairSampler(np.zeros((1, 2), int))


def latents(rows=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, rows, 7, generator=generator, dtype=torch.double)
    log_det = torch.randn(2, rows, generator=generator, dtype=torch.double)
    shared = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]] * (rows // 4), dtype=torch.bool)
    return a, b, *log_det, shared


@pytest.mark.parametrize("sigma", [0.5, 0.9])
def test_the_likelihood_is_that_of_the_joint_gaussian(sigma):
    a, b, log_a, log_b, shared = latents()
    loss = PairLikelihood(BLOCKS, sigma)(a, b, log_a, log_b, shared)
    for row in range(len(a)):
        rho = np.zeros(7)
        rho[1:3] = sigma * shared[row, 0].item()
        rho[3:6] = sigma * shared[row, 1].item()
        covariance = np.block([[np.eye(7), np.diag(rho)], [np.diag(rho), np.eye(7)]])
        density = stats.multivariate_normal(np.zeros(14), covariance).logpdf(torch.cat([a[row], b[row]]).numpy())
        expected = -density - 7 * math.log(2 * math.pi) - log_a[row].item() - log_b[row].item()
        assert loss[row].item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("form", ["no-log", "gyoza", "iin"])
def test_the_published_forms(form):
    a, b, log_a, log_b, shared = latents()
    loss = PairLikelihood(BLOCKS, 0.9, form)(a, b, log_a, log_b, shared)
    for row in range(len(a)):
        expected = 0.5 * float(a[row] @ a[row]) - log_a[row].item() - log_b[row].item()
        for d in range(7):
            factor = next((i for i, block in enumerate(BLOCKS.values()) if block.start <= d < block.stop), None)
            same = factor is not None and bool(shared[row, factor])
            x, y, rho = a[row, d].item(), b[row, d].item(), 0.9 if same else 0.0
            if form == "gyoza" and factor is not None and not same:
                continue
            expected += 0.5 * (y - rho * x) ** 2 / (1 - rho**2)
        assert loss[row].item() == pytest.approx(expected, abs=1e-9)


def test_wrong_settings_of_the_loss():
    with pytest.raises(UserError, match="normalised, no-log, gyoza, iin, got 'esser': set study.training.form"):
        PairLikelihood(BLOCKS, form="esser")
    for sigma in (0.0, 1.0, -0.5):
        with pytest.raises(UserError, match=f"sigma between 0 and 1, got {sigma}"):
            PairLikelihood(BLOCKS, sigma)


def test_the_likelihood_is_least_where_the_world_is_as_it_says():
    # Latents correlated by .9 on shared factors: another correlation, or blocks at the wrong place, fit worse.
    generator = torch.Generator().manual_seed(0)
    shared = torch.randint(0, 2, (20_000, 2), generator=generator).bool()
    a, noise = torch.randn(2, 20_000, 7, generator=generator)
    rho = correlation(a, BLOCKS, shared, 0.9)
    b = rho * a + (1 - rho**2).sqrt() * noise
    none = torch.zeros(20_000)

    def loss(blocks, sigma):
        return PairLikelihood(blocks, sigma)(a, b, none, none, shared).mean()

    right = loss(BLOCKS, 0.9)
    assert right < loss(BLOCKS, 0.8) - 0.05 and right < loss(BLOCKS, 0.97) - 0.05
    assert right < loss({"kind": slice(3, 5), "size": slice(0, 3)}, 0.9) - 1
    # Entropy of the pair: 14 dimensions, 5 / 2 of them correlated by .9.
    entropy = 7 * (1 + math.log(2 * math.pi)) + 0.5 * 2.5 * math.log(1 - 0.81)
    assert 14 * nats_per_dim(right, 7) == pytest.approx(entropy, abs=0.05)


def test_standard_normal_latents_cost_what_their_entropy_is():
    a, b = torch.randn(2, 20_000, 7, generator=torch.Generator().manual_seed(0))
    none = torch.zeros(20_000)
    loss = PairLikelihood(BLOCKS)(a, b, none, none, torch.zeros(20_000, 2, dtype=torch.bool)).mean()
    assert nats_per_dim(loss, 7) == pytest.approx(0.5 * (1 + math.log(2 * math.pi)), abs=0.01)  # 1.419


def test_correlations_follow_the_columns():
    shared = torch.tensor([[True, False], [False, True]])
    assert correlation(torch.zeros(2, 7), BLOCKS, shared, 0.5).tolist() == [
        [0, 0.5, 0.5, 0, 0, 0, 0],
        [0, 0, 0, 0.5, 0.5, 0.5, 0],
    ]


def test_labels_are_stacked_in_the_order_asked_for():
    labels = {"a": np.array([1, 2]), "b": np.array([3, 4]), "c": np.array([0, 0])}
    assert label_matrix(labels, ["b", "a"]).tolist() == [[3, 1], [4, 2]]


def test_the_leak_by_hand():
    # Pairs that share the factor lie on top of each other, the others at distances of 1 and 2 (mean squares 1 and 4).
    a, b = torch.zeros(4, 2), torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [2.0, -2.0]])
    shared = torch.tensor([[True], [True], [False], [False]])
    expected = sum(1 - (math.exp(-1 / (4 * w * w)) + math.exp(-4 / (4 * w * w))) / 2 for w in (0.35, 0.7, 1.4))
    assert residual_leak(a, b, shared).item() == pytest.approx(expected)
    assert residual_leak(a, b, ~shared).item() == pytest.approx(expected)
    assert residual_leak(a, b, torch.cat([shared, ~shared], dim=1)).item() == pytest.approx(2 * expected)


def test_the_leak_is_what_the_residual_tells_of_shared_factors():
    generator = torch.Generator().manual_seed(0)
    shared = torch.randint(0, 2, (4000, 2), generator=generator).bool()
    a, b = torch.randn(2, 4000, 3, generator=generator)
    clean = residual_leak(a, b, shared)
    assert clean < 0.1
    leaking = torch.where(shared[:, :1], 0.7 * a + 0.5**0.5 * b, b).requires_grad_()
    leak = residual_leak(a, leaking, shared)
    assert leak > 3 * clean
    leak.backward()
    assert leaking.grad.abs().max() > 0 and leaking.grad.isfinite().all()
    # Where all pairs share a factor, or none, nothing can be said of it.
    assert residual_leak(a, a, torch.ones(4000, 2, dtype=torch.bool)) == 0
    # No residual, no leak.
    assert residual_leak(a[:, :0], b[:, :0], shared) == 0
