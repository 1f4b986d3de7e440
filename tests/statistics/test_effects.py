import numpy as np
import pytest
from scipy import stats

from audiointerp.statistics.effects import d_z, d_z_interval


def test_d_z_is_t_over_root_n():
    differences = np.random.default_rng(0).normal(0.4, 2, 30)
    assert d_z(differences) == pytest.approx(stats.ttest_1samp(differences, 0).statistic / np.sqrt(30))
    assert d_z(-differences) == pytest.approx(-d_z(differences))
    assert d_z(1000 * differences) == pytest.approx(d_z(differences))


@pytest.mark.parametrize("differences", [[1.0], [0.0, 0.0], [2.0, 2.0, 2.0]])
def test_d_z_is_undefined_without_variance(differences):
    assert np.isnan(d_z(differences))


def clustered(n, effect, seed=0):
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(n), 4)
    return effect + (rng.normal(size=n)[clusters] + rng.normal(size=clusters.size)) / np.sqrt(2), clusters


@pytest.mark.parametrize(("n", "kind"), [(4, "none: 4 clusters"), (10, "t over clusters"), (40, "cluster bootstrap")])
def test_estimate_and_kind(n, kind):
    differences, clusters = clustered(n, 0.8)
    result = d_z_interval(differences, clusters)
    assert result.estimate == pytest.approx(d_z(differences))
    assert result.kind == kind
    if n > 4:
        assert result.low < result.estimate < result.high


def test_pairs_of_groups():
    differences, clusters = clustered(30, 0.8)
    result = d_z_interval(differences, clusters, 1000 + np.random.default_rng(1).integers(0, 25, differences.size))
    assert (result.kind, result.n_clusters) == ("cluster bootstrap, pairs", 25)
    assert result.low < 0.8 < result.high


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_edits_that_do_nothing_have_no_effect_size(value):
    result = d_z_interval(np.full(60, value), np.arange(60), np.repeat(np.arange(30), 2))
    assert np.isnan([result.estimate, result.low, result.high]).all()
    assert (result.kind, result.n_clusters) == ("none: no difference varies", 30)


@pytest.mark.parametrize("n", [10, 30])
def test_unit_and_offset_do_not_harm(n):
    differences, clusters = clustered(n, 0.5)
    plain, tiny = (d_z_interval(scale * differences, clusters) for scale in (1.0, 1e-9))
    np.testing.assert_allclose([tiny.low, tiny.high], [plain.low, plain.high], rtol=1e-6)
    large = d_z_interval(differences + 1e6, clusters)
    assert large.estimate == pytest.approx(d_z(differences + 1e6))
    assert large.low < large.estimate < large.high


def test_one_moving_group_carries_no_interval():
    differences = np.zeros(100)
    differences[:4] = [1.0, 2.0, 1.0, 3.0]
    assert d_z_interval(differences, np.repeat(np.arange(25), 4)).kind.startswith("none: undefined in ")


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="expected finite differences"):
        d_z([np.inf, 1.0])
    with pytest.raises(ValueError, match="expected 3 clusters, got 2"):
        d_z_interval([1.0, 2.0, 3.0], ["a", "b"])
    with pytest.raises(ValueError, match="expected 2 clusters, got 1"):
        d_z_interval([0.0, 0.0], ["a"])
    with pytest.raises(ValueError, match="expected 3 reference clusters, got 1"):
        d_z_interval([1.0, 2.0, 3.0], ["a", "b", "c"], ["d"])


def test_bootstrap_agrees_with_scipy_bca_at_the_expanded_level():
    differences = np.random.default_rng(0).gamma(2, size=25)
    tail = stats.norm.cdf(-np.sqrt(25 / 24) * stats.t.ppf(0.975, 24))
    expected = stats.bootstrap(
        (differences,),
        lambda x, axis: x.mean(axis=axis) / x.std(axis=axis, ddof=1),
        confidence_level=1 - 2 * tail,
        n_resamples=40_000,
        method="BCa",
        random_state=1,
    ).confidence_interval
    result = d_z_interval(differences, np.arange(25), resamples=40_000)
    np.testing.assert_allclose([result.low, result.high], expected, atol=0.04)
    plain = d_z_interval(differences, np.arange(25), np.full(25, "x"))
    assert plain.kind == "none: 1 cluster"
