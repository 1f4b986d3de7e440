"""Networks: every size comes back, every parameter learns; linear rivals invert what they can."""

import numpy as np
import pytest
import torch

from audiointerp.disentangle.linear import LinearCodes
from audiointerp.disentangle.models import VAE, FactorVAE
from audiointerp.disentangle.vae import ConvVAE, Discriminator, Posterior
from audiointerp.study import UserError


@pytest.mark.parametrize("shape", [(64, 8), (64, 16), (128, 32), (13, 7), (5, 1), (1, 1), (100, 3)])
def test_any_size_comes_back(shape):
    network = ConvVAE(shape, latents=3, channels=(4, 4, 8, 8), hidden=16)
    pictures = torch.rand(2, *shape)
    posterior = network.encode(pictures)
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 3)
    assert network(pictures).shape == pictures.shape == network.decode(torch.zeros(2, 3)).shape


def test_four_convolutions_each_way_without_batch_normalisation():
    network = VAE().network((64, 8), 0)
    kinds = [type(layer).__name__ for layer in network.modules()]
    assert kinds.count("Conv2d") == kinds.count("ConvTranspose2d") == 4 and not any("Norm" in kind for kind in kinds)
    assert {layer.negative_slope for layer in network.modules() if isinstance(layer, torch.nn.LeakyReLU)} == {0.01}


def test_every_parameter_gets_a_gradient():
    model = VAE(latents=4)
    network = model.network((64, 8), 0)
    pictures = torch.rand(8, 64, 8, generator=torch.Generator().manual_seed(0))
    posterior = network.encode(pictures)
    codes = posterior.sample(torch.Generator().manual_seed(1))
    loss = model.reconstruction(pictures, network.decode(codes)) + model.regulariser(posterior, codes, 100)
    loss.backward()
    without = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert without == []


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    one = VAE().network((16, 4), 3).state_dict()
    torch.manual_seed(6)
    two, other = VAE().network((16, 4), 3).state_dict(), VAE().network((16, 4), 4).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["encoder.0.weight"], other["encoder.0.weight"])
    assert torch.equal(
        FactorVAE(width=8).discriminator(1).layers[0].weight, FactorVAE(width=8).discriminator(1).layers[0].weight
    )


def test_draws_have_the_posterior_s_moments():
    posterior = Posterior(torch.full((20_000, 1), 2.0), torch.full((20_000, 1), np.log(0.25)))
    codes = posterior.sample(torch.Generator().manual_seed(0))
    assert float(codes.mean()) == pytest.approx(2.0, abs=0.02) and float(codes.std()) == pytest.approx(0.5, abs=0.02)


def test_the_discriminator_is_the_paper_s():
    layers = list(Discriminator(8).layers)
    linear = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in linear] == [1000] * 5 + [2]
    assert {layer.negative_slope for layer in layers if isinstance(layer, torch.nn.LeakyReLU)} == {0.2}
    assert VAE().discriminator(0) is None


def test_sizes_that_cannot_be_are_refused():
    for given in ({"latents": 0}, {"kernel": 2}, {"channels": (4, 0)}, {"shape": (8,)}):
        with pytest.raises(ValueError, match="expected sizes of at least 1 and an odd kernel"):
            ConvVAE(**{"shape": (8, 8), **given})
    with pytest.raises(ValueError, match=r"expected pictures \(B, 8, 4\), got \(2, 4, 8\)"):
        ConvVAE((8, 4), channels=(2,)).encode(torch.zeros(2, 4, 8))


@pytest.fixture(scope="module")
def mixed():
    """Pictures that are sums of three independent, skewed sources."""
    rng = np.random.default_rng(0)
    sources = rng.exponential(size=(2000, 3)) - 1
    return sources, (sources @ rng.normal(size=(3, 40))).reshape(2000, 8, 5).astype(np.float32)


@pytest.mark.parametrize("kind", ["pca", "ica"])
def test_linear_codes_of_enough_size_give_the_pictures_back(kind, mixed):
    _, pictures = mixed
    model = LinearCodes(kind, 3).fit(pictures)
    codes = model.encode(pictures)
    assert codes.shape == (2000, 3) and codes.dtype == np.float32
    assert np.allclose(model.decode(codes), pictures, atol=1e-3)
    assert np.allclose(np.corrcoef(codes.T), np.eye(3), atol=0.02)


def test_independent_components_find_the_sources_and_principal_ones_do_not(mixed):
    sources, pictures = mixed

    def best(kind):
        codes = LinearCodes(kind, 3).fit(pictures).encode(pictures)
        return np.abs(np.corrcoef(sources.T, codes.T)[:3, 3:]).max(1).min()

    assert best("ica") > 0.97 > best("pca")


def test_linear_models_that_cannot_be_are_refused(mixed):
    with pytest.raises(UserError, match="expected a linear model among pca, ica, got 'nmf'"):
        LinearCodes("nmf", 3)
    with pytest.raises(UserError, match="expected at least 41 pictures and pixels"):
        LinearCodes("pca", 41).fit(mixed[1])
