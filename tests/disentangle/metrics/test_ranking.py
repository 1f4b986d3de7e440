import warnings

import numpy as np
import pytest
from scipy.stats import ortho_group, spearmanr
from sklearn.linear_model import Lasso

from audiointerp.disentangle.metrics import udr
from tests.disentangle.metrics import loops

TRUTH = np.random.default_rng(0).uniform(-1, 1, (2000, 4))


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def seed_of(seed, turn=False, noise=0.05):
    """Codes of one seed: the truth in another order, with other signs, bent, and rotated if asked."""
    rng = np.random.default_rng(seed)
    codes = TRUTH @ ortho_group.rvs(4, random_state=seed) if turn else TRUTH[:, rng.permutation(4)]
    return np.sinh(codes) * rng.choice([-1, 1], 4) + noise * rng.standard_normal(TRUTH.shape)


@pytest.mark.parametrize("similarity", ["spearman", "lasso"])
def test_seeds_that_agree_one_to_one_rank_above_rotations_and_noise(similarity):
    aligned = udr([seed_of(seed) for seed in range(4)], similarity=similarity)
    turned = udr([seed_of(seed, turn=True) for seed in range(4)], similarity=similarity)
    noise = udr([np.random.default_rng(seed).standard_normal((2000, 4)) for seed in range(4)], similarity=similarity)
    assert aligned.min() > 0.8 and aligned.min() > turned.max() + 0.2
    assert turned.min() > noise.max() + 0.1 and noise.max() < 0.1


def test_one_seed_that_went_astray_is_found():
    scores = udr([seed_of(0), seed_of(1), seed_of(2), seed_of(3, turn=True), seed_of(4)])
    assert scores.argmin() == 3 and scores[3] < np.delete(scores, 3).min() - 0.2


def test_scores_are_those_of_plain_loops():
    models = [seed_of(0, noise=1), seed_of(1, turn=True), seed_of(2, noise=0.3)[:, :3]]
    pairs = {}
    for i in range(3):
        for j in range(3):
            if i != j:
                full = spearmanr(models[i], models[j]).statistic
                count = models[i].shape[1]
                pairs[i, j] = loops.udr(np.abs(full[:count, count:]).tolist())
    expected = [np.median([pairs[i, j] for j in range(3) if j != i]) for i in range(3)]
    np.testing.assert_allclose(udr(models), expected)


def test_lasso_averages_both_directions():
    one, other = (
        codes / codes.std(0) - (codes / codes.std(0)).mean(0) for codes in (seed_of(0), seed_of(1, turn=True))
    )
    forth, back = (np.abs(Lasso(alpha=0.1).fit(a, b).coef_) for a, b in ((one, other), (other, one)))
    expected = loops.udr(((forth.T + back) / 2).tolist())
    np.testing.assert_allclose(udr([seed_of(0), seed_of(1, turn=True)], similarity="lasso"), expected)


def test_collapsed_codes_are_left_out():
    models = [seed_of(seed) for seed in range(3)]
    clean = udr(models)
    rng = np.random.default_rng(9)
    padded = [np.c_[codes, rng.standard_normal((2000, 3))] for codes in models]
    divergences = [[2.0, 1.0, 0.5, 0.02, 0.01, 0.001, 0.0]] * 3
    np.testing.assert_allclose(udr(padded, kl_of_models=divergences), clean)
    assert (udr(padded) < clean - 0.2).all()
    assert (udr(padded, kl_of_models=divergences, least_kl=0.001) < clean - 0.05).all()
    constant = [np.c_[codes, np.full(2000, 0.3)] for codes in models]
    np.testing.assert_allclose(udr(constant), clean)


@pytest.mark.parametrize("similarity", ["spearman", "lasso"])
def test_a_model_that_collapsed_altogether_scores_nothing(similarity):
    scores = udr([seed_of(0), seed_of(1), np.zeros((2000, 4)), seed_of(2)], similarity=similarity)
    assert scores[2] == 0 and np.delete(scores, 2).min() > 0.5


def test_order_sign_and_monotone_bends_do_not_matter():
    models = [seed_of(seed) for seed in range(3)]
    bent = [np.exp(-3 * codes[:, ::-1]) for codes in models]
    np.testing.assert_allclose(udr(bent), udr(models))


def test_bad_input_is_refused():
    models = [seed_of(0), seed_of(1)]
    with pytest.raises(ValueError, match="expected two models or more, got 1: train further seeds"):
        udr(models[:1])
    with pytest.raises(ValueError, match="expected codes of the same sounds, got 2000, 1999 rows"):
        udr([models[0], models[1][:-1]])
    with pytest.raises(ValueError, match="expected finite codes of model 1, got 2000 rows"):
        udr([models[0], models[1] * np.nan])
    with pytest.raises(ValueError, match="expected similarity spearman or lasso, got 'pearson'"):
        udr(models, similarity="pearson")
    for wrong in ([[1.0] * 4], [[1.0] * 4, [1.0] * 3]):
        with pytest.raises(ValueError, match=r"expected KL divergences of shape \(4,\) for model 1, got"):
            udr(models, kl_of_models=wrong)
    with pytest.raises(ValueError, match="expected finite KL divergences of model 0"):
        udr(models, kl_of_models=[[1.0, np.nan, 1.0, 1.0], [1.0] * 4])
