"""Objectives against closed forms; the published mistakes are told from the corrected forms by number."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from audiointerp.disentangle.models import DIPVAE, VAE, BetaTCVAE, BetaVAE, FactorVAE
from audiointerp.disentangle.objectives import (
    decompose,
    dip_penalty,
    discriminator_error,
    gaussian_error,
    kl_per_dimension,
    log_importance_weights,
    permute_dimensions,
    total_correlation_of,
)
from audiointerp.disentangle.vae import Posterior
from audiointerp.study import UserError

D, B, N = 8, 64, 25_600
VARIANCE = 0.1  # the codes of all examples are then standard normal, their information D/2 log 10 = 9.21 nats


def factorised(seed, correlation=0.0, dims=D):
    """Posteriors whose mixture is a Gaussian with unit variances, the first two means correlated."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(B, dims, generator=generator)
    mean[:, 1] = correlation * mean[:, 0] + math.sqrt(1 - correlation**2) * mean[:, 1]
    mean = mean * math.sqrt(1 - VARIANCE)
    log_variance = torch.full((B, dims), math.log(VARIANCE))
    return mean + math.sqrt(VARIANCE) * torch.randn(B, dims, generator=generator), mean, log_variance


def mean_parts(form, draws=40, **settings):
    found = [decompose(*factorised(seed, **settings), N, form) for seed in range(draws)]
    return [
        float(np.mean([float(getattr(part, name).mean()) for part in found]))
        for name in ("information", "total_correlation", "dimension_wise")
    ]


def test_a_factorised_gaussian_has_no_total_correlation():
    information, correlation, dimension_wise = mean_parts("stratified")
    assert D / 2 * math.log(10) == pytest.approx(9.21, abs=0.01)
    assert information == pytest.approx(9.21, abs=0.7)
    assert correlation == pytest.approx(0.0, abs=0.5)
    assert dimension_wise == pytest.approx(0.0, abs=0.5)


def test_a_correlation_is_told():
    correlation = 0.95
    true = -0.5 * math.log(1 - (correlation * (1 - VARIANCE)) ** 2)
    told = mean_parts("stratified", correlation=correlation, dims=2)[1]
    assert told == pytest.approx(true, abs=0.15) and true > 0.6


def test_the_published_weights_give_a_total_correlation_far_below_zero():
    assert mean_parts("published")[1] == pytest.approx(-24.5, abs=0.5)


def test_the_parts_sum_to_the_divergence_from_the_prior():
    codes, mean, log_variance = factorised(0)
    for form in ("stratified", "published"):
        parts = decompose(codes, mean, log_variance, N, form)
        total = parts.information + parts.total_correlation + parts.dimension_wise
        posterior = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
        prior = Independent(Normal(torch.zeros(D), torch.ones(D)), 1)
        assert torch.allclose(total, posterior.log_prob(codes) - prior.log_prob(codes), atol=1e-4)


def test_stratified_weights_stand_on_the_diagonal_and_sum_to_one():
    weights = log_importance_weights(5, 100).exp()
    assert torch.allclose(weights.sum(1), torch.ones(5))
    assert torch.allclose(weights.diagonal(), torch.full((5,), 0.01))
    assert ((weights - 0.24).abs() < 1e-6).sum(1).tolist() == [1] * 5  # (100 - 4) / (100 * 4)
    published = log_importance_weights(5, 100, "published").exp()
    assert torch.allclose(published[:3, 0], torch.full((3,), 0.01)) and published[3, 0] == pytest.approx(0.24)
    assert torch.allclose(published[:, 1], torch.full((5,), 0.24))


def test_kl_agrees_with_torch():
    generator = torch.Generator().manual_seed(1)
    mean, log_variance = torch.randn(6, 3, generator=generator), torch.randn(6, 3, generator=generator)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(torch.zeros(6, 3), torch.ones(6, 3)))
    assert torch.allclose(kl_per_dimension(mean, log_variance), expected, atol=1e-6)


def test_reconstruction_agrees_with_torch_up_to_a_constant():
    generator = torch.Generator().manual_seed(2)
    a, b, c = torch.rand(3, 4, 5, 6, generator=generator)
    density = Independent(Normal(a, torch.full_like(a, 0.3)), 2)
    told = gaussian_error(b, a, 0.3) - gaussian_error(c, a, 0.3)
    assert torch.allclose(told, density.log_prob(c) - density.log_prob(b), atol=1e-3)


MODELS = [VAE(), BetaVAE(beta=4.0), FactorVAE(), DIPVAE(kind="I"), DIPVAE(kind="II")]


def losses(model, protocol, copies):
    generator = torch.Generator().manual_seed(3)
    pictures, decoded = torch.rand(2, 16, 8, 4, generator=generator).repeat(1, copies, 1, 1)
    mean, log_variance, noise = torch.randn(3, 16, 4, generator=generator).repeat(1, copies, 1)
    codes = mean + (0.5 * log_variance).exp() * noise
    posterior = Posterior(mean, log_variance)
    return float(model.reconstruction(pictures, decoded, protocol)), float(
        model.regulariser(posterior, codes, 1000, protocol)
    )


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_duplicating_the_batch_leaves_the_loss_as_it_is(model):
    assert losses(model, "corrected", 1) == pytest.approx(losses(model, "corrected", 2), rel=1e-5)
    (one, rest), (two, same) = losses(model, "published", 1), losses(model, "published", 2)
    assert two == pytest.approx(2 * one, rel=1e-5) and same == pytest.approx(rest, rel=1e-5)


