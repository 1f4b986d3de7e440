"""Classifiers of notes read planted classes and numbers, and nothing from noise; measures agree with counting."""

import numpy as np
import pytest

from audiointerp.probes.classifiers import (
    KINDS,
    accuracy_over_groups,
    class_table,
    classify,
    confusion_counts,
    explained_over_groups,
    regress,
)
from audiointerp.study import UserError

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(3), 60)
TRAIN, TEST = np.flatnonzero(np.arange(180) % 3 > 0), np.flatnonzero(np.arange(180) % 3 == 0)
PLANTED = np.eye(3)[LABELS] @ RNG.standard_normal((3, 12)) * 2 + 0.5 * RNG.standard_normal((180, 12))
NOISE = RNG.standard_normal((180, 12))


@pytest.mark.parametrize("kind", KINDS)
def test_planted_classes_are_read_and_noise_is_not(kind):
    settings = {"seed": 0, "width": 20}
    right = (classify(kind, PLANTED, LABELS, TRAIN, TEST, **settings) == LABELS[TEST]).mean()
    wrong = (classify(kind, NOISE, LABELS, TRAIN, TEST, **settings) == LABELS[TEST]).mean()
    assert right > 0.9 and 0.1 < wrong < 0.55


@pytest.mark.parametrize("kind", KINDS)
def test_planted_numbers_are_read_in_their_own_unit_and_noise_is_not(kind):
    values = 60 + 10 * PLANTED[:, 0]
    groups = np.arange(60)
    predicted = regress(kind, PLANTED, values, TRAIN, TEST, width=20)
    assert explained_over_groups(values[TEST], predicted, groups).estimate > 0.8
    predicted = regress(kind, NOISE, values, TRAIN, TEST, width=20)
    assert explained_over_groups(values[TEST], predicted, groups).estimate < 0.3


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(UserError, match="two classes or more"):
        classify("svm", PLANTED, np.zeros(180, int), TRAIN, TEST)
    for ask in (classify, regress):
        with pytest.raises(UserError, match="probe among"):
            ask("oracle", PLANTED, LABELS, TRAIN, TEST)


def test_measures_are_those_that_one_counts():
    true, read = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    table = class_table(true, read, ["a", "b", "c"]).set_index("class")
    assert table.loc["a", ["precision", "recall"]].tolist() == pytest.approx([1, 2 / 3])
    assert table.loc["b", ["precision", "recall", "f1"]].tolist() == pytest.approx([0.5, 0.5, 0.5])
    assert table.loc["b", "precision_published"] == pytest.approx(3 / 4)
    assert table.loc["macro average", "recall"] == pytest.approx((2 / 3 + 0.5 + 1) / 3)
    counts = confusion_counts(true, read, ["a", "b", "c"]).set_index(["true", "predicted"])["count"]
    assert counts["a", "b"] == 1 and counts["c", "a"] == 0 and counts.sum() == 6
    assert accuracy_over_groups(true, read, np.arange(6)).estimate == pytest.approx(4 / 6)


def test_explained_variance_is_one_less_the_share_of_squared_error():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    predicted = np.array([1.5, 2.0, 2.5, 4.0])
    assert explained_over_groups(values, predicted, np.arange(4)).estimate == pytest.approx(1 - 0.5 / 5)


def test_numbers_that_do_not_vary_explain_nothing():
    alike = np.full(6, 60.1)
    assert np.isnan(explained_over_groups(alike, np.arange(6.0), np.arange(6)).estimate)
