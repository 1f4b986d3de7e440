import numpy as np
import pytest

from audiointerp.statistics.designs import OneWay, TwoWay


def items(seed=0, shared=False):
    rng = np.random.default_rng(seed)
    columns = np.stack([rng.uniform(0.5, 2, 40), rng.normal(size=40)], axis=1)
    return columns, rng.integers(0, 6, 40), rng.integers(0, 5, 40) + (0 if shared else 100)


def test_leaving_out_a_cluster_by_hand():
    columns, source, _ = items()
    (rest,) = OneWay(columns, source).without_one()
    np.testing.assert_allclose(rest, [columns[source != c].sum(axis=0) for c in range(6)])


def test_leaving_out_either_side_or_a_cell_by_hand():
    columns, source, reference = items()
    by_source, by_reference, by_cell = TwoWay(columns, source, reference).without_one()
    np.testing.assert_allclose(by_source, [columns[source != c].sum(axis=0) for c in range(6)])
    np.testing.assert_allclose(by_reference, [columns[reference != c].sum(axis=0) for c in range(100, 105)])
    cells = sorted(set(zip(source, reference, strict=True)))
    kept = [columns[(source != s) | (reference != r)].sum(axis=0) for s, r in cells]
    np.testing.assert_allclose(by_cell, kept)


def test_leaving_out_a_group_of_both_sides_by_hand():
    columns, source, reference = items(shared=True)
    design = TwoWay(columns, source, reference)
    (rest,) = design.without_one()
    assert design.shared and design.n_clusters == 5
    np.testing.assert_allclose(rest, [columns[(source != c) & (reference != c)].sum(axis=0) for c in range(6)])


@pytest.mark.parametrize("shared", [False, True])
def test_resampled_totals_are_right_on_average(shared):
    columns, source, reference = items(shared=shared)
    totals = TwoWay(columns, source, reference).resample(np.random.default_rng(0), 40_000)
    n = 6
    factor = np.where(source == reference, 2 - 1 / n, 1 - 1 / n) if shared else np.ones(40)
    np.testing.assert_allclose(totals.mean(axis=0), (columns * factor[:, None]).sum(axis=0), atol=0.25)


def test_effective_number_of_clusters():
    columns = np.ones((12, 1))
    assert OneWay(columns, np.repeat(np.arange(4), 3)).effective == pytest.approx(4)
    assert OneWay(columns, [0] * 9 + [1, 2, 3]).effective == pytest.approx(144 / 84)
    assert TwoWay(columns, np.arange(12), 50 + np.repeat(np.arange(4), 3)).effective == pytest.approx(4)