def test_the_total_correlation_of_a_larger_batch_is_the_same_up_to_its_noise():
    """Copies of a batch are no draws from the data, so the estimator is held to a batch of twice as many examples."""

    def term(first, count):
        parts = [factorised(seed) for seed in range(first, first + count)]
        codes, mean, log_variance = (torch.cat(part) for part in zip(*parts, strict=True))
        return float(BetaTCVAE(beta=1.0).regulariser(Posterior(mean, log_variance), codes, N))

    one = np.mean([term(10 * seed, 1) for seed in range(10)])
    two = np.mean([term(10 * seed, 2) for seed in range(10)])
    assert one == pytest.approx(two, rel=0.05)


def test_beta_tcvae_with_unit_weights_has_the_mean_divergence():
    codes, mean, log_variance = factorised(4)
    told = BetaTCVAE(alpha=1.0, beta=1.0, gamma=1.0).regulariser(Posterior(mean, log_variance), codes, N)
    prior = Normal(torch.zeros(D), torch.ones(D))
    own = Normal(mean, (0.5 * log_variance).exp())
    assert float(told) == pytest.approx(float((own.log_prob(codes) - prior.log_prob(codes)).sum(1).mean()), abs=1e-3)


def test_weights_act_on_their_terms():
    assert losses(BetaVAE(beta=4.0), "corrected", 1)[1] == pytest.approx(4 * losses(VAE(), "corrected", 1)[1], rel=1e-5)
    assert losses(VAE(sigma=0.1), "corrected", 1)[0] == pytest.approx(
        4 * losses(VAE(sigma=0.2), "corrected", 1)[0], rel=1e-5
    )
    codes, mean, log_variance = factorised(5)
    parts = decompose(codes, mean, log_variance, N)
    weighted = BetaTCVAE(alpha=2.0, beta=5.0, gamma=3.0).regulariser(Posterior(mean, log_variance), codes, N)
    expected = 2 * parts.information + 5 * parts.total_correlation + 3 * parts.dimension_wise
    assert float(weighted) == pytest.approx(float(expected.mean()), rel=1e-5)


def test_dip_penalty_is_nothing_for_uncorrelated_codes_of_unit_variance():
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    nothing = torch.full((4, 2), -100.0)
    assert float(dip_penalty(signs, nothing, "I", 10, 5)) == pytest.approx(0)
    assert float(dip_penalty(signs, torch.zeros(4, 2), "II", 10, 5)) == pytest.approx(5 * 2)
    copied = signs[:, [0, 0]]
    assert float(dip_penalty(copied, nothing, "I", 10, 5)) == pytest.approx(10 * 2)


def test_permuted_codes_keep_their_marginals_and_lose_their_correlation():
    generator = torch.Generator().manual_seed(6)
    codes = torch.randn(2000, 1, generator=generator).repeat(1, 3) * torch.tensor([1.0, 2.0, 3.0])
    permuted = permute_dimensions(codes, generator)
    assert torch.equal(permuted.sort(0).values, codes.sort(0).values)
    assert abs(float(torch.corrcoef(permuted.T)[0, 1])) < 0.1 < float(torch.corrcoef(codes.T)[0, 1])


def test_a_perfect_discriminator_tells_the_log_ratio_and_has_no_error():
    joint, permuted = torch.tensor([[20.0, -20.0]]), torch.tensor([[-20.0, 20.0]])
    assert float(discriminator_error(joint, permuted)) == pytest.approx(0, abs=1e-6)
    assert float(discriminator_error(permuted, joint)) == pytest.approx(40, abs=1e-3)
    assert total_correlation_of(joint).tolist() == [40.0]
    assert float(discriminator_error(joint * 0, permuted * 0)) == pytest.approx(math.log(2))


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="expected weights among stratified, published, got 'mine'"):
        log_importance_weights(4, 10, "mine")
    with pytest.raises(ValueError, match="expected a batch of 2 to 10"):
        log_importance_weights(11, 10)
    with pytest.raises(ValueError, match="expected DIP-VAE of kind I or II, got 'III'"):
        dip_penalty(torch.zeros(2, 2), torch.zeros(2, 2), "III", 1, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VAE(latents=0), "expected latents of 1 or more in VAE, got 0"),
        (lambda: VAE(sigma=0), "expected sigma"),
        (lambda: VAE(kernel=4), "expected an odd model.kernel"),
        (lambda: VAE(channels=[]), "model.channels of at least 1"),
        (lambda: BetaVAE(beta=-1), "expected beta of 0 or more in BetaVAE, got -1"),
        (lambda: FactorVAE(width=0), "expected width of 1 or more"),
        (lambda: BetaTCVAE(gamma=-1), "expected gamma of 0 or more"),
        (lambda: DIPVAE(kind="III"), "expected model.kind of I or II, got 'III'"),
        (lambda: DIPVAE(diagonal=-1), "expected diagonal of 0 or more"),
    ],
)
def test_models_that_cannot_be_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_models_are_told_apart_by_name():
    names = [model.name for model in (*MODELS, BetaTCVAE())]
    assert names == ["vae", "beta_vae", "factor_vae", "dip_vae_i", "dip_vae_ii", "beta_tcvae"]
    assert [model.strength for model in (VAE(), BetaVAE(beta=2.0), FactorVAE(gamma=7.0))] == [1.0, 2.0, 7.0]
