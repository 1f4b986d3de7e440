"""Groups stay whole, classes stay balanced, and few groups are used where they help."""

import numpy as np
import pandas as pd
import pytest

from audiointerp.data import splits
from audiointerp.study import UserError


def design(groups_per_class, clips_per_group=3, other=("a", "b", "c")):
    rows = [
        {"group": f"{c}{g}", "label": f"c{c}", "other": other[k % len(other)]}
        for c, n in enumerate(groups_per_class)
        for g in range(n)
        for k in range(clips_per_group)
    ]
    return pd.DataFrame(rows)


def roles_of(table, **options):
    table = table.assign(role=splits.assign_roles(table.group, table[["label", "other"]], **options))
    assert table.groupby("group").role.nunique().max() == 1
    return table.drop_duplicates("group")


def test_shares_hold_in_each_stratum_and_in_all():
    groups = roles_of(design([40, 20, 7, 13]))
    shares = groups.role.value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx(splits.SHARES, abs=0.04)
    counts = pd.crosstab(groups.label, groups.role)
    assert (counts > 0).all().all()
    assert counts.loc["c0"].to_dict() == pytest.approx({"fit": 8, "train": 16, "select": 6, "test": 10}, abs=1)


def test_small_strata_stay_decodable():
    groups = roles_of(design([1, 2, 3, 4, 5]))
    found = groups.groupby("label").role.apply(lambda roles: sorted(roles)).to_dict()
    assert found["c0"] == ["fit"]
    assert found["c1"] == ["test", "train"]
    assert found["c2"] == ["select", "test", "train"]
    assert found["c3"] == ["select", "test", "train", "train"]
    assert set(found["c4"]) == set(splits.SHARES)


def test_roles_depend_on_the_seed_and_not_on_the_order():
    table = design([12, 12])
    role = pd.Series(splits.assign_roles(table.group, table[["label"]], seed=3))
    shuffled = table.sample(frac=1, random_state=0)
    again = splits.assign_roles(shuffled.group, shuffled[["label"]], seed=3)
    assert (again == role[shuffled.index]).all()
    assert (splits.assign_roles(table.group, table[["label"]], seed=4) != role).any()


def test_a_crossing_too_fine_to_stratify_by_is_coarsened():
    numbers = [f"n{i}" for i in range(40)]
    table = pd.DataFrame({"group": numbers, "a": list("wxyz") * 10, "b": numbers})
    role = splits.assign_roles(table.group, table[["a", "b"]])
    counts = pd.crosstab(table.a, role)
    assert set(counts) == set(splits.SHARES) and (counts > 0).all().all()


def test_roles_without_a_share_stay_empty():
    groups = roles_of(design([1, 2, 3, 4, 9]), shares={"train": 0.7, "test": 0.3})
    assert set(groups.role) == {"train", "test"}


@pytest.mark.parametrize("shares", [{"train": 0.5, "test": 0.4}, {"train": 1.2, "test": -0.2}, {"trian": 1.0}, {}])
def test_wrong_shares_are_refused(shares):
    with pytest.raises(UserError, match="expected shares"):
        splits.assign_roles(["a", "b"], pd.DataFrame({"x": ["1", "2"]}), shares=shares)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="one group per row"):
        splits.assign_roles(["a"], pd.DataFrame({"x": ["1", "2"]}))
    with pytest.raises(ValueError, match="one group per label"):
        splits.group_folds(["a"], ["1", "2"], 2)


@pytest.mark.parametrize("clips_per_group", [1, 3])
def test_group_folds_keep_groups_and_balance_classes(clips_per_group):
    table = design([10, 20], clips_per_group)
    folds = splits.group_folds(table.label, table.group, 5, seed=1)
    assert pd.Series(folds).groupby(table.group).nunique().max() == 1
    counts = pd.crosstab(table.label, folds)
    assert counts.shape == (2, 5)
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= clips_per_group
    assert (folds == splits.group_folds(table.label, table.group, 5, seed=1)).all()


