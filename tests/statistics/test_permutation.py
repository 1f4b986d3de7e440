import itertools

import numpy as np
import pytest
from scipy import stats

from audiointerp.statistics.permutation import max_statistic_p, permutation_p, permuted_labels


def counts(labels, groups):
    return np.stack([[np.bincount(row[groups == g], minlength=5) for g in np.unique(groups)] for row in labels])


def test_within_groups_keeps_each_groups_labels():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 12, 200)
    labels = rng.integers(0, 5, 200)
    drawn = permuted_labels(labels, groups, n=50, seed=0)
    assert drawn.possible and drawn.labels.shape == (50, 200)
    assert drawn.scheme == "within groups (12 of 12 hold more than one class)"
    assert (counts(drawn.labels, groups) == counts(labels[None], groups)).all()
    assert (drawn.labels != labels).any(axis=1).all()


def test_over_groups_keeps_labels_constant_in_groups_of_any_size():
    sizes = np.array([1, 2, 3, 7, 5, 4, 1, 9])
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(8), sizes))
    label_of_group = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    drawn = permuted_labels(label_of_group[groups], groups, n=200, seed=0)
    assert drawn.scheme == "over 8 whole groups"
    by_group = np.stack([drawn.labels[:, groups == g][:, 0] for g in range(8)], axis=1)
    assert (by_group[:, groups] == drawn.labels).all()
    assert (np.sort(by_group, axis=1) == label_of_group).all()
    assert drawn.arrangements == 560


def test_all_arrangements_are_equally_likely():
    drawn = permuted_labels([0, 0, 1, 1], [0, 1, 2, 3], n=6000, seed=0)
    _, seen = np.unique(drawn.labels, axis=0, return_counts=True)
    assert seen.size == 6
    assert stats.chisquare(seen).pvalue > 0.001
    assert drawn.scheme == "over 4 whole groups; 6 arrangements in all"


def test_the_other_factor_is_held_fixed():
    cells = np.array(list(itertools.product([0, 1, 2], [0, 1], [0, 1])))
    groups = np.repeat(np.arange(12), 3)
    label, other = cells[groups, 0], cells[groups, 1]
    drawn = permuted_labels(label, groups, within=other, n=100, seed=0)
    assert drawn.scheme == "over 12 whole groups, the other factor held fixed"
    assert (counts(drawn.labels, other) == counts(label[None], other)).all()
    free = permuted_labels(label, groups, n=100, seed=0)
    assert (counts(free.labels, other) != counts(label[None], other)).any()


def test_one_group_per_cell_can_still_be_permuted_within_the_other_factor():
    cells = np.array(list(itertools.product([0, 1, 2], [0, 1])))
    drawn = permuted_labels(cells[:, 0], np.arange(6), within=cells[:, 1], n=50, seed=0)
    assert drawn.possible and drawn.scheme.endswith("held fixed; 36 arrangements in all")


def test_restriction_is_dropped_where_it_leaves_nothing():
    label = np.array([0, 0, 1, 1])
    drawn = permuted_labels(label, np.arange(4), within=["x", "x", "y", "y"], n=20, seed=0)
    assert drawn.possible
    assert "not held fixed: that would leave nothing to permute" in drawn.scheme
    assert (drawn.labels != label).any()


def test_a_factor_that_varies_in_groups_cannot_be_held():
    label, groups = np.repeat([0, 0, 1, 1], 2), np.repeat(np.arange(4), 2)
    drawn = permuted_labels(label, groups, within=np.arange(8) % 2, n=20, seed=0)
    assert "not held fixed: it varies within groups" in drawn.scheme
    inside = permuted_labels(np.arange(8) % 2, groups, within=np.array([0, 0, 0, 1, 1, 1, 1, 1]), n=20, seed=0)
    assert inside.scheme.startswith("within groups") and "it varies within groups" in inside.scheme


@pytest.mark.parametrize(
    ("labels", "groups", "reason"),
    [
        (["a"] * 4, [0, 0, 1, 1], "there is one class only"),
        (["a", "a", "b", "b"], [0, 0, 1, 1], "each class has one group: permuting them only renames classes"),
        (["a", "b"], [0, 0], "each class has one clip: permuting them only renames classes"),
    ],
)
def test_where_nothing_can_change_there_is_no_test(labels, groups, reason):
    drawn = permuted_labels(labels, groups, n=9, seed=0)
    assert (drawn.possible, drawn.reason, drawn.labels.shape) == (False, reason, (0, len(labels)))


def test_only_singletons_move():
    drawn = permuted_labels(["a", "b", "c", "c"], [0, 0, 1, 1], n=9, seed=0)
    assert not drawn.possible and drawn.reason.startswith("where classes could be exchanged")


