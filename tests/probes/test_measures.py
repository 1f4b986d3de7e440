from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from audiointerp.probes import measures
from audiointerp.probes.accuracy import balanced_accuracy
from audiointerp.probes.designs import Split, by_fold
from audiointerp.statistics.intervals import cluster_interval
from audiointerp.statistics.tests import cluster_sign_flip


def asked(groups=24, clips=2, segments=2, classes=3, seed=0):
    """A question over groups whose class is theirs, in five folds; clips of group 0 are not decoded."""
    n = groups * clips * segments
    group = np.arange(n) // (clips * segments)
    labels = group % classes
    folds = np.where(group == 0, -1, group % 5)
    return SimpleNamespace(
        labels=labels,
        groups=group,
        clips=np.arange(n) // segments,
        folds=folds,
        chance=1 / classes,
        tested=np.flatnonzero(folds >= 0),
    )


def guessed(question, right, seed=0):
    """Predictions that are right at a rate that varies over groups; -1 where nothing is tested."""
    rng = np.random.default_rng(seed)
    rate = np.clip(right + 0.2 * rng.standard_normal(question.groups.max() + 1), 0, 1)[question.groups]
    wrong = (question.labels + 1 + rng.integers(0, 2, len(rate))) % 3
    predicted = np.where(rng.random(len(rate)) < rate, question.labels, wrong)
    return np.where(question.folds >= 0, predicted, -1)


def test_a_row_by_groups():
    question = asked()
    predicted = guessed(question, 0.7)
    row = measures.group_row(question, predicted, seed=3)
    assert row["accuracy"] == pytest.approx(balanced_accuracy(question.labels, predicted))
    tested = question.tested
    share = np.bincount(question.labels[tested])[question.labels[tested]]
    expected = cluster_interval(
        (predicted == question.labels)[tested], question.groups[tested], weights=1 / share, seed=3
    )
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((expected.low, expected.high))
    assert row["interval"] == "cluster bootstrap" and row["ci_low"] < row["accuracy"] < row["ci_high"]
    assert (row["chance"], row["n_clips"], row["n_groups"]) == (1 / 3, 46, 23)
    # Segments of a group stand and fall together: over segments the interval would be far narrower.
    together = np.where(question.groups % 4 < 2, question.labels, (question.labels + 1) % 3)
    by_segment = measures.accuracy_interval(question, together, 0, clusters=np.arange(len(together)))
    by_group = measures.accuracy_interval(question, together, 0)
    assert by_group.high - by_group.low > 1.6 * (by_segment.high - by_segment.low)


def test_few_groups_have_no_interval():
    question = asked(groups=4)
    row = measures.group_row(question, guessed(question, 0.7), seed=0)
    assert np.isnan(row["ci_low"]) and row["interval"] == "none: 3 clusters" and row["n_groups"] == 3


def test_a_row_by_folds_is_the_t_interval():
    question = asked()
    predicted = guessed(question, 0.7)
    splits = by_fold(question.folds)
    scores = [balanced_accuracy(question.labels[s.test], predicted[s.test]) for s in splits]
    assert measures.fold_accuracies(question.labels, predicted, splits).tolist() == scores
    row = measures.fold_row(question, predicted, splits)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(scores), scale=stats.sem(scores))
    assert (row["accuracy"], row["ci_low"], row["ci_high"]) == pytest.approx((np.mean(scores), low, high))
    assert row["interval"] == "t over 5 random folds (as published)"


def test_equal_predictions_do_not_differ():
    question = asked()
    predicted = guessed(question, 0.7)
    row = measures.compare(question, predicted, predicted, seed=0)
    assert row["difference"] == 0 and row["p_sign_flip"] == 1
    assert np.isnan([row["p"], row["statistic"], row["ci_low"], row["ci_high"]]).all()
    assert row["interval"].startswith("none") and row["n_groups"] == 23


