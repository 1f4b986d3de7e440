import numpy as np
import pytest
from scipy import stats

from audiointerp.statistics import clusters as clusters_module
from audiointerp.statistics import intervals
from audiointerp.statistics.intervals import (
    Interval,
    cluster_difference,
    cluster_interval,
    interval_of_sums,
    pair_interval,
    resampled_interval,
    seed_interval,
)
from audiointerp.statistics.tests import corrected_resampled_t


def clips(n, per=4, seed=0, unequal=False):
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(n), rng.integers(1, 9, n) if unequal else per)
    return rng.normal(size=n)[clusters] + rng.normal(size=clusters.size), clusters


@pytest.mark.parametrize(
    ("n", "kind"),
    [(4, "none: 4 clusters"), (5, "t over clusters"), (19, "t over clusters"), (20, "cluster bootstrap")],
)
def test_number_of_clusters_decides_the_kind(n, kind):
    result = cluster_interval(*clips(n))
    assert (result.kind, result.n_clusters) == (kind, n)
    assert np.isnan(result.low) == np.isnan(result.high) == kind.startswith("none")
    assert kind.startswith("none") or result.low < result.estimate < result.high


@pytest.mark.parametrize("n", [5, 12, 19])
def test_equal_clusters_give_the_t_interval_over_cluster_means(n):
    values, clusters = clips(n)
    means = values.reshape(n, -1).mean(axis=1)
    low, high = stats.t.interval(0.9, n - 1, means.mean(), stats.sem(means))
    result = cluster_interval(values, clusters, level=0.9)
    np.testing.assert_allclose([result.estimate, result.low, result.high], [means.mean(), low, high])


def test_bootstrap_agrees_with_resampling_clips_one_cluster_at_a_time():
    values, clusters = clips(25, unequal=True)
    weights = np.random.default_rng(1).uniform(0.5, 2, values.size)
    result = cluster_interval(values, clusters, weights=weights, resamples=20_000)
    rng, means = np.random.default_rng(2), []
    for _ in range(4000):
        chosen = np.concatenate([np.flatnonzero(clusters == c) for c in rng.integers(0, 25, 25)])
        means.append(np.average(values[chosen], weights=weights[chosen]))
    size = np.bincount(clusters, weights)
    effective = size.sum() ** 2 / (size**2).sum()
    tail = stats.norm.cdf(-np.sqrt(25 / 24) * stats.t.ppf(0.975, effective - 1))
    np.testing.assert_allclose([result.low, result.high], np.quantile(means, [tail, 1 - tail]), atol=0.06)
    assert result.estimate == pytest.approx(np.average(values, weights=weights))


def test_equal_bootstrap_is_as_wide_as_the_t_interval():
    values, clusters = clips(30)
    means = values.reshape(30, -1).mean(axis=1)
    width = 2 * stats.t.ppf(0.975, 29) * stats.sem(means)
    result = cluster_interval(values, clusters, resamples=20_000)
    assert result.high - result.low == pytest.approx(width, rel=0.05)


def test_accuracy_never_leaves_its_range():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(25), 4)
    result = cluster_interval(rng.random(100) < 0.97, clusters)
    assert 0 <= result.low < result.high <= 1


def test_equal_clusters_have_no_interval_of_no_width():
    for n in (6, 30):
        result = cluster_interval(np.ones(2 * n), np.repeat(np.arange(n), 2))
        assert (result.estimate, result.kind) == (1.0, "none: no cluster differs")
        assert np.isnan(result.low) and np.isnan(result.high)


def test_same_seed_gives_the_same_bits_whatever_the_chunks(monkeypatch):
    values, clusters = clips(30)
    first = cluster_interval(values, clusters, seed=3)
    assert first == cluster_interval(values, clusters, seed=3)
    assert first != cluster_interval(values, clusters, seed=4)
    monkeypatch.setattr(intervals, "CELLS", 1000)
    assert clusters_module.CELLS != 1000
    assert first == cluster_interval(values, clusters, seed=3)


def test_weight_zero_leaves_clips_and_clusters_out():
    values, clusters = clips(7)
    kept = clusters < 6
    assert cluster_interval(values, clusters, weights=kept) == cluster_interval(values[kept], clusters[kept])