def partitions(units, strata):
    found = set()
    for order in itertools.permutations(range(len(units))):
        if all(strata[i] == strata[j] for i, j in enumerate(order)):
            renamed = {}
            found.add(tuple(renamed.setdefault(units[j], len(renamed)) for j in order))
    return len(found)


def test_possible_exactly_where_a_partition_changes():
    rng, seen = np.random.default_rng(0), set()
    for _ in range(150):
        n = int(rng.integers(2, 6))
        labels, strata = rng.integers(0, rng.integers(1, n + 1), n), rng.integers(0, rng.integers(1, 4), n)
        restricted, free = partitions(labels, strata) > 1, partitions(labels, np.zeros(n)) > 1
        drawn = permuted_labels(labels, np.arange(n), within=strata, n=3, seed=0)
        assert drawn.possible == (restricted or free)
        assert ("other factor held fixed" in drawn.scheme) == restricted
        seen.add((restricted, free))
    assert len(seen) == 3


def test_classes_give_the_labels_back():
    drawn = permuted_labels(["low", "high", "low", "high"], [0, 1, 2, 3], n=5, seed=0)
    assert set(drawn.classes[drawn.labels].ravel()) == {"low", "high"}
    assert drawn.labels.dtype == np.int16


def test_same_seed_same_labels():
    one, two, other = (permuted_labels(np.arange(50) % 5, np.arange(50), n=5, seed=s).labels for s in (1, 1, 2))
    assert (one == two).all() and (one != other).any()


def test_large_designs_take_little_time_and_memory():
    groups = np.arange(60_000) // 6
    drawn = permuted_labels(np.arange(60_000) % 10, groups, n=100, seed=0)
    assert drawn.labels.nbytes == 100 * 60_000 * 2
    assert np.isinf(drawn.arrangements)


def test_permutation_p_by_hand():
    null = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0]])
    np.testing.assert_allclose(permutation_p([3.0, 6.0], null), [3 / 5, 1 / 5])
    assert np.isnan(permutation_p([np.nan, 6.0], null)).tolist() == [True, False]


def test_max_statistic_of_one_test_is_the_plain_permutation():
    rng = np.random.default_rng(0)
    observed, null = rng.normal(1, 1, 1), rng.normal(size=(199, 1))
    assert max_statistic_p(observed, null) == permutation_p(observed, null)


def test_max_statistic_does_not_care_for_chance_levels_and_spreads():
    rng = np.random.default_rng(0)
    null, observed = rng.normal(size=(199, 6)), rng.normal(1, 1, 6)
    scale, shift = 10.0 ** np.arange(6), np.linspace(-50, 50, 6)
    np.testing.assert_array_equal(
        max_statistic_p(observed, null), max_statistic_p(scale * observed + shift, scale * null + shift)
    )


def test_max_statistic_corrects():
    rng = np.random.default_rng(0)
    null, observed = rng.normal(size=(499, 20)), np.array([10.0, *rng.normal(size=19)])
    corrected = max_statistic_p(observed, null)
    assert corrected[0] == 1 / 500
    assert (corrected >= permutation_p(observed, null)).all()
    assert corrected[1:].min() > 0.05


def test_columns_without_a_test_take_no_part():
    rng = np.random.default_rng(0)
    null, observed = rng.normal(size=(99, 3)), np.array([2.5, 1.0, 0.0])
    expected = max_statistic_p(observed[:2], null[:, :2])
    null[0, 2] = np.nan
    corrected = max_statistic_p(observed, null)
    np.testing.assert_array_equal(corrected[:2], expected)
    assert np.isnan(corrected[2])
    null[:, 2] = observed[2] = 0.25
    np.testing.assert_array_equal(max_statistic_p(observed, null), [*expected, 1.0])
    assert np.isnan(max_statistic_p([np.nan], null[:, :1])).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="expected at least one permutation, got n=0"):
        permuted_labels([0, 1], [0, 1], n=0, seed=0)
    with pytest.raises(ValueError, match="expected 2 groups, got 1"):
        permuted_labels([0, 1], [0], n=1, seed=0)
    with pytest.raises(ValueError, match="expected 2 within, got 3"):
        permuted_labels([0, 1], [0, 1], within=[0, 1, 2], n=1, seed=0)
    with pytest.raises(ValueError, match="1 missing"):
        permuted_labels(["a", None], [0, 1], n=1, seed=0)
    for p in (permutation_p, max_statistic_p):
        with pytest.raises(ValueError, match=r"got \(2,\) and \(9, 3\)"):
            p(np.zeros(2), np.zeros((9, 3)))
        with pytest.raises(ValueError, match=r"got \(2,\) and \(0, 2\)"):
            p(np.zeros(2), np.zeros((0, 2)))