def test_a_comparison_of_two_predictions():
    question = asked()
    good, bad = guessed(question, 0.9), guessed(question, 0.4, seed=1)
    row = measures.compare(question, good, bad, seed=0)
    expected = balanced_accuracy(question.labels, good) - balanced_accuracy(question.labels, bad)
    assert row["difference"] == pytest.approx(expected) and row["ci_low"] > 0.2
    # Nadeau and Bengio (2003), equation 9, five folds.
    folds = by_fold(question.folds)
    differences = np.array(
        [np.subtract(*(balanced_accuracy(question.labels[s.test], x[s.test]) for x in (good, bad))) for s in folds]
    )
    assert row["statistic"] == pytest.approx(differences.mean() / np.sqrt((1 / 5 + 1 / 4) * differences.var(ddof=1)))
    assert row["p"] == pytest.approx(2 * stats.t.sf(row["statistic"], 4))
    assert row["p_sign_flip"] < 0.01
    back = measures.compare(question, bad, good, seed=0)
    assert back["difference"] == pytest.approx(-expected) and back["p_sign_flip"] == pytest.approx(row["p_sign_flip"])


def test_a_comparison_counts_common_rows_and_classes_alike():
    question = asked()
    question.labels = (question.groups % 5 < 2).astype(int)
    rng = np.random.default_rng(0)
    a, b = (np.where(rng.random(len(question.labels)) < 0.7, question.labels, 1 - question.labels) for _ in range(2))
    half = np.where(question.groups < 13, b, -1)  # rows that one of the two does not test count for neither
    common = half >= 0
    row = measures.compare(question, a, half, seed=0)
    accuracy = [balanced_accuracy(question.labels[common], x[common]) for x in (a, b)]
    assert row["difference"] == pytest.approx(accuracy[0] - accuracy[1]) and row["n_groups"] == 13
    share = np.bincount(question.labels[common])[question.labels[common]]
    gained = ((a == question.labels).astype(float) - (b == question.labels))[common]
    assert row["p_sign_flip"] == cluster_sign_flip(gained / share, question.groups[common], seed=0).p
    assert row["p_sign_flip"] != cluster_sign_flip(gained, question.groups[common], seed=0).p


def test_comparisons_of_equally_good_predictions_are_seldom_significant():
    question = asked(groups=16)
    rows = [
        measures.compare(question, guessed(question, 0.6, 2 * s), guessed(question, 0.6, 2 * s + 1), s)
        for s in range(60)
    ]
    for column in ("p", "p_sign_flip"):
        # 5 % of 60 are 3; 9 or more would come once in three hundred times.
        assert sum(row[column] < 0.05 for row in rows) < 9
    covered = sum(row["ci_low"] <= 0 <= row["ci_high"] for row in rows)
    assert covered >= 51


def test_the_published_test_is_students():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.02, 10), rng.normal(0.78, 0.03, 10)
    row = measures.published_test(a, b)
    expected = stats.ttest_ind(a, b)
    assert (row["statistic"], row["p"]) == pytest.approx((expected.statistic, expected.pvalue))
    assert row["p_corrected"] == pytest.approx(3 * expected.pvalue)
    assert row["difference"] == pytest.approx(a.mean() - b.mean())
    assert "as published" in row["test"] and row["correction"] == "Bonferroni x 3 (as published)"
    assert measures.published_test(a, a + 1e-3)["p_corrected"] == 1.0


def test_only_classes_that_training_holds_are_tested():
    question = SimpleNamespace(labels=np.array([0, 0, 1, 1, 2, 2]))
    splits = [Split(np.array([0, 2]), np.array([1, 3, 4])), Split(np.array([0, 1]), np.array([4, 5]))]
    (kept,) = measures.learnable(question, splits)
    assert kept.train.tolist() == [0, 2] and kept.test.tolist() == [1, 3]


def test_labels_of_clips_reach_their_segments():
    question = asked(groups=3, clips=2, segments=2)  # clips 2 to 5 are decoded
    labels = measures.to_segments(np.array([[7, 8, 9, 6], [1, 1, 2, 2]]), question)
    assert labels.tolist() == [[0, 0, 0, 0, 7, 7, 8, 8, 9, 9, 6, 6], [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]]


def test_the_most_frequent_name():
    assert measures.most_frequent(["b", "c", "b"]) == "b"
    assert measures.most_frequent(iter(["c", "b"])) == "b"
