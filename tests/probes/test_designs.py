import numpy as np
import pytest

from audiointerp.probes.designs import Split, by_fold, by_level, by_role, inner_folds, partition


def crossed(levels=3, groups_per_level=None, clips=4):
    """Groups that span all levels of another factor, or lie within one."""
    if groups_per_level is None:
        group = np.repeat(np.arange(8), levels * clips)
        other = np.tile(np.repeat(np.arange(levels), clips), 8)
    else:
        group = np.repeat(np.arange(levels * groups_per_level), clips)
        other = group // groups_per_level
    order = np.random.default_rng(0).permutation(len(group))
    return group[order], other[order]


def test_folds_test_every_usable_row_once():
    folds = np.array([2, 0, -1, 0, 5, 2, 2])
    splits = by_fold(folds)
    assert [split.test.tolist() for split in splits] == [[1, 3], [0, 5, 6], [4]]
    assert [split.train.tolist() for split in splits] == [[0, 4, 5, 6], [1, 3, 4], [0, 1, 3, 5, 6]]
    few = by_fold(folds, rows=np.array([0, 1, 2, 4]))
    assert [(split.train.tolist(), split.test.tolist()) for split in few] == [
        ([0, 4], [1]),
        ([1, 4], [0]),
        ([0, 1], [4]),
    ]


def test_roles():
    roles = np.array(["fit", "train", "select", "test", "train", "test"])
    split = by_role(roles, ["train", "select"], "test")
    assert split.train.tolist() == [1, 2, 4] and split.test.tolist() == [3, 5]
    split = by_role(roles, ["train"], "test", rows=np.array([0, 1, 5]))
    assert split.train.tolist() == [1] and split.test.tolist() == [5]


def test_inner_folds_hold_nothing_of_the_outer_one():
    folds = np.random.default_rng(0).integers(-1, 4, 50)
    for outer in range(4):
        splits = inner_folds(folds, outer)
        assert len(splits) == 3
        for train, test in splits:
            assert not (folds[np.r_[train, test]] == outer).any()
            assert set(np.r_[train, test]) == set(np.flatnonzero((folds >= 0) & (folds != outer)))


@pytest.mark.parametrize("groups_per_level", [None, 3])
def test_levels_are_tested_by_what_never_met_them_or_their_groups(groups_per_level):
    group, other = crossed(groups_per_level=groups_per_level)
    folds = group % 4
    folds[group == 5] = -1
    rows = np.flatnonzero(np.arange(len(group)) % 7)
    tested = []
    for level, splits in by_level(other, folds, rows):
        for train, test in splits:
            assert len(train) and len(test)
            assert (other[test] == level).all() and not (other[train] == level).any()
            assert not set(group[train]) & set(group[test])
            assert set(np.r_[train, test]) <= set(rows) and (folds[np.r_[train, test]] >= 0).all()
            tested += test.tolist()
    assert sorted(tested) == sorted(set(rows) & set(np.flatnonzero(folds >= 0)))


def test_a_level_that_nothing_can_be_trained_for_is_left_out():
    # Level 1 lies in the fold that also holds everything else.
    (_, first), (_, second) = by_level(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0]))
    assert first == second == []
    (_, first), (_, second) = by_level(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    assert [(s.train.tolist(), s.test.tolist()) for s in first] == [([2, 3], [0])]
    assert [(s.train.tolist(), s.test.tolist()) for s in second] == [([0], [2, 3])]


def test_folds_are_found_again_behind_their_splits():
    folds = np.random.default_rng(0).integers(-1, 4, 60)
    assert (partition(by_fold(folds), 60) == folds).all()


def split(train, test):
    return Split(np.array(train), np.array(test))


@pytest.mark.parametrize(
    "splits",
    [
        by_fold(np.array([0, 0, 1, 1]))[:1],
        [split([1, 2], [0]), split([0, 2], [1])],  # a row that is never tested
        [split([1], [0, 2]), split([0], [1, 2])],  # a row that is tested twice
        [split([2], [0]), split([0, 2], [1]), split([0, 1], [2])],  # a row that one split leaves out
        [split([0, 1], [0]), split([0, 1], [1])],  # trained on what is tested
    ],
)
def test_other_splits_are_no_folds(splits):
    assert partition(splits, 4) is None
