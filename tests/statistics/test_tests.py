import itertools

import numpy as np
import pytest
from scipy import stats

from audiointerp.statistics import tests as module
from audiointerp.statistics.tests import (
    benjamini_hochberg,
    bonferroni,
    cluster_sign_flip,
    corrected_resampled_t,
    holm,
    independent_t,
    paired_t,
)

rng = np.random.default_rng(0)
A, B = rng.normal(0.3, 1, 14), rng.normal(0, 3, 9)


def test_paired_t_agrees_with_scipy():
    expected = stats.ttest_rel(A[:9], B)
    result = paired_t(A[:9], B)
    np.testing.assert_allclose([result.statistic, result.p, result.df], [*expected, expected.df])
    assert result.n == 9


@pytest.mark.parametrize("equal_variance", [False, True])
def test_independent_t_agrees_with_scipy(equal_variance):
    expected = stats.ttest_ind(A, B, equal_var=equal_variance)
    result = independent_t(A, B, equal_variance=equal_variance)
    np.testing.assert_allclose([result.statistic, result.p, result.df], [*expected, expected.df])
    assert result.n == 23


def test_corrected_t_is_the_plain_one_shrunk_by_the_published_factor():
    plain = stats.ttest_1samp(A, 0)
    result = corrected_resampled_t(A, 0.25)
    assert result.statistic == pytest.approx(plain.statistic * np.sqrt((1 / 14) / (1 / 14 + 0.25)))
    assert result.p == pytest.approx(2 * stats.t.sf(abs(result.statistic), 13))
    assert (result.df, result.n) == (13, 14)
    assert corrected_resampled_t(-A, 0.25).p == result.p
    assert corrected_resampled_t(A, 1e-12).p == pytest.approx(plain.pvalue)


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_nothing_varies_nothing_is_tested(value):
    constant = np.full(7, value)
    for result in (
        paired_t(constant, np.zeros(7)),
        corrected_resampled_t(constant, 0.1),
        independent_t(constant, -constant),
    ):
        assert np.isnan(result.statistic) and np.isnan(result.p)


def test_sign_flip_agrees_with_all_flips_by_hand():
    clusters = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5, 5, 6, 7, 7, 7])
    totals = np.bincount(clusters, A)
    flips = [abs(np.dot(signs, totals)) for signs in itertools.product([-1, 1], repeat=8)]
    result = cluster_sign_flip(A, clusters)
    assert result.p == np.mean(np.array(flips) >= abs(totals.sum()) - 1e-12)
    assert (result.name, result.n) == ("cluster sign flip (exact)", 8)
    assert result.statistic == pytest.approx(A.mean())
    assert cluster_sign_flip(-A, clusters).p == result.p


def test_sign_flip_agrees_with_scipy():
    expected = stats.permutation_test((A,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert cluster_sign_flip(A, np.arange(14)).p == pytest.approx(expected)


def test_drawn_flips_agree_with_all_of_them(monkeypatch):
    exact = cluster_sign_flip(A, np.arange(14)).p
    monkeypatch.setattr(module, "EXACT_UP_TO", 5)
    drawn = cluster_sign_flip(A, np.arange(14), n=20_000)
    assert drawn.name == "cluster sign flip (20000 drawn)"
    assert drawn.p == pytest.approx(exact, abs=0.01)
    monkeypatch.setattr(module, "CELLS", 100)
    assert cluster_sign_flip(A, np.arange(14), n=20_000).p == pytest.approx(exact, abs=0.01)


def test_smallest_p_values():
    assert cluster_sign_flip(np.ones(10), np.arange(10)).p == 2 / 2**10
    assert cluster_sign_flip(np.ones(40), np.arange(40), n=99).p == 1 / 100
    assert cluster_sign_flip(np.zeros(40), np.arange(40), n=99).p == 1.0
    assert cluster_sign_flip(np.zeros(4), np.arange(4)).p == 1.0


def test_sign_flip_finds_a_planted_difference():
    clusters = np.repeat(np.arange(30), 4)
    values = 1 + rng.normal(size=30)[clusters] + rng.normal(size=120)
    assert cluster_sign_flip(values, clusters, n=999).p < 0.01


P = rng.uniform(size=(4, 5)) ** 3


def test_benjamini_hochberg_agrees_with_scipy():
    np.testing.assert_allclose(benjamini_hochberg(P).ravel(), stats.false_discovery_control(P, axis=None))


def test_holm_rejects_what_the_step_down_rule_rejects():
    corrected = holm(P).ravel()
    flat = np.sort(P.ravel())
    for alpha in np.linspace(0.001, 0.9, 40):
        rejected = 0
        while rejected < flat.size and flat[rejected] <= alpha / (flat.size - rejected):
            rejected += 1
        assert (corrected <= alpha).sum() == rejected


def test_order_of_strictness():
    assert (P <= benjamini_hochberg(P)).all()
    assert (benjamini_hochberg(P) <= holm(P) + 1e-15).all()
    assert (holm(P) <= bonferroni(P)).all()
    np.testing.assert_allclose(bonferroni(P), np.minimum(20 * P, 1))


@pytest.mark.parametrize("correct", [bonferroni, holm, benjamini_hochberg])
def test_what_was_not_tested_is_not_counted(correct):
    corrected = correct([0.01, np.nan, 0.04])
    assert np.isnan(corrected[1])
    np.testing.assert_array_equal(corrected[[0, 2]], correct([0.01, 0.04]))
    assert np.isnan(correct([np.nan])).all()
    assert correct([]).size == 0
    with pytest.raises(ValueError, match=r"expected p values in \[0, 1\], got 0.1 to 2.5"):
        correct([0.1, 2.5])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="expected a positive test_to_train_ratio, got 0"):
        corrected_resampled_t([0.1, 0.2], 0)
    with pytest.raises(ValueError, match="expected at least two differences by fold, got 1"):
        corrected_resampled_t([0.1], 0.5)
    with pytest.raises(ValueError, match="expected at least two values of b, got 1"):
        independent_t([0.1, 0.2], [0.5])
    with pytest.raises(ValueError, match="expected 2 values of b, got 3"):
        paired_t([0.1, 0.2], [0.5, 0.5, 0.5])
    with pytest.raises(ValueError, match="expected at least one flip, got n=0"):
        cluster_sign_flip([0.1, 0.2], [0, 1], n=0)
    with pytest.raises(ValueError, match="expected 2 clusters, got 1"):
        cluster_sign_flip([0.1, 0.2], [0])
