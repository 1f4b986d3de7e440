import numpy as np
import pandas as pd
import pytest

from audiointerp.data.questions import ask
from audiointerp.study import UserError


def clips(groups_per_class, per_group=2):
    """One row per clip: class, group, and a role by turns of groups (one in four is `fit`)."""
    label = [name for name, groups in groups_per_class.items() for _ in range(groups * per_group)]
    group = np.repeat(np.arange(sum(groups_per_class.values())), per_group)
    table = pd.DataFrame({"label": label, "group": [f"g{i:02d}" for i in group]})
    starts = dict(zip(groups_per_class, np.cumsum([0, *groups_per_class.values()]), strict=False))
    place = group - table["label"].map(starts)
    table["role"] = np.where(place % 4 == 3, "fit", np.where(place % 4 == 2, "test", "train"))
    return table


def asked(table, fold=None, segments=3, **changed):
    given = {"folds": 3, "seed": 0} | changed
    clip_of = np.repeat(np.arange(len(table)), segments)
    roles = table["role"].to_numpy()
    return ask("kind", table["label"], table["group"], fold, roles, clip_of, **given)


def test_segments_get_class_group_clip_and_fold():
    table = clips({"wood": 8, "glass": 8})
    question = asked(table)
    assert question.classes == ("glass", "wood") and question.left_out == () and question.chance == 0.5
    of = np.repeat(np.arange(32), 3)
    assert (question.clips == of).all() and (question.rows == np.arange(96)).all()
    assert (np.array(question.classes)[question.labels] == table["label"].to_numpy()[of]).all()
    assert (pd.Series(question.groups).groupby(table["group"].to_numpy()[of]).nunique() == 1).all()
    assert len(np.unique(question.groups)) == 16
    fit = table["role"].to_numpy()[of] == "fit"
    assert ((question.folds < 0) == fit).all() and (question.tested == np.flatnonzero(~fit)).all()
    folds = pd.DataFrame({"group": question.groups, "fold": question.folds, "label": question.labels})[~fit]
    assert (folds.groupby("group")["fold"].nunique() == 1).all()
    assert sorted(folds["fold"].unique()) == [0, 1, 2]


def test_folds_hold_as_many_groups_of_each_class():
    table = clips({"wood": 8, "glass": 8})
    for seed in range(5):
        question = asked(table, seed=seed)
        rows = pd.DataFrame({"group": question.groups, "fold": question.folds, "label": question.labels})
        counts = rows[question.folds >= 0].groupby(["fold", "label"])["group"].nunique()
        assert len(counts) == 6 and (counts == 2).all()


def test_another_seed_draws_other_folds():
    table = clips({"wood": 8, "glass": 8})
    assert (asked(table).folds == asked(table).folds).all()
    assert (asked(table).folds != asked(table, seed=1).folds).any()


def test_classes_that_too_few_groups_have_are_left_out():
    # "rug" has three groups, one of them outside the role fit; "tin" has none outside.
    table = clips({"wood": 8, "glass": 8, "rug": 3, "tin": 2})
    table.loc[table["group"].isin(["g16", "g17", "g19", "g20"]), "role"] = "fit"
    question = asked(table)
    assert question.classes == ("glass", "wood") and question.left_out == ("rug", "tin")
    out = table["label"].isin(["rug", "tin"]).to_numpy()[question.clips]
    assert (question.labels[out] == -1).all() and (question.folds[out] == -1).all()
    assert (question.rows == np.flatnonzero(~out)).all() and question.chance == 0.5
    # Two groups outside `fit` are enough.
    table.loc[table["group"] == "g17", "role"] = "train"
    assert asked(table).classes == ("glass", "rug", "wood")


def test_official_folds_go_before_drawn_ones():
    table = clips({"wood": 8, "glass": 8})
    fold = pd.Series([["3", "1", "10"][int(name[1:]) % 3] for name in table["group"]])
    question = asked(table, fold, folds=2)
    expected = fold.map({"1": 0, "3": 1, "10": 2}).to_numpy()[question.clips]
    fit = table["role"].to_numpy()[question.clips] == "fit"
    assert (question.folds == np.where(fit, -1, expected)).all()
    with pytest.raises(UserError, match="'g00' lies in 2"):
        asked(table, pd.Series(np.where(np.arange(32) % 2, "1", "2")))


def test_whole_numbers_are_classes():
    table = clips({"1": 8, "2": 8})
    table["label"] = table["label"].astype(float)
    assert asked(table).classes == ("1.0", "2.0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": np.linspace(0, 1, 32)}, "at most 100 classes, 'kind' holds numbers .*: name other factors"),
        ({"label": "wood"}, r"two classes of 'kind' .*, got \['wood'\]: more recordings"),
        ({"group": [f"g{i // 16}" for i in range(32)]}, "two classes of 'kind' .*, got none: more recordings"),
        ({"role": "fit"}, "two classes of 'kind' .* got none"),
    ],
)
def test_what_cannot_be_asked_says_what_to_do(change, message):
    with pytest.raises(UserError, match=message):
        asked(clips({"wood": 8, "glass": 8}).assign(**change))


def test_too_many_classes_and_too_few_groups():
    many = clips({f"c{i:03d}": 4 for i in range(101)}, per_group=1)
    with pytest.raises(UserError, match="at most 100 classes, 'kind' holds numbers or 101 values"):
        asked(many)
    assert len(asked(many[many["label"] != "c000"].reset_index(drop=True)).classes) == 100
    with pytest.raises(UserError, match="at least 20 groups for 20 folds, got 12"):
        asked(clips({"wood": 8, "glass": 8}), folds=20)


def test_a_part_keeps_classes_groups_and_folds_and_numbers_its_clips_anew():
    table = clips({"wood": 8, "glass": 8, "rare": 1})
    whole = asked(table)
    rows = np.flatnonzero(np.isin(whole.clips, [1, 4, 5, 32]))
    part = whole.part(rows)
    assert part.classes == whole.classes and part.left_out == whole.left_out == ("rare",)
    for name in ("labels", "groups", "folds"):
        assert (getattr(part, name) == getattr(whole, name)[rows]).all()
    assert part.clips.tolist() == np.repeat(range(4), 3).tolist()
    assert part.rows.tolist() == list(range(9))  # the last clip is of a class that is left out