def test_names_of_clusters_do_not_matter():
    values, clusters = clips(25)
    named = np.array([f"take {c:02d}" for c in clusters], dtype=object)
    assert cluster_interval(values, clusters) == cluster_interval(values, named)


def test_weights_are_relative():
    values, clusters = clips(10, unequal=True)
    one, ten = (cluster_interval(values, clusters, weights=np.full(values.size, w)) for w in (1.0, 10.0))
    np.testing.assert_allclose([one.low, one.high], [ten.low, ten.high])


def test_difference_is_paired():
    rng = np.random.default_rng(0)
    shared, clusters = clips(30)
    a = 100 * shared + 0.3 + 0.1 * rng.normal(size=shared.size)
    result = cluster_difference(a, 100 * shared, clusters)
    assert 0 < result.low < 0.3 < result.high < 0.4
    mirrored = cluster_difference(100 * shared, a, clusters)
    assert mirrored.estimate == pytest.approx(-result.estimate)
    assert mirrored.low == pytest.approx(-result.high, abs=0.01)


def grid(n_source, n_reference, source=1.0, reference=1.0, seed=0):
    rng = np.random.default_rng(seed)
    a, b = (x.ravel() for x in np.indices((n_source, n_reference)))
    values = source * rng.normal(size=n_source)[a] + reference * rng.normal(size=n_reference)[b]
    return values + 0.1 * rng.normal(size=a.size), a, b + 1000


@pytest.mark.parametrize(
    ("sides", "kind"),
    [((40, 3), "none: 3 clusters"), ((40, 8), "t over clusters, pairs"), ((40, 25), "cluster bootstrap, pairs")],
)
def test_the_smaller_side_decides(sides, kind):
    result = pair_interval(*grid(*sides))
    assert (result.kind, result.n_clusters) == (kind, min(sides))
    values, a, b = grid(*sides)
    assert pair_interval(values, b, a).kind == kind


def test_a_side_without_variance_adds_no_width():
    values, a, b = grid(12, 60, source=1.0, reference=0.0)
    one = cluster_interval(values, a)
    both = pair_interval(values, a, b)
    assert both.high - both.low == pytest.approx(one.high - one.low, rel=0.05)


def test_both_sides_count():
    values, a, b = grid(30, 30)
    both = pair_interval(values, a, b)
    for clusters in (a, b):
        one = cluster_interval(values, clusters)
        assert both.high - both.low > 1.2 * (one.high - one.low)


def test_pair_bootstrap_agrees_with_drawing_both_sides_by_hand():
    values, a, b = grid(22, 25, seed=3)
    square, rng = values.reshape(22, 25), np.random.default_rng(1)
    means = [square[rng.integers(0, 22, 22)][:, rng.integers(0, 25, 25)].mean() for _ in range(4000)]
    tail = stats.norm.cdf(-np.sqrt(22 / 21) * stats.t.ppf(0.975, 21))
    result = pair_interval(values, a, b, resamples=10_000)
    np.testing.assert_allclose([result.low, result.high], np.quantile(means, [tail, 1 - tail]), atol=0.05)


@pytest.mark.parametrize("n", [12, 30])
def test_a_group_on_both_sides_is_resampled_once(n):
    rng = np.random.default_rng(0)
    a, b = (x.ravel() for x in np.indices((n, n)))
    a, b = a[a != b], b[a != b]
    own = rng.normal(size=n)
    opposed, together = own[a] - own[b], own[a] + own[b]
    noise = 0.01 * rng.normal(size=a.size)
    width = {}
    for name, values in (("opposed", opposed + noise), ("together", together + noise)):
        result = pair_interval(values, a, b)
        width[name] = result.high - result.low
        apart = pair_interval(values, a, b + n)
        width[name] /= apart.high - apart.low
    assert width["opposed"] < 0.3
    assert width["together"] > 1.25


