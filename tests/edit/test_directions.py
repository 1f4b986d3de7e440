import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from audiointerp.edit.directions import ClassMoments, class_moments, lda_shift, mean_shift, random_like

BY_HAND = ClassMoments(np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 4.0]]), np.diag([1.0, 4.0]))


def test_mean_shift_by_hand():
    assert mean_shift(BY_HAND, np.array([0, 2, 1]), np.array([1, 0, 1])).tolist() == [[2, 0], [-2, -4], [0, 0]]


def test_lda_shift_by_hand():
    # From (0, 0) to (2, 4): the discriminant (2, 16) scores the means 0 and 68; the step is 68 / 260 of it.
    change = lda_shift(BY_HAND, np.array([0, 0, 1]), np.array([2, 1, 1]))
    np.testing.assert_allclose(change, [[2 * 68 / 260, 16 * 68 / 260], [2, 0], [0, 0]])


def drawn(seed=0, rows=600):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows)
    mixing = np.random.default_rng(7).standard_normal((4, 4))
    return (rng.standard_normal((rows, 4)) + 3 * np.eye(4)[labels]) @ mixing, labels


def test_moments_are_those_of_training_rows():
    scores, labels = drawn()
    moments = class_moments(scores, labels, 3)
    means = np.stack([scores[labels == label].mean(0) for label in range(3)])
    np.testing.assert_allclose(moments.means, means)
    covariance, _ = ledoit_wolf(scores - means[labels], assume_centered=True)
    np.testing.assert_allclose(moments.precision @ covariance, np.eye(4), atol=1e-9)


def test_an_lda_shift_moves_the_discriminants_score_from_mean_to_mean_by_the_least_change():
    scores, labels = drawn()
    moments = class_moments(scores, labels, 3)
    source, target = np.array([0, 1, 2]), np.array([1, 2, 0])
    change = lda_shift(moments, source, target)
    full = mean_shift(moments, source, target)
    for step, whole, a, b in zip(change, full, source, target, strict=True):
        direction = moments.precision @ (moments.means[b] - moments.means[a])
        assert direction @ step == pytest.approx(direction @ whole)
        assert np.linalg.norm(step) < np.linalg.norm(whole)
        assert abs(step @ direction) == pytest.approx(np.linalg.norm(step) * np.linalg.norm(direction))
    # Either shift carries rows to where scikit-learn's classifier calls them the target.
    lda = LinearDiscriminantAnalysis().fit(scores, labels)
    rows = scores[labels == 0]
    for shift in (change[0], full[0]):
        assert np.mean(lda.predict(rows) == 0) > 0.9 and np.mean(lda.predict(rows + shift) == 1) > 0.8


def test_a_class_without_sounds():
    with pytest.raises(ValueError, match=r"training sounds of every class, classes \[1, 3\] have none"):
        class_moments(np.eye(4), np.array([0, 2, 2, 0]), 4)


def test_random_directions_have_the_norms_asked_for_and_no_direction():
    changes = np.random.default_rng(0).standard_normal((3000, 5)) * np.linspace(0, 9, 3000)[:, None] + [9, 0, 0, 0, 0]
    changes[0] = 0
    drawn = random_like(changes, np.random.default_rng(1))
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), np.linalg.norm(changes, axis=1))
    cosine = (drawn * changes).sum(1)[1:] / (np.linalg.norm(changes, axis=1)[1:] ** 2)
    assert abs(cosine.mean()) < 4 / np.sqrt(5 * 3000)
    assert cosine.std() == pytest.approx(5**-0.5, abs=0.02)
    assert (drawn == random_like(changes, np.random.default_rng(1))).all()