@pytest.mark.parametrize("labels", [np.linspace(0, 1, 30), np.arange(30) // 3, [f"c{i // 2}" for i in range(30)]])
def test_group_folds_take_numbers_and_rare_classes(labels, recwarn):
    folds = splits.group_folds(labels, np.arange(30) // 2, 5)
    assert set(folds) == set(range(5))
    assert not recwarn.list


def test_too_few_groups_say_what_to_do():
    with pytest.raises(UserError, match="at least 5 groups .* got 3: take fewer folds"):
        splits.group_folds(["a"] * 6, [0, 0, 1, 1, 2, 2], 5)
    with pytest.raises(UserError, match="at least 2 folds"):
        splits.group_folds(["a"] * 4, [0, 1, 2, 3], 1)


def test_random_folds_are_even():
    folds = splits.random_folds(23, 5, seed=1)
    assert sorted(np.bincount(folds)) == [4, 4, 5, 5, 5]
    assert (folds != splits.random_folds(23, 5, seed=2)).any()
    for n, k in [(3, 5), (10, 1)]:
        with pytest.raises(UserError, match="folds"):
            splits.random_folds(n, k)


def test_official_folds():
    assert splits.official_folds(pd.Series(["3", "1", "3"]), ["a", "b", "a"]).tolist() == [1, 0, 1]
    with pytest.raises(UserError, match="own folds"):
        splits.official_folds(None)
    with pytest.raises(UserError, match="at least two official folds"):
        splits.official_folds(["1", "1"])
    with pytest.raises(UserError, match="'a' lies in 2"):
        splits.official_folds(["1", "2"], ["a", "a"])


def test_eligible_classes_have_several_groups():
    assert splits.eligible_classes(["x", "x", "y", "y"], ["1", "2", "3", "3"]) == ["x"]
    assert splits.eligible_classes(["x", "y"], ["1", "3"], minimum=1) == ["x", "y"]


@pytest.mark.parametrize("crossed", [False, True])
def test_leave_level_out_never_shares_a_group_or_a_level(crossed):
    table = design([4, 4], clips_per_group=6)
    other = table.other if crossed else table.label
    pairs = splits.leave_level_out(other, table.group, table.label, n_folds=4)
    assert len(pairs) == (3 * 4 if crossed else 2)
    tested = []
    for train, test in pairs:
        assert not set(table.group[train]) & set(table.group[test])
        assert not set(other[train]) & set(other[test])
        assert len(set(other[test])) == 1
        tested += test.tolist()
    assert sorted(tested) == list(range(len(table)))


def test_leave_level_out_needs_two_levels_and_two_groups():
    with pytest.raises(UserError, match="at least two levels"):
        splits.leave_level_out(["a", "a"], ["1", "2"])
    with pytest.raises(UserError, match="at least two groups"):
        splits.leave_level_out(["a", "b"], ["1", "1"])


def test_drawn_groups_are_whole_even_over_strata_and_no_more_than_asked():
    table = design([40, 20, 8, 12])
    kept = splits.draw_groups(table.group, table[["label", "other"]], 60, seed=1)
    assert (table.assign(kept=kept).groupby("group").kept.nunique() == 1).all()
    assert 57 <= kept.sum() <= 60
    assert table[kept].drop_duplicates("group").label.value_counts().to_dict() == pytest.approx(
        {"c0": 10, "c1": 5, "c2": 2, "c3": 3}, abs=1
    )
    order = np.random.default_rng(0).permutation(len(table))
    again = splits.draw_groups(table.group[order], table[["label", "other"]].iloc[order], 60, seed=1)
    assert set(table.group[order][again]) == set(table.group[kept])
    assert set(table.group[splits.draw_groups(table.group, table[["label"]], 60, seed=2)]) != set(table.group[kept])


def test_one_group_is_drawn_even_if_it_is_too_large():
    table = design([2, 2], clips_per_group=5)
    kept = splits.draw_groups(table.group, table[["label"]], 3)
    assert kept.sum() == 5 and table[kept].group.nunique() == 1
