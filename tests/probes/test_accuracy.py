import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from audiointerp.probes.accuracy import balanced_accuracy, balanced_weights


def drawn(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, 200, p=[0.6, 0.25, 0.1, 0.05])
    predicted = np.where(rng.random(200) < 0.5, labels, rng.integers(0, 4, 200))
    predicted[rng.random(200) < 0.2] = -1
    return labels, predicted


@pytest.mark.parametrize("seed", range(3))
def test_accuracy_is_that_of_scikit_learn(seed):
    labels, predicted = drawn(seed)
    tested = predicted >= 0
    expected = balanced_accuracy_score(labels[tested], predicted[tested])
    assert balanced_accuracy(labels, predicted) == pytest.approx(expected, abs=1e-12)


def test_many_at_once_are_each_by_itself():
    labels, predicted = (np.stack(part) for part in zip(*map(drawn, range(5)), strict=True))
    labels[2][labels[2] == 3] = 0  # a class that one labelling lacks
    at_once = balanced_accuracy(labels, predicted)
    assert at_once.shape == (5,)
    for one, row, guess in zip(at_once, labels, predicted, strict=True):
        assert one == pytest.approx(balanced_accuracy(row, guess), abs=1e-12)


def test_weighted_rows_add_up_to_the_accuracy():
    labels, predicted = drawn(0)
    weights = balanced_weights(labels, predicted >= 0)
    assert weights.sum() == pytest.approx(1.0) and (weights[predicted < 0] == 0).all()
    assert weights @ (predicted == labels) == pytest.approx(balanced_accuracy(labels, predicted))


def test_a_class_that_is_not_tested_does_not_count():
    assert balanced_accuracy(np.array([0, 0, 1, 2]), np.array([0, 1, 1, -1])) == 0.75
    assert balanced_accuracy(np.array([0, 0, 1, -1]), np.array([0, 1, 1, -1])) == 0.75