def test_seeds():
    values = [0.2, 0.5, 0.3, 0.9, 0.1]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    result = seed_interval(values)
    np.testing.assert_allclose([result.low, result.high], [low, high])
    assert (result.kind, result.n_clusters) == ("t over seeds", 5)
    assert seed_interval([0.2, 0.3]).kind == "none: 2 seeds"
    assert seed_interval([0.2]).kind == "none: 1 seed"
    assert seed_interval([0.2, 0.2, 0.2]).kind == "none: no seed differs"


def test_splits_that_share_training_groups():
    values = np.array([0.2, 0.5, 0.3, 0.9, 0.1])
    ratio = 0.4
    result = resampled_interval(values, ratio)
    error = np.sqrt((1 / 5 + ratio) * values.var(ddof=1))
    np.testing.assert_allclose(result.high - result.estimate, stats.t.ppf(0.975, 4) * error)
    # Where the interval ends, its test has p = 0.05.
    assert corrected_resampled_t(values - result.low, ratio).p == pytest.approx(0.05)
    assert result.kind == "corrected resampled t over splits" and result.n_clusters == 5
    assert resampled_interval(values, 0.0) == seed_interval(values)
    assert resampled_interval([0.2, 0.3], 0.4).kind == "none: 2 seeds"
    with pytest.raises(ValueError, match="test_to_train_ratio of 0 or more, got -1"):
        resampled_interval(values, -1)
    with pytest.raises(ValueError, match="finite"):
        resampled_interval([0.1, np.nan, 0.3], 0.4)


def test_statistic_that_is_often_undefined_has_no_interval():
    columns = np.stack([np.ones(25), np.eye(25)[0]], axis=1)
    result = interval_of_sums(columns, lambda sums: sums[..., 0] / sums[..., 1], np.arange(25))
    assert result.kind.startswith("none: undefined in ")
    few = interval_of_sums(columns[:10], lambda sums: sums[..., 0] / (sums[..., 1] > 0), np.arange(10))
    assert few.kind == "none: undefined without one of the clusters"
    never = interval_of_sums(columns, lambda sums: np.full(sums.shape[:-1], np.nan), np.arange(25))
    assert never.kind == "none: the statistic is undefined"


def test_text():
    assert str(Interval(0.83, 0.8, 0.86, "cluster bootstrap", 40)) == "0.83 [0.8, 0.86]"
    assert str(Interval(0.83, np.nan, np.nan, "none: 3 clusters", 3)) == "0.83 (none: 3 clusters)"


def test_bad_input_is_refused():
    values, clusters = clips(6)
    for keywords, message in (
        ({"level": 95}, "expected a level between 0 and 1, got 95"),
        ({"resamples": 0}, "expected at least one resample, got 0"),
        ({"weights": -np.ones(24)}, "expected weights that are not negative"),
        ({"weights": np.zeros(24)}, "not all 0"),
        ({"weights": np.ones(3)}, "expected 24 weights, got 3"),
    ):
        with pytest.raises(ValueError, match=message):
            cluster_interval(values, clusters, **keywords)
        with pytest.raises(ValueError, match=message):
            pair_interval(values, clusters, clusters, **keywords)
    with pytest.raises(ValueError, match="expected 24 clusters, got 23"):
        cluster_interval(values, clusters[1:])
    with pytest.raises(ValueError, match="expected finite values, got 24"):
        cluster_interval(values * np.nan, clusters)
    with pytest.raises(ValueError, match="expected 24 values of b, got 1"):
        cluster_difference(values, [1.0], clusters)
    with pytest.raises(ValueError, match="expected a level"):
        seed_interval(values, level=0)
    with pytest.raises(ValueError, match=r"shape \(N, C\)"):
        interval_of_sums(values, np.sum, clusters)


def test_few_pairs_take_the_noise_of_single_cells_off():
    values, a, b = grid(10, 12, seed=4)
    square = values.reshape(10, 12)
    rows, columns = square.mean(axis=1), square.mean(axis=0)
    variance = stats.sem(rows) ** 2 + stats.sem(columns) ** 2 - stats.sem(square, axis=None) ** 2
    half = stats.t.ppf(0.975, 9) * np.sqrt(variance)
    result = pair_interval(values, a, b)
    np.testing.assert_allclose([result.low, result.high], [square.mean() - half, square.mean() + half], rtol=1e-9)
