from collections import Counter

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from audiointerp.probes.accuracy import balanced_accuracy
from audiointerp.probes.designs import Split, by_fold
from audiointerp.probes.layers import LayerReader
from audiointerp.probes.neighbours import Neighbours, SplitNeighbours, knn_predict, vote
from audiointerp.study import UserError


def planted(n=240, classes=3, seed=0, spread=1.5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    scores = rng.standard_normal((n, 5)) + spread * np.eye(5)[labels]
    # Folds cut along the first axis: the nearest rows of most rows are in their own fold.
    folds = np.argsort(np.argsort(scores[:, 0])) * 4 // n
    return scores.astype(np.float32), labels, folds


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("depth", [1, 8, 10_000])
def test_predictions_are_those_of_scikit_learn(k, depth):
    scores, labels, folds = planted()
    search = Neighbours(scores, depth)
    predicted = knn_predict(search, labels, by_fold(folds), k)
    compared = short = 0
    for train, test in by_fold(folds):
        rival = KNeighborsClassifier(k, algorithm="brute").fit(scores[train], labels[train])
        shares = np.sort(rival.predict_proba(scores[test]), axis=1)
        clear = shares[:, -1] > shares[:, -2]
        assert (predicted[test] == rival.predict(scores[test]))[clear].all()
        compared += clear.sum()
        short += (np.isin(search.indices[test], train).sum(1) < k).sum()
    assert compared > (120 if k == 2 else 200)
    # Both ways are taken: the list is enough, and the list has to be searched again.
    assert {1: short > 100, 8: 0 < short < 240, 10_000: short == 0}[depth]


def test_neighbours_are_training_rows_nearest_first():
    scores, _, folds = planted()
    split = by_fold(folds)[1]
    for depth in (6, 48):
        found = Neighbours(scores, depth).nearest(split, 4)
        distance = ((scores[split.test][:, None] - scores[split.train][None]) ** 2).sum(-1)
        assert (found == split.train[np.argsort(distance, axis=1)[:, :4]]).all()


@pytest.mark.parametrize("k", range(1, 8))
def test_ties_go_to_the_nearest(k):
    rng = np.random.default_rng(k)
    labels = rng.integers(0, 3, 40)
    neighbours = np.stack([rng.choice(40, k, replace=False) for _ in range(300)])
    for row, voted in zip(neighbours, vote(labels, neighbours), strict=True):
        counts = Counter(labels[row].tolist())
        assert voted == next(label for label in labels[row] if counts[label] == max(counts.values()))


@pytest.mark.parametrize("k", [3, 4])
def test_many_labellings_at_once_are_each_by_itself(k):
    scores, labels, folds = planted()
    search = Neighbours(scores)
    many = np.stack([np.random.default_rng(seed).permutation(labels) for seed in range(5)])
    at_once = knn_predict(search, many, by_fold(folds), k)
    assert at_once.shape == many.shape
    for row, alone in zip(at_once, many, strict=True):
        assert (row == knn_predict(search, alone, by_fold(folds), k)).all()


def test_noise_stays_noise_and_untested_rows_stay_open():
    rng = np.random.default_rng(3)
    scores, labels = rng.standard_normal((1500, 4)), rng.integers(0, 2, 1500)
    folds = np.arange(1500) % 5
    folds[:300] = -1
    predicted = knn_predict(Neighbours(scores), labels, by_fold(folds), 3)
    assert (predicted[:300] == -1).all() and (predicted[300:] >= 0).all()
    # A row that saw itself, or its fold, would be read far better: 4 standard errors are .058.
    assert abs(balanced_accuracy(labels, predicted) - 0.5) < 0.058


def test_too_few_training_rows():
    with pytest.raises(UserError, match="at least k=3 rows to train on, got 2: lower k or use more sounds"):
        Neighbours(np.eye(4)).nearest(Split(np.array([0, 1]), np.array([2])), 3)


@pytest.mark.parametrize("k", [1, 3])
def test_a_search_for_one_split_finds_what_the_search_of_all_rows_finds(k):
    scores, labels, folds = planted()
    splits = by_fold(folds)
    for split in splits:
        assert (SplitNeighbours(scores).nearest(split, k) == Neighbours(scores).nearest(split, k)).all()
    once = LayerReader(scores, k, search_all=False)
    assert (once.predict("knn", labels, splits) == LayerReader(scores, k).predict("knn", labels, splits)).all()
    with pytest.raises(UserError, match="at least k=3 rows to train on, got 2"):
        SplitNeighbours(scores).nearest(Split(np.arange(2), np.arange(5, 9)), 3)
